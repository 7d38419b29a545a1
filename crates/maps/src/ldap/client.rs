//! The client's end of LDAP (RFC 4511): a simple bind, searches, and their answers, each within a deadline.
//!
//! The server's octets are believed in nothing: messages, entries and the sum of an answer have limits, and what does not
//! decode ends the connection.

use std::io;
use std::time::{Duration, Instant};

use crate::door::{Door, Server, Stream, left};

use super::ber::{self, BOOLEAN, ENUMERATED, INTEGER, OCTETS, SEQUENCE, put, put_number};

/// The longest message.
const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Messages of one answer, and their octets.
const MESSAGES_MAX: usize = 10_000;
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Result codes (RFC 4511, appendix A).
const SUCCESS: u32 = 0;
const TIME_LIMIT: u32 = 3;
const SIZE_LIMIT: u32 = 4;
const NO_SUCH_OBJECT: u32 = 32;

/// What is searched for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Query {
    pub(super) base: Vec<u8>,
    /// 0: the object itself, 1: those right below, 2: the whole tree.
    pub(super) scope: u8,
    /// On the wire.
    pub(super) filter: Vec<u8>,
}

/// What every search of a map has in common.
#[derive(Debug, Clone, Default)]
pub(super) struct Manner {
    /// 0 never, 1 when searching, 2 when finding the base, 3 always.
    pub(super) deref: u8,
    pub(super) size_max: u32,
    pub(super) time_s: u32,
    pub(super) names_only: bool,
    /// None: all.
    pub(super) attributes: Vec<Vec<u8>>,
}

/// An entry: attributes in the server's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) attributes: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The system, or the deadline.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The server speaks no LDAP, or too much.
    #[error("the server's answer makes no sense")]
    Nonsense,
    /// The server says no.
    #[error("the server says {0}")]
    Refused(u32),
}

