//! Replies (RFC 5321, 4.2; RFC 2034): written by our server, read by our client.
//!
//! Reading believes nobody: three digits, a bounded line, a bounded number of lines, one code throughout; and what is kept
//! of the text is printable ASCII, so that it can stand in a log, a report or a reply of ours.

use alloc::{boxed::Box, vec, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::escape;
use crate::line::{Line, LineReader};
use crate::status::Status;

/// Octets of a line that is read, its end included (RFC 5321, 4.5.3.1.5 says 512; many send more).
pub const REPLY_LINE_BYTES_MAX: usize = 2048;
/// Octets of a line that a loose reader keeps, without the end.
const LOOSE_LINE_BYTES_MAX: usize = REPLY_LINE_BYTES_MAX - 2;
/// Octets of a line that it passes over at most.
const LOOSE_SKIPPED_BYTES_MAX: usize = 64 * 1024;
/// Lines of a reply that is read.
pub const REPLY_LINES_MAX: usize = 128;
/// Octets of text that are kept of a line.
pub const REPLY_TEXT_BYTES_MAX: usize = 1000;

/// A reply: a code, perhaps an enhanced status, and one or more lines of text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// 200 to 599; 100 to 999 if it was read loosely.
    pub code: u16,
    /// The enhanced status code of the last line.
    pub status: Option<Status>,
    /// The text of each line, without codes; never none.
    pub lines: Vec<Box<[u8]>>,
}

impl Reply {
    /// A reply of one line.
    #[must_use]
    pub fn new(code: u16, status: Option<Status>, text: &[u8]) -> Self {
        Self { code, status, lines: vec![text.into()] }
    }

    /// 2yz: done.
    #[must_use]
    pub const fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// 3yz: go on.
    #[must_use]
    pub const fn is_intermediate(&self) -> bool {
        self.code / 100 == 3
    }

    /// 4yz: not now.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        self.code / 100 == 4
    }

    /// 5yz: never.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// Appends the reply to `out`, as the wire wants it.
    pub fn write(&self, out: &mut Vec<u8>) {
        let last = self.lines.len().saturating_sub(1);
        for (at, line) in self.lines.iter().enumerate() {
            write_line(self.code, self.status, at == last, line, out);
        }
    }
}

/// Appends one line of a reply. What is not printable in `text` is escaped: a reply cannot be split from inside.
pub fn write_line(
    code: u16,
    status: Option<Status>,
    is_last: bool,
    text: &[u8],
    out: &mut Vec<u8>,
) {
    digits(code, out);
    out.push(if is_last { b' ' } else { b'-' });
    if let Some(status) = status {
        digits(status.class.into(), out);
        out.push(b'.');
        digits(status.subject, out);
        out.push(b'.');
        digits(status.detail, out);
        out.push(b' ');
    }
    escape::printable(text, out);
    out.extend_from_slice(b"\r\n");
}

fn digits(value: u16, out: &mut Vec<u8>) {
    let mut is_leading = true;
    for unit in [10_000_u16, 1000, 100, 10, 1] {
        let digit = value.checked_div(unit).unwrap_or(0) % 10;
        let digit = u8::try_from(digit).unwrap_or(0);
        is_leading = is_leading && digit == 0 && unit != 1;
        if !is_leading {
            out.push(b'0'.wrapping_add(digit));
        }
    }
}

impl fmt::Display for Reply {
    /// One line: code, status, and the texts with spaces between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(status) = self.status {
            write!(f, " {status}")?;
        }
        self.lines.iter().try_for_each(|line| write!(f, " {}", escape::text(line)))
    }
}

/// What is wrong with a server's reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyFault {
    /// Not three digits from 200 to 599 followed by space, hyphen or nothing.
    NotAReply,
    /// The code changes from line to line.
    CodeChanges,
    /// A line above [`REPLY_LINE_BYTES_MAX`].
    LongLine,
    /// More than [`REPLY_LINES_MAX`] lines.
    ManyLines,
}

impl fmt::Display for ReplyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAReply => "not an SMTP reply",
            Self::CodeChanges => "reply code changes within a reply",
            Self::LongLine => "reply line too long",
            Self::ManyLines => "too many reply lines",
        })
    }
}

impl core::error::Error for ReplyFault {}

/// Reads replies that arrive in pieces.
#[derive(Debug)]
pub struct ReplyReader {
    line: LineReader,
    is_loose: bool,
    code: Option<u16>,
    lines: Vec<Box<[u8]>>,
    /// Octets of the unfinished line, of which a loose reader keeps the first ones.
    length: usize,
}

impl Default for ReplyReader {
    fn default() -> Self {
        Self {
            line: LineReader::new(REPLY_LINE_BYTES_MAX),
            is_loose: false,
            code: None,
            lines: Vec::new(),
            length: 0,
        }
    }
}

