//! Signals as something to read: nothing runs inside a handler (CVE-2006-0058 was a handler that did).

use nix::sys::signal::{SigSet, Signal as Number};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// A signal we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Interrupt,
    /// SIGHUP.
    HangUp,
    /// SIGUSR1.
    User1,
    /// SIGCHLD.
    Child,
}

/// The signals of this process, blocked and readable.
#[derive(Debug)]
pub struct Signals {
    descriptor: SignalFd,
}

impl Signals {
    /// Blocks the signals we know in this thread and those it will start.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn block() -> io::Result<Self> {
        let mut set = SigSet::empty();
        for number in
            [Number::SIGTERM, Number::SIGINT, Number::SIGHUP, Number::SIGUSR1, Number::SIGCHLD]
        {
            set.add(number);
        }
        set.thread_block()?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        Ok(Self { descriptor: SignalFd::with_flags(&set, flags)? })
    }

    /// The signals that have come.
    #[must_use]
    pub fn pending(&self) -> Vec<Signal> {
        let mut signals = Vec::new();
        while let Ok(Some(info)) = self.descriptor.read_signal() {
            let number = i32::try_from(info.ssi_signo).ok().and_then(|n| Number::try_from(n).ok());
            signals.extend(match number {
                Some(Number::SIGTERM) => Some(Signal::Terminate),
                Some(Number::SIGINT) => Some(Signal::Interrupt),
                Some(Number::SIGHUP) => Some(Signal::HangUp),
                Some(Number::SIGUSR1) => Some(Signal::User1),
                Some(Number::SIGCHLD) => Some(Signal::Child),
                Some(_) | None => None,
            });
        }
        signals
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_signal_waits_to_be_read() {
        // A thread of its own, and a signal to it alone: the others go on as they are.
        std::thread::spawn(|| {
            let signals = Signals::block().unwrap();
            assert!(signals.pending().is_empty());
            nix::sys::pthread::pthread_kill(nix::sys::pthread::pthread_self(), Number::SIGUSR1)
                .unwrap();
            assert!(crate::poll::readable(&signals, Some(1000)).unwrap());
            assert_eq!(signals.pending(), [Signal::User1]);
        })
        .join()
        .unwrap();
    }
}
