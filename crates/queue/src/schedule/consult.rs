//! Before a report is made the policy is asked whether it can go where it is to go.
//!
//! A report to a user who does not exist would only fail and be reported on; its reader, the postmaster, is better told of
//! the first failure. Where nobody dresses mail the report is made at once, and its way shows later.

use super::answer::refused;
use super::{Action, Actions, Inquiry, Scheduler};
use crate::active::{Active, Consulted};
use crate::event::{Event, Stat, To};
use crate::message::Purpose;
use crate::outcome::{Status, Trouble};
use crate::recipient::{Recipient, State};
use crate::slots::Order;
use alloc::{boxed::Box, vec, vec::Vec};
use policy::{Controller, Expansion, MailerId, RefusedMember};
use wire::path::bare;

/// Numbers of recipients from here on mean those who are to get reports.
pub(super) const CONSULTED_FIRST: u32 = u32::MAX - 0xffff;

/// The most that are asked about for one message; further ones get their reports unasked.
const CONSULTED_MAX: usize = 100;

/// Our own name as a sender. Nothing goes there, but if it is no alias, the log tells.
pub const OURSELVES: &[u8] = b"MAILER-DAEMON";

/// The configuration says nothing of an address that it must know.
const MISCONFIGURED: Status = Status(5, 3, 5);

impl Scheduler {
    /// Asks about everybody who is to get a report about a message now and was not asked about; true: answers are awaited.
    pub(super) fn consult(&mut self, slot: u32, actions: &mut Actions) -> bool {
        let is_ordered = self.slots.row(slot).is_some_and(|row| row.order != Order::None);
        if !self.rules.dresses_mail || is_ordered {
            return false;
        }
        let Some(mut active) = self.active.remove(&slot) else { return false };
        if !active.is_held() {
            self.give_up(&mut active);
            for to in self.readers(&active) {
                let number = active.consulted.len();
                let is_new = active.consulted.iter().all(|one| one.address != to);
                let index = u32::try_from(number)
                    .ok()
                    .and_then(|number| CONSULTED_FIRST.checked_add(number));
                let (true, true, Some(index)) = (is_new, number < CONSULTED_MAX, index) else {
                    continue;
                };
                let (dead_end, unknown) = (None, Vec::new());
                active.consulted.push(Consulted { address: to.clone(), dead_end, unknown });
                active.asking.push(index);
                let address = bare(&to).into();
                actions.push(Action::Inquire {
                    slot,
                    recipient: index,
                    address,
                    sender: Box::default(),
                    inquiry: Inquiry::Report,
                });
            }
        }
        let is_asked = !active.asking.is_empty();
        self.active.insert(slot, active);
        is_asked
    }

    /// The policy answered about somebody who is to get a report.
    pub(super) fn consulted(
        &mut self,
        slot: u32,
        index: u32,
        expansion: &Expansion,
        actions: &mut Actions,
    ) {
        let Some(mut active) = self.active.remove(&slot) else { return };
        let asked = active.asking.iter().position(|&asked| asked == index);
        let place = usize::try_from(index.saturating_sub(CONSULTED_FIRST)).ok();
        if let (Some(asked), Some(place)) = (asked, place) {
            active.asking.swap_remove(asked);
            let unknown = unknown(expansion);
            for (member, trouble) in &unknown {
                actions.push(self.unknown_line(&active, member, trouble));
            }
            let is_nobody = expansion.recipients.is_empty() && expansion.later.is_none();
            if let Some(one) = active.consulted.get_mut(place) {
                if is_nobody {
                    one.dead_end = unknown.into_iter().next().map(|(_, trouble)| trouble);
                } else {
                    let shown = |member: &RefusedMember| {
                        [&*member.led.place, &*member.address].concat().into_boxed_slice()
                    };
                    let unknown = unknown.into_iter().take(CONSULTED_MAX);
                    one.unknown =
                        unknown.map(|(member, trouble)| (shown(member), trouble)).collect();
                }
            }
        }
        self.active.insert(slot, active);
        self.mark_if_idle(slot);
    }

    /// Whom reports about a message would go to now, as far as is known.
    fn readers(&self, active: &Active) -> Vec<Box<[u8]>> {
        let mut readers = Vec::new();
        let is_late = self.is_time_to_warn(active);
        for (index, state) in (0_u32..).zip(&active.note.states) {
            let Some(recipient) = active.recipient(index) else { continue };
            let sender: Box<[u8]> = active.sender(index).into();
            match state {
                State::Failed(_) if recipient.notify.wants_failure() => {
                    self.readers_of_failure(active, sender, &mut readers);
                }
                State::Delivered(Some(_))
                | State::Relayed(Some(_))
                | State::Expanded { receipt: Some(_), .. } => readers.push(sender),
                State::Waiting | State::Later(_) if is_late && recipient.notify.wants_delay() => {
                    readers.push(sender);
                }
                State::Waiting
                | State::Later(_)
                | State::Failed(_)
                | State::Lost(_)
                | State::Delivered(None)
                | State::Relayed(None)
                | State::Expanded { receipt: None, .. }
                | State::Bounced
                | State::Dropped(_)
                | State::Discarded => {}
            }
        }
        readers.retain(|to| !to.is_empty());
        readers.sort();
        readers.dedup();
        readers
    }

    fn readers_of_failure(&self, active: &Active, sender: Box<[u8]>, readers: &mut Vec<Box<[u8]>>) {
        let purpose = active.envelope.purpose;
        let is_told = !sender.is_empty() && active.dead_end(&sender).is_none();
        readers.push(sender);
        if purpose == Purpose::Mail {
            readers.push(self.rules.reports.copy_to.clone());
        } else {
            readers.push(OURSELVES.into());
        }
        if !is_told && purpose != Purpose::DoubleBounce {
            readers.push(self.rules.postmaster.clone());
        }
    }

    /// The line on somebody who is to get a report and is unknown.
    fn unknown_line(&self, active: &Active, member: &RefusedMember, trouble: &Trouble) -> Action {
        if trouble.status == MISCONFIGURED {
            let (id, text) = (active.envelope.id, trouble.text.clone());
            return Action::log(Event::Complaint { id, text });
        }
        let mailers = (0_u8..).zip(&self.rules.mailers);
        let local = mailers
            .filter(|(_, mailer)| *mailer.name == *b"local")
            .map(|(number, _)| number)
            .next();
        let line = self.to(active, &[], Stat::Failed, trouble, 0);
        let Action::Log(event) = line else { return line };
        let Event::To(to) = *event else { return Action::Log(event) };
        let led = &member.led;
        Action::log(Event::To(To {
            to: vec![member.address.clone()],
            controller: led.ids.map(|(uid, gid)| Controller {
                address: led.by.clone(),
                login: Box::default(),
                uid,
                gid,
            }),
            led_by: Some(led.by.clone()).filter(|name| !name.is_empty() && led.ids.is_none()),
            xdelay_ms: None,
            mailer: local.map_or(Recipient::UNROUTED, MailerId),
            reply: trouble.reply().map(Into::into),
            ..to
        }))
    }
}

/// The addresses that lead nowhere, for good; none if one is only not to be found now.
fn unknown(expansion: &Expansion) -> Vec<(&RefusedMember, Trouble)> {
    if expansion.refused.iter().any(|one| one.refusal.is_temporary()) {
        return Vec::new();
    }
    let refused = expansion.refused.iter();
    refused.map(|one| (one, refused_words(one))).collect()
}

fn refused_words(member: &RefusedMember) -> Trouble {
    refused(&member.refusal).cleaned()
}
