//! The owner's mailbox file for what nobody can get (sendmail's `DeadLetterDrop`): messages are appended to a file that was handed
//! over open.
//!
//! No path is opened here and no lock file made: `fcntl` keeps readers out. All of a call are written and durable, or the file is
//! cut back to what it was and nothing is said to be saved.

use super::Moment;
use super::mbox::write_separator;
use crate::body::UnixText;
use rustix::fs::FlockOperation;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

/// The longest that the file may become, in octets: less than what the kernel lets a process write.
pub const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Appends messages from `<>`, with CR LF line ends, to an open file that takes octets at its end (`O_APPEND`).
///
/// # Errors
/// Somebody else holds its lock (`WouldBlock`): nothing was written. It would become longer than [`FILE_BYTES_MAX`]
/// (`FileTooLarge`), or the system's: what was written is cut off again.
pub fn append(file: &OwnedFd, now: Moment, messages: &[&[u8]]) -> io::Result<()> {
    rustix::fs::fcntl_lock(file, FlockOperation::NonBlockingLockExclusive)?;
    let length = u64::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or(u64::MAX);
    let mut text = Vec::new();
    close_last_line(file, length, &mut text)?;
    for message in messages {
        write_separator(b"", now, &mut text);
        let mut lines = UnixText::new(true);
        lines.push(message, &mut text);
        lines.finish(&mut text);
        text.push(b'\n');
    }
    let octets = u64::try_from(text.len()).unwrap_or(u64::MAX);
    if length.saturating_add(octets) > FILE_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let written = write(file, &text).and_then(|()| Ok(rustix::fs::fsync(file)?));
    if written.is_err() {
        // What can't be cut off is half a message, and the whole one stays where it was.
        rustix::fs::ftruncate(file, length).ok();
    }
    rustix::fs::fcntl_lock(file, FlockOperation::NonBlockingUnlock).ok();
    written
}

/// Ends a line that is open, and the message that it is of.
fn close_last_line(file: &OwnedFd, length: u64, out: &mut Vec<u8>) -> io::Result<()> {
    let mut end = [0; 2];
    let read = rustix::io::pread(file, &mut end, length.saturating_sub(2))?;
    match end.get(..read).unwrap_or_default() {
        [] | [b'\n', b'\n'] => {}
        [.., b'\n'] => out.push(b'\n'),
        _ => out.extend_from_slice(b"\n\n"),
    }
    Ok(())
}

fn write(file: &OwnedFd, text: &[u8]) -> io::Result<()> {
    let mut rest = text;
    while !rest.is_empty() {
        match rustix::io::write(file.as_fd(), rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop")]

    use super::*;
    use std::fs;

    const NOW: Moment = Moment { unix_s: 1_763_708_968, offset_s: 0 };

    fn open(path: &std::path::Path) -> OwnedFd {
        fs::OpenOptions::new().read(true).append(true).create(true).open(path).unwrap().into()
    }

    #[test]
    fn messages_stand_one_behind_the_other_as_in_a_mailbox() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.letter");
        append(&open(&path), NOW, &[b"A: b\r\n\r\nFrom here\r\n", b"C: d\r\n\r\nno end"]).unwrap();
        append(&open(&path), NOW, &[b"E: f\r\n\r\n"]).unwrap();
        let line = "From MAILER-DAEMON Fri Nov 21 07:09:28 2025\n";
        let wanted =
            format!("{line}A: b\n\n>From here\n\n{line}C: d\n\nno end\n\n{line}E: f\n\n\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), wanted);
    }

    #[test]
    fn what_somebody_left_torn_is_closed_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.letter");
        fs::write(&path, "From x\nA: b\n\ntorn").unwrap();
        append(&open(&path), NOW, &[b"C: d\r\n"]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("From x\nA: b\n\ntorn\n\nFrom MAILER-DAEMON "), "{text}");
    }

    #[test]
    fn a_full_disk_leaves_the_file_as_it_was() {
        // Each write to this device fails as on a full disk.
        let full = fs::OpenOptions::new().append(true).read(true).open("/dev/full").unwrap();
        let error = append(&full.into(), NOW, &[b"A: b\r\n"]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(28));
    }

    #[test]
    fn a_file_that_is_too_long_takes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.letter");
        let file = open(&path);
        rustix::fs::ftruncate(&file, FILE_BYTES_MAX).unwrap();
        let error = append(&file, NOW, &[b"A: b\r\n"]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(fs::metadata(&path).unwrap().len(), FILE_BYTES_MAX);
    }
}
