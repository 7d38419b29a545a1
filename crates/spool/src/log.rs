//! The log: what the caller's thread does between the commits.

mod effect;

use crate::batch::{Batch, Effect};
use crate::disk::still::Still;
use crate::disk::{Disk, RealDisk};
use crate::index::{Index, Place, Row, Segments};
use crate::note::Pending;
use crate::record::{BLOCK_BYTES, Header, Kind, RECORD_HEADER_BYTES, large_name, segment_name};
use crate::recover;
use crate::shard::{Bell, Job, Report, Worker};
use crate::{
    Body, Completion, Error, Event, Large, LargeToken, Opened, OpenedBody, QueueId, Recovered,
    Refused, Room, Slot, Spool, Statistics,
};
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How a log is laid out and kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Octets of a segment at most: the first one of a shard is small, and each further one larger.
    pub segment_bytes: u64,
    /// Shards, each with a thread. A spool keeps the number it was made with or grows.
    pub shards: usize,
    /// Free octets below which there is no room.
    pub free_bytes_min: u64,
}

impl Default for Options {
    fn default() -> Self {
        let shards = sys::cpu::count().clamp(1, 2);
        Self { segment_bytes: 64 * 1024 * 1024, shards, free_bytes_min: 64 * 1024 * 1024 }
    }
}

/// Octets of the first segment that a shard makes: a host with little mail is not to give its disk to an empty queue.
const FIRST_SEGMENT_BYTES: u64 = 64 * 1024;

/// By what the next segment is larger than the last one, until [`Options::segment_bytes`] is reached.
const GROWTH: u64 = 4;

/// How often a spool is read again whose owner cleans up meanwhile.
const LOOKS_MAX: u32 = 10;

/// How long a batch that nobody waits for is kept back.
const PATIENCE: Duration = Duration::from_millis(5);

/// How long a message waits for as many others as came with the last ones.
const COMPANY: Duration = Duration::from_millis(1);

/// How long a disk may take for the last batches.
const SETTLING: Duration = Duration::from_secs(5);

/// One shard, as the caller's thread sees it.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) open: Batch,
    spare: Option<Batch>,
    is_busy: bool,
    /// The segment that is written, or was last written; 0: none yet.
    pub(crate) segment: u32,
    /// Where its next batch goes.
    offset: u64,
    /// Its octets; 0: none was made since the start.
    room_bytes: u64,
    sequence: u64,
    pub(crate) segments: Segments,
    /// When the open batch was begun.
    since: Option<Instant>,
    /// Messages in the last batch.
    last_count: usize,
    worker: Worker,
}

impl Shard {
    /// There is no segment to write to: the next one begins small.
    fn forget_segment(&mut self) {
        (self.offset, self.room_bytes) = (0, 0);
    }

    /// How long the open batch may wait for company. Where the last batch had several messages, as many are
    /// expected again: a write costs the processor more than a moment of waiting costs a client.
    fn patience(&self) -> Duration {
        match self.open.awaited() {
            0 => PATIENCE,
            count if count < self.last_count => COMPANY,
            _ => Duration::ZERO,
        }
    }
}

