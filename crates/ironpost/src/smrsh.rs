//! `smrsh -c COMMAND`: the shell of mailers that run programs (smrsh(8)). Only programs that the administrator has put
//! into one folder are run, whatever path was asked for, and nothing that a shell would take for more than words.
//!
//! The command is read as `PROGRAM WORDS [|| or && PROGRAM WORDS]…`; `exec` before a program, and the builtins `exit` and
//! `echo`, stay. Each program becomes its path in the folder. Octets that mean something to a shell are refused, with and
//! without the eighth bit, because shells have been known to strip it. What is left goes to `/bin/sh -c` in an environment of
//! one variable: nothing of a message is in it (CVE-2014-6271).

use crate::exit;
use crate::system_log::{self, Severity};
use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// The folder of programs that may be run (Debian's place).
const FOLDER: &str = "/etc/mail/smrsh";

/// What a shell takes for more than a part of a word.
const SPECIALS: &[u8] = b"<|>^();&`$\r\n";

/// Octets of a command.
const COMMAND_BYTES_MAX: usize = 64 * 1024;

/// Octets of a path.
const PATH_BYTES_MAX: usize = 4096;

/// `EX_OSFILE` of sysexits.h: a file of the system is missing.
const EX_OSFILE: u8 = 72;

/// Why a command is not run.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    /// There is nothing to run.
    Usage,
    /// `exec`, and nothing behind it.
    MissingCommand,
    /// The command is longer than any that is meant well.
    TooLong,
    /// A program that is not in the folder: its name, what was asked for, and why.
    Program { name: Vec<u8>, asked: Vec<u8>, why: &'static str },
    /// An octet that a shell would act on.
    Special(u8),
}

/// Gives the path of a program, or why it is not run.
type Lookup<'a> = dyn Fn(&[u8]) -> Result<Vec<u8>, &'static str> + 'a;

/// Carries it out; `name` is what it was called by.
pub(crate) fn run(name: &OsStr, words: &[OsString]) -> ExitCode {
    let [flag, command] = words else { return refuse(name, b"", &Refusal::Usage) };
    if flag != "-c" {
        return refuse(name, b"", &Refusal::Usage);
    }
    let command = command.as_bytes();
    match rewritten(command, &|program| in_folder(program)) {
        Ok(rewritten) => execute(name, rewritten),
        Err(refusal) => refuse(name, command, &refusal),
    }
}

/// The command as the shell gets it.
fn rewritten(command: &[u8], program_of: &Lookup<'_>) -> Result<Vec<u8>, Refusal> {
    if command.len() > COMMAND_BYTES_MAX {
        return Err(Refusal::TooLong);
    }
    let mut out = Vec::new();
    let mut rest = command;
    let mut after_exec = false;
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return match (after_exec, out.is_empty()) {
                (true, _) => Err(Refusal::MissingCommand),
                (false, true) => Err(Refusal::Usage),
                (false, false) => Ok(out),
            };
        }
        let asked = rest;
        let end = rest.iter().position(|octet| b" \t".contains(octet));
        let (word, arguments) =
            rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or((rest, b""));
        let is_slash = |&octet: &u8| octet & 0x7f == b'/';
        let name = word.rsplit(is_slash).next().unwrap_or_default();
        if word == b"exec" && end.is_some() {
            out.extend_from_slice(b"exec ");
            after_exec = true;
            rest = arguments;
            continue;
        }
        after_exec = false;
        if word == b"exit" || word == b"echo" {
            out.extend_from_slice(word);
        } else {
            let path = program_of(name).map_err(|why| Refusal::Program {
                name: name.to_vec(),
                asked: asked.to_vec(),
                why,
            })?;
            out.extend_from_slice(&path);
        }
        let Some(at) = arguments.iter().position(|&octet| is_special(octet)) else {
            out.extend_from_slice(arguments);
            return Ok(out);
        };
        let special = arguments.get(at..).unwrap_or_default();
        if !special.starts_with(b"||") && !special.starts_with(b"&&") {
            return Err(Refusal::Special(special.first().copied().unwrap_or_default()));
        }
        let after = at.saturating_add(2);
        out.extend_from_slice(arguments.get(..after).unwrap_or_default());
        out.push(b' ');
        rest = arguments.get(after..).unwrap_or_default();
    }
}

fn is_special(octet: u8) -> bool {
    SPECIALS.contains(&octet) || (octet >= 0x80 && SPECIALS.contains(&(octet & 0x7f)))
}

