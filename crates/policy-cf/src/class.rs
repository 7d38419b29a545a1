//! Classes: sets of words (manual, section 5.3).
//!
//! One table for all classes, as in sendmail: a word is stored once and says in which classes it is, and a
//! listing comes in the order of sendmail's own symbol table. Open addressing over a 32-bit hash of the
//! lower-case word; who is in is decided by the configuration, never by strangers.

use crate::token::fold_hash;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Buckets of sendmail's symbol table, which decide the order of a listing.
const LISTING_BUCKETS: u32 = 2003;
/// The number of "class" among the kinds of symbols there.
const LISTING_SEED: u32 = 1;

/// The words of all classes.
#[derive(Debug, Clone, Default)]
pub struct Classes {
    text: Vec<u8>,
    words: Vec<Word>,
    /// Open addressing. The length is a power of two.
    slots: Vec<Slot>,
    /// Distinct sets of classes that words are in.
    sets: Vec<ClassSet>,
    set_ids: BTreeMap<ClassSet, u32>,
    /// By class.
    sums: Vec<Sum>,
}

#[derive(Debug, Clone, Copy)]
struct Word {
    start: u32,
    length: u32,
    set: u32,
}

/// A place of the table: index of a word plus one, 0 if free. The hash stands here, so that a word that is nowhere
/// costs one look into memory.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    hash: u32,
    word: u32,
}

/// What keeps words out of a class without a search: an empty class has none, a small one few bits.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    /// Bits of the hashes of its words.
    mask: u64,
    /// The longest word, in octets.
    longest: u32,
    /// A bit for each octet that a word begins with, in lower case.
    firsts: [u64; 4],
}

const fn bit_of(hash: u32) -> u64 {
    1_u64.wrapping_shl(hash >> 26)
}

/// A bit a class.
type ClassSet = [u64; 4];

fn bit(class: u8) -> (usize, u64) {
    (usize::from(class >> 6), 1_u64.wrapping_shl(u32::from(class & 63)))
}

impl Classes {
    /// Puts a word into a class.
    pub fn add(&mut self, class: u8, word: &[u8]) {
        if self.sums.is_empty() {
            self.sums = alloc::vec![Sum::default(); 256];
        }
        let hash = fold_hash(word);
        let index = match self.find(word, hash) {
            Some(index) => index,
            None => self.insert(word, hash),
        };
        let old = self.set_of(index);
        let mut set = old;
        let (place, mask) = bit(class);
        if let Some(bits) = set.get_mut(place) {
            *bits |= mask;
        }
        if set == old {
            return;
        }
        let id = self.set_id(set);
        if let Some(word) = self.words.get_mut(index) {
            word.set = id;
        }
        if let Some(sum) = self.sums.get_mut(usize::from(class)) {
            sum.mask |= bit_of(hash);
            let (place, mask) = bit(word.first().map_or(0, u8::to_ascii_lowercase));
            if let Some(bits) = sum.firsts.get_mut(place) {
                *bits |= mask;
            }
            sum.longest = sum.longest.max(u32::try_from(word.len()).unwrap_or(u32::MAX));
        }
    }

    /// Whether a word is in a class; letters of either case are equal.
    #[must_use]
    pub fn contains(&self, class: u8, word: &[u8]) -> bool {
        self.contains_hashed(class, word, fold_hash(word))
    }

    /// The same, where the hash is known.
    #[must_use]
    pub fn contains_hashed(&self, class: u8, word: &[u8], hash: u32) -> bool {
        if self.sums.get(usize::from(class)).is_none_or(|sum| sum.mask & bit_of(hash) == 0) {
            return false;
        }
        let Some(index) = self.find(word, hash) else { return false };
        let (place, mask) = bit(class);
        self.set_of(index).get(place).is_some_and(|bits| bits & mask != 0)
    }

    /// Whether a word of a class begins with this octet.
    #[must_use]
    pub fn has_first(&self, class: u8, octet: u8) -> bool {
        let (place, mask) = bit(octet.to_ascii_lowercase());
        let sum = self.sums.get(usize::from(class));
        sum.and_then(|sum| sum.firsts.get(place)).is_some_and(|bits| bits & mask != 0)
    }

