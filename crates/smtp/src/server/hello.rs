//! The greeting, HELO and EHLO, and how the client is called.

use alloc::boxed::Box;
use core::fmt;

use policy::{Ask, Origin};
use wire::domain;
use wire::escape::text;

use super::answer::Asked;
use super::event::Event;
use super::outbox::Outbox;
use super::{HELLOS_MAX, Questions, Session};

/// A client as replies name it: `name [address]`, `[address]`, or `user@localhost`.
#[derive(Clone, Copy)]
pub(super) struct Peer<'a>(&'a Origin);

impl fmt::Display for Peer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Origin::Client { peer, name, .. } => {
                if !name.is_empty() {
                    write!(f, "{} ", text(name))?;
                }
                write!(f, "[{}]", domain::tagged(peer.ip()))
            }
            Origin::User { name, .. } => write!(f, "{}@localhost", text(name)),
            Origin::Ourselves => f.write_str("localhost"),
        }
    }
}

impl Session {
    pub(super) fn peer(&self) -> Peer<'_> {
        Peer(&self.facts.origin)
    }

    /// Says the greeting.
    pub(super) fn greet(&mut self, out: &mut Outbox) {
        let settings = &self.terms.settings;
        let (host, greeting) = (text(&settings.host_name), text(&settings.greeting));
        out.say_plain(220, true, format_args!("{host} ESMTP {greeting}"));
        self.listen(out);
    }

    /// HELO or EHLO with a name that is one.
    pub(super) fn hello(&mut self, name: &[u8], is_esmtp: bool, out: &mut Outbox) {
        self.counts.hellos = self.counts.hellos.saturating_add(1);
        if self.counts.hellos == HELLOS_MAX {
            out.events.push(Event::Attack { command: "HELO/EHLO", count: HELLOS_MAX });
        }
        if self.terms.questions.has(Questions::HELLO) {
            let asked = Asked::Hello { name: name.into(), is_esmtp };
            self.ask(Ask::Hello { name: name.into() }, asked, out);
        } else {
            self.welcome(name.into(), is_esmtp, out);
        }
    }

    /// Says who we are and what we can; forgets a message that was begun (RFC 5321, 4.1.4).
    pub(super) fn welcome(&mut self, name: Box<[u8]>, is_esmtp: bool, out: &mut Outbox) {
        self.reset(out);
        self.facts.hello = name;
        self.facts.is_esmtp = is_esmtp;
        let (host, peer) = (text(&self.terms.settings.host_name), self.peer());
        let greeting = format_args!("{host} Hello {peer}, pleased to meet you");
        if !is_esmtp {
            // sendmail gives HELO no enhanced status.
            return out.say_plain(250, true, greeting);
        }
        out.say_plain(250, false, greeting);
        let settings = &self.terms.settings;
        let keywords = [
            ("ENHANCEDSTATUSCODES", true),
            ("PIPELINING", true),
            ("CHUNKING", true),
            ("EXPN", settings.answers_expn),
            ("8BITMIME", true),
            ("SIZE", true),
            ("DSN", settings.offers_dsn),
            ("SMTPUTF8", true),
        ];
        for (keyword, _) in keywords.iter().filter(|(_, is_offered)| *is_offered) {
            if *keyword == "SIZE" {
                let most = settings.limits.message_bytes_max;
                out.say_plain(250, false, format_args!("SIZE {most}"));
            } else {
                out.say_plain(250, false, format_args!("{keyword}"));
            }
        }
        out.say_plain(250, true, format_args!("HELP"));
    }
}
