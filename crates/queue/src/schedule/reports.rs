//! Which reports are owed at the end of a round, to whom, and what is told in them.
//!
//! A failure goes to the sender. Where nobody can get it there (`<>`, an unknown user), it goes to the postmaster; a report
//! that fails goes to him too, and if that one fails, it ends. So there is no loop: what is about a report about a report is
//! never sent. A report for which not even a postmaster is found is kept back, for the operator (sendmail's "savemail
//! panic"), or goes into the owner's file for such (`DeadLetterDrop`), and the one about it too.

use super::storms::REPORTS_PER_HOUR_MAX;
use super::{Action, Actions, Scheduler};
use crate::active::{Active, Came};
use crate::event::Event;
use crate::message::{Envelope, Purpose, Return};
use crate::note::{Hold, Note};
use crate::outcome::{Said, Status, Trouble, Voice};
use crate::recipient::{DropReason, Receipt, Recipient, Share, State};
use crate::report::{Fate, RETURNED_BYTES_MAX, Report, ReportKind, ReportLine, warning};
use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};
use policy::settings::{Ages, Reports, ReturnPolicy};
use policy::{Mailer, Transport};

/// Recipients in one report; more come in a further one.
const REPORT_LINES_MAX: usize = 500;

/// Recipients that wait and are told of in a report of others.
const ASIDES_MAX: usize = 100;

/// About what the fields that we add to a message come to, in octets: sendmail's queue counts them.
const TRACE_BYTES: u64 = 200;

/// Who hears of a wrong configuration beside the sender of the message that it stopped.
const POSTMASTER: &[u8] = b"postmaster";

/// Why a report is kept back that can't be delivered and not be reported on: the messages that `mailq -qL` lists.
pub const LOST: &[u8] = b"savemail panic";

/// What the listing of the queue says of it while others of its recipients wait.
const NOT_SAVED: &[u8] = b"savemail: cannot save rejected email anywhere";

/// Where the report of a failure goes.
enum Way {
    /// To somebody.
    To(ReportKind, Box<[u8]>),
    /// To nobody.
    Nowhere(DropReason),
    /// It can go to nobody: the message is kept back, and a report that ends at once tells the log.
    Lost(Box<[u8]>),
}

impl Scheduler {
    /// Reports failures and successes that are still owed.
    pub(super) fn report_ends(&mut self, slot: u32, active: &mut Active, actions: &mut Actions) {
        let mut reports: BTreeMap<(ReportKind, Box<[u8]>), Vec<ReportLine>> = BTreeMap::new();
        let count = u32::try_from(active.note.states.len()).unwrap_or(u32::MAX);
        let wants_copy =
            active.envelope.purpose == Purpose::Mail && !self.rules.reports.copy_to.is_empty();
        let dropped_before = dropped(active);
        let mut put_off = Vec::new();
        for index in 0..count {
            if self.is_report_put_off(active, index) {
                put_off.push(index);
                continue;
            }
            let Some((kind, to, line)) = self.owed(active, index, actions) else { continue };
            active.is_dirty = true;
            if kind.is_failure() && wants_copy {
                let copy = (ReportKind::Copy, self.rules.reports.copy_to.clone());
                reports.entry(copy).or_default().push(line.clone());
            }
            let lines = reports.entry((kind, to)).or_default();
            lines.extend(expanded_before(active, &line, lines));
            lines.push(line);
        }
        for ((kind, to), lines) in reports {
            self.count_report(active, kind, &to, actions);
            self.report(slot, active, kind, &to, lines, actions);
        }
        self.keep_lost(slot, active, &put_off, actions);
        tell_end(active, dropped_before, actions);
    }

