//! The mail spool of an agent that sees its user's mailbox alone in it (`sys::confine::hide_folder`).
//!
//! What the agent locks there is a file of its own, so the lock that others honour is taken here, in the real folder, for as
//! long as the agent runs. The mailbox that it sees is one file: if another has taken its place in the real folder, what went
//! into the old one would be nobody's mail, and the message is kept. Mail that an agent was told to leave in another file
//! beside the mailbox goes into the mailbox, as when such a file can't be made; lock files and the like go.

use super::later;
use crate::mailbox::{DotLock, Folder, Mailboxes, Manner, Moment, is_same, take_lock};
use crate::{Body, Job, Trouble};
use policy::{MailboxPlace, Transport};
use queue::{Outcome, Status};
use rustix::fs::AtFlags;
use std::ffi::OsStr;
use std::fs::{DirEntry, File};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use sys::confine::{ForPrograms, Hidden};

/// How often a lock is touched, which others take for nobody's after five minutes.
const TOUCH_EACH: Duration = Duration::from_mins(1);

/// Octets that are read of a file that was left: the whole little folder holds no more.
const LEFT_BYTES_MAX: u64 = 64 * 1024;

/// The real folder, and what the agent has in its place.
#[derive(Debug)]
pub struct AgentSpool {
    real: Folder,
    path: Box<[u8]>,
    name: Box<[u8]>,
    mailbox: OwnedFd,
    for_programs: ForPrograms,
}

impl AgentSpool {
    /// The hidden folder of this mailbox, and the cage of programs that do not see it.
    #[must_use]
    pub fn new(hidden: Hidden, mailbox: &Path, for_programs: ForPrograms) -> Self {
        let octets = |part: Option<&OsStr>| part.map(|part| part.as_bytes().into());
        let path: Box<[u8]> = octets(mailbox.parent().map(Path::as_os_str)).unwrap_or_default();
        let name = octets(mailbox.file_name()).unwrap_or_default();
        let real = Folder::opened(hidden.folder, &path);
        Self { real, path, name, mailbox: hidden.mailbox, for_programs }
    }

    /// Whether the mailbox that the agent sees is still that of the real folder.
    #[must_use]
    pub fn is_current(&self) -> bool {
        let seen = rustix::fs::fstat(&self.mailbox);
        let named = rustix::fs::statat(&self.real, &*self.name, AtFlags::SYMLINK_NOFOLLOW);
        matches!((seen, named), (Ok(seen), Ok(named)) if is_same(&seen, &named))
    }

    /// Starts a program in its narrower cage.
    pub(super) fn hold(&self, command: &mut Command) {
        self.for_programs.hold(command);
    }

    /// Runs an agent while the mailbox is locked.
    pub(super) fn locked(
        &self,
        now: Moment,
        sender: &[u8],
        run: impl FnOnce() -> Outcome,
    ) -> Outcome {
        let manner = Manner::of_agents();
        let until = Instant::now() + manner.lock_wait;
        let lock = match take_lock(&self.real, &self.name, manner, until) {
            Ok(lock) => lock,
            Err(trouble) => return trouble.outcome(),
        };
        if !self.is_current() {
            return self.replaced();
        }
        let outcome = while_touching(lock.as_ref(), run);
        let is_delivered = matches!(outcome, Outcome::Delivered { .. });
        if is_delivered && !self.is_current() {
            return self.replaced();
        }
        match self.clear(now, sender, is_delivered) {
            Ok(()) => outcome,
            Err(trouble) => trouble,
        }
    }

    fn replaced(&self) -> Outcome {
        let path = crate::trouble::shown(&self.real.path_of(&self.name));
        later(Status(4, 2, 0), format!("{path}: mailbox was replaced").as_bytes())
    }

    /// Takes what the agent left beside the mailbox: mail into it, if the message was delivered, and the rest away.
    fn clear(&self, now: Moment, sender: &[u8], is_delivered: bool) -> Result<(), Outcome> {
        let folder = Path::new(OsStr::from_bytes(&self.path));
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut mail = Vec::new();
        for entry in entries.filter(|entry| *entry.file_name().as_bytes() != *self.name) {
            mail.extend(mail_in(&entry).filter(|_| is_delivered));
            // What can't be removed is in nobody's way but the agent's own.
            let path = entry.path();
            std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir_all(&path)).ok();
        }
        // A lock that was left is gone now.
        mail.iter().try_for_each(|mail| self.keep(now, sender, mail))
    }

    /// Puts mail into the mailbox.
    fn keep(&self, now: Moment, sender: &[u8], mail: &[u8]) -> Result<(), Outcome> {
        let transport = Transport::Mbox(MailboxPlace::Spool(self.path.clone()));
        let mailboxes =
            Mailboxes::open(&transport, None, b"").map_err(|trouble| Trouble::outcome(&trouble))?;
        let job = Job {
            sender,
            separator: b"",
            is_sender_named: true,
            recipient: &self.name,
            user: &self.name,
            body: Body::Bytes(mail),
            form: None,
        };
        match mailboxes.as_mail_local().deliver(now, &job) {
            Outcome::Delivered { .. } => Ok(()),
            trouble @ (Outcome::Relayed { .. } | Outcome::Later { .. } | Outcome::Never(_)) => {
                Err(trouble)
            }
        }
    }
}

/// Runs something, and touches the lock from time to time until it is over.
fn while_touching(lock: Option<&DotLock<'_>>, run: impl FnOnce() -> Outcome) -> Outcome {
    let (over, is_over) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while is_over.recv_timeout(TOUCH_EACH) == Err(RecvTimeoutError::Timeout) {
                if let Some(lock) = lock {
                    lock.touch();
                }
            }
        });
        let outcome = run();
        drop(over);
        outcome
    })
}

/// The message in a file that begins as mailboxes do, with the line ends of mail; `None`: it is something else.
fn mail_in(entry: &DirEntry) -> Option<Vec<u8>> {
    if !entry.file_type().ok()?.is_file() || entry.file_name().as_bytes().ends_with(b".lock") {
        return None;
    }
    let mut text = Vec::new();
    File::open(entry.path()).ok()?.take(LEFT_BYTES_MAX).read_to_end(&mut text).ok()?;
    let mut lines = text.split_inclusive(|&octet| octet == b'\n');
    lines.next().filter(|line| line.starts_with(b"From "))?;
    let mut mail = Vec::with_capacity(text.len());
    for line in lines {
        mail.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
        mail.extend_from_slice(b"\r\n");
    }
    Some(mail)
}
