//! Reads a segment: its index, or, where there is none, its batches one by one.
//!
//! A batch is a commit only if its trailer is there. Reading goes on at the next 4 KiB boundary when something is no batch, because bits
//! that rotted in one place say nothing about the others. What is broken and has a whole batch after it was once
//! durable: it is damaged. What is broken at the end was being written when the power went: it is torn, and nobody
//! was ever told that it was stored. Rot in the very last batch looks the same, so what is torn is copied before it is overwritten.

use std::fs::File;
use std::io;

use crate::buffer::BLOCK;
use crate::disk::{self, Disk};
use crate::record::{BATCH_HEADER, BATCH_MAX, BatchHead, RECORD_HEADER, Record, TRAILER};
use crate::segment::{ENTRY, Entry, Footer, Header, Name, index};

/// Octets that are read at once.
const WINDOW: usize = 256 * 1024;
/// Damaged places that are told of one segment; more are only counted.
const DAMAGES_MAX: usize = 100;

/// A block, as an offset in a file.
const BLOCK_BYTES: u64 = 4096;

/// What a segment holds.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) entries: Vec<Entry>,
    /// The greatest stamp seen, in a batch or a header.
    pub(crate) last_stamp: u64,
    /// Octets of the file.
    pub(crate) size: u64,
    /// Behind the last whole batch. `None`: the segment is sealed.
    pub(crate) end: Option<u64>,
    /// The version in the header, if that is whole.
    pub(crate) format: Option<u32>,
    /// It is whole, but of another spool, shard or number.
    pub(crate) is_foreign: bool,
    pub(crate) damages: Vec<Damage>,
    /// What lies behind the last batch: an unfinished commit.
    pub(crate) torn: Option<Damage>,
    /// Something could not be read at all.
    pub(crate) has_read_errors: bool,
}

/// Octets that are not what was written.
#[derive(Debug)]
pub(crate) struct Damage {
    pub(crate) offset: u64,
    /// The message, as far as its header is to be believed.
    pub(crate) id: Option<u64>,
    pub(crate) octets: Vec<u8>,
}

/// Reads a segment.
pub(crate) fn scan(disk: &dyn Disk, file: &File, name: Name) -> io::Result<Scan> {
    let mut reader = Reader { disk, file, window: Vec::new(), at: 0, has_errors: false };
    let mut scan = Scan { size: disk.size(file)?, ..Scan::default() };
    if let Some(header) = Header::decode(reader.block(0)) {
        scan.format = Some(header.format);
        scan.is_foreign = header.name != name;
        scan.last_stamp = header.first_stamp;
    }
    let is_known = scan.format.is_none_or(|format| format <= crate::segment::FORMAT);
    if !scan.is_foreign && is_known && !read_sealed(&mut reader, name, &mut scan) {
        read_batches(&mut reader, name, &mut scan);
    }
    scan.has_read_errors = reader.has_errors;
    Ok(scan)
}

/// Takes what the index says. False: there is none, or it is not to be believed.
fn read_sealed(reader: &mut Reader<'_>, name: Name, scan: &mut Scan) -> bool {
    let Some(footer_at) = scan.size.checked_sub(BLOCK_BYTES) else { return false };
    let Some(footer) = Footer::decode(reader.block(footer_at)) else { return false };
    let count = usize::try_from(footer.count).unwrap_or(usize::MAX);
    let len = count.saturating_mul(ENTRY);
    let ends = footer.index_offset.checked_add(u64::try_from(len).unwrap_or(u64::MAX));
    if footer.name != name || ends.is_none_or(|ends| ends > footer_at) {
        return false;
    }
    let octets = reader.octets(footer.index_offset, len);
    let Some(entries) = index(&octets, &footer) else { return false };
    let fits = |entry: &Entry| {
        u64::from(entry.offset).saturating_add(u64::from(entry.len)) < footer.index_offset
            && entry.offset >= 4096
    };
    scan.entries = entries.into_iter().filter(fits).collect();
    scan.last_stamp = scan.last_stamp.max(footer.last_stamp);
    true
}

/// Reads all batches, and looks for the next whole one wherever something is none.
fn read_batches(reader: &mut Reader<'_>, name: Name, scan: &mut Scan) {
    let mut offset = BLOCK_BYTES;
    let mut end = offset;
    let mut last = 0;
    // The first batch since `end` that has a header but no trailer.
    let mut unfinished: Option<(u64, BatchHead)> = None;
    while offset.saturating_add(BLOCK_BYTES) <= scan.size {
        let head = BatchHead::decode(reader.block(offset)).filter(|head| {
            (head.spool, head.shard, head.segment) == (name.spool, name.shard, name.number)
                && head.stamp > last
                && offset.checked_add(head.size()).is_some_and(|ends| ends <= scan.size)
        });
        let Some(head) = head else {
            offset = offset.saturating_add(BLOCK_BYTES);
            continue;
        };
        if !has_trailer(reader, offset, &head) {
            unfinished = unfinished.or(Some((offset, head)));
            offset = offset.saturating_add(BLOCK_BYTES);
            continue;
        }
        match unfinished.take() {
            Some((at, head)) => read_records(reader, at, &head, scan),
            None => save_gap(reader, end, offset, scan),
        }
        read_records(reader, offset, &head, scan);
        last = head.stamp;
        offset = offset.saturating_add(head.size());
        end = offset;
    }
    scan.last_stamp = scan.last_stamp.max(last);
    scan.torn = tail(reader, end);
    scan.end = Some(end);
}

