//! How numbers and octets lie in our records: variable-length numbers (seven bits an octet, lowest
//! first) and octets with their length before them. A reader never trusts a length.

use alloc::{boxed::Box, vec::Vec};

/// What was wrong with octets that claimed to be one of our records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordError {
    /// The octets end before the record does.
    Short,
    /// A format version that this program does not know.
    Version(u8),
    /// A value that has no meaning in its place.
    Value,
    /// A count or length above its limit.
    TooMuch,
    /// Octets after the end of the record.
    Trailing,
}

/// Writes `value` in as few octets as it needs, at most ten.
pub(crate) fn put_number(out: &mut Vec<u8>, value: u64) {
    let mut rest = value;
    loop {
        let low = u8::try_from(rest & 0x7f).unwrap_or(0);
        rest >>= 7;
        if rest == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Writes a count or length.
pub(crate) fn put_count(out: &mut Vec<u8>, count: usize) {
    put_number(out, u64::try_from(count).unwrap_or(u64::MAX));
}

/// Writes octets after their length.
pub(crate) fn put_octets(out: &mut Vec<u8>, octets: &[u8]) {
    put_count(out, octets.len());
    out.extend_from_slice(octets);
}

/// Writes octets that may be missing: 0, or their length plus one and they themselves.
pub(crate) fn put_optional(out: &mut Vec<u8>, octets: Option<&[u8]>) {
    match octets {
        None => out.push(0),
        Some(octets) => {
            put_count(out, octets.len().saturating_add(1));
            out.extend_from_slice(octets);
        }
    }
}

/// What is left to read of a record.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }

    pub(crate) fn octet(&mut self) -> Result<u8, RecordError> {
        let (&first, rest) = self.rest.split_first().ok_or(RecordError::Short)?;
        self.rest = rest;
        Ok(first)
    }

    pub(crate) fn number(&mut self) -> Result<u64, RecordError> {
        let mut value = 0_u64;
        for shift in (0_u32..64).step_by(7) {
            let octet = self.octet()?;
            let part = u64::from(octet & 0x7f);
            let placed = part.checked_shl(shift).ok_or(RecordError::Value)?;
            if placed.checked_shr(shift) != Some(part) {
                return Err(RecordError::Value);
            }
            value |= placed;
            if octet & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(RecordError::Value)
    }

    pub(crate) fn number_32(&mut self) -> Result<u32, RecordError> {
        u32::try_from(self.number()?).map_err(|_| RecordError::Value)
    }

    pub(crate) fn number_16(&mut self) -> Result<u16, RecordError> {
        u16::try_from(self.number()?).map_err(|_| RecordError::Value)
    }

    /// A count of things that take at least one octet each, so that no count allocates more than
    /// the record could hold.
    pub(crate) fn count(&mut self, max: usize) -> Result<usize, RecordError> {
        let count = usize::try_from(self.number()?).map_err(|_| RecordError::TooMuch)?;
        if count > max {
            return Err(RecordError::TooMuch);
        }
        if count > self.rest.len() {
            return Err(RecordError::Short);
        }
        Ok(count)
    }

    pub(crate) fn octets(&mut self, max: usize) -> Result<Box<[u8]>, RecordError> {
        let length = self.count(max)?;
        self.take(length)
    }

    pub(crate) fn optional(&mut self, max: usize) -> Result<Option<Box<[u8]>>, RecordError> {
        match self.count_plus_one(max)? {
            None => Ok(None),
            Some(length) => self.take(length).map(Some),
        }
    }

    /// Fails unless everything was read.
    pub(crate) fn end(&self) -> Result<(), RecordError> {
        if self.rest.is_empty() { Ok(()) } else { Err(RecordError::Trailing) }
    }

    fn count_plus_one(&mut self, max: usize) -> Result<Option<usize>, RecordError> {
        let coded = usize::try_from(self.number()?).map_err(|_| RecordError::TooMuch)?;
        match coded.checked_sub(1) {
            Some(length) if length > max => Err(RecordError::TooMuch),
            other => Ok(other),
        }
    }

    fn take(&mut self, length: usize) -> Result<Box<[u8]>, RecordError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(RecordError::Short)?;
        self.rest = rest;
        Ok(taken.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_number_comes_back_as_it_was(value: u64) {
            let mut out = Vec::new();
            put_number(&mut out, value);
            prop_assert!(out.len() <= 10);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.number(), Ok(value));
            prop_assert_eq!(reader.end(), Ok(()));
        }

        #[test]
        fn any_octets_are_a_number_or_an_error(octets: Vec<u8>) {
            let mut reader = Reader::new(&octets);
            while reader.number().is_ok() {}
            let mut reader = Reader::new(&octets);
            while reader.optional(100).is_ok() {}
        }
    }
}
