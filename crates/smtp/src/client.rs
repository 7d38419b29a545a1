//! The client's half of a conversation: SMTP (RFC 5321, 2920, 1870, 6152, 3461, 6531) and LMTP (RFC 2033).
//!
//! A transaction is one flight where the server allows it: RSET if the last one needs it, MAIL, every RCPT, DATA; then
//! the message with its dot. A small message to a server with CHUNKING (RFC 3030) goes in that flight, as BDAT in the place of
//! DATA: it costs one wait. Answers are matched by the order of what was asked. A server that answers what nobody asked,
//! or answers in the wrong class, is not believed any more. Each recipient ends in an [`Outcome`], whatever happens: what
//! is not known is [`Outcome::Later`], so nothing is lost; a connection that breaks behind the dot may mean a second
//! copy, never none.
//!
//! The driver sends [`Session::output`], does what [`Session::want`] says, and hands in what came of it. TLS and logins
//! belong between the hello and the first transaction: a state of their own beside `State::Hello`.

use alloc::boxed::Box;
use alloc::vec::Vec;

use wire::command::{BodyKind, DeliverBy};
use wire::dot::DotWriter;
use wire::dsn::{Notify, Ret};
use wire::reply::{Reply, ReplyFault, ReplyReader};

mod envelope;
mod hello;
mod outcome;

pub use envelope::{COMMAND_BYTES_MAX, mail_line, rcpt_line};
pub use hello::{Extension, Extensions, Limits};
pub use outcome::{Cause, Impossible, Loss, Outcome, Scope, Stage};

use envelope::Envelope;
use hello::Hello;

/// Which protocol is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// SMTP: EHLO, or HELO if that is refused.
    Smtp,
    /// LMTP: LHLO, and after the dot an answer for each accepted recipient.
    Lmtp,
}

/// What the session waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// An answer: [`Session::receive`], or [`Session::lose`] when it does not come.
    Answer(Patience),
    /// The message: [`Session::write_body`], then [`Session::end_body`]. Octets of the server are to be handed in meanwhile.
    Body,
    /// Nothing: [`Session::begin`] or [`Session::quit`] may be called, and [`Session::results`] are there.
    Transaction,
    /// The connection is of no more use.
    Closed,
}

/// How long an answer may take: which of `policy::settings::Timeouts` counts, from the last octet that was sent or the last
/// answer that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// `greeting_s`.
    Greeting,
    /// `reply_s`: EHLO, HELO, LHLO.
    Command,
    /// That of RSET.
    Reset,
    /// `mail_s`.
    Mail,
    /// `rcpt_s`.
    Recipient,
    /// `data_s`.
    Data,
    /// `dot_s`.
    Dot,
}

/// How a client behaves; the default: as fast as the server allows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a habit of its own")]
pub struct Habits {
    /// Whether MAIL is answered before recipients are named, and RSET stands alone: before each further transaction, and behind
    /// one that came to nothing.
    pub is_patient: bool,
    /// Whether lines that are no replies are passed over.
    pub reads_loosely: bool,
    /// Whether EHLO is said only to a server whose greeting says ESMTP.
    pub awaits_esmtp: bool,
    /// Whether HELO is said to every server, for those that say no to EHLO and mean it (flag `2`).
    pub shuns_esmtp: bool,
    /// A server that answers with our own name is us, and mail for it would go round for ever (without flag `k`).
    pub shuns_itself: bool,
    /// Whether a message may go as one chunk (RFC 3030), in one flight with its envelope.
    pub sends_chunks: bool,
}

/// What is to be sent, without its text.
#[derive(Debug, Clone, Copy)]
pub struct Transaction<'a> {
    /// The reverse-path without brackets; empty: `<>`.
    pub sender: &'a [u8],
    /// Whom it is for.
    pub recipients: &'a [Recipient<'a>],
    /// Octets of the message.
    pub size_bytes: u64,
    /// What is said of its octets (BODY); `None`: nothing.
    pub body: Option<BodyKind>,
    /// Whether it needs SMTPUTF8.
    pub is_utf8: bool,
    /// RET.
    pub ret: Option<Ret>,
    /// ENVID, in xtext.
    pub envelope_id: Option<&'a [u8]>,
    /// Whether its sender was seen to hand it in: AUTH= (RFC 4954, 5) says so to a server that knows of logins.
    pub is_own: bool,
    /// BY (RFC 2852), the seconds from now on.
    pub by: Option<DeliverBy>,
}

