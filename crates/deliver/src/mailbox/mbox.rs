//! mbox: all messages in one file, each after a `From ` line and before an empty one.
//!
//! Locks as Debian's policy has them: the lock file where the user may make one, then `fcntl`. The
//! mailbox is opened without following a link, looked at after it is open (a plain file, one
//! name, the user's), and looked at again once it is locked, because readers replace mailboxes.
//!
//! A write that fails is cut back to the end of the last whole message; a sync that fails takes back
//! the whole batch. What a killed delivery left torn is cut off by the next (see `journal`).

use super::dotlock::{DotLock, Try, is_same};
use super::folder::{Folder, require_ours};
use super::helper::HelperLock;
use super::{Manner, Moment, joined, journal, room};
use crate::body::{Text, write_delivery_fields};
use crate::{Body, Job, Trouble};
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Messages are collected up to so many octets before they are written.
const WRITE_BYTES: usize = 256 * 1024;

/// How often a mailbox may be replaced under our hands before we give up for now.
const REPLACED_MAX: u32 = 5;

/// The first pause between two tries for a lock; it doubles up to half a second.
const PAUSE_MIN: Duration = Duration::from_millis(5);

/// Delivers `jobs` into the mbox `name` in `folder`.
pub(super) fn deliver(
    folder: &Folder,
    name: &[u8],
    manner: Manner,
    now: Moment,
    jobs: &[&Job<'_>],
) -> Result<Vec<Result<(), Trouble>>, Trouble> {
    let until = Instant::now() + manner.lock_wait;
    let _lock = take_dotlock(folder, name, manner, until)?;
    let mut mailbox = Mailbox::open(folder, name, until)?;
    mailbox.adds_fields = !manner.is_of_mail_local;
    let mut results = Vec::with_capacity(jobs.len());
    let mut failed = None;
    for job in jobs {
        if let Some(trouble) = &failed {
            results.push(Err(Trouble::clone(trouble)));
            continue;
        }
        let appended = mailbox.append(now, job, &mut results);
        // A message that cannot be read is its own trouble; all else is the mailbox's.
        failed = appended.clone().err().filter(|trouble| !matches!(trouble, Trouble::Body(_)));
        results.push(appended);
    }
    // What could not be written has said so in its result.
    mailbox.flush(&mut results).unwrap_or_default();
    mailbox.sync()?;
    Ok(results)
}

/// The lock file of a mailbox that somebody else writes; `None` where we may not make one.
pub(crate) fn take_lock<'f>(
    folder: &'f Folder,
    name: &[u8],
    manner: Manner,
    until: Instant,
) -> Result<Option<DotLock<'f>>, Trouble> {
    Ok(match take_dotlock(folder, name, manner, until)? {
        Some(Lock::Own(lock)) => Some(lock),
        Some(Lock::Helper(_)) | None => None,
    })
}

/// The lock file; `None` where the user may not make one.
fn take_dotlock<'f>(
    folder: &'f Folder,
    name: &[u8],
    manner: Manner,
    until: Instant,
) -> Result<Option<Lock<'f>>, Trouble> {
    let mut pause = PAUSE_MIN;
    loop {
        match DotLock::attempt(folder, name)? {
            Try::Taken(lock) => return Ok(Some(Lock::Own(lock))),
            // Our cage leaves us the mailbox alone: the locks of the kernel keep others out, who take them first (Debian's
            // policy, 11.6).
            Try::Impossible if folder.is_closed_by_cage() => return Ok(None),
            Try::Impossible if manner.is_of_mail_local => {
                let lock = HelperLock::take(&folder.path_of(name));
                let lock = lock.ok_or_else(|| Trouble::Locked { path: joined(folder, name) })?;
                return Ok(Some(Lock::Helper(lock)));
            }
            Try::Impossible => return Ok(None),
            Try::Held => pause = wait(folder, name, pause, until)?,
        }
    }
}

/// A lock file, and who made it; held for what happens when it is dropped.
#[expect(dead_code, reason = "held, never read")]
enum Lock<'f> {
    Own(DotLock<'f>),
    Helper(HelperLock),
}

/// Waits before the next try, if there is time for one.
fn wait(
    folder: &Folder,
    name: &[u8],
    pause: Duration,
    until: Instant,
) -> Result<Duration, Trouble> {
    if Instant::now() + pause > until {
        return Err(Trouble::Locked { path: joined(folder, name) });
    }
    std::thread::sleep(pause);
    Ok((pause * 2).min(PAUSE_MIN * 100))
}

