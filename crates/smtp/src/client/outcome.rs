//! What came of a recipient, and why.

use core::fmt;

use wire::reply::{Reply, ReplyFault};
use wire::status::Status;

/// What came of one recipient in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The server has taken it, with this reply.
    Delivered(Reply),
    /// Not now.
    Later(Cause, Scope),
    /// Not ever.
    Never(Cause),
}

/// Whose trouble it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// This recipient's or this message's alone.
    Recipient,
    /// The server's: everything for it waits.
    Destination,
}

/// Where in a conversation something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Before the greeting.
    Greeting,
    /// EHLO, HELO, LHLO.
    Hello,
    /// Between transactions.
    Idle,
    /// RSET.
    Reset,
    /// MAIL.
    Mail,
    /// RCPT.
    Recipient,
    /// DATA.
    Data,
    /// The message.
    Body,
    /// Behind the dot: the server may have the message.
    Dot,
}

/// Why a recipient was not delivered, or a connection is of no more use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The server said so.
    Said {
        /// To what.
        stage: Stage,
        /// What; its text is printable.
        reply: Reply,
    },
    /// The server said what does not fit: an answer that nobody asked for, or one of the wrong class.
    Unexpected {
        /// To what.
        stage: Stage,
        /// What; its text is printable.
        reply: Reply,
    },
    /// What the server said is no reply.
    Garbled {
        /// To what.
        stage: Stage,
        /// What is wrong with it.
        fault: ReplyFault,
    },
    /// The connection is lost.
    Lost {
        /// While waiting for what.
        stage: Stage,
        /// How.
        why: Loss,
    },
    /// The server has our own name: mail to it would come back to us.
    Ourselves,
    /// This server cannot carry this message.
    Impossible(Impossible),
}

/// How a connection was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The server closed it.
    Closed,
    /// The network broke it.
    Broken,
    /// The server did not answer in time.
    Timeout,
    /// We closed it.
    Quit,
    /// The message could not be read to its end: our own trouble.
    OurBody,
    /// Nobody asked long enough.
    Unknown,
}

/// What a server cannot carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Impossible {
    /// SMTPUTF8 is needed and not offered (RFC 6531, 3.5).
    Utf8,
    /// The reverse-path cannot stand in a command.
    Sender,
    /// The forward-path cannot stand in a command.
    Address,
    /// The message is to come back at its deadline, and the server knows of none (RFC 2852).
    NoDeadlines,
    /// Less time is left than this server must have.
    TooLate {
        /// Seconds that are left.
        left_s: i64,
        /// Seconds that it must have.
        least_s: u32,
    },
}

impl Outcome {
    /// What a reply means for a recipient.
    pub(super) fn of(stage: Stage, reply: Reply) -> Self {
        if reply.is_positive() {
            Self::Delivered(reply)
        } else if reply.is_permanent() {
            Self::Never(Cause::Said { stage, reply })
        } else {
            Self::Later(Cause::Said { stage, reply }, Scope::Recipient)
        }
    }
}

impl Cause {
    /// Where it happened.
    #[must_use]
    pub const fn stage(&self) -> Stage {
        match self {
            Self::Said { stage, .. }
            | Self::Unexpected { stage, .. }
            | Self::Garbled { stage, .. }
            | Self::Lost { stage, .. } => *stage,
            Self::Ourselves => Stage::Hello,
            Self::Impossible(_) => Stage::Mail,
        }
    }

    /// The enhanced status code for reports (RFC 3463): the server's own, or what its code or the event stands for.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Said { reply, .. } => reply.status.unwrap_or_else(|| status_of(reply.code)),
            Self::Unexpected { .. } | Self::Garbled { .. } => Status::new(4, 5, 0),
            Self::Ourselves => Status::new(5, 3, 5),
            Self::Lost { why: Loss::OurBody, .. } => Status::new(4, 3, 0),
            Self::Lost { .. } => Status::new(4, 4, 2),
            Self::Impossible(Impossible::Utf8) => Status::new(5, 6, 7),
            Self::Impossible(Impossible::Sender) => Status::new(5, 1, 7),
            Self::Impossible(Impossible::Address) => Status::new(5, 1, 3),
            Self::Impossible(Impossible::NoDeadlines | Impossible::TooLate { .. }) => {
                Status::new(5, 4, 7)
            }
        }
    }

    /// The server's own words, if it is them.
    #[must_use]
    pub const fn reply(&self) -> Option<&Reply> {
        match self {
            Self::Said { reply, .. } | Self::Unexpected { reply, .. } => Some(reply),
            Self::Garbled { .. } | Self::Lost { .. } | Self::Ourselves | Self::Impossible(_) => {
                None
            }
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said { reply, .. } => write!(f, "{reply}"),
            Self::Unexpected { reply, .. } => write!(f, "unexpected reply: {reply}"),
            Self::Garbled { fault, .. } => write!(f, "{fault}"),
            Self::Lost { why, stage } => write!(f, "{} {}", words(*why), place(*stage)),
            Self::Ourselves => f.write_str("config error: mail loops back to me (MX problem?)"),
            Self::Impossible(Impossible::Utf8) => f.write_str("server does not offer SMTPUTF8"),
            Self::Impossible(Impossible::Sender) => f.write_str("sender address cannot be sent"),
            Self::Impossible(Impossible::Address) => f.write_str("address cannot be sent"),
            Self::Impossible(Impossible::NoDeadlines) => {
                f.write_str("Server does not support Deliver By")
            }
            Self::Impossible(Impossible::TooLate { left_s, least_s }) => {
                write!(f, "Message can't be delivered in time; {left_s} < {least_s}")
            }
        }
    }
}

const fn words(why: Loss) -> &'static str {
    match why {
        Loss::Closed => "connection closed by the server",
        Loss::Broken => "connection broken",
        Loss::Timeout => "timeout",
        Loss::Quit => "connection ended",
        Loss::OurBody => "message could not be read",
        Loss::Unknown => "connection given up",
    }
}

const fn place(stage: Stage) -> &'static str {
    match stage {
        Stage::Greeting => "before the greeting",
        Stage::Hello => "behind EHLO",
        Stage::Idle => "between messages",
        Stage::Reset => "behind RSET",
        Stage::Mail => "behind MAIL",
        Stage::Recipient => "behind RCPT",
        Stage::Data => "behind DATA",
        Stage::Body => "inside the message",
        Stage::Dot => "behind the dot",
    }
}

/// The status that a reply without one stands for, as sendmail reads it.
fn status_of(code: u16) -> Status {
    match code {
        421 => Status::new(4, 3, 2),
        450 => Status::new(4, 2, 0),
        451 | 455 => Status::new(4, 3, 0),
        452 => Status::new(4, 3, 1),
        500 => Status::new(5, 5, 2),
        501 | 504 => Status::new(5, 5, 4),
        502 | 503 => Status::new(5, 5, 1),
        550 => Status::new(5, 2, 0),
        551 => Status::new(5, 1, 6),
        552 => Status::new(5, 2, 2),
        553 => Status::new(5, 1, 3),
        554 => Status::new(5, 3, 0),
        code => Status::new(
            if code < 300 {
                2
            } else if code < 500 {
                4
            } else {
                5
            },
            0,
            0,
        ),
    }
}
