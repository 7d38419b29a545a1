//! What to try when, and what came of it: scheduler, retries, ledger; no disk.
//!
//! [`Scheduler`] is a machine: [`Input`] goes in with the time, [`Action`]s come out. Messages are
//! known by the slot that the daemon gives them; their envelopes ([`Envelope`]) and the state of
//! their recipients ([`Note`]) are records that the spool keeps.
#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::arithmetic_side_effects, clippy::as_conversions)]

extern crate alloc;

mod active;
mod batch;
mod coding;
mod destination;
mod event;
mod ledger;
mod message;
mod note;
mod outcome;
mod part;
mod recipient;
mod report;
mod retry;
pub mod run;
mod schedule;
mod slots;
mod written;

pub use batch::{Batch, BatchId, BatchRecipient, Past};
pub use coding::RecordError;
pub use event::{Event, Stat, To};
pub use ledger::Ledger;
pub use message::{
    ADDRESS_BYTES_MAX, BodyKind, DeliverBy, ERRORS_TO_MAX, Envelope, FACT_BYTES_MAX, MACROS_MAX,
    Origin, Purpose, RECIPIENTS_MAX, Return, Returns, mailer_names_mark, mailers_mark,
    usual_priority,
};
pub use note::{ADDED_MAX, Added, Hold, Note};
pub use outcome::{
    COMMAND_BYTES_MAX, DOT, EXIT, HOST_BYTES_MAX, Outcome, READ_ERROR, RESET, Said, Scope, Status,
    TEXT_BYTES_MAX, Trouble, Voice, cleaned as printable,
};
pub use part::{MEMBERS_MAX, Split};
pub use policy::Controller;
pub use recipient::{DropReason, Followed, Notify, Receipt, Recipient, Share, State, Way};
pub use report::{
    Fate, RETURNED_BYTES_MAX, RETURNED_HEADER_BYTES_MAX, Report, ReportKind, ReportLine, duration,
};
pub use schedule::{
    ACTIVE_BYTES_MAX, ACTIVE_MAX, Action, Actions, Input, Inquiry, Outlook, Scheduler, Traffic,
};
pub use schedule::{LOST, OURSELVES};
pub use wire::QueueId;
