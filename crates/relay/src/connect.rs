//! Connections to the addresses of a destination, in order, both families raced (RFC 8305).
//!
//! An address is tried when the one before it has failed or, within one host, when the one before it
//! has not answered within a quarter of a second: so a broken IPv6 costs that quarter and not a
//! timeout. Hosts keep their order: an exchanger is tried only when all addresses of
//! the better ones have failed.
//!
//! An address that failed is remembered for a short time and goes to the end of its host's addresses;
//! it is never left out, so a server that is back is found at once.

use crate::mx::Hop;
use crate::resolve::{Answer, Lookup, Query, QueryKind, Records};
use policy::settings::Source;
use queue::{Status, Trouble};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;

/// The head start of one address of a host over the next (RFC 8305, 8: Connection Attempt Delay).
const HEAD_START: Duration = Duration::from_millis(250);

/// How long a failure is remembered.
const MEMORY: Duration = Duration::from_mins(1);

/// So many failures are remembered; when there are more, all are forgotten.
const REMEMBERED_MAX: usize = 4096;

/// How long all tries together may take, in connect timeouts.
const TIMEOUTS_MAX: u32 = 5;

/// Addresses that failed a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Failures(RefCell<HashMap<SocketAddr, Instant>>);

impl Failures {
    pub(crate) fn remember(&self, address: SocketAddr) {
        let mut failures = self.0.borrow_mut();
        if failures.len() >= REMEMBERED_MAX {
            failures.clear();
        }
        failures.insert(address, Instant::now() + MEMORY);
    }

    fn forget(&self, address: SocketAddr) {
        self.0.borrow_mut().remove(&address);
    }

    fn has(&self, address: SocketAddr) -> bool {
        self.0.borrow().get(&address).is_some_and(|&until| until > Instant::now())
    }
}

/// Linux's numbers of the families of addresses.
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;

/// Why a hop could not be reached.
#[derive(Debug)]
pub(crate) struct Unreachable {
    hop: Hop,
    error: io::Error,
}

impl Unreachable {
    /// The host, as log lines show it.
    pub(crate) fn name(&self) -> Box<[u8]> {
        self.hop.shown()
    }

    /// What the log says of it for who wants to know everything: host, address, port, the number of the family of addresses.
    pub(crate) fn told(&self) -> String {
        let (host, address) = (self.hop.relay(), self.hop.address);
        let family = if address.is_ipv4() { AF_INET } else { AF_INET6 };
        let (host, why) = (host.escape_ascii(), self.trouble().text);
        let (port, why) = (address.port(), why.escape_ascii());
        format!("makeconnection ({host}.{port} ({family})) failed: {why}")
    }

    /// In sendmail's words.
    pub(crate) fn trouble(&self) -> Trouble {
        let name = self.hop.shown();
        let name = name.escape_ascii();
        let kind = self.error.kind();
        let text = if kind == io::ErrorKind::ConnectionRefused {
            format!("Connection refused by {name}")
        } else if kind == io::ErrorKind::TimedOut {
            format!("Connection timed out with {name}")
        } else {
            format!("{name}: {}", sys::error_words(&self.error))
        };
        let trouble = Trouble::ours(Status(4, 4, 1), text.as_bytes());
        // Where no way leads to an address it is not told which one that is.
        let is_reached = kind != io::ErrorKind::NetworkUnreachable;
        let host = if is_reached { self.hop.relay() } else { self.hop.shown() };
        Trouble { host, ..trouble }.cleaned()
    }
}

type Try = Pin<Box<dyn Future<Output = (Hop, io::Result<TcpStream>)>>>;

/// The addresses of a destination that have not been tried.
pub(crate) struct Race<'f> {
    hops: VecDeque<Hop>,
    failures: &'f Failures,
    timeout: Duration,
    until: Instant,
    road: Road,
}

/// Where connections go and come from, beside what DNS says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Road {
    /// The only address that is connected to (`ConnectOnlyTo`).
    pub(crate) only_to: Option<IpAddr>,
    /// Our own end (`ClientPortOptions`).
    pub(crate) from: Source,
    /// So long is waited until the first connection that fails is tried once more (`DialDelay`).
    pub(crate) redial: Option<Duration>,
}

impl Road {
    /// Both tries of a first connection, or the only one of another.
    async fn connect(self, address: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        let once = || async {
            match tokio::time::timeout(timeout, self.reach(address)).await {
                Ok(connected) => connected,
                Err(_elapsed) => Err(io::ErrorKind::TimedOut.into()),
            }
        };
        match (once().await, self.redial) {
            (Err(_), Some(pause)) => {
                tokio::time::sleep(pause).await;
                once().await
            }
            (connected, _) => connected,
        }
    }

