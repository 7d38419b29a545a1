//! The commit thread of a shard: takes a batch, makes it durable, says so, takes the next.
//!
//! One write is one commit. While it runs, the next batch gathers in memory, so the load itself decides how many
//! messages share a flush; nothing ever waits for company.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender};

use crate::batch::Batch;
use crate::buffer::{BLOCK, Buffer};
use crate::disk::{self, How};
use crate::folders::Folders;
use crate::record::{self, BatchHead};
use crate::segment::{self, Entry, FORMAT, Header, Name, RECORDS_MAX};

/// Share of a segment into which only the ends of messages may be written while no new segment can be had: a full disk must
/// not keep what was delivered from being forgotten.
const RESERVE_SHARE: u64 = 16;

/// Share of the free space that a new segment takes at most.
const FREE_SHARE: u64 = 16;

/// Octets of the smallest segment, made for the ends of messages when there is no room for a whole one.
pub(crate) const SEGMENT_MIN: u64 = 65_536;

/// What a thread tells the owner of the log.
#[derive(Debug)]
pub(crate) enum News {
    /// A segment was begun.
    Begun { shard: u32, number: u32 },
    /// A segment was finished: its batches end here, and the file is so long.
    Sealed { number: u32, size: u64, end: u64 },
    /// A batch is durable, from this offset of this segment on.
    Durable { shard: u32, number: u32, base: u64, batch: Batch },
    /// There is no room for a batch; nothing of it is kept.
    Full { shard: u32, batch: Batch },
    /// The disk failed; whether a batch is durable is not known.
    Failed { shard: u32, why: io::Error, batch: Batch },
    /// A segment is gone; or not yet.
    SegmentSwept { number: u32, result: io::Result<()> },
    /// A message's large body is gone; or not.
    LargeSwept { slot: u32, result: io::Result<()> },
}

/// Takes news to the owner of the log, and wakes him.
#[derive(Debug, Clone)]
pub(crate) struct Messenger {
    pub(crate) news: Sender<News>,
    pub(crate) wake: Arc<OwnedFd>,
}

impl Messenger {
    pub(crate) fn tell(&self, news: News) {
        // Nobody listens any more: the log is being dropped.
        drop(self.news.send(news));
        self.ring();
    }

    pub(crate) fn ring(&self) {
        // It can only fail when the counter is at its end, and then whoever waits is awake.
        rustix::io::write(&*self.wake, &1_u64.to_ne_bytes()).ok();
    }
}

/// A bug in a thread of the spool ends the process, which starts again from the disk: else everybody would wait for ever
/// for an answer of a thread that is no more.
pub(crate) struct Fatal;

impl Drop for Fatal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

/// A commit thread.
#[derive(Debug)]
pub(crate) struct Committer {
    pub(crate) folders: Arc<Folders>,
    pub(crate) shard: u32,
    pub(crate) segment_bytes: u64,
    /// The number of the next segment, of all shards.
    pub(crate) next_number: Arc<AtomicU32>,
    pub(crate) messenger: Messenger,
    pub(crate) active: Option<Active>,
    /// True once the file system refused to open a file for direct writes.
    pub(crate) is_direct_refused: bool,
}

/// The segment that is being written.
#[derive(Debug)]
pub(crate) struct Active {
    name: Name,
    file: File,
    /// Open for direct, synchronous writes, where that works.
    direct: Option<File>,
    size: u64,
    end: u64,
    entries: Vec<Entry>,
    last_stamp: u64,
}

