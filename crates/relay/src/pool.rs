//! Destinations: a line of jobs each, and connections that take jobs from it.
//!
//! A job joins the line of its destination. If no connection is idle there, and fewer are being made
//! than jobs wait, another is made, up to the limit of the job. A connection serves the line until it is
//! empty, waits a little for more, and says QUIT. The destination is forgotten with its last
//! connection.
//!
//! - No connection can be made: all that wait are reported `Later` for the whole destination; the
//!   scheduler knows better than we when to come back. But while another connection of the same
//!   destination works, only fewer connections are made for a while: servers limit them.
//! - A connection that was used before and is lost before the end of a message was sent: the server
//!   was tired of waiting. The job goes back to the head of the line, once.
//! - Every job is reported exactly once, also if its task dies: its ticket reports when it is dropped.

use crate::connect::{Failures, Race};
use crate::mx::{self, Hop, Ourselves};
use crate::session::{Connection, Finish};
use crate::{Job, Lookup, Report};
use policy::Settings;
use policy::settings::Timeouts;
use queue::{Outcome, Scope, Status, Trouble};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// For so long no more connections are made than a destination has shown that it bears.
const RESTRAINT: Duration = Duration::from_secs(10);

/// How many hosts of a destination may refuse us before a connection attempt is given up.
const REFUSALS_MAX: usize = 8;

/// What connections need to know.
#[derive(Debug)]
pub(crate) struct Terms {
    /// Our name in EHLO.
    pub(crate) host_name: Box<[u8]>,
    pub(crate) timeouts: Timeouts,
    ourselves: Ourselves,
}

impl Terms {
    fn new(settings: &Settings, mut ourselves: Ourselves) -> Self {
        ourselves.names.push(settings.host_name.clone());
        ourselves.trusted.extend_from_slice(&settings.trusted_next_hops);
        Self { host_name: settings.host_name.clone(), timeouts: settings.timeouts, ourselves }
    }
}

/// Delivers over SMTP. To be used inside a `tokio::task::LocalSet` on a runtime with I/O and time.
#[derive(Clone)]
pub struct Relay(Rc<Office>);

/// A host of a route, in lower case, and its port.
type Key = (Box<[u8]>, u16);

struct Office {
    terms: RefCell<Rc<Terms>>,
    lookup: Rc<dyn Lookup>,
    report: Rc<dyn Fn(Report)>,
    failures: Failures,
    destinations: RefCell<HashMap<Key, Rc<Destination>>>,
    jobs: Cell<usize>,
    is_closing: Cell<bool>,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").field("jobs", &self.0.jobs).finish_non_exhaustive()
    }
}

impl Relay {
    /// A relay without connections. `report` is called once for each job, never inside of
    /// [`Relay::submit`]; it must not wait.
    #[must_use]
    pub fn new(
        settings: &Settings,
        ourselves: Ourselves,
        lookup: Rc<dyn Lookup>,
        report: Rc<dyn Fn(Report)>,
    ) -> Self {
        Self(Rc::new(Office {
            terms: RefCell::new(Rc::new(Terms::new(settings, ourselves))),
            lookup,
            report,
            failures: Failures::default(),
            destinations: RefCell::default(),
            jobs: Cell::new(0),
            is_closing: Cell::new(false),
        }))
    }

    /// Takes a job.
    pub fn submit(&self, job: Job) {
        let office = &self.0;
        office.jobs.set(office.jobs.get() + 1);
        let key = (job.batch.host.to_ascii_lowercase().into_boxed_slice(), job.port);
        let connections_max = job.connections_max.max(1);
        let ticket = Ticket { job: Some(job), office: Rc::clone(office), is_second_try: false };
        let mut destinations = office.destinations.borrow_mut();
        let destination =
            destinations.entry(key.clone()).or_insert_with(|| Rc::new(Destination::new(key)));
        destination.line.borrow_mut().push_back(ticket);
        if destination.wants_another(connections_max) {
            destination.spawn(office);
        } else {
            destination.bell.notify_one();
        }
    }

    /// From now on by these settings; open connections keep theirs.
    pub fn configure(&self, settings: &Settings, ourselves: Ourselves) {
        self.0.terms.replace(Rc::new(Terms::new(settings, ourselves)));
    }

