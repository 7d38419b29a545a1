//! Reads ironpost.toml and answers with typed rules.
//!
//! what the owner wrote (`written`) and what it means here ([`TomlPolicy`]) are two types; between them stands the
//! judgement that names each wrong value with its line and column.
#![forbid(unsafe_code)]

mod address;
mod answer;
mod expand;
mod meaning;
mod problem;
mod tables;
mod written;

pub use answer::TomlPolicy;
pub use meaning::Meaning;
pub use problem::{Problem, Problems};
pub use tables::{Tables, Target};

use std::path::PathBuf;

/// What the file does not say and the system does.
#[derive(Debug, Clone, Default)]
pub struct SystemFacts {
    /// The name of this system.
    pub host_name: Vec<u8>,
    /// Addresses of the command line that replace those of the file.
    pub listen: Vec<String>,
    /// The folder of all state, if the command line names one.
    pub data: Option<PathBuf>,
    /// Whether the server runs as root.
    pub is_root: bool,
}

/// Reads a configuration. Warnings, ready to print, come with what was read.
///
/// # Errors
/// Everything that is wrong in it, not only the first thing.
pub fn load(
    name: &str,
    text: &[u8],
    system: &SystemFacts,
) -> Result<(Meaning, Problems), Problems> {
    let written = written::read(name, text)?;
    meaning::judge(name, text, &written, system)
}

/// No configuration: everything local, any name, one folder.
///
/// # Errors
/// An address of the command line is none.
pub fn zero(system: &SystemFacts) -> Result<Meaning, Problems> {
    meaning::zero(system)
}

/// The run and spool folders that a configuration names, for commands that look for its server.
#[must_use]
pub fn paths(text: &[u8]) -> Option<(PathBuf, PathBuf)> {
    let written = written::read("", text).ok()?;
    Some((
        written.paths.run.map_or_else(|| meaning::RUN.into(), |path| path.into_inner().into()),
        written.paths.spool.map_or_else(|| meaning::SPOOL.into(), |path| path.into_inner().into()),
    ))
}
