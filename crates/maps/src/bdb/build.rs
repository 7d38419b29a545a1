//! Making Berkeley DB files: pairs are put into memory as libdb would put them into its pages, then
//! all of the file is laid out at once.
//!
//! Files are version 9 in little-endian order, as Berkeley DB 5.3 makes them. Pairs of a hash file come
//! out in the order in which libdb's own file would give them, because its growth is followed step by
//! step; only page numbers differ.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::build_hash::Buckets;
use super::page::{
    BTREE_MAGIC, HASH_MAGIC, PAGE_HEAD, TYPE_BTREE_META, TYPE_HASH_META, TYPE_OVERFLOW,
    TYPE_RECNO_INNER, TYPE_RECNO_LEAF,
};
use super::{Database, Error, Kind};

/// The page size that libdb chooses on file systems with blocks of 4 KiB.
pub const PAGE_BYTES: usize = 4096;
/// The longest key or value that can be put, in bytes.
pub const PUT_BYTES_MAX: usize = super::ITEM_BYTES_MAX;
/// Octets of a reference to pages of an item's own.
pub(super) const REFERENCE_BYTES: usize = 12;

/// The value of a key, or its values in the order in which they were put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Values {
    One(Box<[u8]>),
    Several(Vec<Box<[u8]>>),
}

impl Values {
    pub(super) fn list(&self) -> &[Box<[u8]>] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Several(values) => values,
        }
    }

    pub(super) fn push(&mut self, value: Box<[u8]>) {
        match self {
            Self::One(first) => *self = Self::Several(vec![std::mem::take(first), value]),
            Self::Several(values) => values.push(value),
        }
    }
}

/// What is to be done when the key is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfThere {
    /// The first stays.
    Keep,
    /// The new value takes its place.
    Replace,
    /// Both stay (files with duplicates only; else as [`IfThere::Replace`]).
    Add,
}

/// What became of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is in.
    Done,
    /// The key was there, the first value stayed.
    WasThere,
    /// Key or value is longer than [`PUT_BYTES_MAX`].
    TooLong,
}

/// A file in the making.
#[derive(Debug)]
pub struct Build {
    page_bytes: usize,
    has_duplicates: bool,
    store: Store,
}

#[derive(Debug)]
enum Store {
    Hash(Buckets),
    Btree(BTreeMap<Box<[u8]>, Values>),
}

impl Build {
    /// An empty file. `page_bytes` is a power of two from 512 to 32768; anything else gives [`PAGE_BYTES`].
    #[must_use]
    pub fn new(kind: Kind, page_bytes: usize, has_duplicates: bool) -> Self {
        let fits = page_bytes.is_power_of_two() && (512..=32768).contains(&page_bytes);
        let page_bytes = if fits { page_bytes } else { PAGE_BYTES };
        let store = match kind {
            Kind::Hash => Store::Hash(Buckets::new(page_bytes, 2)),
            Kind::Btree => Store::Btree(BTreeMap::new()),
        };
        Self { page_bytes, has_duplicates, store }
    }

