//! What our own reports (bounces, warnings, receipts) look like.

use alloc::boxed::Box;
use serde::{Deserialize, Serialize};

/// What our reports look like, and who gets them besides the sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reports {
    /// Whether they are multipart/report (RFC 3462), with a part for programs; otherwise plain text (sendmail's option
    /// `SendMimeErrors`).
    pub are_multipart: bool,
    /// Who gets the text of a message back, not only its header.
    pub returns: ReturnPolicy,
    /// Lines of the owner's at the beginning of a report of failure, with LF between them (`ErrorMessageHeader`); empty:
    /// none.
    pub foreword: Box<[u8]>,
    /// Who gets a copy of each failure, without its text (`PostmasterCopy`); empty: nobody.
    pub copy_to: Box<[u8]>,
    /// Whether strangers are not told of our inside: which hosts mail went to, what those said, and which names stand behind
    /// the one that was written to.
    pub hide_inside: bool,
    /// Whether it is told where mail for a name really went (`X-Actual-Recipient`; `PrivacyOptions=noactualrecipient`).
    pub name_actual: bool,
    /// The mailbox file of this host that takes what nobody can get (`DeadLetterDrop`), its absolute path; empty: that is kept
    /// back in the queue.
    pub last_resort: Box<[u8]>,
}

impl Default for Reports {
    fn default() -> Self {
        Self {
            are_multipart: true,
            returns: ReturnPolicy::OwnUsers,
            foreword: Box::default(),
            copy_to: Box::default(),
            hide_inside: true,
            name_actual: true,
            last_resort: Box::default(),
        }
    }
}

/// Who gets the text of a message back with a report of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReturnPolicy {
    /// Only our own users: a bounce must not carry a stranger's text to a sender that he forged.
    OwnUsers,
    /// Who does not ask for the header alone (RET=HDRS): sendmail's way.
    AsAsked,
    /// Nobody (`PrivacyOptions=nobodyreturn`).
    Nobody,
}
