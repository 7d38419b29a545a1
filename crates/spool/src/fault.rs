//! A disk that fails on purpose, for tests.
//!
//! [`FaultyDisk`] works on real files. It counts the calls of each kind and lets the n-th fail, once or from then on;
//! so a test can run the same work with n = 1, 2, 3, … until nothing fails any more. A *forgetful* one remembers
//! how to undo whatever was not synced, which is what a power cut does to a real disk: octets by [`Disk::sync`] of their file,
//! names by [`Disk::sync_folder`] of their folder, and nothing else makes anything durable.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, Free, How, RealDisk};

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// [`Disk::open`].
    Open,
    /// [`Disk::folder`].
    Folder,
    /// [`Disk::list`].
    List,
    /// [`Disk::rename`].
    Rename,
    /// [`Disk::unlink`].
    Unlink,
    /// [`Disk::sync_folder`].
    SyncFolder,
    /// [`Disk::allocate`].
    Allocate,
    /// [`Disk::truncate`].
    Truncate,
    /// [`Disk::write_at`].
    Write,
    /// [`Disk::read_at`].
    Read,
    /// [`Disk::sync`].
    Sync,
}

impl Call {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::Open,
        Self::Folder,
        Self::List,
        Self::Rename,
        Self::Unlink,
        Self::SyncFolder,
        Self::Allocate,
        Self::Truncate,
        Self::Write,
        Self::Read,
        Self::Sync,
    ];
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// With an I/O error.
    Error,
    /// Because the disk is full.
    Full,
    /// A write writes half of what it should (and says so); any other call succeeds.
    Short,
    /// A write writes half of what it should, and then fails with an I/O error; any other call fails without effect.
    Torn,
}

/// Which call fails, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The kind of call.
    pub call: Call,
    /// The first to fail, counted from 1 since the plan was made.
    pub nth: u64,
    /// How.
    pub failure: Failure,
    /// All after it fail, too.
    pub is_lasting: bool,
}

/// A disk that fails on purpose.
#[derive(Debug, Default)]
pub struct FaultyDisk {
    inner: RealDisk,
    is_forgetful: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    counts: HashMap<Call, u64>,
    plan: Option<Plan>,
    has_failed: bool,
    free_bytes: Option<u64>,
    undo: Vec<Undo>,
    hidden: u64,
}

/// How to undo something that is not durable yet. Files and folders are known by device and inode.
#[derive(Debug)]
enum Undo {
    Octets { of: (u64, u64), file: File, offset: u64, old: Vec<u8> },
    Size { of: (u64, u64), file: File, old: u64 },
    Made { of: (u64, u64), folder: OwnedFd, name: String },
    Renamed { of: (u64, u64), folder: OwnedFd, from: String, to: String, replaced: Option<String> },
    Unlinked { of: (u64, u64), folder: OwnedFd, name: String, hidden: String },
}

impl FaultyDisk {
    /// One that works, until it is told otherwise.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that can lose power. It refuses direct writes, so that all that becomes durable does so by a sync.
    #[must_use]
    pub fn forgetful() -> Self {
        Self { is_forgetful: true, ..Self::default() }
    }

    /// Lets a call fail; earlier plans are forgotten and counting begins anew.
    pub fn fail(&self, plan: Plan) {
        let mut state = self.state();
        state.counts.clear();
        state.has_failed = false;
        state.plan = Some(plan);
    }

    /// Lets nothing fail any more. True: something has failed since [`FaultyDisk::fail`].
    pub fn heal(&self) -> bool {
        let mut state = self.state();
        state.plan = None;
        state.has_failed
    }

    /// Says that so much is free; `None`: what is.
    pub fn set_free(&self, bytes: Option<u64>) {
        self.state().free_bytes = bytes;
    }

    /// Calls of a kind since the last plan.
    #[must_use]
    pub fn count(&self, call: Call) -> u64 {
        self.state().counts.get(&call).copied().unwrap_or(0)
    }

    /// Loses what is not durable. Of unsynced octets, some blocks survive and some do not, and of the unsynced names of a folder some of the
    /// first survive, as the seed says (0: nothing survives). Nobody may have the files open for writing any more.
    ///
    /// # Errors
    /// The real disk failed.
    pub fn power_cut(&self, seed: u64) -> io::Result<()> {
        let mut dice = Dice(seed);
        let undo = std::mem::take(&mut self.state().undo);
        // Names are undone from the last to the first; once one of a folder survives, so do all before it.
        let mut surviving: HashMap<(u64, u64), bool> = HashMap::new();
        for undo in undo.into_iter().rev() {
            match undo {
                Undo::Octets { file, offset, old, .. } => {
                    restore(&file, offset, &old, &mut dice)?;
                }
                Undo::Size { file, old, .. } => self.inner.truncate(&file, old)?,
                name @ (Undo::Made { .. } | Undo::Renamed { .. } | Undo::Unlinked { .. }) => {
                    let survives = surviving.entry(name.of()).or_default();
                    *survives = *survives || dice.is_lucky();
                    self.names(name, *survives)?;
                }
            }
        }
        Ok(())
    }

