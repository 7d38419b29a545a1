//! The log: gathers what is to be written, hands it to the commit threads, and reads back what is there.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use wire::QueueId;

use crate::account::Account;
use crate::batch::{Act, Action, Batch, LargeFile, batch_max};
use crate::buffer::Buffer;
use crate::commit::{Committer, Messenger, News, SEGMENT_MIN};
use crate::compact::Compaction;
use crate::disk::{Disk, How, RealDisk};
use crate::folders::{Folders, SHARDS_MAX, large_name};
use crate::record::{Kind, RECORD_HEADER, Record, SPLIT_UNKNOWN};
use crate::recover::{Found, recover};
use crate::shard::{PATIENCE, Shard};
use crate::sweep::{self, Litter};
use crate::table::{Message, State, Table};
use crate::{
    Body, Completion, Error, Event, Large, LargeToken, Opened, Options, Recovered, Refused, Room,
    Slot, Spool, Statistics,
};

/// Octets that may wait for the disk; more is answered as if it were full.
const GATHERED_MAX: usize = 64 * 1024 * 1024;
/// Octets that a new buffer has room for.
const BUFFER_BYTES: usize = 256 * 1024;
/// A buffer that grew above it is not kept.
const BUFFER_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Buffers that are kept.
const BUFFERS_MAX: usize = 4;
/// Free octets that are wanted before more messages are taken after the disk was full.
const FREE_AFTER_FULL: u64 = 4 * 1024 * 1024;
/// How long the disk may take for the last batches.
const SETTLING: Duration = Duration::from_secs(5);
/// Events that are kept until somebody asks.
const EVENTS_MAX: usize = 1_000;

/// The spool in a folder of segments.
#[derive(Debug)]
pub struct Log {
    pub(crate) folders: Arc<Folders>,
    pub(crate) options: Options,
    pub(crate) table: Table,
    pub(crate) account: Account,
    pub(crate) shards: Vec<Shard>,
    pub(crate) next_stamp: u64,
    pub(crate) news: Receiver<News>,
    pub(crate) litter: Option<Sender<Litter>>,
    /// Files that are being unlinked.
    pub(crate) littered: u64,
    pub(crate) finished: Vec<Completion>,
    pub(crate) spare: Vec<Buffer>,
    pub(crate) compaction: Option<Compaction>,
    pub(crate) counts: Statistics,
    pub(crate) is_broken: bool,
    /// The disk had no room for a segment, and nothing has shown yet that it has.
    pub(crate) is_full: Cell<bool>,
    is_low: Cell<bool>,
    events: RefCell<Vec<Event>>,
    /// The newest notes that are not durable yet, by slot.
    pub(crate) fresh_notes: HashMap<u32, Box<[u8]>>,
    larges: HashMap<u64, File>,
    next_large: u64,
    messenger: Messenger,
    threads: Vec<JoinHandle<()>>,
}

impl Log {
    /// Opens the spool in a folder, made if it is empty, and finds all messages in it, in the order of ids.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::Format`], or [`Error::Disk`]. Damage is no error: see [`Spool::events`].
    pub fn open(folder: OwnedFd, options: Options) -> Result<(Self, Vec<Recovered>), Error> {
        Self::open_on(Arc::new(RealDisk), folder, options)
    }

