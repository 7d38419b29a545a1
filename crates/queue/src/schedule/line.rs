//! Timers, lines and the window: which waiting message is read next.
//!
//! A message that is due joins the line of its destination. Destinations that can use more take
//! turns, one message a turn, while the window has room; a destination that is down takes none,
//! and one that was down takes one, as the probe. A destination may hold a quarter of the window,
//! and only a few messages once it is three quarters full, so that slow ones cannot keep others
//! out.

use super::{ACTIVE_BYTES_MAX, ACTIVE_MAX, Action, Actions, LOADING_MAX, PER_STEP_MAX, Scheduler};
use crate::destination::MIXED;
use crate::slots::{Order, Phase};
use alloc::vec::Vec;

/// What a destination may hold of a window that is getting full.
const SHARE_MIN: u32 = 32;

/// A message whose time came while there is no room for it comes again after this.
const NO_ROOM_S: u32 = 30;

impl Scheduler {
    /// Puts a message that is due into the line of its destination, last or first.
    pub(super) fn line_up(&mut self, slot: u32, is_first: bool) {
        let Some(number) = self.slots.row(slot).map(|row| row.destination) else { return };
        self.leave_line(slot);
        let Some(destination) = self.destinations.of_mut(number) else { return };
        if is_first {
            self.slots.join_first(&mut destination.line, slot);
        } else {
            self.slots.join_last(&mut destination.line, slot);
        }
        let at_s = self.latest_s(slot);
        self.slots.set_timer(slot, Phase::Lined, at_s);
        self.join_load_ring(number);
    }

    /// Takes a message out of its line, if it stands in one.
    pub(super) fn leave_line(&mut self, slot: u32) {
        let Some(row) = self.slots.row(slot) else { return };
        if row.phase == Phase::Lined
            && let Some(destination) = self.destinations.of_mut(row.destination)
        {
            self.slots.leave(&mut destination.line, slot);
            self.slots.set_phase(slot, Phase::Held);
        }
    }

    /// When a message must be looked at whatever its destination does: to warn, or to give up.
    pub(super) fn latest_s(&self, slot: u32) -> u32 {
        let Some(row) = self.slots.row(slot) else { return u32::MAX };
        let ages = self.rules.retry.ages(row.is_report);
        let due_s = if row.is_warned { ages.give_up_s } else { ages.warn_s.min(ages.give_up_s) };
        row.created_s.saturating_add(due_s)
    }

    /// Reads a message, whatever the window says.
    pub(super) fn read(&mut self, slot: u32, actions: &mut Actions) {
        self.leave_line(slot);
        self.slots.set_phase(slot, Phase::Loading);
        self.loading = self.loading.saturating_add(1);
        self.count_admitted(slot, true);
        actions.push(Action::Load { slot });
    }

