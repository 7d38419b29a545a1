//! The folders of sendmail's queue: where control files lie, and what belongs to each.
//!
//! A file is taken only if nobody but its owner can have written it, and while nobody has it locked: a sendmail that still
//! runs keeps what it is at.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Control files that are taken at once; those behind them are taken the next time.
const FILES_MAX: usize = 100_000;

/// Folders of a queue that are looked into.
const FOLDERS_MAX: usize = 1000;

/// Octets of a control file.
const CONTROL_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Octets of a message's text; what is longer stays where it is.
const DATA_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Our own folder in the queue directory.
const OURS: &str = "ironpost";

/// Bits of a file's mode that let others write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Where a control file lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Its folder.
    pub(super) folder: PathBuf,
    /// Where its data file lies, if nothing else is said.
    data: PathBuf,
    /// What stands behind `qf` or `hf`.
    pub(super) id: String,
    /// Whether it is kept back (`hf`).
    pub(super) is_held: bool,
}

/// Why a file is left where it is.
#[derive(Debug)]
pub(super) enum Left {
    /// Somebody works on it.
    Locked,
    /// Others could have written it.
    Unsafe,
    /// The system says no.
    System(io::Error),
}

impl From<io::Error> for Left {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// A control file that nobody else can take.
#[derive(Debug)]
pub(super) struct Taken {
    /// What it holds.
    pub(super) octets: Vec<u8>,
    /// Whether it is root's.
    pub(super) is_roots: bool,
    _lock: File,
}

/// All control files of a queue directory, and of the folders in it.
pub(super) fn find(base: &Path) -> Vec<Place> {
    let mut found = Vec::new();
    let mut folders = vec![base.to_path_buf()];
    folders.extend(folders_of(base));
    for folder in folders {
        gather(&folder, &folder, &mut found);
        gather(&folder.join("qf"), &folder.join("df"), &mut found);
    }
    found.sort_by(|one, other| one.id.cmp(&other.id));
    found
}

fn folders_of(base: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(base) else { return Vec::new() };
    let is_queue = |name: &OsString| {
        ![OURS, "qf", "df", "xf"].iter().any(|known| name.as_bytes() == known.as_bytes())
    };
    let folders = entries.flatten().filter(|entry| {
        entry.file_type().is_ok_and(|kind| kind.is_dir()) && is_queue(&entry.file_name())
    });
    folders.take(FOLDERS_MAX).map(|entry| entry.path()).collect()
}

fn gather(folder: &Path, data: &Path, found: &mut Vec<Place>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let (id, is_held) = match (name.strip_prefix("qf"), name.strip_prefix("hf")) {
            (Some(id), _) => (id, false),
            (None, Some(id)) => (id, true),
            (None, None) => continue,
        };
        let is_id = id.len() > 6 && id.bytes().all(|octet| octet.is_ascii_alphanumeric());
        if is_id && found.len() < FILES_MAX {
            let (folder, data) = (folder.to_path_buf(), data.to_path_buf());
            found.push(Place { folder, data, id: id.to_owned(), is_held });
        }
    }
}

impl Place {
    /// The control file's name.
    pub(super) fn name(&self) -> String {
        format!("{}{}", if self.is_held { "hf" } else { "qf" }, self.id)
    }

    fn control(&self) -> PathBuf {
        self.folder.join(self.name())
    }

    fn data(&self, folder: Option<&Path>) -> PathBuf {
        folder.unwrap_or(&self.data).join(format!("df{}", self.id))
    }

    /// Takes the control file: nobody else has it as long as the answer lives. `None`: it is gone.
    ///
    /// # Errors
    /// [`Left`].
    pub(super) fn take(&self) -> Result<Option<Taken>, Left> {
        let mut options = OpenOptions::new();
        // A lock of the other kind wants a file that is open for writing.
        let opened =
            options.read(true).write(true).custom_flags(sys::disk::NO_LINK).open(self.control());
        let mut file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        if !sys::lock::flock(&file)? || !sys::lock::record(&file)? {
            return Err(Left::Locked);
        }
        let facts = file.metadata()?;
        if !facts.is_file() || facts.nlink() != 1 || facts.mode() & WRITABLE_BY_OTHERS != 0 {
            return Err(Left::Unsafe);
        }
        let mut octets = Vec::new();
        file.by_ref().take(CONTROL_BYTES_MAX).read_to_end(&mut octets)?;
        Ok(Some(Taken { octets, is_roots: facts.uid() == 0, _lock: file }))
    }

