//! MAIL and RCPT that were understood: what is asked about them, and what the answers make of them.

use alloc::{boxed::Box, collections::BTreeSet, vec::Vec};

use policy::settings::{Offers, Quirks};
use policy::{Ask, Controller, Member, Parameters, Refusal, Route, Verdict};
use wire::QueueId;
use wire::command::{BodyKind, DeliverBy, Mail, Rcpt, Verb};
use wire::date::Date;
use wire::dsn::{Notify, Ret};

use super::answer::Asked;
use super::body::Collecting;
use super::end::LEAVES_LEVEL;
use super::envelope::Named;
use super::event::Event;
use super::fault;
use super::outbox::{Outbox, Recipient};
use super::{Moment, Session};

/// A message whose sender was accepted.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) id: QueueId,
    pub(super) began: Date,
    pub(super) sender: Box<[u8]>,
    pub(super) recipients: Vec<Recipient>,
    /// The user of this machine whose address the sender is.
    pub(super) controller: Option<Controller>,
    /// How often RCPT was asked about.
    pub(super) asked: u32,
    /// Recipients as the log counts them.
    pub(super) counted: usize,
    /// Where the recipients lead, as far as they were followed.
    pub(super) visited: BTreeSet<Route>,
    /// Where the recipients lead, as far as that is known; kept only if the log wants to know.
    pub(super) leaves: Vec<Box<[u8]>>,
    pub(super) body_kind: Option<BodyKind>,
    pub(super) is_utf8: bool,
    pub(super) ret: Option<Ret>,
    pub(super) envelope_id: Option<Box<[u8]>>,
    pub(super) by: Option<DeliverBy>,
    pub(super) discard: Option<Box<[u8]>>,
    pub(super) quarantine: Option<Box<[u8]>>,
    pub(super) chunks: Chunks,
    /// Warnings about the sender, for the header.
    pub(super) warnings: Vec<Box<[u8]>>,
}

/// How far BDAT has come.
#[derive(Debug)]
pub(super) enum Chunks {
    /// No BDAT yet.
    None,
    /// What the chunks so far came to.
    Some(Box<Collecting>),
    /// One was refused: all further ones are.
    Failed,
}

/// What MAIL offered, while the policy thinks.
#[derive(Debug)]
pub(super) struct Offer {
    sender: Box<[u8]>,
    body_kind: Option<BodyKind>,
    is_utf8: bool,
    ret: Option<Ret>,
    envelope_id: Option<Box<[u8]>>,
    by: Option<DeliverBy>,
}

/// What RCPT offered, while the policy thinks.
#[derive(Debug)]
pub(super) struct Candidate {
    address: Box<[u8]>,
    /// The path as it was written.
    shown: Box<[u8]>,
    notify: Option<Notify>,
    original: Option<Box<[u8]>>,
}

/// The status of a sender that is no mailbox: a program, a file.
const NOT_A_SENDER: (u8, u16, u16) = (5, 1, 7);

/// Where an accepted recipient leads.
#[derive(Debug, Default)]
struct Way {
    counted: u32,
    members: Vec<Member>,
}

/// Places that the recipients of one message lead to and that are remembered; what leads to more is followed later.
const VISITED_MAX: usize = 10_000;

