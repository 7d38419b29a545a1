//! A [`Link`] that one task owns: a frame in, a frame out, and nothing is read before it is wanted,
//! so that a peer that sends without end fills its own socket and not our memory.

use crate::link::{Link, LinkError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// A connection to a user's command.
#[derive(Debug)]
pub(crate) struct Conversation {
    link: Link,
    /// The same socket, watched by tokio.
    ready: UnixStream,
}

impl Conversation {
    /// Takes a nonblocking stream socket.
    ///
    /// # Errors
    /// The system can't watch it.
    pub(crate) fn new(socket: OwnedFd) -> Result<Self, LinkError> {
        let twin = socket.as_fd().try_clone_to_owned()?;
        Ok(Self { link: Link::new(socket), ready: UnixStream::from_std(twin.into())? })
    }

    /// Waits for the next frame: the value and its tail.
    ///
    /// # Errors
    /// The peer is gone, or sent what is no frame.
    pub(crate) async fn receive<T: DeserializeOwned>(&mut self) -> Result<(T, Vec<u8>), LinkError> {
        loop {
            if let Some((value, tail)) = self.link.receive()? {
                return Ok((value, tail.to_vec()));
            }
            self.ready.readable().await?;
            let may_be_more = self.link.fill()?;
            if self.link.has_descriptor() {
                // A user's command hands over none, and kept ones would use up our own.
                return Err(LinkError::Garbled("a descriptor that nobody asked for"));
            }
            if !may_be_more {
                is_drained(&self.ready, Interest::READABLE);
            }
        }
    }

    /// Sends a frame, and waits until it is written.
    ///
    /// # Errors
    /// The peer is gone.
    pub(crate) async fn send<T: Serialize>(
        &mut self,
        head: &T,
        tail: &[u8],
    ) -> Result<(), LinkError> {
        self.link.send(head, tail)?;
        while !self.link.flush()? {
            is_drained(&self.ready, Interest::WRITABLE);
            self.ready.writable().await?;
        }
        Ok(())
    }
}

/// Tells tokio that the socket gave or took all that it can for now, so that it is watched again.
pub(crate) fn is_drained(socket: &UnixStream, interest: Interest) {
    let would_block = || -> io::Result<()> { Err(io::ErrorKind::WouldBlock.into()) };
    // The error is the message.
    drop(socket.try_io(interest, would_block));
}
