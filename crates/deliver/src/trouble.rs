//! What goes wrong with a mailbox, and what the sender is told.
//!
//! The texts are those of sendmail's `mail.local`. Trouble of ours or of the disk never bounces
//! mail: it is answered with a 4.x.y and tried again; only a name that can be no mailbox is for good.

use queue::{Outcome, Scope, Status};
use rustix::io::Errno;
use std::io;

/// Why a message is not in its mailbox.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// A name that is not a file name: with a slash, a NUL, a leading dot, too long.
    #[error("no such mailbox")]
    BadName,
    /// Something that is not a plain file with one name, or not a plain folder.
    #[error("{path}: irregular file")]
    Irregular {
        /// The mailbox.
        path: String,
    },
    /// A mailbox of somebody else.
    #[error("{path}: wrong ownership ({uid})")]
    WrongOwner {
        /// The mailbox.
        path: String,
        /// Whose it is.
        uid: u32,
    },
    /// Somebody else has held the lock for too long.
    #[error("{path}: mailbox locked")]
    Locked {
        /// The mailbox.
        path: String,
    },
    /// The system said no.
    #[error("{path}: {}", sys::error_words(&(*error).into()))]
    System {
        /// What the call was about.
        path: String,
        /// Its answer.
        error: Errno,
    },
    /// The message could not be read from where it lies.
    #[error("message file: {0}")]
    Body(String),
    /// The settings name a place that this way of delivery has not.
    #[error("no mailbox place for this mailer")]
    NoPlace,
}

impl Trouble {
    /// An answer of the system about `path`.
    pub(crate) fn system(path: &[u8], error: Errno) -> Self {
        Self::System { path: shown(path), error }
    }

    /// What becomes of the recipient.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let status = match self {
            Self::BadName => Status(5, 1, 1),
            Self::System { error: Errno::DQUOT | Errno::FBIG, .. } => Status(4, 2, 2),
            Self::System { error: Errno::NOSPC, .. } => Status(4, 3, 1),
            Self::Irregular { .. }
            | Self::WrongOwner { .. }
            | Self::Locked { .. }
            | Self::System { .. } => Status(4, 2, 0),
            Self::Body(_) => Status(4, 3, 0),
            Self::NoPlace => Status(4, 3, 5),
        };
        let trouble = queue::Trouble::ours(status, self.to_string().as_bytes()).cleaned();
        if status.0 == 5 {
            Outcome::Never(trouble)
        } else {
            Outcome::Later { trouble, scope: Scope::Recipient }
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Body(match Errno::from_io_error(&error) {
            Some(errno) => sys::error_words(&errno.into()),
            None => error.to_string(),
        })
    }
}

/// A path as it may stand in a log line and a reply.
pub(crate) fn shown(path: &[u8]) -> String {
    path.escape_ascii().to_string()
}
