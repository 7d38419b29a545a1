//! Records and batches as octets. Little-endian; every length is checked before it is believed.
//!
//! ```text
//! segment   header block (4096): magic "IRONSEG\n"  version u32  shard u32  number u32  crc u32  spool id u64
//! batch     at a block's border: magic "BATC"  length u32  sequence u64  spool id u64  number u32  crc u32
//!           then `length` octets of records, then zeros to the border. crc: of everything but itself.
//! record    length u32  crc u32  kind u8  zeros [3]  extra u32  id u64   then `length` octets
//! ```
//!
//! A batch is valid only as a whole, with the sequence number that comes next, the id of this spool and the number of this
//! segment: octets of an earlier life of the disk never look valid.

/// Version of the format.
pub(crate) const VERSION: u32 = 1;

/// Octets of a block.
pub(crate) const BLOCK_BYTES: usize = sys::disk::BLOCK_BYTES;

const SEGMENT_MAGIC: &[u8; 8] = b"IRONSEG\n";
const BATCH_MAGIC: &[u8; 4] = b"BATC";

/// Octets of a batch's header.
pub(crate) const BATCH_HEADER_BYTES: usize = 32;

/// Octets of a record's header.
pub(crate) const RECORD_HEADER_BYTES: usize = 24;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Envelope (`extra` octets) and body.
    Message,
    /// Envelope and the length of the body's file (u64).
    Large,
    /// A note.
    Note,
    /// The end of a message.
    Done,
}

impl Kind {
    fn octet(self) -> u8 {
        match self {
            Self::Message => 1,
            Self::Large => 2,
            Self::Note => 3,
            Self::Done => 4,
        }
    }

    fn from_octet(octet: u8) -> Option<Self> {
        [Self::Message, Self::Large, Self::Note, Self::Done]
            .into_iter()
            .find(|k| k.octet() == octet)
    }
}

/// A record's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) length: u32,
    pub(crate) crc: u32,
    pub(crate) kind: Kind,
    pub(crate) extra: u32,
    pub(crate) id: u64,
}

fn u32_at(octets: &[u8], place: usize) -> u32 {
    let part = octets.get(place..).and_then(|rest| rest.first_chunk::<4>());
    u32::from_le_bytes(part.copied().unwrap_or_default())
}

fn u64_at(octets: &[u8], place: usize) -> u64 {
    let part = octets.get(place..).and_then(|rest| rest.first_chunk::<8>());
    u64::from_le_bytes(part.copied().unwrap_or_default())
}

impl Header {
    /// The header of a record of these parts.
    pub(crate) fn of(kind: Kind, extra: u32, id: u64, parts: &[&[u8]]) -> Option<Self> {
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        let mut header = Self { length: u32::try_from(length).ok()?, crc: 0, kind, extra, id };
        header.crc = header.sum(parts);
        Some(header)
    }

    fn sum(&self, parts: &[&[u8]]) -> u32 {
        let bare = Self { crc: 0, ..*self };
        parts
            .iter()
            .fold(crc32c::crc32c(&bare.encode()), |sum, part| crc32c::crc32c_append(sum, part))
    }

    /// Whether these are the octets it was made of.
    pub(crate) fn fits(&self, payload: &[u8]) -> bool {
        usize::try_from(self.length) == Ok(payload.len()) && self.sum(&[payload]) == self.crc
    }

    pub(crate) fn encode(&self) -> [u8; RECORD_HEADER_BYTES] {
        let mut out = [0; RECORD_HEADER_BYTES];
        let words = [self.length.to_le_bytes(), self.crc.to_le_bytes()];
        let kind = [self.kind.octet(), 0, 0, 0];
        let parts: [&[u8]; 4] =
            [words.as_flattened(), &kind, &self.extra.to_le_bytes(), &self.id.to_le_bytes()];
        for (place, octet) in out.iter_mut().zip(parts.concat()) {
            *place = octet;
        }
        out
    }

    pub(crate) fn decode(octets: &[u8]) -> Option<Self> {
        let head = octets.get(..RECORD_HEADER_BYTES)?;
        Some(Self {
            length: u32_at(head, 0),
            crc: u32_at(head, 4),
            kind: Kind::from_octet(*head.get(8)?)?,
            extra: u32_at(head, 12),
            id: u64_at(head, 16),
        })
    }
}

/// A batch's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) length: u32,
    pub(crate) sequence: u64,
    pub(crate) spool: u64,
    pub(crate) segment: u32,
    pub(crate) crc: u32,
}

impl BatchHeader {
    /// The header with the sum of itself and the records.
    pub(crate) fn summed(mut self, records: &[u8]) -> Self {
        self.crc = self.sum(records);
        self
    }

    fn sum(&self, records: &[u8]) -> u32 {
        let bare = Self { crc: 0, ..*self };
        crc32c::crc32c_append(crc32c::crc32c(&bare.encode()), records)
    }

    /// Whether these are the records it was made of.
    pub(crate) fn fits(&self, records: &[u8]) -> bool {
        self.sum(records) == self.crc
    }

    pub(crate) fn encode(&self) -> [u8; BATCH_HEADER_BYTES] {
        let mut out = [0; BATCH_HEADER_BYTES];
        let parts: [&[u8]; 6] = [
            BATCH_MAGIC,
            &self.length.to_le_bytes(),
            &self.sequence.to_le_bytes(),
            &self.spool.to_le_bytes(),
            &self.segment.to_le_bytes(),
            &self.crc.to_le_bytes(),
        ];
        for (place, octet) in out.iter_mut().zip(parts.concat()) {
            *place = octet;
        }
        out
    }

    pub(crate) fn decode(octets: &[u8]) -> Option<Self> {
        let head = octets.get(..BATCH_HEADER_BYTES)?;
        head.starts_with(BATCH_MAGIC).then(|| Self {
            length: u32_at(head, 4),
            sequence: u64_at(head, 8),
            spool: u64_at(head, 16),
            segment: u32_at(head, 24),
            crc: u32_at(head, 28),
        })
    }
}

/// The first block of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) version: u32,
    pub(crate) shard: u32,
    pub(crate) number: u32,
    pub(crate) spool: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = SEGMENT_MAGIC.to_vec();
        for word in [self.version, self.shard, self.number] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.sum().to_le_bytes());
        out.extend_from_slice(&self.spool.to_le_bytes());
        out.resize(BLOCK_BYTES, 0);
        out
    }

    fn sum(&self) -> u32 {
        let words = [self.version, self.shard, self.number].map(u32::to_le_bytes);
        crc32c::crc32c_append(crc32c::crc32c(words.as_flattened()), &self.spool.to_le_bytes())
    }

    pub(crate) fn decode(octets: &[u8]) -> Option<Self> {
        let head = octets.get(..32)?;
        let header = Self {
            version: u32_at(head, 8),
            shard: u32_at(head, 12),
            number: u32_at(head, 16),
            spool: u64_at(head, 24),
        };
        (head.starts_with(SEGMENT_MAGIC) && u32_at(head, 20) == header.sum()).then_some(header)
    }
}

/// The name of a segment.
pub(crate) fn segment_name(shard: u32, number: u32) -> String {
    format!("log/{shard}/{number:08}.seg")
}

/// The name of a large body.
pub(crate) fn large_name(id: u64) -> String {
    format!("large/{id:016x}")
}
