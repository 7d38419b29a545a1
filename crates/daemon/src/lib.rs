//! The processes: who runs as whom, who may talk to whom, and the loops that feed the machines.
//!
//! [`serve`] is master; [`run_role`] is every other process, which is the same binary executed again;
//! [`client`] is what commands use to talk to a running server.
#![forbid(unsafe_code)]

mod cage;
pub mod client;
mod conversation;
mod date;
pub mod drop;
mod edge;
pub mod edges;
mod engines;
mod errand;
pub mod file_frames;
mod host_facts;
mod ids;
pub mod job;
mod life;
pub mod link;
pub mod log;
mod map_notes;
mod map_porter;
mod member_frames;
mod name_service;
mod port;
pub mod request;
pub mod roles;
pub mod session_envelope;
pub mod session_lines;
mod start;
pub mod statistics;
mod submission;
mod tables;

mod role {
    //! One file a role.
    pub(crate) mod control;
    pub(crate) mod deliver;
    pub(crate) mod master;
    pub(crate) mod policy;
    pub(crate) mod queue;
    pub(crate) mod reader;
    pub(crate) mod relay;
    pub(crate) mod resolver;
    pub(crate) mod smtpd;
}

mod pid_file;

pub use date::clock;
pub use host_facts::{RELEASE, gather as host_facts};
pub use pid_file::{AsSendmail, write as write_pid_file};
use policy::Settings;
use role::master::StartError;
use roles::Role;

use start::{Inheritance, LIFE_DESCRIPTOR};
use std::ffi::OsStr;
use std::fs::File;

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// `EX_CONFIG` of sysexits.h: the configuration is wrong.
pub const EX_CONFIG: u8 = 78;

/// `EX_OSERR` of sysexits.h: the system refused something.
pub const EX_OSERR: u8 = 71;

/// `EX_IOERR` of sysexits.h: the disk failed.
pub const EX_IOERR: u8 = 74;

/// How to serve.
#[derive(Debug, Clone, Default)]
pub struct Serve {
    /// The configuration file; `None`: no file, everything in one folder.
    pub config: Option<PathBuf>,
    /// The folder of all state; `None`: as the configuration says.
    pub data: Option<PathBuf>,
    /// Addresses in place of the configuration's.
    pub listen: Vec<String>,
    /// Log lines as JSON, whatever the configuration says.
    pub logs_json: bool,
    /// Options and macros of the command line, for a sendmail.cf.
    pub arguments: Vec<edges::Argument>,
    /// As sendmail's daemon: its files, its log lines, its manner of running the queue.
    pub as_sendmail: Option<AsSendmail>,
    /// Called once, when the configuration is read and nobody has the spool yet.
    pub prepare: Option<fn(&Settings)>,
    /// Called once, when everybody is ready.
    pub announce: Option<fn(&Settings)>,
}

impl Serve {
    /// Makes the settings what the command line says besides the file.
    fn adjust(&self, settings: &mut Settings) {
        settings.logging.is_json |= self.logs_json;
        if let Some(daemon) = &self.as_sendmail {
            daemon.adjust(settings);
        }
    }

    /// The configuration file, open, and its name.
    fn configuration(&self) -> Result<Option<NamedFile>, StartError> {
        let Some(path) = &self.config else { return Ok(None) };
        let file = File::open(path)
            .map_err(|error| StartError::Configuration(format!("{}: {error}", path.display())))?;
        Ok(Some((path_octets(path).into(), file.into())))
    }
}

/// An open file and its name.
type NamedFile = (Box<[u8]>, OwnedFd);

/// Whether we may make this spool: as root, or in a folder of our own. What many users may write (sendmail's client queue)
/// would hold mail of some in files of others.
#[must_use]
pub fn may_keep(spool: &Path) -> bool {
    let owner = |path: &Path| std::fs::metadata(path).ok().map(|facts| facts.uid());
    let owner = owner(spool).or_else(|| owner(spool.parent()?));
    is_root() || owner.is_none_or(|uid| uid == sys::user::effective_uid())
}

