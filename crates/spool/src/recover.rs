//! Reads what the last life left, in the order in which it was made durable.
//!
//! The segments of a shard follow each other, and so do the stamps in them; the shards are merged by stamp. So at any
//! moment the tables are what they were when that record was written, and only one index a shard is in memory: a message is
//! there after its Message, and gone after its Done; a later Message of the same id is a copy that takes the place of the first.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;

use wire::QueueId;

use crate::account::Account;
use crate::disk::{self, How};
use crate::folders::{Folders, large_id};
use crate::record::Kind;
use crate::scan::{Scan, scan};
use crate::segment::{self, Entry, FORMAT, Name, RECORDS_MAX};
use crate::table::{Message, Place, State, Table};
use crate::{Error, Event};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) table: Table,
    pub(crate) account: Account,
    pub(crate) events: Vec<Event>,
    pub(crate) last_stamp: u64,
    pub(crate) last_number: u32,
    /// Something is damaged: what seems to belong to nobody may belong to what could not be read.
    is_incomplete: bool,
}

/// The segments of a shard that are still to be read, and the one that is being read.
struct Stream {
    shard: u32,
    numbers: VecDeque<u32>,
    number: u32,
    entries: std::vec::IntoIter<Entry>,
}

/// Reads everything.
pub(crate) fn recover(folders: &Folders) -> Result<Found, Error> {
    let mut found = Found::default();
    let mut streams = Vec::new();
    for (&shard, folder) in &folders.shards {
        let names = folders.disk.list(folder.as_fd()).map_err(Error::disk("log"))?;
        let mut numbers: Vec<u32> = names.iter().filter_map(|name| Name::number_of(name)).collect();
        numbers.sort_unstable();
        found.last_number = found.last_number.max(numbers.last().copied().unwrap_or(0));
        let entries = Vec::new().into_iter();
        streams.push(Stream { shard, numbers: numbers.into(), number: 0, entries });
    }
    while let Some((number, entry)) = next(folders, &mut streams, &mut found)? {
        found.take(number, &entry);
    }
    found.is_incomplete |= found.account.has_suspects();
    found.larges(folders)?;
    Ok(found)
}

/// The record with the lowest stamp of all that were not taken yet.
fn next(
    folders: &Folders,
    streams: &mut [Stream],
    found: &mut Found,
) -> Result<Option<(u32, Entry)>, Error> {
    let mut first: Option<(u64, &mut Stream)> = None;
    for stream in streams {
        while stream.entries.as_slice().is_empty() {
            let Some(number) = stream.numbers.pop_front() else { break };
            stream.number = number;
            stream.entries = found.load(folders, stream.shard, number)?.into_iter();
        }
        if let Some(entry) = stream.entries.as_slice().first()
            && first.as_ref().is_none_or(|(stamp, _)| entry.stamp < *stamp)
        {
            first = Some((entry.stamp, stream));
        }
    }
    Ok(first.and_then(|(_, stream)| Some((stream.number, stream.entries.next()?))))
}

impl Found {
    /// Reads a segment, and tells what is wrong with it.
    fn load(&mut self, folders: &Folders, shard: u32, number: u32) -> Result<Vec<Entry>, Error> {
        let name = Name { spool: folders.id, shard, number };
        let file = folders.segment(shard, number);
        let scan = file.and_then(|file| scan(&*folders.disk, &file, name));
        let mut scan = match scan {
            Ok(scan) => scan,
            Err(why) => {
                self.trouble("reading a segment", &why);
                Scan { has_read_errors: true, ..Scan::default() }
            }
        };
        if let Some(found) = scan.format.filter(|&format| format > FORMAT) {
            return Err(Error::Format { found, known: FORMAT });
        }
        if scan.is_foreign {
            self.events
                .push(Event::Foreign { file: format!("log/{shard}/{}", Name::file(number)) });
            self.is_incomplete = true;
            return Ok(Vec::new());
        }
        self.last_stamp = self.last_stamp.max(scan.last_stamp);
        self.damages(folders, number, &scan);
        if let Some(torn) = &scan.torn {
            let copy = format!("{number:08}-{}", torn.offset);
            let saved_as = folders.save_damaged(&copy, &torn.octets);
            // Without a header or a batch nothing says that this is a segment of ours.
            let is_ours = scan.format.is_some() || !scan.entries.is_empty();
            scan.has_read_errors |= saved_as.is_none() || !is_ours;
            self.events.push(Event::Torn { segment: number, offset: torn.offset, saved_as });
        }
        let is_empty = scan.entries.is_empty() && scan.end.is_some() && scan.damages.is_empty();
        if is_empty && !scan.has_read_errors && unlink_empty(folders, &name).is_ok() {
            return Ok(Vec::new());
        }
        self.account.born(number, shard);
        let size = self.seal(folders, &name, &scan);
        self.account.sealed(number, size);
        if scan.has_read_errors {
            self.account.suspect(number);
        }
        Ok(std::mem::take(&mut scan.entries))
    }

