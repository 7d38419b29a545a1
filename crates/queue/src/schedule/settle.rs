//! The end of a round: nothing goes on with a message any more. Reports are made, the note is
//! written, and the message is done, or waits.
//!
//! Reports are asked for here and nowhere else, in the same step as the note or the end of the message,
//! so that each failure is told once, and failures of one round in one report.

use super::{Action, Actions, Scheduler};
use crate::active::{Active, Came, Round};
use crate::destination::{Destination, MIXED};
use crate::event::{Event, Stat};
use crate::note::Note;
use crate::outcome::{Status, Trouble};
use crate::recipient::State;
use crate::retry::pause_ms;
use crate::slots::{Order, Phase};
use alloc::{boxed::Box, format, vec::Vec};

/// A message with more recipients than this does not write a note for each outcome, ...
const SMALL_NOTE_MAX: usize = 200;

/// ... but one for all outcomes of this long, in ms.
const LATE_NOTE_MS: u64 = 250;

/// The longest pause after a delivery process ended, in ms, if it had few batches; the shortest is
/// 1 s. With many batches it is 1 s a batch, so that the one that kills is soon alone.
const SOON_MS: u64 = 30_000;

impl Action {
    pub(super) fn log(event: Event) -> Self {
        Self::Log(Box::new(event))
    }

    pub(super) fn note(slot: u32, note: &Note) -> Self {
        let mut record = Vec::new();
        note.encode(&mut record);
        Self::Note { slot, record }
    }
}

impl Scheduler {
    /// Remembers to settle a message if nothing goes on with it; true if so.
    pub(super) fn mark_if_idle(&mut self, slot: u32) -> bool {
        let is_idle = self.active.get(&slot).is_some_and(Active::is_idle);
        if is_idle {
            self.idle.push(slot);
        }
        is_idle
    }

    pub(super) fn settle_idle(&mut self, actions: &mut Actions) {
        while let Some(slot) = self.idle.pop() {
            if self.active.get(&slot).is_some_and(Active::is_idle) {
                self.settle(slot, actions);
            }
        }
    }

    /// Writes what came of a batch while others of the message run.
    pub(super) fn note_now_or_late(&mut self, slot: u32, actions: &mut Actions) {
        let Some(active) = self.active.get_mut(&slot) else { return };
        if active.note.states.len() <= SMALL_NOTE_MAX {
            active.is_dirty = false;
            actions.push(Action::note(slot, &active.note));
        } else if !active.has_late_note {
            active.has_late_note = true;
            self.late_notes.push_back((self.now_ms.saturating_add(LATE_NOTE_MS), slot));
        }
    }

    pub(super) fn write_late_notes(&mut self, actions: &mut Actions) {
        while let Some(&(at_ms, slot)) = self.late_notes.front()
            && at_ms <= self.now_ms
        {
            self.late_notes.pop_front();
            if let Some(active) = self.active.get_mut(&slot)
                && core::mem::replace(&mut active.has_late_note, false)
                && core::mem::replace(&mut active.is_dirty, false)
            {
                actions.push(Action::note(slot, &active.note));
            }
        }
    }

    /// The end of a round.
    fn settle(&mut self, slot: u32, actions: &mut Actions) {
        if self.consult(slot, actions) {
            return;
        }
        let order = self.slots.row_mut(slot).map(|row| core::mem::take(&mut row.order));
        if order == Some(Order::Hold) {
            self.obey_hold(slot, actions);
        }
        let Some(mut active) = self.active.remove(&slot) else { return };
        self.active_bytes = self.active_bytes.saturating_sub(active.size_bytes);
        self.count_admitted(slot, false);
        if order == Some(Order::Remove) {
            self.discard(&mut active, actions);
        } else if order == Some(Order::Forget) {
            self.book_saved(&mut active);
        } else if !active.is_held() {
            self.give_up(&mut active);
            note_what_is_said(&mut active);
            self.report_ends(slot, &mut active, actions);
            self.warn(slot, &mut active, actions);
        }
        if active.open_count() == 0 {
            self.slots.set_phase(slot, Phase::Held);
            self.forget(slot);
            let tries = active.note.tries.saturating_add(1);
            let (id, delay_s) = (active.envelope.id, self.age_s(&active));
            actions.push(Action::log(Event::Done { id, delay_s, tries }));
            actions.push(Action::Remove { slot });
            return;
        }
        self.wait(slot, active, actions);
    }