    /// All that is in a file, to be added to or taken from.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn from_database(database: &mut Database) -> Result<Self, Error> {
        let mut build = Self::new(database.kind(), PAGE_BYTES, database.allows_duplicates());
        if let (Store::Hash(buckets), Some(count)) = (&mut build.store, database.buckets()) {
            *buckets = Buckets::new(PAGE_BYTES, count);
        }
        let if_there = if build.has_duplicates { IfThere::Add } else { IfThere::Replace };
        database.each(&mut |key, value| {
            build.put(key, value, if_there);
            ControlFlow::Continue(())
        })?;
        Ok(build)
    }

    /// Puts a pair in.
    pub fn put(&mut self, key: &[u8], value: &[u8], if_there: IfThere) -> Put {
        if key.len() > PUT_BYTES_MAX || value.len() > PUT_BYTES_MAX {
            return Put::TooLong;
        }
        let if_there = match if_there {
            IfThere::Add if !self.has_duplicates => IfThere::Replace,
            IfThere::Keep => IfThere::Keep,
            IfThere::Replace => IfThere::Replace,
            IfThere::Add => IfThere::Add,
        };
        match &mut self.store {
            Store::Hash(buckets) => buckets.put(key, value, if_there),
            Store::Btree(tree) => match tree.get_mut(key) {
                None => {
                    tree.insert(key.into(), Values::One(value.into()));
                    Put::Done
                }
                Some(values) => match if_there {
                    IfThere::Keep => Put::WasThere,
                    IfThere::Replace => {
                        *values = Values::One(value.into());
                        Put::Done
                    }
                    IfThere::Add => {
                        values.push(value.into());
                        Put::Done
                    }
                },
            },
        }
    }

    /// The first value of a key.
    #[must_use]
    pub fn value(&self, key: &[u8]) -> Option<&[u8]> {
        let values = match &self.store {
            Store::Hash(buckets) => buckets.values(key),
            Store::Btree(tree) => tree.get(key),
        };
        values.and_then(|values| values.list().first()).map(|value| &**value)
    }

    /// Takes a key out; `false` if it was not there.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        match &mut self.store {
            Store::Hash(buckets) => buckets.remove(key),
            Store::Btree(tree) => tree.remove(key).is_some(),
        }
    }

    /// The octets of the file.
    ///
    /// # Errors
    /// The file would have more pages than 32 bits can number.
    pub fn into_bytes(self, unique_id: [u8; 20]) -> Result<Vec<u8>, Error> {
        let mut image = Image::new(self.page_bytes);
        match self.store {
            Store::Hash(buckets) => buckets.lay_out(&mut image)?,
            Store::Btree(tree) => super::build_btree::lay_out(&tree, &mut image)?,
        }
        Ok(image.finish(self.has_duplicates, unique_id))
    }
}

/// The pages of a file in the making.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) page_bytes: usize,
    octets: Vec<u8>,
    count: u32,
    head: Head,
}

/// What stands in page 0, apart from what all files have.
#[derive(Debug, Default, Clone, Copy)]
pub(super) enum Head {
    #[default]
    Btree,
    Hash {
        bucket_max: u32,
        pairs: u32,
        check: u32,
        groups: u32,
    },
}

impl Image {
    fn new(page_bytes: usize) -> Self {
        Self { page_bytes, octets: vec![0; page_bytes], count: 1, head: Head::Btree }
    }

    pub(super) fn set_head(&mut self, head: Head) {
        self.head = head;
    }

    /// A number for a page that will be put later.
    pub(super) fn allocate(&mut self) -> Result<u32, Error> {
        let number = self.count;
        self.count = number.checked_add(1).ok_or(Error::Unsupported("too many pages"))?;
        self.octets.resize(self.octets.len().saturating_add(self.page_bytes), 0);
        Ok(number)
    }

    /// Puts a page in its place.
    pub(super) fn put(&mut self, number: u32, page: Sheet) {
        let at = usize::try_from(number).unwrap_or(0).saturating_mul(self.page_bytes);
        let octets = page.finish(number);
        if let Some(place) =
            at.checked_add(self.page_bytes).and_then(|end| self.octets.get_mut(at..end))
        {
            place.copy_from_slice(&octets);
        }
    }

    /// Puts an item on pages of its own; gives the first.
    pub(super) fn put_overflow(&mut self, item: &[u8]) -> Result<u32, Error> {
        let room = self.page_bytes.saturating_sub(PAGE_HEAD);
        let first = self.allocate()?;
        let (mut number, mut previous) = (first, 0);
        let mut chunks = item.chunks(room).peekable();
        while let Some(chunk) = chunks.next() {
            let next = if chunks.peek().is_some() { self.allocate()? } else { 0 };
            let mut page = Sheet::new(self.page_bytes, TYPE_OVERFLOW, 0);
            page.previous = previous;
            page.next = next;
            page.set_overflow(chunk);
            self.put(number, page);
            previous = number;
            number = next;
        }
        Ok(first)
    }

