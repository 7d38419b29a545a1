//! Recipients of one message at several hosts in one batch.
//!
//! Domains often have the same exchangers, and a message goes to all of them in one transaction. Only DNS knows which, so what
//! is ready for other hosts at the same time, by the same mailer and with the same sender, goes along in the batch: the relay
//! asks, makes one transaction for those who share their exchangers, and reports each by itself. Each destination counts the
//! batch as one of its own, so its limits hold.

use super::Scheduler;
use crate::active::Active;
use alloc::vec::Vec;
use policy::{LmtpPlace, MailerId, Transport};

impl Scheduler {
    /// Adds what is ready of a message for other hosts to recipients whose batch begins, up to `most` in all. They come as
    /// number and destination.
    pub(super) fn join_companions(
        &mut self,
        slot: u32,
        recipients: &mut Vec<(u32, u32)>,
        most: usize,
    ) {
        let Some(active) = self.active.get(&slot) else { return };
        let Some(&(first, own)) = recipients.first() else { return };
        let Some(mailer) = active.recipient(first).map(|one| one.route.mailer) else { return };
        // Nobody else is ready, or nobody may come along.
        if active.ready <= recipients.len() || recipients.len() >= most || !self.asks_dns(mailer) {
            return;
        }
        let mut seen = alloc::collections::BTreeSet::from([own]);
        for index in active.open().filter(|&index| index > first) {
            let Some(one) = active.recipient(index).filter(|one| one.route.mailer == mailer) else {
                continue;
            };
            let Some(number) = self.destinations.known(&one.route, &self.rules.mailers) else {
                continue;
            };
            let Some(destination) = self.destinations.of_mut(number) else { continue };
            if !seen.insert(number) || !destination.may_try() {
                continue;
            }
            let is_companion = |group: &crate::destination::Group| {
                group.slot == slot && has_sender_of(active, first, &group.recipients)
            };
            let Some(place) = destination.ready.iter().position(is_companion) else { continue };
            let Some(mut group) = destination.ready.remove(place) else { continue };
            group.keep_most(most.saturating_sub(recipients.len()), destination);
            destination.in_flight = destination.in_flight.saturating_add(1);
            recipients.extend(group.recipients.into_iter().map(|index| (index, number)));
            if recipients.len() >= most {
                return;
            }
        }
    }

    /// Whether a mailer goes where DNS says.
    fn asks_dns(&self, mailer: MailerId) -> bool {
        matches!(
            self.rules.mailers.get(usize::from(mailer.0)).map(|mailer| &mailer.transport),
            Some(Transport::Smtp { .. } | Transport::Lmtp(LmtpPlace::Host { .. }))
        )
    }
}

/// Whether these have the reverse-path of another recipient; all of a group have the same.
fn has_sender_of(active: &Active, other: u32, group: &[u32]) -> bool {
    group.first().is_some_and(|&one| active.sender(one) == active.sender(other))
}
