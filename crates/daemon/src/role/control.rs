//! `control`: hears the commands of this machine's users on a Unix socket; who they are is what the
//! kernel says (`SO_PEERCRED`), never what they say.

mod commands;

use crate::cage;
use crate::conversation::Conversation;
use crate::edge::{LargeBody, QueueEdge};
use crate::edges::{Grant, News, NotStored, Order, Proof};
use crate::ids::{self, Ids};
use crate::life::Life;
use crate::link::LinkError;
use crate::log::{Log, Severity};
use crate::request::{Answer, HostsOrder, Request, Submission};
use crate::roles::Role;
use crate::start::Inheritance;
use crate::submission;
use policy::Settings;
use policy::settings::BODY_INLINE_BYTES_MAX;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::oneshot;

/// Commands at the same time.
const COMMANDS_MAX: usize = 1000;

/// How long a command may be silent.
const SILENCE: Duration = Duration::from_mins(5);

/// How long the others have to prove their cages.
const PROOFS: Duration = Duration::from_secs(10);

/// What all conversations share.
struct House {
    settings: RefCell<Settings>,
    queue: RefCell<Option<QueueEdge>>,
    ids: Rc<Ids>,
    life: crate::port::Port,
    log: Log,
    proofs: RefCell<HashMap<u32, oneshot::Sender<Vec<Proof>>>>,
    next_ticket: Cell<u32>,
    /// Who may order, besides root: the user who runs the server without root.
    operator: u32,
    commands: Cell<usize>,
}

/// Works until master says stop.
pub(crate) fn run(mut inheritance: Inheritance) -> Result<ExitCode, LinkError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let log = inheritance.log();
    let socket = inheritance.take(|grant| matches!(grant, Grant::ControlSocket));
    let socket = socket.ok_or(LinkError::Garbled("no control socket"))?;
    let commands = inheritance.take(|grant| matches!(grant, Grant::CommandSocket));
    let operator = sys::user::effective_uid();
    let weaker = cage::enter(&inheritance)?;
    inheritance.ready(&weaker)?;
    tokio::task::LocalSet::new()
        .block_on(&runtime, work(inheritance, (socket, commands), log, operator))
}

