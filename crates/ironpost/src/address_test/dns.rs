//! Questions to the name server of /etc/resolv.conf, one datagram each.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// Types of records.
pub(super) mod kind {
    pub(crate) const A: u16 = 1;
    pub(crate) const CNAME: u16 = 5;
    pub(crate) const PTR: u16 = 12;
    pub(crate) const MX: u16 = 15;
    pub(crate) const TXT: u16 = 16;
    pub(crate) const AAAA: u16 = 28;
}

/// One record of an answer.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) name: Vec<u8>,
    pub(super) kind: u16,
    pub(super) preference: u16,
    /// A name, an address in text, or text.
    pub(super) data: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// No such name.
    NoName,
    /// The name is there, the record is not.
    NoRecord,
    /// Try again.
    Later,
}

pub(super) struct Resolver {
    server: SocketAddr,
    pub(super) search: Vec<Vec<u8>>,
}

impl Resolver {
    pub(super) fn new() -> Self {
        let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let mut server = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut search = Vec::new();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    if let Some(Ok(address)) = words.next().map(str::parse) {
                        server = address;
                    }
                }
                Some("search" | "domain") => {
                    search = words.map(|word| word.as_bytes().to_vec()).collect();
                }
                _ => {}
            }
        }
        Self { server: SocketAddr::new(server, 53), search }
    }

    pub(super) fn ask(&self, name: &[u8], kind: u16) -> Result<Vec<Record>, Failure> {
        let bare = name.strip_suffix(b".").unwrap_or(name);
        if bare.split(|octet| *octet == b'.').any(<[u8]>::is_empty) {
            return Err(Failure::NoName);
        }
        let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split(|octet| *octet == b'.').filter(|label| !label.is_empty()) {
            let length = u8::try_from(label.len()).ok().filter(|length| *length < 64);
            query.push(length.ok_or(Failure::NoName)?);
            query.extend_from_slice(label);
        }
        query.push(0);
        if query.len() > 267 {
            return Err(Failure::NoName);
        }
        query.extend_from_slice(&kind.to_be_bytes());
        query.extend_from_slice(&[0, 1]);
        let mut buffer = vec![0_u8; 4096];
        let length = self.exchange(&query, &mut buffer).map_err(|_| Failure::Later)?;
        read_answer(buffer.get(..length).unwrap_or_default()).unwrap_or(Err(Failure::Later))
    }

    fn exchange(&self, query: &[u8], buffer: &mut [u8]) -> std::io::Result<usize> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(self.server)?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut last = None;
        for _ in 0..2 {
            socket.send(query)?;
            match socket.recv(buffer) {
                Ok(length) => return Ok(length),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| std::io::ErrorKind::TimedOut.into()))
    }
}

fn number(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]))
}

fn read_name(message: &[u8], mut at: usize) -> Option<(Vec<u8>, usize)> {
    let mut name = Vec::new();
    let mut end = None;
    for _ in 0..128 {
        let length = usize::from(*message.get(at)?);
        if length >= 0xc0 {
            end = end.or(Some(at + 2));
            at = usize::from(number(message, at)? & 0x3fff);
            continue;
        }
        if length == 0 {
            return Some((name, end.unwrap_or(at + 1)));
        }
        if !name.is_empty() {
            name.push(b'.');
        }
        name.extend_from_slice(message.get(at + 1..at + 1 + length)?);
        at += 1 + length;
    }
    None
}

fn read_answer(message: &[u8]) -> Option<Result<Vec<Record>, Failure>> {
    let code = *message.get(3)? & 15;
    match code {
        0 => {}
        3 => return Some(Err(Failure::NoName)),
        _ => return Some(Err(Failure::Later)),
    }
    let count = number(message, 6)?;
    let (_, mut at) = read_name(message, 12)?;
    at += 4;
    let mut records = Vec::new();
    for _ in 0..count {
        let (name, next) = read_name(message, at)?;
        let kind = number(message, next)?;
        let length = usize::from(number(message, next + 8)?);
        let start = next + 10;
        let raw = message.get(start..start + length)?;
        let mut preference = 0;
        let data = match (kind, raw) {
            (kind::A, [a, b, c, d]) => format!("{a}.{b}.{c}.{d}").into_bytes(),
            (kind::AAAA, _) => {
                let octets: [u8; 16] = raw.try_into().ok()?;
                std::net::Ipv6Addr::from(octets).to_string().into_bytes()
            }
            (kind::CNAME | kind::PTR, _) => read_name(message, start)?.0,
            (kind::MX, _) => {
                preference = number(message, start)?;
                read_name(message, start + 2)?.0
            }
            (kind::TXT, [length, text @ ..]) => text.get(..usize::from(*length))?.to_vec(),
            _ => raw.to_vec(),
        };
        records.push(Record { name, kind, preference, data });
        at = start + length;
    }
    if records.is_empty() {
        return Some(Err(Failure::NoRecord));
    }
    Some(Ok(records))
}
