//! Whether a list or `.forward` is trusted: who else may have written it, or a folder above it (manual,
//! `DontBlameSendmail`). Judged from facts, whoever gathered them.

use super::{Blame, List, ListFault, ListFaultKind, ListWanted, Writers};
use alloc::vec::Vec;
use policy::{FileFacts, FileSeen, FileTrouble};

const READ: u32 = 0o4;
const SEARCH: u32 = 0o1;
const STICKY: u32 = 0o1000;
const GROUP_WRITES: u32 = 0o020;
const WORLD_WRITES: u32 = 0o002;
/// What tells kinds of files apart, and a plain one.
const KIND: u32 = 0o170_000;
const PLAIN: u32 = 0o100_000;

/// `EACCES`.
const DENIED: i32 = 13;

/// Errors that may be gone later: out of memory or files, I/O, stale handles, busy.
const TRANSIENT: [i32; 12] = [4, 5, 11, 12, 16, 23, 24, 28, 35, 110, 111, 116];

/// The file as a list, if it may be trusted.
///
/// # Errors
/// Why not, in sendmail's words.
pub fn judged(wanted: &ListWanted<'_>, seen: &FileSeen) -> Result<List, ListFault> {
    let reader = Reader { wanted, groups: &seen.groups };
    let found = seen.found.map_err(system)?;
    reader.judge_folders(&seen.folders)?;
    reader.judge_link(seen)?;
    reader.judge_file(&found)?;
    let octets = seen.read.as_ref().map_err(|trouble| match trouble {
        FileTrouble::System(number) => system(*number),
        FileTrouble::Changed => unsafe_file(b"File changed after open"),
        FileTrouble::TooLarge => unsafe_file(b"File too large"),
        FileTrouble::NotPlain => unsafe_file(b"Regular files only"),
    })?;
    Ok(List {
        octets: octets.to_vec(),
        uid: found.uid,
        gid: found.gid,
        writers: writers(&found),
        is_owner_sure: true,
    })
}

const fn writers(facts: &FileFacts) -> Writers {
    match facts.mode {
        mode if mode & WORLD_WRITES != 0 => Writers::World,
        mode if mode & GROUP_WRITES != 0 => Writers::Group,
        _ => Writers::Owner,
    }
}

/// A fault of the system's.
fn system(number: i32) -> ListFault {
    let kind = match number {
        2 => ListFaultKind::Missing,
        number if TRANSIENT.contains(&number) => ListFaultKind::Transient,
        _ => ListFaultKind::Permanent,
    };
    ListFault { text: words(number), kind }
}

/// The system's words for an error number, as far as opening a file gives it.
fn words(number: i32) -> Vec<u8> {
    let known: &[u8] = match number {
        1 => b"Operation not permitted",
        2 => b"No such file or directory",
        4 => b"Interrupted system call",
        5 => b"Input/output error",
        6 => b"No such device or address",
        11 => b"Resource temporarily unavailable",
        12 => b"Cannot allocate memory",
        DENIED => b"Permission denied",
        20 => b"Not a directory",
        21 => b"Is a directory",
        23 => b"Too many open files in system",
        24 => b"Too many open files",
        28 => b"No space left on device",
        36 => b"File name too long",
        40 => b"Too many levels of symbolic links",
        110 => b"Connection timed out",
        116 => b"Stale file handle",
        other => return alloc::format!("Unknown error {other}").into_bytes(),
    };
    known.to_vec()
}

fn unsafe_file(text: &[u8]) -> ListFault {
    ListFault { text: text.to_vec(), kind: ListFaultKind::Permanent }
}

/// Judges one file for one user.
struct Reader<'a> {
    wanted: &'a ListWanted<'a>,
    groups: &'a [u32],
}

impl Reader<'_> {
    fn blame(&self, forward: &str, include: &str) -> bool {
        let blame: &Blame = self.wanted.blame;
        blame.has(if self.wanted.is_forward { forward } else { include })
    }

    /// Whether the user has a right on a file or folder.
    fn may(&self, facts: &FileFacts, right: u32) -> bool {
        if self.wanted.uid == 0 {
            return true;
        }
        let rights = if facts.uid == self.wanted.uid {
            facts.mode >> 6
        } else if facts.gid == self.wanted.gid || self.groups.contains(&facts.gid) {
            facts.mode >> 3
        } else {
            facts.mode
        };
        rights & right != 0
    }

    fn judge_folders(&self, folders: &[Result<FileFacts, i32>]) -> Result<(), ListFault> {
        let ignores = self.blame("forwardfileinunsafedirpath", "includefileinunsafedirpath");
        let allows_group = self.wanted.blame.has("groupwritabledirpathsafe")
            || self.blame("forwardfileingroupwritabledirpath", "includefileingroupwritabledirpath");
        let trusts_sticky = self.wanted.blame.has("truststickybit");
        for folder in folders {
            let facts = (*folder).map_err(system)?;
            if !self.may(&facts, SEARCH) {
                return Err(system(DENIED));
            }
            if ignores || (trusts_sticky && facts.mode & STICKY != 0) {
                continue;
            }
            let text: &[u8] = match facts.mode {
                mode if mode & WORLD_WRITES != 0 => b"World writable directory",
                mode if mode & GROUP_WRITES != 0 && !allows_group => b"Group writable directory",
                _ => continue,
            };
            return Err(ListFault { text: text.to_vec(), kind: ListFaultKind::UnsafeFolder });
        }
        Ok(())
    }

    /// A link is refused in a folder that others may write.
    fn judge_link(&self, seen: &FileSeen) -> Result<(), ListFault> {
        if !seen.is_link
            || self.blame("linkedforwardfileinwritabledir", "linkedincludefileinwritabledir")
        {
            return Ok(());
        }
        let folder = seen.folders.last().copied().unwrap_or(Err(DENIED)).map_err(system)?;
        if folder.mode & (GROUP_WRITES | WORLD_WRITES) != 0 {
            return Err(unsafe_file(b"Symbolic links not allowed"));
        }
        Ok(())
    }

    fn judge_file(&self, facts: &FileFacts) -> Result<(), ListFault> {
        let mode = facts.mode;
        if mode & KIND != PLAIN {
            return Err(unsafe_file(b"Regular files only"));
        }
        let allows_world = self.blame("worldwritableforwardfile", "worldwritableincludefile");
        let allows_group = self.blame("groupwritableforwardfile", "groupwritableincludefile");
        let text: &[u8] = if mode & GROUP_WRITES != 0 && !allows_group {
            b"Group writable file"
        } else if mode & WORLD_WRITES != 0 && !allows_world {
            b"World writable file"
        } else if mode & 0o222 != 0 && mode & 0o111 != 0 {
            b"Executable files not allowed"
        } else if !self.may(facts, READ) {
            return Err(system(DENIED));
        } else {
            return Ok(());
        };
        Err(unsafe_file(text))
    }
}
