//! One job, same roles: a command without a server starts one for as long as its job lasts.
//!
//! The command keeps what it knows of its caller (input, output, rights) and speaks to the queue as `smtpd` and `control`
//! do, over the same edges and with the same frames: what is [`Job::commit`]ted is durable when the call returns.

use crate::edges::{Argument, Attempt, Errand, FromQueue, HostStatus, Listed, NotStored, ToQueue};
use crate::ids::Ids;
use crate::link::{Link, LinkError};
use crate::roles::Role;
use crate::start::LIFE_DESCRIPTOR;
use policy::settings::BODY_INLINE_BYTES_MAX;
use queue::Envelope;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use sys::spawn::{Child, Manner, Program};
use wire::QueueId;

/// The lane of our ids: that of the first `smtpd`, whose part we play.
pub(crate) const LANE: u8 = 0;

/// How long the server may take to start.
const START_MS: u64 = 60_000;

/// How long the queue may take for an answer.
const ANSWER_MS: u64 = 120_000;

/// An id for a message of a job that may not have begun; a server that runs gives it one of its own.
#[must_use]
pub fn fresh_id() -> QueueId {
    Ids::new(LANE).fresh()
}

/// What the server is started with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Mission {
    /// The configuration file.
    pub(crate) config: Box<[u8]>,
    /// Options and macros of the command line.
    pub(crate) arguments: Vec<Argument>,
    /// What it is for.
    pub(crate) errand: Errand,
}

/// What the server says at its start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum FromErrand {
    /// With a descriptor: the edge to the queue that this role has otherwise.
    Edge(Role),
    /// It can't start.
    Failed {
        /// Why, in words.
        text: Box<str>,
        /// The exit code (sysexits.h).
        code: u8,
    },
}

