//! A small file beside the log for what may be lost without harm: it is replaced as a whole, and a crash leaves the old one
//! or the new one.

use rustix::fs::{AtFlags, Mode, OFlags};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

/// Octets of a hint file; one that is longer is not read.
pub const HINT_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A file of hints in the spool's folder.
#[derive(Debug)]
pub struct HintFile {
    folder: OwnedFd,
    name: &'static str,
    unfinished: String,
}

impl HintFile {
    /// The file of this name in the spool's folder; it need not be there. To be used by who has the spool.
    #[must_use]
    pub fn new(folder: OwnedFd, name: &'static str) -> Self {
        Self { folder, name, unfinished: format!("{name}.new") }
    }

    /// All of it; nothing, if there is none.
    ///
    /// # Errors
    /// The system's, or it is too long.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let file = match self.open(self.name, OFlags::RDONLY) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut octets = Vec::new();
        file.take(HINT_BYTES_MAX + 1).read_to_end(&mut octets)?;
        if u64::try_from(octets.len()).map_or(true, |length| length > HINT_BYTES_MAX) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(octets)
    }

    /// Puts these octets in place of what was there.
    ///
    /// # Errors
    /// The system's: what was there is still there.
    pub fn replace(&self, octets: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
        let mut file = self.open(&self.unfinished, flags)?;
        let written = file.write_all(octets).and_then(|()| {
            Ok(rustix::fs::renameat(&self.folder, &*self.unfinished, &self.folder, self.name)?)
        });
        if written.is_err() {
            // The next one begins it anew if it stays.
            rustix::fs::unlinkat(&self.folder, &*self.unfinished, AtFlags::empty()).ok();
        }
        written
    }

    fn open(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(rustix::fs::openat(&self.folder, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_replaced_as_a_whole_and_one_that_is_not_there_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let file = HintFile::new(File::open(folder.path()).unwrap().into(), "hosts");
        assert!(file.read().unwrap().is_empty());
        file.replace(b"a longer hint").unwrap();
        file.replace(b"short").unwrap();
        assert_eq!(file.read().unwrap(), b"short");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