impl ReplyReader {
    /// A reader as sendmail has one, for servers that are strange but mean well: what is no reply is passed over, as if it had
    /// not been said; the code of the last line counts. Lengths are bounded as ever, and the time is the caller's.
    #[must_use]
    pub fn loose() -> Self {
        Self { is_loose: true, ..Self::default() }
    }

    /// Takes octets up to the end of the next reply. Returns how many were taken.
    ///
    /// Lines that end in a lone LF are read, as sendmail does: a server's text starts nothing here.
    ///
    /// # Errors
    /// [`ReplyFault`]: this is no SMTP server, or a hostile one; the connection cannot be used any more.
    pub fn read(&mut self, input: &[u8]) -> Result<(usize, Option<Reply>), ReplyFault> {
        let mut taken = 0usize;
        while let Some(rest) = input.get(taken..)
            && !rest.is_empty()
        {
            let (count, line) = if self.is_loose {
                cut(&mut self.line, &mut self.length, rest)?
            } else {
                self.line.read(rest)
            };
            taken = taken.saturating_add(count);
            let text = match line {
                None => continue,
                Some(Line::TooLong(_)) => return Err(ReplyFault::LongLine),
                Some(Line::Whole { text, .. }) => text,
            };
            let (code, is_last, text) = match split(text, self.is_loose) {
                Some(parts) => parts,
                None if self.is_loose => continue,
                None => return Err(ReplyFault::NotAReply),
            };
            if !self.is_loose && *self.code.get_or_insert(code) != code {
                return Err(ReplyFault::CodeChanges);
            }
            self.code = Some(code);
            if self.lines.len() >= REPLY_LINES_MAX {
                return Err(ReplyFault::ManyLines);
            }
            let (status, text) = match Status::split(text, code) {
                Some((status, text)) => (Some(status), text),
                None => (None, text),
            };
            self.lines.push(cleaned(text));
            if is_last {
                self.code = None;
                let lines = core::mem::take(&mut self.lines);
                return Ok((taken, Some(Reply { code, status, lines })));
            }
        }
        // An endless line is a fault when it passes the limit, not when it ends.
        if self.line.is_inside_line() && self.line.unfinished().is_empty() {
            return Err(ReplyFault::LongLine);
        }
        Ok((taken, None))
    }

    /// Whether a part of a reply has been read.
    #[must_use]
    pub fn is_inside_reply(&self) -> bool {
        self.code.is_some() || self.line.is_inside_line()
    }
}

/// Reads octets of one line, of which `length` were read before; what is too long is cut, and the rest of it passed over.
fn cut<'l>(
    reader: &'l mut LineReader,
    length: &mut usize,
    input: &'l [u8],
) -> Result<(usize, Option<Line<'l>>), ReplyFault> {
    let end = input.iter().position(|&octet| octet == b'\n');
    let count = end.map_or(input.len(), |end| end.saturating_add(1));
    let piece = input.get(..count).unwrap_or(input);
    let room = LOOSE_LINE_BYTES_MAX.saturating_sub(*length);
    *length = length.saturating_add(count);
    if *length > LOOSE_SKIPPED_BYTES_MAX {
        return Err(ReplyFault::LongLine);
    }
    if end.is_some() {
        *length = 0;
    }
    if count <= room {
        return Ok((count, reader.read(piece).1));
    }
    if room > 0 {
        reader.read(piece.get(..room).unwrap_or_default());
    }
    let line = if end.is_some() { reader.read(b"\n").1 } else { None };
    Ok((count, line))
}

fn split(line: &[u8], is_loose: bool) -> Option<(u16, bool, &[u8])> {
    let (&[a, b, c], rest) = line.split_first_chunk::<3>()?;
    let is_class =
        if is_loose { a != b'0' && a.is_ascii_digit() } else { matches!(a, b'2'..=b'5') };
    if !(is_class && b.is_ascii_digit() && c.is_ascii_digit()) {
        return None;
    }
    let code = [a, b, c].into_iter().fold(0u16, |code, digit| {
        code.saturating_mul(10).saturating_add(u16::from(digit.wrapping_sub(b'0')))
    });
    match rest {
        [] => Some((code, true, rest)),
        [b' ', text @ ..] => Some((code, true, text)),
        [b'-', text @ ..] => Some((code, false, text)),
        [_, text @ ..] if is_loose => Some((code, true, text)),
        _ => None,
    }
}