impl Session {
    pub(super) fn mail(&mut self, mail: &Mail<'_>, line: &[u8], out: &mut Outbox) {
        if self.is_out_of_turn(Verb::Mail, out) {
            return;
        }
        self.named = Some(Named {
            sender: written(line).into(),
            size_bytes: mail.size_bytes.unwrap_or(0),
            body: mail.body,
        });
        let settings = &self.terms.settings;
        if mail.size_bytes.is_some_and(|size| size > settings.limits.message_bytes_max) {
            return fault::too_large(settings, out);
        }
        if !settings.offers_dsn && (mail.ret.is_some() || mail.envelope_id.is_some()) {
            return self.no_dsn(if mail.ret.is_some() { "RET" } else { "ENVID" }, out);
        }
        if mail.by.is_some() && !settings.manners.offers.has(Offers::DELIVERBY) {
            return self.refuse_command((555, (5, 5, 4)), "BY parameter unrecognized", out);
        }
        if mail.is_utf8 && !settings.manners.offers.has(Offers::SMTPUTF8) {
            return self.refuse_command((555, (5, 5, 4)), "SMTPUTF8 parameter unrecognized", out);
        }
        let offer = Offer {
            sender: mail.path.address.into(),
            body_kind: mail.body,
            is_utf8: mail.is_utf8,
            ret: mail.ret,
            envelope_id: mail.envelope_id.map(Into::into),
            by: mail.by,
        };
        let parameters = Parameters {
            size_bytes: mail.size_bytes,
            is_eight_bit: mail.body == Some(BodyKind::EightBit),
            is_utf8: mail.is_utf8,
        };
        let address = mail.path.address.into();
        self.ask(Ask::Sender { address, parameters }, Asked::Sender(offer), out);
    }

    pub(super) fn sender_judged(
        &mut self,
        offer: Offer,
        verdict: &Verdict,
        moment: &Moment,
        out: &mut Outbox,
    ) {
        let shown = self.sender_shown();
        if let Verdict::Refuse(refusal) = verdict {
            if refusal.by.is_empty() {
                return self.no_sender(refusal, &shown, out);
            }
            return self.turn_down(refusal, &shown, out);
        }
        out.say((250, (2, 1, 0)), format_args!("{}... Sender ok", fault::shown(&shown)));
        let controller = match verdict {
            Verdict::Accept(acceptance) => acceptance.controller.clone(),
            Verdict::Refuse(_) | Verdict::Discard { .. } | Verdict::Quarantine { .. } => None,
        };
        self.transaction = Some(Box::new(Transaction {
            id: self.id.unwrap_or(moment.fresh_id),
            began: moment.now,
            sender: offer.sender,
            controller,
            asked: 0,
            recipients: Vec::new(),
            counted: 0,
            visited: BTreeSet::new(),
            leaves: Vec::new(),
            body_kind: offer.body_kind,
            is_utf8: offer.is_utf8,
            ret: offer.ret,
            envelope_id: offer.envelope_id,
            by: offer.by,
            discard: None,
            quarantine: None,
            chunks: Chunks::None,
            warnings: Vec::new(),
        }));
        self.mark(verdict, &shown, out);
        if let Verdict::Accept(acceptance) = verdict {
            self.tell_notes(&acceptance.notes, &shown, out);
        }
        self.listen(out);
    }

    /// Says that a sender is no address; the log names none then.
    pub(super) fn no_sender(&mut self, refusal: &Refusal, shown: &[u8], out: &mut Outbox) {
        self.named = None;
        if refusal.status == NOT_A_SENDER {
            self.tell(Event::Unparsable(super::event::said(shown)), out);
        }
        out.say(
            (refusal.code, refusal.status),
            format_args!("{}", wire::escape::text(&refusal.text)),
        );
        if refusal.closes { self.close(out) } else { self.listen(out) }
    }

