//! Values of lines: quotes and backslashes taken away, numbers, times, yes and no.

use crate::read::chars::trim_start;
use alloc::vec::Vec;

/// The longest value (sendmail's MAXLINE).
const VALUE_OCTETS_MAX: usize = 2047;

/// Takes quotes and backslashes away, up to `delimiter` outside quotes (0: none); gives the text and the rest from the delimiter on.
#[must_use]
pub fn munch(text: &[u8], delimiter: u8) -> (Vec<u8>, &[u8]) {
    let mut out = Vec::new();
    let (mut backslash, mut quoted) = (false, false);
    let mut at = 0_usize;
    for octet in text {
        if out.len() >= VALUE_OCTETS_MAX {
            break;
        }
        if backslash {
            backslash = false;
            out.push(match octet {
                b'r' => b'\r',
                b'n' => b'\n',
                b'f' => 0x0c,
                b'b' => 0x08,
                other => *other,
            });
        } else {
            match octet {
                b'\\' => backslash = true,
                b'"' => quoted = !quoted,
                other if quoted || *other != delimiter || delimiter == 0 => out.push(*other),
                _ => break,
            }
        }
        at = at.saturating_add(1);
    }
    (out, text.get(at..).unwrap_or_default())
}

/// A number as atoi reads it: blanks, a sign, digits; the rest is left.
#[must_use]
pub fn number(text: &[u8]) -> i64 {
    let text = trim_start(text);
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let value =
        digits.iter().take_while(|octet| octet.is_ascii_digit()).fold(0_i64, |value, digit| {
            value.saturating_mul(10).saturating_add(i64::from(digit.wrapping_sub(b'0')))
        });
    if negative { value.saturating_neg() } else { value }
}

/// Yes or no as sendmail reads it: nothing, `t`, `T`, `y`, `Y` and `1` are yes.
#[must_use]
pub fn truth(text: &[u8]) -> bool {
    text.first().is_none_or(|octet| b"tTyY1 ".contains(octet))
}
