//! VRFY, EXPN, ETRN, and the commands that do nothing: NOOP, HELP, VERB.
//!
//! Whether names may be asked for is the owner's to say; every probe is told to the log, and too many cost time.

use alloc::boxed::Box;

use policy::settings::{Modifiers, Privacy, Questions};
use policy::{Ask, Origin, Verdict};
use wire::command::Verb;

use super::answer::Asked;
use super::event::{self, Event};
use super::outbox::Outbox;
use super::{Session, fault, help};

/// What those read who may not have what they ask for.
const NOT_ALLOWED: &str = "Sorry, we do not allow this operation";

impl Session {
    pub(super) fn vrfy(&mut self, argument: &[u8], line: &[u8], out: &mut Outbox) {
        self.count_look("VRFY", out);
        if self.is_refused_look(Verb::Vrfy, line, out) {
            return;
        }
        self.looked(line, false, out);
        let argument: Box<[u8]> = argument.into();
        self.ask(Ask::Verify { argument: argument.clone() }, Asked::Lookup { argument }, out);
    }

    pub(super) fn expn(&mut self, argument: &[u8], line: &[u8], out: &mut Outbox) {
        self.count_look("EXPN", out);
        if self.is_refused_look(Verb::Expn, line, out) {
            return;
        }
        self.looked(line, false, out);
        let argument: Box<[u8]> = argument.into();
        self.ask(Ask::Expand { argument: argument.clone() }, Asked::Lookup { argument }, out);
    }

    /// ETRN starts work that goes on when the client is gone (CVE-1999-1109): only where the owner says so.
    pub(super) fn etrn(&mut self, argument: &[u8], line: &[u8], out: &mut Outbox) {
        self.count_turn(out);
        if self.is_denied(out) {
            return;
        }
        let is_rejected = self.terms.settings.manners.privacy.has(Privacy::NO_ETRN)
            || self.modifiers().has(Modifiers::NO_ETRN);
        if is_rejected {
            self.looked(line, true, out);
            return out.say((502, (5, 7, 0)), format_args!("{NOT_ALLOWED}"));
        }
        if self.terms.settings.manners.questions.has(Questions::TURN) {
            let argument: Box<[u8]> = argument.into();
            let asked = Asked::Turn { argument: argument.clone(), line: line.into() };
            self.ask(Ask::Turn { argument }, asked, out);
        } else {
            self.turn(argument, line, out);
        }
    }

    pub(super) fn turn_judged(
        &mut self,
        argument: &[u8],
        line: &[u8],
        verdict: &Verdict,
        out: &mut Outbox,
    ) {
        if let Verdict::Refuse(refusal) = verdict {
            return self.turn_down(refusal, argument, out);
        }
        self.turn(argument, line, out);
        self.listen(out);
    }

    fn turn(&self, argument: &[u8], line: &[u8], out: &mut Outbox) {
        self.looked(line, false, out);
        let shown = fault::shown(argument);
        // A queue group; there is one queue here.
        if let [b'#', name @ ..] = argument {
            let name = fault::shown(name);
            return out.say((459, (4, 5, 4)), format_args!("Queue {name} unknown"));
        }
        out.turn = Some(argument.into());
        out.say((250, (2, 0, 0)), format_args!("Queuing for node {shown} started"));
    }

    /// A VRFY, EXPN or ETRN that is wrong. Whether it was dealt with.
    pub(super) fn lookup_fault(&mut self, verb: Verb, line: &[u8], out: &mut Outbox) -> bool {
        if verb == Verb::Etrn {
            self.count_turn(out);
            return self.is_denied(out);
        }
        let name = if verb == Verb::Vrfy { "VRFY" } else { "EXPN" };
        self.count_look(name, out);
        if self.is_denied(out) {
            return true;
        }
        let (need, is_answered) = self.look_terms(verb);
        if is_answered && self.is_stranger(need, out) {
            return true;
        }
        self.looked(line, !is_answered, out);
        false
    }

    /// What VRFY or EXPN needs first, and whether it is answered at all.
    fn look_terms(&self, verb: Verb) -> (Privacy, bool) {
        let settings = &self.terms.settings;
        if verb == Verb::Vrfy {
            (Privacy::NEED_VRFY_HELLO, settings.answers_vrfy)
        } else {
            (Privacy::NEED_EXPN_HELLO, settings.answers_expn)
        }
    }

    /// Whether VRFY or EXPN is refused, whatever the argument: to all, or to those who did not say hello.
    fn is_refused_look(&mut self, verb: Verb, line: &[u8], out: &mut Outbox) -> bool {
        if self.is_denied(out) {
            return true;
        }
        let (need, is_answered) = self.look_terms(verb);
        if is_answered {
            return self.is_stranger(need, out);
        }
        self.looked(line, true, out);
        if verb == Verb::Vrfy {
            // One answer for all: whoever looks for names learns nothing.
            let words = "Cannot VRFY user; try RCPT to attempt delivery (or try finger)";
            out.say((252, (2, 5, 2)), format_args!("{words}"));
        } else {
            out.say((502, (5, 7, 0)), format_args!("{NOT_ALLOWED}"));
        }
        true
    }

