//! What a command reads and writes, so that commands are plain functions.

use std::io::{BufRead, Write};

/// The three streams of a command. A reader that went away is no error.
pub struct Terminal<'a> {
    /// Standard input.
    pub input: &'a mut dyn BufRead,
    /// Standard output.
    pub output: &'a mut dyn Write,
    /// Standard error.
    pub error: &'a mut dyn Write,
}

impl std::fmt::Debug for Terminal<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").finish_non_exhaustive()
    }
}

impl Terminal<'_> {
    pub(crate) fn say(&mut self, parts: &[&[u8]]) {
        drop(self.output.write_all(&parts.concat()));
    }

    pub(crate) fn complain(&mut self, parts: &[&[u8]]) {
        drop(self.error.write_all(&parts.concat()));
    }
}

/// Exit codes of sysexits.h, as the map commands use them.
pub(crate) mod exit {
    pub(crate) const OK: u8 = 0;
    pub(crate) const USAGE: u8 = 64;
    pub(crate) const DATAERR: u8 = 65;
    pub(crate) const NOINPUT: u8 = 66;
    pub(crate) const UNAVAILABLE: u8 = 69;
    pub(crate) const CANTCREAT: u8 = 73;
    pub(crate) const IOERR: u8 = 74;
}
