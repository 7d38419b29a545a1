//! The text of a message on its way into a mailbox: CR LF becomes LF, and what looks like an mbox
//! separator is quoted. In pieces, so that a large body never has to be in memory.

use crate::Job;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use wire::mime::{Findings, Shaper, Survey};

/// A large body is read in pieces of this many octets.
pub(crate) const PIECE_BYTES: usize = 64 * 1024;

/// Where the octets of a message are.
#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    /// In memory.
    Bytes(&'a [u8]),
    /// In a file that was handed over open; it is read by position, so several may read it at once.
    File {
        /// What stands before it: fields, with CR LF line ends.
        head: &'a [u8],
        /// The open file.
        file: &'a File,
        /// Where the message begins, in octets.
        start: u64,
        /// How long it is, in octets.
        size: u64,
    },
}

impl Body<'_> {
    /// The length of the message in octets, with CR LF line ends.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::File { head, size, .. } => {
                size.saturating_add(u64::try_from(head.len()).unwrap_or(u64::MAX))
            }
        }
    }

    /// Shows the whole body to `take`, piece by piece.
    ///
    /// # Errors
    /// Those of reading and of `take`; a file that is shorter than promised is `UnexpectedEof`.
    pub(crate) fn read<E: From<io::Error>>(
        &self,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match *self {
            Self::Bytes(bytes) => take(bytes),
            Self::File { head, file, start, size } => {
                take(head)?;
                let mut piece = vec![0; PIECE_BYTES];
                let mut done: u64 = 0;
                while done < size {
                    let left = usize::try_from(size - done).unwrap_or(PIECE_BYTES);
                    let room = piece.get_mut(..left.min(PIECE_BYTES)).unwrap_or_default();
                    let place = start.checked_add(done).ok_or(io::ErrorKind::InvalidInput);
                    let read = file.read_at(room, place.map_err(io::Error::from)?)?;
                    if read == 0 {
                        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                    }
                    take(room.get(..read).unwrap_or_default())?;
                    done += u64::try_from(read).unwrap_or(0);
                }
                Ok(())
            }
        }
    }
}

/// The text of a job in the form that its mailer wants, with LF line ends.
#[derive(Debug)]
pub(crate) struct Text {
    /// `None`: the message stays as it is.
    shaper: Option<Shaper>,
    shaped: Vec<u8>,
    unix: UnixText,
}

impl Text {
    /// A text of which nothing was written. Looks at the whole message first, if what becomes of it depends on that.
    ///
    /// # Errors
    /// Those of [`Body::read`].
    pub(crate) fn new(job: &Job<'_>, quotes_separators: bool) -> io::Result<Self> {
        let unix = UnixText::new(quotes_separators);
        let Some(form) = &job.form else {
            return Ok(Self { shaper: None, shaped: Vec::new(), unix });
        };
        let findings = if form.eight_bit.needs_survey(&form.passage) {
            let mut survey = Survey::new();
            job.body.read(|piece| -> io::Result<()> {
                survey.read(piece);
                Ok(())
            })?;
            survey.finish()
        } else {
            Findings::default()
        };
        let wish = form.eight_bit.wish(&form.passage, &findings);
        let shaper = (!wish.is_idle()).then(|| Shaper::new(wish, findings));
        Ok(Self { shaper, shaped: Vec::new(), unix })
    }

    /// Appends what becomes of `piece` to `out`.
    pub(crate) fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let Some(shaper) = &mut self.shaper else { return self.unix.push(piece, out) };
        shaper.read(piece, &mut self.shaped);
        self.unix.push(&self.shaped, out);
        self.shaped.clear();
    }

    /// Appends the rest; the last line is ended if the message did not.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        if let Some(shaper) = self.shaper.take() {
            shaper.finish(&mut self.shaped);
            self.unix.push(&self.shaped, out);
            self.shaped.clear();
        }
        self.unix.finish(out);
    }
}

/// What separates the messages of an mbox, at the start of a line.
const SEPARATOR: &[u8] = b"From ";

/// Turns the CR LF of the net into the LF of files, and quotes separators with `>` if asked.
///
/// A CR that no LF follows is text and stays.
#[derive(Debug)]
pub(crate) struct UnixText {
    quotes_separators: bool,
    /// The next octet is the first of a line.
    at_line_start: bool,
    /// A CR has come and waits for what follows it.
    after_cr: bool,
    /// So many octets of a possible separator have come and wait, at the start of a line.
    held: usize,
}

impl UnixText {
    pub(crate) fn new(quotes_separators: bool) -> Self {
        Self { quotes_separators, at_line_start: true, after_cr: false, held: 0 }
    }

    /// Appends what `piece` means to `out`.
    pub(crate) fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let mut rest = piece;
        while let Some(&first) = rest.first() {
            if self.after_cr {
                self.after_cr = false;
                if first != b'\n' {
                    out.push(b'\r');
                }
            }
            if self.at_line_start && self.quotes_separators {
                rest = self.quote(rest, out);
                if self.at_line_start {
                    return;
                }
            }
            self.at_line_start = false;
            if let Some(at) = memchr::memchr(b'\n', rest) {
                let (line, after) = rest.split_at_checked(at).unwrap_or((rest, b""));
                out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
                out.push(b'\n');
                rest = after.get(1..).unwrap_or_default();
                self.at_line_start = true;
            } else {
                let text = rest.strip_suffix(b"\r");
                self.after_cr = text.is_some();
                out.extend_from_slice(text.unwrap_or(rest));
                rest = b"";
            }
        }
    }

    /// Ends the last line if the message did not.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(SEPARATOR.get(..self.held).unwrap_or_default());
        if self.after_cr {
            out.push(b'\r');
        }
        if !self.at_line_start || self.held > 0 {
            out.push(b'\n');
        }
        *self = Self::new(self.quotes_separators);
    }

    /// Compares the start of a line with the separator; clears `at_line_start` once it knows.
    fn quote<'p>(&mut self, piece: &'p [u8], out: &mut Vec<u8>) -> &'p [u8] {
        let mut rest = piece;
        while let Some((octet, after)) = rest.split_first() {
            if SEPARATOR.get(self.held) != Some(octet) {
                break;
            }
            self.held += 1;
            rest = after;
            if self.held == SEPARATOR.len() {
                out.push(b'>');
                break;
            }
        }
        if !rest.is_empty() || self.held == SEPARATOR.len() {
            out.extend_from_slice(SEPARATOR.get(..self.held).unwrap_or_default());
            self.held = 0;
            self.at_line_start = false;
        }
        rest
    }
}

/// The fields that final delivery puts before the message (RFC 5321, 4.4), with LF line ends.
///
/// Control characters in an address, which no grammar of ours lets through, become `?`: they must
/// not make a second field.
pub(crate) fn write_delivery_fields(sender: &[u8], recipient: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"Return-Path: <");
    write_printable(sender, out);
    out.extend_from_slice(b">\nDelivered-To: ");
    write_printable(recipient, out);
    out.push(b'\n');
}

fn write_printable(text: &[u8], out: &mut Vec<u8>) {
    out.extend(text.iter().map(|&octet| if octet.is_ascii_control() { b'?' } else { octet }));
}

#[cfg(test)]
mod tests;
