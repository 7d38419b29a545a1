//! Queue ids, made where they are needed and unique all the same.
//!
//! A Received field holds the id before the queue has seen the message. So each process that takes
//! mail in mints its own, from its own lane: 40 bits of seconds, 4 bits of lane, 20 bits of
//! microseconds, always above the last one. The queue takes an id only from the lane of the edge it came
//! by, and only if no queued message has it, so that no process can speak of another's messages.

use std::cell::Cell;
use wire::QueueId;

/// Bits below the lane.
const COUNT_BITS: u32 = 20;

/// Lanes there are.
pub(crate) const LANES: usize = 16;

/// The lane of `control`; below it are those of smtpd 0, smtpd 1, ….
pub(crate) const CONTROL_LANE: u8 = 14;

/// The lane of the queue itself: reports, and what it finds in the drop folder.
pub(crate) const QUEUE_LANE: u8 = 15;

/// Mints ids of one lane.
#[derive(Debug)]
pub(crate) struct Ids {
    lane: u8,
    last: Cell<u64>,
}

impl Ids {
    /// Ids of a lane, from now on.
    pub(crate) fn new(lane: u8) -> Self {
        Self { lane: lane % 16, last: Cell::new(0) }
    }

    /// The next id, used up at once.
    pub(crate) fn mint(&self) -> QueueId {
        let id = self.fresh();
        self.use_up(id);
        id
    }

    /// An id that is free: it stays so until it is used up.
    pub(crate) fn fresh(&self) -> QueueId {
        let micros = sys::clock::realtime_us();
        let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
        let now = (seconds << 24) | (u64::from(self.lane) << COUNT_BITS) | fraction;
        QueueId::from_u64(now.max(following(self.last.get())))
    }

    /// This id names a message now.
    pub(crate) fn use_up(&self, id: QueueId) {
        self.last.set(self.last.get().max(id.as_u64()));
    }

    /// From now on only ids above this one: the clock may have been set back since.
    pub(crate) fn raise(&self, after: u64) {
        if lane(after) == usize::from(self.lane) {
            self.last.set(self.last.get().max(after));
        }
    }
}

/// The lane of an id.
pub(crate) fn lane(id: u64) -> usize {
    usize::try_from(id >> COUNT_BITS & 15).unwrap_or(0)
}

/// The next id of the same lane: when a second's count is used up, the next second begins.
fn following(last: u64) -> u64 {
    if last == 0 {
        return 0;
    }
    let next = last.saturating_add(1);
    if lane(next) == lane(last) {
        return next;
    }
    let second = (last >> 24).saturating_add(1);
    (second << 24) | (last & (15 << COUNT_BITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_lane_rise_and_stay_in_it() {
        let ids = Ids::new(3);
        let mut last = 0;
        for _ in 0..1000 {
            let id = ids.mint().as_u64();
            assert!(id > last);
            assert_eq!(lane(id), 3);
            last = id;
        }
    }

    #[test]
    fn a_used_up_second_is_followed_by_the_next_one_in_the_same_lane() {
        let last = (7 << 24) | (5 << COUNT_BITS) | ((1 << COUNT_BITS) - 1);
        assert_eq!(following(last), (8 << 24) | (5 << COUNT_BITS));
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_id_twice() {
        let ids = Ids::new(1);
        let future = (u64::MAX >> 26 << 24) | (1 << COUNT_BITS);
        ids.raise(future);
        assert!(ids.mint().as_u64() > future);
    }
}