    /// Opens the spool in a folder of a disk.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn open_on(
        disk: Arc<dyn Disk>,
        folder: OwnedFd,
        options: Options,
    ) -> Result<(Self, Vec<Recovered>), Error> {
        let default = if sys::cpu::count() > 1 { 2 } else { 1 };
        let shards = if options.shards == 0 { default } else { options.shards.min(SHARDS_MAX) };
        let segment_bytes = options.segment_bytes.clamp(SEGMENT_MIN, 1 << 30) / 4096 * 4096;
        let options = Options { segment_bytes, shards, ..options };
        let folders = Arc::new(Folders::open(disk, folder, shards)?);
        let found = recover(&folders)?;
        let recovered = found
            .table
            .all()
            .map(|(id, slot)| Recovered { id: QueueId::from_u64(id), slot: Slot(slot) });
        let recovered = recovered.collect();
        let mut log = Self::start(folders, options, found).map_err(Error::disk("starting"))?;
        log.sweep();
        Ok((log, recovered))
    }

    fn start(folders: Arc<Folders>, options: Options, found: Found) -> io::Result<Self> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (sender, news) = channel();
        let messenger = Messenger { news: sender, wake };
        let next_number = Arc::new(AtomicU32::new(found.last_number.saturating_add(1)));
        let mut threads = Vec::new();
        let mut shards = Vec::new();
        for shard in 0..options.shards {
            let (to, batches) = channel();
            let committer = Committer {
                folders: Arc::clone(&folders),
                shard,
                segment_bytes: options.segment_bytes,
                next_number: Arc::clone(&next_number),
                messenger: messenger.clone(),
                active: None,
                is_direct_refused: false,
            };
            let thread = std::thread::Builder::new().name(format!("commit {shard}"));
            threads.push(thread.spawn(move || committer.run(&batches))?);
            let open = VecDeque::new();
            shards.push(Shard {
                to: Some(to),
                open,
                is_busy: false,
                is_stalled: false,
                since: None,
                last_count: 0,
            });
        }
        let (litter, to_sweep) = channel();
        let (sweeping, telling) = (Arc::clone(&folders), messenger.clone());
        let thread = std::thread::Builder::new().name("sweep".into());
        threads.push(thread.spawn(move || sweep::run(&sweeping, &telling, &to_sweep))?);
        // The upper half counts the lives of the spool: a stamp of a torn commit is never given again.
        let life = (found.last_stamp >> 32).saturating_add(1);
        Ok(Self {
            folders,
            options,
            table: found.table,
            account: found.account,
            shards,
            next_stamp: life << 32,
            news,
            litter: Some(litter),
            littered: 0,
            finished: Vec::new(),
            spare: Vec::new(),
            compaction: None,
            counts: Statistics::default(),
            is_broken: false,
            is_full: Cell::new(false),
            is_low: Cell::new(false),
            events: RefCell::new(found.events),
            fresh_notes: HashMap::new(),
            larges: HashMap::new(),
            next_large: 0,
            messenger,
            threads,
        })
    }

    /// The shard of a message. What is put into one shard between two calls of [`Spool::commit`] is in one commit, if it is not
    /// larger than a commit may be.
    #[must_use]
    pub fn shard_of(&self, id: QueueId) -> usize {
        self.shard(id.as_u64())
    }

    pub(crate) fn shard(&self, id: u64) -> usize {
        // The lower bits of ids count, the upper are the time: mixed, so that no pattern of either fills one shard only.
        let mixed = (id ^ (id >> 24)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let count = u64::try_from(self.shards.len()).unwrap_or(1).max(1);
        usize::try_from(mixed % count).unwrap_or(0)
    }

    pub(crate) fn tell(&self, event: Event) {
        let mut events = self.events.borrow_mut();
        if events.len() < EVENTS_MAX {
            events.push(event);
        }
    }

    /// The batch into which the next record of a shard goes.
    pub(crate) fn gather(&mut self, shard: usize, octets: usize) -> Option<&mut Batch> {
        let most = batch_max(self.options.segment_bytes);
        let (spare, next_stamp) = (&mut self.spare, &mut self.next_stamp);
        let open = &mut self.shards.get_mut(shard)?.open;
        if open.back().is_none_or(|batch| batch.len().saturating_add(octets) > most) {
            let buffer = spare.pop().unwrap_or_else(|| Buffer::with_capacity(BUFFER_BYTES));
            open.push_back(Batch::new(*next_stamp, buffer));
            *next_stamp = next_stamp.saturating_add(1);
        }
        open.back_mut()
    }

    /// Gives the batches whose time has come to the threads that are idle.
    fn commit_now(&mut self, is_urgent: bool) {
        for shard in &mut self.shards {
            if shard.is_busy || shard.is_stalled || shard.open.is_empty() || self.is_broken {
                continue;
            }
            shard.since.get_or_insert_with(Instant::now);
            if !is_urgent && shard.left().is_some_and(|left| !left.is_zero()) {
                continue;
            }
            if let (Some(to), Some(batch)) = (&shard.to, shard.open.pop_front()) {
                shard.since = None;
                shard.last_count = batch.awaited();
                shard.is_busy = to.send(batch).is_ok();
            }
        }
    }

    /// Keeps the memory of a batch for the next.
    pub(crate) fn recycle(&mut self, batch: Batch) {
        if self.spare.len() < BUFFERS_MAX && batch.buffer.capacity() <= BUFFER_BYTES_MAX {
            self.spare.push(batch.buffer);
        }
    }

    /// Puts records into the batch of a shard, with what follows when they are durable.
    pub(crate) fn put(&mut self, slot: u32, act: Act, records: &[(Record, [&[u8]; 2])]) {
        let Some(id) = self.table.get(slot).map(|message| message.id) else { return };
        self.put_for(id, slot, act, records);
    }

    pub(crate) fn put_for(
        &mut self,
        id: u64,
        slot: u32,
        act: Act,
        records: &[(Record, [&[u8]; 2])],
    ) {
        let octets = records.iter().map(|(record, _)| record.size()).sum::<u64>();
        let (seed, shard) = (self.folders.id.seed(), self.shard(id));
        let Some(batch) = self.gather(shard, usize::try_from(octets).unwrap_or(usize::MAX)) else {
            return;
        };
        for (record, payload) in records {
            batch.push(seed, *record, *payload);
        }
        batch.act(Action { act, slot });
    }

    /// Octets of the largest record, with its header.
    pub(crate) fn record_max(&self) -> usize {
        batch_max(self.options.segment_bytes) / 2
    }

    fn may_gather(&self, id: u64, octets: usize) -> Result<(), Refused> {
        let gathered: usize =
            self.shards.iter().flat_map(|shard| &shard.open).map(Batch::len).sum();
        let is_stalled = self.shards.get(self.shard(id)).is_none_or(|shard| shard.is_stalled);
        if self.is_broken {
            Err(Refused::Broken)
        } else if octets > self.record_max().saturating_sub(RECORD_HEADER) {
            Err(Refused::TooLarge)
        } else if is_stalled || gathered > GATHERED_MAX {
            Err(Refused::Full)
        } else {
            Ok(())
        }
    }

    /// Takes the file of a large body, if it is as long as was said.
    fn take_large(&mut self, token: &LargeToken, size_bytes: u64) -> Result<File, Refused> {
        let file = self.larges.remove(&token.0).ok_or(Refused::TooLarge)?;
        if self.folders.disk.size(&file).is_ok_and(|size| size == size_bytes) {
            return Ok(file);
        }
        self.unlink_new(token.0);
        Err(Refused::TooLarge)
    }

    fn unlink_new(&self, number: u64) {
        // What can't be unlinked now is taken away by the next start.
        drop(self.folders.disk.unlink(self.folders.large.as_fd(), &new_name(number)));
    }

    fn append_large(
        &mut self,
        ticket: u64,
        id: u64,
        envelope: &[u8],
        token: &LargeToken,
        size_bytes: u64,
    ) -> Result<(), Refused> {
        let may = self.may_gather(id, envelope.len().saturating_add(8));
        let may =
            may.and(if self.table.find(id).is_some() { Err(Refused::TooLarge) } else { Ok(()) });
        if let Err(refused) = may {
            self.abandon(LargeToken(token.0));
            return Err(refused);
        }
        let file = self.take_large(token, size_bytes)?;
        self.add(ticket, id, Kind::Large, envelope, &size_bytes.to_le_bytes())?;
        let large = LargeFile { file, from: new_name(token.0), to: large_name(id) };
        let shard = self.shard(id);
        if let Some(batch) = self.gather(shard, 0) {
            batch.larges.push(large);
        }
        Ok(())
    }

    fn add(
        &mut self,
        ticket: u64,
        id: u64,
        kind: Kind,
        envelope: &[u8],
        body: &[u8],
    ) -> Result<(), Refused> {
        let len = envelope.len().saturating_add(body.len());
        let (len, split) = (u32::try_from(len), u32::try_from(envelope.len()));
        let (Ok(len), Ok(split)) = (len, split) else { return Err(Refused::TooLarge) };
        let is_large = kind == Kind::Large;
        let message = Message { id, state: State::Coming, is_large, ..Message::default() };
        let slot = self.table.insert(message).ok_or(Refused::TooLarge)?;
        let record = Record { kind, id, split, stamp_low: 0, len };
        self.put(slot, Act::Add { ticket }, &[(record, [envelope, body])]);
        Ok(())
    }
}

