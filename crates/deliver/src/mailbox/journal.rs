//! What an mbox remembers about an append that is under way, so that a delivery that was killed in the
//! middle of a message leaves nothing torn behind: the next one cuts the rest off.
//!
//! The note is an extended attribute of the mailbox: where each new message begins, and where
//! the last one ends. It is written before the messages and removed after they are durable. Others
//! write to the mailbox too, so it is believed only if it fits exactly: the file ends before the
//! noted end, and the separators after the noted start are just where the note has them. File
//! systems without such attributes lose this repair, nothing else.

use rustix::fs::XattrFlags;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

const NAME: &str = "user.ironpost.append";

/// The most messages that one note describes.
pub(super) const MESSAGES_MAX: usize = 64;

const NOTE_BYTES_MAX: usize = 16 + 4 * MESSAGES_MAX;

/// What separates messages.
const SEPARATOR: &[u8] = b"\nFrom ";

/// An append: where it begins, where each message begins after that, where it ends.
#[derive(Debug, PartialEq, Eq)]
struct Note {
    start: u64,
    end: u64,
    /// Distances from `start`; the first may be above 0, after octets that end what was there.
    offsets: Vec<u32>,
}

impl Note {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(NOTE_BYTES_MAX);
        bytes.extend_from_slice(&self.start.to_le_bytes());
        bytes.extend_from_slice(&self.end.to_le_bytes());
        for offset in &self.offsets {
            bytes.extend_from_slice(&offset.to_le_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (start, rest) = bytes.split_first_chunk::<8>()?;
        let (end, rest) = rest.split_first_chunk::<8>()?;
        let (offsets, []) = rest.as_chunks::<4>() else { return None };
        let offsets = offsets.iter().map(|&offset| u32::from_le_bytes(offset)).collect();
        Some(Self { start: u64::from_le_bytes(*start), end: u64::from_le_bytes(*end), offsets })
    }

    fn begins(&self) -> impl Iterator<Item = u64> {
        self.offsets.iter().map(|&offset| self.start.saturating_add(u64::from(offset)))
    }
}

/// Notes an append of messages that begin `offsets` octets after `start`.
pub(super) fn note(mailbox: &OwnedFd, start: u64, end: u64, offsets: &[u32]) {
    let note = Note { start, end, offsets: offsets.to_vec() }.encode();
    // Not every file system can; see above.
    rustix::fs::fsetxattr(mailbox, NAME, &note, XattrFlags::empty()).unwrap_or_default();
}

/// Forgets the append: it is whole, or it is taken back.
pub(super) fn forget(mailbox: &OwnedFd) {
    rustix::fs::fremovexattr(mailbox, NAME).unwrap_or_default();
}

/// The length to which a mailbox must be cut because a delivery died in the middle.
pub(super) fn torn_at(mailbox: &OwnedFd, length: u64) -> Option<u64> {
    let mut bytes = [0_u8; NOTE_BYTES_MAX];
    let size = rustix::fs::fgetxattr(mailbox, NAME, &mut bytes[..]).ok()?;
    let note = Note::decode(bytes.get(..size)?)?;
    if length <= note.start || length >= note.end {
        return None;
    }
    let file = File::from(rustix::io::fcntl_dupfd_cloexec(mailbox, 3).ok()?);
    let begins: Vec<u64> = note.begins().collect();
    let begun = begins.iter().filter(|&&at| at.saturating_add(5) <= length);
    let found = separators(&file, note.start, length).ok()?;
    if !found.iter().eq(begun) {
        return None;
    }
    if begins.contains(&length) {
        return None;
    }
    let torn = begins.iter().rev().find(|&&at| at < length);
    // Before the first message are only the line ends that were to close what was there.
    Some(torn.copied().filter(|at| Some(at) != begins.first()).unwrap_or(note.start))
}

/// Where separators stand in `start..length`, a line end before each, except at the file's start.
fn separators(file: &File, start: u64, length: u64) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    let mut window = vec![0_u8; 64 * 1024];
    let mut at = start.saturating_sub(1);
    if start == 0 {
        let mut first = [0_u8; 5];
        if file.read_at(&mut first, 0)? == 5 && first == *b"From " {
            found.push(0);
        }
    }
    while at < length && found.len() <= MESSAGES_MAX {
        let read = file.read_at(&mut window, at)?;
        let seen = window.get(..read).unwrap_or_default();
        for hit in memchr::memmem::find_iter(seen, SEPARATOR) {
            found.push(at.saturating_add(u64::try_from(hit).unwrap_or(0)).saturating_add(1));
        }
        if read <= SEPARATOR.len() {
            break;
        }
        // The windows overlap so that no separator is cut, and none is seen twice.
        at = at.saturating_add(u64::try_from(read - (SEPARATOR.len() - 1)).unwrap_or(0));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_note_is_read_as_it_was_written(start: u64, end: u64, offsets in proptest::collection::vec(any::<u32>(), 0..64)) {
            let note = Note { start, end, offsets };
            prop_assert_eq!(Note::decode(&note.encode()), Some(note));
        }

        #[test]
        fn any_octets_are_no_note_or_one(bytes: Vec<u8>) {
            if let Some(note) = Note::decode(&bytes) {
                prop_assert_eq!(note.encode(), bytes);
            }
        }
    }
}
