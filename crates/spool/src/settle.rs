//! What follows when a batch is durable, when there was no room for it, or when the disk failed.

use std::os::fd::AsFd as _;

use crate::batch::{Act, Action, Batch};
use crate::commit::News;
use crate::log::Log;
use crate::segment::Entry;
use crate::sweep::Litter;
use crate::table::{Place, State};
use crate::{Completion, Event, Refused, Slot};

impl Log {
    /// Takes one piece of news.
    pub(crate) fn take_news(&mut self, news: News) {
        match news {
            News::Begun { shard, number } => {
                self.counts.written_bytes += 4096;
                self.account.born(number, shard);
            }
            News::Sealed { number, size, end } => {
                self.counts.written_bytes += size.saturating_sub(end);
                self.account.sealed(number, size);
            }
            News::Durable { shard, number, base, batch } => {
                self.idle(shard);
                self.durable(number, base, batch);
            }
            News::Full { shard, batch } => {
                self.idle(shard);
                self.full(shard, batch);
            }
            News::Failed { shard, why, batch } => {
                self.idle(shard);
                self.broken(&why.to_string(), batch);
            }
            News::SegmentSwept { number, result } => {
                self.littered = self.littered.saturating_sub(1);
                match result {
                    Ok(()) => self.account.gone(number),
                    Err(why) => {
                        self.account.stays(number);
                        self.trouble("unlinking a segment", &why);
                    }
                }
            }
            News::LargeSwept { slot, result } => {
                self.littered = self.littered.saturating_sub(1);
                self.table.remove(slot);
                if let Err(why) = result {
                    self.trouble("unlinking a body", &why);
                }
            }
        }
    }

    fn trouble(&self, doing: &'static str, why: &std::io::Error) {
        self.tell(Event::Trouble { doing, why: why.to_string() });
    }

    /// Sends away what nobody needs.
    pub(crate) fn sweep(&mut self) {
        for (shard, number) in self.account.take_free() {
            self.discard(Litter::Segment { shard, number });
        }
    }

    pub(crate) fn discard(&mut self, litter: Litter) {
        if let Some(to) = &self.litter {
            // The thread lives as long as the log.
            self.littered += u64::from(to.send(litter).is_ok());
        }
    }

    fn idle(&mut self, shard: u32) {
        let shard = usize::try_from(shard).unwrap_or(usize::MAX);
        if let Some(shard) = self.shards.get_mut(shard) {
            shard.is_busy = false;
        }
    }

    fn durable(&mut self, number: u32, base: u64, batch: Batch) {
        self.counts.commits += 1;
        self.counts.records += u64::try_from(batch.entries.len()).unwrap_or(0);
        self.counts.written_bytes += u64::try_from(batch.buffer.len()).unwrap_or(0);
        let base = u32::try_from(base).unwrap_or(u32::MAX);
        let place = |entry: Option<&Entry>| {
            entry.map_or_else(Place::default, |entry| {
                let place = Place::of(number, entry);
                Place { offset: place.offset.saturating_add(base), ..place }
            })
        };
        for (action, records) in batch.steps() {
            let (first, second) = (place(records.first()), place(records.get(1)));
            match action.act {
                Act::Add { ticket } => self.stored(action.slot, ticket, first),
                Act::Note => self.noted(action.slot, first),
                Act::Done => self.done(action.slot, number),
                Act::Move { with_note } => {
                    self.moved(action.slot, first, with_note.then_some(second));
                }
                Act::DoneCopy { from } => {
                    self.account.inherit(from, number);
                    self.account.copy_ended(from);
                }
            }
        }
        self.recycle(batch);
    }

    fn stored(&mut self, slot: u32, ticket: u64, place: Place) {
        if let Some(message) = self.table.get_mut(slot) {
            message.letter = place;
            message.state = State::Here;
            self.account.hold(place);
        }
        self.finished.push(Completion { ticket, result: Ok(Slot::from(slot)) });
    }

