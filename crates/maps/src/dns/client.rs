//! Asks name servers: UDP from a fresh port for each question, TCP when an answer does not fit.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::message::{Answer, Kind, MESSAGE_BYTES_MAX, read_answer, write_question};

/// What is expected over UDP.
const DATAGRAM_BYTES_MAX: usize = 4096;
/// How many servers of resolv.conf are asked.
const SERVERS_MAX: usize = 3;
/// How many domains of resolv.conf are tried.
const SEARCH_MAX: usize = 6;
/// Where name servers listen.
const PORT: u16 = 53;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Not now: no server answered, or the server failed.
    NotNow,
    /// There is no such name, or the name is none.
    NoName,
    /// The name is there, but has nothing of this sort.
    NoData,
}

/// Somebody who asks name servers in our place: where this process may not speak to them itself.
pub trait Asker: std::fmt::Debug + Send + Sync {
    /// Asks for a name as it is; an answer has at least one record.
    ///
    /// # Errors
    /// See [`Failure`].
    fn ask(&self, name: &[u8], kind: Kind) -> Result<Answer, Failure>;
}

/// The servers to ask and how.
#[derive(Debug, Clone)]
pub struct Resolver {
    asker: Option<Arc<dyn Asker>>,
    servers: Vec<SocketAddr>,
    search: Vec<Vec<u8>>,
    timeout: Duration,
    tries: u32,
}

