//! The classes that need nothing from outside (`arith`, `dequote`), and what is done to a value of any class.

use crate::machine::exit;
use crate::read::chars::trim_start;
use alloc::vec::Vec;

/// Puts the key in for `%0` and arguments for `%1` … `%9`, and the tag of `-a` behind.
pub(super) fn decorate(
    value: &[u8],
    arguments: Option<(&[u8], &[Vec<u8>])>,
    append: Option<&[u8]>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len().saturating_add(16));
    match arguments {
        None => out.extend_from_slice(value),
        Some((key, arguments)) => {
            let mut octets = value.iter().copied().take_while(|octet| *octet != 0);
            while let Some(octet) = octets.next() {
                if octet != b'%' {
                    out.push(octet);
                    continue;
                }
                match octets.next() {
                    None | Some(b'%') => out.push(b'%'),
                    Some(digit @ b'0'..=b'9') => {
                        let index = usize::from(digit.wrapping_sub(b'0')).checked_sub(1);
                        let argument = index
                            .map_or(Some(key), |index| arguments.get(index).map(Vec::as_slice));
                        out.extend_from_slice(argument.unwrap_or_default());
                    }
                    Some(other) => {
                        out.push(b'%');
                        out.push(other);
                    }
                }
            }
        }
    }
    out.extend_from_slice(append.unwrap_or_default());
    out
}

/// `arith`: the key is the operator.
pub(super) fn arith(key: &[u8], arguments: &[Vec<u8>], status: &mut u8) -> Option<Vec<u8>> {
    let (Some(first), Some(second)) = (arguments.first(), arguments.get(1)) else {
        *status = exit::CONFIG;
        return None;
    };
    let (first, second) = (c_number(first), c_number(second));
    let number = match key.first() {
        Some(b'|') => first | second,
        Some(b'&') => first & second,
        Some(b'%') => first.checked_rem(second)?,
        Some(b'+') => first.wrapping_add(second),
        Some(b'-') => first.wrapping_sub(second),
        Some(b'*') => first.wrapping_mul(second),
        Some(b'/') => first.checked_div(second)?,
        Some(b'l') => return Some(truth(first < second)),
        Some(b'=') => return Some(truth(first == second)),
        Some(b'r') if second >= first => first,
        Some(b'r') => return None,
        _ => {
            *status = exit::CONFIG;
            return None;
        }
    };
    *status = exit::OK;
    Some(alloc::format!("{number}").into_bytes())
}

fn truth(is: bool) -> Vec<u8> {
    if is { b"TRUE".to_vec() } else { b"FALSE".to_vec() }
}

/// A number as strtol reads it with base 0: `0x` and a leading `0` count, the rest is left.
fn c_number(text: &[u8]) -> i64 {
    let text = trim_start(text);
    let (negative, text) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let (base, digits) = match text {
        [b'0', b'x' | b'X', rest @ ..] if rest.first().is_some_and(u8::is_ascii_hexdigit) => {
            (16_u32, rest)
        }
        [b'0', rest @ ..] => (8, rest),
        _ => (10, text),
    };
    let mut value: i64 = 0;
    for octet in digits {
        let Some(digit) = char::from(*octet).to_digit(base) else { break };
        let next = value.checked_mul(i64::from(base));
        let digit = i64::from(digit);
        let next = if negative {
            next.and_then(|value| value.checked_sub(digit))
        } else {
            next.and_then(|value| value.checked_add(digit))
        };
        let Some(next) = next else { return if negative { i64::MIN } else { i64::MAX } };
        value = next;
    }
    value
}

/// `dequote`: takes the quotation marks off if what is inside needs none.
pub(super) fn dequote(key: &[u8], space: Option<u8>) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(key.len());
    let (mut backslash, mut quoted, mut marks) = (false, false, 0_usize);
    let (mut angles, mut comments, mut spaces) = (0_usize, 0_usize, 0_usize);
    for octet in key {
        if backslash {
            backslash = false;
            out.push(*octet);
            continue;
        }
        let octet = if *octet == b' ' { space.unwrap_or(b' ') } else { *octet };
        match octet {
            b'\\' => backslash = true,
            b'(' => comments = comments.saturating_add(1),
            b')' => comments = comments.checked_sub(1)?,
            b' ' | b'\t' => spaces = spaces.saturating_add(1),
            _ => {}
        }
        if comments == 0 {
            match octet {
                b'"' => {
                    quoted = !quoted;
                    marks = marks.saturating_add(1);
                    continue;
                }
                b'<' => angles = angles.saturating_add(1),
                b'>' => angles = angles.checked_sub(1)?,
                _ => {}
            }
        }
        out.push(octet);
    }
    let plain = angles == 0 && comments == 0 && spaces == 0 && !backslash && !quoted && marks > 0;
    plain.then_some(out)
}
