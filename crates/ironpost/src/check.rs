//! `ironpost check`: says whether a configuration is right, and what is risky in it.

use crate::exit;
use crate::flags::CheckFlags;
use crate::printer::Printer;
use std::io::IsTerminal;
use std::process::ExitCode;

/// Reads the file as `serve` would.
pub(crate) fn run(flags: &CheckFlags, printer: &mut Printer) -> ExitCode {
    let name = flags.config.display().to_string();
    let text = match std::fs::read(&flags.config) {
        Ok(text) => text,
        Err(error) => {
            return printer.fail("ironpost check", &format!("{name}: {error}"), exit::CONFIG);
        }
    };
    let color = std::io::stderr().is_terminal();
    match daemon::check(&name, &text, color) {
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
