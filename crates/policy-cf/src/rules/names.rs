//! Names and numbers of rule sets: `S3`, `Sname`, `Sname=3` (manual, section 5.1).

use super::{NUMBERED_SETS_MAX, RULE_SETS_MAX, decimal};
use crate::read::chars::trim_start;
use crate::token::fold_hash;
use alloc::vec::Vec;

/// What the name of a rule set gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetFound {
    /// Its number.
    pub number: Option<usize>,
    /// What sendmail says about the name.
    pub complaint: Option<Vec<u8>>,
}

impl SetFound {
    const fn of(number: Option<usize>) -> Self {
        Self { number, complaint: None }
    }

    fn complaint(parts: &[&[u8]]) -> Self {
        Self { number: None, complaint: Some(parts.concat()) }
    }
}

/// One name that was seen, whether it got a number or not.
#[derive(Debug, Clone)]
struct Entry {
    name: Vec<u8>,
    number: Option<usize>,
}

/// Which name has which number. Letters of either case are equal.
#[derive(Debug, Clone)]
pub(super) struct SetNames {
    /// Names as written last, by number.
    written: Vec<Option<Vec<u8>>>,
    /// Hashes of the names in lower case, in order.
    hashes: Vec<u32>,
    /// In the order of the hashes.
    entries: Vec<Entry>,
    /// By the last eight bits of a hash: where one of those entries stands.
    likely: [u8; 256],
    /// The number given out last; names count down.
    next: usize,
}

impl Default for SetNames {
    fn default() -> Self {
        let written = alloc::vec![None; RULE_SETS_MAX];
        Self {
            written,
            hashes: Vec::new(),
            entries: Vec::new(),
            likely: [0; 256],
            next: RULE_SETS_MAX,
        }
    }
}

impl SetNames {
    /// The name of a number, if it has one.
    pub(super) fn of(&self, number: usize) -> Option<&[u8]> {
        self.written.get(number).and_then(Option::as_deref)
    }

    /// Finds a set by its name and the hash of that; `None`: see [`SetNames::find`].
    pub(super) fn quick(&self, name: &[u8], hash: u32) -> Option<usize> {
        let likely = self.likely.get(usize::from(slot(hash))).copied().map_or(0, usize::from);
        let is_it = self.hashes.get(likely) == Some(&hash);
        let entry = self.entries.get(likely).filter(|_| is_it);
        if let Some(entry) = entry.filter(|entry| entry.name.eq_ignore_ascii_case(name)) {
            return entry.number;
        }
        self.entries.get(self.place(name, hash).ok()?)?.number
    }

    /// Finds a set by name or number.
    pub(super) fn find(&self, text: &[u8]) -> SetFound {
        let text = trim_start(text);
        if text.first().is_some_and(u8::is_ascii_digit) {
            return numbered(text);
        }
        match read_name(text) {
            Err(complaint) => complaint,
            Ok((name, _)) => SetFound::of(self.number(name)),
        }
    }

    /// Finds a set by name or number, and makes it if there is none.
    pub(super) fn enter(&mut self, text: &[u8]) -> SetFound {
        let text = trim_start(text);
        if text.first().is_some_and(u8::is_ascii_digit) {
            return numbered(text);
        }
        let (name, rest) = match read_name(text) {
            Err(complaint) => return complaint,
            Ok(found) => found,
        };
        let known = self.number(name);
        let mut found = match trim_start(rest).split_first() {
            Some((b'=', value)) => equated(text, name, trim_start(value)),
            _ if known.is_some() => SetFound::of(known),
            _ => self.next(name),
        };
        if let (Some(old), Some(new)) = (known, found.number)
            && old != new
        {
            let (before, after) = (decimal(old), decimal(new));
            let changed = b": ruleset changed value (old ";
            found = SetFound::complaint(&[name, changed, &before, b", new ", &after, b")"]);
            found.number = known;
        }
        self.keep(name, found.number.or(known));
        if let Some(place) = found.number.and_then(|number| self.written.get_mut(number)) {
            *place = Some(name.to_vec());
        }
        found
    }

    fn place(&self, name: &[u8], hash: u32) -> Result<usize, usize> {
        let mut at = self.hashes.partition_point(|known| *known < hash);
        while self.hashes.get(at) == Some(&hash) {
            if self.entries.get(at).is_some_and(|entry| entry.name.eq_ignore_ascii_case(name)) {
                return Ok(at);
            }
            at = at.saturating_add(1);
        }
        Err(at)
    }

    fn number(&self, name: &[u8]) -> Option<usize> {
        let place = self.place(name, fold_hash(name)).ok()?;
        self.entries.get(place)?.number
    }

    fn keep(&mut self, name: &[u8], number: Option<usize>) {
        let hash = fold_hash(name);
        match self.place(name, hash) {
            Ok(at) => {
                if let Some(entry) = self.entries.get_mut(at) {
                    entry.number = number;
                }
            }
            Err(at) => {
                self.hashes.insert(at, hash);
                self.entries.insert(at, Entry { name: name.to_vec(), number });
                for (at, hash) in self.hashes.iter().enumerate() {
                    if let Some(place) = self.likely.get_mut(usize::from(slot(*hash))) {
                        *place = u8::try_from(at).unwrap_or(0);
                    }
                }
            }
        }
    }

    /// The next free number, for a new name.
    fn next(&mut self, name: &[u8]) -> SetFound {
        self.next = self.next.saturating_sub(1);
        if self.next < NUMBERED_SETS_MAX {
            return SetFound::complaint(&[name, b": too many named rulesets (100 max)"]);
        }
        SetFound::of(Some(self.next))
    }
}

const fn slot(hash: u32) -> u8 {
    hash.to_le_bytes()[0]
}

/// `name=value`.
fn equated(text: &[u8], name: &[u8], value: &[u8]) -> SetFound {
    if !value.first().is_some_and(u8::is_ascii_digit) {
        let why = b"\" (number required after `=')";
        return SetFound::complaint(&[b"bad ruleset definition \"", text, why]);
    }
    let wanted = leading_number(value);
    if wanted >= NUMBERED_SETS_MAX {
        let (number, behind) = (decimal(wanted), b"\" (100 max)");
        return SetFound::complaint(&[b"bad ruleset number ", &number, b" in \"", name, behind]);
    }
    SetFound::of(Some(wanted))
}

fn numbered(text: &[u8]) -> SetFound {
    let number = leading_number(text);
    if number >= NUMBERED_SETS_MAX {
        return SetFound::complaint(&[b"bad ruleset ", &decimal(number), b" (100 max)"]);
    }
    SetFound::of(Some(number))
}

fn read_name(text: &[u8]) -> Result<(&[u8], &[u8]), SetFound> {
    let length = text.iter().take_while(|octet| octet.is_ascii_alphanumeric() || **octet == b'_');
    let length = length.count();
    match text.split_at_checked(length) {
        Some((name, rest)) if name.first().is_some_and(u8::is_ascii_alphabetic) => Ok((name, rest)),
        _ => {
            let shown = text.get(..20).unwrap_or(text);
            Err(SetFound::complaint(&[b"invalid ruleset name: \"", shown, b"\""]))
        }
    }
}

fn leading_number(text: &[u8]) -> usize {
    text.iter().take_while(|octet| octet.is_ascii_digit()).fold(0_usize, |number, digit| {
        number.saturating_mul(10).saturating_add(usize::from(digit.wrapping_sub(b'0')))
    })
}
