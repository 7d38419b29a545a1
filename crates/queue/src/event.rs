//! What the scheduler tells the log; the daemon writes it as sendmail's lines or as JSON.

use crate::QueueId;
use crate::outcome::Status;
use crate::recipient::DropReason;
use alloc::{boxed::Box, vec::Vec};
use policy::Controller;
use policy::MailerId;

/// Something that happened to a message or a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// What came of recipients: sendmail's `to=` line.
    To(To),
    /// A message is kept back.
    Held {
        /// The message.
        id: QueueId,
        /// Why.
        reason: Box<[u8]>,
    },
    /// A message is no longer kept back.
    Released {
        /// The message.
        id: QueueId,
    },
    /// A recipient failed and nobody was told.
    Dropped {
        /// The message.
        id: QueueId,
        /// The recipient.
        to: Box<[u8]>,
        /// The policy that says so.
        by: DropReason,
    },
    /// The configuration is wrong: who is to get a report can't be said.
    Complaint {
        /// The message.
        id: QueueId,
        /// What is wrong.
        text: Box<[u8]>,
    },
    /// Nobody is left to get a report about this report: it is kept back, or the report about it ends nowhere.
    Lost {
        /// The message.
        id: QueueId,
    },
    /// So many reports went to one reader within an hour because of what strangers sent: further ones wait.
    Storm {
        /// The message whose report was the last.
        id: QueueId,
        /// The reader.
        to: Box<[u8]>,
        /// How many.
        count: u32,
    },
    /// A destination does not answer; everything for it waits.
    DestinationDown {
        /// The mailer.
        mailer: MailerId,
        /// Its host, or the user of a mailbox.
        host: Box<[u8]>,
        /// How long it is left alone, in ms.
        pause_ms: u64,
        /// What was said.
        text: Box<[u8]>,
    },
    /// A message is out of the queue: all its recipients have come to an end.
    Done {
        /// The message.
        id: QueueId,
        /// Its age, in seconds.
        delay_s: u64,
        /// Rounds in which it was tried.
        tries: u32,
    },
    /// A destination that was down answers again.
    DestinationUp {
        /// The mailer.
        mailer: MailerId,
        /// Its host, or the user of a mailbox.
        host: Box<[u8]>,
    },
}

/// What a `to=` line says of its recipients (`stat=`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stat {
    /// Delivered or relayed: `Sent (TEXT)`.
    Sent,
    /// To be tried again: `Deferred: TEXT`.
    Deferred,
    /// Failed: the text.
    Failed,
    /// Thrown away by a mailer whose purpose that is.
    Discarded,
    /// Thrown away by the operator.
    Removed,
    /// Kept back when it came; the text says why.
    Quarantined,
}

/// The fields of a `to=` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct To {
    /// The message.
    pub id: QueueId,
    /// The recipients as they were written: with angle brackets if RCPT named them.
    pub to: Vec<Box<[u8]>>,
    /// In whose name they are (`ctladdr=`).
    pub controller: Option<Controller>,
    /// The name that led to it, where that is nobody's (`ctladdr=` without numbers).
    pub led_by: Option<Box<[u8]>>,
    /// Age of the message, in seconds (`delay=`).
    pub delay_s: u64,
    /// How long the try took, in ms (`xdelay=`); `None`: nothing was tried.
    pub xdelay_ms: Option<u64>,
    /// The mailer (`mailer=`).
    pub mailer: MailerId,
    /// Octets of the message, as it was logged.
    pub size_bytes: u64,
    /// For `pri=`: what the message began with.
    pub priority: i64,
    /// For `pri=`: rounds of trying before this one.
    pub tries: u32,
    /// The host that answered (`relay=`), or empty.
    pub host: Box<[u8]>,
    /// `dsn=`.
    pub status: Status,
    /// What came of it (`stat=`).
    pub stat: Stat,
    /// The server's reply to a try that failed (`reply=`).
    pub reply: Option<Box<[u8]>>,
    /// What was said, cleaned.
    pub text: Box<[u8]>,
}
