//! Moves what is needed out of segments of which little is needed.
//!
//! What is moved is appended like everything else, so that a crash at any moment finds the old place, or both. The old segment is
//! unlinked when the copies are durable. A few megabytes are moved at a time.

use std::fs::File;

use wire::QueueId;

use crate::batch::Act;
use crate::log::Log;
use crate::record::{Kind, Record};
use crate::scan::scan;
use crate::segment::{Entry, Name};
use crate::table::{Message, Place, State};
use crate::{Error, Event, Room, Spool as _};

/// A segment of which less than this is needed is emptied.
const NEEDED_PERCENT: u64 = 25;
/// The same when the disk is nearly full.
const NEEDED_PERCENT_LOW: u64 = 50;
/// Octets that are moved in one call.
const MOVED_MAX: u64 = 4 * 1024 * 1024;
/// Records that are looked at in one call.
const LOOKED_MAX: usize = 65_536;

/// A segment that is being emptied.
#[derive(Debug)]
pub(crate) struct Compaction {
    number: u32,
    file: File,
    entries: std::vec::IntoIter<Entry>,
    /// Its Dones are needed.
    is_burying: bool,
}

impl Log {
    /// Goes on with the segment that is being emptied, or begins with one.
    pub(crate) fn compact(&mut self) {
        let Some(mut compaction) = self.compaction.take().or_else(|| self.begin_compaction())
        else {
            return;
        };
        let mut moved = 0;
        for _ in 0..LOOKED_MAX {
            if moved >= MOVED_MAX {
                break;
            }
            let Some(entry) = compaction.entries.next() else {
                self.account.copied(compaction.number);
                return;
            };
            moved += match entry.kind {
                Kind::Message | Kind::Large => self.move_message(&compaction, &entry),
                Kind::Note => self.move_note(&compaction, &entry),
                Kind::Done => self.copy_done(&compaction, &entry),
            };
        }
        self.compaction = Some(compaction);
    }

    fn begin_compaction(&mut self) -> Option<Compaction> {
        let is_low = self.room() == Room::Low;
        if self.shards.iter().any(|shard| shard.is_stalled) {
            return None;
        }
        let percent = if is_low { NEEDED_PERCENT_LOW } else { NEEDED_PERCENT };
        let number = self.account.victim(percent)?;
        let shard = self.account.get(number)?.shard;
        let name = Name { spool: self.folders.id, shard, number };
        let read = || {
            let file = self.folders.segment(shard, number)?;
            let scan = scan(&*self.folders.disk, &file, name)?;
            Ok::<_, std::io::Error>((file, scan))
        };
        match read() {
            Ok((file, scan)) if !scan.has_read_errors && scan.damages.is_empty() => {
                self.account.haunt(number);
                let entries = scan.entries.into_iter();
                let is_burying = self.account.is_burying(number);
                Some(Compaction { number, file, entries, is_burying })
            }
            Ok(_) => {
                self.account.suspect(number);
                None
            }
            Err(why) => {
                self.account.suspect(number);
                self.tell(Event::Trouble { doing: "reading a segment", why: why.to_string() });
                None
            }
        }
    }

    /// Copies a message that still lies here, with its note, and says how many octets that were.
    fn move_message(&mut self, compaction: &Compaction, entry: &Entry) -> u64 {
        let place = Place::of(compaction.number, entry);
        let Some((slot, message)) = self.settled(entry.id) else { return 0 };
        if message.letter != place {
            return 0;
        }
        let read = self.read_in(&compaction.file, QueueId::from_u64(entry.id), place);
        let (record, payload) = match read {
            Ok(read) => read,
            Err(error) => return self.lose_message(slot, compaction.number, &error),
        };
        let note = match self.read_note(&message) {
            Ok(note) => note,
            Err(error) => return self.lose_note(slot, compaction.number, &error),
        };
        if let Some(message) = self.table.get_mut(slot) {
            message.is_moving = true;
        }
        self.account.copy_begun(compaction.number);
        let note_record = Record {
            kind: Kind::Note,
            id: entry.id,
            split: 0,
            stamp_low: 0,
            len: message.note.len,
        };
        let first: (Record, [&[u8]; 2]) = (record, [&payload, b""]);
        if let Some(note) = note {
            let act = Act::Move { with_note: true };
            self.put(slot, act, &[first, (note_record, [&note, b""])]);
            record.size().saturating_add(note_record.size())
        } else {
            self.put(slot, Act::Move { with_note: false }, &[first]);
            record.size()
        }
    }

    /// Writes a note that lies here again, if its message lies elsewhere and it is still the newest.
    fn move_note(&mut self, compaction: &Compaction, entry: &Entry) -> u64 {
        let place = Place::of(compaction.number, entry);
        let Some((slot, message)) = self.settled(entry.id) else { return 0 };
        if message.note != place {
            return 0;
        }
        let read = self.read_in(&compaction.file, QueueId::from_u64(entry.id), place);
        let (record, note) = match read {
            Ok(read) => read,
            Err(error) => return self.lose_note(slot, compaction.number, &error),
        };
        // It fits, for it did once; and nothing else can be wrong with it.
        self.note(slot.into(), &note).ok();
        record.size()
    }

    /// Copies a Done if what it buried is still there.
    fn copy_done(&mut self, compaction: &Compaction, entry: &Entry) -> u64 {
        let number = compaction.number;
        if !compaction.is_burying || !self.account.is_done_needed(number, entry.split) {
            return 0;
        }
        if self.table.find(entry.id).is_some() {
            // The id was used again: a later Done would end the new message. Its own Done will be buried with the old.
            self.account.haunt_buried(number);
            return 0;
        }
        let record =
            Record { kind: Kind::Done, id: entry.id, split: entry.split, stamp_low: 0, len: 0 };
        self.account.copy_begun(number);
        self.put_for(entry.id, u32::MAX, Act::DoneCopy { from: number }, &[(record, [b"", b""])]);
        record.size()
    }

    /// A message about which nothing is on its way to the disk.
    fn settled(&self, id: u64) -> Option<(u32, Message)> {
        let slot = self.table.find(id)?;
        let message = *self.table.get(slot)?;
        let is_settled =
            message.state == State::Here && !message.is_moving && message.notes_pending == 0;
        is_settled.then_some((slot, message))
    }

    /// A message that is not as it was written stands in nobody's way any longer: a copy is in `damaged/`.
    fn lose_message(&mut self, slot: u32, number: u32, error: &Error) -> u64 {
        if matches!(error, Error::Damaged { .. }) {
            if let Some(message) = self.table.get_mut(slot) {
                message.state = State::Damaged;
                let place = std::mem::take(&mut message.letter);
                self.account.release(place);
            }
        } else {
            self.account.suspect(number);
        }
        0
    }

    /// Without its note a message is tried again for everybody: twice is better than never.
    fn lose_note(&mut self, slot: u32, number: u32, error: &Error) -> u64 {
        if matches!(error, Error::Damaged { .. }) {
            if let Some(message) = self.table.get_mut(slot) {
                let place = std::mem::take(&mut message.note);
                self.account.release(place);
            }
        } else {
            self.account.suspect(number);
        }
        0
    }
}
