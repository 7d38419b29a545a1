//! Lists of addresses in header fields (RFC 5322, 3.4), as `sendmail -t` reads To, Cc and Bcc.
//!
//! One pass, no recursion: comments nest by a counter with a limit. Groups give their members, display names are dropped,
//! source routes too. A quirk of old (sendmail's OldStyleHeaders): addresses with only spaces between them.

use alloc::{boxed::Box, vec::Vec};
use core::fmt;

/// How deep comments may nest.
pub const COMMENT_DEPTH_MAX: usize = 32;
/// Addresses of one list.
pub const LIST_ADDRESSES_MAX: usize = 10_000;
/// Octets of one address, quotes and all.
pub const ADDRESS_BYTES_MAX: usize = 1024;

/// Why a list cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListFault {
    /// A quote, a comment, a bracket or a group without its end, or an end without its beginning.
    Unbalanced,
    /// A control character.
    Character,
    /// Something behind an address in brackets.
    Junk,
    /// Above one of the limits.
    TooMuch,
}

impl fmt::Display for ListFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unbalanced => "unbalanced quotes, comments or brackets",
            Self::Character => "control character in an address",
            Self::Junk => "something behind an address",
            Self::TooMuch => "too many or too long addresses",
        })
    }
}

impl core::error::Error for ListFault {}

/// The addresses of a field's value, folded or not, without brackets.
///
/// # Errors
/// [`ListFault`].
pub fn list(value: &[u8]) -> Result<Vec<Box<[u8]>>, ListFault> {
    let mut reader = Reader::default();
    for &octet in value {
        reader.take(octet)?;
    }
    reader.finish()
}

#[derive(Debug, Default)]
struct Reader {
    found: Vec<Box<[u8]>>,
    /// What stands outside brackets; of white space one space is kept.
    plain: Vec<u8>,
    /// What stands inside brackets, once there are some.
    angle: Vec<u8>,
    place: Place,
    inside: Inside,
    is_escaped: bool,
    is_in_literal: bool,
    is_in_group: bool,
}

/// Where we are in an address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    /// Before any bracket.
    #[default]
    Plain,
    /// Behind `<`.
    Angle,
    /// Behind `>`.
    Behind,
}

/// What text means there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Inside {
    #[default]
    Words,
    Quotes,
    /// How deep.
    Comment(usize),
}

impl Reader {
    fn take(&mut self, octet: u8) -> Result<(), ListFault> {
        let octet = if matches!(octet, b'\t' | b'\r' | b'\n') { b' ' } else { octet };
        if octet.is_ascii_control() {
            return Err(ListFault::Character);
        }
        if self.is_escaped || octet == b'\\' {
            let result = match self.inside {
                Inside::Comment(_) => Ok(()),
                Inside::Words | Inside::Quotes => self.put(octet),
            };
            self.is_escaped = !self.is_escaped;
            return result;
        }
        match self.inside {
            Inside::Comment(depth) => self.comment(octet, depth),
            Inside::Quotes => {
                if octet == b'"' {
                    self.inside = Inside::Words;
                }
                self.put(octet)
            }
            Inside::Words => self.word(octet),
        }
    }

    fn comment(&mut self, octet: u8, depth: usize) -> Result<(), ListFault> {
        self.inside = match (octet, depth) {
            (b'(', COMMENT_DEPTH_MAX..) => return Err(ListFault::TooMuch),
            (b'(', depth) => Inside::Comment(depth.saturating_add(1)),
            (b')', 0 | 1) => Inside::Words,
            (b')', depth) => Inside::Comment(depth.saturating_sub(1)),
            (_, depth) => Inside::Comment(depth),
        };
        Ok(())
    }

    fn word(&mut self, octet: u8) -> Result<(), ListFault> {
        match (octet, self.place) {
            (b'(', _) => {
                self.inside = Inside::Comment(1);
                Ok(())
            }
            (b')', _) => Err(ListFault::Unbalanced),
            (b'"', _) => {
                self.inside = Inside::Quotes;
                self.put(octet)
            }
            (b'[' | b']', _) => {
                self.is_in_literal = octet == b'[';
                self.put(octet)
            }
            (b'>', Place::Angle) => {
                self.place = Place::Behind;
                Ok(())
            }
            (_, Place::Angle) => self.put(octet),
            (b'<', Place::Plain) => {
                self.place = Place::Angle;
                Ok(())
            }
            (b'<' | b'>', _) => Err(ListFault::Unbalanced),
            (b',', _) => self.emit(),
            (b':', _) if !self.is_in_literal => self.group(),
            (b';', _) => {
                if !core::mem::take(&mut self.is_in_group) {
                    return Err(ListFault::Unbalanced);
                }
                self.emit()
            }
            (_, Place::Plain | Place::Behind) => self.put(octet),
        }
    }

    /// A colon: what stood before it was the group's name.
    fn group(&mut self) -> Result<(), ListFault> {
        if self.is_in_group || self.place != Place::Plain {
            return Err(ListFault::Unbalanced);
        }
        self.is_in_group = true;
        self.plain.clear();
        Ok(())
    }

    fn put(&mut self, octet: u8) -> Result<(), ListFault> {
        let text = match self.place {
            Place::Plain => &mut self.plain,
            Place::Angle => &mut self.angle,
            // Only white space and comments may stand behind the brackets.
            Place::Behind => return if octet == b' ' { Ok(()) } else { Err(ListFault::Junk) },
        };
        let is_plain = self.inside == Inside::Words && !self.is_escaped;
        if !(is_plain && octet == b' ' && matches!(text.last(), None | Some(b' '))) {
            text.push(octet);
        }
        if text.len() > ADDRESS_BYTES_MAX { Err(ListFault::TooMuch) } else { Ok(()) }
    }

