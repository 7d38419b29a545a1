//! What a user's command may ask of a running server over the control socket, and the answers.

use crate::edges::{HostStatus, Listed, Proof};
use queue::{BodyKind, Notify, Return};
use serde::{Deserialize, Serialize};
use wire::QueueId;

/// The name of the control socket in the folder of [`policy::settings::Paths::run`].
pub const SOCKET_NAME: &str = "control";

/// The name of a link in the same folder, to the server's spool: two servers of one system differ in it.
pub const SPOOL_LINK_NAME: &str = "spool";

/// Octets of a body in one frame.
pub const PIECE_BYTES_MAX: usize = 128 * 1024;

/// A command's wish.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    /// A message: its envelope. [`Request::Body`] frames and [`Request::End`] follow.
    /// The user is taken from the kernel, not from here.
    Submit(Submission),
    /// The next piece of the body (the frame's tail), CR LF line ends.
    Body,
    /// The body is complete.
    End,
    /// Everything that is queued.
    List,
    /// What is known of other hosts.
    Hosts(HostsOrder),
    /// Try everything now (operators).
    Flush,
    /// Do with the messages that are meant what is wished (operators).
    Run(Box<queue::run::Run>),
    /// Drop a message (operators).
    Remove(QueueId),
    /// What each process may do; with deeds: tried (operators).
    Privileges {
        /// Whether the deeds are tried.
        with_deeds: bool,
    },
    /// Read the configuration again (operators).
    Reload,
}

/// What is wished of the status of hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostsOrder {
    /// To see it.
    List,
    /// To forget what is too old to be used (operators).
    Purge,
}

/// The answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Answer {
    /// The message is durable.
    Stored(QueueId),
    /// It is not, for now.
    NotNow(Box<str>),
    /// It never will be; why.
    Refused(Box<str>),
    /// A part of the list; an empty one ends it.
    Listed(Vec<Listed>),
    /// Some of the hosts; an empty part ends them.
    Hosts(Vec<HostStatus>),
    /// Done as wished.
    Done,
    /// There is no such message.
    NoSuch,
    /// The processes.
    Processes(Vec<Proof>),
    /// The user may not.
    NotPermitted,
    /// That was no request at this point.
    Confused,
}

/// The envelope of a local user's message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// The login name, for Received fields and the log.
    pub login: Box<[u8]>,
    /// The reverse-path without angle brackets.
    pub sender: Box<[u8]>,
    /// For whom it is.
    pub recipients: Vec<Addressee>,
    /// What comes back with a report (`-R`).
    pub ret: Option<Return>,
    /// ENVID, in xtext (`-V`).
    pub envelope_id: Option<Box<[u8]>>,
    /// What kind of octets the body has (`-B`).
    pub body: BodyKind,
    /// What its header may show of it, names without braces: `x`, the full name of the sender (`-F`); `r` and `s`, protocol and
    /// host that it came by (`-p`). Others are not taken.
    pub macros: policy::Macros,
}

/// A recipient of a local user's message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addressee {
    /// The address without angle brackets.
    pub address: Box<[u8]>,
    /// Which reports are wanted (`-N`).
    pub notify: Notify,
    /// ORCPT: type, semicolon, xtext.
    pub original: Option<Box<[u8]>>,
}