    async fn reach(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let address = self.only_to.map_or(address, |ip| (ip, address.port()).into());
        let own = match address {
            SocketAddr::V4(_) => self.from.four.map(IpAddr::V4),
            SocketAddr::V6(_) => self.from.six.map(IpAddr::V6),
        };
        let Some(own) = own else { return TcpStream::connect(address).await };
        let socket = if own.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.bind((own, 0).into())?;
        socket.connect(address).await
    }
}

/// What our end of a connection is called, as DNS has it; without a name its address in brackets.
pub(crate) async fn own_name(stream: &TcpStream, lookup: &dyn Lookup) -> Option<Box<[u8]>> {
    let ip = stream.local_addr().ok()?.ip().to_canonical();
    let query = Query { name: ip.to_string().into_bytes().into(), kind: QueryKind::Ptr };
    let found = match lookup.lookup(query).await {
        Answer::Found { records: Records::Names(names), .. } => names.into_iter().next(),
        Answer::Found { .. } | Answer::NoSuchName | Answer::NoData | Answer::Temporary => None,
    };
    // A zone is not ours: what is no plain name does not go into a command.
    let is_plain = |name: &[u8]| {
        !name.is_empty()
            && name.iter().all(|&octet| octet.is_ascii_alphanumeric() || b".-_".contains(&octet))
    };
    let found = found.filter(|name| is_plain(name));
    let literal = match ip {
        IpAddr::V4(ip) => format!("[{ip}]"),
        IpAddr::V6(ip) => format!("[IPv6:{ip}]"),
    };
    Some(found.unwrap_or_else(|| literal.into_bytes().into()))
}

impl<'f> Race<'f> {
    pub(crate) fn new(hops: Vec<Hop>, failures: &'f Failures, timeout: Duration) -> Self {
        let hops = order(hops, |address| failures.has(address)).into();
        Self {
            hops,
            failures,
            timeout,
            until: Instant::now() + timeout * TIMEOUTS_MAX,
            road: Road::default(),
        }
    }

    /// The same by another road than the system's own.
    pub(crate) fn by(self, road: Road) -> Self {
        Self { road, ..self }
    }

    /// Whether no address is left, or no time.
    pub(crate) fn is_over(&self) -> bool {
        self.hops.is_empty() || Instant::now() >= self.until
    }

    /// Passes over the other addresses of a host: it was reached, and did not want us.
    pub(crate) fn leave(&mut self, host: &[u8]) {
        self.hops.retain(|hop| *hop.name != *host);
    }

    /// The next connection that stands; `None` when no address is left and none failed here.
    ///
    /// # Errors
    /// The last failure, when all that were left have failed.
    pub(crate) async fn next(&mut self) -> Option<Result<(Hop, TcpStream), Unreachable>> {
        let mut running: Vec<Try> = Vec::new();
        let mut last: Option<Unreachable> = None;
        let mut started: Option<Hop> = None;
        loop {
            if running.is_empty() && !self.start(&mut running, &mut started) {
                return last.map(Err);
            }
            let has_rival =
                self.hops.front().map(|next| &next.name) == started.as_ref().map(|hop| &hop.name);
            let finished = if has_rival {
                tokio::time::timeout(HEAD_START, first(&mut running)).await.ok()
            } else {
                Some(first(&mut running).await)
            };
            match finished {
                None => {
                    self.start(&mut running, &mut started);
                }
                Some((hop, Ok(stream))) => {
                    self.failures.forget(hop.address);
                    return Some(Ok((hop, stream)));
                }
                Some((hop, Err(error))) => {
                    self.failures.remember(hop.address);
                    last = Some(Unreachable { hop, error });
                    if has_rival {
                        self.start(&mut running, &mut started);
                    }
                }
            }
        }
    }

    /// Starts the next address; says whether there was one, and time for it.
    fn start(&mut self, running: &mut Vec<Try>, started: &mut Option<Hop>) -> bool {
        if Instant::now() >= self.until {
            self.hops.clear();
        }
        let Some(hop) = self.hops.pop_front() else {
            return false;
        };
        *started = Some(hop.clone());
        let connecting = self.road.clone().connect(hop.address, self.timeout);
        self.road.redial = None;
        running.push(Box::pin(async move {
            let connected = connecting.await;
            // Whole flights are written at once: waiting for more would only cost time.
            (hop, connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream)))
        }));
        true
    }
}

/// The first of some tries that is over; it is taken out.
async fn first(running: &mut Vec<Try>) -> (Hop, io::Result<TcpStream>) {
    std::future::poll_fn(|context| {
        for index in 0..running.len() {
            let polled = running.get_mut(index).map(|one| one.as_mut().poll(context));
            if let Some(Poll::Ready(finished)) = polled {
                drop(running.swap_remove(index));
                return Poll::Ready(finished);
            }
        }
        Poll::Pending
    })
    .await
}

