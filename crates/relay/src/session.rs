//! One connection: octets between a socket and the client machine.
//!
//! Everything that is to be said goes out in one write; everything that has come is read at once. Buffers
//! live as long as the connection. A server may take as long as the settings allow for each
//! answer, counted from our last octet to the last of its own: one that sends an octet now and then
//! gains nothing by it.

use crate::connect::own_name;
use crate::line_end;
use crate::mx::Hop;
use crate::stream::Stream;
use crate::talk::{Gravity, Kind, Record, Talk};
use crate::terms::Terms;
use crate::told::{Teller, with_transaction};
use crate::{Body, Job, Lookup};
use policy::Carriage;
use policy::settings::{EightBit, Passage, Timeouts};
use queue::{Batch, BodyKind, Outcome, Past, Trouble};
use smtp::client::{
    self, Cause, Extension, Habits, Limits, Loss, Patience, Protocol, Session, Stage, Want,
};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;
use wire::mime::{Conversion, Findings, Shaper, Wish};

/// Octets that are read at once.
const READ_BYTES: usize = 16 * 1024;

/// How long the answer to QUIT is awaited.
const FAREWELL: Duration = Duration::from_secs(2);

/// A buffer that grew above this for one message is given back after it.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// What came of a transaction.
pub(crate) enum Finish {
    /// Each recipient has its outcome; the connection is good for another.
    Kept(Vec<(u32, Outcome)>),
    /// Each recipient has its outcome; the connection is gone.
    Closed(Vec<(u32, Outcome)>),
    /// The connection was lost before the server said anything about this transaction: it may be
    /// tried again on another. The outcomes are for when it may not.
    Untouched(Vec<(u32, Outcome)>),
}

impl Finish {
    /// What came of each recipient.
    pub(crate) fn results(&self) -> &[(u32, Outcome)] {
        let (Self::Kept(results) | Self::Closed(results) | Self::Untouched(results)) = self;
        results
    }
}

/// Who is at the other end.
pub(crate) struct Server {
    pub(crate) protocol: Protocol,
    /// Its name, for words.
    pub(crate) name: Box<[u8]>,
    /// Its name and address, as `relay=` says them.
    pub(crate) host: Box<[u8]>,
    /// What we call ourselves to it, where that is not our name.
    pub(crate) hello: Option<Box<[u8]>>,
    /// How its mailer ends lines, where that is not CR LF (`E=`).
    pub(crate) line_end: Option<Box<[u8]>>,
}

impl Server {
    /// A host that was found for a destination.
    pub(crate) fn of(hop: &Hop, protocol: Protocol) -> Self {
        let name = hop.shown();
        Self { protocol, host: hop.relay(), name, hello: None, line_end: None }
    }

    /// The same for a mailer that may end lines in its own way.
    pub(crate) fn of_mailer(self, carriage: &Carriage) -> Self {
        let own = Some(&carriage.line_end).filter(|end| !end.is_empty() && ***end != *b"\r\n");
        Self { line_end: own.cloned(), ..self }
    }

    /// The same over this connection, whose end may have a name of its own.
    pub(crate) async fn met(self, stream: &TcpStream, lookup: &dyn Lookup, terms: &Terms) -> Self {
        let hello = if terms.is_named_by_address { own_name(stream, lookup).await } else { None };
        Self { hello, ..self }
    }

    /// A server behind a Unix socket.
    pub(crate) fn local(protocol: Protocol) -> Self {
        let name: Box<[u8]> = b"localhost"[..].into();
        Self { protocol, host: name.clone(), name, hello: None, line_end: None }
    }
}

/// What is written down of a conversation, if anything is; shared by the connections of one errand.
pub(crate) type Notebook = Option<Rc<RefCell<Record>>>;

/// A connection whose server has let us in.
pub(crate) struct Connection {
    stream: Stream,
    session: Session,
    server: Server,
    timeouts: Timeouts,
    /// How long the answer to RSET may take.
    reset: Duration,
    eight_bit: Rc<EightBit>,
    our_name: Box<[u8]>,
    input: Box<[u8]>,
    piece: Vec<u8>,
    /// What becomes of a piece in the form that the mailer wants.
    text: Vec<u8>,
    /// Whether BODY=8BITMIME goes with the present transaction.
    is_eight_bit: bool,
    notebook: Notebook,
    /// A CR was not written yet: what it is depends on the next octet.
    owes_cr: bool,
    /// Places of recipients whose deferral is in the notebook.
    noted: Vec<usize>,
}

