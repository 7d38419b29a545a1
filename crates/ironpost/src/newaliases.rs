//! `newaliases` and `sendmail -bi`, as `maps::newaliases` has it.

use crate::configured;
use std::ffi::OsString;
use std::process::ExitCode;

/// Carries it out.
pub(crate) fn run(words: &[OsString]) -> ExitCode {
    ExitCode::from(configured::with(words, b'i', |run| match run.settle() {
        Ok(()) => {
            run.tell();
            maps::newaliases::run(&mut run.machine)
        }
        Err(status) => status,
    }))
}
