//! The greeting, HELO and EHLO, and how the client is called.

use alloc::boxed::Box;
use core::fmt;

use policy::settings::{Modifiers, Offers, Privacy, Questions, Quirks};
use policy::{Ask, Origin, Resolved};
use wire::command::{Fault, Verb};
use wire::domain;
use wire::escape::text;

use super::Session;
use super::answer::Asked;
use super::outbox::Outbox;

/// What a client reads that said who it is.
pub(super) const PLEASED: &str = "pleased to meet you";
/// What a client reads whose name is none, where such are taken.
const BOGUS: &str = "accepting invalid domain name";
/// Octets of a HELO argument that is no name.
const BOGUS_BYTES_MAX: usize = 255;
/// Octets of a label of it (RFC 1035, 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// A client as replies name it: `name [address]`, `[address]`, or `user@localhost`.
#[derive(Clone, Copy)]
pub(super) struct Peer<'a>(&'a Origin);

impl fmt::Display for Peer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Origin::Client { peer, name, resolved, .. } => {
                if !name.is_empty() {
                    write!(f, "{} ", text(name))?;
                }
                write!(f, "[{}]", domain::tagged(peer.ip()))?;
                f.write_str(if *resolved == Resolved::Forged { " (may be forged)" } else { "" })
            }
            Origin::User { name, .. } => write!(f, "{}@localhost", text(name)),
            Origin::Ourselves => f.write_str("localhost"),
        }
    }
}

/// Octets that may stand in a client's name: none of them can end a comment or a line of the Received field.
fn is_word(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-_.:[]#".contains(&octet)
}

/// A word that is no host's name and looks like one (`-x`, `.`): an older server took it.
fn is_odd_name(name: &[u8]) -> bool {
    (1..=BOGUS_BYTES_MAX).contains(&name.len())
        && name.iter().copied().all(is_word)
        && name.split(|&octet| octet == b'.').all(|label| label.len() <= LABEL_BYTES_MAX)
}

impl Session {
    pub(super) fn peer(&self) -> Peer<'_> {
        Peer(&self.facts.origin)
    }

    /// Says the greeting: the policy's lines, or the usual one.
    pub(super) fn greet(&mut self, lines: &[Box<[u8]>], out: &mut Outbox) {
        let settings = &self.terms.settings;
        if lines.is_empty() {
            let (host, greeting) = (text(&settings.host_name), text(&settings.greeting));
            out.say_plain(220, true, format_args!("{host} ESMTP {greeting}"));
        }
        let last = lines.len().saturating_sub(1);
        for (at, line) in lines.iter().enumerate() {
            out.say_plain(220, at == last, format_args!("{}", text(line)));
        }
        self.listen(out);
    }

    /// A HELO or EHLO without a host's name, where the owner takes such. Whether it was taken.
    pub(super) fn takes_bogus_hello(
        &mut self,
        line: &[u8],
        fault: &Fault<'_>,
        out: &mut Outbox,
    ) -> bool {
        let is_taken = matches!(fault, Fault::Name(..) | Fault::ArgumentMissing(_));
        let name = line.get(5..).unwrap_or_default().trim_ascii();
        let is_odd = self.has_quirk(Quirks::LOOSE_COMMANDS) && is_odd_name(name);
        if !is_taken || !(is_odd || self.has_quirk(Quirks::BOGUS_HELLO)) {
            return false;
        }
        let name = name.split(|&octet| octet == b' ').next().unwrap_or_default();
        let name = name.get(..BOGUS_BYTES_MAX).unwrap_or(name);
        let words = if name.iter().copied().all(is_word) { PLEASED } else { BOGUS };
        let name: Box<[u8]> = match name {
            [] => b"_"[..].into(),
            name => name.iter().map(|octet| if is_word(*octet) { *octet } else { b'_' }).collect(),
        };
        let is_esmtp = Verb::of(line) == Verb::Ehlo;
        self.welcome(name, is_esmtp, words, out);
        true
    }

    /// HELO or EHLO with a name that is one.
    pub(super) fn hello(&mut self, name: &[u8], is_esmtp: bool, out: &mut Outbox) {
        self.count_hello(out);
        if self.terms.settings.manners.questions.has(Questions::HELLO) {
            let asked = Asked::Hello { name: name.into(), is_esmtp };
            self.ask(Ask::Hello { name: name.into() }, asked, out);
        } else {
            self.welcome(name.into(), is_esmtp, PLEASED, out);
        }
    }

    /// Says who we are and what we can; forgets a message that was begun (RFC 5321, 4.1.4).
    pub(super) fn welcome(
        &mut self,
        name: Box<[u8]>,
        is_esmtp: bool,
        words: &str,
        out: &mut Outbox,
    ) {
        if !self.facts.hello.is_empty() || self.named.is_some() {
            self.reset(out);
        }
        self.facts.hello = name;
        self.facts.is_esmtp = is_esmtp;
        let (host, peer) = (text(&self.terms.settings.host_name), self.peer());
        let greeting = format_args!("{host} Hello {peer}, {words}");
        if !is_esmtp {
            // sendmail gives HELO no enhanced status.
            return out.say_plain(250, true, greeting);
        }
        out.say_plain(250, false, greeting);
        if self.denied.is_some() {
            return out.say_plain(250, true, format_args!("ENHANCEDSTATUSCODES"));
        }
        let settings = &self.terms.settings;
        let (offers, privacy) = (settings.manners.offers, settings.manners.privacy);
        let takes_turns =
            !privacy.has(Privacy::NO_ETRN) && !self.modifiers().has(Modifiers::NO_ETRN);
        let keywords = [
            ("ENHANCEDSTATUSCODES", true),
            ("PIPELINING", true),
            ("CHUNKING", offers.has(Offers::CHUNKING)),
            ("EXPN", settings.answers_expn),
            ("VERB", settings.answers_expn && !privacy.has(Privacy::NO_VERB)),
            ("8BITMIME", true),
            ("SIZE", true),
            ("DSN", settings.offers_dsn),
            ("ETRN", takes_turns),
            ("SMTPUTF8", offers.has(Offers::SMTPUTF8)),
            ("DELIVERBY", offers.has(Offers::DELIVERBY)),
        ];
        for (keyword, _) in keywords.iter().filter(|(_, is_offered)| *is_offered) {
            if *keyword == "SIZE" && !offers.has(Offers::SIZE_BARE) {
                let most = settings.limits.message_bytes_max;
                out.say_plain(250, false, format_args!("SIZE {most}"));
            } else {
                out.say_plain(250, false, format_args!("{keyword}"));
            }
        }
        out.say_plain(250, true, format_args!("HELP"));
    }
}
