//! The open batch of a shard: records one behind the other, and what follows when they are durable.

use crate::index::{Place, Row};
use crate::record::{BATCH_HEADER_BYTES, BatchHeader, Header, Kind, RECORD_HEADER_BYTES};
use crate::{Refused, Slot};
use sys::disk::AlignedBuffer;

/// Octets of a batch at most.
pub(crate) const BATCH_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What follows when the batch is durable. Places are offsets in the batch until then.
#[derive(Debug)]
pub(crate) enum Effect {
    /// A message of somebody who waits.
    Stored { ticket: u64, slot: Slot, id: u64, at: Place },
    /// A message that was moved out of a segment.
    Moved { slot: Slot, id: u64, at: Place },
    /// A note.
    Noted { slot: Slot, id: u64, at: Place },
    /// The end of a message.
    Ended { row: Row, is_large: bool },
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

    /// Empties it; its memory is kept.
    pub(crate) fn clear(&mut self) {
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
        if self.buffer.is_empty() {
            self.buffer.extend_from_slice(&[0; BATCH_HEADER_BYTES]);
        }
        let offset = u32::try_from(self.buffer.len()).map_err(|_| Refused::TooLarge)?;
        self.buffer.extend_from_slice(&header.encode());
        for part in parts {
            self.buffer.extend_from_slice(part);
        }
        Ok(Place { segment: 0, offset, length: header.length })
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
