//! The pages of a Berkeley DB file: where they are, whose byte order they have, what stands on them.
//!
//! A page of DB 2 and later opens with 26 octets: log position (8), own number (4), number of the page
//! before (4) and behind (4), count of entries (2), lowest offset in use (2), level (1), type (1); the
//! offsets of its items follow, the items themselves grow down from the page's end. With checksums the
//! head is 32 octets.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::{Error, ITEM_BYTES_MAX, Kind};

/// Octets before the offsets of a page's items.
pub(super) const PAGE_HEAD: usize = 26;
/// The same where pages carry checksums.
const PAGE_HEAD_CHECKSUM: usize = 32;
/// How many octets of pages are kept in memory for each open file.
const CACHE_BYTES_MAX: usize = 1024 * 1024;
/// Octets of a file that are enough to know what it is.
const HEAD_BYTES: usize = 512;

pub(super) const TYPE_HASH_UNSORTED: u8 = 2;
pub(super) const TYPE_BTREE_INNER: u8 = 3;
pub(super) const TYPE_RECNO_INNER: u8 = 4;
pub(super) const TYPE_BTREE_LEAF: u8 = 5;
pub(super) const TYPE_RECNO_LEAF: u8 = 6;
pub(super) const TYPE_OVERFLOW: u8 = 7;
pub(super) const TYPE_HASH_META: u8 = 8;
pub(super) const TYPE_BTREE_META: u8 = 9;
pub(super) const TYPE_DUPLICATE_LEAF: u8 = 12;
pub(super) const TYPE_HASH: u8 = 13;
const TYPE_DUPLICATE_OLD: u8 = 1;

pub(super) const HASH_MAGIC: u32 = 0x0006_1561;
pub(super) const BTREE_MAGIC: u32 = 0x0005_3162;

/// Where the octets come from.
#[derive(Debug)]
pub(super) enum Source {
    File(File),
    Memory(Vec<u8>),
}

impl Source {
    fn size(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => Ok(file.metadata()?.len()),
            Self::Memory(bytes) => Ok(bytes.len() as u64),
        }
    }

    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.read_exact_at(into, at),
            Self::Memory(bytes) => {
                let part = usize::try_from(at)
                    .ok()
                    .and_then(|at| bytes.get(at..at.checked_add(into.len())?))
                    .ok_or(io::ErrorKind::UnexpectedEof)?;
                into.copy_from_slice(part);
                Ok(())
            }
        }
    }

    /// The first octets, as many as there are up to 512.
    pub(super) fn head(&self) -> io::Result<Vec<u8>> {
        let size = usize::try_from(self.size()?).unwrap_or(usize::MAX).min(HEAD_BYTES);
        let mut head = vec![0; size];
        self.read(0, &mut head)?;
        Ok(head)
    }
}

/// In which order a file's numbers stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

/// How a file is cut into pages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) order: Order,
    pub(super) page_bytes: usize,
    /// Octets before the item offsets.
    pub(super) head_bytes: usize,
}

/// What page 0 says about all of the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meta {
    pub(super) kind: Kind,
    pub(super) version: u32,
    pub(super) layout: Layout,
    /// The flags of the kind, as they stand there (0 for versions that keep them elsewhere).
    pub(super) flags: u32,
}

impl Meta {
    /// Reads what all kinds have in common.
    pub(super) fn read(head: &[u8]) -> Result<Self, Error> {
        let (order, kind) = [Order::Little, Order::Big]
            .into_iter()
            .find_map(|order| match u32_at(head, 12, order)? {
                HASH_MAGIC => Some((order, Kind::Hash)),
                BTREE_MAGIC => Some((order, Kind::Btree)),
                _ => None,
            })
            .ok_or(Error::NotDatabase)?;
        let number = |at| u32_at(head, at, order).ok_or(Error::NotDatabase);
        let version = number(16)?;
        let sort = match kind {
            Kind::Hash if !(5..=10).contains(&version) => Err(()),
            Kind::Btree if !(6..=10).contains(&version) => Err(()),
            Kind::Hash if version < 7 => Ok(false),
            Kind::Btree if version < 8 => Ok(false),
            Kind::Hash | Kind::Btree => Ok(true),
        };
        let is_modern = sort.map_err(|()| Error::Unsupported("an unknown version"))?;
        let page_bytes = usize::try_from(number(20)?).unwrap_or(0);
        if !(512..=65536).contains(&page_bytes) || !page_bytes.is_power_of_two() {
            return Err(Error::NotDatabase);
        }
        let mut layout = Layout { order, page_bytes, head_bytes: PAGE_HEAD };
        let mut flags = 0;
        if is_modern {
            flags = number(48)?;
            if head.get(24).is_some_and(|&algorithm| algorithm != 0) {
                return Err(Error::Unsupported("encryption"));
            }
            let meta_flags = head.get(26).copied().unwrap_or(0);
            if meta_flags & 1 != 0 {
                layout.head_bytes = PAGE_HEAD_CHECKSUM;
            }
            if meta_flags & 6 != 0 {
                return Err(Error::Unsupported("partitions"));
            }
        }
        Ok(Self { kind, version, layout, flags })
    }
}