/// The path of a program in the folder, if it is one.
fn in_folder(name: &[u8]) -> Result<Vec<u8>, &'static str> {
    let path = [FOLDER.as_bytes(), b"/", name].concat();
    if path.len() >= PATH_BYTES_MAX {
        return Err(" (filename too long)");
    }
    let file = PathBuf::from(OsString::from_vec(path.clone()));
    let metadata = std::fs::metadata(&file).map_err(|_| " (stat failed)")?;
    if !metadata.is_file() {
        return Err(" (not a file)");
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err("");
    }
    // A name that the shell would read as more than a name never gets to it.
    if name.iter().any(|&octet| is_special(octet) || b"'\"\\*?[]~#!{}=%".contains(&octet)) {
        return Err("");
    }
    Ok(path)
}

fn execute(name: &OsStr, command: Vec<u8>) -> ExitCode {
    let mut shell = Command::new("/bin/sh");
    shell.arg0("/bin/sh").arg("-c").arg(OsString::from_vec(command));
    shell.env_clear().env("PATH", "/usr/bin:/bin");
    let error = shell.exec();
    let words = sys::error_words(&error);
    system_log::write(
        "smrsh",
        Severity::Critical,
        format!("Cannot exec /bin/sh: {words}").as_bytes(),
    );
    say(&[name.as_bytes(), b": Cannot exec /bin/sh: ", words.as_bytes()]);
    ExitCode::from(EX_OSFILE)
}

/// Says why not, to the caller and in the log.
fn refuse(name: &OsStr, command: &[u8], refusal: &Refusal) -> ExitCode {
    let name = name.as_bytes();
    let uid = format!("uid {}: ", sys::user::real_uid()).into_bytes();
    let log = |text: &[&[u8]]| {
        system_log::write("smrsh", Severity::Critical, &[&uid, &*text.concat()].concat());
    };
    match refusal {
        Refusal::Usage => {
            say(&[b"Usage: ", name, b" -c command"]);
            system_log::write("smrsh", Severity::Error, b"usage");
            return ExitCode::from(exit::USAGE);
        }
        Refusal::MissingCommand => {
            say(&[name, b": missing command to exec"]);
            log(&[b"missing command to exec"]);
        }
        Refusal::TooLong => {
            let begin = command.get(..40).unwrap_or(command);
            say(&[name, b": command too long: ", begin]);
            system_log::write("smrsh", Severity::Error, &[b"command too long: ", begin].concat());
        }
        Refusal::Program { name: program, asked, why } => {
            say(&[
                name,
                b": \"",
                program,
                b"\" not available for sendmail programs",
                why.as_bytes(),
            ]);
            log(&[b"attempt to use \"", asked, b"\"", why.as_bytes()]);
        }
        Refusal::Special(octet) => {
            say(&[name, b": cannot use ", &[*octet], b" in command"]);
            log(&[b"attempt to use ", &[*octet], b" in command: ", command]);
        }
    }
    ExitCode::from(exit::UNAVAILABLE)
}

fn say(parts: &[&[u8]]) {
    let line = [&*parts.concat(), b"\n"].concat();
    // Who does not listen is not told.
    drop(std::io::stderr().write_all(&line));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(command: &[u8]) -> Result<String, Refusal> {
        let program_of = |name: &[u8]| match name {
            b"vacation" | b"x" => Ok([b"/d/", name].concat()),
            _ => Err(" (stat failed)"),
        };
        rewritten(command, &program_of).map(|out| String::from_utf8_lossy(&out).into_owned())
    }

    #[test]
    fn a_program_is_run_from_the_folder_whatever_its_path() {
        assert_eq!(told(b"/usr/bin/vacation -a b").unwrap(), "/d/vacation -a b");
        assert_eq!(told(b"\xafvacation").unwrap(), "/d/vacation");
        assert_eq!(told(b"exec x || exit 75").unwrap(), "exec /d/x || exit 75");
        assert_eq!(
            told(b"x&& x").unwrap_err(),
            Refusal::Program {
                name: b"x&&".to_vec(),
                asked: b"x&& x".to_vec(),
                why: " (stat failed)"
            }
        );
        assert_eq!(told(b"x && /bin/ls"), told(b"/bin/ls"));
    }

    #[test]
    fn what_a_shell_would_act_on_is_refused() {
        for special in SPECIALS {
            for octet in [*special, special | 0x80] {
                let command = [b"x a", &[octet][..], b"b"].concat();
                assert_eq!(told(&command), Err(Refusal::Special(octet)));
            }
        }
    }

    #[test]
    fn nothing_to_run_is_said() {
        assert_eq!(told(b" \t"), Err(Refusal::Usage));
        assert_eq!(told(b"exec "), Err(Refusal::MissingCommand));
        assert_eq!(told(b"exit 3").unwrap(), "exit 3");
    }
}