    /// Puts the values of one key on pages of their own; gives the root.
    pub(super) fn put_duplicates(&mut self, values: &[Box<[u8]>]) -> Result<u32, Error> {
        let mut level: Vec<(Sheet, u32)> = Vec::new();
        for value in values {
            let item = tree_item(self, value)?;
            if !level.last().is_some_and(|(page, _)| page.has_room(1, item.len())) {
                level.push((Sheet::new(self.page_bytes, TYPE_RECNO_LEAF, 1), 0));
            }
            if let Some((page, records)) = level.last_mut() {
                page.push(&item);
                *records = records.saturating_add(1);
            }
        }
        let mut height = 1_u8;
        while level.len() > 1 {
            let records: Vec<u32> = level.iter().map(|(_, records)| *records).collect();
            let numbers =
                self.put_level(level.into_iter().map(|(page, _)| page).collect(), height == 1)?;
            height = height.saturating_add(1);
            level = Vec::new();
            for (number, below) in numbers.into_iter().zip(records) {
                if !level.last().is_some_and(|(page, _): &(Sheet, u32)| page.has_room(1, 8)) {
                    level.push((Sheet::new(self.page_bytes, TYPE_RECNO_INNER, height), 0));
                }
                if let Some((page, total)) = level.last_mut() {
                    page.push(&[number.to_le_bytes(), below.to_le_bytes()].concat());
                    *total = total.saturating_add(below);
                }
            }
        }
        let root = self.allocate()?;
        if let Some((mut page, records)) = level.pop() {
            if height > 1 {
                // The root of numbered records keeps their count in place of the page before.
                page.previous = records;
            }
            self.put(root, page);
        }
        Ok(root)
    }

    /// Puts the pages of one level of a tree; leaves are chained. Gives their numbers.
    pub(super) fn put_level(
        &mut self,
        pages: Vec<Sheet>,
        is_leaf: bool,
    ) -> Result<Vec<u32>, Error> {
        let mut numbers = Vec::with_capacity(pages.len());
        for _ in &pages {
            numbers.push(self.allocate()?);
        }
        let mut previous = 0;
        for (index, mut page) in pages.into_iter().enumerate() {
            let number = numbers.get(index).copied().unwrap_or(0);
            if is_leaf {
                page.previous = previous;
                page.next = numbers.get(index.saturating_add(1)).copied().unwrap_or(0);
            }
            self.put(number, page);
            previous = number;
        }
        Ok(numbers)
    }

    fn finish(mut self, has_duplicates: bool, unique_id: [u8; 20]) -> Vec<u8> {
        let (magic, kind) = match self.head {
            Head::Btree => (BTREE_MAGIC, TYPE_BTREE_META),
            Head::Hash { .. } => (HASH_MAGIC, TYPE_HASH_META),
        };
        let page_bytes = u32::try_from(self.page_bytes).unwrap_or(0);
        let last = self.count.saturating_sub(1);
        let mut fields = vec![
            (4, 1),
            (12, magic),
            (16, 9),
            (20, page_bytes),
            (24, u32::from(kind) << 8),
            (32, last),
            (48, u32::from(has_duplicates)),
        ];
        match self.head {
            Head::Btree => fields.extend([(76, 2), (84, 0x20), (88, 1)]),
            Head::Hash { bucket_max, pairs, check, groups } => {
                let high_mask = bucket_max
                    .saturating_add(1)
                    .checked_next_power_of_two()
                    .unwrap_or(u32::MAX)
                    .saturating_sub(1);
                fields.extend([
                    (72, bucket_max),
                    (76, high_mask),
                    (80, high_mask >> 1),
                    (88, pairs),
                    (92, check),
                ]);
                fields.extend(
                    (0..=usize::try_from(groups).unwrap_or(0).min(31))
                        .map(|group| (96_usize.saturating_add(group.saturating_mul(4)), 1)),
                );
            }
        }
        for (at, number) in fields {
            write_at(&mut self.octets, at, &number.to_le_bytes());
        }
        write_at(&mut self.octets, 52, &unique_id);
        self.octets
    }
}

