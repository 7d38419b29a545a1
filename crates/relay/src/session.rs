//! One connection: octets between a socket and the client machine.
//!
//! Everything that is to be said goes out in one write; everything that has come is read at once. Buffers
//! live as long as the connection. A server may take as long as the settings allow for each
//! answer, counted from our last octet to the last of its own: one that sends an octet now and then
//! gains nothing by it.

use crate::client::{Client, Patience, Want};
use crate::mx::Hop;
use crate::pool::Terms;
use crate::{Body, Job};
use policy::settings::Timeouts;
use queue::{Outcome, Scope, Status, Trouble};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Octets that are read at once.
const READ_BYTES: usize = 16 * 1024;

/// A message that lies in a file goes out in pieces of so many octets.
const PIECE_BYTES: usize = 128 * 1024;

/// A buffer that grew above this for one message is given back after it.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// What came of a transaction.
pub(crate) enum Finish {
    /// Each recipient has its outcome; the connection is good for another.
    Kept(Vec<(u32, Outcome)>),
    /// Each recipient has its outcome; the connection is gone.
    Closed(Vec<(u32, Outcome)>),
    /// The connection was lost before the server said anything about this transaction: it may be
    /// tried again on another. The outcome is for when it may not.
    Untouched(Outcome),
}

/// A connection whose server has let us in.
pub(crate) struct Connection {
    stream: TcpStream,
    client: Client,
    timeouts: Timeouts,
    input: Box<[u8]>,
    piece: Vec<u8>,
}

impl Connection {
    /// Waits for the greeting and says hello.
    ///
    /// # Errors
    /// Why the server does not let us in.
    pub(crate) async fn open(hop: &Hop, stream: TcpStream, terms: &Terms) -> Result<Self, Trouble> {
        let mut connection = Self {
            stream,
            client: Client::new(&terms.host_name, &hop.name),
            timeouts: terms.timeouts,
            input: vec![0; READ_BYTES].into(),
            piece: Vec::new(),
        };
        connection.converse().await;
        match connection.client.gone() {
            Some(trouble) => Err(trouble.clone()),
            None => Ok(connection),
        }
    }

    /// Carries out a transaction.
    pub(crate) async fn transact(&mut self, job: &Job) -> Finish {
        self.client.begin(&job.batch);
        self.converse().await;
        if self.client.want() == Want::Body {
            match self.send_body(&job.body).await {
                Ok(()) => self.converse().await,
                // Half a message is on its way: only the end of the connection can stop it.
                Err(error) => {
                    self.client.lose(Status(4, 3, 0), &format!("message file: {error}"));
                }
            }
        }
        if self.client.out.capacity() > KEPT_BYTES_MAX {
            self.client.out = Vec::new();
        }
        match self.client.gone() {
            None => Finish::Kept(self.client.results()),
            Some(trouble) if self.client.is_untouched() => Finish::Untouched(Outcome::Later {
                trouble: trouble.clone(),
                scope: Scope::Destination,
            }),
            Some(_) => Finish::Closed(self.client.results()),
        }
    }

    /// Waits until the server closes an idle connection, or says something nobody asked for:
    /// whatever it is, nothing good can come of it.
    pub(crate) async fn closed(&mut self) {
        drop(read(&self.stream, &mut self.input).await);
    }

    /// Says goodbye, if that can be said at once, and closes.
    pub(crate) fn quit(mut self) {
        if self.client.gone().is_none() {
            self.client.quit();
            self.stream.try_write(&self.client.out).unwrap_or_default();
        }
    }

    /// Talks until the machine wants something else than an answer.
    async fn converse(&mut self) {
        self.flush(Duration::from_secs(self.timeouts.reply_s.into())).await;
        let mut waited: Option<(Patience, Instant)> = None;
        while let Want::Answer(patience) = self.client.want() {
            let until = match waited {
                Some((before, until)) if before == patience => until,
                _ => Instant::now() + self.timeout(patience),
            };
            waited = Some((patience, until));
            let answers = self.client.answers();
            match tokio::time::timeout_at(until, read(&self.stream, &mut self.input)).await {
                Ok(Ok(0)) => self.client.lose(Status(4, 4, 2), &self.lost("closed by the server")),
                Ok(Ok(count)) => {
                    self.client.receive(self.input.get(..count).unwrap_or_default());
                }
                Ok(Err(error)) => {
                    let words = error.to_string();
                    let words = words.split(" (os error").next().unwrap_or_default();
                    self.client.lose(Status(4, 4, 2), &self.lost(words));
                }
                Err(_elapsed) => {
                    self.client.lose(Status(4, 4, 2), &self.lost("Timeout waiting for an answer"));
                }
            }
            if self.client.answers() != answers {
                waited = None;
            }
            self.flush(self.timeout(patience)).await;
        }
    }

    fn lost(&self, why: &str) -> String {
        format!("{}: {why}", self.client.host().escape_ascii())
    }

    fn timeout(&self, patience: Patience) -> Duration {
        let seconds = match patience {
            Patience::Greeting => self.timeouts.greeting_s,
            Patience::Command => self.timeouts.reply_s,
            Patience::Data => self.timeouts.data_s,
            Patience::Dot => self.timeouts.dot_s,
        };
        Duration::from_secs(seconds.into())
    }

    /// Writes what is to be said. A server that takes nothing is lost as one that says nothing.
    async fn flush(&mut self, timeout: Duration) {
        if self.client.out.is_empty() {
            return;
        }
        let written = self.stream.try_write(&self.client.out).unwrap_or(0);
        let rest = self.client.out.get(written..).unwrap_or_default();
        if !rest.is_empty() {
            let sent = tokio::time::timeout(timeout, self.stream.write_all(rest)).await;
            // A broken connection is seen when it is read: the server's last words may still be
            // there, and they are better than ours.
            if sent.is_err() {
                let text = self.lost("Timeout while sending");
                self.client.lose(Status(4, 4, 2), &text);
            }
        }
        self.client.out.clear();
    }

    async fn send_body(&mut self, body: &Body) -> io::Result<()> {
        let timeout = Duration::from_secs(self.timeouts.data_s.into());
        match body {
            Body::Bytes(bytes) => self.client.write_body(bytes),
            Body::File { file, start, size } => {
                let mut piece = std::mem::take(&mut self.piece);
                piece.resize(PIECE_BYTES, 0);
                let (mut at, mut left) = (*start, *size);
                while left > 0 && self.client.gone().is_none() {
                    let most = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
                    let room = piece.get_mut(..most).unwrap_or_default();
                    let count = file.read_at(room, at)?;
                    if count == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    self.client.write_body(room.get(..count).unwrap_or_default());
                    let count = u64::try_from(count).unwrap_or(left);
                    left = left.saturating_sub(count);
                    at = at.saturating_add(count);
                    self.flush(timeout).await;
                }
                self.piece = piece;
            }
        }
        if self.client.gone().is_none() {
            self.client.end_body();
        }
        Ok(())
    }
}

/// Reads what is there, or waits for it.
async fn read(stream: &TcpStream, input: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.try_read(input) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.readable().await?,
            done => return done,
        }
    }
}