/// The segment log.
pub struct Log {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: Options,
    spool: u64,
    pub(crate) shards: Vec<Shard>,
    pub(crate) index: Index,
    reports: Receiver<Report>,
    bell: Bell,
    failed: Vec<Completion>,
    /// Notes that are not yet durable: the newest of each message.
    pub(crate) notes: HashMap<Slot, Pending>,
    /// Messages whose body is a file.
    large: HashSet<u64>,
    pub(crate) readers: HashMap<(usize, u32), File>,
    next_large: u64,
    pub(crate) room: Room,
    pub(crate) free_bytes: u64,
    is_broken: bool,
    pub(crate) events: Vec<Event>,
    written_bytes: u64,
    syncs: u64,
    lock: Option<File>,
    /// Somebody else may have the spool: nothing is written.
    is_look: bool,
    /// What its owner is at.
    current: Option<QueueId>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Log {
    /// Opens the spool in a folder, and finds what is there.
    ///
    /// # Errors
    /// Somebody else has it, its format is unknown, or the disk can't be read.
    pub fn open(folder: OwnedFd, options: Options) -> Result<(Self, Vec<Recovered>), Error> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let lock = rustix::fs::openat(&folder, "lock", flags, Mode::RUSR | Mode::WUSR)
            .map_err(|error| Error::System("the lock", error.into()))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| Error::Locked)?;
        let (mut log, recovered) = Self::open_on(Arc::new(RealDisk::new(folder)), options)?;
        let lock = File::from(lock);
        // What an owner before us was at is over.
        lock.set_len(0).map_err(|error| Error::System("the lock", error))?;
        log.lock = Some(lock);
        Ok((log, recovered))
    }

    /// The same on another kind of disk; nobody is kept out.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn open_on(disk: Arc<dyn Disk>, options: Options) -> Result<(Self, Vec<Recovered>), Error> {
        let found = recover::recover(&*disk, options.shards)?;
        let bell = Bell::new().map_err(|error| Error::System("a bell", error))?;
        let (sender, reports) = channel();
        let mut shards = Vec::new();
        for (number, shard) in found.shards.into_iter().enumerate() {
            let disk = Arc::clone(&disk);
            let (sender, bell) = (sender.clone(), bell.clone());
            let worker = Worker::start(number, found.spool, disk, sender, bell)
                .map_err(|error| Error::System("a thread", error))?;
            shards.push(Shard {
                open: Batch::default(),
                spare: Some(Batch::default()),
                is_busy: false,
                segment: shard.last_segment,
                // A new segment is begun: the tail of the old one may be torn.
                offset: 0,
                room_bytes: 0,
                sequence: shard.last_sequence,
                segments: shard.segments,
                since: None,
                last_count: 0,
                worker,
            });
        }
        let rows = found.index.iter();
        let mut recovered: Vec<Recovered> =
            rows.map(|(slot, row)| Recovered { id: QueueId::from_u64(row.id), slot }).collect();
        recovered.sort_unstable_by_key(|found| found.id.as_u64());
        sys::memory::give_back();
        let mut log = Self {
            disk,
            options,
            spool: found.spool,
            shards,
            index: found.index,
            reports,
            bell,
            failed: Vec::new(),
            notes: HashMap::new(),
            large: found.large,
            readers: HashMap::new(),
            next_large: 0,
            room: Room::Enough,
            free_bytes: 0,
            is_broken: false,
            events: found.events,
            written_bytes: 0,
            syncs: 0,
            lock: None,
            is_look: false,
            current: None,
        };
        log.housekeeping();
        Ok((log, recovered))
    }

    /// Looks at a spool that somebody else may have, and changes nothing: what was durable a moment ago.
    ///
    /// # Errors
    /// The disk can't be read, or the format is unknown.
    pub fn look(folder: OwnedFd, options: Options) -> Result<(Self, Vec<Recovered>), Error> {
        let system = |error| Error::System("the spool", error);
        let current = current_of(&folder);
        let disk: Arc<dyn Disk> = Arc::new(Still::new(RealDisk::new(folder)));
        let mut tries_left = LOOKS_MAX;
        loop {
            tries_left = tries_left.saturating_sub(1);
            match Self::open_on(Arc::clone(&disk), options) {
                // A segment went away under our eyes.
                Err(Error::System(_, error))
                    if error.kind() == std::io::ErrorKind::NotFound && tries_left > 0 => {}
                Err(Error::System(_, error)) => return Err(system(error)),
                Err(error) => return Err(error),
                Ok((mut log, recovered)) => {
                    log.is_look = true;
                    log.current = current;
                    return Ok((log, recovered));
                }
            }
        }
    }

    /// Says to who looks what is being done; not durable, and not true any more when the spool has no owner.
    pub fn tell_current(&mut self, id: QueueId) {
        if let Some(lock) = self.lock.as_ref().filter(|_| self.current != Some(id)) {
            // It is told for the eye alone.
            lock.write_all_at(&id.as_u64().to_le_bytes(), 0).ok();
            self.current = Some(id);
        }
    }

    /// What the owner of the spool is at, as far as it told.
    #[must_use]
    pub fn current(&self) -> Option<QueueId> {
        self.current.filter(|_| self.is_look)
    }

    /// The shard of a message. Messages of one shard that are appended between two commits become durable together.
    #[must_use]
    pub fn shard_of(&self, id: QueueId) -> usize {
        shard_of(id.as_u64(), self.shards.len())
    }

    pub(crate) fn shard_mut(&mut self, id: u64) -> Result<&mut Shard, Refused> {
        if self.is_broken {
            return Err(Refused::Broken);
        }
        let number = shard_of(id, self.shards.len());
        self.shards.get_mut(number).ok_or(Refused::Broken)
    }

    /// Puts a message into the open batch of its shard.
    fn put_message(
        &mut self,
        ticket: u64,
        id: QueueId,
        envelope: &[u8],
        body: &Body<'_>,
        is_own: bool,
    ) -> Result<(), Refused> {
        let id = id.as_u64();
        let extra = u32::try_from(envelope.len()).map_err(|_| Refused::TooLarge)?;
        let batch = &mut self.shard_mut(id)?.open;
        let at = match body {
            Body::Inline(text) => batch.put(Kind::Message, extra, id, &[envelope, text])?,
            Body::Large(token, size) => {
                let at = batch.put(Kind::Large, extra, id, &[envelope, &size.to_le_bytes()])?;
                batch.large.push((unfinished_name(token), id));
                self.large.insert(id);
                at
            }
        };
        let row = Row { id, ..Row::default() };
        let slot = self.index.insert(row).ok_or(Refused::Full)?;
        self.shard_mut(id)?.open.stored(Effect::Stored { ticket, slot, id, at, is_own });
        Ok(())
    }

    /// Seals the open batches of idle shards and gives them to their threads.
    fn commit_now(&mut self, is_urgent: bool) {
        if self.is_broken || self.is_look {
            return;
        }
        let longest = self.options.segment_bytes;
        for shard in &mut self.shards {
            if shard.is_busy || shard.open.is_empty() {
                continue;
            }
            let since = *shard.since.get_or_insert_with(Instant::now);
            if !is_urgent && since.elapsed() < shard.patience() {
                continue;
            }
            shard.since = None;
            shard.last_count = shard.open.awaited();
            let Some(spare) = shard.spare.take() else { continue };
            let mut batch = std::mem::replace(&mut shard.open, spare);
            let padded = batch.buffer.len().next_multiple_of(BLOCK_BYTES);
            let length = u64::try_from(padded).unwrap_or(u64::MAX);
            let is_new = shard.offset.saturating_add(length) > shard.room_bytes;
            if is_new {
                shard.segment = shard.segment.saturating_add(1);
                shard.offset = u64::try_from(BLOCK_BYTES).unwrap_or(0);
                let larger = shard.room_bytes.saturating_mul(GROWTH).max(FIRST_SEGMENT_BYTES);
                shard.room_bytes = larger.max(shard.offset.saturating_add(length)).min(longest);
                shard.segments.holdings.entry(shard.segment).or_default();
            }
            shard.sequence = shard.sequence.saturating_add(1);
            batch.seal(shard.sequence, self.spool, shard.segment);
            let (segment, offset) = (shard.segment, shard.offset);
            let made_bytes = is_new.then_some(shard.room_bytes);
            let job = Job { batch, segment, offset, made_bytes };
            shard.offset = shard.offset.saturating_add(length);
            shard.is_busy = true;
            if !shard.worker.give(job) {
                self.is_broken = true;
            }
        }
    }

    /// Reads a record and checks that it is what it should be.
    pub(crate) fn read(&mut self, id: u64, place: Place) -> Result<(Header, Vec<u8>), Error> {
        let number = shard_of(id, self.shards.len());
        let key = (number, place.segment);
        if !self.readers.contains_key(&key) {
            let shard = u32::try_from(number).unwrap_or(u32::MAX);
            let name = segment_name(shard, place.segment);
            let file = self.disk.open(&name).map_err(|error| Error::System("a segment", error))?;
            self.readers.insert(key, file);
        }
        let file = self.readers.get(&key).ok_or(Error::Damaged)?;
        let length = usize::try_from(place.length).map_err(|_| Error::Damaged)?;
        let mut octets = vec![0; RECORD_HEADER_BYTES.saturating_add(length)];
        file.read_exact_at(&mut octets, u64::from(place.offset))
            .map_err(|error| Error::System("a segment", error))?;
        let payload = octets.split_off(RECORD_HEADER_BYTES);
        let header = Header::decode(&octets).ok_or(Error::Damaged)?;
        if header.id == id && header.fits(&payload) {
            Ok((header, payload))
        } else {
            Err(Error::Damaged)
        }
    }
}

