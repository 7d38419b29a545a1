//! What a session tells the log. The daemon writes the lines: it knows the peer, the listener and the log's level.

use alloc::{boxed::Box, vec::Vec};

use wire::QueueId;
use wire::command::BodyKind;

/// Octets of what a client said that an event keeps.
pub const SAID_BYTES_MAX: usize = 200;

/// An event and the message that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The message that is being taken in, or would be the next.
    pub id: Option<QueueId>,
    /// What happened.
    pub event: Event,
}

/// Something worth a line. What a client said is raw here: escape it before it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A message was taken in, or given up after its sender was named (`from=`, sendmail's log level 5). For a stored one it
    /// comes with its `Stored`.
    From(Box<FromLine>),
    /// Somebody was refused by the policy (`ruleset=`, level 4).
    Refused(Box<Refused>),
    /// The policy takes a message to throw it away or to keep it back (`ruleset=`, level 4).
    Marked(Box<Marked>),
    /// A reply other than of a rule set that a log reader wants to see: its text (`Too many recipients`,
    /// `<a>... User unknown`; level 4).
    Noted(Box<[u8]>),
    /// A sender that is no mailbox (`setsender: …: invalid or unparsable`, level 3).
    Unparsable(Box<[u8]>),
    /// A client is there (`connect from`, level 10).
    Connected,
    /// A name that others stand for (`alias NAME => LIST`, level 11).
    Led(Box<[u8]>),
    /// A recipient of a message that its client took back (`to=…, stat=RSET`, level 11).
    Undone(Box<[u8]>),
    /// VRFY, EXPN or ETRN (level 6).
    Looked {
        /// The command as it was said.
        line: Box<[u8]>,
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
    RecipientFlood {
        /// Whether the session ends, or is slowed down.
        closes: bool,
    },
    /// MAIL without HELO where warnings are wanted (`Authentication-Warning`, level 4).
    NoHello,
    /// The sender may not be who it says (`Authentication-Warning`, level 4): the whole warning.
    Warned(Box<[u8]>),
    /// The client spoke before the greeting (level 5).
    SpokeEarly {
        /// Seconds after the connection.
        after_s: u32,
    },
    /// The client said more than HELO or EHLO before that was answered (level 5).
    HurriedHello {
        /// Which of them.
        verb: &'static str,
    },
    /// The listener speaks TLS only, and there is none (level 1).
    NoTls,
    /// A command line above the limit (`SMTP violation, input too long`, level 2).
    CommandTooLong {
        /// Octets of it that were seen.
        bytes: usize,
    },
    /// A lone CR or LF in a message or a command (level 2).
    BareEnd {
        /// `Bare linefeed (LF) not allowed` and the like.
        text: &'static str,
        /// `header`, `body` or `command`.
        place: &'static str,
        /// The reverse-path as it was written.
        sender: Box<[u8]>,
    },
    /// A header above the limit (level 4).
    HeaderTooLarge {
        /// The limit.
        most: u32,
    },
    /// A message above the limit (level 4).
    TooLarge {
        /// Octets of the message, as sendmail counts them.
        bytes: u64,
        /// The limit.
        most: u64,
    },
    /// What became of the recipients of a message that was refused when it was whole (`to=`, level 8).
    GivenUp(Box<GivenUp>),
    /// The client is gone in the middle of a message (`premature EOM`, level 2).
    Cut,
    /// The same, with the sender as it was written (`collect: relay=…, info=unexpected close`, level 2).
    CutFrom(Box<[u8]>),
    /// The client is gone in the middle (`lost input channel from … after`, level 2).
    Lost {
        /// The stage: a verb in lower case.
        stage: &'static str,
    },
    /// The client was too slow (`timeout waiting for input from … during`, level 2).
    TimedOut {
        /// The stage, in sendmail's words.
        stage: &'static str,
    },
    /// The client never asked for anything (`did not issue MAIL/EXPN/VRFY/ETRN`, level 6).
    Silent,
    /// A command line (`<--`, level 15); only made if the log wants it.
    Heard(Box<[u8]>),
    /// A line of a reply (`---`, level 15); only made if the log wants it.
    Said(Box<[u8]>),
    /// An answer that does not fit what was asked: a bug of the driver's. The session ended with 421.
    OutOfStep,
}

/// The facts of a `from=` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromLine {
    /// The reverse-path as it was written, with its brackets.
    pub sender: Box<[u8]>,
    /// Octets of the message as sendmail counts them: a line end is one; what SIZE said, if it never came.
    pub size_bytes: u64,
    /// Number of recipients, those that VRFY and EXPN found included.
    pub recipients: usize,
    /// The class of its Precedence.
    pub class: i64,
    /// The Message-Id; empty: none.
    pub message_id: Vec<u8>,
    /// BODY.
    pub body: Option<BodyKind>,
    /// `proto=`.
    pub protocol: &'static str,
}

/// What became of a recipient of a message that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// The recipient as it was written.
    pub to: Vec<u8>,
    /// Its priority (`pri=`).
    pub priority: i64,
    /// The text of the reply.
    pub text: Box<[u8]>,
}

/// The facts of a `ruleset=` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which rule set or table refused.
    pub by: Box<[u8]>,
    /// `arg1=`.
    pub argument: Box<[u8]>,
    /// `arg2=`, if there is one.
    pub second: Option<Box<[u8]>>,
    /// The reply: codes and text.
    pub reply: Vec<u8>,
    /// Whether the rule set was asked about the session and not about a message: the line then names none.
    pub is_about_session: bool,
}

/// The facts of a `ruleset=` line about a message that is taken all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// Which rule set or table.
    pub by: Box<[u8]>,
    /// `arg1=`.
    pub argument: Box<[u8]>,
    /// Why it is kept back; `None`: it is thrown away.
    pub quarantine: Option<Box<[u8]>>,
    /// Whether the rule set was asked about the session and not about a message: the line then names none.
    pub is_about_session: bool,
}

/// As much of what a client said as an event keeps.
pub(crate) fn said(text: &[u8]) -> Box<[u8]> {
    text.get(..SAID_BYTES_MAX).unwrap_or(text).into()
}
