//! Whether others may have written a file: sendmail's checks of maps (manual, `DontBlameSendmail`).
//!
//! The file is a regular one that only its owner may write, without a link, and no folder above it may
//! be written by group or world (a sticky bit does not help).

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What is not safe, in sendmail's words.
pub(crate) const GROUP_FOLDER: &str = "Group writable directory";
const WORLD_FOLDER: &str = "World writable directory";
const GROUP_FILE: &str = "Group writable file";
const WORLD_FILE: &str = "World writable file";
const NOT_REGULAR: &str = "Not a regular file";
const SYMBOLIC_LINK: &str = "Symbolic links not allowed";
const HARD_LINK: &str = "Hard links not allowed";

/// Checks a map that is about to be written or read.
///
/// # Errors
/// sendmail's text, or the system's.
pub(crate) fn check(path: &Path, is_written: bool) -> Result<(), String> {
    check_folders(path)?;
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if is_written && error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(sys::error_words(&error)),
    };
    if metadata.is_symlink() && is_written {
        return Err(SYMBOLIC_LINK.into());
    }
    let metadata = std::fs::metadata(path).map_err(|error| sys::error_words(&error))?;
    if !metadata.is_file() {
        return Err(NOT_REGULAR.into());
    }
    if is_written && metadata.nlink() > 1 {
        return Err(HARD_LINK.into());
    }
    match metadata.mode() {
        mode if mode & 0o002 != 0 => Err(WORLD_FILE.into()),
        mode if mode & 0o020 != 0 => Err(GROUP_FILE.into()),
        _ => Ok(()),
    }
}

fn check_folders(path: &Path) -> Result<(), String> {
    let path = if path.is_absolute() {
        path.to_path_buf()
    } else {
        std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")).join(path)
    };
    for folder in path.ancestors().skip(1) {
        let metadata = std::fs::metadata(folder).map_err(|error| sys::error_words(&error))?;
        match metadata.mode() {
            mode if mode & 0o002 != 0 => return Err(WORLD_FOLDER.into()),
            mode if mode & 0o020 != 0 => return Err(GROUP_FOLDER.into()),
            _ => {}
        }
    }
    Ok(())
}
