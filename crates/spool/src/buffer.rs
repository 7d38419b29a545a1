//! Memory that starts at a 4 KiB boundary, as direct writes want it, without unsafe code.
//!
//! A vector is allocated one block larger than asked, and what lies before the first boundary in it stays unused.
//! A vector never moves while it is within its capacity, so the boundary stays one; growing copies to a new one.

/// Octets of a block: the unit of everything in a segment.
pub(crate) const BLOCK: usize = 4096;

/// Octets in a row, the first of them at a boundary.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    /// An empty one with room for so many octets.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        let mut bytes: Vec<u8> = Vec::with_capacity(capacity.saturating_add(BLOCK));
        let start = bytes.as_ptr().align_offset(BLOCK).min(BLOCK);
        bytes.resize(start, 0);
        Self { bytes, start }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len().saturating_sub(self.start)
    }

    /// Octets that it holds in memory, used or not.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.truncate(self.start);
    }

    pub(crate) fn extend(&mut self, octets: &[u8]) {
        self.reserve(octets.len());
        self.bytes.extend_from_slice(octets);
    }

    /// Overwrites octets that are there; what would lie beyond the end is left out.
    pub(crate) fn put_at(&mut self, offset: usize, octets: &[u8]) {
        let from = self.start.saturating_add(offset);
        if let Some(place) = self.bytes.get_mut(from..from.saturating_add(octets.len())) {
            place.copy_from_slice(octets);
        }
    }

    /// Zeros up to the next boundary.
    pub(crate) fn pad(&mut self) {
        let missing = self.len().next_multiple_of(BLOCK).saturating_sub(self.len());
        self.reserve(missing);
        self.bytes.resize(self.bytes.len().saturating_add(missing), 0);
    }

    fn reserve(&mut self, more: usize) {
        if self.bytes.capacity().saturating_sub(self.bytes.len()) >= more {
            return;
        }
        let wanted = self.len().saturating_add(more).max(self.len().saturating_mul(2));
        let mut larger = Self::with_capacity(wanted);
        larger.bytes.extend_from_slice(self.as_slice());
        *self = larger;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_at_a_boundary_however_it_grows() {
        let mut buffer = Buffer::with_capacity(10);
        for round in 0_u8..100 {
            buffer.extend(&[round; 777]);
            assert_eq!(buffer.as_slice().as_ptr().align_offset(BLOCK), 0);
        }
        assert_eq!(buffer.len(), 77_700);
        buffer.put_at(777, b"here");
        buffer.pad();
        assert_eq!(buffer.len(), 77_824);
        assert_eq!(&buffer.as_slice()[776..782], &[0, b'h', b'e', b'r', b'e', 1]);
    }
}