    pub(super) fn rcpt(&mut self, rcpt: &Rcpt<'_>, line: &[u8], out: &mut Outbox) {
        if self.is_out_of_turn(Verb::Rcpt, out) {
            return;
        }
        let settings = &self.terms.settings;
        let Some(transaction) = &self.transaction else { return };
        let most = usize::try_from(settings.limits.recipients_max).unwrap_or(usize::MAX);
        if transaction.recipients.len() >= most {
            let start = out.bytes.len();
            out.say((452, (4, 5, 3)), format_args!("Too many recipients"));
            return self.note_reply(start, out);
        }
        if rcpt.path.is_utf8() && !transaction.is_utf8 {
            fault::utf8_needed(rcpt.path.address, out);
            return self.faulty_command(out);
        }
        if !settings.offers_dsn && (rcpt.notify.is_some() || rcpt.original.is_some()) {
            let start = out.bytes.len();
            self.no_dsn(if rcpt.notify.is_some() { "NOTIFY" } else { "ORCPT" }, out);
            return self.note_reply(start, out);
        }
        self.throttle(out);
        if let Some(transaction) = &mut self.transaction {
            transaction.asked = transaction.asked.saturating_add(1);
        }
        let candidate = Candidate {
            address: rcpt.path.address.into(),
            shown: written(line).into(),
            notify: rcpt.notify,
            original: rcpt.original.map(Into::into),
        };
        // Where the policy's words are wanted, it sees the route, too.
        let routed = candidate.shown.strip_prefix(b"<").and_then(|path| path.strip_suffix(b">"));
        let routed = routed
            .filter(|path| path.starts_with(b"@") && self.has_quirk(Quirks::ADDRESSES_JUDGED));
        let address = routed.unwrap_or(rcpt.path.address).into();
        self.ask(Ask::Recipient { address }, Asked::Recipient(candidate), out);
    }

    /// After some refused recipients each further one costs a second.
    fn throttle(&mut self, out: &mut Outbox) {
        let free = self.terms.settings.manners.bad_recipients_free;
        if free == 0 || self.counts.bad_here < free {
            return;
        }
        if self.counts.bad_here == free {
            self.tell(Event::RecipientFlood { closes: false }, out);
            // Told once a message.
            self.counts.bad_here = self.counts.bad_here.saturating_add(1);
        }
        self.counts.pause_s = 1;
    }

    pub(super) fn recipient_judged(
        &mut self,
        candidate: Candidate,
        mut verdict: Verdict,
        out: &mut Outbox,
    ) {
        let mut words = None;
        let mut way = Way::default();
        let route = match &mut verdict {
            Verdict::Refuse(refusal) => {
                let refusal = refusal.clone();
                return self.recipient_refused(&refusal, &candidate, out);
            }
            Verdict::Accept(acceptance) => {
                words = acceptance.lines.pop();
                way.counted = acceptance.counted.max(1);
                way.members = core::mem::take(&mut acceptance.members);
                acceptance.route.take()
            }
            Verdict::Discard { .. } | Verdict::Quarantine { .. } => None,
        };
        self.mark(&verdict, &candidate.shown, out);
        let notes = match &mut verdict {
            Verdict::Accept(acceptance) => core::mem::take(&mut acceptance.notes),
            Verdict::Refuse(_) | Verdict::Discard { .. } | Verdict::Quarantine { .. } => Vec::new(),
        };
        self.tell_notes(&notes, &candidate.shown, out);
        let leaves = self.leaves(&way.members, &candidate.shown);
        let merges = self.has_quirk(Quirks::MERGED_RECIPIENTS);
        let shown = fault::shown(&candidate.shown);
        let words = words.as_deref().unwrap_or(b"Recipient ok");
        let words = wire::escape::text(words);
        match (route, &mut self.transaction) {
            (Some(route), Some(transaction)) => {
                if let Some(earlier) =
                    transaction.recipients.iter().find(|one| merges && one.route == route)
                {
                    let shown = fault::shown(&earlier.shown);
                    out.say((250, (2, 1, 5)), format_args!("{shown}... {words}"));
                } else {
                    out.say((250, (2, 1, 5)), format_args!("{shown}... {words}"));
                    let members = transaction.enter(way, &route);
                    transaction.leaves.extend(leaves);
                    transaction.recipients.push(candidate.into_recipient(route, members));
                }
            }
            // The whole message is thrown away: its recipients need no route.
            (None, Some(transaction)) if transaction.discard.is_some() => {
                out.say((250, (2, 1, 5)), format_args!("{shown}... {words}"));
                transaction.discarded_recipient(candidate);
            }
            // Trouble of our own: the policy accepted and did not say where to.
            _ => out.say((451, (4, 3, 0)), format_args!("{shown}... Try again later")),
        }
        self.listen(out);
    }

