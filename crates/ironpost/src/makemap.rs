//! `makemap`, as `maps::makemap` has it.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

/// Carries it out; `name` is what it was called by.
pub(crate) fn run(name: &OsStr, words: &[OsString]) -> ExitCode {
    let (mut input, mut error) = (io::stdin().lock(), io::stderr().lock());
    let mut output = BufWriter::new(io::stdout().lock());
    let mut terminal = maps::Terminal { input: &mut input, output: &mut output, error: &mut error };
    let code = maps::makemap::run(name, words, &mut terminal);
    drop(output.flush());
    ExitCode::from(code)
}
