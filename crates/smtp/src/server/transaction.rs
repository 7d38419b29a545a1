//! MAIL, RCPT, and the lookups: VRFY, EXPN, ETRN.

use alloc::{boxed::Box, vec::Vec};

use policy::{Ask, Parameters, Refusal, Verdict};
use wire::QueueId;
use wire::command::{BodyKind, Mail, Rcpt};
use wire::date::Date;
use wire::dsn::{Notify, Ret};

use super::answer::Asked;
use super::body::Collecting;
use super::event::{self, Event};
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
    pub(super) body_kind: Option<BodyKind>,
    pub(super) is_utf8: bool,
    pub(super) ret: Option<Ret>,
    pub(super) envelope_id: Option<Box<[u8]>>,
    pub(super) discard: Option<Box<[u8]>>,
    pub(super) quarantine: Option<Box<[u8]>>,
    pub(super) chunks: Chunks,
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
    /// The path as it was written, for the reply.
    shown: Box<[u8]>,
    sender: Box<[u8]>,
    body_kind: Option<BodyKind>,
    is_utf8: bool,
    ret: Option<Ret>,
    envelope_id: Option<Box<[u8]>>,
}

/// What RCPT offered, while the policy thinks.
#[derive(Debug)]
pub(super) struct Candidate {
    address: Box<[u8]>,
    notify: Option<Notify>,
    original: Option<Box<[u8]>>,
}

