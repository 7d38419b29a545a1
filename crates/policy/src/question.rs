//! What is asked, and what is known at that moment.

use alloc::{boxed::Box, vec::Vec};
use core::net::{IpAddr, SocketAddr};
use serde::{Deserialize, Serialize};

/// One question, complete in itself: it carries all that the session knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// What the session knows so far.
    pub facts: Facts,
    /// What it wants to know.
    pub ask: Ask,
}

/// Macros that rule sets set for the rest of a session: name and value.
pub type Macros = Vec<(Box<[u8]>, Box<[u8]>)>;

/// What a session knows about its peer and its transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Who is on the other end.
    pub origin: Origin,
    /// The name of the listener (`Settings::listeners`) that took the connection.
    pub daemon: u8,
    /// What HELO or EHLO said; empty before.
    pub hello: Box<[u8]>,
    /// Whether EHLO was used.
    pub is_esmtp: bool,
    /// The reverse-path without angle brackets; `None` before MAIL, empty for `<>`.
    pub sender: Option<Box<[u8]>>,
    /// Recipients accepted so far in this transaction.
    pub recipients: u32,
    /// Macros that earlier verdicts of this session set (`{name}` and value).
    pub macros: Macros,
}

/// Who hands in mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// A client of SMTP.
    Client {
        /// Its address and port.
        peer: SocketAddr,
        /// Our end.
        local: SocketAddr,
        /// Its name by reverse look-up, or empty.
        name: Box<[u8]>,
        /// What the reverse look-up came to.
        resolved: Resolved,
    },
    /// A user of this machine, by the control socket or the command line.
    User {
        /// The user's number, as the kernel says it.
        uid: u32,
        /// The user's login name, or the number in digits.
        name: Box<[u8]>,
    },
    /// The queue itself: a report.
    Ourselves,
}

impl Origin {
    /// The client's address, if it is a client.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Client { peer, .. } => Some(peer.ip()),
            Self::User { .. } | Self::Ourselves => None,
        }
    }
}

/// The outcome of a reverse look-up (sendmail's `${client_resolve}`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resolved {
    /// Name and address agree.
    Ok,
    /// There is no name, or nobody looked.
    Fail,
    /// The name server did not answer.
    Temporary,
    /// The name does not lead back to the address.
    Forged,
}

/// What the session wants to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// May this client talk at all? (before the greeting)
    Connect,
    /// A client that [`Ask::Connect`] was asked about is gone: nothing is wanted, but who counts clients counts one less.
    Left,
    /// HELO or EHLO with this name.
    Hello {
        /// The argument.
        name: Box<[u8]>,
    },
    /// MAIL FROM.
    Sender {
        /// The reverse-path without angle brackets; empty for `<>`.
        address: Box<[u8]>,
        /// Its parameters.
        parameters: Parameters,
    },
    /// RCPT TO. Accepted with a [`crate::Route`].
    Recipient {
        /// The forward-path without angle brackets.
        address: Box<[u8]>,
    },
    /// DATA or the first BDAT.
    Data,
    /// The empty line after the header was seen.
    EndOfHeader {
        /// Number of fields.
        fields: u32,
        /// Octets of the header.
        size_bytes: u64,
        /// The header as it came, CR LF line ends; bounded by `Limits::header_bytes_max`.
        header: Box<[u8]>,
    },
    /// The message is complete, and not yet stored.
    EndOfMessage {
        /// Octets of the message.
        size_bytes: u64,
    },
    /// VRFY. Accepted with the lines of the reply.
    Verify {
        /// The argument.
        argument: Box<[u8]>,
    },
    /// EXPN. Accepted with the lines of the reply.
    Expand {
        /// The argument.
        argument: Box<[u8]>,
    },
    /// HELP. Accepted with the lines of the answer; without lines there is no such topic.
    Help {
        /// The topic, or empty.
        topic: Box<[u8]>,
    },
    /// ETRN. Accepted: mail for the argument is tried now.
    Turn {
        /// The argument.
        argument: Box<[u8]>,
    },
    /// Any other command.
    Other {
        /// The whole line without its end.
        line: Box<[u8]>,
        /// First digit of the reply that it would get.
        class: u8,
    },
}

/// Parameters of MAIL that a policy may look at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// SIZE= in octets (RFC 1870).
    pub size_bytes: Option<u64>,
    /// BODY=8BITMIME (RFC 6152).
    pub is_eight_bit: bool,
    /// SMTPUTF8 (RFC 6531).
    pub is_utf8: bool,
}
