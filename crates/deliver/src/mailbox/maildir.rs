//! Maildir (D. J. Bernstein): a message is a file that is written and synced in `tmp`, then gets
//! its name in `new`. Readers need no lock.
//!
//! A batch is written first and synced afterwards. A sync of one file costs a flush of the disk's own
//! memory, whatever else was flushed just before; so where many files wait and the file system is one
//! whose `syncfs` is known to do all that `fsync` does, one call serves them all. Then all get
//! their names, and one sync of `new` makes the names durable. Only then is anything reported.

use super::Moment;
use super::folder::Folder;
use crate::body::{Text, write_delivery_fields};
use crate::{Job, Trouble};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use rustix::rand::GetRandomFlags;
use std::os::fd::OwnedFd;

/// So many files are open at once.
const OPEN_FILES_MAX: usize = 64;

/// From so many files on, one sync of the file system is better than one each: it writes what
/// others have waiting, too.
const SYNC_TOGETHER_MIN: usize = 8;

/// ext4, XFS and btrfs (linux/magic.h): others, such as FUSE, may not pass the call on.
const SYNC_TOGETHER: [u64; 3] = [0xef53, 0x5846_5342, 0x9123_683e];

/// A file of a large body is written in pieces of about so many octets.
const WRITE_BYTES: usize = 256 * 1024;

/// A message in `tmp`.
struct Draft {
    name: Vec<u8>,
    file: OwnedFd,
}

struct Maildir {
    new: Folder,
    tmp: Folder,
}

