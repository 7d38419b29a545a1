//! Dates of our own header fields: wire's form, this system's zone.

use std::sync::OnceLock;

/// How far local time is ahead of UTC, in seconds. Read once, before the cage: there is no time zone
/// file inside.
pub(crate) fn offset_s() -> i32 {
    static OFFSET_S: OnceLock<i32> = OnceLock::new();
    *OFFSET_S.get_or_init(|| jiff::Zoned::now().offset().seconds())
}

/// Now, as RFC 5322 writes it.
pub(crate) fn now() -> wire::date::Date {
    wire::date::Date { unix_s: sys::clock::realtime_s(), offset_s: offset_s() }
}

/// A moment in sendmail's columns: `Sat Nov 21 08:00`.
pub(crate) fn listing(unix_s: u64) -> String {
    let seconds = i64::try_from(unix_s).unwrap_or(i64::MAX);
    let moment = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    moment.to_zoned(jiff::tz::TimeZone::system()).strftime("%a %b %d %H:%M").to_string()
}

/// A moment as C's `ctime` writes it: `Sat Nov  7 08:00:00 2026`.
pub(crate) fn ctime(unix_s: u64) -> String {
    let seconds = i64::try_from(unix_s).unwrap_or(i64::MAX);
    let moment = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    moment.to_zoned(jiff::tz::TimeZone::system()).strftime("%a %b %e %H:%M:%S %Y").to_string()
}

/// A span as sendmail's log has it: `[d+]hh:mm:ss`.
#[must_use]
pub fn clock(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let time = format!("{:02}:{:02}:{:02}", rest / 3600, rest % 3600 / 60, rest % 60);
    if days > 0 { format!("{days}+{time}") } else { time }
}