    /// The octets of the longest word of a class; 0 if it is empty.
    #[must_use]
    pub fn longest(&self, class: u8) -> usize {
        let sum = self.sums.get(usize::from(class));
        sum.and_then(|sum| usize::try_from(sum.longest).ok()).unwrap_or(0)
    }

    /// Every word of a class, in sendmail's order.
    #[must_use]
    pub fn listing(&self, class: u8) -> Vec<&[u8]> {
        let (place, mask) = bit(class);
        let mut found: Vec<(u32, &[u8])> = self
            .words
            .iter()
            .filter(|word| self.set(word.set).get(place).is_some_and(|bits| bits & mask != 0))
            .map(|word| (listing_bucket(self.text_of(word)), self.text_of(word)))
            .collect();
        found.sort_by_key(|(bucket, _)| *bucket);
        found.into_iter().map(|(_, text)| text).collect()
    }

    fn set(&self, id: u32) -> ClassSet {
        usize::try_from(id).ok().and_then(|id| self.sets.get(id)).copied().unwrap_or_default()
    }

    fn set_of(&self, index: usize) -> ClassSet {
        self.words.get(index).map(|word| self.set(word.set)).unwrap_or_default()
    }

    fn set_id(&mut self, set: ClassSet) -> u32 {
        if let Some(id) = self.set_ids.get(&set) {
            return *id;
        }
        let id = u32::try_from(self.sets.len()).unwrap_or(u32::MAX);
        self.sets.push(set);
        self.set_ids.insert(set, id);
        id
    }

    fn text_of(&self, word: &Word) -> &[u8] {
        let start = usize::try_from(word.start).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::try_from(word.length).unwrap_or(0));
        self.text.get(start..end).unwrap_or_default()
    }

    fn find(&self, word: &[u8], hash: u32) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut place = usize::try_from(hash).unwrap_or(0) & mask;
        for _ in 0..=mask {
            let slot = self.slots.get(place)?;
            let index = usize::try_from(slot.word.checked_sub(1)?).ok()?;
            if slot.hash == hash && self.text_of(self.words.get(index)?).eq_ignore_ascii_case(word)
            {
                return Some(index);
            }
            place = place.wrapping_add(1) & mask;
        }
        None
    }

    fn insert(&mut self, word: &[u8], hash: u32) -> usize {
        if self.words.len().saturating_add(1).saturating_mul(4) > self.slots.len().saturating_mul(3)
        {
            self.grow();
        }
        let index = self.words.len();
        let empty = self.set_id([0; 4]);
        self.words.push(Word {
            start: u32::try_from(self.text.len()).unwrap_or(u32::MAX),
            length: u32::try_from(word.len()).unwrap_or(0),
            set: empty,
        });
        self.text.extend_from_slice(word);
        self.occupy(hash, index);
        index
    }

    fn occupy(&mut self, hash: u32, index: usize) {
        let word = u32::try_from(index.saturating_add(1)).unwrap_or(u32::MAX);
        settle(&mut self.slots, Slot { hash, word });
    }

    fn grow(&mut self) {
        let size = self.slots.len().saturating_mul(2).max(64);
        let mut larger = alloc::vec![Slot::default(); size];
        for slot in self.slots.iter().filter(|slot| slot.word != 0) {
            settle(&mut larger, *slot);
        }
        self.slots = larger;
    }
}

/// Puts a word into the first free place for its hash.
fn settle(slots: &mut [Slot], new: Slot) {
    let Some(mask) = slots.len().checked_sub(1) else { return };
    let mut place = usize::try_from(new.hash).unwrap_or(0) & mask;
    while let Some(slot) = slots.get_mut(place) {
        if slot.word == 0 {
            *slot = new;
            return;
        }
        place = place.wrapping_add(1) & mask;
    }
}

fn listing_bucket(word: &[u8]) -> u32 {
    word.iter().fold(LISTING_SEED, |bucket, octet| {
        (bucket.wrapping_shl(1) ^ u32::from(octet.to_ascii_lowercase()))
            .checked_rem(LISTING_BUCKETS)
            .unwrap_or(0)
    })
}
