//! Puts a whole file in the place of another: written beside it, synced, renamed, with owner and mode of the old one.
//! A reader sees the old file or the new one, never a part.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

/// The mode of a map that is new (sendmail's DBMMODE).
const NEW_MODE: u32 = 0o640;

/// Replaces `path` by a file with these octets. `owner`: whose a file is made (by root), else the old one's.
///
/// # Errors
/// The system's; the old file is then as it was.
pub fn replace(path: &Path, octets: &[u8], owner: Option<u32>) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(name);
    drop(fs::remove_file(&beside));
    let written = write(&beside, path, octets, owner).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        drop(fs::remove_file(&beside));
        return written;
    }
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn write(beside: &Path, path: &Path, octets: &[u8], owner: Option<u32>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
    file.write_all(octets)?;
    let (mode, old_owner) = match fs::symlink_metadata(path) {
        Ok(old) => (old.mode() & 0o7777, Some((old.uid(), old.gid()))),
        Err(_) => (NEW_MODE, None),
    };
    if sys::user::effective_uid() == 0 {
        let uid = owner.or(old_owner.map(|(uid, _)| uid));
        fchown(&file, uid, old_owner.map(|(_, gid)| gid))?;
    }
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()
}

/// What names a file for libdb: its place and 16 random octets.
#[must_use]
pub fn unique_id() -> [u8; 20] {
    let mut id = [0; 20];
    let random = sys::random_u128().unwrap_or(u128::from(std::process::id())).to_le_bytes();
    for (place, octet) in id.iter_mut().zip(random) {
        *place = octet;
    }
    id
}
