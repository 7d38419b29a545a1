//! The one place that writes to a user's terminal.

use std::io::Write;
use std::process::ExitCode;

/// Writes to standard output and standard error. A reader that went away is no error of ours.
#[derive(Debug, Default)]
pub(crate) struct Printer;

impl Printer {
    /// A line on standard output.
    pub(crate) fn line(&mut self, text: &str) {
        drop(writeln!(std::io::stdout().lock(), "{text}"));
    }

    /// Octets on standard output, at once.
    pub(crate) fn octets(&mut self, octets: &[u8]) {
        let mut out = std::io::stdout().lock();
        drop(out.write_all(octets).and_then(|()| out.flush()));
    }

    /// A line on standard error.
    pub(crate) fn complain(&mut self, text: &str) {
        drop(writeln!(std::io::stderr().lock(), "{text}"));
    }

    /// Says why a command failed.
    pub(crate) fn fail(&mut self, name: &str, why: &str, code: u8) -> ExitCode {
        self.complain(&format!("{name}: {why}"));
        ExitCode::from(code)
    }

    /// Help, version, or wrong flags.
    pub(crate) fn usage(&mut self, error: &clap::Error) -> ExitCode {
        drop(error.print());
        if error.use_stderr() { ExitCode::from(crate::exit::USAGE) } else { ExitCode::SUCCESS }
    }
}