/// The text with escapes for what is not printable; not longer than the limit.
fn cleaned(text: &[u8]) -> Box<[u8]> {
    let mut out = Vec::new();
    let plain: Vec<u8> = text
        .iter()
        .take(REPLY_TEXT_BYTES_MAX)
        .map(|&octet| if octet == b'\t' { b' ' } else { octet })
        .collect();
    escape::printable_within(&plain, REPLY_TEXT_BYTES_MAX, &mut out);
    out.into()
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use proptest::prelude::*;

    use super::*;

    fn read(stream: &[u8], piece: usize) -> Result<Vec<Reply>, ReplyFault> {
        let mut reader = ReplyReader::default();
        let mut replies = vec![];
        for mut piece in stream.chunks(piece) {
            while !piece.is_empty() {
                let (taken, reply) = reader.read(piece)?;
                replies.extend(reply);
                piece = &piece[taken..];
            }
        }
        Ok(replies)
    }

    #[test]
    fn a_reply_of_several_lines_is_written_and_read() {
        let reply = Reply {
            code: 250,
            status: Some(Status::new(2, 1, 5)),
            lines: vec![b"one"[..].into(), b"two"[..].into()],
        };
        let mut out = vec![];
        reply.write(&mut out);
        assert_eq!(out, b"250-2.1.5 one\r\n250 2.1.5 two\r\n");
        assert_eq!(read(&out, 1).unwrap(), vec![reply.clone()]);
        assert_eq!(reply.to_string(), "250 2.1.5 one two");
    }

    #[test]
    fn a_reply_cannot_be_split_by_what_it_quotes() {
        let mut out = vec![];
        Reply::new(500, None, b"\"a\r\n250 ok\x8a\"").write(&mut out);
        assert_eq!(out, b"500 \"a\\015\\012250 ok\\212\"\r\n");
    }

    #[test]
    fn what_is_no_reply_is_a_fault() {
        for (stream, fault) in [
            (&b"HTTP/1.1 400 Bad\r\n"[..], ReplyFault::NotAReply),
            (b"25 ok\r\n", ReplyFault::NotAReply),
            (b"2500 ok\r\n", ReplyFault::NotAReply),
            (b"150 ok\r\n", ReplyFault::NotAReply),
            (b"650 ok\r\n", ReplyFault::NotAReply),
            (b"\r\n", ReplyFault::NotAReply),
            (b"250-a\r\n251 b\r\n", ReplyFault::CodeChanges),
        ] {
            assert_eq!(read(stream, 4), Err(fault));
        }
    }

    #[test]
    fn a_loose_reader_passes_over_what_is_no_reply() {
        let mut reader = ReplyReader::loose();
        let stream = b"hello\r\n\r\n250-one\ntwo\r\n550 three\r\n199 odd\r\n";
        let (taken, first) = reader.read(stream).unwrap();
        let (rest, second) = reader.read(&stream[taken..]).unwrap();
        assert_eq!(taken + rest, stream.len());
        let codes = [first, second].map(|reply| reply.map(|reply| (reply.code, reply.lines.len())));
        assert_eq!(codes, [Some((550, 2)), Some((199, 1))]);
    }

    #[test]
    fn a_loose_reader_cuts_a_long_line_and_gives_up_on_an_endless_one() {
        let long = [b"550 5.1.1 ".as_slice(), &[b'x'; 5000], b"\r\n250 ok\r\n"].concat();
        for piece in [1, 7, 1000, long.len()] {
            let (mut reader, mut replies) = (ReplyReader::loose(), Vec::new());
            for mut piece in long.chunks(piece) {
                while !piece.is_empty() {
                    let (taken, reply) = reader.read(piece).unwrap();
                    replies.extend(reply);
                    piece = &piece[taken..];
                }
            }
            let codes: Vec<u16> = replies.iter().map(|reply| reply.code).collect();
            assert_eq!(codes, [550, 250]);
            assert!(replies[0].lines[0].starts_with(b"xxx"));
        }
        let endless = vec![b'x'; LOOSE_SKIPPED_BYTES_MAX + 1];
        assert_eq!(ReplyReader::loose().read(&endless), Err(ReplyFault::LongLine));
    }

    #[test]
    fn an_endless_line_and_endless_lines_are_faults_before_they_end() {
        assert_eq!(read(&[b'2'; 5000], 100), Err(ReplyFault::LongLine));
        assert_eq!(read(&b"250-x\r\n".repeat(10_000), 99), Err(ReplyFault::ManyLines));
    }

    #[test]
    fn what_is_kept_is_printable() {
        let replies = read(b"550 5.1.1 no\x1b[2J\0\xff\tuser\r\n250\r\n220 a\n", 5).unwrap();
        assert_eq!(&*replies[0].lines[0], b"no\\033[2J\\000\\377 user");
        assert_eq!(&*replies[1].lines[0], b"");
        assert_eq!(replies[2].code, 220);
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            parts in proptest::collection::vec(proptest::sample::select(vec![&b"250 "[..], b"250-", b"4", b"2.0.0 ", b"\r\n", b"\n", b"x\xff"]), 0..40),
            piece in 1usize..20,
        ) {
            let stream = parts.concat();
            prop_assert_eq!(read(&stream, piece), read(&stream, stream.len().max(1)));
        }

        #[test]
        fn any_octets_are_replies_or_a_fault(stream: Vec<u8>) {
            if let Ok(replies) = read(&stream, 7) {
                prop_assert!(replies.iter().all(|reply| (200..600).contains(&reply.code)));
            }
        }
    }
}