    /// What is owed about one recipient, which is paid with this.
    fn owed(
        &mut self,
        active: &mut Active,
        index: u32,
        actions: &mut Actions,
    ) -> Option<(ReportKind, Box<[u8]>, ReportLine)> {
        let place = usize::try_from(index).ok()?;
        let relayed = relayed(active, index);
        let state = active.note.states.get_mut(place)?;
        let (fate, receipt) = match state {
            State::Delivered(receipt) => (Fate::Delivered, receipt.take()?),
            State::Relayed(receipt) => (relayed, receipt.take()?),
            State::Expanded { receipt, .. } => (Fate::Expanded, receipt.take()?),
            State::Failed(trouble) => {
                let trouble = trouble.clone();
                return self.failed(active, index, trouble, actions);
            }
            State::Waiting
            | State::Later(_)
            | State::Lost(_)
            | State::Bounced
            | State::Dropped(_)
            | State::Discarded => return None,
        };
        let Receipt { host, text } = receipt;
        let trouble = Trouble { host, ..Trouble::ours(Status(2, 0, 0), &text) };
        let is_servers = fate == relayed || !trouble.host.is_empty();
        let trouble = if is_servers && !text.is_empty() {
            let said = Said { command: Box::default(), reply: text };
            Trouble { voice: Voice::Smtp, said: Some(Box::new(said)), ..trouble }
        } else if fate == Fate::Delivered && !text.is_empty() {
            // What a program printed, and no word of the one whom it was for.
            let reply = [b"\n", &*text].concat().into();
            let said = Said { command: Box::default(), reply };
            Trouble { said: Some(Box::new(said)), ..trouble }
        } else {
            trouble
        };
        let to: Box<[u8]> = active.sender(index).into();
        let is_full = is_by_stranger(active) && self.storms.is_full(&to, self.now_s());
        if is_full || active.dead_end(&to).is_some() {
            active.is_dirty = true;
            return None;
        }
        Some((ReportKind::Success, to, line(&self.rules.mailers, active, index, fate, trouble)?))
    }

    /// Whether the report of a failure waits because its reader has had too many of late. One that is too old is given up
    /// instead.
    fn is_report_put_off(&self, active: &Active, index: u32) -> bool {
        let is_failure = matches!(active.state(index), Some(State::Failed(_)));
        is_failure
            && self.age_s(active) < self.ages(&active.envelope).give_up_s.into()
            && is_by_stranger(active)
            && self.storms.is_full(active.sender(index), self.now_s())
    }

    /// Counts a report to somebody whom a stranger named.
    fn count_report(&mut self, active: &Active, kind: ReportKind, to: &[u8], out: &mut Actions) {
        let is_to_sender = !matches!(kind, ReportKind::DoubleBounce | ReportKind::Copy);
        let now_s = self.now_s();
        if is_to_sender && is_by_stranger(active) && self.storms.count(to, now_s) {
            let id = active.envelope.id;
            out.push(Action::log(Event::Storm { id, to: to.into(), count: REPORTS_PER_HOUR_MAX }));
        }
    }

    /// Whom to tell of a failure, if anybody.
    fn failed(
        &mut self,
        active: &mut Active,
        index: u32,
        trouble: Trouble,
        actions: &mut Actions,
    ) -> Option<(ReportKind, Box<[u8]>, ReportLine)> {
        active.is_dirty = true;
        match self.way(active, index) {
            Way::To(kind, to) => {
                let line = line(&self.rules.mailers, active, index, Fate::Failed, trouble)?;
                self.set_state(active, index, State::Bounced);
                Some((kind, to, line))
            }
            Way::Lost(to) => Some((
                ReportKind::DoubleBounce,
                to,
                line(&self.rules.mailers, active, index, Fate::Failed, trouble)?,
            )),
            // With a file for such it is kept until it is there.
            Way::Nowhere(DropReason::DoubleBounce) if self.saves(active, index) => None,
            Way::Nowhere(by) => {
                let to = active.recipient(index).map(|one| one.address.clone()).unwrap_or_default();
                actions.push(Action::log(Event::Dropped { id: active.envelope.id, to, by }));
                self.set_state(active, index, State::Dropped(by));
                None
            }
        }
    }

