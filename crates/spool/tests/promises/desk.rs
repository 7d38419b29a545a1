//! A spool in a folder of its own, and the few words in which the tests speak of it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use spool::{
    Body, Completion, Disk, Error, Event, Log, OpenedBody, Options, RealDisk, Refused, Slot, Spool,
};
use tempfile::TempDir;
use wire::QueueId;

pub(crate) const OPTIONS: Options =
    Options { free_bytes_min: 0, segment_bytes: 64 * 1024, shards: 1 };

pub(crate) struct Desk {
    pub(crate) place: TempDir,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: Options,
    log: Option<Log>,
    /// What the last start found.
    pub(crate) found: Vec<u64>,
    ticket: u64,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::with(Arc::new(RealDisk), OPTIONS)
    }

    pub(crate) fn with(disk: Arc<dyn Disk>, options: Options) -> Self {
        let mut made = Self::closed(disk, options);
        made.open().unwrap();
        made
    }

    /// In memory where there is such a file system: a crash of the log is not one of the machine, and syncs cost time.
    pub(crate) fn closed(disk: Arc<dyn Disk>, options: Options) -> Self {
        let place = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
        Self { place, disk, options, log: None, found: Vec::new(), ticket: 0 }
    }

    /// Opens it; a crash if it was open.
    pub(crate) fn open(&mut self) -> Result<(), Error> {
        self.log = None;
        let (log, found) = Log::open_on(Arc::clone(&self.disk), self.folder(), self.options)?;
        self.found = found.iter().map(|found| found.id.as_u64()).collect();
        for found in found {
            assert_eq!(log.find(found.id), Some(found.slot));
        }
        self.log = Some(log);
        Ok(())
    }

    /// A crash, and a start.
    pub(crate) fn crash(&mut self) -> &mut Self {
        self.open().unwrap();
        self
    }

    /// A crash.
    pub(crate) fn close(&mut self) {
        self.log = None;
    }

    pub(crate) fn folder(&self) -> OwnedFd {
        File::open(self.place.path()).unwrap().into()
    }

    pub(crate) fn log(&mut self) -> &mut Log {
        self.log.as_mut().unwrap()
    }

    /// Appends without a commit.
    pub(crate) fn append(&mut self, id: u64, body: &[u8]) -> Result<u64, Refused> {
        self.ticket += 1;
        let ticket = self.ticket;
        let envelope = envelope(id);
        self.log().append(ticket, QueueId::from_u64(id), &envelope, Body::Inline(body))?;
        Ok(ticket)
    }

    pub(crate) fn append_large(&mut self, id: u64, body: &[u8]) -> Result<u64, Refused> {
        let large = self.log().begin_large().map_err(|_| Refused::Full)?;
        File::from(large.file).write_all_at(body, 0).unwrap();
        self.ticket += 1;
        let ticket = self.ticket;
        let body = Body::Large(large.token, u64::try_from(body.len()).unwrap());
        self.log().append(ticket, QueueId::from_u64(id), &envelope(id), body)?;
        Ok(ticket)
    }

    /// Commits until nothing is left to do, and says what came of tickets.
    pub(crate) fn settle(&mut self) -> Vec<Completion> {
        let mut all = Vec::new();
        self.log().settle(&mut all);
        assert_eq!(self.log().statistics().pending, 0, "the disk did not answer");
        all
    }

    /// Commits and waits for one ticket.
    pub(crate) fn wait(&mut self, ticket: u64) -> Result<Slot, Refused> {
        let log = self.log();
        let mut all = Vec::new();
        for _ in 0..10_000 {
            log.completed(&mut all);
            log.commit();
            if let Some(done) = all.iter().find(|done| done.ticket == ticket) {
                return done.result;
            }
            let wait_ms = log.next_commit_ms().unwrap_or(1000);
            sys::poll::readable(&log.wake(), Some(wait_ms)).unwrap();
        }
        panic!("no answer for ticket {ticket}");
    }

    pub(crate) fn store(&mut self, id: u64, body: &[u8]) -> Result<Slot, Refused> {
        let ticket = self.append(id, body)?;
        self.wait(ticket)
    }

    pub(crate) fn store_large(&mut self, id: u64, body: &[u8]) -> Result<Slot, Refused> {
        let ticket = self.append_large(id, body)?;
        self.wait(ticket)
    }

    pub(crate) fn note(&mut self, id: u64, note: &[u8]) {
        let slot = self.slot(id);
        self.log().note(slot, note).unwrap();
        self.settle();
    }

    pub(crate) fn remove(&mut self, id: u64) {
        let slot = self.slot(id);
        self.log().remove(slot).unwrap();
        self.settle();
    }

    pub(crate) fn slot(&mut self, id: u64) -> Slot {
        self.log().find(QueueId::from_u64(id)).unwrap()
    }

    /// Envelope, body and note of a message are as they were given.
    pub(crate) fn read(&mut self, id: u64) -> Result<(Vec<u8>, Option<Vec<u8>>), Error> {
        let slot = self.slot(id);
        let opened = self.log().open(slot)?;
        assert_eq!(opened.envelope, envelope(id));
        let body = match opened.body {
            OpenedBody::Inline(body) => body,
            OpenedBody::Large(file, size_bytes) => {
                let mut body = vec![0; usize::try_from(size_bytes).unwrap()];
                file.read_exact_at(&mut body, 0).unwrap();
                body
            }
        };
        Ok((body, opened.note))
    }

    pub(crate) fn body(&mut self, id: u64) -> Vec<u8> {
        self.read(id).unwrap().0
    }

    /// Everything that is there.
    pub(crate) fn all(&mut self) -> BTreeMap<u64, (Vec<u8>, Option<Vec<u8>>)> {
        let listed = self.log().list(0, usize::MAX);
        listed.into_iter().map(|(id, _)| (id.as_u64(), self.read(id.as_u64()).unwrap())).collect()
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        self.log().events()
    }

    /// Segments in the order of their numbers.
    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for shard in fs::read_dir(self.place.path().join("log")).unwrap() {
            found.extend(names(&shard.unwrap().path()));
        }
        found.sort_by_key(|path| path.file_name().map(std::ffi::OsStr::to_owned));
        found
    }

    pub(crate) fn in_folder(&self, name: &str) -> Vec<PathBuf> {
        names(&self.place.path().join(name))
    }

    /// Housekeeping, until it changes nothing any more.
    pub(crate) fn keep_house(&mut self) {
        for _ in 0..50 {
            let before = self.log().statistics();
            self.log().housekeeping();
            self.settle();
            self.log().housekeeping();
            self.settle();
            if self.log().statistics() == before {
                break;
            }
        }
    }
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    // A forgetful disk hides what it may have to bring back.
    let shown = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    shown.map(|entry| entry.path()).collect()
}

pub(crate) fn envelope(id: u64) -> Vec<u8> {
    format!("envelope of {id}").into_bytes()
}

/// A body that can't be taken for another one.
pub(crate) fn text(id: u64, len: usize) -> Vec<u8> {
    format!("message {id} ").into_bytes().into_iter().cycle().take(len).collect()
}
