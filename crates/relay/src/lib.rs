//! Delivery over the network: where a domain's mail goes, connections and their reuse, and what is
//! said over them.
//!
//! Runs in one task set on a current-thread runtime, in a cage that can open no file: names are
//! asked of the `resolver` role ([`Lookup`]), bodies come as octets or as descriptors.
//!
//! A destination is the host of a route with its port. Each has a line of jobs and some
//! connections; a connection takes jobs from the line as long as there are any, waits a little
//! for more, and says QUIT. So a busy destination costs a transaction a message and nothing else.
//!
//! SMTP and LMTP are spoken by the same machine (`smtp::client`); a server may listen on a Unix socket, whose
//! connections are asked of whoever may open a path ([`Doors`]).
#![forbid(unsafe_code)]

mod body;
mod caller;
mod connect;
mod fallback;
mod hosts;
mod limits;
mod line_end;
pub mod mx;
mod nowhere;
mod pool;
pub mod resolve;
mod session;
mod share;
mod status;
mod stop;
mod stream;
mod talk;
mod terms;
mod ticket;
mod told;

pub use mx::Ourselves;
pub use nowhere::Nowhere;
pub use pool::{Parted, Relay};
pub use resolve::{Answer, Lookup, Query, QueryKind};

pub use body::Body;
pub use smtp::client::Protocol;
pub use status::{HOSTS_MAX, HostStatus};
pub use talk::{Gravity, Kind, LINE_BYTES_MAX, TALK_BYTES_MAX, TALK_EVENTS_MAX, Talk};

use policy::Carriage;
use queue::{Batch, BatchId, Outcome};
use std::future::Future;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;

/// A transaction to be carried out.
#[derive(Debug)]
pub struct Job {
    /// Who, to whom, where to.
    pub batch: Batch,
    /// What is spoken, and where.
    pub way: Way,
    /// Most connections to this destination at the same time.
    pub connections_max: u32,
    /// The message.
    pub body: Body,
    /// The form in which the mailer wants it.
    pub carriage: Carriage,
}

/// How a mailer reaches its server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Way {
    /// SMTP to the host of the batch.
    Smtp {
        /// Where the host names none.
        port: u16,
    },
    /// LMTP to the host of the batch.
    LmtpHost {
        /// Where the host names none.
        port: u16,
    },
    /// LMTP to this address.
    Lmtp(SocketAddr),
    /// The server that listens on a Unix socket.
    Unix {
        /// Where.
        path: Box<[u8]>,
        /// What it speaks.
        protocol: Protocol,
    },
}

impl Way {
    /// What is spoken.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        match self {
            Self::Smtp { .. } => Protocol::Smtp,
            Self::LmtpHost { .. } | Self::Lmtp(_) => Protocol::Lmtp,
            Self::Unix { protocol, .. } => *protocol,
        }
    }
}

/// Who opens Unix sockets: no cage of ours can.
pub trait Doors {
    /// A connected, nonblocking socket; or why there is none, in words.
    fn open(&self, path: &[u8]) -> Pin<Box<dyn Future<Output = Result<OwnedFd, Box<str>>> + '_>>;
}

/// What came of a job: each recipient is in one report, whatever happens. Recipients with hosts of their own may be reported
/// apart from the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The batch.
    pub batch: BatchId,
    /// What came of each recipient, by its number within the message.
    pub results: Vec<(u32, Outcome)>,
    /// Whether all of the job are reported with this.
    pub is_last: bool,
    /// What was said meanwhile, on an errand.
    pub talk: Vec<Talk>,
    /// What became known of hosts, where that is kept.
    pub hosts: Vec<HostStatus>,
}
