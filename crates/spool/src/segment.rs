//! A segment: a file of 64 MiB that is written once, from its beginning to its end.
//!
//! ```text
//! header block   magic "IRONPOST" · format u32 · shard u32 · spool id 16 · number u32 · 0 × 4 · first stamp u64 · crc u32 (at 4092)
//! batches        each at a 4 KiB boundary
//! index          when it is full: 32 octets a record, in the order of the records
//! footer block   magic "IPsealed" · format u32 · shard u32 · spool id 16 · number u32 · count u32 · index offset u64 · crc of the index u32
//!                · last stamp u64 · crc u32 (at 4092)
//! ```
//!
//! The footer is the last block of the file, which is cut behind it. Where it is missing or broken, the batches are read.

use crate::buffer::{BLOCK, Buffer};
use crate::record::{Kind, SpoolId, put, u32_at, u64_at, u128_at};

/// The version of the format that is written. All versions up to it are read.
pub(crate) const FORMAT: u32 = 1;
/// Octets of an entry of the index.
pub(crate) const ENTRY: usize = 32;
/// Records of one segment at most, so that an index stays small (8 MiB).
pub(crate) const RECORDS_MAX: usize = 262_144;

const HEADER_MAGIC: [u8; 8] = *b"IRONPOST";
const FOOTER_MAGIC: [u8; 8] = *b"IPsealed";
/// Where the checksum of a header or footer block stands.
const CRC_AT: usize = BLOCK - 4;

/// Which segment this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) spool: SpoolId,
    pub(crate) shard: u32,
    /// Unique over all shards; never used twice.
    pub(crate) number: u32,
}

impl Name {
    pub(crate) fn file(number: u32) -> String {
        format!("{number:08}.seg")
    }

    pub(crate) fn number_of(file: &str) -> Option<u32> {
        let digits = file.strip_suffix(".seg")?;
        let number = digits.parse().ok().filter(|&number| number > 0)?;
        (Self::file(number) == file).then_some(number)
    }
}

/// What stands in a header block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) format: u32,
    pub(crate) name: Name,
    /// No stamp in the segment is below it.
    pub(crate) first_stamp: u64,
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut block = vec![0_u8; BLOCK];
        put_name(&mut block, HEADER_MAGIC, self.format, &self.name);
        put(&mut block, 40, &self.first_stamp.to_le_bytes());
        seal_block(block)
    }

    pub(crate) fn decode(block: &[u8]) -> Option<Self> {
        let (format, name) = name_of(block, HEADER_MAGIC)?;
        Some(Self { format, name, first_stamp: u64_at(block, 40)? })
    }
}

/// What stands in a footer block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) name: Name,
    pub(crate) count: u32,
    pub(crate) index_offset: u64,
    pub(crate) index_crc: u32,
    pub(crate) last_stamp: u64,
}

impl Footer {
    fn encode(&self) -> Vec<u8> {
        let mut block = vec![0_u8; BLOCK];
        put_name(&mut block, FOOTER_MAGIC, FORMAT, &self.name);
        put(&mut block, 36, &self.count.to_le_bytes());
        put(&mut block, 40, &self.index_offset.to_le_bytes());
        put(&mut block, 48, &self.index_crc.to_le_bytes());
        put(&mut block, 56, &self.last_stamp.to_le_bytes());
        seal_block(block)
    }

    pub(crate) fn decode(block: &[u8]) -> Option<Self> {
        let (_, name) = name_of(block, FOOTER_MAGIC)?;
        let footer = Self {
            name,
            count: u32_at(block, 36)?,
            index_offset: u64_at(block, 40)?,
            index_crc: u32_at(block, 48)?,
            last_stamp: u64_at(block, 56)?,
        };
        usize::try_from(footer.count).is_ok_and(|count| count <= RECORDS_MAX).then_some(footer)
    }
}

/// What the index says of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) id: u64,
    /// The stamp of its batch.
    pub(crate) stamp: u64,
    /// Where the record's header begins, in the segment.
    pub(crate) offset: u32,
    /// Octets of its payload.
    pub(crate) len: u32,
    pub(crate) split: u32,
}

