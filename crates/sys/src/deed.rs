//! Proof by deed: a process tries what its cage forbids.

use nix::libc;
use rustix::fs::FileType;
use rustix::net::{AddressFamily, SocketType};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// Something that a cage forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Deed {
    /// `open("/etc/passwd")`.
    OpenPasswd,
    /// `socket()`, for the network or for this machine.
    Socket,
    /// `execve()` of a program.
    Execve,
    /// `kill()` of another process, with no signal.
    Kill,
}

/// Tries the deed. Nothing is changed by it, whether it succeeds or not.
///
/// # Errors
/// It was refused: as it should be in a cage that forbids it.
pub fn attempt(deed: Deed) -> io::Result<()> {
    match deed {
        Deed::OpenPasswd => std::fs::File::open("/etc/passwd").map(drop),
        Deed::Socket => {
            let families = [AddressFamily::INET, AddressFamily::INET6, AddressFamily::UNIX];
            let mut last = io::Error::from(io::ErrorKind::PermissionDenied);
            for family in families {
                match rustix::net::socket(family, SocketType::STREAM, None) {
                    Ok(_) => return Ok(()),
                    Err(error) => last = error.into(),
                }
            }
            Err(last)
        }
        Deed::Execve => execve(),
        Deed::Kill => {
            let one = rustix::process::Pid::INIT;
            let parent = rustix::process::getppid().unwrap_or(one);
            rustix::process::test_kill_process(one)
                .or_else(|_| rustix::process::test_kill_process(parent))
                .map_err(io::Error::from)
        }
    }
}

/// Where execve is allowed, it would replace us. So it is asked with an argument list that can't be
/// read: a cage refuses before the kernel looks (EPERM, EACCES), a kernel that would obey says EFAULT.
fn execve() -> io::Result<()> {
    const UNREADABLE: libc::c_long = 1;
    // SAFETY: the path is a constant C string; the argument list is an address that no process may
    // map, which the kernel answers with EFAULT and never reads through.
    let result =
        unsafe { libc::syscall(libc::SYS_execve, c"/bin/true".as_ptr(), UNREADABLE, UNREADABLE) };
    debug_assert!(result < 0, "an unreadable list of arguments is never executed");
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::EFAULT) { Ok(()) } else { Err(error) }
}

/// Numbers of descriptors that are looked at.
const NUMBERS_MAX: RawFd = 4096;

/// The open descriptors of this process: number and kind.
#[must_use]
pub fn descriptors() -> Vec<(RawFd, &'static str)> {
    let open = (0..NUMBERS_MAX).filter(|&number| is_open(number));
    open.map(|number| (number, kind(number))).collect()
}

fn is_open(number: RawFd) -> bool {
    // SAFETY: fcntl with F_GETFD looks at a number and touches no memory.
    unsafe { libc::fcntl(number, libc::F_GETFD) >= 0 }
}

fn kind(number: RawFd) -> &'static str {
    // SAFETY: the number was just seen open, and is only looked at before this function returns.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    debug_assert_eq!(descriptor.as_raw_fd(), number);
    let Ok(facts) = rustix::fs::fstat(descriptor) else { return "unknown" };
    match FileType::from_raw_mode(facts.st_mode) {
        FileType::RegularFile => "file",
        FileType::Directory => "folder",
        FileType::Fifo => "pipe",
        FileType::CharacterDevice => "device",
        FileType::Socket => socket_kind(descriptor),
        FileType::BlockDevice => "disk",
        FileType::Symlink => "link",
        FileType::Unknown => "event",
    }
}

fn socket_kind(socket: BorrowedFd<'_>) -> &'static str {
    let domain = rustix::net::sockopt::socket_domain(socket);
    let listens = rustix::net::sockopt::socket_acceptconn(socket).unwrap_or(false);
    match (domain, listens) {
        (Ok(AddressFamily::UNIX), true) => "unix listener",
        (Ok(AddressFamily::UNIX), false) => "unix socket",
        (Ok(_), true) => "network listener",
        (Ok(_), false) => "network socket",
        (Err(_), _) => "socket",
    }
}
