//! BDAT (RFC 3030): a size, and whether the chunk is the last.

/// The argument of BDAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Octets that follow the line.
    pub size_bytes: u64,
    /// Whether the message ends with it.
    pub is_last: bool,
}

impl Chunk {
    /// Reads the argument. `None`: no number that fits 64 bits, or something else than LAST behind it.
    pub(super) fn parse(argument: &[u8]) -> Option<Self> {
        let (size, last) = super::split(argument);
        let is_last = match last {
            [] => false,
            last if last.eq_ignore_ascii_case(b"LAST") => true,
            _ => return None,
        };
        Some(Self { size_bytes: super::number(size)?, is_last })
    }
}
