//! Going to the background, as sendmail does with `-bd` and `-q30m`.
//!
//! The program starts itself again, in a session of its own and without the caller's terminal. A server is waited for until it
//! serves: what it says before reaches the caller, and if it does not come so far, its exit status does. So a start
//! script knows when the server is there, and whoever reads the script's output is not kept waiting by a daemon that holds it.

use crate::exit;
use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::process::{Command, ExitCode, Stdio};

/// Set for the process in the background: it need not go there once more.
const IN_BACKGROUND: &str = "IRONPOST_IN_BACKGROUND";

/// Ends what the caller is told: it may go.
const ARRIVED: u8 = 0;

/// Octets that are passed on at once.
const PIECE_BYTES: usize = 4096;

/// Whether we are there.
pub(super) fn is_here() -> bool {
    std::env::var_os(IN_BACKGROUND).is_some()
}

/// Cuts what still ties us to the terminal that we were started from.
pub(super) fn settle() {
    // Whoever leads a session already has none of the caller's.
    rustix::process::setsid().ok();
}

/// Starts ourselves again with the same words, and does not wait.
pub(super) fn leave(words: &[OsString]) -> io::Result<()> {
    ourselves(words)?.stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(drop)
}

/// Starts ourselves again with the same words, and waits until that one calls [`arrived`] or ends.
pub(super) fn leave_behind(words: &[OsString]) -> io::Result<ExitCode> {
    let (mut said, its) = io::pipe()?;
    let mut child = ourselves(words)?.stdout(its.try_clone()?).stderr(its).spawn()?;
    let mut piece = [0; PIECE_BYTES];
    loop {
        let count = match said.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        let piece = piece.get(..count).unwrap_or_default();
        let end = piece.iter().position(|octet| *octet == ARRIVED);
        let text = piece.get(..end.unwrap_or(count)).unwrap_or_default();
        // A caller who hears nothing has its server all the same.
        io::stderr().write_all(text).ok();
        if end.is_some() {
            return Ok(ExitCode::SUCCESS);
        }
        if count == 0 {
            let code = child.wait()?.code().and_then(|code| u8::try_from(code).ok());
            return Ok(ExitCode::from(code.unwrap_or(exit::SOFTWARE)));
        }
    }
}

/// Tells the caller that the server serves.
pub(super) fn arrived() {
    let mut out = io::stdout().lock();
    // The caller may be gone.
    out.write_all(&[ARRIVED]).and_then(|()| out.flush()).ok();
}

fn ourselves(words: &[OsString]) -> io::Result<Command> {
    use std::os::unix::process::CommandExt as _;
    let name = std::env::args_os().next().unwrap_or_else(|| "sendmail".into());
    let mut command = Command::new(std::env::current_exe()?);
    command.arg0(name).args(words).env(IN_BACKGROUND, "1").stdin(Stdio::null());
    Ok(command)
}
