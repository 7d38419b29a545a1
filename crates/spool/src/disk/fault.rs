//! A disk that fails on purpose: each n-th call of a kind, for tests of every promise.

use super::{Disk, RealDisk, Writable};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};

/// A kind of call that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// [`Disk::create`]: no room.
    Create,
    /// [`Disk::write_at`]: half is written, then an error.
    Write,
    /// [`Disk::sync`] and [`Disk::sync_folder`].
    Sync,
    /// [`Disk::rename`].
    Rename,
    /// [`Disk::open`].
    Open,
    /// [`Disk::remove`].
    Remove,
}

/// A real disk whose n-th call of one kind fails, and every later one of that kind too, if it should stay
/// broken.
#[derive(Debug)]
pub struct FaultyDisk {
    inner: RealDisk,
    call: Call,
    at: u64,
    stays: bool,
    seen: AtomicU64,
}

impl FaultyDisk {
    /// The disk below `folder`, whose `at`-th call (from 1) of this kind fails; 0: none.
    #[must_use]
    pub fn new(folder: OwnedFd, call: Call, at: u64, stays: bool) -> Self {
        Self { inner: RealDisk::new(folder), call, at, stays, seen: AtomicU64::new(0) }
    }

    /// How many calls of the kind there were.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen.load(Ordering::SeqCst)
    }

    fn fails(&self, call: Call) -> bool {
        if call != self.call {
            return false;
        }
        let number = self.seen.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        self.at != 0 && (number == self.at || (self.stays && number > self.at))
    }

    fn check(&self, call: Call) -> io::Result<()> {
        if !self.fails(call) {
            return Ok(());
        }
        Err(match call {
            Call::Create => io::ErrorKind::StorageFull.into(),
            Call::Write | Call::Sync | Call::Rename | Call::Open | Call::Remove => {
                io::Error::other("a fault that was put here")
            }
        })
    }
}

impl Disk for FaultyDisk {
    fn make_folder(&self, name: &str) -> io::Result<()> {
        self.inner.make_folder(name)
    }

    fn create(&self, name: &str, length: u64) -> io::Result<Writable> {
        self.check(Call::Create)?;
        self.inner.create(name, length)
    }

    fn open(&self, name: &str) -> io::Result<File> {
        self.check(Call::Open)?;
        self.inner.open(name)
    }

    fn write_at(&self, file: &Writable, octets: &[u8], place: u64) -> io::Result<()> {
        if let Err(error) = self.check(Call::Write) {
            // Half of it, in whole blocks, as a disk that loses power leaves it.
            let half = octets.len() / 2 / super::super::record::BLOCK_BYTES
                * super::super::record::BLOCK_BYTES;
            self.inner.write_at(file, octets.get(..half).unwrap_or_default(), place)?;
            return Err(error);
        }
        self.inner.write_at(file, octets, place)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.check(Call::Sync)?;
        self.inner.sync(file)
    }

    fn sync_folder(&self, name: &str) -> io::Result<()> {
        self.check(Call::Sync)?;
        self.inner.sync_folder(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.check(Call::Rename)?;
        self.inner.rename(from, to)
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.check(Call::Rename)?;
        self.inner.link(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.check(Call::Remove)?;
        self.inner.remove(name)
    }

    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        self.inner.list(name)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.inner.free_bytes()
    }
}