    fn noted(&mut self, slot: u32, place: Place) {
        if let Some(message) = self.table.get_mut(slot) {
            message.notes_pending = message.notes_pending.saturating_sub(1);
            self.account.release(message.note);
            self.account.hold(place);
            message.note = place;
            if message.notes_pending == 0 {
                self.fresh_notes.remove(&slot);
            }
        }
    }

    fn done(&mut self, slot: u32, number: u32) {
        let Some(message) = self.table.get(slot).copied() else { return };
        self.fresh_notes.remove(&slot);
        let lay = message.letter;
        self.account.done(number, lay.is_somewhere().then_some(lay.segment));
        self.account.release(lay);
        self.account.release(message.note);
        if message.is_large {
            self.discard(Litter::Large { slot, id: message.id });
        } else {
            self.table.remove(slot);
        }
    }

    fn moved(&mut self, slot: u32, place: Place, note: Option<Place>) {
        let Some(message) = self.table.get_mut(slot) else { return };
        let from = std::mem::replace(&mut message.letter, place);
        message.is_moving = false;
        self.account.release(from);
        self.account.hold(place);
        // A message with a newer note on its way is not moved, so this is a copy of the newest.
        if let Some(note) = note {
            self.account.release(message.note);
            self.account.hold(note);
            message.note = note;
        }
        self.account.copy_ended(from.segment);
    }

    /// Messages are refused; what is about messages that are there waits for room.
    fn full(&mut self, shard: u32, batch: Batch) {
        let shard = usize::try_from(shard).unwrap_or(usize::MAX);
        if !self.is_full.replace(true) {
            self.tell(Event::Full);
        }
        let open = self.shards.get_mut(shard).map(|shard| std::mem::take(&mut shard.open));
        let mut kept = std::collections::VecDeque::new();
        for batch in std::iter::once(batch).chain(open.unwrap_or_default()) {
            self.refuse(&batch, Refused::Full);
            let rest = batch.without_messages();
            if !rest.is_empty() {
                kept.push_back(rest);
            }
        }
        if let Some(shard) = self.shards.get_mut(shard) {
            shard.open = kept;
            shard.since = None;
            shard.is_stalled = true;
        }
    }

    /// Nothing more is taken. What other threads are writing may still become durable.
    fn broken(&mut self, why: &str, batch: Batch) {
        if !self.is_broken {
            self.tell(Event::Broken { why: why.to_owned() });
        }
        self.is_broken = true;
        let open: Vec<Batch> =
            self.shards.iter_mut().flat_map(|shard| std::mem::take(&mut shard.open)).collect();
        for batch in std::iter::once(batch).chain(open) {
            self.refuse(&batch, Refused::Broken);
        }
    }

    /// The new messages of a batch are not stored, and its copies not made.
    fn refuse(&mut self, batch: &Batch, refused: Refused) {
        for Action { act, slot } in &batch.actions {
            match *act {
                Act::Add { ticket } => {
                    self.finished.push(Completion { ticket, result: Err(refused) });
                    self.forget(*slot);
                }
                Act::Move { .. } => {
                    if let Some(message) = self.table.get_mut(*slot) {
                        message.is_moving = false;
                        let from = message.letter.segment;
                        self.account.copy_ended(from);
                    }
                }
                Act::Note | Act::Done | Act::DoneCopy { .. } => {}
            }
        }
        if refused == Refused::Full {
            for large in &batch.larges {
                // Under this name, or under its message's if the disk was full later: then the sweeper finds it.
                drop(self.folders.disk.unlink(self.folders.large.as_fd(), &large.from));
            }
        }
    }

    /// A message that was never stored. Its file, if it had one, may have its name already.
    fn forget(&mut self, slot: u32) {
        let Some(message) = self.table.get_mut(slot) else { return };
        if message.is_large && !self.is_broken {
            message.state = State::Going;
            let id = message.id;
            self.discard(Litter::Large { slot, id });
        } else {
            self.table.remove(slot);
        }
    }
}
