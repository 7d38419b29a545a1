//! What clients come through: TCP, or a Unix socket of this host. Both are octets in and out; only where the client is
//! differs.

use policy::settings::Endpoint;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// A socket that listens.
pub(super) enum Door {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Door {
    /// The socket of this endpoint.
    pub(super) fn open(socket: OwnedFd, endpoint: &Endpoint) -> io::Result<Self> {
        match endpoint {
            Endpoint::Tcp(_) => TcpListener::from_std(socket.into()).map(Self::Tcp),
            Endpoint::Unix(_) => UnixListener::from_std(socket.into()).map(Self::Unix),
        }
    }

    /// The next connection, and who it is from: through a Unix socket this host.
    pub(super) async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Replies are small and awaited: they must not wait for more.
                stream.set_nodelay(true).ok();
                Ok((Stream::Tcp(stream), peer))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), Endpoint::THIS_HOST))
            }
        }
    }
}

/// A connection.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Our own end.
    pub(super) fn local_address(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr(),
            Self::Unix(_) => Ok(Endpoint::THIS_HOST),
        }
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.readable().await,
            Self::Unix(stream) => stream.readable().await,
        }
    }

    pub(super) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.writable().await,
            Self::Unix(stream) => stream.writable().await,
        }
    }

    pub(super) fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(into),
            Self::Unix(stream) => stream.try_read(into),
        }
    }

    pub(super) fn try_write(&self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(octets),
            Self::Unix(stream) => stream.try_write(octets),
        }
    }
}