/// What the owner of a spool is at, if it has one.
fn current_of(folder: &OwnedFd) -> Option<QueueId> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let lock = rustix::fs::openat(folder, "lock", flags, Mode::empty()).ok()?;
    if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared).is_ok() {
        return None;
    }
    let mut octets = [0; 8];
    File::from(lock).read_exact_at(&mut octets, 0).ok()?;
    Some(QueueId::from_u64(u64::from_le_bytes(octets)))
}

/// The shard of an id.
pub(crate) fn shard_of(id: u64, shards: usize) -> usize {
    let count = u64::try_from(shards).unwrap_or(1).max(1);
    usize::try_from(id % count).unwrap_or(0)
}

impl Spool for Log {
    fn begin_large(&mut self) -> Result<Large, Error> {
        self.next_large = self.next_large.saturating_add(1);
        let token = LargeToken(self.next_large);
        let system = |error| Error::System("a large body", error);
        let made = self.disk.create(&unfinished_name(&token), 0).map_err(system)?;
        Ok(Large { file: made.file.into(), token })
    }

    fn abandon(&mut self, token: LargeToken) {
        // Left behind, it is removed at the next start.
        drop(self.disk.remove(&unfinished_name(&token)));
    }

    fn append(
        &mut self,
        ticket: u64,
        id: QueueId,
        envelope: &[u8],
        body: Body<'_>,
    ) -> Result<(), Refused> {
        if self.room == Room::Low {
            return Err(Refused::Full);
        }
        self.put_message(ticket, id, envelope, &body, false)
    }

