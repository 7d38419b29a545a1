//! One job after another, as sendmail's delivery does it: for commands that start a server of their own.
//!
//! A few connections are kept for later jobs to the same host by the same mailer (`ConnectionCacheSize`). Exchangers are asked
//! in their order; what one refuses for now goes to the next, recipient by recipient. A host that did not let us in is not
//! asked again in the same errand. Everything that is said goes into the job's record, for who watches (`-v`) and for the log.
//!
//! The machine, its patience and its limits are those of [`crate::pool`]; only the order is another.

use crate::connect::Race;
use crate::hosts::{nobody_let_us_in, nowhere, open_door};
use crate::mx::{Found, Hop};
use crate::nowhere::Nowhere;
use crate::pool::{Office, asks_mx, everybody, is_about_recipient};
use crate::session::{Connection, Finish, Notebook, Server, deferred};
use crate::share::{self, Known};
use crate::stop::Stop;
use crate::stream::Stream;
use crate::talk::{Gravity, Record, Talk};
use crate::terms::Terms;
use crate::ticket::Ticket;
use crate::{Job, Way};
use policy::MailerId;
use queue::{Outcome, Past, READ_ERROR, RESET, Scope, Status, Trouble, Voice};
use smtp::client::Protocol;
use std::cell::RefCell;
use std::hash::RandomState;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// What a command exits with when a host of a list is not there, and when the configuration is wrong (sysexits.h).
const NO_HOST: u8 = 68;
const SOFTWARE: u8 = 70;

/// Connections that are kept, whatever the configuration says.
const KEPT_MAX: usize = 64;

/// What a caller is asked for.
pub(crate) enum Call {
    /// To carry this out.
    Job(Box<Ticket>),
    /// To close all that is kept.
    Farewell,
}

/// Works off calls until nobody can make any.
pub(crate) async fn work(office: Rc<Office>, mut calls: mpsc::UnboundedReceiver<Call>) {
    let notebook: Rc<RefCell<Record>> = Rc::default();
    let mut caller = Caller { office, notebook, slots: Vec::new() };
    while let Some(call) = calls.recv().await {
        match call {
            Call::Job(ticket) => caller.carry(*ticket).await,
            Call::Farewell => caller.farewell().await,
        }
    }
}

/// A place for a connection. It keeps its name when the connection is gone, until somebody else needs it.
struct Slot {
    host: Box<[u8]>,
    mailer: MailerId,
    port: u16,
    connection: Option<Connection>,
    carried: u32,
    used_at: Instant,
}

struct Caller {
    office: Rc<Office>,
    notebook: Rc<RefCell<Record>>,
    slots: Vec<Option<Slot>>,
}

/// How far a job has come.
struct Course {
    /// In the order in which the log tells them.
    results: Vec<(u32, Outcome)>,
    /// Who is named when something is done for them all.
    whose: Vec<u32>,
    /// Who has been told that he waits.
    told: Vec<u32>,
    last: Trouble,
}

impl Caller {
    fn note(&self, event: Talk) {
        self.notebook.borrow_mut().push(event);
    }

    /// Carries out a job, and its parts one after another.
    async fn carry(&mut self, ticket: Ticket) {
        let office = Rc::clone(&self.office);
        for (ticket, known) in share::divide(&office, ticket, None).await {
            self.carry_part(ticket, known).await;
        }
    }

    async fn carry_part(&mut self, mut ticket: Ticket, known: Known) {
        let terms = self.office.terms();
        if let Some(job) = ticket.job.as_mut() {
            let results = self.deliver(job, known, &terms).await;
            if terms.kept == 0 {
                self.drop_all().await;
            }
            let talk = self.notebook.borrow_mut().take();
            ticket.report(one_by_one(results), talk);
        }
    }