async fn work(
    inheritance: Inheritance,
    (socket, commands): (OwnedFd, Option<OwnedFd>),
    log: Log,
    operator: u32,
) -> Result<ExitCode, LinkError> {
    let (role, index) = (inheritance.role, inheritance.index);
    let mut life = Life::begin(inheritance.life);
    let house = Rc::new(House {
        settings: RefCell::new(inheritance.settings),
        queue: RefCell::new(None),
        ids: Rc::new(Ids::new(ids::CONTROL_LANE)),
        life: life.port(),
        log,
        proofs: RefCell::default(),
        next_ticket: Cell::new(0),
        operator,
        commands: Cell::new(0),
    });
    for (grant, descriptor) in inheritance.grants {
        house.granted(&grant, descriptor);
    }
    let accepting =
        tokio::task::spawn_local(accept(Rc::clone(&house), UnixListener::from_std(socket.into())?));
    if let Some(socket) = commands {
        let socket = UnixListener::from_std(socket.into())?;
        tokio::task::spawn_local(commands::serve(Rc::clone(&house), socket));
    }
    while let Some((order, descriptor)) = life.order().await {
        match (order, descriptor) {
            (Order::Grant(grant), Some(descriptor)) => house.granted(&grant, descriptor),
            (Order::Settings(settings), _) => *house.settings.borrow_mut() = *settings,
            (Order::Prove { ticket, with_deeds }, _) => {
                let proof = cage::prove(role, index, vec![Role::Queue], with_deeds);
                life.tell(&News::Proof { ticket, proof });
            }
            (Order::Proofs { ticket, proofs }, _) => {
                if let Some(asker) = house.proofs.borrow_mut().remove(&ticket) {
                    // The command may have gone away.
                    drop(asker.send(proofs));
                }
            }
            (Order::Stop, _) => break,
            (
                Order::Go { .. }
                | Order::Errand(_)
                | Order::Read(_)
                | Order::NoChild { .. }
                | Order::NoSocket { .. }
                | Order::Grant(_),
                _,
            ) => {}
        }
    }
    accepting.abort();
    // Submissions that are on their way to the disk get their answer.
    for _ in 0..50 {
        if house.commands.get() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(ExitCode::SUCCESS)
}

async fn accept(house: Rc<House>, socket: UnixListener) {
    loop {
        match socket.accept().await.and_then(|(connection, _)| connection.into_std()) {
            Ok(connection) if house.commands.get() < COMMANDS_MAX => {
                let house = Rc::clone(&house);
                tokio::task::spawn_local(async move {
                    house.commands.set(house.commands.get().saturating_add(1));
                    // A command that goes away or talks nonsense ends its own conversation only.
                    drop(tokio::time::timeout(SILENCE, converse(&house, connection.into())).await);
                    house.commands.set(house.commands.get().saturating_sub(1));
                });
            }
            Ok(_too_many) => {}
            // Out of descriptors, or the peer is gone again: never stop accepting for it.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn converse(house: &Rc<House>, connection: OwnedFd) -> Result<(), LinkError> {
    let uid = sys::socket::peer_uid(&connection)?;
    let mut conversation = Conversation::new(connection)?;
    loop {
        let (request, _) = conversation.receive::<Request>().await?;
        let may_order = uid == 0 || uid == house.operator;
        let answer = match request {
            Request::Submit(submission) => house.submit(&mut conversation, uid, submission).await?,
            Request::List => house.list(&mut conversation).await?,
            Request::Flush
            | Request::Run(_)
            | Request::Remove(_)
            | Request::Hosts(HostsOrder::Purge)
            | Request::Privileges { .. }
            | Request::Reload
                if !may_order =>
            {
                Answer::NotPermitted
            }
            Request::Flush => match house.queue() {
                Some(queue) if queue.flush() => Answer::Done,
                Some(_) | None => not_now(),
            },
            Request::Run(run) => match house.queue() {
                Some(queue) if queue.run(run) => Answer::Done,
                Some(_) | None => not_now(),
            },
            Request::Hosts(order) => house.hosts(&mut conversation, order).await?,
            Request::Remove(id) => house.remove(id).await,
            Request::Privileges { with_deeds } => house.privileges(with_deeds).await,
            Request::Reload => {
                drop(house.life.send(&News::ReloadWanted, &[]));
                Answer::Done
            }
            Request::Body | Request::End => Answer::Confused,
        };
        conversation.send(&answer, &[]).await?;
    }
}

fn not_now() -> Answer {
    Answer::NotNow("the queue is not there now; try again".into())
}

impl House {
    fn granted(&self, grant: &Grant, descriptor: OwnedFd) {
        if matches!(grant, Grant::Edge { to: Role::Queue, .. }) {
            *self.queue.borrow_mut() = Some(QueueEdge::open(descriptor, Rc::clone(&self.ids)));
        }
    }

    fn queue(&self) -> Option<QueueEdge> {
        self.queue.borrow().clone()
    }

    /// Takes the body in pieces, then hands the whole to the queue. What does not fit into a frame goes
    /// into a file of the queue's as it comes.
    async fn submit(
        &self,
        conversation: &mut Conversation,
        uid: u32,
        submission: Submission,
    ) -> Result<Answer, LinkError> {
        let limits = self.settings.borrow().limits;
        let id = self.ids.mint();
        let dresses = self.settings.borrow().dresses_mail;
        let mut body = if dresses {
            // Trace fields are made when it is handed on.
            Vec::new()
        } else {
            submission::received(&self.settings.borrow(), uid, &submission, id)
        };
        let mut large: Option<LargeBody> = None;
        let mut size_bytes = 0_u64;
        let mut refusal = submission::fault(&submission);
        loop {
            let (request, piece) = conversation.receive::<Request>().await?;
            match request {
                Request::Body => {}
                Request::End => break,
                Request::Submit(_)
                | Request::List
                | Request::Hosts(_)
                | Request::Flush
                | Request::Run(_)
                | Request::Remove(_)
                | Request::Privileges { .. }
                | Request::Reload => return Ok(Answer::Confused),
            }
            size_bytes = size_bytes.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
            if size_bytes > limits.message_bytes_max {
                refusal = Some(too_large(limits.message_bytes_max));
            }
            if refusal.is_none() && !self.take(piece, &mut body, &mut large).await {
                refusal = Some(not_now());
            }
        }
        Ok(match refusal {
            Some(refusal) => refusal,
            None => self.commit(id, uid, &submission, &body, large).await,
        })
    }

    /// Adds a piece of a body. False: there is no place for it.
    async fn take(
        &self,
        piece: Vec<u8>,
        body: &mut Vec<u8>,
        large: &mut Option<LargeBody>,
    ) -> bool {
        if let Some(file) = large {
            return file.write(&piece).is_ok();
        }
        body.extend_from_slice(&piece);
        if body.len() > BODY_INLINE_BYTES_MAX {
            *large = self.begin_large(body).await;
            return large.is_some();
        }
        true
    }

    async fn begin_large(&self, body: &mut Vec<u8>) -> Option<LargeBody> {
        let mut large = self.queue()?.begin_large().await?;
        large.write(&std::mem::take(body)).ok()?;
        Some(large)
    }

    async fn commit(
        &self,
        id: wire::QueueId,
        uid: u32,
        submission: &Submission,
        body: &[u8],
        large: Option<LargeBody>,
    ) -> Answer {
        let Some(queue) = self.queue() else { return not_now() };
        let size_bytes = large.as_ref().map_or(body.len() as u64, LargeBody::size_bytes);
        let envelope = submission::envelope(id, uid, submission, size_bytes);
        let mut record = Vec::new();
        if envelope.encode(&mut record).is_err() {
            return Answer::Refused("too many recipients, or an address is too long".into());
        }
        let stored = match large {
            Some(large) => large.commit(&record).await,
            None => queue.commit(&record, body).await,
        };
        match stored {
            Ok(id) => {
                let line = submission::from_line(&envelope);
                self.log.line(Severity::Info, Some(id), &line);
                Answer::Stored(id)
            }
            Err(NotStored::Full) => {
                Answer::NotNow("insufficient disk space; try again later".into())
            }
            Err(NotStored::Trouble) => not_now(),
        }
    }

    /// Sends the list in parts; the empty one that ends it is the answer.
    async fn list(&self, conversation: &mut Conversation) -> Result<Answer, LinkError> {
        let Some(queue) = self.queue() else { return Ok(not_now()) };
        let mut after = 0;
        loop {
            let Some(entries) = queue.list(after).await else { return Ok(not_now()) };
            let Some(last) = entries.last() else { return Ok(Answer::Listed(Vec::new())) };
            after = last.id.as_u64();
            conversation.send(&Answer::Listed(entries), &[]).await?;
        }
    }

    /// Sends what is known of hosts in parts; the empty one that ends it is the answer.
    async fn hosts(
        &self,
        conversation: &mut Conversation,
        order: HostsOrder,
    ) -> Result<Answer, LinkError> {
        let Some(queue) = self.queue() else { return Ok(not_now()) };
        let purges = order == HostsOrder::Purge;
        let mut from = 0_u32;
        loop {
            let Some(hosts) = queue.hosts(from, purges).await else { return Ok(not_now()) };
            if purges {
                return Ok(Answer::Done);
            }
            if hosts.is_empty() {
                return Ok(Answer::Hosts(hosts));
            }
            from = from.saturating_add(u32::try_from(hosts.len()).unwrap_or(u32::MAX));
            conversation.send(&Answer::Hosts(hosts), &[]).await?;
        }
    }

    async fn remove(&self, id: wire::QueueId) -> Answer {
        let Some(queue) = self.queue() else { return not_now() };
        match queue.remove(id).await {
            Some(true) => Answer::Done,
            Some(false) => Answer::NoSuch,
            None => not_now(),
        }
    }

    async fn privileges(&self, with_deeds: bool) -> Answer {
        let ticket = self.next_ticket.get().wrapping_add(1);
        self.next_ticket.set(ticket);
        let (sender, receiver) = oneshot::channel();
        self.proofs.borrow_mut().insert(ticket, sender);
        if self.life.send(&News::ProofWanted { ticket, with_deeds }, &[]).is_err() {
            return not_now();
        }
        if let Ok(Ok(proofs)) = tokio::time::timeout(PROOFS, receiver).await {
            return Answer::Processes(proofs);
        }
        self.proofs.borrow_mut().remove(&ticket);
        Answer::NotNow("the processes did not answer".into())
    }
}

/// sendmail's words for a message above its `MaxMessageSize`.
fn too_large(limit: u64) -> Answer {
    Answer::Refused(format!("552 5.2.3 Message exceeds maximum fixed size ({limit})").into())
}