    /// Gives a segment that ended in a crash its index, over what is torn, so that it is read but once. Where that fails, it is
    /// read again at the next start.
    fn seal(&mut self, folders: &Folders, name: &Name, scan: &Scan) -> u64 {
        let Some(end) = scan.end else { return scan.size };
        if scan.has_read_errors || scan.entries.len() > RECORDS_MAX {
            return scan.size;
        }
        let sealed = segment::seal(*name, &scan.entries, end, scan.last_stamp);
        let size = end.saturating_add(u64::try_from(sealed.len()).unwrap_or(0));
        let disk = &*folders.disk;
        let write = || -> io::Result<()> {
            let title = Name::file(name.number);
            let file: File = disk.open(folders.shard(name.shard)?, &title, How::Write)?;
            disk::write_all(disk, &file, sealed.as_slice(), end)?;
            disk.sync(&file)?;
            disk.truncate(&file, size)
        };
        match write() {
            Ok(()) => size,
            Err(why) => {
                self.trouble("sealing a segment", &why);
                scan.size
            }
        }
    }

    fn damages(&mut self, folders: &Folders, number: u32, scan: &Scan) {
        for damage in &scan.damages {
            self.is_incomplete = true;
            let copy = format!("{number:08}-{}", damage.offset);
            let saved_as = folders.save_damaged(&copy, &damage.octets);
            self.events.push(Event::Damaged {
                segment: number,
                offset: damage.offset,
                id: damage.id.map(QueueId::from_u64),
                saved_as,
            });
        }
    }

    fn trouble(&mut self, doing: &'static str, why: &io::Error) {
        self.events.push(Event::Trouble { doing, why: why.to_string() });
    }

    /// Does what a record says.
    fn take(&mut self, number: u32, entry: &Entry) {
        let place = Place::of(number, entry);
        match entry.kind {
            Kind::Message | Kind::Large => self.message(entry, place),
            Kind::Note => {
                let slot = self.table.find(entry.id);
                if let Some(message) = slot.and_then(|slot| self.table.get_mut(slot)) {
                    self.account.release(message.note);
                    message.note = place;
                    self.account.hold(place);
                }
            }
            Kind::Done => {
                let slot = self.table.find(entry.id);
                let buried = slot.and_then(|slot| self.table.get(slot)).copied();
                self.account.done(number, buried.map(|message| message.letter.segment));
                if let (Some(slot), Some(message)) = (slot, buried) {
                    self.account.release(message.letter);
                    self.account.release(message.note);
                    self.table.remove(slot);
                }
            }
        }
    }

    fn message(&mut self, entry: &Entry, place: Place) {
        if let Some(slot) = self.table.find(entry.id)
            && let Some(older) = self.table.get(slot).copied()
        {
            self.account.haunt(older.letter.segment);
            self.account.release(older.letter);
            self.account.release(older.note);
            self.table.remove(slot);
        }
        self.account.hold(place);
        self.table.insert(Message {
            id: entry.id,
            letter: place,
            state: State::Here,
            is_large: entry.kind == Kind::Large,
            ..Message::default()
        });
    }

    /// Takes away the large bodies of nobody, and misses those that are not there.
    fn larges(&mut self, folders: &Folders) -> Result<(), Error> {
        let folder = folders.large.as_fd();
        let names = folders.disk.list(folder).map_err(Error::disk("large"))?;
        let mut there = HashSet::new();
        for name in names {
            let id = large_id(&name);
            let message = id.and_then(|id| self.table.get(self.table.find(id)?));
            if message.is_some_and(|message| message.is_large) {
                there.extend(id);
            } else if !self.is_incomplete || name.starts_with("new-") {
                drop(folders.disk.unlink(folder, &name));
            }
        }
        for (id, slot) in self.table.all() {
            let is_large = self.table.get(slot).is_some_and(|message| message.is_large);
            if is_large && !there.contains(&id) {
                self.events.push(Event::LargeMissing { id: QueueId::from_u64(id) });
            }
        }
        Ok(())
    }
}

/// Takes away a segment that was begun and never written to.
fn unlink_empty(folders: &Folders, name: &Name) -> io::Result<()> {
    let folder = folders.shard(name.shard)?;
    folders.disk.unlink(folder, &Name::file(name.number))
}
