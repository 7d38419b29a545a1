//! The bytes of a commit: records, and the batch around them.
//!
//! ```text
//! batch    magic "IPbatch1" · spool id 16 · stamp u64 · shard u32 · segment u32 · length u32 · count u32 · 0 × 12 · crc u32
//!          records (length octets)
//!          trailer: magic "IPcommit" · stamp u64 · length u32 · crc u32
//!          zeros up to the next 4 KiB
//! record   payload length u32 · kind u8 · 0 × 3 · id u64 · split u32 · stamp (low half) u32 · crc u32 · payload
//! ```
//!
//! All numbers are little-endian, all checksums CRC-32C. The checksum of a record starts from that of the spool id, so that
//! nothing from another spool, and nothing that a sender wrote into his message, looks like a record. Stamps only
//! ever grow, over all shards and lives of the spool: what an earlier life left on the disk has an older one.

use crate::buffer::{BLOCK, Buffer};

/// Octets of a batch's header.
pub(crate) const BATCH_HEADER: usize = 64;
/// Octets of a batch's trailer.
pub(crate) const TRAILER: usize = 24;
/// Octets of a record's header.
pub(crate) const RECORD_HEADER: usize = 28;
/// Octets of the records of one batch at most.
pub(crate) const BATCH_MAX: usize = 8 * 1024 * 1024;

const BATCH_MAGIC: &[u8; 8] = b"IPbatch1";
const TRAILER_MAGIC: &[u8; 8] = b"IPcommit";

/// The random name of a spool: what every checksum in it starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpoolId(pub(crate) u128);

impl SpoolId {
    pub(crate) fn seed(self) -> u32 {
        crc32c::crc32c(&self.0.to_le_bytes())
    }
}

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A message: its envelope (`split` octets) and its body.
    Message,
    /// A message whose body is a file: its envelope (`split` octets) and the body's length (u64).
    Large,
    /// What became of its recipients so far, in place of all earlier notes.
    Note,
    /// The message is finished. `split` is the segment in which it lay, or [`SPLIT_UNKNOWN`].
    Done,
}

/// In a Done: the message was just being moved from one segment to another.
pub(crate) const SPLIT_UNKNOWN: u32 = u32::MAX;

impl Kind {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Message => 1,
            Self::Large => 2,
            Self::Note => 3,
            Self::Done => 4,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Message),
            2 => Some(Self::Large),
            3 => Some(Self::Note),
            4 => Some(Self::Done),
            _ => None,
        }
    }
}

/// The header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    pub(crate) id: u64,
    pub(crate) split: u32,
    /// The stamp of its batch, modulo 2^32.
    pub(crate) stamp_low: u32,
    /// Octets of the payload.
    pub(crate) len: u32,
}

impl Record {
    /// Octets with the header.
    pub(crate) fn size(&self) -> u64 {
        u64::from(self.len).saturating_add(28)
    }

    /// Appends header and payload (in two parts).
    pub(crate) fn write(&self, seed: u32, payload: [&[u8]; 2], out: &mut Buffer) {
        let mut header = [0_u8; RECORD_HEADER];
        put(&mut header, 0, &self.len.to_le_bytes());
        put(&mut header, 4, &[self.kind.code()]);
        put(&mut header, 8, &self.id.to_le_bytes());
        put(&mut header, 16, &self.split.to_le_bytes());
        put(&mut header, 20, &self.stamp_low.to_le_bytes());
        let mut crc = crc32c::crc32c_append(seed, header.get(..24).unwrap_or_default());
        for part in payload {
            crc = crc32c::crc32c_append(crc, part);
        }
        put(&mut header, 24, &crc.to_le_bytes());
        out.extend(&header);
        for part in payload {
            out.extend(part);
        }
    }

    /// Reads a header; nothing is checked but that the kind is one.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            len: u32_at(bytes, 0)?,
            kind: Kind::from_code(*bytes.get(4)?)?,
            id: u64_at(bytes, 8)?,
            split: u32_at(bytes, 16)?,
            stamp_low: u32_at(bytes, 20)?,
        })
    }

    /// Reads a record and checks it: the header, and the payload after it. Octets behind it are ignored.
    pub(crate) fn check(bytes: &[u8], seed: u32) -> Option<(Self, &[u8])> {
        let record = Self::read(bytes)?;
        let len = usize::try_from(record.len).ok()?;
        let payload = bytes.get(RECORD_HEADER..RECORD_HEADER.checked_add(len)?)?;
        let crc = crc32c::crc32c_append(seed, bytes.get(..24)?);
        (crc32c::crc32c_append(crc, payload) == u32_at(bytes, 24)?).then_some((record, payload))
    }
}

