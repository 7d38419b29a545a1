//! What comes out of a step: octets for the client, at most one request to others, pieces of a large body, events for the log.

use alloc::{boxed::Box, vec::Vec};
use core::fmt;

use policy::{Controller, Member, Question, Route};
use wire::QueueId;
use wire::command::{BodyKind, DeliverBy};
use wire::date::Date;
use wire::dsn::{Notify, Ret};
use wire::escape;
use wire::header::Head;
use wire::reply::write_line;
use wire::status::Status;

use super::event::Entry;

/// What the driver does after a step, in this order: write [`Outbox::body`] to the large file, carry out
/// [`Outbox::request`], send [`Outbox::bytes`] (replies may be held back while a request is open: a client that pipelines
/// then gets them in one piece), write the events, close.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Octets for the client.
    pub bytes: Vec<u8>,
    /// What the session waits for now. It takes no octets until the answer has come.
    pub request: Option<Request>,
    /// Octets to append to the large file.
    pub body: Vec<u8>,
    /// The large file is not wanted any more.
    pub drops_large: bool,
    /// For the log, in order.
    pub events: Vec<Entry>,
    /// Whether the connection is to be closed once everything was sent.
    pub closes: bool,
    /// What becomes of the timer.
    pub deadline: Deadline,
    /// The host whose mail is to be tried now (ETRN); `@` in front: and all below it.
    pub turn: Option<Box<[u8]>>,
}

/// What becomes of the timer that ends in [`super::Input::Timeout`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Deadline {
    /// It goes on as it was set. Octets that complete nothing do not move it: a client that drips gains no time.
    #[default]
    Keep,
    /// It is set anew, so many seconds from now.
    In(u32),
    /// The session waits for an answer of ours.
    Off,
}

/// What a session wants of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Ask the policy; come back with [`super::Input::Verdict`].
    Ask(Box<Question>),
    /// Let the client wait: hold the replies back so long, then come back with [`super::Input::Paused`]. While the greeting
    /// is held back, octets of the client are [`super::Input::SpokeEarly`].
    Pause {
        /// Milliseconds.
        ms: u32,
    },
    /// The body grows large: open a file for it; come back with [`super::Input::LargeReady`] or
    /// [`super::Input::NotStored`].
    OpenLarge,
    /// Make this durable; come back with [`super::Input::Stored`] or [`super::Input::NotStored`]. A message with
    /// [`Message::discard`] is thrown away instead, with a line in the log and the ledger, and counts as stored.
    Store(Box<Message>),
}

/// A message that was taken in whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its name: it stands in its Received field already.
    pub id: QueueId,
    /// When MAIL was accepted.
    pub began: Date,
    /// The reverse-path without brackets; empty: `<>`.
    pub sender: Box<[u8]>,
    /// The user of this machine whose address that is.
    pub controller: Option<Controller>,
    /// RCPT was said once only, whatever came of others.
    pub is_for_one: bool,
    /// What a run of the queue goes by, by size, class and recipients: the smaller, the sooner.
    pub priority: i64,
    /// Never empty.
    pub recipients: Vec<Recipient>,
    /// The message, CR LF line ends; with our Received field, unless the settings say that mail is dressed later.
    pub body: Body,
    /// Octets of it.
    pub size_bytes: u64,
    /// Octets of it as it came and as the log counts them: a line end is one.
    pub logged_bytes: u64,
    /// BODY, if it was said.
    pub body_kind: Option<BodyKind>,
    /// SMTPUTF8.
    pub is_utf8: bool,
    /// RET.
    pub ret: Option<Ret>,
    /// ENVID, in xtext.
    pub envelope_id: Option<Box<[u8]>>,
    /// BY.
    pub by: Option<DeliverBy>,
    /// What is known of its header as it came.
    pub head: Head,
    /// What HELO or EHLO said.
    pub hello: Box<[u8]>,
    /// The protocol of its Received field: SMTP, ESMTP, UTF8SMTP.
    pub protocol: &'static str,
    /// The policy says: take it and throw it away. By which rule.
    pub discard: Option<Box<[u8]>>,
    /// The policy says: keep it back. Why.
    pub quarantine: Option<Box<[u8]>>,
}

/// Where the octets of a message are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Here.
    Inline(Vec<u8>),
    /// In the large file, all of it.
    Large,
}

/// A recipient that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Its address, without brackets.
    pub address: Box<[u8]>,
    /// As it was written in RCPT, with its brackets.
    pub shown: Box<[u8]>,
    /// Where its mail goes, as the policy said.
    pub route: Route,
    /// Where it leads, without those that were recipients before it; `None`: that is seen later.
    pub members: Option<Vec<Member>>,
    /// NOTIFY.
    pub notify: Option<Notify>,
    /// ORCPT: type, semicolon, xtext.
    pub original: Option<Box<[u8]>>,
}

/// A code and an enhanced status; the status in three numbers, as tables have it.
pub(crate) type Codes = (u16, (u8, u16, u16));

impl Outbox {
    /// Empties it for the next step; buffers are kept.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.request = None;
        self.body.clear();
        self.drops_large = false;
        self.events.clear();
        self.closes = false;
        self.deadline = Deadline::Keep;
        self.turn = None;
    }

    /// Says one line with an enhanced status.
    pub(crate) fn say(&mut self, (code, status): Codes, text: fmt::Arguments<'_>) {
        let (class, subject, detail) = status;
        write_line(code, Some(Status::new(class, subject, detail)), true, b"", &mut self.bytes);
        self.amend(text);
    }

    /// Says one line without an enhanced status, the last or not the last of a reply.
    pub(crate) fn say_plain(&mut self, code: u16, is_last: bool, text: fmt::Arguments<'_>) {
        write_line(code, None, is_last, b"", &mut self.bytes);
        self.amend(text);
    }

    /// Says a step of work that goes on (code 050): no reply, but a line before one, for those who said VERB.
    pub(crate) fn say_step(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(b"050 ");
        escape::printable(text, &mut self.bytes);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Says a line of the owner's text that is not the last of its reply. Tabs stay: help texts are tables.
    pub(crate) fn say_text(&mut self, code: u16, text: &[u8]) {
        let status = Some(Status::new(2, 0, 0));
        write_line(code, status, false, b"", &mut self.bytes);
        let end = self.bytes.len().saturating_sub(2);
        self.bytes.truncate(end);
        for (at, part) in text.split(|&octet| octet == b'\t').enumerate() {
            if at > 0 {
                self.bytes.push(b'\t');
            }
            escape::printable(part, &mut self.bytes);
        }
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Says the lines of one reply.
    pub(crate) fn say_lines(&mut self, (code, status): Codes, lines: &[Box<[u8]>]) {
        let (class, subject, detail) = status;
        let last = lines.len().saturating_sub(1);
        for (at, line) in lines.iter().enumerate() {
            let status = Some(Status::new(class, subject, detail));
            write_line(code, status, at == last, line, &mut self.bytes);
        }
    }

    /// Puts text before the last line end.
    fn amend(&mut self, text: fmt::Arguments<'_>) {
        let end = self.bytes.len().saturating_sub(2);
        self.bytes.truncate(end);
        // Writing into memory does not fail.
        let _written = fmt::Write::write_fmt(&mut Shown(&mut self.bytes), text);
        self.bytes.extend_from_slice(b"\r\n");
    }
}

/// Lets text be written to octets, only what is printable as it is.
struct Shown<'a>(&'a mut Vec<u8>);

impl fmt::Write for Shown<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape::printable(text.as_bytes(), self.0);
        Ok(())
    }
}
