//! Questions and answers of the domain name system (RFC 1035, section 4).
//!
//! An answer is a stranger's bytes: every name is bounded to 255 octets and its pointers may only lead back,
//! so no name goes in circles; not more records are taken than the message has octets for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest message, over TCP.
pub const MESSAGE_BYTES_MAX: usize = 65535;
const NAME_BYTES_MAX: usize = 255;
const LABEL_BYTES_MAX: usize = 63;
const HEAD_BYTES: usize = 12;
/// How many records of an answer are looked at.
const RECORDS_MAX: usize = 512;

/// Which sort of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind(pub u16);

impl Kind {
    /// An IPv4 address.
    pub const A: Self = Self(1);
    /// A name server.
    pub const NS: Self = Self(2);
    /// The true name.
    pub const CNAME: Self = Self(5);
    /// The name of an address.
    pub const PTR: Self = Self(12);
    /// A mail exchanger.
    pub const MX: Self = Self(15);
    /// Text.
    pub const TXT: Self = Self(16);
    /// An IPv6 address.
    pub const AAAA: Self = Self(28);
    /// A server of a service (RFC 2782).
    pub const SRV: Self = Self(33);

    /// The sort of this name, in any letters.
    #[must_use]
    pub fn by_name(name: &[u8]) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_slice() {
            b"A" => Self::A,
            b"NS" => Self::NS,
            b"CNAME" => Self::CNAME,
            b"PTR" => Self::PTR,
            b"MX" => Self::MX,
            b"TXT" => Self::TXT,
            b"AAAA" => Self::AAAA,
            b"SRV" => Self::SRV,
            _ => return None,
        })
    }
}

/// One record of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose record it is, with dots, none at the end.
    pub name: Vec<u8>,
    /// Its sort.
    pub kind: Kind,
    /// What it says.
    pub data: Data,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// A name (CNAME, PTR, NS), without dot at the end.
    Name(Vec<u8>),
    /// Preference and name (MX).
    Exchanger(u16, Vec<u8>),
    /// The name of the server (SRV).
    Service(Vec<u8>),
    /// All strings in a row (TXT).
    Text(Vec<u8>),
    /// An address.
    Address(IpAddr),
    /// Something else.
    Other,
}

/// A server's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The response code: 0 fine, 2 the server failed, 3 no such name.
    pub code: u8,
    /// It did not fit; ask again over TCP.
    pub is_truncated: bool,
    /// The records of the answer section.
    pub records: Vec<Record>,
}

/// Writes a question; `None` if the name is none.
#[must_use]
pub fn write_question(id: u16, name: &[u8], kind: Kind) -> Option<Vec<u8>> {
    let mut message = Vec::with_capacity(HEAD_BYTES.saturating_add(NAME_BYTES_MAX));
    message.extend_from_slice(&id.to_be_bytes());
    // Recursion is wanted; one question.
    message.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    let name = name.strip_suffix(b".").unwrap_or(name);
    if name.len().saturating_add(2) > NAME_BYTES_MAX {
        return None;
    }
    for label in name.split(|&octet| octet == b'.') {
        if label.is_empty() || label.len() > LABEL_BYTES_MAX {
            return None;
        }
        message.push(u8::try_from(label.len()).ok()?);
        message.extend_from_slice(label);
    }
    message.push(0);
    message.extend_from_slice(&kind.0.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    Some(message)
}

/// Reads the answer to a question that was written with [`write_question`]; `None` if it is none, or one to
/// something else.
#[must_use]
pub fn read_answer(question: &[u8], message: &[u8]) -> Option<Answer> {
    if message.len() > MESSAGE_BYTES_MAX || message.get(..2)? != question.get(..2)? {
        return None;
    }
    let (flags, code) = (*message.get(2)?, *message.get(3)?);
    if flags & 0x80 == 0 {
        return None;
    }
    let asked = question.get(HEAD_BYTES..)?;
    let end = HEAD_BYTES.checked_add(asked.len())?;
    if !message.get(HEAD_BYTES..end)?.eq_ignore_ascii_case(asked) {
        return None;
    }
    let mut at = end;
    let count = usize::from(u16_at(message, 6)?);
    let mut records = Vec::new();
    for _ in 0..count.min(RECORDS_MAX) {
        match record(message, at) {
            Some((record, next)) => {
                records.push(record);
                at = next;
            }
            None if flags & 2 != 0 => break,
            None => return None,
        }
    }
    Some(Answer { code: code & 15, is_truncated: flags & 2 != 0, records })
}

fn record(message: &[u8], at: usize) -> Option<(Record, usize)> {
    let (owner, at) = name(message, at)?;
    let kind = Kind(u16_at(message, at)?);
    let size = usize::from(u16_at(message, at.checked_add(8)?)?);
    let data_at = at.checked_add(10)?;
    let end = data_at.checked_add(size)?;
    let octets = message.get(data_at..end)?;
    let data = match kind {
        Kind::CNAME | Kind::PTR | Kind::NS => Data::Name(name(message, data_at)?.0),
        Kind::MX => {
            Data::Exchanger(u16_at(message, data_at)?, name(message, data_at.checked_add(2)?)?.0)
        }
        Kind::SRV => Data::Service(name(message, data_at.checked_add(6)?)?.0),
        Kind::TXT => Data::Text(strings(octets)?),
        Kind::A => Data::Address(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?))),
        Kind::AAAA => Data::Address(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?))),
        _ => Data::Other,
    };
    Some((Record { name: owner, kind, data }, end))
}