/// The families of each host by turns, IPv6 first; what failed a moment ago at the end of its host.
fn order(hops: Vec<Hop>, has_failed: impl Fn(SocketAddr) -> bool) -> Vec<Hop> {
    let mut ordered = Vec::with_capacity(hops.len());
    let mut rest = hops.into_iter().peekable();
    while let Some(one) = rest.next() {
        let mut host = vec![one];
        while let Some(other) =
            rest.next_if(|next| host.first().is_some_and(|h| h.name == next.name))
        {
            host.push(other);
        }
        let (mut sixth, mut fourth) = (0_usize, 0_usize);
        let mut keyed: Vec<((bool, usize, bool), Hop)> = Vec::with_capacity(host.len());
        for hop in host {
            let is_four = hop.address.is_ipv4();
            let turn = if is_four { &mut fourth } else { &mut sixth };
            keyed.push(((has_failed(hop.address), *turn, is_four), hop));
            *turn += 1;
        }
        keyed.sort_by_key(|(key, _)| *key);
        ordered.extend(keyed.into_iter().map(|(_, hop)| hop));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    fn hop(name: &str, address: &str) -> Hop {
        Hop {
            name: name.as_bytes().into(),
            address: address.parse().unwrap(),
            is_as_written: false,
        }
    }

    fn in_runtime<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(future)
    }

    const TIMEOUT: Duration = Duration::from_secs(5);

    #[test]
    fn families_take_turns_within_a_host_and_hosts_keep_their_order() {
        let hops = vec![
            hop("a", "192.0.2.1:25"),
            hop("a", "192.0.2.2:25"),
            hop("a", "[2001:db8::1]:25"),
            hop("b", "192.0.2.3:25"),
            hop("b", "[2001:db8::3]:25"),
        ];
        let ordered = order(hops, |address| address == "192.0.2.1:25".parse().unwrap());
        let found: Vec<String> = ordered.iter().map(|hop| hop.address.to_string()).collect();
        assert_eq!(
            found,
            [
                "[2001:db8::1]:25",
                "192.0.2.2:25",
                "192.0.2.1:25",
                "[2001:db8::3]:25",
                "192.0.2.3:25"
            ]
        );
    }

    #[test]
    fn a_refused_connection_leads_to_the_next_and_is_remembered() {
        in_runtime(async {
            let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
            let open = hop("b", &open.local_addr().unwrap().to_string());
            let hops = vec![hop("a", &closed.to_string()), open.clone()];
            let failures = Failures::default();
            let mut race = Race::new(hops, &failures, TIMEOUT);
            assert_eq!(race.next().await.unwrap().unwrap().0, open);
            assert!(failures.has(closed) && !failures.has(open.address));
            assert!(race.next().await.is_none());
        });
    }

    #[test]
    fn a_first_connection_that_fails_is_tried_once_more_where_a_line_is_dialled() {
        in_runtime(async {
            let place = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
            let line = tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let open = TcpListener::bind(place).await.unwrap();
                open.accept().await.unwrap();
            });
            let failures = Failures::default();
            let road = Road { redial: Some(Duration::from_millis(300)), ..Road::default() };
            let hop = hop("a", &place.to_string());
            let mut race = Race::new(vec![hop.clone()], &failures, TIMEOUT).by(road.clone());
            assert!(race.next().await.unwrap().is_ok());
            line.await.unwrap();
            let before = Instant::now();
            let mut race = Race::new(vec![hop.clone(), hop], &failures, TIMEOUT).by(road);
            assert!(race.next().await.unwrap().is_err(), "nobody is there any more");
            assert!(before.elapsed() < Duration::from_millis(600), "both were tried twice");
        });
    }

    #[test]
    fn when_all_fail_the_last_failure_is_told_in_words() {
        in_runtime(async {
            let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
            let failures = Failures::default();
            let mut race = Race::new(vec![hop("mx.a", &closed.to_string())], &failures, TIMEOUT);
            let failure = race.next().await.unwrap().unwrap_err().trouble();
            assert_eq!(*failure.text, *b"Connection refused by mx.a.");
            assert_eq!(failure.status, Status(4, 4, 1));
        });
    }

    #[test]
    fn an_address_that_does_not_answer_costs_its_head_start_only() {
        in_runtime(async {
            // A full backlog does not answer.
            let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            rustix::net::listen(&socket, 0).unwrap();
            let silent = socket.local_addr().unwrap();
            let mut fill = Vec::new();
            for _ in 0..4 {
                let connecting = TcpStream::connect(silent);
                fill.push(tokio::time::timeout(Duration::from_millis(50), connecting).await);
            }
            let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let open = hop("a", &open.local_addr().unwrap().to_string());
            let failures = Failures::default();
            let mut race =
                Race::new(vec![hop("a", &silent.to_string()), open.clone()], &failures, TIMEOUT);
            let before = Instant::now();
            assert_eq!(race.next().await.unwrap().unwrap().0, open);
            assert!(before.elapsed() < TIMEOUT);
        });
    }
}
