//! The ledger: every accepted recipient ends in exactly one way, and the books balance after every
//! step. Counted since the scheduler was made; recovered recipients that are still open count as
//! accepted again.

use crate::recipient::State;

/// What became of all recipients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ledger {
    /// Recipients taken in: of messages that arrived or were recovered, and members of expansions.
    pub accepted: u64,
    /// In a mailbox.
    pub delivered: u64,
    /// Handed to the next server.
    pub relayed: u64,
    /// Failed and reported.
    pub bounced: u64,
    /// Failed, and by a named policy nobody was told.
    pub dropped: u64,
    /// Thrown away by a named policy.
    pub discarded: u64,
    /// Replaced by others, who are counted themselves.
    pub expanded: u64,
    /// In messages that the spool put aside as damaged.
    pub damaged: u64,
    /// Not at an end yet.
    pub open: u64,
}

impl Ledger {
    /// Whether every accepted recipient is either open or at exactly one end.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        let ends = [
            self.delivered,
            self.relayed,
            self.bounced,
            self.dropped,
            self.discarded,
            self.expanded,
            self.damaged,
            self.open,
        ];
        ends.iter().fold(0_u64, |sum, &end| sum.saturating_add(end)) == self.accepted
    }

    /// Takes in recipients.
    pub(crate) fn accept(&mut self, count: u64) {
        self.accepted = self.accepted.saturating_add(count);
        self.open = self.open.saturating_add(count);
    }

    /// Books the end of one recipient.
    pub(crate) fn end(&mut self, state: &State) {
        let end = match state {
            State::Delivered(_) => &mut self.delivered,
            State::Relayed(_) => &mut self.relayed,
            State::Bounced => &mut self.bounced,
            State::Dropped(_) => &mut self.dropped,
            State::Discarded => &mut self.discarded,
            State::Expanded { .. } => &mut self.expanded,
            State::Waiting | State::Later(_) | State::Failed(_) | State::Lost(_) => return,
        };
        *end = end.saturating_add(1);
        self.open = self.open.saturating_sub(1);
    }

    /// Books recipients whose message cannot be read any more.
    pub(crate) fn damage(&mut self, count: u64) {
        self.damaged = self.damaged.saturating_add(count);
        self.open = self.open.saturating_sub(count);
    }
}