/// Whether the server is root's.
fn is_root() -> bool {
    sys::user::effective_uid() == 0
}

/// Serves until a signal says stop; the exit code of the whole.
///
/// # Errors
/// What kept the server from starting, in words, and the exit code (sysexits.h).
pub fn serve(options: Serve) -> Result<ExitCode, (String, u8)> {
    role::master::run(options).map_err(|error| match error {
        StartError::Configuration(text) => (text, EX_CONFIG),
        StartError::System(text) => (text, EX_OSERR),
    })
}

/// Runs a role: what master starts. Not for users.
///
/// # Errors
/// In words, why the role ended.
pub fn run_role(name: &str) -> Result<ExitCode, String> {
    let role = Role::from_name(name).ok_or("there is no such role")?;
    let life = sys::fd::inherited(LIFE_DESCRIPTOR)
        .map_err(|_| "roles are started by `ironpost serve`, not by hand".to_owned())?;
    let ended = if role == Role::Master {
        role::master::on_errand(life)
    } else {
        Inheritance::gather(role, life).and_then(|inheritance| work(role, inheritance))
    };
    match ended {
        Ok(code) => Ok(code),
        // Master is gone, or ended us: nothing to say.
        Err(link::LinkError::Closed) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(format!("{name}: {error}")),
    }
}

fn work(role: Role, inheritance: Inheritance) -> Result<ExitCode, link::LinkError> {
    match role {
        // It inherits nothing.
        Role::Master => Err(link::LinkError::Closed),
        Role::Policy => role::policy::run(inheritance),
        Role::Queue => role::queue::run(inheritance),
        Role::Resolver => role::resolver::run(inheritance),
        Role::Relay => role::relay::run(inheritance),
        Role::Control => role::control::run(inheritance),
        Role::Smtpd => role::smtpd::run(inheritance),
        Role::Deliver | Role::Agent => role::deliver::run(inheritance),
        Role::Reader => role::reader::run(inheritance),
    }
}

/// Says of a configuration what is risky in it; empty: nothing.
///
/// # Errors
/// What is wrong in it, ready to print.
pub fn check(name: &str, text: &[u8], color: bool) -> Result<String, String> {
    tables::check(name, text, color)
}

/// The policy of an ironpost.toml or a sendmail.cf, with the tables of this system.
///
/// # Errors
/// What is wrong in it, ready to print.
pub fn policy_of(name: &str, text: &[u8]) -> Result<Box<dyn policy::Policy>, String> {
    tables::policy_of(name, text)
}

/// The policy of a sendmail.cf for a program that asks it itself, and its warnings. `mode` is the letter of `${opMode}`.
///
/// # Errors
/// What is wrong in the configuration, in sendmail's words.
pub fn policy_of_cf(
    name: &str,
    text: &[u8],
    arguments: &[edges::Argument],
    mode: &[u8],
) -> Result<(Box<dyn policy::Policy>, String), String> {
    let given = policy_cf::Given {
        facts: host_facts(mode),
        settings: tables::cf_settings(arguments),
        is_root: true,
        ..policy_cf::Given::default()
    };
    let (policy, warnings) = engines::open(name, text, &given, None, &std::sync::Arc::default())?;
    Ok((Box::new(policy), warnings))
}

/// Now, as the Date field writes it.
#[must_use]
pub fn now() -> wire::date::Date {
    date::now()
}

/// A moment as `mailq` shows it, in local time.
#[must_use]
pub fn listing_time(unix_s: u64) -> String {
    date::listing(unix_s)
}

/// A moment as C's `ctime` writes it, in local time.
#[must_use]
pub fn statistics_time(unix_s: u64) -> String {
    date::ctime(unix_s)
}

/// A path as octets.
fn path_octets(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// Octets as a path.
fn path_of(octets: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(octets))
}