/// The header of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHead {
    pub(crate) spool: SpoolId,
    pub(crate) stamp: u64,
    pub(crate) shard: u32,
    pub(crate) segment: u32,
    /// Octets of the records.
    pub(crate) len: u32,
    /// Number of records.
    pub(crate) count: u32,
}

impl BatchHead {
    pub(crate) fn encode(&self) -> [u8; BATCH_HEADER] {
        let mut bytes = [0_u8; BATCH_HEADER];
        put(&mut bytes, 0, BATCH_MAGIC);
        put(&mut bytes, 8, &self.spool.0.to_le_bytes());
        put(&mut bytes, 24, &self.stamp.to_le_bytes());
        put(&mut bytes, 32, &self.shard.to_le_bytes());
        put(&mut bytes, 36, &self.segment.to_le_bytes());
        put(&mut bytes, 40, &self.len.to_le_bytes());
        put(&mut bytes, 44, &self.count.to_le_bytes());
        let crc = crc32c::crc32c(bytes.get(..60).unwrap_or_default());
        put(&mut bytes, 60, &crc.to_le_bytes());
        bytes
    }

    /// Reads a header; `None` if it is none, or not whole.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let is_whole = bytes.starts_with(BATCH_MAGIC)
            && crc32c::crc32c(bytes.get(..60)?) == u32_at(bytes, 60)?;
        let head = Self {
            spool: SpoolId(u128_at(bytes, 8)?),
            stamp: u64_at(bytes, 24)?,
            shard: u32_at(bytes, 32)?,
            segment: u32_at(bytes, 36)?,
            len: u32_at(bytes, 40)?,
            count: u32_at(bytes, 44)?,
        };
        let fits = usize::try_from(head.len).is_ok_and(|len| len <= BATCH_MAX)
            && u64::from(head.count) * 28 <= u64::from(head.len);
        (is_whole && fits).then_some(head)
    }

    /// The trailer that makes this batch a commit.
    pub(crate) fn trailer(&self) -> [u8; TRAILER] {
        let mut bytes = [0_u8; TRAILER];
        put(&mut bytes, 0, TRAILER_MAGIC);
        put(&mut bytes, 8, &self.stamp.to_le_bytes());
        put(&mut bytes, 16, &self.len.to_le_bytes());
        let crc = crc32c::crc32c_append(self.spool.seed(), bytes.get(..20).unwrap_or_default());
        put(&mut bytes, 20, &crc.to_le_bytes());
        bytes
    }

    /// Octets of the whole batch with header, trailer and padding.
    pub(crate) fn size(&self) -> u64 {
        batch_size(u64::from(self.len))
    }
}

/// Octets of a batch with so many octets of records.
pub(crate) fn batch_size(len: u64) -> u64 {
    let block = 4096;
    len.saturating_add(64 + 24).next_multiple_of(block)
}

/// Zeros a batch begins with, until its header is known.
pub(crate) fn begin_batch(buffer: &mut Buffer) {
    buffer.clear();
    buffer.extend(&[0; BATCH_HEADER]);
}

/// Puts header, trailer and padding around the records.
pub(crate) fn end_batch(buffer: &mut Buffer, head: &BatchHead) {
    buffer.put_at(0, &head.encode());
    buffer.extend(&head.trailer());
    buffer.pad();
    debug_assert_eq!(buffer.len() % BLOCK, 0, "a batch is whole blocks");
}

/// Writes octets into an array; what would not fit is left out.
pub(crate) fn put(bytes: &mut [u8], at: usize, octets: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at.saturating_add(octets.len())) {
        place.copy_from_slice(octets);
    }
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|octets| u32::from_le_bytes(*octets))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|octets| u64::from_le_bytes(*octets))
}

pub(crate) fn u128_at(bytes: &[u8], at: usize) -> Option<u128> {
    bytes.get(at..)?.first_chunk().map(|octets| u128::from_le_bytes(*octets))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written_and_no_bit_of_it_may_change(
            id: u64, split: u32, payload: Vec<u8>, at: prop::sample::Index, bit in 0_u8..8,
        ) {
            let record = Record {
                kind: Kind::Message, id, split, stamp_low: 7,
                len: u32::try_from(payload.len()).unwrap(),
            };
            let mut buffer = Buffer::with_capacity(0);
            record.write(5, [&payload, b""], &mut buffer);
            let mut bytes = buffer.as_slice().to_vec();
            prop_assert_eq!(Record::check(&bytes, 5), Some((record, payload.as_slice())));
            prop_assert_eq!(Record::check(&bytes, 6), None);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(Record::check(&bytes, 5), None);
        }

        #[test]
        fn any_bytes_are_a_header_or_not(bytes: Vec<u8>) {
            prop_assert_eq!(Record::check(&bytes, 0), None);
            prop_assert_eq!(BatchHead::decode(&bytes), None);
        }
    }
}
