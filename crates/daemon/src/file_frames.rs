//! Files of users on their way from a reader to the policy: the facts in one frame, the content in pieces behind it,
//! because a list may be longer than any frame.

use crate::link::{Link, LinkError};
use policy::FileSeen;
use serde::{Deserialize, Serialize};

/// Octets of a piece.
const PIECE_BYTES: usize = 1024 * 1024;

/// The longest content (the limit of the reader too).
const CONTENT_BYTES_MAX: usize = policy_cf::expand::LIST_OCTETS_MAX;

/// One frame of a file; the tail is a piece of its content.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum FileFrame {
    /// The first: what was seen, the content left out.
    Begin {
        /// The file without its content.
        seen: Box<FileSeen>,
        /// Octets of the content, all pieces together.
        size: u32,
    },
    /// A further piece.
    Piece,
}

/// Sends a file; `wrap` makes a frame one of the edge's.
///
/// # Errors
/// The other end has stopped reading.
pub(crate) fn send<T: Serialize>(
    link: &mut Link,
    seen: &FileSeen,
    wrap: impl Fn(FileFrame) -> T,
) -> Result<(), LinkError> {
    let content: &[u8] = seen.read.as_deref().unwrap_or_default();
    let bare = FileSeen {
        wanted: seen.wanted.clone(),
        groups: seen.groups.clone(),
        folders: seen.folders.clone(),
        is_link: seen.is_link,
        found: seen.found,
        read: seen.read.as_ref().map(|_| Box::default()).map_err(|trouble| *trouble),
    };
    let size = u32::try_from(content.len()).map_err(|_| LinkError::Garbled("a file too long"))?;
    let mut pieces = content.chunks(PIECE_BYTES);
    let first = pieces.next().unwrap_or_default();
    link.send(&wrap(FileFrame::Begin { seen: Box::new(bare), size }), first)?;
    for piece in pieces {
        link.send(&wrap(FileFrame::Piece), piece)?;
    }
    Ok(())
}

/// Puts files together again.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    begun: Option<(Box<FileSeen>, usize, Vec<u8>)>,
}

impl Assembly {
    /// Takes a frame; gives the file when it is whole.
    ///
    /// # Errors
    /// The frames are none of one file.
    pub(crate) fn take(
        &mut self,
        frame: FileFrame,
        tail: &[u8],
    ) -> Result<Option<FileSeen>, LinkError> {
        let (seen, size, mut content) = match (frame, self.begun.take()) {
            (FileFrame::Begin { seen, size }, None) => {
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                if size > CONTENT_BYTES_MAX {
                    return Err(LinkError::Garbled("a file too long"));
                }
                (seen, size, Vec::new())
            }
            (FileFrame::Piece, Some(begun)) => begun,
            (FileFrame::Begin { .. }, Some(_)) => {
                return Err(LinkError::Garbled("a file within a file"));
            }
            (FileFrame::Piece, None) => return Err(LinkError::Garbled("a piece of no file")),
        };
        content.extend_from_slice(tail);
        if content.len() > size {
            return Err(LinkError::Garbled("a file longer than it said"));
        }
        if content.len() < size {
            if tail.is_empty() {
                return Err(LinkError::Garbled("an empty piece"));
            }
            self.begun = Some((seen, size, content));
            return Ok(None);
        }
        let mut seen = *seen;
        if seen.read.is_ok() {
            seen.read = Ok(content.into());
        }
        Ok(Some(seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::FileWanted;

    fn seen(content: &[u8]) -> FileSeen {
        let wanted = FileWanted { path: b"/l"[..].into(), user: b"u"[..].into() };
        FileSeen { read: Ok(content.into()), ..FileSeen::unseen(wanted, 2) }
    }

    #[test]
    fn a_file_longer_than_a_frame_comes_whole() {
        let (one, two) = sys::socket::pair().unwrap();
        let (mut one, mut two) = (Link::new(one), Link::new(two));
        let file = seen(&vec![b'x'; 5 * PIECE_BYTES + 1]);
        send(&mut one, &file, |frame| frame).unwrap();
        let mut assembly = Assembly::default();
        let mut got = None;
        while got.is_none() {
            one.flush().unwrap();
            two.fill().unwrap();
            while let Some((frame, tail)) = two.receive::<FileFrame>().unwrap() {
                got = assembly.take(frame, tail).unwrap();
            }
        }
        assert_eq!(got, Some(file));
    }

    #[test]
    fn pieces_that_do_not_fit_are_garbled() {
        let begin = |size| FileFrame::Begin { seen: Box::new(seen(b"")), size };
        assert!(Assembly::default().take(FileFrame::Piece, b"x").is_err());
        assert!(Assembly::default().take(begin(1), b"xx").is_err());
        assert!(Assembly::default().take(begin(u32::MAX), b"").is_err());
        let mut assembly = Assembly::default();
        assert_eq!(assembly.take(begin(2), b"x").unwrap(), None);
        assert!(assembly.take(begin(2), b"").is_err());
    }
}
