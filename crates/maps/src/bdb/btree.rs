//! Btree files (Berkeley DB 2 and later).
//!
//! Inner pages hold for each child the lowest key below it (that of the first child counts as lower
//! than anything); leaves hold key and value in turn, duplicates on a page share the key's offset.
//! Keys are compared octet by octet, a prefix comes first.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use super::page::{Meta, Page, Pages, TYPE_BTREE_INNER, TYPE_BTREE_LEAF, damaged, u32_at};
use super::{Error, Visit};

const FLAG_DUPLICATES: u32 = 0x01;
const FLAG_RECNO: u32 = 0x02;
const FLAG_SUBDATABASES: u32 = 0x20;
const FLAG_COMPRESSED: u32 = 0x80;

/// What the head of a btree file says.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) has_duplicates: bool,
    root: u32,
}

impl Tree {
    pub(super) fn read(head: &[u8], meta: &Meta) -> Result<Self, Error> {
        for (flag, what) in [
            (FLAG_RECNO, "numbered records"),
            (FLAG_SUBDATABASES, "several databases"),
            (FLAG_COMPRESSED, "compression"),
        ] {
            if meta.flags & flag != 0 {
                return Err(Error::Unsupported(what));
            }
        }
        let root = match meta.version {
            ..=6 => 1,
            7 => u32_at(head, 72, meta.layout.order).ok_or(Error::NotDatabase)?,
            8.. => u32_at(head, 88, meta.layout.order).ok_or(Error::NotDatabase)?,
        };
        Ok(Self { has_duplicates: meta.flags & FLAG_DUPLICATES != 0, root })
    }

    pub(super) fn values(
        &self,
        pages: &mut Pages,
        key: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), Error> {
        let mut number = self.root;
        loop {
            let page = pages.page(number)?;
            match page.kind() {
                TYPE_BTREE_INNER => number = child_of(pages, &page, key)?,
                TYPE_BTREE_LEAF => return leaf_values(pages, &page, key, visit),
                _ => return Err(damaged(number, "no page of a tree")),
            }
        }
    }

    pub(super) fn each(&self, pages: &mut Pages, visit: &mut Visit<'_>) -> Result<(), Error> {
        let mut number = pages.first_leaf(self.root)?;
        while number != 0 {
            let page = pages.page(number)?;
            if page.kind() != TYPE_BTREE_LEAF {
                return Err(damaged(number, "no leaf of a tree"));
            }
            let mut last: Option<(usize, Vec<u8>)> = None;
            for index in (0..page.entries()?.saturating_sub(1)).step_by(2) {
                let offset = page.offset(index)?;
                let key = match last.take() {
                    Some((at, key)) if at == offset => key,
                    _ => match pages.tree_item(&page, index)? {
                        Some(key) => key,
                        None => continue,
                    },
                };
                if values_at(pages, &page, index, &key, visit)?.is_break() {
                    return Ok(());
                }
                last = Some((offset, key));
            }
            number = page.next()?;
        }
        Ok(())
    }
}

/// The child below which the key is, if it is anywhere.
fn child_of(pages: &mut Pages, page: &Page, key: &[u8]) -> Result<u32, Error> {
    let entries = page.entries()?;
    let (mut low, mut high) = (1, entries.max(1));
    while low < high {
        let middle = low.midpoint(high);
        if compare_inner(pages, page, middle, key)? == Ordering::Greater {
            high = middle;
        } else {
            low = middle.saturating_add(1);
        }
    }
    page.inner_child(low.saturating_sub(1))
}

/// How the key of an inner entry compares with `key`.
fn compare_inner(
    pages: &mut Pages,
    page: &Page,
    index: usize,
    key: &[u8],
) -> Result<Ordering, Error> {
    let at = page.offset(index)?;
    let data = at.saturating_add(12);
    match page.u8(at.saturating_add(2))? & 0x7f {
        1 => Ok(page.part(data, usize::from(page.u16(at)?))?.cmp(key)),
        3 => {
            let first = page.u32(data.saturating_add(4))?;
            let size = page.u32(data.saturating_add(8))?;
            Ok(pages.overflow(first, size)?.as_slice().cmp(key))
        }
        _ => Err(damaged(page.number, "an inner entry of unknown kind")),
    }
}

/// How the key of a leaf's pair compares with `key`.
fn compare_leaf(
    pages: &mut Pages,
    page: &Page,
    index: usize,
    key: &[u8],
) -> Result<Ordering, Error> {
    let at = page.offset(index)?;
    match page.u8(at.saturating_add(2))? & 0x7f {
        1 => Ok(page.part(at.saturating_add(3), usize::from(page.u16(at)?))?.cmp(key)),
        3 => {
            let first = page.u32(at.saturating_add(4))?;
            let size = page.u32(at.saturating_add(8))?;
            Ok(pages.overflow(first, size)?.as_slice().cmp(key))
        }
        _ => Err(damaged(page.number, "a key of unknown kind")),
    }
}

fn leaf_values(
    pages: &mut Pages,
    page: &Page,
    key: &[u8],
    visit: &mut Visit<'_>,
) -> Result<(), Error> {
    let pairs = page.entries()? / 2;
    let (mut low, mut high) = (0, pairs);
    while low < high {
        let middle = low.midpoint(high);
        if compare_leaf(pages, page, middle.saturating_mul(2), key)? == Ordering::Less {
            low = middle.saturating_add(1);
        } else {
            high = middle;
        }
    }
    let mut pair = low;
    while pair < pairs && compare_leaf(pages, page, pair.saturating_mul(2), key)? == Ordering::Equal
    {
        if values_at(pages, page, pair.saturating_mul(2), key, visit)?.is_break() {
            return Ok(());
        }
        pair = pair.saturating_add(1);
    }
    Ok(())
}

/// Visits the value, or the tree of values, that stands behind the key at `index`.
fn values_at(
    pages: &mut Pages,
    page: &Page,
    index: usize,
    key: &[u8],
    visit: &mut Visit<'_>,
) -> Result<ControlFlow<()>, Error> {
    let index = index.saturating_add(1);
    let at = page.offset(index)?;
    if page.u8(at.saturating_add(2))? == 2 {
        let root = page.u32(at.saturating_add(4))?;
        return pages.duplicates(root, &mut |value| visit(key, value));
    }
    match pages.tree_item(page, index)? {
        Some(value) => Ok(visit(key, &value)),
        None => Ok(ControlFlow::Continue(())),
    }
}