    /// The answer to VRFY or EXPN.
    pub(super) fn looked_up(&mut self, argument: &[u8], verdict: Verdict, out: &mut Outbox) {
        match &verdict {
            Verdict::Accept(acceptance) => self.tell_notes(&acceptance.notes, argument, out),
            Verdict::Refuse(refusal) => self.tell_notes(&refusal.notes, argument, out),
            Verdict::Discard { .. } | Verdict::Quarantine { .. } => {}
        }
        match verdict {
            Verdict::Refuse(refusal) if refusal.by.is_empty() => {
                // Nobody of that name: what is asked for is in the log already.
                let (class, subject, detail) = refusal.status;
                let words = wire::escape::text(&refusal.text);
                out.say((refusal.code, (class, subject, detail)), format_args!("{words}"));
            }
            Verdict::Refuse(refusal) => return self.turn_down(&refusal, argument, out),
            Verdict::Accept(acceptance) if !acceptance.lines.is_empty() => {
                self.counts.found = self.counts.found.saturating_add(acceptance.lines.len());
                let code = if acceptance.is_unverified { 252 } else { 250 };
                out.say_lines((code, (2, 1, 5)), &acceptance.lines);
            }
            Verdict::Accept(_) | Verdict::Discard { .. } | Verdict::Quarantine { .. } => {
                out.say((252, (2, 1, 5)), format_args!("<{}>", fault::shown(argument)));
            }
        }
        self.listen(out);
    }

    /// NOOP.
    pub(super) fn other(&mut self, command: &'static str, line: &[u8], out: &mut Outbox) {
        self.count_idle(command, out);
        self.ask_other(line, 2, Other::Noop, out);
    }

    pub(super) fn help(&mut self, topic: &[u8], line: &[u8], out: &mut Outbox) {
        self.count_idle("HELP", out);
        if !self.terms.settings.manners.questions.has(Questions::HELP) {
            return help::say(topic, out);
        }
        self.ask_other(line, 2, Other::Help(topic.into()), out);
    }

    /// VERB makes replies of work that goes on: for users of this machine only.
    pub(super) fn verbose(&mut self, line: &[u8], out: &mut Outbox) {
        self.count_idle("VERB", out);
        let is_local = matches!(self.facts.origin, Origin::User { .. });
        if !is_local || self.terms.settings.manners.privacy.has(Privacy::NO_VERB) {
            return out.say((502, (5, 7, 0)), format_args!("Verbose unavailable"));
        }
        self.ask_other(line, 2, Other::Verb, out);
    }

    /// Asks about a command that no other question is for; without such a question it is answered at once.
    pub(super) fn ask_other(&mut self, line: &[u8], class: u8, other: Other, out: &mut Outbox) {
        if self.terms.settings.manners.questions.has(Questions::OTHER) {
            let ask = Ask::Other { line: line.into(), class };
            self.ask(ask, Asked::Other { line: line.into(), class, other }, out);
        } else {
            self.answer_other(line, other, out);
        }
    }

    pub(super) fn other_judged(
        &mut self,
        line: &[u8],
        class: u8,
        other: Other,
        verdict: &Verdict,
        out: &mut Outbox,
    ) {
        if let Verdict::Refuse(refusal) = verdict {
            let digit = [b'0'.saturating_add(class)];
            self.refused(refusal, line, Some(&digit), out);
            if refusal.closes {
                return self.close(out);
            }
            if class == 5 {
                self.bad_command(out);
            }
            if !self.is_over() {
                self.listen(out);
            }
            return;
        }
        self.listen(out);
        if !self.is_over() {
            self.answer_other(line, other, out);
        }
    }

    fn answer_other(&mut self, line: &[u8], other: Other, out: &mut Outbox) {
        match other {
            Other::Noop => out.say((250, (2, 0, 0)), format_args!("OK")),
            Other::Verb => {
                self.is_verbose = true;
                out.say((250, (2, 0, 0)), format_args!("Verbose mode"));
            }
            Other::Help(topic) => {
                self.ask(Ask::Help { topic: topic.clone() }, Asked::Help { topic }, out);
            }
            Other::Unknown => self.say_unknown(line, out),
        }
    }

    pub(super) fn helped(&mut self, topic: &[u8], verdict: &Verdict, out: &mut Outbox) {
        match verdict {
            Verdict::Refuse(refusal) => return self.turn_down(refusal, topic, out),
            Verdict::Accept(acceptance) if !acceptance.lines.is_empty() => {
                help::say_lines(&acceptance.lines, out);
            }
            Verdict::Accept(_) | Verdict::Discard { .. } | Verdict::Quarantine { .. } => {
                help::say_unknown(topic, out);
            }
        }
        self.listen(out);
    }

    /// Whether somebody who has not said hello asks for names where that is demanded.
    fn is_stranger(&mut self, need: Privacy, out: &mut Outbox) -> bool {
        let is_needed = need != Privacy::NONE && self.terms.settings.manners.privacy.has(need);
        if !is_needed || !self.facts.hello.is_empty() {
            return false;
        }
        out.say((503, (5, 0, 0)), format_args!("I demand that you introduce yourself first"));
        true
    }

    fn looked(&self, line: &[u8], is_rejected: bool, out: &mut Outbox) {
        self.tell(Event::Looked { line: event::said(line), is_rejected }, out);
    }
}

/// A command that `check_other` may refuse.
#[derive(Debug)]
pub(super) enum Other {
    Noop,
    Verb,
    Help(Box<[u8]>),
    Unknown,
}
