//! Which segment is still needed, and why.
//!
//! A segment is needed while (1) a queued message or its newest note lies in it, or (2) it holds a Done whose message
//! still lies, dead, in another segment: were the Done's segment unlinked first, the message would come back to life.
//! So each segment knows the segments that its Dones *bury*, and goes only after them. Messages are buried by
//! younger segments only, so there are no circles.
//!
//! A segment may also hold older copies of messages that were moved out of it, or that somebody stored again under the same id. It is
//! *haunted*: until it is gone, every Done counts as burying something in it.

use std::collections::{BTreeMap, BTreeSet};

use crate::table::Place;

/// What is known of a segment.
#[derive(Debug, Default)]
pub(crate) struct Segment {
    pub(crate) shard: u32,
    pub(crate) stage: Stage,
    /// Octets of the file.
    pub(crate) size: u64,
    /// Messages and notes in it that are needed.
    live: u64,
    live_bytes: u64,
    /// Dones in it.
    dones: u64,
    /// Segments in which messages lie that these Dones end.
    buries: BTreeSet<u32>,
    is_haunted: bool,
    /// Parts of it could not be read: it stays as it is.
    is_suspect: bool,
    /// Copies of its records that are on their way to other segments.
    copies_pending: u64,
    /// All its Dones that are needed were copied, or are being copied.
    is_copied: bool,
}

/// The life of a segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Being written.
    #[default]
    Active,
    /// Written.
    Sealed,
    /// Being unlinked.
    Going,
}

/// All segments.
#[derive(Debug, Default)]
pub(crate) struct Account {
    segments: BTreeMap<u32, Segment>,
    /// A segment may have become free since the last look.
    is_stirred: bool,
}

/// Octets of a record's header and of its entry in the index.
const RECORD_BYTES: u64 = 60;

impl Account {
    pub(crate) fn born(&mut self, number: u32, shard: u32) {
        self.segments.insert(number, Segment { shard, ..Segment::default() });
    }

    pub(crate) fn sealed(&mut self, number: u32, size: u64) {
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.stage = Stage::Sealed;
            segment.size = size;
            self.is_stirred = true;
        }
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Segment> {
        self.segments.get(&number)
    }