    /// Reads what the window has room for.
    pub(super) fn load(&mut self, actions: &mut Actions) {
        while self.has_room()
            && self.loading < LOADING_MAX
            && let Some(number) = self.load_ring.pop_front()
        {
            let share = self.share();
            let Some(destination) = self.destinations.of_mut(number) else { continue };
            if !core::mem::replace(&mut destination.is_in_load_ring, false)
                || !destination.may_load(share)
            {
                continue;
            }
            let first = self.slots.take_first(&mut destination.line);
            if let Some(slot) = first {
                self.slots.set_phase(slot, Phase::Held);
                self.read(slot, actions);
            }
            self.join_load_ring(number);
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.active.len().saturating_add(self.loading) < ACTIVE_MAX
            && self.active_bytes < ACTIVE_BYTES_MAX
    }

    /// How many messages one destination may have in memory.
    pub(super) fn share(&self) -> u32 {
        let is_filling = self.active.len().saturating_add(self.loading)
            > (ACTIVE_MAX >> 2).saturating_mul(3)
            || self.active_bytes > (ACTIVE_BYTES_MAX >> 2).saturating_mul(3);
        if is_filling { SHARE_MIN } else { u32::try_from(ACTIVE_MAX >> 2).unwrap_or(SHARE_MIN) }
    }

    pub(super) fn join_load_ring(&mut self, number: u32) {
        if let Some(destination) = self.destinations.of_mut(number)
            && !destination.is_in_load_ring
            && destination.line.length > 0
        {
            destination.is_in_load_ring = true;
            self.load_ring.push_back(number);
        }
    }

    /// Counts a message under another destination.
    pub(super) fn move_home(&mut self, slot: u32, home: u32) {
        let Some(row) = self.slots.row_mut(slot) else { return };
        let before = core::mem::replace(&mut row.destination, home);
        if before == home {
            return;
        }
        if before != MIXED
            && let Some(destination) = self.destinations.of_mut(before)
        {
            destination.messages = destination.messages.saturating_sub(1);
            self.destinations.tidy(before);
        }
        if home != MIXED
            && let Some(destination) = self.destinations.of_mut(home)
        {
            destination.messages = destination.messages.saturating_add(1);
        }
    }

    /// Counts a message that comes into memory, or leaves it, at its destination.
    pub(super) fn count_admitted(&mut self, slot: u32, comes: bool) {
        let Some(number) = self.slots.row(slot).map(|row| row.destination) else { return };
        let Some(destination) = self.destinations.of_mut(number) else { return };
        destination.admitted = if comes {
            destination.admitted.saturating_add(1)
        } else {
            destination.admitted.saturating_sub(1)
        };
        if !comes {
            self.join_load_ring(number);
        }
    }

    /// Forgets a message that is not in memory.
    pub(super) fn forget(&mut self, slot: u32) {
        self.leave_line(slot);
        self.move_home(slot, MIXED);
        self.slots.free(slot);
    }

    /// Destinations whose pause is over may be probed.
    pub(super) fn wake_destinations(&mut self) {
        while let Some(number) = self.destinations.take_woken(self.now_ms) {
            self.woke(number);
        }
    }

    pub(super) fn woke(&mut self, number: u32) {
        self.join_load_ring(number);
        self.join_try_ring(number);
        self.destinations.tidy(number);
    }

    /// Messages whose time has come.
    pub(super) fn work_off_timers(&mut self, actions: &mut Actions) {
        let now_s = self.now_s();
        for _ in 0..PER_STEP_MAX {
            let Some(slot) = self.slots.take_due(now_s) else { return };
            match self.slots.row(slot).map(|row| row.phase) {
                Some(Phase::Waiting) => self.line_up(slot, false),
                Some(Phase::Lined) if self.has_room() && self.loading < LOADING_MAX => {
                    self.read(slot, actions);
                }
                Some(Phase::Lined) => {
                    let at_s = now_s.saturating_add(NO_ROOM_S);
                    self.slots.set_timer(slot, Phase::Lined, at_s);
                }
                Some(Phase::Free | Phase::Loading | Phase::Active | Phase::Held) | None => {}
            }
        }
    }

    /// The operator wants one message tried now, and with it its destination.
    pub(super) fn flush_one(&mut self, slot: u32) {
        let Some(&row) = self.slots.row(slot) else { return };
        if matches!(row.phase, Phase::Waiting | Phase::Lined) && row.order == Order::None {
            self.line_up(slot, true);
            if self.destinations.wake(row.destination) {
                self.woke(row.destination);
            }
        }
    }

    /// The operator wants everything tried now: destinations that are down are probed, waiting
    /// messages become due in the steps that follow.
    pub(super) fn flush_all(&mut self) {
        while let Some(number) = self.destinations.take_woken(u64::MAX) {
            self.woke(number);
        }
        self.flush_from = Some(0);
        self.flushed.clear();
    }

    /// Has the mail of one host tried, as [`Self::flush_all`] does with everything. While a flush is under way it does nothing: a
    /// stranger may ask as often as he likes (CVE-1999-1109).
    pub(super) fn turn(&mut self, node: &[u8]) {
        if self.flush_from.is_some() {
            return;
        }
        self.flushed = self.destinations.numbers_of(node);
        let down: Vec<u32> = self.flushed.iter().copied().collect();
        for number in down {
            if self.destinations.wake(number) {
                self.woke(number);
            }
        }
        self.flush_from = (!self.flushed.is_empty()).then_some(0);
    }

    pub(super) fn work_off_flush(&mut self) {
        let Some(from) = self.flush_from else { return };
        let count = u32::try_from(PER_STEP_MAX).unwrap_or(u32::MAX);
        let to = from.saturating_add(count).min(self.slots.end());
        for slot in from..to {
            let is_meant = self.slots.row(slot).is_some_and(|row| {
                let is_asked = self.flushed.is_empty() || self.flushed.contains(&row.destination);
                row.phase == Phase::Waiting && is_asked
            });
            if is_meant {
                self.line_up(slot, false);
            }
        }
        self.flush_from = (to < self.slots.end()).then_some(to);
    }
}
