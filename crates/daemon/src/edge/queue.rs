//! Asks the queue to make messages durable, and for what is queued.

use crate::edges::{FromQueue, HostStatus, Listed, NotStored, ToQueue};
use crate::ids::Ids;
use crate::link::LinkError;
use crate::port::Port;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use tokio::sync::oneshot;
use wire::QueueId;

/// An edge to the queue; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct QueueEdge {
    inner: Rc<Inner>,
}

#[derive(Debug)]
struct Inner {
    port: Port,
    waiting: RefCell<HashMap<u32, oneshot::Sender<Reply>>>,
    next_ticket: Cell<u32>,
    has_room: Cell<bool>,
    free_bytes: Cell<u64>,
    ids: Rc<Ids>,
}

#[derive(Debug)]
enum Reply {
    Stored(QueueId),
    NotStored(NotStored),
    Large(OwnedFd),
    Listed(Vec<Listed>),
    Removed(bool),
    Hosts(Vec<HostStatus>),
}

/// A large body that is being written into a file of the queue's.
#[derive(Debug)]
pub(crate) struct LargeBody {
    edge: QueueEdge,
    ticket: u32,
    file: File,
    size_bytes: u64,
    is_committed: bool,
}

impl QueueEdge {
    /// Starts the edge's task. Must be called inside a `LocalSet`.
    pub(crate) fn open(socket: OwnedFd, ids: Rc<Ids>) -> Self {
        let inner = Rc::new(Inner {
            port: Port::new(socket),
            waiting: RefCell::default(),
            next_ticket: Cell::new(0),
            has_room: Cell::new(true),
            free_bytes: Cell::new(u64::MAX),
            ids,
        });
        let reader = Rc::clone(&inner);
        tokio::task::spawn_local(async move {
            let result = reader.port.run(|link| {
                while let Some((answer, _)) = link.receive::<FromQueue>()? {
                    let (ticket, reply) = match answer {
                        FromQueue::Stored { ticket, id } => (ticket, Reply::Stored(id)),
                        FromQueue::NotStored { ticket, why } => (ticket, Reply::NotStored(why)),
                        FromQueue::Large { ticket } => (ticket, Reply::Large(link.descriptor()?)),
                        FromQueue::Listed { ticket, entries } => (ticket, Reply::Listed(entries)),
                        FromQueue::Hosts { ticket, hosts } => (ticket, Reply::Hosts(hosts)),
                        FromQueue::Removed { ticket, was_there } => {
                            (ticket, Reply::Removed(was_there))
                        }
                        FromQueue::Begin { after } => {
                            reader.ids.raise(after);
                            continue;
                        }
                        // Told on errands, where this edge is another's.
                        FromQueue::Result(_)
                        | FromQueue::Shown(_)
                        | FromQueue::Exit(_)
                        | FromQueue::Running { .. } => continue,
                        FromQueue::Room { has_room, free_bytes } => {
                            reader.has_room.set(has_room);
                            reader.free_bytes.set(free_bytes);
                            continue;
                        }
                    };
                    let asker = reader.waiting.borrow_mut().remove(&ticket);
                    let asker = asker.ok_or(LinkError::Garbled("an answer without a question"))?;
                    // A session that has ended meanwhile wants no answer.
                    drop(asker.send(reply));
                }
                Ok(())
            });
            drop(result.await);
            // Whoever waits is told that no answer will come: nothing was promised.
            reader.waiting.borrow_mut().clear();
        });
        Self { inner }
    }

    /// Whether the queue has said that it takes no messages now.
    pub(crate) fn is_full(&self) -> bool {
        !self.inner.has_room.get()
    }

    /// Octets that are free on the queue's disk, as far as it has said.
    pub(crate) fn free_bytes(&self) -> u64 {
        self.inner.free_bytes.get()
    }

    fn ticket(&self) -> u32 {
        let ticket = self.inner.next_ticket.get().wrapping_add(1);
        self.inner.next_ticket.set(ticket);
        ticket
    }

    async fn ask(&self, ticket: u32, question: &ToQueue, tail: &[u8]) -> Option<Reply> {
        let (sender, receiver) = oneshot::channel();
        self.inner.port.send(question, tail).ok()?;
        self.inner.waiting.borrow_mut().insert(ticket, sender);
        receiver.await.ok()
    }

    fn stored(reply: Option<Reply>) -> Result<QueueId, NotStored> {
        match reply {
            Some(Reply::Stored(id)) => Ok(id),
            Some(Reply::NotStored(why)) => Err(why),
            Some(Reply::Large(_) | Reply::Listed(_) | Reply::Removed(_) | Reply::Hosts(_))
            | None => Err(NotStored::Trouble),
        }
    }

