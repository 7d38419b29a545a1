//! What follows from a batch when its shard's thread is done with it: places in the index, answers to who waits; and from
//! one that was not written, what is put again.

use super::Log;
use crate::batch::Effect;
use crate::index::Place;
use crate::note::Pending;
use crate::record::{Kind, large_name};
use crate::shard::{Ended, Job, Report};
use crate::{Completion, Event, Refused, Room, Slot, Spool};
use sys::disk::AlignedBuffer;

impl Log {
    /// Applies what followed from a job.
    pub(super) fn report(&mut self, report: Report, out: &mut Vec<Completion>) {
        let Report { shard: number, job, ended } = report;
        let Job { mut batch, segment, offset, .. } = job;
        let effects = std::mem::take(&mut batch.effects);
        // What is of our own making is put again from there.
        let unwritten = match ended {
            Ended::Full if effects.iter().any(Effect::is_own) => std::mem::take(&mut batch.buffer),
            Ended::Durable | Ended::Full | Ended::Failed(_) => AlignedBuffer::default(),
        };
        self.syncs = self.syncs.saturating_add(1);
        let length = u64::try_from(batch.buffer.len()).unwrap_or(u64::MAX);
        if let Some(shard) = self.shards.get_mut(number) {
            batch.clear();
            shard.spare = Some(batch);
            shard.is_busy = false;
        }
        match ended {
            Ended::Durable => {
                self.written_bytes = self.written_bytes.saturating_add(length);
                for effect in effects {
                    self.apply(number, segment, offset, &effect, out);
                }
            }
            Ended::Full => {
                self.room = Room::Low;
                self.events.push(Event("the disk is full: nothing was written".into()));
                if let Some(shard) = self.shards.get_mut(number) {
                    shard.segment = shard.segment.saturating_sub(1);
                    shard.forget_segment();
                }
                self.give_back(effects, Refused::Full, &unwritten, out);
            }
            Ended::Failed(error) => {
                self.is_broken = true;
                self.events.push(Event(format!("the disk failed: {error}")));
                self.give_back(effects, Refused::Broken, &unwritten, out);
                let open: Vec<_> =
                    self.shards.iter_mut().map(|s| std::mem::take(&mut s.open)).collect();
                for batch in open {
                    self.give_back(batch.effects, Refused::Broken, &unwritten, out);
                }
            }
        }
    }

    /// Messages of a batch that is not durable are refused; ends and notes are put again, because a full disk
    /// must not make the past come back, and with them the messages of our own making that they speak of.
    fn give_back(
        &mut self,
        effects: Vec<Effect>,
        why: Refused,
        unwritten: &AlignedBuffer,
        out: &mut Vec<Completion>,
    ) {
        for effect in effects {
            match effect {
                Effect::Stored { ticket, slot, id, at, is_own: true } if why == Refused::Full => {
                    if self.put_again(ticket, slot, id, unwritten, at).is_err() {
                        // The disk has the past as a whole: it begins again there.
                        self.is_broken = true;
                    }
                }
                Effect::Stored { ticket, slot, .. } => {
                    self.index.remove(slot);
                    out.push(Completion { ticket, result: Err(why) });
                }
                Effect::Ended { row, is_large } => {
                    if let Ok(shard) = self.shard_mut(row.id) {
                        shard.open.put(Kind::Done, 0, row.id, &[]).ok();
                        shard.open.effects.push(Effect::Ended { row, is_large });
                    }
                }
                Effect::Noted { slot, id, .. } => {
                    if let Some(last) = Pending::arrived(&mut self.notes, slot, id) {
                        self.note(slot, &last).ok();
                    }
                }
                // It stays where it was.
                Effect::Moved { .. } => {}
            }
        }
    }

    fn put_again(
        &mut self,
        ticket: u64,
        slot: Slot,
        id: u64,
        unwritten: &AlignedBuffer,
        at: Place,
    ) -> Result<(), Refused> {
        let is_large = self.large.contains(&id);
        let batch = &mut self.shard_mut(id)?.open;
        if is_large {
            // Its file still has the name of one that is not committed, which only the lost batch knew.
            return Err(Refused::Broken);
        }
        let at = batch.put_again(unwritten, at)?;
        batch.stored(Effect::Stored { ticket, slot, id, at, is_own: true });
        Ok(())
    }

    fn apply(
        &mut self,
        number: usize,
        segment: u32,
        offset: u64,
        effect: &Effect,
        out: &mut Vec<Completion>,
    ) {
        let absolute = |place: Place| Place {
            segment,
            offset: place.offset.saturating_add(u32::try_from(offset).unwrap_or(u32::MAX)),
            length: place.length,
        };
        let Some(shard) = self.shards.get_mut(number) else { return };
        match *effect {
            Effect::Stored { ticket, slot, id, at, is_own: _ } => {
                if let Some(row) = self.index.get_mut(slot).filter(|row| row.id == id) {
                    row.message = absolute(at);
                    shard.segments.born(row.message);
                }
                out.push(Completion { ticket, result: Ok(slot) });
            }
            Effect::Moved { slot, id, at } => {
                if let Some(row) = self.index.get_mut(slot).filter(|row| row.id == id) {
                    shard.segments.died(row.message);
                    shard.segments.copies.entry(id).or_default().push(row.message.segment);
                    row.message = absolute(at);
                    shard.segments.born(row.message);
                }
            }
            Effect::Noted { slot, id, at } => {
                Pending::arrived(&mut self.notes, slot, id);
                if let Some(row) = self.index.get_mut(slot).filter(|row| row.id == id) {
                    shard.segments.died(row.note);
                    row.note = absolute(at);
                    shard.segments.born(row.note);
                }
            }
            Effect::Ended { row, is_large } => {
                shard.segments.died(row.message);
                shard.segments.died(row.note);
                shard.segments.buried(row.id, row.message.segment, segment);
                if is_large {
                    // Left behind, it is removed at the next start.
                    drop(self.disk.remove(&large_name(row.id)));
                }
            }
        }
    }
}
