//! Frames on a stream: a length of four octets, least significant first, then as many octets.
//!
//! The reader keeps what has come and gives out whole frames from it. A length above the limit is an error before any octet
//! of it is kept, so what is held is never more than a frame and the last piece that was pushed.

use alloc::vec::Vec;
use core::fmt;

/// Octets of the length.
const PREFIX: usize = 4;

/// Cuts frames out of pieces.
#[derive(Debug)]
pub struct FrameReader {
    held: Vec<u8>,
    /// Octets of `held` that were given out.
    given: usize,
    frame_bytes_max: usize,
}

impl FrameReader {
    /// A reader of frames up to `frame_bytes_max` octets.
    #[must_use]
    pub const fn new(frame_bytes_max: usize) -> Self {
        Self { held: Vec::new(), given: 0, frame_bytes_max }
    }

    /// Takes the next octets of the stream.
    pub fn push(&mut self, piece: &[u8]) {
        if self.given > 0 {
            self.held.drain(..self.given.min(self.held.len()));
            self.given = 0;
        }
        self.held.extend_from_slice(piece);
    }

    /// The next whole frame, without its length.
    ///
    /// # Errors
    /// [`Oversize`]: the peer announces more than the limit; the stream cannot be used any more.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, Oversize> {
        let rest = self.held.get(self.given..).unwrap_or_default();
        let Some((prefix, rest)) = rest.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_le_bytes(*prefix)).unwrap_or(usize::MAX);
        if length > self.frame_bytes_max {
            return Err(Oversize);
        }
        if rest.len() < length {
            return Ok(None);
        }
        self.given = self.given.saturating_add(PREFIX).saturating_add(length);
        Ok(rest.get(..length))
    }

    /// Whether octets of an unfinished frame are held: a stream must not end now.
    #[must_use]
    pub fn is_inside_frame(&self) -> bool {
        self.given < self.held.len()
    }
}

/// Appends a frame made of `parts`.
///
/// # Errors
/// [`Oversize`]: the length does not fit into 32 bits; nothing is appended.
pub fn write_frame(parts: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Oversize> {
    let length = parts.iter().fold(0usize, |sum, part| sum.saturating_add(part.len()));
    let prefix = u32::try_from(length).map_err(|_| Oversize)?;
    out.reserve(length.saturating_add(PREFIX));
    out.extend_from_slice(&prefix.to_le_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
    Ok(())
}

/// A frame above the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Oversize;

impl fmt::Display for Oversize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a frame above the limit")
    }
}

impl core::error::Error for Oversize {}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::collection::vec as vecs;
    use proptest::prelude::*;

    use super::*;

    fn read_all(reader: &mut FrameReader) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while let Some(frame) = reader.next_frame().unwrap() {
            frames.push(frame.to_vec());
        }
        frames
    }

    #[test]
    fn a_length_above_the_limit_is_refused_before_its_octets_come() {
        let mut reader = FrameReader::new(10);
        reader.push(&[11, 0, 0, 0]);
        assert_eq!(reader.next_frame(), Err(Oversize));
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_they_are_cut(frames in vecs(vecs(any::<u8>(), 0..50), 0..8), cut in 1usize..20) {
            let mut stream = Vec::new();
            for frame in &frames {
                let (a, b) = frame.split_at(frame.len() / 2);
                write_frame(&[a, b], &mut stream).unwrap();
            }
            let mut reader = FrameReader::new(50);
            let mut read = vec![];
            for piece in stream.chunks(cut) {
                reader.push(piece);
                read.extend(read_all(&mut reader));
            }
            prop_assert_eq!(read, frames);
            prop_assert!(!reader.is_inside_frame());
        }
    }
}
