//! The start: reads every segment in order, and comes to the state of the last valid batch.
//!
//! A batch that is not valid is the torn end of a segment, if nothing valid follows in it: it was never acknowledged,
//! and nothing of it counts. If something valid follows, the disk has lost what it once had: the region is put
//! aside in `damaged/`, what is whole in it is kept, and the rest goes on.

use crate::disk::Disk;
use crate::index::{Index, Place, Row, Segments};
use crate::record::{
    BATCH_HEADER_BYTES, BLOCK_BYTES, BatchHeader, Header, Kind, RECORD_HEADER_BYTES, SegmentHeader,
    VERSION, segment_name,
};
use crate::{Error, Event};
use std::collections::HashSet;
use std::io::Read;

/// Octets of a segment that are read at most.
const SEGMENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// A shard as it was found.
#[derive(Debug, Default)]
pub(crate) struct FoundShard {
    pub(crate) last_segment: u32,
    pub(crate) last_sequence: u64,
    pub(crate) segments: Segments,
}

/// A spool as it was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) spool: u64,
    pub(crate) shards: Vec<FoundShard>,
    pub(crate) index: Index,
    pub(crate) large: HashSet<u64>,
    pub(crate) events: Vec<Event>,
}

struct Reader<'a> {
    disk: &'a dyn Disk,
    spool: u64,
    index: Index,
    large: HashSet<u64>,
    events: Vec<Event>,
}

/// Reads the spool; makes what is not there.
pub(crate) fn recover(disk: &dyn Disk, shards_wanted: usize) -> Result<Found, Error> {
    let system = |what| move |error| Error::System(what, error);
    for folder in ["log", "large", "damaged"] {
        disk.make_folder(folder).map_err(system("a folder"))?;
    }
    let spool = identity(disk)?;
    let names = disk.list("log").map_err(system("the log"))?;
    // A spool keeps its shards: an id's shard follows from their number.
    let there = names.iter().filter(|name| name.parse::<u32>().is_ok()).count();
    let count = if there == 0 { shards_wanted.max(1) } else { there };
    let mut reader =
        Reader { disk, spool, index: Index::default(), large: HashSet::new(), events: Vec::new() };
    let mut shards = Vec::new();
    for number in 0..u32::try_from(count).unwrap_or(1) {
        disk.make_folder(&format!("log/{number}")).map_err(system("a folder"))?;
        shards.push(reader.shard(number)?);
    }
    for folder in ["log", "."] {
        disk.sync_folder(folder).map_err(system("a folder"))?;
    }
    reader.sweep_large()?;
    Ok(Found { spool, shards, index: reader.index, large: reader.large, events: reader.events })
}

/// The id of this spool, made once.
fn identity(disk: &dyn Disk) -> Result<u64, Error> {
    let system = |error| Error::System("the spool's identity", error);
    if let Ok(mut file) = disk.open("identity") {
        let mut octets = Vec::new();
        file.read_to_end(&mut octets).map_err(system)?;
        if let Some(id) = octets.first_chunk::<8>() {
            return Ok(u64::from_le_bytes(*id));
        }
        disk.remove("identity").map_err(system)?;
    }
    let id = sys::random_u128().map_err(system)?;
    let id = u64::try_from(id & u128::from(u64::MAX)).unwrap_or(1);
    drop(disk.remove("identity.new"));
    let file = match disk.create("identity.new", 0) {
        // It is only looked at, and there is nothing yet.
        Err(error) if error.kind() == std::io::ErrorKind::ReadOnlyFilesystem => return Ok(0),
        made => made.map_err(system)?,
    };
    disk.write_at(&file, &id.to_le_bytes(), 0).map_err(system)?;
    disk.sync(&file.file).map_err(system)?;
    disk.rename("identity.new", "identity").map_err(system)?;
    disk.sync_folder(".").map_err(system)?;
    Ok(id)
}

