//! A message on its way in: un-stuffed, watched, counted; in memory while it is small, in a file once it is not.
//!
//! What is wrong with a message is decided at its end, from what was seen of all of it: so the answer is the same however
//! the octets were cut into pieces. From the first fault on nothing of it is kept.

use alloc::format;
use alloc::vec::Vec;

use policy::Refusal;
use policy::settings::{BODY_INLINE_BYTES_MAX, Limits};
use wire::QueueId;
use wire::command::Chunk;
use wire::date::Date;
use wire::dot::{Step, TextFault, TextReader};
use wire::header::{Head, HeadEnd, HeadReader, write_message_id};

use super::NotStored;
use super::outbox::{Codes, Outbox};

/// Octets that are taken at once: memory never grows by more than this above its limit.
const PIECE_BYTES_MAX: usize = 64 * 1024;

/// How a message begins, while the policy thinks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Opening {
    /// DATA.
    Dotted,
    /// The first BDAT.
    Chunk(Chunk),
}

/// A chunk that nobody wants.
#[derive(Debug)]
pub(super) struct Skip {
    pub(super) left: u64,
    pub(super) codes: Codes,
    pub(super) words: &'static str,
}

/// A message on its way in.
#[derive(Debug)]
pub(super) struct Collecting {
    reader: TextReader,
    pub(super) head: HeadReader,
    /// What is not in the file yet: all of it, while it is small.
    pub(super) buffer: Vec<u8>,
    /// Octets of our own fields at the beginning.
    prefix_bytes: usize,
    /// Octets of the fields that were added behind them.
    added_bytes: usize,
    /// Octets of the message as it came.
    text_bytes: u64,
    /// Lines of it that have ended.
    lines: u64,
    /// Octets of the message as it will be stored.
    pub(super) size_bytes: u64,
    pub(super) is_large: bool,
    pub(super) header: Header,
    /// Octets of the chunk that are still to come; `None`: DATA.
    chunk: Option<Chunk>,
    /// Octets of the whole chunk.
    pub(super) chunk_bytes: u64,
    /// The end of DATA or of the chunk was seen.
    pub(super) is_at_end: bool,
    pub(super) began_s: u64,
    /// The policy's no, to be said at the end.
    pub(super) refusal: Option<Refusal>,
    /// Our own trouble, to be said at the end.
    pub(super) trouble: Option<NotStored>,
    /// What is thought of octets 0.
    pub(super) nul: Nul,
}

/// What the fields are made of that a submission server adds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Additions<'a> {
    pub(super) now: Date,
    pub(super) id: QueueId,
    pub(super) host: &'a [u8],
    pub(super) sender: &'a [u8],
}

impl Additions<'_> {
    /// Appends what `head` lacks.
    fn write(&self, head: &Head, out: &mut Vec<u8>) {
        if !head.has_date {
            out.extend_from_slice(format!("Date: {}\r\n", self.now).as_bytes());
        }
        if !head.has_from && !self.sender.is_empty() {
            out.extend_from_slice(b"From: ");
            out.extend_from_slice(self.sender);
            out.extend_from_slice(b"\r\n");
        }
        if !head.has_message_id {
            write_message_id(self.now.unix_s, self.id, self.host, out);
        }
    }
}

/// How far the header has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    /// More of it is to come, or it will be refused.
    Open,
    /// It has ended, and what it lacked was added.
    Complete,
    /// The policy has seen it.
    Judged,
}

/// What is thought of octets 0 in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nul {
    /// They are octets as others.
    Taken,
    /// They are a fault, and there was none.
    Refused,
    /// They are a fault, and there was one.
    Seen,
}

/// What is wrong with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BodyFault {
    Text(TextFault),
    Nul,
    HeaderTooLarge,
    TooManyHops,
    TooLarge,
    Refused(Refusal),
    NotStored(NotStored),
}

impl Collecting {
    pub(super) fn new(reader: TextReader, prefix: Vec<u8>, began_s: u64) -> Self {
        Self {
            reader,
            head: HeadReader::default(),
            prefix_bytes: prefix.len(),
            added_bytes: 0,
            text_bytes: 0,
            lines: 0,
            size_bytes: u64::try_from(prefix.len()).unwrap_or(u64::MAX),
            buffer: prefix,
            is_large: false,
            header: Header::Open,
            chunk: None,
            chunk_bytes: 0,
            is_at_end: false,
            began_s,
            refusal: None,
            trouble: None,
            nul: Nul::Taken,
        }
    }

    /// The next chunk begins.
    pub(super) fn expect(
        &mut self,
        chunk: Chunk,
        additions: Option<&Additions<'_>>,
        limits: &Limits,
        out: &mut Outbox,
    ) {
        self.chunk = Some(chunk);
        self.chunk_bytes = chunk.size_bytes;
        self.is_at_end = false;
        if chunk.size_bytes == 0 {
            self.take(&[], additions, limits, out);
        }
    }

    /// Whether the message ends where the chunk ends.
    pub(super) fn is_last(&self) -> bool {
        self.chunk.is_none_or(|chunk| chunk.is_last)
    }

