//! Questions that are open, and what their answers do.

use alloc::{boxed::Box, vec::Vec};

use policy::{Acceptance, Macros, Origin, Refusal, Verdict};

use super::body::{Collecting, Opening};
use super::outbox::Outbox;
use super::transaction::{Candidate, Offer};
use super::{Moment, Session, State};

/// Macros that a session keeps.
const MACROS_MAX: usize = 64;

/// What was asked, and what must be known when the answer comes.
#[derive(Debug)]
pub(super) enum Asked {
    Connect,
    Hello {
        name: Box<[u8]>,
        is_esmtp: bool,
    },
    Sender(Offer),
    Recipient(Candidate),
    Data(Opening),
    EndOfHeader(Box<Collecting>),
    EndOfMessage(Box<Collecting>),
    /// VRFY or EXPN.
    Lookup {
        argument: Box<[u8]>,
    },
}

impl Session {
    pub(super) fn verdict(&mut self, verdict: Verdict, moment: &Moment, out: &mut Outbox) {
        let state = core::mem::replace(&mut self.state, State::Command);
        let State::Asked(asked) = state else {
            self.state = state;
            return self.out_of_step(out);
        };
        let verdict = self.remember(verdict);
        match *asked {
            Asked::Connect => self.connect_judged(&verdict, out),
            Asked::Hello { name, is_esmtp } => match verdict {
                Verdict::Refuse(refusal) => self.turn_down(&refusal, &name, out),
                Verdict::Accept(_) | Verdict::Discard { .. } | Verdict::Quarantine { .. } => {
                    self.welcome(name, is_esmtp, out);
                    self.listen(out);
                }
            },
            Asked::Sender(offer) => self.sender_judged(offer, &verdict, moment, out),
            Asked::Recipient(candidate) => self.recipient_judged(candidate, verdict, out),
            Asked::Data(opening) => self.data_judged(opening, verdict, moment, out),
            Asked::EndOfHeader(collecting) => self.header_judged(collecting, verdict, moment, out),
            Asked::EndOfMessage(collecting) => self.message_judged(collecting, verdict, out),
            Asked::Lookup { argument } => self.looked_up(&argument, verdict, out),
        }
    }

    /// Says no. Whether the session goes on is the refusal's to say.
    pub(super) fn turn_down(&mut self, refusal: &Refusal, argument: &[u8], out: &mut Outbox) {
        self.refused(refusal, argument, out);
        if refusal.closes {
            out.drops_large = true;
            self.close(out);
        } else {
            self.listen(out);
        }
    }

    /// What a verdict says about the whole message, noted in its transaction.
    pub(super) fn mark(&mut self, verdict: &Verdict) {
        let Some(transaction) = &mut self.transaction else { return };
        match verdict {
            Verdict::Discard { by } => transaction.discard = Some(by.clone()),
            Verdict::Quarantine { reason } => transaction.quarantine = Some(reason.clone()),
            Verdict::Accept(_) | Verdict::Refuse(_) => {}
        }
    }

    fn connect_judged(&mut self, verdict: &Verdict, out: &mut Outbox) {
        match verdict {
            Verdict::Refuse(refusal) => {
                self.refused(refusal, b"", out);
                self.close(out);
            }
            Verdict::Accept(_) | Verdict::Discard { .. } | Verdict::Quarantine { .. } => {
                self.greet(out);
            }
        }
    }

    /// Keeps the macros of a verdict for the questions to come. `{client_name}` is the client's name from now on.
    fn remember(&mut self, verdict: Verdict) -> Verdict {
        let Verdict::Accept(Acceptance { route, lines, macros }) = verdict else {
            return verdict;
        };
        for (name, value) in macros {
            if let (b"{client_name}", Origin::Client { name, .. }) =
                (&*name, &mut self.facts.origin)
            {
                name.clone_from(&value);
            }
            keep(&mut self.facts.macros, name, value);
        }
        Verdict::Accept(Acceptance { route, lines, macros: Vec::new() })
    }
}

fn keep(macros: &mut Macros, name: Box<[u8]>, value: Box<[u8]>) {
    if let Some((_, known)) = macros.iter_mut().find(|(known, _)| *known == name) {
        *known = value;
    } else if macros.len() < MACROS_MAX {
        macros.push((name, value));
    }
}
