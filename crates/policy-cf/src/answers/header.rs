//! The header of a message: the rule sets of H lines (`H*: $>check`, `HSubject: $>+check`), then check_eoh.

use super::check::{self, clean};
use super::moment::decimal;
use crate::machine::{Machine, ScanTable};
use alloc::vec::Vec;
use policy::Verdict;

/// Octets of a value that a rule set is given, and that a log line shows.
const VALUE_BYTES_MAX: usize = 1024;

/// Judges a header with its fields and octets counted; `None`: nothing against it.
pub fn judge(
    machine: &mut Machine<'_>,
    fields: u32,
    size_bytes: u64,
    header: &[u8],
) -> Option<Verdict> {
    let mut mark = None;
    if machine.config.headers.iter().any(|header| header.is_check) {
        for field in split(header) {
            match one(machine, &field) {
                Some(refusal @ Verdict::Refuse(_)) => return Some(refusal),
                Some(other) => mark = Some(other),
                None => {}
            }
        }
    }
    let (fields, size) = (decimal(fields), decimal(size_bytes));
    let outcome = check::run(machine, b"check_eoh", &fields, Some(&size), b"");
    outcome.verdict(b"check_eoh").or(mark)
}

/// A field: its name, and its value with folding taken out and the leading blank kept.
struct Field {
    name: Vec<u8>,
    value: Vec<u8>,
}

fn split(header: &[u8]) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    for line in header.split(|octet| *octet == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if matches!(line, [b' ' | b'\t', ..]) {
            if let Some(last) = fields.last_mut() {
                last.value.extend_from_slice(line);
            }
            continue;
        }
        let Some(colon) = line.iter().position(|octet| *octet == b':') else { continue };
        let (name, value) = line.split_at_checked(colon).unwrap_or((line, b""));
        fields.push(Field {
            name: name.trim_ascii_end().to_vec(),
            value: value.get(1..).unwrap_or_default().to_vec(),
        });
    }
    fields
}

fn one(machine: &mut Machine<'_>, field: &Field) -> Option<Verdict> {
    let headers = &machine.config.headers;
    let is_it = |name: &[u8]| name.eq_ignore_ascii_case(&field.name);
    let own = headers.iter().find(|header| is_it(&header.name));
    let found = own.or_else(|| headers.iter().find(|header| header.name == b"*"));
    let rule = found.filter(|header| header.is_check)?;
    let (set, keeps_comments) = (rule.value.clone(), rule.keeps_comments);
    let value = field.value.get(..VALUE_BYTES_MAX).unwrap_or(&field.value);
    let value = clean(value);
    let macros = &mut machine.config.macros;
    macros.set_named(b"hdr_name", &clean(&field.name));
    macros.set_named(b"hdrlen", &decimal(u64::try_from(field.value.len()).unwrap_or(u64::MAX)));
    macros.set_named(b"currHeader", &value);
    let table = if keeps_comments { ScanTable::NoComments } else { ScanTable::Outside };
    let number = machine.config.sets.find(&set).number?;
    let verdict = check::run_set(machine, number, &set, &value, b"", table).verdict(&set)?;
    let subject = Some(value.into());
    Some(match verdict {
        Verdict::Refuse(refusal) => Verdict::Refuse(policy::Refusal { subject, ..refusal }),
        Verdict::Discard { by, .. } => Verdict::Discard { by, subject },
        Verdict::Quarantine { reason, by, .. } => Verdict::Quarantine { reason, by, subject },
        Verdict::Accept(acceptance) => Verdict::Accept(acceptance),
    })
}
