//! Trying: batches out, outcomes in, and what they say about a destination.
//!
//! Destinations take turns, one batch a turn. The first failure of a whole destination takes it
//! down: what was ready for it goes back to waiting without a try, and after the pause one message
//! is the probe. As long as it fails, the pauses grow.

use super::{Action, Actions, Flight, Scheduler};
use crate::active::{Active, Came, Round};
use crate::batch::{Batch, BatchId, BatchRecipient, Past};
use crate::event::{Event, Stat, To};
use crate::message::{Purpose, usual_priority};
use crate::note::Hold;
use crate::outcome::{
    Outcome, Scope, Status, TEXT_BYTES_MAX, TOO_LARGE, Trouble, Voice, cleaned_lines,
};
use crate::recipient::{Notify, Receipt, Recipient, State};
use crate::retry::pause_ms;
use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use policy::{Controller, Mailer};

/// A message whose delivery process died this often while it had it is put aside.
const CRASHES_MAX: u8 = 2;

impl Scheduler {
    pub(super) fn join_try_ring(&mut self, number: u32) {
        if let Some(destination) = self.destinations.of_mut(number)
            && !destination.is_in_try_ring
            && destination.may_try()
        {
            destination.is_in_try_ring = true;
            self.try_ring.push_back(number);
        }
    }

    /// Begins what limits allow.
    pub(super) fn dispatch(&mut self, actions: &mut Actions) {
        let room = usize::try_from(self.room).unwrap_or(usize::MAX);
        while self.flights.len() < room
            && let Some(number) = self.try_ring.pop_front()
        {
            let Some(destination) = self.destinations.of_mut(number) else { continue };
            if !core::mem::replace(&mut destination.is_in_try_ring, false) || !destination.may_try()
            {
                continue;
            }
            let Some(mut group) = destination.ready.pop_front() else { continue };
            let most = usize::try_from(destination.recipients_max).unwrap_or(usize::MAX);
            group.keep_most(most, destination);
            destination.in_flight = destination.in_flight.saturating_add(1);
            let slot = group.slot;
            let mut recipients: Vec<(u32, u32)> =
                group.recipients.into_iter().map(|index| (index, number)).collect();
            self.join_companions(slot, &mut recipients, most);
            self.begin(slot, recipients, actions);
            self.join_try_ring(number);
        }
    }

    fn begin(&mut self, slot: u32, recipients: Vec<(u32, u32)>, actions: &mut Actions) {
        let id = BatchId(self.last_batch.wrapping_add(1));
        self.last_batch = id.0;
        if let Some(active) = self.active.get_mut(&slot) {
            active.ready = active.ready.saturating_sub(recipients.len());
            active.in_flight = active.in_flight.saturating_add(recipients.len());
            let all_open =
                recipients.iter().all(|&(one, _)| active.state(one).is_some_and(State::is_open));
            assert!(all_open, "nothing is tried after its end");
            if let Some(mut batch) = batch(active, id, slot, &recipients) {
                if self.rules.dresses_mail {
                    batch.story = Some(Box::new(active.envelope.story()));
                    batch.is_own =
                        active.envelope.origin.is_own() && *batch.sender == *active.envelope.sender;
                }
                actions.push(Action::Try(Box::new(batch)));
            }
        }
        let flight = Flight { slot, recipients, began_ms: self.now_ms };
        self.flights.insert(id, flight);
    }

    /// A batch is over.
    pub(super) fn outcome(
        &mut self,
        id: BatchId,
        mut results: Vec<(u32, Outcome)>,
        actions: &mut Actions,
    ) {
        let Some(flight) = self.flights.get(&id) else { return };
        let owed = flight.recipients.iter().map(|&(index, _)| index);
        let unnamed: Vec<u32> =
            owed.filter(|one| results.iter().all(|(index, _)| index != one)).collect();
        results.extend(unnamed.into_iter().map(|index| (index, not_named())));
        self.part(id, results, actions);
    }

