//! How messages and sessions end: RSET and its like, the client's end, ours.

use alloc::boxed::Box;

use policy::Refusal;
use policy::settings::{Privacy, Quirks};
use wire::escape::text;

use super::body::Collecting;
use super::envelope::Named;
use super::event::{self, Entry, Event, FromLine, Refused};
use super::outbox::{Deadline, Outbox};
use super::{Session, State};

/// `LogLevel` from which on every command and every line of a reply is told.
const TALK_LEVEL: u8 = 15;
/// `LogLevel` from which on each recipient of a message that is taken back is told.
pub(super) const LEAVES_LEVEL: u8 = 11;

impl Session {
    /// Tells the log something about the message of this moment.
    pub(super) fn tell(&self, event: Event, out: &mut Outbox) {
        out.events.push(Entry { id: self.id, event });
    }

    pub(super) fn wants_talk(&self) -> bool {
        self.terms.settings.logging.level >= TALK_LEVEL
    }

    /// Tells the log what the client said, if the log wants to know.
    pub(super) fn heard(&self, line: &[u8], out: &mut Outbox) {
        if self.wants_talk() {
            self.tell(Event::Heard(event::said(line)), out);
        }
    }

    /// Tells the log where the recipients of a message lead that its client takes back.
    pub(super) fn tell_leaves(&self, out: &mut Outbox) {
        let Some(transaction) = &self.transaction else { return };
        if self.terms.settings.logging.level < LEAVES_LEVEL {
            return;
        }
        for leaf in &transaction.leaves {
            self.tell(Event::Undone(leaf.clone()), out);
        }
    }

    /// Tells the log what was said in this step, if the log wants to know.
    pub(super) fn report(&self, id: Option<wire::QueueId>, out: &mut Outbox) {
        if !self.wants_talk() {
            return;
        }
        for line in out.bytes.split(|&octet| octet == b'\n').filter(|line| !line.is_empty()) {
            let event = Event::Said(line.trim_ascii_end().into());
            out.events.push(Entry { id, event });
        }
    }

    /// Tells the log the text of a reply that begins at `start`, without its codes.
    pub(super) fn note_reply(&self, start: usize, out: &mut Outbox) {
        let reply = out.bytes.get(start..).unwrap_or_default();
        let line = reply.split(|&octet| octet == b'\r').next().unwrap_or_default();
        let said = line.splitn(3, |&octet| octet == b' ').nth(2).unwrap_or_default();
        self.tell(Event::Noted(said.into()), out);
    }

    /// Forgets the message that was begun, and its file if chunks of it lie there. What comes next has another name.
    pub(super) fn reset(&mut self, out: &mut Outbox) {
        if let Some(named) = self.named.take() {
            let Named { sender, size_bytes, body } = named;
            let recipients = self.recipients();
            let protocol = self.protocol(false);
            let message_id = alloc::vec::Vec::new();
            let class = 0;
            let line =
                FromLine { sender, size_bytes, recipients, class, message_id, body, protocol };
            self.tell(Event::From(Box::new(line)), out);
        }
        self.forget(out);
    }

    /// As [`Session::reset`], for a message whose line is told already.
    pub(super) fn forget(&mut self, out: &mut Outbox) {
        let transaction = self.transaction.take();
        out.drops_large |= transaction.is_some_and(|transaction| transaction.chunks.are_large());
        self.named = None;
        self.id = None;
        self.counts.found = 0;
        self.counts.bad_here = 0;
    }

    /// Recipients of this moment's message, as sendmail counts them.
    pub(super) fn recipients(&self) -> usize {
        let accepted = self.transaction.as_ref().map_or(0, |transaction| transaction.counted);
        accepted.saturating_add(self.counts.found)
    }

    pub(super) fn refused(
        &self,
        refusal: &Refusal,
        argument: &[u8],
        second: Option<&[u8]>,
        out: &mut Outbox,
    ) {
        let start = out.bytes.len();
        let (class, subject, detail) = refusal.status;
        out.say((refusal.code, (class, subject, detail)), format_args!("{}", text(&refusal.text)));
        if refusal.by.is_empty() {
            return self.note_reply(start, out);
        }
        let reply = out.bytes.get(start..).unwrap_or_default().trim_ascii_end().to_vec();
        let argument = refusal.subject.as_deref().unwrap_or(argument);
        let event = Event::Refused(Box::new(Refused {
            by: refusal.by.clone(),
            argument: event::said(argument),
            second: second.map(event::said),
            reply,
            is_about_session: is_about_session(&refusal.by),
        }));
        self.tell(event, out);
    }

    /// Warns of a sender who did not say hello, where warnings are wanted.
    pub(super) fn warn_no_hello(&self, out: &mut Outbox) {
        let is_wanted = self.terms.settings.manners.privacy.has(Privacy::AUTH_WARNINGS);
        if is_wanted && self.facts.hello.is_empty() {
            self.tell(Event::NoHello, out);
        }
    }

    /// Warns of a sender in the log, and later in the header of what it sends.
    pub(super) fn warn(&mut self, warning: &[u8], out: &mut Outbox) {
        let host = text(&self.terms.settings.host_name);
        let warning: Box<[u8]> =
            alloc::format!("{host}: {}", text(warning)).into_bytes().into_boxed_slice();
        self.tell(Event::Warned(warning.clone()), out);
        if let Some(transaction) = &mut self.transaction {
            transaction.warnings.push(warning);
        }
    }

