//! How a message comes in: new, found after a start, or read again because it is due; and what is
//! made ready of it then.

use super::{Action, Actions, Scheduler};
use crate::active::{self, Active, Came, Round};
use crate::destination::{Destination, Group, MIXED};
use crate::event::Stat;
use crate::message::Envelope;
use crate::note::Note;
use crate::outcome::{Status, Trouble};
use crate::recipient::State;
use crate::slots::{Order, Phase};
use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};
use policy::Transport;

impl Scheduler {
    /// A message that the spool held at the start. Its envelope is not kept.
    pub(super) fn recovered(
        &mut self,
        slot: u32,
        envelope: &Envelope,
        note: Option<Box<Note>>,
        actions: &mut Actions,
    ) {
        let note = fitted(envelope, note);
        if !self.claim(slot, envelope, &note) {
            return;
        }
        if note.states.iter().all(is_settled) {
            self.forget(slot);
            actions.push(Action::Remove { slot });
            return;
        }
        let home = self.home(envelope, &note);
        self.move_home(slot, home);
        self.slots.set_phase(slot, Phase::Held);
        if active::is_held(envelope, &note) {
            if self.is_for_last_resort(&note) {
                actions.push(Action::Save { slot });
            }
            return;
        }
        let due_s = if self.rules.retry.is_by_order() {
            u32::MAX
        } else {
            // No later than the pauses of now allow: they may have been longer before.
            let pause_s = u64::from(self.rules.retry.longest_s);
            let latest_s = match note.tried_s {
                0 => u64::MAX,
                tried_s => tried_s.saturating_add(pause_s).saturating_add(pause_s >> 3),
            };
            u32::try_from(note.next_try_s.min(latest_s)).unwrap_or(u32::MAX)
        };
        if due_s > self.now_s() {
            self.slots.set_timer(slot, Phase::Waiting, due_s.min(self.latest_s(slot)));
        } else {
            self.line_up(slot, false);
        }
    }

    /// A new message. Where it can be tried at once, its envelope stays in memory.
    pub(super) fn arrived(&mut self, slot: u32, envelope: Box<Envelope>, actions: &mut Actions) {
        let note = Box::new(Note::new(&envelope));
        if !self.claim(slot, &envelope, &note) {
            return;
        }
        let home = self.home(&envelope, &note);
        self.move_home(slot, home);
        self.slots.set_phase(slot, Phase::Held);
        if let Some(reason) = &envelope.quarantine {
            let reason = reason.clone();
            self.tell_held(&Active::new(envelope, note), &reason, actions);
            return;
        }
        let (has_room, share) = (self.has_room(), self.share());
        let is_free = self.destinations.of(home).is_some_and(|one| {
            let is_blocked = one.blocked_by().is_some() && !self.tells_blocked;
            one.line.length == 0 && one.admitted < share && !is_blocked
        });
        if has_room && is_free {
            self.activate(slot, Active::new(envelope, note), actions);
        } else {
            self.line_up(slot, false);
        }
    }

    /// A message that a run of the queue comes to.
    pub(super) fn run(
        &mut self,
        slot: u32,
        envelope: Box<Envelope>,
        note: Option<Box<Note>>,
        actions: &mut Actions,
    ) {
        let note = Box::new(fitted(&envelope, note));
        if !self.claim(slot, &envelope, &note) {
            return;
        }
        let home = self.home(&envelope, &note);
        self.move_home(slot, home);
        self.slots.set_phase(slot, Phase::Held);
        self.activate(slot, Active { came: Came::Forced, ..waited(envelope, note) }, actions);
    }

    /// Says of each recipient of a new message that it is kept back.
    fn tell_held(&self, active: &Active, reason: &[u8], actions: &mut Actions) {
        let trouble = Trouble::ours(Status(2, 0, 0), reason);
        for index in active.open() {
            actions.push(self.to(active, &[index], Stat::Quarantined, &trouble, 0));
        }
    }

