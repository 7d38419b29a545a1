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

use crate::message::Envelope;
use crate::note::Note;
use crate::outcome::Outcome;
use crate::report::Report;
use crate::{Batch, BatchId, Event};
use alloc::{boxed::Box, vec::Vec};
use policy::{Expansion, Route, Settings};

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
    /// A batch is over. A recipient of the batch that is not named is tried again later.
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
    /// The operator wants everything, or one message, tried now.
    Flush {
        /// Which; `None`: everything.
        slot: Option<u32>,
    },
    /// The operator keeps a message back.
    Hold {
        /// Which.
        slot: u32,
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
    /// Read envelope and note of this message: [`Input::Loaded`] or [`Input::Unreadable`].
    Load {
        /// Which.
        slot: u32,
    },
    /// Ask the policy: [`Input::Answered`].
    Inquire {
        /// The message.
        slot: u32,
        /// The number of the recipient within it.
        recipient: u32,
        /// The recipient's address, without angle brackets.
        address: Box<[u8]>,
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
    /// message it is about.
    Report(Box<Report>),
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
}

/// The actions of a step, in order.
pub type Actions = Vec<Action>;

/// The scheduler.
#[derive(Debug)]
pub struct Scheduler {
    ledger: crate::Ledger,
}

impl Scheduler {
    /// A scheduler that knows no message yet. `seed` makes its jitter; the same seed and inputs
    /// give the same actions.
    #[must_use]
    pub fn new(_settings: &Settings, _seed: u64) -> Self {
        Self { ledger: crate::Ledger::default() }
    }

    /// Takes one input at the time `now_ms` (since 1970) and appends what is to be done.
    pub fn step(&mut self, _now_ms: u64, _input: Input, _actions: &mut Actions) {}

    /// What became of all recipients.
    #[must_use]
    pub fn ledger(&self) -> crate::Ledger {
        self.ledger
    }
}
