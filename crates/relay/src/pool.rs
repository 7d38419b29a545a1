//! Destinations: a line of jobs each, and connections that take jobs from it.
//!
//! A job joins the line of its destination. If no connection is idle there, and fewer are being made
//! than jobs wait, another is made, up to the limit of the job. A connection serves the line until it is
//! empty, waits a little for more, and says QUIT. The destination is forgotten with its last connection.
//!
//! - A job for several hosts is divided first ([`crate::share`]), and its parts go their ways by themselves.
//! - No connection can be made: all that wait are reported `Later` for the whole destination; the
//!   scheduler knows better than we when to come back. But while another connection of the same
//!   destination works, only fewer connections are made for a while: servers limit them.
//! - A connection that was used before and is lost before the end of a message was sent: the server
//!   was tired of waiting. The job goes back to the head of the line, once.
//! - Every job is reported exactly once, also if its task dies: its ticket reports when it is dropped.

use crate::caller::{self, Call};
use crate::connect::{Failures, Race};
use crate::hosts::{Hosts, Reach, nobody_let_us_in, nowhere};
use crate::limits;
use crate::mx::{Found, Hop, Ourselves, bracketed};
use crate::session::{Connection, Finish};
use crate::share;
use crate::status::{HostStatus, Register};
use crate::talk::Talk;
use crate::terms::Terms;
use crate::ticket::Ticket;
use crate::{Doors, Job, Lookup, Report, Way};
use policy::{Carriage, MailerId, Settings};
use queue::{Outcome, Scope, Status, Trouble};
use std::cell::{Cell, RefCell, RefMut};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

/// For so long no more connections are made than a destination has shown that it bears.
const RESTRAINT: Duration = Duration::from_secs(10);

/// So long is waited until it is known of all hosts of a job which exchangers they have; the others go by themselves.
const SHARE_PATIENCE: Duration = Duration::from_secs(5);

/// Delivers over SMTP and LMTP. To be used inside a `tokio::task::LocalSet` on a runtime with I/O and time.
#[derive(Clone)]
pub struct Relay(Rc<Office>);

/// A host of a route, in lower case, the way to it, and for whom: no two mailers share a connection. For LMTP the way is all.
type Key = (Box<[u8]>, Way, MailerId);

/// Is told what was said when the connections of an errand were closed.
pub type Parted = Box<dyn FnOnce(Vec<Talk>)>;

