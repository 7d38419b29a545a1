//! The name of a message in the queue: 64 bits inside, fourteen characters outside.
//!
//! The upper 40 bits are the second of its birth (Unix time), the lower 24 a counter within it. Written, it looks like
//! sendmail's identifiers, which log readers match with `[0-9A-Za-z]{14}`: four characters for the day, one each for hour,
//! minute and second, one for the counter's millions, then six digits. The alphabet is in ASCII order and every field has a
//! fixed width, so names sort as the messages were born, and a name is read back to exactly the bits it was written from.

use core::fmt::{self, Write as _};
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// Characters of a written identifier.
pub const QUEUE_ID_LEN: usize = 14;

/// Bits of the counter.
const COUNTER_BITS: u32 = 24;
/// The counter's mask, and its greatest value.
const COUNTER_MAX: u32 = 0x00ff_ffff;
/// The greatest second: 40 bits, in the year 36,812.
const SECONDS_MAX: u64 = 0xff_ffff_ffff;
/// The digits, in ASCII order.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The name of a message in the queue.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QueueId(u64);

impl QueueId {
    /// The name of the message born at `seconds` (Unix time; 40 bits are kept) as number `counter` (24 bits are kept).
    #[must_use]
    pub const fn new(seconds: u64, counter: u32) -> Self {
        let low = counter & COUNTER_MAX;
        // A widening of u32 to u64 that `From` cannot do in a const fn yet.
        #[allow(
            clippy::as_conversions,
            reason = "u32 to u64 loses nothing, and `From` is not const"
        )]
        let low = low as u64;
        Self(((seconds & SECONDS_MAX) << COUNTER_BITS) | low)
    }

    /// The name with these bits.
    #[must_use]
    pub const fn from_u64(bits: u64) -> Self {
        Self(bits)
    }

    /// All 64 bits.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The second of its birth (Unix time).
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 >> COUNTER_BITS
    }

    /// Its number within the second, below 2^24.
    #[must_use]
    pub fn counter(self) -> u32 {
        u32::try_from(self.0 & u64::from(COUNTER_MAX)).unwrap_or(COUNTER_MAX)
    }

    /// The fourteen characters.
    #[must_use]
    pub fn to_ascii(self) -> [u8; QUEUE_ID_LEN] {
        let seconds = self.seconds();
        let (days, in_day) = (seconds / 86_400, seconds % 86_400);
        let counter = u64::from(self.counter());
        let (millions, digits) = (counter / 1_000_000, counter % 1_000_000);
        [
            digit(days / 238_328),
            digit(days / 3_844),
            digit(days / 62),
            digit(days),
            digit(in_day / 3_600),
            digit(in_day / 60 % 60),
            digit(in_day % 60),
            digit(millions),
            digit(digits / 100_000 % 10),
            digit(digits / 10_000 % 10),
            digit(digits / 1_000 % 10),
            digit(digits / 100 % 10),
            digit(digits / 10 % 10),
            digit(digits % 10),
        ]
    }

    /// Reads the fourteen characters back.
    ///
    /// # Errors
    /// [`NotAQueueId`]: another length, another character, or a field out of its range.
    pub fn from_ascii(text: &[u8]) -> Result<Self, NotAQueueId> {
        let &[a, b, c, d, hour, minute, second, millions, ref digits @ ..] = text else {
            return Err(NotAQueueId);
        };
        if digits.len() != 6 || !digits.iter().all(u8::is_ascii_digit) {
            return Err(NotAQueueId);
        }
        let days = [a, b, c, d].into_iter().try_fold(0u64, |days, octet| {
            Ok(days.saturating_mul(62).saturating_add(below(octet, 62)?))
        })?;
        let in_day = below(hour, 24)?
            .saturating_mul(3_600)
            .saturating_add(below(minute, 60)?.saturating_mul(60))
            .saturating_add(below(second, 60)?);
        let seconds = days.saturating_mul(86_400).saturating_add(in_day);
        let counter = digits.iter().fold(below(millions, 17)?, |counter, &octet| {
            counter.saturating_mul(10).saturating_add(u64::from(octet.wrapping_sub(b'0')))
        });
        let counter = u32::try_from(counter).map_err(|_| NotAQueueId)?;
        if seconds > SECONDS_MAX || counter > COUNTER_MAX {
            return Err(NotAQueueId);
        }
        Ok(Self::new(seconds, counter))
    }
}

/// The character of `value` modulo 62.
fn digit(value: u64) -> u8 {
    usize::try_from(value % 62).ok().and_then(|at| ALPHABET.get(at)).copied().unwrap_or(b'0')
}

/// The value of a character, if it is below `limit`.
fn below(octet: u8, limit: u64) -> Result<u64, NotAQueueId> {
    let value = match octet {
        b'0'..=b'9' => octet.wrapping_sub(b'0'),
        b'A'..=b'Z' => octet.wrapping_sub(b'A').wrapping_add(10),
        b'a'..=b'z' => octet.wrapping_sub(b'a').wrapping_add(36),
        _ => return Err(NotAQueueId),
    };
    Some(u64::from(value)).filter(|&value| value < limit).ok_or(NotAQueueId)
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_ascii().into_iter().try_for_each(|octet| f.write_char(char::from(octet)))
    }
}

impl fmt::Debug for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QueueId({self})")
    }
}

impl FromStr for QueueId {
    type Err = NotAQueueId;

    fn from_str(text: &str) -> Result<Self, NotAQueueId> {
        Self::from_ascii(text.as_bytes())
    }
}

/// The text is not the name of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAQueueId;

impl fmt::Display for NotAQueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a queue id: fourteen of 0-9 A-Z a-z")
    }
}

impl core::error::Error for NotAQueueId {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_has_the_look_of_sendmails() {
        let written = QueueId::new(1_790_000_000, 42).to_string();
        assert_eq!(written.len(), QUEUE_ID_LEN);
        assert_eq!(written, "05O9EDK0000042");
    }

    #[test]
    fn fields_out_of_range_are_refused() {
        for text in [
            "",
            "05O9EDK000004",
            "05O9EDK00000421",
            "05O9ODK0000042",
            "05O9EDKH000042",
            "05O9EDKG999999",
            "zzzzEDK0000042",
            "05O9EDK00000-1",
        ] {
            assert_eq!(QueueId::from_str(text), Err(NotAQueueId), "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_is_read_back_to_the_same_bits(bits: u64) {
            let id = QueueId::from_u64(bits);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn names_sort_as_the_messages_were_born(a: u64, b: u64) {
            let (a, b) = (QueueId::from_u64(a), QueueId::from_u64(b));
            prop_assert_eq!(a.cmp(&b), a.to_ascii().cmp(&b.to_ascii()));
        }

        #[test]
        fn what_is_read_is_written_the_same(text in "[0-9A-Za-z]{7}[0-9A-H][0-9]{6}") {
            if let Ok(id) = text.parse::<QueueId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
