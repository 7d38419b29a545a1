//! Reverse-path and forward-path (RFC 5321, 4.1.2; RFC 6531): what stands in MAIL and RCPT.
//!
//! Strict where an attack could hide (control characters, unbalanced brackets and quotes, two `@`), lenient where real mail
//! is: `quirk_…` functions name each leniency. Source routes are read and dropped, as RFC 5321 (appendix C) asks.
//! Whether a name without a domain is welcome is the policy's question.

use core::fmt;

use crate::domain::{self, Host};

/// Octets of a path with its brackets (RFC 5321, 4.5.3.1.3).
pub const PATH_BYTES_MAX: usize = 256;
/// Octets of a local part that every server must take (RFC 5321, 4.5.3.1.1). Longer ones are met in bounces of lists
/// (VERP) and of forwarders (SRS); they pass up to [`PATH_BYTES_MAX`].
pub const LOCAL_PART_BYTES: usize = 64;

/// An address without the angle brackets that it may stand in.
#[must_use]
pub fn bare(address: &[u8]) -> &[u8] {
    let inner = address.strip_prefix(b"<").and_then(|rest| rest.strip_suffix(b">"));
    inner.unwrap_or(address)
}

/// A path, as it was written, without brackets and source route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path<'a> {
    /// The whole address; empty for `<>`.
    pub address: &'a [u8],
    /// The local part, with its quotes if it has some.
    pub local: &'a [u8],
    /// What stands behind the `@`; `None`: there is no `@`.
    pub host: Option<Host<'a>>,
}

/// Why a text is no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathFault {
    /// Nothing where a path should be.
    Missing,
    /// A `<` without `>`, or the other way round.
    Brackets,
    /// A quote that does not end.
    Quotes,
    /// Something between the path and the parameters.
    Junk,
    /// Above [`PATH_BYTES_MAX`].
    TooLong,
    /// A control character, or octets that are no UTF-8.
    Character,
    /// The local part is empty or holds what needs quotes.
    Local,
    /// What stands behind the `@` is no host.
    Host(domain::DomainFault),
    /// A source route that is none.
    Route,
}

impl<'a> Path<'a> {
    /// `<>`.
    pub const NULL: Self = Self { address: b"", local: b"", host: None };

    /// Reads a path from the beginning of `text`; gives it and what stands behind it: nothing, or a space and more.
    ///
    /// # Errors
    /// [`PathFault`].
    pub fn parse(text: &'a [u8]) -> Result<(Self, &'a [u8]), PathFault> {
        let text = quirk_space_before(text);
        let (inner, rest) = match text {
            [] => return Err(PathFault::Missing),
            [b'<', text @ ..] => {
                let end = end_of(text, |octet| octet == b'>')?;
                let (inner, rest) = text.split_at_checked(end).ok_or(PathFault::Brackets)?;
                (inner, rest.strip_prefix(b">").ok_or(PathFault::Brackets)?)
            }
            _ => quirk_no_brackets(text)?,
        };
        if !matches!(rest, [] | [b' ', ..]) {
            let is_bracket = matches!(rest, [b'>' | b'<', ..]);
            return Err(if is_bracket { PathFault::Brackets } else { PathFault::Junk });
        }
        Ok((Self::address(inner)?, rest))
    }

    /// Reads what stands between the brackets.
    ///
    /// # Errors
    /// [`PathFault`].
    pub fn address(inner: &'a [u8]) -> Result<Self, PathFault> {
        if inner.is_empty() {
            return Ok(Self::NULL);
        }
        if inner.len() > PATH_BYTES_MAX.saturating_sub(2) {
            return Err(PathFault::TooLong);
        }
        if inner.iter().any(u8::is_ascii_control) || core::str::from_utf8(inner).is_err() {
            return Err(PathFault::Character);
        }
        let address = without_route(inner)?;
        let end = match address {
            [b'"', quoted @ ..] => {
                // The closing quote is the first that no backslash escapes.
                let end = closing_quote(quoted).ok_or(PathFault::Quotes)?;
                end.saturating_add(2)
            }
            _ => address.iter().position(|&octet| octet == b'@').unwrap_or(address.len()),
        };
        let (local, rest) = address.split_at_checked(end).ok_or(PathFault::Quotes)?;
        let word = quirk_backslash_before(local);
        let is_word = matches!(local, [b'"', ..]) || word.iter().copied().all(is_local_octet);
        if word.is_empty() || !is_word {
            return Err(PathFault::Local);
        }
        let host = match rest {
            [] => None,
            [b'@', host @ ..] => Some(Host::parse(host).map_err(PathFault::Host)?),
            _ => return Err(PathFault::Local),
        };
        Ok(Self { address, local, host })
    }

