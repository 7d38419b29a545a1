//! Clients that get nothing: refused at the connection, or caught speaking before the greeting. They are not shut out at
//! once: they are told so at every command that asks for something, as sendmail does, and may say QUIT.

use alloc::boxed::Box;

use policy::settings::Quirks;
use policy::{Origin, Refusal, Verdict};
use wire::command::Verb;
use wire::escape::text;

use super::event::Event;
use super::outbox::{Deadline, Outbox, Request};
use super::{Session, State};

impl Session {
    pub(super) fn connect_judged(&mut self, verdict: Verdict, out: &mut Outbox) {
        self.tell(Event::Connected, out);
        match verdict {
            Verdict::Refuse(refusal) => {
                let name = self.client_name();
                let address = self.client_address();
                self.refused(&refusal, &name, Some(&address), out);
                if refusal.closes {
                    return self.close_silently(out);
                }
                out.bytes.clear();
                self.denied = Some(Box::new(refusal));
                self.greet(&[], out);
            }
            Verdict::Accept(acceptance) if acceptance.pause_ms > 0 => {
                self.state = State::Greeting(acceptance.lines.into());
                out.request = Some(Request::Pause { ms: acceptance.pause_ms });
                out.deadline = Deadline::Off;
            }
            Verdict::Accept(acceptance) => self.greet(&acceptance.lines, out),
            Verdict::Discard { .. } | Verdict::Quarantine { .. } => self.greet(&[], out),
        }
    }

    /// A pause is over.
    pub(super) fn paused(&mut self, out: &mut Outbox) {
        match core::mem::replace(&mut self.state, State::Command) {
            State::Greeting(lines) => self.greet(&lines, out),
            State::Paused => self.listen(out),
            state @ (State::Fresh
            | State::Command
            | State::Asked(_)
            | State::Body(_)
            | State::Opening(_)
            | State::Storing(_)
            | State::Skipping(_)
            | State::Closed) => {
                self.state = state;
                self.out_of_step(out);
            }
        }
    }

    /// The client did not wait for the greeting: a program that listens to no reply.
    pub(super) fn spoke_early(&mut self, out: &mut Outbox) {
        let State::Greeting(_) = self.state else { return self.out_of_step(out) };
        self.tell(Event::SpokeEarly { after_s: 0 }, out);
        self.denied =
            Some(Box::new(Refusal::new(550, (5, 0, 0), b"Command rejected", b"greet_pause")));
        let host = text(&self.terms.settings.host_name);
        out.say_plain(554, true, format_args!("{host} ESMTP not accepting messages"));
        self.listen(out);
    }

    /// Whether this is HELO or EHLO of a client that did not wait for its answer, where that is not liked. What comes next may
    /// depend on the answer (RFC 2920, 3.1).
    pub(super) fn is_hurried_hello(&self, line: &[u8], says_more: bool) -> bool {
        let is_hello = matches!(Verb::of(line.trim_ascii_start()), Verb::Helo | Verb::Ehlo);
        says_more && is_hello && self.has_quirk(Quirks::LONE_HELLO) && self.denied.is_none()
    }

    /// Gives such a client nothing from now on.
    pub(super) fn hurried_hello(&mut self, line: &[u8], out: &mut Outbox) {
        let is_esmtp = Verb::of(line.trim_ascii_start()) == Verb::Ehlo;
        let verb = if is_esmtp { "EHLO" } else { "HELO" };
        self.tell(Event::HurriedHello { verb }, out);
        self.denied =
            Some(Box::new(Refusal::new(550, (5, 0, 0), b"Command rejected", b"greet_pause")));
        out.say((554, (5, 5, 0)), format_args!("SMTP protocol error"));
    }

    /// Tells a client that gets nothing so. Whether it is one.
    pub(super) fn is_denied(&mut self, out: &mut Outbox) -> bool {
        let Some(refusal) = &self.denied else { return false };
        out.say((refusal.code, refusal.status), format_args!("{}", text(&refusal.text)));
        self.bad_command(out);
        true
    }

    /// The client's name, or its address in brackets.
    pub(super) fn client_name(&self) -> Box<[u8]> {
        match &self.facts.origin {
            Origin::Client { name, .. } if !name.is_empty() => name.clone(),
            Origin::Client { .. } => alloc::format!("{}", self.peer()).into_bytes().into(),
            Origin::User { name, .. } => name.clone(),
            Origin::Ourselves => b"localhost"[..].into(),
        }
    }

    fn client_address(&self) -> Box<[u8]> {
        let address = self.facts.origin.address();
        address.map_or_else(Box::default, |address| {
            alloc::format!("{}", address.to_canonical()).into_bytes().into()
        })
    }
}
