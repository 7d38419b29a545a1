//! Local delivery: mbox and Maildir, as the recipient.
//!
//! Runs in a delivery child that already *is* the recipient and is already in its cage, so nothing
//! here changes users or asks who somebody is: every path is opened below one folder, symbolic
//! links are believed only where the user himself made them, and the kernel refuses the rest.
//!
//! Several messages for one mailbox go in under one lock and one sync ([`Mailboxes::deliver_batch`]);
//! none is reported delivered before all of them are durable.
//!
//! A mailbox is never left torn: a failed write is cut back to where the message began, and a
//! delivery that was killed in the middle is cut back by the next one (see [`mailbox`]).
#![forbid(unsafe_code)]

mod agent;
mod body;

pub mod mailbox;
mod trouble;

pub use agent::{Agent, AgentSpool};
pub use body::Body;
pub use mailbox::{Mailboxes, Moment};
pub use trouble::Trouble;

use policy::Transport;
use policy::settings::{EightBit, Passage};
use queue::Outcome;

/// One message for one recipient.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// The envelope sender without angle brackets; empty for a report.
    pub sender: &'a [u8],
    /// The line before the message in a mailbox file and for a program, without its end; empty: the usual one. In a file it counts
    /// only if it begins as readers expect it (`From `).
    pub separator: &'a [u8],
    /// Whether somebody named it: programs that want to know who it is (`F=f`, `F=r`) are told then only.
    pub is_sender_named: bool,
    /// The recipient's address, for Delivered-To.
    pub recipient: &'a [u8],
    /// The name of the mailbox ([`policy::Route::user`]).
    pub user: &'a [u8],
    /// The message: header and text, with CR LF line ends.
    pub body: Body<'a>,
    /// The form in which the mailer wants it; `None`: as it is.
    pub form: Option<Form<'a>>,
}

/// What decides on the form of a message.
#[derive(Debug, Clone, Copy)]
pub struct Form<'a> {
    /// What becomes of octets above 127.
    pub eight_bit: &'a EightBit,
    /// The message and its mailer.
    pub passage: Passage<'a>,
}

/// Delivers one message to one mailbox: [`Mailboxes::open`] and [`Mailboxes::deliver_batch`] in one.
///
/// `home` is the user's home folder, for places below it.
#[must_use]
pub fn deliver(
    transport: &Transport,
    home: Option<&[u8]>,
    host_name: &[u8],
    now: Moment,
    job: &Job<'_>,
) -> Outcome {
    match Mailboxes::open(transport, home, host_name) {
        Ok(mailboxes) => mailboxes.deliver(now, job),
        Err(trouble) => trouble.outcome(),
    }
}
