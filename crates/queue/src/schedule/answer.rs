//! What the policy says of a recipient that had to be asked about: who stands in its place.
//!
//! One visited set for the whole message: whoever is a recipient already is not added again, so
//! lists that hold each other, or an address twice, deliver once. The answer is not written down by
//! itself: after a crash the same question is asked again, and what was delivered by then is in the
//! note.

use super::consult::CONSULTED_FIRST;
use super::{Actions, Scheduler};
use crate::active::{Active, Round, memory_bytes};
use crate::event::Stat;
use crate::message::{ADDRESS_BYTES_MAX, Purpose};
use crate::note::{ADDED_MAX, Added};
use crate::outcome::{Said, Status, Trouble};
use crate::recipient::{Notify, Receipt, Recipient, State};
use alloc::{boxed::Box, collections::BTreeSet, format, vec::Vec};
use policy::{Expansion, MailerId, Refusal, RefusedMember, Route};

impl Scheduler {
    /// The policy answered about a recipient.
    pub(super) fn answered(
        &mut self,
        slot: u32,
        index: u32,
        expansion: Expansion,
        actions: &mut Actions,
    ) {
        if index >= CONSULTED_FIRST {
            return self.consulted(slot, index, &expansion, actions);
        }
        let Some(mut active) = self.active.remove(&slot) else { return };
        let asked = active.asking.iter().position(|&asked| asked == index);
        let mut ready = Vec::new();
        if let Some(place) = asked {
            active.asking.swap_remove(place);
            // The operator may have ended it meanwhile.
            if active.state(index).is_some_and(State::is_open) {
                ready = self.expanded(&mut active, index, expansion, actions);
            }
        }
        let is_still = active.is_held()
            || self.slots.row(slot).is_some_and(|row| row.order != crate::slots::Order::None);
        self.active.insert(slot, active);
        if !is_still {
            self.make_ready(slot, &ready, actions);
        }
        self.mark_if_idle(slot);
    }

    /// Puts the members in the place of a recipient; gives their numbers.
    fn expanded(
        &mut self,
        active: &mut Active,
        index: u32,
        expansion: Expansion,
        actions: &mut Actions,
    ) -> Vec<u32> {
        let Some(parent) = active.recipient(index).cloned() else { return Vec::new() };
        if let Some(trouble) = self.no_members(active, &parent, &expansion) {
            self.trouble(active, index, trouble, actions);
            return Vec::new();
        }
        let Expansion { recipients, refused, owner, later: _, wanted: _ } = expansion;
        let has_sender = !active.sender(index).is_empty();
        let owner = owner.filter(|owner| has_sender && owner.len() <= ADDRESS_BYTES_MAX);
        let is_alone = recipients.len().saturating_add(refused.len()) == 1 && owner.is_none();
        let is_owed = parent.notify.wants_success() && has_sender && !is_alone;
        let receipt = is_owed.then(|| Receipt { host: Box::default(), text: Box::default() });
        let heir = if is_alone {
            (parent.notify, parent.original.clone())
        } else if owner.is_some() {
            (Notify::UNSET, None)
        } else {
            (parent.notify.without_success(), parent.original.clone())
        };
        self.set_state(active, index, State::Expanded { owner, receipt });
        active.is_dirty = true;
        let mut ready = Vec::new();
        let mut visited = Visited::new(active, self.rules.mark);
        for member in recipients {
            let route = Route { expands: false, ..member.route };
            if visited.insert(&member.address, &route) {
                let (notify, original) = heir.clone();
                let followed = parent.followed.clone();
                // One that nobody stands behind keeps the form that he was written in.
                let is_itself = *member.address == *bare(&parent.address);
                let address = if is_itself { parent.address.clone() } else { member.address };
                let recipient = Recipient { address, route, notify, original, followed };
                ready.extend(self.add(active, index, recipient, State::Waiting));
            }
        }
        // Who is unknown of those that a report goes to was told when it was made.
        let was_told = self.rules.dresses_mail
            && active.envelope.purpose != Purpose::Mail
            && !ready.is_empty();
        for member in refused.iter().filter(|_| !was_told) {
            self.add_refused(active, index, member, &heir, actions);
        }
        ready
    }

