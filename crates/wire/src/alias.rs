//! Alias files (aliases(5)): `name: member, member`, continued on lines that begin with white space, `#` for comments.
//!
//! A member is an address, `"|program"`, `/file`, `:include:/list` or `error:…`. Wrong entries are reported with their
//! line and skipped; the others stay good, as newaliases does. The same member grammar serves `.forward` and list files.

use alloc::{boxed::Box, vec::Vec};
use core::fmt;

use crate::address;

/// Octets of an entry, its continuations included.
pub const ENTRY_BYTES_MAX: usize = 1024 * 1024;
/// Octets of a name.
pub const NAME_BYTES_MAX: usize = 256;

/// An entry of an alias file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The line on which it begins, from 1.
    pub line: u32,
    /// Its name, without quotes, in lower case (ASCII).
    pub name: Box<[u8]>,
    /// Whom it stands for, in order; may be nobody.
    pub members: Vec<Member>,
}

/// Whom an alias stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    /// An address. A backslash before it is kept: no further alias.
    Address(Box<[u8]>),
    /// `|program and arguments`, without the bar.
    Program(Box<[u8]>),
    /// `/file`.
    File(Box<[u8]>),
    /// `:include:/list`, without the word.
    Include(Box<[u8]>),
    /// `error:…`, without the word: mail is refused with it.
    Error(Box<[u8]>),
}

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryFault {
    /// A continuation without an entry before it.
    Orphan,
    /// No colon, or no name before it.
    NoName,
    /// A quote, comment or bracket that does not end.
    Unbalanced,
    /// A member that is none.
    Member,
    /// Above one of the limits.
    TooLong,
}

impl fmt::Display for EntryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Orphan => "continuation line without an entry before it",
            Self::NoName => "missing name or colon",
            Self::Unbalanced => "unbalanced quotes, comments or brackets",
            Self::Member => "not an address, program, file, :include: or error:",
            Self::TooLong => "entry too long",
        })
    }
}

impl core::error::Error for EntryFault {}

/// Goes through the text of an alias file: each entry, or the line and the reason why it is none.
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    rest: &'a [u8],
    line: u32,
}

impl<'a> Entries<'a> {
    /// The entries of a file's text.
    #[must_use]
    pub const fn new(text: &'a [u8]) -> Self {
        Self { rest: text, line: 0 }
    }

    fn line(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', self.rest);
        let taken = end.map_or(self.rest.len(), |at| at.saturating_add(1));
        let (line, rest) = self.rest.split_at_checked(taken)?;
        self.rest = rest;
        self.line = self.line.saturating_add(1);
        Some(line.trim_ascii_end())
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, (u32, EntryFault)>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = loop {
            match self.line()? {
                [] | [b'#', ..] => {}
                line => break line,
            }
        };
        let number = self.line;
        let mut text = first.to_vec();
        while matches!(self.rest, [b' ' | b'\t', ..]) {
            let more = self.line().unwrap_or_default();
            if text.len().saturating_add(more.len()) > ENTRY_BYTES_MAX {
                // Skip the rest of the entry, and report it once.
                while matches!(self.rest, [b' ' | b'\t', ..]) && self.line().is_some() {}
                return Some(Err((number, EntryFault::TooLong)));
            }
            text.extend_from_slice(more);
        }
        if first.starts_with(b" ") || first.starts_with(b"\t") {
            return Some(Err((number, EntryFault::Orphan)));
        }
        Some(entry(number, &text).map_err(|why| (number, why)))
    }
}

fn entry(line: u32, text: &[u8]) -> Result<Entry, EntryFault> {
    let mut is_quoted = false;
    let colon = text.iter().position(|&octet| {
        is_quoted = is_quoted != (octet == b'"');
        octet == b':' && !is_quoted
    });
    let (name, list) = colon.and_then(|at| text.split_at_checked(at)).ok_or(EntryFault::NoName)?;
    let name = unquoted(name.trim_ascii()).ok_or(EntryFault::Unbalanced)?.to_ascii_lowercase();
    if name.is_empty() || name.iter().any(u8::is_ascii_control) {
        return Err(EntryFault::NoName);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(EntryFault::TooLong);
    }
    let members = members(list.strip_prefix(b":").unwrap_or_default())?;
    Ok(Entry { line, name: name.into(), members })
}

