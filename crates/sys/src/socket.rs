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

/// Descriptors in one message, at most.
pub const DESCRIPTORS_MAX: usize = 8;

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
/// `WouldBlock`: the socket is full. `InvalidInput`: more than [`DESCRIPTORS_MAX`] descriptors, or descriptors
/// without an octet to travel with. Else the other end is gone.
pub fn send_with_fds(
    socket: BorrowedFd<'_>,
    octets: &[IoSlice<'_>],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        let travels = octets.iter().any(|piece| !piece.is_empty());
        let are_few = descriptors.len() <= DESCRIPTORS_MAX;
        if !travels || !are_few || !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
    }
    let send = || rustix::net::sendmsg(socket, octets, &mut ancillary, SendFlags::NOSIGNAL);
    Ok(rustix::io::retry_on_intr(send)?)
}

/// Receives octets, and the descriptors that came with them. How many octets; 0: the other end is closed.
///
/// # Errors
/// `WouldBlock`: nothing is there. Else the socket is broken, or more descriptors came than we take; those that
/// came are closed.
pub fn receive_with_fds(
    socket: BorrowedFd<'_>,
    octets: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut pieces = [IoSliceMut::new(octets)];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let receive = || rustix::net::recvmsg(socket, &mut pieces, &mut ancillary, flags);
    let received = rustix::io::retry_on_intr(receive)?;
    let mut came = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            came.extend(rights);
        }
    }
    let is_cut = received.flags.contains(rustix::net::ReturnFlags::CTRUNC);
    if is_cut || came.len() > DESCRIPTORS_MAX {
        return Err(io::Error::other("more descriptors than we take"));
    }
    descriptors.append(&mut came);
    Ok(received.bytes)
}

