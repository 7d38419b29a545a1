//! Wake-ups: one thread rings, another waits for the bell among its descriptors (eventfd).

use rustix::event::EventfdFlags;
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A bell. Rung many times before somebody listens, it rings once.
#[derive(Debug)]
pub struct Bell {
    descriptor: OwnedFd,
}

impl Bell {
    /// A bell that is still.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn new() -> io::Result<Self> {
        let flags = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
        Ok(Self { descriptor: rustix::event::eventfd(0, flags)? })
    }

    /// Rings: the descriptor is readable until [`Bell::hush`].
    ///
    /// # Errors
    /// The kernel refuses; a bell that rings already is no error.
    pub fn ring(&self) -> io::Result<()> {
        match rustix::io::write(&self.descriptor, &1_u64.to_ne_bytes()) {
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes it still. Whether it rang.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn hush(&self) -> io::Result<bool> {
        let mut count = [0_u8; 8];
        match rustix::io::read(&self.descriptor, &mut count) {
            Ok(_) => Ok(true),
            Err(Errno::AGAIN) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_rung_twice_rings_once() {
        let bell = Bell::new().unwrap();
        assert!(!crate::poll::readable(&bell, Some(0)).unwrap());
        bell.ring().unwrap();
        bell.ring().unwrap();
        assert!(crate::poll::readable(&bell, Some(0)).unwrap());
        assert!(bell.hush().unwrap());
        assert!(!bell.hush().unwrap());
    }
}
