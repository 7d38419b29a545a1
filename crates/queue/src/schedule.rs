//! The scheduler: what to try when.
//!
//! It owns no socket, no disk and no clock: the daemon tells it what happened ([`Input`]) and when,
//! and does what it says ([`Action`]). All actions of one step belong to one commit: a report and
//! the note that says it was made are durable together or not at all, which is why no recipient is
//! reported twice.
//!
//! A message that waits costs a row of `slots` and an entry in its timer heap; its envelope is read
//! again when it is due. Messages that are due wait in line at their destination, and are loaded
//! destination by destination in turn, as the window of active messages allows.

use crate::active::{Active, Round};
use crate::destination::Destinations;
use crate::message::{Envelope, mailers_mark};
use crate::note::Note;
use crate::outcome::Outcome;
use crate::part::Split;
use crate::report::Report;
use crate::retry::Dice;
use crate::slots::{Phase, Slots};
use crate::{Batch, BatchId, Event, Ledger};
use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
pub use consult::OURSELVES;
use policy::settings::{Reports, Retry};
use policy::{Expansion, Mailer, Route, Settings};
pub use reports::LOST;

mod answer;
mod arrive;
mod attempt;
mod consult;
mod line;
mod operate;
mod reports;
mod settle;
mod share;
mod storms;

/// The most messages in memory at once.
pub const ACTIVE_MAX: usize = 8192;

/// The most octets of envelopes in memory at once, about; past it nothing more is read.
pub const ACTIVE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The most messages that are being read at once.
const LOADING_MAX: usize = 256;

/// The most timers, or messages of a flush, that one step works off.
const PER_STEP_MAX: usize = 1024;

/// Batches at once until the daemon says more.
const ROOM_FIRST: u32 = 256;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// After a start: the spool holds this message.
    Recovered {
        /// Its place.
        slot: u32,
        /// Its envelope.
        envelope: Box<Envelope>,
        /// Its last note, if it has one.
        note: Option<Box<Note>>,
    },
    /// A message was accepted and is durable.
    Arrived {
        /// Its place, not used by another message.
        slot: u32,
        /// Its envelope.
        envelope: Box<Envelope>,
    },
    /// The answer to [`Action::Load`].
    Loaded {
        /// The place that was asked for.
        slot: u32,
        /// Its envelope.
        envelope: Box<Envelope>,
        /// Its last note, if it has one.
        note: Option<Box<Note>>,
    },
    /// The other answer to [`Action::Load`]: the record is damaged and the spool put it aside.
    Unreadable {
        /// The place that was asked for.
        slot: u32,
    },
    /// The answer to [`Action::Inquire`].
    Answered {
        /// The message.
        slot: u32,
        /// The recipient that was asked for.
        recipient: u32,
        /// What the policy said. A plain route is an expansion of one recipient; a refusal is one
        /// of a refused member.
        expansion: Box<Expansion>,
    },
    /// The answer to [`Action::Split`].
    Split {
        /// The message.
        slot: u32,
        /// The recipient whose members went.
        recipient: u32,
        /// Whether its parts are in the commit of this step.
        is_stored: bool,
    },
    /// The answer to [`Action::Save`]: the message is durable in the owner's file.
    Saved {
        /// Which; still the message that was to be saved.
        slot: u32,
    },
    /// Some recipients of a batch are over, and others are still being tried.
    Part {
        /// The batch.
        batch: BatchId,
        /// What came of these, by their numbers.
        results: Vec<(u32, Outcome)>,
    },
    /// A batch is over. A recipient of the batch that was never named is tried again later.
    Outcome {
        /// The batch.
        batch: BatchId,
        /// What came of each recipient, by its number.
        results: Vec<(u32, Outcome)>,
    },
    /// A process that tried batches is gone; they come back soon.
    LinkDown {
        /// The batches it had.
        batches: Vec<BatchId>,
        /// Whether it died of its own: a message that was there twice is put aside.
        has_crashed: bool,
    },
    /// How many batches the delivering processes can hold together.
    Room {
        /// That many.
        batches: u32,
    },
    /// The configuration was read again.
    Settings(Box<Settings>),
    /// A run of the queue comes to a message that the spool holds and that was not known here: it is tried now, also if it is kept
    /// back.
    Run {
        /// Its place.
        slot: u32,
        /// Its envelope.
        envelope: Box<Envelope>,
        /// Its last note, if it has one.
        note: Option<Box<Note>>,
    },
    /// The operator wants a message tried now that is kept back; it stays so.
    Try {
        /// Which.
        slot: u32,
    },
    /// The operator wants everything, or one message, tried now.
    Flush {
        /// Which; `None`: everything.
        slot: Option<u32>,
    },
    /// A client asks for the mail of a host that was away (ETRN, RFC 1985).
    Turn {
        /// The host; with `@` in front: and all below it. Nothing waits for it: nothing happens.
        node: Box<[u8]>,
    },
    /// The operator keeps a message back.
    Hold {
        /// Which.
        slot: u32,
        /// Why; `None`: because he says so.
        reason: Option<Box<[u8]>>,
    },
    /// The operator lets a message go.
    Release {
        /// Which.
        slot: u32,
    },
    /// The operator throws a message away; nobody is told.
    Remove {
        /// Which.
        slot: u32,
    },
    /// Time has passed.
    Tick,
}

