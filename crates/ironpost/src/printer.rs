//! The one place that writes to a user's terminal.

use std::io::{Stderr, Stdout, Write};
use std::process::ExitCode;

/// Writes to standard output and standard error. A reader that went away is no error of ours.
#[derive(Debug)]
pub(crate) struct Printer {
    out: Stdout,
    error: Stderr,
}

impl Default for Printer {
    fn default() -> Self {
        Self { out: std::io::stdout(), error: std::io::stderr() }
    }
}

impl Printer {
    /// A line on standard output.
    pub(crate) fn line(&mut self, text: &str) {
        drop(writeln!(self.out, "{text}"));
    }

    /// Octets on standard output, at once.
    pub(crate) fn octets(&mut self, octets: &[u8]) {
        let written = self.out.write_all(octets);
        drop(written.and_then(|()| self.out.flush()));
    }

    /// A line on standard error.
    pub(crate) fn complain(&mut self, text: &str) {
        drop(writeln!(self.error, "{text}"));
    }

    /// Says why a command failed.
    pub(crate) fn fail(&mut self, name: &str, why: &str, code: u8) -> ExitCode {
        self.complain(&format!("{name}: {why}"));
        ExitCode::from(code)
    }

    /// Help, version, or wrong flags.
    pub(crate) fn usage(&mut self, error: &clap::Error) -> ExitCode {
        let text = error.to_string();
        if error.use_stderr() {
            self.complain(text.trim_end());
            return ExitCode::from(crate::exit::USAGE);
        }
        self.line(text.trim_end());
        ExitCode::SUCCESS
    }
}
