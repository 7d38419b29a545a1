//! Keeping house: room, segments that can go, segments that are mostly dead.

use crate::batch::Effect;
use crate::index::Row;
use crate::log::Log;
use crate::record::segment_name;
use crate::{Event, Room, Slot, Spool as _};

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
        if room != self.room {
            let text =
                if room == Room::Low { "the disk is nearly full" } else { "there is room again" };
            self.events.push(Event(text.into()));
        }
        self.room = room;
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
            if row.message.segment == segment
                && let Ok((header, payload)) = self.read(row.id, row.message)
                && let Ok(shard) = self.shard_mut(row.id)
                && let Ok(at) = shard.open.put(header.kind, header.extra, row.id, &[&payload])
            {
                shard.open.effects.push(Effect::Moved { slot, id: row.id, at });
            }
            if row.note.segment == segment
                && let Ok((_, note)) = self.read(row.id, row.note)
            {
                // Not taken now: it is tried again in a later turn.
                self.note(slot, &note).ok();
            }
        }
    }
}
