//! The message of a job: where its octets are, and the form in which they go out.
//!
//! It is read by position in pieces, once to be sent, and once before if what becomes of it depends on what it holds; so a
//! large one is never in memory as a whole.

use bytes::Bytes;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;
use wire::mime::{Findings, Shaper, Survey, Wish};

/// A message that lies in a file is read in pieces of so many octets.
const PIECE_BYTES: usize = 128 * 1024;

/// A message up to this size goes in one flight with its envelope: for a larger one a wait more is nothing.
const CHUNK_BYTES_MAX: usize = 64 * 1024;

/// The octets of a message, header and text, with CR LF line ends.
#[derive(Debug, Clone)]
pub enum Body {
    /// In memory.
    Bytes(Bytes),
    /// In a file that was handed over open; read by position.
    File {
        /// What stands before it: fields, with CR LF line ends.
        head: Bytes,
        /// The open file.
        file: Rc<File>,
        /// Where the message begins, in octets.
        start: u64,
        /// How long it is, in octets.
        size: u64,
    },
}

impl Body {
    /// The message from its beginning. `room` is kept for files from one message to the next.
    pub(crate) fn pieces<'b>(&'b self, room: &'b mut Vec<u8>) -> Pieces<'b> {
        if let Self::File { .. } = self {
            room.resize(PIECE_BYTES, 0);
        }
        Pieces { body: self, room, is_begun: false, at: 0 }
    }

    /// A small message in the form that is wanted, for BDAT; `None`: it is large, or has line ends that DATA repairs.
    pub(crate) fn as_chunk(&self, wish: &Wish, findings: &Findings) -> Option<Vec<u8>> {
        let Self::Bytes(bytes) = self else { return None };
        if bytes.len() > CHUNK_BYTES_MAX {
            return None;
        }
        let mut chunk = Vec::with_capacity(bytes.len());
        if wish.is_idle() {
            chunk.extend_from_slice(bytes);
        } else {
            let mut shaper = Shaper::new(wish.clone(), findings.clone());
            shaper.read(bytes, &mut chunk);
            shaper.finish(&mut chunk);
        }
        has_whole_lines(&chunk).then_some(chunk)
    }

    /// Looks at the whole message.
    ///
    /// # Errors
    /// Those of [`Pieces::next`].
    pub(crate) async fn survey(&self, room: &mut Vec<u8>) -> io::Result<Findings> {
        let mut survey = Survey::new();
        let mut pieces = self.pieces(room);
        while let Some(piece) = pieces.next()? {
            survey.read(piece);
            // Others have deadlines while we read a large one.
            tokio::task::yield_now().await;
        }
        Ok(survey.finish())
    }
}

/// Whether every line ends with CR LF, also the last, and no CR or LF stands elsewhere.
fn has_whole_lines(text: &[u8]) -> bool {
    let lines = text.split_inclusive(|&octet| octet == b'\n');
    lines
        .into_iter()
        .all(|line| line.strip_suffix(b"\r\n").is_some_and(|line| !line.contains(&b'\r')))
}

/// A message, piece by piece.
pub(crate) struct Pieces<'b> {
    body: &'b Body,
    room: &'b mut Vec<u8>,
    /// The fields before a file were given.
    is_begun: bool,
    /// Octets of the rest that were given.
    at: u64,
}

impl Pieces<'_> {
    /// The next piece; `None`: that was all.
    ///
    /// # Errors
    /// Those of reading; a file that is shorter than promised is `UnexpectedEof`.
    pub(crate) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        match self.body {
            Body::Bytes(bytes) => {
                let is_over = self.at > 0 || bytes.is_empty();
                self.at = 1;
                Ok((!is_over).then_some(bytes))
            }
            Body::File { head, file, start, size } => {
                if !self.is_begun {
                    self.is_begun = true;
                    if !head.is_empty() {
                        return Ok(Some(head));
                    }
                }
                let left = size.saturating_sub(self.at);
                if left == 0 {
                    return Ok(None);
                }
                let most = usize::try_from(left).unwrap_or(usize::MAX).min(self.room.len());
                let room = self.room.get_mut(..most).unwrap_or_default();
                let count = file.read_at(room, start.saturating_add(self.at))?;
                if count == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.at = self.at.saturating_add(u64::try_from(count).unwrap_or(left));
                Ok(self.room.get(..count))
            }
        }
    }
}