    /// The fields of the warnings about this moment's message.
    pub(super) fn warning_fields(&self) -> alloc::vec::Vec<u8> {
        let mut fields = alloc::vec::Vec::new();
        let mut add = |warning: &[u8]| {
            fields.extend_from_slice(b"X-Authentication-Warning: ");
            fields.extend_from_slice(warning);
            fields.extend_from_slice(b"\r\n");
        };
        let is_wanted = self.terms.settings.manners.privacy.has(Privacy::AUTH_WARNINGS);
        if is_wanted && self.facts.hello.is_empty() {
            let host = text(&self.terms.settings.host_name);
            let peer = self.peer();
            add(alloc::format!("{host}: {peer} didn't use HELO protocol").as_bytes());
        }
        let warnings = self.transaction.iter().flat_map(|transaction| &transaction.warnings);
        warnings.for_each(|warning| add(warning));
        fields
    }

    pub(super) fn close(&mut self, out: &mut Outbox) {
        let is_silent = self.counts.deeds == 0 && self.denied.is_none() && !self.is_over();
        if is_silent {
            self.tell(Event::Silent, out);
        }
        self.close_silently(out);
    }

    pub(super) fn close_silently(&mut self, out: &mut Outbox) {
        out.closes = true;
        out.deadline = Deadline::Off;
        if !self.is_over() {
            self.reset(out);
        }
        self.state = State::Closed;
    }

    pub(super) fn timeout(&mut self, out: &mut Outbox) {
        let (stage, is_message) = match &self.state {
            State::Fresh | State::Command => ("server cmd read", false),
            State::Body(_) | State::Skipping(_) => ("message collect", true),
            // Our own answer is late: the driver's business.
            State::Asked(_)
            | State::Opening(_)
            | State::Storing(_)
            | State::Paused
            | State::Greeting(_)
            | State::Closed => return,
        };
        out.drops_large = is_message;
        self.tell(Event::TimedOut { stage }, out);
        if !is_message && self.has_quirk(Quirks::SILENT_TIMEOUTS) {
            return self.close(out);
        }
        let (host, peer) = (&self.terms.settings.host_name, self.peer());
        out.say(
            (421, (4, 4, 1)),
            format_args!("{} Timeout waiting for input from {peer}", text(host)),
        );
        self.close(out);
    }

    pub(super) fn eof(&mut self, out: &mut Outbox) {
        let stage = match &self.state {
            State::Closed => return,
            State::Body(_) | State::Opening(_) => return self.cut(out),
            State::Skipping(_) => "data",
            State::Storing(_) => {
                // The message is whole: it will be kept or not, whether somebody hears of it or not.
                self.is_stopping = true;
                return;
            }
            State::Fresh | State::Greeting(_) => "connect",
            State::Command | State::Paused | State::Asked(_) => self.stage(),
        };
        // Who came and went without a word is told of as such.
        if self.has_spoken() {
            self.tell(Event::Lost { stage }, out);
        }
        out.drops_large = true;
        self.close(out);
    }

    /// The client is gone before the message is whole.
    pub(super) fn cut(&mut self, out: &mut Outbox) {
        self.tell(Event::Cut, out);
        self.tell(Event::CutFrom(self.sender_shown()), out);
        let state = core::mem::replace(&mut self.state, State::Command);
        if let State::Body(collecting) | State::Opening(collecting) = state {
            self.tell_cut(&collecting, out);
        }
        out.drops_large = true;
        self.close(out);
    }

    /// The `from=` line of a message that did not come to its end: it has no name of its own yet.
    pub(super) fn tell_cut(&mut self, collecting: &Collecting, out: &mut Outbox) {
        if let Some(line) = self.line_of(collecting) {
            let line = FromLine { message_id: alloc::vec::Vec::new(), ..line };
            self.tell(Event::From(Box::new(line)), out);
        }
        self.named = None;
    }

    /// Whether the client said anything that was worth an answer.
    fn has_spoken(&self) -> bool {
        !self.facts.hello.is_empty() || self.counts.deeds > 0
    }

    /// What the client did last, as the log names it.
    fn stage(&self) -> &'static str {
        match &self.transaction {
            Some(transaction) if transaction.recipients.is_empty() => "mail",
            Some(_) => "rcpt",
            None if self.facts.hello.is_empty() => "startup",
            None if self.facts.is_esmtp => "ehlo",
            None => "helo",
        }
    }

    pub(super) fn shutdown(&mut self, out: &mut Outbox) {
        match &self.state {
            State::Asked(_) | State::Opening(_) | State::Storing(_) => self.is_stopping = true,
            State::Closed => {}
            State::Fresh
            | State::Command
            | State::Paused
            | State::Greeting(_)
            | State::Body(_)
            | State::Skipping(_) => self.shut(out),
        }
    }

    pub(super) fn shut(&mut self, out: &mut Outbox) {
        let host = &self.terms.settings.host_name;
        out.drops_large = true;
        out.say((421, (4, 3, 2)), format_args!("{} Server shutting down", text(host)));
        self.close(out);
    }

    pub(super) fn out_of_step(&mut self, out: &mut Outbox) {
        if self.is_over() {
            // An answer for somebody who is gone.
            return;
        }
        self.tell(Event::OutOfStep, out);
        let host = &self.terms.settings.host_name;
        out.say((421, (4, 3, 0)), format_args!("{} Internal trouble", text(host)));
        out.drops_large = true;
        self.close(out);
    }
}

/// Rule sets that are asked about the session: their lines name no message.
pub(super) fn is_about_session(rule_set: &[u8]) -> bool {
    let sets = [
        &b"check_relay"[..],
        b"check_vrfy",
        b"check_expn",
        b"check_etrn",
        b"check_other",
        b"tcpwrappers",
    ];
    sets.contains(&rule_set)
}
