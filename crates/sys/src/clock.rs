//! What time it is.

use std::time::{SystemTime, UNIX_EPOCH};

fn since_1970() -> std::time::Duration {
    // A clock before 1970 is a clock that was never set; it counts as 1970.
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Seconds since 1970.
#[must_use]
pub fn realtime_s() -> u64 {
    since_1970().as_secs()
}

/// Milliseconds since 1970.
#[must_use]
pub fn realtime_ms() -> u64 {
    u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX)
}

/// Microseconds since 1970.
#[must_use]
pub fn realtime_us() -> u64 {
    u64::try_from(since_1970().as_micros()).unwrap_or(u64::MAX)
}

/// Nanoseconds since 1970.
#[must_use]
pub fn realtime_ns() -> u64 {
    u64::try_from(since_1970().as_nanos()).unwrap_or(u64::MAX)
}

/// Milliseconds since some moment; never goes back.
#[must_use]
pub fn monotonic_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000)
}