    fn names(&self, undo: Undo, survives: bool) -> io::Result<()> {
        let disk = &self.inner;
        match undo {
            Undo::Unlinked { folder, hidden, .. } if survives => {
                disk.unlink(folder.as_fd(), &hidden)
            }
            Undo::Renamed { folder, replaced: Some(hidden), .. } if survives => {
                disk.unlink(folder.as_fd(), &hidden)
            }
            _ if survives => Ok(()),
            Undo::Made { folder, name, .. } => disk.unlink(folder.as_fd(), &name),
            Undo::Unlinked { folder, name, hidden, .. } => {
                disk.rename(folder.as_fd(), &hidden, &name)
            }
            Undo::Renamed { folder, from, to, replaced, .. } => {
                disk.rename(folder.as_fd(), &to, &from)?;
                replaced.map_or(Ok(()), |hidden| disk.rename(folder.as_fd(), &hidden, &to))
            }
            Undo::Octets { .. } | Undo::Size { .. } => Ok(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call, and says how it fails.
    fn call(&self, call: Call) -> Option<Failure> {
        let mut state = self.state();
        let count = state.counts.entry(call).or_default();
        *count = count.saturating_add(1);
        let count = *count;
        let plan = state.plan.filter(|plan| plan.call == call)?;
        let fails = count == plan.nth || (plan.is_lasting && count > plan.nth);
        state.has_failed |= fails;
        fails.then_some(plan.failure)
    }

    /// As [`Self::call`], for calls that either work or don't.
    fn pass(&self, call: Call) -> io::Result<()> {
        match self.call(call) {
            None | Some(Failure::Short) => Ok(()),
            Some(Failure::Full) => Err(io::ErrorKind::StorageFull.into()),
            Some(Failure::Error | Failure::Torn) => Err(broken()),
        }
    }

    fn remember(&self, undo: impl FnOnce() -> io::Result<Undo>) -> io::Result<()> {
        if self.is_forgetful {
            let undo = undo()?;
            self.state().undo.push(undo);
        }
        Ok(())
    }

    /// A name that lists don't show.
    fn hidden(&self) -> String {
        let mut state = self.state();
        state.hidden = state.hidden.saturating_add(1);
        format!(".gone-{}", state.hidden)
    }
}

impl Disk for FaultyDisk {
    fn open(&self, folder: BorrowedFd<'_>, name: &str, how: How) -> io::Result<File> {
        self.pass(Call::Open)?;
        if self.is_forgetful && how == How::Direct {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let is_new = how == How::Create
            || (how == How::Take && self.inner.open(folder, name, How::Read).is_err());
        let file = self.inner.open(folder, name, how)?;
        if is_new {
            self.remember(|| {
                let (of, folder) = (identity(folder)?, folder.try_clone_to_owned()?);
                Ok(Undo::Made { of, folder, name: name.to_owned() })
            })?;
        }
        Ok(file)
    }

    fn folder(&self, parent: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
        self.pass(Call::Folder)?;
        self.inner.folder(parent, name)
    }

    fn list(&self, folder: BorrowedFd<'_>) -> io::Result<Vec<String>> {
        self.pass(Call::List)?;
        self.inner.list(folder)
    }

    fn rename(&self, folder: BorrowedFd<'_>, from: &str, to: &str) -> io::Result<()> {
        self.pass(Call::Rename)?;
        if !self.is_forgetful {
            return self.inner.rename(folder, from, to);
        }
        let hidden = self.hidden();
        let replaced = self.inner.rename(folder, to, &hidden).is_ok().then_some(hidden);
        self.inner.rename(folder, from, to)?;
        self.remember(|| {
            let (of, folder) = (identity(folder)?, folder.try_clone_to_owned()?);
            Ok(Undo::Renamed { of, folder, from: from.to_owned(), to: to.to_owned(), replaced })
        })
    }

    fn unlink(&self, folder: BorrowedFd<'_>, name: &str) -> io::Result<()> {
        self.pass(Call::Unlink)?;
        if !self.is_forgetful {
            return self.inner.unlink(folder, name);
        }
        let hidden = self.hidden();
        self.inner.rename(folder, name, &hidden)?;
        self.remember(|| {
            let (of, folder) = (identity(folder)?, folder.try_clone_to_owned()?);
            Ok(Undo::Unlinked { of, folder, name: name.to_owned(), hidden })
        })
    }

    fn sync_folder(&self, folder: BorrowedFd<'_>) -> io::Result<()> {
        self.pass(Call::SyncFolder)?;
        if !self.is_forgetful {
            return self.inner.sync_folder(folder);
        }
        let of = identity(folder)?;
        let is_name = |undo: &Undo| undo.of() == of && undo.is_name();
        let durable: Vec<Undo> = {
            // In one go: another thread may be syncing.
            let mut state = self.state();
            let (durable, rest) = std::mem::take(&mut state.undo).into_iter().partition(is_name);
            state.undo = rest;
            durable
        };
        durable.into_iter().try_for_each(|undo| self.names(undo, true))
    }

    fn allocate(&self, file: &File, size_bytes: u64) -> io::Result<()> {
        self.pass(Call::Allocate)?;
        self.remember(|| size_of(file))?;
        self.inner.allocate(file, size_bytes)
    }

    fn truncate(&self, file: &File, size_bytes: u64) -> io::Result<()> {
        self.pass(Call::Truncate)?;
        self.remember(|| size_of(file))?;
        self.inner.truncate(file, size_bytes)
    }

    fn size(&self, file: &File) -> io::Result<u64> {
        self.inner.size(file)
    }

    fn write_at(&self, file: &File, octets: &[u8], offset: u64) -> io::Result<usize> {
        let failure = self.call(Call::Write);
        let half = octets.get(..octets.len() / 2).unwrap_or_default();
        let written = match failure {
            None => octets,
            // One octet at least: none would say that nothing more can be written.
            Some(Failure::Short) => octets.get(..octets.len().div_ceil(2)).unwrap_or(octets),
            Some(Failure::Torn) => half,
            Some(Failure::Full) => return Err(io::ErrorKind::StorageFull.into()),
            Some(Failure::Error) => return Err(broken()),
        };
        self.remember(|| {
            let mut old = vec![0; written.len()];
            let count = crate::disk::read_full(&self.inner, file, &mut old, offset)?;
            old.truncate(count);
            Ok(Undo::Octets { of: identity(file.as_fd())?, file: file.try_clone()?, offset, old })
        })?;
        crate::disk::write_all(&self.inner, file, written, offset)?;
        if failure == Some(Failure::Torn) { Err(broken()) } else { Ok(written.len()) }
    }

    fn read_at(&self, file: &File, octets: &mut [u8], offset: u64) -> io::Result<usize> {
        self.pass(Call::Read)?;
        self.inner.read_at(file, octets, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.pass(Call::Sync)?;
        if !self.is_forgetful {
            return self.inner.sync(file);
        }
        let of = identity(file.as_fd())?;
        self.state().undo.retain(|undo| undo.of() != of || undo.is_name());
        Ok(())
    }

    fn lock(&self, file: &File) -> io::Result<bool> {
        self.inner.lock(file)
    }

    fn free(&self, folder: BorrowedFd<'_>) -> io::Result<Free> {
        let free = self.inner.free(folder)?;
        Ok(Free { bytes: self.state().free_bytes.unwrap_or(free.bytes), ..free })
    }
}

impl Undo {
    fn of(&self) -> (u64, u64) {
        match self {
            Self::Octets { of, .. }
            | Self::Size { of, .. }
            | Self::Made { of, .. }
            | Self::Renamed { of, .. }
            | Self::Unlinked { of, .. } => *of,
        }
    }

    fn is_name(&self) -> bool {
        !matches!(self, Self::Octets { .. } | Self::Size { .. })
    }
}

/// Which blocks and names survive: xorshift, for it need not be good.
struct Dice(u64);

impl Dice {
    fn is_lucky(&mut self) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 & 1 == 1
    }
}

/// Puts old octets back, block by block; each may have reached the disk in time.
fn restore(file: &File, offset: u64, old: &[u8], dice: &mut Dice) -> io::Result<()> {
    for (place, block) in (offset..).step_by(4096).zip(old.chunks(4096)) {
        if !dice.is_lucky() {
            crate::disk::write_all(&RealDisk, file, block, place)?;
        }
    }
    Ok(())
}

fn size_of(file: &File) -> io::Result<Undo> {
    let old = RealDisk.size(file)?;
    Ok(Undo::Size { of: identity(file.as_fd())?, file: file.try_clone()?, old })
}

fn identity(of: BorrowedFd<'_>) -> io::Result<(u64, u64)> {
    let facts = rustix::fs::fstat(of)?;
    Ok((facts.st_dev, facts.st_ino))
}

fn broken() -> io::Error {
    rustix::io::Errno::IO.into()
}
