//! The drop folder: where `sendmail` leaves a message, durably, while nobody serves.
//!
//! The folder is writable for everybody and listable for the queue alone (mode 1733), so a file's name is a
//! secret of who made it. Who that was is the file's owner, as the kernel says. A file is written
//! under a name with a dot, synced, renamed, and the folder synced; the queue takes regular files with one
//! link, without following anything.
//!
//! The octets: a magic word, the length of the envelope (u32, little-endian), the envelope (postcard),
//! the message with CR LF line ends.

use crate::request::Submission;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The name of the folder in the spool's.
pub const FOLDER_NAME: &str = "drop";

const MAGIC: &[u8; 8] = b"ironpst1";

/// Octets of a dropped file.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Leaves a message in the folder.
///
/// # Errors
/// There is no such folder, or no room: nothing was left.
pub fn leave(folder: &Path, submission: &Submission, text: &[u8]) -> io::Result<()> {
    let mut octets = MAGIC.to_vec();
    let head = postcard::to_allocvec(submission).map_err(io::Error::other)?;
    let length = u32::try_from(head.len()).map_err(io::Error::other)?;
    octets.extend_from_slice(&length.to_le_bytes());
    octets.extend_from_slice(&head);
    octets.extend_from_slice(text);
    let name = format!("{:032x}", sys::random_u128()?);
    let (unfinished, finished) = (folder.join(format!(".{name}")), folder.join(name));
    let written =
        write(&unfinished, &octets).and_then(|()| std::fs::rename(&unfinished, &finished));
    if let Err(error) = written {
        drop(std::fs::remove_file(&unfinished));
        return Err(error);
    }
    // The folder can't be opened for reading by everybody, so its name entry is made durable by a sync of
    // the file system when that fails.
    if File::open(folder).and_then(|folder| folder.sync_all()).is_err() {
        rustix::fs::sync();
    }
    Ok(())
}

fn write(path: &Path, octets: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o644).open(path)?;
    file.write_all(octets)?;
    file.sync_all()
}

/// A file that was left.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) octets: Vec<u8>,
}

/// The folder, in the queue.
#[derive(Debug)]
pub(crate) struct DropFolder(OwnedFd);

impl DropFolder {
    /// Opens the folder in the spool's.
    pub(crate) fn open(spool: impl AsFd) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::openat(spool, FOLDER_NAME, flags, Mode::empty())?))
    }

    /// Names of finished files, at most `count_max`.
    pub(crate) fn names(&self, count_max: usize) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.0)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') {
                names.push(name);
            }
            if names.len() >= count_max {
                break;
            }
        }
        Ok(names)
    }

    /// Reads a file that somebody left. `None`: it is nothing that we take.
    pub(crate) fn read(&self, name: &str) -> io::Result<Option<Left>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.0, name, flags, Mode::empty())?;
        let facts = rustix::fs::fstat(&file)?;
        let is_file = FileType::from_raw_mode(facts.st_mode) == FileType::RegularFile;
        // A second link would let somebody hand in another's file as another.
        if !is_file || facts.st_nlink != 1 {
            return Ok(None);
        }
        let mut octets = Vec::new();
        let read = File::from(file).take(FILE_BYTES_MAX).read_to_end(&mut octets)?;
        if u64::try_from(read).unwrap_or(u64::MAX) >= FILE_BYTES_MAX {
            return Ok(None);
        }
        Ok(Some(Left { name: name.into(), uid: facts.st_uid, octets }))
    }

    /// Takes a file away.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?;
        Ok(())
    }
}

/// The envelope and the text of a file's octets.
pub(crate) fn decode(octets: &[u8]) -> Option<(Submission, &[u8])> {
    let rest = octets.strip_prefix(MAGIC)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (head, text) = rest.split_at_checked(length)?;
    match postcard::take_from_bytes(head) {
        Ok((submission, [])) => Some((submission, text)),
        Ok(_) | Err(_) => None,
    }
}
