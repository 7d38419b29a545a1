//! A commit thread as the owner of the log sees it, and how long a batch is kept back for company.

use std::collections::VecDeque;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use crate::batch::Batch;

/// How long a batch that nobody waits for is kept back.
pub(crate) const PATIENCE: Duration = Duration::from_millis(5);
/// How long a message waits for as many others as came with the last ones.
const COMPANY: Duration = Duration::from_millis(1);

/// A commit thread and what waits for it.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) to: Option<Sender<Batch>>,
    pub(crate) open: VecDeque<Batch>,
    pub(crate) is_busy: bool,
    /// The disk had no room; nothing is tried until the next housekeeping.
    pub(crate) is_stalled: bool,
    /// When the open batch was first kept back.
    pub(crate) since: Option<Instant>,
    /// Messages in the last batch.
    pub(crate) last_count: usize,
}

impl Shard {
    /// How long the open batch may still be kept back; `None`: there is none, or it waits for something else. Where the last batch had several
    /// messages, as many are expected again: a write costs the processor more than a moment costs a client.
    pub(crate) fn left(&self) -> Option<Duration> {
        let batch = self.open.front().filter(|_| !self.is_busy && !self.is_stalled)?;
        let patience = match batch.awaited() {
            _ if self.open.len() > 1 => Duration::ZERO,
            0 => PATIENCE,
            count if count < self.last_count => COMPANY,
            _ => Duration::ZERO,
        };
        Some(patience.saturating_sub(self.since?.elapsed()))
    }
}