    /// How many jobs have no report yet.
    #[must_use]
    pub fn jobs(&self) -> usize {
        self.0.jobs.get()
    }

    /// Idle connections say QUIT now, the others after the job they have; no new ones are made.
    /// What waits in line, and what is submitted from now on, is reported `Later`.
    pub fn close(&self) {
        self.0.is_closing.set(true);
        for destination in self.0.destinations.borrow().values() {
            destination.bell.notify_waiters();
            destination.bell.notify_one();
        }
    }
}

/// A job that is owed a report.
struct Ticket {
    /// `None` once it is reported.
    job: Option<Job>,
    office: Rc<Office>,
    is_second_try: bool,
}

impl Ticket {
    fn report(mut self, results: Vec<(u32, Outcome)>) {
        if let Some(job) = self.job.take() {
            self.office.report(&job, results);
        }
    }

    /// The same outcome for everybody.
    fn report_all(mut self, outcome: &Outcome) {
        if let Some(job) = self.job.take() {
            let results = everybody(&job, outcome);
            self.office.report(&job, results);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(job) = self.job.take() {
            let trouble = Trouble::ours(Status(4, 3, 0), b"delivery was broken off");
            let results = everybody(&job, &Outcome::Later { trouble, scope: Scope::Recipient });
            self.office.report(&job, results);
        }
    }
}

fn everybody(job: &Job, outcome: &Outcome) -> Vec<(u32, Outcome)> {
    job.batch.recipients.iter().map(|recipient| (recipient.index, outcome.clone())).collect()
}

impl Office {
    fn report(&self, job: &Job, results: Vec<(u32, Outcome)>) {
        self.jobs.set(self.jobs.get().saturating_sub(1));
        (self.report)(Report { batch: job.batch.id, results });
    }
}

/// A host of a route with its port.
struct Destination {
    key: Key,
    line: RefCell<VecDeque<Ticket>>,
    /// Wakes an idle connection.
    bell: Notify,
    /// Connections in all, those being made, and those without a job.
    connections: Cell<u32>,
    connecting: Cell<u32>,
    idle: Cell<u32>,
    /// No more connections than there are until then.
    restrained_until: Cell<Option<Instant>>,
}

/// Counts somebody as long as it lives.
struct Count<'c>(&'c Cell<u32>);

