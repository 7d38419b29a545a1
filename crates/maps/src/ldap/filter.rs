//! Search filters: the text of RFC 4515 into the form on the wire (RFC 4511, 4.5.1), and keys put into it.

use super::ber::{OCTETS, put};

/// How deep filters may nest.
const DEPTH_MAX: u32 = 32;

/// Puts the key in for `%s` as it is and for `%0` literally, and arguments for `%1` … `%9` literally.
pub(super) fn fill(filter: &[u8], key: &[u8], arguments: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(filter.len().saturating_add(key.len()));
    let mut octets = filter.iter();
    while let Some(octet) = octets.next() {
        if *octet != b'%' {
            out.push(*octet);
            continue;
        }
        match octets.next() {
            Some(b's') => out.extend_from_slice(key),
            Some(b'0') => escape(key, &mut out),
            Some(digit @ b'1'..=b'9') => {
                let argument = arguments.get(usize::from(digit.saturating_sub(b'1')));
                escape(argument.copied().unwrap_or_default(), &mut out);
            }
            Some(b'%') | None => out.push(b'%'),
            Some(other) => out.extend_from_slice(&[b'%', *other]),
        }
    }
    out
}

/// Octets that mean something in a filter, as `\2a`.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for octet in text {
        if matches!(octet, b'*' | b'(' | b')' | b'\\' | 0) {
            let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'\\', digit(octet >> 4), digit(octet & 0x0f)]);
        } else {
            out.push(*octet);
        }
    }
}

/// The form on the wire; `None`: it is no filter.
pub(super) fn encode(filter: &[u8]) -> Option<Vec<u8>> {
    let filter = filter.trim_ascii();
    let mut out = Vec::new();
    if filter.first() == Some(&b'(') {
        let rest = one(filter, &mut out, 0)?;
        return rest.trim_ascii().is_empty().then_some(out);
    }
    item(filter, &mut out)?;
    Some(out)
}

/// One filter in parentheses; gives what stands behind it.
fn one<'a>(text: &'a [u8], out: &mut Vec<u8>, depth: u32) -> Option<&'a [u8]> {
    if depth > DEPTH_MAX {
        return None;
    }
    let inner = text.strip_prefix(b"(")?.trim_ascii_start();
    let tag = match inner.first()? {
        b'&' => 0xa0,
        b'|' => 0xa1,
        b'!' => 0xa2,
        _ => {
            let end = inner.iter().position(|octet| *octet == b')')?;
            let (text, rest) = inner.split_at_checked(end)?;
            item(text, out)?;
            return rest.get(1..);
        }
    };
    let mut content = Vec::new();
    let mut rest = inner.get(1..)?.trim_ascii_start();
    let mut count = 0_usize;
    while rest.first() == Some(&b'(') {
        rest = one(rest, &mut content, depth.saturating_add(1))?.trim_ascii_start();
        count = count.saturating_add(1);
    }
    if tag == 0xa2 && count != 1 {
        return None;
    }
    put(out, tag, &content);
    rest.strip_prefix(b")")
}

/// `attribute=value` and its kin.
fn item(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let equals = text.iter().position(|octet| *octet == b'=')?;
    let (name, value) = text.split_at_checked(equals)?;
    let value = value.get(1..)?;
    let (tag, name) = match name.split_last()? {
        (b'>', name) => (0xa5, name),
        (b'<', name) => (0xa6, name),
        (b'~', name) => (0xa8, name),
        // Matching rules are asked by nobody here.
        (b':', _) => return None,
        _ => (0xa3, name),
    };
    let name = name.trim_ascii();
    if name.is_empty() {
        return None;
    }
    if tag == 0xa3 && value == b"*" {
        put(out, 0x87, name);
        return Some(());
    }
    let mut content = Vec::new();
    put(&mut content, OCTETS, name);
    if tag == 0xa3 && value.contains(&b'*') {
        let mut parts = Vec::new();
        let last = value.split(|octet| *octet == b'*').count().saturating_sub(1);
        for (index, part) in value.split(|octet| *octet == b'*').enumerate() {
            let tag = if index == 0 {
                0x80
            } else if index == last {
                0x82
            } else {
                0x81
            };
            if !part.is_empty() {
                put(&mut parts, tag, &plain(part)?);
            }
        }
        put(&mut content, super::ber::SEQUENCE, &parts);
        put(out, 0xa4, &content);
        return Some(());
    }
    put(&mut content, OCTETS, &plain(value)?);
    put(out, tag, &content);
    Some(())
}

/// A value without its escapes.
fn plain(value: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(value.len());
    let mut octets = value.iter();
    while let Some(octet) = octets.next() {
        if *octet == b'\\' {
            let mut digit = || char::from(*octets.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            out.push(u8::try_from(high.checked_mul(16)?.checked_add(low)?).ok()?);
        } else {
            out.push(*octet);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_filter_has_the_form_of_the_standard() {
        let wire = encode(b"(&(a=b)(!(c=*)))").unwrap();
        let expected = [0xa0, 13, 0xa3, 6, 4, 1, b'a', 4, 1, b'b', 0xa2, 3, 0x87, 1, b'c'];
        assert_eq!(wire, expected);
        let parts = encode(b"uid=a*b*c").unwrap();
        let inner = [0x80, 1, b'a', 0x81, 1, b'b', 0x82, 1, b'c'];
        assert_eq!(parts.get(parts.len() - 9..), Some(&inner[..]));
    }

    #[test]
    fn a_key_can_not_say_more_than_a_value() {
        let filled = fill(b"(uid=%0)", b"x)(uid=*", &[]);
        assert_eq!(filled, b"(uid=x\\29\\28uid=\\2a)");
        let mut expected = Vec::new();
        put(&mut expected, OCTETS, b"uid");
        put(&mut expected, OCTETS, b"x)(uid=*");
        assert_eq!(encode(&filled).unwrap().get(2..), Some(&expected[..]));
    }

    #[test]
    fn what_is_no_filter_is_none() {
        for text in ["", "(", "(a=b", "(&", "uid", "(!(a=b)(c=d))", "(a=\\2)", "(a=b))"] {
            assert_eq!(encode(text.as_bytes()), None, "{text}");
        }
        assert_eq!(encode("(!".repeat(1000).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn any_octets_are_a_filter_or_none(text in proptest::collection::vec(any::<u8>(), 0..80)) {
            drop(encode(&text));
            drop(fill(&text, &text, &[]));
        }
    }
}