/// Delivers `jobs` into the Maildir `name` in `parent`, making it if it is missing.
pub(super) fn deliver(
    parent: &Folder,
    name: &[u8],
    host_name: &[u8],
    now: Moment,
    jobs: &[&Job<'_>],
) -> Result<Vec<Result<(), Trouble>>, Trouble> {
    let maildir = Maildir::open(parent, name)?;
    let host: Vec<u8> = host_name.iter().map(|&octet| name_octet(octet)).collect();
    let mut results: Vec<Result<(), Trouble>> = Vec::with_capacity(jobs.len());
    let mut text = Vec::new();
    for (round, group) in jobs.chunks(OPEN_FILES_MAX).enumerate() {
        let mut drafts = Vec::with_capacity(group.len());
        for (index, job) in group.iter().enumerate() {
            let unique = unique_name(now, round * OPEN_FILES_MAX + index, &host);
            drafts.push(unique.and_then(|unique| maildir.write(unique, job, &mut text)));
        }
        let is_durable = sync_together(&drafts);
        results.extend(drafts.into_iter().map(|draft| maildir.publish(&draft?, is_durable)));
    }
    // The names of those that went well; if this fails, nobody knows which are there.
    if results.iter().any(Result::is_ok) {
        maildir.new.sync()?;
    }
    Ok(results)
}

impl Maildir {
    fn open(parent: &Folder, name: &[u8]) -> Result<Self, Trouble> {
        let (folder, is_new_maildir) = parent.enter_or_make(name)?;
        let (tmp, _) = folder.enter_or_make(b"tmp")?;
        let (new, is_new) = folder.enter_or_make(b"new")?;
        let (_, is_new_cur) = folder.enter_or_make(b"cur")?;
        if is_new || is_new_cur {
            folder.sync()?;
        }
        if is_new_maildir {
            parent.sync()?;
        }
        Ok(Self { new, tmp })
    }

    /// Writes a message into `tmp` and starts its way to the disk.
    fn write(&self, name: Vec<u8>, job: &Job<'_>, text: &mut Vec<u8>) -> Result<Draft, Trouble> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = rustix::fs::openat(&self.tmp, &*name, flags | OFlags::CLOEXEC, mode)
            .map_err(|error| Trouble::system(&self.tmp.path_of(&name), error))?;
        let draft = Draft { name, file };
        match self.fill(&draft, job, text) {
            Ok(()) => Ok(draft),
            Err(trouble) => {
                self.drop_draft(&draft);
                Err(trouble)
            }
        }
    }

    fn fill(&self, draft: &Draft, job: &Job<'_>, text: &mut Vec<u8>) -> Result<(), Trouble> {
        let path = || self.tmp.path_of(&draft.name);
        text.clear();
        write_delivery_fields(job.sender, job.recipient, text);
        let mut lines = Text::new(job, false)?;
        job.body.read(|piece| -> Result<(), Trouble> {
            lines.push(piece, text);
            if text.len() >= WRITE_BYTES {
                write_all(&draft.file, text).map_err(|error| Trouble::system(&path(), error))?;
                text.clear();
            }
            Ok(())
        })?;
        lines.finish(text);
        write_all(&draft.file, text).map_err(|error| Trouble::system(&path(), error))
    }

    /// Makes a draft durable, if it is not yet, and gives it its name in `new`.
    fn publish(&self, draft: &Draft, is_durable: bool) -> Result<(), Trouble> {
        let synced = if is_durable { Ok(()) } else { rustix::fs::fsync(&draft.file) };
        let published = synced.and_then(|()| self.name(draft));
        if published.is_err() {
            self.drop_draft(draft);
        }
        published.map_err(|error| Trouble::system(&self.new.path_of(&draft.name), error))
    }

    /// Moves a draft into `new`, never over something that is there.
    fn name(&self, draft: &Draft) -> Result<(), Errno> {
        let name = &*draft.name;
        let flags = RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(&self.tmp, name, &self.new, name, flags) {
            // A file system without that flag.
            Err(Errno::INVAL | Errno::NOSYS) => {
                rustix::fs::linkat(&self.tmp, name, &self.new, name, AtFlags::empty())?;
                self.drop_draft(draft);
                Ok(())
            }
            moved => moved,
        }
    }

    /// Takes a name out of `tmp`. What cannot be taken away is litter that readers sweep up.
    fn drop_draft(&self, draft: &Draft) {
        rustix::fs::unlinkat(&self.tmp, &*draft.name, AtFlags::empty()).unwrap_or_default();
    }
}

/// Makes all drafts durable at once, if that is worth it; false: it was not done.
///
/// The first draft was opened first, so an error of any write since then is seen through it.
fn sync_together(drafts: &[Result<Draft, Trouble>]) -> bool {
    if drafts.len() < SYNC_TOGETHER_MIN {
        return false;
    }
    let Some(Ok(first)) = drafts.first() else { return false };
    let kind = rustix::fs::fstatfs(&first.file).map(|system| u64::try_from(system.f_type));
    let is_known = matches!(kind, Ok(Ok(kind)) if SYNC_TOGETHER.contains(&kind));
    is_known && rustix::fs::syncfs(&first.file).is_ok()
}

/// A name that no other delivery uses: time, process, number in the batch, chance, host.
fn unique_name(now: Moment, index: usize, host: &[u8]) -> Result<Vec<u8>, Trouble> {
    let mut chance = [0_u8; 8];
    rustix::rand::getrandom(&mut chance, GetRandomFlags::empty())
        .map_err(|error| Trouble::system(b"random", error))?;
    let process = rustix::process::getpid().as_raw_nonzero();
    let chance = u64::from_ne_bytes(chance);
    let mut name = format!("{}.P{process}Q{index}R{chance:016x}.", now.unix_s).into_bytes();
    name.extend_from_slice(host);
    Ok(name)
}

/// A host name's octet as it may stand in a Maildir file name: `:` begins the flags there.
fn name_octet(octet: u8) -> u8 {
    match octet {
        b'/' | b':' | b' ' | 0..=31 | 127 => b'-',
        other => other,
    }
}

pub(super) fn write_all(file: &OwnedFd, text: &[u8]) -> Result<(), Errno> {
    let mut rest = text;
    while !rest.is_empty() {
        match rustix::io::write(file, rest) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
