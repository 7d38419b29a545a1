//! Holds the project to what its documents promise: floors, purity, lengths, names, documents.
//!
//! Each rule is a function that adds findings; all findings are printed, not only the first.

mod floors;
mod sources;

use anyhow::{Result, bail};
use std::path::Path;

/// Something that is not as promised: where, and what to do.
pub(crate) struct Finding(String);

/// Checks the whole project.
///
/// # Errors
/// There are findings (printed), or a file can't be read.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut findings = Vec::new();
    floors::check(root, &mut findings)?;
    sources::check(root, &mut findings)?;
    for Finding(text) in &findings {
        eprintln!("tidy: {text}");
    }
    if !findings.is_empty() {
        bail!("{} findings", findings.len());
    }
    println!("tidy: all as promised");
    Ok(())
}
