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
    angle: Option<Vec<u8>>,
    comment_depth: usize,
    is_quoted: bool,
    is_escaped: bool,
    is_in_angle: bool,
    is_in_literal: bool,
    is_in_group: bool,
}

impl Reader {
    fn take(&mut self, octet: u8) -> Result<(), ListFault> {
        let octet = if matches!(octet, b'\t' | b'\r' | b'\n') { b' ' } else { octet };
        if octet.is_ascii_control() {
            return Err(ListFault::Character);
        }
        if self.is_escaped {
            self.is_escaped = false;
            return if self.comment_depth > 0 { Ok(()) } else { self.put(octet) };
        }
        if octet == b'\\' {
            self.is_escaped = true;
            return if self.comment_depth > 0 { Ok(()) } else { self.put(octet) };
        }
        if self.comment_depth > 0 {
            return self.comment(octet);
        }
        if self.is_quoted {
            self.is_quoted = octet != b'"';
            return self.put(octet);
        }
        match octet {
            b'(' => self.comment(octet),
            b')' => Err(ListFault::Unbalanced),
            b'"' => {
                self.is_quoted = true;
                self.put(octet)
            }
            b'[' | b']' => {
                self.is_in_literal = octet == b'[';
                self.put(octet)
            }
            b'>' if self.is_in_angle => {
                self.is_in_angle = false;
                Ok(())
            }
            _ if self.is_in_angle => self.put(octet),
            b'<' if self.angle.is_none() => {
                self.angle = Some(Vec::new());
                self.is_in_angle = true;
                Ok(())
            }
            b'<' | b'>' => Err(ListFault::Unbalanced),
            b',' => self.emit(),
            b':' if !self.is_in_literal => self.group(),
            b';' => {
                if !core::mem::take(&mut self.is_in_group) {
                    return Err(ListFault::Unbalanced);
                }
                self.emit()
            }
            _ => self.put(octet),
        }
    }

    fn comment(&mut self, octet: u8) -> Result<(), ListFault> {
        self.comment_depth = match octet {
            b'(' => self.comment_depth.saturating_add(1),
            b')' => self.comment_depth.saturating_sub(1),
            _ => self.comment_depth,
        };
        if self.comment_depth > COMMENT_DEPTH_MAX { Err(ListFault::TooMuch) } else { Ok(()) }
    }

    /// A colon: what stood before it was the group's name.
    fn group(&mut self) -> Result<(), ListFault> {
        if self.is_in_group || self.angle.is_some() {
            return Err(ListFault::Unbalanced);
        }
        self.is_in_group = true;
        self.plain.clear();
        Ok(())
    }

    fn put(&mut self, octet: u8) -> Result<(), ListFault> {
        let is_outside = !self.is_in_angle && self.angle.is_some();
        if is_outside {
            // A name may stand behind the brackets only if it is white space.
            return if octet == b' ' { Ok(()) } else { Err(ListFault::Junk) };
        }
        let text = self.angle.as_mut().unwrap_or(&mut self.plain);
        let is_again = octet == b' ' && !self.is_quoted && matches!(text.last(), None | Some(b' '));
        if !is_again || self.is_escaped {
            text.push(octet);
        }
        if text.len() > ADDRESS_BYTES_MAX { Err(ListFault::TooMuch) } else { Ok(()) }
    }

    fn emit(&mut self) -> Result<(), ListFault> {
        let plain = core::mem::take(&mut self.plain);
        match self.angle.take() {
            Some(angle) => self.push(without_route(&tight(&angle))),
            None => words(&tight(&plain)).into_iter().try_for_each(|word| self.push(word)),
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
        let is_open = self.is_quoted
            || self.is_escaped
            || self.is_in_angle
            || self.is_in_group
            || self.comment_depth > 0;
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
