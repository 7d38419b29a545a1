//! `P=[FILE]`: a message appended to a file of the user's, as he asked for it in his `.forward` or the owner in an alias.
//!
//! Runs as the user, so the kernel says what he may write. Beside that the rules of sendmail hold: a plain file with one
//! name and no right to be executed, not through a link (another could be made to grow, or to run), locked, cut back to its
//! length if the message does not go in as a whole. `/dev/null` takes everything.

use super::Agent;
use crate::Job;
use rustix::fs::{FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::time::{Duration, Instant};

/// How long somebody else's lock is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// The rights of a file that is made.
const NEW_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Why a message is not in its file; each has its code of sysexits.h.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotWritten {
    /// It is nothing that mail may be written into (`EX_CANTCREAT`).
    Unsafe,
    /// Not now (`EX_TEMPFAIL`); the system's word.
    Later(Errno),
}

/// Errors that stay: a way that leads nowhere, or is not his.
const FOR_GOOD: [Errno; 7] = [
    Errno::ACCESS,
    Errno::PERM,
    Errno::LOOP,
    Errno::NOENT,
    Errno::NOTDIR,
    Errno::ISDIR,
    Errno::NXIO,
];

impl Agent<'_> {
    /// Appends one message to the file of this path.
    pub(super) fn append(&self, path: &[u8], now_s: u64, job: &Job<'_>) -> Result<(), NotWritten> {
        if path == b"/dev/null" {
            return Ok(());
        }
        let flags = OFlags::WRONLY
            | OFlags::APPEND
            | OFlags::CREATE
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::NOCTTY
            | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, NEW_MODE).map_err(not_written)?;
        require_plain(&file)?;
        lock(&file)?;
        // What was done to it while we waited for the lock counts.
        let length = require_plain(&file)?;
        let file = File::from(file);
        let mut out = BufWriter::new(&file);
        let written = self.write(&mut out, now_s, job).and_then(|()| out.flush());
        drop(out);
        written.and_then(|()| file.sync_all()).map_err(|error| {
            // What can't be cut back is cut by nobody: the next message begins on a line of its own.
            file.set_len(length).ok();
            NotWritten::Later(Errno::from_io_error(&error).unwrap_or(Errno::IO))
        })
    }
}

fn not_written(error: Errno) -> NotWritten {
    if FOR_GOOD.contains(&error) { NotWritten::Unsafe } else { NotWritten::Later(error) }
}

/// A plain file with one name that is no program; gives its length.
fn require_plain(file: &impl std::os::fd::AsFd) -> Result<u64, NotWritten> {
    let stat = rustix::fs::fstat(file).map_err(not_written)?;
    let is_plain = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    if !is_plain || stat.st_nlink != 1 || stat.st_mode & 0o111 != 0 {
        return Err(NotWritten::Unsafe);
    }
    Ok(u64::try_from(stat.st_size).unwrap_or(0))
}

fn lock(file: &impl std::os::fd::AsFd) -> Result<(), NotWritten> {
    let until = Instant::now() + LOCK_WAIT;
    loop {
        match rustix::fs::fcntl_lock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::AGAIN | Errno::ACCESS) if Instant::now() < until => {
                std::thread::sleep(PAUSE);
            }
            Err(error) => return Err(NotWritten::Later(error)),
        }
    }
}
