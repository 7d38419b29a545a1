//! Class `implicit` without a database: the text of the alias file, whole in memory, read again when it changes.

use std::collections::HashMap;
use std::path::PathBuf;

use policy_cf::Answer;

use crate::door::Door;
use crate::file_watch::Stamp;
use crate::newaliases::{Entries, What, local_name};
use crate::table::path_of;
use crate::text::read_bounded_of;

/// The entries of a text alias file, by name.
#[derive(Debug)]
pub(crate) struct AliasText {
    door: Door,
    path: PathBuf,
    stamp: Stamp,
    entries: HashMap<Vec<u8>, Vec<u8>>,
}

impl AliasText {
    /// Reads a file; `None` if it can't be.
    pub(crate) fn open(file: &[u8], door: &Door) -> Option<Self> {
        let path = path_of(file);
        let (text, stamp) = read_bounded_of(door.file(&path).ok()?)?;
        let mut entries = HashMap::new();
        for entry in Entries::new(&text) {
            if let What::Alias { name, value, .. } = entry.what
                && !value.trim_ascii().is_empty()
            {
                entries.insert(local_name(&name), value);
            }
        }
        Some(Self { door: door.clone(), path, stamp, entries })
    }

    /// Looks a name up; a changed file is read again first, one that is gone leaves what was there.
    pub(crate) fn lookup(&mut self, name: &[u8]) -> Answer {
        let now = Stamp::at(&self.path);
        if now.is_some_and(|now| now != self.stamp)
            && let Some(new) = Self::open(self.path.as_os_str().as_encoded_bytes(), &self.door)
        {
            *self = new;
        }
        match self.entries.get(name.to_ascii_lowercase().as_slice()) {
            Some(value) => Answer::Found(value.clone()),
            None => Answer::NotFound(0),
        }
    }
}