/// One recipient of a transaction.
#[derive(Debug, Clone, Copy)]
pub struct Recipient<'a> {
    /// Its address, without brackets.
    pub address: &'a [u8],
    /// Whether a report of success may be ours to make, and tell what the server said to it.
    pub is_reported: bool,
    /// NOTIFY.
    pub notify: Option<Notify>,
    /// ORCPT: type, semicolon, xtext.
    pub original: Option<&'a [u8]>,
}

/// One connection's conversation.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is remembered by itself")]
pub struct Session {
    protocol: Protocol,
    habits: Habits,
    our_name: Box<[u8]>,
    reader: ReplyReader,
    extensions: Extensions,
    state: State,
    out: Vec<u8>,
    /// Whole replies that came.
    replies: u64,
    /// RSET goes before the next transaction.
    needs_reset: bool,
    /// A transaction was carried out before.
    is_used: bool,
    /// What came of the last transaction; `None`: not known yet.
    results: Vec<Option<Outcome>>,
    /// What was said to recipients of the last transaction, where a report may have to tell.
    welcomes: Vec<(usize, Reply)>,
    is_touched: bool,
    /// The server knows no BDAT although it said so.
    refuses_chunks: bool,
}

/// The moment of a session.
#[derive(Debug)]
enum State {
    /// The greeting or the answer to a hello is awaited.
    Hello(Hello),
    /// A transaction may begin.
    Idle,
    /// Commands were sent, answers are awaited.
    Envelope(Envelope),
    /// The message is being sent to so many recipients (their places).
    Body { accepted: Vec<usize>, dots: DotWriter },
    /// The answers to the dot are awaited: one, or in LMTP one for each of these places.
    Dot { accepted: Vec<usize>, answered: usize },
    /// The connection is of no more use.
    Gone(Cause),
}

impl Session {
    /// A session that awaits the greeting. `our_name` is what we call ourselves.
    #[must_use]
    pub fn new(protocol: Protocol, our_name: &[u8]) -> Self {
        Self {
            protocol,
            habits: Habits::default(),
            our_name: our_name.into(),
            reader: ReplyReader::default(),
            extensions: Extensions::default(),
            state: State::Hello(Hello::Greeting),
            out: Vec::new(),
            replies: 0,
            needs_reset: false,
            is_used: false,
            results: Vec::new(),
            welcomes: Vec::new(),
            is_touched: false,
            refuses_chunks: false,
        }
    }

    /// The same with other habits, before anything was said.
    #[must_use]
    pub fn with_habits(self, habits: Habits) -> Self {
        let reader =
            if habits.reads_loosely { ReplyReader::loose() } else { ReplyReader::default() };
        Self { habits, reader, ..self }
    }

    /// What the session waits for, once its output was sent.
    #[must_use]
    pub fn want(&self) -> Want {
        match &self.state {
            State::Hello(Hello::Greeting) => Want::Answer(Patience::Greeting),
            State::Idle => Want::Transaction,
            State::Envelope(envelope) => Want::Answer(envelope.patience()),
            State::Hello(Hello::Esmtp | Hello::Plain) => Want::Answer(Patience::Command),
            State::Body { .. } => Want::Body,
            State::Dot { .. } => Want::Answer(Patience::Dot),
            State::Gone(_) => Want::Closed,
        }
    }

    /// Whether RCPT and DATA go out together, behind the answer to MAIL.
    #[must_use]
    pub const fn names_recipients_at_once(&self) -> bool {
        self.habits.is_patient && self.extensions.has(Extension::Pipelining)
    }

    /// Octets for the server. The driver sends them and clears the buffer.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// What the server can do.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Why the connection is of no more use, if so.
    #[must_use]
    pub fn gone(&self) -> Option<&Cause> {
        match &self.state {
            State::Gone(cause) => Some(cause),
            State::Hello(_)
            | State::Idle
            | State::Envelope(_)
            | State::Body { .. }
            | State::Dot { .. } => None,
        }
    }

    /// How many whole replies have come: each of them begins the patience anew.
    #[must_use]
    pub const fn replies(&self) -> u64 {
        self.replies
    }

