//! What the queue and those who carry mail out say to each other.

use queue::{Batch, BatchId, Outcome};
use relay::{HostStatus, Talk};
use serde::{Deserialize, Serialize};

/// Queue to relay or to a delivery child: one transaction to try. The body is the tail, or a
/// descriptor if it is large.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Try {
    /// Whom it is for, and what else must be known.
    pub batch: Batch,
    /// Octets of a large body, which comes as a descriptor; `None`: the body is the tail.
    pub large_bytes: Option<u64>,
    /// What stands in place of the beginning of a large body; a small one has it already.
    pub head: Option<Head>,
}

/// Queue to relay.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToRelay {
    /// A batch to be tried; body and descriptor beside it.
    Try(Box<Try>),
    /// What was known of hosts before; in parts.
    Hosts(Vec<HostStatus>),
    /// An errand is over: close what is kept, and say what was said.
    Part,
}

/// Relay to queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum FromRelay {
    /// What came of a try.
    Tried(Tried),
    /// The answer to [`ToRelay::Part`].
    Parted(Vec<Talk>),
}

/// A header for a mailer, in place of the stored one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Head {
    /// Fields with CR LF, without the empty line.
    pub header: Box<[u8]>,
    /// Where the stored header ends: octets from the beginning of the body.
    pub text_at: u64,
}

/// Relay or a delivery child to queue: what came of a try.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tried {
    /// Of the try.
    pub batch: BatchId,
    /// Recipients by their numbers within the message.
    pub results: Vec<(u32, Outcome)>,
    /// Whether it is over; else others of the batch are still being tried.
    pub is_last: bool,
    /// What was said meanwhile, on an errand.
    pub talk: Vec<Talk>,
    /// What became known of hosts.
    pub hosts: Vec<HostStatus>,
}
