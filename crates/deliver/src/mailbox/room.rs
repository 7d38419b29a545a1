//! Room for an append, taken before the first octet where a failed append could not be taken back.
//!
//! File systems that copy on write need new room to make a file shorter: with the quota used up or the disk full, btrfs
//! refuses `ftruncate` as it refuses to write, and what was written of a message would stay in the mailbox. There the whole
//! append is reserved first: all of it, or nothing happens. Others give room back by themselves and are not asked.

use rustix::fs::{FallocateFlags, FsWord};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// The kinds of file system that copy on write (statfs(2)): btrfs, bcachefs, ZFS.
const COPY_ON_WRITE: [FsWord; 3] = [0x9123_683e, 0xca45_1a4e, 0x2fc1_2fc1];

/// Reserves so many octets behind `length`, where that is needed. The length of the file stays.
pub(super) fn reserve(file: &OwnedFd, length: u64, octets: u64) -> Result<(), Errno> {
    let kind = rustix::fs::fstatfs(file).map(|facts| facts.f_type);
    if octets == 0 || !kind.is_ok_and(|kind| COPY_ON_WRITE.contains(&kind)) {
        return Ok(());
    }
    match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, length, octets) {
        // It can't; the write will say whether there is room.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        reserved => reserved,
    }
}
