//! What comes in: commits of smtpd and control, reports of our own, the drop folder.
//!
//! A message is answered `Stored` in one place, when the spool says that it is durable.

use super::House;
use crate::edges::{Attempt, Errand, FromQueue, NotStored, ToQueue};
use crate::ids;
use crate::link::{Link, LinkError};
use crate::log::Severity;
use ::queue::{Envelope, Input, Note, Purpose};
use policy::settings::Bounds;
use spool::Spool as _;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use wire::QueueId;

/// Whose edge it is: its lane of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Source {
    lane: u8,
}

impl Source {
    pub(super) fn lane(lane: u8) -> Self {
        Self { lane }
    }

    /// Whether the users of this machine speak here: only they may give orders.
    fn is_control(self) -> bool {
        self.lane == ids::CONTROL_LANE
    }
}

/// One edge that mail comes in by.
struct Edge {
    /// Never used twice, so that an answer can't go to a successor.
    number: u32,
    source: Source,
    link: Link,
    /// Files of large bodies that are being written.
    large: HashMap<u32, spool::LargeToken>,
    is_over: bool,
    /// It hands over nothing more.
    is_finished: bool,
    /// Whether what is done is shown here.
    is_watching: bool,
}

/// Large bodies that one edge may have open.
const LARGE_MAX: usize = 1000;

/// Who is told when a message is durable.
enum Asker {
    /// A session or a command.
    Edge { number: u32, ticket: u32 },
    /// Nobody: a report of our own, or a part of a message.
    Ourselves,
    /// The file in the drop folder that can go.
    Drop(Box<str>),
}

/// Frames that are kept for who will watch an errand.
const UNSEEN_MAX: usize = 256;

/// A change of the free room by this part of it is told.
const NEWS_PART: u64 = 16;

/// A message on its way to the disk.
struct Pending {
    asker: Asker,
    envelope: Box<Envelope>,
    body: Option<Arc<[u8]>>,
}

/// All edges that mail comes in by, and what is on its way to the disk.
#[derive(Default)]
pub(super) struct Intake {
    edges: Vec<Edge>,
    pending: HashMap<u64, Pending>,
    next_number: u32,
    next_ticket: u64,
    had_no_room: bool,
    /// Octets that were free when everybody was told last.
    free_bytes: u64,
    /// What was to be shown before anybody watched.
    unseen: Vec<FromQueue>,
}

impl Intake {
    /// Takes an edge; the first thing said on it is from where its ids go on.
    pub(super) fn add(&mut self, source: Source, descriptor: OwnedFd, after: u64) {
        let mut link = Link::new(descriptor);
        drop(link.send(&FromQueue::Begin { after }, &[]));
        if self.had_no_room || self.free_bytes > 0 {
            drop(link.send(&self.room(), &[]));
        }
        self.next_number = self.next_number.wrapping_add(1);
        let number = self.next_number;
        self.edges.push(Edge {
            number,
            source,
            link,
            large: HashMap::new(),
            is_over: false,
            is_finished: false,
            is_watching: false,
        });
    }

    pub(super) fn links(&self) -> impl Iterator<Item = &Link> {
        self.edges.iter().map(|edge| &edge.link)
    }

    pub(super) fn fill(&mut self, ready: &mut impl Iterator<Item = bool>) {
        for edge in &mut self.edges {
            if ready.next() == Some(true) && edge.link.fill().is_err() {
                edge.is_over = true;
            }
        }
    }

    pub(super) fn flush(&mut self) {
        for edge in &mut self.edges {
            if edge.link.flush().is_err() {
                edge.is_over = true;
            }
        }
    }

    /// Whether nobody can hand over messages any more.
    pub(super) fn has_ended(&self) -> bool {
        self.next_number > 0 && self.edges.iter().all(|edge| edge.is_finished)
    }

    /// Tells everybody who has handed over what a try came to.
    pub(super) fn tell_results(&mut self, results: &[Attempt]) {
        for edge in &mut self.edges {
            for result in results {
                drop(edge.link.send(&FromQueue::Result(result.clone()), &[]));
            }
        }
    }

    /// Tells everybody who has handed over what a command exits with.
    pub(super) fn tell_exit(&mut self, status: u8) {
        for edge in &mut self.edges {
            drop(edge.link.send(&FromQueue::Exit(status), &[]));
        }
    }

    /// Shows something to who watches an errand; what comes before anybody watches is kept, as far as there is room.
    pub(super) fn show(&mut self, news: &FromQueue) {
        let mut is_seen = false;
        for edge in self.edges.iter_mut().filter(|edge| edge.is_watching) {
            is_seen = true;
            drop(edge.link.send(news, &[]));
        }
        if !is_seen && self.unseen.len() < UNSEEN_MAX {
            self.unseen.push(news.clone());
        }
    }