    /// Where the report of a failure goes.
    fn way(&self, active: &Active, index: u32) -> Way {
        let sender = active.sender(index);
        let purpose = active.envelope.purpose;
        let is_wanted = active.recipient(index).is_none_or(|one| one.notify.wants_failure());
        let postmaster = &self.rules.postmaster;
        let is_full = is_by_stranger(active) && self.storms.is_full(sender, self.now_s());
        if !is_wanted {
            Way::Nowhere(DropReason::NotWanted)
        } else if is_full && !sender.is_empty() {
            Way::Nowhere(DropReason::Storm)
        } else if !sender.is_empty() && active.dead_end(sender).is_none() {
            Way::To(ReportKind::Failure, sender.into())
        } else if purpose == Purpose::DoubleBounce {
            Way::Nowhere(DropReason::DoubleBounce)
        } else if postmaster.is_empty() {
            Way::Nowhere(DropReason::NoPostmaster)
        } else if purpose == Purpose::Report && active.dead_end(postmaster).is_some() {
            Way::Lost(postmaster.clone())
        } else {
            Way::To(ReportKind::DoubleBounce, postmaster.clone())
        }
    }

    /// Warns the sender, once, that a message is late.
    pub(super) fn warn(&mut self, slot: u32, active: &mut Active, actions: &mut Actions) {
        if !self.is_time_to_warn(active) {
            return;
        }
        active.note.is_warned = true;
        let mut reports: BTreeMap<Box<[u8]>, Vec<ReportLine>> = BTreeMap::new();
        let open: Vec<u32> = active.open().collect();
        for index in open {
            let sender = active.sender(index);
            let is_wanted = active.recipient(index).is_some_and(|one| one.notify.wants_delay());
            let is_nobody = sender.is_empty() || active.dead_end(sender).is_some();
            let is_full = is_by_stranger(active) && self.storms.is_full(sender, self.now_s());
            if is_nobody || !is_wanted || is_full {
                continue;
            }
            let trouble = match active.state(index) {
                Some(State::Later(trouble)) => trouble.clone(),
                _ => Trouble::ours(Status(4, 0, 0), b"not tried yet"),
            };
            let to = sender.into();
            if let Some(line) = line(&self.rules.mailers, active, index, Fate::Delayed, trouble) {
                reports.entry(to).or_default().push(line);
            }
        }
        for (to, lines) in reports {
            active.is_dirty = true;
            let by = active.envelope.by.filter(|_| self.is_past_its_time(active));
            self.count_report(active, ReportKind::Delay, &to, actions);
            active.note.said = warning(by, self.ages(&active.envelope).warn_s).into_bytes().into();
            self.report(slot, active, ReportKind::Delay, &to, lines, actions);
        }
    }

    /// At which ages a message is warned of and given up.
    pub(super) fn ages(&self, envelope: &Envelope) -> Ages {
        self.rules.retry.ages(envelope.is_report())
    }

    /// Whether the sender is to hear now that a message is late.
    pub(super) fn is_time_to_warn(&self, active: &Active) -> bool {
        let warn_s = self.ages(&active.envelope).warn_s;
        let is_late = warn_s != 0 && self.age_s(active) >= warn_s.into();
        (is_late || self.is_past_its_time(active))
            && !active.note.is_warned
            && active.open_count() > 0
    }

    /// Whether the time that its sender set is over (RFC 2852).
    pub(super) fn is_past_its_time(&self, active: &Active) -> bool {
        let envelope = &active.envelope;
        envelope.by.is_some_and(|by| by.left_s(envelope.created_s, self.now_ms / 1000) <= 0)
    }

    /// Puts out reports with these lines.
    fn report(
        &self,
        slot: u32,
        active: &Active,
        kind: ReportKind,
        to: &[u8],
        lines: Vec<ReportLine>,
        actions: &mut Actions,
    ) {
        let mut rest = lines;
        while !rest.is_empty() {
            let tail = rest.split_off(rest.len().min(REPORT_LINES_MAX));
            let lines = core::mem::replace(&mut rest, tail);
            let report = self.report_about(slot, active, kind, to, lines);
            actions.push(Action::Report(Box::new(report.for_stranger())));
        }
    }

