//! `relay`: carries what the queue hands it to other servers.

use crate::cage;
use crate::edges::{
    Asked, FromRelay, Grant, Head, News, Order, Resolved, SocketPlace, ToRelay, Tried,
};
use crate::life::Life;
use crate::link::LinkError;
use crate::port::Port;
use crate::roles::Role;
use crate::start::Inheritance;
use policy::{Carriage, LmtpPlace, Settings, Transport};
use queue::Batch;
use relay::{Answer, Body, Doors, Job, Lookup, Ourselves, Protocol, Query, Relay, Report, Way};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long transactions may take to their end when the server stops, in hundredths of a second.
const FAREWELL_HUNDREDTHS: u32 = 800;

/// Works until master says stop.
pub(crate) fn run(mut inheritance: Inheritance) -> Result<ExitCode, LinkError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let weaker = cage::enter(&inheritance)?;
    inheritance.ready(&weaker)?;
    tokio::task::LocalSet::new().block_on(&runtime, work(inheritance))
}

/// What the role's edges end in.
struct House {
    relay: Relay,
    names: Rc<Names>,
    sockets: Rc<Sockets>,
    queue: Rc<RefCell<Option<Port>>>,
    settings: Rc<RefCell<Settings>>,
}

impl House {
    fn new(settings: Settings, master: Port) -> Self {
        let names = Rc::new(Names::default());
        let queue: Rc<RefCell<Option<Port>>> = Rc::default();
        let reports = Rc::clone(&queue);
        let report = Rc::new(move |report: Report| {
            if let Some(port) = &*reports.borrow() {
                let Report { batch, results, is_last, talk, hosts } = report;
                let tried = FromRelay::Tried(Tried { batch, results, is_last, talk, hosts });
                // A queue that died asks its successor to try again.
                drop(port.send(&tried, &[]));
            }
        });
        let lookup = Rc::<Names>::clone(&names);
        let sockets = Rc::new(Sockets::new(master));
        let doors = Rc::<Sockets>::clone(&sockets);
        let relay = Relay::new(&settings, ourselves(&settings), lookup, doors, report);
        Self { relay, names, sockets, queue, settings: Rc::new(RefCell::new(settings)) }
    }

    fn granted(&self, grant: &Grant, descriptor: OwnedFd) {
        match grant {
            Grant::Edge { to: Role::Queue, .. } => {
                let port = carry_for(descriptor, &self.relay, &self.settings);
                *self.queue.borrow_mut() = Some(port);
            }
            Grant::Edge { to: Role::Resolver, .. } => self.names.connect(descriptor),
            Grant::Socket { ticket } => self.sockets.came(*ticket, Ok(descriptor)),
            Grant::Edge { .. }
            | Grant::Listener(_)
            | Grant::Child { .. }
            | Grant::Spool
            | Grant::Statistics
            | Grant::ControlSocket
            | Grant::CommandSocket
            | Grant::Configuration { .. }
            | Grant::Log
            | Grant::NameServers => {}
        }
    }
}

