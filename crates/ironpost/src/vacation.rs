//! `vacation`: answers mail while its reader is away, each sender once in a while (vacation(1), RFC 3834).
//!
//! Reads a message from standard input, as from a `.forward` file: `\alice, "|/usr/bin/vacation alice"`. It answers if the
//! message names the user in To or Cc, is from a person (RFC 3834, 2), and its sender was not answered lately. Who was answered
//! when is kept in `~/.vacation.db`, a Berkeley DB hash file; the answer is `~/.vacation.msg`.

mod database;
mod letter;
mod reply;

use crate::exit;
use crate::system_log::{self, Severity};
use database::{Database, FOREVER};
use letter::Letter;
use maps::option_letters;
use std::ffi::{OsStr, OsString};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// `EX_NOINPUT` of sysexits.h.
const EX_NOINPUT: u8 = 66;

/// `EX_NOUSER` of sysexits.h.
const EX_NOUSER: u8 = 67;

const USAGE: &str = "usage: vacation [-a alias] [-C cfpath] [-d] [-f db] [-i] [-j] [-l] [-m msg] [-R returnaddr] \
                     [-r interval] [-s sender] [-t time] [-U] [-x] [-z] login";

/// Octets of the list of those who get no answer (`-x`).
const LIST_BYTES_MAX: u64 = 4 << 20;

/// Octets of one name in that list.
const NAME_BYTES_MAX: usize = 1024;

const SECONDS_A_DAY: i64 = 86_400;

/// What the command line says.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
struct Flags {
    aliases: Vec<Vec<u8>>,
    cf: Option<OsString>,
    /// `-d`: what is wrong goes to standard error instead of the log.
    is_debugged: bool,
    database: Option<OsString>,
    makes_new: bool,
    /// `-j`: the user need not be named in To or Cc.
    answers_all: bool,
    lists: bool,
    message: Option<OsString>,
    return_address: Option<OsString>,
    /// Seconds between two answers to a sender.
    interval_s: Option<i64>,
    sender: Option<Vec<u8>>,
    /// `-U`: the name is no login name.
    is_no_user: bool,
    excludes: bool,
    /// `-z`: the answer's sender is empty.
    has_null_sender: bool,
}

/// Why it ends: exit code, and what is said with which severity.
#[derive(Debug)]
struct Stop {
    code: u8,
    said: Option<(Severity, String)>,
}

impl Stop {
    fn silent(code: u8) -> Self {
        Self { code, said: None }
    }

    fn notice(code: u8, text: String) -> Self {
        Self { code, said: Some((Severity::Notice, text)) }
    }

    fn error(code: u8, text: String) -> Self {
        Self { code, said: Some((Severity::Error, text)) }
    }
}

/// Carries it out.
pub(crate) fn run(words: &[OsString]) -> ExitCode {
    let mut flags = Flags::default();
    let done = flags.read(words).and_then(|login| Vacation::of(&flags, login)?.run());
    // The mailer must not find a closed pipe: all of the message is read.
    let mut input = std::io::stdin().lock();
    if done.is_ok() && !flags.makes_new && !flags.lists {
        drop(std::io::copy(&mut input, &mut std::io::sink()));
    }
    let Err(stop) = done else { return ExitCode::SUCCESS };
    match stop.said {
        None => {}
        Some((_, text)) if flags.is_debugged => {
            drop(writeln!(std::io::stderr(), "{text}"));
        }
        Some((severity, text)) => system_log::write("vacation", severity, text.as_bytes()),
    }
    ExitCode::from(stop.code)
}

impl Flags {
    /// Reads the flags; gives the name behind them.
    fn read<'a>(&mut self, words: &'a [OsString]) -> Result<Option<&'a OsString>, Stop> {
        let read = option_letters::read(words, b"a:C:df:Iijlm:R:r:s:t:Uxz");
        let (letters, rest) = read.map_err(|()| usage())?;
        for (letter, value) in letters {
            let octets = || option_letters::octets(value.as_ref()).to_vec();
            match letter {
                b'a' => self.aliases.push(octets()),
                b'C' => self.cf = value,
                b'd' => self.is_debugged = true,
                b'f' => self.database = value,
                b'I' | b'i' => self.makes_new = true,
                b'j' => self.answers_all = true,
                b'l' => self.lists = true,
                b'm' => self.message = value,
                b'R' => self.return_address = value,
                b'r' => self.interval_s = Some(interval(&octets()).ok_or_else(usage)?),
                b's' => self.sender = Some(octets()),
                b'U' => self.is_no_user = true,
                b'x' => self.excludes = true,
                b'z' => self.has_null_sender = true,
                // -t is for callers of an older program.
                _ => {}
            }
        }
        match rest {
            [login] => Ok(Some(login)),
            [] if self.makes_new || self.lists || self.excludes => Ok(None),
            _ => Err(usage()),
        }
    }
}

fn usage() -> Stop {
    Stop::notice(exit::USAGE, format!("uid {}: {USAGE}", sys::user::real_uid()))
}

/// Days as seconds; what is no number means never again.
fn interval(text: &[u8]) -> Option<i64> {
    if !text.first().is_some_and(u8::is_ascii_digit) {
        return Some(FOREVER);
    }
    let digits = text.split(|octet| !octet.is_ascii_digit()).next().unwrap_or_default();
    let days: i64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    days.checked_mul(SECONDS_A_DAY)
}

