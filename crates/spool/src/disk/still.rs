//! A disk that is only looked at: what would change it is not done, and said to be done where that makes no difference to who
//! looks.

use super::{Disk, RealDisk, Writable};
use std::fs::File;
use std::io;

/// The disk below a folder that somebody else may write to.
#[derive(Debug)]
pub(crate) struct Still {
    disk: RealDisk,
}

impl Still {
    pub(crate) fn new(disk: RealDisk) -> Self {
        Self { disk }
    }
}

impl Disk for Still {
    fn make_folder(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, _name: &str, _length: u64) -> io::Result<Writable> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn open(&self, name: &str) -> io::Result<File> {
        self.disk.open(name)
    }

    fn write_at(&self, _file: &Writable, _octets: &[u8], _place: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&self, _file: &File) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        Ok(())
    }

    fn link(&self, _from: &str, _to: &str) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    /// A folder that was never made is empty.
    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        match self.disk.list(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            listed => listed,
        }
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }
}
