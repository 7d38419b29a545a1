//! What the roles need to know before any question is asked. Made by the policy, sent to master and
//! from there to each role as a frame; every field has a safe default.

use crate::Mailer;
use alloc::{boxed::Box, vec, vec::Vec};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use serde::{Deserialize, Serialize};

mod calling;
mod eight_bit;
mod limits;
mod listener;
mod manners;
mod reports;
mod timeouts;
mod weights;

pub use calling::{Calling, Source};
pub use eight_bit::{EightBit, EightBitMode, Passage};
pub use limits::{BODY_INLINE_BYTES_MAX, DRESSED_BYTES_MAX, FRAME_BYTES_MAX, Limits};
pub use listener::{Bounds, Endpoint, Listener, NoEndpoint};
pub use manners::{Manners, Modifiers, Offers, Privacy, Questions, Quirks};
pub use reports::{Reports, ReturnPolicy};
pub use timeouts::{Ages, Retry, Timeouts};
pub use weights::Weights;

/// Everything that is decided once a configuration.
#[expect(clippy::struct_excessive_bools, reason = "each is a claim of its own")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Our own name, in the greeting, in Received fields and in EHLO (`$j`).
    pub host_name: Box<[u8]>,
    /// The text after `220 host ESMTP `; no version unless the owner wants it.
    pub greeting: Box<[u8]>,
    /// Where to listen, in order; `Facts::daemon` is an index.
    pub listeners: Vec<Listener>,
    /// Who carries mail; a `MailerId` is an index.
    pub mailers: Vec<Mailer>,
    /// Networks in which bare CR or LF is read as a line end, not refused.
    pub normalized_networks: Vec<Network>,
    /// Whether DSN (RFC 3461) is offered.
    pub offers_dsn: bool,
    /// Whether EXPN and VRFY answer: they are asked of the policy; if not, one uniform reply.
    pub answers_vrfy: bool,
    /// See `answers_vrfy`.
    pub answers_expn: bool,
    /// Whether messages are stored as they came, and the policy is asked for header and addresses before each try
    /// ([`crate::Policy::dress`]).
    pub dresses_mail: bool,
    /// How the server behaves towards those who talk to it.
    pub manners: Manners,
    /// How we behave as a client.
    pub calling: Calling,
    /// What becomes of octets above 127.
    pub eight_bit: EightBit,
    /// Bounds on everything.
    pub limits: Limits,
    /// How long is waited.
    pub timeouts: Timeouts,
    /// When a new message is tried first.
    pub delivery_mode: DeliveryMode,
    /// When a delivery is tried again, and when it is given up.
    pub retry: Retry,
    /// What makes a message more urgent than another.
    pub weights: Weights,
    /// Files and folders.
    pub paths: Paths,
    /// What is logged, and where.
    pub logging: Logging,
    /// Address of double bounces; empty: dropped (and logged).
    pub postmaster: Box<[u8]>,
    /// What our reports look like, and who gets them besides the sender.
    pub reports: Reports,
    /// System users (below 1000, root among them) whose mail may be delivered as them.
    pub system_recipients: Vec<Box<[u8]>>,
    /// Whether that is so of all of them.
    pub takes_system_users: bool,
    /// User and group of programs that are run for nobody's sake (sendmail's `DefaultUser`); `None`: one of our own.
    pub default_ids: Option<(u32, u32)>,
    /// The name servers that are asked; empty: those of the system.
    pub name_servers: Vec<SocketAddr>,
    /// Addresses as next hop that DNS must not lead to unless they are here.
    pub trusted_next_hops: Vec<IpAddr>,
    /// Servers that maps ask: the policy gets connections to these.
    pub map_servers: Vec<MapServer>,
}

/// When a new message is tried first (sendmail's option `DeliveryMode`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryMode {
    /// At once, and who handed it in does not wait.
    #[default]
    Background,
    /// At once; a command waits for what comes of it.
    Interactive,
    /// By the next queue run.
    Queue,
    /// By the next queue run, and nothing is looked up before.
    Defer,
}

impl DeliveryMode {
    /// Whether new messages stay in the queue until a run.
    #[must_use]
    pub const fn only_queues(self) -> bool {
        matches!(self, Self::Queue | Self::Defer)
    }
}

/// A network: an address and how many of its leading bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The address.
    pub address: IpAddr,
    /// Leading bits that count.
    pub prefix_bits: u8,
}

impl Network {
    /// Whether the address is inside. An IPv4 address in IPv6 clothes counts as IPv4.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        let (ours, theirs, width) = match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                (u128::from(u32::from(ours)), u128::from(u32::from(theirs)), 32_u32)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => (u128::from(ours), u128::from(theirs), 128),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
        };
        let dropped = width.saturating_sub(u32::from(self.prefix_bits));
        ours.checked_shr(dropped).unwrap_or(0) == theirs.checked_shr(dropped).unwrap_or(0)
    }
}

/// Files and folders, all absolute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paths {
    /// The spool's folder.
    pub spool: Box<[u8]>,
    /// The control socket and the drop folder's parent.
    pub run: Box<[u8]>,
    /// Files and folders that the policy reads (aliases, maps), for its cage.
    pub read: Vec<Box<[u8]>>,
    /// Where a daemon of sendmail's command line writes its process id; empty: nowhere.
    pub pid_file: Box<[u8]>,
    /// Where messages are counted (`StatusFile`), if the file is there; empty: nowhere.
    pub statistics: Box<[u8]>,
    /// Where sendmail's control commands are heard (`ControlSocketName`); empty: nowhere.
    pub command_socket: Box<[u8]>,
}

/// What a map of the configuration needs of master: a server that it asks, or its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MapServer {
    /// It listens on this Unix socket.
    Unix(Box<[u8]>),
    /// It listens on this TCP port, on whatever host the configuration's name stands for at the time.
    Port(u16),
    /// Its file, which nobody but root may be able to read.
    File(Box<[u8]>),
}

/// What is logged, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// Where lines go.
    pub to: LogTo,
    /// sendmail's `LogLevel`.
    pub level: u8,
    /// JSON instead of sendmail's lines.
    pub is_json: bool,
}

/// Where log lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogTo {
    /// The system's log socket, facility mail (RFC 3164).
    Syslog,
    /// Standard output, a line each.
    Stdout,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            host_name: b"localhost"[..].into(),
            greeting: b"Ironpost"[..].into(),
            listeners: vec![Listener::plain(Endpoint::Tcp((Ipv4Addr::LOCALHOST, 2525).into()))],
            mailers: Vec::new(),
            normalized_networks: Vec::new(),
            offers_dsn: true,
            answers_vrfy: false,
            answers_expn: false,
            dresses_mail: false,
            manners: Manners::default(),
            calling: Calling::default(),
            eight_bit: EightBit::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            delivery_mode: DeliveryMode::default(),
            retry: Retry::default(),
            weights: Weights::default(),
            paths: Paths {
                spool: b"/var/spool/ironpost"[..].into(),
                run: b"/run/ironpost"[..].into(),
                read: Vec::new(),
                pid_file: Box::default(),
                statistics: Box::default(),
                command_socket: Box::default(),
            },
            logging: Logging { to: LogTo::Stdout, level: 9, is_json: false },
            postmaster: b"postmaster"[..].into(),
            reports: Reports::default(),
            system_recipients: Vec::new(),
            takes_system_users: false,
            default_ids: None,
            name_servers: Vec::new(),
            trusted_next_hops: Vec::new(),
            map_servers: Vec::new(),
        }
    }
}
