//! `smtpd`: talks to strangers. Accepts connections and feeds each one's octets to its own session; what the session
//! asks goes to the policy and the queue.
//!
//! A session is one task. A panic in it ends that session with a 421 and a line in the log, and no other.

mod conversation;
mod door;

use crate::cage;
use crate::edge::{PolicyEdge, QueueEdge};
use crate::edges::{Grant, News, Order};
use crate::ids::Ids;
use crate::life::Life;
use crate::link::LinkError;
use crate::log::Log;
use crate::roles::Role;
use crate::start::Inheritance;
use door::{Door, Stream};
use policy::Settings;
use policy::settings::Bounds;
use smtp::server::Terms;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Octets that are read at once; one buffer serves all sessions of the process.
const SCRATCH_BYTES: usize = 64 * 1024;

/// How long sessions may take to their end when the server stops, in tenths of a second.
const FAREWELL_TENTHS: u32 = 80;

/// Sessions at the same time from which on they are a crowd, whose memory is worth giving back.
const CROWD_MIN: u32 = 256;

/// What all sessions share.
struct House {
    terms: RefCell<Arc<Terms>>,
    mailers_mark: Cell<u32>,
    policy: RefCell<Option<PolicyEdge>>,
    queue: RefCell<Option<QueueEdge>>,
    ids: Rc<Ids>,
    log: Log,
    scratch: RefCell<Vec<u8>>,
    sessions: Cell<u32>,
    /// The most sessions at the same time since memory was given back.
    crowd: Cell<u32>,
    clients: RefCell<HashMap<IpAddr, u32>>,
    /// Sessions of each listener.
    doors: RefCell<HashMap<u8, u32>>,
    offset_s: i32,
    is_stopping: Cell<bool>,
    stop: Notify,
}

/// Works until master says stop.
pub(crate) fn run(mut inheritance: Inheritance) -> Result<ExitCode, LinkError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let log = inheritance.log();
    // A cage has no time zone file.
    let offset_s = crate::date::offset_s();
    let weaker = cage::enter(&inheritance)?;
    inheritance.ready(&weaker)?;
    let house = Rc::new(House {
        terms: RefCell::new(terms(&inheritance.settings)),
        mailers_mark: Cell::new(queue::mailers_mark(&inheritance.settings.mailers)),
        policy: RefCell::new(None),
        queue: RefCell::new(None),
        ids: Rc::new(Ids::new(inheritance.index)),
        log,
        scratch: RefCell::new(vec![0; SCRATCH_BYTES]),
        sessions: Cell::new(0),
        crowd: Cell::new(0),
        clients: RefCell::default(),
        doors: RefCell::default(),
        offset_s,
        is_stopping: Cell::new(false),
        stop: Notify::new(),
    });
    tokio::task::LocalSet::new().block_on(&runtime, work(inheritance, house))
}

/// What all sessions share until the next reload.
fn terms(settings: &Settings) -> Arc<Terms> {
    Arc::new(Terms { settings: settings.clone() })
}

