//! Our own `sendmail`, run by programs that hand in mail (`vacation`, `rmail`): an argument vector, never a shell.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};

/// Runs it in this folder with this input; gives how it ended.
///
/// # Errors
/// It can't be started.
pub(crate) fn run(
    words: &[OsString],
    folder: &Path,
    write: impl FnOnce(&mut ChildStdin) -> io::Result<()>,
) -> io::Result<ExitStatus> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg0("sendmail").args(words).current_dir(folder).stdin(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // One who stops reading says why by how he ends.
        drop(write(&mut input).and_then(|()| input.flush()));
    }
    child.wait()
}
