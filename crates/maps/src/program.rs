//! Class `program`: a command gets the key as its last argument; its first line is the value.
//!
//! No shell is between: the command is split at blanks, so nothing in a key can become a command. The
//! program gets no input, a fixed PATH, and as much time as the class allows; then it is ended.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use policy_cf::Answer;

/// How long a program may take.
const TIME_MAX: Duration = Duration::from_mins(1);
/// How much of its output is read, in bytes (sendmail's MAXLINE).
const OUTPUT_BYTES_MAX: u64 = 2047;
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(2);
/// sysexits.h.
const TEMPORARY: u8 = 75;
const CONFIGURATION: u8 = 78;

/// Looks a key up with a command.
pub(crate) fn lookup(command: &[u8], key: &[u8]) -> Answer {
    let mut line = match run(command, Some(key), OUTPUT_BYTES_MAX, TIME_MAX) {
        Ok((0, output)) => output,
        Ok((TEMPORARY, _)) | Err(Failed::Late) => return Answer::TempFail(TEMPORARY),
        Ok((code, _)) => return Answer::NotFound(code),
        Err(Failed::NotStarted(_)) => return Answer::NotFound(CONFIGURATION),
    };
    if let Some(end) = line.iter().position(|&octet| octet == b'\n' || octet == 0) {
        line.truncate(end);
    }
    if line.is_empty() {
        return Answer::NotFound(0);
    }
    for octet in &mut line {
        // Characters that the rule machine gives a meaning to.
        if octet.is_ascii_control() {
            *octet = b' ';
        }
    }
    Answer::Found(line)
}

/// Why there is no output.
#[derive(Debug)]
pub(crate) enum Failed {
    /// It could not be started; the system's number.
    NotStarted(i32),
    /// It took too long and was ended.
    Late,
}

/// Runs a command and gives its exit code and what it printed, up to a limit.
///
/// # Errors
/// See [`Failed`].
pub(crate) fn run(
    command: &[u8],
    key: Option<&[u8]>,
    limit_bytes: u64,
    time: Duration,
) -> Result<(u8, Vec<u8>), Failed> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let mut words = command.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let program = words.next().ok_or(Failed::NotStarted(2))?;
    let mut child = Command::new(OsStr::from_bytes(program))
        .args(words.map(OsStr::from_bytes))
        .args(key.map(|key| OsStr::from_bytes(key).to_owned()))
        .env_clear()
        .env("PATH", "/bin:/usr/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| Failed::NotStarted(error.raw_os_error().unwrap_or(2)))?;
    let (sender, receiver) = mpsc::channel();
    if let Some(output) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut octets = Vec::new();
            let read = output.take(limit_bytes).read_to_end(&mut octets);
            drop(read.map(|_| sender.send(octets)));
        });
    }
    let until = Instant::now() + time;
    let Ok(octets) = receiver.recv_timeout(time) else {
        end(&mut child);
        return Err(Failed::Late);
    };
    loop {
        match child.try_wait() {
            Ok(Some(status)) => {
                let code =
                    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(TEMPORARY);
                return Ok((code, octets));
            }
            Ok(None) if Instant::now() < until => std::thread::sleep(LOOK_AGAIN_AFTER),
            Ok(None) | Err(_) => {
                end(&mut child);
                return Err(Failed::Late);
            }
        }
    }
}

fn end(child: &mut Child) {
    drop(child.kill());
    drop(child.wait());
}
