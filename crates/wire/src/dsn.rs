//! The parameters of delivery status notifications (RFC 3461): RET, ENVID, NOTIFY, ORCPT, and xtext.
//!
//! Values are kept as they came (xtext stays xtext: it is passed on so), after they were decoded once to see that nothing
//! in them could end a line of a report. Lengths are those of RFC 3461, 5.4.

use alloc::{boxed::Box, vec::Vec};

use serde::{Deserialize, Serialize};

/// Characters of ENVID.
pub const ENVID_BYTES_MAX: usize = 100;
/// Characters of ORCPT.
pub const ORCPT_BYTES_MAX: usize = 500;

/// RET: what comes back with a report of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ret {
    /// The whole message.
    Full,
    /// Its header.
    Headers,
}

impl Ret {
    /// Reads FULL or HDRS.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        match text {
            text if text.eq_ignore_ascii_case(b"FULL") => Some(Self::Full),
            text if text.eq_ignore_ascii_case(b"HDRS") => Some(Self::Headers),
            _ => None,
        }
    }

    /// As it stands behind `RET=`.
    #[must_use]
    pub const fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Full => b"FULL",
            Self::Headers => b"HDRS",
        }
    }
}

/// NOTIFY: which reports the sender wants about a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notify {
    /// NEVER.
    Never,
    /// Some of the three.
    On {
        /// SUCCESS.
        success: bool,
        /// FAILURE.
        failure: bool,
        /// DELAY.
        delay: bool,
    },
}

impl Notify {
    /// Reads the list behind `NOTIFY=`.
    ///
    /// # Errors
    /// The word that does not belong there.
    pub fn parse(text: &[u8]) -> Result<Self, &[u8]> {
        if text.eq_ignore_ascii_case(b"NEVER") {
            return Ok(Self::Never);
        }
        let (mut success, mut failure, mut delay) = (false, false, false);
        for word in text.split(|&octet| octet == b',') {
            let flag = match word {
                word if word.eq_ignore_ascii_case(b"SUCCESS") => &mut success,
                word if word.eq_ignore_ascii_case(b"FAILURE") => &mut failure,
                word if word.eq_ignore_ascii_case(b"DELAY") => &mut delay,
                word => return Err(word),
            };
            *flag = true;
        }
        Ok(Self::On { success, failure, delay })
    }

    /// Appends the list, as it stands behind `NOTIFY=`. One that names nothing is NEVER.
    pub fn write(self, out: &mut Vec<u8>) {
        let words = match self {
            Self::Never => [false; 3],
            Self::On { success, failure, delay } => [success, failure, delay],
        };
        let start = out.len();
        for (_, word) in words
            .into_iter()
            .zip([&b"SUCCESS"[..], b"FAILURE", b"DELAY"])
            .filter(|(is_on, _)| *is_on)
        {
            if out.len() > start {
                out.push(b',');
            }
            out.extend_from_slice(word);
        }
        if out.len() == start {
            out.extend_from_slice(b"NEVER");
        }
    }
}

/// Whether `text` is an ENVID: xtext of bounded length that decodes to printable ASCII.
#[must_use]
pub fn is_envelope_id(text: &[u8]) -> bool {
    let is_plain = |plain: Vec<u8>| plain.iter().all(|&octet| crate::escape::is_printable(octet));
    (1..=ENVID_BYTES_MAX).contains(&text.len()) && decode_xtext(text).is_some_and(is_plain)
}

/// Whether `text` is an ORCPT: a type, a semicolon, xtext of bounded length without control characters (RFC 6533's `utf-8`
/// type may hold `\x{…}` and UTF-8 as well).
#[must_use]
pub fn is_original_recipient(text: &[u8]) -> bool {
    let Some(semicolon) = text.iter().position(|&octet| octet == b';') else {
        return false;
    };
    let (kind, address) = text.split_at_checked(semicolon).unwrap_or((text, &[]));
    let address = address.strip_prefix(b";").unwrap_or_default();
    let is_atom = |octet: &u8| octet.is_ascii_alphanumeric() || b"-_.".contains(octet);
    if kind.is_empty() || !kind.iter().all(is_atom) || address.is_empty() {
        return false;
    }
    let is_utf8 = kind.eq_ignore_ascii_case(b"utf-8");
    let is_clean = |plain: Vec<u8>| {
        core::str::from_utf8(&plain).is_ok_and(|plain| !plain.chars().any(char::is_control))
            && (is_utf8 || plain.is_ascii())
    };
    let decoded =
        if is_utf8 && !address.is_ascii() { Some(address.to_vec()) } else { decode_xtext(address) };
    text.len() <= ORCPT_BYTES_MAX && decoded.is_some_and(is_clean)
}

