//! Keeps messages safe: commit, recover, compact. docs/spool.md has the format and the table of states.
//!
//! An append-only log of segments a shard, with group commit: what one turn of the caller's loop appends becomes
//! durable with one write. The caller's thread fills the next batch while a shard's thread writes the last one. Bodies
//! that are large stand in files of their own, durable before the record that names them.
//!
//! The spool knows no SMTP: an envelope and a note are octets to it.
#![forbid(unsafe_code)]

mod batch;
pub mod disk;
mod hint;
mod index;
mod log;
mod note;
mod record;
mod recover;
mod shard;
mod upkeep;

pub use disk::{Disk, RealDisk};
pub use hint::{HINT_BYTES_MAX, HintFile};
pub use log::{Log, Options};

use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd};
use wire::QueueId;

/// The place of a message: a small number, used again when the message is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(u32);

impl From<u32> for Slot {
    fn from(number: u32) -> Self {
        Self(number)
    }
}

impl From<Slot> for u32 {
    fn from(slot: Slot) -> Self {
        slot.0
    }
}

/// A body on its way in.
#[derive(Debug)]
pub enum Body<'a> {
    /// All of it.
    Inline(&'a [u8]),
    /// Written into the file of [`Spool::begin_large`]; so many octets.
    Large(LargeToken, u64),
}

/// The right to commit a large body.
#[derive(Debug, PartialEq, Eq)]
pub struct LargeToken(u64);

/// A file for a large body.
#[derive(Debug)]
pub struct Large {
    /// To write into, for whoever has the body.
    pub file: OwnedFd,
    /// To commit it, or to give it up.
    pub token: LargeToken,
}

/// A message as it is read back.
#[derive(Debug)]
pub struct Opened {
    /// As it was appended.
    pub envelope: Vec<u8>,
    /// The newest note.
    pub note: Option<Vec<u8>>,
    /// The body.
    pub body: OpenedBody,
}

/// A body as it is read back.
#[derive(Debug)]
pub enum OpenedBody {
    /// All of it.
    Inline(Vec<u8>),
    /// An open file and its octets.
    Large(File, u64),
}

/// Why a message is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The disk is full, or nearly.
    #[error("the disk is full")]
    Full,
    /// A write or sync failed: nothing can be promised until the spool is opened again.
    #[error("the disk failed")]
    Broken,
    /// Larger than a batch.
    #[error("too large for the spool")]
    TooLarge,
}

/// Trouble with the disk, or with what is on it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system says no.
    #[error("{0}: {1}")]
    System(&'static str, std::io::Error),
    /// Somebody else has the spool.
    #[error("another process has this spool")]
    Locked,
    /// A format that this program does not know.
    #[error("the spool has format {0}; this program knows {1}")]
    Version(u32, u32),
    /// There is no such message, or its record is damaged.
    #[error("the record is damaged")]
    Damaged,
}

/// Whether there is room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// There is.
    Enough,
    /// Nearly none: answer 452 before the message is sent.
    Low,
}

/// A message that was found at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// Its id.
    pub id: QueueId,
    /// Its place.
    pub slot: Slot,
}

/// The end of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// Of [`Spool::append`].
    pub ticket: u64,
    /// Durable, and where; or not.
    pub result: Result<Slot, Refused>,
}

/// Something that the postmaster should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event(pub(crate) String);

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// How full it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Messages.
    pub messages: u64,
    /// Segments on the disk.
    pub segments: u64,
    /// Octets written since the start, padding included.
    pub written_bytes: u64,
    /// Syncs since the start.
    pub syncs: u64,
    /// Octets that were free when the room was looked at last; 0: it was not.
    pub free_bytes: u64,
}

/// Where messages are safe. Used by one thread.
pub trait Spool {
    /// A file for a body that is too large for a batch.
    ///
    /// # Errors
    /// No room, or no descriptors.
    fn begin_large(&mut self) -> Result<Large, Error>;

    /// Gives a large body up.
    fn abandon(&mut self, token: LargeToken);

    /// Puts a message into the open batch. It is durable when [`Spool::completed`] says so.
    ///
    /// # Errors
    /// It is not taken.
    fn append(
        &mut self,
        ticket: u64,
        id: QueueId,
        envelope: &[u8],
        body: Body<'_>,
    ) -> Result<(), Refused>;

    /// Puts a message of our own making into the open batch, with what is noted of the message that it comes from: where
    /// there is little room it is taken nevertheless, and where there is none it is put again, as notes and ends are.
    ///
    /// # Errors
    /// It is not taken.
    fn append_own(
        &mut self,
        ticket: u64,
        id: QueueId,
        envelope: &[u8],
        body: Body<'_>,
    ) -> Result<(), Refused>;

    /// The large body of a message as one for another message: a further name, no further octets.
    ///
    /// # Errors
    /// The system's, or [`Error::Damaged`]: there is no such message.
    fn share_large(&mut self, slot: Slot) -> Result<LargeToken, Error>;

    /// Whether the open batch of the shard of this id takes so many octets in so many records.
    ///
    /// # Errors
    /// [`Refused::Full`]: after the next commit it does. [`Refused::TooLarge`]: none ever will.
    fn takes(&mut self, id: QueueId, octets: usize, records: usize) -> Result<(), Refused>;

    /// Replaces a message's note, in the batch that is open.
    ///
    /// # Errors
    /// The spool is broken.
    fn note(&mut self, slot: Slot, note: &[u8]) -> Result<(), Refused>;

    /// Ends a message, in the batch that is open. Its slot may be used again at once.
    ///
    /// # Errors
    /// The spool is broken.
    fn remove(&mut self, slot: Slot) -> Result<(), Refused>;

    /// Hands the open batches to shards that are idle. Nobody waits for a batch that only ends messages or notes something:
    /// it is kept back for a moment ([`Spool::next_commit_ms`]), so that it goes with the next message.
    fn commit(&mut self);

    /// When [`Spool::commit`] must be called at the latest, in ms from now; `None`: nothing waits.
    fn next_commit_ms(&self) -> Option<u64>;

    /// Commits everything and waits until it is durable, or has failed.
    fn settle(&mut self, out: &mut Vec<Completion>);

    /// What has become durable, or failed, since the last call.
    fn completed(&mut self, out: &mut Vec<Completion>);

    /// Readable when [`Spool::completed`] has news.
    fn wake(&self) -> BorrowedFd<'_>;

    /// Reads a message back.
    ///
    /// # Errors
    /// [`Error::Damaged`], or the disk can't be read.
    fn open(&mut self, slot: Slot) -> Result<Opened, Error>;

    /// Whether there is room.
    fn room(&self) -> Room;

    /// Looks at the room, frees and compacts segments. To be called now and then.
    fn housekeeping(&mut self);

    /// What the postmaster should know, since the last call.
    fn events(&mut self) -> Vec<Event>;

    /// The id of the message at a place.
    fn id(&self, slot: Slot) -> Option<QueueId>;

    /// Whether there is a message with this id, durable or on its way to the disk.
    fn holds(&self, id: QueueId) -> bool;

    /// The place of a message that is durable.
    fn find(&self, id: QueueId) -> Option<Slot>;

    /// Messages with ids above `after`, in order, at most `count_max`.
    fn list(&self, after: u64, count_max: usize) -> Vec<(QueueId, Slot)>;

    /// How full it is.
    fn statistics(&self) -> Statistics;

    /// Whether a write or sync has failed.
    fn is_broken(&self) -> bool;
}
