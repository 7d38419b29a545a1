//! Hash files in the making.
//!
//! libdb starts with two buckets and adds one whenever a page overflows: the pairs of one old bucket are
//! dealt out to it and the new one. To come to the same buckets (and so to the same order of pairs) the
//! fill of each page is followed here, as if the pages were there.

use super::Error;
use std::cmp::Ordering;

use super::build::{Head, IfThere, Image, Put, REFERENCE_BYTES, Sheet, Values};
use super::hash::by_fnv;
use super::page::{PAGE_HEAD, TYPE_HASH, checked_log2};

const CHECK_WORD: &[u8] = b"%$sniglet^&\0";
const DUPLICATES_REFERENCE_BYTES: usize = 8;

/// All buckets.
#[derive(Debug)]
pub(super) struct Buckets {
    page_bytes: usize,
    chains: Vec<Bucket>,
    pairs: u32,
}

/// The pages of one bucket; the first is always there.
type Bucket = Vec<Fill>;

/// What is on one page.
#[derive(Debug, Default)]
struct Fill {
    items: Vec<Item>,
    used_bytes: usize,
}

#[derive(Debug)]
struct Item {
    hash: u32,
    key: Box<[u8]>,
    values: Values,
    bytes: usize,
}

impl Buckets {
    pub(super) fn new(page_bytes: usize, count: u32) -> Self {
        let count = usize::try_from(count).unwrap_or(2).max(2);
        let chains = (0..count).map(|_| vec![Fill::default()]).collect();
        Self { page_bytes, chains, pairs: 0 }
    }

    fn bucket_of(&self, hash: u32) -> usize {
        let high_mask = self.chains.len().next_power_of_two().saturating_sub(1);
        let hash = usize::try_from(hash).unwrap_or(0);
        let bucket = hash & high_mask;
        if bucket >= self.chains.len() { hash & (high_mask >> 1) } else { bucket }
    }

    /// Where a key is: page of the bucket, item of the page.
    fn find(&self, bucket: usize, hash: u32, key: &[u8]) -> Option<(usize, usize)> {
        self.chains.get(bucket)?.iter().enumerate().find_map(|(page, fill)| {
            let item = fill.items.iter().position(|item| item.hash == hash && *item.key == *key)?;
            Some((page, item))
        })
    }

    pub(super) fn values(&self, key: &[u8]) -> Option<&Values> {
        let hash = by_fnv(key);
        let bucket = self.bucket_of(hash);
        let (page, item) = self.find(bucket, hash, key)?;
        Some(&self.chains.get(bucket)?.get(page)?.items.get(item)?.values)
    }

    fn take(&mut self, bucket: usize, (page, item): (usize, usize)) -> Option<Item> {
        let fill = self.chains.get_mut(bucket)?.get_mut(page)?;
        if item >= fill.items.len() {
            return None;
        }
        let item = fill.items.remove(item);
        fill.used_bytes = fill.used_bytes.saturating_sub(item.bytes);
        self.pairs = self.pairs.saturating_sub(1);
        Some(item)
    }

    pub(super) fn remove(&mut self, key: &[u8]) -> bool {
        let hash = by_fnv(key);
        let bucket = self.bucket_of(hash);
        self.find(bucket, hash, key).and_then(|place| self.take(bucket, place)).is_some()
    }

