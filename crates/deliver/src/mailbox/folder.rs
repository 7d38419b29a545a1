//! A folder that is open: everything in it is named relative to its descriptor, so that nobody can
//! exchange a part of the path between two looks.

use crate::{Trouble, trouble::shown};
use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How a folder is opened on the way to a mailbox: as a place only, which needs no right to read it.
const PLACE: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// An open folder, and its path for messages.
#[derive(Debug)]
pub(crate) struct Folder {
    place: OwnedFd,
    path: Box<[u8]>,
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.place.as_fd()
    }
}

impl Folder {
    /// Whether the rights of who we are allow files to be made here: who could not, all the same, is in a cage.
    pub(super) fn is_closed_by_cage(&self) -> bool {
        rustix::fs::accessat(self, ".", Access::WRITE_OK, AtFlags::EACCESS).is_ok()
    }

    /// A folder that is open already.
    pub(crate) fn opened(place: OwnedFd, path: &[u8]) -> Self {
        Self { place, path: path.into() }
    }

    /// Opens a folder that the configuration names; links on the way are the owner's business.
    pub(super) fn open(path: &[u8]) -> Result<Self, Trouble> {
        match rustix::fs::openat(CWD, path, PLACE, Mode::empty()) {
            Ok(place) => Ok(Self { place, path: path.into() }),
            Err(error) => Err(Trouble::system(path, error)),
        }
    }

    /// The same; the last folder of the path is made (mode 0700) if it is missing.
    pub(super) fn open_or_make(path: &[u8]) -> Result<Self, Trouble> {
        match rustix::fs::openat(CWD, path, PLACE, Mode::empty()) {
            Err(Errno::NOENT) => {}
            Err(error) => return Err(Trouble::system(path, error)),
            Ok(place) => return Ok(Self { place, path: path.into() }),
        }
        match rustix::fs::mkdirat(CWD, path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => Self::open(path),
            Err(error) => Err(Trouble::system(path, error)),
        }
    }

    /// The path of something in this folder.
    pub(crate) fn path_of(&self, name: &[u8]) -> Vec<u8> {
        [&self.path, &b"/"[..], name].concat()
    }

    /// A folder below this one; nothing is made.
    pub(super) fn descend(&self, names: &[&[u8]]) -> Result<Self, Trouble> {
        let mut folder = self.again()?;
        for name in names {
            folder = folder.enter(name)?;
        }
        Ok(folder)
    }

    /// A folder in this one, made (mode 0700) if it is missing. Says whether it was made.
    pub(super) fn enter_or_make(&self, name: &[u8]) -> Result<(Self, bool), Trouble> {
        match rustix::fs::mkdirat(self, name, Mode::RWXU) {
            Ok(()) => Ok((self.enter(name)?, true)),
            Err(Errno::EXIST) => Ok((self.enter(name)?, false)),
            // A folder that may not be written may still hold the one that is asked for.
            Err(error) => match self.enter(name) {
                Ok(folder) => Ok((folder, false)),
                Err(_) => Err(Trouble::system(&self.path_of(name), error)),
            },
        }
    }

    /// A folder in this one, which must belong to the user. It may be a symbolic link if the
    /// user himself made it.
    pub(super) fn enter(&self, name: &[u8]) -> Result<Self, Trouble> {
        let path = self.path_of(name);
        let opened = match rustix::fs::openat(self, name, PLACE | OFlags::NOFOLLOW, Mode::empty()) {
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let entry = rustix::fs::statat(self, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|error| Trouble::system(&path, error))?;
                if FileType::from_raw_mode(entry.st_mode) != FileType::Symlink {
                    return Err(Trouble::Irregular { path: shown(&path) });
                }
                require_ours(&entry, &path)?;
                rustix::fs::openat(self, name, PLACE, Mode::empty())
            }
            opened => opened,
        };
        let place = match opened {
            Ok(place) => place,
            Err(Errno::NOTDIR) => return Err(Trouble::Irregular { path: shown(&path) }),
            Err(error) => return Err(Trouble::system(&path, error)),
        };
        let stat = rustix::fs::fstat(&place).map_err(|error| Trouble::system(&path, error))?;
        require_ours(&stat, &path)?;
        Ok(Self { place, path: path.into() })
    }

    /// Makes the names in this folder durable.
    pub(super) fn sync(&self) -> Result<(), Trouble> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(self, ".", flags, Mode::empty())
            .and_then(|folder| rustix::fs::fsync(&folder))
            .map_err(|error| Trouble::system(&self.path, error))
    }

    /// A second descriptor of the same folder.
    fn again(&self) -> Result<Self, Trouble> {
        match rustix::io::fcntl_dupfd_cloexec(self, 3) {
            Ok(place) => Ok(Self { place, path: self.path.clone() }),
            Err(error) => Err(Trouble::system(&self.path, error)),
        }
    }
}

/// Whether a file belongs to the user that this process is.
pub(super) fn require_ours(stat: &Stat, path: &[u8]) -> Result<(), Trouble> {
    if stat.st_uid == rustix::process::geteuid().as_raw() {
        Ok(())
    } else {
        Err(Trouble::WrongOwner { path: shown(path), uid: stat.st_uid })
    }
}