pub(crate) struct Office {
    terms: RefCell<Rc<Terms>>,
    lookup: Rc<dyn Lookup>,
    doors: Rc<dyn Doors>,
    report: Rc<dyn Fn(Report)>,
    failures: Failures,
    register: RefCell<Register>,
    destinations: RefCell<HashMap<Key, Rc<Destination>>>,
    jobs: Cell<usize>,
    is_closing: Cell<bool>,
    /// Who carries out jobs one after another, on an errand.
    caller: RefCell<Option<mpsc::UnboundedSender<Call>>>,
    /// Who is told when what the caller kept is closed.
    parted: RefCell<Option<Parted>>,
    /// Connections that the caller keeps.
    kept: Cell<usize>,
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
        doors: Rc<dyn Doors>,
        report: Rc<dyn Fn(Report)>,
    ) -> Self {
        Self(Rc::new(Office {
            terms: RefCell::new(Rc::new(Terms::new(settings, ourselves))),
            lookup,
            doors,
            report,
            failures: Failures::default(),
            register: RefCell::default(),
            destinations: RefCell::default(),
            jobs: Cell::new(0),
            is_closing: Cell::new(false),
            caller: RefCell::default(),
            parted: RefCell::default(),
            kept: Cell::new(0),
        }))
    }

    /// From now on jobs are carried out one after another and written down, as a command of sendmail's does it.
    /// Must be called inside a `LocalSet`.
    pub fn go_on_errand(&self) {
        let (sender, calls) = mpsc::unbounded_channel();
        *self.0.caller.borrow_mut() = Some(sender);
        tokio::task::spawn_local(caller::work(Rc::clone(&self.0), calls));
    }

    /// What was known of hosts before: an errand leaves those alone that were down a moment ago.
    pub fn learn(&self, before: Vec<HostStatus>) {
        self.0.register().learn(before);
    }

    /// Closes what an errand keeps, after all jobs that were submitted; then says what was said, never inside of this call.
    pub fn part(&self, parted: Parted) {
        *self.0.parted.borrow_mut() = Some(parted);
        let caller = self.0.caller.borrow();
        if caller.as_ref().is_none_or(|caller| caller.send(Call::Farewell).is_err()) {
            let office = Rc::clone(&self.0);
            tokio::task::spawn_local(async move { office.parted(Vec::new()) });
        }
    }

    /// Takes a job.
    pub fn submit(&self, job: Job) {
        let office = &self.0;
        office.jobs.set(office.jobs.get() + 1);
        let is_too_large = Trouble::too_large(&job.batch, job.carriage.message_bytes_max).is_some();
        let has_hosts = share::has_hosts(&job);
        let ticket = Ticket::new(job, Rc::clone(office));
        if is_too_large {
            // Not before this call has returned.
            tokio::task::spawn_local(async move { ticket.report_too_large() });
        } else if let Some(caller) = &*office.caller.borrow() {
            // A caller that died drops the ticket, which reports itself.
            drop(caller.send(Call::Job(Box::new(ticket))));
        } else if has_hosts {
            let office = Rc::clone(office);
            tokio::task::spawn_local(async move {
                for (ticket, _) in share::divide(&office, ticket, Some(SHARE_PATIENCE)).await {
                    office.line_up(ticket);
                }
            });
        } else {
            office.line_up(ticket);
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

    /// Whether nothing is left: no job and no connection that has not said QUIT.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.jobs() == 0 && self.0.destinations.borrow().is_empty() && self.0.kept.get() == 0
    }

    /// Idle connections say QUIT now, others after their job; what waits or comes from now on is reported `Later`.
    pub fn close(&self) {
        self.0.is_closing.set(true);
        if let Some(caller) = &*self.0.caller.borrow() {
            // One that died keeps nothing.
            drop(caller.send(Call::Farewell));
        }
        for destination in self.0.destinations.borrow().values() {
            destination.bell.notify_waiters();
            destination.bell.notify_one();
        }
    }
}

pub(crate) fn everybody(job: &Job, outcome: &Outcome) -> Vec<(u32, Outcome)> {
    job.batch.recipients.iter().map(|recipient| (recipient.index, outcome.clone())).collect()
}

impl Office {
    /// A job has its place in the line of its destination.
    fn line_up(self: &Rc<Self>, ticket: Ticket) {
        let Some(job) = &ticket.job else { return };
        let host = match &job.way {
            Way::Smtp { .. } | Way::LmtpHost { .. } => job.batch.host.to_ascii_lowercase().into(),
            Way::Lmtp(_) | Way::Unix { .. } => Box::default(),
        };
        let key = (host, job.way.clone(), job.batch.mailer);
        let connections_max = job.connections_max.max(1);
        let mut destinations = self.destinations.borrow_mut();
        let destination =
            destinations.entry(key.clone()).or_insert_with(|| Rc::new(Destination::new(key)));
        destination.line.borrow_mut().push_back(ticket);
        if destination.wants_another(connections_max) {
            destination.spawn(self);
        } else {
            destination.bell.notify_one();
        }
    }

    /// There are so many jobs more, each with a part of one that was submitted.
    pub(crate) fn count_more(&self, jobs: usize) {
        self.jobs.set(self.jobs.get().saturating_add(jobs));
    }

    pub(crate) fn report(
        &self,
        job: &Job,
        results: Vec<(u32, Outcome)>,
        is_last: bool,
        talk: Vec<Talk>,
    ) {
        self.jobs.set(self.jobs.get().saturating_sub(1));
        let hosts = self.register().take_news();
        let keeps = self.terms.borrow().keeps_host_status;
        let hosts = if keeps { hosts } else { Vec::new() };
        (self.report)(Report { batch: job.batch.id, results, is_last, talk, hosts });
    }