    fn report_about(
        &self,
        slot: u32,
        active: &Active,
        kind: ReportKind,
        to: &[u8],
        lines: Vec<ReportLine>,
    ) -> Report {
        let envelope = &active.envelope;
        let origin = &envelope.origin;
        let is_failure = kind.is_failure();
        let is_of_size = lines.iter().any(|line| line.trouble.is_of_size());
        let returns_all = self.returns_all(envelope, kind) && !is_of_size;
        let is_to_sender = !matches!(kind, ReportKind::DoubleBounce | ReportKind::Copy);
        let looks = &self.rules.reports;
        let ages = self.ages(envelope);
        Report {
            about: slot,
            kind,
            to: if is_to_sender && !origin.is_own() { bracketed(to) } else { to.into() },
            also_to: also_to(envelope, kind, &lines),
            dead_end: active.dead_end(to).cloned(),
            reporter: self.rules.host_name.clone(),
            is_dressed_later: self.rules.dresses_mail,
            at_s: self.now_ms.wrapping_div(1000),
            id: envelope.id,
            created_s: envelope.created_s,
            sender: envelope.sender.clone(),
            envelope_id: envelope.envelope_id.clone(),
            by: envelope.by,
            origin: if active.came == Came::New { origin.clone() } else { origin.after_waiting() },
            body: envelope.body,
            is_utf8: envelope.is_utf8,
            returned: if returns_all { Return::Full } else { Return::Headers },
            size_bytes: if active.came != Came::New && self.rules.dresses_mail {
                envelope.size_bytes.saturating_add(TRACE_BYTES)
            } else {
                envelope.size_bytes
            },
            is_about_report: envelope.purpose != Purpose::Mail,
            looks: Reports {
                foreword: if is_failure { looks.foreword.clone() } else { Box::default() },
                ..looks.clone()
            },
            give_up_s: ages.give_up_s,
            warn_s: ages.warn_s,
            lists: lists(active),
            lines,
            asides: asides(&self.rules.mailers, active, kind),
        }
    }

    /// A failure is paid for now, or it can't be: then the message is kept for the operator, or goes into the owner's file for
    /// such, as soon as nothing is left to try of it.
    fn keep_lost(&self, slot: u32, active: &mut Active, put_off: &[u32], actions: &mut Actions) {
        let mut has_new = false;
        for (index, state) in (0_u32..).zip(&mut active.note.states) {
            if let State::Failed(trouble) = state
                && !put_off.contains(&index)
            {
                *state = State::Lost(trouble.clone());
                has_new = true;
            }
        }
        let has_file = !self.rules.reports.last_resort.is_empty();
        if has_new {
            active.note.said = NOT_SAVED.into();
            active.is_dirty = true;
        }
        if has_new && !has_file {
            actions.push(Action::log(Event::Lost { id: active.envelope.id }));
        }
        let is_lost = |state: &State| matches!(state, State::Lost(_));
        let is_at_end = active.open().next().is_none() && put_off.is_empty();
        if active.note.states.iter().any(is_lost) && is_at_end {
            active.note.hold = Hold::Held(LOST.into());
            active.is_dirty = true;
            if has_file {
                actions.push(Action::Save { slot });
            }
        }
    }

    /// Whether a report about a report that can't go to its reader goes into the owner's file for such: not one that was made
    /// for the log alone, whose message goes there itself.
    fn saves(&self, active: &Active, index: u32) -> bool {
        let followed = active.recipient(index).and_then(|one| one.followed.as_deref());
        let is_for_log = followed.is_some_and(|followed| followed.refused.is_some());
        !self.rules.reports.last_resort.is_empty() && !is_for_log
    }

    /// Whether a message that the spool held at the start waits for nothing but the owner's file.
    pub(super) fn is_for_last_resort(&self, note: &Note) -> bool {
        !self.rules.reports.last_resort.is_empty()
            && note.hold == Hold::Held(LOST.into())
            && !note.states.iter().any(State::is_open)
    }

    /// What nobody can be told of is in the owner's file.
    pub(super) fn book_saved(&mut self, active: &mut Active) {
        let lost = (0_u32..).zip(&active.note.states);
        let lost = lost.filter(|(_, state)| matches!(state, State::Lost(_)));
        let lost: Vec<u32> = lost.map(|(index, _)| index).collect();
        for index in lost {
            self.set_state(active, index, State::Dropped(DropReason::Saved));
        }
    }

