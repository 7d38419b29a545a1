//! Dates as mail and logs write them, from seconds since 1970: RFC 5322, 3.3; RFC 3164, 4.1.2; RFC 3339.
//!
//! No clock and no time zone file: both are parameters. The calendar is Gregorian, by Howard Hinnant's reckoning of days in
//! eras of 400 years that begin on the first of March.

use core::fmt;

/// Seconds of a day.
const DAY_S: u64 = 86_400;
/// The last second that is written, 9999-12-31T23:59:59Z: a later clock is a broken clock.
const LAST_S: u64 = 253_402_300_799;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// A moment, shown as RFC 5322 writes it: `Sat, 21 Nov 2026 07:36:33 +0000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    /// Seconds since 1970, UTC.
    pub unix_s: u64,
    /// How far local time is ahead of UTC, in seconds; only whole minutes count, and not more than a day.
    pub offset_s: i32,
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = (self.offset_s / 60).clamp(-1439, 1439);
        let ahead = i64::from(minutes).saturating_mul(60);
        let moment = Moment::of(self.unix_s.saturating_add_signed(ahead));
        let sign = if minutes < 0 { '-' } else { '+' };
        let minutes = minutes.unsigned_abs();
        write!(
            f,
            "{}, {} {} {:04} {:02}:{:02}:{:02} {sign}{:02}{:02}",
            moment.weekday(),
            moment.day,
            moment.month(),
            moment.year,
            moment.hour,
            moment.minute,
            moment.second,
            minutes / 60,
            minutes % 60
        )
    }
}

/// `Nov 21 07:36:33`, the time stamp of RFC 3164. Add the zone's offset to `unix_s` for local time.
#[must_use]
pub fn syslog(unix_s: u64) -> Syslog {
    Syslog(Moment::of(unix_s))
}

/// See [`syslog`].
#[derive(Debug, Clone, Copy)]
pub struct Syslog(Moment);

impl fmt::Display for Syslog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Moment { day, hour, minute, second, .. } = self.0;
        write!(f, "{} {day:2} {hour:02}:{minute:02}:{second:02}", self.0.month())
    }
}

/// `2026-11-21T07:36:33Z` (RFC 3339).
#[must_use]
pub fn iso(unix_s: u64) -> Iso {
    Iso(Moment::of(unix_s))
}

/// See [`iso`].
#[derive(Debug, Clone, Copy)]
pub struct Iso(Moment);

impl fmt::Display for Iso {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Moment { year, month, day, hour, minute, second, .. } = self.0;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// `Sat Nov 21 07:36:33 2026`, as C's `asctime` writes a local time.
#[must_use]
pub fn ctime(date: Date) -> Ctime {
    let ahead = i64::from((date.offset_s / 60).clamp(-1439, 1439)).saturating_mul(60);
    Ctime(Moment::of(date.unix_s.saturating_add_signed(ahead)))
}

/// See [`ctime`].
#[derive(Debug, Clone, Copy)]
pub struct Ctime(Moment);

impl fmt::Display for Ctime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Moment { year, day, hour, minute, second, .. } = self.0;
        let (weekday, month) = (self.0.weekday(), self.0.month());
        write!(f, "{weekday} {month} {day:2} {hour:02}:{minute:02}:{second:02} {year:04}")
    }
}

/// `202611210736`, as sendmail begins a Message-Id.
#[must_use]
pub fn compact(unix_s: u64) -> Compact {
    Compact(Moment::of(unix_s))
}

/// See [`compact`].
#[derive(Debug, Clone, Copy)]
pub struct Compact(Moment);

impl fmt::Display for Compact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Moment { year, month, day, hour, minute, .. } = self.0;
        write!(f, "{year:04}{month:02}{day:02}{hour:02}{minute:02}")
    }
}

/// A moment taken apart.
#[derive(Debug, Clone, Copy)]
struct Moment {
    year: u64,
    /// 1 to 12.
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    /// Days since a Thursday.
    since_thursday: u64,
}

impl Moment {
    fn of(unix_s: u64) -> Self {
        let unix_s = unix_s.min(LAST_S);
        let (days, in_day) = (unix_s / DAY_S, unix_s % DAY_S);
        let shifted = days.saturating_add(719_468);
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let leaps = (day_of_era / 1_460)
            .saturating_add(day_of_era / 146_096)
            .saturating_sub(day_of_era / 36_524);
        let year_of_era = day_of_era.saturating_sub(leaps) / 365;
        let years_days = year_of_era
            .saturating_mul(365)
            .saturating_add(year_of_era / 4)
            .saturating_sub(year_of_era / 100);
        let day_of_year = day_of_era.saturating_sub(years_days);
        let from_march = day_of_year.saturating_mul(5).saturating_add(2) / 153;
        let before = from_march.saturating_mul(153).saturating_add(2) / 5;
        let month = if from_march < 10 {
            from_march.saturating_add(3)
        } else {
            from_march.saturating_sub(9)
        };
        Self {
            year: year_of_era
                .saturating_add(era.saturating_mul(400))
                .saturating_add(u64::from(month <= 2)),
            month,
            day: day_of_year.saturating_sub(before).saturating_add(1),
            hour: in_day / 3_600,
            minute: in_day / 60 % 60,
            second: in_day % 60,
            since_thursday: days % 7,
        }
    }

    fn month(self) -> &'static str {
        named(&MONTHS, self.month.saturating_sub(1))
    }

    fn weekday(self) -> &'static str {
        named(&WEEKDAYS, self.since_thursday)
    }
}

fn named(names: &[&'static str], at: u64) -> &'static str {
    usize::try_from(at).ok().and_then(|at| names.get(at)).copied().unwrap_or("")
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_date_is_written_as_rfc_5322_wants_it() {
        let at = |unix_s, offset_s| Date { unix_s, offset_s }.to_string();
        assert_eq!(at(0, 0), "Thu, 1 Jan 1970 00:00:00 +0000");
        assert_eq!(at(1_795_246_593, 0), "Sat, 21 Nov 2026 07:36:33 +0000");
        assert_eq!(at(1_795_246_593, -12_600), "Sat, 21 Nov 2026 04:06:33 -0330");
        assert_eq!(at(951_782_399, 3_600), "Tue, 29 Feb 2000 00:59:59 +0100");
        assert_eq!(at(u64::MAX, i32::MAX), "Fri, 31 Dec 9999 23:59:59 +2359");
    }

    #[test]
    fn logs_have_their_own_forms() {
        assert_eq!(syslog(1_793_856_000).to_string(), "Nov  5 05:20:00");
        assert_eq!(iso(1_795_246_593).to_string(), "2026-11-21T07:36:33Z");
        assert_eq!(compact(1_795_246_593).to_string(), "202611210736");
        let date = Date { unix_s: 1_793_856_000, offset_s: 3_600 };
        assert_eq!(ctime(date).to_string(), "Thu Nov  5 06:20:00 2026");
    }

    proptest! {
        #[test]
        fn a_day_later_is_the_next_day(day in 0u64..2_932_000) {
            let (today, tomorrow) = (Moment::of(day * DAY_S), Moment::of((day + 1) * DAY_S));
            let next_in_month = tomorrow.day == today.day + 1 && tomorrow.month == today.month;
            let next_month = tomorrow.day == 1 && today.day >= 28 && tomorrow.month == today.month % 12 + 1;
            prop_assert!(next_in_month || next_month);
            prop_assert_eq!(tomorrow.year, today.year + u64::from(next_month && today.month == 12));
        }
    }
}
