//! Keeps messages safe: commit, recover, compact.
//!
//! A [`Log`] is a folder of segments, files of 64 MiB that are written once from their beginning to their end. What is to be made
//! durable is gathered ([`Spool::append`], [`Spool::note`], [`Spool::remove`]) while the disk works on what was gathered
//! before, and goes to it as one write ([`Spool::commit`]): one flush serves everybody who waited. Nothing is ever
//! overwritten. What a message became is written behind it, and a segment that nobody needs any more is unlinked.
//!
//! docs/spool.md has the format and the table of all states in which a crash may leave the folder.
#![forbid(unsafe_code)]

mod account;
mod batch;
mod buffer;
mod commit;
mod compact;
mod disk;
mod event;
pub mod fault;
mod folders;
mod log;
mod read;
mod record;
mod recover;
mod scan;
mod segment;
mod settle;
mod shard;
mod sweep;
mod table;

use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use wire::QueueId;

pub use disk::{Disk, Free, How, RealDisk};
pub use event::Event;
pub use log::Log;

/// Where queued messages are kept.
///
/// One thread calls; whatever must wait for the disk waits elsewhere, and [`Spool::wake`] says when there is news.
pub trait Spool {
    /// Makes a file for a large body, to be filled by whoever gets the descriptor.
    ///
    /// # Errors
    /// [`Error::Disk`]: no file can be made.
    fn begin_large(&mut self) -> Result<Large, Error>;

    /// Throws away a large body that no message took.
    fn abandon(&mut self, token: LargeToken);

    /// Copies a message into the next commit. What comes of it is told by [`Spool::completed`], with this ticket.
    ///
    /// # Errors
    /// [`Refused`]: it was not taken, and there will be no completion.
    fn append(
        &mut self,
        ticket: u64,
        id: QueueId,
        envelope: &[u8],
        body: Body<'_>,
    ) -> Result<(), Refused>;

    /// Copies a note on a message into the next commit. The newest note of a message replaces all before it.
    ///
    /// # Errors
    /// [`Refused::Broken`]; [`Refused::TooLarge`]: too large, or there is no such message.
    fn note(&mut self, slot: Slot, note: &[u8]) -> Result<(), Refused>;

    /// Puts the end of a message into the next commit. Its slot is not to be used again by the caller.
    ///
    /// # Errors
    /// [`Refused::Broken`]; [`Refused::TooLarge`]: there is no such message.
    fn remove(&mut self, slot: Slot) -> Result<(), Refused>;

    /// Hands what was gathered to every commit thread that is idle. Nobody waits for a batch that only ends messages or notes
    /// something: it is kept back for a moment ([`Spool::next_commit_ms`]), so that it goes with the next message.
    fn commit(&mut self);

    /// When [`Spool::commit`] must be called at the latest, in ms from now; `None`: nothing is kept back.
    fn next_commit_ms(&self) -> Option<u64>;

    /// Commits everything and waits until it is durable, or has failed, but not longer than five seconds.
    fn settle(&mut self, out: &mut Vec<Completion>);

    /// Appends what has become of messages since the last call.
    fn completed(&mut self, out: &mut Vec<Completion>);

    /// Becomes readable when [`Spool::completed`] has news.
    fn wake(&self) -> BorrowedFd<'_>;

    /// Reads a message.
    ///
    /// # Errors
    /// [`Error::Damaged`]: the disk gave other octets than it got; they were put aside. [`Error::Gone`],
    /// [`Error::Disk`].
    fn open(&self, slot: Slot) -> Result<Opened, Error>;

    /// Whether there is room for more messages.
    fn room(&self) -> Room;

    /// Frees what nobody needs, and moves what stands in the way of that. To be called now and then; one call takes milliseconds.
    fn housekeeping(&mut self);

    /// What an administrator should know, since the last call.
    fn events(&mut self) -> Vec<Event>;

    /// The id of the message in a slot.
    fn id(&self, slot: Slot) -> Option<QueueId>;

    /// The slot of a message.
    fn find(&self, id: QueueId) -> Option<Slot>;

    /// At most `max` messages with ids above `after`, in the order of ids.
    fn list(&self, after: u64, max: usize) -> Vec<(QueueId, Slot)>;