/// An mbox that is open and locked, and what is to be added to it.
struct Mailbox<'f> {
    folder: &'f Folder,
    name: &'f [u8],
    file: OwnedFd,
    /// Whether it was made just now, so that its name is to be synced too.
    is_new: bool,
    /// Its length before us, and now, without what is waiting.
    old_length: u64,
    length: u64,
    /// Whether cutting failed: the note must stay for the next delivery.
    is_torn: bool,
    /// Whether the fields of final delivery are put before a message.
    adds_fields: bool,
    /// Octets that wait, and where messages begin among them.
    waiting: Vec<u8>,
    offsets: Vec<u32>,
}

impl<'f> Mailbox<'f> {
    fn open(folder: &'f Folder, name: &'f [u8], until: Instant) -> Result<Self, Trouble> {
        let path = folder.path_of(name);
        let system = |error| Trouble::system(&path, error);
        for _ in 0..REPLACED_MAX {
            let Some((file, is_new)) = open_file(folder, name, &path)? else { continue };
            let opened = rustix::fs::fstat(&file).map_err(system)?;
            require_plain(&opened, folder, name)?;
            let mut pause = PAUSE_MIN;
            loop {
                match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
                    Ok(()) => break,
                    Err(Errno::AGAIN | Errno::ACCESS) => pause = wait(folder, name, pause, until)?,
                    Err(error) => return Err(system(error)),
                }
            }
            let named = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
            let locked = rustix::fs::fstat(&file).map_err(system)?;
            if !named.is_ok_and(|named| is_same(&named, &locked)) {
                continue;
            }
            require_plain(&locked, folder, name)?;
            let length = u64::try_from(locked.st_size).unwrap_or(0);
            let (waiting, offsets) = (Vec::new(), Vec::new());
            let mut mailbox = Self {
                folder,
                name,
                file,
                is_new,
                old_length: length,
                length,
                is_torn: false,
                adds_fields: true,
                waiting,
                offsets,
            };
            mailbox.repair()?;
            return Ok(mailbox);
        }
        Err(Trouble::Locked { path: joined(folder, name) })
    }

    /// Cuts off what a killed delivery left, and closes a last line that is open.
    fn repair(&mut self) -> Result<(), Trouble> {
        if let Some(length) = journal::torn_at(&self.file, self.length) {
            rustix::fs::ftruncate(&self.file, length).map_err(|error| self.trouble(error))?;
            self.length = length;
            self.old_length = length;
            journal::forget(&self.file);
        }
        let mut end = [0; 2];
        let from = self.length.saturating_sub(2);
        let read = rustix::io::pread(&self.file, &mut end, from);
        let read = read.map_err(|error| self.trouble(error))?;
        match end.get(..read).unwrap_or_default() {
            [] | [b'\n', b'\n'] => {}
            [.., b'\n'] => self.waiting.push(b'\n'),
            _ => self.waiting.extend_from_slice(b"\n\n"),
        }
        Ok(())
    }

    /// Adds a message to what waits, and first writes what waits if it is much. `results` are those
    /// of the messages before.
    fn append(
        &mut self,
        now: Moment,
        job: &Job<'_>,
        results: &mut [Result<(), Trouble>],
    ) -> Result<(), Trouble> {
        if self.waiting.len() >= WRITE_BYTES || self.offsets.len() >= journal::MESSAGES_MAX {
            self.flush(results)?;
        }
        if matches!(job.body, Body::File { .. }) {
            if !self.offsets.is_empty() {
                self.flush(results)?;
            }
            return self.write_large(now, job);
        }
        self.offsets.push(u32::try_from(self.waiting.len()).unwrap_or(u32::MAX));
        render(now, job, self.adds_fields, |lines, piece| {
            lines.extend(piece, &mut self.waiting);
            Ok(())
        })
    }

    /// Writes what waits. If that fails, whole messages stay, the others are taken back and
    /// their results say so.
    fn flush(&mut self, results: &mut [Result<(), Trouble>]) -> Result<(), Trouble> {
        if self.offsets.is_empty() {
            return Ok(());
        }
        let size = u64::try_from(self.waiting.len()).unwrap_or(0);
        let mut written = 0;
        let stopped = room::reserve(&self.file, self.length, size).and_then(|()| {
            journal::note(&self.file, self.length, self.length.saturating_add(size), &self.offsets);
            write_counted(&self.file, &self.waiting, &mut written)
        });
        let begins: Vec<usize> =
            self.offsets.iter().map(|&offset| usize::try_from(offset).unwrap_or(0)).collect();
        let ends = begins.iter().skip(1).copied().chain([self.waiting.len()]);
        let whole = ends.take_while(|&end| end <= written).count();
        let kept = match whole {
            0 => 0,
            whole => begins.get(whole).copied().unwrap_or(self.waiting.len()),
        };
        let count = self.offsets.len();
        self.length = self.length.saturating_add(u64::try_from(kept).unwrap_or(0));
        self.waiting.clear();
        self.offsets.clear();
        let Err(error) = stopped else { return Ok(()) };
        let trouble = self.trouble(error);
        let first_failed = results.len().saturating_sub(count - whole);
        for result in results.iter_mut().skip(first_failed) {
            *result = Err(trouble.clone());
        }
        if written > 0 {
            self.cut(self.length)?;
        }
        Err(trouble)
    }

    /// Writes a message that lies in a file, piece by piece. It is read twice: the note must
    /// know its end before its first octet is written.
    fn write_large(&mut self, now: Moment, job: &Job<'_>) -> Result<(), Trouble> {
        let padding = self.waiting.len();
        let mut size = padding;
        let mut text = Vec::new();
        render(now, job, self.adds_fields, |lines, piece| {
            text.clear();
            lines.extend(piece, &mut text);
            size += text.len();
            Ok(())
        })?;
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        room::reserve(&self.file, self.length, size).map_err(|error| self.trouble(error))?;
        let end = self.length.saturating_add(size);
        let offset = u32::try_from(padding).unwrap_or(0);
        journal::note(&self.file, self.length, end, &[offset]);
        text.clear();
        text.append(&mut self.waiting);
        let written = render(now, job, self.adds_fields, |lines, piece| {
            lines.extend(piece, &mut text);
            if text.len() >= WRITE_BYTES || matches!(piece, Part::End) {
                let path = || self.folder.path_of(self.name);
                write_counted(&self.file, &text, &mut 0)
                    .map_err(|error| Trouble::system(&path(), error))?;
                text.clear();
            }
            Ok(())
        });
        match &written {
            Ok(()) => self.length = end,
            Err(_) => self.cut(self.length)?,
        }
        written
    }

    /// Makes everything durable; takes it back if that fails.
    fn sync(&mut self) -> Result<(), Trouble> {
        let synced = rustix::fs::fsync(&self.file)
            .map_err(|error| self.trouble(error))
            .and_then(|()| if self.is_new { self.folder.sync() } else { Ok(()) });
        match synced {
            Ok(()) if self.is_torn => {}
            Ok(()) => journal::forget(&self.file),
            Err(_) => self.cut(self.old_length)?,
        }
        synced
    }

    /// Cuts the mailbox back.
    fn cut(&mut self, length: u64) -> Result<(), Trouble> {
        let cut = rustix::fs::ftruncate(&self.file, length);
        self.is_torn = cut.is_err();
        if !self.is_torn {
            journal::forget(&self.file);
        }
        cut.map_err(|error| self.trouble(error))
    }

    fn trouble(&self, error: Errno) -> Trouble {
        Trouble::system(&self.folder.path_of(self.name), error)
    }
}

