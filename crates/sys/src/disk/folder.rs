//! Files below a folder that is open: no other path, and no link on the way.
//!
//! A name that outsiders may have chosen (a drop folder, a user's home) can be `../../etc/shadow`, or a link put there a
//! moment ago. The kernel is asked to stay below the folder and to follow no link (openat2, Linux 5.6); where it does
//! not know how, or a cage hides the call, each part of the name is opened by itself without following.

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path};
use std::sync::OnceLock;

/// What only its owner may read and write.
const OWNERS: Mode = Mode::RUSR.union(Mode::WUSR);

/// A folder that is open.
#[derive(Debug)]
pub struct Folder {
    descriptor: OwnedFd,
    /// Whether a file without a name can get one here; asked once.
    names_unnamed: OnceLock<bool>,
}

impl From<OwnedFd> for Folder {
    fn from(descriptor: OwnedFd) -> Self {
        Self { descriptor, names_unnamed: OnceLock::new() }
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Folder {
    /// Opens a folder by path, not through a link.
    ///
    /// # Errors
    /// It is not there, or no folder.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self::from(super::open_folder(path)?))
    }

    /// A folder below this one.
    ///
    /// # Errors
    /// It is not there, no folder, or the way leads through a link or out of this folder.
    pub fn folder(&self, path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self::from(self.beneath(path.as_ref(), OFlags::DIRECTORY, Mode::empty())?))
    }

    /// Makes a folder here, for its owner alone, unless it is there, and opens it.
    ///
    /// # Errors
    /// It can't be made, or something else has the name.
    pub fn make_folder(&self, name: impl AsRef<OsStr>) -> io::Result<Self> {
        let name = single(name.as_ref())?;
        match rustix::fs::mkdirat(self, name, Mode::RWXU) {
            Ok(()) => self.sync()?,
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        self.folder(name)
    }

    /// Opens a file below this folder for reading; never waits for a FIFO.
    ///
    /// # Errors
    /// It is not there, or the way leads through a link or out of this folder.
    pub fn read(&self, path: impl AsRef<Path>) -> io::Result<File> {
        Ok(self.beneath(path.as_ref(), OFlags::NONBLOCK, Mode::empty())?.into())
    }

    /// Opens a file below this folder for reading and writing.
    ///
    /// # Errors
    /// As [`Folder::read`].
    pub fn write(&self, path: impl AsRef<Path>) -> io::Result<File> {
        Ok(self.beneath(path.as_ref(), OFlags::RDWR | OFlags::NONBLOCK, Mode::empty())?.into())
    }

    /// Makes a new file here, for its owner alone, for reading and writing.
    ///
    /// # Errors
    /// The name is taken (also by a link), or there is no room.
    pub fn make(&self, name: impl AsRef<OsStr>) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        Ok(self.beneath(single(name.as_ref())?.as_ref(), flags, OWNERS)?.into())
    }