    /// Nothing is on its way to the disk.
    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether this file of the drop folder is on its way to the disk.
    pub(super) fn has_drop(&self, name: &str) -> bool {
        let is_it = |asker: &Asker| matches!(asker, Asker::Drop(known) if **known == *name);
        self.pending.values().any(|pending| is_it(&pending.asker))
    }

    const fn room(&self) -> FromQueue {
        FromQueue::Room { has_room: !self.had_no_room, free_bytes: self.free_bytes }
    }

    /// Tells everybody when there begins or ends to be room, or there is much more or less of it. Whether it ended now.
    pub(super) fn tell_room(&mut self, has_room: bool, free_bytes: u64) -> bool {
        let changed_bytes = self.free_bytes.abs_diff(free_bytes);
        let begins_or_ends = self.had_no_room == has_room;
        if begins_or_ends || changed_bytes > self.free_bytes / NEWS_PART {
            self.had_no_room = !has_room;
            self.free_bytes = free_bytes;
            let room = self.room();
            for edge in &mut self.edges {
                drop(edge.link.send(&room, &[]));
            }
        }
        begins_or_ends && !has_room
    }

    fn answer(&mut self, asker: &Asker, answer: impl Fn(u32) -> FromQueue) {
        if let Asker::Edge { number, ticket } = *asker
            && let Some(edge) = self.edges.iter_mut().find(|edge| edge.number == number)
        {
            drop(edge.link.send(&answer(ticket), &[]));
        }
    }
}