/// Opens a mailbox, or makes it; `None` if it came or went between the two looks.
fn open_file(
    folder: &Folder,
    name: &[u8],
    path: &[u8],
) -> Result<Option<(OwnedFd, bool)>, Trouble> {
    // Without waiting for the other end of a pipe, and without telling readers that it was read.
    let flags = OFlags::RDWR
        | OFlags::APPEND
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::NOCTTY
        | OFlags::NOATIME
        | OFlags::CLOEXEC;
    match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        Ok(file) => Ok(Some((file, false))),
        Err(Errno::NOENT) => {
            let flags = flags | OFlags::CREATE | OFlags::EXCL;
            match rustix::fs::openat(folder, name, flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => Ok(Some((file, true))),
                Err(Errno::EXIST) => Ok(None),
                Err(error) => Err(Trouble::system(path, error)),
            }
        }
        Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => {
            Err(Trouble::Irregular { path: joined(folder, name) })
        }
        Err(error) => {
            // Somebody else's file says so in better words than "not permitted".
            let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
            if let Ok(stat) = stat {
                require_plain(&stat, folder, name)?;
            }
            Err(Trouble::system(path, error))
        }
    }
}

/// A mailbox is a plain file with one name, and the user's.
fn require_plain(stat: &Stat, folder: &Folder, name: &[u8]) -> Result<(), Trouble> {
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    // No name at all: it was replaced just now, which the second look finds.
    if !is_file || stat.st_nlink > 1 {
        return Err(Trouble::Irregular { path: joined(folder, name) });
    }
    require_ours(stat, &folder.path_of(name))
}

