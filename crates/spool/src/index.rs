//! Where messages are: a row a message, found by its id, and what each segment still holds.

mod lookup;

use crate::{QueueId, Slot};
use lookup::Lookup;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Where a record begins in a segment of its message's shard, and how long its payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    /// The segment's number; 0: nowhere (numbers begin at 1).
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    pub(crate) length: u32,
}

/// A row. 32 octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Row {
    /// 0: free.
    pub(crate) id: u64,
    pub(crate) message: Place,
    pub(crate) note: Place,
}

/// Rows grow by this part of what is there (a quarter), not by doubling: at a million messages that is memory.
const GROWTH_SHIFT: u32 = 2;

/// The least growth, in rows.
const GROWTH_MIN: usize = 1024;

/// The rows, with those that are free.
#[derive(Debug, Default)]
pub(crate) struct Index {
    rows: Vec<Row>,
    by_id: Lookup,
    free: Vec<u32>,
    used: u64,
}

impl Index {
    pub(crate) fn insert(&mut self, row: Row) -> Option<Slot> {
        let number = if let Some(number) = self.free.pop() {
            number
        } else {
            let number = u32::try_from(self.rows.len()).ok()?;
            if self.rows.len() == self.rows.capacity() {
                self.rows.reserve_exact((self.rows.len() >> GROWTH_SHIFT).max(GROWTH_MIN));
            }
            self.rows.push(Row::default());
            number
        };
        *self.rows.get_mut(usize::try_from(number).ok()?)? = row;
        let rows = &self.rows;
        self.by_id.insert(row.id, number, |number| id_of(rows, number));
        self.used = self.used.saturating_add(1);
        Some(Slot(number))
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Row> {
        self.rows.get(usize::try_from(slot.0).ok()?).filter(|row| row.id != 0)
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Row> {
        self.rows.get_mut(usize::try_from(slot.0).ok()?).filter(|row| row.id != 0)
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Row> {
        let id = self.get(slot)?.id;
        let rows = &self.rows;
        self.by_id.remove(id, slot.0, |number| id_of(rows, number));
        let row = std::mem::take(self.get_mut(slot)?);
        self.free.push(slot.0);
        self.used = self.used.saturating_sub(1);
        Some(row)
    }

    /// The place of a message, durable or on its way to the disk.
    pub(crate) fn find(&self, id: u64) -> Option<Slot> {
        self.by_id.find(id, |number| id_of(&self.rows, number)).map(Slot)
    }

    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &Row)> {
        let slots = (0_u32..).map(Slot);
        slots.zip(&self.rows).filter(|(_, row)| row.id != 0)
    }

    /// Ids above `after` in order, at most `count_max`; only of messages that are durable.
    pub(crate) fn list(&self, after: u64, count_max: usize) -> Vec<(QueueId, Slot)> {
        let mut found: BTreeMap<u64, Slot> = BTreeMap::new();
        for (slot, row) in self.iter() {
            let is_wanted = row.id > after && row.message.segment != 0;
            let is_low = found.len() < count_max
                || found.last_key_value().is_some_and(|(&last, _)| row.id < last);
            if is_wanted && is_low {
                found.insert(row.id, slot);
                if found.len() > count_max {
                    found.pop_last();
                }
            }
        }
        found.into_iter().map(|(id, slot)| (QueueId::from_u64(id), slot)).collect()
    }
}

/// The id in a row; 0: none.
fn id_of(rows: &[Row], number: u32) -> u64 {
    usize::try_from(number).ok().and_then(|number| rows.get(number)).map_or(0, |row| row.id)
}

/// What a segment still holds.
#[derive(Debug, Default)]
pub(crate) struct Holding {
    /// Messages and notes that are the newest of their kind.
    pub(crate) live: u32,
    /// Their octets.
    pub(crate) live_bytes: u64,
    /// Segments with messages that ended here: while they are on the disk, this one must be, or a dead message
    /// would come back to life.
    pub(crate) buries: BTreeSet<u32>,
}

/// The segments of one shard.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    pub(crate) holdings: BTreeMap<u32, Holding>,
    /// Older copies of messages that were moved: the segments they lie in.
    pub(crate) copies: HashMap<u64, Vec<u32>>,
}

impl Segments {
    /// A record is alive there.
    pub(crate) fn born(&mut self, place: Place) {
        let holding = self.holdings.entry(place.segment).or_default();
        holding.live = holding.live.saturating_add(1);
        holding.live_bytes = holding.live_bytes.saturating_add(u64::from(place.length));
    }

    /// A record there is dead.
    pub(crate) fn died(&mut self, place: Place) {
        if let Some(holding) = self.holdings.get_mut(&place.segment) {
            holding.live = holding.live.saturating_sub(1);
            holding.live_bytes = holding.live_bytes.saturating_sub(u64::from(place.length));
        }
    }

    /// The end of a message stands in `at`; the message and older copies of it lie elsewhere.
    pub(crate) fn buried(&mut self, id: u64, message: u32, at: u32) {
        let copies = self.copies.remove(&id).unwrap_or_default();
        let lies_in = copies.into_iter().chain([message]).filter(|&segment| segment != at);
        self.holdings.entry(at).or_default().buries.extend(lies_in);
    }

    /// A segment that can go: nothing lives there, and all that it buries is gone from the disk.
    pub(crate) fn empty(&self, current: u32) -> Option<u32> {
        self.holdings.iter().find_map(|(&number, holding)| {
            let buries_nothing =
                holding.buries.iter().all(|dead| !self.holdings.contains_key(dead));
            (number < current && holding.live == 0 && buries_nothing).then_some(number)
        })
    }
}
