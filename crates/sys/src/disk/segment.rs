//! Segments of a log: their space is taken beforehand, each write goes past the page cache and is durable when it
//! returns (`O_DIRECT|O_DSYNC`: half the time of write and fdatasync, and a quarter of the CPU).
//!
//! Where the file system has no direct I/O, the same writes go through the page cache and are durable all the same.

use super::{AlignedBuffer, BLOCK_BYTES, Folder};
use rustix::fs::{FallocateFlags, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// A segment, open for reading and writing.
#[derive(Debug)]
pub struct Segment {
    file: File,
    is_direct: AtomicBool,
}

impl Folder {
    /// Makes a segment of this length, full of zeros and durable with its name, for its owner alone.
    ///
    /// # Errors
    /// The name is taken, or there is no room; then nothing is left of it.
    pub fn make_segment(&self, name: impl AsRef<OsStr>, length_bytes: u64) -> io::Result<Segment> {
        let name = name.as_ref();
        let file = self.make(name)?;
        let allocated = match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, length_bytes)
        {
            // This file system promises no room; the length it has, and a write will tell.
            Err(Errno::OPNOTSUPP) => file.set_len(length_bytes),
            other => other.map_err(io::Error::from),
        };
        let made = allocated
            .and_then(|()| file.sync_all())
            .and_then(|()| self.sync())
            .and_then(|()| self.segment(name));
        if made.is_err() {
            // The first error says more than this one could.
            self.remove(name).ok();
        }
        made
    }

    /// Opens a segment.
    ///
    /// # Errors
    /// It is not there.
    pub fn segment(&self, name: impl AsRef<OsStr>) -> io::Result<Segment> {
        let path = Path::new(name.as_ref());
        let durable = OFlags::RDWR | OFlags::DSYNC;
        match self.beneath(path, durable | OFlags::DIRECT, Mode::empty()) {
            Ok(file) => Ok(Segment { file: file.into(), is_direct: AtomicBool::new(true) }),
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                let file = self.beneath(path, durable, Mode::empty())?;
                Ok(Segment { file: file.into(), is_direct: AtomicBool::new(false) })
            }
            Err(error) => Err(error),
        }
    }
}

impl Segment {
    /// Whether writes go past the page cache.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.is_direct.load(Ordering::Relaxed)
    }

    /// Its length in octets.
    ///
    /// # Errors
    /// The file system does not say.
    pub fn length_bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Writes whole blocks at a block's border. Durable when it returns.
    ///
    /// # Errors
    /// `InvalidInput`: not whole blocks, or no border. Else the disk fails, or is full; what is in these blocks is
    /// then unknown.
    pub fn write(&self, blocks: &AlignedBuffer, offset: u64) -> io::Result<()> {
        aligned(blocks.len(), offset)?;
        match self.file.write_all_at(blocks.as_slice(), offset) {
            // Opened for direct I/O and refused all the same: some file systems find out late.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput && self.is_direct() => {
                self.go_through_the_cache()?;
                self.file.write_all_at(blocks.as_slice(), offset)
            }
            other => other,
        }
    }

    /// Reads as many whole blocks as the buffer is long, from a block's border on.
    ///
    /// # Errors
    /// `InvalidInput`: not whole blocks, or no border. `UnexpectedEof`: the segment ends before. Else the disk fails.
    pub fn read(&self, blocks: &mut AlignedBuffer, offset: u64) -> io::Result<()> {
        aligned(blocks.len(), offset)?;
        match self.file.read_exact_at(blocks.as_mut_slice(), offset) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput && self.is_direct() => {
                self.go_through_the_cache()?;
                self.file.read_exact_at(blocks.as_mut_slice(), offset)
            }
            other => other,
        }
    }

    fn go_through_the_cache(&self) -> io::Result<()> {
        let flags = rustix::fs::fcntl_getfl(&self.file)?;
        rustix::fs::fcntl_setfl(&self.file, flags - OFlags::DIRECT)?;
        self.is_direct.store(false, Ordering::Relaxed);
        Ok(())
    }
}

fn aligned(length: usize, offset: u64) -> io::Result<()> {
    let block = u64::try_from(BLOCK_BYTES).map_err(io::Error::other)?;
    if length.is_multiple_of(BLOCK_BYTES) && offset.is_multiple_of(block) {
        return Ok(());
    }
    Err(io::ErrorKind::InvalidInput.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_and_read_in(place: &Path) {
        let place = tempfile::tempdir_in(place).unwrap();
        let folder = Folder::open(place.path()).unwrap();
        let segment = folder.make_segment("1.seg", 1 << 20).unwrap();
        assert_eq!(segment.length_bytes().unwrap(), 1 << 20);
        for is_cached in [false, true] {
            if is_cached {
                segment.go_through_the_cache().unwrap();
                assert!(!segment.is_direct());
            }
            let mut written = AlignedBuffer::default();
            written.extend_from_slice(b"a record");
            written.pad();
            segment.write(&written, 8192).unwrap();
            let mut read = AlignedBuffer::default();
            read.resize(BLOCK_BYTES);
            folder.segment("1.seg").unwrap().read(&mut read, 8192).unwrap();
            assert_eq!(read.as_slice(), written.as_slice());
            segment.read(&mut read, 4096).unwrap();
            assert!(read.as_slice().iter().all(|&octet| octet == 0));
        }
        assert!(folder.make_segment("1.seg", 4096).is_err());
        assert_eq!(folder.names().unwrap(), ["1.seg"]);
    }

    #[test]
    fn what_is_written_is_read_again() {
        write_and_read_in(&std::env::temp_dir());
    }

    #[test]
    fn a_file_system_without_a_disk_does_as_well() {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() {
            write_and_read_in(memory);
        }
    }

    #[test]
    fn half_blocks_are_refused_before_the_disk_sees_them() {
        let place = tempfile::tempdir().unwrap();
        let segment = Folder::open(place.path()).unwrap().make_segment("s", 8192).unwrap();
        let mut blocks = AlignedBuffer::default();
        blocks.extend_from_slice(b"x");
        let kind = |result: io::Result<()>| result.unwrap_err().kind();
        assert_eq!(kind(segment.write(&blocks, 0)), io::ErrorKind::InvalidInput);
        blocks.pad();
        assert_eq!(kind(segment.write(&blocks, 1)), io::ErrorKind::InvalidInput);
        assert_eq!(kind(segment.read(&mut blocks, 8192)), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_segment_without_room_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        assert!(folder.make_segment("s", 1 << 60).is_err());
        assert!(folder.names().unwrap().is_empty());
    }
}