    /// Makes a message with a small body durable.
    pub(crate) async fn commit(&self, envelope: &[u8], body: &[u8]) -> Result<QueueId, NotStored> {
        let ticket = self.ticket();
        let question = ToQueue::Commit { ticket, envelope: envelope.into(), large_bytes: None };
        Self::stored(self.ask(ticket, &question, body).await)
    }

    /// Asks for a file to write a large body into. `None`: not now.
    pub(crate) async fn begin_large(&self) -> Option<LargeBody> {
        let ticket = self.ticket();
        match self.ask(ticket, &ToQueue::BeginLarge { ticket }, &[]).await? {
            Reply::Large(file) => Some(LargeBody {
                edge: self.clone(),
                ticket,
                file: file.into(),
                size_bytes: 0,
                is_committed: false,
            }),
            Reply::Stored(_)
            | Reply::NotStored(_)
            | Reply::Listed(_)
            | Reply::Removed(_)
            | Reply::Hosts(_) => None,
        }
    }

    /// What is queued behind this id; empty: nothing more. `None`: the queue is gone.
    pub(crate) async fn list(&self, after: u64) -> Option<Vec<Listed>> {
        let ticket = self.ticket();
        match self.ask(ticket, &ToQueue::List { ticket, after }, &[]).await? {
            Reply::Listed(entries) => Some(entries),
            Reply::Stored(_)
            | Reply::NotStored(_)
            | Reply::Large(_)
            | Reply::Removed(_)
            | Reply::Hosts(_) => None,
        }
    }

    /// What is known of hosts, behind so many of them; empty: nothing more. `None`: the queue is gone.
    pub(crate) async fn hosts(&self, from: u32, purges: bool) -> Option<Vec<HostStatus>> {
        let ticket = self.ticket();
        match self.ask(ticket, &ToQueue::Hosts { ticket, from, purges }, &[]).await? {
            Reply::Hosts(hosts) => Some(hosts),
            Reply::Stored(_)
            | Reply::NotStored(_)
            | Reply::Large(_)
            | Reply::Listed(_)
            | Reply::Removed(_) => None,
        }
    }

    /// Drops a message. Whether there was one; `None`: the queue is gone.
    pub(crate) async fn remove(&self, id: QueueId) -> Option<bool> {
        let ticket = self.ticket();
        match self.ask(ticket, &ToQueue::Remove { ticket, id }, &[]).await? {
            Reply::Removed(was_there) => Some(was_there),
            Reply::Stored(_)
            | Reply::NotStored(_)
            | Reply::Large(_)
            | Reply::Listed(_)
            | Reply::Hosts(_) => None,
        }
    }

    /// Has the mail of a host tried now. A queue that is gone tries everything when it comes back.
    pub(crate) fn turn(&self, node: Box<[u8]>) {
        self.inner.port.send(&ToQueue::Turn { node }, &[]).ok();
    }

    /// Has everything tried now. False: the queue is gone.
    pub(crate) fn flush(&self) -> bool {
        self.inner.port.send(&ToQueue::Flush, &[]).is_ok()
    }

    /// Has done with messages what an operator wishes. False: the queue is gone.
    pub(crate) fn run(&self, run: Box<queue::run::Run>) -> bool {
        self.inner.port.send(&ToQueue::Run(run), &[]).is_ok()
    }
}

impl LargeBody {
    /// Octets written so far.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Appends to the body.
    ///
    /// # Errors
    /// The disk is full or broken: the message can't be taken.
    pub(crate) fn write(&mut self, piece: &[u8]) -> std::io::Result<()> {
        self.file.write_all(piece)?;
        let count = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.size_bytes = self.size_bytes.saturating_add(count);
        Ok(())
    }

    /// Makes the message durable, body and all.
    pub(crate) async fn commit(mut self, envelope: &[u8]) -> Result<QueueId, NotStored> {
        self.is_committed = true;
        let (edge, ticket) = (self.edge.clone(), self.ticket);
        let large_bytes = Some(self.size_bytes);
        let question = ToQueue::Commit { ticket, envelope: envelope.into(), large_bytes };
        QueueEdge::stored(edge.ask(ticket, &question, &[]).await)
    }
}

impl Drop for LargeBody {
    fn drop(&mut self) {
        if !self.is_committed {
            // If the queue is gone, the file is gone with it.
            drop(self.edge.inner.port.send(&ToQueue::Abandon { ticket: self.ticket }, &[]));
        }
    }
}
