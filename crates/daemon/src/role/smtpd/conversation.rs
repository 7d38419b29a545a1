//! One connection: octets in, octets out, and what the session asks of others in between.

use super::{House, Place};
use crate::edge::{LargeBody, PolicyEdge};
use crate::edges;
use crate::{session_envelope, session_lines};
use policy::{Origin, Refusal, Resolved, Verdict};
use smtp::server::{Body, Deadline, Input, Message, Moment, NotStored, Outbox, Request, Session};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Octets that are read of a client who speaks before the greeting.
const EARLY_BYTES: usize = 512;

/// How long a client may leave a reply unread.
const UNREAD: Duration = Duration::from_mins(5);

/// A connection and its session.
struct Conversation {
    place: Place,
    session: Session,
    out: Outbox,
    /// Replies that are not sent yet.
    replies: Vec<u8>,
    /// Octets that were read and that the session did not want yet.
    ahead: Vec<u8>,
    large: Option<LargeBody>,
    deadline: Option<Instant>,
    /// The policy of this session: a reload does not change it.
    policy: Option<PolicyEdge>,
    terms: Arc<smtp::server::Terms>,
    /// Tells the policy when this client is gone, if it counts clients.
    counted: Option<Counted>,
}

/// A client that the policy has counted: told when it is gone, however its session ends.
struct Counted {
    policy: PolicyEdge,
    farewell: Option<policy::Question>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let policy = self.policy.clone();
        if let Some(farewell) = self.farewell.take() {
            // The answer says nothing.
            drop(tokio::task::spawn_local(async move { policy.judge(farewell).await }));
        }
    }
}

/// What a wait came to.
enum Event {
    Readable,
    Stop,
    Timeout,
}

/// Talks to one client until either has had enough.
pub(super) async fn converse(place: Place, peer: SocketAddr) {
    let local = place.stream.local_address().unwrap_or(peer);
    let origin = Origin::Client { peer, local, name: Box::default(), resolved: Resolved::Fail };
    let terms = Arc::clone(&place.house.terms.borrow());
    let daemon = place.daemon;
    let policy = place.house.policy.borrow().clone();
    let mut conversation = Conversation {
        session: Session::new(Arc::clone(&terms), daemon, origin),
        place,
        out: Outbox::default(),
        replies: Vec::new(),
        ahead: Vec::new(),
        large: None,
        deadline: None,
        policy,
        terms,
        counted: None,
    };
    // A connection that breaks is the client's affair.
    drop(conversation.work().await);
}

impl Conversation {
    fn house(&self) -> &House {
        &self.place.house
    }

    async fn work(&mut self) -> io::Result<()> {
        self.step(Input::Open);
        loop {
            self.carry_out().await?;
            if self.session.is_over() {
                return self.send().await;
            }
            if !self.ahead.is_empty() && self.session.wants_bytes() {
                let ahead = std::mem::take(&mut self.ahead);
                self.feed(&ahead);
                continue;
            }
            self.send().await?;
            match self.wait().await? {
                Event::Readable => {
                    self.delay().await;
                    self.read()?;
                }
                Event::Stop => self.told(Input::Shutdown),
                Event::Timeout => self.told(Input::Timeout),
            }
        }
    }

    fn step(&mut self, input: Input<'_>) -> usize {
        let house = &self.place.house;
        let moment = Moment {
            now: wire::date::Date { unix_s: sys::clock::realtime_s(), offset_s: house.offset_s },
            fresh_id: house.ids.fresh(),
        };
        self.out.clear();
        let taken = self.session.step(input, &moment, &mut self.out);
        if taken.id {
            house.ids.use_up(moment.fresh_id);
        }
        match self.out.deadline {
            Deadline::Keep => {}
            Deadline::In(seconds) => {
                let pause = Duration::from_secs(u64::from(seconds));
                self.deadline = Instant::now().checked_add(pause);
            }
            Deadline::Off => self.deadline = None,
        }
        self.replies.extend_from_slice(&self.out.bytes);
        let log = &self.place.house.log;
        session_lines::write(log, &self.terms.settings, &self.session, &self.out.events);
        if let (Some(node), Some(queue)) = (self.out.turn.take(), &*house.queue.borrow()) {
            queue.turn(node);
        }
        if self.out.drops_large {
            self.large = None;
        }
        taken.octets
    }

