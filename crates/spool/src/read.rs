//! Reads messages back, and believes nothing that its checksum does not vouch for.

use std::fs::File;
use std::os::fd::AsFd as _;

use wire::QueueId;

use crate::disk::{self, How};
use crate::folders::large_name;
use crate::log::Log;
use crate::record::{Kind, RECORD_HEADER, Record, u64_at};
use crate::table::{Message, Place};
use crate::{Error, Event, OpenedBody};

impl Log {
    /// Reads a record and checks it. What is not as it was written is put aside.
    pub(crate) fn read(&self, id: u64, place: Place) -> Result<(Record, Vec<u8>), Error> {
        let id = QueueId::from_u64(id);
        let shard = self.account.get(place.segment).ok_or(Error::Gone)?.shard;
        let file = self.folders.segment(shard, place.segment).map_err(Error::disk("segment"))?;
        self.read_in(&file, id, place)
    }

    /// Reads a record of an open segment.
    pub(crate) fn read_in(
        &self,
        file: &File,
        id: QueueId,
        place: Place,
    ) -> Result<(Record, Vec<u8>), Error> {
        let len = usize::try_from(place.len).unwrap_or(0).saturating_add(RECORD_HEADER);
        let mut octets = vec![0; len];
        let offset = u64::from(place.offset);
        let count = disk::read_full(&*self.folders.disk, file, &mut octets, offset)
            .map_err(Error::disk("segment"))?;
        octets.truncate(count);
        let record = Record::check(&octets, self.folders.id.seed())
            .map(|(record, _)| record)
            .filter(|record| record.id == id.as_u64() && record.len == place.len);
        if let Some(record) = record {
            octets.drain(..RECORD_HEADER);
            return Ok((record, octets));
        }
        let copy = format!("{:08}-{offset}", place.segment);
        let saved_as = self.folders.save_damaged(&copy, &octets);
        self.tell(Event::Damaged { segment: place.segment, offset, id: Some(id), saved_as });
        Err(Error::Damaged { id })
    }

    /// Reads the note of a message.
    pub(crate) fn read_note(&self, message: &Message) -> Result<Option<Vec<u8>>, Error> {
        let fresh = self.table.find(message.id).and_then(|slot| self.fresh_notes.get(&slot));
        if let Some(fresh) = fresh {
            return Ok(Some(fresh.to_vec()));
        }
        if !message.note.is_somewhere() {
            return Ok(None);
        }
        self.read(message.id, message.note).map(|(_, note)| Some(note))
    }

    pub(crate) fn open_body(
        &self,
        id: u64,
        record: &Record,
        payload: &mut Vec<u8>,
    ) -> Result<OpenedBody, Error> {
        let damaged = || Error::Damaged { id: QueueId::from_u64(id) };
        let split = usize::try_from(record.split).map_err(|_| damaged())?;
        if split > payload.len() {
            return Err(damaged());
        }
        let body = payload.split_off(split);
        if record.kind == Kind::Message {
            return Ok(OpenedBody::Inline(body));
        }
        let size_bytes = u64_at(&body, 0).ok_or_else(damaged)?;
        let disk = &self.folders.disk;
        let file = disk
            .open(self.folders.large.as_fd(), &large_name(id), How::Read)
            .map_err(Error::disk("large"))?;
        if disk.size(&file).map_err(Error::disk("large"))? < size_bytes {
            self.tell(Event::LargeMissing { id: QueueId::from_u64(id) });
            return Err(damaged());
        }
        Ok(OpenedBody::Large(file, size_bytes))
    }
}