/// What is to be done. All actions of one step are one commit to the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Read envelope and note of this message: [`Input::Loaded`] or [`Input::Unreadable`]. Always
    /// to be answered.
    Load {
        /// Which.
        slot: u32,
    },
    /// Ask the policy: [`Input::Answered`]. Always to be answered: if the policy dies, ask the next.
    Inquire {
        /// The message.
        slot: u32,
        /// The number of the recipient within it.
        recipient: u32,
        /// The recipient's address, without angle brackets.
        address: Box<[u8]>,
        /// The message's sender, whom a list may leave out; empty: nobody.
        sender: Box<[u8]>,
        /// What to ask.
        inquiry: Inquiry,
    },
    /// Try this: [`Input::Outcome`] or [`Input::LinkDown`].
    Try(Box<Batch>),
    /// Write this note over the message's last.
    Note {
        /// The message.
        slot: u32,
        /// The record ([`Note::decode`]).
        record: Vec<u8>,
    },
    /// The message is done: free its space. The place may be used again.
    Remove {
        /// Which.
        slot: u32,
    },
    /// Store this report as a new message, in the same commit as the note or the end of the
    /// message it is about, which comes later in the same step: that message can still be read.
    Report(Box<Report>),
    /// Nobody can be told of this message, which is kept back: append it to the owner's file for such (`Reports::last_resort`),
    /// and once it is durable there, [`Input::Saved`]. Without an answer it stays kept back.
    Save {
        /// Which.
        slot: u32,
    },
    /// Store these parts of a message: [`Input::Split`], and they are durable together with the note that follows from it.
    /// Always to be answered.
    Split(Box<Split>),
    /// Write this to the log.
    Log(Box<Event>),
    /// Call [`Input::Tick`] at this time, in ms since 1970; replaces the last such wish.
    Wake {
        /// When.
        at_ms: u64,
    },
}

/// What the policy is asked about a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inquiry {
    /// `Policy::expand` with this route.
    Expand(Route),
    /// `Policy::route` alone: the mailers have changed since it was routed.
    Route,
    /// `Policy::route`, and `Policy::expand` if that route expands.
    RouteAndExpand,
    /// The same, for somebody who is to get a report on this message: before the answer, `Policy::dress` is asked for the
    /// header that comes back with it.
    Report,
}

/// The actions of a step, in order.
pub type Actions = Vec<Action>;

/// What the scheduler keeps of the configuration.
#[derive(Debug)]
struct Rules {
    host_name: Box<[u8]>,
    postmaster: Box<[u8]>,
    mailers: Vec<Mailer>,
    retry: Retry,
    mark: u32,
    dresses_mail: bool,
    reports: Reports,
}

impl Rules {
    fn new(settings: &Settings) -> Self {
        Self {
            host_name: settings.host_name.clone(),
            postmaster: settings.postmaster.clone(),
            mailers: settings.mailers.clone(),
            retry: settings.retry,
            mark: mailers_mark(&settings.mailers),
            dresses_mail: settings.dresses_mail,
            reports: settings.reports.clone(),
        }
    }
}

/// A batch that runs.
#[derive(Debug)]
struct Flight {
    slot: u32,
    /// Those that nothing was heard of, in order, each with its destination.
    recipients: Vec<(u32, u32)>,
    began_ms: u64,
}

