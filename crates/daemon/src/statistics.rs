//! sendmail's statistics (`StatusFile`): how many messages came and went by each mailer, since when.
//!
//! The file is a C structure of the host's own integers, of 64 bits where C says `long`: a magic number, the version, the time it
//! was begun, its size, three counts of connections, then seven counts for each of 25 mailers. It counts only where it is there:
//! who wants statistics makes an empty file. The queue adds what it saw; `mailstats` shows it, and begins it anew.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Mailers that are counted; the numbers of a configuration's `M` lines.
pub const MAILERS_MAX: usize = 25;

/// What the file begins with.
const MAGIC: i32 = 0x1_b1de;

/// The version of its form.
const VERSION: i32 = 4;

/// Counts of one mailer.
const COUNTS: usize = 7;

/// Octets before the counts of mailers, and of one count.
const HEAD_BYTES: usize = 48;
const COUNT_BYTES: usize = 8;

/// Octets of the whole.
const BYTES: usize = HEAD_BYTES + COUNTS * MAILERS_MAX * COUNT_BYTES;

/// What is counted of a mailer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages from it, ...
    pub from: i64,
    /// ... and their size, in units of 1024 octets.
    pub from_kib: i64,
    /// Messages to it, ...
    pub to: i64,
    /// ... and their size, in units of 1024 octets.
    pub to_kib: i64,
    /// Messages that it refused.
    pub rejected: i64,
    /// Messages that were thrown away.
    pub discarded: i64,
    /// Messages that were kept back.
    pub quarantined: i64,
}

impl Counts {
    const NONE: Self =
        Self { from: 0, from_kib: 0, to: 0, to_kib: 0, rejected: 0, discarded: 0, quarantined: 0 };

    /// In the order of the file.
    fn all(&mut self) -> [&mut i64; COUNTS] {
        [
            &mut self.from,
            &mut self.from_kib,
            &mut self.to,
            &mut self.to_kib,
            &mut self.rejected,
            &mut self.discarded,
            &mut self.quarantined,
        ]
    }

    /// Adds others.
    pub fn add(&mut self, other: Self) {
        let mut other = other;
        for (own, more) in self.all().into_iter().zip(other.all()) {
            *own = own.saturating_add(*more);
        }
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::NONE
    }
}

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistics {
    /// Since when, in seconds since 1970.
    pub since_s: i64,
    /// Connections from others, to others, and refused.
    pub connections: [i64; 3],
    /// By the numbers of mailers.
    pub mailers: [Counts; MAILERS_MAX],
}

impl Statistics {
    /// Nothing, since this time.
    #[must_use]
    pub const fn since(since_s: i64) -> Self {
        Self { since_s, connections: [0; 3], mailers: [Counts::NONE; MAILERS_MAX] }
    }

    /// Reads the file; one that is empty, or of another form, counts from now on.
    ///
    /// # Errors
    /// The system's.
    pub fn read(file: &File) -> io::Result<Self> {
        let mut octets = [0; BYTES];
        let now_s = i64::try_from(sys::clock::realtime_s()).unwrap_or(i64::MAX);
        match file.read_exact_at(&mut octets, 0) {
            Ok(()) => Ok(Self::decode(&octets).unwrap_or(Self::since(now_s))),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Self::since(now_s)),
            Err(error) => Err(error),
        }
    }

    /// Writes the file.
    ///
    /// # Errors
    /// The system's.
    pub fn write(&self, file: &File) -> io::Result<()> {
        file.write_all_at(&self.encode(), 0)
    }

    fn encode(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(BYTES);
        octets.extend_from_slice(&MAGIC.to_ne_bytes());
        octets.extend_from_slice(&VERSION.to_ne_bytes());
        octets.extend_from_slice(&self.since_s.to_ne_bytes());
        let size = u16::try_from(BYTES).unwrap_or(u16::MAX);
        octets.extend_from_slice(&size.to_ne_bytes());
        // As C aligns it.
        octets.extend_from_slice(&[0; 6]);
        for count in self.connections {
            octets.extend_from_slice(&count.to_ne_bytes());
        }
        let mut mailers = self.mailers;
        for place in 0..COUNTS {
            for counts in &mut mailers {
                let count = counts.all().into_iter().nth(place).map_or(0, |count| *count);
                octets.extend_from_slice(&count.to_ne_bytes());
            }
        }
        octets
    }

    fn decode(octets: &[u8; BYTES]) -> Option<Self> {
        let (head, rest) = octets.split_at_checked(HEAD_BYTES)?;
        let (magic, head) = head.split_first_chunk::<4>()?;
        let (version, head) = head.split_first_chunk::<4>()?;
        let (since, head) = head.split_first_chunk::<8>()?;
        if i32::from_ne_bytes(*magic) != MAGIC || i32::from_ne_bytes(*version) != VERSION {
            return None;
        }
        let mut statistics = Self::since(i64::from_ne_bytes(*since));
        let mut numbers = head.get(COUNT_BYTES..)?.chunks_exact(COUNT_BYTES).map(number);
        for count in &mut statistics.connections {
            *count = numbers.next()?;
        }
        let mut numbers = rest.chunks_exact(COUNT_BYTES).map(number);
        for place in 0..COUNTS {
            for counts in &mut statistics.mailers {
                if let Some(count) = counts.all().into_iter().nth(place) {
                    *count = numbers.next()?;
                }
            }
        }
        Some(statistics)
    }
}

