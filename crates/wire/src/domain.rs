//! Domains and address literals (RFC 5321, 4.1.2 and 4.1.3; RFC 6531).
//!
//! A domain is labels of letters, digits and hyphens, at most 63 octets each and 255 together. Beyond the grammar three
//! quirks are known: underscores (Windows host names), a dot at the end (absolute names), a hyphen at the end of a label.
//! A hyphen at its beginning is refused: names become arguments of programs.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Octets of a domain (RFC 5321, 4.5.3.1.2).
pub const DOMAIN_BYTES_MAX: usize = 255;
/// Octets of a label (RFC 1035, 2.3.4).
pub const LABEL_BYTES_MAX: usize = 63;

/// Why a text is no domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainFault {
    /// Nothing, or an empty label.
    Empty,
    /// Above [`DOMAIN_BYTES_MAX`] or [`LABEL_BYTES_MAX`].
    TooLong,
    /// A character that no domain has.
    Character,
    /// Brackets without an address in them.
    Literal,
}

/// What stands behind the `@` of an address, or behind HELO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host<'a> {
    /// A domain, as it was written.
    Domain(&'a [u8]),
    /// An address literal, `[192.0.2.1]` or `[IPv6:2001:db8::1]`.
    Literal(IpAddr),
}

impl<'a> Host<'a> {
    /// Reads a domain or an address literal. Octets above 127 pass if they are UTF-8.
    ///
    /// # Errors
    /// [`DomainFault`].
    pub fn parse(text: &'a [u8]) -> Result<Self, DomainFault> {
        match text {
            [b'[', inner @ .., b']'] => literal(inner).map(Self::Literal),
            _ => check(text).map(|()| Self::Domain(text)),
        }
    }
}

/// Whether `text` is a domain.
///
/// # Errors
/// [`DomainFault`]: why not.
pub fn check(text: &[u8]) -> Result<(), DomainFault> {
    if text.len() > DOMAIN_BYTES_MAX {
        return Err(DomainFault::TooLong);
    }
    // A quirk: an absolute name.
    let labels = text.strip_suffix(b".").unwrap_or(text);
    if !labels.is_ascii() && core::str::from_utf8(labels).is_err() {
        return Err(DomainFault::Character);
    }
    for label in labels.split(|&octet| octet == b'.') {
        match label {
            [] => return Err(DomainFault::Empty),
            [b'-', ..] => return Err(DomainFault::Character),
            label if label.len() > LABEL_BYTES_MAX => return Err(DomainFault::TooLong),
            label if !label.iter().copied().all(is_label_octet) => {
                return Err(DomainFault::Character);
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_label_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_') || !octet.is_ascii()
}

fn literal(inner: &[u8]) -> Result<IpAddr, DomainFault> {
    let text = core::str::from_utf8(inner).map_err(|_| DomainFault::Literal)?;
    let address = match text.split_at_checked(5) {
        Some((tag, rest)) if tag.eq_ignore_ascii_case("IPv6:") => {
            rest.parse::<Ipv6Addr>().map(IpAddr::V6)
        }
        _ => text.parse::<Ipv4Addr>().map(IpAddr::V4),
    };
    address.map_err(|_| DomainFault::Literal)
}

/// An address as mail writes it outside brackets: `192.0.2.1`, `IPv6:2001:db8::1`.
#[must_use]
pub fn tagged(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let mut text = String::from("IPv6:");
            text.push_str(&address.to_string());
            text
        }
    }
}

/// An IPv6 address with all its parts: `2001:db8:0:0:0:0:0:1`.
#[must_use]
pub fn whole(address: Ipv6Addr) -> String {
    let parts = address.segments().map(|part| alloc::format!("{part:x}"));
    parts.join(":")
}

/// Text with all parts of the addresses that stand in it as `[IPv6:2001:db8::1]`.
#[must_use]
pub fn with_whole_addresses(text: &[u8]) -> Vec<u8> {
    const OPEN: &[u8] = b"[IPv6:";
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(OPEN.len()).position(|window| window == OPEN) {
        let (before, behind) =
            rest.split_at_checked(at.saturating_add(OPEN.len())).unwrap_or((rest, b""));
        out.extend_from_slice(before);
        let end = behind.iter().position(|&octet| octet == b']').unwrap_or(0);
        let (inner, after) = behind.split_at_checked(end).unwrap_or((b"", behind));
        let address = core::str::from_utf8(inner).ok().and_then(|text| text.parse().ok());
        match address {
            Some(address) => out.extend_from_slice(whole(address).as_bytes()),
            None => out.extend_from_slice(inner),
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out
}

impl fmt::Display for DomainFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "empty name or label",
            Self::TooLong => "name or label too long",
            Self::Character => "character not allowed in a name",
            Self::Literal => "not an address literal",
        })
    }
}

impl core::error::Error for DomainFault {}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn names_of_real_hosts_are_domains() {
        for name in [
            "a",
            "mail.example.test",
            "under_score.test",
            "x.test.",
            "3com.test",
            "xn--abc.test",
            "192.0.2.1",
            "a-.test",
            "bücher.test",
        ] {
            assert_eq!(check(name.as_bytes()), Ok(()), "{name}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for name in [
            "", ".", "a..b", ".a", "-x", "a.-x", "a b", "a@b", "<x>", "x/y", "$j", "x,y", "x\ty",
            "x\0y", "a\"b",
        ] {
            assert!(check(name.as_bytes()).is_err(), "{name}");
        }
        assert!(check(b"\xe4.test").is_err());
    }

    #[test]
    fn lengths_are_bounded() {
        let label = [b'a'; 64];
        assert_eq!(check(&label), Err(DomainFault::TooLong));
        assert_eq!(check(&label[1..]), Ok(()));
        let name: Vec<u8> = b"a.".repeat(127);
        assert_eq!(check(&[&name[..], b"a"].concat()), Ok(()));
        assert_eq!(check(&[&name[..], b"aa"].concat()), Err(DomainFault::TooLong));
    }

    #[test]
    fn literals_hold_addresses() {
        assert_eq!(Host::parse(b"[192.0.2.1]"), Ok(Host::Literal([192, 0, 2, 1].into())));
        assert_eq!(Host::parse(b"[ipv6:::1]"), Ok(Host::Literal("::1".parse().unwrap())));
        for text in [
            "[192.0.2.999]",
            "[]",
            "[::1]",
            "[IPv6:]",
            "[IPv6:192.0.2.1]",
            "[x]",
            "[192.0.2.1",
            "[192.0.2.1 ]",
        ] {
            assert!(Host::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(tagged("::ffff:192.0.2.1".parse().unwrap()), "192.0.2.1");
        assert_eq!(tagged("2001:db8::1".parse().unwrap()), "IPv6:2001:db8::1");
        for (text, wanted) in [
            ("mx. [IPv6:2001:db8::1]", "mx. [IPv6:2001:db8:0:0:0:0:0:1]"),
            (
                "[IPv6:::1] [192.0.2.1][IPv6:x] [IPv6:",
                "[IPv6:0:0:0:0:0:0:0:1] [192.0.2.1][IPv6:x] [IPv6:",
            ),
        ] {
            assert_eq!(with_whole_addresses(text.as_bytes()), wanted.as_bytes());
        }
    }
}
