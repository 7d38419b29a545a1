//! Reads a message from standard input as sendmail's collect does: a From_ line is dropped, the header ends at an empty line or
//! at the first line that is no field, and the text ends at a lone dot or with the input.
//!
//! Lines come out with CR LF. A CR inside a line would be a line end to somebody else: it is dropped (SMTP smuggling, 2023).

use std::io::{self, BufRead};

/// How a message is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// A line with one dot is text.
    pub(super) ignores_dots: bool,
    /// The From_ line stays, as text (option `SaveFromLine`).
    pub(super) keeps_from_line: bool,
    /// The eighth bit is taken off (option `SevenBitInput`).
    pub(super) is_seven_bit: bool,
    /// Octets of a message that are taken.
    pub(super) message_bytes_max: u64,
    /// Octets of its header that are taken.
    pub(super) header_bytes_max: u64,
}

/// A message that was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Collected {
    /// The fields, CR LF line ends.
    pub(super) head: Vec<u8>,
    /// The body, CR LF line ends.
    pub(super) body: Vec<u8>,
    /// Octets as sendmail counts them: all that was read, one for each line end.
    pub(super) size_bytes: u64,
    /// There are octets with the eighth bit.
    pub(super) has_eight_bits: bool,
    /// It is larger than is taken: head and body are not whole.
    pub(super) is_too_large: bool,
    /// Its header is.
    pub(super) is_head_too_large: bool,
}

/// Where the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before the first field.
    Start,
    Head,
    Body,
}

/// Where a piece of a line goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goes {
    Nowhere,
    Head,
    Body,
}

/// Longest part of a line that is looked at at once.
const PIECE_BYTES_MAX: usize = 64 * 1024;

/// Reads up to the end of the message. What stands behind it is not read.
///
/// # Errors
/// The input can't be read.
pub(super) fn collect(input: &mut impl BufRead, manner: Manner) -> io::Result<Collected> {
    let mut out = Collected::default();
    let (mut at, mut goes) = (At::Start, Goes::Nowhere);
    let mut line = Vec::new();
    let mut is_line_start = true;
    while read_piece(input, &mut line)? {
        let is_whole = line.last() == Some(&b'\n');
        out.count_dropped(&line);
        line.retain(|octet| !matches!(octet, b'\r' | b'\n'));
        if manner.is_seven_bit {
            for octet in &mut line {
                *octet &= 0x7f;
            }
        }
        if is_line_start && is_whole && line == b"." && !manner.ignores_dots {
            break;
        }
        out.count(&line, is_whole, manner);
        if is_line_start {
            (at, goes) = sort(at, &line, manner);
        }
        is_line_start = is_whole;
        // Who it was for and what it was is to be told, whatever its size.
        if !out.is_head_too_large && (goes == Goes::Head || !out.is_too_large) {
            out.keep(goes, &line, is_whole, manner);
        }
    }
    if !is_line_start {
        // sendmail ends the last line, too, and does not count it.
        out.keep(goes, b"", true, manner);
    }
    Ok(out)
}

impl Collected {
    /// A CR inside of a line counts, although it goes.
    fn count_dropped(&mut self, piece: &[u8]) {
        let text = piece.strip_suffix(b"\r\n").or(piece.strip_suffix(b"\n")).unwrap_or(piece);
        let words = text.split(|&octet| octet == b'\r').count();
        let dropped = u64::try_from(words.saturating_sub(1)).unwrap_or(u64::MAX);
        self.size_bytes = self.size_bytes.saturating_add(dropped);
    }

    fn count(&mut self, line: &[u8], is_whole: bool, manner: Manner) {
        let bytes = line.len().saturating_add(usize::from(is_whole));
        self.size_bytes = self.size_bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.has_eight_bits |= !line.is_ascii();
        if self.size_bytes > manner.message_bytes_max {
            self.is_too_large = true;
            self.body = Vec::new();
        }
    }

    fn keep(&mut self, goes: Goes, line: &[u8], is_whole: bool, manner: Manner) {
        let part = match goes {
            Goes::Nowhere => return,
            Goes::Head => &mut self.head,
            Goes::Body => &mut self.body,
        };
        part.extend_from_slice(line);
        if is_whole {
            part.extend_from_slice(b"\r\n");
        }
        let head_bytes = u64::try_from(self.head.len()).unwrap_or(u64::MAX);
        self.is_head_too_large |= head_bytes > manner.header_bytes_max;
    }
}

/// Where a line belongs that begins like this.
fn sort(at: At, line: &[u8], manner: Manner) -> (At, Goes) {
    let is_folded = at == At::Head && matches!(line.first(), Some(b' ' | b'\t'));
    match at {
        At::Start if line.starts_with(b"From ") && !manner.keeps_from_line => {
            (At::Start, Goes::Nowhere)
        }
        // The empty line that ends the header is a part of neither.
        At::Start | At::Head if line.is_empty() => (At::Body, Goes::Nowhere),
        At::Start | At::Head if is_folded || is_field(line) => (At::Head, Goes::Head),
        At::Start | At::Head | At::Body => (At::Body, Goes::Body),
    }
}

