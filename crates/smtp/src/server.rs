//! The server's half of a conversation (RFC 5321 and its extensions), in sendmail's words.
//!
//! A session is fed one [`Input`] after the other and fills an [`Outbox`]. It asks and stops: while a request is open it
//! takes no octets, so the order of replies is the order of commands, whatever was pipelined. Each moment of a session is a
//! variant of `State` that owns what only that moment may know; a message that fails is swallowed to its true end.
//!
//! Every moment of a session has a message's name: that of the message being taken in, or that the next one would get. Log
//! lines carry it, and a name is used up by what begins, not by what succeeds (as in sendmail's log).
//!
//! The promise, `250 … Message accepted for delivery`, is written in one function (`Session::promise`) on one input
//! ([`Input::Stored`]).

use alloc::boxed::Box;
use alloc::sync::Arc;

use policy::settings::{Listener, Modifiers, Offers, Quirks};
use policy::{Ask, Facts, Origin, Question, Refusal, Verdict};
use wire::QueueId;
use wire::command::{Command, Fault, Verb};
use wire::date::Date;
use wire::dot::Ends;
use wire::escape::text;
use wire::line::{Line, LineEnd, LineReader};

mod answer;
mod body;
mod body_fault;
mod collect;
mod count;
mod denied;
mod end;
mod envelope;
mod event;
mod fault;
mod foreign;
mod hello;
mod help;
mod lookup;
mod outbox;
mod terms;
mod transaction;

pub use event::{Entry, Event, FromLine, GivenUp, Marked, Refused, SAID_BYTES_MAX};
pub use outbox::{Body, Deadline, Message, Outbox, Recipient, Request};
pub use policy::settings::Questions;
pub use terms::Terms;

use answer::Asked;
use body::Collecting;
use count::Counts;
use envelope::Named;
use transaction::Transaction;

/// What comes in.
#[derive(Debug)]
pub enum Input<'a> {
    /// The connection stands.
    Open,
    /// Octets of the client. Those behind the returned count must come again, with what follows.
    Bytes(&'a [u8]),
    /// The answer to [`Request::Ask`].
    Verdict(Verdict),
    /// [`Request::OpenLarge`] is done.
    LargeReady,
    /// [`Request::Store`] is done: the message is durable, under this name.
    Stored(QueueId),
    /// [`Request::Store`] or [`Request::OpenLarge`] cannot be done.
    NotStored(NotStored),
    /// [`Request::Pause`] is over.
    Paused,
    /// The client spoke while [`Request::Pause`] held the greeting back.
    SpokeEarly,
    /// The time of [`Deadline::In`] is up.
    Timeout,
    /// The client has closed its side, and all its octets were taken (or were not wanted any more).
    Eof,
    /// The server stops: what was promised is finished, everything else is not.
    Shutdown,
}

/// Why a message is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotStored {
    /// The disk or the queue is full.
    Full,
    /// Trouble of our own.
    Trouble,
}

/// What a step may know of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Now, and how far local time is ahead.
    pub now: Date,
    /// A name that no message has. It is used up if [`Session::step`] says so.
    pub fresh_id: QueueId,
}

/// What a step took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// Octets of [`Input::Bytes`].
    pub octets: usize,
    /// Whether [`Moment::fresh_id`] now names a message.
    pub id: bool,
}

/// One conversation.
#[derive(Debug)]
pub struct Session {
    terms: Arc<Terms>,
    facts: Facts,
    line: LineReader,
    state: State,
    transaction: Option<Box<Transaction>>,
    /// The name of the message that is taken in or would be the next; `None` until the next step.
    id: Option<QueueId>,
    /// The last MAIL that named a sender, accepted or not.
    named: Option<Named>,
    /// Why this client gets nothing here.
    denied: Option<Box<Refusal>>,
    counts: Counts,
    /// VERB was said: steps of expansions are shown.
    is_verbose: bool,
    is_stopping: bool,
}

