//! Hash files of DB 1.85 (the BSD's, and Linux's before 1998).
//!
//! The head is big-endian whatever the machine, the pages are in the order that the head names. A page
//! is a row of 16-bit numbers: their count, then two for each pair (where key and value begin), then free
//! space and lowest offset. In place of the second, 0 means that the first is the address of the next
//! page; 1 to 3 that the pair is too big for a page and goes on there.

use std::ops::ControlFlow;

use super::hash::by_torek;
use super::page::{HASH_MAGIC, Layout, Order, Page, Pages, checked_log2, damaged, u32_at};
use super::{Error, ITEM_BYTES_MAX, Visit};

const CHECK_WORD: &[u8] = b"%$sniglet^&\0";
const NEXT_PAGE: u16 = 0;
const PARTIAL_KEY: u16 = 1;
const FULL_KEY: u16 = 2;
const FULL_KEY_AND_DATA: u16 = 3;

/// What the head says.
#[derive(Debug)]
pub(super) struct Table {
    order: Order,
    page_bytes: usize,
    head_pages: u32,
    bucket_max: u32,
    high_mask: u32,
    low_mask: u32,
    spares: [u32; 32],
    is_ours: bool,
}

/// What stands in one place of a page.
enum Entry {
    Pair(Vec<u8>, Vec<u8>),
    Big { key: Vec<u8>, value: Vec<u8>, next: Option<u16> },
    Next(u16),
}

impl Table {
    /// Reads the head: `None` if it is no such file.
    pub(super) fn read(head: &[u8]) -> Result<Option<Self>, Error> {
        let Some(written) = [Order::Big, Order::Little]
            .into_iter()
            .find(|&order| u32_at(head, 0, order) == Some(HASH_MAGIC))
        else {
            return Ok(None);
        };
        let number = |at| u32_at(head, at, written).ok_or(Error::NotDatabase);
        let order = match number(8)? {
            1234 => Order::Little,
            4321 => Order::Big,
            _ => return Err(Error::NotDatabase),
        };
        let page_bytes = usize::try_from(number(12)?).unwrap_or(0);
        if !(64..=65536).contains(&page_bytes) || !page_bytes.is_power_of_two() {
            return Err(Error::NotDatabase);
        }
        let mut spares = [0; 32];
        for (index, spare) in spares.iter_mut().enumerate() {
            *spare = number(index.saturating_mul(4).saturating_add(68))?;
        }
        Ok(Some(Self {
            order,
            page_bytes,
            bucket_max: number(40)?,
            high_mask: number(44)?,
            low_mask: number(48)?,
            head_pages: number(60)?,
            is_ours: number(64)? == by_torek(CHECK_WORD),
            spares,
        }))
    }

    pub(super) const fn layout(&self) -> Layout {
        Layout { order: self.order, page_bytes: self.page_bytes, head_bytes: 0 }
    }

    pub(super) fn values(
        &self,
        pages: &mut Pages,
        key: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), Error> {
        if !self.is_ours {
            return self.each(pages, &mut |k, v| {
                if k == key { visit(k, v) } else { ControlFlow::Continue(()) }
            });
        }
        let hash = by_torek(key);
        let mut bucket = hash & self.high_mask;
        if bucket > self.bucket_max {
            bucket = hash & self.low_mask;
        }
        self.chain(pages, bucket, &mut |k, v| {
            if k == key { visit(k, v) } else { ControlFlow::Continue(()) }
        })
        .map(drop)
    }