    /// Where a recipient leads, as far as the log wants to know.
    fn leaves(&self, members: &[Member], shown: &[u8]) -> Vec<Box<[u8]>> {
        if self.terms.settings.logging.level < LEAVES_LEVEL {
            return Vec::new();
        }
        let leaves: Vec<_> = members.iter().map(|member| member.address.clone()).collect();
        if leaves.is_empty() { [shown.into()].into() } else { leaves }
    }

    fn recipient_refused(&mut self, refusal: &Refusal, candidate: &Candidate, out: &mut Outbox) {
        self.counts.bad_recipients = self.counts.bad_recipients.saturating_add(1);
        self.counts.bad_here = self.counts.bad_here.saturating_add(1);
        let limits = &self.terms.settings.limits;
        let has_good = self.transaction.as_ref().is_some_and(|open| !open.recipients.is_empty());
        let most = if has_good {
            limits.bad_recipients_max
        } else {
            limits.bad_recipients_max.min(limits.bad_recipients_alone_max)
        };
        self.tell_notes(&refusal.notes, &candidate.shown, out);
        self.turn_down(refusal, &candidate.shown, out);
        if self.counts.bad_recipients > most && !self.is_over() {
            self.tell(Event::RecipientFlood { closes: true }, out);
            let host = wire::escape::text(&self.terms.settings.host_name);
            out.say((421, (4, 7, 0)), format_args!("{host} Too many bad recipients"));
            self.close(out);
        }
    }

    fn no_dsn(&mut self, parameter: &str, out: &mut Outbox) {
        let words = format_args!("Sorry, {parameter} not supported, we do not allow DSN");
        out.say((504, (5, 7, 0)), words);
        self.faulty_command(out);
    }
}

impl Chunks {
    /// Whether what came so far is in a file.
    pub(super) fn are_large(&self) -> bool {
        matches!(self, Self::Some(collecting) if collecting.is_large)
    }
}

impl Candidate {
    fn into_recipient(self, route: Route, members: Option<Vec<Member>>) -> Recipient {
        let Self { address, shown, notify, original } = self;
        Recipient { address, shown, route, members, notify, original }
    }
}

impl Transaction {
    /// Counts a recipient that was accepted, or those that it leads to; gives those that are new.
    fn enter(&mut self, way: Way, route: &Route) -> Option<Vec<Member>> {
        let room = VISITED_MAX.saturating_sub(self.visited.len());
        if way.members.is_empty() || way.members.len() > room {
            self.visited.insert(route.clone());
            let counted = usize::try_from(way.counted).unwrap_or(usize::MAX);
            self.counted = self.counted.saturating_add(counted);
            return None;
        }
        let members = way.members.into_iter();
        let new: Vec<Member> =
            members.filter(|member| self.visited.insert(member.route.clone())).collect();
        self.counted = self.counted.saturating_add(new.len());
        Some(new)
    }

    /// Keeps a recipient of a message that is thrown away: it counts, and goes nowhere.
    fn discarded_recipient(&mut self, candidate: Candidate) {
        let route = Route {
            mailer: policy::MailerId(u8::MAX),
            host: Box::default(),
            user: candidate.address.clone(),
            expands: false,
        };
        self.counted = self.counted.saturating_add(1);
        self.recipients.push(candidate.into_recipient(route, None));
    }
}

/// The path of a MAIL or RCPT line that was read, as it was written: with its brackets and its route.
pub(super) fn written(line: &[u8]) -> &[u8] {
    let colon = line.iter().position(|&octet| octet == b':').map_or(0, |at| at.saturating_add(1));
    let behind = line.get(colon..).unwrap_or_default();
    let rest = wire::Path::parse(behind).map_or(&[][..], |(_, rest)| rest);
    let end = behind.len().saturating_sub(rest.len());
    behind.get(..end).unwrap_or_default().trim_ascii()
}
