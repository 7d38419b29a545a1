//! How long is waited, in seconds (RFC 5321, 4.5.3.2 where it asks for more, our defaults follow it).

use serde::{Deserialize, Serialize};

/// How long the other side may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// Server: for a whole command line, from the reply before it.
    pub command_s: u32,
    /// Server: between two pieces of a message.
    pub data_block_s: u32,
    /// Server: for a whole message.
    pub message_s: u32,
    /// Client: until the connection stands.
    pub connect_s: u32,
    /// Client: for the greeting.
    pub greeting_s: u32,
    /// Client: for the answer to EHLO and RSET.
    pub reply_s: u32,
    /// Client: for the answer to MAIL.
    pub mail_s: u32,
    /// Client: for the answer to RCPT.
    pub rcpt_s: u32,
    /// Client: for the answer to DATA.
    pub data_s: u32,
    /// Client: for the answer to the dot.
    pub dot_s: u32,
    /// Client: how long an unused connection is kept.
    pub idle_s: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            command_s: 300,
            data_block_s: 180,
            message_s: 3600,
            connect_s: 30,
            greeting_s: 300,
            reply_s: 300,
            mail_s: 300,
            rcpt_s: 300,
            data_s: 120,
            dot_s: 600,
            idle_s: 5,
        }
    }
}

/// When a delivery is tried again, and when it is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// The first pause after a failure; doubled each time.
    pub first_s: u32,
    /// The longest pause.
    pub longest_s: u32,
    /// Age of a message at which its undelivered recipients fail (Timeout.queuereturn).
    pub give_up_s: u32,
    /// Age at which the sender is warned once (Timeout.queuewarn); 0: never.
    pub warn_s: u32,
    /// What was tried within so many seconds is left alone by a run of the queue (`MinQueueAge`).
    pub young_s: u32,
    /// Both ages of our own reports (`Timeout.queuereturn.dsn`); `None`: as those of others.
    pub report: Option<Ages>,
}

/// Ages at which a message is warned of and given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ages {
    /// As [`Retry::give_up_s`].
    pub give_up_s: u32,
    /// As [`Retry::warn_s`].
    pub warn_s: u32,
}

impl Retry {
    /// A pause that never ends by itself.
    pub const BY_ORDER_S: u32 = u32::MAX;

    /// At which ages a message is warned of and given up.
    #[must_use]
    pub fn ages(&self, is_report: bool) -> Ages {
        let usual = Ages { give_up_s: self.give_up_s, warn_s: self.warn_s };
        self.report.filter(|_| is_report).unwrap_or(usual)
    }

    /// Whether what could not be delivered is tried again by order only.
    #[must_use]
    pub const fn is_by_order(&self) -> bool {
        self.first_s == Self::BY_ORDER_S
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            first_s: 300,
            longest_s: 3600,
            give_up_s: 5 * 86_400,
            warn_s: 4 * 3600,
            young_s: 0,
            report: None,
        }
    }
}