/// A connection to a server.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    number: u32,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects.
    pub(super) fn open(
        server: &Server,
        door: &Door,
        connect_max: Duration,
        deadline: Instant,
    ) -> Result<Self, Failure> {
        Ok(Self { stream: door.connect(server, connect_max, deadline)?, number: 0 })
    }

    /// Says who we are (RFC 4511, 4.2); an empty name is nobody.
    pub(super) fn bind(
        &mut self,
        version: u32,
        name: &[u8],
        password: &[u8],
        deadline: Instant,
    ) -> Result<(), Failure> {
        let mut content = Vec::new();
        put_number(&mut content, INTEGER, version);
        put(&mut content, OCTETS, name);
        put(&mut content, 0x80, password);
        self.send(0x60, &content, deadline)?;
        let (tag, content) = self.receive(deadline)?;
        match (tag, result_code(&content)) {
            (0x61, Some(SUCCESS)) => Ok(()),
            (0x61, Some(code)) => Err(Failure::Refused(code)),
            _ => Err(Failure::Nonsense),
        }
    }

    /// Searches (RFC 4511, 4.5).
    pub(super) fn search(
        &mut self,
        query: &Query,
        manner: &Manner,
        deadline: Instant,
    ) -> Result<Vec<Entry>, Failure> {
        let mut content = Vec::new();
        put(&mut content, OCTETS, &query.base);
        put(&mut content, ENUMERATED, &[query.scope]);
        put(&mut content, ENUMERATED, &[manner.deref]);
        put_number(&mut content, INTEGER, manner.size_max);
        put_number(&mut content, INTEGER, manner.time_s);
        put(&mut content, BOOLEAN, &[if manner.names_only { 0xff } else { 0 }]);
        content.extend_from_slice(&query.filter);
        let mut names = Vec::new();
        for name in &manner.attributes {
            put(&mut names, OCTETS, name);
        }
        put(&mut content, SEQUENCE, &names);
        self.send(0x63, &content, deadline)?;
        self.entries(deadline)
    }

    fn entries(&mut self, deadline: Instant) -> Result<Vec<Entry>, Failure> {
        let mut entries = Vec::new();
        let mut octets = 0_usize;
        for _ in 0..MESSAGES_MAX {
            let (tag, content) = self.receive(deadline)?;
            octets = octets.saturating_add(content.len());
            if octets > ANSWER_BYTES_MAX {
                return Err(Failure::Nonsense);
            }
            match tag {
                0x64 => entries.push(entry(&content).ok_or(Failure::Nonsense)?),
                0x65 => {
                    return match result_code(&content).ok_or(Failure::Nonsense)? {
                        SUCCESS | SIZE_LIMIT | NO_SUCH_OBJECT => Ok(entries),
                        TIME_LIMIT => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
                        code => Err(Failure::Refused(code)),
                    };
                }
                // References to other servers and what is said in between are left aside.
                0x73 | 0x79 => {}
                _ => return Err(Failure::Nonsense),
            }
        }
        Err(Failure::Nonsense)
    }

    fn send(&mut self, tag: u8, content: &[u8], deadline: Instant) -> Result<(), Failure> {
        self.number = self.number.wrapping_add(1).max(1) & 0x7fff_ffff;
        let mut operation = Vec::new();
        put_number(&mut operation, INTEGER, self.number);
        put(&mut operation, tag, content);
        let mut message = Vec::new();
        put(&mut message, SEQUENCE, &operation);
        self.stream.limit(left(deadline)?)?;
        self.stream.write_all(&message)?;
        Ok(())
    }

    /// The next message that answers the last question: its operation.
    fn receive(&mut self, deadline: Instant) -> Result<(u8, Vec<u8>), Failure> {
        for _ in 0..MESSAGES_MAX {
            let message = self.message(deadline)?;
            let mut rest = message.as_slice();
            let number = ber::expect(&mut rest, INTEGER).and_then(ber::number);
            let (tag, content) = ber::take(&mut rest).ok_or(Failure::Nonsense)?;
            match number {
                Some(number) if number == self.number => return Ok((tag, content.to_vec())),
                // An answer to a question that was given up.
                Some(1..) => {}
                // The server takes its leave (RFC 4511, 4.4.1).
                _ => return Err(Failure::Nonsense),
            }
        }
        Err(Failure::Nonsense)
    }

    /// One message without its frame.
    fn message(&mut self, deadline: Instant) -> Result<Vec<u8>, Failure> {
        let mut head = vec![0; 2];
        self.read(&mut head, deadline)?;
        let more = match head.as_slice() {
            [SEQUENCE, first] if first & 0x80 != 0 => usize::from(first & 0x7f),
            [SEQUENCE, _] => 0,
            _ => return Err(Failure::Nonsense),
        };
        if more > 4 {
            return Err(Failure::Nonsense);
        }
        let mut octets = vec![0; more];
        self.read(&mut octets, deadline)?;
        head.extend_from_slice(&octets);
        let length = ber::length(head.get(1..).unwrap_or_default());
        let (length, _) = length.ok_or(Failure::Nonsense)?;
        if length > MESSAGE_BYTES_MAX {
            return Err(Failure::Nonsense);
        }
        let mut content = vec![0; length];
        self.read(&mut content, deadline)?;
        Ok(content)
    }

    /// Fills `into`. A server that sends an octet now and then does not stretch the deadline.
    fn read(&mut self, into: &mut [u8], deadline: Instant) -> Result<(), Failure> {
        let mut rest = into;
        while !rest.is_empty() {
            self.stream.limit(left(deadline)?)?;
            let count = match self.stream.read(rest) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                Err(error) => return Err(error.into()),
            };
            rest = rest.get_mut(count..).unwrap_or_default();
        }
        Ok(())
    }
}

/// The code of a result (RFC 4511, 4.1.9).
fn result_code(content: &[u8]) -> Option<u32> {
    let mut rest = content;
    ber::number(ber::expect(&mut rest, ENUMERATED)?)
}

fn entry(content: &[u8]) -> Option<Entry> {
    let mut rest = content;
    ber::expect(&mut rest, OCTETS)?;
    let mut list = ber::expect(&mut rest, SEQUENCE)?;
    let mut attributes = Vec::new();
    while !list.is_empty() {
        let mut attribute = ber::expect(&mut list, SEQUENCE)?;
        let name = ber::expect(&mut attribute, OCTETS)?.to_vec();
        let (_, mut set) = ber::take(&mut attribute)?;
        let mut values = Vec::new();
        while !set.is_empty() {
            values.push(ber::expect(&mut set, OCTETS)?.to_vec());
        }
        attributes.push((name, values));
    }
    Some(Entry { attributes })
}
