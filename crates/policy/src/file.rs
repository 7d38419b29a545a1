//! Files of users that say where mail goes: `.forward`, lists (`:include:`).
//!
//! Whoever decides must not read what belongs to a user. So the policy says which file it wants ([`FileWanted`]), a process
//! that *is* that user reads it, and facts and content come back ([`FileSeen`]): the policy judges them.

use alloc::{boxed::Box, vec::Vec};
use serde::{Deserialize, Serialize};

/// A file that must be read before an expansion can go on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileWanted {
    /// Its path.
    pub path: Box<[u8]>,
    /// The login name of who reads it; empty: nobody in particular.
    pub user: Box<[u8]>,
}

/// What the system says of a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Its kind and rights (`st_mode`).
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// A file as its reader found it. Error numbers are the system's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSeen {
    /// Which file, and for whom it was read.
    pub wanted: FileWanted,
    /// The groups of who read it.
    pub groups: Vec<u32>,
    /// The folders above it, from the root down; an error ends them.
    pub folders: Vec<Result<FileFacts, i32>>,
    /// Whether the path itself is a symbolic link.
    pub is_link: bool,
    /// What the path leads to.
    pub found: Result<FileFacts, i32>,
    /// What was read, of the same file.
    pub read: Result<Box<[u8]>, FileTrouble>,
}

/// Why a file that is there was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileTrouble {
    /// The system's error number.
    System(i32),
    /// It was another file when it was open.
    Changed,
    /// It is longer than any list may be.
    TooLarge,
    /// It is no plain file.
    NotPlain,
}

impl FileSeen {
    /// A file that could not be looked at.
    #[must_use]
    pub fn unseen(wanted: FileWanted, error: i32) -> Self {
        Self {
            wanted,
            groups: Vec::new(),
            folders: Vec::new(),
            is_link: false,
            found: Err(error),
            read: Err(FileTrouble::System(error)),
        }
    }
}