impl<'c> Count<'c> {
    fn in_(cell: &'c Cell<u32>) -> Self {
        cell.set(cell.get() + 1);
        Self(cell)
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// Counts a connection, and forgets the destination with the last one.
struct Presence {
    office: Rc<Office>,
    destination: Rc<Destination>,
}

impl Drop for Presence {
    fn drop(&mut self) {
        let destination = &self.destination;
        destination.connections.set(destination.connections.get().saturating_sub(1));
        if destination.connections.get() == 0 {
            // Here only if the task of the last connection died: nobody else would serve these.
            let orphans = destination.line.take();
            self.office.destinations.borrow_mut().remove(&destination.key);
            drop(orphans);
        }
    }
}

impl Destination {
    fn new(key: Key) -> Self {
        Self {
            key,
            line: RefCell::default(),
            bell: Notify::new(),
            connections: Cell::new(0),
            connecting: Cell::new(0),
            idle: Cell::new(0),
            restrained_until: Cell::new(None),
        }
    }

    /// Whether those who are free or soon free are too few for the line.
    fn wants_another(&self, connections_max: u32) -> bool {
        let connections = self.connections.get();
        let free = usize::try_from(self.idle.get() + self.connecting.get()).unwrap_or(usize::MAX);
        let is_restrained = self.restrained_until.get().is_some_and(|until| Instant::now() < until);
        connections == 0
            || (free < self.line.borrow().len() && connections < connections_max && !is_restrained)
    }

    fn spawn(self: &Rc<Self>, office: &Rc<Office>) {
        self.connections.set(self.connections.get() + 1);
        let presence = Presence { office: Rc::clone(office), destination: Rc::clone(self) };
        tokio::task::spawn_local(async move { presence.serve().await });
    }

    fn take(&self) -> Option<Ticket> {
        self.line.borrow_mut().pop_front()
    }

    /// Reports the same for all that wait.
    fn fail_line(&self, outcome: &Outcome) {
        let line = self.line.take();
        for ticket in line {
            ticket.report_all(outcome);
        }
    }
}

impl Presence {
    /// A connection's life: made again as long as jobs wait.
    async fn serve(self) {
        while !self.destination.line.borrow().is_empty() {
            if self.office.is_closing.get() {
                let trouble = Trouble::ours(Status(4, 3, 2), b"the system is shutting down");
                self.destination.fail_line(&Outcome::Later { trouble, scope: Scope::Recipient });
                return;
            }
            let terms = Rc::clone(&self.office.terms.borrow());
            let connecting = Count::in_(&self.destination.connecting);
            let connected = self.connect(&terms).await;
            drop(connecting);
            match connected {
                Ok(connection) => self.work(connection, &terms).await,
                Err(outcome) => {
                    let others = self.destination.connections.get() - 1;
                    if others > self.destination.connecting.get() {
                        let until = Instant::now() + RESTRAINT;
                        self.destination.restrained_until.set(Some(until));
                        return;
                    }
                    self.destination.fail_line(&outcome);
                }
            }
        }
    }

    /// A connection to the first host that lets us in.
    async fn connect(&self, terms: &Terms) -> Result<Connection, Outcome> {
        let (host, port) = &self.destination.key;
        let mut seed = RandomState::new().hash_one(0_u8);
        let mut chance = || {
            seed = RandomState::new().hash_one(seed);
            seed
        };
        let hops: Vec<Hop> =
            mx::find(host, *port, &terms.ourselves, &*self.office.lookup, &mut chance)
                .await
                .map_err(|nowhere| nowhere.outcome())?;
        let timeout = Duration::from_secs(terms.timeouts.connect_s.into());
        let mut race = Race::new(hops, &self.office.failures, timeout);
        let mut last = Trouble::ours(Status(4, 4, 1), b"no address to connect to");
        let mut refusals = 0;
        while refusals < REFUSALS_MAX {
            last = match race.next().await {
                None => break,
                Some(Err(unreachable)) => unreachable.trouble(),
                Some(Ok((hop, stream))) => match Connection::open(&hop, stream, terms).await {
                    Ok(connection) => return Ok(connection),
                    Err(trouble) => {
                        self.office.failures.remember(hop.address);
                        refusals += 1;
                        trouble
                    }
                },
            };
        }
        if last.status.0 == 5 {
            // For good, and said by the last of them: a host that accepts no mail (RFC 7504).
            return Err(Outcome::Never(last));
        }
        Err(Outcome::Later { trouble: last, scope: Scope::Destination })
    }

    /// Serves the line with one connection, until it is gone or nothing more comes.
    async fn work(&self, mut connection: Connection, terms: &Terms) {
        let mut is_used = false;
        loop {
            let Some(mut ticket) = self.destination.take() else {
                if self.office.is_closing.get() || !self.wait(&mut connection, terms).await {
                    connection.quit();
                    return;
                }
                continue;
            };
            if self.office.is_closing.get() {
                self.destination.line.borrow_mut().push_front(ticket);
                connection.quit();
                return;
            }
            let Some(job) = &ticket.job else { continue };
            match connection.transact(job).await {
                Finish::Kept(results) => ticket.report(results),
                Finish::Closed(results) => {
                    ticket.report(results);
                    return;
                }
                Finish::Untouched(_) if is_used && !ticket.is_second_try => {
                    ticket.is_second_try = true;
                    self.destination.line.borrow_mut().push_front(ticket);
                    return;
                }
                Finish::Untouched(outcome) => {
                    ticket.report_all(&outcome);
                    return;
                }
            }
            is_used = true;
        }
    }

    /// Waits for a job as long as idle connections are kept; false: there is none, or the
    /// server has closed.
    async fn wait(&self, connection: &mut Connection, terms: &Terms) -> bool {
        let _idle = Count::in_(&self.destination.idle);
        let until = Instant::now() + Duration::from_secs(terms.timeouts.idle_s.into());
        loop {
            tokio::select! {
                biased;
                () = self.destination.bell.notified() => {}
                () = connection.closed() => return false,
                () = tokio::time::sleep_until(until) => {
                    return !self.destination.line.borrow().is_empty();
                }
            }
            if !self.destination.line.borrow().is_empty() {
                return true;
            }
            if self.office.is_closing.get() {
                return false;
            }
        }
    }
}