    /// A step of an input that has no octets.
    fn told(&mut self, input: Input<'_>) {
        self.step(input);
    }

    /// On a machine that is too busy a command waits a second, and nobody else with it (option `DelayLA`).
    async fn delay(&self) {
        let most = self.place.bounds().over(&self.terms.settings.limits).delay_load;
        if most > 0 && self.session.awaits_command() && sys::load::average() > most {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Gives the session octets; what it does not want yet is kept.
    fn feed(&mut self, octets: &[u8]) {
        let taken = self.step(Input::Bytes(octets));
        self.ahead.extend_from_slice(octets.get(taken..).unwrap_or_default());
    }

    /// Reads what is there into the buffer that all sessions share.
    fn read(&mut self) -> io::Result<()> {
        let house = std::rc::Rc::clone(&self.place.house);
        let mut scratch = house.scratch.borrow_mut();
        match self.place.stream.try_read(&mut scratch) {
            Ok(0) => {
                self.step(Input::Eof);
                Ok(())
            }
            Ok(count) => {
                self.feed(scratch.get(..count).unwrap_or_default());
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => {
                self.step(Input::Eof);
                Err(error)
            }
        }
    }

    /// Waits for octets, the end of the server, or the end of the time.
    async fn wait(&self) -> io::Result<Event> {
        let house = self.house();
        if house.is_stopping.get() {
            return Ok(Event::Stop);
        }
        let mut readable = pin!(self.place.stream.readable());
        let mut stop = pin!(house.stop.notified());
        let event = poll_fn(|context| {
            if stop.as_mut().poll(context).is_ready() {
                return Poll::Ready(Ok(Event::Stop));
            }
            readable.as_mut().poll(context).map(|ready| ready.map(|()| Event::Readable))
        });
        match self.deadline {
            Some(deadline) => match timeout_at(deadline, event).await {
                Ok(event) => event,
                Err(_) => Ok(Event::Timeout),
            },
            None => event.await,
        }
    }

    /// Sends all replies. A client that does not read them is not waited for without end.
    async fn send(&mut self) -> io::Result<()> {
        let mut sent = 0;
        while let Some(rest) = self.replies.get(sent..).filter(|rest| !rest.is_empty()) {
            match self.place.stream.try_write(rest) {
                Ok(count) => sent = sent.saturating_add(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    tokio::time::timeout(UNREAD, self.place.stream.writable()).await??;
                }
                Err(error) => return Err(error),
            }
        }
        self.replies.clear();
        // An idle session holds no buffers.
        self.replies.shrink_to(0);
        self.ahead.shrink_to(0);
        Ok(())
    }

    /// Does what the session asks for, until it asks for nothing.
    async fn carry_out(&mut self) -> io::Result<()> {
        loop {
            if !self.out.body.is_empty() {
                let written = self.large.as_mut().map(|large| large.write(&self.out.body));
                if !matches!(written, Some(Ok(()))) {
                    self.large = None;
                }
                self.out.body.clear();
            }
            match self.out.request.take() {
                None => return Ok(()),
                Some(Request::Ask(question)) => {
                    if let Some(refusal) = self.lack_of_room(&question.ask) {
                        self.step(Input::Verdict(Verdict::Refuse(refusal)));
                        continue;
                    }
                    self.count(&question);
                    let verdict = match &self.policy {
                        Some(policy) => policy.judge(*question).await,
                        None => None,
                    };
                    if verdict.is_none() {
                        // It died: the next question goes to its successor.
                        let successor = self.house().policy.borrow().clone();
                        self.policy = successor;
                    }
                    self.step(Input::Verdict(verdict.unwrap_or_else(no_policy)));
                }
                Some(Request::Pause { ms }) => {
                    let input = self.pause(ms).await;
                    self.step(input);
                }
                Some(Request::OpenLarge) => {
                    let queue = self.house().queue.borrow().clone();
                    let large = match queue {
                        Some(queue) if !queue.is_full() => queue.begin_large().await,
                        Some(_) | None => None,
                    };
                    self.large = large;
                    match self.large {
                        Some(_) => self.step(Input::LargeReady),
                        None => self.step(Input::NotStored(NotStored::Full)),
                    };
                }
                Some(Request::Store(message)) => {
                    let stored = self.store(*message).await;
                    self.step(stored);
                }
            }
        }
    }

    /// Waits until the client says something before it was greeted; the end of its side counts, too.
    async fn early(&mut self) {
        let mut octets = [0; EARLY_BYTES];
        while self.place.stream.readable().await.is_ok() {
            match self.place.stream.try_read(&mut octets) {
                Ok(count) => {
                    self.ahead.extend_from_slice(octets.get(..count).unwrap_or_default());
                    return;
                }
                // It was a false alarm.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }

    /// Lets the client wait. Who speaks while the greeting waits is told of.
    async fn pause(&mut self, ms: u32) -> Input<'static> {
        let pause = Duration::from_millis(u64::from(ms));
        if self.session.holds_greeting() {
            if tokio::time::timeout(pause, self.early()).await.is_ok() {
                return Input::SpokeEarly;
            }
        } else {
            tokio::time::sleep(pause).await;
        }
        Input::Paused
    }

    /// Remembers that the policy is asked about a client that it counts.
    fn count(&mut self, question: &policy::Question) {
        let is_wanted = self.terms.settings.limits.rate_window_s > 0;
        if let (Some(policy), policy::Ask::Connect, true) = (&self.policy, &question.ask, is_wanted)
        {
            let facts = question.facts.clone();
            let farewell = Some(policy::Question { facts, ask: policy::Ask::Left });
            self.counted = Some(Counted { policy: policy.clone(), farewell });
        }
    }

    /// What is said to MAIL for a message that the queue has no room for: no client should send it for nothing.
    fn lack_of_room(&self, ask: &policy::Ask) -> Option<Refusal> {
        let policy::Ask::Sender { parameters, .. } = ask else { return None };
        let queue = self.house().queue.borrow();
        let queue = queue.as_ref()?;
        let settings = &self.terms.settings;
        let (needed, free) = (parameters.size_bytes.unwrap_or(0), queue.free_bytes());
        if free < needed.saturating_add(settings.limits.free_bytes_min) {
            let log = &self.house().log;
            session_lines::low_on_space_for(log, settings, &self.session, needed, free);
            // The log knows.
            return Some(no_room(b""));
        }
        queue.is_full().then(|| no_room(b"queue"))
    }

    /// Has a message made durable. Only what the queue answers to this becomes `Stored`.
    async fn store(&mut self, message: Message) -> Input<'static> {
        let id = message.id;
        if message.discard.is_some() {
            session_lines::discarded(&self.house().log, id);
            self.large = None;
            return Input::Stored(id);
        }
        let facts = self.session.facts();
        let envelope = session_envelope::of(&message, facts, &self.terms.settings);
        let mut record = Vec::new();
        if envelope.encode(&mut record).is_err() {
            return Input::NotStored(NotStored::Trouble);
        }
        let queue = self.house().queue.borrow().clone();
        let stored = match (queue, message.body, self.large.take()) {
            (Some(queue), _, _) if queue.is_full() => Err(edges::NotStored::Full),
            // It was opened, and then the disk took no more of it.
            (Some(_), Body::Large, None) => Err(edges::NotStored::Full),
            (Some(queue), Body::Inline(body), _) => queue.commit(&record, &body).await,
            (Some(_), Body::Large, Some(large)) if large.size_bytes() == message.size_bytes => {
                large.commit(&record).await
            }
            (_, _, _) => Err(edges::NotStored::Trouble),
        };
        match stored {
            Ok(id) => Input::Stored(id),
            Err(edges::NotStored::Full) => Input::NotStored(NotStored::Full),
            Err(edges::NotStored::Trouble) => Input::NotStored(NotStored::Trouble),
        }
    }
}

/// What is said while the disk is full, before the message is sent.
fn no_room(by: &[u8]) -> Refusal {
    Refusal::new(452, (4, 4, 5), b"Insufficient disk space; try again later", by)
}

/// What is said while there is no policy: not now.
fn no_policy() -> Verdict {
    Verdict::Refuse(Refusal::new(451, (4, 3, 2), b"Please try again later", b"policy"))
}
