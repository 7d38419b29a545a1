//! Places to listen, and what each of them does otherwise than the others (sendmail's `DaemonPortOptions`).

use super::{DeliveryMode, Limits, Modifiers};
use alloc::boxed::Box;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// Octets of a socket's path: what a Unix address has room for.
const PATH_BYTES_MAX: usize = 107;

/// Where clients connect to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Endpoint {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket of this path; who comes through it is of this host.
    Unix(Box<[u8]>),
}

/// A text is neither `ADDRESS:PORT` nor `unix:/PATH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoEndpoint;

impl Endpoint {
    /// A Unix socket. `None`: the path does not begin at the root, or is longer than a socket's may be.
    #[must_use]
    pub fn unix(path: &[u8]) -> Option<Self> {
        let fits = path.starts_with(b"/") && path.len() <= PATH_BYTES_MAX && !path.contains(&0);
        fits.then(|| Self::Unix(path.into()))
    }

    /// The address, if it has one.
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip()),
            Self::Unix(_) => None,
        }
    }

    /// Whom a connection through a Unix socket counts as: this host.
    pub const THIS_HOST: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
}

impl FromStr for Endpoint {
    type Err = NoEndpoint;

    /// Reads `ADDRESS:PORT` or `unix:/PATH`.
    fn from_str(text: &str) -> Result<Self, NoEndpoint> {
        match text.strip_prefix("unix:") {
            Some(path) => Self::unix(path.as_bytes()).ok_or(NoEndpoint),
            None => text.parse().map(Self::Tcp).map_err(|_| NoEndpoint),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.escape_ascii()),
        }
    }
}

/// A place to listen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Its name in the log (`daemon=`).
    pub name: Box<[u8]>,
    /// Whether missing Date, Message-Id and From are added (RFC 6409).
    pub is_submission: bool,
    /// What it does otherwise than the others.
    pub modifiers: Modifiers,
    /// Its own bounds; each that is `None` is that of the settings.
    pub bounds: Bounds,
}

impl Listener {
    /// One with nothing of its own.
    #[must_use]
    pub fn plain(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            name: b"MTA"[..].into(),
            is_submission: false,
            modifiers: Modifiers::NONE,
            bounds: Bounds::default(),
        }
    }

    /// Leaves its port to clients of this host.
    pub fn stay_here(&mut self) {
        if let Endpoint::Tcp(address) = &mut self.endpoint {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
    }
}

/// What of the limits is different for the clients of one listener; 0 where a limit is off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Sessions at the same time in one process (`children=`).
    pub sessions_max: Option<u32>,
    /// The load from which on connections are turned away (`refuseLA=`).
    pub refuse_load: Option<u32>,
    /// The load above which each command waits a second (`delayLA=`).
    pub delay_load: Option<u32>,
    /// The load from which on messages wait for a run of the queue (`queueLA=`).
    pub queue_load: Option<u32>,
    /// When a new message is tried first (`DeliveryMode=`).
    pub delivery_mode: Option<DeliveryMode>,
    /// Connections that wait to be accepted (`Listen=`); taken into account when the socket is opened.
    pub backlog: Option<u16>,
}

impl Bounds {
    /// The limits of all, with these in their places.
    #[must_use]
    pub fn over(&self, limits: &Limits) -> Limits {
        Limits {
            refuse_load: self.refuse_load.unwrap_or(limits.refuse_load),
            delay_load: self.delay_load.unwrap_or(limits.delay_load),
            queue_load: self.queue_load.unwrap_or(limits.queue_load),
            ..*limits
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;

    #[test]
    fn an_endpoint_is_an_address_with_a_port_or_a_path_from_the_root() {
        for text in ["127.0.0.1:25", "[::1]:587", "unix:/run/mail/in"] {
            assert_eq!(text.parse::<Endpoint>().map(|found| found.to_string()), Ok(text.into()));
        }
        let long = ["unix:/", &"x".repeat(PATH_BYTES_MAX)].concat();
        for text in ["127.0.0.1", "unix:run/in", "unix:", "", "unix:/a\0b", &long] {
            assert_eq!(text.parse::<Endpoint>(), Err(NoEndpoint), "{text}");
        }
    }

    #[test]
    fn a_listener_that_stays_here_keeps_its_family_and_its_port() {
        for (from, to) in [("192.0.2.1:25", "127.0.0.1:25"), ("[::]:587", "[::1]:587")] {
            let mut listener = Listener::plain(from.parse().unwrap());
            listener.stay_here();
            assert_eq!(listener.endpoint.to_string(), to);
        }
    }

    #[test]
    fn what_a_listener_bounds_itself_stands_before_the_limits_of_all() {
        let limits = Limits { refuse_load: 10, delay_load: 5, ..Limits::default() };
        let own = Bounds { refuse_load: Some(3), ..Bounds::default() }.over(&limits);
        assert_eq!((own.refuse_load, own.delay_load), (3, 5));
    }
}
