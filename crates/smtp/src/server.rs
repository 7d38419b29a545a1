//! The server's half of a conversation (RFC 5321 and its extensions), in sendmail's words.
//!
//! A session is fed one [`Input`] after the other and fills an [`Outbox`]. It asks and stops: while a request is open it
//! takes no octets, so the order of replies is the order of commands, whatever was pipelined. Each moment of a session is a
//! variant of `State` that owns what only that moment may know; a message that fails is swallowed to its true end.
//!
//! The promise, `250 … Message accepted for delivery`, is written in one function (`Session::promise`) on one input
//! ([`Input::Stored`]).

use alloc::boxed::Box;
use alloc::sync::Arc;

use policy::{Ask, Facts, Origin, Question, Refusal, Verdict};
use wire::QueueId;
use wire::command::{Command, Fault};
use wire::date::Date;
use wire::dot::Ends;
use wire::escape::text;
use wire::line::{Line, LineEnd, LineReader};

mod answer;
mod body;
mod collect;
mod event;
mod fault;
mod foreign;
mod hello;
mod help;
mod outbox;
mod terms;
mod transaction;

pub use event::{Event, FromLine, Refused, SAID_BYTES_MAX};
pub use outbox::{Body, Deadline, Message, Outbox, Recipient, Request};
pub use terms::{Questions, Terms};

use answer::Asked;
use body::Collecting;
use transaction::Transaction;

/// HELO and EHLO that a session may say before it looks like an attack.
const HELLOS_MAX: u32 = 3;
/// VRFY and EXPN that a session may say before it looks like an attack.
const LOOKS_MAX: u32 = 6;
/// NOOP, HELP and the like that a session may say before it looks like an attack.
const IDLES_MAX: u32 = 20;

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
    counts: Counts,
    is_stopping: bool,
}