    /// All outcomes of a job.
    async fn deliver(&mut self, job: &mut Job, known: Known, terms: &Terms) -> Vec<(u32, Outcome)> {
        if terms.is_patient && !terms.sorts_at_once && job.batch.past != Past::Tried {
            // As sendmail names them: the last first, until they were tried once.
            job.batch.recipients.reverse();
        }
        let is_lmtp = job.way.protocol() == Protocol::Lmtp;
        let stops = match self.stops(job, known, terms).await {
            Ok(stops) => stops,
            Err(outcome) => return self.everybody(job, &outcome),
        };
        let all: Vec<u32> = job.batch.recipients.iter().map(|one| one.index).collect();
        for why in stops.iter().filter_map(|stop| stop.dead.as_ref()) {
            // All of a list are looked up before the first is called: it is told even where another takes the message.
            if let Nowhere::PointsBack { .. } = why {
                self.tell_postmaster(why.to_string().as_bytes());
            }
        }
        let mut course =
            Course { results: Vec::new(), whose: all, told: Vec::new(), last: nowhere() };
        let until = terms.connect_all.map(|all| Instant::now() + all);
        for host in stops {
            if job.batch.recipients.is_empty() || self.office.is_closing() {
                break;
            }
            if until.is_some_and(|until| Instant::now() >= until) && self.find(&host, job).is_none()
            {
                break;
            }
            if let Some(why @ Nowhere::PointsBack { .. }) = &host.dead {
                return everybody(job, &why.outcome());
            }
            let place = match self.reach(&host, job, terms, &course.whose).await {
                Ok(place) => place,
                Err(_) if host.dead.is_some() => continue,
                Err(trouble) => {
                    course.last = trouble.after(course.last);
                    continue;
                }
            };
            let finished = self.transact(place, job).await;
            self.office.register().answered(&host.name, &finished.results);
            course.take(job, finished);
            if !job.batch.recipients.is_empty() {
                self.tell_sent(&mut course);
            }
        }
        self.conclude(job, course, is_lmtp)
    }

    /// Whoever is left waits; and tells the notebook of all that it does not know yet.
    fn conclude(&self, job: &Job, mut course: Course, is_lmtp: bool) -> Vec<(u32, Outcome)> {
        let mut last = Some(course.last);
        for one in &job.batch.recipients {
            if course.told.contains(&one.index) {
                continue;
            }
            let Some(trouble) = last.clone() else { continue };
            if is_lmtp {
                // Each recipient has a line of his own; what happened stands in the first.
                last = Some(Trouble { text: Box::default(), said: None, ..trouble.clone() });
            }
            course.results.retain(|(index, _)| *index != one.index);
            course.results.push((one.index, nobody_let_us_in(trouble)));
        }
        if is_lmtp {
            set_apart(&mut course.results, &course.told);
        }
        let is_sent = |(_, outcome): &(u32, Outcome)| {
            matches!(outcome, Outcome::Delivered { .. } | Outcome::Relayed { .. })
        };
        let (sent, others): (Vec<_>, Vec<_>) = course.results.into_iter().partition(is_sent);
        let mut events: Vec<(Vec<u32>, Box<[u8]>)> = Vec::new();
        let mut join = |index: u32, text: Box<[u8]>, is_alone: bool| match events.last_mut() {
            Some((whose, last)) if *last == text && !is_alone => whose.push(index),
            _ => events.push((vec![index], text)),
        };
        for (index, outcome) in &others {
            match outcome {
                _ if course.told.contains(index) => {}
                Outcome::Later { trouble, .. } => join(*index, deferred(trouble), is_lmtp),
                // To who hands a message in the report tells it.
                Outcome::Never(trouble) if job.batch.past != Past::New => {
                    join(*index, trouble.text.clone(), true);
                }
                Outcome::Never(_) | Outcome::Delivered { .. } | Outcome::Relayed { .. } => {}
            }
        }
        for (index, outcome) in sent.iter().filter(|(index, _)| !course.told.contains(index)) {
            if let Outcome::Delivered { text, .. } | Outcome::Relayed { text, .. } = outcome {
                join(*index, sent_text(text), false);
            }
        }
        for (whose, text) in events {
            let text = queue::printable(&text, crate::talk::LINE_BYTES_MAX);
            self.note(Talk::Result { whose, text });
        }
        others.into_iter().chain(sent).collect()
    }

    /// Who was taken by a host, before another is asked for the rest.
    fn tell_sent(&self, course: &mut Course) {
        for (index, outcome) in &course.results {
            if let Outcome::Delivered { text, .. } | Outcome::Relayed { text, .. } = outcome
                && !course.told.contains(index)
            {
                course.told.push(*index);
                let text = queue::printable(&sent_text(text), crate::talk::LINE_BYTES_MAX);
                self.note(Talk::Result { whose: vec![*index], text });
            }
        }
    }

