//! Runs of the queue: on an errand one message after the other, as sendmail's queue runner works; in a server that runs, all
//! that is meant becomes due.

use super::House;
use crate::edges::Errand;
use ::queue::run::{Deed, Facts, Plan, Run};
use ::queue::{Envelope, Event, Hold, Input, Note, Purpose};
use spool::Spool as _;

/// New messages that wait for one before them; further ones do not.
const ARRIVALS_MAX: usize = 1000;

/// Messages that are looked at together while a server runs.
const LOOKED_AT: usize = 1000;

impl House {
    /// Begins the run that we were started for.
    pub(super) fn begin_run(&mut self, run: Run, recovered: &[spool::Recovered]) {
        self.scheduler.tell_blocked();
        let deed = run.deed.clone();
        let mut plan = Plan::new(run, sys::clock::realtime_s(), sys::clock::realtime_us());
        for message in recovered {
            let Some((envelope, note)) = self.read_noted(message.slot) else { continue };
            let number = self.number(&envelope, &note);
            plan.consider(message.slot.into(), &envelope, &note, number);
        }
        let mut slots = plan.finish();
        if deed == Deed::Try {
            slots.reverse();
            self.round = slots;
            return;
        }
        for slot in slots {
            self.mark(slot, &deed);
        }
    }

    /// sendmail's number for a message, as its queue has it: what it began with, and the runs that came to it.
    pub(super) fn number(&self, envelope: &Envelope, note: &Note) -> i64 {
        let runs = i64::from(note.tries.saturating_sub(1));
        envelope.priority.saturating_add(runs.saturating_mul(self.settings.weights.retry_factor))
    }

    /// Whether we were started to mark messages, and to try nothing.
    pub(super) fn is_mark_only(&self) -> bool {
        matches!(&self.errand, Some(Errand::Run(run)) if run.deed != Deed::Try)
    }

    /// Comes to the next message of the run when the one before is done with.
    pub(super) fn go_on_with_round(&mut self) {
        while self.carriers.is_idle()
            && self.intake.is_idle()
            && self.scheduler.is_quiet()
            && let Some(slot) = self.round.pop()
        {
            if let Some((envelope, note)) = self.read(slot.into()) {
                self.show_running(envelope.id, self.round.len());
                self.step(Input::Run { slot, envelope, note });
            }
        }
    }

    /// A new message. On an errand it waits until those before it are done with, reports on them and all.
    pub(super) fn arrived(&mut self, slot: u32, envelope: Box<Envelope>) {
        let is_first = self.scheduler.is_quiet() && self.arrivals.is_empty();
        let is_report = envelope.purpose != Purpose::Mail;
        if self.errand.is_none() || is_first || is_report || self.arrivals.len() >= ARRIVALS_MAX {
            return self.step(Input::Arrived { slot, envelope });
        }
        self.arrivals.push_back((slot, envelope));
    }

    /// Comes to the next new message when the one before is done with.
    pub(super) fn go_on_with_arrivals(&mut self) {
        while self.carriers.is_idle()
            && self.intake.is_idle()
            && self.scheduler.is_quiet()
            && let Some((slot, envelope)) = self.arrivals.pop_front()
        {
            self.step(Input::Arrived { slot, envelope });
        }
    }

    /// Keeps a message back, or lets it go, where nothing else goes on with it.
    fn mark(&mut self, slot: u32, deed: &Deed) {
        let Some((envelope, mut note)) = self.read_noted(slot.into()) else { return };
        let id = envelope.id;
        let event = match deed {
            Deed::Try => return,
            Deed::Hold(reason) => {
                note.hold = Hold::Held(reason.clone());
                Event::Held { id, reason: reason.clone() }
            }
            Deed::Release => {
                note.release();
                Event::Released { id }
            }
        };
        let mut record = Vec::new();
        note.encode(&mut record);
        self.note(slot, &record);
        self.log_event(&event);
    }

    /// Does what an operator wishes with the messages that he means, while we serve.
    pub(super) fn run_now(&mut self, run: &Run) {
        let mut after = 0;
        loop {
            let found = self.spool.list(after, LOOKED_AT);
            let Some(&(last, _)) = found.last() else { return };
            after = last.as_u64();
            for (id, slot) in found {
                let Some((envelope, note)) = self.read_noted(slot) else { continue };
                if run.wants(&Facts::of(id, &envelope, &note)) {
                    self.step(wish(run, slot.into()));
                }
            }
        }
    }
}

/// What the scheduler is told of a message of a run.
fn wish(run: &Run, slot: u32) -> Input {
    match &run.deed {
        Deed::Hold(reason) => Input::Hold { slot, reason: Some(reason.clone()) },
        Deed::Release => Input::Release { slot },
        Deed::Try if run.is_of_held => Input::Try { slot },
        Deed::Try => Input::Flush { slot: Some(slot) },
    }
}
