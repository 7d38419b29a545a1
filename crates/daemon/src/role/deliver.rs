//! `deliver`: one user's mailboxes, written as that user, in a cage that holds nothing else.
//!
//! Takes all tries that wait, puts those of one mailer into their mailboxes with one lock and one sync, and
//! reports them only then. A child without work for a while ends; the queue asks for another one.

use crate::cage;
use crate::edges::{Grant, News, Order, Task, Tried, Try, Ward};
use crate::link::{Link, LinkError};
use crate::roles::Role;
use crate::start::Inheritance;
use deliver::{Agent, AgentSpool, Body, Form, Job, Mailboxes, Moment};
use policy::settings::Passage;
use policy::{Carriage, MailboxPlace, MailerId, Program, Settings, Transport};
use queue::{Batch, BodyKind, Outcome, Scope, Status, Trouble};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;

/// How long a child without work lives.
const IDLE_MS: u64 = 10_000;

/// Tries that are delivered together.
const TRIES_MAX: usize = 100;

/// The delivery agent that comes with sendmail, and with us.
const MAIL_LOCAL: &str = "mail.local";

/// The program that this process runs, whatever its file is called now.
const OURSELVES: &[u8] = b"/proc/self/exe";

/// A try with its body.
struct Parcel {
    wish: Try,
    body: ParcelBody,
}

enum ParcelBody {
    Inline(Vec<u8>),
    Large(File, u64),
}

/// The child's state.
struct House {
    settings: Settings,
    role: Role,
    /// The mail spool of agents that see their user's mailbox alone.
    agent_spool: Option<AgentSpool>,
    /// The folder of the mailbox that a program would have written, where none is run.
    spool: Option<Box<[u8]>>,
    home: Option<Box<[u8]>>,
    offset_s: i32,
    mailboxes: HashMap<MailerId, Mailboxes>,
    queue: Link,
    life: Link,
}

/// Works until the queue lets go, master says stop, or there is nothing to do.
pub(crate) fn run(mut inheritance: Inheritance) -> Result<ExitCode, LinkError> {
    // Neither a cage nor another root has a time zone file.
    let offset_s = crate::date::offset_s();
    if let Some(Transport::Program(program)) = program_of(&inheritance)
        && inheritance.role == Role::Agent
    {
        // Without it what leaves its group outlives its time.
        sys::orphans::adopt().ok();
        // Both need the rights that the cage takes.
        sys::confine::be_nicer(program.nice);
        if !program.root.is_empty() {
            sys::confine::change_root(&crate::path_of(&program.root))?;
        }
    }
    let edge = inheritance.take(|grant| matches!(grant, Grant::Child { .. }));
    let edge = edge.ok_or(LinkError::Garbled("no edge to the queue"))?;
    let hidden = cage::hide_mailboxes(&inheritance);
    let (weaker, agent_spool) = cage::enter_hiding(&inheritance, hidden)?;
    inheritance.ready(&weaker)?;
    let identity = inheritance.identity;
    let mailbox = identity.as_ref().map(|identity| crate::path_of(&identity.mailbox));
    let spool = mailbox.as_deref().and_then(|mailbox| mailbox.parent());
    let mut house = House {
        agent_spool,
        spool: spool.map(|spool| crate::path_octets(spool).into()),
        role: inheritance.role,
        home: identity.map(|identity| identity.home).filter(|home| !home.is_empty()),
        settings: inheritance.settings,
        offset_s,
        mailboxes: HashMap::new(),
        queue: Link::new(edge),
        life: inheritance.life,
    };
    house.work()
}

/// How the mailer carries whose programs this child runs.
fn program_of(inheritance: &Inheritance) -> Option<&Transport> {
    let id = inheritance.grants.iter().find_map(|(grant, _)| {
        if let Grant::Child { ward: Ward { task: Task::Program(id), .. } } = grant {
            Some(*id)
        } else {
            None
        }
    })?;
    inheritance.settings.mailers.get(usize::from(id.0)).map(|mailer| &mailer.transport)
}

impl House {
    fn work(&mut self) -> Result<ExitCode, LinkError> {
        loop {
            if self.take_orders()? {
                return Ok(ExitCode::SUCCESS);
            }
            let parcels = self.take_parcels()?;
            let is_idle = parcels.is_empty();
            self.deliver(parcels)?;
            while !self.queue.flush()? {
                sys::poll::writable(&self.queue)?;
            }
            self.life.flush()?;
            if is_idle && !self.wait()? || self.agent_spool.as_ref().is_some_and(is_outdated) {
                return Ok(ExitCode::SUCCESS);
            }
        }
    }

