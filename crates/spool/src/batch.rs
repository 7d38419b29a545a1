//! The open batch of a shard: records one behind the other, and what follows when they are durable.

use crate::index::{Place, Row};
use crate::record::{BATCH_HEADER_BYTES, BatchHeader, Header, Kind, RECORD_HEADER_BYTES};
use crate::{Refused, Slot};
use sys::disk::AlignedBuffer;

/// Octets of a batch at most.
pub(crate) const BATCH_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Octets of memory that an empty batch keeps at most.
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What follows when the batch is durable. Places are offsets in the batch until then.
#[derive(Debug)]
pub(crate) enum Effect {
    /// A message of somebody who waits, or of our own making.
    Stored { ticket: u64, slot: Slot, id: u64, at: Place, is_own: bool },
    /// A message that was moved out of a segment.
    Moved { slot: Slot, id: u64, at: Place },
    /// A note.
    Noted { slot: Slot, id: u64, at: Place },
    /// The end of a message.
    Ended { row: Row, is_large: bool },
}

impl Effect {
    /// Whether it is a message of our own making.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self, Self::Stored { is_own: true, .. })
    }
}

/// A batch that is being filled.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) buffer: AlignedBuffer,
    pub(crate) effects: Vec<Effect>,
    awaited: usize,
    /// Large bodies to be made durable first: their unfinished names, and their ids.
    pub(crate) large: Vec<(String, u64)>,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// A message that somebody waits for is in it.
    pub(crate) fn stored(&mut self, effect: Effect) {
        self.effects.push(effect);
        self.awaited = self.awaited.saturating_add(1);
    }

    /// Empties it; its memory is kept, if it is not much.
    pub(crate) fn clear(&mut self) {
        if self.buffer.len() > KEPT_BYTES_MAX {
            self.buffer = AlignedBuffer::default();
        }
        self.buffer.clear();
        self.effects.clear();
        self.large.clear();
        self.awaited = 0;
    }

    /// Messages that somebody waits for.
    pub(crate) fn awaited(&self) -> usize {
        self.awaited
    }

    /// Appends a record. Its place is relative to the batch.
    pub(crate) fn put(
        &mut self,
        kind: Kind,
        extra: u32,
        id: u64,
        parts: &[&[u8]],
    ) -> Result<Place, Refused> {
        let header = Header::of(kind, extra, id, parts).ok_or(Refused::TooLarge)?;
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        let end = self.buffer.len().saturating_add(length).saturating_add(RECORD_HEADER_BYTES);
        if end > BATCH_BYTES_MAX {
            return Err(if self.is_empty() { Refused::TooLarge } else { Refused::Full });
        }
        let offset = self.begin_record()?;
        self.buffer.extend_from_slice(&header.encode());
        for part in parts {
            self.buffer.extend_from_slice(part);
        }
        Ok(Place { segment: 0, offset, length: header.length })
    }

    /// Appends a record as it stands in a batch that was not written.
    pub(crate) fn put_again(&mut self, other: &AlignedBuffer, at: Place) -> Result<Place, Refused> {
        let begin = usize::try_from(at.offset).map_err(|_| Refused::TooLarge)?;
        let length = usize::try_from(at.length).map_err(|_| Refused::TooLarge)?;
        let length = length.saturating_add(RECORD_HEADER_BYTES);
        let record = other.as_slice().get(begin..begin.saturating_add(length));
        let record = record.ok_or(Refused::TooLarge)?;
        if self.buffer.len().saturating_add(length) > BATCH_BYTES_MAX {
            return Err(Refused::Full);
        }
        let offset = self.begin_record()?;
        self.buffer.extend_from_slice(record);
        Ok(Place { segment: 0, offset, length: at.length })
    }

    fn begin_record(&mut self) -> Result<u32, Refused> {
        if self.buffer.is_empty() {
            self.buffer.extend_from_slice(&[0; BATCH_HEADER_BYTES]);
        }
        u32::try_from(self.buffer.len()).map_err(|_| Refused::TooLarge)
    }

    /// Whether so many octets in so many records go into it.
    pub(crate) fn takes(&self, octets: usize, records: usize) -> Result<(), Refused> {
        let headers = records.saturating_mul(RECORD_HEADER_BYTES);
        let wanted = octets.saturating_add(headers).saturating_add(BATCH_HEADER_BYTES);
        if wanted > BATCH_BYTES_MAX {
            return Err(Refused::TooLarge);
        }
        let end = self.buffer.len().saturating_add(wanted);
        if end > BATCH_BYTES_MAX { Err(Refused::Full) } else { Ok(()) }
    }

    /// Writes the header over the room that was left for it, and fills the last block up.
    pub(crate) fn seal(&mut self, sequence: u64, spool: u64, segment: u32) {
        let records = self.buffer.as_slice().get(BATCH_HEADER_BYTES..).unwrap_or_default();
        let length = u32::try_from(records.len()).unwrap_or(0);
        let header = BatchHeader { length, sequence, spool, segment, crc: 0 }.summed(records);
        if let Some(place) = self.buffer.as_mut_slice().get_mut(..BATCH_HEADER_BYTES) {
            place.copy_from_slice(&header.encode());
        }
        self.buffer.pad();
    }
}
