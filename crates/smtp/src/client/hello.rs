//! The greeting, EHLO, HELO, LHLO, and what the server says it can do.

use wire::reply::Reply;

use super::outcome::{Cause, Stage};
use super::{Protocol, Session, State};

/// How far the introduction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hello {
    /// The server's greeting.
    Greeting,
    /// The answer to EHLO or LHLO.
    Esmtp,
    /// The answer to HELO.
    Plain,
}

/// Something a server can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// RFC 2920.
    Pipelining,
    /// RFC 6152.
    EightBitMime,
    /// RFC 1870.
    Size,
    /// RFC 3461.
    Dsn,
    /// RFC 6531.
    SmtpUtf8,
    /// RFC 2034: what looks like an enhanced status code is one.
    EnhancedStatusCodes,
    /// RFC 2852.
    DeliverBy,
    /// RFC 4954.
    Auth,
    /// RFC 3030.
    Chunking,
    /// RFC 9422.
    Limits,
}

/// What a server can do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extensions {
    known: u16,
    size_bytes_max: u64,
    is_extended: bool,
    deliver_by_min_s: u32,
    limits: Limits,
}

/// What a server takes at most, as it says itself (RFC 9422); `None`: it does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Transactions a connection (MAILMAX).
    pub messages: Option<u32>,
    /// Recipients a transaction (RCPTMAX).
    pub recipients: Option<u32>,
    /// Domains of recipients a transaction (RCPTDOMAINMAX).
    pub domains: Option<u32>,
}

impl Limits {
    /// Reads `NAME=VALUE`; what is unknown, or no number of at most six digits above 0 (RFC 9422, 4), says nothing.
    fn read(&mut self, word: &[u8]) {
        let mut sides = word.splitn(2, |&octet| octet == b'=');
        let (Some(name), Some(value)) = (sides.next(), sides.next()) else { return };
        let number = core::str::from_utf8(value).ok().filter(|value| value.len() <= 6);
        let number = number.and_then(|value| value.parse().ok()).filter(|&number: &u32| number > 0);
        let Some(number) = number else { return };
        if name.eq_ignore_ascii_case(b"MAILMAX") {
            self.messages = Some(number);
        } else if name.eq_ignore_ascii_case(b"RCPTMAX") {
            self.recipients = Some(number);
        } else if name.eq_ignore_ascii_case(b"RCPTDOMAINMAX") {
            self.domains = Some(number);
        }
    }
}

impl Extension {
    const fn bit(self) -> u16 {
        match self {
            Self::Pipelining => 1,
            Self::EightBitMime => 2,
            Self::Size => 4,
            Self::Dsn => 8,
            Self::SmtpUtf8 => 16,
            Self::EnhancedStatusCodes => 32,
            Self::DeliverBy => 64,
            Self::Auth => 128,
            Self::Chunking => 256,
            Self::Limits => 512,
        }
    }
}

impl Extensions {
    /// Whether it can.
    #[must_use]
    pub const fn has(&self, extension: Extension) -> bool {
        self.known & extension.bit() != 0
    }

    /// Whether EHLO or LHLO was answered, not HELO.
    #[must_use]
    pub const fn is_extended(&self) -> bool {
        self.is_extended
    }

    /// The most octets of a message, if the server says so.
    #[must_use]
    pub fn size_bytes_max(&self) -> Option<u64> {
        Some(self.size_bytes_max).filter(|&most| most > 0)
    }

    /// The least number of seconds that a deadline must leave this server.
    #[must_use]
    pub const fn deliver_by_min_s(&self) -> u32 {
        self.deliver_by_min_s
    }

    /// What the server takes at most.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// Reads the lines of a reply to EHLO; the first is the server's name.
    fn read(reply: &Reply) -> Self {
        let mut extensions = Self { is_extended: true, ..Self::default() };
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split(|&octet| octet == b' ').filter(|word| !word.is_empty());
            let keyword = words.next().unwrap_or_default();
            let known = [
                ("PIPELINING", Extension::Pipelining),
                ("8BITMIME", Extension::EightBitMime),
                ("SIZE", Extension::Size),
                ("DSN", Extension::Dsn),
                ("SMTPUTF8", Extension::SmtpUtf8),
                ("ENHANCEDSTATUSCODES", Extension::EnhancedStatusCodes),
                ("DELIVERBY", Extension::DeliverBy),
                ("AUTH", Extension::Auth),
                ("CHUNKING", Extension::Chunking),
                ("LIMITS", Extension::Limits),
            ];
            let found =
                known.iter().find(|(name, _)| keyword.eq_ignore_ascii_case(name.as_bytes()));
            let Some(&(_, extension)) = found else { continue };
            extensions.known |= extension.bit();
            if extension == Extension::Limits {
                words.for_each(|word| extensions.limits.read(word));
                continue;
            }
            let number = words.next().and_then(|word| core::str::from_utf8(word).ok());
            if extension == Extension::Size {
                extensions.size_bytes_max =
                    number.and_then(|number| number.parse().ok()).unwrap_or(0);
            } else if extension == Extension::DeliverBy {
                extensions.deliver_by_min_s =
                    number.and_then(|number| number.parse().ok()).unwrap_or(0);
            }
        }
        extensions
    }
}