/// Why there is no job, or no answer.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The server could not start: why, and the exit code (sysexits.h).
    #[error("{0}")]
    NoStart(Box<str>, u8),
    /// The server ended before its time: somebody else has the spool, or its disk failed.
    #[error("the queue is not there: {0}")]
    NoQueue(#[from] LinkError),
    /// The message was not stored; nothing was promised.
    #[error("not stored")]
    NotStored(NotStored),
    /// The system refused something.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

/// What who watches a job sees.
#[derive(Debug, Clone, Copy)]
pub enum Seen<'s> {
    /// Lines, cleaned.
    Text(&'s [u8]),
    /// A queue run has come to a message.
    Running {
        /// Its id.
        id: QueueId,
        /// Which of them it is, from 1 on.
        number: u32,
        /// How many there are.
        total: u32,
    },
}

/// What came of a job.
#[derive(Debug, Default)]
pub struct Outcomes {
    /// In the order of the tries.
    pub attempts: Vec<Attempt>,
    /// What the command exits with for other reasons than a delivery that failed (sysexits.h).
    pub exit: Option<u8>,
}

/// A server that lasts as long as a job. Dropped without [`Job::finish`], it finishes by itself.
#[derive(Debug)]
pub struct Job {
    child: Child,
    mail: Link,
    control: Link,
    attempts: Vec<Attempt>,
    exit: Option<u8>,
    next_ticket: u32,
}

impl Job {
    /// Starts a server with this configuration, as the user who calls.
    ///
    /// # Errors
    /// [`JobError::NoStart`], [`JobError::NoQueue`] if another process has the spool and keeps it.
    pub fn start(config: &Path, arguments: &[Argument], errand: Errand) -> Result<Self, JobError> {
        let mut job = Self::launch(config, arguments, errand)?;
        job.await_beginning()?;
        Ok(job)
    }

    /// Starts a server that does its errand in the background, when nobody else has the spool.
    ///
    /// # Errors
    /// [`JobError::NoStart`].
    pub fn start_in_background(
        config: &Path,
        arguments: &[Argument],
        errand: Errand,
    ) -> Result<(), JobError> {
        Self::launch(config, arguments, errand).map(Self::detach)
    }

    fn launch(config: &Path, arguments: &[Argument], errand: Errand) -> Result<Self, JobError> {
        let (ours, theirs) = sys::socket::pair()?;
        let manner = Manner { is_left_alone: true, has_own_session: true, ..Manner::default() };
        let words = ["ironpost", "role", Role::Master.duty().name];
        let child =
            Program::ourselves()?.start_as(&words, vec![(theirs, LIFE_DESCRIPTOR)], manner)?;
        let mut life = Link::new(ours);
        let config = std::path::absolute(config)?;
        let config = crate::path_octets(&config).into();
        send(&mut life, &Mission { config, arguments: arguments.to_vec(), errand }, &[])?;
        let mail = edge(&mut life)?;
        let control = edge(&mut life)?;
        Ok(Self { child, mail, control, attempts: Vec::new(), exit: None, next_ticket: 0 })
    }

    /// The first word of a queue that has its spool.
    fn await_beginning(&mut self) -> Result<(), JobError> {
        while let Some(answer) = receive::<FromQueue>(&mut self.mail)? {
            if matches!(answer, FromQueue::Begin { .. }) {
                return Ok(());
            }
        }
        Err(LinkError::Closed.into())
    }

    fn ticket(&mut self) -> u32 {
        self.next_ticket = self.next_ticket.wrapping_add(1);
        self.next_ticket
    }

    /// Makes a message durable. Its text has CR LF line ends; its id must not have been used before.
    ///
    /// # Errors
    /// [`JobError::NotStored`]: nothing was promised.
    pub fn commit(&mut self, envelope: &Envelope, text: &[u8]) -> Result<QueueId, JobError> {
        let mut record = Vec::new();
        if envelope.encode(&mut record).is_err() {
            return Err(JobError::NotStored(NotStored::Trouble));
        }
        let ticket = self.ticket();
        let envelope = record.into();
        if text.len() <= BODY_INLINE_BYTES_MAX {
            let wish = ToQueue::Commit { ticket, envelope, large_bytes: None };
            send(&mut self.mail, &wish, text)?;
        } else {
            send(&mut self.mail, &ToQueue::BeginLarge { ticket }, &[])?;
            let mut file = self.await_file(ticket)?;
            if file.write_all(text).is_err() {
                send(&mut self.mail, &ToQueue::Abandon { ticket }, &[])?;
                return Err(JobError::NotStored(NotStored::Full));
            }
            let large_bytes = u64::try_from(text.len()).ok();
            send(&mut self.mail, &ToQueue::Commit { ticket, envelope, large_bytes }, &[])?;
        }
        self.await_stored(ticket)
    }

    fn await_file(&mut self, wanted: u32) -> Result<File, JobError> {
        while let Some(answer) = receive(&mut self.mail)? {
            match answer {
                FromQueue::Large { ticket } => {
                    let file = self.mail.descriptor()?;
                    if ticket == wanted {
                        return Ok(file.into());
                    }
                }
                FromQueue::NotStored { why, .. } => return Err(JobError::NotStored(why)),
                FromQueue::Result(attempt) => self.attempts.push(attempt),
                FromQueue::Exit(status) => self.exit = self.exit.or(Some(status)),
                FromQueue::Begin { .. }
                | FromQueue::Shown(_)
                | FromQueue::Running { .. }
                | FromQueue::Stored { .. }
                | FromQueue::Room { .. }
                | FromQueue::Listed { .. }
                | FromQueue::Hosts { .. }
                | FromQueue::Removed { .. } => {}
            }
        }
        Err(LinkError::Closed.into())
    }

    fn await_stored(&mut self, wanted: u32) -> Result<QueueId, JobError> {
        while let Some(answer) = receive(&mut self.mail)? {
            match answer {
                FromQueue::Stored { ticket, id } if ticket == wanted => return Ok(id),
                FromQueue::NotStored { ticket, why } if ticket == wanted => {
                    return Err(JobError::NotStored(why));
                }
                FromQueue::Result(attempt) => self.attempts.push(attempt),
                FromQueue::Exit(status) => self.exit = self.exit.or(Some(status)),
                FromQueue::Begin { .. }
                | FromQueue::Shown(_)
                | FromQueue::Running { .. }
                | FromQueue::Stored { .. }
                | FromQueue::NotStored { .. }
                | FromQueue::Large { .. }
                | FromQueue::Room { .. }
                | FromQueue::Listed { .. }
                | FromQueue::Hosts { .. }
                | FromQueue::Removed { .. } => {}
            }
        }
        Err(LinkError::Closed.into())
    }

    /// Everything that is queued.
    ///
    /// # Errors
    /// There is no answer.
    pub fn list(&mut self, mut each: impl FnMut(&Listed)) -> Result<(), JobError> {
        let mut after = 0;
        loop {
            let ticket = self.ticket();
            send(&mut self.control, &ToQueue::List { ticket, after }, &[])?;
            let entries = self.await_list(ticket)?;
            let Some(last) = entries.last() else { return Ok(()) };
            after = last.id.as_u64();
            entries.iter().for_each(&mut each);
        }
    }

    /// What is known of other hosts, the last one that was tried first; `purges`: what is too old to be used is forgotten
    /// before.
    ///
    /// # Errors
    /// There is no answer.
    pub fn hosts(
        &mut self,
        purges: bool,
        each: &mut dyn FnMut(HostStatus),
    ) -> Result<(), JobError> {
        let mut from = 0_u32;
        loop {
            let ticket = self.ticket();
            send(&mut self.control, &ToQueue::Hosts { ticket, from, purges }, &[])?;
            let hosts = self.await_hosts(ticket)?;
            if hosts.is_empty() {
                return Ok(());
            }
            from = from.saturating_add(u32::try_from(hosts.len()).unwrap_or(u32::MAX));
            hosts.into_iter().for_each(&mut *each);
        }
    }

    fn await_hosts(&mut self, wanted: u32) -> Result<Vec<HostStatus>, JobError> {
        self.await_answer(|answer| {
            let FromQueue::Hosts { ticket, hosts } = answer else { return None };
            (ticket == wanted).then_some(hosts)
        })
    }

    fn await_list(&mut self, wanted: u32) -> Result<Vec<Listed>, JobError> {
        self.await_answer(|answer| {
            let FromQueue::Listed { ticket, entries } = answer else { return None };
            (ticket == wanted).then_some(entries)
        })
    }

    /// Passes over frames until one is the answer.
    fn await_answer<T>(&mut self, take: impl Fn(FromQueue) -> Option<T>) -> Result<T, JobError> {
        while let Some(answer) = receive(&mut self.control)? {
            if let Some(found) = take(answer) {
                return Ok(found);
            }
        }
        Err(LinkError::Closed.into())
    }

    /// Hands over nothing more, and waits until all was tried once: what came of it, in the order of the tries.
    ///
    /// # Errors
    /// The server can't be waited for.
    pub fn finish(self) -> Result<Outcomes, JobError> {
        self.wait(None)
    }

    /// The same; what sendmail shows with `-v` is given as it comes.
    ///
    /// # Errors
    /// The server can't be waited for.
    pub fn finish_watched(self, watch: &mut dyn FnMut(Seen<'_>)) -> Result<Outcomes, JobError> {
        self.wait(Some(watch))
    }

    fn wait(mut self, watch: Option<&mut dyn FnMut(Seen<'_>)>) -> Result<Outcomes, JobError> {
        let is_watched = watch.is_some();
        let mut unseen = |_: Seen<'_>| ();
        let watch = watch.unwrap_or(&mut unseen);
        if is_watched {
            drop(send(&mut self.mail, &ToQueue::Watch, &[]));
        }
        for link in [&mut self.mail, &mut self.control] {
            // A queue that is gone has finished.
            drop(send(link, &ToQueue::Finish, &[]));
        }
        // It ends when all is tried, however long that takes.
        while let Ok(Some(answer)) = next(&mut self.mail, None) {
            match answer {
                FromQueue::Result(attempt) => self.attempts.push(attempt),
                FromQueue::Exit(status) => self.exit = self.exit.or(Some(status)),
                FromQueue::Shown(text) => watch(Seen::Text(&text)),
                FromQueue::Running { id, number, total } => {
                    watch(Seen::Running { id, number, total });
                }
                FromQueue::Begin { .. }
                | FromQueue::Stored { .. }
                | FromQueue::NotStored { .. }
                | FromQueue::Large { .. }
                | FromQueue::Room { .. }
                | FromQueue::Listed { .. }
                | FromQueue::Hosts { .. }
                | FromQueue::Removed { .. } => {}
            }
        }
        self.child.wait()?;
        Ok(Outcomes { attempts: self.attempts, exit: self.exit })
    }

    /// Hands over nothing more. The server tries what it has and ends.
    pub fn detach(self) {
        drop(self);
    }
}

/// The next edge that the server hands over.
fn edge(life: &mut Link) -> Result<Link, JobError> {
    match next::<FromErrand>(life, Some(START_MS))? {
        Some(FromErrand::Edge(_)) => Ok(Link::new(life.descriptor()?)),
        Some(FromErrand::Failed { text, code }) => Err(JobError::NoStart(text, code)),
        None => Err(LinkError::Closed.into()),
    }
}

fn send<T: Serialize>(link: &mut Link, head: &T, tail: &[u8]) -> Result<(), LinkError> {
    link.send(head, tail)?;
    while !link.flush()? {
        sys::poll::writable(&*link)?;
    }
    Ok(())
}

fn receive<T: serde::de::DeserializeOwned>(link: &mut Link) -> Result<Option<T>, LinkError> {
    next(link, Some(ANSWER_MS))
}

/// The next frame; `None`: none came in time.
fn next<T: serde::de::DeserializeOwned>(
    link: &mut Link,
    wait_ms: Option<u64>,
) -> Result<Option<T>, LinkError> {
    loop {
        if let Some((value, _)) = link.receive::<T>()? {
            return Ok(Some(value));
        }
        if !sys::poll::readable(&*link, wait_ms)? {
            return Ok(None);
        }
        link.fill()?;
    }
}