    pub(super) fn each(&self, pages: &mut Pages, visit: &mut Visit<'_>) -> Result<(), Error> {
        if self.bucket_max >= pages.count {
            return Err(damaged(0, "more buckets than pages"));
        }
        for bucket in 0..=self.bucket_max {
            if self.chain(pages, bucket, visit)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn bucket_page(&self, bucket: u32) -> u32 {
        let spare = checked_log2(bucket.saturating_add(1))
            .checked_sub(1)
            .and_then(|group| usize::try_from(group).ok())
            .and_then(|group| self.spares.get(group))
            .copied()
            .unwrap_or(0);
        bucket.saturating_add(self.head_pages).saturating_add(spare)
    }

    fn overflow_page(&self, address: u16) -> u32 {
        let split = u32::from(address >> 11);
        let bucket = 1_u32.wrapping_shl(split).saturating_sub(1);
        self.bucket_page(bucket).saturating_add(u32::from(address & 0x7ff))
    }

    fn chain(
        &self,
        pages: &mut Pages,
        bucket: u32,
        visit: &mut Visit<'_>,
    ) -> Result<ControlFlow<()>, Error> {
        let mut page = pages.page(self.bucket_page(bucket))?;
        'pages: loop {
            let count = usize::from(page.u16(0)?);
            let mut index = 1;
            while index < count {
                let next = match self.entry(pages, &page, index)? {
                    Entry::Pair(key, value) => {
                        if visit(&key, &value).is_break() {
                            return Ok(ControlFlow::Break(()));
                        }
                        index = index.saturating_add(2);
                        continue;
                    }
                    Entry::Big { key, value, next } => {
                        if visit(&key, &value).is_break() {
                            return Ok(ControlFlow::Break(()));
                        }
                        match next {
                            Some(next) => next,
                            None => return Ok(ControlFlow::Continue(())),
                        }
                    }
                    Entry::Next(next) => next,
                };
                page = pages.page(self.overflow_page(next))?;
                continue 'pages;
            }
            return Ok(ControlFlow::Continue(()));
        }
    }

    fn entry(&self, pages: &mut Pages, page: &Page, index: usize) -> Result<Entry, Error> {
        let (first, second) = (slot(page, index)?, slot(page, index.saturating_add(1))?);
        match second {
            NEXT_PAGE => Ok(Entry::Next(first)),
            PARTIAL_KEY | FULL_KEY | FULL_KEY_AND_DATA => self.big(pages, page.clone(), index),
            _ => {
                let end = if index == 1 {
                    self.page_bytes
                } else {
                    usize::from(slot(page, index.saturating_sub(1))?)
                };
                let key = between(page, usize::from(first), end)?;
                let value = between(page, usize::from(second), usize::from(first))?;
                Ok(Entry::Pair(key.to_vec(), value.to_vec()))
            }
        }
    }

    /// A pair that goes over several pages, and where the chain goes on behind it.
    fn big(&self, pages: &mut Pages, start: Page, start_index: usize) -> Result<Entry, Error> {
        let (mut page, mut index) = (start, start_index);
        let (mut key, mut value) = (Vec::new(), Vec::new());
        let state = loop {
            let end = if index == 1 {
                self.page_bytes
            } else {
                usize::from(slot(&page, index.saturating_sub(1))?)
            };
            let from = usize::from(slot(&page, index)?);
            key.extend_from_slice(between(&page, from, end)?);
            bounded(&page, &key)?;
            match slot(&page, index.saturating_add(1))? {
                PARTIAL_KEY => {
                    page = pages.page(self.overflow_page(link(&page)?))?;
                    index = 1;
                }
                state => break state,
            }
        };
        if state == FULL_KEY_AND_DATA {
            let count = usize::from(page.u16(0)?);
            let from = usize::from(slot(&page, count)?);
            value.extend_from_slice(between(&page, from, usize::from(slot(&page, index)?))?);
            if slot(&page, count.saturating_add(1))? != 0 {
                let next = if count <= 2 { None } else { Some(link(&page)?) };
                return Ok(Entry::Big { key, value, next });
            }
        } else if state != FULL_KEY {
            return Err(damaged(page.number, "a big pair of unknown kind"));
        }
        loop {
            page = pages.page(self.overflow_page(link(&page)?))?;
            let from = usize::from(slot(&page, 1)?);
            value.extend_from_slice(between(&page, from, self.page_bytes)?);
            bounded(&page, &value)?;
            if slot(&page, 2)? == FULL_KEY_AND_DATA {
                let next = if page.u16(0)? <= 2 { None } else { Some(link(&page)?) };
                return Ok(Entry::Big { key, value, next });
            }
        }
    }
}

/// The number in a place of the page's row.
fn slot(page: &Page, index: usize) -> Result<u16, Error> {
    page.u16(index.saturating_mul(2))
}

/// The address of the page that follows.
fn link(page: &Page) -> Result<u16, Error> {
    slot(page, usize::from(page.u16(0)?).saturating_sub(1))
}

fn between(page: &Page, from: usize, end: usize) -> Result<&[u8], Error> {
    let size = end.checked_sub(from).ok_or(damaged(page.number, "items that overlap"))?;
    page.part(from, size)
}

fn bounded(page: &Page, item: &[u8]) -> Result<(), Error> {
    if item.len() > ITEM_BYTES_MAX {
        return Err(damaged(page.number, "an item too large"));
    }
    Ok(())
}