    /// A new file without a name, or where that can't be, with a temporary one that begins with `.new-` (what a
    /// crash leaves of those may be removed). [`Unnamed::keep`] names it.
    ///
    /// # Errors
    /// There is no room.
    pub fn make_unnamed(&self) -> io::Result<Unnamed<'_>> {
        if *self.names_unnamed.get_or_init(|| self.can_name_unnamed().is_ok()) {
            let file = File::from(self.tmpfile()?);
            return Ok(Unnamed { folder: self, file, temporary: None });
        }
        let temporary = temporary_name()?;
        let file = self.make(&temporary)?;
        Ok(Unnamed { folder: self, file, temporary: Some(temporary) })
    }

    fn tmpfile(&self) -> rustix::io::Result<OwnedFd> {
        rustix::fs::openat(self, ".", OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC, OWNERS)
    }

    /// Tries it: without privileges a file is named by its descriptor only since Linux 6.10, and the older way leads
    /// through /proc, where a cage has no right.
    fn can_name_unnamed(&self) -> io::Result<()> {
        let (file, name) = (self.tmpfile()?, temporary_name()?);
        rustix::fs::linkat(&file, "", self, &name, AtFlags::EMPTY_PATH)?;
        self.remove(&name)
    }

    /// Gives a file another name here, in place of what has that name. Durable after [`Folder::sync`].
    ///
    /// # Errors
    /// It is not there.
    pub fn rename(&self, from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) -> io::Result<()> {
        self.rename_into(from, self, to)
    }

    /// The same, into another folder of this file system; both are to be synced.
    ///
    /// # Errors
    /// It is not there, or the other folder is on another file system.
    pub fn rename_into(
        &self,
        from: impl AsRef<OsStr>,
        other: &Self,
        to: impl AsRef<OsStr>,
    ) -> io::Result<()> {
        Ok(rustix::fs::renameat(self, single(from.as_ref())?, other, single(to.as_ref())?)?)
    }

    /// Takes a file's name away. Durable after [`Folder::sync`].
    ///
    /// # Errors
    /// It is not there, or a folder.
    pub fn remove(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(self, single(name.as_ref())?, AtFlags::empty())?)
    }

    /// Makes the names here durable.
    ///
    /// # Errors
    /// The disk fails.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(self)?)
    }

    /// All names here, in no order, without `.` and `..`; temporary ones too.
    ///
    /// # Errors
    /// The folder can't be read.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(self)? {
            let name = OsString::from_vec(entry?.file_name().to_bytes().to_vec());
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Octets that may be written here without special rights.
    ///
    /// # Errors
    /// The file system does not say.
    pub fn free_bytes(&self) -> io::Result<u64> {
        let facts = rustix::fs::fstatvfs(self)?;
        Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
    }

    /// Opens what lies below this folder, and nothing else.
    pub(super) fn beneath(&self, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(self, path, flags, mode, resolve) {
            // AGAIN: the kernel can't be sure while something is renamed; a try in another way can.
            Err(Errno::NOSYS | Errno::PERM | Errno::AGAIN) => self.part_by_part(path, flags, mode),
            other => Ok(other?),
        }
    }

    fn part_by_part(&self, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let mut parts = path.components().peekable();
        let mut at: Option<OwnedFd> = None;
        while let Some(part) = parts.next() {
            let Component::Normal(part) = part else {
                return Err(Errno::XDEV.into());
            };
            let folder = at.as_ref().map_or(self.as_fd(), OwnedFd::as_fd);
            if parts.peek().is_none() {
                return Ok(rustix::fs::openat(folder, part, flags, mode)?);
            }
            let way = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            at = Some(rustix::fs::openat(folder, part, way, Mode::empty())?);
        }
        Err(Errno::NOENT.into())
    }
}

/// A name, and not a way.
fn single(name: &OsStr) -> io::Result<&OsStr> {
    let is_way = name.is_empty() || name == "." || name == ".." || name.as_bytes().contains(&b'/');
    if is_way { Err(io::ErrorKind::InvalidInput.into()) } else { Ok(name) }
}

fn temporary_name() -> io::Result<OsString> {
    Ok(format!(".new-{:032x}", crate::random_u128()?).into())
}

/// A new file that has no name yet. Forgotten, it is gone.
#[derive(Debug)]
pub struct Unnamed<'a> {
    folder: &'a Folder,
    file: File,
    temporary: Option<OsString>,
}

impl Unnamed<'_> {
    /// The file, for reading and writing.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Makes the content durable, then the name.
    ///
    /// # Errors
    /// The name is taken, or the disk fails; then it is unknown whether the file has its name after a crash.
    pub fn keep(mut self, name: impl AsRef<OsStr>) -> io::Result<()> {
        let name = single(name.as_ref())?;
        self.file.sync_all()?;
        match self.temporary.take() {
            None => rustix::fs::linkat(&self.file, "", self.folder, name, AtFlags::EMPTY_PATH)?,
            Some(temporary) => {
                // A link, unlike a rename, replaces nothing.
                let linked = rustix::fs::linkat(
                    self.folder,
                    &temporary,
                    self.folder,
                    name,
                    AtFlags::empty(),
                );
                self.folder.remove(&temporary)?;
                linked?;
            }
        }
        self.folder.sync()
    }
}

