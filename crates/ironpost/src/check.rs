//! `ironpost check`: says whether a configuration is right, and what is risky in it.

mod cf;
mod files;
mod finding;
mod lines;
mod rules;

use crate::exit;
use crate::explain::source::{self, Language};
use crate::flags::CheckFlags;
use crate::printer::Printer;
use std::io::{IsTerminal, Read};
use std::process::ExitCode;

/// Reads the file as `serve` would.
pub(crate) fn run(flags: &CheckFlags, printer: &mut Printer) -> ExitCode {
    let name = flags.config.display().to_string();
    let limit = u64::try_from(policy_cf::load::FILE_OCTETS_MAX).unwrap_or(u64::MAX);
    let mut text = Vec::new();
    let opened = std::fs::File::open(&flags.config);
    if let Err(error) = opened.and_then(|file| file.take(limit).read_to_end(&mut text)) {
        return printer.fail("ironpost check", &format!("{name}: {error}"), exit::CONFIG);
    }
    match source::language(&text) {
        Language::Cf => cf::run(flags, &text, printer),
        Language::Toml => toml(&name, &text, printer),
    }
}

fn toml(name: &str, text: &[u8], printer: &mut Printer) -> ExitCode {
    let color = std::io::stderr().is_terminal();
    match daemon::check(name, text, color) {
        Ok(warnings) => {
            if !warnings.is_empty() {
                printer.complain(&warnings);
            }
            printer.line(&format!("{name}: right"));
            ExitCode::SUCCESS
        }
        Err(problems) => {
            printer.complain(&problems);
            ExitCode::from(exit::CONFIG)
        }
    }
}