/// The pages of a file, the last ones kept.
#[derive(Debug)]
pub(super) struct Pages {
    source: Source,
    pub(super) layout: Layout,
    pub(super) count: u32,
    kept: HashMap<u32, Arc<[u8]>>,
    ages: VecDeque<u32>,
    budget: u64,
}

impl Pages {
    pub(super) fn new(source: Source, layout: Layout) -> Result<Self, Error> {
        let count = source.size()? / (layout.page_bytes as u64);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        Ok(Self { source, layout, count, kept: HashMap::new(), ages: VecDeque::new(), budget: 0 })
    }

    /// Grants visits for one look-up or walk: `times` the pages of the file and `more`.
    pub(super) fn allow(&mut self, times: u64, more: u64) {
        self.budget = u64::from(self.count).saturating_mul(times).saturating_add(more);
    }

    /// One page.
    pub(super) fn page(&mut self, number: u32) -> Result<Page, Error> {
        self.budget =
            self.budget.checked_sub(1).ok_or(damaged(number, "pages that go in circles"))?;
        if let Some(octets) = self.kept.get(&number) {
            return Ok(Page { number, octets: Arc::clone(octets), layout: self.layout });
        }
        if number >= self.count {
            return Err(damaged(number, "no such page"));
        }
        let size = self.layout.page_bytes;
        let mut octets = vec![0; size];
        self.source.read(u64::from(number).saturating_mul(size as u64), &mut octets)?;
        let octets: Arc<[u8]> = octets.into();
        if self.ages.len().saturating_add(1).saturating_mul(size) > CACHE_BYTES_MAX
            && let Some(oldest) = self.ages.pop_front()
        {
            self.kept.remove(&oldest);
        }
        self.ages.push_back(number);
        self.kept.insert(number, Arc::clone(&octets));
        Ok(Page { number, octets, layout: self.layout })
    }

    /// An item that stands on pages of its own.
    pub(super) fn overflow(&mut self, first: u32, size_bytes: u32) -> Result<Vec<u8>, Error> {
        let size = usize::try_from(size_bytes).unwrap_or(usize::MAX);
        if size > ITEM_BYTES_MAX
            || size as u64 > u64::from(self.count).saturating_mul(self.layout.page_bytes as u64)
        {
            return Err(damaged(first, "an item too large"));
        }
        let mut item = Vec::with_capacity(size);
        let mut number = first;
        while item.len() < size {
            let page = self.page(number)?;
            if page.kind() != TYPE_OVERFLOW {
                return Err(damaged(number, "no overflow page"));
            }
            let from = self.layout.head_bytes;
            let there = usize::from(page.u16(22)?);
            if there == 0 {
                return Err(damaged(number, "an empty overflow page"));
            }
            let wanted = there.min(size.saturating_sub(item.len()));
            item.extend_from_slice(page.part(from, wanted)?);
            number = page.next()?;
        }
        Ok(item)
    }

    /// Walks a tree of duplicates that stand off the page, `depth` first.
    pub(super) fn duplicates(
        &mut self,
        root: u32,
        each: &mut dyn FnMut(&[u8]) -> std::ops::ControlFlow<()>,
    ) -> Result<std::ops::ControlFlow<()>, Error> {
        let mut number = self.first_leaf(root)?;
        loop {
            let page = self.page(number)?;
            if !matches!(page.kind(), TYPE_RECNO_LEAF | TYPE_DUPLICATE_LEAF | TYPE_DUPLICATE_OLD) {
                return Err(damaged(number, "no page of duplicates"));
            }
            for index in 0..page.entries()? {
                if let Some(value) = self.tree_item(&page, index)?
                    && each(&value).is_break()
                {
                    return Ok(std::ops::ControlFlow::Break(()));
                }
            }
            number = page.next()?;
            if number == 0 {
                return Ok(std::ops::ControlFlow::Continue(()));
            }
        }
    }

