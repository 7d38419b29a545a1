//! Hash files (extended linear hashing, Berkeley DB 2 and later).
//!
//! The bucket of a key is its hash under a mask; the page of a bucket is its number plus the entry of
//! `spares` for the power of two it belongs to. Pages of a bucket are a chain. An item opens with its
//! kind: a value, values of one key in a row, or a reference to pages of their own.
//! Which of the four known hash functions made the file shows in its check word; if none did (a
//! function of someone's own, or version 5 and 6, which place buckets otherwise) all pages are read.

use std::ops::ControlFlow;

use super::page::{
    Meta, Page, Pages, TYPE_HASH, TYPE_HASH_UNSORTED, checked_log2, damaged, u32_at,
};
use super::{Error, Visit};

/// What is hashed into the head of each file to tell the function.
const CHECK_WORD: &[u8] = b"%$sniglet^&\0";
/// The flag for several values of one key.
const FLAG_DUPLICATES: u32 = 1;
/// The flag for several databases in one file.
const FLAG_SUBDATABASES: u32 = 2;

/// A hash function.
pub(super) type Function = fn(&[u8]) -> u32;

/// What the head of a hash file says.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) has_duplicates: bool,
    places: Option<Places>,
}

#[derive(Debug)]
struct Places {
    function: Option<Function>,
    bucket_max: u32,
    high_mask: u32,
    low_mask: u32,
    spares: [u32; 32],
}

impl Table {
    pub(super) fn read(head: &[u8], meta: &Meta) -> Result<Self, Error> {
        if meta.flags & FLAG_SUBDATABASES != 0 {
            return Err(Error::Unsupported("several databases"));
        }
        if meta.version < 7 {
            return Ok(Self { has_duplicates: true, places: None });
        }
        let number = |at| u32_at(head, at, meta.layout.order).ok_or(Error::NotDatabase);
        let check = number(92)?;
        let mut spares = [0; 32];
        for (index, spare) in spares.iter_mut().enumerate() {
            *spare = number(index.saturating_mul(4).saturating_add(96))?;
        }
        let function = [by_fnv, by_torek, by_sdbm, by_vo]
            .into_iter()
            .find(|function: &Function| function(CHECK_WORD) == check);
        let places = Places {
            function,
            bucket_max: number(72)?,
            high_mask: number(76)?,
            low_mask: number(80)?,
            spares,
        };
        Ok(Self { has_duplicates: meta.flags & FLAG_DUPLICATES != 0, places: Some(places) })
    }

    pub(super) const fn buckets(&self) -> Option<u32> {
        match &self.places {
            Some(places) => Some(places.bucket_max.saturating_add(1)),
            None => None,
        }
    }