impl Session {
    pub(super) fn hello_answered(&mut self, reply: Reply) {
        let State::Hello(hello) = self.state else { return };
        match (hello, self.protocol) {
            (Hello::Greeting, Protocol::Smtp)
                if reply.code == 220
                    && (self.habits.shuns_esmtp
                        || self.habits.awaits_esmtp && !says_esmtp(&reply)) =>
            {
                self.introduce(b"HELO ");
                self.state = State::Hello(Hello::Plain);
            }
            (Hello::Greeting, protocol) if reply.code == 220 => {
                self.introduce(if protocol == Protocol::Lmtp { b"LHLO " } else { b"EHLO " });
                self.state = State::Hello(Hello::Esmtp);
            }
            (Hello::Esmtp | Hello::Plain, Protocol::Smtp)
                if reply.is_positive() && self.habits.shuns_itself && self.is_us(&reply) =>
            {
                self.end(Cause::Ourselves);
            }
            (Hello::Esmtp, _) if reply.is_positive() => {
                self.extensions = Extensions::read(&reply);
                self.state = State::Idle;
            }
            // A server of before 1995.
            (Hello::Esmtp, Protocol::Smtp) if reply.is_permanent() => {
                self.introduce(b"HELO ");
                self.state = State::Hello(Hello::Plain);
            }
            (Hello::Plain, _) if reply.is_positive() => self.state = State::Idle,
            (hello, _) => {
                let stage = if hello == Hello::Greeting { Stage::Greeting } else { Stage::Hello };
                if reply.is_temporary() || reply.is_permanent() {
                    self.end(Cause::Said { stage, reply });
                } else {
                    self.end(Cause::Unexpected { stage, reply });
                }
            }
        }
    }

    /// Whether the server has our own name.
    fn is_us(&self, reply: &Reply) -> bool {
        let name = reply.lines.first().and_then(|line| line.split(|&octet| octet == b' ').next());
        name.is_some_and(|name| name.eq_ignore_ascii_case(&self.our_name))
    }

    fn introduce(&mut self, verb: &[u8]) {
        self.out.extend_from_slice(verb);
        self.out.extend_from_slice(&self.our_name);
        self.out.extend_from_slice(b"\r\n");
    }
}

/// Whether a greeting has the word ESMTP.
fn says_esmtp(greeting: &Reply) -> bool {
    let words = greeting.lines.iter().flat_map(|line| line.split(|&octet| octet == b' '));
    words.into_iter().any(|word| word.eq_ignore_ascii_case(b"ESMTP"))
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn keywords_are_read_in_any_case_and_unknown_ones_passed_over() {
        let lines = ["host Hello", "pipelining", "SIZE 1000", "X-UNKNOWN a b", "dsn", "SIZELESS"];
        let lines = lines.iter().map(|line| line.as_bytes().into()).collect();
        let read = Extensions::read(&Reply { code: 250, status: None, lines });
        assert!(read.has(Extension::Pipelining) && read.has(Extension::Dsn));
        assert!(!read.has(Extension::EightBitMime) && !read.has(Extension::SmtpUtf8));
        assert_eq!(read.size_bytes_max(), Some(1000));
        let limits = ["h", "LIMITS rcptmax=20 MAILMAX=0 RCPTDOMAINMAX=1 X=5 RCPTMAX=1234567"];
        let lines = limits.map(|line| line.as_bytes().into()).into();
        let read = Extensions::read(&Reply { code: 250, status: None, lines });
        let wanted = Limits { messages: None, recipients: Some(20), domains: Some(1) };
        assert_eq!(read.limits(), wanted);
        let odd =
            Reply { code: 250, status: None, lines: vec![b"h"[..].into(), b"SIZE x"[..].into()] };
        assert_eq!(Extensions::read(&odd).size_bytes_max(), None);
    }
}