    /// A message that was asked for.
    pub(super) fn loaded(
        &mut self,
        slot: u32,
        envelope: Box<Envelope>,
        note: Option<Box<Note>>,
        actions: &mut Actions,
    ) {
        if self.slots.row(slot).map(|row| row.phase) != Some(Phase::Loading) {
            return;
        }
        self.loading = self.loading.saturating_sub(1);
        self.count_admitted(slot, false);
        let mut note = Box::new(fitted(&envelope, note));
        // The state that the row knows is the one the books were made with.
        let open = note.states.iter().filter(|state| !state.is_end()).count();
        self.correct_open(slot, open);
        let order = self.slots.row_mut(slot).map(|row| core::mem::take(&mut row.order));
        if order == Some(Order::Try) {
            self.activate(slot, Active { came: Came::Forced, ..waited(envelope, note) }, actions);
            return;
        }
        if order == Some(Order::Release) {
            note.release();
            self.activate_noted(slot, envelope, note, actions);
            return;
        }
        if let (Some(order), Some(row)) = (order, self.slots.row_mut(slot)) {
            row.order = order;
        }
        self.activate(slot, waited(envelope, note), actions);
    }

    /// A message whose record is damaged: the spool has put it aside.
    pub(super) fn unreadable(&mut self, slot: u32) {
        let Some(row) = self.slots.row(slot) else { return };
        if row.phase == Phase::Loading {
            self.ledger.damage(row.open.into());
            self.loading = self.loading.saturating_sub(1);
            self.count_admitted(slot, false);
            self.forget(slot);
        }
    }

    /// Takes a released message into memory and writes down that it was released.
    fn activate_noted(
        &mut self,
        slot: u32,
        envelope: Box<Envelope>,
        note: Box<Note>,
        actions: &mut Actions,
    ) {
        actions.push(Action::log(crate::Event::Released { id: envelope.id }));
        actions.push(Action::note(slot, &note));
        self.activate(slot, waited(envelope, note), actions);
    }

    /// Takes a message into memory and makes its open recipients ready.
    fn activate(&mut self, slot: u32, mut active: Active, actions: &mut Actions) {
        if active.envelope.by.is_some_and(|by| by.returns)
            && self.is_past_its_time(&active)
            && !active.is_held()
        {
            self.give_up(&mut active);
        }
        self.active_bytes = self.active_bytes.saturating_add(active.size_bytes);
        self.slots.set_phase(slot, Phase::Active);
        self.count_admitted(slot, true);
        let order = self.slots.row(slot).map(|row| row.order);
        let (put_off, open): (Vec<u32>, Vec<u32>) =
            active.open().partition(|&index| self.is_put_off(&active, index));
        if !put_off.is_empty() {
            active.round = Round::Tried;
            active.is_dirty = true;
        }
        let is_still =
            active.is_held() || matches!(order, Some(Order::Hold | Order::Remove | Order::Forget));
        self.active.insert(slot, active);
        if !is_still {
            self.make_ready(slot, &open, actions);
        }
        self.mark_if_idle(slot);
    }

    /// Whether a recipient of a new message waits without a try: he was refused for now, or his mailer works in runs of the
    /// queue only (`F=e` with `HoldExpensive`, `F=%`).
    fn is_put_off(&self, active: &Active, index: u32) -> bool {
        let followed = active.recipient(index).and_then(|one| one.followed.as_deref());
        let goes_at_once = followed.is_some_and(|followed| followed.goes_at_once);
        let mailer = active.recipient(index).map(|one| usize::from(one.route.mailer.0));
        let mailer = mailer.and_then(|number| self.rules.mailers.get(number));
        let waits = mailer.is_some_and(|mailer| mailer.carriage.waits_for_run) && !goes_at_once;
        active.came == Came::New && (waits || matches!(active.state(index), Some(State::Later(_))))
    }