    /// Whether the server has said nothing about the transaction and cannot have the message: it may be tried on another
    /// connection at once.
    #[must_use]
    pub const fn is_untouched(&self) -> bool {
        !self.is_touched
    }

    /// Takes what the server said. Never fails: a server that makes no sense is [`Want::Closed`].
    pub fn receive(&mut self, octets: &[u8]) {
        let mut rest = octets;
        while !rest.is_empty() && self.gone().is_none() {
            match self.reader.read(rest) {
                Ok((taken, reply)) => {
                    rest = rest.get(taken..).unwrap_or_default();
                    if let Some(reply) = reply {
                        self.replies = self.replies.wrapping_add(1);
                        self.answer(reply);
                    }
                }
                Err(fault) => self.fail(fault),
            }
        }
    }

    /// The connection is lost, or the server too slow.
    pub fn lose(&mut self, why: Loss) {
        let stage = self.stage();
        self.end(Cause::Lost { stage, why });
    }

    /// What the server said when it accepted a recipient of the last transaction, by its place; kept only where a report may
    /// have to tell it.
    #[must_use]
    pub fn welcome(&self, place: usize) -> Option<&Reply> {
        self.welcomes.iter().find(|(one, _)| *one == place).map(|(_, reply)| reply)
    }

    /// Whether [`Session::begin_with`] may be given the message.
    #[must_use]
    pub const fn takes_chunks(&self) -> bool {
        matches!(self.protocol, Protocol::Smtp)
            && self.habits.sends_chunks
            && !self.habits.is_patient
            && self.extensions.has(Extension::Chunking)
    }

    /// Whether the connection ended because the server knows no BDAT although it said so: another is to send DATA.
    #[must_use]
    pub const fn refuses_chunks(&self) -> bool {
        self.refuses_chunks
    }

    /// Begins a transaction, when [`Want::Transaction`]. At other times nothing is sent, and all its recipients are for later.
    pub fn begin(&mut self, transaction: &Transaction<'_>) {
        self.begin_with(transaction, None);
    }

    /// The same with the whole message, where [`Session::takes_chunks`]: it goes as it is, in one flight with the envelope, and
    /// [`Want::Body`] does not come. Lines must end with CR LF.
    pub fn begin_with(&mut self, transaction: &Transaction<'_>, chunk: Option<Vec<u8>>) {
        self.results = transaction.recipients.iter().map(|_| None).collect();
        self.welcomes.clear();
        self.is_touched = false;
        if !matches!(self.state, State::Idle) {
            return;
        }
        if let Some(why) = envelope::impossible(transaction, &self.extensions) {
            return self.settle(&Outcome::Never(Cause::Impossible(why)));
        }
        let has_reset =
            core::mem::take(&mut self.needs_reset) || (self.is_used && self.habits.is_patient);
        let is_patient = self.habits.is_patient;
        let mut envelope =
            Envelope::new(transaction, &self.extensions, has_reset, is_patient, chunk);
        for place in envelope.unfit() {
            set(&mut self.results, place, Outcome::Never(Cause::Impossible(Impossible::Address)));
        }
        if !envelope.has_recipients() {
            self.needs_reset = has_reset;
            return;
        }
        envelope.send(&self.extensions, &mut self.out);
        self.is_used = true;
        self.state = State::Envelope(envelope);
    }

    /// Takes back what the last transaction may have left (RSET), when [`Want::Transaction`] and there was one; the next begins
    /// without. True: an answer is awaited.
    pub fn reset(&mut self) -> bool {
        if !matches!(self.state, State::Idle) || !(self.is_used || self.needs_reset) {
            return false;
        }
        (self.is_used, self.needs_reset) = (false, false);
        let mut envelope = Envelope::reset();
        envelope.send(&self.extensions, &mut self.out);
        self.state = State::Envelope(envelope);
        true
    }

    /// What is known by now of a recipient of the transaction, by its place.
    #[must_use]
    pub fn known(&self, place: usize) -> Option<&Outcome> {
        self.results.get(place)?.as_ref()
    }

    /// Whether QUIT was said to a server whose answer no longer matters.
    #[must_use]
    pub fn has_parted(&self) -> bool {
        self.gone().is_some_and(|cause| self.is_polite(cause))
    }