    /// Whether it is `<>`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.address.is_empty()
    }

    /// Whether it needs SMTPUTF8.
    #[must_use]
    pub fn is_utf8(&self) -> bool {
        !self.address.is_ascii()
    }
}

/// `MAIL FROM: <a@b>`: a space where the grammar has none. Sent by many.
fn quirk_space_before(text: &[u8]) -> &[u8] {
    text.trim_ascii_start()
}

/// `RCPT TO:<\user>`: the user himself, and no alias of that name. Users of this machine write it, and sendmail takes it.
fn quirk_backslash_before(local: &[u8]) -> &[u8] {
    local.strip_prefix(b"\\").unwrap_or(local)
}

/// `MAIL FROM:a@b`: no brackets. sendmail has always taken it.
fn quirk_no_brackets(text: &[u8]) -> Result<(&[u8], &[u8]), PathFault> {
    let end = match end_of(text, |octet| octet == b' ') {
        Err(PathFault::Brackets) => text.len(),
        end => end?,
    };
    let (inner, rest) = text.split_at_checked(end).ok_or(PathFault::Brackets)?;
    match inner {
        [] => Err(PathFault::Missing),
        inner if inner.contains(&b'>') || inner.contains(&b'<') => Err(PathFault::Brackets),
        inner => Ok((inner, rest)),
    }
}

/// The place of the first octet outside quotes that ends the path.
fn end_of(text: &[u8], is_end: impl Fn(u8) -> bool) -> Result<usize, PathFault> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, &octet) in text.iter().enumerate() {
        match octet {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            octet if !is_quoted && is_end(octet) => return Ok(at),
            _ => {}
        }
    }
    Err(if is_quoted { PathFault::Quotes } else { PathFault::Brackets })
}

/// The place of the quote that closes `text`, which begins behind the opening one.
fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    text.iter().position(|&octet| {
        let closes = octet == b'"' && !is_escaped;
        is_escaped = octet == b'\\' && !is_escaped;
        closes
    })
}

/// Drops `@a,@b:` from the beginning.
fn without_route(inner: &[u8]) -> Result<&[u8], PathFault> {
    if !inner.starts_with(b"@") {
        return Ok(inner);
    }
    let colon = route_end(inner).ok_or(PathFault::Route)?;
    let (route, address) = inner.split_at_checked(colon).ok_or(PathFault::Route)?;
    for hop in route.split(|&octet| octet == b',') {
        let host = hop.strip_prefix(b"@").ok_or(PathFault::Route)?;
        Host::parse(host).map_err(PathFault::Host)?;
    }
    match address {
        [b':', address @ ..] if !address.is_empty() && !address.starts_with(b"@") => Ok(address),
        _ => Err(PathFault::Route),
    }
}

/// The colon behind a route; colons in `[IPv6:…]` do not count.
fn route_end(route: &[u8]) -> Option<usize> {
    let mut is_literal = false;
    route.iter().position(|&octet| {
        match octet {
            b'[' => is_literal = true,
            b']' => is_literal = false,
            _ => {}
        }
        octet == b':' && !is_literal
    })
}

/// An octet of a local part without quotes: atext and dots. A quirk: dots may stand anywhere (`a..b`, `a.`), as Japanese
/// mobile carriers gave them out.
fn is_local_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&octet) || !octet.is_ascii()
}

impl fmt::Display for PathFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "no address",
            Self::Brackets => "unbalanced angle brackets",
            Self::Quotes => "unbalanced quotes",
            Self::Junk => "something behind the address",
            Self::TooLong => "address too long",
            Self::Character => "character not allowed in an address",
            Self::Local => "local part not valid",
            Self::Host(_) => "domain not valid",
            Self::Route => "route not valid",
        })
    }
}

