//! The lock file of an mbox, `USER.lock`, as Debian's liblockfile makes it: a file of a name of its
//! own, linked to the lock's name, which works on every file system.
//!
//! A lock whose owner died would stop a mailbox for minutes. The owner therefore keeps the lock
//! file open under `flock`, and says so in it: where that `flock` is free, its owner is dead,
//! whichever process number he had and in whichever container. A lock that others made is stale when
//! it is five minutes old, as everywhere.

use super::folder::Folder;
use super::maildir::write_all;
use crate::Trouble;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_NOW};
use rustix::io::Errno;
use rustix::rand::GetRandomFlags;
use std::os::fd::OwnedFd;

/// What is added to the name of the mailbox.
pub(super) const SUFFIX: &[u8] = b".lock";

/// A lock that nobody has touched for so long is nobody's.
const STALE_S: i64 = 300;

/// The second word of a lock that is held under `flock`.
const MARK: &[u8] = b" flock\n";

/// A lock file that is ours as long as this lives.
#[derive(Debug)]
pub(crate) struct DotLock<'f> {
    folder: &'f Folder,
    name: Vec<u8>,
    /// Kept open for its `flock`.
    file: OwnedFd,
}

/// What a try came to.
pub(super) enum Try<'f> {
    Taken(DotLock<'f>),
    /// Somebody else has it.
    Held,
    /// The user may not make files in the folder: the lock of the mailbox itself must do.
    Impossible,
}

impl<'f> DotLock<'f> {
    /// Tries once.
    pub(super) fn attempt(folder: &'f Folder, mailbox: &[u8]) -> Result<Try<'f>, Trouble> {
        let name = [mailbox, SUFFIX].concat();
        let (own_name, file) = match make_own(folder) {
            Ok(made) => made,
            Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) => return Ok(Try::Impossible),
            Err(error) => return Err(Trouble::system(&folder.path_of(&name), error)),
        };
        let mut linked = rustix::fs::linkat(folder, &*own_name, folder, &*name, AtFlags::empty());
        if linked == Err(Errno::EXIST) && break_stale(folder, &name, &file) {
            linked = rustix::fs::linkat(folder, &*own_name, folder, &*name, AtFlags::empty());
        }
        rustix::fs::unlinkat(folder, &*own_name, AtFlags::empty()).unwrap_or_default();
        match linked {
            Ok(()) => Ok(Try::Taken(Self { folder, name, file })),
            Err(Errno::EXIST) => Ok(Try::Held),
            Err(error) => Err(Trouble::system(&folder.path_of(&name), error)),
        }
    }
}

impl DotLock<'_> {
    /// Makes it as new, for those who judge a lock by its age.
    pub(crate) fn touch(&self) {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        // Where it does not go, the lock is held as long as others believe in it.
        rustix::fs::futimens(&self.file, &times).unwrap_or_default();
    }
}

impl Drop for DotLock<'_> {
    fn drop(&mut self) {
        // If it cannot be removed, it is stale as soon as the descriptor is closed.
        rustix::fs::unlinkat(self.folder, &*self.name, AtFlags::empty()).unwrap_or_default();
    }
}

/// A file with a name of its own, already under `flock` when it becomes the lock.
fn make_own(folder: &Folder) -> Result<(Vec<u8>, OwnedFd), Errno> {
    let mut chance = [0_u8; 8];
    rustix::rand::getrandom(&mut chance, GetRandomFlags::empty())?;
    let own_name = format!(".lk{:016x}", u64::from_ne_bytes(chance)).into_bytes();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
    let file = rustix::fs::openat(folder, &*own_name, flags, mode)?;
    let process = rustix::process::getpid().as_raw_nonzero();
    let text = [process.to_string().as_bytes(), MARK].concat();
    let locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
        .and_then(|()| write_all(&file, &text));
    if let Err(error) = locked {
        rustix::fs::unlinkat(folder, &*own_name, AtFlags::empty()).unwrap_or_default();
        return Err(error);
    }
    Ok((own_name, file))
}

/// Removes a lock that nobody holds; says whether the name is free now.
///
/// Two who find the same stale lock must not remove each other's fresh one: each first takes the
/// `flock` of the file that it found stale, and looks whether the name still means that file.
fn break_stale(folder: &Folder, name: &[u8], clock: &OwnedFd) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let found = match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        Ok(found) => found,
        Err(error) => return error == Errno::NOENT,
    };
    let (Ok(theirs), Ok(ours)) = (rustix::fs::fstat(&found), rustix::fs::fstat(clock)) else {
        return false;
    };
    let is_free = rustix::fs::flock(&found, FlockOperation::NonBlockingLockExclusive).is_ok();
    let is_dead = is_free && is_marked(&found);
    // Both times are of the file system's own clock.
    let is_old = is_free && ours.st_mtime.saturating_sub(theirs.st_mtime) > STALE_S;
    if !is_dead && !is_old {
        return false;
    }
    let named = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
    match named {
        Ok(named) if is_same(&named, &theirs) => {
            rustix::fs::unlinkat(folder, name, AtFlags::empty()).is_ok()
        }
        Ok(_) => false,
        Err(error) => error == Errno::NOENT,
    }
}

/// Whether a lock was made by us.
fn is_marked(file: &OwnedFd) -> bool {
    let mut text = [0_u8; 32];
    let read = rustix::io::pread(file, &mut text, 0).unwrap_or(0);
    text.get(..read).is_some_and(|text| text.ends_with(MARK))
}

/// Whether two looks saw the same file.
pub(crate) fn is_same(left: &Stat, right: &Stat) -> bool {
    left.st_dev == right.st_dev && left.st_ino == right.st_ino
}
