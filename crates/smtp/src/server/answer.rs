//! Questions that are open, and what their answers do.

use alloc::boxed::Box;

use policy::{Macros, Note, Origin, Refusal, Resolved, Verdict};
use wire::command::Fault;
use wire::path::PathFault;

use super::body::{Collecting, Opening};
use super::end;
use super::event::{self, Event, Marked};
use super::fault;
use super::hello::PLEASED;
use super::lookup::Other;
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
    /// MAIL or RCPT with what is no path.
    Wrong {
        shown: Box<[u8]>,
        why: PathFault,
    },
    Turn {
        argument: Box<[u8]>,
        line: Box<[u8]>,
    },
    Help {
        topic: Box<[u8]>,
    },
    Other {
        line: Box<[u8]>,
        class: u8,
        other: Other,
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
            Asked::Connect => self.connect_judged(verdict, out),
            Asked::Hello { name, is_esmtp } => match verdict {
                Verdict::Refuse(refusal) => self.turn_down(&refusal, &name, out),
                Verdict::Accept(_) | Verdict::Discard { .. } | Verdict::Quarantine { .. } => {
                    self.welcome(name, is_esmtp, PLEASED, out);
                    self.listen(out);
                }
            },
            Asked::Sender(offer) => self.sender_judged(offer, &verdict, moment, out),
            Asked::Recipient(candidate) => self.recipient_judged(candidate, verdict, out),
            Asked::Data(opening) => self.data_judged(opening, verdict, moment, out),
            Asked::EndOfHeader(collecting) => self.header_judged(collecting, verdict, moment, out),
            Asked::EndOfMessage(collecting) => self.message_judged(collecting, verdict, out),
            Asked::Lookup { argument } => self.looked_up(&argument, verdict, out),
            Asked::Wrong { shown, why } => self.wrong_judged(&shown, why, &verdict, out),
            Asked::Turn { argument, line } => {
                self.turn_judged(&argument, &line, &verdict, out);
            }
            Asked::Help { topic } => self.helped(&topic, &verdict, out),
            Asked::Other { line, class, other } => {
                self.other_judged(&line, class, other, &verdict, out);
            }
        }
    }

    /// Says no. Whether the session goes on is the refusal's to say.
    pub(super) fn turn_down(&mut self, refusal: &Refusal, argument: &[u8], out: &mut Outbox) {
        self.refused(refusal, argument, None, out);
        if refusal.closes {
            out.drops_large = true;
            self.close(out);
        } else {
            self.listen(out);
        }
    }

    /// What a verdict says about the whole message, noted in its transaction.
    pub(super) fn mark(&mut self, verdict: &Verdict, argument: &[u8], out: &mut Outbox) {
        let Some(transaction) = &mut self.transaction else { return };
        let (by, subject, quarantine) = match verdict {
            Verdict::Discard { by, subject } => {
                transaction.discard = Some(by.clone());
                (by, subject, None)
            }
            Verdict::Quarantine { reason, by, subject } => {
                transaction.quarantine = Some(reason.clone());
                (by, subject, Some(reason.clone()))
            }
            Verdict::Accept(_) | Verdict::Refuse(_) => return,
        };
        let argument = event::said(subject.as_deref().unwrap_or(argument));
        let marked = Marked { by: by.clone(), argument, quarantine, is_about_session: false };
        self.tell(Event::Marked(Box::new(marked)), out);
    }

    /// Tells the log, and a client who said VERB, what was met on the way to an answer. Within a transaction, a message that
    /// is to be kept back is.
    pub(super) fn tell_notes(&mut self, notes: &[Note], argument: &[u8], out: &mut Outbox) {
        for note in notes {
            match note {
                Note::Step(text) if self.is_verbose => out.say_step(text),
                Note::Step(text) if self.wants_talk() => {
                    let said = [b"050 ".as_slice(), text].concat();
                    self.tell(Event::Said(said.into()), out);
                }
                Note::Step(_) => {}
                Note::Led(text) => self.tell(Event::Led(text.clone()), out),
                Note::Warned(text) => self.warn(text, out),
                Note::Marked { by, quarantine } => {
                    let is_about_session = end::is_about_session(by);
                    if let (Some(transaction), Some(_), false) =
                        (&mut self.transaction, quarantine, is_about_session)
                    {
                        transaction.quarantine.clone_from(quarantine);
                    }
                    let (by, quarantine) = (by.clone(), quarantine.clone());
                    let argument = event::said(argument);
                    let marked = Marked { by, argument, quarantine, is_about_session };
                    self.tell(Event::Marked(Box::new(marked)), out);
                }
            }
        }
    }

    /// An address that is none: the policy's words if it has some, else ours.
    fn wrong_judged(&mut self, shown: &[u8], why: PathFault, verdict: &Verdict, out: &mut Outbox) {
        if let Verdict::Refuse(refusal) = verdict {
            if self.transaction.is_none() && refusal.by.is_empty() {
                return self.no_sender(refusal, shown, out);
            }
            return self.turn_down(refusal, shown, out);
        }
        let start = out.bytes.len();
        let fault = Fault::Path(shown, why);
        fault::say(shown, &fault, &self.terms.settings, out);
        if self.transaction.is_some() {
            self.note_reply(start, out);
        }
        self.listen(out);
        if !self.is_over() {
            self.faulty_command(out);
        }
    }

    /// Keeps the macros of a verdict for the questions to come. `{client_name}` is the client's name from now on.
    fn remember(&mut self, verdict: Verdict) -> Verdict {
        let mut verdict = verdict;
        let macros = match &mut verdict {
            Verdict::Accept(acceptance) => core::mem::take(&mut acceptance.macros),
            Verdict::Refuse(refusal) => core::mem::take(&mut refusal.macros),
            Verdict::Discard { .. } | Verdict::Quarantine { .. } => return verdict,
        };
        for (name, value) in macros {
            if let Origin::Client { name: client, resolved, .. } = &mut self.facts.origin {
                match &*name {
                    b"{client_name}" => client.clone_from(&value),
                    b"{client_resolve}" => *resolved = resolution(&value),
                    _ => {}
                }
            }
            keep(&mut self.facts.macros, name, value);
        }
        verdict
    }
}

/// sendmail's words for the outcome of a reverse look-up.
fn resolution(word: &[u8]) -> Resolved {
    match word {
        b"OK" => Resolved::Ok,
        b"TEMP" => Resolved::Temporary,
        b"FORGED" => Resolved::Forged,
        _ => Resolved::Fail,
    }
}

fn keep(macros: &mut Macros, name: Box<[u8]>, value: Box<[u8]>) {
    if let Some((_, known)) = macros.iter_mut().find(|(known, _)| *known == name) {
        *known = value;
    } else if macros.len() < MACROS_MAX {
        macros.push((name, value));
    }
}