/// What xtext stands for; `None` if it is none (RFC 3461, 4).
#[must_use]
pub fn decode_xtext(text: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(text.len());
    let mut octets = text.iter();
    while let Some(&octet) = octets.next() {
        match octet {
            b'+' => {
                let (high, low) = (hex(*octets.next()?)?, hex(*octets.next()?)?);
                plain.push((high << 4) | low);
            }
            b'=' => return None,
            b'!'..=b'~' => plain.push(octet),
            _ => return None,
        }
    }
    Some(plain)
}

/// Appends `plain` as xtext.
pub fn encode_xtext(plain: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &octet in plain {
        if matches!(octet, b'!'..=b'~') && !matches!(octet, b'+' | b'=') {
            out.push(octet);
        } else {
            out.push(b'+');
            for nibble in [octet >> 4, octet & 15] {
                out.push(DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0'));
            }
        }
    }
}

/// The value of a hexadecimal digit; RFC 3461 has upper case only.
fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit.wrapping_sub(b'0')),
        b'A'..=b'F' => Some(digit.wrapping_sub(b'A').wrapping_add(10)),
        _ => None,
    }
}

/// The address of an original recipient, decoded, and its type; `None` if it is none.
#[must_use]
pub fn original_recipient(text: &[u8]) -> Option<(&[u8], Box<[u8]>)> {
    let semicolon = text.iter().position(|&octet| octet == b';')?;
    let (kind, address) = text.split_at_checked(semicolon)?;
    Some((kind, decode_xtext(address.strip_prefix(b";")?)?.into_boxed_slice()))
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn notify_is_never_or_some_of_three() {
        assert_eq!(Notify::parse(b"never"), Ok(Notify::Never));
        assert_eq!(
            Notify::parse(b"SUCCESS,delay"),
            Ok(Notify::On { success: true, failure: false, delay: true })
        );
        assert_eq!(Notify::parse(b"NEVER,SUCCESS"), Err(&b"NEVER"[..]));
        assert_eq!(Notify::parse(b"FOO"), Err(&b"FOO"[..]));
        assert_eq!(Notify::parse(b"SUCCESS,"), Err(&b""[..]));
        let mut out = Vec::new();
        Notify::On { success: true, failure: false, delay: true }.write(&mut out);
        assert_eq!(out, b"SUCCESS,DELAY");
    }

    #[test]
    fn an_envelope_id_cannot_end_a_line_of_a_report() {
        assert!(is_envelope_id(b"QQ+2D314159"));
        for bad in ["", "+zz", "+0D+0Ax", "a b", "a=b", "+4", "+e4", "+E4"] {
            assert!(!is_envelope_id(bad.as_bytes()), "{bad}");
        }
        assert!(is_envelope_id(&[b'a'; ENVID_BYTES_MAX]));
        assert!(!is_envelope_id(&[b'a'; ENVID_BYTES_MAX + 1]));
    }

    #[test]
    fn an_original_recipient_has_a_type() {
        assert!(is_original_recipient(b"rfc822;Alice+40Example.Test"));
        assert!(is_original_recipient("utf-8;ä@b".as_bytes()));
        for bad in ["foo", ";a", "rfc822;", "rfc822;a+zzb", "rfc822;a+0Ab", "rfc 822;a", "rfc822;ä"]
        {
            assert!(!is_original_recipient(bad.as_bytes()), "{bad}");
        }
        assert!(!is_original_recipient(
            format!("rfc822;{}", "a".repeat(ORCPT_BYTES_MAX)).as_bytes()
        ));
        assert_eq!(
            original_recipient(b"rfc822;a+40b").unwrap(),
            (&b"rfc822"[..], b"a@b"[..].into())
        );
    }

    proptest! {
        #[test]
        fn xtext_is_read_back(plain: Vec<u8>) {
            let mut text = Vec::new();
            encode_xtext(&plain, &mut text);
            prop_assert_eq!(decode_xtext(&text), Some(plain));
        }

        #[test]
        fn any_octets_are_a_parameter_or_not(text: Vec<u8>) {
            if is_original_recipient(&text) {
                prop_assert!(text.contains(&b';'));
            }
            if is_envelope_id(&text) {
                prop_assert!(decode_xtext(&text).is_some());
            }
        }
    }
}