/// The moment of a session.
#[derive(Debug)]
enum State {
    /// Before [`Input::Open`].
    Fresh,
    /// Command lines are read.
    Command,
    /// The policy was asked.
    Asked(Box<Asked>),
    /// A message is read.
    Body(Box<Collecting>),
    /// A large file was asked for.
    Opening(Box<Collecting>),
    /// A message is being made durable.
    Storing(Box<FromLine>),
    /// Octets of a chunk that nobody wants are thrown away; then the reply is said.
    Skipping(Box<body::Skip>),
    /// The client has to wait; then commands are read.
    Paused,
    /// The greeting waits.
    Greeting(Box<[Box<[u8]>]>),
    /// Everything was said.
    Closed,
}

impl Session {
    /// A session with a client on the listener number `daemon`.
    #[must_use]
    pub fn new(terms: Arc<Terms>, daemon: u8, origin: Origin) -> Self {
        let line_max = usize::try_from(terms.settings.limits.command_bytes_max);
        Self {
            facts: Facts {
                origin,
                daemon,
                hello: Box::default(),
                is_esmtp: false,
                sender: None,
                recipients: 0,
                macros: alloc::vec::Vec::new(),
            },
            line: LineReader::new(line_max.unwrap_or(2048)),
            terms,
            state: State::Fresh,
            transaction: None,
            id: None,
            named: None,
            denied: None,
            counts: Counts::default(),
            is_verbose: false,
            is_stopping: false,
        }
    }

    /// Takes one input and fills `out`, which the caller has cleared. Octets that were not taken must come again once the
    /// open request is answered.
    pub fn step(&mut self, input: Input<'_>, moment: &Moment, out: &mut Outbox) -> Taken {
        let begins = self.id.is_none() && !self.is_over();
        if begins {
            self.id = Some(moment.fresh_id);
        }
        let id = self.id;
        let mut octets = 0;
        match input {
            Input::Bytes(bytes) => octets = self.bytes(bytes, moment, out),
            Input::Open => self.open(out),
            Input::Verdict(verdict) => self.verdict(verdict, moment, out),
            Input::LargeReady => self.large_ready(out),
            Input::Stored(id) => self.stored(id, out),
            Input::NotStored(why) => self.not_stored(why, out),
            Input::Paused => self.paused(out),
            Input::SpokeEarly => self.spoke_early(out),
            Input::Timeout => self.timeout(out),
            Input::Eof => self.eof(out),
            Input::Shutdown => self.shutdown(out),
        }
        self.pause(out);
        self.report(id, out);
        Taken { octets, id: begins }
    }

    /// Whether octets of the client are welcome now.
    #[must_use]
    pub fn wants_bytes(&self) -> bool {
        matches!(self.state, State::Command | State::Body(_) | State::Skipping(_))
    }

    /// Whether the next octets of the client are a command.
    #[must_use]
    pub fn awaits_command(&self) -> bool {
        matches!(self.state, State::Command)
    }

    /// Whether the greeting waits: octets of the client are [`Input::SpokeEarly`] now.
    #[must_use]
    pub fn holds_greeting(&self) -> bool {
        matches!(self.state, State::Greeting(_))
    }

