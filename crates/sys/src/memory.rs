//! Memory: sealed files of it (a body for a delivery child, which can read it and nothing more), and giving it back.

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Write};

/// What a sealed file promises: its content and its length stay as they are, and so does this promise.
const SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// A file in memory with this content, which nobody can change any more, nor execute. Read it by place
/// (`read_at`): whoever holds the descriptor shares its position.
///
/// # Errors
/// Out of memory or descriptors.
pub fn sealed(content: &[u8]) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = match rustix::fs::memfd_create("message", flags | MemfdFlags::NOEXEC_SEAL) {
        // Linux before 6.3 knows no files that can't be executed.
        Err(Errno::INVAL) => rustix::fs::memfd_create("message", flags)?,
        other => other?,
    };
    let mut file = File::from(file);
    file.write_all(content)?;
    rustix::fs::fcntl_add_seals(&file, SEALS)?;
    Ok(file)
}

/// Whether nobody can change this file any more. Who receives one asks: a file that shrinks while it is read
/// is a message cut short.
#[must_use]
pub fn is_sealed(file: &File) -> bool {
    rustix::fs::fcntl_get_seals(file).is_ok_and(|seals| seals.contains(SEALS))
}

/// Gives freed memory back to the system. Worth a call after many small things were freed at once (thousands of sessions
/// that went): the allocator keeps the pages of a crowd for ever otherwise. Takes milliseconds.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes a number and touches nothing that is in use; it may be called at any time from any thread.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_sealed_file_is_read_and_never_changed() {
        let file = sealed(b"From: a\r\n\r\nbody\r\n").unwrap();
        assert!(is_sealed(&file));
        let mut octets = [0; 7];
        file.read_exact_at(&mut octets, 0).unwrap();
        assert_eq!(&octets, b"From: a");
        assert!(file.write_at(b"X", 0).is_err());
        assert!(file.set_len(0).is_err());
        assert!(file.set_len(1000).is_err());
    }

    #[test]
    fn a_plain_file_is_not_sealed() {
        assert!(!is_sealed(&tempfile::tempfile().unwrap()));
    }
}
