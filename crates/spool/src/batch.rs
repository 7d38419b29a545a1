//! What is gathered for one commit.

use std::fs::File;

use crate::buffer::Buffer;
use crate::record::{self, BATCH_HEADER, BATCH_MAX, Record};
use crate::segment::Entry;

/// A commit in the making.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Newer than that of every batch before it in its shard, and in all earlier lives.
    pub(crate) stamp: u64,
    pub(crate) buffer: Buffer,
    /// The records, their offsets counted from the batch's beginning.
    pub(crate) entries: Vec<Entry>,
    pub(crate) actions: Vec<Action>,
    pub(crate) larges: Vec<LargeFile>,
    awaited: usize,
}

/// What follows when the commit is durable, in the order of records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Action {
    pub(crate) act: Act,
    pub(crate) slot: u32,
}

/// What one or two records of a batch are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// A new message.
    Add { ticket: u64 },
    /// A note.
    Note,
    /// The end of a message.
    Done,
    /// A copy of a message, and of its note in the record after it.
    Move { with_note: bool },
    /// A copy of a Done that lies in this segment.
    DoneCopy { from: u32 },
}

impl Act {
    fn records(self) -> usize {
        if self == (Self::Move { with_note: true }) { 2 } else { 1 }
    }

    /// Whether it must not be lost when the disk is full: it is about messages that are there.
    pub(crate) fn is_about_kept(self) -> bool {
        matches!(self, Self::Note | Self::Done | Self::DoneCopy { .. })
    }
}

/// A file that becomes a message's large body.
#[derive(Debug)]
pub(crate) struct LargeFile {
    pub(crate) file: File,
    pub(crate) from: String,
    pub(crate) to: String,
}

impl Batch {
    pub(crate) fn new(stamp: u64, mut buffer: Buffer) -> Self {
        record::begin_batch(&mut buffer);
        Self {
            stamp,
            buffer,
            entries: Vec::new(),
            actions: Vec::new(),
            larges: Vec::new(),
            awaited: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    /// Octets of the records so far.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len().saturating_sub(BATCH_HEADER)
    }

    /// Messages that somebody waits for.
    pub(crate) fn awaited(&self) -> usize {
        self.awaited
    }

    /// Adds what follows from the records that were pushed last.
    pub(crate) fn act(&mut self, action: Action) {
        self.awaited += usize::from(matches!(action.act, Act::Add { .. }));
        self.actions.push(action);
    }

    /// True where new messages are in it, so that it may not take the room that is kept for the ends of old ones.
    pub(crate) fn has_messages(&self) -> bool {
        self.actions.iter().any(|action| !action.act.is_about_kept())
    }

    /// Appends a record of this payload (in two parts), which together are at most [`BATCH_MAX`].
    pub(crate) fn push(&mut self, seed: u32, record: Record, payload: [&[u8]; 2]) {
        let offset = u32::try_from(self.buffer.len()).unwrap_or(u32::MAX);
        let stamp_low = u32::try_from(self.stamp & 0xffff_ffff).unwrap_or(0);
        let record = Record { stamp_low, ..record };
        record.write(seed, payload, &mut self.buffer);
        self.entries.push(Entry {
            kind: record.kind,
            id: record.id,
            stamp: self.stamp,
            offset,
            len: record.len,
            split: record.split,
        });
    }

    /// Each action with its one or two records.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (Action, &[Entry])> {
        let mut rest = self.entries.as_slice();
        self.actions.iter().map(move |action| {
            let (records, after) =
                rest.split_at_checked(action.act.records()).unwrap_or((rest, &[]));
            rest = after;
            (*action, records)
        })
    }

    /// The same commit with only what must not be lost.
    pub(crate) fn without_messages(&self) -> Self {
        let mut kept = Self::new(self.stamp, Buffer::with_capacity(0));
        for (action, records) in self.steps() {
            if !action.act.is_about_kept() {
                continue;
            }
            for entry in records {
                let from = usize::try_from(entry.offset).unwrap_or(usize::MAX);
                let len = usize::try_from(entry.len).unwrap_or(usize::MAX);
                let to = from.saturating_add(record::RECORD_HEADER).saturating_add(len);
                let offset = u32::try_from(kept.buffer.len()).unwrap_or(u32::MAX);
                kept.buffer.extend(self.buffer.as_slice().get(from..to).unwrap_or_default());
                kept.entries.push(Entry { offset, ..*entry });
            }
            kept.act(action);
        }
        kept
    }
}

/// Octets of records that one batch may have in segments of this size.
pub(crate) fn batch_max(segment_bytes: u64) -> usize {
    usize::try_from(segment_bytes / 4).unwrap_or(BATCH_MAX).min(BATCH_MAX)
}