    /// Some recipients of a batch are over; in the order in which they were tried, as the log tells them.
    pub(super) fn part(
        &mut self,
        id: BatchId,
        results: Vec<(u32, Outcome)>,
        actions: &mut Actions,
    ) {
        let Some(flight) = self.flights.get_mut(&id) else { return };
        let Some(mut active) = self.active.remove(&flight.slot) else {
            return self.link_down(&[id], false, actions);
        };
        let mut owed: BTreeMap<u32, u32> = flight.recipients.iter().copied().collect();
        let results: Vec<(u32, u32, Outcome)> = results
            .into_iter()
            .filter_map(|(index, outcome)| Some((index, owed.remove(&index)?, outcome)))
            .collect();
        flight.recipients.retain(|(index, _)| owed.contains_key(index));
        let (slot, took_ms) = (flight.slot, self.now_ms.saturating_sub(flight.began_ms));
        let count = results.len();
        let mut verdicts: BTreeMap<u32, Verdict> = BTreeMap::new();
        let mut told = Telling::default();
        for (index, destination, outcome) in results {
            verdicts.entry(destination).or_default().hear(&outcome);
            let (stat, trouble, state) = judged(&active, index, outcome);
            self.set_state(&mut active, index, state);
            told.add(index, stat, trouble);
        }
        for (indexes, stat, trouble) in told.0 {
            actions.push(self.to(&active, &indexes, stat, &trouble, took_ms));
        }
        active.in_flight = active.in_flight.saturating_sub(count);
        active.is_dirty = true;
        active.round = Round::Tried;
        self.active.insert(slot, active);
        self.land(id, verdicts.keys().copied());
        if !self.mark_if_idle(slot) {
            self.note_now_or_late(slot, actions);
        }
        for (number, verdict) in verdicts {
            match verdict {
                Verdict { has_answered: true, .. } => self.answered_again(number, actions),
                Verdict { down: Some(trouble), .. } => {
                    self.down(number, &trouble.cleaned(), actions);
                }
                Verdict { down: None, .. } => {}
            }
            self.go_on(number);
        }
    }

    /// Whatever a destination has room for now may begin.
    fn go_on(&mut self, number: u32) {
        self.join_try_ring(number);
        self.join_load_ring(number);
        self.destinations.tidy(number);
    }

    /// The process that had these batches is gone.
    pub(super) fn link_down(
        &mut self,
        batches: &[BatchId],
        has_crashed: bool,
        actions: &mut Actions,
    ) {
        self.lost_batches = u64::try_from(batches.len()).unwrap_or(u64::MAX);
        let mut crashed: Vec<u32> = Vec::new();
        for &id in batches {
            let Some(flight) = self.flights.get_mut(&id) else { continue };
            let recipients = core::mem::take(&mut flight.recipients);
            let slot = flight.slot;
            if let Some(active) = self.active.get_mut(&slot) {
                active.in_flight = active.in_flight.saturating_sub(recipients.len());
                active.round = Round::Broken;
                crashed.push(slot);
            }
            let numbers: BTreeSet<u32> = recipients.into_iter().map(|(_, number)| number).collect();
            self.land(id, numbers.iter().copied());
            self.mark_if_idle(slot);
            for number in numbers {
                self.go_on(number);
            }
        }
        crashed.sort_unstable();
        crashed.dedup();
        for slot in crashed.into_iter().filter(|_| has_crashed) {
            self.count_crash(slot, actions);
        }
    }

    /// A message whose delivery crashes again and again must not take the others with it.
    fn count_crash(&mut self, slot: u32, actions: &mut Actions) {
        let Some(active) = self.active.get_mut(&slot) else { return };
        active.is_dirty = true;
        active.note.crashes = active.note.crashes.saturating_add(1);
        if active.note.crashes >= CRASHES_MAX && !active.is_held() {
            let reason: &[u8] = b"its delivery crashed repeatedly";
            active.note.hold = Hold::Held(reason.into());
            let event = Event::Held { id: active.envelope.id, reason: reason.into() };
            actions.push(Action::log(event));
            self.withdraw(slot);
        }
    }