fn number(octets: &[u8]) -> i64 {
    octets.try_into().map_or(0, i64::from_ne_bytes)
}

/// A size as it is counted: each begun unit of 1024 octets.
#[must_use]
pub fn kib(bytes: u64) -> i64 {
    i64::try_from(bytes.div_ceil(1024)).unwrap_or(i64::MAX)
}

/// Counts that are not in the file yet.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    file: Option<File>,
    pending: Vec<(usize, Counts)>,
}

impl Tally {
    /// Counts into this file.
    pub(crate) fn new(file: Option<File>) -> Self {
        Self { file, pending: Vec::new() }
    }

    /// Adds to the counts of a mailer; those of numbers above [`MAILERS_MAX`] are nobody's.
    pub(crate) fn add(&mut self, mailer: usize, counts: Counts) {
        if self.file.is_none() || mailer >= MAILERS_MAX {
            return;
        }
        match self.pending.iter_mut().find(|(known, _)| *known == mailer) {
            Some((_, known)) => known.add(counts),
            None => self.pending.push((mailer, counts)),
        }
    }

    /// Adds what was counted to the file: somebody may have begun it anew meanwhile.
    pub(crate) fn save(&mut self) -> io::Result<()> {
        let Some(file) = self.file.as_ref().filter(|_| !self.pending.is_empty()) else {
            return Ok(());
        };
        let mut statistics = Statistics::read(file)?;
        for (mailer, counts) in self.pending.drain(..) {
            if let Some(known) = statistics.mailers.get_mut(mailer) {
                known.add(counts);
            }
        }
        statistics.write(file)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop")]

    use super::*;

    #[test]
    fn what_was_counted_is_added_to_what_the_file_has() {
        let file = tempfile::tempfile().unwrap();
        let one = Counts { to: 1, to_kib: kib(1025), ..Counts::default() };
        for _ in 0..2 {
            let mut tally = Tally::new(Some(file.try_clone().unwrap()));
            tally.add(3, one);
            tally.add(24, Counts { discarded: 1, ..Counts::default() });
            tally.add(MAILERS_MAX, one);
            tally.save().unwrap();
        }
        let read = Statistics::read(&file).unwrap();
        let [_, _, _, third, .., last] = read.mailers;
        assert_eq!((third.to, third.to_kib, last.discarded), (2, 4, 2));
        assert_eq!(read.mailers.iter().filter(|counts| !counts.is_zero()).count(), 2);
    }

    #[test]
    fn the_file_has_the_form_of_the_c_structure() {
        let mut statistics = Statistics::since(7);
        statistics.connections = [1, 2, 3];
        let octets = statistics.encode();
        assert_eq!(octets.len(), 1448);
        assert_eq!(octets.get(..4).unwrap(), 0x1_b1de_i32.to_ne_bytes());
        assert_eq!(octets.get(40..48).unwrap(), 3_i64.to_ne_bytes());
        let octets: [u8; BYTES] = octets.try_into().unwrap();
        assert_eq!(Statistics::decode(&octets), Some(statistics));
    }

    #[test]
    fn a_file_of_another_form_is_begun_anew() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[b'x'; 4000], 0).unwrap();
        assert!(Statistics::read(&file).unwrap().mailers.iter().all(Counts::is_zero));
    }
}
