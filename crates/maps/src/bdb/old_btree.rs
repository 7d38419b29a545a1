//! Btree files of DB 1.85.
//!
//! Page 0 is the head, page 1 the root. A page opens with 20 octets: own number, page before, page
//! behind, flags (4 each), lowest and highest offset in use (2 each); 16-bit offsets of the items follow.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use super::page::{BTREE_MAGIC, Layout, Order, Page, Pages, damaged, u32_at};
use super::{Error, ITEM_BYTES_MAX, Visit};

const PAGE_HEAD: usize = 20;
const ROOT: u32 = 1;
const FLAGS_KIND: u32 = 0x1f;
const INNER: u32 = 1;
const LEAF: u32 = 2;
const OVERFLOW: u32 = 4;
const BIG_VALUE: u8 = 1;
const BIG_KEY: u8 = 2;
/// The head's flag for numbered records.
const HEAD_RECNO: u32 = 0x80;

/// A tree, by its root.
#[derive(Debug)]
pub(super) struct Tree {
    root: u32,
}

impl Tree {
    /// Reads the head: `None` if it is no such file.
    pub(super) fn read(head: &[u8]) -> Result<Option<(Layout, Self)>, Error> {
        let Some(order) = [Order::Little, Order::Big]
            .into_iter()
            .find(|&order| u32_at(head, 0, order) == Some(BTREE_MAGIC))
        else {
            return Ok(None);
        };
        let number = |at| u32_at(head, at, order).ok_or(Error::NotDatabase);
        let page_bytes = usize::try_from(number(8)?).unwrap_or(0);
        if number(4)? != 3 || !(512..=65536).contains(&page_bytes) {
            return Err(Error::NotDatabase);
        }
        if number(20)? & HEAD_RECNO != 0 {
            return Err(Error::Unsupported("numbered records"));
        }
        Ok(Some((Layout { order, page_bytes, head_bytes: PAGE_HEAD }, Self { root: ROOT })))
    }

    pub(super) fn values(
        &self,
        pages: &mut Pages,
        key: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), Error> {
        let mut number = self.root;
        let mut page = pages.page(number)?;
        while kind(&page)? == INNER {
            let (mut low, mut high) = (1, entries(&page)?.max(1));
            while low < high {
                let middle = low.midpoint(high);
                // Of equal keys the first may stand at the end of the page before.
                if inner_key(pages, &page, middle)?.as_slice().cmp(key) == Ordering::Less {
                    low = middle.saturating_add(1);
                } else {
                    high = middle;
                }
            }
            number = page.u32(page.offset(low.saturating_sub(1))?.saturating_add(4))?;
            page = pages.page(number)?;
        }
        leaves(pages, number, &mut |k, v| match k.cmp(key) {
            Ordering::Less => ControlFlow::Continue(()),
            Ordering::Equal => visit(k, v),
            Ordering::Greater => ControlFlow::Break(()),
        })
    }

    pub(super) fn each(&self, pages: &mut Pages, visit: &mut Visit<'_>) -> Result<(), Error> {
        let mut number = self.root;
        let mut page = pages.page(number)?;
        while kind(&page)? == INNER {
            number = page.u32(page.offset(0)?.saturating_add(4))?;
            page = pages.page(number)?;
        }
        leaves(pages, number, visit)
    }
}

fn kind(page: &Page) -> Result<u32, Error> {
    Ok(page.u32(12)? & FLAGS_KIND)
}

fn entries(page: &Page) -> Result<usize, Error> {
    Ok(usize::from(page.u16(16)?).saturating_sub(PAGE_HEAD) / 2)
}

fn leaves(pages: &mut Pages, first: u32, visit: &mut Visit<'_>) -> Result<(), Error> {
    let mut number = first;
    while number != 0 {
        let page = pages.page(number)?;
        if kind(&page)? != LEAF {
            return Err(damaged(number, "no leaf of a tree"));
        }
        for index in 0..entries(&page)? {
            let at = page.offset(index)?;
            let (key_size, value_size) = (page.u32(at)?, page.u32(at.saturating_add(4))?);
            let flags = page.u8(at.saturating_add(8))?;
            let key_at = at.saturating_add(9);
            let value_at = key_at.saturating_add(usize::try_from(key_size).unwrap_or(usize::MAX));
            let key = item(pages, &page, key_at, key_size, flags & BIG_KEY != 0)?;
            let value = item(pages, &page, value_at, value_size, flags & BIG_VALUE != 0)?;
            if visit(&key, &value).is_break() {
                return Ok(());
            }
        }
        number = page.u32(8)?;
    }
    Ok(())
}

fn inner_key(pages: &mut Pages, page: &Page, index: usize) -> Result<Vec<u8>, Error> {
    let at = page.offset(index)?;
    let size = page.u32(at)?;
    let is_big = page.u8(at.saturating_add(8))? & BIG_KEY != 0;
    item(pages, page, at.saturating_add(9), size, is_big)
}

/// An item on the page, or on pages of its own to which what stands on the page leads.
fn item(
    pages: &mut Pages,
    page: &Page,
    at: usize,
    size: u32,
    is_big: bool,
) -> Result<Vec<u8>, Error> {
    if !is_big {
        return Ok(page.part(at, usize::try_from(size).unwrap_or(usize::MAX))?.to_vec());
    }
    let mut number = page.u32(at)?;
    let size = usize::try_from(page.u32(at.saturating_add(4))?).unwrap_or(usize::MAX);
    if size > ITEM_BYTES_MAX {
        return Err(damaged(number, "an item too large"));
    }
    let mut octets = Vec::new();
    while octets.len() < size {
        let next = pages.page(number)?;
        if kind(&next)? != OVERFLOW {
            return Err(damaged(number, "no overflow page"));
        }
        let room = pages.layout.page_bytes.saturating_sub(PAGE_HEAD);
        octets
            .extend_from_slice(next.part(PAGE_HEAD, room.min(size.saturating_sub(octets.len())))?);
        number = next.u32(8)?;
    }
    Ok(octets)
}