    /// True: stop.
    fn take_orders(&mut self) -> Result<bool, LinkError> {
        while let Some((order, _)) = self.life.receive::<Order>()? {
            match order {
                Order::Prove { ticket, with_deeds } => {
                    let proof = cage::prove(self.role, 0, vec![Role::Queue], with_deeds);
                    self.life.send(&News::Proof { ticket, proof }, &[])?;
                }
                Order::Stop => return Ok(true),
                Order::Settings(settings) => {
                    self.settings = *settings;
                    self.mailboxes.clear();
                }
                Order::Grant(_) => drop(self.life.descriptor()?),
                Order::Go { .. }
                | Order::Read(_)
                | Order::NoChild { .. }
                | Order::NoSocket { .. }
                | Order::Errand(_)
                | Order::Proofs { .. } => {}
            }
        }
        Ok(false)
    }

    fn take_parcels(&mut self) -> Result<Vec<Parcel>, LinkError> {
        let mut parcels = Vec::new();
        while parcels.len() < TRIES_MAX {
            let Some((wish, tail)) = self.queue.receive::<Try>()? else { break };
            let body = match wish.large_bytes {
                None => ParcelBody::Inline(tail.to_vec()),
                Some(size) => ParcelBody::Large(self.queue.descriptor()?.into(), size),
            };
            parcels.push(Parcel { wish, body });
        }
        Ok(parcels)
    }

    /// Delivers, mailer by mailer, and reports each try when everything of its mailer is durable.
    fn deliver(&mut self, parcels: Vec<Parcel>) -> Result<(), LinkError> {
        let mut by_mailer: HashMap<MailerId, Vec<Parcel>> = HashMap::new();
        for parcel in parcels {
            let batch = &parcel.wish.batch;
            let bytes_max =
                carriage(&self.settings, batch.mailer).map_or(0, |one| one.message_bytes_max);
            match Trouble::too_large(batch, bytes_max) {
                Some(trouble) => {
                    let outcome = Outcome::Never(trouble);
                    let all = batch.recipients.iter().map(|one| (one.index, outcome.clone()));
                    let tried = Tried {
                        batch: batch.id,
                        results: all.collect(),
                        is_last: true,
                        talk: Vec::new(),
                        hosts: Vec::new(),
                    };
                    self.queue.send(&tried, &[])?;
                }
                None => by_mailer.entry(batch.mailer).or_default().push(parcel),
            }
        }
        for (mailer, parcels) in by_mailer {
            let outcomes = self.deliver_by(mailer, &parcels);
            let mut outcomes = outcomes.into_iter();
            for parcel in &parcels {
                let batch = &parcel.wish.batch;
                let results = batch.recipients.iter().map(|recipient| {
                    (recipient.index, outcomes.next().unwrap_or_else(|| later(b"not tried")))
                });
                let tried = Tried {
                    batch: batch.id,
                    results: results.collect(),
                    is_last: true,
                    talk: Vec::new(),
                    hosts: Vec::new(),
                };
                self.queue.send(&tried, &[])?;
            }
        }
        Ok(())
    }

    /// An outcome for each recipient of each try, in order.
    fn deliver_by(&mut self, mailer: MailerId, parcels: &[Parcel]) -> Vec<Outcome> {
        let carriage = carriage(&self.settings, mailer);
        let mut jobs = Vec::new();
        for parcel in parcels {
            let batch = &parcel.wish.batch;
            let form = carriage.map(|carriage| form(&self.settings, carriage, batch));
            let body = match &parcel.body {
                ParcelBody::Inline(octets) => Body::Bytes(octets),
                ParcelBody::Large(file, size) => {
                    let head = parcel.wish.head.as_ref();
                    let start = head.map_or(0, |head| head.text_at);
                    let head = head.map_or(b"".as_slice(), |head| &head.header);
                    Body::File { head, file, start, size: size.saturating_sub(start) }
                }
            };
            for recipient in &batch.recipients {
                jobs.push(Job {
                    sender: &batch.sender,
                    separator: &batch.separator,
                    is_sender_named: batch.is_sender_named,
                    recipient: &recipient.address,
                    user: &recipient.user,
                    body,
                    form,
                });
            }
        }
        let Some(transport) = self.transport(mailer) else {
            return jobs.iter().map(|_| later(b"no mailer of ours")).collect();
        };
        let transport = match (transport, &self.spool) {
            (Transport::Program(program), _) if self.role == Role::Agent => {
                return self.run_programs(&program, mailer, parcels, &jobs);
            }
            (Transport::Program(_), Some(spool)) => {
                Transport::Mbox(MailboxPlace::Spool(spool.clone()))
            }
            (transport, _) => transport,
        };
        if !self.mailboxes.contains_key(&mailer) {
            match Mailboxes::open(&transport, self.home.as_deref(), &self.settings.host_name) {
                Ok(mailboxes) => {
                    let is_agents = self.spool.is_some();
                    let mailboxes = if is_agents { mailboxes.as_mail_local() } else { mailboxes };
                    drop(self.mailboxes.insert(mailer, mailboxes));
                }
                Err(trouble) => return jobs.iter().map(|_| trouble.clone().outcome()).collect(),
            }
        }
        let now = Moment { unix_s: sys::clock::realtime_s(), offset_s: self.offset_s };
        match self.mailboxes.get(&mailer) {
            Some(mailboxes) => mailboxes.deliver_batch(now, &jobs),
            None => jobs.iter().map(|_| later(b"no mailboxes")).collect(),
        }
    }

