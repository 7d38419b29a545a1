//! What an administrator should know about the spool.

use std::fmt;

use wire::QueueId;

/// Something that happened to the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Octets on the disk are not those that were written; they were copied to `damaged/`.
    Damaged {
        /// The segment.
        segment: u32,
        /// Where in it.
        offset: u64,
        /// The message, where that is known.
        id: Option<QueueId>,
        /// The name of the copy; `None`: it could not be made.
        saved_as: Option<String>,
    },
    /// The last commit before a crash was not whole; nothing in it was ever acknowledged. It was copied to
    /// `damaged/` all the same, for rot in the last commit looks no different.
    Torn {
        /// The segment.
        segment: u32,
        /// Where it begins.
        offset: u64,
        /// The name of the copy; `None`: it could not be made, and the segment stays as it is.
        saved_as: Option<String>,
    },
    /// The file of a message's body is not there, or shorter than it was.
    LargeMissing {
        /// The message.
        id: QueueId,
    },
    /// A file that is not this spool's; it was left alone.
    Foreign {
        /// Its name.
        file: String,
    },
    /// Something went wrong that costs no message.
    Trouble {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        why: String,
    },
    /// The disk has no room for another segment; new messages are refused until it has.
    Full,
    /// A write or a sync failed; the spool must be opened again.
    Broken {
        /// What the system said.
        why: String,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged { segment, offset, id, saved_as } => {
                write!(f, "segment {segment:08} is damaged at {offset}")?;
                if let Some(id) = id {
                    write!(f, ", message {id}")?;
                }
                match saved_as {
                    Some(name) => write!(f, "; what is there was copied to damaged/{name}"),
                    None => f.write_str("; no copy could be made"),
                }
            }
            Self::Torn { segment, offset, saved_as } => {
                write!(f, "segment {segment:08}: an unfinished commit at {offset} was dropped")?;
                match saved_as {
                    Some(name) => write!(f, "; it was copied to damaged/{name}"),
                    None => f.write_str("; no copy could be made, the segment stays as it is"),
                }
            }
            Self::LargeMissing { id } => write!(f, "the body of message {id} is missing"),
            Self::Foreign { file } => write!(f, "{file} is not of this spool; left alone"),
            Self::Trouble { doing, why } => write!(f, "{doing}: {why}"),
            Self::Full => f.write_str("the disk is full; new messages are refused"),
            Self::Broken { why } => write!(f, "the disk failed: {why}"),
        }
    }
}