/// Whether a line begins a field: a name, perhaps blanks, a colon. `--` begins a part of a body.
fn is_field(line: &[u8]) -> bool {
    let name = line.iter().take_while(|octet| matches!(octet, b'!'..=b'9' | b';'..=b'~')).count();
    let behind = line.get(name..).unwrap_or_default().trim_ascii_start();
    name > 0 && behind.first() == Some(&b':') && !line.starts_with(b"--")
}

/// Reads a line with its end, or as much of one as is looked at at once. False: there is nothing more.
fn read_piece(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    while line.len() < PIECE_BYTES_MAX {
        let ready = match input.fill_buf() {
            Ok(ready) => ready,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if ready.is_empty() {
            break;
        }
        let end = ready.iter().position(|&octet| octet == b'\n');
        let count = end.map_or(ready.len(), |end| end.saturating_add(1));
        line.extend_from_slice(ready.get(..count).unwrap_or_default());
        input.consume(count);
        if end.is_some() {
            break;
        }
    }
    Ok(!line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MANNER: Manner = Manner {
        ignores_dots: false,
        keeps_from_line: false,
        is_seven_bit: false,
        message_bytes_max: 1_000_000,
        header_bytes_max: 32_768,
    };

    fn read(text: &[u8]) -> (String, String, u64) {
        let read = collect(&mut &*text, MANNER).unwrap();
        let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
        (text(read.head), text(read.body), read.size_bytes)
    }

    #[test]
    fn header_and_body_are_told_apart() {
        let (head, body, size) = read(b"From: a\nTo: b\n  c\n\nbody: x\n\n");
        assert_eq!(head, "From: a\r\nTo: b\r\n  c\r\n");
        assert_eq!((body.as_str(), size), ("body: x\r\n\r\n", 28));
    }

    #[test]
    fn a_line_that_is_no_field_begins_the_body() {
        assert_eq!(read(b"no field\n"), (String::new(), "no field\r\n".into(), 9));
        assert_eq!(read(b"A: b\nno field\n").1, "no field\r\n");
        assert_eq!(read(b"--x: y\n").1, "--x: y\r\n");
        assert_eq!(read(b" x: y\n").1, " x: y\r\n");
        assert_eq!(read(b"\nbody only\n"), (String::new(), "body only\r\n".into(), 11));
    }

    #[test]
    fn the_from_line_of_a_mailbox_is_dropped() {
        assert_eq!(read(b"From a@b Mon Jan 1\nTo: x\n\n").0, "To: x\r\n");
    }

    #[test]
    fn a_lone_dot_ends_the_text_and_the_rest_is_left() {
        let mut input: &[u8] = b"a\n.\nb\n";
        let read = collect(&mut input, MANNER).unwrap();
        assert_eq!((read.body.as_slice(), read.size_bytes, input), (&b"a\r\n"[..], 2, &b"b\n"[..]));
        let manner = Manner { ignores_dots: true, ..MANNER };
        let read = collect(&mut &b"a\n.\nb\n"[..], manner).unwrap();
        assert_eq!((read.body.as_slice(), read.size_bytes), (&b"a\r\n.\r\nb\r\n"[..], 6));
    }

    #[test]
    fn a_lone_cr_can_not_smuggle_a_dot_and_counts() {
        assert_eq!(read(b"\na\r.\rb\r\nc"), (String::new(), "a.b\r\nc\r\n".into(), 8));
    }

    #[test]
    fn a_line_longer_than_a_piece_is_one_line() {
        let long = [vec![b'x'; PIECE_BYTES_MAX * 2], b".\n.\n".to_vec()].concat();
        let (_, body, _) = read(&[b"\n".as_slice(), &long].concat());
        assert_eq!(body.len(), PIECE_BYTES_MAX * 2 + 3);
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let manner = Manner { message_bytes_max: 3, ..MANNER };
        let read = collect(&mut &b"\nabcdef\n"[..], manner).unwrap();
        assert!(read.is_too_large && read.body.is_empty() && read.size_bytes == 8);
        let manner = Manner { header_bytes_max: 5, ..MANNER };
        assert!(collect(&mut &b"A: bcdef\nC: d\n"[..], manner).unwrap().is_head_too_large);
    }

    proptest! {
        #[test]
        fn every_line_ends_with_cr_lf_and_nothing_else_does(text: Vec<u8>) {
            let read = collect(&mut &*text, MANNER).unwrap();
            for part in [read.head, read.body] {
                for line in part.split_inclusive(|&octet| octet == b'\n') {
                    let text = line.strip_suffix(b"\r\n").unwrap();
                    prop_assert!(!text.contains(&b'\r'));
                }
            }
        }
    }
}
