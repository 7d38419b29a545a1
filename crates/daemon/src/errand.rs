//! What a server is started for by a command, if not to serve.

use policy::settings::DeliveryMode;
use queue::run::Run;
use serde::{Deserialize, Serialize};

/// What a server is started for that ends with its work (`sendmail -bs`, `-odi`, `-q`, `mailq`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Errand {
    /// To try once what is handed over meanwhile, and nothing else that is queued.
    Deliver,
    /// Likewise; who started it tells the sender of failures himself, so no report is made of them.
    DeliverUnreported,
    /// To keep what is handed over for a later run.
    Keep,
    /// To say what is queued, whoever has the spool.
    Look,
    /// A run of the queue: one message after the other, and what is handed over.
    Run(Box<Run>),
}

impl Errand {
    /// What is done with new messages in this mode.
    #[must_use]
    pub fn of(mode: DeliveryMode) -> Self {
        if mode.only_queues() { Self::Keep } else { Self::Deliver }
    }

    /// Whether it is about what was queued before, too.
    #[must_use]
    pub fn is_run(&self) -> bool {
        matches!(self, Self::Run(_))
    }
}
