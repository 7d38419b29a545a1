//! The map commands by themselves: chosen by the name of the program, or by the first argument.
#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use maps::Terminal;

fn main() -> ExitCode {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    let mut called = if words.is_empty() { OsString::new() } else { words.remove(0) };
    if base(&called) == "maptools" && !words.is_empty() {
        called = words.remove(0);
    }
    let mut input = io::stdin().lock();
    let mut output = BufWriter::new(io::stdout().lock());
    let mut error = io::stderr().lock();
    let mut terminal = Terminal { input: &mut input, output: &mut output, error: &mut error };
    let code = match base(&called) {
        "makemap" => maps::makemap::run(&called, &words, &mut terminal),
        "editmap" => maps::editmap::run(&called, &words, &mut terminal),
        "praliases" => maps::praliases::run(&called, &words, &mut terminal),
        _ => 64,
    };
    drop(output.flush());
    ExitCode::from(code)
}

fn base(path: &OsStr) -> &str {
    Path::new(path).file_name().and_then(OsStr::to_str).unwrap_or_default()
}
