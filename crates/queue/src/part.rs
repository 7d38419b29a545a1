//! A list that is longer than a message's note should be: its members go on as messages of their own, with the same text.
//!
//! The note of a message is written anew whenever something changes, so a message with very many recipients would cost
//! their square. Its parts are stored in the commit in which it notes that the list was followed: after a crash
//! there are all of them or none, and nobody gets two.

use crate::message::Envelope;
use crate::recipient::Recipient;
use alloc::{boxed::Box, vec::Vec};

/// Members of a list that stay with its message, and of one part at least.
pub(crate) const PART_RECIPIENTS: usize = 1000;

/// Parts of one list at most, while they are no longer than they may be: each has the text of the message, if that is
/// small.
const PARTS: usize = 64;

/// The most members of one list.
pub const MEMBERS_MAX: usize = 200_000;

/// Members on their way into messages of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The message.
    pub slot: u32,
    /// The recipient that the members stand for.
    pub recipient: u32,
    /// The messages, still under its id.
    pub parts: Vec<Envelope>,
}

/// Makes envelopes for the members of a list: what `envelope` says, to them, and their errors to `sender`.
pub(crate) fn split(envelope: &Envelope, sender: &[u8], members: Vec<Recipient>) -> Vec<Envelope> {
    let most = members.len().div_ceil(PARTS).max(PART_RECIPIENTS);
    let frame = Envelope {
        sender: Box::from(sender),
        recipients: Vec::new(),
        quarantine: None,
        ..envelope.clone()
    };
    let mut parts = Vec::new();
    let mut members = members.into_iter().peekable();
    while members.peek().is_some() {
        let recipients = members.by_ref().take(most).collect();
        parts.push(Envelope { recipients, ..frame.clone() });
    }
    parts
}