impl Spool for Log {
    fn begin_large(&mut self) -> Result<Large, Error> {
        let number = self.next_large;
        self.next_large = number.wrapping_add(1);
        let folder = self.folders.large.as_fd();
        let file = self.folders.disk.open(folder, &new_name(number), How::Create);
        let file = file.map_err(Error::disk("large"))?;
        let for_writer = file.try_clone().map_err(Error::disk("large"))?;
        self.larges.insert(number, file);
        Ok(Large { file: for_writer.into(), token: LargeToken(number) })
    }

    fn abandon(&mut self, token: LargeToken) {
        if self.larges.remove(&token.0).is_some() {
            self.unlink_new(token.0);
        }
    }

    fn append(
        &mut self,
        ticket: u64,
        id: QueueId,
        envelope: &[u8],
        body: Body<'_>,
    ) -> Result<(), Refused> {
        match body {
            Body::Inline(body) => {
                self.may_gather(id.as_u64(), envelope.len().saturating_add(body.len()))?;
                self.add(ticket, id.as_u64(), Kind::Message, envelope, body)
            }
            Body::Large(token, size) => {
                self.append_large(ticket, id.as_u64(), envelope, &token, size)
            }
        }
    }

    fn note(&mut self, slot: Slot, note: &[u8]) -> Result<(), Refused> {
        let most = self.record_max().saturating_sub(RECORD_HEADER);
        if self.is_broken {
            return Err(Refused::Broken);
        }
        let message = self.table.get_mut(slot.0).filter(|message| message.state == State::Here);
        let (Some(message), Ok(len)) = (message, u32::try_from(note.len())) else {
            return Err(Refused::TooLarge);
        };
        if note.len() > most {
            return Err(Refused::TooLarge);
        }
        message.notes_pending = message.notes_pending.checked_add(1).ok_or(Refused::Full)?;
        self.fresh_notes.insert(slot.0, note.into());
        let record = Record { kind: Kind::Note, id: message.id, split: 0, stamp_low: 0, len };
        self.put(slot.0, Act::Note, &[(record, [note, b""])]);
        Ok(())
    }

