//! LMTP with a program (`P=/path`, `F=z`; RFC 2033): the conversation runs over its standard input and output.
//!
//! A run is one session for one recipient, in the program's own cage. What the program answers is read by the machine that
//! talks to servers, strictly and bounded; the whole has the one deadline of a run. Neither end can hold the other up: nothing
//! here waits for one direction alone.

use super::{Agent, LOOK_MS, WAIT_S, delivered, end_group, later};
use crate::Job;
use crate::body::Text;
use queue::{Outcome, Said, Scope, Status, Trouble, Voice};
use rustix::fs::OFlags;
use smtp::client::{self, Cause, Loss, Protocol, Session, Transaction, Want};
use std::io::{self, PipeReader, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::{Child, ChildStdin, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take to end behind QUIT.
const FAREWELL: Duration = Duration::from_secs(2);

/// Octets that are read at once.
const READ_BYTES: usize = 4096;

impl Agent<'_> {
    /// Runs the program for one recipient and tells it the message.
    pub(super) fn run_lmtp(&self, arguments: &[Vec<u8>], job: &Job<'_>) -> io::Result<Outcome> {
        let (output, theirs) = io::pipe()?;
        let mut child = self.start(arguments, Stdio::from(theirs), Stdio::null())?;
        let seconds = if self.program.wait_s == 0 { WAIT_S } else { self.program.wait_s };
        let until = Instant::now() + Duration::from_secs(seconds.into());
        let talked = match child.stdin.take() {
            Some(input) => {
                let session = Session::new(Protocol::Lmtp, self.our_name);
                Line { session, input, output, until }.deliver(job)
            }
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        wait_a_little(&mut child)?;
        end_group(&child);
        child.wait()?;
        talked
    }
}

/// Gives a program that has heard QUIT the time to end.
fn wait_a_little(child: &mut Child) -> io::Result<()> {
    let until = Instant::now() + FAREWELL;
    while child.try_wait()?.is_none() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(LOOK_MS));
    }
    Ok(())
}

/// A session and the program at its other end.
struct Line {
    session: Session,
    input: ChildStdin,
    output: PipeReader,
    until: Instant,
}

impl Line {
    /// Carries out one transaction and says goodbye.
    fn deliver(mut self, job: &Job<'_>) -> io::Result<Outcome> {
        for end in [self.input.as_fd(), self.output.as_fd()] {
            rustix::fs::fcntl_setfl(end, OFlags::NONBLOCK)?;
        }
        self.hear();
        let recipient = client::Recipient {
            address: job.recipient,
            is_reported: false,
            notify: None,
            original: None,
        };
        self.session.begin(&Transaction {
            sender: job.sender,
            recipients: &[recipient],
            size_bytes: job.body.size(),
            body: None,
            is_utf8: false,
            ret: None,
            envelope_id: None,
            is_own: false,
            by: None,
        });
        self.hear();
        if self.session.want() == Want::Body {
            if self.tell(job).is_err() {
                // Half a message is on its way: only the end of the conversation can stop it.
                self.session.lose(Loss::OurBody);
            }
            self.hear();
        }
        let came = self.session.results().into_iter().next();
        self.session.quit();
        self.send();
        Ok(came.map_or_else(|| later(Status(4, 3, 0), b"no answer"), outcome))
    }

    /// The message, with CR LF line ends.
    fn tell(&mut self, job: &Job<'_>) -> io::Result<()> {
        let mut text = Text::new(job, false)?;
        let mut out = Vec::new();
        job.body.read(|piece| -> io::Result<()> {
            text.push(piece, &mut out);
            self.tell_lines(&mut out);
            Ok(())
        })?;
        text.finish(&mut out);
        self.tell_lines(&mut out);
        self.session.end_body();
        Ok(())
    }

    fn tell_lines(&mut self, out: &mut Vec<u8>) {
        for line in out.split_inclusive(|&octet| octet == b'\n') {
            match line.strip_suffix(b"\n") {
                Some(line) => {
                    self.session.write_body(line);
                    self.session.write_body(b"\r\n");
                }
                None => self.session.write_body(line),
            }
        }
        out.clear();
        self.send();
    }

    /// Sends what is to be said and reads answers until nothing is awaited.
    fn hear(&mut self) {
        self.send();
        while matches!(self.session.want(), Want::Answer(_)) {
            self.wait(false);
            self.read();
            self.send();
        }
    }

    /// Sends all that is to be said; answers that come meanwhile are taken.
    fn send(&mut self) {
        while !self.session.output().is_empty() {
            match self.input.write(self.session.output()) {
                Ok(count) => drop(self.session.output().drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(true);
                    self.read();
                    if self.session.gone().is_some() {
                        // Nobody is left to hear it.
                        self.session.output().clear();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // It does not listen any more: its last words may still be there.
                Err(_) => {
                    self.session.output().clear();
                    self.read();
                    self.session.lose(Loss::Broken);
                }
            }
        }
    }

    /// Waits until something can be read, or also written; at the deadline the session is lost.
    fn wait(&mut self, wants_to_write: bool) {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return self.session.lose(Loss::Timeout);
        }
        let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
        let both = [(self.output.as_fd(), false), (self.input.as_fd(), true)];
        let watched = both.get(..if wants_to_write { 2 } else { 1 }).unwrap_or_default();
        if sys::poll::wait(watched, Some(left_ms)).is_err() {
            self.session.lose(Loss::Broken);
        }
    }

    /// Takes what the program has said by now.
    fn read(&mut self) {
        let mut piece = [0; READ_BYTES];
        match self.output.read(&mut piece) {
            Ok(0) => self.session.lose(Loss::Closed),
            Ok(count) => self.session.receive(piece.get(..count).unwrap_or_default()),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(_) => self.session.lose(Loss::Broken),
        }
    }
}

/// What the machine's outcome is for the queue.
fn outcome(came: client::Outcome) -> Outcome {
    match came {
        client::Outcome::Delivered(_) => delivered(b""),
        client::Outcome::Later(cause, _) => {
            let mut trouble = trouble(&cause);
            trouble.status = trouble.status.in_class(4);
            Outcome::Later { trouble, scope: Scope::Recipient }
        }
        client::Outcome::Never(cause) => Outcome::Never(trouble(&cause)),
    }
}

fn trouble(cause: &Cause) -> Trouble {
    let status = cause.reply().and_then(|reply| reply.status).unwrap_or_else(|| cause.status());
    let status = Status(status.class, status.subject, status.detail);
    let text = cause.to_string();
    let said = cause.reply().map(|_| {
        Box::new(Said { command: Box::default(), reply: text.clone().into_bytes().into() })
    });
    let voice = if said.is_some() { Voice::Smtp } else { Voice::Local };
    Trouble { said, voice, ..Trouble::ours(status, text.as_bytes()) }.cleaned()
}