    fn append_own(
        &mut self,
        ticket: u64,
        id: QueueId,
        envelope: &[u8],
        body: Body<'_>,
    ) -> Result<(), Refused> {
        self.put_message(ticket, id, envelope, &body, true)
    }

    fn share_large(&mut self, slot: Slot) -> Result<LargeToken, Error> {
        let id = self.index.get(slot).map(|row| row.id).ok_or(Error::Damaged)?;
        self.next_large = self.next_large.saturating_add(1);
        let token = LargeToken(self.next_large);
        let system = |error| Error::System("a large body", error);
        self.disk.link(&large_name(id), &unfinished_name(&token)).map_err(system)?;
        Ok(token)
    }

    fn takes(&mut self, id: QueueId, octets: usize, records: usize) -> Result<(), Refused> {
        self.shard_mut(id.as_u64())?.open.takes(octets, records)
    }

    fn note(&mut self, slot: Slot, note: &[u8]) -> Result<(), Refused> {
        let Some(id) = self.index.get(slot).map(|row| row.id) else { return Ok(()) };
        let batch = &mut self.shard_mut(id)?.open;
        let at = batch.put(Kind::Note, 0, id, &[note])?;
        batch.effects.push(Effect::Noted { slot, id, at });
        Pending::put(&mut self.notes, slot, id, note);
        Ok(())
    }

