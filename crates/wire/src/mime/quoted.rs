//! Quoted-printable (RFC 2045, 6.7), written and read line by line.

use alloc::vec::Vec;

/// Characters behind which a line is broken as soon as more come.
const BREAK_AT: usize = 72;
const HEX: &[u8; 16] = b"0123456789ABCDEF";
/// What a gateway to EBCDIC does not keep (RFC 2045, 6.7, the last note).
const EBCDIC: &[u8] = b"!\"#$@[\\]^`{|}~";

/// Writes quoted-printable.
#[derive(Debug)]
pub(super) struct QuotedWriter {
    line: Vec<u8>,
    /// The last octet of the text; a space or tab was not written yet.
    last: u8,
    /// Characters that no EBCDIC gateway keeps are quoted too (`F=3`).
    quotes_more: bool,
    /// `From ` at the beginning of a line is quoted (`F=E`).
    quotes_from: bool,
}

impl QuotedWriter {
    pub(super) const fn new(quotes_more: bool, quotes_from: bool) -> Self {
        Self { line: Vec::new(), last: b'\n', quotes_more, quotes_from }
    }

    /// Takes octets of a line.
    pub(super) fn write(&mut self, text: &[u8], out: &mut Vec<u8>) {
        for &octet in text {
            self.octet(octet, out);
        }
    }

    fn octet(&mut self, octet: u8, out: &mut Vec<u8>) {
        match self.last {
            b' ' if self.quotes_from && self.line == b"From" => self.quote(b' '),
            b' ' | b'\t' => self.line.push(self.last),
            _ => {}
        }
        let length = self.line.len();
        let ends_in_dot = length > BREAK_AT.saturating_add(1) && self.last == b'.';
        // No line may begin with a dot: some servers still lose it.
        let may_wait = octet == b'.' && length <= BREAK_AT.saturating_add(3) && !ends_in_dot;
        if length > BREAK_AT && !may_wait {
            if ends_in_dot {
                self.line.pop();
            }
            self.line.push(b'=');
            self.end_line(out);
            if ends_in_dot {
                self.line.push(b'.');
            }
        }
        if self.must_quote(octet) {
            self.quote(octet);
        } else if !matches!(octet, b' ' | b'\t') {
            self.line.push(octet);
        }
        self.last = octet;
    }

    fn must_quote(&self, octet: u8) -> bool {
        match octet {
            b'\t' => false,
            b'=' | 0..=31 | 127.. => true,
            octet => self.quotes_more && EBCDIC.contains(&octet),
        }
    }

    fn quote(&mut self, octet: u8) {
        let digit = |value: u8| HEX.get(usize::from(value)).copied().unwrap_or(b'0');
        self.line.extend_from_slice(&[b'=', digit(octet >> 4), digit(octet & 15)]);
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.line);
        out.extend_from_slice(b"\r\n");
        self.line.clear();
    }

    /// The line ends.
    pub(super) fn newline(&mut self, out: &mut Vec<u8>) {
        match self.last {
            // Space at the end of a line may be lost on the way.
            b' ' | b'\t' => self.quote(self.last),
            _ => {}
        }
        if self.line == b"." {
            self.line.clear();
            self.quote(b'.');
        }
        self.end_line(out);
        self.last = b'\n';
    }

    /// The text ends, in the middle of a line or not.
    pub(super) fn finish(mut self, out: &mut Vec<u8>) {
        if !self.line.is_empty() || self.last != b'\n' {
            self.newline(out);
        }
    }
}

/// Reads quoted-printable; what is none stands for itself.
#[derive(Debug, Default)]
pub(super) struct QuotedReader {
    /// An equals sign and what came behind it: at most a digit, or spaces at the end of a line.
    held: Vec<u8>,
}

/// Spaces between `=` and a line's end that are passed over.
const SPACES_MAX: usize = 80;

impl QuotedReader {
    /// Takes octets of a line.
    pub(super) fn read(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let mut rest = text;
        while let Some((&octet, behind)) = rest.split_first() {
            if self.held.is_empty() {
                let run = memchr::memchr(b'=', rest).unwrap_or(rest.len());
                let (plain, after) = rest.split_at_checked(run).unwrap_or((rest, &[]));
                out.extend_from_slice(plain);
                let Some((_, after)) = after.split_first() else { return };
                self.held.push(b'=');
                rest = after;
                continue;
            }
            match (self.held.as_slice(), octet) {
                ([b'='], octet) if octet.is_ascii_hexdigit() => self.held.push(octet),
                ([b'=', high], low) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    out.push((digit(*high) << 4) | digit(low));
                    self.held.clear();
                }
                ([b'='] | [b'=', b' ' | b'\t', ..], b' ' | b'\t')
                    if self.held.len() < SPACES_MAX =>
                {
                    self.held.push(octet);
                }
                _ => {
                    // Nothing that was written by the book.
                    out.append(&mut self.held);
                    continue;
                }
            }
            rest = behind;
        }
    }

    /// The line ends; false: it goes on in the next one.
    pub(super) fn newline(&mut self, out: &mut Vec<u8>) -> bool {
        let is_soft = matches!(self.held.as_slice(), [b'='] | [b'=', b' ' | b'\t', ..]);
        if is_soft {
            self.held.clear();
        } else {
            out.append(&mut self.held);
        }
        !is_soft
    }

    /// The text ends.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
    }
}

const fn digit(letter: u8) -> u8 {
    match letter {
        b'0'..=b'9' => letter.wrapping_sub(b'0'),
        b'a'..=b'f' => letter.wrapping_sub(b'a').wrapping_add(10),
        _ => letter.wrapping_sub(b'A').wrapping_add(10),
    }
}
