//! Storms of reports: a sender whom strangers forge gets so many an hour and no more; the rest is put off, not lost.
//!
//! Counted by reader, over whole hours of the clock. Our own users are not counted: they know what they sent.

use alloc::{boxed::Box, collections::BTreeMap};

/// Reports that go to one reader within an hour because of what strangers sent.
pub(super) const REPORTS_PER_HOUR_MAX: u32 = 1_000;

/// Readers that are counted; one beyond is counted when others are forgotten.
const READERS_MAX: usize = 10_000;

const HOUR_S: u32 = 3600;

/// How many reports went to whom in this hour.
#[derive(Debug, Default)]
pub(super) struct Storms {
    hour: u32,
    readers: BTreeMap<Box<[u8]>, u32>,
}

impl Storms {
    /// Whether a reader has had all that this hour has for him.
    pub(super) fn is_full(&self, reader: &[u8], now_s: u32) -> bool {
        let count = self.readers.get(&*key(reader)).filter(|_| self.hour == now_s / HOUR_S);
        count.is_some_and(|count| *count >= REPORTS_PER_HOUR_MAX)
    }

    /// Counts a report. True: it is the last one of this hour.
    pub(super) fn count(&mut self, reader: &[u8], now_s: u32) -> bool {
        if self.hour != now_s / HOUR_S {
            self.hour = now_s / HOUR_S;
            self.readers.clear();
        }
        let key = key(reader);
        if self.readers.len() >= READERS_MAX && !self.readers.contains_key(&key) {
            return false;
        }
        let count = self.readers.entry(key).or_default();
        *count = count.saturating_add(1);
        *count == REPORTS_PER_HOUR_MAX
    }
}

/// One mailbox is one reader, however it is written.
fn key(reader: &[u8]) -> Box<[u8]> {
    wire::path::bare(reader).to_ascii_lowercase().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn a_reader_is_full_until_the_hour_is_over() {
        let mut storms = Storms::default();
        for number in 1..=REPORTS_PER_HOUR_MAX {
            assert!(!storms.is_full(b"a@b.test", 7200));
            assert_eq!(storms.count(b"<A@b.test>", 7200), number == REPORTS_PER_HOUR_MAX);
        }
        assert!(storms.is_full(b"a@B.test", 10_799));
        assert!(!storms.is_full(b"c@b.test", 7200));
        assert!(!storms.is_full(b"a@b.test", 10_800));
        assert!(!storms.count(b"a@b.test", 10_800));
    }

    #[test]
    fn many_readers_cost_a_bounded_table() {
        let mut storms = Storms::default();
        for number in 0..READERS_MAX * 2 {
            storms.count(format!("{number}@b.test").as_bytes(), 0);
        }
        assert_eq!(storms.readers.len(), READERS_MAX);
    }
}