    fn remove(&mut self, slot: Slot) -> Result<(), Refused> {
        if self.is_broken {
            return Err(Refused::Broken);
        }
        let is_there =
            |message: &&mut Message| matches!(message.state, State::Here | State::Damaged);
        let message = self.table.get_mut(slot.0).filter(is_there).ok_or(Refused::TooLarge)?;
        message.state = State::Going;
        let is_sure = message.letter.is_somewhere() && !message.is_moving;
        let split = if is_sure { message.letter.segment } else { SPLIT_UNKNOWN };
        let record = Record { kind: Kind::Done, id: message.id, split, stamp_low: 0, len: 0 };
        self.put(slot.0, Act::Done, &[(record, [b"", b""])]);
        Ok(())
    }

    fn commit(&mut self) {
        self.commit_now(false);
    }

    fn next_commit_ms(&self) -> Option<u64> {
        let left = self.shards.iter().filter_map(Shard::left).min()?;
        Some(u64::try_from(left.as_millis()).unwrap_or(0).saturating_add(1))
    }

    fn settle(&mut self, out: &mut Vec<Completion>) {
        let begun = Instant::now();
        while begun.elapsed() < SETTLING {
            self.completed(out);
            self.commit_now(true);
            if self.statistics().pending == 0 {
                return;
            }
            if let Ok(news) = self.news.recv_timeout(PATIENCE) {
                self.take_news(news);
            }
        }
    }

