//! Lines of the configuration: continuations put together, comments taken off, `$x` made into references.
//!
//! A line that begins with a blank or tab goes on with the one before; the line end between them stays in the text.
//! `#` begins a comment anywhere but behind a backslash or as `$#`.

use crate::macros::Macros;
use crate::read::chars::is_space;
use crate::token::meta;
use alloc::vec::Vec;

/// One line with its continuations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its octets, line ends inside included.
    pub text: Vec<u8>,
    /// The number of its last physical line: the one that sendmail's messages name.
    pub number: u32,
    /// The number of its first physical line.
    pub first: u32,
}

/// Takes the lines of a file one by one.
#[derive(Debug)]
pub struct Lines<'a> {
    rest: &'a [u8],
    number: u32,
}

impl<'a> Lines<'a> {
    /// The lines of `file`.
    #[must_use]
    pub fn new(file: &'a [u8]) -> Self {
        Self { rest: file, number: 0 }
    }
}

impl Iterator for Lines<'_> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        if self.rest.is_empty() {
            return None;
        }
        let mut text: Vec<u8> = Vec::new();
        let first = self.number.saturating_add(1);
        loop {
            let length = self.rest.iter().position(|octet| *octet == b'\n');
            let Some(length) = length else {
                text.extend_from_slice(self.rest);
                self.rest = b"";
                break;
            };
            let (line, behind) = self.rest.split_at_checked(length).unwrap_or((self.rest, b""));
            text.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
            self.rest = behind.get(1..).unwrap_or_default();
            self.number = self.number.saturating_add(1);
            if !matches!(self.rest.first(), Some(b' ' | b'\t')) {
                break;
            }
            text.push(b'\n');
        }
        if let Some(end) = text.iter().position(|octet| *octet == 0) {
            text.truncate(end);
        }
        Some(Line { text, number: self.number, first })
    }
}

/// Takes comments off and makes `$x` and `${name}` into references; names become known by it.
pub fn translate(
    line: &[u8],
    macros: &mut Macros,
    has_comments: bool,
    complaints: &mut Vec<Vec<u8>>,
) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(line.len());
    let mut at = 0_usize;
    while let Some(octet) = line.get(at).copied() {
        at = at.saturating_add(1);
        match octet {
            b'#' if at > 1 && has_comments => match out.last() {
                Some(&meta::MACRO) => out.push(b'#'),
                Some(b'\\') => {
                    out.pop();
                    out.push(b'#');
                }
                _ => {
                    while out.len() > 1 && out.last().is_some_and(|last| is_blank_of_line(*last)) {
                        out.pop();
                    }
                    let rest = line.get(at..).unwrap_or_default();
                    match rest.iter().position(|octet| *octet == b'\n') {
                        Some(end) => at = at.saturating_add(end),
                        None => break,
                    }
                }
            },
            b'$' => match line.get(at) {
                None => out.push(b'$'),
                Some(b'$') => {
                    out.push(b'$');
                    at = at.saturating_add(1);
                }
                Some(_) => {
                    out.push(meta::MACRO);
                    // `$#` is looked at once more by the arm above, through what was just put down.
                    if let Some(operator @ (b'=' | b'~' | b'&' | b'?')) = line.get(at) {
                        out.push(*operator);
                        at = at.saturating_add(1);
                    }
                    let name = macros.read_name(line.get(at..).unwrap_or_default());
                    complaints.extend(name.complaints);
                    if name.id != 0 {
                        out.push(name.id);
                    }
                    at = at.saturating_add(name.taken);
                }
            },
            _ => out.push(octet),
        }
    }
    while out.len() > 1 && out.last().is_some_and(|last| is_space(*last)) {
        out.pop();
    }
    out
}

fn is_blank_of_line(octet: u8) -> bool {
    octet != b'\n' && is_space(octet)
}