    /// Counts of what is there and what was done.
    fn statistics(&self) -> Statistics;

    /// True after a write or a sync failed: nothing more is taken, and only a new start knows what is durable.
    fn is_broken(&self) -> bool;
}

/// The place of a message in the tables of this process: small, dense, used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// The body of a message that is to be kept.
#[derive(Debug)]
pub enum Body<'a> {
    /// Its octets.
    Inline(&'a [u8]),
    /// The file that [`Spool::begin_large`] made, and how many octets are in it.
    Large(LargeToken, u64),
}

/// A large body that no message has taken yet.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct LargeToken(u64);

/// A file for a large body.
#[derive(Debug)]
pub struct Large {
    /// Open for reading and writing.
    pub file: OwnedFd,
    /// To be given back with [`Spool::append`] or [`Spool::abandon`].
    pub token: LargeToken,
}

/// A message as it was kept.
#[derive(Debug)]
pub struct Opened {
    /// The envelope, as given to [`Spool::append`].
    pub envelope: Vec<u8>,
    /// The newest note.
    pub note: Option<Vec<u8>>,
    /// The body.
    pub body: OpenedBody,
}

/// The body of a message as it was kept.
#[derive(Debug)]
pub enum OpenedBody {
    /// Its octets.
    Inline(Vec<u8>),
    /// A file, open for reading, and how many octets of it are the body.
    Large(File, u64),
}

/// What became of a message that was appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// As given to [`Spool::append`].
    pub ticket: u64,
    /// It is durable and has this slot; or it is not stored.
    pub result: Result<Slot, Refused>,
}

/// A message that was there at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// Its name.
    pub id: QueueId,
    /// Its place.
    pub slot: Slot,
}

/// Whether there is room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// There is.
    Enough,
    /// The disk is nearly full: new messages should be told to come later (452).
    Low,
}

/// Why a message was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The disk is full. It may have room again later.
    #[error("the disk is full")]
    Full,
    /// The disk failed. See [`Spool::is_broken`].
    #[error("the disk failed")]
    Broken,
    /// It can't be stored as it is: too large for a record, an id that is in use, no such message, or a large body that is
    /// not what was said of it.
    #[error("can't be stored as it is")]
    TooLarge,
}

/// Why a log, or a message in it, can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk failed.
    #[error("{doing}: {source}")]
    Disk {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Written by a newer version of this program.
    #[error("the spool has format {found}, this program knows formats up to {known}")]
    Format {
        /// The version found.
        found: u32,
        /// The newest version known.
        known: u32,
    },
    /// Another process has it.
    #[error("the spool is in use by another process (it holds the file `lock`)")]
    Locked,
    /// The octets on the disk are not those that were written.
    #[error("message {id} is damaged on the disk")]
    Damaged {
        /// Whose.
        id: QueueId,
    },
    /// There is no such message.
    #[error("no such message")]
    Gone,
}

impl Error {
    /// Names what was tried when the disk failed.
    pub(crate) fn disk(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Disk { doing, source }
    }
}

/// How a log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Below so many free octets, [`Spool::room`] is low.
    pub free_bytes_min: u64,
    /// Octets of a segment: a multiple of 4,096, from 64 KiB to 1 GiB.
    pub segment_bytes: u64,
    /// Commit threads, 1 to 16; 0 is two, or one where there is one processor.
    pub shards: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { free_bytes_min: 0, segment_bytes: 64 * 1024 * 1024, shards: 0 }
    }
}

/// Counts of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Messages that are queued.
    pub messages: u64,
    /// Segments on the disk.
    pub segments: u64,
    /// Octets that these segments take.
    pub segment_bytes: u64,
    /// Octets of records in them that are needed.
    pub live_bytes: u64,
    /// Commits since the start, each one flush of the disk.
    pub commits: u64,
    /// Octets written since the start, with headers, padding and indexes.
    pub written_bytes: u64,
    /// Records since the start.
    pub records: u64,
    /// Commits that are gathered or under way, and files that are being unlinked. 0: all that was asked for is done, but for what waits
    /// until a full disk has room.
    pub pending: u64,
}
