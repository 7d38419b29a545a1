//! The form of a message as a mailer wants it (RFC 2045, 2046, 6152): octets above 127 made 7-bit text and back, lines no
//! longer than the mailer bears, `From ` quoted.
//!
//! A message goes through in pieces of any size, its header first. [`Survey`] looks at it once and finds whether there is
//! anything to do and, for each part, which encoding suits it; [`Shaper`] then writes it anew. Both follow the structure with
//! the same walk, so what one found is what the other does. Memory is bounded by one header, one line's beginning, a stack of
//! [`NESTING_MAX`] boundaries and an octet for each of [`PARTS_MAX`] parts, whatever the message is.
//!
//! The choices are sendmail's (its manual, `EightBitMode` and the mailer flags 3, 7, 8, 9, E, L): base64 if more than an
//! eighth of a part's octets are above 127, quoted-printable else; parts that are encoded already, and signed ones, stay as
//! they are; of the text around the parts of a multipart, which nobody reads, only seven bits are left.

mod base;
mod kind;
mod lines;
mod quoted;
mod shape;
mod survey;
mod walk;

pub use lines::Strip;
pub use shape::{Conversion, Shaper, Wish};
pub use survey::{Findings, Survey};
pub use walk::{HEADER_BYTES_MAX, NESTING_MAX};

/// Parts whose encoding is remembered; what comes behind them is quoted-printable.
pub const PARTS_MAX: usize = 65_536;

/// What is done with a part that may be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// It has no octet above 127.
    Keep,
    /// Quoted-printable.
    Quoted,
    /// Base64.
    Base64,
}

#[cfg(test)]
mod tests;
