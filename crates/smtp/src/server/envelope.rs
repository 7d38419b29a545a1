//! MAIL and RCPT that are out of turn or wrong: which complaint comes first, and what of a wrong line is kept for the log.

use alloc::boxed::Box;

use policy::settings::{Modifiers, Privacy, Quirks};
use policy::{Ask, Parameters};
use wire::command::{BodyKind, Fault, Verb};
use wire::path::PathFault;

use super::answer::Asked;
use super::outbox::{Codes, Outbox};
use super::transaction::{Chunks, written};
use super::{Session, text};

/// A sender that MAIL named.
#[derive(Debug)]
pub(super) struct Named {
    /// As it was written.
    pub(super) sender: Box<[u8]>,
    /// What SIZE said.
    pub(super) size_bytes: u64,
    /// BODY.
    pub(super) body: Option<BodyKind>,
}

impl Session {
    /// The sender as it was written; empty before MAIL.
    pub(super) fn sender_shown(&self) -> Box<[u8]> {
        self.named.as_ref().map(|named| named.sender.clone()).unwrap_or_default()
    }

    /// Whether MAIL or RCPT cannot be now, whatever its argument; then the reply was said.
    pub(super) fn is_out_of_turn(&mut self, verb: Verb, out: &mut Outbox) -> bool {
        if verb == Verb::Mail {
            self.counts.deeds = self.counts.deeds.saturating_add(1);
        }
        if self.is_denied(out) {
            return true;
        }
        let refused = if verb == Verb::Mail { self.no_mail_now(out) } else { self.no_rcpt_now() };
        if let Some((codes, words)) = refused {
            self.refuse_command(codes, words, out);
        }
        refused.is_some() || self.is_over()
    }

    fn no_mail_now(&mut self, out: &mut Outbox) -> Option<(Codes, &'static str)> {
        let manners = &self.terms.settings.manners;
        if manners.privacy.has(Privacy::NEED_MAIL_HELLO) && self.facts.hello.is_empty() {
            return Some(((503, (5, 0, 0)), "Polite people say HELO first"));
        }
        if self.transaction.is_some() {
            return Some(((503, (5, 5, 0)), "Sender already specified"));
        }
        if self.modifiers().has(Modifiers::NEED_AUTH) {
            return Some(((530, (5, 7, 0)), "Authentication required"));
        }
        if self.counts.messages >= self.terms.settings.limits.messages_max {
            let host = text(&self.terms.settings.host_name);
            out.say((421, (4, 7, 0)), format_args!("{host} Too many messages; closing connection"));
            self.close(out);
            return None;
        }
        self.warn_no_hello(out);
        None
    }

    fn no_rcpt_now(&self) -> Option<(Codes, &'static str)> {
        match &self.transaction {
            None => Some(((503, (5, 0, 0)), "Need MAIL before RCPT")),
            Some(transaction) if !matches!(transaction.chunks, Chunks::None) => {
                Some(((503, (5, 5, 1)), "RCPT not allowed after BDAT"))
            }
            Some(_) => None,
        }
    }

    /// A MAIL or RCPT that is wrong. Whether it was dealt with; if not, the fault is still to be told.
    pub(super) fn envelope_fault(
        &mut self,
        verb: Verb,
        line: &[u8],
        fault: &Fault<'_>,
        out: &mut Outbox,
    ) -> bool {
        if self.is_out_of_turn(verb, out) {
            return true;
        }
        if verb == Verb::Mail && is_parameter_fault(fault) {
            let size_bytes = if *fault == Fault::SizeTooLarge { u64::MAX >> 1 } else { 0 };
            self.named = Some(Named { sender: written(line).into(), size_bytes, body: None });
            return false;
        }
        let Fault::Path(path, why) = *fault else { return false };
        let judged = matches!(why, PathFault::Local | PathFault::Host(_) | PathFault::Route)
            || (why == PathFault::Missing && verb == Verb::Rcpt && path == b"<>");
        if !judged || !self.has_quirk(Quirks::ADDRESSES_JUDGED) {
            return false;
        }
        // No such address is taken; but the policy may have better words for it than we.
        let shown: Box<[u8]> = path.into();
        let address: Box<[u8]> = wire::path::bare(path).into();
        let asked = Asked::Wrong { shown, why };
        let ask = if verb == Verb::Mail {
            Ask::Sender { address, parameters: Parameters::default() }
        } else {
            Ask::Recipient { address }
        };
        self.ask(ask, asked, out);
        true
    }
}

/// Whether the path of the line is good, and something behind it is not.
fn is_parameter_fault(fault: &Fault<'_>) -> bool {
    matches!(
        fault,
        Fault::ValueMissing(_)
            | Fault::Duplicate(_)
            | Fault::Value(..)
            | Fault::SizeTooLarge
            | Fault::Unknown(_)
            | Fault::TooManyParameters
    )
}
