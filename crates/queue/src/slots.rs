//! All queued messages, at 28 octets a message and 8 in the timer heap: where each stands, when it
//! is due, and which destination it waits for. Nothing here knows an address.
//!
//! Messages that wait for the same destination form a line: a list threaded through the rows, so
//! that joining, leaving from the middle and taking the first all take constant time. A heap entry
//! is true as long as its row still says the same time; false ones are thrown away when they come
//! up, or all together when they outnumber the true ones.

use alloc::{collections::BinaryHeap, vec::Vec};
use core::cmp::Reverse;

/// No slot, no neighbour.
pub(crate) const NONE: u32 = u32::MAX;

/// Rows and heap entries grow by this part of what is there (a quarter), not by doubling.
const GROWTH_SHIFT: u32 = 2;

/// The least growth, in rows.
const GROWTH_MIN: usize = 1024;

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Phase {
    /// There is none in this slot.
    #[default]
    Free,
    /// Waits for its time.
    Waiting,
    /// Is due and stands in the line of its destination; its time is that of warning or expiry.
    Lined,
    /// Is being read.
    Loading,
    /// Its envelope is in memory.
    Active,
    /// Is kept back.
    Held,
}

/// What the operator wants of a message that has to be read first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Order {
    #[default]
    None,
    Hold,
    Release,
    Remove,
    /// It is in the owner's file for what nobody can get.
    Forget,
    /// To try it as if it were not kept back.
    Try,
}

/// One message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// When it was accepted, in seconds since 1970.
    pub(crate) created_s: u32,
    /// The time of its true heap entry, while `Waiting` or `Lined`.
    pub(crate) at_s: u32,
    /// The destination it is counted under.
    pub(crate) destination: u32,
    before: u32,
    after: u32,
    /// Recipients that have not ended.
    pub(crate) open: u16,
    pub(crate) phase: Phase,
    pub(crate) order: Order,
    /// Whether no warning is to come any more.
    pub(crate) is_warned: bool,
    /// Whether it is a report of ours.
    pub(crate) is_report: bool,
}

impl Default for Row {
    fn default() -> Self {
        Self {
            created_s: 0,
            at_s: 0,
            destination: 0,
            before: NONE,
            after: NONE,
            open: 0,
            phase: Phase::Free,
            order: Order::None,
            is_warned: false,
            is_report: false,
        }
    }
}

/// A line of messages: first and last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    first: u32,
    last: u32,
    pub(crate) length: u32,
}

impl Default for Line {
    fn default() -> Self {
        Self { first: NONE, last: NONE, length: 0 }
    }
}

/// All queued messages.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    rows: Vec<Row>,
    timers: BinaryHeap<Reverse<(u32, u32)>>,
    /// Rows that are `Waiting` or `Lined`.
    timed: usize,
    /// Rows that are not `Free`.
    pub(crate) used: usize,
}

impl Slots {
    pub(crate) fn row(&self, slot: u32) -> Option<&Row> {
        let row = self.rows.get(usize::try_from(slot).ok()?)?;
        (row.phase != Phase::Free).then_some(row)
    }

    pub(crate) fn row_mut(&mut self, slot: u32) -> Option<&mut Row> {
        let row = self.rows.get_mut(usize::try_from(slot).ok()?)?;
        (row.phase != Phase::Free).then_some(row)
    }

    /// The number of rows, free ones counted.
    pub(crate) fn end(&self) -> u32 {
        u32::try_from(self.rows.len()).unwrap_or(NONE)
    }

