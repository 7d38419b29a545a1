//! `ironpost check` of a sendmail.cf: what sendmail says of it, then what we see in it.

use super::finding::{Finding, Level, Place};
use super::{files, lines, rules};
use crate::exit;
use crate::explain::source;
use crate::flags::CheckFlags;
use crate::mailq::quoted;
use crate::printer::Printer;
use policy_cf::machine::Machine;
use std::ffi::OsStr;
use std::fmt::Write;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use wire::escape;

/// Reads it, looks at it, says it.
pub(super) fn run(flags: &CheckFlags, file: &[u8], printer: &mut Printer) -> ExitCode {
    let name = flags.config.as_os_str().as_bytes();
    let mut outside = maps::Outside::new(maps::Places::default());
    let mut machine = Machine::new(policy_cf::Config::default(), &mut outside);
    let facts = daemon::host_facts(b"d");
    let source = source::read(&mut machine, name, file, &facts);
    let is_refused = machine.is_over || machine.status != policy_cf::machine::exit::OK;
    let said = std::mem::take(&mut machine.out);
    let mut findings = Vec::new();
    lines::check(&mut machine, file, &mut findings);
    rules::check(&machine, &source, &mut findings);
    files::check(&machine, name, file, &mut findings);
    limits(&machine, &mut findings);
    findings.sort_by_key(|finding| (finding.level == Level::Note, finding.place));
    findings.dedup();
    if flags.json {
        printer.line(&json(name, is_refused, &said, &findings));
    } else {
        text(flags, name, is_refused, &said, &findings, printer);
    }
    if is_refused { ExitCode::from(exit::CONFIG) } else { ExitCode::SUCCESS }
}

/// Limits that a server on the Internet should have.
fn limits(machine: &Machine<'_>, findings: &mut Vec<Finding>) {
    for (option, danger, value) in [
        ("MaxMessageSize", "one message may fill the disk", "50000000"),
        ("MaxRecipientsPerMessage", "one message may have any number of recipients", "100"),
    ] {
        let value_set = machine.config.options.values.get(option);
        let limit = value_set.map_or(0, |value| policy_cf::read::values::number(value));
        if limit <= 0 {
            let what = format!("there is no limit: {danger}");
            let hint = format!("O {option}={value}");
            findings.push(Finding::at(Level::Note, Place::default(), what, &hint));
        }
    }
}

fn text(
    flags: &CheckFlags,
    name: &[u8],
    is_refused: bool,
    said: &[u8],
    findings: &[Finding],
    printer: &mut Printer,
) {
    let wants_none = std::env::var_os("NO_COLOR").is_some_and(|value| value != OsStr::new(""));
    let is_coloured = std::io::stdout().is_terminal() && !wants_none;
    let mut out = String::new();
    for line in said.split(|octet| *octet == b'\n').filter(|line| !line.is_empty()) {
        out.push_str(&escape::text(line).to_string());
        out.push('\n');
    }
    for finding in findings.iter().filter(|one| flags.verbose || one.level != Level::Note) {
        out.push_str(&finding.text(name, is_coloured));
    }
    let count = |level: Level| findings.iter().filter(|finding| finding.level == level).count();
    out.push_str(&escape::text(name).to_string());
    out.push_str(if is_refused { ": sendmail would not start with it" } else { ": right" });
    for level in [Level::Error, Level::Warning, Level::Note] {
        match count(level) {
            0 => {}
            // Writing into a string does not fail.
            1 => write!(out, ", 1 {}", level.word()).unwrap_or_default(),
            more => write!(out, ", {more} {}s", level.word()).unwrap_or_default(),
        }
    }
    if count(Level::Note) > 0 && !flags.verbose {
        out.push_str(" (shown with --verbose)");
    }
    printer.line(&out);
}

fn json(name: &[u8], is_refused: bool, said: &[u8], findings: &[Finding]) -> String {
    let said: Vec<String> =
        said.split(|octet| *octet == b'\n').filter(|line| !line.is_empty()).map(quoted).collect();
    let findings: Vec<String> = findings.iter().map(Finding::json).collect();
    format!(
        r#"{{"config":{},"refused":{is_refused},"said":[{}],"findings":[{}]}}"#,
        quoted(name),
        said.join(","),
        findings.join(",")
    )
}
