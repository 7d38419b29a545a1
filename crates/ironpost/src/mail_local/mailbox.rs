//! One message into one mailbox, as its user.

use super::Flags;
use crate::exit;
use deliver::{Body, Job, Mailboxes, Moment};
use policy::{MailboxPlace, Transport};
use queue::{Outcome, Trouble};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;
use sys::disk::Folder;
use sys::user::User;

/// Where mailboxes are.
const SPOOL: &str = "/var/mail";

/// How long a locked mailbox is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// A user who may get mail.
#[derive(Debug)]
pub(super) struct Recipient {
    user: User,
}

/// Why somebody did not get it.
#[derive(Debug)]
pub(super) struct Failure {
    /// RFC 3463.
    pub(super) status: (u8, u16, u16),
    /// sendmail's words.
    pub(super) text: Vec<u8>,
    /// Whether there is no such user.
    is_unknown: bool,
}

impl Failure {
    fn new(status: (u8, u16, u16), text: impl Into<Vec<u8>>) -> Self {
        Self { status, text: text.into(), is_unknown: false }
    }

    /// sysexits.h.
    pub(super) fn exit_code(&self) -> u8 {
        if self.status.0 == 5 { exit::UNAVAILABLE } else { exit::TEMPFAIL }
    }

    /// The LMTP reply's code.
    pub(super) fn reply_code(&self) -> u16 {
        match self.status {
            (5, 2, 2) => 552,
            (5, ..) => 550,
            _ => 451,
        }
    }

    pub(super) fn is_unknown(&self) -> bool {
        self.is_unknown
    }
}

impl Recipient {
    /// The user of this name; a detail behind `+` is left out if nobody has it in his name.
    ///
    /// # Errors
    /// There is none, or it is not known whether there is.
    pub(super) fn find(name: &[u8]) -> Result<Self, Failure> {
        let base = name.split(|&octet| octet == b'+').next().unwrap_or_default();
        for name in [name, base] {
            // No login name is anything but text.
            let Ok(text) = std::str::from_utf8(name) else { continue };
            match sys::user::by_name(text) {
                Ok(Some(user)) => return Ok(Self { user }),
                Ok(None) => {}
                Err(_) => {
                    return Err(Failure::new((4, 3, 0), "User database failure; retry later"));
                }
            }
        }
        let text = [name, b": User unknown"].concat();
        Err(Failure { is_unknown: true, ..Failure::new((5, 1, 1), text) })
    }

    pub(super) fn name(&self) -> &str {
        &self.user.name
    }
}

/// A message on its way into mailboxes.
pub(super) struct Post<'a> {
    pub(super) flags: &'a Flags,
    pub(super) sender: &'a [u8],
    pub(super) message: &'a File,
}

impl Post<'_> {
    /// Puts it in, as the user.
    ///
    /// # Errors
    /// In words; nothing is then in the mailbox.
    pub(super) fn deliver(&self, recipient: &Recipient) -> Result<(), Failure> {
        let user = &recipient.user;
        let name = user.name.as_bytes();
        let system = |error: &io::Error| {
            let text = format!("{SPOOL}/{}: {}", user.name, sys::error_words(error));
            Failure::new((4, 2, 0), text)
        };
        if self.flags.home_file.is_none() {
            make(user).map_err(|error| system(&error))?;
        }
        let size = self.message.metadata().map_err(|error| system(&error))?.len();
        let acting = sys::user::act_as(user).map_err(|error| system(&error))?;
        let place = match &self.flags.home_file {
            Some(file) => MailboxPlace::Home(file.as_slice().into()),
            None => MailboxPlace::Spool(SPOOL.as_bytes().into()),
        };
        let home = user.home.as_os_str().as_bytes();
        let mailboxes = Mailboxes::open(&Transport::Mbox(place), Some(home), b"")
            .map_err(|trouble| Failure::new((4, 2, 0), trouble.to_string()))?
            .with_lock_wait(LOCK_WAIT)
            .as_mail_local();
        let now = Moment { unix_s: sys::clock::realtime_s(), offset_s: daemon::now().offset_s };
        let body = Body::File { head: b"", file: self.message, start: 0, size };
        let job = Job {
            sender: self.sender,
            separator: b"",
            is_sender_named: true,
            recipient: name,
            user: name,
            body,
            form: None,
        };
        let outcome = mailboxes.deliver(now, &job);
        drop(acting);
        self.judge(&user.name, outcome)
    }

    fn judge(&self, name: &str, outcome: Outcome) -> Result<(), Failure> {
        let (trouble, class) = match outcome {
            Outcome::Later { trouble, .. } => (trouble, 4),
            Outcome::Never(trouble) => (trouble, 5),
            Outcome::Delivered { .. } | Outcome::Relayed { .. } => return Ok(()),
        };
        let text = words(&trouble);
        if text.ends_with(b": mailbox locked") {
            // What liblockfile's caller says.
            return Err(Failure::new(
                (4, 3, 0),
                format!("lockmailbox {name} failed; error code 75 "),
            ));
        }
        let status = trouble.status;
        let class = match (status.1, status.2) {
            (2, 2) if self.flags.bounces_quota => 5,
            _ => class,
        };
        Err(Failure::new((class, status.1, status.2), text))
    }
}

fn words(trouble: &Trouble) -> Vec<u8> {
    trouble.text.to_vec()
}

/// Makes an empty mailbox where there is none: the folder is not the user's, the file will be.
fn make(user: &User) -> io::Result<()> {
    let folder = Folder::open(Path::new(SPOOL))?;
    match folder.make(OsStr::new(&user.name)) {
        Ok(file) if sys::user::effective_uid() == 0 => {
            std::os::unix::fs::fchown(&file, Some(user.uid), Some(user.gid))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // Who may not make one may have one.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(error),
    }
}