    /// Takes octets of the message from `input`; returns how many. `additions` go to the end of the
    /// header, as far as the message lacks them.
    pub(super) fn take(
        &mut self,
        input: &[u8],
        additions: Option<&Additions<'_>>,
        limits: &Limits,
        out: &mut Outbox,
    ) -> usize {
        let most = match self.chunk {
            Some(chunk) => usize::try_from(chunk.size_bytes).unwrap_or(usize::MAX),
            None => usize::MAX,
        };
        let piece = input.get(..most.min(PIECE_BYTES_MAX)).unwrap_or(input);
        let sink = if self.is_large { &mut out.body } else { &mut self.buffer };
        let before = sink.len();
        let taken = match self.reader.read(piece, sink) {
            Step::End { taken } => {
                self.is_at_end = true;
                taken
            }
            Step::More => piece.len(),
        };
        if let Some(chunk) = &mut self.chunk {
            let count = u64::try_from(taken).unwrap_or(u64::MAX);
            chunk.size_bytes = chunk.size_bytes.saturating_sub(count);
            self.is_at_end = chunk.size_bytes == 0;
            if self.is_at_end && chunk.is_last {
                self.reader.finish(sink);
            }
        }
        let added = sink.get(before..).unwrap_or_default();
        if self.nul == Nul::Refused && memchr::memchr(0, added).is_some() {
            self.nul = Nul::Seen;
        }
        self.text_bytes =
            self.text_bytes.saturating_add(u64::try_from(added.len()).unwrap_or(u64::MAX));
        self.size_bytes =
            self.size_bytes.saturating_add(u64::try_from(added.len()).unwrap_or(u64::MAX));
        let lines = memchr::memchr_iter(b'\n', added).count();
        self.lines = self.lines.saturating_add(u64::try_from(lines).unwrap_or(u64::MAX));
        if self.header == Header::Open {
            self.head.read(added);
            let is_over = self.head.head().end.is_some() || (self.is_at_end && self.is_last());
            if is_over && self.fault(limits).is_none() {
                self.complete_head(additions);
            }
        }
        if self.fault(limits).is_some() {
            self.forget(out);
        }
        taken
    }

    /// Puts in what the header lacks: our fields behind Received, and the empty line if there is none.
    fn complete_head(&mut self, additions: Option<&Additions<'_>>) {
        self.header = Header::Complete;
        let mut fields = Vec::new();
        if let Some(additions) = additions {
            additions.write(self.head.head(), &mut fields);
        }
        let blank: &[u8] = match self.head.head().end {
            Some(HeadEnd::Blank) => b"",
            Some(HeadEnd::NotAField) | None => b"\r\n",
        };
        self.insert(usize::try_from(self.head.head().bytes).unwrap_or(usize::MAX), blank);
        self.insert(0, &fields);
        self.added_bytes = fields.len();
    }

    /// Inserts octets so many octets behind our Received field. The header is smaller than what stays in memory, so all of
    /// it is in the buffer.
    fn insert(&mut self, at: usize, inserted: &[u8]) {
        if inserted.is_empty() {
            return;
        }
        let at = self.prefix_bytes.saturating_add(at).min(self.buffer.len());
        self.size_bytes =
            self.size_bytes.saturating_add(u64::try_from(inserted.len()).unwrap_or(u64::MAX));
        let tail = self.buffer.split_off(at);
        self.buffer.extend_from_slice(inserted);
        self.buffer.extend_from_slice(&tail);
    }

    /// A lone CR or LF that was seen.
    pub(super) fn bare_end(&self) -> Option<TextFault> {
        self.reader.fault().filter(|fault| *fault != TextFault::LongLine)
    }

    /// Octets of the message as the log counts them: a line end is one.
    pub(super) fn logged_bytes(&self) -> u64 {
        self.text_bytes.saturating_sub(self.lines)
    }

    /// The header as it came, as far as it is known.
    pub(super) fn header_text(&self) -> &[u8] {
        let bytes = usize::try_from(self.head.head().bytes).unwrap_or(usize::MAX);
        let start = self.prefix_bytes.saturating_add(self.added_bytes);
        let end = start.saturating_add(bytes).min(self.buffer.len());
        self.buffer.get(start..end).unwrap_or_default()
    }

    /// What is wrong so far. In an order that does not depend on how the octets were cut.
    pub(super) fn fault(&self, limits: &Limits) -> Option<BodyFault> {
        let header_max = u64::from(limits.header_bytes_max).min(HEADER_BYTES_CEILING);
        if let Some(refusal) = &self.refusal {
            Some(BodyFault::Refused(refusal.clone()))
        } else if let Some(fault) = self.reader.fault() {
            Some(BodyFault::Text(fault))
        } else if self.nul == Nul::Seen {
            Some(BodyFault::Nul)
        } else if self.head.bytes_so_far() > header_max {
            Some(BodyFault::HeaderTooLarge)
        } else if self.head.head().hops > limits.hops_max {
            Some(BodyFault::TooManyHops)
        } else if self.text_bytes > limits.message_bytes_max {
            Some(BodyFault::TooLarge)
        } else {
            self.trouble.map(BodyFault::NotStored)
        }
    }

    /// Whether the policy has seen the header.
    pub(super) fn is_header_judged(&self) -> bool {
        self.header == Header::Judged
    }

    /// Whether it is too large for memory, and not in a file yet.
    pub(super) fn needs_file(&self) -> bool {
        !self.is_large && self.buffer.len() > BODY_INLINE_BYTES_MAX
    }

    /// The file is open: what was kept goes there.
    pub(super) fn move_to_file(&mut self, out: &mut Outbox) {
        self.is_large = true;
        out.body.append(&mut self.buffer);
        self.buffer = Vec::new();
    }

    /// Keeps nothing of a message that will be refused.
    pub(super) fn forget(&mut self, out: &mut Outbox) {
        self.buffer = Vec::new();
        if core::mem::take(&mut self.is_large) {
            out.drops_large = true;
            out.body.clear();
        }
    }
}

/// A header never leaves memory before its end is known, whatever the owner's limit.
const HEADER_BYTES_CEILING: u64 = 64 * 1024;