/// Why a batch is not durable.
enum Trouble {
    Full,
    Failed(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Committer {
    /// Works until the log is dropped, or the disk fails.
    pub(crate) fn run(mut self, batches: &Receiver<Batch>) {
        let _fatal = Fatal;
        while let Ok(mut batch) = batches.recv() {
            let shard = self.shard;
            let news = match self.commit(&mut batch) {
                Ok((number, base)) => News::Durable { shard, number, base, batch },
                Err(Trouble::Full) => News::Full { shard, batch },
                Err(Trouble::Failed(why)) => {
                    self.messenger.tell(News::Failed { shard, why, batch });
                    return;
                }
            };
            self.messenger.tell(news);
        }
    }

    /// Large bodies first: a record that is durable must find its file.
    fn commit(&mut self, batch: &mut Batch) -> Result<(u32, u64), Trouble> {
        self.find_room(batch)?;
        self.keep_larges(batch)?;
        let folders = Arc::clone(&self.folders);
        let active = self.active.as_mut().ok_or(Trouble::Full)?;
        let base = active.end;
        let head = BatchHead {
            spool: active.name.spool,
            stamp: batch.stamp,
            shard: active.name.shard,
            segment: active.name.number,
            len: u32::try_from(batch.len()).unwrap_or(u32::MAX),
            count: u32::try_from(batch.entries.len()).unwrap_or(u32::MAX),
        };
        record::end_batch(&mut batch.buffer, &head);
        active.write(&folders, &batch.buffer, base)?;
        active.end = active.end.saturating_add(head.size());
        active.last_stamp = batch.stamp;
        let base_u32 = u32::try_from(base).unwrap_or(u32::MAX);
        active.entries.extend(
            batch
                .entries
                .iter()
                .map(|entry| Entry { offset: entry.offset.saturating_add(base_u32), ..*entry }),
        );
        Ok((head.segment, base))
    }

    fn keep_larges(&self, batch: &Batch) -> io::Result<()> {
        if batch.larges.is_empty() {
            return Ok(());
        }
        let (disk, folder) = (&self.folders.disk, self.folders.large.as_fd());
        for large in &batch.larges {
            disk.sync(&large.file)?;
            disk.rename(folder, &large.from, &large.to)?;
        }
        disk.sync_folder(folder)
    }

    /// Makes sure that the active segment has room for the batch, its index, and the reserve.
    fn find_room(&mut self, batch: &Batch) -> Result<(), Trouble> {
        let has_messages = batch.has_messages();
        if self.active.as_ref().is_some_and(|active| active.has_room(batch, true)) {
            return Ok(());
        }
        let next = match self.begin(batch.stamp, self.fitting(batch)) {
            Err(error) if disk::is_full(&error) && !has_messages => {
                if self.active.as_ref().is_some_and(|active| active.has_room(batch, false)) {
                    return Ok(());
                }
                self.begin(batch.stamp, smallest(batch))
            }
            other => other,
        };
        match next {
            Ok(next) => {
                let last = self.active.replace(next);
                last.map_or(Ok(()), |last| self.seal(&last)).map_err(Trouble::Failed)
            }
            Err(error) if disk::is_full(&error) => Err(Trouble::Full),
            Err(error) => Err(Trouble::Failed(error)),
        }
    }

    /// The size of the next segment: less than the whole where that would take much of what is free.
    fn fitting(&self, batch: &Batch) -> u64 {
        let free = self.folders.disk.free(self.folders.root.as_fd());
        let share = free.map_or(self.segment_bytes, |free| free.bytes / FREE_SHARE);
        share.next_multiple_of(4096).max(smallest(batch)).min(self.segment_bytes)
    }

    /// Makes a segment: its space, its header and its name are durable before anything is in it.
    fn begin(&mut self, first_stamp: u64, size: u64) -> io::Result<Active> {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let name = Name { spool: self.folders.id, shard: self.shard, number };
        let (disk, folder) = (Arc::clone(&self.folders.disk), self.folders.shard(self.shard)?);
        let title = Name::file(number);
        let file = disk.open(folder, &title, How::Create)?;
        let made = (|| {
            disk.allocate(&file, size)?;
            let header = Header { format: FORMAT, name, first_stamp }.encode();
            disk::write_all(&*disk, &file, &header, 0)?;
            disk.sync(&file)?;
            disk.sync_folder(folder)
        })();
        if let Err(error) = made {
            // What stays behind when this fails too has no batches, and is taken away by the next start.
            drop(disk.unlink(folder, &title));
            return Err(error);
        }
        let direct = (!self.is_direct_refused)
            .then(|| disk.open(folder, &title, How::Direct).ok())
            .flatten();
        self.is_direct_refused = direct.is_none();
        self.messenger.tell(News::Begun { shard: self.shard, number });
        let entries = Vec::new();
        let end = u64::try_from(BLOCK).unwrap_or(4096);
        Ok(Active { name, file, direct, size, end, entries, last_stamp: first_stamp })
    }

    fn seal(&self, active: &Active) -> io::Result<()> {
        let disk = &self.folders.disk;
        let sealed = segment::seal(active.name, &active.entries, active.end, active.last_stamp);
        let size = active.end.saturating_add(u64::try_from(sealed.len()).unwrap_or(0));
        disk::write_all(&**disk, &active.file, sealed.as_slice(), active.end)?;
        disk.sync(&active.file)?;
        // Where this does not last, the next start finds a segment without a footer at its end, and reads its batches.
        drop(disk.truncate(&active.file, size));
        self.messenger.tell(News::Sealed { number: active.name.number, size, end: active.end });
        Ok(())
    }
}

impl Active {
    fn has_room(&self, batch: &Batch, with_reserve: bool) -> bool {
        let reserve = if with_reserve { self.size / RESERVE_SHARE } else { 0 };
        let count = self.entries.len().saturating_add(batch.entries.len());
        let needed =
            self.end.saturating_add(needed(batch)).saturating_add(segment::seal_size(count));
        count <= RECORDS_MAX && needed.saturating_add(reserve) <= self.size
    }

    fn write(&mut self, folders: &Folders, buffer: &Buffer, base: u64) -> Result<(), Trouble> {
        let disk = &*folders.disk;
        if let Some(direct) = &self.direct {
            match disk.write_at(direct, buffer.as_slice(), base) {
                Ok(count) if count == buffer.len() => return Ok(()),
                // A short direct write, or one that this file system can't do: the whole again, through the cache.
                Ok(_) => self.direct = None,
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.direct = None,
                Err(error) if disk::is_full(&error) => return Err(Trouble::Full),
                Err(error) => return Err(Trouble::Failed(error)),
            }
        }
        match disk::write_all(disk, &self.file, buffer.as_slice(), base) {
            Ok(()) => Ok(disk.sync(&self.file)?),
            Err(error) if disk::is_full(&error) => Err(Trouble::Full),
            Err(error) => Err(Trouble::Failed(error)),
        }
    }
}

/// Octets of a batch as it will be written.
fn needed(batch: &Batch) -> u64 {
    record::batch_size(u64::try_from(batch.len()).unwrap_or(u64::MAX))
}

/// Octets of a segment for this batch and little more.
fn smallest(batch: &Batch) -> u64 {
    let whole =
        needed(batch).saturating_add(segment::seal_size(batch.entries.len())).saturating_add(4096);
    whole.saturating_mul(2).next_multiple_of(4096).max(SEGMENT_MIN)
}