async fn work(inheritance: Inheritance) -> Result<ExitCode, LinkError> {
    let (role, index) = (inheritance.role, inheritance.index);
    let mut life = Life::begin(inheritance.life);
    let house = House::new(inheritance.settings, life.port());
    if inheritance.errand.is_some() {
        house.relay.go_on_errand();
    }
    for (grant, descriptor) in inheritance.grants {
        house.granted(&grant, descriptor);
    }
    while let Some((order, descriptor)) = life.order().await {
        match (order, descriptor) {
            (Order::Grant(grant), Some(descriptor)) => house.granted(&grant, descriptor),
            (Order::Settings(newer), _) => {
                house.relay.configure(&newer, ourselves(&newer));
                *house.settings.borrow_mut() = *newer;
            }
            (Order::Prove { ticket, with_deeds }, _) => {
                let edges = crate::edges::neighbours(role).collect();
                let proof = cage::prove(role, index, edges, with_deeds);
                life.tell(&News::Proof { ticket, proof });
            }
            (Order::NoSocket { ticket, why }, _) => house.sockets.came(ticket, Err(why)),
            (Order::Stop, _) => break,
            (
                Order::Grant(_)
                | Order::Go { .. }
                | Order::Read(_)
                | Order::NoChild { .. }
                | Order::Errand(_)
                | Order::Proofs { .. },
                _,
            ) => {}
        }
    }
    house.relay.close();
    for _ in 0..FAREWELL_HUNDREDTHS {
        // Connections say QUIT in their own time.
        tokio::task::yield_now().await;
        if house.relay.is_idle() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(ExitCode::SUCCESS)
}

/// Who we are, for the rules against sending to ourselves.
fn ourselves(settings: &Settings) -> Ourselves {
    let addresses: Vec<IpAddr> =
        settings.listeners.iter().filter_map(|listener| listener.endpoint.ip()).collect();
    Ourselves { names: Vec::new(), addresses, trusted: settings.trusted_next_hops.clone() }
}

/// Takes the queue's tries to the relay.
fn carry_for(descriptor: OwnedFd, relay: &Relay, settings: &Rc<RefCell<Settings>>) -> Port {
    let port = Port::new(descriptor);
    let (reader, relay, settings) = (port.clone(), relay.clone(), Rc::clone(settings));
    let answers = port.clone();
    tokio::task::spawn_local(async move {
        let result = reader.run(|link| {
            while let Some((wish, tail)) = link.receive::<ToRelay>()? {
                let wish = match wish {
                    ToRelay::Try(wish) => wish,
                    ToRelay::Hosts(before) => {
                        relay.learn(before);
                        continue;
                    }
                    ToRelay::Part => {
                        let port = answers.clone();
                        relay.part(Box::new(move |talk| {
                            // A queue that died needs no answer.
                            drop(port.send(&FromRelay::Parted(talk), &[]));
                        }));
                        continue;
                    }
                };
                let body = match wish.large_bytes {
                    None => Body::Bytes(tail.to_vec().into()),
                    Some(size) => {
                        let file = Rc::new(link.descriptor()?.into());
                        let Head { header, text_at: start } = wish.head.unwrap_or_default();
                        let size = size.saturating_sub(start);
                        Body::File { head: header.into(), file, start, size }
                    }
                };
                let mailers = &settings.borrow().mailers;
                let mailer = mailers.get(usize::from(wish.batch.mailer.0));
                let way = mailer.and_then(|mailer| way(&mailer.transport));
                let Some(way) = way else {
                    return Err(LinkError::Garbled("no mailer of ours"));
                };
                let connections_max = mailer.map_or(1, |mailer| mailer.concurrency_max);
                let carriage = mailer.map(|mailer| mailer.carriage.clone()).unwrap_or_default();
                let mut batch = wish.batch;
                name_hosts(&mut batch, &carriage);
                relay.submit(Job { batch, way, connections_max, body, carriage });
            }
            Ok(())
        });
        // The queue is gone: what is out ends by itself, and its successor tries again.
        drop(result.await);
    });
    port
}

/// How the server of a mailer is reached; none, if it is no business of ours.
fn way(transport: &Transport) -> Option<Way> {
    Some(match transport {
        Transport::Smtp { port } => Way::Smtp { port: *port },
        Transport::SmtpUnix(path) => Way::Unix { path: path.clone(), protocol: Protocol::Smtp },
        Transport::Lmtp(LmtpPlace::Tcp(address)) => Way::Lmtp(*address),
        Transport::Lmtp(LmtpPlace::Unix(path)) => {
            Way::Unix { path: path.clone(), protocol: Protocol::Lmtp }
        }
        Transport::Lmtp(LmtpPlace::Host { port }) => Way::LmtpHost { port: *port },
        Transport::Maildir(_)
        | Transport::Mbox(_)
        | Transport::Program(_)
        | Transport::Waits { .. }
        | Transport::Discard
        | Transport::Error => return None,
    })
}

/// Puts the hosts that the mailer connects to (`A=TCP HOST`) in place of those of the routes.
fn name_hosts(batch: &mut Batch, carriage: &Carriage) {
    if carriage.host.is_empty() {
        return;
    }
    let host = carriage.host_for(&batch.host);
    for one in batch.recipients.iter_mut().filter(|one| !one.host.is_empty()) {
        let own = carriage.host_for(&one.host);
        one.host = if own == host { Box::default() } else { own };
    }
    batch.host = host;
}

/// A connected socket, or why there is none.
type Opened = Result<OwnedFd, Box<str>>;

/// Connections that master makes: this cage can open no path.
struct Sockets {
    master: Port,
    waiting: RefCell<HashMap<u32, oneshot::Sender<Opened>>>,
    next_ticket: Cell<u32>,
}

impl Sockets {
    fn new(master: Port) -> Self {
        Self { master, waiting: RefCell::default(), next_ticket: Cell::new(0) }
    }

    fn came(&self, ticket: u32, socket: Opened) {
        if let Some(asker) = self.waiting.borrow_mut().remove(&ticket) {
            // Who asked may have given up.
            drop(asker.send(socket));
        }
    }
}

impl Doors for Sockets {
    fn open(&self, path: &[u8]) -> Pin<Box<dyn Future<Output = Opened> + '_>> {
        let ticket = self.next_ticket.get().wrapping_add(1);
        self.next_ticket.set(ticket);
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().insert(ticket, sender);
        let asked = self
            .master
            .send(&News::SocketWanted { ticket, place: SocketPlace::Path(path.into()) }, &[]);
        Box::pin(async move {
            let gone = || Box::from("master is not there");
            if asked.is_err() {
                self.waiting.borrow_mut().remove(&ticket);
                return Err(gone());
            }
            receiver.await.unwrap_or_else(|_| Err(gone()))
        })
    }
}

/// The edge to the resolver.
#[derive(Default)]
struct Names {
    port: RefCell<Option<Port>>,
    waiting: Rc<RefCell<HashMap<u32, oneshot::Sender<Answer>>>>,
    next_ticket: Cell<u32>,
}

impl Names {
    fn connect(&self, descriptor: OwnedFd) {
        let port = Port::new(descriptor);
        *self.port.borrow_mut() = Some(port.clone());
        self.waiting.borrow_mut().clear();
        let waiting = Rc::clone(&self.waiting);
        tokio::task::spawn_local(async move {
            let result = port.run(|link| {
                while let Some((resolved, _)) = link.receive::<Resolved>()? {
                    let asker = waiting.borrow_mut().remove(&resolved.ticket);
                    if let Some(asker) = asker {
                        // Who asked may have given up.
                        drop(asker.send(resolved.answer));
                    }
                }
                Ok(())
            });
            drop(result.await);
            waiting.borrow_mut().clear();
        });
    }

    async fn ask(&self, query: Query) -> Option<Answer> {
        let ticket = self.next_ticket.get().wrapping_add(1);
        self.next_ticket.set(ticket);
        let (sender, receiver) = oneshot::channel();
        let port = self.port.borrow().clone()?;
        port.send(&Asked { ticket, query }, &[]).ok()?;
        self.waiting.borrow_mut().insert(ticket, sender);
        receiver.await.ok()
    }
}

impl Lookup for Names {
    fn lookup(&self, query: Query) -> Pin<Box<dyn Future<Output = Answer> + '_>> {
        Box::pin(async move {
            let answer = self.ask(query).await;
            answer.unwrap_or(Answer::Temporary)
        })
    }
}
