//! What a message looks like when a mailer takes it: the question before each try, and its answer.
//!
//! Messages lie in the spool as they came. Trace fields, fields that are missing, and the forms of addresses depend on the
//! mailer and on the configuration of the day, so they are made when a batch is handed on, and never stored.

use crate::{Macros, MailerId, Refusal, Resolved};
use alloc::{boxed::Box, vec::Vec};
use serde::{Deserialize, Serialize};
use wire::QueueId;

/// Original recipients that a question names at most.
pub const NAMED_RECIPIENTS_MAX: usize = 100;

/// A macro of a message whose header has all fields already, as sendmail's queue has it: no trace field is added but the way
/// back.
pub const QUEUED_HEADER: &[u8] = b"queued_header";

/// A macro of a message that a command handed in without naming a sender: agents of this host are not told of one (`F=f`, `F=r`).
pub const UNNAMED_SENDER: &[u8] = b"unnamed_sender";

/// One batch, before it is handed to its mailer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dress {
    /// Who carries it.
    pub mailer: MailerId,
    /// The host of the route.
    pub host: Box<[u8]>,
    /// The reverse-path of the batch without angle brackets: the sender's or a list owner's.
    pub sender: Box<[u8]>,
    /// The users of the routes, as rule set 0 left them.
    pub users: Vec<Box<[u8]>>,
    /// The recipients as they were written, in the order of `users`; empty: nobody wants to know.
    pub addresses: Vec<Box<[u8]>>,
    /// The header as stored: fields with CR LF, without the empty line.
    pub header: Box<[u8]>,
    /// What else is known of the message.
    pub message: Story,
}

/// What is known of a message beside its text: what trace fields tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Story {
    /// Its queue id.
    pub id: QueueId,
    /// When it was accepted, in seconds since 1970.
    pub created_s: u64,
    /// How far local time is ahead of UTC, in seconds.
    pub offset_s: i32,
    /// Whether we made it to report on another.
    pub is_report: bool,
    /// The reverse-path that it came with.
    pub sender: Box<[u8]>,
    /// Whom it came for, at most [`NAMED_RECIPIENTS_MAX`] of them.
    pub recipients: Vec<Box<[u8]>>,
    /// Octets of the message.
    pub size_bytes: u64,
    /// The client's name by reverse look-up, or empty.
    pub client_name: Box<[u8]>,
    /// The client's address as text; empty: not by network.
    pub client_address: Box<[u8]>,
    /// What the reverse look-up came to.
    pub resolved: Resolved,
    /// What HELO or EHLO said; empty: not by SMTP.
    pub hello: Box<[u8]>,
    /// The protocol, as in a Received field; empty: not by SMTP.
    pub protocol: Box<[u8]>,
    /// The local user's name, or empty.
    pub user: Box<[u8]>,
    /// The listener's place in [`crate::Settings::listeners`].
    pub daemon: u8,
    /// Macros that were set when it came, names without braces.
    pub macros: Macros,
}

/// A batch in the form that its mailer wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dressed {
    /// The reverse-path, without angle brackets; empty: `<>`.
    pub sender: Box<[u8]>,
    /// The line before the message that programs and mailbox files get, without its end; empty: the usual `From SENDER DATE`.
    pub separator: Box<[u8]>,
    /// The recipients, in the order of [`Dress::users`], as many.
    pub users: Vec<Box<[u8]>>,
    /// The header in place of [`Dress::header`]: fields with CR LF, without the empty line.
    pub header: Box<[u8]>,
    /// Octets at its beginning that stand before the message's own fields.
    pub made_bytes: u32,
    /// Recipients that do not get it (`check_compat`).
    pub unfit: Vec<Unfit>,
}

/// A recipient that does not get a message from this sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfit {
    /// Its place in [`Dress::users`].
    pub place: u32,
    /// What its sender reads; `None`: nothing, the message is thrown away.
    pub refusal: Option<Refusal>,
    /// The line for the log.
    pub line: Box<[u8]>,
}

impl From<Dress> for Dressed {
    /// Everything as it is.
    fn from(dress: Dress) -> Self {
        Self {
            sender: dress.sender,
            separator: Box::default(),
            users: dress.users,
            header: dress.header,
            made_bytes: 0,
            unfit: Vec::new(),
        }
    }
}