impl House {
    /// Reads what came by the edges.
    pub(super) fn take_in(&mut self) {
        for place in 0..self.intake.edges.len() {
            loop {
                match self.take_one(place) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        self.intake_over(place, &error);
                        break;
                    }
                }
            }
        }
        self.bury_edges();
    }

    fn intake_over(&mut self, place: usize, error: &LinkError) {
        self.log.line(Severity::Critical, None, format!("an edge: {error}; cut").as_bytes());
        if let Some(edge) = self.intake.edges.get_mut(place) {
            edge.is_over = true;
        }
    }

    /// Lets go of edges whose other end is gone, and of the large bodies they left unfinished.
    fn bury_edges(&mut self) {
        let edges = std::mem::take(&mut self.intake.edges);
        for edge in edges {
            if edge.is_over {
                for (_, token) in edge.large {
                    self.spool.abandon(token);
                }
            } else {
                self.intake.edges.push(edge);
            }
        }
    }

    /// Takes one frame of an edge. False: there is no whole one.
    fn take_one(&mut self, place: usize) -> Result<bool, LinkError> {
        let Some(edge) = self.intake.edges.get_mut(place) else { return Ok(false) };
        let Some((wish, tail)) = edge.link.receive::<ToQueue>()? else { return Ok(false) };
        match wish {
            ToQueue::Commit { ticket, envelope, large_bytes: None } => {
                let body: Arc<[u8]> = tail.into();
                self.commit(place, ticket, &envelope, body)?;
            }
            ToQueue::Commit { ticket, envelope, large_bytes: Some(size_bytes) } => {
                self.commit_large(place, ticket, &envelope, size_bytes)?;
            }
            ToQueue::BeginLarge { ticket } => self.begin_large(place, ticket)?,
            ToQueue::Abandon { ticket } => {
                if let Some(token) = edge.large.remove(&ticket) {
                    self.spool.abandon(token);
                }
            }
            ToQueue::List { .. }
            | ToQueue::Flush
            | ToQueue::Run(_)
            | ToQueue::Hosts { .. }
            | ToQueue::Remove { .. }
                if !edge.source.is_control() =>
            {
                // Who talks to strangers has no say over other people's mail.
                return Err(LinkError::Garbled("an order of the postmaster's from elsewhere"));
            }
            ToQueue::List { ticket, after } => {
                let entries = self.listed(after);
                self.tell(place, &FromQueue::Listed { ticket, entries });
            }
            ToQueue::Hosts { ticket, from, purges } => {
                let hosts = self.hosts_from(from, purges);
                self.tell(place, &FromQueue::Hosts { ticket, hosts });
            }
            ToQueue::Watch => {
                edge.is_watching = true;
                for early in std::mem::take(&mut self.intake.unseen) {
                    self.intake.show(&early);
                }
            }
            ToQueue::Finish => edge.is_finished = true,
            ToQueue::Turn { node } => self.step(Input::Turn { node }),
            ToQueue::Flush => self.step(Input::Flush { slot: None }),
            ToQueue::Run(run) => self.run_now(&run),
            ToQueue::Remove { ticket, id } => {
                let slot = self.spool.find(id);
                if let Some(slot) = slot {
                    self.step(Input::Remove { slot: slot.into() });
                }
                self.tell(place, &FromQueue::Removed { ticket, was_there: slot.is_some() });
            }
        }
        Ok(true)
    }

    fn tell(&mut self, place: usize, answer: &FromQueue) {
        if let Some(edge) = self.intake.edges.get_mut(place) {
            drop(edge.link.send(answer, &[]));
        }
    }

    /// Looks at an envelope as a stranger's: it must decode, be somebody's mail, and have an id of its edge's
    /// lane that no other message has.
    fn checked(&mut self, place: usize, record: &[u8]) -> Result<Box<Envelope>, LinkError> {
        let envelope =
            Envelope::decode(record).map_err(|_| LinkError::Garbled("not an envelope"))?;
        let id = envelope.id.as_u64();
        let lane = self.intake.edges.get(place).map(|edge| usize::from(edge.source.lane));
        let last = lane.and_then(|lane| self.lanes.get_mut(lane));
        let last = last.ok_or(LinkError::Garbled("no lane"))?;
        if Some(ids::lane(id)) != lane || envelope.purpose != Purpose::Mail {
            return Err(LinkError::Garbled("an id or purpose that is not its own"));
        }
        *last = id.max(*last);
        if envelope.recipients.is_empty() {
            return Err(LinkError::Garbled("no recipients"));
        }
        if self.spool.holds(envelope.id) {
            return Err(LinkError::Garbled("an id that is taken"));
        }
        Ok(Box::new(envelope))
    }

    fn asker(&self, place: usize, ticket: u32) -> Asker {
        let number = self.intake.edges.get(place).map_or(0, |edge| edge.number);
        Asker::Edge { number, ticket }
    }

    fn commit(
        &mut self,
        place: usize,
        ticket: u32,
        record: &[u8],
        body: Arc<[u8]>,
    ) -> Result<(), LinkError> {
        let envelope = self.checked(place, record)?;
        let asker = self.asker(place, ticket);
        self.append(asker, envelope, record, body);
        Ok(())
    }

    /// Puts a message with a small body into the batch of this turn.
    fn append(&mut self, asker: Asker, envelope: Box<Envelope>, record: &[u8], body: Arc<[u8]>) {
        self.intake.next_ticket = self.intake.next_ticket.wrapping_add(1);
        let ticket = self.intake.next_ticket;
        match self.spool.append(ticket, envelope.id, record, spool::Body::Inline(&body)) {
            Ok(()) => {
                let pending = Pending { asker, envelope, body: Some(body) };
                self.intake.pending.insert(ticket, pending);
            }
            Err(refused) => {
                self.refuse(&asker, refused);
            }
        }
    }

    fn refuse(&mut self, asker: &Asker, refused: spool::Refused) {
        let why = match refused {
            spool::Refused::Full => NotStored::Full,
            spool::Refused::Broken | spool::Refused::TooLarge => NotStored::Trouble,
        };
        self.log.line(Severity::Error, None, format!("not stored: {refused}").as_bytes());
        self.intake.answer(asker, |ticket| FromQueue::NotStored { ticket, why: why.clone() });
    }

    fn begin_large(&mut self, place: usize, ticket: u32) -> Result<(), LinkError> {
        let Some(edge) = self.intake.edges.get_mut(place) else { return Ok(()) };
        if edge.large.len() >= LARGE_MAX || edge.large.contains_key(&ticket) {
            return Err(LinkError::Garbled("too many large bodies"));
        }
        match self.spool.begin_large() {
            Ok(large) => {
                edge.large.insert(ticket, large.token);
                edge.link.send_with(&FromQueue::Large { ticket }, &[], large.file)
            }
            Err(error) => {
                self.log.line(Severity::Error, None, format!("no file: {error}").as_bytes());
                edge.link.send(&FromQueue::NotStored { ticket, why: NotStored::Full }, &[])
            }
        }
    }

    fn commit_large(
        &mut self,
        place: usize,
        ticket: u32,
        record: &[u8],
        size_bytes: u64,
    ) -> Result<(), LinkError> {
        let envelope = self.checked(place, record)?;
        let asker = self.asker(place, ticket);
        let token = self.intake.edges.get_mut(place).and_then(|edge| edge.large.remove(&ticket));
        let token = token.ok_or(LinkError::Garbled("a large body that was never begun"))?;
        self.intake.next_ticket = self.intake.next_ticket.wrapping_add(1);
        let number = self.intake.next_ticket;
        let body = spool::Body::Large(token, size_bytes);
        match self.spool.append(number, envelope.id, record, body) {
            Ok(()) => {
                self.intake.pending.insert(number, Pending { asker, envelope, body: None });
            }
            Err(refused) => {
                self.refuse(&asker, refused);
            }
        }
        Ok(())
    }

    /// What the disk has finished: the promise is given here and nowhere else.
    pub(super) fn take_completions(&mut self) -> Result<(), LinkError> {
        let mut completions = Vec::new();
        self.spool.completed(&mut completions);
        for completion in completions {
            let Some(pending) = self.intake.pending.remove(&completion.ticket) else { continue };
            match completion.result {
                Ok(slot) => self.stored(pending, slot),
                Err(refused) => {
                    self.refuse(&pending.asker, refused);
                }
            }
        }
        if self.spool.is_broken() {
            self.log.line(Severity::Critical, None, b"the disk failed; starting again from it");
            self.flush();
            return Err(LinkError::Garbled("the disk failed"));
        }
        Ok(())
    }

    fn stored(&mut self, pending: Pending, slot: spool::Slot) {
        let id = pending.envelope.id;
        self.intake.answer(&pending.asker, |ticket| FromQueue::Stored { ticket, id });
        if let Asker::Drop(name) = &pending.asker {
            self.drop_is_done(name);
        }
        self.count_arrival(&pending.envelope);
        let bounds = self.bounds_of(&pending.envelope.origin);
        let limits = bounds.over(&self.settings.limits);
        let mode = bounds.delivery_mode.unwrap_or(self.settings.delivery_mode);
        let is_too_busy = || {
            let load = if limits.queue_load > 0 { sys::load::average() } else { 0 };
            limits.only_queues(load, pending.envelope.priority)
        };
        let only_queues = self.errand.is_none() && (mode.only_queues() || is_too_busy());
        if let Some(body) = pending.body.filter(|_| !only_queues) {
            self.fresh.keep(slot.into(), body);
        }
        if self.is_mark_only() || matches!(self.errand, Some(Errand::Keep | Errand::Look)) {
            // The next run finds it.
            return;
        }
        let slot = slot.into();
        if only_queues {
            // As one that was tried: it waits for a run of the queue, or for its time.
            let first_s = u64::from(self.settings.retry.first_s);
            let next_try_s = sys::clock::realtime_s().saturating_add(first_s);
            let note = Note { next_try_s, ..Note::new(&pending.envelope) };
            let (envelope, note) = (pending.envelope, Some(Box::new(note)));
            return self.step(Input::Recovered { slot, envelope, note });
        }
        self.arrived(slot, pending.envelope);
    }

    /// What is bounded otherwise for mail that came this way.
    fn bounds_of(&self, origin: &queue::Origin) -> Bounds {
        let is_by_network = !origin.client_address.is_empty();
        let listener = self.settings.listeners.get(usize::from(origin.daemon));
        listener.filter(|_| is_by_network).map(|listener| listener.bounds).unwrap_or_default()
    }

    /// Stores a message of our own making in the commit of this turn, with what is noted of the one that it comes from.
    pub(super) fn append_own(
        &mut self,
        envelope: Box<Envelope>,
        record: &[u8],
        fresh: Option<Arc<[u8]>>,
        body: spool::Body<'_>,
    ) -> Result<(), spool::Refused> {
        self.intake.next_ticket = self.intake.next_ticket.wrapping_add(1);
        let ticket = self.intake.next_ticket;
        self.spool.append_own(ticket, envelope.id, record, body)?;
        let pending = Pending { asker: Asker::Ourselves, envelope, body: fresh };
        self.intake.pending.insert(ticket, pending);
        Ok(())
    }

    /// An id of our own lane.
    pub(super) fn mint(&mut self) -> QueueId {
        let id = self.ids.mint();
        self.saw_id(id.as_u64());
        id
    }

    /// An id of our own lane whose message goes into this shard: durable together with what is noted there.
    pub(super) fn mint_in(&mut self, shard: usize) -> QueueId {
        loop {
            let id = self.mint();
            if self.spool.shard_of(id) == shard {
                return id;
            }
        }
    }

    /// Stores what was found in the drop folder; the file goes when the message is durable.
    pub(super) fn store_drop(&mut self, name: &str, envelope: Box<Envelope>, body: Vec<u8>) {
        let mut record = Vec::new();
        if envelope.encode(&mut record).is_ok() {
            self.append(Asker::Drop(name.into()), envelope, &record, body.into());
        }
    }
}