fn has_trailer(reader: &mut Reader<'_>, offset: u64, head: &BatchHead) -> bool {
    let at = offset.saturating_add(u64::from(head.len)).saturating_add(64);
    reader.octets(at, TRAILER) == head.trailer()
}

/// What lies behind the last batch, without the zeros at its end.
fn tail(reader: &mut Reader<'_>, end: u64) -> Option<Damage> {
    let mut octets = reader.octets(end, BATCH_MAX.saturating_add(2 * BLOCK));
    let last = octets.iter().rposition(|&octet| octet != 0)?;
    octets.truncate(last.saturating_add(1));
    Some(Damage { offset: end, id: None, octets })
}

/// Takes the records of a batch that are whole; keeps a copy of those that are not.
fn read_records(reader: &mut Reader<'_>, base: u64, head: &BatchHead, scan: &mut Scan) {
    let len = usize::try_from(head.len).unwrap_or(0).saturating_add(BATCH_HEADER);
    let octets = reader.octets(base, len);
    let seed = head.spool.seed();
    let mut at = BATCH_HEADER;
    for _ in 0..head.count {
        let rest = octets.get(at..).unwrap_or_default();
        if rest.len() < RECORD_HEADER {
            break;
        }
        let offset = base.saturating_add(u64::try_from(at).unwrap_or(0));
        let claimed = Record::read(rest);
        match Record::check(rest, seed) {
            Some((record, _)) if u64::from(record.stamp_low) == head.stamp & 0xffff_ffff => {
                scan.entries.push(Entry {
                    kind: record.kind,
                    id: record.id,
                    stamp: head.stamp,
                    offset: u32::try_from(offset).unwrap_or(u32::MAX),
                    len: record.len,
                    split: record.split,
                });
            }
            _ => {
                let size = claimed.and_then(|record| usize::try_from(record.size()).ok());
                let octets = size.and_then(|size| rest.get(..size)).unwrap_or(rest);
                scan.damaged(offset, claimed.map(|record| record.id), octets);
            }
        }
        let size = claimed.and_then(|record| usize::try_from(record.size()).ok());
        at = at.saturating_add(size.unwrap_or(usize::MAX));
    }
}

/// Keeps a copy of what lies between two whole batches, if it is anything.
fn save_gap(reader: &mut Reader<'_>, from: u64, to: u64, scan: &mut Scan) {
    if from < to {
        let most = u64::try_from(BATCH_MAX).unwrap_or(0);
        let len = usize::try_from((to - from).min(most)).unwrap_or(0);
        let octets = reader.octets(from, len);
        if octets.iter().any(|&octet| octet != 0) {
            scan.damaged(from, None, &octets);
        }
    }
}

impl Scan {
    fn damaged(&mut self, offset: u64, id: Option<u64>, octets: &[u8]) {
        if self.damages.len() < DAMAGES_MAX {
            self.damages.push(Damage { offset, id, octets: octets.to_vec() });
        }
    }
}

/// Reads a file through a window; what can't be read is zeros.
struct Reader<'a> {
    disk: &'a dyn Disk,
    file: &'a File,
    window: Vec<u8>,
    at: u64,
    has_errors: bool,
}

impl Reader<'_> {
    /// The block at an offset; shorter at the end of the file.
    fn block(&mut self, offset: u64) -> &[u8] {
        let from = offset.checked_sub(self.at).and_then(|from| usize::try_from(from).ok());
        let has_it = from.is_some_and(|from| from.saturating_add(BLOCK) <= self.window.len());
        let from = if has_it {
            from.unwrap_or(0)
        } else {
            self.window = self.octets(offset, WINDOW);
            self.at = offset;
            0
        };
        let block = self.window.get(from..).unwrap_or_default();
        block.get(..BLOCK).unwrap_or(block)
    }

    /// So many octets from an offset on; fewer at the end of the file.
    fn octets(&mut self, offset: u64, len: usize) -> Vec<u8> {
        let mut octets = vec![0; len];
        if let Ok(count) = disk::read_full(self.disk, self.file, &mut octets, offset) {
            octets.truncate(count);
            return octets;
        }
        self.has_errors = true;
        octets.fill(0);
        for (place, block) in (offset..).step_by(BLOCK).zip(octets.chunks_mut(BLOCK)) {
            if disk::read_full(self.disk, self.file, block, place).is_err() {
                block.fill(0);
            }
        }
        octets
    }
}