    /// The same for everybody, where no host was asked.
    fn everybody(&self, job: &Job, outcome: &Outcome) -> Vec<(u32, Outcome)> {
        if let Outcome::Never(trouble) = outcome
            && let Some(said) = trouble.said.as_ref().filter(|_| trouble.status == Status(5, 3, 5))
        {
            let told = said.reply.strip_prefix(b"\n554 5.0.0 ").unwrap_or_default();
            self.tell_postmaster(told);
        }
        if let Outcome::Later { trouble, .. } = outcome {
            let whose = job.batch.recipients.iter().map(|one| one.index).collect();
            self.note(Talk::Result { whose, text: deferred(trouble) });
        }
        everybody(job, outcome)
    }

    /// The postmaster's error, not the sender's.
    fn tell_postmaster(&self, text: &[u8]) {
        let text = [b"SYSERR(root): ", text].concat().into();
        self.note(Talk::Log { gravity: Gravity::Critical, text });
        self.note(Talk::Exit(SOFTWARE));
    }

    /// Where a job can go, best first.
    async fn stops(&self, job: &Job, known: Known, terms: &Terms) -> Result<Vec<Stop>, Outcome> {
        let protocol = job.way.protocol();
        let port = match &job.way {
            Way::Smtp { port } | Way::LmtpHost { port } => *port,
            Way::Lmtp(address) => {
                let hops = vec![Hop::literal(*address)];
                return Ok(Stop::all(Found { hops, dead: Vec::new() }, protocol));
            }
            Way::Unix { path, .. } => return Ok(vec![Stop::local(path, protocol)]),
        };
        if let Some(found) = known {
            return Ok(Stop::all(found?, protocol));
        }
        let (dice, mx) = (RandomState::new(), asks_mx(&job.carriage));
        let found = self.office.exchangers(&job.batch.host, port, mx, terms, &dice).await?;
        Ok(Stop::all(found, protocol))
    }

    /// A connection to a host, kept or new: its place.
    async fn reach(
        &mut self,
        host: &Stop,
        job: &Job,
        terms: &Terms,
        whose: &[u32],
    ) -> Result<usize, Trouble> {
        self.scan(job, terms).await;
        if let Some(place) = self.find(host, job)
            && self.is_there(place, whose).await
        {
            return Ok(place);
        }
        let known = self.office.register().trouble(&host.name, terms.host_memory_ms);
        // Some mailers want to know nothing of what was.
        if let Some(trouble) = known.filter(|_| !job.carriage.flags.has(b'W')) {
            return Err(Trouble { host: host.name.clone(), ..trouble });
        }
        let shown = host.door.as_ref().unwrap_or(&host.name);
        let (whose, port) = (whose.to_vec(), host.shown_port);
        self.note(Talk::Connecting { whose: whose.clone(), host: shown.clone(), port });
        if let Some(why) = &host.dead {
            if matches!(why, Nowhere::Unknown(_) | Nowhere::NoAddress(_)) {
                self.note(Talk::Exit(NO_HOST));
            }
            return Err(nowhere());
        }
        let reached = self.connect(host, job, terms).await;
        let reached = reached.map(|(server, stream)| (server.of_mailer(&job.carriage), stream));
        let (server, stream) = reached.inspect_err(|trouble| {
            if let Some(said) = trouble.said.as_ref().filter(|_| host.door.is_some()) {
                self.tell_postmaster(said.reply.get(10..).unwrap_or_default());
            }
            self.office.register().refused(&host.name, trouble);
        })?;
        let place = self.room(whose, terms).await;
        let slot = Slot {
            host: host.name.clone(),
            mailer: job.batch.mailer,
            port: host.port,
            connection: None,
            carried: 0,
            used_at: Instant::now(),
        };
        self.put(place, slot);
        let habits = terms.habits(&job.carriage);
        let notebook: Notebook = Some(Rc::clone(&self.notebook));
        let opened = Connection::open(server, stream, terms, habits, notebook).await;
        let connection = match opened {
            Ok(connection) => connection,
            Err(trouble) => {
                if let Some(said) = trouble.said.as_ref().filter(|_| trouble.status == OURSELVES) {
                    self.tell_postmaster(said.reply.get(10..).unwrap_or_default());
                }
                self.office.register().refused(&host.name, &trouble);
                return Err(trouble);
            }
        };
        self.office.register().opened(&host.name);
        if let Some(Some(slot)) = self.slots.get_mut(place) {
            slot.connection = Some(connection);
        }
        Ok(place)
    }