    /// Whether a server that said this hears QUIT.
    fn is_polite(&self, cause: &Cause) -> bool {
        match cause {
            // It closes the connection itself; sendmail says goodbye all the same.
            Cause::Said { reply, .. } | Cause::Unexpected { reply, .. } if reply.code == 421 => {
                self.habits.is_patient
            }
            Cause::Said { .. } | Cause::Ourselves => true,
            Cause::Unexpected { stage, .. } => !matches!(stage, Stage::Idle | Stage::Body),
            Cause::Garbled { .. } | Cause::Lost { .. } | Cause::Impossible(_) => false,
        }
    }

    /// Appends a piece of the message, when [`Want::Body`]. Dots are added here.
    pub fn write_body(&mut self, piece: &[u8]) {
        if let State::Body { dots, .. } = &mut self.state {
            dots.write(piece, &mut self.out);
        }
    }

    /// The message was written in whole.
    pub fn end_body(&mut self) {
        if let State::Body { accepted, dots } = &mut self.state {
            core::mem::take(dots).finish(&mut self.out);
            let accepted = core::mem::take(accepted);
            // From here on the server may have it.
            self.is_touched = true;
            self.state = State::Dot { accepted, answered: 0 };
        }
    }

    /// What the last hello was, for reports: `EHLO name`.
    #[must_use]
    pub fn hello_line(&self) -> Vec<u8> {
        let verb: &[u8] = match (self.protocol, &self.state) {
            (Protocol::Lmtp, _) => b"LHLO ",
            (Protocol::Smtp, State::Hello(Hello::Plain)) => b"HELO ",
            (Protocol::Smtp, _) => b"EHLO ",
        };
        [verb, &self.our_name].concat()
    }

    /// Says goodbye. The answer is not worth waiting for.
    pub fn quit(&mut self) {
        if matches!(self.state, State::Idle) {
            self.out.extend_from_slice(b"QUIT\r\n");
            self.state = State::Gone(Cause::Lost { stage: Stage::Idle, why: Loss::Quit });
        }
    }

    /// What came of the transaction, recipient by recipient in their order. What is not known yet is for later.
    pub fn results(&mut self) -> Vec<Outcome> {
        let stage = self.stage();
        let cause = self.gone().cloned().unwrap_or(Cause::Lost { stage, why: Loss::Unknown });
        let unknown = Outcome::Later(cause, Scope::Destination);
        let results = core::mem::take(&mut self.results).into_iter();
        results.map(|outcome| outcome.unwrap_or_else(|| unknown.clone())).collect()
    }

    fn stage(&self) -> Stage {
        match &self.state {
            State::Hello(Hello::Greeting) => Stage::Greeting,
            State::Hello(Hello::Esmtp | Hello::Plain) => Stage::Hello,
            State::Idle => Stage::Idle,
            State::Envelope(envelope) => envelope.stage(),
            State::Body { .. } => Stage::Body,
            State::Dot { .. } => Stage::Dot,
            State::Gone(cause) => cause.stage(),
        }
    }

    fn fail(&mut self, fault: ReplyFault) {
        let stage = self.stage();
        self.end(Cause::Garbled { stage, fault });
    }

    fn answer(&mut self, reply: Reply) {
        let stage = self.stage();
        if reply.code == 421 {
            // It may come at any time (RFC 5321, 3.8), and says nothing about the transaction.
            return self.end(Cause::Said { stage, reply });
        }
        self.is_touched |= matches!(
            stage,
            Stage::Mail | Stage::Recipient | Stage::Data | Stage::Body | Stage::Dot
        );
        match &mut self.state {
            State::Hello(_) => self.hello_answered(reply),
            State::Envelope(_) => self.envelope_answered(reply),
            State::Dot { .. } => self.dot_answered(reply),
            // Nobody asked.
            State::Idle | State::Body { .. } => self.end(Cause::Unexpected { stage, reply }),
            State::Gone(_) => {}
        }
    }

    fn envelope_answered(&mut self, reply: Reply) {
        let State::Envelope(envelope) = &mut self.state else { return };
        match envelope.answer(reply, &mut self.results) {
            envelope::Next::More => {
                envelope.send(&self.extensions, &mut self.out);
                if envelope.is_over() {
                    // No DATA was sent, for want of recipients.
                    self.end_transaction(true);
                }
            }
            envelope::Next::Body => {
                let accepted = envelope.accepted();
                self.welcomes = envelope.welcomes();
                let is_for_nobody = accepted.is_empty();
                self.state = State::Body { accepted, dots: DotWriter::default() };
                if is_for_nobody {
                    // It takes a message that is for nobody (RFC 2920, 3.1): an empty one.
                    self.end_empty();
                }
            }
            envelope::Next::Ended(reply) => self.chunk_answered(reply),
            envelope::Next::Refused { for_good } => self.end_transaction(for_good),
            envelope::Next::Unexpected(stage, reply) => {
                if stage == Stage::Data && self.habits.is_patient {
                    self.out.extend_from_slice(b"RSET\r\n");
                }
                self.end(Cause::Unexpected { stage, reply });
            }
        }
    }

