//! Folders that master makes and hands out.

use rustix::fs::{Mode, OFlags};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Opens a folder, not through a link.
///
/// # Errors
/// It is not there, or no folder.
pub fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Makes a folder with all above it, or takes it as it is. With an owner, the folder itself (not those
/// above) becomes his, with this mode.
///
/// # Errors
/// It can't be made, or something else has the name.
pub fn make_folder(path: &Path, mode: u32, owner: Option<u32>) -> io::Result<()> {
    let was_there = path.is_dir();
    fs::create_dir_all(path)?;
    let folder = open_folder(path)?;
    if let Some(uid) = owner {
        let (user, group) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(uid));
        rustix::fs::fchown(&folder, Some(user), Some(group))?;
    }
    if !was_there || owner.is_some() {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// The group of a folder, if the group may write there.
///
/// # Errors
/// It is not there.
pub fn writing_group(path: &Path) -> io::Result<Option<u32>> {
    let facts = fs::metadata(path)?;
    Ok((facts.mode() & 0o020 != 0).then_some(facts.gid()))
}
