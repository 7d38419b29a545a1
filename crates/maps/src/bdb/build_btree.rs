//! Btree files in the making: leaves are filled from left to right, then the levels above them.

use std::collections::BTreeMap;

use super::Error;
use super::build::{Image, REFERENCE_BYTES, Sheet, Values, overflow_above, tree_item};
use super::page::{TYPE_BTREE_INNER, TYPE_BTREE_LEAF};

/// A page of one level with the lowest key that may be below it.
type Page = (Vec<u8>, Sheet);

/// Lays out the tree; its root is page 1.
pub(super) fn lay_out(tree: &BTreeMap<Box<[u8]>, Values>, image: &mut Image) -> Result<(), Error> {
    let root = image.allocate()?;
    let mut level = leaves(tree, image)?;
    let mut height = 1_u8;
    while level.len() > 1 {
        let (keys, pages): (Vec<_>, Vec<_>) = level.into_iter().unzip();
        let numbers = image.put_level(pages, height == 1)?;
        height = height.saturating_add(1);
        level = inner_level(image, &keys, &numbers, height)?;
    }
    if let Some((_, page)) = level.pop() {
        image.put(root, page);
    }
    Ok(())
}

fn leaves(tree: &BTreeMap<Box<[u8]>, Values>, image: &mut Image) -> Result<Vec<Page>, Error> {
    let page_bytes = image.page_bytes;
    let mut level: Vec<Page> = vec![(Vec::new(), Sheet::new(page_bytes, TYPE_BTREE_LEAF, 1))];
    let mut before: &[u8] = &[];
    for (key, values) in tree {
        let key_item = tree_item(image, key)?;
        let value_items = value_items(image, values)?;
        let bytes = value_items.iter().map(Vec::len).sum::<usize>().saturating_add(key_item.len());
        let entries = value_items.len().saturating_mul(2);
        if !level.last().is_some_and(|(_, page)| page.has_room(entries, bytes)) {
            level.push((separator(before, key), Sheet::new(page_bytes, TYPE_BTREE_LEAF, 1)));
        }
        if let Some((_, page)) = level.last_mut() {
            let mut offset = None;
            for item in &value_items {
                match offset {
                    Some(offset) => page.push_offset(offset),
                    None => offset = Some(page.push(&key_item)),
                }
                page.push(item);
            }
        }
        before = key;
    }
    Ok(level)
}

/// The values as they stand on the leaf: a reference to a tree of their own if they are many.
fn value_items(image: &mut Image, values: &Values) -> Result<Vec<Vec<u8>>, Error> {
    let list = values.list();
    let row = list.iter().map(|value| value.len().saturating_add(10)).sum::<usize>();
    if list.len() > 1 && row > image.page_bytes / 4 {
        let root = image.put_duplicates(list)?;
        let mut item = vec![0, 0, 2, 0];
        item.extend_from_slice(&root.to_le_bytes());
        item.extend_from_slice(&[0; 4]);
        return Ok(vec![item]);
    }
    list.iter().map(|value| tree_item(image, value)).collect()
}

/// The shortest key that is above `before` and not above `key`.
fn separator(before: &[u8], key: &[u8]) -> Vec<u8> {
    let common = before.iter().zip(key).take_while(|(a, b)| a == b).count();
    key.iter().take(common.saturating_add(1)).copied().collect()
}

fn inner_level(
    image: &mut Image,
    keys: &[Vec<u8>],
    numbers: &[u32],
    height: u8,
) -> Result<Vec<Page>, Error> {
    let mut level: Vec<Page> = Vec::new();
    for (key, number) in keys.iter().zip(numbers) {
        let bytes = inner_bytes(image.page_bytes, key.len());
        let fits = level.last().is_some_and(|(_, page)| page.has_room(1, bytes));
        if !fits {
            level.push((key.clone(), Sheet::new(image.page_bytes, TYPE_BTREE_INNER, height)));
        }
        // The first key of a page is never looked at.
        let item = inner_item(image, if fits { key } else { &[] }, *number)?;
        if let Some((_, page)) = level.last_mut() {
            page.push(&item);
        }
    }
    Ok(level)
}

/// Whether a key of an inner page stands on pages of its own.
const fn is_long(page_bytes: usize, key_bytes: usize) -> bool {
    key_bytes > overflow_above(page_bytes).saturating_sub(16)
}

const fn inner_bytes(page_bytes: usize, key_bytes: usize) -> usize {
    let key_bytes = if is_long(page_bytes, key_bytes) { REFERENCE_BYTES } else { key_bytes };
    key_bytes.saturating_add(12).next_multiple_of(4)
}

fn inner_item(image: &mut Image, key: &[u8], number: u32) -> Result<Vec<u8>, Error> {
    let mut item = Vec::with_capacity(key.len().saturating_add(16));
    let is_long = is_long(image.page_bytes, key.len());
    let bytes = if is_long { REFERENCE_BYTES } else { key.len() };
    item.extend_from_slice(&u16::try_from(bytes).unwrap_or(u16::MAX).to_le_bytes());
    item.extend_from_slice(&[if is_long { 3 } else { 1 }, 0]);
    item.extend_from_slice(&number.to_le_bytes());
    item.extend_from_slice(&[0; 4]);
    if is_long {
        item.extend_from_slice(&[0, 0, 3, 0]);
        item.extend_from_slice(&image.put_overflow(key)?.to_le_bytes());
        item.extend_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes());
    } else {
        item.extend_from_slice(key);
    }
    item.resize(item.len().next_multiple_of(4), 0);
    Ok(item)
}