impl Connection {
    /// Waits for the greeting and says hello.
    ///
    /// # Errors
    /// Why the server does not let us in.
    pub(crate) async fn open(
        server: Server,
        stream: Stream,
        terms: &Terms,
        habits: Habits,
        notebook: Notebook,
    ) -> Result<Self, Trouble> {
        let hello = server.hello.as_ref().unwrap_or(&terms.hello_name);
        let mut connection = Self {
            stream,
            session: Session::new(server.protocol, hello).with_habits(habits),
            server,
            reset: terms.reset,
            timeouts: terms.timeouts,
            eight_bit: Rc::clone(&terms.eight_bit),
            our_name: terms.host_name.clone(),
            input: vec![0; READ_BYTES].into(),
            piece: Vec::new(),
            text: Vec::new(),
            is_eight_bit: false,
            notebook,
            owes_cr: false,
            noted: Vec::new(),
        };
        connection.converse(None).await;
        match connection.session.gone() {
            Some(cause) => Err(connection.teller().trouble(cause, None)),
            None => Ok(connection),
        }
    }

    fn teller(&self) -> Teller<'_> {
        Teller {
            session: &self.session,
            protocol: self.server.protocol,
            host: &self.server.host,
            name: &self.server.name,
            is_eight_bit: self.is_eight_bit,
        }
    }

    /// The server's name.
    pub(crate) fn host_name(&self) -> &[u8] {
        &self.server.name
    }

    /// What is spoken here.
    pub(crate) fn kind(&self) -> Kind {
        match self.server.protocol {
            Protocol::Lmtp => Kind::Lmtp,
            Protocol::Smtp if self.session.extensions().is_extended() => Kind::Esmtp,
            Protocol::Smtp => Kind::Smtp,
        }
    }

    /// Whether the server is still there for another transaction: what the last one may have left is taken back first.
    pub(crate) async fn reset(&mut self) -> bool {
        if self.session.reset() {
            self.converse(None).await;
        }
        self.session.gone().is_none()
    }

    /// Places of recipients whose deferral was written down when it was said.
    pub(crate) fn take_noted(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.noted)
    }

    /// Carries out a transaction.
    pub(crate) async fn transact(&mut self, job: &Job) -> Finish {
        let form = self.form(job).await;
        self.is_eight_bit = form.as_ref().is_ok_and(|(wish, _)| is_eight_bit(job, wish));
        let protocol = self.server.protocol;
        let mut chunk = None;
        if let (Ok((wish, findings)), true) = (&form, self.session.takes_chunks()) {
            chunk = job.body.as_chunk(wish, findings);
        }
        with_transaction(&job.batch, protocol, self.is_eight_bit, |all| {
            self.session.begin_with(all, chunk);
        });
        match form {
            Ok((wish, findings)) => {
                self.converse(Some(&job.batch)).await;
                if self.session.want() == Want::Body {
                    match self.send_body(&job.body, wish, findings).await {
                        Ok(()) => {
                            self.note(|record| record.sent(b"."));
                            self.flush(self.timeout(Patience::Dot)).await;
                            self.converse(Some(&job.batch)).await;
                        }
                        // Half a message is on its way: only the end of the connection can stop it.
                        Err(_) => self.session.lose(Loss::OurBody),
                    }
                }
            }
            Err(_) => self.session.lose(Loss::OurBody),
        }
        if self.session.output().capacity() > KEPT_BYTES_MAX {
            *self.session.output() = Vec::new();
        }
        let came = self.session.results();
        let teller = self.teller();
        let results = job.batch.recipients.iter().enumerate().zip(came);
        let results = results
            .map(|((place, one), came)| (one.index, teller.outcome(&job.batch, place, came)))
            .collect();
        match self.session.gone() {
            None => Finish::Kept(results),
            Some(Cause::Lost { why: Loss::OurBody, .. }) => Finish::Closed(results),
            Some(_) if self.session.is_untouched() => Finish::Untouched(results),
            Some(_) => Finish::Closed(results),
        }
    }

    /// What the server takes at most.
    pub(crate) fn limits(&self) -> Limits {
        self.session.extensions().limits()
    }

    /// Whether the connection ended because the server knows no BDAT although it said so.
    pub(crate) fn refuses_chunks(&self) -> bool {
        self.session.refuses_chunks()
    }

    /// Waits until the server closes an idle connection, or says something nobody asked for:
    /// whatever it is, nothing good can come of it.
    pub(crate) async fn closed(&mut self) {
        drop(self.stream.read(&mut self.input).await);
    }

    /// Says goodbye, if that can be said at once, hears the answer, if that comes soon, and closes.
    pub(crate) async fn quit(mut self) {
        if self.session.gone().is_none() {
            self.session.quit();
            self.note_commands();
            if self.stream.try_write(self.session.output()) > 0 {
                // Who closes before the answer has come makes some servers complain in their logs.
                self.hear_farewell().await;
            }
        }
    }

    /// Reads once more, for a short time: what comes is for the notebook alone.
    async fn hear_farewell(&mut self) {
        let answer = self.stream.read(&mut self.input);
        if let Ok(Ok(count)) = tokio::time::timeout(FAREWELL, answer).await {
            let heard = self.input.get(..count).unwrap_or_default();
            if let Some(notebook) = &self.notebook {
                notebook.borrow_mut().heard(heard);
            }
        }
    }

    fn note(&self, write: impl FnOnce(&mut Record)) {
        if let Some(notebook) = &self.notebook {
            write(&mut notebook.borrow_mut());
        }
    }

    /// Writes down what is about to be said: commands, no message.
    fn note_commands(&mut self) {
        if let Some(notebook) = &self.notebook {
            let mut record = notebook.borrow_mut();
            for line in self.session.output().split(|&octet| octet == b'\n') {
                if !line.is_empty() {
                    record.sent(line.trim_ascii_end());
                }
            }
        }
    }

    /// Hands in what the server said, and writes it down. With a notebook a line at a time: what a line comes to stands behind
    /// it.
    fn receive(&mut self, count: usize, batch: Option<&Batch>) {
        let input = std::mem::take(&mut self.input);
        let heard = input.get(..count).unwrap_or_default();
        if self.notebook.is_some() {
            for line in heard.split_inclusive(|&octet| octet == b'\n') {
                self.note(|record| record.heard(line));
                self.session.receive(line);
                if self.session.gone().is_none() {
                    self.note_deferrals(batch);
                    self.note_protocol_errors(batch);
                }
            }
        } else {
            self.session.receive(heard);
        }
        self.input = input;
    }

    /// Writes down who was put off, once each: after RCPT, and in LMTP after the dot.
    fn note_deferrals(&mut self, batch: Option<&Batch>) {
        let (Some(batch), true) = (batch, self.notebook.is_some()) else { return };
        for (place, one) in batch.recipients.iter().enumerate() {
            let cause = match self.session.known(place) {
                Some(client::Outcome::Later(cause, _)) => cause,
                // To who hands a message in the report tells it.
                Some(client::Outcome::Never(cause)) if batch.past != Past::New => cause,
                _ => continue,
            };
            let is_his = cause.stage() == Stage::Recipient
                || cause.stage() == Stage::Dot && self.server.protocol == Protocol::Lmtp;
            if !is_his || self.noted.contains(&place) {
                continue;
            }
            let came = match self.session.known(place) {
                Some(client::Outcome::Never(cause)) => client::Outcome::Never(cause.clone()),
                _ => client::Outcome::Later(cause.clone(), client::Scope::Recipient),
            };
            let text = match self.teller().outcome(batch, place, came) {
                Outcome::Later { trouble, .. } => deferred(&trouble),
                Outcome::Never(trouble) => trouble.text,
                Outcome::Delivered { .. } | Outcome::Relayed { .. } => continue,
            };
            let whose = vec![one.index];
            self.note(|record| record.push(Talk::Result { whose, text }));
            self.noted.push(place);
        }
    }

    /// Tells the log of servers that refuse a message in words that are not for that: once, in LMTP for each recipient.
    fn note_protocol_errors(&mut self, batch: Option<&Batch>) {
        let recipients = batch.map_or(0, |batch| batch.recipients.len());
        for place in 0..recipients {
            let Some(client::Outcome::Never(cause)) = self.session.known(place) else { continue };
            if self.noted.contains(&place) || !crate::told::is_protocol_refusal(cause) {
                continue;
            }
            let said = cause.reply().map(crate::told::first_line).unwrap_or_default();
            if self.server.protocol == Protocol::Lmtp {
                self.noted.push(place);
                self.note_protocol_error("DATA-3", &said);
            } else {
                self.noted.extend(place..recipients);
                self.note_protocol_error("DATA-2", &said);
            }
        }
    }

    fn note_protocol_error(&self, command: &str, said: &[u8]) {
        let name = self.server.name.escape_ascii();
        let said = String::from_utf8_lossy(said);
        let text = format!("{name}: SMTP {command} protocol error: {said}");
        let event = Talk::Log { gravity: Gravity::Critical, text: text.into_bytes().into() };
        self.note(|record| record.push(event));
    }

    /// The connection is gone: hears the last words of a server we said goodbye to, and tells the log what it does not see.
    async fn part(&mut self, batch: Option<&Batch>) {
        if self.notebook.is_none() {
            return;
        }
        if self.session.has_parted() {
            self.hear_farewell().await;
        }
        self.note(Record::turn);
        self.note_deferrals(batch);
        let name = self.server.name.escape_ascii();
        let event = match self.session.gone() {
            Some(Cause::Lost { stage, why: Loss::Timeout }) => {
                let phase = phase(*stage);
                let text = format!("timeout waiting for input from {name} during client {phase}");
                Talk::Log { gravity: Gravity::Notice, text: text.into_bytes().into() }
            }
            Some(Cause::Unexpected { stage, reply }) if has_protocol_line(*stage) => {
                let command = match stage {
                    Stage::Data => "DATA-1",
                    Stage::Dot => "DATA-2",
                    Stage::Recipient => "RCPT",
                    Stage::Greeting
                    | Stage::Hello
                    | Stage::Idle
                    | Stage::Reset
                    | Stage::Mail
                    | Stage::Body => "MAIL",
                };
                return self.note_protocol_error(command, &crate::told::first_line(reply));
            }
            _ => return,
        };
        self.note(|record| record.push(event));
    }

    /// Talks until the machine wants something else than an answer.
    async fn converse(&mut self, batch: Option<&Batch>) {
        self.note_commands();
        self.flush(Duration::from_secs(self.timeouts.reply_s.into())).await;
        let mut waited: Option<(Patience, Instant)> = None;
        while let Want::Answer(patience) = self.session.want() {
            let until = match waited {
                Some((before, until)) if before == patience => until,
                _ => Instant::now() + self.timeout(patience),
            };
            waited = Some((patience, until));
            let replies = self.session.replies();
            match tokio::time::timeout_at(until, self.stream.read(&mut self.input)).await {
                Ok(Ok(0)) => self.session.lose(Loss::Closed),
                Ok(Ok(count)) => self.receive(count, batch),
                Ok(Err(error)) => self.session.lose(loss(&error)),
                Err(_elapsed) => self.session.lose(Loss::Timeout),
            }
            if self.session.replies() != replies {
                waited = None;
            }
            self.note_commands();
            self.flush(self.timeout(patience)).await;
        }
        if self.session.gone().is_some() {
            self.part(batch).await;
        }
    }

    fn timeout(&self, patience: Patience) -> Duration {
        let seconds = match patience {
            Patience::Greeting => self.timeouts.greeting_s,
            Patience::Command => self.timeouts.reply_s,
            Patience::Reset => return self.reset,
            Patience::Mail => self.timeouts.mail_s,
            Patience::Recipient => self.timeouts.rcpt_s,
            Patience::Data => self.timeouts.data_s,
            Patience::Dot => self.timeouts.dot_s,
        };
        Duration::from_secs(seconds.into())
    }

    /// Writes what is to be said. A server that takes nothing is lost as one that says nothing.
    async fn flush(&mut self, timeout: Duration) {
        let Self { stream, session, server, .. } = self;
        let out = session.output();
        if let Some(end) = &server.line_end {
            line_end::write(out, end, &mut self.owes_cr);
        }
        if out.is_empty() {
            return;
        }
        let written = stream.try_write(out);
        let rest = out.get(written..).unwrap_or_default();
        // A broken connection is seen when it is read: the server's last words may still be
        // there, and they are better than ours.
        let is_late = !rest.is_empty()
            && tokio::time::timeout(timeout, stream.write_all(rest)).await.is_err();
        out.clear();
        if is_late {
            session.lose(Loss::Timeout);
        }
    }

    /// The form in which the message goes to this server.
    async fn form(&mut self, job: &Job) -> io::Result<(Wish, Findings)> {
        let passage = Passage {
            carriage: &job.carriage,
            takes_eight_bit: Some(self.session.extensions().has(Extension::EightBitMime)),
            is_declared: job.batch.body == BodyKind::EightBit,
            host_name: &self.our_name,
            id: job.batch.message,
        };
        let findings = if self.eight_bit.needs_survey(&passage) {
            job.body.survey(&mut self.piece).await?
        } else {
            Findings::default()
        };
        Ok((self.eight_bit.wish(&passage, &findings), findings))
    }

    async fn send_body(&mut self, body: &Body, wish: Wish, findings: Findings) -> io::Result<()> {
        let timeout = Duration::from_secs(self.timeouts.data_s.into());
        let mut shaper = (!wish.is_idle()).then(|| Shaper::new(wish, findings));
        let mut text = std::mem::take(&mut self.text);
        let mut room = std::mem::take(&mut self.piece);
        let mut pieces = body.pieces(&mut room);
        while let Some(piece) = pieces.next()? {
            match &mut shaper {
                None => self.session.write_body(piece),
                Some(shaper) => {
                    shaper.read(piece, &mut text);
                    self.session.write_body(&text);
                    text.clear();
                }
            }
            if matches!(body, Body::File { .. }) {
                self.flush(timeout).await;
            }
            if self.session.gone().is_some() {
                return Ok(());
            }
        }
        if let Some(shaper) = shaper {
            shaper.finish(&mut text);
            self.session.write_body(&text);
            text.clear();
        }
        if text.capacity() <= KEPT_BYTES_MAX {
            self.text = text;
        }
        self.piece = room;
        self.session.end_body();
        Ok(())
    }
}