    /// The leftmost leaf below a page.
    pub(super) fn first_leaf(&mut self, root: u32) -> Result<u32, Error> {
        let mut number = root;
        loop {
            let page = self.page(number)?;
            number = match page.kind() {
                TYPE_BTREE_INNER => page.inner_child(0)?,
                TYPE_RECNO_INNER => page.u32(page.offset(0)?)?,
                _ => return Ok(number),
            };
        }
    }

    /// An item of a leaf of a tree: `None` if it is deleted.
    pub(super) fn tree_item(
        &mut self,
        page: &Page,
        index: usize,
    ) -> Result<Option<Vec<u8>>, Error> {
        let at = page.offset(index)?;
        let kind = page.u8(at.saturating_add(2))?;
        if kind & 0x80 != 0 {
            return Ok(None);
        }
        match kind {
            1 => {
                let size = usize::from(page.u16(at)?);
                Ok(Some(page.part(at.saturating_add(3), size)?.to_vec()))
            }
            3 => {
                let first = page.u32(at.saturating_add(4))?;
                let size = page.u32(at.saturating_add(8))?;
                self.overflow(first, size).map(Some)
            }
            _ => Err(damaged(page.number, "an item of unknown kind")),
        }
    }
}

/// One page.
#[derive(Debug, Clone)]
pub(super) struct Page {
    pub(super) number: u32,
    octets: Arc<[u8]>,
    layout: Layout,
}

impl Page {
    pub(super) fn kind(&self) -> u8 {
        self.octets.get(25).copied().unwrap_or(0)
    }

    pub(super) fn next(&self) -> Result<u32, Error> {
        self.u32(16)
    }

    /// How many items there are, as far as the page has room for them.
    pub(super) fn entries(&self) -> Result<usize, Error> {
        let entries = usize::from(self.u16(20)?);
        if entries > self.layout.page_bytes.saturating_sub(self.layout.head_bytes) / 2 {
            return Err(damaged(self.number, "more entries than fit"));
        }
        Ok(entries)
    }

    /// Where an item begins.
    pub(super) fn offset(&self, index: usize) -> Result<usize, Error> {
        self.u16(index.saturating_mul(2).saturating_add(self.layout.head_bytes)).map(usize::from)
    }

    /// The page to which an entry of an inner page of a tree leads.
    pub(super) fn inner_child(&self, index: usize) -> Result<u32, Error> {
        self.u32(self.offset(index)?.saturating_add(4))
    }

    pub(super) fn u8(&self, at: usize) -> Result<u8, Error> {
        self.octets.get(at).copied().ok_or(damaged(self.number, "an offset beyond the page"))
    }

    pub(super) fn u16(&self, at: usize) -> Result<u16, Error> {
        u16_at(&self.octets, at, self.layout.order)
            .ok_or(damaged(self.number, "an offset beyond the page"))
    }

    pub(super) fn u32(&self, at: usize) -> Result<u32, Error> {
        u32_at(&self.octets, at, self.layout.order)
            .ok_or(damaged(self.number, "an offset beyond the page"))
    }

    pub(super) fn part(&self, at: usize, size: usize) -> Result<&[u8], Error> {
        at.checked_add(size)
            .and_then(|end| self.octets.get(at..end))
            .ok_or(damaged(self.number, "an item beyond the page"))
    }
}

pub(super) const fn damaged(page: u32, what: &'static str) -> Error {
    Error::Damaged { page, what }
}

pub(super) fn u16_at(octets: &[u8], at: usize, order: Order) -> Option<u16> {
    let two = octets.get(at..at.checked_add(2)?)?.try_into().ok()?;
    Some(match order {
        Order::Little => u16::from_le_bytes(two),
        Order::Big => u16::from_be_bytes(two),
    })
}

pub(super) fn u32_at(octets: &[u8], at: usize, order: Order) -> Option<u32> {
    let four = octets.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some(match order {
        Order::Little => u32::from_le_bytes(four),
        Order::Big => u32::from_be_bytes(four),
    })
}

/// The smallest `n` with 2ⁿ at least `number`.
pub(super) const fn checked_log2(number: u32) -> u32 {
    if number <= 1 { 0 } else { 32_u32.saturating_sub(number.saturating_sub(1).leading_zeros()) }
}