fn strings(octets: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let mut rest = octets;
    while let Some((&size, behind)) = rest.split_first() {
        let (part, more) = behind.split_at_checked(usize::from(size))?;
        text.extend_from_slice(part);
        rest = more;
    }
    Some(text)
}

/// A name and where it ends.
fn name(message: &[u8], start: usize) -> Option<(Vec<u8>, usize)> {
    let mut text = Vec::new();
    let (mut at, mut lowest, mut end) = (start, start, None);
    loop {
        let size = *message.get(at)?;
        match size {
            0 => return Some((text, end.unwrap_or(at.checked_add(1)?))),
            1..=63 => {
                let from = at.checked_add(1)?;
                let next = from.checked_add(usize::from(size))?;
                if !text.is_empty() {
                    text.push(b'.');
                }
                text.extend_from_slice(message.get(from..next)?);
                if text.len() > NAME_BYTES_MAX {
                    return None;
                }
                at = next;
            }
            192..=255 => {
                let to = usize::from(u16_at(message, at)? & 0x3fff);
                // Only back, so that it ends.
                if to >= lowest {
                    return None;
                }
                end = end.or(at.checked_add(2));
                lowest = to;
                at = to;
            }
            64..=191 => return None,
        }
    }
}

fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(message.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_answer_is_read_and_one_to_another_question_is_not() {
        let question = write_question(7, b"a.test", Kind::MX).unwrap();
        let mut message = question.clone();
        message[2] = 0x81;
        message[3] = 0x80;
        message[7] = 1;
        message.extend_from_slice(&[
            0xc0, 12, 0, 15, 0, 1, 0, 0, 0, 9, 0, 7, 0, 10, 2, b'm', b'x', 0xc0, 12,
        ]);
        let answer = read_answer(&question, &message).unwrap();
        assert_eq!(
            answer.records,
            [Record {
                name: b"a.test".to_vec(),
                kind: Kind::MX,
                data: Data::Exchanger(10, b"mx.a.test".to_vec())
            }]
        );
        assert_eq!(read_answer(&write_question(8, b"a.test", Kind::MX).unwrap(), &message), None);
        assert_eq!(read_answer(&write_question(7, b"b.test", Kind::MX).unwrap(), &message), None);
    }

    #[test]
    fn names_that_are_too_long_are_not_asked() {
        assert_eq!(write_question(1, &[b'a'; 64], Kind::A), None);
        assert_eq!(write_question(1, b"a..b", Kind::A), None);
        assert_eq!(write_question(1, &b"abcdefg.".repeat(40), Kind::A), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(tail in proptest::collection::vec(any::<u8>(), 0..300), count in 0_u8..9) {
            let question = write_question(7, b"a.test", Kind::A).unwrap();
            let mut message = question.clone();
            message[2] = 0x81;
            message[7] = count;
            message.extend(&tail);
            if let Some(answer) = read_answer(&question, &message) {
                prop_assert!(answer.records.len() <= usize::from(count));
            }
            drop(read_answer(&tail, &tail));
        }
    }
}
