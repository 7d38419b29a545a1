//! How a command talks to a running server: one connection to the control socket, a request, its answers.

use crate::edges::{HostStatus, Listed, Proof};
use crate::link::{Link, LinkError};
use crate::request::{Answer, HostsOrder, PIECE_BYTES_MAX, Request, SOCKET_NAME, Submission};
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// How long a server may take for an answer.
const ANSWER_MS: u64 = 120_000;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody serves there.
    #[error("no server is running ({0})")]
    NoServer(io::Error),
    /// The server went away, or what answered is none of ours.
    #[error("the server did not answer: {0}")]
    NoAnswer(#[from] LinkError),
    /// The server answered something else.
    #[error("the server answered what was not asked")]
    Confused,
    /// The input could not be read.
    #[error("cannot read the message: {0}")]
    Input(io::Error),
    /// The user may not do this.
    #[error("not permitted")]
    NotPermitted,
    /// The server says no, for now.
    #[error("{0}")]
    NotNow(Box<str>),
}

/// A connection to a running server.
#[derive(Debug)]
pub struct Client {
    link: Link,
}

impl Client {
    /// Connects to the server whose run folder this is.
    ///
    /// # Errors
    /// [`ClientError::NoServer`].
    pub fn connect(run: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(run.join(SOCKET_NAME)).map_err(ClientError::NoServer)?;
        stream.set_nonblocking(true).map_err(ClientError::NoServer)?;
        Ok(Self { link: Link::new(stream.into()) })
    }

    fn send(&mut self, request: &Request, tail: &[u8]) -> Result<(), ClientError> {
        self.link.send(request, tail)?;
        while !self.link.flush()? {
            sys::poll::writable(&self.link).map_err(LinkError::from)?;
        }
        Ok(())
    }

    fn answer(&mut self) -> Result<Answer, ClientError> {
        loop {
            if let Some((answer, _)) = self.link.receive::<Answer>()? {
                return match answer {
                    Answer::NotPermitted => Err(ClientError::NotPermitted),
                    Answer::NotNow(why) => Err(ClientError::NotNow(why)),
                    Answer::Stored(_)
                    | Answer::Refused(_)
                    | Answer::Listed(_)
                    | Answer::Hosts(_)
                    | Answer::Done
                    | Answer::NoSuch
                    | Answer::Processes(_)
                    | Answer::Confused => Ok(answer),
                };
            }
            let is_there =
                sys::poll::readable(&self.link, Some(ANSWER_MS)).map_err(LinkError::from)?;
            if !is_there {
                return Err(ClientError::NoAnswer(LinkError::Closed));
            }
            self.link.fill()?;
        }
    }

    /// Hands in a message with CR LF line ends. The answer is `Stored` or `Refused`.
    ///
    /// # Errors
    /// The message was not taken; nothing was promised.
    pub fn submit(
        &mut self,
        submission: Submission,
        mut text: impl Read,
    ) -> Result<Answer, ClientError> {
        self.send(&Request::Submit(submission), &[])?;
        let mut piece = vec![0; PIECE_BYTES_MAX];
        loop {
            let count = text.read(&mut piece).map_err(ClientError::Input)?;
            if count == 0 {
                break;
            }
            self.send(&Request::Body, piece.get(..count).unwrap_or_default())?;
        }
        self.send(&Request::End, &[])?;
        self.answer()
    }

    /// Everything that is queued, in parts.
    ///
    /// # Errors
    /// There is no answer.
    pub fn list(&mut self, mut each: impl FnMut(&Listed)) -> Result<(), ClientError> {
        self.send(&Request::List, &[])?;
        loop {
            match self.answer()? {
                Answer::Listed(entries) if entries.is_empty() => return Ok(()),
                Answer::Listed(entries) => entries.iter().for_each(&mut each),
                Answer::Stored(_)
                | Answer::NotNow(_)
                | Answer::Refused(_)
                | Answer::Hosts(_)
                | Answer::Done
                | Answer::NoSuch
                | Answer::Processes(_)
                | Answer::NotPermitted
                | Answer::Confused => return Err(ClientError::Confused),
            }
        }
    }

    /// What is known of other hosts, the last one that was tried first.
    ///
    /// # Errors
    /// There is no answer.
    pub fn hosts(&mut self, each: &mut dyn FnMut(HostStatus)) -> Result<(), ClientError> {
        self.send(&Request::Hosts(HostsOrder::List), &[])?;
        loop {
            let Answer::Hosts(hosts) = self.answer()? else { return Err(ClientError::Confused) };
            if hosts.is_empty() {
                return Ok(());
            }
            hosts.into_iter().for_each(&mut *each);
        }
    }

    /// What each process may do; with deeds: tried.
    ///
    /// # Errors
    /// There is no answer, or the user may not.
    pub fn privileges(&mut self, with_deeds: bool) -> Result<Vec<Proof>, ClientError> {
        self.send(&Request::Privileges { with_deeds }, &[])?;
        let Answer::Processes(proofs) = self.answer()? else { return Err(ClientError::Confused) };
        Ok(proofs)
    }

    /// Asks for anything that is answered by `Done` or `NoSuch`. Whether it was done.
    ///
    /// # Errors
    /// There is no answer, or the user may not.
    pub fn order(&mut self, request: &Request) -> Result<bool, ClientError> {
        self.send(request, &[])?;
        match self.answer()? {
            Answer::Done => Ok(true),
            Answer::NoSuch => Ok(false),
            Answer::Stored(_)
            | Answer::NotNow(_)
            | Answer::Refused(_)
            | Answer::Listed(_)
            | Answer::Hosts(_)
            | Answer::Processes(_)
            | Answer::NotPermitted
            | Answer::Confused => Err(ClientError::Confused),
        }
    }
}
