//! Files of users that the policy wants before it can say who stands behind a name: read by a child that is the user, and
//! handed to the policy with the question.
//!
//! Each file is asked for once a question; a reader that died is replaced once, and one that does not answer is let go:
//! the file then counts as not readable now.

use super::House;
use super::policy::Inquired;
use crate::edges::{FromReader, News, Task, ToReader, Ward};
use crate::file_frames::Assembly;
use crate::link::{Link, LinkError};
use crate::log::Severity;
use ::policy::{Expansion, FileSeen, FileWanted};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// How often the policy may want more files for one question.
const ROUNDS_MAX: u32 = 70;

/// Files of one question.
const FILES_MAX: usize = 1000;

/// Octets that the files of all questions may have together.
const OCTETS_MAX: usize = 256 * 1024 * 1024;

/// How long a file may take: it may lie on a disk far away.
const FILE_MS_MAX: u64 = 30_000;

/// How often a file is asked for when its reader dies.
const TRIES_MAX: u32 = 2;

/// `EIO`: it can't be read now.
const EIO: i32 = 5;

/// `EAGAIN`: nobody can read it now.
const EAGAIN: i32 = 11;

/// `EACCES`: nobody may read it.
const EACCES: i32 = 13;

/// A process that reads for one user.
struct Reader {
    user: Box<[u8]>,
    /// `None`: wanted from master, not there yet.
    link: Option<Link>,
    assembly: Assembly,
    is_over: bool,
}

/// A file that is being read.
struct Read {
    gathering: u32,
    wanted: FileWanted,
    tries: u32,
    until_ms: u64,
    is_sent: bool,
}

/// A question that waits for files.
struct Gathering {
    asked: Inquired,
    missing: usize,
}

/// All of it.
#[derive(Default)]
pub(super) struct Files {
    readers: Vec<Reader>,
    reads: HashMap<u32, Read>,
    gatherings: HashMap<u32, Gathering>,
    next: u32,
}

impl Files {
    pub(super) fn links(&self) -> impl Iterator<Item = &Link> {
        self.readers.iter().filter_map(|reader| reader.link.as_ref())
    }

    pub(super) fn fill(&mut self, ready: &mut impl Iterator<Item = bool>) {
        for reader in &mut self.readers {
            if let Some(link) = &mut reader.link
                && ready.next() == Some(true)
                && link.fill().is_err()
            {
                reader.is_over = true;
            }
        }
    }

    pub(super) fn flush(&mut self) {
        for reader in &mut self.readers {
            if let Some(link) = &mut reader.link
                && link.flush().is_err()
            {
                reader.is_over = true;
            }
        }
    }

    fn number(&mut self) -> u32 {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    /// Sends what waits for this user's reader.
    fn send(&mut self, user: &[u8]) {
        let is_his = |reader: &&mut Reader| *reader.user == *user && !reader.is_over;
        let Some(reader) = self.readers.iter_mut().find(is_his) else { return };
        let Some(link) = &mut reader.link else { return };
        for (&ticket, read) in &mut self.reads {
            if *read.wanted.user == *user && !read.is_sent {
                read.is_sent = true;
                let wish = ToReader { ticket, wanted: read.wanted.clone() };
                reader.is_over |= link.send(&wish, &[]).is_err();
            }
        }
    }

    fn octets(&self) -> usize {
        let files = self.gatherings.values().flat_map(|gathering| &gathering.asked.files);
        files.map(|seen| seen.read.as_ref().map_or(0, |content| content.len())).sum()
    }
}

impl House {
    /// Has files read, then asks the policy again.
    pub(super) fn gather(&mut self, mut asked: Inquired, wanted: Vec<FileWanted>) {
        asked.rounds = asked.rounds.saturating_add(1);
        let count = asked.files.len().saturating_add(wanted.len());
        let is_too_much = self.files.octets() > OCTETS_MAX;
        if asked.rounds > ROUNDS_MAX || count > FILES_MAX || is_too_much {
            let why = b"too many lists behind this name"[..].into();
            self.finish(&asked, Expansion { later: Some(why), ..Expansion::default() });
            return;
        }
        let gathering = self.files.number();
        let missing = wanted.len();
        self.files.gatherings.insert(gathering, Gathering { asked, missing });
        let until_ms = sys::clock::realtime_ms().saturating_add(FILE_MS_MAX);
        for wanted in wanted {
            let (ticket, user) = (self.files.number(), wanted.user.clone());
            let read = Read { gathering, wanted, tries: 1, until_ms, is_sent: false };
            self.files.reads.insert(ticket, read);
            self.want_reader(&user);
            self.files.send(&user);
        }
    }

    fn want_reader(&mut self, user: &[u8]) {
        if self.files.readers.iter().any(|reader| *reader.user == *user && !reader.is_over) {
            return;
        }
        let ward = Ward { user: user.into(), task: Task::Files };
        drop(self.life.send(&News::ChildWanted { ward }, &[]));
        let (link, assembly) = (None, Assembly::default());
        self.files.readers.push(Reader { user: user.into(), link, assembly, is_over: false });
    }

