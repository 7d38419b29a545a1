//! A field of addresses: each rewritten for the mailer, all written again with commas and folded as sendmail folds them.

use super::Work;
use super::fields::unquoted;
use crate::crack::crack;
use crate::machine::{Machine, ScanTable};
use crate::resolve::{Manner, Side};
use crate::token::meta;
use alloc::vec::Vec;

/// The longest line of addresses, its comma apart.
const LINE_OCTETS_MAX: usize = 78;
/// What a folded line begins with.
const INDENT: &[u8] = b"        ";
/// Addresses of one header that are rewritten: rules take time.
const ADDRESSES_MAX: usize = 1000;

/// Octets among which the end of a name is looked for.
const NAME_OCTETS_MAX: usize = 4096;

/// How much of a header may still be rewritten.
#[derive(Debug)]
pub(super) struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(ADDRESSES_MAX)
    }
}

/// A field of addresses.
#[derive(Debug, Clone, Copy)]
pub(super) struct List<'a> {
    pub(super) name: &'a [u8],
    /// Behind the colon, in one line.
    pub(super) value: &'a [u8],
    pub(super) is_sender: bool,
}

/// Writes the field.
pub(super) fn write(
    machine: &mut Machine<'_>,
    work: &Work<'_>,
    list: &List<'_>,
    budget: &mut Budget,
    out: &mut Vec<u8>,
) {
    let blanks = list.value.iter().take_while(|octet| is_blank(**octet)).count();
    out.extend_from_slice(list.name);
    out.push(b':');
    out.extend(core::iter::repeat_n(b' ', blanks.min(LINE_OCTETS_MAX)));
    let mut column = list.name.len().saturating_add(blanks).saturating_add(1);
    let most = line_max(machine, work);
    let mut rest = list.value.get(blanks..).unwrap_or_default();
    let mut is_first = true;
    while let Some((name, behind)) = next(machine, rest, budget) {
        rest = behind;
        let name = rewritten(machine, work, list.is_sender, name, budget);
        if name.is_empty() {
            continue;
        }
        column = column.saturating_add(name.len());
        if !is_first {
            column = column.saturating_add(2);
            if column > most {
                out.extend_from_slice(b",\r\n");
                out.extend_from_slice(INDENT);
                column = INDENT.len().saturating_add(name.len());
            } else {
                out.extend_from_slice(b", ");
            }
        }
        out.extend_from_slice(&name);
        is_first = false;
    }
    out.extend_from_slice(b"\r\n");
}

fn line_max(machine: &Machine<'_>, work: &Work<'_>) -> usize {
    let mailer = machine.config.mailers.get(work.mailer);
    let limit = mailer.and_then(|mailer| usize::try_from(mailer.line_max).ok()).unwrap_or(0);
    match limit.checked_sub(2) {
        Some(most) if most > 0 && most <= LINE_OCTETS_MAX => most,
        Some(_) | None => LINE_OCTETS_MAX,
    }
}

const fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | 0x0b | 0x0c)
}

fn is_gap(octet: u8) -> bool {
    is_blank(octet) || octet == b','
}

/// The next name of a list and what is behind it: up to a comma that stands in no quotes, comments or brackets. All of it,
/// once nothing is rewritten any more.
fn next<'v>(
    machine: &mut Machine<'_>,
    text: &'v [u8],
    budget: &Budget,
) -> Option<(&'v [u8], &'v [u8])> {
    let gap = text.iter().take_while(|octet| is_gap(**octet)).count();
    let text = text.get(gap..).filter(|text| !text.is_empty())?;
    if budget.0 == 0 {
        return Some((text, b""));
    }
    let base = machine.config.arena.len();
    let mut end = 0_usize;
    loop {
        let mut tokens = Vec::new();
        let rest = text.get(end..).unwrap_or_default();
        // Octets that mean something to rules mean nothing here.
        let safe = super::clean(rest.get(..NAME_OCTETS_MAX).unwrap_or(rest));
        let (_, stopped) = machine.scan(&safe, ScanTable::Outside, b',', &mut tokens);
        machine.config.arena.cut(base);
        end = end.saturating_add(stopped).min(text.len());
        let blanks = rest.get(stopped..).unwrap_or_default();
        let blanks = blanks.iter().take_while(|octet| is_blank(**octet)).count();
        let at = end.saturating_add(blanks);
        if stopped == 0 || text.get(at) != Some(&b'@') {
            break;
        }
        // `a, @b:c`: a route that was cut.
        end = at.saturating_add(1);
    }
    super::quiet(machine);
    if end == 0 {
        // No name begins here: up to the next comma all is as it was written.
        end = text.iter().position(|octet| *octet == b',').unwrap_or(text.len()).max(1);
    }
    let (name, rest) = text.split_at_checked(end).unwrap_or((text, b""));
    let blanks = name.iter().rev().take_while(|octet| is_gap(**octet)).count();
    Some((name.get(..name.len().saturating_sub(blanks)).unwrap_or(name), rest))
}

/// A name as the mailer's hosts are told it.
fn rewritten(
    machine: &mut Machine<'_>,
    work: &Work<'_>,
    is_sender: bool,
    name: &[u8],
    budget: &mut Budget,
) -> Vec<u8> {
    let Some(left) = budget.0.checked_sub(1) else { return name.to_vec() };
    budget.0 = left;
    let side = Side { is_sender, is_header: true };
    let safe = super::clean(name);
    let is_odd = safe != name;
    let template = is_odd.then(|| crack(&quoted(name), &machine.config.options));
    let manner = Manner { domain: work.domain.as_deref(), template, ..Manner::default() };
    let (text, _a_map_that_cannot_say_changes_nothing) =
        machine.remote_name_as(&safe, work.mailer, side, manner);
    super::quiet(machine);
    let text: Vec<u8> = unquoted(&text).filter(|octet| !matches!(octet, b'\r' | b'\n')).collect();
    let marks = |text: &[u8]| text.split(|octet| *octet == b'?').count();
    // Octets that rules can't bear stood in the address itself, not in a name or comment beside it.
    if is_odd && marks(&text) != marks(name) { name.to_vec() } else { text }
}

/// With a mark before each octet that would mean something to rules.
fn quoted(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for octet in text {
        if matches!(octet, 0x80..=0x9f | 0xff) {
            out.push(meta::QUOTE);
        }
        out.push(*octet);
    }
    out
}
