//! Lines out of a stream that comes in pieces.
//!
//! A line ends at LF; whether a CR stood before it is told, because only CR LF is a line end in SMTP (RFC 5321, 2.3.8) and
//! what else is tolerated is the session's decision. A CR inside a line stays in it: the grammar refuses it there. A line
//! above the limit is thrown away as it comes and reported once, when it ends: an endless line costs no memory.

use alloc::vec::Vec;

/// Cuts lines out of pieces. Holds memory only while a line is unfinished.
#[derive(Debug)]
pub struct LineReader {
    held: Vec<u8>,
    state: State,
    /// Octets of the line that were thrown away.
    skipped: usize,
    line_bytes_max: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// `held` is the beginning of the next line.
    Reading,
    /// `held` is a line that was given out.
    Given,
    /// The line is too long: everything up to its end is thrown away.
    Skipping,
}

/// How a line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnd {
    /// CR LF.
    CrLf,
    /// LF without a CR before it.
    BareLf,
}

/// What was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line.
    Whole {
        /// Its octets without its end.
        text: &'a [u8],
        /// How it ended.
        end: LineEnd,
    },
    /// A line above the limit has ended: its octets, the end included.
    TooLong(usize),
}

impl LineReader {
    /// A reader of lines up to `line_bytes_max` octets, their end included.
    #[must_use]
    pub const fn new(line_bytes_max: usize) -> Self {
        Self { held: Vec::new(), state: State::Reading, skipped: 0, line_bytes_max }
    }

    /// Takes octets from `input` up to the end of the next line, or all of them. Returns how many were taken.
    pub fn read<'a>(&'a mut self, input: &'a [u8]) -> (usize, Option<Line<'a>>) {
        self.release();
        let Some(at) = memchr::memchr(b'\n', input) else {
            self.keep(input);
            return (input.len(), None);
        };
        let taken = at.saturating_add(1);
        let piece = input.get(..taken).unwrap_or(input);
        if self.state == State::Skipping
            || self.held.len().saturating_add(taken) > self.line_bytes_max
        {
            let bytes = self.skipped.saturating_add(self.held.len()).saturating_add(taken);
            self.held = Vec::new();
            self.state = State::Reading;
            self.skipped = 0;
            return (taken, Some(Line::TooLong(bytes)));
        }
        if self.held.is_empty() {
            return (taken, Some(whole(piece)));
        }
        self.held.extend_from_slice(piece);
        self.state = State::Given;
        (taken, Some(whole(&self.held)))
    }

    /// Gives back the memory of a line that was given out and is not needed any more.
    pub fn release(&mut self) {
        if self.state == State::Given {
            self.held = Vec::new();
            self.state = State::Reading;
        }
    }

    /// Whether an unfinished line is held or skipped.
    #[must_use]
    pub fn is_inside_line(&self) -> bool {
        match self.state {
            State::Reading => !self.held.is_empty(),
            State::Given => false,
            State::Skipping => true,
        }
    }

    /// The octets of an unfinished line, as far as they are held.
    #[must_use]
    pub fn unfinished(&self) -> &[u8] {
        match self.state {
            State::Reading => &self.held,
            State::Given | State::Skipping => &[],
        }
    }

    fn keep(&mut self, piece: &[u8]) {
        if self.state == State::Skipping {
            self.skipped = self.skipped.saturating_add(piece.len());
            return;
        }
        // The end that is still to come counts: at least an LF.
        if self.held.len().saturating_add(piece.len()) >= self.line_bytes_max {
            self.skipped = self.held.len().saturating_add(piece.len());
            self.held = Vec::new();
            self.state = State::Skipping;
        } else {
            self.held.extend_from_slice(piece);
        }
    }
}

fn whole(line: &[u8]) -> Line<'_> {
    match line {
        [text @ .., b'\r', b'\n'] => Line::Whole { text, end: LineEnd::CrLf },
        [text @ .., b'\n'] | text => Line::Whole { text, end: LineEnd::BareLf },
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    /// A line that outlives its reader; `None`: too long.
    type Owned = Option<(Vec<u8>, LineEnd)>;

    fn cut(stream: &[u8], piece: usize, max: usize) -> Vec<Owned> {
        let mut reader = LineReader::new(max);
        let mut lines = Vec::new();
        for mut piece in stream.chunks(piece) {
            while !piece.is_empty() {
                let (taken, line) = reader.read(piece);
                match line {
                    Some(Line::Whole { text, end }) => lines.push(Some((text.to_vec(), end))),
                    Some(Line::TooLong(_)) => lines.push(None),
                    None => {}
                }
                piece = &piece[taken..];
            }
            assert!(reader.unfinished().len() < max);
        }
        lines
    }

    /// The slow obvious reading.
    fn obvious(stream: &[u8], max: usize) -> Vec<Owned> {
        stream
            .split_inclusive(|&octet| octet == b'\n')
            .filter(|line| line.ends_with(b"\n"))
            .map(|line| match line {
                line if line.len() > max => None,
                [text @ .., b'\r', b'\n'] => Some((text.to_vec(), LineEnd::CrLf)),
                line => Some((line[..line.len() - 1].to_vec(), LineEnd::BareLf)),
            })
            .collect()
    }

    #[test]
    fn a_line_above_the_limit_is_reported_once_and_the_next_is_read() {
        let lines = cut(b"aaaaaaaaaaaaaaaaaaaaaaaaa\r\nNOOP\r\n", 3, 8);
        assert_eq!(lines, vec![None, Some((b"NOOP".to_vec(), LineEnd::CrLf))]);
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            stream in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'a'), any::<u8>()], 0..200),
            piece in 1usize..30,
            max in 2usize..20,
        ) {
            prop_assert_eq!(cut(&stream, piece, max), obvious(&stream, max));
        }
    }
}