    pub(crate) fn suspect(&mut self, number: u32) {
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.is_suspect = true;
            segment.is_haunted = true;
        }
    }

    pub(crate) fn has_suspects(&self) -> bool {
        self.segments.values().any(|segment| segment.is_suspect)
    }

    pub(crate) fn haunt(&mut self, number: u32) {
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.is_haunted = true;
        }
    }

    pub(crate) fn hold(&mut self, place: Place) {
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.live += 1;
            segment.live_bytes = segment.live_bytes.saturating_add(octets(place));
        }
    }

    pub(crate) fn release(&mut self, place: Place) {
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.live = segment.live.saturating_sub(1);
            segment.live_bytes = segment.live_bytes.saturating_sub(octets(place));
            self.is_stirred |= segment.live == 0;
        }
    }

    /// A Done in segment `number` ends a message that lies in segment `buried`.
    pub(crate) fn done(&mut self, number: u32, grave: Option<u32>) {
        let mut graves: BTreeSet<u32> =
            self.segments.iter().filter(|(_, s)| s.is_haunted).map(|(&n, _)| n).collect();
        graves.extend(grave.filter(|grave| self.segments.contains_key(grave)));
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.dones += 1;
            segment.buries.append(&mut graves);
            segment.buries.remove(&number);
        }
    }

    /// A record of this segment is being copied to another.
    pub(crate) fn copy_begun(&mut self, from: u32) {
        if let Some(segment) = self.segments.get_mut(&from) {
            segment.copies_pending = segment.copies_pending.saturating_add(1);
        }
    }

    /// It was copied, or it could not be.
    pub(crate) fn copy_ended(&mut self, from: u32) {
        if let Some(segment) = self.segments.get_mut(&from) {
            segment.copies_pending = segment.copies_pending.saturating_sub(1);
        }
        self.unburden(from);
    }

    /// A Done of segment `from` now lies in segment `to` as well.
    pub(crate) fn inherit(&mut self, from: u32, to: u32) {
        let mut buries = self.segments.get(&from).map(|s| s.buries.clone()).unwrap_or_default();
        if let Some(target) = self.segments.get_mut(&to) {
            target.dones += 1;
            target.buries.append(&mut buries);
            target.buries.remove(&to);
        }
    }

    /// All Dones of a segment that are needed were copied, or are being copied.
    pub(crate) fn copied(&mut self, number: u32) {
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.is_copied = true;
        }
        self.unburden(number);
    }

    fn unburden(&mut self, number: u32) {
        if let Some(segment) = self.segments.get_mut(&number)
            && segment.is_copied
            && segment.copies_pending == 0
        {
            segment.buries.clear();
            segment.dones = 0;
            self.is_stirred = true;
        }
    }

    /// Whether a Done that says it buried in `split` is still needed.
    pub(crate) fn is_done_needed(&self, own: u32, split: u32) -> bool {
        split == crate::record::SPLIT_UNKNOWN
            || (split != own && self.segments.contains_key(&split))
            || self.segments.iter().any(|(&number, s)| s.is_haunted && number != own)
    }

    /// Whether the Dones of a segment are needed at all.
    pub(crate) fn is_burying(&self, number: u32) -> bool {
        self.segments.get(&number).is_some_and(|segment| !segment.buries.is_empty())
    }

    /// What the Dones of a segment bury becomes haunted.
    pub(crate) fn haunt_buried(&mut self, number: u32) {
        let buries = self.segments.get(&number).map(|s| s.buries.clone()).unwrap_or_default();
        for buried in buries {
            self.haunt(buried);
        }
    }

    /// Segments that can be unlinked; they are marked as going.
    pub(crate) fn take_free(&mut self) -> Vec<(u32, u32)> {
        if !std::mem::take(&mut self.is_stirred) {
            return Vec::new();
        }
        let is_free = |segment: &&mut Segment| {
            segment.stage == Stage::Sealed
                && segment.live == 0
                && segment.buries.is_empty()
                && segment.copies_pending == 0
                && !segment.is_suspect
        };
        let mut free = Vec::new();
        for (&number, segment) in &mut self.segments {
            if is_free(&segment) {
                segment.stage = Stage::Going;
                free.push((segment.shard, number));
            }
        }
        free
    }

    /// A segment could not be unlinked for now.
    pub(crate) fn stays(&mut self, number: u32) {
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.stage = Stage::Sealed;
        }
    }

    /// Looks at everything again at the next [`Account::take_free`].
    pub(crate) fn stir(&mut self) {
        self.is_stirred = true;
    }

    /// A segment is gone, durably.
    pub(crate) fn gone(&mut self, number: u32) {
        self.segments.remove(&number);
        for segment in self.segments.values_mut() {
            if segment.buries.remove(&number) {
                self.is_stirred = true;
            }
        }
    }

    /// The segment of which the least is needed, if that is below `percent` of it.
    pub(crate) fn victim(&self, percent: u64) -> Option<u32> {
        let needed = |segment: &Segment| {
            let dones = if segment.buries.is_empty() { 0 } else { segment.dones };
            segment.live_bytes.saturating_add(dones.saturating_mul(RECORD_BYTES))
        };
        self.segments
            .iter()
            .filter(|(_, segment)| {
                segment.stage == Stage::Sealed
                    && !segment.is_suspect
                    && segment.copies_pending == 0
                    && needed(segment).saturating_mul(100) < segment.size.saturating_mul(percent)
            })
            .min_by_key(|(_, segment)| needed(segment))
            .map(|(&number, _)| number)
    }

    pub(crate) fn len(&self) -> usize {
        self.segments.len()
    }

    /// Octets of all segments, and of what is needed in them.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        self.segments.values().fold((0, 0), |(size, live), segment| {
            (size.saturating_add(segment.size), live.saturating_add(segment.live_bytes))
        })
    }
}

fn octets(place: Place) -> u64 {
    u64::from(place.len).saturating_add(RECORD_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(segment: u32) -> Place {
        Place { segment, offset: 4096, len: 100 }
    }

    fn three() -> Account {
        let mut account = Account::default();
        for number in 1..=3 {
            account.born(number, 0);
            account.sealed(number, 65_536);
        }
        account
    }

    #[test]
    fn a_done_outlives_the_message_it_ends() {
        let mut account = three();
        account.hold(place(1));
        account.hold(place(1));
        account.hold(place(3));
        account.release(place(1));
        account.done(2, Some(1));
        assert_eq!(account.take_free(), []);
        account.release(place(1));
        assert_eq!(account.take_free(), [(0, 1)]);
        assert_eq!(account.take_free(), []);
        account.gone(1);
        assert_eq!(account.take_free(), [(0, 2)]);
    }

    #[test]
    fn a_done_outlives_every_haunted_segment() {
        let mut account = three();
        account.hold(place(3));
        account.haunt(1);
        account.hold(place(1));
        account.done(3, Some(2));
        account.release(place(3));
        assert_eq!(account.take_free(), [(0, 2)]);
        account.gone(2);
        assert_eq!(account.take_free(), []);
        account.release(place(1));
        assert_eq!(account.take_free(), [(0, 1)]);
        account.gone(1);
        assert_eq!(account.take_free(), [(0, 3)]);
    }

    #[test]
    fn a_done_in_the_same_segment_keeps_nothing() {
        let mut account = three();
        account.hold(place(2));
        account.done(2, Some(2));
        account.release(place(2));
        assert_eq!(account.take_free(), [(0, 1), (0, 2), (0, 3)]);
    }
}
