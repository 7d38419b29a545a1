//! Class `implicit` without a database: the text of the alias file, whole in memory with an index of its names, read again when it changes.

use std::path::PathBuf;

use policy_cf::Answer;

use crate::door::Door;
use crate::file_watch::Stamp;
use crate::newaliases::{Entries, What, local_name};
use crate::table::path_of;
use crate::text::read_bounded_of;

/// A text alias file, and where in it each name is: of 2,000,000 aliases the places are 16 MiB beside the text.
#[derive(Debug)]
pub(crate) struct AliasText {
    door: Door,
    path: PathBuf,
    stamp: Stamp,
    text: Vec<u8>,
    /// Sums of names and the places of their entries, in this order.
    places: Vec<(u32, u32)>,
}

impl AliasText {
    /// Reads a file; `None` if it can't be.
    pub(crate) fn open(file: &[u8], door: &Door) -> Option<Self> {
        let path = path_of(file);
        let (text, stamp) = read_bounded_of(door.file(&path).ok()?)?;
        let mut places = Vec::new();
        let mut entries = Entries::new(&text);
        loop {
            let place = u32::try_from(entries.place(&text)).ok()?;
            let Some(entry) = entries.next() else { break };
            if let What::Alias { name, value, .. } = entry.what
                && !value.trim_ascii().is_empty()
            {
                places.push((sum(&local_name(&name)), place));
            }
        }
        places.sort_unstable();
        Some(Self { door: door.clone(), path, stamp, text, places })
    }

    /// What the last entry of this name says.
    fn value(&self, name: &[u8]) -> Option<Vec<u8>> {
        let sum = sum(name);
        let end = self.places.partition_point(|(known, _)| *known <= sum);
        let same = self.places.get(..end)?.iter().rev().take_while(|(known, _)| *known == sum);
        let mut values = same.filter_map(|(_, place)| {
            let text = self.text.get(usize::try_from(*place).ok()?..)?;
            // In front of an entry may stand lines that are none.
            Entries::new(text).find_map(|entry| match entry.what {
                What::Alias { name, value, .. } => Some((local_name(&name), value)),
                What::Wrong(_) => None,
            })
        });
        values.find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Looks a name up; a changed file is read again first, one that is gone leaves what was there.
    pub(crate) fn lookup(&mut self, name: &[u8]) -> Answer {
        let now = Stamp::at(&self.path);
        if now.is_some_and(|now| now != self.stamp)
            && let Some(new) = Self::open(self.path.as_os_str().as_encoded_bytes(), &self.door)
        {
            *self = new;
        }
        self.value(&name.to_ascii_lowercase()).map_or(Answer::NotFound(0), Answer::Found)
    }
}

/// A sum of a name (FNV-1a): names of one sum are told apart by their entries.
fn sum(name: &[u8]) -> u32 {
    name.iter().fold(0x811c_9dc5, |sum, &octet| (sum ^ u32::from(octet)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_entry_of_a_name_counts_whatever_stands_between() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = b"one: a\n# two: no\n stray\n more stray\nTwo: b,\n\tc\nempty:\n\n\"one\": d\nno entry\nlast: e";
        std::fs::write(file.path(), text).unwrap();
        let path = file.path().as_os_str().as_encoded_bytes();
        let mut aliases = AliasText::open(path, &Door::default()).unwrap();
        let mut said = |name: &[u8]| match aliases.lookup(name) {
            Answer::Found(value) => String::from_utf8(value).unwrap(),
            Answer::NotFound(_) | Answer::TempFail(_) => String::new(),
        };
        assert_eq!(said(b"ONE"), "d");
        assert_eq!(said(b"two"), "b,\tc");
        assert_eq!(said(b"last"), "e");
        assert_eq!([said(b"empty"), said(b"stray"), said(b"no entry"), said(b"x")], [""; 4]);
    }

    #[test]
    fn names_of_one_sum_are_two() {
        // Found by search.
        let (one, other) = collision();
        assert_eq!((sum(&one), one != other), (sum(&other), true));
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = [one.as_slice(), b": first\n", &other, b": second\n"].concat();
        std::fs::write(file.path(), text).unwrap();
        let path = file.path().as_os_str().as_encoded_bytes();
        let aliases = AliasText::open(path, &Door::default()).unwrap();
        assert_eq!(aliases.value(&one).unwrap(), b"first");
        assert_eq!(aliases.value(&other).unwrap(), b"second");
    }

    fn collision() -> (Vec<u8>, Vec<u8>) {
        let mut seen = std::collections::HashMap::new();
        let names = (0..1_000_000_u32).map(|number| format!("n{number}").into_bytes());
        for name in names {
            if let Some(other) = seen.insert(sum(&name), name.clone()) {
                return (other, name);
            }
        }
        panic!("there is one");
    }
}