impl Entry {
    fn encode(&self) -> [u8; ENTRY] {
        let mut bytes = [0_u8; ENTRY];
        put(&mut bytes, 0, &self.id.to_le_bytes());
        put(&mut bytes, 8, &self.stamp.to_le_bytes());
        put(&mut bytes, 16, &self.offset.to_le_bytes());
        put(&mut bytes, 20, &self.len.to_le_bytes());
        put(&mut bytes, 24, &self.split.to_le_bytes());
        put(&mut bytes, 28, &[self.kind.code()]);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            id: u64_at(bytes, 0)?,
            stamp: u64_at(bytes, 8)?,
            offset: u32_at(bytes, 16)?,
            len: u32_at(bytes, 20)?,
            split: u32_at(bytes, 24)?,
            kind: Kind::from_code(*bytes.get(28)?)?,
        })
    }
}

/// Octets of an index with its padding and the footer.
pub(crate) fn seal_size(count: usize) -> u64 {
    let index = count.saturating_mul(ENTRY).next_multiple_of(BLOCK);
    u64::try_from(index.saturating_add(BLOCK)).unwrap_or(u64::MAX)
}

/// Index and footer of a segment whose batches end at `end`.
pub(crate) fn seal(name: Name, entries: &[Entry], end: u64, last_stamp: u64) -> Buffer {
    let mut buffer = Buffer::with_capacity(usize::try_from(seal_size(entries.len())).unwrap_or(0));
    for entry in entries {
        buffer.extend(&entry.encode());
    }
    let footer = Footer {
        name,
        count: u32::try_from(entries.len()).unwrap_or(u32::MAX),
        index_offset: end,
        index_crc: crc32c::crc32c_append(name.spool.seed(), buffer.as_slice()),
        last_stamp,
    };
    buffer.pad();
    buffer.extend(&footer.encode());
    buffer
}

/// Reads an index; `None` if it is not the one that the footer speaks of.
pub(crate) fn index(bytes: &[u8], footer: &Footer) -> Option<Vec<Entry>> {
    let crc = crc32c::crc32c_append(footer.name.spool.seed(), bytes);
    if crc != footer.index_crc {
        return None;
    }
    bytes.chunks(ENTRY).map(Entry::decode).collect()
}

fn put_name(block: &mut [u8], magic: [u8; 8], format: u32, name: &Name) {
    put(block, 0, &magic);
    put(block, 8, &format.to_le_bytes());
    put(block, 12, &name.shard.to_le_bytes());
    put(block, 16, &name.spool.0.to_le_bytes());
    put(block, 32, &name.number.to_le_bytes());
}

fn seal_block(mut block: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c(block.get(..CRC_AT).unwrap_or_default());
    put(&mut block, CRC_AT, &crc.to_le_bytes());
    block
}

fn name_of(block: &[u8], magic: [u8; 8]) -> Option<(u32, Name)> {
    let is_whole =
        block.starts_with(&magic) && crc32c::crc32c(block.get(..CRC_AT)?) == u32_at(block, CRC_AT)?;
    let name = Name {
        spool: SpoolId(u128_at(block, 16)?),
        shard: u32_at(block, 12)?,
        number: u32_at(block, 32)?,
    };
    is_whole.then_some((u32_at(block, 8)?, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_index_is_read_back_and_a_changed_one_is_not() {
        let name = Name { spool: SpoolId(9), shard: 1, number: 5 };
        let entry = Entry { kind: Kind::Note, id: 1, stamp: 2, offset: 4160, len: 4, split: 5 };
        let sealed = seal(name, &[entry; 200], 8192, 2);
        let bytes = sealed.as_slice();
        assert_eq!(u64::try_from(bytes.len()).unwrap(), seal_size(200));
        let footer = Footer::decode(&bytes[bytes.len() - BLOCK..]).unwrap();
        assert_eq!(footer.index_offset, 8192);
        let mut entries = bytes[..200 * ENTRY].to_vec();
        assert_eq!(index(&entries, &footer), Some(vec![entry; 200]));
        entries[77] ^= 1;
        assert_eq!(index(&entries, &footer), None);
    }

    #[test]
    fn a_segment_has_one_name() {
        assert_eq!(Name::number_of(&Name::file(42)), Some(42));
        for name in ["42.seg", "00000042", "0000004x.seg", "00000000.seg", "+0000042.seg"] {
            assert_eq!(Name::number_of(name), None, "{name}");
        }
    }
}