/// An item of a tree's leaf: on the page, or (if it is long) a reference.
pub(super) fn tree_item(image: &mut Image, item: &[u8]) -> Result<Vec<u8>, Error> {
    let mut octets = Vec::with_capacity(item.len().saturating_add(8));
    if item.len() > overflow_above(image.page_bytes) {
        octets.extend_from_slice(&[0, 0, 3, 0]);
        octets.extend_from_slice(&image.put_overflow(item)?.to_le_bytes());
        octets.extend_from_slice(&u32::try_from(item.len()).unwrap_or(u32::MAX).to_le_bytes());
    } else {
        octets.extend_from_slice(&u16::try_from(item.len()).unwrap_or(u16::MAX).to_le_bytes());
        octets.push(1);
        octets.extend_from_slice(item);
    }
    octets.resize(octets.len().next_multiple_of(4), 0);
    Ok(octets)
}

/// An item of a tree that is longer stands on pages of its own, so that two keys fit on each page.
pub(super) const fn overflow_above(page_bytes: usize) -> usize {
    (page_bytes.saturating_sub(PAGE_HEAD) / 4).saturating_sub(10)
}

/// One page in the making.
#[derive(Debug)]
pub(super) struct Sheet {
    octets: Vec<u8>,
    kind: u8,
    level: u8,
    pub(super) previous: u32,
    pub(super) next: u32,
    entries: usize,
    low: usize,
}

impl Sheet {
    pub(super) fn new(page_bytes: usize, kind: u8, level: u8) -> Self {
        Self {
            octets: vec![0; page_bytes],
            kind,
            level,
            previous: 0,
            next: 0,
            entries: 0,
            low: page_bytes,
        }
    }

    /// Whether `items` more of together `bytes` fit.
    pub(super) const fn has_room(&self, items: usize, bytes: usize) -> bool {
        let taken = PAGE_HEAD
            .saturating_add(self.entries.saturating_add(items).saturating_mul(2))
            .saturating_add(bytes);
        taken <= self.low
    }

    /// Adds an item; gives its offset.
    pub(super) fn push(&mut self, item: &[u8]) -> usize {
        let low = self.low.saturating_sub(item.len());
        write_at(&mut self.octets, low, item);
        self.low = low;
        self.push_offset(low);
        low
    }

    /// Adds an entry that leads to an item which is there already.
    pub(super) fn push_offset(&mut self, offset: usize) {
        let at = PAGE_HEAD.saturating_add(self.entries.saturating_mul(2));
        write_at(&mut self.octets, at, &u16::try_from(offset).unwrap_or(u16::MAX).to_le_bytes());
        self.entries = self.entries.saturating_add(1);
    }

    fn set_overflow(&mut self, part: &[u8]) {
        write_at(&mut self.octets, PAGE_HEAD, part);
        self.entries = 1;
        self.low = part.len();
    }

    fn finish(mut self, number: u32) -> Vec<u8> {
        let entries = u16::try_from(self.entries).unwrap_or(u16::MAX);
        let low = u16::try_from(self.low).unwrap_or(0);
        for (at, field) in [(4, 1), (8, number), (12, self.previous), (16, self.next)] {
            write_at(&mut self.octets, at, &field.to_le_bytes());
        }
        write_at(&mut self.octets, 20, &entries.to_le_bytes());
        write_at(&mut self.octets, 22, &low.to_le_bytes());
        write_at(&mut self.octets, 24, &[self.level, self.kind]);
        self.octets
    }
}

fn write_at(octets: &mut [u8], at: usize, part: &[u8]) {
    if let Some(place) = at.checked_add(part.len()).and_then(|end| octets.get_mut(at..end)) {
        place.copy_from_slice(part);
    }
}
