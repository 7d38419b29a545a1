//! When to try again: pauses that double, up to a bound, each moved by up to an eighth, so that
//! what failed together does not come back together.

use policy::settings::Retry;

/// A generator of jitter (`SplitMix64`): the same seed gives the same throws. Not for secrets.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`; 0 if that is 0.
    pub(crate) fn throw(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        mixed.checked_rem(bound).unwrap_or(0)
    }
}

/// The pause after the given number of failures in a row, in ms: `first_s`, doubled for each
/// failure after the first, at most `longest_s`, then between 7/8 and 9/8 of that. At least 1 s.
pub(crate) fn pause_ms(retry: &Retry, failures: u32, dice: &mut Dice) -> u64 {
    let doublings = failures.saturating_sub(1).min(31);
    let doubled = u64::from(retry.first_s).saturating_mul(1_u64 << doublings);
    let plain_ms = doubled.min(retry.longest_s.into()).saturating_mul(1000);
    let eighth = plain_ms >> 3;
    let moved =
        plain_ms.saturating_sub(eighth).saturating_add(dice.throw(eighth.saturating_mul(2)));
    moved.max(1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_pause_doubles_within_its_jitter_and_never_passes_its_bound(
            seed: u64, failures: u32, first_s in 0_u32..100_000, longest_s in 0_u32..100_000,
        ) {
            let retry = Retry { first_s, longest_s, ..Retry::default() };
            let pause = pause_ms(&retry, failures, &mut Dice::new(seed));
            let doubled = u128::from(first_s) << failures.saturating_sub(1).min(40);
            let plain = doubled.min(longest_s.into()).saturating_mul(1000);
            let eighth = plain >> 3;
            prop_assert!(u128::from(pause) >= plain.saturating_sub(eighth).max(1000), "{} of {}", pause, plain);
            prop_assert!(u128::from(pause) <= plain.saturating_add(eighth).max(1000), "{} of {}", pause, plain);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_pauses() {
        let pauses = |seed| {
            let mut dice = Dice::new(seed);
            [1, 2, 3].map(|failures| pause_ms(&Retry::default(), failures, &mut dice))
        };
        assert_eq!(pauses(7), pauses(7));
        assert_ne!(pauses(7), pauses(8));
    }
}