async fn work(inheritance: Inheritance, house: Rc<House>) -> Result<ExitCode, LinkError> {
    let (role, index) = (inheritance.role, inheritance.index);
    let mut life = Life::begin(inheritance.life);
    let mut accepting = Vec::new();
    for (grant, descriptor) in inheritance.grants {
        accepting.extend(house.granted(&grant, descriptor)?);
    }
    while let Some((order, descriptor)) = life.order().await {
        match (order, descriptor) {
            (Order::Grant(grant), Some(descriptor)) => {
                accepting.extend(house.granted(&grant, descriptor)?);
            }
            (Order::Settings(settings), _) => {
                house.mailers_mark.set(queue::mailers_mark(&settings.mailers));
                *house.terms.borrow_mut() = terms(&settings);
            }
            (Order::Prove { ticket, with_deeds }, _) => {
                let edges = crate::edges::neighbours(role).collect();
                let proof = cage::prove(role, index, edges, with_deeds);
                life.tell(&News::Proof { ticket, proof });
            }
            (Order::Stop, _) => break,
            (
                Order::Grant(_)
                | Order::Go { .. }
                | Order::Read(_)
                | Order::NoChild { .. }
                | Order::NoSocket { .. }
                | Order::Errand(_)
                | Order::Proofs { .. },
                _,
            ) => {}
        }
    }
    for task in accepting {
        task.abort();
    }
    house.is_stopping.set(true);
    house.stop.notify_waiters();
    for _ in 0..FAREWELL_TENTHS {
        if house.sessions.get() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(ExitCode::SUCCESS)
}

impl House {
    /// Takes what master hands over; for a listener, the task that accepts.
    fn granted(
        self: &Rc<Self>,
        grant: &Grant,
        descriptor: OwnedFd,
    ) -> Result<Option<tokio::task::JoinHandle<()>>, LinkError> {
        match grant {
            Grant::Edge { to: Role::Policy, .. } => {
                *self.policy.borrow_mut() = Some(PolicyEdge::open(descriptor));
            }
            Grant::Edge { to: Role::Queue, .. } => {
                let ids = Rc::clone(&self.ids);
                *self.queue.borrow_mut() = Some(QueueEdge::open(descriptor, ids));
            }
            Grant::Listener(daemon) => {
                let terms = Arc::clone(&self.terms.borrow());
                let listener = terms.settings.listeners.get(usize::from(*daemon));
                let listener = listener.ok_or(LinkError::Garbled("no such listener"))?;
                let door = Door::open(descriptor, &listener.endpoint)?;
                let task = accept(Rc::clone(self), door, *daemon);
                return Ok(Some(tokio::task::spawn_local(task)));
            }
            Grant::Edge { .. }
            | Grant::Child { .. }
            | Grant::Spool
            | Grant::Statistics
            | Grant::ControlSocket
            | Grant::CommandSocket
            | Grant::Configuration { .. }
            | Grant::Log
            | Grant::Socket { .. }
            | Grant::NameServers => {}
        }
        Ok(None)
    }

    /// A session is gone. When most of a crowd is, its memory goes back to the system.
    fn left(&self) {
        let sessions = self.sessions.get().saturating_sub(1);
        self.sessions.set(sessions);
        let crowd = self.crowd.get();
        if crowd >= CROWD_MIN && sessions <= crowd / 4 {
            self.crowd.set(sessions);
            sys::memory::give_back();
        }
    }
}

/// Accepts for ever. Trouble with one connection never stops the next one (CVE-1999-0478).
async fn accept(house: Rc<House>, door: Door, daemon: u8) {
    let mut rate = Rate::default();
    loop {
        match door.accept().await {
            Ok((stream, peer)) => {
                let most = house.terms.borrow().settings.limits.connections_per_s;
                rate.keep(most).await;
                if is_too_busy(&house, daemon) {
                    turn_away(&house, &stream, peer.ip(), TOO_BUSY);
                    continue;
                }
                match Place::take(&house, stream, peer.ip(), daemon) {
                    Ok(place) => {
                        tokio::task::spawn_local(conversation::converse(place, peer));
                    }
                    Err((stream, reply)) => turn_away(&house, &stream, peer.ip(), reply),
                }
            }
            // Out of descriptors, or the client is gone again.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// What a client reads that is turned away at the load of `RefuseLA`.
const TOO_BUSY: &str = "421 4.3.2 Load average is too high; please try again later\r\n";

/// Whether the machine is too busy for one more session (option `RefuseLA`).
fn is_too_busy(house: &House, daemon: u8) -> bool {
    let settings = &house.terms.borrow().settings;
    let most = bounds(settings, daemon).over(&settings.limits).refuse_load;
    most > 0 && sys::load::average() >= most
}

/// What is bounded otherwise for those who come in there.
fn bounds(settings: &Settings, daemon: u8) -> Bounds {
    let listener = settings.listeners.get(usize::from(daemon));
    listener.map(|listener| listener.bounds).unwrap_or_default()
}

/// How many connections came in this second (sendmail's `ConnectionRateThrottle`). Those above wait in the kernel's line, at
/// the cost of one timer; sessions that are there go on.
#[derive(Default)]
struct Rate {
    second: u64,
    count: u32,
}

impl Rate {
    /// Counts one; if that is one too many, waits for the next second first. 0: any number.
    async fn keep(&mut self, most: u32) {
        let now_ms = sys::clock::monotonic_ms();
        let second = now_ms / 1000;
        if second != self.second {
            (self.second, self.count) = (second, 0);
        }
        self.count = self.count.saturating_add(1);
        if most > 0 && self.count > most {
            let left_ms = 1000_u64.saturating_sub(now_ms % 1000);
            tokio::time::sleep(Duration::from_millis(left_ms)).await;
            (self.second, self.count) = (second.saturating_add(1), 1);
        }
    }
}

/// Says why there is no session, as far as the socket takes it at once.
fn turn_away(house: &House, stream: &Stream, peer: IpAddr, reply: &str) {
    stream.try_write(reply.as_bytes()).ok();
    let text = format!("NOQUEUE: connection from [{peer}]: {}", reply.trim_end());
    house.log.line(crate::log::Severity::Notice, None, text.as_bytes());
}

/// The place of one session: counted while it lasts, however it ends.
struct Place {
    house: Rc<House>,
    stream: Stream,
    client: IpAddr,
    /// The listener's number.
    daemon: u8,
}

impl Place {
    /// A place, if there is one; else the connection and the reply.
    fn take(
        house: &Rc<House>,
        stream: Stream,
        client: IpAddr,
        daemon: u8,
    ) -> Result<Self, (Stream, &'static str)> {
        let terms = Arc::clone(&house.terms.borrow());
        let limits = &terms.settings.limits;
        let children = bounds(&terms.settings, daemon).sessions_max;
        let mut doors = house.doors.borrow_mut();
        let here = doors.entry(daemon).or_insert(0);
        if children.is_some_and(|most| *here >= most) {
            return Err((stream, "421 4.3.2 Too many open connections.\r\n"));
        }
        // The listener is shared by processes that each have their part of the sessions.
        if house.sessions.get() >= limits.sessions_max {
            return Err((stream, "421 4.3.2 Too many open connections.\r\n"));
        }
        let mut clients = house.clients.borrow_mut();
        let count = clients.entry(client).or_insert(0);
        if *count >= limits.sessions_per_client_max {
            return Err((stream, "421 4.4.5 Too many SMTP sessions for this host\r\n"));
        }
        *count = count.saturating_add(1);
        *here = here.saturating_add(1);
        house.sessions.set(house.sessions.get().saturating_add(1));
        house.crowd.set(house.crowd.get().max(house.sessions.get()));
        drop(clients);
        Ok(Self { house: Rc::clone(house), stream, client, daemon })
    }

    fn bounds(&self) -> Bounds {
        bounds(&self.house.terms.borrow().settings, self.daemon)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.stream.try_write(b"421 4.3.0 Internal error, closing connection\r\n").ok();
            let text = format!("a bug ended the session of [{}]", self.client);
            self.house.log.line(crate::log::Severity::Critical, None, text.as_bytes());
        }
        self.house.left();
        if let Some(here) = self.house.doors.borrow_mut().get_mut(&self.daemon) {
            *here = here.saturating_sub(1);
        }
        let mut clients = self.house.clients.borrow_mut();
        if let Some(count) = clients.get_mut(&self.client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                clients.remove(&self.client);
            }
        }
    }
}
