//! Locks on whole files, taken without waiting.
//!
//! Two kinds, which do not see each other: flock(2), among our own processes; and the kind of fcntl(2) that other
//! mail programs take on a mailbox, here as a lock of the open file (`F_OFD_SETLK`), so that it does not vanish when
//! some other descriptor of the same file is closed in this process.

use nix::libc;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Takes the flock of a file, for as long as this open file lives. False: somebody else has it.
///
/// # Errors
/// The file system has no locks.
pub fn flock(file: &File) -> io::Result<bool> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Takes the fcntl lock of a file open for writing, for as long as this open file lives. False: somebody else
/// has it, with a lock of either owner, process or open file.
///
/// # Errors
/// The file is not open for writing, or its file system has no locks.
pub fn record(file: &File) -> io::Result<bool> {
    let whole = libc::flock {
        l_type: i16::try_from(libc::F_WRLCK).map_err(io::Error::other)?,
        l_whence: i16::try_from(libc::SEEK_SET).map_err(io::Error::other)?,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and the kernel reads one struct flock.
    let result =
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, std::ptr::from_ref(&whole)) };
    if result >= 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => Ok(false),
        Some(_) | None => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened_twice() -> (tempfile::TempDir, File, File) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let one = File::create(&path).unwrap();
        let two = File::options().write(true).open(&path).unwrap();
        (folder, one, two)
    }

    #[test]
    fn one_file_has_one_owner_at_a_time() {
        for take in [flock, record] {
            let (_folder, one, two) = opened_twice();
            assert!(take(&one).unwrap());
            assert!(!take(&two).unwrap());
            drop(one);
            assert!(take(&two).unwrap());
        }
    }

    #[test]
    fn a_record_lock_keeps_programs_out_that_lock_by_process() {
        let (_folder, one, two) = opened_twice();
        assert!(record(&one).unwrap());
        let theirs = rustix::fs::fcntl_lock(&two, FlockOperation::NonBlockingLockExclusive);
        assert!(theirs.is_err());
    }
}
