//! Connections and log lines for the policy's maps (classes `socket`, `ldap`, `syslog`): its cage makes no sockets.
//!
//! Names are asked of the resolver, as always; the socket is made by master, who looks whether a map of the configuration
//! has its server there; the waiting is done here, by the thread whose question it is.

use crate::edges::{News, SocketPlace};
use crate::link::{Link, LinkError};
use crate::log::Severity;
use crate::map_notes::MapNotes;
use crate::name_service::NameService;
use maps::door::{Porter, Server, addresses};
use policy::settings::MapServer;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// hosts(5).
const HOSTS: &str = "/etc/hosts";

/// Connections that may be asked for at the same time; more are "not now".
const OPEN_MAX: usize = 256;

/// Servers and files that the maps of one configuration may have.
const SERVERS_MAX: usize = 256;

/// How long master may take to open a file.
const FILE_WAIT: Duration = Duration::from_secs(10);

/// What came of a request.
type Came = Result<OwnedFd, Box<str>>;

/// See the module.
#[derive(Debug)]
pub(crate) struct MapPorter {
    names: Arc<NameService>,
    notes: Arc<MapNotes>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Our words to master.
    master: Option<Link>,
    servers: Vec<MapServer>,
    ticket: u32,
    waiting: HashMap<u32, SyncSender<Came>>,
}

impl MapPorter {
    /// Asks these.
    pub(crate) fn new(names: Arc<NameService>, notes: Arc<MapNotes>) -> Self {
        Self { names, notes, state: Mutex::default() }
    }

    /// Who asks name servers.
    pub(crate) const fn names(&self) -> &Arc<NameService> {
        &self.names
    }

    /// The servers that were announced so far.
    pub(crate) fn servers(&self) -> Vec<MapServer> {
        self.state().servers.clone()
    }

    /// From now on whatever is said to master goes this way, so that frames of two threads do not mix.
    ///
    /// # Errors
    /// The descriptor can't be doubled.
    pub(crate) fn begin(&self, master: &impl AsFd) -> Result<(), LinkError> {
        self.state().master = Some(Link::new(master.as_fd().try_clone_to_owned()?));
        Ok(())
    }

    /// Says something to master.
    ///
    /// # Errors
    /// Master is gone.
    pub(crate) fn tell(&self, news: &News) -> Result<(), LinkError> {
        let mut state = self.state();
        let master = state.master.as_mut().ok_or(LinkError::Closed)?;
        master.send(news, &[])?;
        while !master.flush()? {
            sys::poll::writable(&*master)?;
        }
        Ok(())
    }

    /// Master answered a request.
    pub(crate) fn came(&self, ticket: u32, came: Came) {
        if let Some(waiting) = self.state().waiting.remove(&ticket) {
            // Who asked may have lost patience.
            drop(waiting.try_send(came));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whoever died with the lock left a whole table: entries come and go in one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what was announced, for the settings.
    fn know(&self, known: MapServer) {
        let mut state = self.state();
        if state.servers.len() < SERVERS_MAX && !state.servers.contains(&known) {
            state.servers.push(known);
        }
    }

    /// Asks master for a socket and waits until it is connected, or for a file.
    fn open(&self, place: SocketPlace, wait: Duration) -> io::Result<OwnedFd> {
        let begun = Instant::now();
        let (sender, receiver) = sync_channel(1);
        let ticket = {
            let mut state = self.state();
            if state.waiting.len() >= OPEN_MAX {
                return Err(io::ErrorKind::ResourceBusy.into());
            }
            state.ticket = state.ticket.wrapping_add(1);
            let ticket = state.ticket;
            state.waiting.insert(ticket, sender);
            ticket
        };
        let is_file = matches!(place, SocketPlace::File(_));
        let asked = self.tell(&News::SocketWanted { ticket, place });
        let came = asked
            .map_err(io::Error::other)
            .and_then(|()| receiver.recv_timeout(wait).map_err(|_| io::ErrorKind::TimedOut.into()));
        self.state().waiting.remove(&ticket);
        let socket = came?.map_err(|why| io::Error::other(String::from(why)))?;
        if is_file {
            return Ok(socket);
        }
        let left_ms = wait.saturating_sub(begun.elapsed()).as_millis();
        sys::socket::finished(socket, u64::try_from(left_ms).unwrap_or(u64::MAX))
    }
}

impl Porter for MapPorter {
    fn announce(&self, server: &Server) {
        let known = match server {
            Server::Local(path) => MapServer::Unix(path.as_os_str().as_bytes().into()),
            Server::Inet(_, port) => MapServer::Port(*port),
        };
        self.know(known);
    }

    fn announce_file(&self, path: &Path) {
        self.know(MapServer::File(path.as_os_str().as_bytes().into()));
    }

    fn open(&self, path: &Path) -> io::Result<OwnedFd> {
        self.open(SocketPlace::File(path.as_os_str().as_bytes().into()), FILE_WAIT)
    }

    fn connect(&self, server: &Server, deadline: Instant) -> io::Result<OwnedFd> {
        let places = match server {
            Server::Local(path) => vec![SocketPlace::Path(path.as_os_str().as_bytes().into())],
            Server::Inet(host, port) => addresses(host, *port, Path::new(HOSTS), &*self.names)
                .into_iter()
                .map(SocketPlace::Address)
                .collect(),
        };
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        let mut others = places.len();
        for place in places {
            // An address that swallows packets leaves time for the next one.
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left.checked_div(u32::try_from(others).unwrap_or(1)).unwrap_or(left);
            others = others.saturating_sub(1);
            match self.open(place, share) {
                Ok(socket) => return Ok(socket),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn log(&self, severity: u8, line: &[u8]) {
        self.notes.write(Severity::of(severity), line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_asked_before_master_is_there() {
        let porter = MapPorter::new(Arc::default(), Arc::default());
        let server = Server::Inet("127.0.0.1".to_owned(), 389);
        assert!(Porter::open(&porter, Path::new("/etc/passwd")).is_err());
        porter.announce(&server);
        porter.announce(&server);
        assert_eq!(porter.servers(), [MapServer::Port(389)]);
        let deadline = Instant::now().checked_add(Duration::from_secs(5)).unwrap();
        assert!(porter.connect(&server, deadline).is_err());
        assert!(porter.state().waiting.is_empty());
    }
}