/// Where a message stands, for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// Something is done with it now.
    Active,
    /// It waits for its time, in seconds since 1970.
    Waiting {
        /// When it is due.
        until_s: u32,
    },
    /// It is due and waits for its destination, or for room.
    Lined,
    /// It is kept back.
    Held,
}

/// What waits for one destination, for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traffic<'a> {
    /// The mailer's number.
    pub mailer: policy::MailerId,
    /// The host, or the user of a mailbox.
    pub name: &'a [u8],
    /// Messages that wait for it alone or are active for it.
    pub messages: u32,
    /// Transactions that run.
    pub in_flight: u32,
    /// Set while it does not answer: why.
    pub trouble: Option<&'a [u8]>,
}

/// The scheduler.
#[derive(Debug)]
pub struct Scheduler {
    rules: Rules,
    dice: Dice,
    now_ms: u64,
    slots: Slots,
    destinations: Destinations,
    active: BTreeMap<u32, Active>,
    active_bytes: usize,
    loading: usize,
    flights: BTreeMap<BatchId, Flight>,
    last_batch: u64,
    room: u32,
    /// Batches that the last delivery process to end took with it.
    lost_batches: u64,
    /// Destinations whose lines may be read from, in turn.
    load_ring: VecDeque<u32>,
    /// Destinations that have something ready, in turn.
    try_ring: VecDeque<u32>,
    /// Active messages with which nothing goes on any more.
    idle: Vec<u32>,
    /// Notes that are to be written at a time.
    late_notes: VecDeque<(u64, u32)>,
    /// The next slot that a flush of everything comes to.
    flush_from: Option<u32>,
    /// Whose messages the flush is about; empty: all.
    flushed: BTreeSet<u32>,
    woken_at_ms: Option<u64>,
    /// Why messages are to be kept back that are being read for it.
    hold_reasons: BTreeMap<u32, Box<[u8]>>,
    /// Whether what waits for a destination that is down is told of, once a message, instead of left for later.
    tells_blocked: bool,
    storms: storms::Storms,
    ledger: Ledger,
}

impl Scheduler {
    /// A scheduler that knows no message yet. `seed` makes its jitter; the same seed and inputs
    /// give the same actions.
    #[must_use]
    pub fn new(settings: &Settings, seed: u64) -> Self {
        Self {
            rules: Rules::new(settings),
            dice: Dice::new(seed),
            now_ms: 0,
            slots: Slots::default(),
            destinations: Destinations::new(),
            active: BTreeMap::new(),
            active_bytes: 0,
            loading: 0,
            flights: BTreeMap::new(),
            last_batch: 0,
            room: ROOM_FIRST,
            lost_batches: 0,
            load_ring: VecDeque::new(),
            try_ring: VecDeque::new(),
            idle: Vec::new(),
            late_notes: VecDeque::new(),
            flush_from: None,
            flushed: BTreeSet::new(),
            woken_at_ms: None,
            hold_reasons: BTreeMap::new(),
            tells_blocked: false,
            storms: storms::Storms::default(),
            ledger: Ledger::default(),
        }
    }

    /// For a server that tries everything once and ends: a destination that does not answer is not waited for. What is for it
    /// is deferred with what was said before, in the log also.
    pub fn tell_blocked(&mut self) {
        self.tells_blocked = true;
    }

    /// Takes one input at the time `now_ms` (since 1970) and appends what is to be done. Inputs
    /// that answer nothing are ignored.
    ///
    /// # Panics
    /// If the ledger does not balance: a broken invariant of ours. The process is to start again
    /// from the spool.
    pub fn step(&mut self, now_ms: u64, input: Input, actions: &mut Actions) {
        self.now_ms = now_ms;
        match input {
            Input::Recovered { slot, envelope, note } => {
                self.recovered(slot, &envelope, note, actions);
            }
            Input::Arrived { slot, envelope } => self.arrived(slot, envelope, actions),
            Input::Loaded { slot, envelope, note } => self.loaded(slot, envelope, note, actions),
            Input::Unreadable { slot } => self.unreadable(slot),
            Input::Answered { slot, recipient, expansion } => {
                self.answered(slot, recipient, *expansion, actions);
            }
            Input::Split { slot, recipient, is_stored } => {
                self.split(slot, recipient, is_stored, actions);
            }
            Input::Saved { slot } => self.saved(slot, actions),
            Input::Part { batch, results } => self.part(batch, results, actions),
            Input::Outcome { batch, results } => self.outcome(batch, results, actions),
            Input::LinkDown { batches, has_crashed } => {
                self.link_down(&batches, has_crashed, actions);
            }
            Input::Room { batches } => self.room = batches,
            Input::Settings(settings) => self.adopt(&settings),
            Input::Run { slot, envelope, note } => self.run(slot, envelope, note, actions),
            Input::Try { slot } => self.try_held(slot, actions),
            Input::Flush { slot: Some(slot) } => self.flush_one(slot),
            Input::Flush { slot: None } => self.flush_all(),
            Input::Turn { node } => self.turn(&node),
            Input::Hold { slot, reason } => self.hold(slot, reason, actions),
            Input::Release { slot } => self.release(slot, actions),
            Input::Remove { slot } => self.remove(slot, actions),
            Input::Tick => {}
        }
        self.advance(actions);
        assert!(self.ledger.is_balanced(), "every accepted recipient is open or at one end");
    }