    /// Whether a report gives the text back, not only the header.
    fn returns_all(&self, envelope: &Envelope, kind: ReportKind) -> bool {
        // A report that had no text to give back has none that is worth it.
        let was_short = envelope.purpose != Purpose::Mail && envelope.size_bytes == 0;
        if was_short || matches!(kind, ReportKind::Copy | ReportKind::Success) {
            return false;
        }
        let is_ours = envelope.origin.uid.is_some() || !envelope.origin.user.is_empty();
        let is_asked = envelope.ret != Some(Return::Headers);
        let is_small = envelope.size_bytes <= RETURNED_BYTES_MAX && !envelope.returns.without_text;
        match self.rules.reports.returns {
            ReturnPolicy::Nobody => false,
            ReturnPolicy::AsAsked => is_asked && is_small,
            ReturnPolicy::OwnUsers => {
                kind != ReportKind::Delay
                    && (kind == ReportKind::DoubleBounce || (is_ours && is_asked))
                    && is_small
            }
        }
    }
}

/// Who gets a report beside the sender: those whom the message names, and the postmaster where it is our configuration that
/// is wrong.
fn also_to(envelope: &Envelope, kind: ReportKind, lines: &[ReportLine]) -> Vec<Recipient> {
    if !matches!(kind, ReportKind::Failure | ReportKind::Delay) {
        return Vec::new();
    }
    let mut also_to = envelope.returns.also_to.clone();
    if lines.iter().any(|line| line.fate == Fate::Failed && line.trouble.is_of_configuration()) {
        also_to.push(Recipient::unrouted(POSTMASTER));
    }
    also_to
}

/// Whether nobody whom we know sent a message: then its sender may be forged.
fn is_by_stranger(active: &Active) -> bool {
    let envelope = &active.envelope;
    let origin = &envelope.origin;
    envelope.purpose == Purpose::Mail && origin.uid.is_none() && origin.user.is_empty()
}

/// Recipients of a report about a report of whom nobody is told.
fn dropped(active: &Active) -> usize {
    let is_dropped = |state: &&State| matches!(state, State::Dropped(DropReason::DoubleBounce));
    active.note.states.iter().filter(is_dropped).count()
}

/// Says that the report that one is about ends with it, in nobody's hands.
fn tell_end(active: &Active, dropped_before: usize, actions: &mut Actions) {
    let is_nowhere = |state: &State| {
        matches!(state, State::Dropped(DropReason::DoubleBounce) | State::Expanded { .. })
    };
    if active.came == Came::New
        && dropped(active) > dropped_before
        && active.note.states.iter().all(is_nowhere)
        && let Some(id) = active.envelope.origin.report_about()
    {
        actions.push(Action::log(Event::Lost { id }));
    }
}

/// The lists that a message was sent on to a moment ago in the name of their owner.
fn lists(active: &Active) -> Vec<Box<[u8]>> {
    let mut lists: Vec<Box<[u8]>> = Vec::new();
    if active.came != Came::New || !active.envelope.is_part_of_owner() {
        return lists;
    }
    let followed = active.envelope.recipients.iter().filter_map(|one| one.followed.as_ref());
    for way in followed.filter_map(|followed| followed.way.as_ref()) {
        if !lists.contains(&way.first) && lists.len() < ASIDES_MAX {
            lists.push(way.first.clone());
        }
    }
    lists
}

/// How a report calls it that a recipient was relayed.
fn relayed(active: &Active, index: u32) -> Fate {
    let wants = active.recipient(index).is_some_and(|one| one.notify.wants_success());
    match active.envelope.by {
        Some(by) if !wants && by.traces => Fate::Traced,
        Some(_) if !wants => Fate::Noticed,
        Some(_) | None => Fate::Relayed,
    }
}