/// Whose mail is answered, from which files.
#[derive(Debug)]
struct Vacation<'a> {
    flags: &'a Flags,
    /// The names that the user goes by in To and Cc.
    names: Vec<Vec<u8>>,
    home: PathBuf,
    database: PathBuf,
    message: PathBuf,
}

impl<'a> Vacation<'a> {
    fn of(flags: &'a Flags, login: Option<&OsString>) -> Result<Self, Stop> {
        let (name, home) = if flags.is_no_user {
            if flags.database.is_none() || flags.message.is_none() {
                let text = "vacation: -U requires setting both -f and -m";
                return Err(Stop::notice(EX_NOINPUT, text.into()));
            }
            let name =
                login.map_or_else(sys::user::current_name, |login| login.as_bytes().to_vec());
            (name, PathBuf::from("."))
        } else {
            let user = user_of(login)?;
            (user.name.into_bytes(), user.home)
        };
        let place = |given: &Option<OsString>, usual: &str| {
            home.join(given.as_deref().unwrap_or(OsStr::new(usual)))
        };
        let mut names = vec![name];
        names.extend(flags.aliases.iter().cloned());
        let database = database::with_suffix(place(&flags.database, ".vacation"));
        let message = place(&flags.message, ".vacation.msg");
        Ok(Self { flags, names, home, database, message })
    }

    fn run(&self) -> Result<(), Stop> {
        let wrong = |words: String| {
            let shown = self.database.with_extension("");
            Stop::notice(exit::DATAERR, format!("vacation: {}: {words}", shown.display()))
        };
        let mut database = Database::open(&self.database, self.flags.makes_new).map_err(wrong)?;
        if self.flags.lists {
            drop(std::io::stdout().write_all(&database.listing()));
            return Ok(());
        }
        if let Some(interval_s) = self.flags.interval_s {
            database.set_interval(interval_s);
        }
        if self.flags.excludes {
            exclude(&mut database);
        }
        let is_only_kept = self.flags.makes_new || self.flags.excludes;
        if is_only_kept {
            return database.keep().map_err(wrong);
        }
        let answered = self.answer(&mut database);
        database.keep().map_err(wrong)?;
        answered
    }

    /// Answers the message on standard input, if it is to be answered.
    fn answer(&self, database: &mut Database) -> Result<(), Stop> {
        let mut letter = Letter::read(&mut std::io::stdin().lock());
        if let Some(sender) = &self.flags.sender {
            letter.sender.clone_from(sender);
            letter.has_separator = true;
        }
        if letter.is_of_a_machine() || (!self.flags.answers_all && !letter.names(&self.names)) {
            return Ok(());
        }
        if !letter.has_separator {
            let text = "vacation: no initial \"From \" line.";
            return Err(Stop::notice(exit::DATAERR, text.into()));
        }
        if letter.is_from_a_machine() {
            return Ok(());
        }
        let now_s = i64::try_from(sys::clock::realtime_s()).unwrap_or(i64::MAX);
        if database.was_answered(&letter.sender, now_s) {
            return Ok(());
        }
        let text = std::fs::File::open(&self.message).map_err(|_| {
            let path = self.message.display();
            Stop::notice(EX_NOINPUT, format!("vacation: no {path} file."))
        })?;
        database.note(&letter.sender, now_s);
        // Kept before it is sent: a loop of answers is worse than an answer too few.
        database
            .keep()
            .map_err(|words| Stop::error(exit::DATAERR, format!("vacation: {words}")))?;
        reply::Reply {
            letter: &letter,
            text,
            cf: self.flags.cf.as_deref(),
            from: self.envelope_sender(),
            home: &self.home,
        }
        .send()
        .map_err(|error| {
            let words = sys::error_words(&error);
            Stop::error(exit::TEMPFAIL, format!("vacation: can't exec sendmail: {words}"))
        })
    }

    fn envelope_sender(&self) -> Vec<u8> {
        match (&self.flags.return_address, self.flags.has_null_sender) {
            (_, true) => b"<>".to_vec(),
            (Some(address), false) => address.as_bytes().to_vec(),
            (None, false) => self.names.first().cloned().unwrap_or_default(),
        }
    }
}

/// The user of this login name, or the caller.
fn user_of(login: Option<&OsString>) -> Result<sys::user::User, Stop> {
    let found = match login {
        Some(login) => sys::user::by_name(&login.to_string_lossy()),
        None => sys::user::current(),
    };
    match (found, login) {
        (Ok(Some(user)), _) => Ok(user),
        (Ok(None), Some(login)) => {
            let text = format!("vacation: no such user {}.", login.display());
            Err(Stop::error(EX_NOUSER, text))
        }
        (Ok(None), None) => {
            let text = format!("vacation: no such user uid {}.", sys::user::real_uid());
            Err(Stop::error(EX_NOUSER, text))
        }
        (Err(_), _) => Err(Stop::silent(exit::TEMPFAIL)),
    }
}

/// Those of standard input, one a line, get no answer.
fn exclude(database: &mut Database) {
    let mut list = Vec::new();
    // What was read before an error counts.
    drop(std::io::stdin().lock().take(LIST_BYTES_MAX).read_to_end(&mut list));
    for name in list.split(|&octet| octet == b'\n') {
        let name = name.trim_ascii();
        if !name.is_empty() && name.len() <= NAME_BYTES_MAX {
            database.note(name, FOREVER);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_in_days_and_what_is_no_number_means_once() {
        assert_eq!(interval(b"3"), Some(3 * SECONDS_A_DAY));
        assert_eq!(interval(b"infinite"), Some(FOREVER));
        assert_eq!(interval(b"99999999999999999999"), None);
    }
}