    /// Only looks at the control file.
    pub(super) fn look(&self) -> Option<Vec<u8>> {
        let mut options = OpenOptions::new();
        let file = options.read(true).custom_flags(sys::disk::NO_LINK).open(self.control()).ok()?;
        let mut octets = Vec::new();
        file.take(CONTROL_BYTES_MAX).read_to_end(&mut octets).ok()?;
        Some(octets)
    }

    /// Octets of the data file.
    pub(super) fn data_bytes(&self, folder: Option<&Path>) -> u64 {
        std::fs::metadata(self.data(folder)).map_or(0, |facts| facts.len())
    }

    /// The text, line ends CR LF. A message without a data file has none.
    ///
    /// # Errors
    /// The file can't be read, or is too long.
    pub(super) fn text(&self, folder: Option<&Path>) -> io::Result<Vec<u8>> {
        let mut options = OpenOptions::new();
        let opened = options.read(true).custom_flags(sys::disk::NO_LINK).open(self.data(folder));
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened?,
        };
        if file.metadata()?.len() > DATA_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut octets = Vec::new();
        file.take(DATA_BYTES_MAX).read_to_end(&mut octets)?;
        Ok(with_crlf(&octets))
    }

    /// Removes both files: the control file first, so that no message is without its text.
    pub(super) fn remove(&self, folder: Option<&Path>) {
        if std::fs::remove_file(self.control()).is_ok() {
            // Left behind, it belongs to nothing and nobody reads it.
            std::fs::remove_file(self.data(folder)).ok();
        }
    }

    /// Puts the control file aside (`Qf`), as sendmail does with what it can't read.
    pub(super) fn put_aside(&self) {
        std::fs::rename(self.control(), self.folder.join(format!("Qf{}", self.id))).ok();
    }
}

/// Lines end with CR LF, and nothing else does.
fn with_crlf(octets: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(octets.len().saturating_add(octets.len() / 32));
    for line in octets.split_inclusive(|&octet| octet == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        text.extend(line.iter().filter(|&&octet| octet != b'\r'));
        text.extend_from_slice(b"\r\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    fn queue() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().to_path_buf();
        (folder, base)
    }

    fn put(base: &Path, name: &str, text: &str) {
        let path = base.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }

    #[test]
    fn control_files_are_found_in_all_folders_but_ours() {
        let (_folder, base) = queue();
        for name in ["qfA000001", "hfA000002", "q1/qfA000003", "q2/qf/qfA000004"] {
            put(&base, name, "");
        }
        for name in ["ironpost/qfB000001", "dfA000001", "Qfx000001", "qf.x", "tfA000001"] {
            put(&base, name, "");
        }
        let found: Vec<String> = find(&base).iter().map(Place::name).collect();
        assert_eq!(found, ["qfA000001", "hfA000002", "qfA000003", "qfA000004"]);
    }

    #[test]
    fn what_is_locked_or_open_to_others_is_left() {
        let (_folder, base) = queue();
        put(&base, "qfA000001", "V8\n.\n");
        let place = find(&base).remove(0);
        let taken = place.take().unwrap().unwrap();
        assert!(matches!(place.take(), Err(Left::Locked)));
        drop(taken);
        let path = base.join("qfA000001");
        std::fs::set_permissions(path, Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(place.take(), Err(Left::Unsafe)));
    }

    #[test]
    fn the_text_gets_the_line_ends_of_mail() {
        let (_folder, base) = queue();
        put(&base, "qf/qfA000001", "");
        put(&base, "df/dfA000001", "one\ntwo\r\nth\rree");
        let place = find(&base).remove(0);
        assert_eq!(place.text(None).unwrap(), b"one\r\ntwo\r\nthree\r\n");
        place.remove(None);
        assert!(find(&base).is_empty() && !base.join("df/dfA000001").exists());
    }
}
