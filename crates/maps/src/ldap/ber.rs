//! The Basic Encoding Rules as far as LDAP uses them (X.690; RFC 4511, 5.1): definite lengths, low tag numbers.

/// Tags.
pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const SEQUENCE: u8 = 0x30;

/// Appends an element.
pub(super) fn put(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    if let Ok(short @ 0..=0x7f) = u8::try_from(length) {
        out.push(short);
    } else {
        out.push(0x84);
        out.extend_from_slice(&length.to_be_bytes());
    }
    out.extend_from_slice(content);
}

/// Appends a number under a tag of its own.
pub(super) fn put_number(out: &mut Vec<u8>, tag: u8, number: u32) {
    let octets = number.to_be_bytes();
    let zeros = octets.iter().take(3).take_while(|octet| **octet == 0).count();
    let mut content = octets.get(zeros..).unwrap_or_default().to_vec();
    if content.first().is_some_and(|first| first & 0x80 != 0) {
        content.insert(0, 0);
    }
    put(out, tag, &content);
}

/// Takes the first element off: its tag and its content. `None`: there is no whole one.
pub(super) fn take<'a>(text: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (tag, rest) = text.split_first()?;
    let (length, taken) = length(rest)?;
    let rest = rest.get(taken..)?;
    let (content, rest) = rest.split_at_checked(length)?;
    *text = rest;
    Some((*tag, content))
}

/// The same, where only one tag is right.
pub(super) fn expect<'a>(text: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (found, content) = take(text)?;
    (found == tag).then_some(content)
}

/// The length behind a tag, and how many octets it takes itself.
pub(super) fn length(text: &[u8]) -> Option<(usize, usize)> {
    let (first, rest) = text.split_first()?;
    if first & 0x80 == 0 {
        return Some((usize::from(*first), 1));
    }
    let count = usize::from(first & 0x7f);
    if !(1..=4).contains(&count) {
        return None;
    }
    let octets = rest.get(..count)?;
    let length = octets.iter().fold(0_u32, |length, octet| (length << 8) | u32::from(*octet));
    Some((usize::try_from(length).ok()?, count.saturating_add(1)))
}

/// A small number: what result codes and message numbers are.
pub(super) fn number(content: &[u8]) -> Option<u32> {
    if content.is_empty() || content.len() > 5 || content.first()? & 0x80 != 0 {
        return None;
    }
    content
        .iter()
        .try_fold(0_u32, |number, octet| number.checked_mul(256)?.checked_add(u32::from(*octet)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_keep_their_sign_bit_clear() {
        let mut out = Vec::new();
        put_number(&mut out, INTEGER, 0);
        put_number(&mut out, INTEGER, 128);
        put_number(&mut out, INTEGER, 1_000_000);
        assert_eq!(out, [2, 1, 0, 2, 2, 0, 128, 2, 3, 0x0f, 0x42, 0x40]);
    }

    proptest! {
        #[test]
        fn what_was_put_is_taken(tag: u8, content in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut out = Vec::new();
            put(&mut out, tag, &content);
            let mut rest = out.as_slice();
            prop_assert_eq!(take(&mut rest), Some((tag, content.as_slice())));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn any_octets_end(octets in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut rest = octets.as_slice();
            while take(&mut rest).is_some() {}
            prop_assert!(number(&octets).is_none() || octets.len() <= 5);
        }
    }
}
