//! What a policy answers.

use crate::{Controller, Macros, Member, Route};
use alloc::{boxed::Box, vec::Vec};
use serde::{Deserialize, Serialize};

/// The answer to a [`crate::Question`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Go on.
    Accept(Acceptance),
    /// Say no, for now (4xx) or for good (5xx).
    Refuse(Refusal),
    /// Say yes and throw the message away.
    Discard {
        /// The rule set or rule that said so, for the log and the ledger.
        by: Box<[u8]>,
        /// What it looked at, if that was not the argument of the command.
        subject: Option<Box<[u8]>>,
    },
    /// Say yes and keep the message back.
    Quarantine {
        /// Why, for the postmaster.
        reason: Box<[u8]>,
        /// The rule set that said so, for the log.
        by: Box<[u8]>,
        /// What it looked at, if that was not the argument of the command.
        subject: Option<Box<[u8]>>,
    },
}

impl Verdict {
    /// A plain yes.
    #[must_use]
    pub fn accept() -> Self {
        Self::Accept(Acceptance::default())
    }
}

/// What comes with a yes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// Where an accepted recipient goes. Always there for [`crate::Ask::Recipient`].
    pub route: Option<Route>,
    /// The lines of the answer, without codes: of VRFY, EXPN and HELP; of the greeting for [`crate::Ask::Connect`]; for
    /// [`crate::Ask::Recipient`] the words behind the address, if they are not the usual ones.
    pub lines: Vec<Box<[u8]>>,
    /// VRFY: nobody here knows whether the address exists (252).
    pub is_unverified: bool,
    /// [`crate::Ask::Recipient`]: how many recipients this one stands for; 0 counts as one.
    pub counted: u32,
    /// [`crate::Ask::Recipient`]: all of those, if they were followed and are not too many. The session counts nobody twice.
    pub members: Vec<Member>,
    /// [`crate::Ask::Sender`]: the user of this machine whose address it is.
    pub controller: Option<Controller>,
    /// [`crate::Ask::Connect`]: how long the greeting waits. Who speaks meanwhile is refused.
    pub pause_ms: u32,
    /// Macros to carry on in this session.
    pub macros: Macros,
    /// What was met on the way, for the log.
    pub notes: Vec<Note>,
}

/// What was met on the way to an answer. It changes nothing; the log tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Note {
    /// A step of an expansion, in the words that VERB shows (code 050).
    Step(Box<[u8]>),
    /// A name that others stand for: `alias NAME => LIST`, `forward NAME => LIST`.
    Led(Box<[u8]>),
    /// The sender may not be who it says: for the log (`Authentication-Warning`) and the header. Without our name in front.
    Warned(Box<[u8]>),
    /// A rule set said discard or quarantine, and the answer came from elsewhere.
    Marked {
        /// The rule set.
        by: Box<[u8]>,
        /// Why the message is kept back; `None`: it is thrown away.
        quarantine: Option<Box<[u8]>>,
    },
}

/// A no, as the client will read it and as the log will tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The reply code, 400 to 599.
    pub code: u16,
    /// The enhanced status code (RFC 3463), class first.
    pub status: (u8, u16, u16),
    /// The text after the codes, without line ends.
    pub text: Box<[u8]>,
    /// The rule set (sendmail's name, e.g. `check_rcpt`) or table of ours that refused; empty: no rule set, the address itself is wrong (`User unknown`).
    pub by: Box<[u8]>,
    /// Whether the connection closes after the reply (a 421).
    pub closes: bool,
    /// What the rule set looked at, if that was not the argument of the command (a header field).
    pub subject: Option<Box<[u8]>>,
    /// Macros to carry on in this session all the same.
    pub macros: Macros,
    /// What was met on the way, for the log.
    pub notes: Vec<Note>,
}

impl Refusal {
    /// A refusal that keeps the connection open.
    #[must_use]
    pub fn new(code: u16, status: (u8, u16, u16), text: &[u8], by: &[u8]) -> Self {
        Self {
            code,
            status,
            text: text.into(),
            by: by.into(),
            closes: code == 421,
            subject: None,
            macros: Macros::new(),
            notes: Vec::new(),
        }
    }

    /// Whether trying again later may help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.code < 500
    }
}