    /// Makes some recipients of an active message ready, or asks the policy about them, or ends
    /// them where their mailer is no mailer.
    pub(super) fn make_ready(&mut self, slot: u32, indexes: &[u32], actions: &mut Actions) {
        let Some(mut active) = self.active.remove(&slot) else { return };
        let mut groups: BTreeMap<(u32, Option<u32>), Vec<u32>> = BTreeMap::new();
        let was_dirty = core::mem::replace(&mut active.is_dirty, false);
        for &index in indexes {
            if let Some(inquiry) = active.inquiry(index, self.rules.mark) {
                let address =
                    active.recipient(index).map(|one| wire::path::bare(&one.address).into());
                active.asking.push(index);
                actions.push(Action::Inquire {
                    slot,
                    recipient: index,
                    address: address.unwrap_or_default(),
                    sender: active.envelope.sender.clone(),
                    inquiry,
                });
            } else if let Some(number) = self.ready_at(&mut active, index, actions) {
                let owner = active.owner_index(index);
                groups.entry((number, owner)).or_default().push(index);
            }
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        // In the order of recipients: numbers of destinations come and go.
        groups.sort_by_key(|(_, recipients)| recipients.first().copied());
        for ((number, _), recipients) in groups {
            if self.is_told_blocked(&mut active, number, &recipients, actions) {
                continue;
            }
            active.ready = active.ready.saturating_add(recipients.len());
            if let Some(destination) = self.destinations.of_mut(number) {
                destination.ready.push_back(Group { slot, recipients });
            }
            self.join_try_ring(number);
        }
        let has_ended_some = active.is_dirty;
        active.is_dirty |= was_dirty;
        let is_idle = active.is_idle();
        self.active.insert(slot, active);
        if has_ended_some && !is_idle {
            self.note_now_or_late(slot, actions);
        }
    }

    /// The destination at which a recipient can be made ready, if there is one.
    fn ready_at(&mut self, active: &mut Active, index: u32, actions: &mut Actions) -> Option<u32> {
        let route = &active.recipient(index)?.route;
        let transport =
            self.rules.mailers.get(usize::from(route.mailer.0)).map(|mailer| &mailer.transport);
        match transport {
            Some(Transport::Discard) => {
                let trouble = Trouble::ours(Status(2, 0, 0), &route.host);
                active.is_dirty = true;
                self.set_state(active, index, State::Discarded);
                actions.push(self.to(active, &[index], Stat::Discarded, &trouble, 0));
                None
            }
            Some(Transport::Error) => {
                let trouble = decided_error(&route.host);
                self.trouble(active, index, trouble, actions);
                None
            }
            Some(
                Transport::Smtp { .. }
                | Transport::SmtpUnix(_)
                | Transport::Lmtp(_)
                | Transport::Maildir(_)
                | Transport::Mbox(_)
                | Transport::Program(_)
                | Transport::Waits { .. },
            ) => {
                let number = self.destinations.find(route, &self.rules.mailers);
                if self.tells_blocked {
                    return Some(number);
                }
                let blocked =
                    self.destinations.of(number).and_then(Destination::blocked_by).cloned();
                let Some(trouble) = blocked else { return Some(number) };
                // Not written down: the next start would only find out for itself.
                self.set_state(active, index, State::Later(trouble));
                None
            }
            None => {
                // The list of mailers became shorter under the same names: cannot be.
                let trouble = Trouble::ours(Status(4, 3, 5), b"mailer unknown");
                self.trouble(active, index, trouble, actions);
                None
            }
        }
    }

    /// Defers what is for a destination that is down, where that is told of at once.
    fn is_told_blocked(
        &mut self,
        active: &mut Active,
        number: u32,
        recipients: &[u32],
        actions: &mut Actions,
    ) -> bool {
        let blocked = self.destinations.of(number).and_then(Destination::blocked_by).cloned();
        let Some(mut trouble) = blocked.filter(|_| self.tells_blocked) else { return false };
        // Nobody was spoken to: the name of the host is known, and no address.
        let name = trouble.host.split(|&octet| octet == b' ').next().unwrap_or_default().into();
        trouble.host = name;
        active.is_dirty = true;
        active.round = Round::Tried;
        actions.push(self.to(active, recipients, Stat::Deferred, &trouble, 0));
        for &index in recipients {
            self.set_state(active, index, State::Later(trouble.clone()));
        }
        true
    }

    /// Books trouble that is known without a try: for good if its status says so.
    pub(super) fn trouble(
        &mut self,
        active: &mut Active,
        index: u32,
        trouble: Trouble,
        actions: &mut Actions,
    ) {
        active.is_dirty = true;
        active.round = Round::Tried;
        let trouble = trouble.cleaned();
        let is_final = trouble.status.0 == 5;
        let stat = if is_final { Stat::Failed } else { Stat::Deferred };
        actions.push(self.to(active, &[index], stat, &trouble, 0));
        let state = if is_final { State::Failed(trouble) } else { State::Later(trouble) };
        self.set_state(active, index, state);
    }

    /// The destination that a message is counted under: the one of all its open recipients, if
    /// they have the same and need no asking.
    pub(super) fn home(&mut self, envelope: &Envelope, note: &Note) -> u32 {
        let mut home = MIXED;
        for (index, _) in (0_u32..).zip(&note.states).filter(|(_, state)| state.is_open()) {
            let asks = active::inquiry(envelope, note, index, self.rules.mark).is_some();
            let route = active::recipient(envelope, note, index).map(|one| &one.route);
            let number = match route {
                Some(route) if !asks && !self.destinations.is_full() => {
                    self.destinations.find(route, &self.rules.mailers)
                }
                Some(_) | None => MIXED,
            };
            if number == MIXED || (home != MIXED && home != number) {
                self.destinations.tidy(number);
                self.destinations.tidy(home);
                return MIXED;
            }
            home = number;
        }
        home
    }

    fn claim(&mut self, slot: u32, envelope: &Envelope, note: &Note) -> bool {
        let created_s = u32::try_from(envelope.created_s).unwrap_or(u32::MAX);
        if !self.slots.claim(slot, created_s) {
            return false;
        }
        let open = note.states.iter().filter(|state| !state.is_end()).count();
        self.ledger.accept(u64::try_from(open).unwrap_or(u64::MAX));
        let never_warns = self.ages(envelope).warn_s == 0 || envelope.sender.is_empty();
        if let Some(row) = self.slots.row_mut(slot) {
            row.open = u16::try_from(open).unwrap_or(u16::MAX);
            row.is_warned = note.is_warned || never_warns;
            row.is_report = envelope.is_report();
        }
        true
    }

    /// What was read may differ from what was booked only if a note was lost: the books follow.
    fn correct_open(&mut self, slot: u32, open: usize) {
        let Some(row) = self.slots.row_mut(slot) else { return };
        let booked = u64::from(row.open);
        let open = u64::try_from(open).unwrap_or(u64::MAX);
        row.open = u16::try_from(open).unwrap_or(u16::MAX);
        if open > booked {
            self.ledger.accept(open.saturating_sub(booked));
        } else {
            self.ledger.damage(booked.saturating_sub(open));
        }
    }
}

/// A message that is taken into memory again. One that was only queued when it came counts as tried then.
fn waited(envelope: Box<Envelope>, mut note: Box<Note>) -> Active {
    let was_tried = note.tries > 0;
    note.tries = note.tries.max(1);
    Active { came: Came::Waited, was_tried, ..Active::new(envelope, note) }
}

fn fitted(envelope: &Envelope, note: Option<Box<Note>>) -> Note {
    let note = note.map_or_else(|| Note::new(envelope), |note| *note);
    note.fitted(envelope)
}

/// Whether nothing is owed any more: not a try, not a report.
fn is_settled(state: &State) -> bool {
    match state {
        State::Waiting | State::Later(_) | State::Failed(_) | State::Lost(_) => false,
        State::Delivered(receipt) | State::Relayed(receipt) | State::Expanded { receipt, .. } => {
            receipt.is_none()
        }
        State::Bounced | State::Dropped(_) | State::Discarded => true,
    }
}

/// The trouble that an error route spells: an enhanced status code first, or none.
fn decided_error(text: &[u8]) -> Trouble {
    let default = Trouble::ours(Status(5, 0, 0), text);
    let end = text.iter().position(|octet| matches!(octet, b' ' | b':')).unwrap_or(text.len());
    let Some((code, rest)) = text.split_at_checked(end) else { return default };
    let mut parts = code
        .split(|&octet| octet == b'.')
        .map(|part| core::str::from_utf8(part).ok().and_then(|digits| digits.parse::<u16>().ok()));
    let numbers = (parts.next(), parts.next(), parts.next(), parts.next());
    match numbers {
        (Some(Some(class @ (4 | 5))), Some(Some(subject)), Some(Some(detail)), None) => {
            let class = if class == 4 { 4 } else { 5 };
            let rest = rest.get(1..).unwrap_or_default();
            Trouble::ours(Status(class, subject, detail), rest)
        }
        _ => default,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_route_may_name_its_status() {
        assert_eq!(
            decided_error(b"5.1.1 User unknown"),
            Trouble::ours(Status(5, 1, 1), b"User unknown")
        );
        assert_eq!(decided_error(b"4.7.1:wait").status, Status(4, 7, 1));
        for text in [&b"User unknown"[..], b"5.1 x", b"2.0.0 x", b"5.1.1.1 x", b""] {
            assert_eq!(decided_error(text), Trouble::ours(Status(5, 0, 0), text));
        }
    }
}