    /// The reader that was wanted is there.
    pub(super) fn reader_came(&mut self, user: &[u8], descriptor: OwnedFd) {
        let is_wanted = |reader: &&mut Reader| *reader.user == *user && reader.link.is_none();
        if let Some(reader) = self.files.readers.iter_mut().find(is_wanted) {
            reader.link = Some(Link::new(descriptor));
        }
        self.files.send(user);
    }

    /// There is no reader for this user, now or at all.
    pub(super) fn no_reader(&mut self, user: &[u8], is_for_good: bool) {
        self.files.readers.retain(|reader| *reader.user != *user || reader.link.is_some());
        let error = if is_for_good { EACCES } else { EAGAIN };
        let his: Vec<u32> = self.reads_of(|read| *read.wanted.user == *user && !read.is_sent);
        self.give_up(&his, error);
    }

    fn reads_of(&self, is_it: impl Fn(&Read) -> bool) -> Vec<u32> {
        self.files.reads.iter().filter(|(_, read)| is_it(read)).map(|(&ticket, _)| ticket).collect()
    }

    fn give_up(&mut self, tickets: &[u32], error: i32) {
        for &ticket in tickets {
            if let Some(read) = self.files.reads.get(&ticket) {
                let seen = FileSeen::unseen(read.wanted.clone(), error);
                self.have_read(ticket, seen);
            }
        }
    }

    /// Takes what readers have read, and buries those that have ended.
    pub(super) fn take_files(&mut self) {
        for place in 0..self.files.readers.len() {
            loop {
                match self.take_file(place) {
                    Ok(Some((ticket, seen))) => self.have_read(ticket, seen),
                    Ok(None) => break,
                    Err(error) => {
                        let text = format!("a reader: {error}; cut");
                        self.log.line(Severity::Critical, None, text.as_bytes());
                        if let Some(reader) = self.files.readers.get_mut(place) {
                            reader.is_over = true;
                        }
                        break;
                    }
                }
            }
        }
        self.bury_readers();
    }

    /// One whole file of a reader; only one that it was asked for.
    fn take_file(&mut self, place: usize) -> Result<Option<(u32, FileSeen)>, LinkError> {
        let Some(reader) = self.files.readers.get_mut(place) else { return Ok(None) };
        let Some(link) = &mut reader.link else { return Ok(None) };
        while let Some((FromReader { ticket, frame }, tail)) = link.receive::<FromReader>()? {
            let Some(mut seen) = reader.assembly.take(frame, tail)? else { continue };
            // One that took too long is not waited for any more.
            let Some(read) = self.files.reads.get(&ticket) else { continue };
            if read.wanted.user != reader.user {
                return Err(LinkError::Garbled("a file of somebody else"));
            }
            seen.wanted = read.wanted.clone();
            return Ok(Some((ticket, seen)));
        }
        Ok(None)
    }

    fn have_read(&mut self, ticket: u32, seen: FileSeen) {
        let Some(read) = self.files.reads.remove(&ticket) else { return };
        let Some(gathering) = self.files.gatherings.get_mut(&read.gathering) else { return };
        gathering.asked.files.push(Arc::new(seen));
        gathering.missing = gathering.missing.saturating_sub(1);
        if gathering.missing == 0
            && let Some(whole) = self.files.gatherings.remove(&read.gathering)
        {
            self.policy.inquire_with(whole.asked);
        }
    }

    /// Files of readers that are gone are asked for once more.
    fn bury_readers(&mut self) {
        let gone: Vec<Box<[u8]>> = self
            .files
            .readers
            .iter()
            .filter(|reader| reader.is_over)
            .map(|reader| reader.user.clone())
            .collect();
        self.files.readers.retain(|reader| !reader.is_over);
        for user in gone {
            let his = |read: &Read| read.wanted.user == user && read.is_sent;
            let lost = self.reads_of(|read| his(read) && read.tries >= TRIES_MAX);
            self.give_up(&lost, EIO);
            for read in self.files.reads.values_mut().filter(|read| his(read)) {
                read.tries = read.tries.saturating_add(1);
                read.is_sent = false;
            }
            if self.files.reads.values().any(|read| read.wanted.user == user) {
                self.want_reader(&user);
            }
        }
    }

    /// Lets go of readers that do not answer.
    pub(super) fn hurry_readers(&mut self, now_ms: u64) {
        let late = self.reads_of(|read| read.until_ms <= now_ms);
        for ticket in &late {
            let user = self.files.reads.get(ticket).map(|read| read.wanted.user.clone());
            for reader in &mut self.files.readers {
                reader.is_over |= user.as_ref() == Some(&reader.user);
            }
        }
        self.give_up(&late, EIO);
        self.bury_readers();
    }
}