    /// Why there is nobody to put in the place of a recipient, if there is nobody.
    fn no_members(
        &self,
        active: &Active,
        parent: &Recipient,
        expansion: &Expansion,
    ) -> Option<Trouble> {
        if let Some(why) = &expansion.later {
            return Some(Trouble::ours(Status(4, 3, 0), why));
        }
        if let ([], [only]) = (&*expansion.recipients, &*expansion.refused)
            && (only.address == parent.address || expansion.owner.is_none())
        {
            return Some(refused(&only.refusal));
        }
        let is_known = |mailer: MailerId| usize::from(mailer.0) < self.rules.mailers.len();
        if !expansion.recipients.iter().all(|member| is_known(member.route.mailer)) {
            return Some(Trouble::ours(Status(4, 3, 5), b"mailer unknown"));
        }
        let more = expansion.recipients.len().saturating_add(expansion.refused.len());
        let is_too_long = |octets: &[u8]| octets.len() > ADDRESS_BYTES_MAX;
        let has_long = expansion.recipients.iter().any(|member| {
            is_too_long(&member.address)
                || is_too_long(&member.route.host)
                || is_too_long(&member.route.user)
        }) || expansion.refused.iter().any(|member| is_too_long(&member.address));
        if has_long || active.note.added.len().saturating_add(more) > ADDED_MAX {
            return Some(Trouble::ours(Status(5, 2, 4), b"mailing list expansion is too large"));
        }
        None
    }

    /// A member that leads nowhere: it fails, or for a temporary refusal is asked for again.
    fn add_refused(
        &mut self,
        active: &mut Active,
        parent: u32,
        member: &RefusedMember,
        heir: &(Notify, Option<Box<[u8]>>),
        actions: &mut Actions,
    ) {
        let (notify, original) = heir.clone();
        let mut recipient = Recipient { notify, original, ..Recipient::unrouted(&member.address) };
        let is_final = !member.refusal.is_temporary();
        recipient.route.expands = !is_final;
        let trouble = refused(&member.refusal).cleaned();
        let (stat, state) = if is_final {
            (Stat::Failed, State::Failed(trouble.clone()))
        } else {
            active.round = Round::Tried;
            (Stat::Deferred, State::Later(trouble.clone()))
        };
        if let Some(index) = self.add(active, parent, recipient, state) {
            actions.push(self.to(active, &[index], stat, &trouble, 0));
        }
    }

    fn add(
        &mut self,
        active: &mut Active,
        parent: u32,
        recipient: Recipient,
        state: State,
    ) -> Option<u32> {
        let index = u32::try_from(active.note.states.len()).ok()?;
        let size_bytes = memory_bytes(&recipient);
        active.size_bytes = active.size_bytes.saturating_add(size_bytes);
        self.active_bytes = self.active_bytes.saturating_add(size_bytes);
        active.note.added.push(Added { parent, mailers_mark: self.rules.mark, recipient });
        active.note.states.push(state);
        self.ledger.accept(1);
        Some(index)
    }
}

/// What makes two recipients the same: mailer, host, user.
type Key = (MailerId, Box<[u8]>, Box<[u8]>);

/// Everybody who is a recipient in his own right.
struct Visited {
    routes: BTreeSet<Key>,
    /// Addresses of those that were routed among other mailers, whose routes say nothing now.
    addresses: BTreeSet<Box<[u8]>>,
}

impl Visited {
    fn new(active: &Active, mark: u32) -> Self {
        let mut visited = Self { routes: BTreeSet::new(), addresses: BTreeSet::new() };
        for (index, state) in (0_u32..).zip(&active.note.states) {
            let Some(one) = active.recipient(index) else { continue };
            if matches!(state, State::Expanded { .. }) || one.route.expands {
                continue;
            }
            match active.inquiry(index, mark) {
                None => visited.routes.insert(key(&one.route)),
                Some(_) => visited.addresses.insert(one.address.clone()),
            };
        }
        visited
    }

    /// Whether a member is new; it is not the second time.
    fn insert(&mut self, address: &[u8], route: &Route) -> bool {
        !self.addresses.contains(address) && self.routes.insert(key(route))
    }
}

fn key(route: &Route) -> Key {
    (route.mailer, route.host.clone(), route.user.clone())
}

/// The trouble that a refusal is: its words without the address that stands before them for the client.
pub(super) fn refused(refusal: &Refusal) -> Trouble {
    let (_, subject, detail) = refusal.status;
    let class = if refusal.is_temporary() { 4 } else { 5 };
    let text = &*refusal.text;
    let behind = text.windows(4).position(|four| four == b"... ");
    let words = behind.and_then(|at| text.get(at.saturating_add(4)..)).unwrap_or(text);
    let status = Status(class, subject, detail);
    let reply = [format!("{} {status} ", refusal.code).as_bytes(), words].concat();
    let said = Said { command: Box::default(), reply: reply.into() };
    Trouble { said: Some(Box::new(said)), ..Trouble::ours(status, words) }
}

/// An address without the angle brackets that it was written in.
pub(super) fn bare(address: &[u8]) -> &[u8] {
    let inner = address.strip_prefix(b"<").and_then(|rest| rest.strip_suffix(b">"));
    inner.unwrap_or(address)
}