    pub(crate) fn terms(&self) -> Rc<Terms> {
        Rc::clone(&self.terms.borrow())
    }

    pub(crate) fn doors(&self) -> &dyn Doors {
        &*self.doors
    }

    pub(crate) fn register(&self) -> RefMut<'_, Register> {
        self.register.borrow_mut()
    }

    pub(crate) fn lookup(&self) -> &dyn Lookup {
        &*self.lookup
    }

    pub(crate) fn failures(&self) -> &Failures {
        &self.failures
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.get()
    }

    pub(crate) fn set_kept(&self, connections: usize) {
        self.kept.set(connections);
    }

    /// All that the caller kept is closed.
    pub(crate) fn parted(&self, talk: Vec<Talk>) {
        let parted = self.parted.borrow_mut().take();
        if let Some(parted) = parted {
            parted(talk);
        }
    }

    /// Where a host of a route can be reached, by its exchangers or by itself alone. The same `dice` bring the same exchangers in the same order.
    pub(crate) async fn exchangers(
        &self,
        host: &[u8],
        port: u16,
        asks_mx: bool,
        terms: &Terms,
        dice: &RandomState,
    ) -> Result<Found, Outcome> {
        let single = if asks_mx { Vec::new() } else { bracketed(host) };
        let host = if asks_mx { host } else { &*single };
        let chance = |name: &[u8]| dice.hash_one(name.to_ascii_lowercase());
        terms
            .fallbacks
            .find(host, port, &terms.ourselves, &*self.lookup, &chance)
            .await
            .map_err(|nowhere| nowhere.outcome())
    }
}

