//! Waiting for descriptors (poll(2)).

use rustix::event::{PollFd, PollFlags, Timespec};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Waits until one of the descriptors is readable or closed, or (where wanted) writable, or the time is over.
/// Says of each whether something happened to it.
///
/// # Errors
/// The kernel is out of memory.
pub fn wait(watched: &[(BorrowedFd<'_>, bool)], wait_ms: Option<u64>) -> io::Result<Vec<bool>> {
    let mut polled: Vec<PollFd<'_>> = watched
        .iter()
        .map(|(descriptor, wants_write)| {
            let write = if *wants_write { PollFlags::OUT } else { PollFlags::empty() };
            PollFd::from_borrowed_fd(*descriptor, PollFlags::IN | write)
        })
        .collect();
    let limit = wait_ms.map(timespec);
    match rustix::event::poll(&mut polled, limit.as_ref()) {
        Ok(_) => Ok(polled.iter().map(|polled| !polled.revents().is_empty()).collect()),
        Err(rustix::io::Errno::INTR) => Ok(vec![false; watched.len()]),
        Err(error) => Err(error.into()),
    }
}

/// Waits until a descriptor is readable or closed. False: the time is over.
///
/// # Errors
/// As [`wait`].
pub fn readable(descriptor: &impl AsFd, wait_ms: Option<u64>) -> io::Result<bool> {
    Ok(wait(&[(descriptor.as_fd(), false)], wait_ms)? == [true])
}

/// Waits until a descriptor is writable or closed. False: the time is over.
///
/// # Errors
/// As [`wait`].
pub fn writable_within(descriptor: &impl AsFd, wait_ms: u64) -> io::Result<bool> {
    let mut polled = [PollFd::from_borrowed_fd(descriptor.as_fd(), PollFlags::OUT)];
    let limit = timespec(wait_ms);
    rustix::io::retry_on_intr(|| rustix::event::poll(&mut polled, Some(&limit)))?;
    Ok(polled.iter().any(|polled| !polled.revents().is_empty()))
}

fn timespec(ms: u64) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(ms / 1000).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(ms % 1000 * 1_000_000).unwrap_or(0),
    }
}

/// Waits until a descriptor is writable or closed.
///
/// # Errors
/// As [`wait`].
pub fn writable(descriptor: &impl AsFd) -> io::Result<()> {
    let mut polled = [PollFd::from_borrowed_fd(descriptor.as_fd(), PollFlags::OUT)];
    match rustix::event::poll(&mut polled, None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