/// Whether BODY=8BITMIME is said: the sender said it, or we make it so, and it is so still.
fn is_eight_bit(job: &Job, wish: &Wish) -> bool {
    let is_declared = job.batch.body == BodyKind::EightBit;
    (is_declared || wish.is_labelled) && wish.conversion != Conversion::ToSeven
}

/// What `stat=` says of a deferral.
pub(crate) fn deferred(trouble: &Trouble) -> Box<[u8]> {
    let colon: &[u8] = if trouble.text.is_empty() { b"" } else { b": " };
    [b"Deferred", colon, &*trouble.text].concat().into()
}

/// Where in a conversation a server fell silent, in sendmail's words.
fn phase(stage: Stage) -> &'static str {
    match stage {
        Stage::Greeting => "greeting",
        Stage::Hello => "EHLO",
        Stage::Idle | Stage::Reset => "RSET",
        Stage::Mail => "MAIL",
        Stage::Recipient => "RCPT",
        Stage::Data => "DATA 354",
        Stage::Body | Stage::Dot => "DATA status",
    }
}

/// Whether an answer of a wrong class here has a line of its own in the log.
fn has_protocol_line(stage: Stage) -> bool {
    matches!(stage, Stage::Mail | Stage::Recipient | Stage::Data | Stage::Dot)
}

fn loss(error: &io::Error) -> Loss {
    if error.kind() == io::ErrorKind::ConnectionReset { Loss::Closed } else { Loss::Broken }
}