    /// The answer to the message that went with its envelope: that of all who were accepted.
    fn chunk_answered(&mut self, reply: Reply) {
        let State::Envelope(envelope) = &mut self.state else { return };
        let accepted = envelope.accepted();
        self.welcomes = envelope.welcomes();
        let has_sender = envelope.has_sender();
        if has_sender && !accepted.is_empty() && matches!(reply.code, 500 | 502 | 504) {
            // It does not have the message, and may take the rest of it for commands.
            self.refuses_chunks = true;
            self.is_touched = false;
            return self.end(Cause::Said { stage: Stage::Dot, reply });
        }
        // What came to nothing is still there until RSET (RFC 3030, 2).
        self.needs_reset = has_sender && !reply.is_positive();
        let outcome = Outcome::of(Stage::Dot, reply);
        for place in accepted {
            set(&mut self.results, place, outcome.clone());
        }
        self.state = State::Idle;
    }

    /// A transaction came to nothing; a sender that the server still has is taken back, at once where that is the habit.
    fn end_transaction(&mut self, is_settled: bool) {
        let State::Envelope(envelope) = &self.state else { return };
        let has_sender = envelope.has_sender();
        if has_sender && is_settled && self.habits.is_patient {
            let mut envelope = Envelope::reset();
            envelope.send(&self.extensions, &mut self.out);
            self.state = State::Envelope(envelope);
        } else {
            self.needs_reset = has_sender;
            self.state = State::Idle;
        }
    }

    /// Ends a message that is for nobody. LMTP has no answer to it (RFC 2033, 4.2: one for each recipient); some give one, with
    /// an error.
    fn end_empty(&mut self) {
        self.end_body();
        if self.protocol == Protocol::Lmtp && self.habits.is_patient {
            // RSET comes next: whatever else is answered does not fit, and ends the connection before anything is promised.
            self.state = State::Idle;
        } else if self.protocol == Protocol::Lmtp {
            // How many answers come is anybody's guess: this connection has served.
            self.end(Cause::Lost { stage: Stage::Dot, why: Loss::Quit });
        }
    }

    fn dot_answered(&mut self, reply: Reply) {
        let State::Dot { accepted, answered } = &mut self.state else { return };
        if reply.is_intermediate() {
            return self.end(Cause::Unexpected { stage: Stage::Dot, reply });
        }
        let outcome = Outcome::of(Stage::Dot, reply);
        match self.protocol {
            Protocol::Smtp => {
                for &place in accepted.iter() {
                    set(&mut self.results, place, outcome.clone());
                }
                self.state = State::Idle;
            }
            Protocol::Lmtp => {
                if let Some(&place) = accepted.get(*answered) {
                    set(&mut self.results, place, outcome);
                }
                *answered = answered.saturating_add(1);
                if *answered >= accepted.len() {
                    self.state = State::Idle;
                }
            }
        }
    }

    /// The outcome of everybody who has none yet.
    fn settle(&mut self, outcome: &Outcome) {
        for result in &mut self.results {
            result.get_or_insert_with(|| outcome.clone());
        }
    }

    /// The connection is of no more use; whoever has no outcome yet is for later.
    fn end(&mut self, cause: Cause) {
        if self.gone().is_some() {
            return;
        }
        self.settle(&Outcome::Later(cause.clone(), Scope::Destination));
        let is_polite = self.is_polite(&cause);
        if is_polite {
            self.out.extend_from_slice(b"QUIT\r\n");
        }
        self.state = State::Gone(cause);
    }
}

/// Sets the outcome of a recipient who has none yet.
fn set(results: &mut [Option<Outcome>], place: usize, outcome: Outcome) {
    if let Some(result) = results.get_mut(place) {
        result.get_or_insert(outcome);
    }
}
