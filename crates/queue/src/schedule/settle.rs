//! The end of a round: nothing goes on with a message any more. Reports are made, the note is
//! written, and the message is done, or waits.
//!
//! Reports are made here and nowhere else, in the same step as the note or the end of the message,
//! so that each failure is told once, and failures of one round in one report.

use super::{Action, Actions, Scheduler};
use crate::active::{Active, Came, Round};
use crate::destination::{Destination, MIXED};
use crate::event::{Event, Stat};
use crate::message::{Purpose, Return};
use crate::note::Note;
use crate::outcome::{Said, Status, Trouble, Voice};
use crate::recipient::{DropReason, Receipt, State};
use crate::report::{Fate, RETURNED_BYTES_MAX, Report, ReportKind, ReportLine};
use crate::retry::pause_ms;
use crate::slots::{Order, Phase};
use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};

/// Recipients in one report; more come in a further one.
const REPORT_LINES_MAX: usize = 500;

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
        let order = self.slots.row_mut(slot).map(|row| core::mem::take(&mut row.order));
        if order == Some(Order::Hold) {
            self.obey_hold(slot, actions);
        }
        let Some(mut active) = self.active.remove(&slot) else { return };
        self.active_bytes = self.active_bytes.saturating_sub(active.size_bytes);
        self.count_admitted(slot, false);
        if order == Some(Order::Remove) {
            self.discard(&mut active, actions);
        } else if !active.is_held() {
            self.give_up(&mut active, actions);
            self.report_ends(slot, &mut active, actions);
            self.warn(slot, &mut active, actions);
        }
        if active.open_count() == 0 {
            self.slots.set_phase(slot, Phase::Held);
            self.forget(slot);
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
        let give_up_s = active.envelope.created_s.saturating_add(self.rules.retry.give_up_s.into());
        let next_s = next_s.min(give_up_s.max(u64::from(self.now_s()).saturating_add(1)));
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
    fn give_up(&mut self, active: &mut Active, actions: &mut Actions) {
        if self.age_s(active) < self.rules.retry.give_up_s.into() {
            return;
        }
        let expired: Vec<u32> = active.open().collect();
        for index in expired {
            let trouble = match active.state(index) {
                Some(State::Later(last)) => Trouble { status: Status(4, 4, 7), ..last.clone() },
                _ => Trouble::ours(Status(4, 4, 7), b"message could not be delivered in time"),
            };
            active.is_dirty = true;
            actions.push(self.to(active, &[index], Stat::Failed, &trouble, 0));
            self.set_state(active, index, State::Failed(trouble));
        }
    }

    /// Reports failures and successes that are still owed.
    fn report_ends(&mut self, slot: u32, active: &mut Active, actions: &mut Actions) {
        let mut reports: BTreeMap<(ReportKind, Box<[u8]>), Vec<ReportLine>> = BTreeMap::new();
        let count = u32::try_from(active.note.states.len()).unwrap_or(u32::MAX);
        for index in 0..count {
            let Some((kind, to, line)) = self.owed(active, index, actions) else { continue };
            active.is_dirty = true;
            reports.entry((kind, to)).or_default().push(line);
        }
        for ((kind, to), lines) in reports {
            self.report(slot, active, kind, &to, lines, actions);
        }
    }

    /// What is owed about one recipient, which is paid with this.
    fn owed(
        &mut self,
        active: &mut Active,
        index: u32,
        actions: &mut Actions,
    ) -> Option<(ReportKind, Box<[u8]>, ReportLine)> {
        let place = usize::try_from(index).ok()?;
        let state = active.note.states.get_mut(place)?;
        let (fate, receipt) = match state {
            State::Delivered(receipt) => (Fate::Delivered, receipt.take()?),
            State::Relayed(receipt) => (Fate::Relayed, receipt.take()?),
            State::Expanded { receipt, .. } => (Fate::Expanded, receipt.take()?),
            State::Failed(trouble) => {
                let trouble = trouble.clone();
                return self.failed(active, index, trouble, actions);
            }
            State::Waiting
            | State::Later(_)
            | State::Bounced
            | State::Dropped(_)
            | State::Discarded => return None,
        };
        let Receipt { host, text } = receipt;
        let trouble = Trouble { host, ..Trouble::ours(Status(2, 0, 0), &text) };
        let trouble = if fate == Fate::Relayed {
            let said = Said { command: Box::default(), reply: [b"250 ", &*text].concat().into() };
            Trouble { voice: Voice::Smtp, said: Some(Box::new(said)), ..trouble }
        } else {
            trouble
        };
        let to = active.sender(index).into();
        Some((ReportKind::Success, to, line(active, index, fate, trouble)?))
    }

    /// Whom to tell of a failure, if anybody.
    fn failed(
        &mut self,
        active: &mut Active,
        index: u32,
        trouble: Trouble,
        actions: &mut Actions,
    ) -> Option<(ReportKind, Box<[u8]>, ReportLine)> {
        active.is_dirty = true;
        let sender = active.sender(index);
        let is_wanted = active.recipient(index).is_none_or(|one| one.notify.wants_failure());
        let way = if !is_wanted {
            Err(DropReason::NotWanted)
        } else if !sender.is_empty() {
            Ok((ReportKind::Failure, sender.into()))
        } else if active.envelope.purpose == Purpose::DoubleBounce {
            Err(DropReason::DoubleBounce)
        } else if self.rules.postmaster.is_empty() {
            Err(DropReason::NoPostmaster)
        } else {
            Ok((ReportKind::DoubleBounce, self.rules.postmaster.clone()))
        };
        match way {
            Ok((kind, to)) => {
                let line = line(active, index, Fate::Failed, trouble)?;
                self.set_state(active, index, State::Bounced);
                Some((kind, to, line))
            }
            Err(by) => {
                let to = active.recipient(index).map(|one| one.address.clone()).unwrap_or_default();
                actions.push(Action::log(Event::Dropped { id: active.envelope.id, to, by }));
                self.set_state(active, index, State::Dropped(by));
                None
            }
        }
    }

    /// Warns the sender, once, that a message is late.
    fn warn(&mut self, slot: u32, active: &mut Active, actions: &mut Actions) {
        let warn_s = self.rules.retry.warn_s;
        let is_time = warn_s != 0 && self.age_s(active) >= warn_s.into();
        if !is_time || active.note.is_warned || active.open_count() == 0 {
            return;
        }
        active.note.is_warned = true;
        let mut reports: BTreeMap<Box<[u8]>, Vec<ReportLine>> = BTreeMap::new();
        let open: Vec<u32> = active.open().collect();
        for index in open {
            let sender = active.sender(index);
            let is_wanted = active.recipient(index).is_some_and(|one| one.notify.wants_delay());
            if sender.is_empty() || !is_wanted {
                continue;
            }
            let trouble = match active.state(index) {
                Some(State::Later(trouble)) => trouble.clone(),
                _ => Trouble::ours(Status(4, 0, 0), b"not tried yet"),
            };
            let to = sender.into();
            if let Some(line) = line(active, index, Fate::Delayed, trouble) {
                reports.entry(to).or_default().push(line);
            }
        }
        for (to, lines) in reports {
            active.is_dirty = true;
            self.report(slot, active, ReportKind::Delay, &to, lines, actions);
        }
    }

    /// Puts out reports with these lines.
    fn report(
        &self,
        slot: u32,
        active: &Active,
        kind: ReportKind,
        to: &[u8],
        lines: Vec<ReportLine>,
        actions: &mut Actions,
    ) {
        let mut rest = lines;
        while !rest.is_empty() {
            let tail = rest.split_off(rest.len().min(REPORT_LINES_MAX));
            let lines = core::mem::replace(&mut rest, tail);
            let report = self.report_about(slot, active, kind, to, lines);
            actions.push(Action::Report(Box::new(report)));
        }
    }

    fn report_about(
        &self,
        slot: u32,
        active: &Active,
        kind: ReportKind,
        to: &[u8],
        lines: Vec<ReportLine>,
    ) -> Report {
        let envelope = &active.envelope;
        let origin = &envelope.origin;
        let is_ours = origin.uid.is_some() || !origin.user.is_empty();
        let is_failure = matches!(kind, ReportKind::Failure | ReportKind::DoubleBounce);
        let wants_all =
            kind == ReportKind::DoubleBounce || (is_ours && envelope.ret != Some(Return::Headers));
        let is_small = envelope.size_bytes <= RETURNED_BYTES_MAX;
        Report {
            about: slot,
            kind,
            to: to.into(),
            reporter: self.rules.host_name.clone(),
            is_dressed_later: self.rules.dresses_mail,
            at_s: self.now_ms.wrapping_div(1000),
            id: envelope.id,
            created_s: envelope.created_s,
            sender: envelope.sender.clone(),
            envelope_id: envelope.envelope_id.clone(),
            origin: origin.clone(),
            body: envelope.body,
            is_utf8: envelope.is_utf8,
            returned: if is_failure && wants_all && is_small {
                Return::Full
            } else {
                Return::Headers
            },
            give_up_s: self.rules.retry.give_up_s,
            lines,
        }
    }

    fn age_s(&self, active: &Active) -> u64 {
        self.now_ms.wrapping_div(1000).saturating_sub(active.envelope.created_s)
    }
}

fn line(active: &Active, index: u32, fate: Fate, trouble: Trouble) -> Option<ReportLine> {
    let recipient = active.recipient(index)?;
    let parent = active.parent(index).and_then(|parent| active.recipient(parent));
    let expanded_from = parent.map(|parent| parent.address.clone());
    let mut top = index;
    // A parent stands before its members, so this ends.
    while let Some(parent) = active.parent(top).filter(|&parent| parent < top) {
        top = parent;
    }
    Some(ReportLine {
        address: recipient.address.clone(),
        first: active.recipient(top).unwrap_or(recipient).address.clone(),
        expanded_from: expanded_from.filter(|parent| *parent != recipient.address),
        original: recipient.original.clone(),
        fate,
        trouble,
    })
}
