//! One end of an edge between two roles: typed frames over a stream socket, descriptors beside them.
//!
//! A frame is `length:u32 head_length:u32 head tail`, little-endian, both lengths in octets. The head is one value of
//! the edge's enum (postcard), the tail is raw octets (a message body), so that a body is never
//! walked octet by octet. A descriptor travels with the first octet of its frame, so whoever has
//! read the frame has the descriptor.
//!
//! Nothing here blocks: [`Link::fill`] and [`Link::flush`] do what is possible now, and the loops of
//! the roles (poll or tokio) say when that is. The receiver trusts nothing: a frame that is too
//! long, does not decode or lacks its descriptor ends the link.

use policy::settings::FRAME_BYTES_MAX;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Octets read at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Octets of a frame's two lengths.
const LENGTHS_BYTES: usize = 8;

/// Descriptors that may wait for their frames.
const DESCRIPTORS_MAX: usize = 256;

/// Octets that may wait to be written before the peer counts as dead.
const OUTBOUND_BYTES_MAX: usize = 64 * FRAME_BYTES_MAX;

/// Why a link is over.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The other end is gone.
    #[error("the other end closed")]
    Closed,
    /// The other end sent what is no frame of this edge.
    #[error("not a frame of this edge: {0}")]
    Garbled(&'static str),
    /// The system said no.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// One end of an edge.
#[derive(Debug)]
pub struct Link {
    socket: OwnedFd,
    inbound: Vec<u8>,
    /// The part of `inbound` that is read and not yet taken.
    taken: usize,
    filled: usize,
    descriptors: VecDeque<OwnedFd>,
    outbound: Vec<u8>,
    written: usize,
    /// Descriptors to send, each with the place in `outbound` of its frame's first octet.
    outbound_descriptors: VecDeque<(usize, OwnedFd)>,
}

impl Link {
    /// Takes one end of a nonblocking stream socket pair.
    #[must_use]
    pub fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            inbound: Vec::new(),
            taken: 0,
            filled: 0,
            descriptors: VecDeque::new(),
            outbound: Vec::new(),
            written: 0,
            outbound_descriptors: VecDeque::new(),
        }
    }

    /// Puts a frame into the outbound buffer. Nothing is written before [`Link::flush`].
    ///
    /// # Errors
    /// [`LinkError::Garbled`] if the frame is too long or the other end has stopped reading.
    pub fn send<T: Serialize>(&mut self, head: &T, tail: &[u8]) -> Result<(), LinkError> {
        let start = self.outbound.len();
        self.outbound.extend_from_slice(&[0; LENGTHS_BYTES]);
        let buffer = std::mem::take(&mut self.outbound);
        let buffer =
            postcard::to_extend(head, buffer).map_err(|_| LinkError::Garbled("does not encode"))?;
        self.outbound = buffer;
        let head_end = self.outbound.len();
        self.outbound.extend_from_slice(tail);
        let body = self.outbound.len().saturating_sub(start).saturating_sub(LENGTHS_BYTES);
        let head_bytes = head_end.saturating_sub(start).saturating_sub(LENGTHS_BYTES);
        if body > FRAME_BYTES_MAX || self.outbound.len() > OUTBOUND_BYTES_MAX {
            self.outbound.truncate(start);
            return Err(LinkError::Garbled("too long to send"));
        }
        let lengths = [length_octets(body)?, length_octets(head_bytes)?];
        if let Some(place) = self.outbound.get_mut(start..start.saturating_add(LENGTHS_BYTES)) {
            place.copy_from_slice(lengths.as_flattened());
        }
        Ok(())
    }

    /// The same with a descriptor.
    ///
    /// # Errors
    /// As [`Link::send`].
    pub fn send_with<T: Serialize>(
        &mut self,
        head: &T,
        tail: &[u8],
        descriptor: OwnedFd,
    ) -> Result<(), LinkError> {
        let start = self.outbound.len();
        self.send(head, tail)?;
        self.outbound_descriptors.push_back((start, descriptor));
        Ok(())
    }

    /// Whether something waits to be written.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.written < self.outbound.len()
    }

    /// Writes what the socket takes now. True: everything is written.
    ///
    /// # Errors
    /// The other end is gone.
    pub fn flush(&mut self) -> Result<bool, LinkError> {
        while self.is_behind() {
            // A descriptor goes with the first octet of its frame, so a write ends before the next one.
            let now = match self.outbound_descriptors.front() {
                Some((at, _)) if *at == self.written => true,
                Some(_) | None => false,
            };
            let next = usize::from(now);
            let end =
                self.outbound_descriptors.get(next).map_or(self.outbound.len(), |(at, _)| *at);
            let piece = self.outbound.get(self.written..end).unwrap_or_default();
            let carried: Vec<BorrowedFd<'_>> = if now {
                self.outbound_descriptors.front().map(|(_, fd)| fd.as_fd()).into_iter().collect()
            } else {
                Vec::new()
            };
            match sys::socket::send_with_fds(self.socket.as_fd(), &[IoSlice::new(piece)], &carried)
            {
                Ok(count) => {
                    drop(carried);
                    self.written = self.written.saturating_add(count);
                    if now {
                        self.outbound_descriptors.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.outbound.clear();
        if self.outbound.capacity() > FRAME_BYTES_MAX {
            self.outbound.shrink_to(PIECE_BYTES);
        }
        self.written = 0;
        Ok(true)
    }

    /// Reads what is there now, up to a frame's greatest length. True: there may be more.
    ///
    /// # Errors
    /// The other end is gone, or sent too much without a frame.
    pub fn fill(&mut self) -> Result<bool, LinkError> {
        self.make_room();
        loop {
            if self.filled.saturating_sub(self.taken) > FRAME_BYTES_MAX.saturating_add(PIECE_BYTES)
            {
                return Ok(true);
            }
            let wanted = self.filled.saturating_add(PIECE_BYTES);
            if self.inbound.len() < wanted {
                self.inbound.resize(wanted, 0);
            }
            let space = self.inbound.get_mut(self.filled..).unwrap_or_default();
            let space_bytes = space.len();
            let mut arrived = Vec::new();
            match sys::socket::receive_with_fds(self.socket.as_fd(), space, &mut arrived) {
                Ok(0) => return Err(LinkError::Closed),
                Ok(count) => {
                    self.filled = self.filled.saturating_add(count);
                    self.descriptors.extend(arrived.drain(..));
                    if self.descriptors.len() > DESCRIPTORS_MAX {
                        return Err(LinkError::Garbled("too many descriptors"));
                    }
                    // A short read without descriptors means that the socket is empty for now.
                    if count < space_bytes && self.descriptors.is_empty() {
                        return Ok(false);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Moves what is not yet taken to the front, and gives back memory after a large frame.
    fn make_room(&mut self) {
        if self.taken == 0 {
            return;
        }
        self.inbound.copy_within(self.taken..self.filled, 0);
        self.filled = self.filled.saturating_sub(self.taken);
        self.taken = 0;
        if self.inbound.len() > 4 * PIECE_BYTES && self.filled < PIECE_BYTES {
            self.inbound.truncate(2 * PIECE_BYTES);
            self.inbound.shrink_to_fit();
        }
    }

    /// Takes the next whole frame that has been read.
    ///
    /// # Errors
    /// [`LinkError::Garbled`]: this end must give the link up.
    pub fn receive<T: DeserializeOwned>(&mut self) -> Result<Option<(T, &[u8])>, LinkError> {
        let waiting = self.inbound.get(self.taken..self.filled).unwrap_or_default();
        let Some((lengths, rest)) = waiting.split_first_chunk::<LENGTHS_BYTES>() else {
            // A descriptor comes with its frame: where no frame has begun, it belongs to none.
            if waiting.is_empty() && !self.descriptors.is_empty() {
                return Err(LinkError::Garbled("a descriptor that nobody asked for"));
            }
            return Ok(None);
        };
        let (body, head) = lengths.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
        let body_bytes = size(u32::from_le_bytes(*body))?;
        let head = head.first_chunk::<4>().copied().unwrap_or_default();
        let head_bytes = size(u32::from_le_bytes(head))?;
        if body_bytes > FRAME_BYTES_MAX || head_bytes > body_bytes {
            return Err(LinkError::Garbled("lengths out of bounds"));
        }
        let Some(body) = rest.get(..body_bytes) else { return Ok(None) };
        let (head, tail) = body.split_at_checked(head_bytes).unwrap_or_default();
        let value = match postcard::take_from_bytes(head) {
            Ok((value, [])) => value,
            Ok(_) => return Err(LinkError::Garbled("octets behind the value")),
            Err(_) => return Err(LinkError::Garbled("does not decode")),
        };
        self.taken = self.taken.saturating_add(LENGTHS_BYTES).saturating_add(body_bytes);
        Ok(Some((value, tail)))
    }

    /// Whether a descriptor has come that nobody has taken.
    #[must_use]
    pub(crate) fn has_descriptor(&self) -> bool {
        !self.descriptors.is_empty()
    }

    /// Takes the descriptor that came with the frame just read.
    ///
    /// # Errors
    /// [`LinkError::Garbled`] if there is none.
    pub fn descriptor(&mut self) -> Result<OwnedFd, LinkError> {
        self.descriptors.pop_front().ok_or(LinkError::Garbled("a descriptor is missing"))
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn size(octets: u32) -> Result<usize, LinkError> {
    usize::try_from(octets).map_err(|_| LinkError::Garbled("lengths out of bounds"))
}

fn length_octets(octets: usize) -> Result<[u8; 4], LinkError> {
    u32::try_from(octets)
        .map(u32::to_le_bytes)
        .map_err(|_| LinkError::Garbled("lengths out of bounds"))
}
