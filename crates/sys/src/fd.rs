//! Descriptors that came with the execution.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Takes the one descriptor that whoever started us left open at this number.
///
/// # Errors
/// There is none, or it has been taken before.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    static IS_TAKEN: AtomicBool = AtomicBool::new(false);
    if IS_TAKEN.swap(true, Ordering::SeqCst) {
        return Err(io::Error::other("taken before"));
    }
    // SAFETY: fcntl with F_GETFD looks at a number and touches no memory.
    if unsafe { nix::libc::fcntl(number, nix::libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the number is open (checked above), and the flag makes sure that this is its only owner:
    // nothing else in this program makes descriptors from numbers.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC)?;
    Ok(descriptor)
}

/// Keeps every descriptor that whoever called us left open, but the first three, from the programs that we start.
///
/// # Errors
/// The kernel refuses.
pub fn keep_from_children() -> io::Result<()> {
    let (first, last, flag) = (3, u32::MAX, nix::libc::CLOSE_RANGE_CLOEXEC);
    // SAFETY: with this flag close_range closes nothing now, it sets a flag of descriptors; no memory is touched.
    let result = unsafe { nix::libc::syscall(nix::libc::SYS_close_range, first, last, flag) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