/// A part of a message on its way.
#[derive(Clone, Copy)]
enum Part<'p> {
    /// The separator line and the fields of final delivery, ready.
    Head(&'p [u8]),
    /// Text with CR LF.
    Text(&'p [u8]),
    /// The end.
    End,
}

/// Turns parts into what stands in the mailbox.
struct Lines(Text);

impl Lines {
    fn extend(&mut self, part: Part<'_>, out: &mut Vec<u8>) {
        match part {
            Part::Head(head) => out.extend_from_slice(head),
            Part::Text(text) => self.0.push(text, out),
            Part::End => {
                self.0.finish(out);
                out.push(b'\n');
            }
        }
    }
}

/// Shows a message in parts.
fn render(
    now: Moment,
    job: &Job<'_>,
    adds_fields: bool,
    mut take: impl FnMut(&mut Lines, Part<'_>) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let mut lines = Lines(Text::new(job, true)?);
    let mut head = Vec::with_capacity(256);
    if job.separator.starts_with(b"From ") {
        head.extend_from_slice(job.separator);
        head.push(b'\n');
    } else {
        write_separator(job.sender, now, &mut head);
    }
    if adds_fields {
        write_delivery_fields(job.sender, job.recipient, &mut head);
    }
    take(&mut lines, Part::Head(&head))?;
    job.body.read(|piece| take(&mut lines, Part::Text(piece)))?;
    take(&mut lines, Part::End)
}

/// `From sender Sat Nov 21 07:09:28 2026`, in local time; a sender with blanks would end early.
pub(crate) fn write_separator(sender: &[u8], now: Moment, out: &mut Vec<u8>) {
    out.extend_from_slice(b"From ");
    if sender.is_empty() {
        out.extend_from_slice(b"MAILER-DAEMON");
    }
    let is_plain = |octet: u8| !octet.is_ascii_control() && octet != b' ';
    out.extend(sender.iter().map(|&octet| if is_plain(octet) { octet } else { b'_' }));
    out.extend_from_slice(asctime(now).as_bytes());
}

/// A moment as C's `asctime` writes it, a blank before and a line end after.
pub(super) fn asctime(now: Moment) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = now.unix_s.saturating_add_signed(i64::from(now.offset_s));
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let name = |names: &[&'static str], at: u64| {
        usize::try_from(at).ok().and_then(|at| names.get(at).copied()).unwrap_or_default()
    };
    format!(
        " {} {} {day:2} {:02}:{:02}:{:02} {year}\n",
        name(&DAYS, days % 7),
        name(&MONTHS, month),
        second / 3600,
        second / 60 % 60,
        second % 60,
    )
}

/// The date of a day counted from 1970: year, month from 0, day from 1 (H. Hinnant's algorithm).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days.min(u64::from(u32::MAX)) + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = (shifted + 2) % 12;
    (era * 400 + year_of_era + u64::from(month < 2), month, day)
}

/// Writes, and counts what was written also when it fails.
fn write_counted(file: &OwnedFd, text: &[u8], written: &mut usize) -> Result<(), Errno> {
    while let Some(rest) = text.get(*written..).filter(|rest| !rest.is_empty()) {
        match rustix::io::write(file, rest) {
            Ok(0) => return Err(Errno::IO),
            Ok(count) => *written += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_separator_has_the_date_of_asctime() {
        let at = |unix_s, offset_s| asctime(Moment { unix_s, offset_s });
        assert_eq!(at(0, 0), " Thu Jan  1 00:00:00 1970\n");
        assert_eq!(at(1_795_244_968, 3600), " Sat Nov 21 08:09:28 2026\n");
        assert_eq!(at(951_782_400, 0), " Tue Feb 29 00:00:00 2000\n");
    }

    #[test]
    fn a_blank_in_the_sender_does_not_end_it() {
        let mut out = Vec::new();
        write_separator(b"\"a b\"@c", Moment { unix_s: 0, offset_s: 0 }, &mut out);
        assert_eq!(out, b"From \"a_b\"@c Thu Jan  1 00:00:00 1970\n");
    }
}
