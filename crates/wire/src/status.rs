//! Enhanced status codes (RFC 3463): class, subject, detail.

use core::fmt;

use serde::{Deserialize, Serialize};

/// An enhanced status code, like 5.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Status {
    /// 2: success, 4: for now, 5: for good.
    pub class: u8,
    /// What it is about, 0 to 999.
    pub subject: u16,
    /// What of it, 0 to 999.
    pub detail: u16,
}

impl Status {
    /// A status; the caller's table is right about the ranges.
    #[must_use]
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self { class, subject, detail }
    }

    /// The status at the beginning of `text`, if it fits the reply `code`, and the rest behind one space.
    #[must_use]
    pub fn split(text: &[u8], code: u16) -> Option<(Self, &[u8])> {
        let (class, rest) = number(text)?;
        let (subject, rest) = number(rest.strip_prefix(b".")?)?;
        let (detail, rest) = number(rest.strip_prefix(b".")?)?;
        let class = u8::try_from(class).ok().filter(|&class| u16::from(class) == code / 100)?;
        let rest = if rest.is_empty() { rest } else { rest.strip_prefix(b" ")? };
        matches!(class, 2 | 4 | 5).then_some((Self { class, subject, detail }, rest))
    }

    /// The same subject and detail in another class.
    #[must_use]
    pub const fn in_class(self, class: u8) -> Self {
        Self { class, ..self }
    }
}

/// One to three digits.
fn number(text: &[u8]) -> Option<(u16, &[u8])> {
    let digits = text.iter().take(4).take_while(|octet| octet.is_ascii_digit()).count();
    let (digits, rest) = text.split_at_checked(digits)?;
    if !(1..=3).contains(&digits.len()) {
        return None;
    }
    let value = digits.iter().fold(0u16, |value, &digit| {
        value.saturating_mul(10).saturating_add(u16::from(digit.wrapping_sub(b'0')))
    });
    Some((value, rest))
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_split_off_only_if_it_fits_its_code() {
        assert_eq!(Status::split(b"5.1.1 no", 550), Some((Status::new(5, 1, 1), &b"no"[..])));
        assert_eq!(Status::split(b"2.0.0", 250), Some((Status::new(2, 0, 0), &b""[..])));
        for text in
            ["4.1.1 no", "5.1 no", "5.1.1234 no", "5.1.1no", "10.1.1.1 is down", "", "5..1 x"]
        {
            assert_eq!(Status::split(text.as_bytes(), 550), None, "{text}");
        }
    }
}