    fn remove(&mut self, slot: Slot) -> Result<(), Refused> {
        let Some(row) = self.index.get(slot).copied() else { return Ok(()) };
        let is_large = self.large.remove(&row.id);
        let batch = &mut self.shard_mut(row.id)?.open;
        batch.put(Kind::Done, 0, row.id, &[])?;
        batch.effects.push(Effect::Ended { row, is_large });
        self.notes.remove(&slot);
        self.index.remove(slot);
        Ok(())
    }

    fn commit(&mut self) {
        self.commit_now(false);
    }

    fn next_commit_ms(&self) -> Option<u64> {
        let waiting = self.shards.iter().filter(|shard| !shard.is_busy && !shard.open.is_empty());
        let left = waiting
            .filter_map(|shard| Some(shard.patience().saturating_sub(shard.since?.elapsed())))
            .min()?;
        Some(u64::try_from(left.as_millis()).unwrap_or(0).saturating_add(1))
    }

    fn settle(&mut self, out: &mut Vec<Completion>) {
        let end = Instant::now().checked_add(SETTLING);
        while !self.is_broken && end.is_some_and(|end| Instant::now() < end) {
            self.commit_now(true);
            if self.shards.iter().all(|shard| !shard.is_busy && shard.open.is_empty()) {
                return;
            }
            if let Ok(report) = self.reports.recv_timeout(PATIENCE) {
                self.report(report, out);
            }
        }
    }

    fn completed(&mut self, out: &mut Vec<Completion>) {
        self.bell.hush();
        out.append(&mut self.failed);
        while let Ok(report) = self.reports.try_recv() {
            self.report(report, out);
        }
    }

    fn wake(&self) -> BorrowedFd<'_> {
        self.bell.descriptor().as_fd()
    }

    fn open(&mut self, slot: Slot) -> Result<Opened, Error> {
        let row = *self.index.get(slot).ok_or(Error::Damaged)?;
        let (header, mut payload) = self.read(row.id, row.message)?;
        let envelope_bytes = usize::try_from(header.extra).map_err(|_| Error::Damaged)?;
        if envelope_bytes > payload.len() {
            return Err(Error::Damaged);
        }
        let rest = payload.split_off(envelope_bytes);
        let note = self.newest_note(slot, &row)?;
        let body = if header.kind == Kind::Large {
            let size = rest.first_chunk::<8>().map(|octets| u64::from_le_bytes(*octets));
            let file = self.disk.open(&large_name(row.id));
            let file = file.map_err(|error| Error::System("a large body", error))?;
            OpenedBody::Large(file, size.ok_or(Error::Damaged)?)
        } else {
            OpenedBody::Inline(rest)
        };
        Ok(Opened { envelope: payload, note, body })
    }

    fn room(&self) -> Room {
        self.room
    }

    fn housekeeping(&mut self) {
        if self.is_look {
            return;
        }
        self.look_at_room();
        self.free_segments();
        self.compact();
    }

    fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    fn id(&self, slot: Slot) -> Option<QueueId> {
        self.index.get(slot).map(|row| QueueId::from_u64(row.id))
    }

    fn find(&self, id: QueueId) -> Option<Slot> {
        let slot = self.index.find(id.as_u64())?;
        self.index.get(slot).filter(|row| row.message.segment != 0).map(|_| slot)
    }

    fn holds(&self, id: QueueId) -> bool {
        self.index.find(id.as_u64()).is_some()
    }

    fn list(&self, after: u64, count_max: usize) -> Vec<(QueueId, Slot)> {
        self.index.list(after, count_max)
    }

    fn statistics(&self) -> Statistics {
        let segments = self.shards.iter().map(|shard| shard.segments.holdings.len()).sum::<usize>();
        Statistics {
            messages: self.index.used(),
            segments: u64::try_from(segments).unwrap_or(u64::MAX),
            written_bytes: self.written_bytes,
            syncs: self.syncs,
            free_bytes: self.free_bytes,
        }
    }

    fn is_broken(&self) -> bool {
        self.is_broken
    }
}

/// The name of a large body that is not committed.
fn unfinished_name(token: &LargeToken) -> String {
    format!("large/new-{}", token.0)
}