    fn completed(&mut self, out: &mut Vec<Completion>) {
        let mut count = [0_u8; 8];
        // Nothing to read: nobody rang.
        rustix::io::read(&*self.messenger.wake, &mut count).ok();
        while let Ok(news) = self.news.try_recv() {
            self.take_news(news);
        }
        self.sweep();
        out.append(&mut self.finished);
    }

    fn wake(&self) -> BorrowedFd<'_> {
        self.messenger.wake.as_fd()
    }

    fn open(&self, slot: Slot) -> Result<Opened, Error> {
        let message = self.table.get(slot.0).ok_or(Error::Gone)?;
        match message.state {
            State::Free | State::Coming | State::Going => return Err(Error::Gone),
            State::Damaged => return Err(Error::Damaged { id: QueueId::from_u64(message.id) }),
            State::Here => {}
        }
        let (record, mut envelope) = self.read(message.id, message.letter)?;
        let body = self.open_body(message.id, &record, &mut envelope)?;
        let note = self.read_note(message)?;
        Ok(Opened { envelope, note, body })
    }

    fn room(&self) -> Room {
        let wanted = self.options.free_bytes_min;
        let wanted = if self.is_full.get() { wanted.max(FREE_AFTER_FULL) } else { wanted };
        // A little more is wanted to leave the state than to enter it, so that it does not flutter.
        let wanted = if self.is_low.get() { wanted.saturating_add(wanted / 8) } else { wanted };
        let is_enough =
            self.folders.disk.free(self.folders.root.as_fd()).is_ok_and(|free| {
                free.bytes >= wanted && free.files.is_none_or(|files| files >= 64)
            });
        let is_stalled = self.shards.iter().any(|shard| shard.is_stalled);
        self.is_low.set(!is_enough);
        if is_enough && !is_stalled && !self.is_broken {
            self.is_full.set(false);
            return Room::Enough;
        }
        Room::Low
    }

    fn housekeeping(&mut self) {
        for shard in &mut self.shards {
            shard.is_stalled = false;
        }
        self.account.stir();
        self.sweep();
        if !self.is_broken {
            self.compact();
        }
    }

    fn events(&mut self) -> Vec<Event> {
        std::mem::take(self.events.get_mut())
    }

    fn id(&self, slot: Slot) -> Option<QueueId> {
        self.table.get(slot.0).map(|message| QueueId::from_u64(message.id))
    }

    fn find(&self, id: QueueId) -> Option<Slot> {
        let slot = self.table.find(id.as_u64())?;
        let state = self.table.get(slot)?.state;
        matches!(state, State::Here | State::Damaged).then_some(Slot(slot))
    }

    fn list(&self, after: u64, max: usize) -> Vec<(QueueId, Slot)> {
        let is_there = |slot: u32| {
            let state = self.table.get(slot).map(|message| message.state);
            matches!(state, Some(State::Here | State::Damaged))
        };
        let all = self.table.above(after).filter(|&(_, slot)| is_there(slot)).take(max);
        all.map(|(id, slot)| (QueueId::from_u64(id), Slot(slot))).collect()
    }

    fn statistics(&self) -> Statistics {
        let (segment_bytes, live_bytes) = self.account.bytes();
        let under_way = |shard: &Shard| {
            let open = if shard.is_stalled { 0 } else { shard.open.len() };
            u64::try_from(open).unwrap_or(u64::MAX).saturating_add(u64::from(shard.is_busy))
        };
        Statistics {
            pending: self.shards.iter().map(under_way).sum::<u64>().saturating_add(self.littered),
            messages: u64::try_from(self.table.len()).unwrap_or(u64::MAX),
            segments: u64::try_from(self.account.len()).unwrap_or(u64::MAX),
            segment_bytes,
            live_bytes,
            ..self.counts
        }
    }

    fn is_broken(&self) -> bool {
        self.is_broken
    }
}

impl Drop for Log {
    /// What was handed to the threads is finished; what was only gathered is as if the power had gone.
    fn drop(&mut self) {
        self.litter = None;
        for shard in &mut self.shards {
            shard.to = None;
        }
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            drop(thread.join());
        }
    }
}

/// The name of a large body that no message has taken yet.
fn new_name(number: u64) -> String {
    format!("new-{number}")
}