/// A host of a route, or an LMTP server.
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

    /// How the mailer of the first that waits wants it.
    fn carriage(&self) -> Carriage {
        let line = self.line.borrow();
        let job = line.front().and_then(|ticket| ticket.job.as_ref());
        job.map(|job| job.carriage.clone()).unwrap_or_default()
    }

    /// These come first, in their order.
    fn put_back(&self, tickets: Vec<Ticket>) {
        let mut line = self.line.borrow_mut();
        tickets.into_iter().rev().for_each(|ticket| line.push_front(ticket));
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

/// Whether a host took nobody and refused nobody for good, for reasons that are its own: another host may take the
/// message. A recipient that is refused for now waits (RFC 5321, 4.2.5).
fn is_unwilling(results: &[(u32, Outcome)]) -> bool {
    results.iter().all(|(_, outcome)| match outcome {
        Outcome::Later { trouble, scope } => {
            *scope == Scope::Destination && !is_about_recipient(trouble)
                || trouble.said.as_ref().is_some_and(|said| {
                    said.command.starts_with(b"MAIL")
                        || said.command.starts_with(b"DATA")
                        || *said.command == *queue::DOT
                })
        }
        Outcome::Delivered { .. } | Outcome::Relayed { .. } | Outcome::Never(_) => false,
    })
}

/// Whether a mailer's hosts have exchangers (without the flag `0`).
pub(crate) const fn asks_mx(carriage: &Carriage) -> bool {
    !carriage.flags.has(b'0')
}

pub(crate) fn is_about_recipient(trouble: &Trouble) -> bool {
    trouble.said.as_ref().is_some_and(|said| said.command.starts_with(b"RCPT"))
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
                Ok((connection, hosts)) => self.work(connection, hosts, &terms).await,
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

    /// A connection to the first host that lets us in, and the hosts that are left.
    async fn connect(&self, terms: &Terms) -> Result<(Connection, Hosts<'_>), Outcome> {
        let mut hosts = self.hosts(terms).await?;
        match hosts.next(terms, nowhere()).await {
            Ok(connection) => Ok((connection, hosts)),
            Err(last) => Err(nobody_let_us_in(last)),
        }
    }

    /// Where the destination can be reached.
    async fn hosts(&self, terms: &Terms) -> Result<Hosts<'_>, Outcome> {
        let (host, way, _) = &self.destination.key;
        let carriage = self.destination.carriage();
        let protocol = way.protocol();
        let hops = match way {
            Way::Smtp { port } | Way::LmtpHost { port } => {
                let dice = RandomState::new();
                let mx = asks_mx(&carriage);
                self.office.exchangers(host, *port, mx, terms, &dice).await?.hops
            }
            Way::Lmtp(address) => vec![Hop::literal(*address)],
            Way::Unix { path, .. } => {
                let way = Reach::Door(Some((&*self.office.doors, path)), protocol);
                return Ok(Hosts { way, carriage, refusals: 0 });
            }
        };
        let timeout = Duration::from_secs(terms.timeouts.connect_s.into());
        let race = Race::new(hops, &self.office.failures, timeout).by(terms.road(&carriage));
        let failures = &self.office.failures;
        let lookup = &*self.office.lookup;
        let register = &self.office.register;
        let way = Reach::Race { race, failures, register, lookup, protocol };
        Ok(Hosts { way, carriage, refusals: 0 })
    }

    /// Serves the line with one connection, until it is gone or nothing more comes.
    async fn work(&self, mut connection: Connection, mut hosts: Hosts<'_>, terms: &Terms) {
        let mut carried = 0_u32;
        loop {
            let Some(mut ticket) = self.destination.take() else {
                if self.office.is_closing.get() || !self.wait(&mut connection, terms).await {
                    connection.quit().await;
                    return;
                }
                continue;
            };
            if self.office.is_closing.get() {
                self.destination.line.borrow_mut().push_front(ticket);
                connection.quit().await;
                return;
            }
            let limits = connection.limits();
            if ticket.job.as_ref().is_some_and(|job| limits::is_above(job, limits)) {
                self.destination.put_back(ticket.divide_with(|job| limits::parts(job, limits)));
                continue;
            }
            let Some(job) = &ticket.job else { continue };
            let own_max = limits.messages.unwrap_or(0);
            let messages_max = match terms.messages_max(&job.carriage) {
                0 => own_max,
                most if own_max == 0 => most,
                most => most.min(own_max),
            };
            let finish = connection.transact(job).await;
            self.office.register().answered(connection.host_name(), finish.results());
            match finish {
                Finish::Untouched(_)
                    if (carried > 0 || connection.refuses_chunks()) && !ticket.is_second_try =>
                {
                    if connection.refuses_chunks() {
                        self.office.register().refused_chunks(connection.host_name());
                    }
                    ticket.is_second_try = true;
                    self.destination.line.borrow_mut().push_front(ticket);
                    return;
                }
                Finish::Kept(results) if !is_unwilling(&results) => {
                    ticket.report(results, Vec::new());
                }
                Finish::Kept(results) => {
                    connection.quit().await;
                    return self.elsewhere(ticket, results, &mut hosts, terms).await;
                }
                Finish::Closed(results) | Finish::Untouched(results) => {
                    return self.elsewhere(ticket, results, &mut hosts, terms).await;
                }
            }
            carried = carried.saturating_add(1);
            if messages_max > 0 && carried >= messages_max {
                return connection.quit().await;
            }
        }
    }

    /// A host did not want the message now, or was lost: the hosts behind it are asked, as long as there are
    /// any; the last word is reported.
    async fn elsewhere(
        &self,
        ticket: Ticket,
        mut results: Vec<(u32, Outcome)>,
        hosts: &mut Hosts<'_>,
        terms: &Terms,
    ) {
        let Some(job) = &ticket.job else { return };
        while is_unwilling(&results)
            && !self.office.is_closing.get()
            && let Some((_, Outcome::Later { trouble, .. })) = results.first()
            && !hosts.is_over()
        {
            match hosts.next(terms, trouble.clone()).await {
                Ok(mut connection) => match connection.transact(job).await {
                    Finish::Kept(newer) => {
                        results = newer;
                        connection.quit().await;
                    }
                    Finish::Closed(newer) | Finish::Untouched(newer) => results = newer,
                },
                Err(last) => {
                    results = everybody(job, &nobody_let_us_in(last));
                    break;
                }
            }
        }
        ticket.report(results, Vec::new());
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
