//! What makes a message more urgent than another: the class that its Precedence names, its size, its recipients, its tries.

use alloc::{boxed::Box, vec::Vec};
use serde::{Deserialize, Serialize};

/// The classes and what they weigh (sendmail's `P` lines, `ClassFactor`, `RecipientFactor`, `RetryFactor`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights {
    /// Names of a Precedence field and their classes; of two of one name the last counts.
    pub classes: Vec<(Box<[u8]>, i64)>,
    /// What a class counts for a message.
    pub class_factor: i64,
    /// What a recipient counts against it.
    pub recipient_factor: i64,
    /// What a try counts against it.
    pub retry_factor: i64,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            classes: Vec::new(),
            class_factor: 1800,
            recipient_factor: 30_000,
            retry_factor: 90_000,
        }
    }
}

impl Weights {
    /// The class of a Precedence; 0: no such name.
    #[must_use]
    pub fn class(&self, precedence: &[u8]) -> i64 {
        let precedence = precedence.trim_ascii();
        let mut known = self.classes.iter();
        known
            .rfind(|(name, _)| name.eq_ignore_ascii_case(precedence))
            .map_or(0, |(_, class)| *class)
    }

    /// What a run of the queue goes by before the first try: the smaller, the sooner.
    #[must_use]
    pub fn priority(&self, size_bytes: u64, class: i64, recipients: usize) -> i64 {
        let recipients = i64::try_from(recipients).unwrap_or(i64::MAX);
        let size = i64::try_from(size_bytes).unwrap_or(i64::MAX);
        size.saturating_sub(class.saturating_mul(self.class_factor))
            .saturating_add(recipients.saturating_mul(self.recipient_factor))
    }
}