    pub(super) fn put(&mut self, key: &[u8], value: &[u8], if_there: IfThere) -> Put {
        let hash = by_fnv(key);
        let bucket = self.bucket_of(hash);
        let Some(place) = self.find(bucket, hash, key) else {
            self.add(
                bucket,
                Item { hash, key: key.into(), values: Values::One(value.into()), bytes: 0 },
            );
            return Put::Done;
        };
        if if_there == IfThere::Keep {
            return Put::WasThere;
        }
        let page_bytes = self.page_bytes;
        let Some(fill) = self.chains.get_mut(bucket).and_then(|pages| pages.get_mut(place.0))
        else {
            return Put::Done;
        };
        let mut used_bytes = fill.used_bytes;
        if let Some(item) = fill.items.get_mut(place.1) {
            match if_there {
                IfThere::Add => item.values.push(value.into()),
                IfThere::Keep | IfThere::Replace => item.values = Values::One(value.into()),
            }
            let bytes = item.bytes_on_page(page_bytes);
            used_bytes = used_bytes.saturating_sub(item.bytes).saturating_add(bytes);
            if used_bytes <= page_bytes.saturating_sub(PAGE_HEAD) {
                item.bytes = bytes;
                fill.used_bytes = used_bytes;
                return Put::Done;
            }
        }
        // It has outgrown its page.
        if let Some(item) = self.take(bucket, place) {
            self.add(bucket, item);
        }
        Put::Done
    }

    /// Puts an item on the first page of its bucket with room; a new page makes the table grow.
    fn add(&mut self, bucket: usize, mut item: Item) {
        let page_bytes = self.page_bytes;
        item.bytes = item.bytes_on_page(page_bytes);
        self.pairs = self.pairs.saturating_add(1);
        let room = page_bytes.saturating_sub(PAGE_HEAD);
        let Some(pages) = self.chains.get_mut(bucket) else { return };
        // Only the last page of a bucket is filled to its last octet: libdb's search asks for more than enough room.
        let last = pages.len().saturating_sub(1);
        let place = pages.iter().enumerate().position(|(index, fill)| {
            let bytes = fill.used_bytes.saturating_add(item.bytes);
            bytes < room || (index == last && bytes == room)
        });
        if let Some(fill) = place.and_then(|index| pages.get_mut(index)) {
            fill.put(page_bytes, item);
        } else {
            let mut fill = Fill::default();
            fill.put(page_bytes, item);
            pages.push(fill);
            self.grow();
        }
    }

    /// Adds one bucket and deals out the pairs of the one it comes from.
    fn grow(&mut self) {
        let new = self.chains.len();
        let old = new & (new.saturating_add(1).next_power_of_two().saturating_sub(1) >> 1);
        let page_bytes = self.page_bytes;
        let room = page_bytes.saturating_sub(PAGE_HEAD);
        let pages = self.chains.get_mut(old).map(std::mem::take).unwrap_or_default();
        self.chains.push(Vec::new());
        let (mut stay, mut go) = (vec![Fill::default()], vec![Fill::default()]);
        for fill in pages {
            for item in fill.items {
                let side = if self.bucket_of(item.hash) == new { &mut go } else { &mut stay };
                if side.last().is_none_or(|fill| fill.used_bytes.saturating_add(item.bytes) > room)
                {
                    side.push(Fill::default());
                }
                if let Some(fill) = side.last_mut() {
                    fill.put(page_bytes, item);
                }
            }
        }
        if let Some(place) = self.chains.get_mut(old) {
            *place = stay;
        }
        if let Some(place) = self.chains.last_mut() {
            *place = go;
        }
    }

    pub(super) fn lay_out(self, image: &mut Image) -> Result<(), Error> {
        let count =
            u32::try_from(self.chains.len()).map_err(|_| Error::Unsupported("too many buckets"))?;
        let allocated =
            count.checked_next_power_of_two().ok_or(Error::Unsupported("too many buckets"))?;
        for _ in 0..allocated {
            image.allocate()?;
        }
        image.set_head(Head::Hash {
            bucket_max: count.saturating_sub(1),
            pairs: self.pairs,
            check: by_fnv(CHECK_WORD),
            groups: checked_log2(allocated),
        });
        let mut number = 0_u32;
        for pages in self.chains {
            number = number.saturating_add(1);
            let (mut at, mut previous) = (number, 0);
            let mut pages = pages.into_iter().peekable();
            while let Some(fill) = pages.next() {
                let mut page = Sheet::new(self.page_bytes, TYPE_HASH, 0);
                for item in &fill.items {
                    page.push(&long_or_short(image, &item.key)?);
                    page.push(&values_item(image, &item.values)?);
                }
                page.previous = previous;
                page.next = if pages.peek().is_some() { image.allocate()? } else { 0 };
                previous = at;
                let next = page.next;
                image.put(at, page);
                at = next;
            }
        }
        for unused in count..allocated {
            image.put(unused.saturating_add(1), Sheet::new(self.page_bytes, TYPE_HASH, 0));
        }
        Ok(())
    }
}

