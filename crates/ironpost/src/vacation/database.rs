//! Who was answered when: a Berkeley DB hash file, address to `time_t`, as sendmail's `vacation` keeps it.
//!
//! The whole file is read, changed and put in place of the old one in one step, under a lock: two messages at once never
//! leave half a file. The interval between two answers is an entry of its own.

use maps::bdb::build::{Build, IfThere, PAGE_BYTES, Put};
use maps::bdb::{Database as Tables, Kind};
use maps::replace::{replace, unique_id};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The time of those who never get an answer, and the interval that means once and never again.
pub(super) const FOREVER: i64 = 0;

/// The entry of the interval; its C string ends with a NUL, which counts.
const INTERVAL_KEY: &[u8] = b"__VACATION__INTERVAL__TIMER__\0";

/// Between two answers to a sender, unless the database says otherwise: a week.
const INTERVAL_S: i64 = 7 * 86_400;

/// Entries; who comes later is not noted, and so not answered.
const ENTRIES_MAX: usize = 200_000;

/// How often, and how far apart, the lock is tried.
const LOCK_TRIES_MAX: u32 = 600;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// What stands in the file, and the file.
#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    /// Held for its lock.
    _locked: File,
    entries: Vec<(Box<[u8]>, i64)>,
    is_changed: bool,
}

/// The file of a database.
pub(super) fn with_suffix(path: PathBuf) -> PathBuf {
    if path.extension().is_some_and(|suffix| suffix == "db") {
        return path;
    }
    let mut name = OsString::from(path);
    name.push(".db");
    name.into()
}

impl Database {
    /// Opens it, or makes an empty one; `is_new`: what is in it goes.
    ///
    /// # Errors
    /// In words.
    pub(super) fn open(path: &Path, is_new: bool) -> Result<Self, String> {
        let locked = locked(path).map_err(|error| words(&error))?;
        let is_empty = locked.metadata().map_err(|error| words(&error))?.len() == 0;
        let mut database = Self {
            path: path.to_owned(),
            _locked: locked,
            entries: Vec::new(),
            is_changed: is_new || is_empty,
        };
        if !is_new && !is_empty {
            database.load()?;
        }
        Ok(database)
    }

    fn load(&mut self) -> Result<(), String> {
        let mut tables = Tables::open(&self.path).map_err(|error| error.to_string())?;
        let entries = &mut self.entries;
        let walked = tables.each(&mut |key, value| {
            if let Ok(time) = <[u8; 8]>::try_from(value)
                && entries.len() < ENTRIES_MAX
            {
                entries.push((key.into(), i64::from_ne_bytes(time)));
            }
            ControlFlow::Continue(())
        });
        walked.map_err(|error| error.to_string())
    }

    fn time_of(&self, key: &[u8]) -> Option<i64> {
        self.entries.iter().find(|(name, _)| &**name == key).map(|&(_, time)| time)
    }

    /// Whether a sender is not to be answered now.
    pub(super) fn was_answered(&self, sender: &[u8], now_s: i64) -> bool {
        if self.entries.len() >= ENTRIES_MAX {
            return true;
        }
        let interval_s = self.time_of(INTERVAL_KEY).unwrap_or(INTERVAL_S);
        let domain =
            sender.iter().rposition(|&octet| octet == b'@').and_then(|at| sender.get(at..));
        let lower = sender.to_ascii_lowercase();
        let lower_domain = domain.map(<[u8]>::to_ascii_lowercase);
        let names = [Some(sender), domain, Some(&*lower), lower_domain.as_deref()];
        names.into_iter().flatten().filter_map(|name| self.time_of(name)).any(|then_s| {
            interval_s == FOREVER || then_s == FOREVER || then_s.saturating_add(interval_s) > now_s
        })
    }

    /// Notes when somebody was answered.
    pub(super) fn note(&mut self, name: &[u8], time_s: i64) {
        self.is_changed = true;
        let has_room = self.entries.len() < ENTRIES_MAX;
        match self.entries.iter_mut().find(|(known, _)| &**known == name) {
            Some((_, time)) => *time = time_s,
            None if has_room => self.entries.push((name.into(), time_s)),
            None => {}
        }
    }

    /// Sets how long a sender gets no second answer, in seconds.
    pub(super) fn set_interval(&mut self, interval_s: i64) {
        self.note(INTERVAL_KEY, interval_s);
    }

    /// Everybody in it, a line each, as `-l` prints it.
    pub(super) fn listing(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let is_interval =
            |name: &[u8]| INTERVAL_KEY.strip_suffix(b"\0").is_some_and(|key| name.starts_with(key));
        for (name, time) in self.entries.iter().filter(|(name, _)| !is_interval(name)) {
            let shown = wire::escape::text(name).to_string();
            let when = match u64::try_from(*time) {
                Ok(0) | Err(_) => "(exclusion)".to_owned(),
                Ok(time) => {
                    deliver::Moment { unix_s: time, offset_s: daemon::now().offset_s }.asctime()
                }
            };
            out.extend_from_slice(format!("{shown:<40} {when:<10}\n").as_bytes());
        }
        out
    }

    /// Puts what changed on the disk.
    ///
    /// # Errors
    /// In words.
    pub(super) fn keep(&mut self) -> Result<(), String> {
        if !std::mem::take(&mut self.is_changed) {
            return Ok(());
        }
        let mut build = Build::new(Kind::Hash, PAGE_BYTES, false);
        for (name, time) in &self.entries {
            // What is too long for the file is not noted.
            let _put: Put = build.put(name, &time.to_ne_bytes(), IfThere::Replace);
        }
        let octets = build.into_bytes(unique_id()).map_err(|error| error.to_string())?;
        replace(&self.path, &octets, None).map_err(|error| words(&error))
    }
}

fn words(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::NotFound {
        // sendmail's words for a file that can't be there.
        return "Unknown database type".into();
    }
    sys::error_words(error)
}

/// The file, made if it is not there, with our lock on it; it is still the one of this name.
fn locked(path: &Path) -> io::Result<File> {
    for _ in 0..LOCK_TRIES_MAX {
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        if sys::lock::flock(&file)? {
            let (ours, named) = (file.metadata()?, std::fs::metadata(path)?);
            if (ours.dev(), ours.ino()) == (named.dev(), named.ino()) {
                return Ok(file);
            }
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    Err(io::Error::new(io::ErrorKind::WouldBlock, "Resource temporarily unavailable"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_remembered_for_the_interval_and_an_exclusion_for_ever() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = with_suffix(folder.path().join("v"));
        let mut database = Database::open(&path, true).unwrap();
        database.set_interval(100);
        database.note(b"joe@remote.test", 1000);
        database.note(b"@bulk.test", FOREVER);
        database.keep().unwrap();
        drop(database);
        let database = Database::open(&path, false).unwrap();
        assert!(database.was_answered(b"joe@remote.test", 1099));
        assert!(!database.was_answered(b"joe@remote.test", 1100));
        assert!(database.was_answered(b"any@BULK.test", 9999));
        assert!(!database.was_answered(b"jim@remote.test", 1099));
    }

    #[test]
    fn the_interval_is_no_sender() {
        let folder = tempfile::TempDir::new().unwrap();
        let mut database = Database::open(&folder.path().join("v.db"), true).unwrap();
        database.set_interval(100);
        database.note(b"a\x1b@x", FOREVER);
        let listing = String::from_utf8(database.listing()).unwrap();
        assert_eq!(listing, format!("{:<40} (exclusion)\n", "a\\033@x"));
    }
}