    /// Takes back what is ready of a message.
    pub(super) fn withdraw(&mut self, slot: u32) {
        let Some(active) = self.active.get_mut(&slot) else { return };
        active.ready = 0;
        let open: Vec<u32> = active.open().collect();
        for index in open {
            let Some(one) = self.active.get(&slot).and_then(|active| active.recipient(index))
            else {
                continue;
            };
            let number = self.destinations.find(&one.route, &self.rules.mailers);
            if let Some(destination) = self.destinations.of_mut(number) {
                destination.ready.retain(|group| group.slot != slot);
            }
            self.destinations.tidy(number);
            self.join_load_ring(number);
        }
        self.mark_if_idle(slot);
    }

    /// Of these destinations something was heard: those that no recipient of a batch is out for any more have one less in
    /// flight. A batch that nobody is out for is over.
    fn land(&mut self, id: BatchId, numbers: impl Iterator<Item = u32>) {
        let Some(flight) = self.flights.get(&id) else { return };
        for number in numbers {
            let is_over = flight.recipients.iter().all(|&(_, other)| other != number);
            if let Some(destination) = self.destinations.of_mut(number).filter(|_| is_over) {
                destination.in_flight = destination.in_flight.saturating_sub(1);
            }
        }
        if flight.recipients.is_empty() {
            self.flights.remove(&id);
        }
    }

    fn answered_again(&mut self, number: u32, actions: &mut Actions) {
        let Some(destination) = self.destinations.of_mut(number) else { return };
        let (mailer, was_down) = (destination.mailer, destination.answered());
        if was_down {
            let host = destination.name().into();
            actions.push(Action::log(Event::DestinationUp { mailer, host }));
        }
    }

    /// Takes a destination down, and back from it what was ready.
    fn down(&mut self, number: u32, trouble: &Trouble, actions: &mut Actions) {
        let Some(destination) = self.destinations.of_mut(number) else { return };
        if destination.is_down() {
            return;
        }
        destination.failures = destination.failures.saturating_add(1);
        let pause_ms = pause_ms(&self.rules.retry, destination.failures, &mut self.dice);
        actions.push(Action::log(Event::DestinationDown {
            mailer: destination.mailer,
            host: destination.name().into(),
            pause_ms,
            text: trouble.text.clone(),
        }));
        let groups = core::mem::take(&mut destination.ready);
        let until_ms = self.now_ms.saturating_add(pause_ms);
        self.destinations.set_down(number, until_ms, Box::new(trouble.clone()));
        for group in groups {
            let Some(mut active) = self.active.remove(&group.slot) else { continue };
            for &index in &group.recipients {
                self.set_state(&mut active, index, State::Later(trouble.clone()));
            }
            active.ready = active.ready.saturating_sub(group.recipients.len());
            self.active.insert(group.slot, active);
            self.mark_if_idle(group.slot);
        }
    }

    /// Sets the state of a recipient and books its end, if that is one.
    pub(super) fn set_state(&mut self, active: &mut Active, index: u32, state: State) {
        let place = usize::try_from(index).ok().and_then(|index| active.note.states.get_mut(index));
        let Some(place) = place else { return };
        assert!(!place.is_end(), "a recipient ends once");
        self.ledger.end(&state);
        *place = state;
    }

    /// The host that a line names: the server that was talked to, or what rule set 0 gave a mailer of this machine for one, as
    /// the detail of `user+detail`. For a program of an alias it is who it runs as, which is nobody's business.
    fn host_told(&self, trouble: &Trouble, recipient: Option<&Recipient>) -> Box<[u8]> {
        let own = recipient.filter(|_| self.rules.dresses_mail && trouble.host.is_empty());
        let own = own.filter(|one| {
            let mailer = self.rules.mailers.get(usize::from(one.route.mailer.0));
            mailer.is_some_and(Mailer::has_detail)
        });
        own.map_or_else(|| trouble.host.clone(), |one| one.route.host.clone())
    }

