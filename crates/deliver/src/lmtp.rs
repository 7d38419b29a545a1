//! Local delivery by LMTP (RFC 2033): one connection, as many transactions as there are batches,
//! an answer for each recipient.

use crate::Body;
use policy::settings::Timeouts;
use queue::{Batch, Outcome};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

/// A connection to an LMTP server, already standing: the cage may not be able to make one.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

/// Delivers one batch after the other over one connection; each recipient's outcome by its number.
#[must_use]
pub fn deliver(
    _stream: &Stream,
    _our_name: &[u8],
    _timeouts: &Timeouts,
    _batches: &[(&Batch, Body<'_>)],
) -> Vec<Vec<(u32, Outcome)>> {
    Vec::new()
}