impl Resolver {
    /// As resolv.conf(5) says; without it, the server of this machine.
    #[must_use]
    pub fn from_file(path: &Path) -> Self {
        let text = crate::text::read_bounded(path).map(|(text, _)| text).unwrap_or_default();
        let mut resolver = Self::new(Vec::new());
        for line in String::from_utf8_lossy(&text).lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    resolver.servers.extend(address.map(|address| SocketAddr::new(address, PORT)));
                }
                Some("search" | "domain") => {
                    resolver.search = words
                        .take(SEARCH_MAX)
                        .map(|word| word.trim_end_matches('.').as_bytes().to_vec())
                        .collect();
                }
                Some("options") => words.for_each(|word| resolver.option(word)),
                _ => {}
            }
        }
        if resolver.search.is_empty() {
            // Without a domain named, that of this host is searched (resolv.conf(5)).
            let name = sys::host_name();
            let dot = name.iter().position(|&octet| octet == b'.');
            let domain = dot.and_then(|dot| name.get(dot.saturating_add(1)..));
            resolver.search.extend(domain.filter(|domain| !domain.is_empty()).map(<[u8]>::to_vec));
        }
        resolver.servers.truncate(SERVERS_MAX);
        if resolver.servers.is_empty() {
            resolver.servers.push(SocketAddr::new(IpAddr::from([127, 0, 0, 1]), PORT));
        }
        resolver
    }

    /// These servers, nothing to search, 5 seconds and 2 tries.
    #[must_use]
    pub const fn new(servers: Vec<SocketAddr>) -> Self {
        Self { asker: None, servers, search: Vec::new(), timeout: Duration::from_secs(5), tries: 2 }
    }

    fn option(&mut self, word: &str) {
        if let Some(seconds) = word.strip_prefix("timeout:").and_then(|n| n.parse().ok()) {
            self.timeout = Duration::from_secs(u64::clamp(seconds, 1, 30));
        }
        if let Some(tries) = word.strip_prefix("attempts:").and_then(|n| n.parse().ok()) {
            self.tries = u32::clamp(tries, 1, 5);
        }
    }

    /// The same with somebody who asks in our place.
    #[must_use]
    pub fn by(mut self, asker: Option<Arc<dyn Asker>>) -> Self {
        self.asker = asker;
        self
    }

    /// The same with another patience: seconds for an answer, how often to ask.
    #[must_use]
    pub fn with_patience(mut self, timeout_s: Option<u64>, tries: Option<u32>) -> Self {
        if let Some(timeout) = timeout_s {
            self.timeout = Duration::from_secs(timeout.clamp(1, 60));
        }
        if let Some(tries) = tries {
            self.tries = tries.clamp(1, 10);
        }
        self
    }

    /// The domains in which names are searched.
    #[must_use]
    pub fn search(&self) -> &[Vec<u8>] {
        &self.search
    }

    /// Asks for a name as it is; an answer has at least one record.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn ask(&self, name: &[u8], kind: Kind) -> Result<Answer, Failure> {
        if let Some(asker) = &self.asker {
            return asker.ask(name, kind);
        }
        for _ in 0..self.tries {
            for server in &self.servers {
                match self.ask_server(*server, name, kind) {
                    Some(answer) if answer.code == 3 => return Err(Failure::NoName),
                    Some(answer) if answer.code != 0 => return Err(Failure::NotNow),
                    Some(answer) if answer.records.is_empty() => return Err(Failure::NoData),
                    Some(answer) => return Ok(answer),
                    None => {}
                }
                if write_question(0, name, kind).is_none() {
                    return Err(Failure::NoName);
                }
            }
        }
        Err(Failure::NotNow)
    }

    /// Asks for a name, then in the domains to search: first as it is if it has a dot (resolver(3)).
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn search_for(&self, name: &[u8], kind: Kind) -> Result<Answer, Failure> {
        if let Some(whole) = name.strip_suffix(b".") {
            return self.ask(whole, kind);
        }
        let has_dot = name.contains(&b'.');
        let mut worst = Failure::NoName;
        let searched = self.search.iter().map(|domain| [name, b".", domain].concat());
        let as_it_is = std::iter::once(name.to_vec());
        let names: Vec<_> = if has_dot {
            as_it_is.chain(searched).collect()
        } else {
            searched.chain(as_it_is).collect()
        };
        for name in names {
            match self.ask(&name, kind) {
                Ok(answer) => return Ok(answer),
                Err(Failure::NotNow) => return Err(Failure::NotNow),
                Err(Failure::NoData) => worst = Failure::NoData,
                Err(Failure::NoName) => {}
            }
        }
        Err(worst)
    }

    fn ask_server(&self, server: SocketAddr, name: &[u8], kind: Kind) -> Option<Answer> {
        let [low, high, ..] = sys::random_u128().ok()?.to_le_bytes();
        let question = write_question(u16::from_le_bytes([low, high]), name, kind)?;
        let own =
            if server.is_ipv4() { IpAddr::from([0, 0, 0, 0]) } else { IpAddr::from([0_u16; 8]) };
        let socket = UdpSocket::bind((own, 0)).ok()?;
        socket.connect(server).ok()?;
        socket.send(&question).ok()?;
        let until = Instant::now() + self.timeout;
        let mut octets = [0; DATAGRAM_BYTES_MAX];
        loop {
            let left =
                until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            socket.set_read_timeout(Some(left)).ok()?;
            let size = socket.recv(&mut octets).ok()?;
            match octets.get(..size).and_then(|message| read_answer(&question, message)) {
                Some(answer) if answer.is_truncated => {
                    return self.ask_by_tcp(server, &question).or(Some(answer));
                }
                Some(answer) => return Some(answer),
                // Someone else's: go on waiting for ours.
                None => {}
            }
        }
    }

    fn ask_by_tcp(&self, server: SocketAddr, question: &[u8]) -> Option<Answer> {
        let mut stream = TcpStream::connect_timeout(&server, self.timeout).ok()?;
        stream.set_read_timeout(Some(self.timeout)).ok()?;
        stream.set_write_timeout(Some(self.timeout)).ok()?;
        let size = u16::try_from(question.len()).ok()?;
        stream.write_all(&[&size.to_be_bytes(), question].concat()).ok()?;
        let mut size = [0; 2];
        stream.read_exact(&mut size).ok()?;
        let mut message = vec![0; usize::from(u16::from_be_bytes(size)).min(MESSAGE_BYTES_MAX)];
        stream.read_exact(&mut message).ok()?;
        read_answer(question, &message)
    }
}
