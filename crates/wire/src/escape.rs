//! What a peer sent, made safe to show: in log lines, in replies, on terminals.
//!
//! Only printable ASCII is shown as it is. Anything else becomes a backslash and three octal digits, so that nobody can
//! end a line, forge a second one, or speak to a terminal. sendmail strips the eighth bit instead and so sends 0x8A back as
//! a line feed; we never do.

use alloc::vec::Vec;
use core::fmt::{self, Write as _};

/// Appends `text` with everything but printable ASCII escaped.
pub fn printable(text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len());
    for &octet in text {
        put(octet, |shown| out.push(shown));
    }
}

/// Appends `text` as a line of the log has it: as [`printable`], line ends and tabs as `\r`, `\n`, `\t`, and a
/// backslash is two, so that an escape is never mistaken for what it stands for.
pub fn logged(text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len());
    for &octet in text {
        match octet {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            octet => put(octet, |shown| out.push(shown)),
        }
    }
}

/// Appends at most `max` octets of the escaped `text`; an escape is never cut in two.
pub fn printable_within(text: &[u8], max: usize, out: &mut Vec<u8>) {
    let end = out.len().saturating_add(max);
    for &octet in text {
        let needed = if is_printable(octet) { 1 } else { 4 };
        if out.len().saturating_add(needed) > end {
            return;
        }
        put(octet, |shown| out.push(shown));
    }
}

/// `text` for `format!`, with everything but printable ASCII escaped.
#[must_use]
pub fn text(text: &[u8]) -> Text<'_> {
    Text(text)
}

/// See [`text`].
#[derive(Debug, Clone, Copy)]
pub struct Text<'a>(&'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut result = Ok(());
        for &octet in self.0 {
            put(octet, |shown| result = result.and_then(|()| f.write_char(char::from(shown))));
        }
        result
    }
}

/// Whether an octet is shown as it is: space to tilde.
#[must_use]
pub const fn is_printable(octet: u8) -> bool {
    matches!(octet, b' '..=b'~')
}

fn put(octet: u8, mut show: impl FnMut(u8)) {
    if is_printable(octet) {
        show(octet);
        return;
    }
    show(b'\\');
    for shift in [6, 3, 0] {
        show(b'0'.wrapping_add((octet >> shift) & 7));
    }
}

/// Text of at most `limit` octets: the middle of a longer one becomes `...`.
#[must_use]
pub fn shorten(text: &[u8], limit: usize) -> Vec<u8> {
    if text.len() < limit {
        return text.to_vec();
    }
    let half = limit.saturating_sub(3) / 2;
    let tail = text.len().saturating_sub(half);
    [text.get(..half).unwrap_or(text), b"...", text.get(tail..).unwrap_or_default()].concat()
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_cannot_be_ended_from_inside() {
        assert_eq!(text(b"a\r\nb\x8a\0~").to_string(), "a\\015\\012b\\212\\000~");
    }

    #[test]
    fn in_a_log_an_escape_differs_from_its_own_letters() {
        let mut out = Vec::new();
        logged(b"\\015\r", &mut out);
        assert_eq!(out, b"\\\\015\\r");
    }

    #[test]
    fn of_what_is_too_long_both_ends_are_shown() {
        assert_eq!(shorten(b"abcdefgh", 9), b"abcdefgh");
        assert_eq!(shorten(b"abcdefghi", 9), b"abc...ghi");
        assert_eq!(shorten(b"abc", 2), b"...");
    }

    #[test]
    fn an_escape_is_never_cut() {
        let mut out = b"x".to_vec();
        printable_within(b"ab\ncd", 5, &mut out);
        assert_eq!(out, b"xab");
    }

    proptest! {
        #[test]
        fn only_printable_ascii_comes_out(bytes: Vec<u8>, max in 0usize..40) {
            let mut out = Vec::new();
            printable(&bytes, &mut out);
            prop_assert!(out.iter().all(|&octet| is_printable(octet)));
            prop_assert_eq!(format!("{}", text(&bytes)).into_bytes(), out.clone());
            let mut within = Vec::new();
            printable_within(&bytes, max, &mut within);
            prop_assert!(within.len() <= max && out.starts_with(&within));
        }
    }
}