    /// Whether everything was said, and the connection is to be closed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Who is on the other end, with the name that the policy gave it.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.facts.origin
    }

    /// What is known of the peer and of the transaction.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The listener that took the connection.
    #[must_use]
    pub fn daemon(&self) -> u8 {
        self.facts.daemon
    }

    /// The name that the log gives to what is said now.
    #[must_use]
    pub fn log_id(&self) -> Option<QueueId> {
        self.id
    }

    /// The message that is being taken in.
    #[must_use]
    pub fn message(&self) -> Option<QueueId> {
        self.transaction.as_ref().map(|transaction| transaction.id)
    }

    fn open(&mut self, out: &mut Outbox) {
        if !matches!(self.state, State::Fresh) {
            return self.out_of_step(out);
        }
        if self.modifiers().has(Modifiers::TLS) {
            self.tell(Event::NoTls, out);
            return self.close_silently(out);
        }
        if self.terms.settings.manners.questions.has(Questions::CONNECT) {
            self.ask(Ask::Connect, Asked::Connect, out);
        } else {
            self.tell(Event::Connected, out);
            self.greet(&[], out);
        }
    }

    fn bytes(&mut self, bytes: &[u8], moment: &Moment, out: &mut Outbox) -> usize {
        let mut taken = 0usize;
        while let Some(rest) = bytes.get(taken..)
            && !rest.is_empty()
        {
            let count = match &self.state {
                State::Command => self.line(rest, moment, out),
                State::Body(_) => self.body(rest, moment, out),
                State::Skipping(_) => self.skip(rest, out),
                // Nobody listens any more.
                State::Closed => rest.len(),
                State::Fresh
                | State::Asked(_)
                | State::Opening(_)
                | State::Storing(_)
                | State::Paused
                | State::Greeting(_) => break,
            };
            taken = taken.saturating_add(count);
            if self.id.is_none() || self.counts.pause_s > 0 {
                // The next message needs a name, or the client has to wait.
                break;
            }
        }
        taken
    }

    /// Takes octets of a command line; carries the command out if the line ends.
    fn line(&mut self, rest: &[u8], moment: &Moment, out: &mut Outbox) -> usize {
        if !self.line.is_inside_line() && foreign::is_foreign_octet(rest.first().copied()) {
            self.foreign(rest, out);
            return rest.len();
        }
        // The reader lends the line from itself: it is taken out of the session meanwhile.
        let mut reader = core::mem::replace(&mut self.line, LineReader::new(0));
        let (taken, line) = reader.read(rest);
        let is_whole = line.is_some();
        match line {
            None => {}
            Some(Line::TooLong(bytes)) => self.line_too_long(bytes, out),
            Some(Line::Whole { text, end }) => {
                self.heard(text, out);
                let is_bare = end == LineEnd::BareLf && self.ends() == Ends::Strict;
                if is_bare && !self.has_quirk(Quirks::LOOSE_COMMANDS) {
                    self.bare_line(out);
                } else if self.is_hurried_hello(text, rest.len() > taken) {
                    self.hurried_hello(text, out);
                } else {
                    self.command(text, moment, out);
                }
            }
        }
        if is_whole {
            reader.release();
        }
        self.line = reader;
        if is_whole && out.deadline == Deadline::Keep && matches!(self.state, State::Command) {
            out.deadline = Deadline::In(self.terms.settings.timeouts.command_s);
        }
        taken
    }

    fn command(&mut self, line: &[u8], moment: &Moment, out: &mut Outbox) {
        if self.facts.origin.address().is_some() && foreign::is_foreign(line) {
            return self.foreign(line, out);
        }
        let written = line;
        let line =
            if self.has_quirk(Quirks::LOOSE_COMMANDS) { line.trim_ascii_start() } else { line };
        match Command::parse(line) {
            Err(fault) => self.fault(line, fault, out),
            Ok(Command::Helo(name)) => self.hello(name, false, out),
            Ok(Command::Ehlo(name)) => self.hello(name, true, out),
            Ok(Command::Mail(mail)) => self.mail(&mail, line, out),
            Ok(Command::Rcpt(rcpt)) => self.rcpt(&rcpt, line, out),
            Ok(Command::Data) => self.data(moment, out),
            Ok(Command::Bdat(chunk)) if self.offers_chunks() => self.bdat(chunk, moment, out),
            Ok(Command::Rset) => {
                self.tell_leaves(out);
                self.reset(out);
                out.say((250, (2, 0, 0)), format_args!("Reset state"));
            }
            Ok(Command::Noop) => self.other("NOOP", line, out),
            Ok(Command::Help(topic)) => self.help(topic, line, out),
            Ok(Command::Quit) => self.quit(out),
            Ok(Command::Vrfy(argument)) => self.vrfy(argument, line, out),
            Ok(Command::Expn(argument)) => self.expn(argument, line, out),
            Ok(Command::Etrn(argument)) => self.etrn(argument, line, out),
            Ok(Command::Verb) => self.verbose(line, out),
            Ok(Command::StartTls) if self.modifiers().has(Modifiers::NO_STARTTLS) => {
                self.refuse_command((503, (5, 5, 0)), "TLS not available", out);
            }
            Ok(Command::StartTls) => {
                self.refuse_command((454, (4, 3, 3)), "TLS not available after start", out);
            }
            Ok(Command::Auth { .. }) => {
                self.refuse_command((503, (5, 3, 3)), "AUTH not available", out);
            }
            Ok(Command::Bdat(_) | Command::Lhlo(_) | Command::Unknown) => {
                self.unknown(written, out);
            }
        }
    }

    fn fault(&mut self, line: &[u8], fault: Fault<'_>, out: &mut Outbox) {
        let verb = Verb::of(line);
        match verb {
            Verb::Helo | Verb::Ehlo => {
                self.count_hello(out);
                if self.takes_bogus_hello(line, &fault, out) {
                    return;
                }
            }
            Verb::Lhlo | Verb::Other => return self.unknown(line, out),
            Verb::Bdat if !self.offers_chunks() => return self.unknown(line, out),
            Verb::Vrfy | Verb::Expn | Verb::Etrn => {
                if self.lookup_fault(verb, line, out) {
                    return;
                }
            }
            Verb::Mail | Verb::Rcpt => {
                if self.envelope_fault(verb, line, &fault, out) {
                    return;
                }
            }
            Verb::Auth => {
                return self.refuse_command((503, (5, 3, 3)), "AUTH not available", out);
            }
            Verb::Data | Verb::Bdat | Verb::StartTls => {}
        }
        let start = out.bytes.len();
        fault::say(line, &fault, &self.terms.settings, out);
        if verb == Verb::Rcpt {
            self.note_reply(start, out);
        }
        if fault::desynchronizes(&fault) {
            // What follows cannot be told from commands any more.
            return self.close(out);
        }
        self.faulty_command(out);
    }

    fn bare_line(&mut self, out: &mut Outbox) {
        let text = "Bare linefeed (LF) not allowed";
        self.tell(Event::BareEnd { text, place: "command", sender: self.sender_shown() }, out);
        out.say((500, (5, 5, 2)), format_args!("{text}"));
        self.bad_command(out);
    }

    fn line_too_long(&mut self, bytes: usize, out: &mut Outbox) {
        self.tell(Event::CommandTooLong { bytes }, out);
        let (host, peer) = (&self.terms.settings.host_name, self.peer());
        out.say(
            (421, (4, 7, 0)),
            format_args!("{} Command too long, possible attack {peer}", text(host)),
        );
        self.close(out);
    }

    fn quit(&mut self, out: &mut Outbox) {
        let host = &self.terms.settings.host_name;
        out.say((221, (2, 0, 0)), format_args!("{} closing connection", text(host)));
        self.close(out);
    }

    fn refuse_command(&mut self, codes: outbox::Codes, words: &str, out: &mut Outbox) {
        out.say(codes, format_args!("{words}"));
        self.faulty_command(out);
    }

    fn offers_chunks(&self) -> bool {
        self.terms.settings.manners.offers.has(Offers::CHUNKING)
    }

    fn has_quirk(&self, quirk: Quirks) -> bool {
        self.terms.settings.manners.quirks.has(quirk)
    }

    /// Where the client came in; nobody but a client came in anywhere.
    fn listener(&self) -> Option<&Listener> {
        match self.facts.origin {
            Origin::Client { .. } => {
                self.terms.settings.listeners.get(usize::from(self.facts.daemon))
            }
            Origin::User { .. } | Origin::Ourselves => None,
        }
    }

    fn modifiers(&self) -> Modifiers {
        self.listener().map_or(Modifiers::NONE, |listener| listener.modifiers)
    }

    /// What a lone CR or LF is for this client.
    fn ends(&self) -> Ends {
        let Some(address) = self.facts.origin.address() else {
            return Ends::Unix;
        };
        let networks = &self.terms.settings.normalized_networks;
        if networks.iter().any(|network| network.holds(address)) {
            Ends::Normalized
        } else {
            Ends::Strict
        }
    }

    fn ask(&mut self, ask: Ask, asked: Asked, out: &mut Outbox) {
        self.facts.recipients = self.transaction.as_ref().map_or(0, |transaction| {
            u32::try_from(transaction.recipients.len()).unwrap_or(u32::MAX)
        });
        self.facts.sender = self.transaction.as_ref().map(|transaction| transaction.sender.clone());
        let question = Question { facts: self.facts.clone(), ask };
        out.request = Some(Request::Ask(Box::new(question)));
        out.deadline = Deadline::Off;
        self.state = State::Asked(Box::new(asked));
    }

    /// Back to reading commands, from whatever was awaited.
    fn listen(&mut self, out: &mut Outbox) {
        self.state = State::Command;
        out.deadline = Deadline::In(self.terms.settings.timeouts.command_s);
        if self.is_stopping {
            self.shut(out);
        }
    }
}
