//! Where mailboxes are, and how a batch of messages gets into them.
//!
//! The folder that holds the mailboxes is opened once; everything else is reached from there, a
//! path component at a time. A symbolic link on the way is followed only if the user himself made
//! it, and what it leads to must be his.

mod dotlock;
mod folder;
mod helper;
mod journal;
pub mod last_resort;
mod maildir;
pub(crate) mod mbox;
mod room;

use crate::{Job, Trouble, trouble::shown};
pub(crate) use dotlock::{DotLock, is_same};
pub(crate) use folder::Folder;
pub(crate) use mbox::take_lock;
use policy::{MailboxPlace, Transport};
use queue::Outcome;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a delivery waits for somebody else's lock.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// The longest name of a mailbox in octets; room is left for what Maildir and locks add.
const NAME_BYTES_MAX: usize = 200;

/// A moment, as the From_ line of an mbox tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Seconds since 1970, UTC.
    pub unix_s: u64,
    /// How far local time is ahead of UTC, in seconds: a cage has no time zone file.
    pub offset_s: i32,
}

/// The mailboxes of one mailer, open for delivery.
#[derive(Debug)]
pub struct Mailboxes {
    format: Format,
    /// The folder below which everything is.
    root: Folder,
    /// The mailbox below the root; `None`: the name of the recipient.
    path: Option<Box<[u8]>>,
    host_name: Box<[u8]>,
    manner: Manner,
}

/// How an mbox is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// How long a delivery waits for somebody else's lock.
    pub(crate) lock_wait: Duration,
    /// As `mail.local` does it: no lock file means no delivery, and no field is added.
    is_of_mail_local: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Maildir,
    Mbox,
}

impl Manner {
    /// Where an agent writes and the lock is ours.
    pub(crate) fn of_agents() -> Self {
        Self { lock_wait: LOCK_WAIT, is_of_mail_local: false }
    }
}

impl Moment {
    /// As C's `asctime` writes it: `Sat Nov 21 07:09:28 2026`.
    #[must_use]
    pub fn asctime(self) -> String {
        mbox::asctime(self).trim().to_owned()
    }
}

impl Mailboxes {
    /// Opens the folder of a Maildir or mbox transport.
    ///
    /// `home` is the home folder of the user, for [`MailboxPlace::Home`]; `host_name` goes into
    /// the names of Maildir files.
    ///
    /// # Errors
    /// [`Trouble::NoPlace`] for other transports and for a missing `home`; [`Trouble::System`] when
    /// the folder cannot be opened or made.
    pub fn open(
        transport: &Transport,
        home: Option<&[u8]>,
        host_name: &[u8],
    ) -> Result<Self, Trouble> {
        let (format, place) = match transport {
            Transport::Maildir(place) => (Format::Maildir, place),
            Transport::Mbox(place) => (Format::Mbox, place),
            Transport::Smtp { .. }
            | Transport::SmtpUnix(_)
            | Transport::Lmtp(_)
            | Transport::Program(_)
            | Transport::Waits { .. }
            | Transport::Discard
            | Transport::Error => return Err(Trouble::NoPlace),
        };
        let (root, path) = match place {
            MailboxPlace::Folder(path) => (Folder::open_or_make(path)?, None),
            MailboxPlace::Spool(path) => (Folder::open(path)?, None),
            MailboxPlace::Home(path) => {
                (Folder::open(home.ok_or(Trouble::NoPlace)?)?, Some(path.clone()))
            }
        };
        let manner = Manner::of_agents();
        Ok(Self { format, root, path, host_name: host_name.into(), manner })
    }

    /// The same with another patience for locks.
    #[must_use]
    pub fn with_lock_wait(self, lock_wait: Duration) -> Self {
        Self { manner: Manner { lock_wait, ..self.manner }, ..self }
    }

    /// The same in the manner of `mail.local`: the message goes in as it is, without fields of ours, and a lock file that
    /// can't be made is a failure. Where the user may not make one, liblockfile's helper does.
    #[must_use]
    pub fn as_mail_local(self) -> Self {
        Self { manner: Manner { is_of_mail_local: true, ..self.manner }, ..self }
    }

    /// Delivers one message.
    #[must_use]
    pub fn deliver(&self, now: Moment, job: &Job<'_>) -> Outcome {
        let mut outcomes = self.deliver_batch(now, &[*job]);
        outcomes.pop().unwrap_or_else(|| Trouble::NoPlace.outcome())
    }

    /// Delivers messages, an outcome each in the order of the jobs.
    ///
    /// The messages for one mailbox share a lock and a sync. Everything that is reported as
    /// delivered is on the disk, with its name.
    #[must_use]
    pub fn deliver_batch(&self, now: Moment, jobs: &[Job<'_>]) -> Vec<Outcome> {
        let mut by_mailbox: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
        for (index, job) in jobs.iter().enumerate() {
            by_mailbox.entry(self.path.as_deref().unwrap_or(job.user)).or_default().push(index);
        }
        let mut outcomes: Vec<Outcome> = vec![sent(); jobs.len()];
        for (path, indexes) in by_mailbox {
            let batch: Vec<&Job<'_>> = indexes.iter().filter_map(|&at| jobs.get(at)).collect();
            for (index, result) in indexes.iter().zip(self.deliver_to(path, now, &batch)) {
                if let (Err(trouble), Some(outcome)) = (result, outcomes.get_mut(*index)) {
                    *outcome = trouble.outcome();
                }
            }
        }
        outcomes
    }

    fn deliver_to(&self, path: &[u8], now: Moment, jobs: &[&Job<'_>]) -> Vec<Result<(), Trouble>> {
        let all_fail = |trouble: Trouble| jobs.iter().map(|_| Err(trouble.clone())).collect();
        let components: Vec<&[u8]> = path.split(|&octet| octet == b'/').collect();
        let is_ours = self.path.is_some() || components.len() == 1;
        if !is_ours || !components.iter().all(|name| is_name(name)) {
            return all_fail(Trouble::BadName);
        }
        let Some((last, parents)) = components.split_last() else {
            return all_fail(Trouble::BadName);
        };
        let parent = match self.root.descend(parents) {
            Ok(parent) => parent,
            Err(trouble) => return all_fail(trouble),
        };
        let delivered = match self.format {
            Format::Maildir => maildir::deliver(&parent, last, &self.host_name, now, jobs),
            Format::Mbox if last.ends_with(dotlock::SUFFIX) => Err(Trouble::BadName),
            Format::Mbox => mbox::deliver(&parent, last, self.manner, now, jobs),
        };
        delivered.unwrap_or_else(all_fail)
    }
}

/// Whether a name can be a mailbox: one visible file name, and no trick.
fn is_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !name.starts_with(b".")
        && !name.iter().any(|&octet| octet == b'/' || octet.is_ascii_control())
}

/// What the log says of a delivered message.
fn sent() -> Outcome {
    let (host, answer) = Default::default();
    Outcome::Delivered { host, text: b"Sent"[..].into(), answer }
}

/// The path of something in a folder, for messages.
fn joined(folder: &Folder, name: &[u8]) -> String {
    shown(&folder.path_of(name))
}
