//! What a session tells the log. The daemon writes the lines: it knows the peer, the listener and the log's level.

use alloc::{boxed::Box, vec::Vec};

use wire::QueueId;
use wire::command::BodyKind;

/// Octets of what a client said that an event keeps.
pub const SAID_BYTES_MAX: usize = 200;

/// Something worth a line. What a client said is raw here: escape it before it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The message is complete (`from=`, sendmail's log level 5). Comes with its `Stored`, or when it was lost or refused.
    From(Box<FromLine>),
    /// Somebody was refused by the policy (`ruleset=`, level 4).
    Refused(Box<Refused>),
    /// A reply other than of the policy that a log reader wants to see: the message's name and the text
    /// (`Too many recipients`, `User unknown`).
    Noted {
        /// The message.
        id: Option<QueueId>,
        /// What was said.
        text: Box<[u8]>,
    },
    /// VRFY, EXPN or ETRN (level 6).
    Looked {
        /// The verb, in upper case.
        verb: &'static str,
        /// What was asked.
        argument: Box<[u8]>,
        /// Whether the answer was no.
        is_rejected: bool,
    },
    /// A command that only probes send (`"debug" command from`, level 1).
    Probe {
        /// The verb, in lower case.
        verb: &'static str,
    },
    /// A command of another protocol (`probable open proxy: command=`, level 6).
    Foreign {
        /// The line.
        line: Box<[u8]>,
    },
    /// Too many of one kind of command (`possible SMTP attack: command=, count=`, level 6).
    Attack {
        /// Which.
        command: &'static str,
        /// How many.
        count: u32,
    },
    /// Too many refused recipients (`Possible SMTP RCPT flood`, level 6).
    RecipientFlood,
    /// A command line above the limit (`SMTP violation, input too long`, level 2).
    CommandTooLong,
    /// A lone CR or LF in a message or a command (level 2).
    BareEnd {
        /// The message.
        id: Option<QueueId>,
        /// `Bare linefeed (LF) not allowed` and the like.
        text: &'static str,
    },
    /// The client is gone in the middle (`lost input channel from … after`, level 2).
    Lost {
        /// The message.
        id: Option<QueueId>,
        /// The stage: a verb in lower case.
        stage: &'static str,
    },
    /// The client was too slow (`timeout waiting for input from … during`, level 2).
    TimedOut {
        /// The message.
        id: Option<QueueId>,
        /// The stage, in sendmail's words.
        stage: &'static str,
    },
    /// The client never asked for anything (`did not issue MAIL/EXPN/VRFY/ETRN`, level 6).
    Silent,
    /// An answer that does not fit what was asked: a bug of the driver's. The session ended with 421.
    OutOfStep,
}

/// The facts of a `from=` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromLine {
    /// The message.
    pub id: QueueId,
    /// The reverse-path.
    pub sender: Box<[u8]>,
    /// Octets of the message.
    pub size_bytes: u64,
    /// Number of recipients.
    pub recipients: usize,
    /// The Message-Id; empty: none.
    pub message_id: Vec<u8>,
    /// BODY.
    pub body: Option<BodyKind>,
    /// `proto=`.
    pub protocol: &'static str,
}

/// The facts of a `ruleset=` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The message, once MAIL was accepted.
    pub id: Option<QueueId>,
    /// Which rule set or table refused.
    pub by: Box<[u8]>,
    /// `arg1=`.
    pub argument: Box<[u8]>,
    /// The reply: codes and text.
    pub reply: Vec<u8>,
}

/// As much of what a client said as an event keeps.
pub(crate) fn said(text: &[u8]) -> Box<[u8]> {
    text.get(..SAID_BYTES_MAX).unwrap_or(text).into()
}
