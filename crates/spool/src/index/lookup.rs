//! From an id to its row: a hash table of row numbers alone, because the rows have the ids.
//!
//! Open addressing with linear probing, at most four fifths full, growing by half: 5 to 7.5 octets a message. What is
//! removed leaves no mark: what lies behind it moves up (Knuth, vol. 3, 6.4, algorithm R).

/// Nothing is here.
const EMPTY: u32 = u32::MAX;

/// The least number of places.
const PLACES_MIN: usize = 1024;

/// 2^64 divided by the golden ratio: ids that follow each other come to lie far apart.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(Debug, Default)]
pub(super) struct Lookup {
    places: Vec<u32>,
    used: usize,
}

impl Lookup {
    /// Where the search for an id begins.
    fn home(&self, id: u64) -> usize {
        let length = u64::try_from(self.places.len()).unwrap_or(1).max(1);
        // The upper half of the product is spread evenly over 0..2^32.
        let spread = id.wrapping_mul(SPREAD) >> 32;
        usize::try_from(spread.wrapping_mul(length) >> 32).unwrap_or(0)
    }

    fn next(&self, place: usize) -> usize {
        let next = place.saturating_add(1);
        if next >= self.places.len() { 0 } else { next }
    }

    fn at(&self, place: usize) -> u32 {
        self.places.get(place).copied().unwrap_or(EMPTY)
    }

    fn put(&mut self, place: usize, number: u32) {
        if let Some(there) = self.places.get_mut(place) {
            *there = number;
        }
    }

    /// The row of an id. `id_of` tells the id of a row.
    pub(super) fn find(&self, id: u64, id_of: impl Fn(u32) -> u64) -> Option<u32> {
        let mut place = self.home(id);
        // A fifth of the places is empty, so the search ends.
        while self.at(place) != EMPTY {
            let number = self.at(place);
            if id_of(number) == id {
                return Some(number);
            }
            place = self.next(place);
        }
        None
    }

    /// Adds the row of an id.
    pub(super) fn insert(&mut self, id: u64, number: u32, id_of: impl Fn(u32) -> u64) {
        if self.used.saturating_mul(5) >= self.places.len().saturating_mul(4) {
            self.grow(&id_of);
        }
        self.add(id, number);
    }

    fn add(&mut self, id: u64, number: u32) {
        let mut place = self.home(id);
        while self.at(place) != EMPTY {
            place = self.next(place);
        }
        self.put(place, number);
        self.used = self.used.saturating_add(1);
    }

    fn grow(&mut self, id_of: &impl Fn(u32) -> u64) {
        let length = self.places.len().saturating_add(self.places.len() / 2).max(PLACES_MIN);
        let old = std::mem::replace(&mut self.places, vec![EMPTY; length]);
        self.used = 0;
        for number in old.into_iter().filter(|&number| number != EMPTY) {
            self.add(id_of(number), number);
        }
    }

    /// Takes the row of an id out, which must still have that id.
    pub(super) fn remove(&mut self, id: u64, number: u32, id_of: impl Fn(u32) -> u64) {
        let mut gap = self.home(id);
        while self.at(gap) != number {
            if self.at(gap) == EMPTY {
                return;
            }
            gap = self.next(gap);
        }
        let mut place = self.next(gap);
        while self.at(place) != EMPTY {
            let home = self.home(id_of(self.at(place)));
            // May it move up? Not if it would come to lie before its home.
            let is_between =
                if gap < place { gap < home && home <= place } else { gap < home || home <= place };
            if !is_between {
                self.put(gap, self.at(place));
                gap = place;
            }
            place = self.next(place);
        }
        self.put(gap, EMPTY);
        self.used = self.used.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn what_was_added_is_found_and_what_was_removed_is_not() {
        let mut lookup = Lookup::default();
        let mut known: BTreeMap<u64, u32> = BTreeMap::new();
        let mut ids: Vec<u64> = Vec::new();
        let mut random = 1_u64;
        for round in 0..60_000_u32 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Few enough numbers that ids come again and rows are used again.
            let id = (random >> 40) % 9_000 + 1;
            let id_of = |number: u32| ids.get(number as usize).copied().unwrap_or(0);
            assert_eq!(lookup.find(id, id_of), known.get(&id).copied(), "round {round}");
            if let Some(number) = known.remove(&id) {
                lookup.remove(id, number, id_of);
            } else {
                let number = u32::try_from(ids.len()).unwrap();
                ids.push(id);
                let id_of = |number: u32| ids.get(number as usize).copied().unwrap_or(0);
                lookup.insert(id, number, id_of);
                known.insert(id, number);
            }
        }
        let id_of = |number: u32| ids.get(number as usize).copied().unwrap_or(0);
        for (&id, &number) in &known {
            assert_eq!(lookup.find(id, id_of), Some(number));
        }
        assert_eq!(lookup.used, known.len());
    }
}
