//! Base64 (RFC 4648, 4): the standard alphabet, with padding, without line ends.
//!
//! Decoding is strict: one text for one value, so nothing can be hidden in unused bits or behind the padding.

use alloc::vec::Vec;
use core::fmt;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends the base64 of `input`.
pub fn encode(input: &[u8], out: &mut Vec<u8>) {
    for group in input.chunks(3) {
        let mut octets = [0u8; 3];
        octets.iter_mut().zip(group).for_each(|(to, from)| *to = *from);
        let [a, b, c] = octets.map(u32::from);
        let bits = (a << 16) | (b << 8) | c;
        for (at, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let is_padding = at > group.len();
            let index = usize::try_from((bits >> shift) & 63).unwrap_or(0);
            out.push(if is_padding { b'=' } else { ALPHABET.get(index).copied().unwrap_or(b'=') });
        }
    }
}

/// What `text` stands for.
///
/// # Errors
/// [`NotBase64`]: a length that is no multiple of four, another character, padding elsewhere than at the end, or bits that
/// mean nothing.
pub fn decode(text: &[u8]) -> Result<Vec<u8>, NotBase64> {
    let (groups, rest) = text.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(NotBase64);
    }
    let mut out = Vec::with_capacity(groups.len().saturating_mul(3));
    let last = groups.len().saturating_sub(1);
    for (at, group) in groups.iter().enumerate() {
        let padding = match group {
            [_, _, b'=', b'='] => 2,
            [_, _, _, b'='] => 1,
            _ => 0,
        };
        if padding > 0 && at != last {
            return Err(NotBase64);
        }
        let mut bits = 0u32;
        for (place, &letter) in group.iter().enumerate() {
            let value = if place >= 4usize.saturating_sub(padding) {
                0
            } else {
                letter_value(letter).ok_or(NotBase64)?
            };
            bits = (bits << 6) | value;
        }
        let [_, octets @ ..] = bits.to_be_bytes();
        let (kept, unused) =
            octets.split_at_checked(3usize.saturating_sub(padding)).ok_or(NotBase64)?;
        if unused.iter().any(|&octet| octet != 0) {
            return Err(NotBase64);
        }
        out.extend_from_slice(kept);
    }
    Ok(out)
}

/// The six bits that a letter stands for.
pub(crate) fn letter_value(letter: u8) -> Option<u32> {
    let value = match letter {
        b'A'..=b'Z' => letter.wrapping_sub(b'A'),
        b'a'..=b'z' => letter.wrapping_sub(b'a').wrapping_add(26),
        b'0'..=b'9' => letter.wrapping_sub(b'0').wrapping_add(52),
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

/// The text is not base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotBase64;

impl fmt::Display for NotBase64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not base64")
    }
}

impl core::error::Error for NotBase64 {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(input: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(input, &mut out);
        out
    }

    #[test]
    fn the_vectors_of_rfc_4648_hold() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encoded(plain.as_bytes()), text.as_bytes());
            assert_eq!(decode(text.as_bytes()).unwrap(), plain.as_bytes());
        }
    }

    #[test]
    fn two_texts_never_mean_the_same() {
        for text in ["Zh==", "Zg=", "Zg", "Zg==Zg==", "Zm8=\n", "====", "Z===", "Zm9 ", "Zm-_"] {
            assert_eq!(decode(text.as_bytes()), Err(NotBase64), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(bytes: Vec<u8>) {
            prop_assert_eq!(decode(&encoded(&bytes)).unwrap(), bytes);
        }

        #[test]
        fn what_decodes_encodes_to_itself(text in "[A-Za-z0-9+/=]{0,24}") {
            if let Ok(plain) = decode(text.as_bytes()) {
                prop_assert_eq!(encoded(&plain), text.into_bytes());
            }
        }
    }
}