/// A TCP socket that listens; `backlog` connections wait to be accepted, or as many as this crate thinks right.
///
/// # Errors
/// The address is taken, not ours, or not permitted.
pub fn listen_tcp(address: SocketAddr, backlog: Option<u16>) -> io::Result<OwnedFd> {
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
    rustix::net::listen(&socket, backlog.map_or(BACKLOG, i32::from))?;
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

/// A connection to the server that listens on this Unix socket, nonblocking. Never waits: a server whose backlog is full
/// is an error for now.
///
/// # Errors
/// Nobody listens there, or the caller may not.
pub fn connect_unix(path: &Path) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// A TCP connection that is on its way, nonblocking: it is there once the socket is writable, see [`finished`].
///
/// # Errors
/// There is no way there.
pub fn connect_tcp(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = match address.ip() {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, FLAGS, Some(ipproto::TCP))?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

/// Waits until a connection that is on its way is there, and takes the socket out of nonblocking mode.
///
/// # Errors
/// The other end refuses, or the time is over.
pub fn finished(socket: OwnedFd, wait_ms: u64) -> io::Result<OwnedFd> {
    if !crate::poll::writable_within(&socket, wait_ms)? {
        return Err(io::ErrorKind::TimedOut.into());
    }
    sockopt::socket_error(&socket)??;
    rustix::fs::fcntl_setfl(&socket, rustix::fs::OFlags::empty())?;
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

/// Who is on the other end of a Unix socket: as he was when he connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Process; it may be another's by now.
    pub pid: i32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// The process, user and group on the other end of a Unix socket, as the kernel says.
///
/// # Errors
/// It is no Unix socket.
pub fn peer(socket: BorrowedFd<'_>) -> io::Result<Peer> {
    let credentials = sockopt::socket_peercred(socket)?;
    Ok(Peer {
        pid: credentials.pid.as_raw_nonzero().get(),
        uid: credentials.uid.as_raw(),
        gid: credentials.gid.as_raw(),
    })
}

/// Sends one datagram, as the system's log takes them. False: the log is full or gone, and this line is lost; nobody
/// waits for a log.
#[must_use]
pub fn send_datagram(socket: BorrowedFd<'_>, octets: &[u8]) -> bool {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    rustix::io::retry_on_intr(|| rustix::net::send(socket, octets, flags)).is_ok()
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

    /// What arrives when `octets` are sent in two pieces, cut at `cut`, a descriptor with each piece.
    fn cut_at(cut: usize, octets: &[u8]) -> (Vec<u8>, usize) {
        let (one, two) = pair().unwrap();
        let (inside, _other) = pair().unwrap();
        let (head, tail) = octets.split_at(cut);
        for piece in [head, tail].into_iter().filter(|piece| !piece.is_empty()) {
            let pieces = [IoSlice::new(piece)];
            assert_eq!(
                send_with_fds(one.as_fd(), &pieces, &[inside.as_fd()]).unwrap(),
                piece.len()
            );
        }
        drop(one);
        let (mut all, mut descriptors, mut space) = (Vec::new(), Vec::new(), [0; 5]);
        loop {
            match receive_with_fds(two.as_fd(), &mut space, &mut descriptors).unwrap() {
                0 => return (all, descriptors.len()),
                count => all.extend_from_slice(&space[..count]),
            }
        }
    }

    #[test]
    fn a_stream_cut_anywhere_keeps_its_octets_and_descriptors() {
        let octets = b"frame one, frame two";
        for cut in 0..=octets.len() {
            let pieces = if cut == 0 || cut == octets.len() { 1 } else { 2 };
            assert_eq!(cut_at(cut, octets), (octets.to_vec(), pieces), "{cut}");
        }
    }

    #[test]
    fn eight_descriptors_travel_and_nine_do_not() {
        let (one, two) = pair().unwrap();
        let nine = [two.as_fd(); 9];
        let octets = [IoSlice::new(b"x")];
        let error = send_with_fds(one.as_fd(), &octets, &nine).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(send_with_fds(one.as_fd(), &octets, &nine[..8]).unwrap(), 1);
        let mut descriptors = Vec::new();
        receive_with_fds(two.as_fd(), &mut [0; 1], &mut descriptors).unwrap();
        assert_eq!(descriptors.len(), 8);
        for descriptor in &descriptors {
            let flags = rustix::io::fcntl_getfd(descriptor).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        }
    }

    #[test]
    fn a_message_with_more_descriptors_than_we_take_is_an_error_and_leaves_none_open() {
        let (one, two) = pair().unwrap();
        let (inside, outside) = pair().unwrap();
        let many = [inside.as_fd(); 20];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(20))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&many)));
        let pieces = [IoSlice::new(b"x")];
        rustix::net::sendmsg(&one, &pieces, &mut ancillary, SendFlags::NOSIGNAL).unwrap();
        let mut descriptors = Vec::new();
        assert!(receive_with_fds(two.as_fd(), &mut [0; 1], &mut descriptors).is_err());
        assert!(descriptors.is_empty());
        drop(inside);
        // Nobody has the inner end any more: the outer one sees its end.
        assert_eq!(rustix::io::read(&outside, &mut [0; 1]), Ok(0));
    }

    #[test]
    fn a_descriptor_never_travels_without_an_octet() {
        let (one, two) = pair().unwrap();
        assert!(send_with_fds(one.as_fd(), &[], &[two.as_fd()]).is_err());
    }

    #[test]
    fn who_is_gone_is_an_error_and_no_signal() {
        let (one, two) = pair().unwrap();
        drop(two);
        let error = send_with_fds(one.as_fd(), &[IoSlice::new(b"x")], &[]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_unix_listener_has_its_mode_and_knows_who_comes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        // What lies there from the last run is replaced.
        drop(listen_unix(&path, 0o600).unwrap());
        let listener = listen_unix(&path, 0o666).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        assert_eq!(accept(&listener).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let _client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let who = peer(accept(&listener).unwrap().as_fd()).unwrap();
        assert_eq!(who.pid, std::process::id().cast_signed());
        assert_eq!(who.uid, crate::user::effective_uid());
    }

    #[test]
    fn a_datagram_arrives_whole_or_is_lost_without_waiting() {
        let (one, two) = std::os::unix::net::UnixDatagram::pair().unwrap();
        assert!(send_datagram(one.as_fd(), b"<22>ironpost: a line"));
        let mut octets = [0; 64];
        let count = two.recv(&mut octets).unwrap();
        assert_eq!(&octets[..count], b"<22>ironpost: a line");
        drop(two);
        assert!(!send_datagram(one.as_fd(), b"<22>ironpost: nobody hears"));
    }

    #[test]
    fn a_v6_listener_leaves_the_v4_port_to_others() {
        let six = listen_tcp("[::1]:0".parse().unwrap(), None).unwrap();
        let port = local_address(six.as_fd()).unwrap().port();
        listen_tcp(SocketAddr::from(([127, 0, 0, 1], port)), None).unwrap();
    }

    #[test]
    fn the_kernel_says_who_is_there() {
        let (one, _two) = pair().unwrap();
        assert_eq!(peer_uid(&one).unwrap(), crate::user::effective_uid());
    }

    #[test]
    fn a_listening_socket_says_which_port_it_got() {
        let socket = listen_tcp(SocketAddr::from(([127, 0, 0, 1], 0)), None).unwrap();
        assert_ne!(local_address(socket.as_fd()).unwrap().port(), 0);
    }
}