/// The members of a list: what stands behind the colon of an alias, or on a line of a list file or `.forward`.
///
/// # Errors
/// [`EntryFault`]: the list cannot be read; no member of it counts.
pub fn members(list: &[u8]) -> Result<Vec<Member>, EntryFault> {
    let mut members = Vec::new();
    let mut rest = list;
    loop {
        let (part, behind) = split_member(rest)?;
        let part = part.trim_ascii();
        if !part.is_empty() {
            member(part, &mut members)?;
        }
        match behind {
            Some(behind) => rest = behind,
            None => return Ok(members),
        }
    }
}

/// The text up to the next comma outside quotes, comments, brackets; what stands behind the comma.
fn split_member(text: &[u8]) -> Result<(&[u8], Option<&[u8]>), EntryFault> {
    let (mut is_quoted, mut is_escaped, mut depth, mut is_angle) = (false, false, 0usize, false);
    for (at, &octet) in text.iter().enumerate() {
        match octet {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' if depth == 0 => is_quoted = !is_quoted,
            _ if is_quoted => {}
            b'(' => depth = depth.saturating_add(1),
            b')' => depth = depth.saturating_sub(1),
            b'<' => is_angle = true,
            b'>' => is_angle = false,
            b',' if depth == 0 && !is_angle => {
                let (part, behind) = text.split_at_checked(at).unwrap_or((text, &[]));
                return Ok((part, behind.strip_prefix(b",")));
            }
            _ => {}
        }
    }
    if is_quoted || depth > 0 || is_angle {
        return Err(EntryFault::Unbalanced);
    }
    Ok((text, None))
}

fn member(part: &[u8], members: &mut Vec<Member>) -> Result<(), EntryFault> {
    let plain = unquoted(part).ok_or(EntryFault::Unbalanced)?;
    let plain = plain.trim_ascii();
    let starts = |word: &[u8]| {
        let found = plain.split_at_checked(word.len());
        found
            .filter(|(start, _)| start.eq_ignore_ascii_case(word))
            .map(|(_, rest)| rest.trim_ascii())
    };
    if plain.iter().any(|octet| octet.is_ascii_control() && *octet != b'\t') {
        return Err(EntryFault::Member);
    }
    let special = if let Some(program) = plain.strip_prefix(b"|") {
        Member::Program(program.trim_ascii().into())
    } else if plain.starts_with(b"/") && !is_address(plain) {
        Member::File(plain.into())
    } else if let Some(list) = starts(b":include:") {
        Member::Include(list.into())
    } else if let Some(text) = starts(b"error:") {
        Member::Error(text.into())
    } else {
        let found = address::list(part).map_err(|_| EntryFault::Member)?;
        members.extend(found.into_iter().map(Member::Address));
        return Ok(());
    };
    let is_empty = match &special {
        Member::Address(text)
        | Member::Program(text)
        | Member::File(text)
        | Member::Include(text) => text.is_empty(),
        Member::Error(_) => false,
    };
    if is_empty {
        return Err(EntryFault::Member);
    }
    members.push(special);
    Ok(())
}

/// Whether what begins with a slash is an address (`/o=x/@gateway.test`, of X.400) and not a file.
fn is_address(text: &[u8]) -> bool {
    text.contains(&b'@') && text.contains(&b'=')
}

