//! How many processors there are for us, and which one a process prefers.

use rustix::thread::CpuSet;

/// Processors this process may use, at least 1.
#[must_use]
pub fn count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Stays on one of the processors we may use: the `lane`-th, counted round and round. True: so it is. False: the
/// system wants it otherwise, and nothing has changed; it is a preference. To be called before the cage is closed.
#[must_use]
pub fn prefer(lane: usize) -> bool {
    let Ok(allowed) = rustix::thread::sched_getaffinity(None) else { return false };
    let numbers: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&n| allowed.is_set(n)).collect();
    let Some(&number) = lane.checked_rem(numbers.len()).and_then(|place| numbers.get(place)) else {
        return false;
    };
    let mut one = CpuSet::new();
    one.set(number);
    rustix::thread::sched_setaffinity(None, &one).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lane_finds_a_processor() {
        // A thread of its own: what it prefers is its own affair.
        std::thread::spawn(|| {
            assert!(prefer(0));
            assert_eq!(rustix::thread::sched_getaffinity(None).unwrap().count(), 1);
            assert!(prefer(1_000_003));
        })
        .join()
        .unwrap();
        assert!(count() >= 1);
    }
}
