//! The folder of a spool and what is in it.
//!
//! ```text
//! format            one line: which version, which spool
//! lock              held by the one who commits
//! log/SHARD/N.seg   segments
//! large/ID          bodies above what fits into a record; large/new-N while they are written
//! damaged/          copies of what the disk gave back changed
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::Error;
use crate::disk::{self, Disk, How};
use crate::record::SpoolId;
use crate::segment::{FORMAT, Header, Name};

/// Shards that a spool may have; folders with higher numbers are not ours.
pub(crate) const SHARDS_MAX: u32 = 16;

const FORMAT_FILE: &str = "format";
const FORMAT_WORD: &str = "ironpost-spool";

/// The descriptors of the folders.
#[derive(Debug)]
pub(crate) struct Folders {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) root: OwnedFd,
    pub(crate) large: OwnedFd,
    pub(crate) damaged: OwnedFd,
    pub(crate) shards: BTreeMap<u32, OwnedFd>,
    pub(crate) id: SpoolId,
    _lock: File,
}

impl Folders {
    /// Opens them, makes what is missing, and takes the lock.
    pub(crate) fn open(disk: Arc<dyn Disk>, root: OwnedFd, shards: u32) -> Result<Self, Error> {
        let lock = disk.open(root.as_fd(), "lock", How::Take).map_err(Error::disk("lock"))?;
        if !disk.lock(&lock).map_err(Error::disk("lock"))? {
            return Err(Error::Locked);
        }
        let folder = |parent: BorrowedFd<'_>, name: &str| disk.folder(parent, name);
        let log = folder(root.as_fd(), "log").map_err(Error::disk("log"))?;
        let large = folder(root.as_fd(), "large").map_err(Error::disk("large"))?;
        let damaged = folder(root.as_fd(), "damaged").map_err(Error::disk("damaged"))?;
        let mut wanted: Vec<u32> = (0..shards).collect();
        for name in disk.list(log.as_fd()).map_err(Error::disk("log"))? {
            let number = name.parse().ok().filter(|&number: &u32| number < SHARDS_MAX);
            wanted.extend(number.filter(|number| number.to_string() == name));
        }
        let mut opened = BTreeMap::new();
        for number in wanted {
            let shard = folder(log.as_fd(), &number.to_string()).map_err(Error::disk("log"))?;
            opened.insert(number, shard);
        }
        let id = match read_format(&*disk, root.as_fd())? {
            Some(id) => id,
            None => new_format(&*disk, root.as_fd(), &opened)?,
        };
        Ok(Self { disk, root, large, damaged, shards: opened, id, _lock: lock })
    }

    pub(crate) fn shard(&self, number: u32) -> io::Result<BorrowedFd<'_>> {
        let folder = self.shards.get(&number).ok_or(io::ErrorKind::NotFound)?;
        Ok(folder.as_fd())
    }

    /// Opens a segment for reading.
    pub(crate) fn segment(&self, shard: u32, number: u32) -> io::Result<File> {
        self.disk.open(self.shard(shard)?, &Name::file(number), How::Read)
    }

    /// Copies octets to `damaged/` under a name that says where they were. A copy that is there stays.
    pub(crate) fn save_damaged(&self, name: &str, octets: &[u8]) -> Option<String> {
        match self.disk.open(self.damaged.as_fd(), name, How::Create) {
            Ok(file) => {
                disk::write_all(&*self.disk, &file, octets, 0).ok()?;
                self.disk.sync(&file).ok()?;
                self.disk.sync_folder(self.damaged.as_fd()).ok()?;
                Some(name.to_owned())
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Some(name.to_owned()),
            Err(_) => None,
        }
    }
}

/// The name of a message's large body.
pub(crate) fn large_name(id: u64) -> String {
    format!("{id:016x}")
}

/// Whose large body has this name.
pub(crate) fn large_id(name: &str) -> Option<u64> {
    let id = u64::from_str_radix(name, 16).ok()?;
    (large_name(id) == name).then_some(id)
}

/// The line in the file `format`. `None`: there is no such file, or it makes no sense.
fn read_format(disk: &dyn Disk, root: BorrowedFd<'_>) -> Result<Option<SpoolId>, Error> {
    let file = match disk.open(root, FORMAT_FILE, How::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Disk { doing: "format", source }),
    };
    let mut octets = [0_u8; 256];
    let count = disk::read_full(disk, &file, &mut octets, 0).map_err(Error::disk("format"))?;
    let text = String::from_utf8_lossy(octets.get(..count).unwrap_or_default()).into_owned();
    let mut words = text.split_ascii_whitespace();
    if words.next() != Some(FORMAT_WORD) {
        return Ok(None);
    }
    let version: Option<u32> = words.next().and_then(|word| word.parse().ok());
    let id = words.next().and_then(|word| u128::from_str_radix(word, 16).ok());
    match (version, id) {
        (Some(found), _) if found > FORMAT => Err(Error::Format { found, known: FORMAT }),
        (Some(_), Some(id)) if text.ends_with('\n') => Ok(Some(SpoolId(id))),
        _ => Ok(None),
    }
}

/// Makes the file `format`: anew, or from what the segments say of themselves.
fn new_format(
    disk: &dyn Disk,
    root: BorrowedFd<'_>,
    shards: &BTreeMap<u32, OwnedFd>,
) -> Result<SpoolId, Error> {
    let id = match written_id(disk, shards)? {
        Some(id) => id,
        None => SpoolId(sys::random_u128().map_err(Error::disk("random"))?),
    };
    let line = format!("{FORMAT_WORD} {FORMAT} {:032x}\n", id.0);
    let write = || {
        let file = disk.open(root, "format.new", How::Take)?;
        disk.truncate(&file, 0)?;
        disk::write_all(disk, &file, line.as_bytes(), 0)?;
        disk.sync(&file)?;
        disk.rename(root, "format.new", FORMAT_FILE)?;
        disk.sync_folder(root)
    };
    write().map_err(Error::disk("format"))?;
    Ok(id)
}

/// The id in the first segment that has one.
fn written_id(disk: &dyn Disk, shards: &BTreeMap<u32, OwnedFd>) -> Result<Option<SpoolId>, Error> {
    for folder in shards.values() {
        let mut names = disk.list(folder.as_fd()).map_err(Error::disk("log"))?;
        names.sort_unstable();
        for name in names {
            let file = disk.open(folder.as_fd(), &name, How::Read).map_err(Error::disk("log"))?;
            let mut block = vec![0; crate::buffer::BLOCK];
            disk::read_full(disk, &file, &mut block, 0).map_err(Error::disk("log"))?;
            if let Some(header) = Header::decode(&block) {
                return Ok(Some(header.name.spool));
            }
        }
    }
    Ok(None)
}
