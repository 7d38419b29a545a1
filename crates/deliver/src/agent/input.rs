//! What a program reads, as long as anybody is to read it: a process that it left behind may hold the other end for ever
//! and read nothing.

use super::LOOK_MS;
use rustix::fs::OFlags;
use std::io::{self, Write};
use std::process::ChildStdin;
use std::sync::atomic::{AtomicBool, Ordering};

/// Our end of a program's standard input.
pub(super) struct Input<'a> {
    pipe: ChildStdin,
    is_over: &'a AtomicBool,
}

impl<'a> Input<'a> {
    /// Writes until `is_over` is set.
    ///
    /// # Errors
    /// The kernel does not let us wait as we want to.
    pub(super) fn new(pipe: ChildStdin, is_over: &'a AtomicBool) -> io::Result<Self> {
        rustix::fs::fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
        Ok(Self { pipe, is_over })
    }
}

impl Write for Input<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        loop {
            match self.pipe.write(octets) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return written,
            }
            if self.is_over.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            sys::poll::writable_within(&self.pipe, LOOK_MS)?;
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