impl Drop for Unnamed<'_> {
    fn drop(&mut self) {
        if let Some(temporary) = self.temporary.take() {
            // What can't be removed now is known by its name.
            self.folder.remove(&temporary).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::fs::symlink;

    fn place() -> (tempfile::TempDir, Folder) {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        (place, folder)
    }

    #[test]
    fn nothing_outside_and_nothing_behind_a_link_is_opened() {
        let (place, folder) = place();
        folder.make_folder("in").unwrap().make("file").unwrap().write_all(b"inside").unwrap();
        symlink("/etc/passwd", place.path().join("link")).unwrap();
        symlink("in", place.path().join("way")).unwrap();
        let no_openat2 = |path: &str| {
            let flags = OFlags::CLOEXEC | OFlags::NOFOLLOW;
            folder.part_by_part(Path::new(path), flags, Mode::empty()).map(File::from)
        };
        for out in ["../x", "/etc/passwd", "link", "way/file", "in/../../etc/passwd", "..", ""] {
            assert!(folder.read(out).is_err(), "{out}");
            assert!(no_openat2(out).is_err(), "{out}");
        }
        for mut file in [folder.read("in/file").unwrap(), no_openat2("in/file").unwrap()] {
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, "inside");
        }
    }

    #[test]
    fn a_name_is_not_a_way() {
        let (_place, folder) = place();
        for way in ["a/b", "..", ".", "", "/a"] {
            assert!(folder.make(way).is_err(), "{way}");
            assert!(folder.remove(way).is_err(), "{way}");
            assert!(folder.rename(way, "b").is_err(), "{way}");
            assert!(folder.make_folder(way).is_err(), "{way}");
        }
    }

    #[test]
    fn names_come_and_go() {
        let (_place, folder) = place();
        folder.make("one").unwrap();
        assert!(folder.make("one").is_err());
        folder.rename("one", "two").unwrap();
        let other = folder.make_folder("other").unwrap();
        folder.make_folder("other").unwrap();
        folder.rename_into("two", &other, "three").unwrap();
        folder.sync().unwrap();
        assert_eq!(folder.names().unwrap(), ["other"]);
        assert_eq!(other.names().unwrap(), ["three"]);
        other.write("three").unwrap().write_all(b"x").unwrap();
        other.remove("three").unwrap();
        assert!(other.names().unwrap().is_empty());
        assert!(folder.free_bytes().unwrap() > 0);
    }

    #[test]
    fn an_unnamed_file_is_kept_whole_or_gone() {
        for names_unnamed in [None, Some(false)] {
            let (_place, mut folder) = place();
            if let Some(no) = names_unnamed {
                folder.names_unnamed = OnceLock::from(no);
            }
            drop(folder.make_unnamed().unwrap());
            let unnamed = folder.make_unnamed().unwrap();
            unnamed.file().write_all(b"letter").unwrap();
            unnamed.keep("letter").unwrap();
            let second = folder.make_unnamed().unwrap();
            let error = second.keep("letter").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(folder.names().unwrap(), ["letter"]);
        }
    }

    #[test]
    fn a_fifo_does_not_make_us_wait() {
        let (place, folder) = place();
        let path = place.path().join("fifo");
        let mode = nix::sys::stat::Mode::S_IRUSR;
        nix::unistd::mkfifo(&path, mode).unwrap();
        let fifo = folder.read("fifo").unwrap();
        assert!(!fifo.metadata().unwrap().is_file());
    }
}
