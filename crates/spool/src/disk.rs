//! What the spool asks of a disk, so that tests can put a bad one in its place.
//!
//! All names are below the spool's folder: nothing else can be said.

pub mod fault;
pub(crate) mod still;

use rustix::fs::{AtFlags, FallocateFlags, Mode, OFlags};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

/// A file for writing, and whether each write is durable when it returns.
#[derive(Debug)]
pub struct Writable {
    /// The file.
    pub file: File,
    /// Writes are durable by themselves (`O_DIRECT|O_DSYNC`); else a sync must follow.
    pub is_durable: bool,
}

/// A disk, as far as the spool's folder. Shared by the shards' threads.
pub trait Disk: Send + Sync + 'static {
    /// Makes a folder, or takes it as it is.
    ///
    /// # Errors
    /// The system's.
    fn make_folder(&self, name: &str) -> io::Result<()>;
    /// Makes a file of this length, its blocks reserved.
    ///
    /// # Errors
    /// The system's; the file is then not there.
    fn create(&self, name: &str, length: u64) -> io::Result<Writable>;
    /// Opens for reading.
    ///
    /// # Errors
    /// The system's.
    fn open(&self, name: &str) -> io::Result<File>;
    /// Writes all of it at a place.
    ///
    /// # Errors
    /// The system's.
    fn write_at(&self, file: &Writable, octets: &[u8], place: u64) -> io::Result<()>;
    /// Makes a file's octets durable.
    ///
    /// # Errors
    /// The system's.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Makes a folder's names durable.
    ///
    /// # Errors
    /// The system's.
    fn sync_folder(&self, name: &str) -> io::Result<()>;
    /// Gives a file another name.
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Gives a file a further name.
    ///
    /// # Errors
    /// The system's.
    fn link(&self, from: &str, to: &str) -> io::Result<()>;
    /// Takes a name away.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// The names in a folder.
    ///
    /// # Errors
    /// The system's.
    fn list(&self, name: &str) -> io::Result<Vec<String>>;
    /// Octets free for us.
    ///
    /// # Errors
    /// The system's.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// The disk below a folder.
#[derive(Debug)]
pub struct RealDisk {
    folder: OwnedFd,
}

impl RealDisk {
    /// The disk below this folder.
    #[must_use]
    pub fn new(folder: OwnedFd) -> Self {
        Self { folder }
    }

    fn open_flags(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mode = Mode::RUSR | Mode::WUSR;
        Ok(rustix::fs::openat(&self.folder, name, flags, mode)?.into())
    }

    fn reserve(&self, name: &str, length: u64) -> io::Result<Writable> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let plain = self.open_flags(name, flags)?;
        if length > 0 {
            match rustix::fs::fallocate(&plain, FallocateFlags::empty(), 0, length) {
                Ok(()) => {}
                // A file system without reservation: the length alone.
                Err(rustix::io::Errno::OPNOTSUPP) => plain.set_len(length)?,
                Err(error) => return Err(error.into()),
            }
        }
        plain.sync_all()?;
        if length > 0
            && let Ok(file) = self.open_flags(name, OFlags::RDWR | OFlags::DIRECT | OFlags::DSYNC)
        {
            return Ok(Writable { file, is_durable: true });
        }
        Ok(Writable { file: plain, is_durable: false })
    }
}

impl Disk for RealDisk {
    fn make_folder(&self, name: &str) -> io::Result<()> {
        match rustix::fs::mkdirat(&self.folder, name, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn create(&self, name: &str, length: u64) -> io::Result<Writable> {
        self.reserve(name, length).inspect_err(|_| {
            // Nothing is left behind; that it was not there to be removed is as good.
            drop(self.remove(name));
        })
    }

    fn open(&self, name: &str) -> io::Result<File> {
        self.open_flags(name, OFlags::RDONLY)
    }

    fn write_at(&self, file: &Writable, octets: &[u8], place: u64) -> io::Result<()> {
        file.file.write_all_at(octets, place)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_folder(&self, name: &str) -> io::Result<()> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(&self.folder, name, flags, Mode::empty())?;
        Ok(rustix::fs::fsync(folder)?)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.folder, from, &self.folder, to)?)
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::linkat(&self.folder, from, &self.folder, to, AtFlags::empty())?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.folder, name, AtFlags::empty())?)
    }

    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(&self.folder, name, flags, Mode::empty())?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let facts = rustix::fs::fstatvfs(self.folder.as_fd())?;
        Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
    }
}