    /// A `to=` line.
    pub(super) fn to(
        &self,
        active: &Active,
        indexes: &[u32],
        stat: Stat,
        trouble: &Trouble,
        took_ms: u64,
    ) -> Action {
        let envelope = &active.envelope;
        let recipients = || indexes.iter().filter_map(|&index| active.recipient(index));
        let mailer = recipients().next().map(|one| one.route.mailer);
        Action::log(Event::To(To {
            id: envelope.id,
            to: indexes.iter().map(|&index| active.written(index)).collect(),
            // Nothing was begun in anybody's name where a message is more than its mailer takes.
            controller: recipients()
                .next()
                .filter(|_| trouble.voice != Voice::Local || trouble.status != TOO_LARGE)
                .and_then(|one| controller(one, active)),
            led_by: None,
            delay_s: self.now_ms.wrapping_div(1000).saturating_sub(envelope.created_s),
            xdelay_ms: Some(took_ms),
            mailer: mailer.unwrap_or(Recipient::UNROUTED),
            size_bytes: envelope.size_bytes,
            priority: priority(active),
            tries: active.note.tries,
            host: self.host_told(trouble, recipients().next()),
            status: trouble.status,
            stat,
            reply: trouble
                .said
                .as_ref()
                .filter(|_| trouble.voice == Voice::Smtp)
                .map(|said| said.logged()),
            text: trouble.text.clone(),
        }))
    }
}

/// What a message begins with (`pri=`). A report counts those that its one recipient came to.
fn priority(active: &Active) -> i64 {
    let envelope = &active.envelope;
    if envelope.purpose == Purpose::Mail {
        return envelope.priority;
    }
    let states = active.note.states.iter();
    let counted = states.filter(|state| !matches!(state, State::Expanded { .. })).count();
    usual_priority(envelope.size_bytes, counted.max(1))
}

/// In whose name a recipient is: as it was found on the way, else the user who handed the message in. Who called is no longer
/// told of a message that waited, as sendmail's queue does not keep it.
pub(super) fn controller(recipient: &Recipient, active: &Active) -> Option<Controller> {
    let is_told = |user: &&Controller| active.came == Came::New || !user.login.is_empty();
    match &recipient.followed {
        Some(followed) => followed.logged.as_ref().filter(is_told).cloned(),
        // Who speaks SMTP answers for the sender he names, not for himself.
        None => active.envelope.origin.uid.filter(|_| active.envelope.origin.is_own()).map(|uid| {
            Controller {
                address: active.envelope.origin.user.clone(),
                login: Box::default(),
                uid,
                gid: uid,
            }
        }),
    }
}

/// What a batch says of a destination.
#[derive(Default)]
struct Verdict {
    has_answered: bool,
    down: Option<Trouble>,
}

impl Verdict {
    fn hear(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Later { scope: Scope::Destination, trouble } => {
                self.down = Some(trouble.clone());
            }
            Outcome::Later { scope: Scope::Recipient, .. }
            | Outcome::Delivered { .. }
            | Outcome::Relayed { .. }
            | Outcome::Never(_) => self.has_answered = true,
        }
    }
}

/// Recipients that had the same answer, for one `to=` line each.
#[derive(Default)]
struct Telling(Vec<(Vec<u32>, Stat, Trouble)>);

impl Telling {
    fn add(&mut self, index: u32, stat: Stat, trouble: Trouble) {
        match self.0.last_mut() {
            // LMTP answers each by itself: what nothing is said of has a line of its own, too.
            Some((indexes, last_stat, last))
                if *last_stat == stat && *last == trouble && !says_nothing(stat, &trouble) =>
            {
                indexes.push(index);
            }
            Some(_) | None => self.0.push((alloc::vec![index], stat, trouble)),
        }
    }
}

/// A deferral without a word.
fn says_nothing(stat: Stat, trouble: &Trouble) -> bool {
    stat == Stat::Deferred && trouble.text.is_empty() && trouble.said.is_none()
}

