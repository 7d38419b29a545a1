//! The way to the servers that maps ask (classes `socket` and `ldap`).
//!
//! A command connects by itself. The server's policy is in a cage in which sockets can't be made: there a [`Porter`]
//! brings connections, to what the maps announced before the cage was closed and to nothing else.

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::dns::{Asker, Data, Kind};

/// Addresses of one host that are tried.
const ADDRESSES_MAX: usize = 8;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Server {
    /// A Unix socket.
    Local(PathBuf),
    /// A host, by name or address, and its port.
    Inet(String, u16),
}

/// Does for maps what their own process may not.
pub trait Porter: Debug + Send + Sync {
    /// A map was opened that will ask this server.
    fn announce(&self, server: &Server);

    /// A connection, in blocking mode, to a server that was announced.
    ///
    /// # Errors
    /// Nobody answers there, or not before the deadline.
    fn connect(&self, server: &Server, deadline: Instant) -> io::Result<OwnedFd>;

    /// A map was opened that reads this file.
    fn announce_file(&self, path: &Path);

    /// Opens a file that was announced, for reading, where this process may not.
    ///
    /// # Errors
    /// It is not there, or no plain file.
    fn open(&self, path: &Path) -> io::Result<OwnedFd>;

    /// Puts a line into the log; `severity` as syslog(3) numbers them.
    fn log(&self, severity: u8, line: &[u8]);
}

/// What a map holds to reach its servers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Door {
    porter: Option<Arc<dyn Porter>>,
}

impl Door {
    pub(crate) const fn by(porter: Option<Arc<dyn Porter>>) -> Self {
        Self { porter }
    }

    /// Whether others do for us what our cage forbids.
    pub(crate) const fn is_caged(&self) -> bool {
        self.porter.is_some()
    }

    /// Says that this server will be asked.
    pub(crate) fn announce(&self, server: &Server) {
        if let Some(porter) = &self.porter {
            porter.announce(server);
        }
    }

    /// Opens a map's file. One that root alone may read (Debian has alias files of mode 0640) was open to us when we began;
    /// when it changes, the porter opens it.
    pub(crate) fn file(&self, path: &Path) -> io::Result<File> {
        let opened = File::open(path);
        let Some(porter) = &self.porter else { return opened };
        match opened {
            Ok(file) => {
                porter.announce_file(path);
                Ok(file)
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Ok(porter.open(path)?.into())
            }
            Err(error) => Err(error),
        }
    }

    /// Connects; each address of a host gets at most `each_max`.
    pub(crate) fn connect(
        &self,
        server: &Server,
        each_max: Duration,
        deadline: Instant,
    ) -> io::Result<Box<dyn Stream>> {
        if let Some(porter) = &self.porter {
            let until =
                Instant::now().checked_add(each_max).map_or(deadline, |at| at.min(deadline));
            let socket = porter.connect(server, until)?;
            return Ok(match server {
                Server::Local(_) => Box::new(UnixStream::from(socket)),
                Server::Inet(..) => Box::new(quick(TcpStream::from(socket))),
            });
        }
        match server {
            Server::Local(path) => Ok(Box::new(UnixStream::connect(path)?)),
            Server::Inet(host, port) => {
                let mut last = io::Error::from(io::ErrorKind::NotFound);
                for address in (host.as_str(), *port).to_socket_addrs()?.take(ADDRESSES_MAX) {
                    match TcpStream::connect_timeout(&address, left(deadline)?.min(each_max)) {
                        Ok(stream) => return Ok(Box::new(quick(stream))),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }

    /// Puts a line into the system's log.
    pub(crate) fn log(&self, severity: u8, line: &[u8]) {
        match &self.porter {
            Some(porter) => porter.log(severity, line),
            None => crate::syslog::send(severity, line),
        }
    }
}

/// A connection whose reads and writes end.
pub(crate) trait Stream: Read + Write + Send {
    /// How long each of them may take from now on.
    fn limit(&self, time: Duration) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn limit(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))?;
        self.set_write_timeout(Some(time))
    }
}

impl Stream for UnixStream {
    fn limit(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))?;
        self.set_write_timeout(Some(time))
    }
}

/// What is left until the deadline.
pub(crate) fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn quick(stream: TcpStream) -> TcpStream {
    // A question is one small packet.
    stream.set_nodelay(true).ok();
    stream
}

/// The addresses of a host: itself an address, by hosts(5), else by name servers; at most eight.
pub fn addresses(host: &str, port: u16, hosts: &Path, asker: &dyn Asker) -> Vec<SocketAddr> {
    let mut found: Vec<IpAddr> = host.parse().ok().into_iter().collect();
    if found.is_empty() {
        found = crate::host::addresses_in_file(hosts, host.as_bytes());
    }
    if found.is_empty() {
        for kind in [Kind::A, Kind::AAAA] {
            let records = asker.ask(host.as_bytes(), kind).map(|answer| answer.records);
            found.extend(records.unwrap_or_default().into_iter().filter_map(|record| {
                if let Data::Address(address) = record.data { Some(address) } else { None }
            }));
        }
    }
    found.truncate(ADDRESSES_MAX);
    found.into_iter().map(|address| SocketAddr::new(address, port)).collect()
}