/// Without the quotes around all of it, and without backslashes before quotes and backslashes then.
fn unquoted(text: &[u8]) -> Option<Vec<u8>> {
    let [b'"', inner @ ..] = text else {
        return Some(text.to_vec());
    };
    let mut out = Vec::with_capacity(inner.len());
    let mut octets = inner.iter();
    while let Some(&octet) = octets.next() {
        match octet {
            b'\\' => {
                let &escaped = octets.next()?;
                if !matches!(escaped, b'"' | b'\\') {
                    out.push(b'\\');
                }
                out.push(escaped);
            }
            // More behind the closing quote: a quoted local part, not a quoted whole.
            b'"' => return Some(if octets.as_slice().is_empty() { out } else { text.to_vec() }),
            octet => out.push(octet),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<Result<Entry, (u32, EntryFault)>> {
        Entries::new(text.as_bytes()).collect()
    }

    fn only(text: &str) -> Vec<Member> {
        members(text.as_bytes()).unwrap()
    }

    fn address(text: &str) -> Member {
        Member::Address(text.as_bytes().into())
    }

    #[test]
    fn an_alias_file_is_read_with_its_line_numbers() {
        let text = "# comment\n\nPostmaster: root\nstaff: alice,\n\tbob@b.test,\n  carol\n\"odd name\": dave\nempty:\n";
        let entries: Vec<Entry> = read(text).into_iter().map(Result::unwrap).collect();
        let shown: Vec<(u32, &[u8], usize)> =
            entries.iter().map(|entry| (entry.line, &*entry.name, entry.members.len())).collect();
        assert_eq!(
            shown,
            [(3, &b"postmaster"[..], 1), (4, b"staff", 3), (7, b"odd name", 1), (8, b"empty", 0)]
        );
    }

    #[test]
    fn members_are_what_they_look_like() {
        assert_eq!(only("alice"), [address("alice")]);
        assert_eq!(only("\\alice, Bob <bob@b.test>"), [address("\\alice"), address("bob@b.test")]);
        assert_eq!(
            only("\"|/bin/x -a, \\\"b\\\"\""),
            [Member::Program(b"/bin/x -a, \"b\""[..].into())]
        );
        assert_eq!(only("|/bin/x"), [Member::Program(b"/bin/x"[..].into())]);
        assert_eq!(
            only("/var/mail/a, \"/b c\""),
            [Member::File(b"/var/mail/a"[..].into()), Member::File(b"/b c"[..].into())]
        );
        assert_eq!(
            only(":include:/etc/l, :INCLUDE: /m"),
            [Member::Include(b"/etc/l"[..].into()), Member::Include(b"/m"[..].into())]
        );
        assert_eq!(only("\"error:5.1.1:550 gone\""), [Member::Error(b"5.1.1:550 gone"[..].into())]);
        assert_eq!(only("\"a b\"@c.test"), [address("\"a b\"@c.test")]);
        assert_eq!(only("/o=x/s=y/@gw.test"), [address("/o=x/s=y/@gw.test")]);
        assert_eq!(only(""), []);
    }

    #[test]
    fn a_wrong_entry_costs_only_itself() {
        let faults: Vec<_> = read(" orphan\nno colon\na: \"b\n: x\nb: |\ngood: x\nc: <d\n")
            .into_iter()
            .map(|entry| entry.map(|entry| entry.line))
            .collect();
        assert_eq!(
            faults,
            [
                Err((1, EntryFault::Orphan)),
                Err((2, EntryFault::NoName)),
                Err((3, EntryFault::Unbalanced)),
                Err((4, EntryFault::NoName)),
                Err((5, EntryFault::Member)),
                Ok(6),
                Err((7, EntryFault::Unbalanced)),
            ]
        );
    }

    #[test]
    fn an_endless_entry_is_reported_once() {
        let mut text = b"a: b,\n".to_vec();
        for _ in 0..40_000 {
            text.extend_from_slice(b"\tsomebody-else@example.test,\n");
        }
        text.extend_from_slice(b"c: d\n");
        let read: Vec<_> = Entries::new(&text).map(|entry| entry.map(|entry| entry.line)).collect();
        assert_eq!(read, [Err((1, EntryFault::TooLong)), Ok(40_002)]);
    }

    proptest! {
        #[test]
        fn any_text_is_entries_and_faults(text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b':'), Just(b','), Just(b'"'), Just(b'\\'), Just(b' '), Just(b'('), Just(b'<'), Just(b'>'), Just(b'|'), Just(b'/'), Just(b'a'), any::<u8>()], 0..120)) {
            let lines = text.split(|&octet| octet == b'\n').count();
            prop_assert!(Entries::new(&text).count() <= lines);
        }
    }
}