    fn detail(&self, text: &str) {
        self.note(Talk::Log { gravity: Gravity::Detail, text: text.as_bytes().into() });
    }

    async fn connect(
        &self,
        host: &Stop,
        job: &Job,
        terms: &Terms,
    ) -> Result<(Server, Stream), Trouble> {
        if let Some(path) = &host.door {
            let stream = open_door(self.office.doors(), path).await?;
            return Ok((Server::local(host.protocol), stream));
        }
        let timeout = Duration::from_secs(terms.timeouts.connect_s.into());
        let mut race = Race::new(host.hops.clone(), self.office.failures(), timeout)
            .by(terms.road(&job.carriage));
        match race.next().await {
            Some(Ok((hop, stream))) => {
                if let Ok(from) = stream.local_addr() {
                    self.detail(&format!("SMTP outgoing connect on [{}]", from.ip()));
                }
                let server = Server::of(&hop, host.protocol);
                let server = server.met(&stream, self.office.lookup(), terms).await;
                Ok((server, Stream::Tcp(stream)))
            }
            Some(Err(unreachable)) => {
                self.detail(&unreachable.told());
                Err(unreachable.trouble())
            }
            None => Err(nowhere()),
        }
    }

    /// Whether a kept connection still stands.
    async fn is_there(&mut self, place: usize, whose: &[u32]) -> bool {
        let Some(Some(slot)) = self.slots.get_mut(place) else { return false };
        let Some(mut connection) = slot.connection.take() else { return false };
        if !connection.reset().await {
            return false;
        }
        let (kind, host) = (connection.kind(), slot.host.clone());
        slot.connection = Some(connection);
        self.note(Talk::Cached { whose: whose.to_vec(), kind, host });
        true
    }

    async fn transact(&mut self, place: usize, job: &Job) -> Transacted {
        let slot = self.slots.get_mut(place).and_then(Option::as_mut);
        let found = slot.and_then(|slot| Some((slot.connection.take()?, slot)));
        let Some((mut connection, slot)) = found else {
            let lost = Outcome::Later { trouble: lost(), scope: Scope::Destination };
            let results = everybody(job, &lost);
            return Transacted { results, noted: Vec::new(), is_kept: false };
        };
        let finish = connection.transact(job).await;
        let noted = connection.take_noted();
        slot.carried = slot.carried.saturating_add(1);
        slot.used_at = Instant::now();
        match finish {
            Finish::Kept(results) => {
                slot.connection = Some(connection);
                Transacted { results, noted, is_kept: true }
            }
            Finish::Closed(results) | Finish::Untouched(results) => {
                Transacted { results, noted, is_kept: false }
            }
        }
    }

    fn find(&self, host: &Stop, job: &Job) -> Option<usize> {
        self.slots.iter().position(|slot| {
            slot.as_ref().is_some_and(|slot| {
                slot.host == host.name
                    && slot.port == host.port
                    && slot.mailer == job.batch.mailer
                    && slot.connection.is_some()
            })
        })
    }

    /// Closes what has waited too long or carried enough.
    async fn scan(&mut self, job: &Job, terms: &Terms) {
        let idle = Duration::from_secs(terms.timeouts.idle_s.into());
        let most = job.carriage.messages_max;
        for place in 0..self.slots.len() {
            let is_over = self.slots.get(place).and_then(Option::as_ref).is_some_and(|slot| {
                let has_carried_enough =
                    most > 0 && slot.mailer == job.batch.mailer && slot.carried >= most;
                slot.connection.is_some() && (has_carried_enough || slot.used_at.elapsed() >= idle)
            });
            if is_over {
                self.close(place, Vec::new()).await;
            }
        }
    }

    /// A place for a new connection; a connection that stands there is closed.
    async fn room(&mut self, whose: Vec<u32>, terms: &Terms) -> usize {
        let wanted = terms.kept.clamp(1, KEPT_MAX);
        self.slots.resize_with(wanted.max(self.slots.len()), || None);
        let mut best = 0;
        let mut is_free = false;
        for (place, slot) in self.slots.iter().enumerate() {
            match slot {
                Some(slot) if slot.connection.is_some() => {
                    let oldest = self.slots.get(best).and_then(Option::as_ref);
                    // In whole seconds: among equals the first place gives way.
                    let age = |slot: &Slot| slot.used_at.elapsed().as_secs();
                    if !is_free && oldest.is_some_and(|oldest| age(slot) > age(oldest)) {
                        best = place;
                    }
                }
                Some(_) | None => (best, is_free) = (place, true),
            }
        }
        self.close(best, whose).await;
        best
    }

