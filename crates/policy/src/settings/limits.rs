//! Bounds on everything a stranger can make us keep: the one table.

use serde::{Deserialize, Serialize};

/// A body up to this many octets stays in memory and travels inside frames; a larger one is a file.
pub const BODY_INLINE_BYTES_MAX: usize = 128 * 1024;

/// The longest frame between two roles, in octets: an inline body and a thousand recipients.
pub const FRAME_BYTES_MAX: usize = 2 * 1024 * 1024;

/// A header that was made ready for a mailer, in octets: addresses may grow by their domains.
pub const DRESSED_BYTES_MAX: usize = 1024 * 1024;

/// Bounds that the owner may move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Octets of a message, as it is stored.
    pub message_bytes_max: u64,
    /// Recipients of a transaction; the next gets 452.
    pub recipients_max: u32,
    /// Octets of a header; more gets 552.
    pub header_bytes_max: u32,
    /// Received fields; more gets 554 5.4.6.
    pub hops_max: u32,
    /// Octets of a command line with its end (RFC 5321 says 512 at least).
    pub command_bytes_max: u32,
    /// Octets of a line of text with its end; longer ones are refused.
    pub text_line_bytes_max: u32,
    /// Wrong commands in a session before 421.
    pub bad_commands_max: u32,
    /// Refused recipients in a session before 421.
    pub bad_recipients_max: u32,
    /// Refused recipients in a session before 421 while none of the message was accepted (`BadRcptShutdownGood`).
    pub bad_recipients_alone_max: u32,
    /// Messages in a session before 421.
    pub messages_max: u32,
    /// Sessions at the same time, over all clients.
    pub sessions_max: u32,
    /// Sessions at the same time from one client address.
    pub sessions_per_client_max: u32,
    /// Over so many seconds the connections of each client are counted, for rules that want to know (`${client_rate}`,
    /// `${client_connections}`); 0: none does.
    pub rate_window_s: u32,
    /// Connections that a listener takes in a second; the next ones wait for the second after. 0: any.
    pub connections_per_s: u32,
    /// Load average from which on connections are turned away; 0: never.
    pub refuse_load: u32,
    /// Load average above which each command of a client costs a second; 0: never.
    pub delay_load: u32,
    /// Load average from which on new messages wait in the queue, the less urgent ones first; 0: never.
    pub queue_load: u32,
    /// How urgent a message must be then to be tried at once all the same (sendmail's `QueueFactor`).
    pub queue_factor: i64,
    /// Messages in the queue; more gets 452.
    pub queued_max: u32,
    /// Free octets of the spool's disk below which 452 is answered.
    pub free_bytes_min: u64,
}

impl Limits {
    /// Whether a message waits for a run of the queue at this load.
    #[must_use]
    pub fn only_queues(&self, load: u32, priority: i64) -> bool {
        let Some(above) = load.checked_sub(self.queue_load).filter(|_| self.queue_load > 0) else {
            return false;
        };
        let parts = i64::from(above).saturating_add(1);
        priority > self.queue_factor.checked_div(parts).unwrap_or(i64::MAX)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 50 * 1024 * 1024,
            recipients_max: 1000,
            header_bytes_max: 65_536,
            hops_max: 25,
            command_bytes_max: 2048,
            text_line_bytes_max: 65_536,
            bad_commands_max: 25,
            bad_recipients_max: 25,
            bad_recipients_alone_max: u32::MAX,
            messages_max: 10_000,
            sessions_max: 5_000,
            sessions_per_client_max: 200,
            rate_window_s: 0,
            connections_per_s: 0,
            refuse_load: 0,
            delay_load: 0,
            queue_load: 0,
            queue_factor: 600_000,
            queued_max: 10_000_000,
            free_bytes_min: 64 * 1024 * 1024,
        }
    }
}
