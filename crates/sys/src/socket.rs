//! Sockets, and descriptors that travel over them (`SCM_RIGHTS`).

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, ipproto, sockopt,
};
use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Descriptors in one message.
const DESCRIPTORS_MAX: usize = 8;

const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// Two connected ends of a stream, nonblocking.
///
/// # Errors
/// Out of descriptors.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?)
}

/// Sends octets, and descriptors with the first of them. How many octets were sent.
///
/// # Errors
/// `WouldBlock`: the socket is full. Else the other end is gone.
pub fn send_with_fds(
    socket: BorrowedFd<'_>,
    octets: &[IoSlice<'_>],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors"));
    }
    Ok(rustix::net::sendmsg(socket, octets, &mut ancillary, SendFlags::NOSIGNAL)?)
}

/// Receives octets, and the descriptors that came with them. How many octets; 0: the other end is closed.
///
/// # Errors
/// `WouldBlock`: nothing is there. Else the socket is broken, or more descriptors came than we take.
pub fn receive_with_fds(
    socket: BorrowedFd<'_>,
    octets: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut pieces = [IoSliceMut::new(octets)];
    let received =
        rustix::net::recvmsg(socket, &mut pieces, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if received.flags.contains(rustix::net::ReturnFlags::CTRUNC) {
        return Err(io::Error::other("more descriptors than we take"));
    }
    Ok(received.bytes)
}

/// A TCP socket that listens.
///
/// # Errors
/// The address is taken, not ours, or not permitted.
pub fn listen_tcp(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = match address.ip() {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    };
    let tcp = Some(ipproto::TCP);
    let socket = rustix::net::socket_with(family, SocketType::STREAM, FLAGS, tcp)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if family == AddressFamily::INET6 {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// The address a TCP socket is bound to.
///
/// # Errors
/// It is no TCP socket.
pub fn local_address(socket: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    Ok(rustix::net::getsockname(socket)?.try_into()?)
}

/// A Unix socket that listens under this name, with this mode; one that is there already is replaced.
///
/// # Errors
/// The folder can't be written, or the name is too long for a socket.
pub fn listen_unix(path: &Path, mode: u32) -> io::Result<OwnedFd> {
    let unfinished = path.with_extension("new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(&unfinished)?)?;
    fs::set_permissions(&unfinished, fs::Permissions::from_mode(mode))?;
    rustix::net::listen(&socket, BACKLOG)?;
    fs::rename(&unfinished, path)?;
    Ok(socket)
}

/// Takes a connection of a listening Unix socket, nonblocking.
///
/// # Errors
/// `WouldBlock`: there is none.
pub fn accept(socket: &OwnedFd) -> io::Result<OwnedFd> {
    Ok(rustix::net::accept_with(socket, FLAGS)?)
}

/// The user on the other end of a Unix socket, as the kernel says.
///
/// # Errors
/// It is no Unix socket.
pub fn peer_uid(socket: &OwnedFd) -> io::Result<u32> {
    Ok(sockopt::socket_peercred(socket.as_fd())?.uid.as_raw())
}

/// A connection to the system's log.
///
/// # Errors
/// Nobody listens there.
pub fn connect_syslog() -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, FLAGS, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new("/dev/log")?)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_travels_with_its_octets() {
        let (one, two) = pair().unwrap();
        let (inside, _other) = pair().unwrap();
        let sent = send_with_fds(one.as_fd(), &[IoSlice::new(b"abc")], &[inside.as_fd()]).unwrap();
        assert_eq!(sent, 3);
        let (mut octets, mut descriptors) = ([0; 16], Vec::new());
        assert_eq!(receive_with_fds(two.as_fd(), &mut octets, &mut descriptors).unwrap(), 3);
        assert_eq!(descriptors.len(), 1);
    }

    #[test]
    fn the_kernel_says_who_is_there() {
        let (one, _two) = pair().unwrap();
        assert_eq!(peer_uid(&one).unwrap(), crate::user::effective_uid());
    }

    #[test]
    fn a_listening_socket_says_which_port_it_got() {
        let socket = listen_tcp(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        assert_ne!(local_address(socket.as_fd()).unwrap().port(), 0);
    }
}