    fn emit(&mut self) -> Result<(), ListFault> {
        let plain = core::mem::take(&mut self.plain);
        let angle = core::mem::take(&mut self.angle);
        match core::mem::take(&mut self.place) {
            Place::Plain => words(&tight(&plain)).into_iter().try_for_each(|word| self.push(word)),
            Place::Angle | Place::Behind => self.push(without_route(&tight(&angle))),
        }
    }

    fn push(&mut self, address: &[u8]) -> Result<(), ListFault> {
        if address.is_empty() {
            return Ok(());
        }
        if self.found.len() >= LIST_ADDRESSES_MAX {
            return Err(ListFault::TooMuch);
        }
        self.found.push(address.into());
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Box<[u8]>>, ListFault> {
        let is_open = self.inside != Inside::Words
            || self.is_escaped
            || self.place == Place::Angle
            || self.is_in_group;
        if is_open {
            return Err(ListFault::Unbalanced);
        }
        self.emit()?;
        Ok(self.found)
    }
}

/// Without the white space around dots and at signs, and at both ends.
fn tight(text: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(text.len());
    let (mut is_quoted, mut is_escaped, mut skips) = (false, false, true);
    for &octet in text {
        let is_plain = !is_quoted && !is_escaped;
        if is_plain && matches!(octet, b'.' | b'@') {
            while out.last() == Some(&b' ') {
                out.pop();
            }
        }
        if !(is_plain && octet == b' ' && skips) {
            out.push(octet);
        }
        skips = is_plain && matches!(octet, b'.' | b'@' | b' ') && (octet != b' ' || skips);
        is_quoted = is_quoted != (octet == b'"' && !is_escaped);
        is_escaped = octet == b'\\' && !is_escaped;
    }
    while out.last() == Some(&b' ') {
        out.pop();
    }
    out
}

/// The words of a text, at spaces outside quotes.
fn words(text: &[u8]) -> Vec<&[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(|&octet| {
        let is_between = octet == b' ' && !is_quoted && !is_escaped;
        is_quoted = is_quoted != (octet == b'"' && !is_escaped);
        is_escaped = octet == b'\\' && !is_escaped;
        is_between
    })
    .collect()
}

/// What stands behind `@a,@b:`.
fn without_route(address: &[u8]) -> &[u8] {
    if !address.starts_with(b"@") {
        return address;
    }
    let colon = address.iter().position(|&octet| octet == b':');
    colon.and_then(|at| address.get(at.saturating_add(1)..)).unwrap_or(address)
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    fn read(value: &str) -> Result<Vec<String>, ListFault> {
        let found = list(value.as_bytes())?;
        Ok(found.into_iter().map(|address| String::from_utf8(address.into()).unwrap()).collect())
    }

    #[test]
    fn addresses_are_found_in_all_their_dresses() {
        for (value, expected) in [
            ("alice", &["alice"][..]),
            ("alice, bob@b.test", &["alice", "bob@b.test"]),
            (
                "Alice A. <alice@a.test>,\r\n\t\"Bob, B\" <bob@b.test>",
                &["alice@a.test", "bob@b.test"],
            ),
            ("alice@a.test (Alice (the, real) one)", &["alice@a.test"]),
            ("friends: alice, Bob <bob@b.test>;, carol", &["alice", "bob@b.test", "carol"]),
            ("undisclosed-recipients:;", &[]),
            ("\"a b\"@c.test", &["\"a b\"@c.test"]),
            ("\"a\\\"<b\"@c.test", &["\"a\\\"<b\"@c.test"]),
            ("alice @ a . test", &["alice@a.test"]),
            ("<@r.test,@s.test:a@b.test>", &["a@b.test"]),
            ("alice bob", &["alice", "bob"]),
            ("a@[IPv6:::1]", &["a@[IPv6:::1]"]),
            (" , ,", &[]),
            ("<>", &[]),
        ] {
            assert_eq!(read(value).unwrap(), expected, "{value}");
        }
    }

    #[test]
    fn what_is_not_closed_is_refused() {
        for (value, fault) in [
            ("\"alice", ListFault::Unbalanced),
            ("alice (x", ListFault::Unbalanced),
            ("alice)", ListFault::Unbalanced),
            ("<alice", ListFault::Unbalanced),
            ("alice>", ListFault::Unbalanced),
            ("a: b", ListFault::Unbalanced),
            ("a;", ListFault::Unbalanced),
            ("<a> <b>", ListFault::Unbalanced),
            ("<a> b", ListFault::Junk),
            ("a\0b", ListFault::Character),
            ("a\\", ListFault::Unbalanced),
        ] {
            assert_eq!(read(value), Err(fault), "{value}");
        }
    }

    #[test]
    fn deep_comments_cost_no_stack() {
        assert_eq!(list(&b"(".repeat(1_000_000)), Err(ListFault::TooMuch));
    }

    proptest! {
        #[test]
        fn any_octets_are_a_list_or_a_fault(value in proptest::collection::vec(prop_oneof![Just(b'<'), Just(b'>'), Just(b'"'), Just(b'('), Just(b')'), Just(b','), Just(b':'), Just(b';'), Just(b' '), Just(b'\\'), Just(b'a'), Just(b'@'), any::<u8>()], 0..60)) {
            if let Ok(found) = list(&value) {
                prop_assert!(found.iter().all(|address| !address.is_empty() && !address.iter().any(u8::is_ascii_control)));
            }
        }
    }
}
