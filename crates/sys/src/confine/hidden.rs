//! A folder of many users, seen by one of them alone: the mail spool of a local delivery agent.
//!
//! Agents insist on lock files beside the mailbox, and whoever may make files in the spool may also remove and rename there
//! what belongs to others. So the process gets a mount namespace in which an empty little folder of its own, in memory, lies
//! over the spool, and in it the user's mailbox, the real one, by a mount of its own. Locks are made there and mean nothing to
//! anybody else; the lock that counts is taken in the real folder, through its descriptor, by our own code.
//!
//! Mounts that the system makes later still arrive in the namespace; nothing leaves it.

use super::landlock::{NEW_MAILBOX, is_mailbox_of};
use nix::sched::CloneFlags;
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags,
};
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// The room in the little folder: some lock files, and little enough that no mailbox is mistaken for delivered.
const BYTES: &str = "64k";

/// Files in the little folder.
const FILES: &str = "64";

/// The folder behind the little one.
#[derive(Debug)]
pub struct Hidden {
    /// The real folder: a place, below which only rights that were granted count.
    pub folder: OwnedFd,
    /// The mailbox that was mounted: a place.
    pub mailbox: OwnedFd,
}

/// Hides the folder of this mailbox from this process and those it will start, but for the mailbox itself, which is made
/// empty for this user and group if it is not there. The path must be without links. Wants root, before the cage.
///
/// # Errors
/// This process may not mount, the kernel is too old, or the mailbox is not a file or a folder of the user's own. Nothing
/// is hidden then.
pub fn hide_folder(mailbox: &Path, uid: u32, gid: u32) -> io::Result<Hidden> {
    let missing = || io::Error::from(io::ErrorKind::InvalidInput);
    let path = mailbox.parent().ok_or_else(missing)?;
    let name = mailbox.file_name().ok_or_else(missing)?;
    nix::sched::unshare(CloneFlags::CLONE_NEWNS)?;
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", flags)?;
    let place = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::open(path, place | OFlags::DIRECTORY, Mode::empty())?;
    let mailbox = open_mailbox(&folder, name, uid, gid)?;
    let tree = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = rustix::mount::open_tree(&mailbox, "", tree | OpenTreeFlags::AT_EMPTY_PATH)?;
    let little = little_folder(&rustix::fs::fstat(&folder)?)?;
    make_place(&little, name, &rustix::fs::fstat(&mailbox)?)?;
    let whole = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(&little, "", CWD, path, whole)?;
    if let Err(error) = rustix::mount::move_mount(&tree, "", &little, name, whole) {
        rustix::mount::unmount(path, UnmountFlags::DETACH)?;
        return Err(error.into());
    }
    Ok(Hidden { folder, mailbox })
}

/// Makes this mailbox for this user and group, empty, if it is not there. Wants root. The path must be without links.
///
/// # Errors
/// There is something else of this name, or nothing can be made there.
pub fn make_mailbox(mailbox: &Path, uid: u32, gid: u32) -> io::Result<()> {
    let missing = || io::Error::from(io::ErrorKind::InvalidInput);
    let path = mailbox.parent().ok_or_else(missing)?;
    let name = mailbox.file_name().ok_or_else(missing)?;
    let place = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::DIRECTORY;
    let folder = rustix::fs::open(path, place, Mode::empty())?;
    open_mailbox(&folder, name, uid, gid).map(drop)
}

/// The user's mailbox, made if it is not there.
fn open_mailbox(folder: &OwnedFd, name: &OsStr, uid: u32, gid: u32) -> io::Result<OwnedFd> {
    let place = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let look = || rustix::fs::openat(folder, name, place, Mode::empty());
    let found = match look() {
        Err(Errno::NOENT) => {
            let new = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
            let new = new | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let made = rustix::fs::openat(folder, name, new, Mode::empty())?;
            let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
            rustix::fs::fchown(&made, Some(uid), Some(gid))?;
            rustix::fs::fchmod(&made, NEW_MAILBOX)?;
            look()?
        }
        looked => looked?,
    };
    if is_mailbox_of(&rustix::fs::fstat(&found)?, uid) {
        return Ok(found);
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// An empty folder in memory with the owner and the rights of another.
fn little_folder(like: &Stat) -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let mode = format!("{:o}", like.st_mode & 0o7777);
    let (uid, gid) = (like.st_uid.to_string(), like.st_gid.to_string());
    let settings =
        [("size", BYTES), ("nr_inodes", FILES), ("mode", &mode), ("uid", &uid), ("gid", &gid)];
    for (key, value) in settings {
        rustix::mount::fsconfig_set_string(&context, key, value)?;
    }
    rustix::mount::fsconfig_create(&context)?;
    let safe = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let safe = safe | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Ok(rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, safe)?)
}

/// Something to mount the mailbox on.
fn make_place(little: &OwnedFd, name: &OsStr, mailbox: &Stat) -> io::Result<()> {
    if FileType::from_raw_mode(mailbox.st_mode) == FileType::Directory {
        rustix::fs::mkdirat(little, name, Mode::RWXU)?;
    } else {
        let new = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        rustix::fs::openat(little, name, new, Mode::RUSR | Mode::WUSR)?;
    }
    Ok(())
}