    /// Gives a place free.
    async fn close(&mut self, place: usize, whose: Vec<u32>) {
        let Some(slot) = self.slots.get_mut(place).and_then(Option::take) else { return };
        self.note(Talk::Closing { whose, host: slot.host });
        if let Some(connection) = slot.connection {
            connection.quit().await;
        }
        self.count();
    }

    fn put(&mut self, place: usize, slot: Slot) {
        if let Some(free) = self.slots.get_mut(place) {
            *free = Some(slot);
        }
        self.count();
    }

    fn count(&self) {
        self.office.set_kept(self.slots.iter().flatten().count());
    }

    /// Closes all without a word about it: nothing is kept here.
    async fn drop_all(&mut self) {
        for slot in std::mem::take(&mut self.slots).into_iter().flatten() {
            if let Some(connection) = slot.connection {
                connection.quit().await;
            }
        }
        self.count();
    }

    async fn farewell(&mut self) {
        for place in 0..self.slots.len() {
            self.close(place, Vec::new()).await;
        }
        let talk = self.notebook.borrow_mut().take();
        self.office.parted(talk);
    }
}

/// The status of a server that has our own name.
const OURSELVES: Status = Status(5, 3, 5);

/// What `stat=` says of a delivery.
fn sent_text(text: &[u8]) -> Box<[u8]> {
    if text.is_empty() { b"Sent"[..].into() } else { [b"Sent (", text, b")"].concat().into() }
}

/// LMTP: of those whose answer did not come, the first is told why the connection ended, and the others that it did.
fn set_apart(results: &mut [(u32, Outcome)], told: &[u32]) {
    let mut is_behind = false;
    for (index, outcome) in results {
        let Outcome::Later { trouble, .. } = outcome else { continue };
        let name = trouble.host.split(|&octet| octet == b' ').next().unwrap_or_default();
        let Some(said) = trouble.said.as_mut().filter(|_| told.contains(index)) else { continue };
        let is_lost = said.reply.starts_with(READ_ERROR);
        if !is_lost && !said.reply.starts_with(b"421 ") {
            continue;
        }
        if is_behind {
            trouble.status = Status(4, 0, 0);
        }
        if is_lost {
            trouble.voice = Voice::Smtp;
        }
        if is_lost && is_behind {
            said.reply = [RESET, name].concat().into();
        }
        is_behind = true;
    }
}

/// What a host did to one message says nothing of the next: which hosts are down is remembered here, and an errand tries
/// everything once.
fn one_by_one(mut results: Vec<(u32, Outcome)>) -> Vec<(u32, Outcome)> {
    for (_, outcome) in &mut results {
        if let Outcome::Later { scope, .. } = outcome {
            *scope = Scope::Recipient;
        }
    }
    results
}

/// What a transaction came to.
struct Transacted {
    results: Vec<(u32, Outcome)>,
    /// Places of those whose deferral was written down.
    noted: Vec<usize>,
    is_kept: bool,
}

fn lost() -> Trouble {
    Trouble::ours(Status(4, 4, 2), b"the connection was lost")
}

impl Course {
    /// Takes over what is settled; who may be taken by another host stays in the job.
    fn take(&mut self, job: &mut Job, transacted: Transacted) {
        // What they were told before was of another host.
        self.told.retain(|told| transacted.results.iter().all(|(index, _)| index != told));
        let named = transacted.noted.iter().filter_map(|&place| job.batch.recipients.get(place));
        self.told.extend(named.map(|one| one.index));
        let mut again: Vec<u32> = Vec::new();
        let mut reached: Vec<u32> = Vec::new();
        for (index, outcome) in transacted.results {
            self.results.retain(|(known, _)| *known != index);
            if let Outcome::Later { trouble, .. } = &outcome {
                if is_about_recipient(trouble) {
                    // He was refused, or the server was lost over him: he waits, unless another host takes him.
                    if transacted.is_kept {
                        again.push(index);
                    }
                } else {
                    self.last = trouble.clone();
                    again.push(index);
                    reached.push(index);
                }
            } else {
                reached.push(index);
            }
            self.results.push((index, outcome));
        }
        self.whose = reached;
        job.batch.recipients.retain(|one| again.contains(&one.index));
    }
}