impl Session {
    pub(super) fn mail(&mut self, mail: &Mail<'_>, line: &[u8], out: &mut Outbox) {
        self.counts.deeds = self.counts.deeds.saturating_add(1);
        let settings = &self.terms.settings;
        if self.transaction.is_some() {
            return self.refuse_command((503, (5, 5, 0)), "Sender already specified", out);
        }
        if self.counts.messages >= settings.limits.messages_max {
            let host = wire::escape::text(&settings.host_name);
            out.say((421, (4, 7, 0)), format_args!("{host} Too many messages; closing connection"));
            return self.close(out);
        }
        if mail.size_bytes.is_some_and(|size| size > settings.limits.message_bytes_max) {
            return fault::too_large(settings, out);
        }
        if !settings.offers_dsn && (mail.ret.is_some() || mail.envelope_id.is_some()) {
            return self.no_dsn(if mail.ret.is_some() { "RET" } else { "ENVID" }, out);
        }
        if mail.by.is_some() {
            return self.refuse_command((555, (5, 5, 4)), "BY parameter unrecognized", out);
        }
        let offer = Offer {
            shown: written(line),
            sender: mail.path.address.into(),
            body_kind: mail.body,
            is_utf8: mail.is_utf8,
            ret: mail.ret,
            envelope_id: mail.envelope_id.map(Into::into),
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
        if let Verdict::Refuse(refusal) = verdict {
            return self.turn_down(refusal, &offer.shown, out);
        }
        out.say((250, (2, 1, 0)), format_args!("{}... Sender ok", fault::shown(&offer.shown)));
        self.transaction = Some(Box::new(Transaction {
            id: moment.fresh_id,
            began: moment.now,
            sender: offer.sender,
            recipients: Vec::new(),
            body_kind: offer.body_kind,
            is_utf8: offer.is_utf8,
            ret: offer.ret,
            envelope_id: offer.envelope_id,
            discard: None,
            quarantine: None,
            chunks: Chunks::None,
        }));
        self.mark(verdict);
        self.listen(out);
    }

    pub(super) fn rcpt(&mut self, rcpt: &Rcpt<'_>, out: &mut Outbox) {
        let settings = &self.terms.settings;
        let Some(transaction) = &self.transaction else {
            return self.refuse_command((503, (5, 0, 0)), "Need MAIL before RCPT", out);
        };
        if !matches!(transaction.chunks, Chunks::None) {
            return self.refuse_command((503, (5, 5, 1)), "RCPT not allowed after BDAT", out);
        }
        let most = usize::try_from(settings.limits.recipients_max).unwrap_or(usize::MAX);
        if transaction.recipients.len() >= most {
            let text = b"Too many recipients"[..].into();
            out.events.push(Event::Noted { id: Some(transaction.id), text });
            return out.say((452, (4, 5, 3)), format_args!("Too many recipients"));
        }
        if rcpt.path.is_utf8() && !transaction.is_utf8 {
            fault::utf8_needed(rcpt.path.address, out);
            return self.bad_command(out);
        }
        if !settings.offers_dsn && (rcpt.notify.is_some() || rcpt.original.is_some()) {
            return self.no_dsn(if rcpt.notify.is_some() { "NOTIFY" } else { "ORCPT" }, out);
        }
        let candidate = Candidate {
            address: rcpt.path.address.into(),
            notify: rcpt.notify,
            original: rcpt.original.map(Into::into),
        };
        let address = rcpt.path.address.into();
        self.ask(Ask::Recipient { address }, Asked::Recipient(candidate), out);
    }

    pub(super) fn recipient_judged(
        &mut self,
        candidate: Candidate,
        mut verdict: Verdict,
        out: &mut Outbox,
    ) {
        let address = fault::shown(&candidate.address);
        let route = match &mut verdict {
            Verdict::Refuse(refusal) => {
                let refusal = refusal.clone();
                return self.recipient_refused(&refusal, &candidate.address, out);
            }
            Verdict::Accept(acceptance) => acceptance.route.take(),
            Verdict::Discard { .. } | Verdict::Quarantine { .. } => None,
        };
        self.mark(&verdict);
        match (route, &mut self.transaction) {
            (Some(route), Some(transaction)) => {
                out.say((250, (2, 1, 5)), format_args!("<{address}>... Recipient ok"));
                transaction.recipients.push(Recipient {
                    address: candidate.address,
                    route,
                    notify: candidate.notify,
                    original: candidate.original,
                });
            }
            // The whole message is thrown away: its recipients need no route.
            (None, Some(transaction)) if transaction.discard.is_some() => {
                out.say((250, (2, 1, 5)), format_args!("<{address}>... Recipient ok"));
                transaction.discarded_recipient(candidate);
            }
            // Trouble of our own: the policy accepted and did not say where to.
            _ => out.say((451, (4, 3, 0)), format_args!("<{address}>... Try again later")),
        }
        self.listen(out);
    }

    fn recipient_refused(&mut self, refusal: &Refusal, address: &[u8], out: &mut Outbox) {
        self.counts.bad_recipients = self.counts.bad_recipients.saturating_add(1);
        let most = self.terms.settings.limits.bad_recipients_max;
        let mut argument = b"<".to_vec();
        argument.extend_from_slice(address);
        argument.push(b'>');
        self.turn_down(refusal, &argument, out);
        if self.counts.bad_recipients > most && !self.is_over() {
            out.events.push(Event::RecipientFlood);
            let host = wire::escape::text(&self.terms.settings.host_name);
            out.say((421, (4, 7, 0)), format_args!("{host} Too many bad recipients"));
            self.close(out);
        }
    }

    fn no_dsn(&mut self, parameter: &str, out: &mut Outbox) {
        let words = format_args!("Sorry, {parameter} not supported, we do not allow DSN");
        out.say((501, (5, 7, 0)), words);
        self.bad_command(out);
    }

    pub(super) fn vrfy(&mut self, argument: &[u8], out: &mut Outbox) {
        self.look("VRFY", out);
        let is_rejected = !self.terms.settings.answers_vrfy;
        let said = event::said(argument);
        out.events.push(Event::Looked { verb: "VRFY", argument: said, is_rejected });
        if is_rejected {
            // One answer for all: whoever looks for names learns nothing.
            let words = "Cannot VRFY user; try RCPT to attempt delivery (or try finger)";
            return out.say((252, (2, 5, 2)), format_args!("{words}"));
        }
        let argument: Box<[u8]> = argument.into();
        self.ask(Ask::Verify { argument: argument.clone() }, Asked::Lookup { argument }, out);
    }

    pub(super) fn expn(&mut self, argument: &[u8], out: &mut Outbox) {
        self.look("EXPN", out);
        let is_rejected = !self.terms.settings.answers_expn;
        let said = event::said(argument);
        out.events.push(Event::Looked { verb: "EXPN", argument: said, is_rejected });
        if is_rejected {
            let words = "Sorry, we do not allow this operation";
            return out.say((502, (5, 7, 0)), format_args!("{words}"));
        }
        let argument: Box<[u8]> = argument.into();
        self.ask(Ask::Expand { argument: argument.clone() }, Asked::Lookup { argument }, out);
    }

    /// ETRN starts work that goes on when the client is gone (CVE-1999-1109): no.
    pub(super) fn etrn(&mut self, argument: &[u8], out: &mut Outbox) {
        self.look("ETRN", out);
        let argument = event::said(argument);
        out.events.push(Event::Looked { verb: "ETRN", argument, is_rejected: true });
        out.say((502, (5, 7, 0)), format_args!("Sorry, we do not allow this operation"));
    }

    /// The answer to VRFY or EXPN.
    pub(super) fn looked_up(&mut self, argument: &[u8], verdict: Verdict, out: &mut Outbox) {
        match verdict {
            Verdict::Refuse(refusal) => return self.turn_down(&refusal, argument, out),
            Verdict::Accept(acceptance) if !acceptance.lines.is_empty() => {
                out.say_lines((250, (2, 1, 5)), &acceptance.lines);
            }
            Verdict::Accept(_) | Verdict::Discard { .. } | Verdict::Quarantine { .. } => {
                out.say((252, (2, 1, 5)), format_args!("<{}>", fault::shown(argument)));
            }
        }
        self.listen(out);
    }
}

impl Chunks {
    /// Whether what came so far is in a file.
    pub(super) fn are_large(&self) -> bool {
        matches!(self, Self::Some(collecting) if collecting.is_large)
    }
}

impl Transaction {
    /// Keeps a recipient of a message that is thrown away: it counts, and goes nowhere.
    fn discarded_recipient(&mut self, candidate: Candidate) {
        let route = policy::Route {
            mailer: policy::MailerId(u8::MAX),
            host: Box::default(),
            user: candidate.address.clone(),
            expands: false,
        };
        self.recipients.push(Recipient {
            address: candidate.address,
            route,
            notify: candidate.notify,
            original: candidate.original,
        });
    }
}

/// The path of a MAIL line that was read, as it was written: with its brackets and its route.
fn written(line: &[u8]) -> Box<[u8]> {
    let colon = line.iter().position(|&octet| octet == b':').map_or(0, |at| at.saturating_add(1));
    let behind = line.get(colon..).unwrap_or_default();
    let rest = wire::Path::parse(behind).map_or(&[][..], |(_, rest)| rest);
    let end = behind.len().saturating_sub(rest.len());
    behind.get(..end).unwrap_or_default().trim_ascii().into()
}