/// What a session counts.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    bad_commands: u32,
    bad_recipients: u32,
    messages: u32,
    hellos: u32,
    looks: u32,
    idles: u32,
    /// MAIL, VRFY, EXPN, ETRN: what a mail client comes for.
    deeds: u32,
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
            counts: Counts::default(),
            is_stopping: false,
        }
    }

    /// Takes one input and fills `out`, which the caller has cleared. Octets that were not taken must come again once the
    /// open request is answered.
    pub fn step(&mut self, input: Input<'_>, moment: &Moment, out: &mut Outbox) -> Taken {
        let id_before = self.transaction.as_ref().map(|transaction| transaction.id);
        let octets = match input {
            Input::Bytes(bytes) => self.bytes(bytes, moment, out),
            Input::Open => {
                self.open(out);
                0
            }
            Input::Verdict(verdict) => {
                self.verdict(verdict, moment, out);
                0
            }
            Input::LargeReady => {
                self.large_ready(out);
                0
            }
            Input::Stored(id) => {
                self.stored(id, out);
                0
            }
            Input::NotStored(why) => {
                self.not_stored(why, out);
                0
            }
            Input::Timeout => {
                self.timeout(out);
                0
            }
            Input::Eof => {
                self.eof(out);
                0
            }
            Input::Shutdown => {
                self.shutdown(out);
                0
            }
        };
        let id_after = self.transaction.as_ref().map(|transaction| transaction.id);
        Taken { octets, id: id_after.is_some() && id_after != id_before }
    }

    /// Whether octets of the client are welcome now.
    #[must_use]
    pub fn wants_bytes(&self) -> bool {
        matches!(self.state, State::Command | State::Body(_) | State::Skipping(_))
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

    /// The message that is being taken in.
    #[must_use]
    pub fn message(&self) -> Option<QueueId> {
        self.transaction.as_ref().map(|transaction| transaction.id)
    }

    fn open(&mut self, out: &mut Outbox) {
        if !matches!(self.state, State::Fresh) {
            return self.out_of_step(out);
        }
        if self.terms.questions.has(Questions::CONNECT) {
            self.ask(Ask::Connect, Asked::Connect, out);
        } else {
            self.greet(out);
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
                State::Fresh | State::Asked(_) | State::Opening(_) | State::Storing(_) => break,
            };
            taken = taken.saturating_add(count);
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
            Some(Line::TooLong) => self.line_too_long(out),
            Some(Line::Whole { text, end }) => {
                if end == LineEnd::BareLf && self.ends() == Ends::Strict {
                    self.bare_line(out);
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
        if foreign::is_foreign(line) {
            return self.foreign(line, out);
        }
        match Command::parse(line) {
            Err(fault) => self.fault(line, fault, out),
            Ok(Command::Helo(name)) => self.hello(name, false, out),
            Ok(Command::Ehlo(name)) => self.hello(name, true, out),
            Ok(Command::Mail(mail)) => self.mail(&mail, line, out),
            Ok(Command::Rcpt(rcpt)) => self.rcpt(&rcpt, out),
            Ok(Command::Data) => self.data(moment, out),
            Ok(Command::Bdat(chunk)) => self.bdat(chunk, moment, out),
            Ok(Command::Rset) => {
                self.reset(out);
                out.say((250, (2, 0, 0)), format_args!("Reset state"));
            }
            Ok(Command::Noop) => {
                self.idle("NOOP", out);
                out.say((250, (2, 0, 0)), format_args!("OK"));
            }
            Ok(Command::Help(topic)) => {
                self.idle("HELP", out);
                help::say(topic, out);
            }
            Ok(Command::Quit) => self.quit(out),
            Ok(Command::Vrfy(argument)) => self.vrfy(argument, out),
            Ok(Command::Expn(argument)) => self.expn(argument, out),
            Ok(Command::Etrn(argument)) => self.etrn(argument, out),
            Ok(Command::Verb) => self.refuse_command((502, (5, 7, 0)), "Verbose unavailable", out),
            Ok(Command::StartTls) => {
                self.refuse_command((454, (4, 3, 3)), "TLS not available after start", out);
            }
            Ok(Command::Auth { .. }) => {
                self.refuse_command((503, (5, 3, 3)), "AUTH not available", out);
            }
            Ok(Command::Lhlo(_) | Command::Unknown) => self.unknown(line, out),
        }
    }

    fn fault(&mut self, line: &[u8], fault: Fault<'_>, out: &mut Outbox) {
        fault::say(line, &fault, &self.terms.settings, out);
        if fault::desynchronizes(&fault) {
            // What follows cannot be told from commands any more.
            return self.close(out);
        }
        self.bad_command(out);
    }

    fn bare_line(&mut self, out: &mut Outbox) {
        let text = "Bare linefeed (LF) not allowed";
        out.events.push(Event::BareEnd { id: self.message(), text });
        out.say((500, (5, 5, 2)), format_args!("{text}"));
        self.bad_command(out);
    }

    fn line_too_long(&mut self, out: &mut Outbox) {
        out.events.push(Event::CommandTooLong);
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

    /// Counts a command that was wrong; too many end the session.
    fn bad_command(&mut self, out: &mut Outbox) {
        self.counts.bad_commands = self.counts.bad_commands.saturating_add(1);
        let is_over = self.counts.bad_commands > self.terms.settings.limits.bad_commands_max;
        if is_over && !self.is_over() {
            let host = &self.terms.settings.host_name;
            let text = format_args!("{} Too many bad commands; closing connection", text(host));
            out.bytes.truncate(last_line(&out.bytes));
            out.say((421, (4, 7, 0)), text);
            self.close(out);
        }
    }

    fn refuse_command(&mut self, codes: outbox::Codes, words: &str, out: &mut Outbox) {
        out.say(codes, format_args!("{words}"));
        self.bad_command(out);
    }

    /// Counts a command that does nothing; too many are worth a line in the log.
    fn idle(&mut self, command: &'static str, out: &mut Outbox) {
        self.counts.idles = self.counts.idles.saturating_add(1);
        if self.counts.idles == IDLES_MAX {
            out.events.push(Event::Attack { command, count: IDLES_MAX });
        }
    }

    /// What a lone CR or LF is for this client.
    fn ends(&self) -> Ends {
        let Some(address) = self.facts.origin.address() else {
            return Ends::Normalized;
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

    /// Forgets the message that was begun, and its file if chunks of it lie there.
    fn reset(&mut self, out: &mut Outbox) {
        let transaction = self.transaction.take();
        out.drops_large |= transaction.is_some_and(|transaction| transaction.chunks.are_large());
    }

    fn refused(&self, refusal: &Refusal, argument: &[u8], out: &mut Outbox) {
        let (class, subject, detail) = refusal.status;
        let start = out.bytes.len();
        out.say((refusal.code, (class, subject, detail)), format_args!("{}", text(&refusal.text)));
        let reply = out.bytes.get(start..).unwrap_or_default().trim_ascii_end().to_vec();
        out.events.push(Event::Refused(Box::new(Refused {
            id: self.message(),
            by: refusal.by.clone(),
            argument: event::said(argument),
            reply,
        })));
    }

    fn close(&mut self, out: &mut Outbox) {
        if self.counts.deeds == 0 && !self.is_over() {
            out.events.push(Event::Silent);
        }
        out.closes = true;
        out.deadline = Deadline::Off;
        self.reset(out);
        self.state = State::Closed;
    }

    fn timeout(&mut self, out: &mut Outbox) {
        let (stage, is_message) = match &self.state {
            State::Fresh | State::Command => ("server cmd read", false),
            State::Body(_) | State::Skipping(_) => ("message collect", true),
            // Our own answer is late: the driver's business.
            State::Asked(_) | State::Opening(_) | State::Storing(_) | State::Closed => return,
        };
        out.drops_large = is_message;
        out.events.push(Event::TimedOut { id: self.message(), stage });
        let (host, peer) = (&self.terms.settings.host_name, self.peer());
        out.say(
            (421, (4, 4, 1)),
            format_args!("{} Timeout waiting for input from {peer}", text(host)),
        );
        self.close(out);
    }

    fn eof(&mut self, out: &mut Outbox) {
        let stage = match &self.state {
            State::Closed => return,
            State::Body(_) | State::Skipping(_) | State::Opening(_) => "data",
            State::Storing(_) => {
                // The message is whole: it will be kept or not, whether somebody hears of it or not.
                self.is_stopping = true;
                return;
            }
            State::Fresh => "connect",
            State::Command | State::Asked(_) if self.transaction.is_some() => "mail",
            State::Command | State::Asked(_) => "startup",
        };
        if self.transaction.is_some() || self.line.is_inside_line() {
            out.events.push(Event::Lost { id: self.message(), stage });
        }
        out.drops_large = true;
        self.close(out);
    }

    fn shutdown(&mut self, out: &mut Outbox) {
        match &self.state {
            State::Asked(_) | State::Opening(_) | State::Storing(_) => self.is_stopping = true,
            State::Closed => {}
            State::Fresh | State::Command | State::Body(_) | State::Skipping(_) => self.shut(out),
        }
    }

    fn shut(&mut self, out: &mut Outbox) {
        let host = &self.terms.settings.host_name;
        out.drops_large = true;
        out.say((421, (4, 3, 2)), format_args!("{} Server shutting down", text(host)));
        self.close(out);
    }

    fn out_of_step(&mut self, out: &mut Outbox) {
        if self.is_over() {
            // An answer for somebody who is gone.
            return;
        }
        out.events.push(Event::OutOfStep);
        let host = &self.terms.settings.host_name;
        out.say((421, (4, 3, 0)), format_args!("{} Internal trouble", text(host)));
        out.drops_large = true;
        self.close(out);
    }
}

/// Where the last line of `bytes` begins.
fn last_line(bytes: &[u8]) -> usize {
    let before = bytes.strip_suffix(b"\r\n").unwrap_or(bytes);
    before.iter().rposition(|&octet| octet == b'\n').map_or(0, |at| at.saturating_add(1))
}