    pub(super) fn values(
        &self,
        pages: &mut Pages,
        key: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), Error> {
        if let Some((places, function)) =
            self.places.as_ref().and_then(|places| Some((places, places.function?)))
        {
            let bucket = places.bucket(function(key));
            return chain(pages, places.page(bucket)?, Some(key), visit).map(drop);
        }
        for number in 1..pages.count {
            let page = pages.page(number)?;
            if is_hash(&page) && pairs(pages, &page, Some(key), visit)?.is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    pub(super) fn each(&self, pages: &mut Pages, visit: &mut Visit<'_>) -> Result<(), Error> {
        let Some(places) = &self.places else {
            for number in 1..pages.count {
                let page = pages.page(number)?;
                if is_hash(&page) && pairs(pages, &page, None, visit)?.is_break() {
                    return Ok(());
                }
            }
            return Ok(());
        };
        if places.bucket_max >= pages.count {
            return Err(damaged(0, "more buckets than pages"));
        }
        for bucket in 0..=places.bucket_max {
            if chain(pages, places.page(bucket)?, None, visit)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl Places {
    const fn bucket(&self, hash: u32) -> u32 {
        let bucket = hash & self.high_mask;
        if bucket > self.bucket_max { hash & self.low_mask } else { bucket }
    }

    fn page(&self, bucket: u32) -> Result<u32, Error> {
        let group = checked_log2(bucket.saturating_add(1));
        usize::try_from(group)
            .ok()
            .and_then(|group| self.spares.get(group))
            .and_then(|spare| spare.checked_add(bucket))
            .ok_or(damaged(0, "a bucket without a page"))
    }
}

fn is_hash(page: &Page) -> bool {
    matches!(page.kind(), TYPE_HASH | TYPE_HASH_UNSORTED)
}

/// Visits the pairs of a chain of pages: all, or those of one key.
fn chain(
    pages: &mut Pages,
    first: u32,
    key: Option<&[u8]>,
    visit: &mut Visit<'_>,
) -> Result<ControlFlow<()>, Error> {
    let mut number = first;
    while number != 0 {
        let page = pages.page(number)?;
        if page.entries()? > 0 {
            if !is_hash(&page) {
                return Err(damaged(number, "no hash page"));
            }
            if pairs(pages, &page, key, visit)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        number = page.next()?;
    }
    Ok(ControlFlow::Continue(()))
}

/// Visits the pairs of one page. With a key, the walk ends behind its values.
fn pairs(
    pages: &mut Pages,
    page: &Page,
    wanted: Option<&[u8]>,
    visit: &mut Visit<'_>,
) -> Result<ControlFlow<()>, Error> {
    let size = pages.layout.page_bytes;
    let entries = page.entries()?;
    for index in (0..entries.saturating_sub(1)).step_by(2) {
        let end = if index == 0 { size } else { page.offset(index.saturating_sub(1))? };
        let at = page.offset(index)?;
        let value_at = page.offset(index.saturating_add(1))?;
        if at >= end || value_at >= at {
            return Err(damaged(page.number, "items that overlap"));
        }
        let item = page.part(at, end.saturating_sub(at))?;
        let key = match (item.split_first(), wanted) {
            (Some((1, rest)), Some(wanted)) if rest != wanted => continue,
            (Some((1, rest)), _) => rest.to_vec(),
            (Some((3, _)), Some(wanted))
                if Some(page.u32(at.saturating_add(8))?) != u32::try_from(wanted.len()).ok() =>
            {
                continue;
            }
            (Some((3, _)), _) => {
                let key = pages
                    .overflow(page.u32(at.saturating_add(4))?, page.u32(at.saturating_add(8))?)?;
                if wanted.is_some_and(|wanted| *wanted != *key) {
                    continue;
                }
                key
            }
            _ => return Err(damaged(page.number, "a key of unknown kind")),
        };
        let flow = item_values(pages, page, value_at, at, &mut |value| visit(&key, value))?;
        if flow.is_break() || wanted.is_some() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Visits the values of one item.
fn item_values(
    pages: &mut Pages,
    page: &Page,
    at: usize,
    end: usize,
    each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Error> {
    let item = page.part(at, end.saturating_sub(at))?;
    match item.split_first() {
        Some((1, value)) => Ok(each(value)),
        Some((2, row)) => {
            let mut from = at.saturating_add(1);
            let mut left = row.len();
            while left > 0 {
                let size = usize::from(page.u16(from)?);
                left = size
                    .checked_add(4)
                    .and_then(|taken| left.checked_sub(taken))
                    .ok_or(damaged(page.number, "a row of values that is cut"))?;
                if each(page.part(from.saturating_add(2), size)?).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                from = from.saturating_add(size).saturating_add(4);
            }
            Ok(ControlFlow::Continue(()))
        }
        Some((3, _)) => {
            let value =
                pages.overflow(page.u32(at.saturating_add(4))?, page.u32(at.saturating_add(8))?)?;
            Ok(each(&value))
        }
        Some((4, _)) => pages.duplicates(page.u32(at.saturating_add(4))?, each),
        Some((5, _)) => Err(Error::Unsupported("values in files of their own")),
        _ => Err(damaged(page.number, "a value of unknown kind")),
    }
}

/// Fowler, Noll and Vo, in the way of Berkeley DB 3.1 and later.
pub(super) fn by_fnv(key: &[u8]) -> u32 {
    key.iter().fold(0, |hash: u32, &octet| hash.wrapping_mul(16_777_619) ^ u32::from(octet))
}

/// Chris Torek's (DB 1.85, 2, 3.0).
pub(super) fn by_torek(key: &[u8]) -> u32 {
    key.iter().fold(0, |hash: u32, &octet| hash.wrapping_mul(33).wrapping_add(u32::from(octet)))
}

/// Ozan Yigit's, of sdbm.
fn by_sdbm(key: &[u8]) -> u32 {
    key.iter().fold(0, |hash: u32, &octet| hash.wrapping_mul(65_599).wrapping_add(u32::from(octet)))
}

/// Phong Vo's.
fn by_vo(key: &[u8]) -> u32 {
    key.iter().fold(0, |hash: u32, &octet| {
        hash.wrapping_mul(0x63c6_3cd9).wrapping_add(0x9c39_c33d).wrapping_add(u32::from(octet))
    })
}