    /// Takes a free slot for a message, `Active` at first. False if it is in use.
    pub(crate) fn claim(&mut self, slot: u32, created_s: u32) -> bool {
        let Ok(index) = usize::try_from(slot) else { return false };
        let length = self.rows.len();
        if index >= length {
            let wanted = index.saturating_add(1);
            if wanted > self.rows.capacity() {
                let growth = wanted.saturating_sub(length).max(length >> GROWTH_SHIFT);
                self.rows.reserve_exact(growth.max(GROWTH_MIN));
            }
            self.rows.resize(wanted, Row::default());
        }
        match self.rows.get_mut(index) {
            Some(row) if row.phase == Phase::Free => {
                *row = Row { created_s, phase: Phase::Active, ..Row::default() };
                self.used = self.used.saturating_add(1);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Gives a slot back. It must have left its line.
    pub(crate) fn free(&mut self, slot: u32) {
        self.set_phase(slot, Phase::Free);
        self.used = self.used.saturating_sub(1);
    }

    pub(crate) fn set_phase(&mut self, slot: u32, phase: Phase) {
        let is_timed = |phase| matches!(phase, Phase::Waiting | Phase::Lined);
        if let Some(row) = self.row_mut(slot) {
            let (before, after) = (is_timed(row.phase), is_timed(phase));
            row.phase = phase;
            match (before, after) {
                (false, true) => self.timed = self.timed.saturating_add(1),
                (true, false) => self.timed = self.timed.saturating_sub(1),
                (true, true) | (false, false) => {}
            }
        }
    }

    /// Sets phase (`Waiting` or `Lined`) and time together.
    pub(crate) fn set_timer(&mut self, slot: u32, phase: Phase, at_s: u32) {
        self.set_phase(slot, phase);
        if let Some(row) = self.row_mut(slot) {
            row.at_s = at_s;
        }
        if self.timers.len() > self.timed.saturating_mul(2).saturating_add(GROWTH_MIN) {
            self.drop_false_timers();
        }
        if self.timers.len() == self.timers.capacity() {
            self.timers.reserve_exact((self.timers.len() >> GROWTH_SHIFT).max(GROWTH_MIN));
        }
        self.timers.push(Reverse((at_s, slot)));
    }

    /// Takes a message whose time has come.
    pub(crate) fn take_due(&mut self, now_s: u32) -> Option<u32> {
        if self.next_at_s()? > now_s {
            return None;
        }
        self.timers.pop().map(|Reverse((_, slot))| slot)
    }

    /// The next time that any message waits for.
    pub(crate) fn next_at_s(&mut self) -> Option<u32> {
        while let Some(&Reverse((at_s, slot))) = self.timers.peek() {
            if self.is_true(at_s, slot) {
                return Some(at_s);
            }
            self.timers.pop();
        }
        None
    }

    pub(crate) fn join_last(&mut self, line: &mut Line, slot: u32) {
        self.link(line.last, slot);
        self.link(slot, NONE);
        line.last = slot;
        if line.first == NONE {
            line.first = slot;
        }
        line.length = line.length.saturating_add(1);
    }

    pub(crate) fn join_first(&mut self, line: &mut Line, slot: u32) {
        self.link(slot, line.first);
        self.link(NONE, slot);
        line.first = slot;
        if line.last == NONE {
            line.last = slot;
        }
        line.length = line.length.saturating_add(1);
    }

    /// Takes a message out of the line it stands in.
    pub(crate) fn leave(&mut self, line: &mut Line, slot: u32) {
        let Some(&Row { before, after, .. }) = self.row(slot) else { return };
        self.link(before, after);
        if line.first == slot {
            line.first = after;
        }
        if line.last == slot {
            line.last = before;
        }
        line.length = line.length.saturating_sub(1);
    }

    pub(crate) fn take_first(&mut self, line: &mut Line) -> Option<u32> {
        let first = line.first;
        if first == NONE {
            return None;
        }
        self.leave(line, first);
        Some(first)
    }

    /// Octets of memory that rows and timers take.
    pub(crate) fn memory_bytes(&self) -> usize {
        let rows = self.rows.capacity().saturating_mul(size_of::<Row>());
        let timers = self.timers.capacity().saturating_mul(size_of::<(u32, u32)>());
        rows.saturating_add(timers)
    }

    fn link(&mut self, before: u32, after: u32) {
        if let Some(row) = self.row_mut(before) {
            row.after = after;
        }
        if let Some(row) = self.row_mut(after) {
            row.before = before;
        }
    }

    fn is_true(&self, at_s: u32, slot: u32) -> bool {
        self.row(slot).is_some_and(|row| {
            row.at_s == at_s && matches!(row.phase, Phase::Waiting | Phase::Lined)
        })
    }

    fn drop_false_timers(&mut self) {
        let mut timers = core::mem::take(&mut self.timers);
        timers.retain(|&Reverse((at_s, slot))| self.is_true(at_s, slot));
        self.timers = timers;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::VecDeque;
    use proptest::prelude::*;

    #[test]
    fn a_row_takes_28_octets() {
        assert_eq!(size_of::<Row>(), 28);
    }

    #[test]
    fn a_timer_that_was_moved_does_not_fire_at_its_old_time() {
        let mut slots = Slots::default();
        assert!(slots.claim(3, 0));
        slots.set_timer(3, Phase::Waiting, 10);
        slots.set_timer(3, Phase::Waiting, 20);
        assert_eq!(slots.take_due(19), None);
        assert_eq!(slots.take_due(20), Some(3));
    }

    #[test]
    fn the_heap_does_not_grow_with_moved_timers() {
        let mut slots = Slots::default();
        assert!(slots.claim(0, 0));
        for at_s in 0..100_000 {
            slots.set_timer(0, Phase::Waiting, at_s);
        }
        assert!(slots.timers.len() < 5000);
    }

    proptest! {
        #[test]
        fn a_line_is_a_queue_that_one_may_leave(acts in prop::collection::vec((0_u8..4, 0_u32..8), 0..60)) {
            let (mut slots, mut line, mut model) = (Slots::default(), Line::default(), VecDeque::new());
            for slot in 0..8 {
                slots.claim(slot, 0);
            }
            for (act, slot) in acts {
                match (act, model.contains(&slot)) {
                    (0, false) => { slots.join_last(&mut line, slot); model.push_back(slot); }
                    (1, false) => { slots.join_first(&mut line, slot); model.push_front(slot); }
                    (2, true) => { slots.leave(&mut line, slot); model.retain(|&other| other != slot); }
                    (3, _) => prop_assert_eq!(slots.take_first(&mut line), model.pop_front()),
                    _ => {}
                }
                prop_assert_eq!(usize::try_from(line.length).unwrap(), model.len());
            }
        }
    }
}
