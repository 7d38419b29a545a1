//! Keeping house: room, segments that can go, segments that are mostly dead.

use crate::batch::Effect;
use crate::index::Row;
use crate::log::Log;
use crate::record::segment_name;
use crate::{Error, Event, Room, Slot, Spool as _};

/// A segment with less than this part alive (a fourth) is compacted.
const ALIVE_PARTS: u64 = 4;

/// Segments of a shard below which nothing is compacted: there is nothing to win.
const SEGMENTS_MIN: usize = 4;

/// Octets that are moved in one turn, so that compaction never stands in anybody's way.
const MOVED_BYTES_MAX: u64 = 1024 * 1024;

impl Log {
    /// Little room is none: it begins to be enough again only with some more.
    pub(crate) fn look_at_room(&mut self) {
        let Ok(free) = self.disk.free_bytes() else { return };
        let wanted = match self.room {
            Room::Enough => self.options.free_bytes_min,
            Room::Low => self.options.free_bytes_min.saturating_add(self.options.segment_bytes),
        };
        let room = if free < wanted { Room::Low } else { Room::Enough };
        // That it ends is told by who refuses messages then.
        if self.room == Room::Low && room == Room::Enough {
            self.events.push(Event("there is room again".into()));
        }
        self.room = room;
        self.free_bytes = free;
    }

    /// Removes segments that can go, oldest first.
    pub(crate) fn free_segments(&mut self) {
        for number in 0..self.shards.len() {
            while let Some(shard) = self.shards.get_mut(number) {
                let Some(segment) = shard.segments.empty(shard.segment) else { break };
                let shard_number = u32::try_from(number).unwrap_or(u32::MAX);
                if let Err(error) = self.disk.remove(&segment_name(shard_number, segment)) {
                    self.events.push(Event(format!("a segment can't be removed: {error}")));
                    return;
                }
                shard.segments.holdings.remove(&segment);
                self.readers.remove(&(number, segment));
            }
        }
    }

    /// Moves a little of what is alive out of the deadest segment.
    pub(crate) fn compact(&mut self) {
        for number in 0..self.shards.len() {
            let Some(shard) = self.shards.get(number) else { return };
            if shard.segments.holdings.len() < SEGMENTS_MIN || !shard.open.is_empty() {
                continue;
            }
            let bound = self.options.segment_bytes / ALIVE_PARTS;
            let current = shard.segment;
            let deadest = shard
                .segments
                .holdings
                .iter()
                .filter(|(segment, holding)| **segment < current && holding.live > 0)
                .filter(|(_, holding)| holding.live_bytes < bound)
                .min_by_key(|(_, holding)| holding.live_bytes)
                .map(|(&segment, _)| segment);
            if let Some(segment) = deadest {
                self.move_out(number, segment);
            }
        }
    }

    fn move_out(&mut self, number: usize, segment: u32) {
        let shards = self.shards.len();
        let here = |row: &Row| {
            crate::log::shard_of(row.id, shards) == number
                && (row.message.segment == segment || row.note.segment == segment)
        };
        let rows: Vec<(Slot, Row)> = self
            .index
            .iter()
            .filter(|(_, row)| here(row))
            .map(|(slot, row)| (slot, *row))
            .collect();
        let mut moved = 0_u64;
        for (slot, row) in rows {
            if moved > MOVED_BYTES_MAX {
                return;
            }
            moved = moved.saturating_add(u64::from(row.message.length));
            // The note goes along, wherever it lies and even if it is still on its way: recovery reads forward, and a
            // note in front of its message belongs to nobody.
            let Ok(note) = self.newest_note(slot, &row) else { continue };
            if row.message.segment == segment {
                let Ok((header, payload)) = self.read(row.id, row.message) else { continue };
                let Ok(shard) = self.shard_mut(row.id) else { continue };
                let put = shard.open.put(header.kind, header.extra, row.id, &[&payload]);
                let Ok(at) = put else { continue };
                shard.open.effects.push(Effect::Moved { slot, id: row.id, at });
            }
            if let Some(note) = note {
                // Not taken now: it is tried again in a later turn.
                self.note(slot, &note).ok();
            }
        }
    }

    /// The newest note of a message, durable or on its way.
    pub(crate) fn newest_note(&mut self, slot: Slot, row: &Row) -> Result<Option<Vec<u8>>, Error> {
        match self.notes.get(&slot) {
            Some(pending) => Ok(Some(pending.note.clone())),
            None if row.note.segment != 0 => Ok(Some(self.read(row.id, row.note)?.1)),
            None => Ok(None),
        }
    }
}
