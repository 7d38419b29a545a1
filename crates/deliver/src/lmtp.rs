//! Local delivery by LMTP (RFC 2033): one connection, a transaction a batch, and after the dot an
//! answer for each recipient that was accepted.
//!
//! The connection is handed in standing: a cage may not be able to make one. Commands go in one flight
//! where the server takes them so. Every answer has its time, counted to its last octet.

use crate::Body;
use policy::settings::Timeouts;
use queue::{Batch, BodyKind, Outcome, Scope, Status, Trouble, Voice};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use wire::dot::DotWriter;
use wire::reply::{Reply, ReplyReader};

/// Octets that are read at once, and about so many that are written at once.
const PIECE_BYTES: usize = 64 * 1024;

/// A connection to an LMTP server.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

impl Stream {
    fn set_timeouts(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))
            }
            Self::Unix(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))
            }
        }
    }

    fn read(&self, input: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&*stream).read(input),
            Self::Unix(stream) => (&*stream).read(input),
        }
    }

    fn write_all(&self, octets: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => (&*stream).write_all(octets),
            Self::Unix(stream) => (&*stream).write_all(octets),
        }
    }
}

/// Delivers one batch after the other over one connection; each recipient's outcome by its number.
///
/// `host` is the server's name for log and reports. When the connection is lost, what has no answer
/// is for later, with all batches that follow.
#[must_use]
pub fn deliver(
    stream: &Stream,
    host: &[u8],
    our_name: &[u8],
    timeouts: &Timeouts,
    batches: &[(&Batch, Body<'_>)],
) -> Vec<Vec<(u32, Outcome)>> {
    let mut talk = Conversation::new(stream, host, timeouts);
    let mut lost = talk.greet(our_name).err();
    let mut results = Vec::with_capacity(batches.len());
    for (batch, body) in batches {
        let mut transaction = Transaction::new(batch);
        if lost.is_none() {
            lost = talk.transact(batch, body, &mut transaction).err();
        }
        if let Some(trouble) = &lost {
            let later = Outcome::Later { trouble: trouble.clone(), scope: Scope::Destination };
            transaction.settle(&later);
        }
        results.push(transaction.finish());
    }
    if lost.is_none() {
        // Nobody waits for the answer.
        stream.write_all(b"QUIT\r\n").unwrap_or_default();
    }
    results
}

/// The state of a batch.
struct Transaction {
    results: Vec<(u32, Option<Outcome>)>,
    /// Places in `results` whose RCPT was sent, and was accepted.
    accepted: Vec<usize>,
}

impl Transaction {
    fn new(batch: &Batch) -> Self {
        let results = batch.recipients.iter().map(|recipient| (recipient.index, None)).collect();
        Self { results, accepted: Vec::new() }
    }

    fn set(&mut self, at: usize, outcome: Outcome) {
        if let Some((_, result)) = self.results.get_mut(at) {
            result.get_or_insert(outcome);
        }
    }

    /// The outcome of everybody who has none yet.
    fn settle(&mut self, outcome: &Outcome) {
        for (_, result) in &mut self.results {
            result.get_or_insert_with(|| outcome.clone());
        }
    }

    fn finish(self) -> Vec<(u32, Outcome)> {
        let unknown = Trouble::ours(Status(4, 3, 0), b"no answer for this recipient");
        let later = || Outcome::Later { trouble: unknown.clone(), scope: Scope::Recipient };
        self.results
            .into_iter()
            .map(|(number, outcome)| (number, outcome.unwrap_or_else(later)))
            .collect()
    }
}

/// A conversation with a server.
struct Conversation<'s> {
    stream: &'s Stream,
    host: &'s [u8],
    timeouts: &'s Timeouts,
    reader: ReplyReader,
    input: Vec<u8>,
    /// What of the input was not read yet.
    unread: std::ops::Range<usize>,
    pipelines: bool,
    takes_eight_bit: bool,
    out: Vec<u8>,
}

impl<'s> Conversation<'s> {
    fn new(stream: &'s Stream, host: &'s [u8], timeouts: &'s Timeouts) -> Self {
        Self {
            stream,
            host,
            timeouts,
            reader: ReplyReader::default(),
            input: vec![0; PIECE_BYTES],
            unread: 0..0,
            pipelines: false,
            takes_eight_bit: false,
            out: Vec::new(),
        }
    }

    fn greet(&mut self, our_name: &[u8]) -> Result<(), Trouble> {
        let greeting = self.answer(self.timeouts.greeting_s)?;
        if greeting.code != 220 {
            return Err(self.for_now(&greeting));
        }
        self.say(&[b"LHLO ", our_name, b"\r\n"])?;
        let hello = self.answer(self.timeouts.reply_s)?;
        if !hello.is_positive() {
            return Err(self.for_now(&hello));
        }
        let offers = |keyword: &[u8]| {
            hello.lines.iter().skip(1).any(|line| {
                let word = line.split(|&octet| octet == b' ').next().unwrap_or_default();
                word.eq_ignore_ascii_case(keyword)
            })
        };
        (self.pipelines, self.takes_eight_bit) = (offers(b"PIPELINING"), offers(b"8BITMIME"));
        Ok(())
    }

    /// One transaction. An error is the end of the connection.
    fn transact(
        &mut self,
        batch: &Batch,
        body: &Body<'_>,
        transaction: &mut Transaction,
    ) -> Result<(), Trouble> {
        if !is_safe(&batch.sender) {
            let bad = Trouble::ours(Status(5, 1, 7), b"bad sender address");
            transaction.settle(&Outcome::Never(bad));
            return Ok(());
        }
        let asked = self.ask_all(batch, transaction)?;
        let sender = self.answer(self.timeouts.reply_s)?;
        if !sender.is_positive() {
            transaction.settle(&self.refused(&sender));
        }
        for at in asked {
            if !self.pipelines && sender.is_positive() {
                self.ask(batch, at)?;
            } else if !self.pipelines {
                break;
            }
            let reply = self.answer(self.timeouts.reply_s)?;
            if reply.is_positive() && sender.is_positive() {
                transaction.accepted.push(at);
            } else {
                transaction.set(at, self.refused(&reply));
            }
        }
        if transaction.accepted.is_empty() {
            self.say(&[b"RSET\r\n"])?;
            let reset = self.answer(self.timeouts.reply_s)?;
            return if reset.is_positive() { Ok(()) } else { Err(self.for_now(&reset)) };
        }
        self.say(&[b"DATA\r\n"])?;
        let data = self.answer(self.timeouts.data_s)?;
        if !data.is_intermediate() {
            transaction.settle(&self.refused(&data));
            self.say(&[b"RSET\r\n"])?;
            return self.answer(self.timeouts.reply_s).map(drop);
        }
        self.send(body)?;
        for at in std::mem::take(&mut transaction.accepted) {
            let reply = self.answer(self.timeouts.dot_s)?;
            let outcome = if reply.is_positive() {
                let said = self.trouble(&reply);
                Outcome::Delivered { host: said.host, text: said.text }
            } else {
                self.refused(&reply)
            };
            transaction.set(at, outcome);
        }
        Ok(())
    }

    /// Sends MAIL, and every RCPT where the server takes them together; says for which recipients an
    /// answer is due.
    fn ask_all(
        &mut self,
        batch: &Batch,
        transaction: &mut Transaction,
    ) -> Result<Vec<usize>, Trouble> {
        let mut asked = Vec::with_capacity(batch.recipients.len());
        let mut flight = [b"MAIL FROM:<", &*batch.sender, b">"].concat();
        if self.takes_eight_bit && batch.body == BodyKind::EightBit {
            flight.extend_from_slice(b" BODY=8BITMIME");
        }
        flight.extend_from_slice(b"\r\n");
        for (at, recipient) in batch.recipients.iter().enumerate() {
            if !is_safe(&recipient.user) {
                let bad = Trouble::ours(Status(5, 1, 3), b"bad recipient address");
                transaction.set(at, Outcome::Never(bad));
                continue;
            }
            asked.push(at);
            if self.pipelines {
                flight.extend_from_slice(b"RCPT TO:<");
                flight.extend_from_slice(&recipient.user);
                flight.extend_from_slice(b">\r\n");
            }
        }
        self.say(&[&flight])?;
        Ok(asked)
    }

    fn ask(&mut self, batch: &Batch, at: usize) -> Result<(), Trouble> {
        let user: &[u8] = batch.recipients.get(at).map_or(b"", |recipient| &recipient.user);
        self.say(&[b"RCPT TO:<", user, b">\r\n"])
    }

    fn send(&mut self, body: &Body<'_>) -> Result<(), Trouble> {
        let mut dots = DotWriter::default();
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        let sent = body.read(|piece| -> io::Result<()> {
            dots.write(piece, &mut out);
            if out.len() >= PIECE_BYTES {
                self.stream.write_all(&out)?;
                out.clear();
            }
            Ok(())
        });
        dots.finish(&mut out);
        // After an error, the half message must not get its dot: the connection ends without it.
        let sent = sent.and_then(|()| self.stream.write_all(&out));
        self.out = out;
        sent.map_err(|error| self.lost(&error))
    }

    fn say(&self, parts: &[&[u8]]) -> Result<(), Trouble> {
        let timeout = Duration::from_secs(self.timeouts.reply_s.max(1).into());
        self.stream
            .set_timeouts(timeout)
            .and_then(|()| self.stream.write_all(&parts.concat()))
            .map_err(|error| self.lost(&error))
    }

    /// The next answer; a 421 is the end of the connection.
    fn answer(&mut self, timeout_s: u32) -> Result<Reply, Trouble> {
        let until = Instant::now() + Duration::from_secs(timeout_s.into());
        loop {
            let unread = self.input.get(self.unread.clone()).unwrap_or_default();
            let (taken, reply) = self.reader.read(unread).map_err(|fault| {
                self.ours(Status(4, 5, 0), &format!("{fault} from {}", self.host.escape_ascii()))
            })?;
            self.unread.start += taken;
            if let Some(reply) = reply {
                return if reply.code == 421 { Err(self.for_now(&reply)) } else { Ok(reply) };
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.lost(&io::ErrorKind::TimedOut.into()));
            }
            let read =
                self.stream.set_timeouts(left).and_then(|()| self.stream.read(&mut self.input));
            self.unread = match read {
                Ok(0) => return Err(self.lost(&io::ErrorKind::ConnectionReset.into())),
                Ok(read) => 0..read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => 0..0,
                Err(error) => return Err(self.lost(&error)),
            };
        }
    }

    fn lost(&self, error: &io::Error) -> Trouble {
        let is_late = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
        let words = if is_late { "timeout".to_owned() } else { error.to_string() };
        let words = words.split(" (os error").next().unwrap_or_default();
        self.ours(Status(4, 4, 2), &format!("{}: {words}", self.host.escape_ascii()))
    }

    fn ours(&self, status: Status, text: &str) -> Trouble {
        let trouble = Trouble::ours(status, text.as_bytes());
        Trouble { host: self.host.into(), ..trouble }.cleaned()
    }

    fn refused(&self, reply: &Reply) -> Outcome {
        if reply.is_permanent() {
            Outcome::Never(self.trouble(reply))
        } else {
            Outcome::Later { trouble: self.for_now(reply), scope: Scope::Recipient }
        }
    }

    /// What the server said, of a class that is tried again.
    fn for_now(&self, reply: &Reply) -> Trouble {
        let trouble = self.trouble(reply);
        Trouble { status: trouble.status.in_class(4), ..trouble }
    }

    fn trouble(&self, reply: &Reply) -> Trouble {
        let status = match &reply.status {
            Some(status) => Status(status.class, status.subject, status.detail),
            None => Status(u8::try_from(reply.code / 100).unwrap_or(4), 0, 0),
        };
        let text = reply.to_string().into_bytes().into();
        Trouble { status, text, host: self.host.into(), voice: Voice::Smtp }.cleaned()
    }
}

/// Whether an address can stand between angle brackets: nothing in it ends the path or the command.
fn is_safe(address: &[u8]) -> bool {
    address.len() <= 1024
        && !address.iter().any(|&octet| octet.is_ascii_control() || matches!(octet, b'<' | b'>'))
}