    /// Runs the program of a mailer for each job.
    fn run_programs(
        &self,
        program: &Program,
        mailer: MailerId,
        parcels: &[Parcel],
        jobs: &[Job<'_>],
    ) -> Vec<Outcome> {
        let Some(mailer) = self.settings.mailers.get(usize::from(mailer.0)) else {
            return jobs.iter().map(|_| later(b"no mailer of ours")).collect();
        };
        let batches = parcels.iter().flat_map(|parcel| {
            std::iter::repeat_n(&parcel.wish.batch, parcel.wish.batch.recipients.len())
        });
        let stand_in = stand_in(program);
        let agent = Agent {
            program: stand_in.as_ref().unwrap_or(program),
            mailer: &mailer.name,
            // With a policy that dresses mail, the way back is in the header already.
            flags: if self.settings.dresses_mail {
                mailer.carriage.flags.without(b'P')
            } else {
                mailer.carriage.flags
            },
            line_end: &mailer.carriage.line_end,
            home: self.home.as_deref(),
            our_name: &self.settings.host_name,
            offset_s: self.offset_s,
            is_alone: true,
            spool: self.agent_spool.as_ref(),
        };
        jobs.iter()
            .zip(batches)
            .map(|(job, batch)| agent.run(sys::clock::realtime_s(), job, &batch.host))
            .collect()
    }

    fn transport(&self, mailer: MailerId) -> Option<Transport> {
        let mailer = self.settings.mailers.get(usize::from(mailer.0))?;
        Some(mailer.transport.clone())
    }

    /// Waits for work or orders. False: there was none for long, or the queue let go.
    fn wait(&mut self) -> Result<bool, LinkError> {
        let watched = [(self.queue.as_fd(), false), (self.life.as_fd(), false)];
        let ready = sys::poll::wait(&watched, Some(IDLE_MS))?;
        if let [queue, life] = *ready {
            if life {
                self.life.fill()?;
            }
            if queue && self.queue.fill().is_err() {
                return Ok(false);
            }
            return Ok(queue || life);
        }
        Ok(false)
    }
}

/// Sendmail's `mail.local` delivers as root or not at all; ours takes its place. What is no compiled program is somebody's
/// own and runs as it is.
fn stand_in(program: &Program) -> Option<Program> {
    let path = crate::path_of(&program.path);
    if path.file_name()? != MAIL_LOCAL || !is_compiled(&path) {
        return None;
    }
    let mut arguments = program.arguments.clone();
    *arguments.first_mut()? = MAIL_LOCAL.as_bytes().into();
    Some(Program { path: OURSELVES.into(), arguments, ..program.clone() })
}

/// Whether a file begins as compiled programs do.
fn is_compiled(path: &Path) -> bool {
    let mut first = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut first));
    read.is_ok() && first == *b"\x7fELF"
}

/// Whether the mailbox that agents of this child see is no longer the user's: the next child sees the one that is.
fn is_outdated(spool: &AgentSpool) -> bool {
    !spool.is_current()
}

fn carriage(settings: &Settings, mailer: MailerId) -> Option<&Carriage> {
    settings.mailers.get(usize::from(mailer.0)).map(|mailer| &mailer.carriage)
}

/// The form in which a mailer wants a message.
fn form<'a>(settings: &'a Settings, carriage: &'a Carriage, batch: &Batch) -> Form<'a> {
    let passage = Passage {
        carriage,
        takes_eight_bit: None,
        is_declared: batch.body == BodyKind::EightBit,
        host_name: &settings.host_name,
        id: batch.message,
    };
    Form { eight_bit: &settings.eight_bit, passage }
}

fn later(why: &[u8]) -> Outcome {
    let trouble = Trouble::ours(Status(4, 3, 0), why);
    Outcome::Later { trouble, scope: Scope::Recipient }
}
