//! Classes `hash`, `btree` and `implicit`: Berkeley DB files, opened again when they change.
//!
//! Keys may stand in the file with a trailing NUL or without: `-N` means with, `-O` without; else both are tried
//! until one is found, which is then kept to.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use policy_cf::{Answer, MapSpec, OpenFailure};

use crate::bdb::{Database, Error};
use crate::door::Door;
use crate::file_watch::Stamp;
use crate::safe_file;

/// How long a file is taken to be as it was seen.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(250);
/// sysexits.h: not now.
const TEMPORARY: u8 = 75;

/// A map of class hash, btree or implicit.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "flags of the K line, each by itself")]
pub(crate) struct Table {
    door: Door,
    path: PathBuf,
    source: PathBuf,
    database: Option<(Database, Stamp)>,
    looked: Instant,
    keeps_case: bool,
    tries_plain: bool,
    tries_nul: bool,
    is_optional: bool,
    is_stale_told: bool,
    /// Room for a key.
    key: Vec<u8>,
    /// The file was looked at, and nobody has compared it with its text source yet.
    is_freshly_seen: bool,
}

impl Table {
    /// Opens the file that a K line names.
    ///
    /// # Errors
    /// sendmail's text for it.
    pub(crate) fn open(spec: &MapSpec, door: &Door) -> Result<Self, OpenFailure> {
        let source = path_of(&spec.rest);
        let path = with_db(&source);
        let mut table = Self {
            door: door.clone(),
            source,
            path,
            database: None,
            looked: Instant::now(),
            keeps_case: spec.keeps_case(),
            tries_plain: !spec.has(b'N') || spec.has(b'O'),
            tries_nul: !spec.has(b'O') || spec.has(b'N'),
            is_optional: spec.is_optional(),
            is_stale_told: false,
            key: Vec::new(),
            is_freshly_seen: true,
        };
        match table.reopen() {
            Ok(()) => Ok(table),
            Err(why) => Err(table.failure(spec, &why)),
        }
    }

    fn failure(&self, spec: &MapSpec, why: &str) -> OpenFailure {
        let is_missing = !self.path.exists();
        let text = if is_missing && self.is_optional {
            Vec::new()
        } else {
            let kind: &[u8] = if is_missing { b"missing" } else { b"unsafe" };
            [
                &*spec.class,
                b" map \"",
                &*spec.name,
                b"\": ",
                kind,
                b" map file ",
                self.path.as_os_str().as_encoded_bytes(),
                b": ",
                why.as_bytes(),
            ]
            .concat()
        };
        OpenFailure { text, class_unknown: false }
    }

    fn reopen(&mut self) -> Result<(), String> {
        self.database = None;
        safe_file::check(&self.path, false)?;
        let file = self.door.file(&self.path).map_err(|error| sys::error_words(&error))?;
        let metadata = file.metadata().map_err(|error| sys::error_words(&error))?;
        let database = Database::from_file(file).map_err(|error| match &error {
            Error::Io(error) => sys::error_words(error),
            Error::NotDatabase | Error::Unsupported(_) | Error::Damaged { .. } => error.to_string(),
        })?;
        self.database = Some((database, Stamp::of(&metadata)));
        Ok(())
    }

    /// Looks a key up; a changed file is opened again first.
    pub(crate) fn lookup(&mut self, key: &[u8]) -> Answer {
        self.look_at_file();
        let Some((database, _)) = &mut self.database else { return Answer::TempFail(TEMPORARY) };
        let room = &mut self.key;
        room.clear();
        room.extend_from_slice(key);
        if !self.keeps_case {
            room.make_ascii_lowercase();
        }
        let mut found = Ok(None);
        if self.tries_plain {
            found = database.lookup(room);
            if matches!(found, Ok(Some(_))) {
                self.tries_nul = false;
            }
        }
        if self.tries_nul && matches!(found, Ok(None)) {
            room.push(0);
            found = database.lookup(room);
            if matches!(found, Ok(Some(_))) {
                self.tries_plain = false;
            }
        }
        match found {
            Ok(Some(mut value)) => {
                if let Some(end) = value.iter().position(|&octet| octet == 0) {
                    value.truncate(end);
                }
                Answer::Found(value)
            }
            Ok(None) => Answer::NotFound(0),
            Err(_) => Answer::TempFail(TEMPORARY),
        }
    }

    fn look_at_file(&mut self) {
        if self.database.is_some() && self.looked.elapsed() < LOOK_AGAIN_AFTER {
            return;
        }
        self.looked = Instant::now();
        self.is_freshly_seen = true;
        let now = Stamp::at(&self.path);
        let is_same = matches!((&self.database, now), (Some((_, then)), Some(now)) if *then == now);
        // While the name is gone for a moment the open file stays good.
        if !is_same && now.is_some() && self.reopen().is_ok() {
            self.is_stale_told = false;
        }
    }

    /// Says, once a state of the file, that its text source is newer.
    pub(crate) fn stale(&mut self) -> Option<Vec<u8>> {
        let (_, stamp) = self.database.as_ref()?;
        if !std::mem::take(&mut self.is_freshly_seen) || self.is_stale_told {
            return None;
        }
        if !stamp.is_older_than(&Stamp::at(&self.source)?) {
            return None;
        }
        self.is_stale_told = true;
        let path = self.path.as_os_str().as_encoded_bytes();
        let source = self.source.as_os_str().as_encoded_bytes();
        Some([b"map ".as_slice(), path, b" is older than ", source].concat())
    }
}

/// A path of the configuration.
pub(crate) fn path_of(octets: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(octets))
}

/// The name with `.db` behind it, if it is not there.
pub(crate) fn with_db(path: &Path) -> PathBuf {
    if path.as_os_str().as_encoded_bytes().ends_with(b".db") {
        return path.to_path_buf();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".db");
    PathBuf::from(name)
}