/// What is told in passing: of recipients that wait, and of a sender whom no report reaches.
fn asides(mailers: &[Mailer], active: &Active, kind: ReportKind) -> Vec<ReportLine> {
    let mut asides = Vec::new();
    if kind == ReportKind::Delay {
        return asides;
    }
    let open = active.open().take(ASIDES_MAX);
    asides.extend(open.filter_map(|index| {
        let Some(State::Later(trouble)) = active.state(index) else { return None };
        line(mailers, active, index, Fate::Delayed, trouble.clone())
    }));
    let sender = &active.envelope.sender;
    if let (Some(trouble), ReportKind::DoubleBounce) = (active.dead_end(sender), kind) {
        let address: Box<[u8]> =
            if active.envelope.origin.is_own() { sender.clone() } else { bracketed(sender) };
        asides.push(nowhere(&address, trouble));
    }
    // Some of those who were to get the report lead nowhere.
    let unknown = active.consulted.iter().flat_map(|one| &one.unknown);
    asides.extend(unknown.take(ASIDES_MAX).map(|(shown, trouble)| nowhere(shown, trouble)));
    asides
}

/// A name that leads nowhere, behind all that was tried.
fn nowhere(address: &[u8], trouble: &Trouble) -> ReportLine {
    ReportLine {
        is_aside: false,
        is_by_lmtp: false,
        first: address.into(),
        actual: None,
        address: address.into(),
        expanded_from: None,
        original: None,
        index: u32::MAX,
        diagnostics: Box::default(),
        fate: Fate::Failed,
        trouble: trouble.clone(),
    }
}

/// The name that stood for several of which one was reached now, if that is to be told and was not.
fn expanded_before(active: &Active, line: &ReportLine, lines: &[ReportLine]) -> Option<ReportLine> {
    let recipient = active.recipient(line.index).filter(|_| line.is_aside)?;
    let followed = recipient.followed.as_ref().filter(|one| one.share == Share::OneTold)?;
    let name = &followed.way.as_ref()?.first;
    let was_told = lines.iter().any(|one| one.fate == Fate::Expanded && one.address == *name);
    (!was_told).then(|| ReportLine {
        address: name.clone(),
        fate: Fate::Expanded,
        trouble: Trouble::ours(Status(2, 0, 0), b""),
        expanded_from: None,
        actual: None,
        ..line.clone()
    })
}

fn bracketed(address: &[u8]) -> Box<[u8]> {
    [b"<", address, b">"].concat().into()
}

fn line(
    mailers: &[Mailer],
    active: &Active,
    index: u32,
    fate: Fate,
    trouble: Trouble,
) -> Option<ReportLine> {
    let recipient = active.recipient(index)?;
    let parent = active.parent(index).and_then(|parent| active.recipient(parent));
    let from = active
        .parent(index)
        .filter(|_| parent.is_some_and(|parent| parent.address != recipient.address));
    let mut top = index;
    // A parent stands before its members, so this ends.
    while let Some(parent) = active.parent(top).filter(|&parent| parent < top) {
        top = parent;
    }
    let way = recipient.followed.as_ref().and_then(|followed| followed.way.as_ref());
    let first = way.map(|way| wire::path::bare(&way.first)).filter(|first| !first.is_empty());
    let mailer = mailers.get(usize::from(recipient.route.mailer.0));
    let diagnostics = mailer.map(|mailer| {
        let [_, _, diagnostics] = &mailer.carriage.types;
        diagnostics.clone()
    });
    let diagnostics = diagnostics.unwrap_or_default();
    let top = || &*active.recipient(top).unwrap_or(recipient).address;
    let is_refused = recipient.followed.as_ref().is_some_and(|followed| followed.refused.is_some());
    let user = Some(&recipient.route.user).filter(|user| is_refused && **user != recipient.address);
    let is_success = !matches!(fate, Fate::Failed | Fate::Delayed | Fate::Expanded);
    Some(ReportLine {
        is_aside: is_success && recipient.is_of_several(),
        is_by_lmtp: mailer.is_some_and(|mailer| matches!(mailer.transport, Transport::Lmtp(_))),
        address: active.written(index),
        actual: user.cloned(),
        first: first.unwrap_or_else(top).into(),
        expanded_from: match way {
            Some(way) => Some(way.from.clone()),
            None => from.map(|parent| active.written(parent)),
        },
        original: recipient.original.clone(),
        index,
        diagnostics,
        fate,
        trouble,
    })
}