impl core::error::Error for PathFault {}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> Result<&[u8], PathFault> {
        Path::parse(text.as_bytes()).map(|(path, _)| path.address)
    }

    #[test]
    fn paths_are_read_as_people_send_them() {
        for (text, expected) in [
            ("<a@b.test>", "a@b.test"),
            ("<>", ""),
            (" <a@b.test>", "a@b.test"),
            ("a@b.test", "a@b.test"),
            ("<\"a b\\\"> c\"@b.test>", "\"a b\\\"> c\"@b.test"),
            ("<@r.test,@[IPv6:::1]:a@b.test>", "a@b.test"),
            ("<postmaster>", "postmaster"),
            ("<a..b.@b.test>", "a..b.@b.test"),
            ("<a@[192.0.2.1]>", "a@[192.0.2.1]"),
            ("<u%c@b.test>", "u%c@b.test"),
            ("<\\erin>", "\\erin"),
            ("<ä@bücher.test>", "ä@bücher.test"),
        ] {
            assert_eq!(address(text), Ok(expected.as_bytes()), "{text}");
        }
        assert_eq!(Path::parse(b"<a@b> SIZE=1").unwrap().1, b" SIZE=1");
        assert_eq!(Path::parse(b"a@b SIZE=1").unwrap().1, b" SIZE=1");
    }

    #[test]
    fn what_is_no_path_is_refused_for_its_reason() {
        for (text, fault) in [
            ("", PathFault::Missing),
            ("  ", PathFault::Missing),
            ("<a@b", PathFault::Brackets),
            ("<a@b>>", PathFault::Brackets),
            ("a@b>", PathFault::Brackets),
            ("<a@b>x", PathFault::Junk),
            ("<a@b>,<c@d>", PathFault::Junk),
            ("<a@b>SIZE=1", PathFault::Junk),
            ("<\"a@b>", PathFault::Quotes),
            ("<\"a\"b@c>", PathFault::Local),
            ("<a b@c>", PathFault::Local),
            ("<@>", PathFault::Route),
            ("<@a>", PathFault::Route),
            ("<@a:>", PathFault::Route),
            ("<@a:@b:c@d>", PathFault::Route),
            ("<a@b@c>", PathFault::Host(domain::DomainFault::Character)),
            ("<a@>", PathFault::Host(domain::DomainFault::Empty)),
            ("<a@[192.0.2.999]>", PathFault::Host(domain::DomainFault::Literal)),
            ("<a\0@b>", PathFault::Character),
            ("<a\u{7f}@b>", PathFault::Character),
            ("<(c)a@b>", PathFault::Local),
            ("<:include:/etc/passwd>", PathFault::Local),
            ("<\\\\a>", PathFault::Local),
            ("<\\>", PathFault::Local),
        ] {
            assert_eq!(address(text), Err(fault), "{text}");
        }
        assert_eq!(Path::parse(b"<a\xff@b>"), Err(PathFault::Character));
    }

    #[test]
    fn paths_are_bounded() {
        let longest = format!("<{}@b>", "a".repeat(PATH_BYTES_MAX - 4));
        assert!(address(&longest).is_ok());
        assert_eq!(
            address(&format!("<{}@b>", "a".repeat(PATH_BYTES_MAX - 3))),
            Err(PathFault::TooLong)
        );
    }

    proptest! {
        #[test]
        fn any_octets_are_a_path_or_a_fault(text in proptest::collection::vec(prop_oneof![Just(b'<'), Just(b'>'), Just(b'@'), Just(b'"'), Just(b'\\'), Just(b':'), Just(b','), Just(b' '), Just(b'a'), any::<u8>()], 0..40)) {
            if let Ok((path, rest)) = Path::parse(&text) {
                prop_assert!(path.address.len() + rest.len() <= text.len());
                prop_assert!(!path.address.iter().any(u8::is_ascii_control));
                // An address that was read is read again to the same.
                prop_assert_eq!(Path::address(path.address), Ok(path));
            }
        }

        #[test]
        fn plain_addresses_are_read_whole(local in "[a-z!#$%&'*+/=?^_`{|}~.-]{1,20}", host in "[a-z0-9]{1,9}(\\.[a-z0-9]{1,9}){0,3}") {
            let text: Vec<u8> = format!("<{local}@{host}>").into_bytes();
            let (path, rest) = Path::parse(&text).unwrap();
            prop_assert_eq!((path.local, path.host, rest), (local.as_bytes(), Some(Host::Domain(host.as_bytes())), &b""[..]));
        }
    }
}
