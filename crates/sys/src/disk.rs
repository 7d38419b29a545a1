//! Folders that master makes and hands out; files below a folder that is open; buffers for direct I/O.

mod folder;
mod segment;

pub use folder::{Folder, Unnamed};
pub use segment::Segment;

use rustix::fs::{Mode, OFlags};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// The flag for opening (`OpenOptionsExt::custom_flags`) by which a symbolic link at the end of a path is not followed.
pub const NO_LINK: i32 = OFlags::NOFOLLOW.bits().cast_signed();

/// Octets that may be written below a path without special rights.
///
/// # Errors
/// The file system does not say.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let facts = rustix::fs::statvfs(path)?;
    Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
}

/// Opens a folder, not through a link.
///
/// # Errors
/// It is not there, or no folder.
pub fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Opens a plain file for reading; what else has the name is not waited for.
///
/// # Errors
/// It is not there, or no plain file.
pub fn open_plain(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
    if kind == rustix::fs::FileType::RegularFile {
        Ok(file)
    } else {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

/// The same for reading and writing, where the file is there and is no link.
///
/// # Errors
/// The system's; also if it is no plain file, or has other names.
pub fn open_plain_to_write(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
    let file = rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())?;
    let facts = rustix::fs::fstat(&file)?;
    let kind = rustix::fs::FileType::from_raw_mode(facts.st_mode);
    if kind == rustix::fs::FileType::RegularFile && facts.st_nlink == 1 {
        Ok(file)
    } else {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

/// A mailbox file to append to, made (with its name durable) if it is not there: a plain file with one name, which belongs to who
/// we are or to root, which nobody else may write or put another in the place of, and which is empty or begins as a mailbox does.
/// Whoever could name another file could not harm it through this.
///
/// # Errors
/// The system's; `InvalidInput`: there is something else.
pub fn open_mailbox_to_append(path: &Path) -> io::Result<OwnedFd> {
    const OTHERS_WRITE: u32 = 0o022;
    const ANYBODY_WRITES: u32 = 0o002;
    const IS_STICKY: u32 = 0o1000;
    let (folder, name) = path.parent().zip(path.file_name()).ok_or(io::ErrorKind::InvalidInput)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(folder, flags, Mode::empty())?;
    let folder_mode = rustix::fs::fstat(&folder)?.st_mode;
    if folder_mode & ANYBODY_WRITES != 0 && folder_mode & IS_STICKY == 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
    let file = rustix::fs::openat(&folder, name, flags, Mode::RUSR | Mode::WUSR)?;
    let facts = rustix::fs::fstat(&file)?;
    let kind = rustix::fs::FileType::from_raw_mode(facts.st_mode);
    let is_plain = kind == rustix::fs::FileType::RegularFile && facts.st_nlink == 1;
    let is_ours = [0, crate::user::effective_uid()].contains(&facts.st_uid);
    let mut start = [0; 5];
    let read = rustix::io::pread(&file, &mut start, 0)?;
    let is_mailbox = [&b""[..], b"From "].contains(&start.get(..read).unwrap_or_default());
    if !is_plain || !is_ours || facts.st_mode & OTHERS_WRITE != 0 || !is_mailbox {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    if read == 0 {
        rustix::fs::fsync(&folder)?;
    }
    Ok(file)
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

/// The group of a folder, if one needs it to write there: it may, and not everybody.
///
/// # Errors
/// It is not there.
pub fn writing_group(path: &Path) -> io::Result<Option<u32>> {
    let facts = fs::metadata(path)?;
    Ok((facts.mode() & 0o022 == 0o020).then_some(facts.gid()))
}

/// Whether nobody but root can change this folder or put another in its place: it and all above it are root's, and writable
/// for nobody else. The path is one without links.
///
/// # Errors
/// It is not there.
pub fn is_roots_alone(path: &Path) -> io::Result<bool> {
    for folder in path.ancestors() {
        let facts = fs::symlink_metadata(folder)?;
        if !facts.is_dir() || facts.uid() != 0 || facts.mode() & 0o022 != 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What direct I/O wants: addresses, lengths and places that are multiples of this.
pub const BLOCK_BYTES: usize = 4096;

#[repr(C, align(4096))]
#[derive(Clone, Copy)]
struct Block([u8; BLOCK_BYTES]);

/// Octets that begin at a block's border, for direct I/O. Grows by whole blocks, and gives no memory back.
#[derive(Default)]
pub struct AlignedBuffer {
    blocks: Vec<Block>,
    length: usize,
}

impl std::fmt::Debug for AlignedBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AlignedBuffer").field("length", &self.length).finish_non_exhaustive()
    }
}

impl AlignedBuffer {
    /// Octets in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Forgets what is in it.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Appends octets.
    pub fn extend_from_slice(&mut self, octets: &[u8]) {
        let end = self.length.saturating_add(octets.len());
        let blocks = end.div_ceil(BLOCK_BYTES).max(self.blocks.len());
        self.blocks.resize(blocks, Block([0; BLOCK_BYTES]));
        let start = self.length;
        if let Some(place) = self.whole_mut().get_mut(start..end) {
            place.copy_from_slice(octets);
        }
        self.length = end;
    }

    /// Makes it this long: cut, or filled up with zeros.
    pub fn resize(&mut self, length: usize) {
        while self.length < length {
            let missing = length.saturating_sub(self.length).min(BLOCK_BYTES);
            self.extend_from_slice([0; BLOCK_BYTES].get(..missing).unwrap_or_default());
        }
        self.length = length;
    }

    /// Fills up with zeros to the next block's border.
    pub fn pad(&mut self) {
        let missing = self.length.next_multiple_of(BLOCK_BYTES).saturating_sub(self.length);
        self.extend_from_slice([0; BLOCK_BYTES].get(..missing).unwrap_or_default());
    }

    /// What is in it.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: a Block is 4096 octets without padding, and all blocks are initialised.
        let whole = unsafe {
            std::slice::from_raw_parts(
                self.blocks.as_ptr().cast::<u8>(),
                self.blocks.len().saturating_mul(BLOCK_BYTES),
            )
        };
        whole.get(..self.length).unwrap_or_default()
    }

    /// What is in it, to be changed in place.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let length = self.length;
        self.whole_mut().get_mut(..length).unwrap_or_default()
    }

    fn whole_mut(&mut self) -> &mut [u8] {
        let length = self.blocks.len().saturating_mul(BLOCK_BYTES);
        // SAFETY: a Block is 4096 octets without padding, all blocks are initialised, any octet is
        // valid in them, and the borrow of self keeps everybody else away.
        unsafe { std::slice::from_raw_parts_mut(self.blocks.as_mut_ptr().cast::<u8>(), length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_aligned(buffer: &AlignedBuffer) -> bool {
        buffer.as_slice().as_ptr().addr().is_multiple_of(BLOCK_BYTES)
    }

    proptest! {
        #[test]
        fn a_buffer_holds_what_was_put_in_and_stays_aligned(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9000), 0..8),
        ) {
            let (mut buffer, mut plain) = (AlignedBuffer::default(), Vec::new());
            for piece in pieces {
                buffer.extend_from_slice(&piece);
                plain.extend_from_slice(&piece);
                prop_assert!(is_aligned(&buffer));
            }
            prop_assert_eq!(buffer.as_slice(), &plain[..]);
            buffer.pad();
            plain.resize(plain.len().next_multiple_of(BLOCK_BYTES), 0);
            prop_assert_eq!(buffer.as_slice(), &plain[..]);
        }
    }

    #[test]
    fn a_buffer_used_again_shows_nothing_of_what_was_in_it() {
        let mut buffer = AlignedBuffer::default();
        buffer.extend_from_slice(&[7; 3 * BLOCK_BYTES]);
        buffer.clear();
        assert!(buffer.is_empty());
        buffer.extend_from_slice(b"abc");
        buffer.pad();
        assert_eq!(buffer.len(), BLOCK_BYTES);
        assert!(buffer.as_slice()[3..].iter().all(|&octet| octet == 0));
        buffer.resize(2 * BLOCK_BYTES + 1);
        assert!(buffer.as_slice()[3..].iter().all(|&octet| octet == 0));
        buffer.resize(2);
        assert_eq!(buffer.as_slice(), b"ab");
    }

    #[test]
    fn a_group_is_needed_only_where_it_opens_something() {
        let place = tempfile::tempdir().unwrap();
        let group = fs::metadata(place.path()).unwrap().gid();
        for (mode, wanted) in [(0o755, None), (0o2775, Some(group)), (0o1777, None)] {
            fs::set_permissions(place.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(writing_group(place.path()).unwrap(), wanted, "{mode:o}");
        }
    }

    #[test]
    fn what_is_below_a_folder_of_everybody_is_not_roots_alone() {
        let place = tempfile::tempdir_in("/tmp").unwrap();
        assert!(!is_roots_alone(place.path()).unwrap());
        assert!(is_roots_alone(Path::new("/")).unwrap());
        assert!(is_roots_alone(&place.path().join("none")).is_err());
    }

    #[test]
    fn a_folder_is_made_with_its_mode_and_not_through_a_link() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a/b");
        make_folder(&path, 0o1733, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o1733);
        let link = place.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(open_folder(&link).is_err());
        assert!(open_folder(&path).is_ok());
    }

    #[test]
    fn a_mailbox_is_appended_to_only_where_nothing_else_can_be_meant() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert!(open_mailbox_to_append(&at("new")).is_ok());
        assert_eq!(mode(&at("new")), 0o600);
        fs::write(at("old"), "From a\n").unwrap();
        assert!(open_mailbox_to_append(&at("old")).is_ok());
        fs::write(at("users"), "root:x:0:0").unwrap();
        fs::hard_link(at("old"), at("twin")).unwrap();
        std::os::unix::fs::symlink(at("new"), at("link")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        for name in ["users", "twin", "link", "folder", "not/there"] {
            assert!(open_mailbox_to_append(&at(name)).is_err(), "{name}");
        }
        let others = fs::Permissions::from_mode(0o622);
        fs::set_permissions(at("new"), others).unwrap();
        assert!(open_mailbox_to_append(&at("new")).is_err());
        // Where everybody may put something in the place of a file, none is made.
        let anybodys = fs::Permissions::from_mode(0o777);
        fs::set_permissions(at("folder"), anybodys).unwrap();
        assert!(open_mailbox_to_append(&at("folder").join("new")).is_err());
        assert!(!at("folder").join("new").exists());
    }
}
