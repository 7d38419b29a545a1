//! A connection to a server: TCP, or a Unix socket that was handed over connected.

use std::io;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UnixStream};

/// Octets both ways.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Reads what is there, or waits for it.
    pub(crate) async fn read(&self, input: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Self::Tcp(stream) => stream.try_read(input),
                Self::Unix(stream) => stream.try_read(input),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable().await?,
                done => return done,
            }
        }
    }

    async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.readable().await,
            Self::Unix(stream) => stream.readable().await,
        }
    }

    /// Writes what goes out at once: how many octets.
    pub(crate) fn try_write(&self, octets: &[u8]) -> usize {
        let written = match self {
            Self::Tcp(stream) => stream.try_write(octets),
            Self::Unix(stream) => stream.try_write(octets),
        };
        written.unwrap_or(0)
    }

    /// Writes everything, however long it takes.
    pub(crate) async fn write_all(&mut self, octets: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(octets).await,
            Self::Unix(stream) => stream.write_all(octets).await,
        }
    }
}
