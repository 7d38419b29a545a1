//! Fields, one after the other, folded or not (RFC 5322, 2.2.3).

use alloc::vec::Vec;

/// A field of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name, as it was written.
    pub name: &'a [u8],
    /// What stands behind the colon, with line ends inside if it is folded, without the last one.
    pub value: &'a [u8],
    /// All of it, with its line end.
    pub whole: &'a [u8],
}

impl Field<'_> {
    /// Whether this is its name, in any case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// The fields at the beginning of a message; ends at the empty line or at the first line that is no field. Line ends may be
/// CR LF or LF.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields of a message, or of its header.
    #[must_use]
    pub const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// What stands behind the fields that were given: in the end the empty line and the body.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let name_end = name_end(self.rest)?;
        let mut end = line_end(self.rest, 0);
        while matches!(self.rest.get(end), Some(b' ' | b'\t')) {
            end = line_end(self.rest, end);
        }
        let (whole, rest) = self.rest.split_at_checked(end)?;
        let (name, value) = whole.split_at_checked(name_end)?;
        self.rest = rest;
        // A quirk: spaces before the colon (RFC 5322, 4.5 has them as obsolete).
        let name = name.trim_ascii_end();
        Some(Field { name, value: without_end(value.strip_prefix(b":")?), whole })
    }
}

/// The place of the colon, if a field begins here.
fn name_end(text: &[u8]) -> Option<usize> {
    let colon = text.iter().position(|&octet| octet == b':' || octet == b'\n')?;
    let name = text.get(..colon)?.trim_ascii_end();
    let is_field = text.get(colon) == Some(&b':') && !name.is_empty();
    (is_field && name.iter().all(|octet| matches!(octet, b'!'..=b'~'))).then_some(colon)
}

/// The place behind the end of the line that holds `from`.
fn line_end(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    memchr::memchr(b'\n', rest).map_or(text.len(), |at| from.saturating_add(at).saturating_add(1))
}

fn without_end(value: &[u8]) -> &[u8] {
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    value.strip_suffix(b"\r").unwrap_or(value)
}

/// A value without its folds, and without spaces around it.
#[must_use]
pub fn unfold(value: &[u8]) -> Vec<u8> {
    let plain: Vec<u8> =
        value.iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n')).collect();
    plain.trim_ascii().to_vec()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Names with unfolded values, and the rest.
    type Read<'a> = (Vec<(&'a [u8], Vec<u8>)>, &'a [u8]);

    fn read(message: &[u8]) -> Read<'_> {
        let mut fields = Fields::new(message);
        let mut all = Vec::new();
        for field in fields.by_ref() {
            all.push((field.name, unfold(field.value)));
        }
        (all, fields.rest())
    }

    #[test]
    fn folded_fields_are_one_field() {
        let (fields, rest) = read(b"Subject: a\r\n  b\r\nTo : x\nEmpty:\r\n\r\nbody: x\r\n");
        let expected: [(&[u8], &[u8]); 3] = [(b"Subject", b"a  b"), (b"To", b"x"), (b"Empty", b"")];
        let fields: Vec<(&[u8], &[u8])> =
            fields.iter().map(|(name, value)| (*name, &value[..])).collect();
        assert_eq!(fields, expected);
        assert_eq!(rest, b"\r\nbody: x\r\n");
    }

    #[test]
    fn a_line_that_is_no_field_ends_the_header() {
        assert_eq!(read(b"A: b\r\nno field\r\nC: d\r\n").1, b"no field\r\nC: d\r\n");
        assert_eq!(read(b" x: y\r\n").0, []);
        assert_eq!(read(b"\xe4: y\r\n").0, []);
        assert_eq!(read(b": y\r\n").0, []);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_between_fields(message: Vec<u8>) {
            let mut fields = Fields::new(&message);
            let mut whole: Vec<u8> = Vec::new();
            for field in fields.by_ref() {
                whole.extend_from_slice(field.whole);
            }
            whole.extend_from_slice(fields.rest());
            prop_assert_eq!(whole, message);
        }
    }
}