    /// What became of all recipients.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.ledger
    }

    /// Messages in the queue.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.slots.used
    }

    /// Batches that run.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Whether nothing goes on and nothing is due: what is left waits for its time, for its destination, or is held.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.active.is_empty()
            && self.loading == 0
            && self.flush_from.is_none()
            && self.load_ring.is_empty()
    }

    /// Where a message stands; `None`: there is none in this slot.
    #[must_use]
    pub fn outlook(&self, slot: u32) -> Option<Outlook> {
        let row = self.slots.row(slot)?;
        match row.phase {
            Phase::Free => None,
            Phase::Waiting => Some(Outlook::Waiting { until_s: row.at_s }),
            Phase::Lined => Some(Outlook::Lined),
            Phase::Loading | Phase::Active => Some(Outlook::Active),
            Phase::Held => Some(Outlook::Held),
        }
    }

    /// All destinations that something waits for, or that are down.
    pub fn traffic(&self) -> impl Iterator<Item = Traffic<'_>> {
        self.destinations.iter().map(|one| Traffic {
            mailer: one.mailer,
            name: one.name(),
            messages: one.messages,
            in_flight: one.in_flight,
            trouble: one.trouble().map(|trouble| &*trouble.text),
        })
    }

    /// Octets of memory that waiting messages and their destinations take; those of active
    /// messages are bounded by [`ACTIVE_BYTES_MAX`].
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.slots.memory_bytes().saturating_add(self.destinations.memory_bytes())
    }

    /// The common end of every step: what time and room allow.
    fn advance(&mut self, actions: &mut Actions) {
        self.wake_destinations();
        self.work_off_timers(actions);
        self.work_off_flush();
        self.write_late_notes(actions);
        loop {
            self.load(actions);
            self.dispatch(actions);
            if self.idle.is_empty() {
                break;
            }
            self.settle_idle(actions);
        }
        self.ask_to_be_woken(actions);
    }

    /// Takes a new configuration. Where the list of mailers is another, what is ready goes back,
    /// to be routed again.
    fn adopt(&mut self, settings: &Settings) {
        let mark = self.rules.mark;
        self.rules = Rules::new(settings);
        self.destinations.adopt(&self.rules.mailers);
        if mark != self.rules.mark {
            self.destinations.drop_ready();
            for (&slot, active) in &mut self.active {
                if core::mem::take(&mut active.ready) > 0 {
                    active.round = Round::Broken;
                }
                if active.is_idle() {
                    self.idle.push(slot);
                }
            }
        }
    }

    fn ask_to_be_woken(&mut self, actions: &mut Actions) {
        if self.woken_at_ms.is_some_and(|at_ms| at_ms <= self.now_ms) {
            self.woken_at_ms = None;
        }
        let timer = self.slots.next_at_s().map(|at_s| u64::from(at_s).saturating_mul(1000));
        let note = self.late_notes.front().map(|&(at_ms, _)| at_ms);
        let flush = self.flush_from.map(|_| self.now_ms);
        let next =
            [timer, note, flush, self.destinations.next_wake_ms()].into_iter().flatten().min();
        let Some(at_ms) = next.map(|at_ms| at_ms.max(self.now_ms)) else { return };
        if self.woken_at_ms != Some(at_ms) {
            self.woken_at_ms = Some(at_ms);
            actions.push(Action::Wake { at_ms });
        }
    }

    fn now_s(&self) -> u32 {
        u32::try_from(self.now_ms.wrapping_div(1000)).unwrap_or(u32::MAX)
    }
}