impl Reader<'_> {
    fn shard(&mut self, number: u32) -> Result<FoundShard, Error> {
        let mut found = FoundShard::default();
        let names = self
            .disk
            .list(&format!("log/{number}"))
            .map_err(|error| Error::System("the log", error))?;
        let segments = names.iter().filter_map(|name| name.strip_suffix(".seg")?.parse().ok());
        let mut segments: Vec<u32> = segments.collect();
        segments.sort_unstable();
        for segment in segments {
            found.last_segment = found.last_segment.max(segment);
            self.segment(number, segment, &mut found)?;
        }
        Ok(found)
    }

    fn segment(&mut self, shard: u32, number: u32, found: &mut FoundShard) -> Result<(), Error> {
        let name = segment_name(shard, number);
        let file = self.disk.open(&name).map_err(|error| Error::System("a segment", error))?;
        let mut octets = Vec::new();
        file.take(SEGMENT_BYTES_MAX)
            .read_to_end(&mut octets)
            .map_err(|error| Error::System("a segment", error))?;
        found.segments.holdings.entry(number).or_default();
        match SegmentHeader::decode(&octets) {
            Some(header) if header.version != VERSION => {
                return Err(Error::Version(header.version, VERSION));
            }
            Some(header) if header.spool == self.spool && header.number == number => {}
            Some(_) | None => {
                // Made and never written to, or not ours: nothing in it was acknowledged by this spool.
                if octets.iter().take(BLOCK_BYTES).any(|&octet| octet != 0) {
                    self.events.push(Event(format!("{name} is no segment of this spool")));
                }
                return Ok(());
            }
        }
        let mut place = BLOCK_BYTES;
        while let Some((header, records)) = self.next_batch(&octets, number, found, &mut place) {
            let start = place.saturating_add(BATCH_HEADER_BYTES);
            self.records(records, start, number, found);
            found.last_sequence = header.sequence;
            place = start.saturating_add(records.len()).next_multiple_of(BLOCK_BYTES);
        }
        Ok(())
    }

    /// The valid batch at `place`, or behind it if the disk has lost something; then `place` is moved there.
    fn next_batch<'a>(
        &mut self,
        octets: &'a [u8],
        segment: u32,
        found: &mut FoundShard,
        place: &mut usize,
    ) -> Option<(BatchHeader, &'a [u8])> {
        let begin = *place;
        let mut at = begin;
        while at < octets.len() {
            if let Some((header, records)) = self.batch_at(octets, at, segment, found.last_sequence)
            {
                if at > begin {
                    self.lost(octets.get(begin..at).unwrap_or_default(), begin, segment, found);
                }
                *place = at;
                return Some((header, records));
            }
            at = at.saturating_add(BLOCK_BYTES);
        }
        None
    }

    fn batch_at<'a>(
        &self,
        octets: &'a [u8],
        at: usize,
        segment: u32,
        last_sequence: u64,
    ) -> Option<(BatchHeader, &'a [u8])> {
        let header = BatchHeader::decode(octets.get(at..)?)?;
        let is_ours = header.spool == self.spool
            && header.segment == segment
            && header.sequence > last_sequence;
        let start = at.saturating_add(BATCH_HEADER_BYTES);
        let end = start.checked_add(usize::try_from(header.length).ok()?)?;
        let records = octets.get(start..end)?;
        (is_ours && header.fits(records)).then_some((header, records))
    }

    /// A region that was acknowledged once and can't be read whole: put aside, and what is whole in it kept.
    fn lost(&mut self, region: &[u8], at: usize, segment: u32, found: &mut FoundShard) {
        let name = format!("damaged/{segment:08}-{at:08}");
        self.events
            .push(Event(format!("segment {segment}: damage at octet {at}, put aside as {name}")));
        if let Ok(file) = self.disk.create(&name, 0) {
            // It is for the postmaster; without room for it the segment itself still has it.
            drop(self.disk.write_at(&file, region, 0));
        }
        if let Some(records) = region.get(BATCH_HEADER_BYTES..) {
            let start = at.saturating_add(BATCH_HEADER_BYTES);
            self.records(records, start, segment, found);
        }
    }

    /// Applies records one after the other; one that is not whole is skipped.
    fn records(&mut self, mut octets: &[u8], start: usize, segment: u32, found: &mut FoundShard) {
        let mut offset = start;
        while let Some(header) = Header::decode(octets) {
            let Ok(length) = usize::try_from(header.length) else { return };
            let whole = RECORD_HEADER_BYTES.saturating_add(length);
            let Some(payload) = octets.get(RECORD_HEADER_BYTES..whole) else { return };
            if header.fits(payload) {
                let offset = u32::try_from(offset).unwrap_or(u32::MAX);
                let place = Place { segment, offset, length: header.length };
                self.record(&header, place, found);
            }
            octets = octets.get(whole..).unwrap_or_default();
            offset = offset.saturating_add(whole);
        }
    }

    fn record(&mut self, header: &Header, place: Place, found: &mut FoundShard) {
        let known = self.index.find(header.id);
        let segments = &mut found.segments;
        match (header.kind, known) {
            (Kind::Message | Kind::Large, None) => {
                let row = Row { id: header.id, message: place, note: Place::default() };
                if self.index.insert(row).is_some() {
                    segments.born(place);
                }
                if header.kind == Kind::Large {
                    self.large.insert(header.id);
                }
            }
            (Kind::Message | Kind::Large, Some(slot)) => {
                if let Some(row) = self.index.get_mut(slot) {
                    segments.died(row.message);
                    segments.copies.entry(header.id).or_default().push(row.message.segment);
                    row.message = place;
                    segments.born(place);
                }
            }
            (Kind::Note, Some(slot)) => {
                if let Some(row) = self.index.get_mut(slot) {
                    segments.died(row.note);
                    row.note = place;
                    segments.born(place);
                }
            }
            (Kind::Done, Some(slot)) => {
                self.large.remove(&header.id);
                if let Some(row) = self.index.remove(slot) {
                    segments.died(row.message);
                    segments.died(row.note);
                    segments.buried(row.id, row.message.segment, place.segment);
                }
            }
            // Of a message that ended, and whose segment is gone.
            (Kind::Note | Kind::Done, None) => {}
        }
    }

    /// Removes bodies that belong to no message, and names messages whose body is gone.
    fn sweep_large(&mut self) -> Result<(), Error> {
        let system = |error| Error::System("the large bodies", error);
        let mut missing = self.large.clone();
        for name in self.disk.list("large").map_err(system)? {
            let id = u64::from_str_radix(&name, 16).ok().filter(|_| name.len() == 16);
            if !id.is_some_and(|id| missing.remove(&id)) {
                self.disk.remove(&format!("large/{name}")).map_err(system)?;
            }
        }
        for id in &missing {
            self.events.push(Event(format!("the body of message {id:016x} is gone")));
        }
        Ok(())
    }
}
