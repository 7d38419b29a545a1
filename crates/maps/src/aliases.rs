//! Text alias files as a map: read whole, read again when the file changes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use wire::alias::{Entries, EntryFault, Member};

use crate::file_watch::Stamp;
use crate::text::read_bounded;

/// The largest alias file, in bytes.
pub const FILE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Something in an alias file that does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// An entry that can't be read; the others stay good.
    #[error("line {line}: {fault}")]
    Entry {
        /// The line on which it begins.
        line: u32,
        /// What is wrong.
        fault: EntryFault,
    },
    /// A name that stood there before; the first stays.
    #[error("line {line}: duplicate alias name {}", String::from_utf8_lossy(.name))]
    Duplicate {
        /// The line of the second.
        line: u32,
        /// The name.
        name: Box<[u8]>,
    },
    /// The file can't be read, or is larger than [`FILE_BYTES_MAX`].
    #[error("cannot be read")]
    Unreadable,
}

/// The aliases of one file.
#[derive(Debug, Default)]
pub struct Aliases {
    entries: HashMap<Box<[u8]>, Vec<Member>>,
    file: Option<(PathBuf, Option<Stamp>)>,
}

impl Aliases {
    /// Reads a file; what can't be read in it is reported and left out.
    #[must_use]
    pub fn load(path: &Path) -> (Self, Vec<Problem>) {
        let mut aliases = Self { entries: HashMap::new(), file: Some((path.to_path_buf(), None)) };
        let problems = aliases.read_again(path);
        (aliases, problems)
    }

    /// Reads the text of such a file.
    #[must_use]
    pub fn from_bytes(text: &[u8]) -> (Self, Vec<Problem>) {
        let mut entries: HashMap<Box<[u8]>, Vec<Member>> = HashMap::new();
        let mut problems = Vec::new();
        for entry in Entries::new(text) {
            match entry {
                Ok(entry) if entries.contains_key(&entry.name) => {
                    problems.push(Problem::Duplicate { line: entry.line, name: entry.name });
                }
                Ok(entry) => {
                    entries.insert(entry.name, entry.members);
                }
                Err((line, fault)) => problems.push(Problem::Entry { line, fault }),
            }
        }
        (Self { entries, file: None }, problems)
    }

    fn read_again(&mut self, path: &Path) -> Vec<Problem> {
        match read_bounded(path) {
            Some((text, stamp)) if text.len() <= FILE_BYTES_MAX => {
                let (read, problems) = Self::from_bytes(&text);
                self.entries = read.entries;
                self.file = Some((path.to_path_buf(), Some(stamp)));
                problems
            }
            _ => vec![Problem::Unreadable],
        }
    }

    /// Reads the file again if it changed; `None` if it did not. A file that can't be read leaves what was there.
    pub fn refresh(&mut self) -> Option<Vec<Problem>> {
        let (path, then) = self.file.as_ref()?;
        let now = Stamp::at(path);
        if now == *then || now.is_none() {
            return None;
        }
        let path = path.clone();
        Some(self.read_again(&path))
    }

    /// Whom a name stands for; names are the same in any (ASCII) letters.
    #[must_use]
    pub fn lookup(&self, name: &[u8]) -> Option<&[Member]> {
        self.entries.get(name.to_ascii_lowercase().as_slice()).map(Vec::as_slice)
    }

    /// How many names there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_read_again_and_a_lost_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aliases");
        std::fs::write(&path, "Root: alice\nbad line\nroot: bob\n").unwrap();
        let (mut aliases, problems) = Aliases::load(&path);
        assert_eq!(problems.len(), 2);
        assert_eq!(aliases.lookup(b"ROOT"), Some(&[Member::Address((*b"alice").into())][..]));
        assert_eq!(aliases.refresh(), None);
        std::fs::write(&path, "root: carol, dave\n").unwrap();
        assert_eq!(aliases.refresh(), Some(Vec::new()));
        assert_eq!(aliases.lookup(b"root").map(<[_]>::len), Some(2));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(aliases.refresh(), None);
        assert_eq!(aliases.len(), 1);
    }
}
