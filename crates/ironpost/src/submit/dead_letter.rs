//! `dead.letter`: a message that can't be sent stays in its sender's home, at the end of the file, as in a mailbox.
//!
//! It is written with the caller's rights only, never with those of the user it belongs to, and only where nobody but root and
//! the caller can have put something else in the file's place: root's letter does not follow a user's link.

use rustix::fs::{FileType, Mode, OFlags};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The name of the file.
const NAME: &str = "dead.letter";
/// Group or others may write.
const OTHERS_WRITE: u32 = 0o022;

/// Whether a message can be left in a home.
pub(super) fn may_save(home: &[u8]) -> bool {
    let home = Path::new(OsStr::from_bytes(home));
    if !home.is_absolute() || !home.ancestors().all(is_ours) {
        return false;
    }
    match std::fs::symlink_metadata(home.join(NAME)) {
        Ok(facts) => facts.is_file() && facts.nlink() == 1 && facts.uid() == sys::user::real_uid(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Leaves a message in a home; gives the file's path.
///
/// # Errors
/// The home or the file is not ours alone, or it can't be written.
pub(super) fn save(home: &[u8], sender: &[u8], text: &[&[u8]]) -> io::Result<PathBuf> {
    if !may_save(home) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let path = Path::new(OsStr::from_bytes(home)).join(NAME);
    let flags = OFlags::WRONLY
        | OFlags::APPEND
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::CLOEXEC;
    let file = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR)?;
    let facts = rustix::fs::fstat(&file)?;
    let is_plain = FileType::from_raw_mode(facts.st_mode) == FileType::RegularFile;
    if !is_plain || facts.st_nlink != 1 || facts.st_uid != sys::user::real_uid() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut octets = [b"From ", sender, b" ", from_line_date().as_bytes(), b"\n"].concat();
    for line in text.iter().flat_map(|part| part.split_inclusive(|&octet| octet == b'\n')) {
        if line.starts_with(b"From ") {
            octets.push(b'>');
        }
        octets.extend_from_slice(line.strip_suffix(b"\r\n").unwrap_or(line));
        octets.push(b'\n');
    }
    octets.push(b'\n');
    let mut file = File::from(file);
    file.write_all(&octets)?;
    file.sync_all()?;
    Ok(path)
}

/// Whether nobody but root and the caller can change what is in a folder.
fn is_ours(folder: &Path) -> bool {
    std::fs::symlink_metadata(folder).is_ok_and(|facts| {
        facts.is_dir()
            && [0, sys::user::real_uid()].contains(&facts.uid())
            && facts.mode() & OTHERS_WRITE == 0
    })
}

/// Now, as a From_ line has it: `Sat Nov 21 07:36:33 2026`.
fn from_line_date() -> String {
    let date = daemon::now().to_string();
    let mut words = date.split([' ', ',']).filter(|word| !word.is_empty());
    let mut next = || words.next().unwrap_or_default();
    let (weekday, day, month, year, time) = (next(), next(), next(), next(), next());
    format!("{weekday} {month} {day:>2} {time} {year}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_others_may_write_gets_no_letter() {
        // Temporary folders lie below one that everybody may write.
        let folder = tempfile::TempDir::new_in("/tmp").unwrap();
        let home = folder.path().as_os_str().as_bytes();
        let error = save(home, b"anna", &[b"To: x\r\n"]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(!folder.path().join(NAME).exists());
    }

    #[test]
    fn a_home_that_is_no_absolute_path_gets_no_letter() {
        assert!(save(b"", b"anna", &[]).is_err());
        assert!(save(b"home", b"anna", &[]).is_err());
    }

    #[test]
    fn the_date_of_a_mailbox_has_its_columns() {
        assert_eq!(from_line_date().len(), 24);
    }
}
