//! One transaction to be tried: a message, a destination, some of its recipients.

use crate::QueueId;
use crate::message::{BodyKind, DeliverBy, Return};
use crate::recipient::Notify;
use alloc::{boxed::Box, vec::Vec};
use policy::{MailerId, Story};
use serde::{Deserialize, Serialize};

/// The number of a batch, never used twice by one [`crate::Scheduler`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BatchId(pub u64);

/// All that a relay or a delivery agent must know, besides the message itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// To be named in the outcome.
    pub id: BatchId,
    /// The message's place, for the spool.
    pub slot: u32,
    /// The message's id, for the log.
    pub message: QueueId,
    /// Who carries it.
    pub mailer: MailerId,
    /// The host of the route of its first recipient. Others may have hosts of their own: who carries the batch finds out
    /// which of them have the same exchangers.
    pub host: Box<[u8]>,
    /// The reverse-path of this batch, without angle brackets: the sender or a list's owner.
    pub sender: Box<[u8]>,
    /// The line before the message that programs and mailbox files get (`UnixFromLine`), without its end; empty: the usual one.
    pub separator: Box<[u8]>,
    /// Whether somebody named the sender: an agent that wants to know who it is (`F=f`) is told then only.
    pub is_sender_named: bool,
    /// Whom it is for; never empty, at most `Mailer::recipients_max`.
    pub recipients: Vec<BatchRecipient>,
    /// Octets of the message.
    pub size_bytes: u64,
    /// What kind of octets it has.
    pub body: BodyKind,
    /// Whether SMTPUTF8 is needed.
    pub is_utf8: bool,
    /// RET of RFC 3461.
    pub ret: Option<Return>,
    /// ENVID of RFC 3461, in xtext as it came.
    pub envelope_id: Option<Box<[u8]>>,
    /// Whether its sender handed it in by a command of this machine, where other servers are told so.
    pub is_own: bool,
    /// BY of RFC 2852, from [`Batch::created_s`] on.
    pub by: Option<DeliverBy>,
    /// When the message was accepted, in seconds since 1970.
    pub created_s: u64,
    /// What lies behind the message.
    pub past: Past,
    /// What trace fields tell, for the policy; `None` where messages are handed on as they are stored.
    pub story: Option<Box<Story>>,
}

/// What lies behind a message when it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Past {
    /// It has just come.
    New,
    /// It waited in the queue, and nothing was tried.
    Waited,
    /// It was tried before.
    Tried,
}

/// One recipient of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchRecipient {
    /// Its number within the message, to be named in the outcome.
    pub index: u32,
    /// Its address, for the log and for reports.
    pub address: Box<[u8]>,
    /// The host of the route, where it is not that of the batch; else empty.
    pub host: Box<[u8]>,
    /// The user of the route: what the mailer is told.
    pub user: Box<[u8]>,
    /// NOTIFY of RFC 3461.
    pub notify: Notify,
    /// ORCPT of RFC 3461, as it came: type, semicolon, xtext.
    pub original: Option<Box<[u8]>>,
}
