//! What the policy says of a recipient that had to be asked about: who stands in its place.
//!
//! One visited set for the whole message: whoever is a recipient already is not added again, so
//! lists that hold each other, or an address twice, deliver once. The answer is not written down by
//! itself: after a crash the same question is asked again, and what was delivered by then is in the
//! note.

use super::attempt::controller;
use super::consult::CONSULTED_FIRST;
use super::{Action, Actions, Scheduler};
use crate::active::{Active, Round, memory_bytes};
use crate::event::Stat;
use crate::message::{ADDRESS_BYTES_MAX, Purpose};
use crate::note::{ADDED_MAX, Added};
use crate::outcome::{Said, Status, Trouble};
use crate::part::{self, MEMBERS_MAX, PART_RECIPIENTS, Split};
use crate::recipient::{Followed, Notify, Receipt, Recipient, State, Way};
use alloc::{boxed::Box, collections::BTreeSet, format, vec::Vec};
use policy::{Controller, Expansion, MailerId, Recipient as Member, Refusal, RefusedMember, Route};
use wire::path::bare;

/// Members in answers that wait for one before them, of one message.
const EARLY_MAX: usize = 10_000;

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
        if active.asking.contains(&index) {
            active.early.insert(index, expansion);
        }
        let mut ready = Vec::new();
        while let Some((index, expansion)) = next_answer(&mut active) {
            active.asking.retain(|&asked| asked != index);
            // The operator may have ended it meanwhile.
            if active.state(index).is_some_and(State::is_open) {
                ready.extend(self.expanded((slot, index), &mut active, expansion, actions));
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
        (slot, index): (u32, u32),
        active: &mut Active,
        expansion: Expansion,
        actions: &mut Actions,
    ) -> Vec<u32> {
        let Some(parent) = active.recipient(index).cloned() else { return Vec::new() };
        if let Some(trouble) = self.no_members(active, &parent, &expansion) {
            self.trouble(active, index, trouble, actions);
            return Vec::new();
        }
        let Expansion { recipients, refused, owner, later: _, wanted: _, steps: _ } = expansion;
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
        let mut members = newcomers(active, index, self.rules.mark, recipients);
        if active.envelope.purpose != Purpose::Mail {
            // sendmail comes to the readers of a report from behind.
            members.reverse();
        }
        let members: Vec<Recipient> = members
            .into_iter()
            .map(|member| {
                let (notify, original) = heir.clone();
                let followed = followed_by(active, &parent, &member);
                let route = Route { expands: false, ..member.route };
                // One that nobody stands behind keeps the form that he was written in.
                let is_itself = *member.address == *bare(&parent.address);
                let address = if is_itself { parent.address.clone() } else { member.address };
                Recipient { address, route, notify, original, followed }
            })
            .collect();
        let mut ready = Vec::new();
        let state = State::Expanded { owner, receipt };
        if members.len() > PART_RECIPIENTS {
            self.split_off((slot, index), active, state, members, actions);
        } else {
            self.set_state(active, index, state);
            active.is_dirty = true;
            for member in members {
                ready.extend(self.add(active, index, member, State::Waiting));
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

    /// Sends the members of a long list on their way into messages of their own.
    fn split_off(
        &self,
        (slot, index): (u32, u32),
        active: &mut Active,
        state: State,
        members: Vec<Recipient>,
        actions: &mut Actions,
    ) {
        let sender = if let State::Expanded { owner: Some(owner), .. } = &state {
            owner
        } else {
            active.sender(index)
        };
        let mut parts = part::split(&active.envelope, sender, members);
        for part in &mut parts {
            part.mailers_mark = self.rules.mark;
        }
        active.splitting.push((index, state));
        actions.push(Action::Split(Box::new(Split { slot, recipient: index, parts })));
    }

    /// The members of a recipient are in messages of their own; or there was no room for them now.
    pub(super) fn split(&mut self, slot: u32, index: u32, is_stored: bool, actions: &mut Actions) {
        let Some(mut active) = self.active.remove(&slot) else { return };
        let place = active.splitting.iter().position(|(recipient, _)| *recipient == index);
        if let Some(place) = place {
            let (_, state) = active.splitting.swap_remove(place);
            if is_stored {
                self.set_state(&mut active, index, state);
                // In the commit that has the parts.
                active.is_dirty = false;
                actions.push(Action::note(slot, &active.note));
            } else {
                let text = b"no room for the members of this list";
                self.trouble(&mut active, index, Trouble::ours(Status(4, 3, 1), text), actions);
            }
        }
        self.active.insert(slot, active);
        self.mark_if_idle(slot);
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
        let members = expansion.recipients.len();
        let more = if members > PART_RECIPIENTS { 0 } else { members };
        let more = more.saturating_add(expansion.refused.len());
        let is_too_long = |octets: &[u8]| octets.len() > ADDRESS_BYTES_MAX;
        let has_long = expansion.recipients.iter().any(|member| {
            is_too_long(&member.address)
                || is_too_long(&member.route.host)
                || is_too_long(&member.route.user)
        }) || expansion.refused.iter().any(|member| is_too_long(&member.address));
        if has_long
            || members > MEMBERS_MAX
            || active.note.added.len().saturating_add(more) > ADDED_MAX
        {
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

/// What is known of a member: as of who is asked about, with the name that led to it, where that is another one, and with
/// the user in whose name it is used.
fn followed_by(active: &Active, parent: &Recipient, member: &Member) -> Option<Box<Followed>> {
    if member.from.is_empty() && member.controller.is_none() {
        return parent.followed.clone();
    }
    let logged = || Followed { logged: controller(parent, active), ..Followed::default() };
    let mut followed = parent.followed.clone().unwrap_or_else(|| Box::new(logged()));
    if !member.from.is_empty() {
        followed.way = Some(Way { from: member.from.clone(), first: Box::default() });
    }
    if let Some(user) = &member.controller {
        let is_asked = *user.address == *bare(&parent.address);
        let address = if is_asked { &parent.address } else { &user.address };
        let user = Controller { address: address.clone(), ..user.clone() };
        followed.controller = Some(user.clone());
        followed.logged = Some(user);
    }
    Some(followed)
}

/// The answer to the first recipient that is asked about: who is named twice is the first one's. Where too much waits for
/// it, whatever is there.
fn next_answer(active: &mut Active) -> Option<(u32, Expansion)> {
    let first = active.asking.iter().copied().min()?;
    let waiting = active.early.values().map(|expansion| expansion.recipients.len());
    if active.early.contains_key(&first) || waiting.sum::<usize>() > EARLY_MAX {
        return active.early.pop_first();
    }
    None
}

/// What makes two recipients the same: mailer, host, user.
type Key<'a> = (MailerId, &'a [u8], &'a [u8]);

fn key(route: &Route) -> Key<'_> {
    (route.mailer, &route.host, &route.user)
}

/// Members who are not recipients in their own right yet, each once. `asked` is the recipient they stand for.
fn newcomers(active: &Active, asked: u32, mark: u32, members: Vec<Member>) -> Vec<Member> {
    let mut routes = BTreeSet::new();
    // Those that were routed among other mailers: their routes say nothing now.
    let mut addresses: BTreeSet<&[u8]> = BTreeSet::new();
    // Who hears of an error as the sender hears of it whoever else does.
    let is_sender = active.envelope.purpose != Purpose::Mail && asked == 0;
    for (index, state) in (0_u32..).zip(&active.note.states) {
        let Some(one) = active.recipient(index) else { continue };
        if is_sender
            || index == asked
            || matches!(state, State::Expanded { .. })
            || one.route.expands
        {
            continue;
        }
        match active.inquiry(index, mark) {
            None => routes.insert(key(&one.route)),
            Some(_) => addresses.insert(&one.address),
        };
    }
    let are_new: Vec<bool> = members
        .iter()
        .map(|member| !addresses.contains(&*member.address) && routes.insert(key(&member.route)))
        .collect();
    let told = members.into_iter().zip(are_new);
    told.filter_map(|(member, is_new)| is_new.then_some(member)).collect()
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