impl Fill {
    /// Puts an item in its place among those there. The order is not transitive, so the search is libdb's.
    fn put(&mut self, page_bytes: usize, item: Item) {
        self.used_bytes = self.used_bytes.saturating_add(item.bytes);
        let (mut base, mut limit) = (0_usize, self.items.len());
        while limit > 0 {
            let middle = base.saturating_add(limit / 2);
            let is_behind = self
                .items
                .get(middle)
                .is_some_and(|there| order(page_bytes, &item.key, &there.key) == Ordering::Greater);
            if is_behind {
                base = middle.saturating_add(1);
                limit = limit.saturating_sub(1);
            }
            limit /= 2;
        }
        self.items.insert(base.min(self.items.len()), item);
    }
}

impl Item {
    /// What key and value take of a page, offsets included.
    fn bytes_on_page(&self, page_bytes: usize) -> usize {
        let value = match self.values.list() {
            [one] => short_bytes(page_bytes, one.len()),
            several => {
                let row = row_bytes(several);
                if is_big(page_bytes, row) {
                    DUPLICATES_REFERENCE_BYTES
                } else {
                    row.saturating_add(1)
                }
            }
        };
        short_bytes(page_bytes, self.key.len()).saturating_add(value).saturating_add(4)
    }
}

/// How a key that is searched compares with one that is there: octets decide; where one opens the other, the longer is
/// first, unless the one that is there stands off the page. (So with libdb, which must find its way in what is written here.)
fn order(page_bytes: usize, searched: &[u8], there: &[u8]) -> Ordering {
    let common = searched.len().min(there.len());
    let by_octets = searched.iter().take(common).cmp(there.iter().take(common));
    let by_size = searched.len().cmp(&there.len());
    by_octets.then(if is_big(page_bytes, there.len()) { by_size } else { by_size.reverse() })
}

const fn is_big(page_bytes: usize, bytes: usize) -> bool {
    bytes > page_bytes / 4
}

const fn short_bytes(page_bytes: usize, bytes: usize) -> usize {
    if is_big(page_bytes, bytes) { REFERENCE_BYTES } else { bytes.saturating_add(1) }
}

fn row_bytes(values: &[Box<[u8]>]) -> usize {
    values.iter().map(|value| value.len().saturating_add(4)).sum()
}

fn long_or_short(image: &mut Image, item: &[u8]) -> Result<Vec<u8>, Error> {
    let mut octets = Vec::with_capacity(item.len().saturating_add(1));
    if is_big(image.page_bytes, item.len()) {
        octets.extend_from_slice(&[3, 0, 0, 0]);
        octets.extend_from_slice(&image.put_overflow(item)?.to_le_bytes());
        octets.extend_from_slice(&u32::try_from(item.len()).unwrap_or(u32::MAX).to_le_bytes());
    } else {
        octets.push(1);
        octets.extend_from_slice(item);
    }
    Ok(octets)
}

fn values_item(image: &mut Image, values: &Values) -> Result<Vec<u8>, Error> {
    let several = match values.list() {
        [one] => return long_or_short(image, one),
        several => several,
    };
    if is_big(image.page_bytes, row_bytes(several)) {
        let root = image.put_duplicates(several)?;
        return Ok([[4, 0, 0, 0], root.to_le_bytes()].concat());
    }
    let mut octets = vec![2];
    for value in several {
        let size = u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes();
        octets.extend_from_slice(&size);
        octets.extend_from_slice(value);
        octets.extend_from_slice(&size);
    }
    Ok(octets)
}
