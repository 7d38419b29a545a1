//! Q and X lines: a name, then equates (`P=/path`) with commas between (manual, sections 5.11 and 5.12).

use crate::read::chars::{is_space, trim_start};
use crate::read::values::munch;
use alloc::vec::Vec;

/// The name of a line and its equates.
#[must_use]
pub fn split(line: &[u8]) -> (&[u8], Equates<'_>) {
    let length = line.iter().take_while(|octet| **octet != b',' && !is_space(**octet)).count();
    let (name, rest) = line.split_at_checked(length).unwrap_or((line, b""));
    (name, Equates { rest })
}

/// The equates of a line: letter and value; the letter alone where `=` is missing, which ends them.
#[derive(Debug, Clone)]
pub struct Equates<'a> {
    rest: &'a [u8],
}

impl Iterator for Equates<'_> {
    type Item = (u8, Option<Vec<u8>>);

    fn next(&mut self) -> Option<Self::Item> {
        let between = |octet: &&u8| **octet == b',' || is_space(**octet);
        let skip = self.rest.iter().take_while(between).count();
        let rest = self.rest.get(skip..).unwrap_or_default();
        let (field, behind) = rest.split_first()?;
        let skip = behind.iter().take_while(|octet| !matches!(**octet, b'=' | b',')).count();
        let Some((b'=', value)) = behind.get(skip..).and_then(<[u8]>::split_first) else {
            self.rest = b"";
            return Some((*field, None));
        };
        let (value, behind) = munch(trim_start(value), b',');
        self.rest = behind;
        Some((*field, Some(value)))
    }
}

/// What sendmail says of a Q line.
pub fn queue_group(line: &[u8], complaints: &mut Vec<Vec<u8>>) {
    let (name, equates) = split(line);
    if name.is_empty() {
        complaints.push(b"name required for queue".to_vec());
        return;
    }
    for (field, value) in equates {
        let Some(value) = value else {
            complaints.push([b"queue ", name, b": `=' expected".as_slice()].concat());
            return;
        };
        match field {
            b'P' if value.is_empty() => {
                complaints.push([b"queue ", name, b": empty path name".as_slice()].concat());
            }
            b'P' | b'F' | b'N' | b'I' | b'R' | b'J' | b'r' => {}
            _ => complaints.push([b"Q", name, b": unknown queue equate ", &[field], b"="].concat()),
        }
    }
}

/// What sendmail says of an X line.
pub fn filter(line: &[u8], complaints: &mut Vec<Vec<u8>>) {
    let (name, equates) = split(line);
    let mut has_socket = false;
    for (field, value) in equates {
        let Some(value) = value else {
            complaints.push([b"X", name, b": `=' expected".as_slice()].concat());
            return;
        };
        match field {
            b'S' => has_socket = !value.is_empty(),
            b'F' => {}
            b'T' => filter_times(name, &value, complaints),
            _ => {
                complaints.push([b"X", name, b": unknown filter equate ", &[field], b"="].concat());
            }
        }
    }
    if !has_socket {
        complaints.push([b"X", name, b": empty or missing socket information".as_slice()].concat());
    }
}

fn filter_times(name: &[u8], value: &[u8], complaints: &mut Vec<Vec<u8>>) {
    for part in value.split(|octet| matches!(octet, b',' | b';')).map(trim_start) {
        let Some(letter) = part.first() else { continue };
        if !part.contains(&b':') {
            complaints.push([b"X", name, b", T=: `:' expected".as_slice()].concat());
            return;
        }
        if !b"CSRE".contains(letter) {
            let text: [&[u8]; 4] = [b"X", name, b": unknown filter timeout ", &[*letter]];
            complaints.push(text.concat());
        }
    }
}
