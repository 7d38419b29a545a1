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
    /// `socket()` for the network.
    Network,
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
        Deed::Socket => attempt(Deed::Network).or_else(|_| socket(AddressFamily::UNIX)),
        Deed::Network => socket(AddressFamily::INET).or_else(|_| socket(AddressFamily::INET6)),
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

fn socket(family: AddressFamily) -> io::Result<()> {
    Ok(rustix::net::socket(family, SocketType::STREAM, None).map(drop)?)
}

/// Where execve is allowed, it would replace us. So it is asked with an argument list that can't be
/// read: a cage refuses (EPERM, EACCES), a kernel that would obey says EFAULT, or ENOENT where there is no such
/// program. Only a refusal counts as one.
fn execve() -> io::Result<()> {
    const UNREADABLE: libc::c_long = 1;
    // SAFETY: the path is a constant C string; the argument list is an address that no process may
    // map, which the kernel answers with EFAULT and never reads through.
    let result =
        unsafe { libc::syscall(libc::SYS_execve, c"/bin/true".as_ptr(), UNREADABLE, UNREADABLE) };
    debug_assert!(result < 0, "an unreadable list of arguments is never executed");
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => Err(error),
        Some(_) | None => Ok(()),
    }
}

/// Numbers of descriptors that are looked at, at most; no role may have more.
const NUMBERS_MAX: u64 = 65_536;

/// The open descriptors of this process: number and kind.
#[must_use]
pub fn descriptors() -> Vec<(RawFd, &'static str)> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let numbers = limit.unwrap_or(NUMBERS_MAX).min(NUMBERS_MAX);
    let open = (0..RawFd::try_from(numbers).unwrap_or(0)).filter(|&number| is_open(number));
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
    let is_stream = rustix::net::sockopt::socket_type(socket) == Ok(SocketType::STREAM);
    let listens = rustix::net::sockopt::socket_acceptconn(socket).unwrap_or(false);
    match (domain, is_stream, listens) {
        (Ok(AddressFamily::UNIX), _, true) => "unix listener",
        (Ok(AddressFamily::UNIX), true, false) => "unix stream",
        (Ok(AddressFamily::UNIX), false, false) => "unix datagrams",
        (Ok(AddressFamily::INET | AddressFamily::INET6), true, true) => "tcp listener",
        (Ok(AddressFamily::INET | AddressFamily::INET6), true, false) => "tcp connection",
        (Ok(AddressFamily::INET | AddressFamily::INET6), false, _) => "udp socket",
        (Ok(_) | Err(_), _, _) => "socket",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_descriptor_has_a_kind() {
        let (pair, _other) = crate::socket::pair().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let asked = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let file = tempfile::tempfile().unwrap();
        let bell = crate::event::Bell::new().unwrap();
        let folder = std::fs::File::open("/").unwrap();
        let open = descriptors();
        for (number, kind) in [
            (pair.as_raw_fd(), "unix stream"),
            (listener.as_raw_fd(), "tcp listener"),
            (asked.as_raw_fd(), "udp socket"),
            (file.as_raw_fd(), "file"),
            (folder.as_raw_fd(), "folder"),
            (std::os::fd::AsFd::as_fd(&bell).as_raw_fd(), "event"),
        ] {
            assert!(open.contains(&(number, kind)), "{number} {kind}: {open:?}");
        }
    }

    #[test]
    fn without_a_cage_every_deed_can_be_done() {
        assert!(attempt(Deed::OpenPasswd).is_ok());
        assert!(attempt(Deed::Socket).is_ok());
        assert!(attempt(Deed::Execve).is_ok());
        // Whoever is not root can only reach what is his; his parent may be somebody else's.
        assert!(attempt(Deed::Kill).is_ok() || crate::user::effective_uid() != 0);
    }
}
