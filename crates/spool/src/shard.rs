//! A shard's thread: takes a sealed batch, makes it durable, says so. It waits for the disk so that nobody else must.

use crate::batch::Batch;
use crate::disk::{Disk, Writable};
use crate::record::{SegmentHeader, VERSION, large_name, segment_name};
use rustix::event::EventfdFlags;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

/// A sealed batch and where it goes.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) batch: Batch,
    pub(crate) segment: u32,
    pub(crate) offset: u64,
    /// The segment is to be made first, with so many octets.
    pub(crate) made_bytes: Option<u64>,
}

/// How a job ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Durable.
    Durable,
    /// There was no room for a segment; nothing was written.
    Full,
    /// The disk failed: what was written is unknown.
    Failed(io::Error),
}

/// What comes back.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) shard: usize,
    pub(crate) job: Job,
    pub(crate) ended: Ended,
}

/// Wakes the caller's loop.
#[derive(Debug, Clone)]
pub(crate) struct Bell(Arc<OwnedFd>);

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
        Ok(Self(Arc::new(rustix::event::eventfd(0, flags)?)))
    }

    pub(crate) fn descriptor(&self) -> &OwnedFd {
        &self.0
    }

    fn ring(&self) {
        // A bell that is full rings already.
        rustix::io::write(&*self.0, &1_u64.to_ne_bytes()).ok();
    }

    pub(crate) fn hush(&self) {
        // A bell that did not ring is silent already.
        rustix::io::read(&*self.0, &mut [0; 8]).ok();
    }
}

/// The caller's end of a shard's thread.
#[derive(Debug)]
pub(crate) struct Worker {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread.
    pub(crate) fn start(
        shard: usize,
        spool: u64,
        disk: Arc<dyn Disk>,
        reports: Sender<Report>,
        bell: Bell,
    ) -> io::Result<Self> {
        let (jobs, inbox) = channel();
        let mut writer =
            Writer { number: u32::try_from(shard).unwrap_or(u32::MAX), spool, disk, open: None };
        let thread =
            std::thread::Builder::new().name(format!("spool {shard}")).spawn(move || {
                writer.work(shard, &inbox, &reports, &bell);
            })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Gives the thread a batch. False: it is gone.
    pub(crate) fn give(&self, job: Job) -> bool {
        self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has reported nothing: its batch was never acknowledged.
            drop(thread.join());
        }
    }
}

struct Writer {
    number: u32,
    spool: u64,
    disk: Arc<dyn Disk>,
    open: Option<(u32, Writable)>,
}

impl Writer {
    fn work(&mut self, shard: usize, inbox: &Receiver<Job>, reports: &Sender<Report>, bell: &Bell) {
        while let Ok(job) = inbox.recv() {
            let ended = self.write(&job);
            if reports.send(Report { shard, job, ended }).is_err() {
                return;
            }
            bell.ring();
        }
    }

    fn write(&mut self, job: &Job) -> Ended {
        if let Some(made_bytes) = job.made_bytes
            && let Err(error) = self.begin(job.segment, made_bytes)
        {
            let is_full =
                matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
            return if is_full { Ended::Full } else { Ended::Failed(error) };
        }
        match self.write_batch(job) {
            Ok(()) => Ended::Durable,
            Err(error) => Ended::Failed(error),
        }
    }

    /// Makes the next segment, with its first block durable and its name too.
    fn begin(&mut self, number: u32, octets: u64) -> io::Result<()> {
        let name = segment_name(self.number, number);
        let file = self.disk.create(&name, octets)?;
        let (shard, spool) = (self.number, self.spool);
        let header = SegmentHeader { version: VERSION, shard, number, spool };
        let mut block = sys::disk::AlignedBuffer::default();
        block.extend_from_slice(&header.encode());
        self.disk.write_at(&file, block.as_slice(), 0)?;
        if !file.is_durable {
            self.disk.sync(&file.file)?;
        }
        self.disk.sync_folder(&format!("log/{}", self.number))?;
        self.open = Some((number, file));
        Ok(())
    }

    /// First the large bodies, then the records that name them.
    fn write_batch(&mut self, job: &Job) -> io::Result<()> {
        for (unfinished, id) in &job.batch.large {
            let file = self.disk.open(unfinished)?;
            self.disk.sync(&file)?;
            self.disk.rename(unfinished, &large_name(*id))?;
        }
        if !job.batch.large.is_empty() {
            self.disk.sync_folder("large")?;
        }
        let file = match &self.open {
            Some((number, file)) if *number == job.segment => file,
            Some(_) | None => return Err(io::Error::other("no such segment")),
        };
        self.disk.write_at(file, job.batch.buffer.as_slice(), job.offset)?;
        if !file.is_durable {
            self.disk.sync(&file.file)?;
        }
        Ok(())
    }
}