    /// Puts a message back to wait.
    fn wait(&mut self, slot: u32, mut active: Active, actions: &mut Actions) {
        let home = self.home(&active.envelope, &active.note);
        self.move_home(slot, home);
        let open = active.open_count();
        if let Some(row) = self.slots.row_mut(slot) {
            row.open = u16::try_from(open).unwrap_or(u16::MAX);
            row.is_warned |= active.note.is_warned;
        }
        self.slots.set_phase(slot, Phase::Held);
        let is_blocked =
            home != MIXED && self.destinations.of(home).and_then(Destination::blocked_by).is_some();
        if active.round == Round::Tried && !active.is_held() {
            active.note.tries = active.note.tries.saturating_add(1);
            active.note.tried_s = self.now_ms.wrapping_div(1000);
            active.is_dirty = true;
        }
        active.came = Came::Waited;
        let is_held = active.is_held();
        let pause_ms = self.pause_after(&active);
        let next_s = self.now_ms.saturating_add(pause_ms).wrapping_div(1000);
        let ages = self.ages(&active.envelope);
        let give_up_s = active.envelope.created_s.saturating_add(ages.give_up_s.into());
        let soon_s = u64::from(self.now_s()).saturating_add(1);
        let next_s = next_s.min(give_up_s.max(soon_s));
        // Its sender's time is up: then it goes back, or he hears of it once.
        let due_s = active.envelope.by.filter(|_| !active.note.is_warned);
        let due_s = due_s.map(|by| by.due_s(active.envelope.created_s).max(soon_s));
        let next_s = next_s.min(due_s.unwrap_or(u64::MAX));
        // What waits for its destination is due as soon as that is back, after a start also.
        active.note.next_try_s = if is_blocked { 0 } else { next_s };
        if active.is_dirty {
            actions.push(Action::note(slot, &active.note));
        }
        if is_blocked && !is_held {
            self.line_up(slot, false);
        } else if !is_held {
            let at_s = u32::try_from(next_s).unwrap_or(u32::MAX);
            self.slots.set_timer(slot, Phase::Waiting, at_s);
        }
    }

    /// How long a message waits after a round, in ms.
    fn pause_after(&mut self, active: &Active) -> u64 {
        let retry = &self.rules.retry;
        let failures = match active.round {
            Round::Broken => {
                let span_ms = self.lost_batches.saturating_mul(1000).max(SOON_MS);
                return self.dice.throw(span_ms).saturating_add(1000);
            }
            Round::Tried => active.note.tries.max(1),
            // As many as its age makes likely: several destinations were down all the time.
            Round::Untried => {
                let pauses = self.age_s(active).checked_div(retry.first_s.into()).unwrap_or(0);
                pauses.checked_ilog2().map_or(1, |doublings| doublings.saturating_add(1))
            }
        };
        pause_ms(retry, failures, &mut self.dice)
    }

    /// The operator throws away what has not ended.
    fn discard(&mut self, active: &mut Active, actions: &mut Actions) {
        let indexes: Vec<u32> = (0_u32..)
            .zip(&active.note.states)
            .filter(|(_, state)| !state.is_end())
            .map(|(index, _)| index)
            .collect();
        for &index in &indexes {
            self.set_state(active, index, State::Discarded);
        }
        let trouble = Trouble::ours(Status(5, 0, 0), b"removed by the operator");
        actions.push(self.to(active, &indexes, Stat::Removed, &trouble, 0));
    }

    /// Recipients of a message that is too old fail.
    pub(super) fn give_up(&mut self, active: &mut Active) {
        let by = active.envelope.by.filter(|by| by.returns);
        let limit = by.filter(|_| self.is_past_its_time(active));
        // Both times are whole seconds: who came at the end of one is not a second old with the next, and was only tried once.
        let give_up_s = self.ages(&active.envelope).give_up_s;
        let grace_s = u64::from(active.note.tries == 0 && give_up_s > 0);
        let limit_s = u64::from(give_up_s).saturating_add(grace_s);
        if limit.is_none() && self.age_s(active) < limit_s {
            return;
        }
        let expired: Vec<u32> = active.open().collect();
        for index in expired {
            let trouble = match (limit, active.state(index)) {
                (Some(by), _) => {
                    let text = format!("delivery time expired {}s", by.seconds);
                    Trouble::ours(Status(5, 4, 7), text.as_bytes())
                }
                (None, Some(State::Later(last))) => {
                    Trouble { status: Status(4, 4, 7), ..last.clone() }
                }
                _ => Trouble::ours(Status(4, 4, 7), b"message could not be delivered in time"),
            };
            // The log has it already: from the try, or from that of another message for the same destination.
            active.is_dirty = true;
            self.set_state(active, index, State::Failed(trouble));
        }
    }

    pub(super) fn age_s(&self, active: &Active) -> u64 {
        self.now_ms.wrapping_div(1000).saturating_sub(active.envelope.created_s)
    }
}

/// Notes what a round came to, for the listing of the queue: the last failure, else nothing but what is known of those that
/// wait.
fn note_what_is_said(active: &mut Active) {
    let failed = active.note.states.iter().rev().find_map(|state| {
        let State::Failed(trouble) = state else { return None };
        Some(trouble.text.clone())
    });
    if failed.is_some() || active.round == Round::Tried {
        active.note.said = failed.unwrap_or_default();
    }
}