/// What an outcome makes of a recipient, and what the log says of it.
fn judged(active: &Active, index: u32, outcome: Outcome) -> (Stat, Trouble, State) {
    let has_sender = !active.sender(index).is_empty();
    let wants = active.recipient(index).is_some_and(|one| one.notify.wants_success()) && has_sender;
    let sent = |host: Box<[u8]>, text: Box<[u8]>| {
        Trouble { host, ..Trouble::ours(Status(2, 0, 0), &text) }.cleaned()
    };
    match outcome {
        Outcome::Delivered { host, text, answer } => {
            let said = sent(host, text);
            let receipt =
                Receipt { host: said.host.clone(), text: cleaned_lines(&answer, TEXT_BYTES_MAX) };
            (Stat::Sent, said, State::Delivered(wants.then_some(receipt)))
        }
        Outcome::Relayed { host, text, accepted, reports, keeps_time } => {
            let said = sent(host, text);
            // A deadline of which the next server does not know, or of which the sender wants to hear on the way.
            let by = active.envelope.by.filter(|_| has_sender);
            let is_owed = (wants && !reports) || by.is_some_and(|by| by.traces || !keeps_time);
            let accepted =
                if accepted.is_empty() { [b"250 ", &*said.text].concat() } else { accepted.into() };
            let text = crate::outcome::cleaned(&accepted, TEXT_BYTES_MAX);
            let receipt = Receipt { host: said.host.clone(), text };
            (Stat::Sent, said, State::Relayed(is_owed.then_some(receipt)))
        }
        Outcome::Later { trouble, .. } => {
            let trouble = trouble.cleaned();
            (Stat::Deferred, trouble.clone(), State::Later(trouble))
        }
        Outcome::Never(trouble) => {
            let trouble = trouble.cleaned();
            (Stat::Failed, trouble.clone(), State::Failed(trouble))
        }
    }
}

fn not_named() -> Outcome {
    let trouble = Trouble::ours(Status(4, 3, 0), b"delivery said nothing of this recipient");
    Outcome::Later { trouble, scope: Scope::Recipient }
}

/// Whether the next server is to say nothing of a recipient but what it says of any: the name that led to him is what the
/// sender asked about. Who wants no report at all gets none from there either.
fn is_silent(recipient: &Recipient) -> bool {
    recipient.is_of_several() && recipient.notify != Notify::NEVER
}

fn batch(active: &Active, id: BatchId, slot: u32, whose: &[(u32, u32)]) -> Option<Batch> {
    let &(first, _) = whose.first()?;
    let route = &active.recipient(first)?.route;
    let envelope = &active.envelope;
    let recipient = |&(index, _): &(u32, u32)| {
        let one = active.recipient(index)?;
        let is_elsewhere = one.route.host != route.host;
        Some(BatchRecipient {
            index,
            address: one.address.clone(),
            host: if is_elsewhere { one.route.host.clone() } else { Box::default() },
            user: one.route.user.clone(),
            notify: if is_silent(one) { Notify::UNSET } else { one.notify },
            original: one.original.clone().filter(|_| !is_silent(one)),
        })
    };
    Some(Batch {
        id,
        slot,
        message: envelope.id,
        mailer: route.mailer,
        host: route.host.clone(),
        sender: active.sender(first).into(),
        separator: Box::default(),
        is_sender_named: active.came != Came::New
            || active.owner_index(first).is_some()
            || !envelope.origin.has_unnamed_sender(),
        recipients: whose.iter().filter_map(recipient).collect(),
        size_bytes: envelope.size_bytes,
        body: envelope.body,
        is_utf8: envelope.is_utf8,
        ret: envelope.ret,
        envelope_id: envelope.envelope_id.clone(),
        is_own: false,
        by: envelope.by,
        created_s: envelope.created_s,
        past: match (active.came, active.was_tried) {
            (Came::New, _) => Past::New,
            (Came::Waited | Came::Forced, false) => Past::Waited,
            (Came::Waited | Came::Forced, true) => Past::Tried,
        },
        story: None,
    })
}
