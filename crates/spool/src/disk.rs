//! The disk behind a trait, so that tests can put a failing one in its place.
//!
//! Every name is relative to a folder's descriptor: the queue's process has no right to any other path.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;

use rustix::fs::{AtFlags, FallocateFlags, FlockOperation, Mode, OFlags};

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// For reading; it must be there.
    Read,
    /// For reading and writing; it must be there.
    Write,
    /// New, for reading and writing; it must not be there.
    Create,
    /// For writing past the page cache, each write durable before it returns (`O_DIRECT|O_DSYNC`); it must be there.
    Direct,
    /// For reading and writing, made if it is not there.
    Take,
}

/// What is free on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Free {
    /// Octets that may be written without special rights.
    pub bytes: u64,
    /// Files that may be made; `None` where the file system does not count them.
    pub files: Option<u64>,
}

/// What the spool asks of a disk.
///
/// # Errors
/// Every method gives the system's error as it is; the spool alone knows what it means.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Opens or makes a file.
    fn open(&self, folder: BorrowedFd<'_>, name: &str, how: How) -> io::Result<File>;
    /// Opens a folder, made if it is not there.
    fn folder(&self, parent: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd>;
    /// Names in a folder.
    fn list(&self, folder: BorrowedFd<'_>) -> io::Result<Vec<String>>;
    /// Gives a file another name in its folder, in place of what has that name.
    fn rename(&self, folder: BorrowedFd<'_>, from: &str, to: &str) -> io::Result<()>;
    /// Takes a name away.
    fn unlink(&self, folder: BorrowedFd<'_>, name: &str) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, folder: BorrowedFd<'_>) -> io::Result<()>;
    /// Gives a file its length, and takes the space for it.
    fn allocate(&self, file: &File, size_bytes: u64) -> io::Result<()>;
    /// Cuts a file.
    fn truncate(&self, file: &File, size_bytes: u64) -> io::Result<()>;
    /// The length of a file.
    fn size(&self, file: &File) -> io::Result<u64>;
    /// Writes some of the octets, and says how many.
    fn write_at(&self, file: &File, octets: &[u8], offset: u64) -> io::Result<usize>;
    /// Reads some octets, and says how many; none at the end.
    fn read_at(&self, file: &File, octets: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Makes a file's content durable.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Takes an exclusive lock without waiting. False: somebody else has it.
    fn lock(&self, file: &File) -> io::Result<bool>;
    /// What is free where this folder lies.
    fn free(&self, folder: BorrowedFd<'_>) -> io::Result<Free>;
}

/// The real one.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, folder: BorrowedFd<'_>, name: &str, how: How) -> io::Result<File> {
        let flags = match how {
            How::Read => OFlags::RDONLY,
            How::Write => OFlags::RDWR,
            How::Create => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
            How::Direct => OFlags::WRONLY | OFlags::DIRECT | OFlags::DSYNC,
            How::Take => OFlags::RDWR | OFlags::CREATE,
        };
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(File::from(rustix::fs::openat(folder, name, flags, Mode::RUSR | Mode::WUSR)?))
    }

    fn folder(&self, parent: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(parent, name, flags, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) => {
                rustix::fs::mkdirat(parent, name, Mode::RWXU)?;
                rustix::fs::fsync(parent)?;
                Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
            }
            other => Ok(other?),
        }
    }

    fn list(&self, folder: BorrowedFd<'_>) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(folder)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().to_str()
                && !name.starts_with('.')
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn rename(&self, folder: BorrowedFd<'_>, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(folder, from, folder, to)?)
    }

    fn unlink(&self, folder: BorrowedFd<'_>, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(folder, name, AtFlags::empty())?)
    }

    fn sync_folder(&self, folder: BorrowedFd<'_>) -> io::Result<()> {
        Ok(rustix::fs::fsync(folder)?)
    }

    fn allocate(&self, file: &File, size_bytes: u64) -> io::Result<()> {
        match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size_bytes) {
            // A file system that can't promise space still gets the length; the write will tell.
            Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(size_bytes),
            other => Ok(other?),
        }
    }

    fn truncate(&self, file: &File, size_bytes: u64) -> io::Result<()> {
        file.set_len(size_bytes)
    }

    fn size(&self, file: &File) -> io::Result<u64> {
        let facts = rustix::fs::fstat(file)?;
        Ok(u64::try_from(facts.st_size).unwrap_or(0))
    }

    fn write_at(&self, file: &File, octets: &[u8], offset: u64) -> io::Result<usize> {
        file.write_at(octets, offset)
    }

    fn read_at(&self, file: &File, octets: &mut [u8], offset: u64) -> io::Result<usize> {
        file.read_at(octets, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(file)?)
    }

    fn lock(&self, file: &File) -> io::Result<bool> {
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn free(&self, folder: BorrowedFd<'_>) -> io::Result<Free> {
        let facts = rustix::fs::fstatvfs(folder)?;
        Ok(Free {
            bytes: facts.f_bavail.saturating_mul(facts.f_frsize),
            files: (facts.f_files > 0).then_some(facts.f_favail),
        })
    }
}

/// Writes all of it.
pub(crate) fn write_all(
    disk: &dyn Disk,
    file: &File,
    mut octets: &[u8],
    mut offset: u64,
) -> io::Result<()> {
    while !octets.is_empty() {
        match disk.write_at(file, octets, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                octets = octets.get(count..).unwrap_or_default();
                offset = offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads until the space is full or the file ends, and says how much came.
pub(crate) fn read_full(
    disk: &dyn Disk,
    file: &File,
    octets: &mut [u8],
    offset: u64,
) -> io::Result<usize> {
    let mut done = 0_usize;
    while let Some(rest) = octets.get_mut(done..)
        && !rest.is_empty()
    {
        let at = offset.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
        match disk.read_at(file, rest, at) {
            Ok(0) => break,
            Ok(count) => done = done.saturating_add(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// True where the disk, or the share of it that we may use, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
