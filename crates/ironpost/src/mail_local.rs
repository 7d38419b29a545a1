//! `mail.local`: puts a message into mailboxes of `/var/mail` (mail.local(8)), or with `-l` serves LMTP on standard input and
//! output (RFC 2033).
//!
//! Started by root it becomes each recipient before it touches what belongs to him; only a missing mailbox is made before
//! that, because its folder is not his. Started by anybody else it delivers to the caller alone. How the mailbox is opened,
//! locked, written and synced is [`deliver::Mailboxes`]: no links, one name, the user's own, cut back if a write fails.

mod lmtp;
mod mailbox;

use crate::exit;
use crate::system_log::{self, Severity};
use mailbox::{Failure, Post, Recipient};
use maps::option_letters;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::ExitCode;
use sys::disk::Folder;

/// Octets of a message.
const MESSAGE_BYTES_MAX: u64 = 4 << 30;

/// Where a message is kept while it is delivered.
const TEMPORARY: &str = "/tmp";

/// What the command line says.
#[derive(Debug, Default)]
struct Flags {
    /// `-7`: 8BITMIME is not offered.
    is_7bit: bool,
    /// `-b`: a mailbox over its quota is a failure for good.
    bounces_quota: bool,
    /// `-l`.
    is_lmtp: bool,
    /// `-f` or `-r`.
    sender: Option<Vec<u8>>,
    /// `-h`: the mailbox is this file in the user's home.
    home_file: Option<Vec<u8>>,
}

/// Carries it out; `called` is what it was called by.
pub(crate) fn run(called: &OsStr, words: &[OsString]) -> ExitCode {
    let Some((flags, users)) = Flags::read(words) else { return usage(called) };
    if flags.is_lmtp {
        return if users.is_empty() { lmtp::serve(&flags) } else { usage(called) };
    }
    if users.is_empty() {
        return usage(called);
    }
    let teller = Teller { called };
    let (place, message) = match message() {
        Ok(kept) => kept,
        Err(error) => {
            teller
                .tell(format!("cannot keep the message: {}", sys::error_words(&error)).as_bytes());
            return ExitCode::from(exit::TEMPFAIL);
        }
    };
    drop(place);
    let sender = flags.sender.clone().unwrap_or_else(sys::user::current_name);
    let post = Post { flags: &flags, sender: &sender, message: &message };
    let mut code = 0;
    for user in users {
        if let Err(failure) = deliver_to(&post, user.as_bytes()) {
            teller.tell(&failure.text);
            code = failure.exit_code();
        }
    }
    ExitCode::from(code)
}

fn deliver_to(post: &Post<'_>, name: &[u8]) -> Result<(), Failure> {
    post.deliver(&Recipient::find(name)?)
}

impl Flags {
    fn read(words: &[OsString]) -> Option<(Self, &[OsString])> {
        let (letters, users) = option_letters::read(words, b"7bdD:f:h:r:lH:p:nB").ok()?;
        let mut flags = Self::default();
        for (letter, value) in letters {
            let value = option_letters::octets(value.as_ref()).to_vec();
            match letter {
                b'7' => flags.is_7bit = true,
                b'b' => flags.bounces_quota = true,
                b'l' => flags.is_lmtp = true,
                // A second sender is a mistake of the caller.
                b'f' | b'r' if flags.sender.is_some() => return None,
                b'f' | b'r' => flags.sender = Some(value),
                b'h' => flags.home_file = Some(value),
                // -d is for callers of older programs; the others choose among mailbox databases that there is one of here.
                _ => {}
            }
        }
        Some((flags, users))
    }
}

/// Standard input, kept in a file without a name.
fn message() -> io::Result<(Folder, std::fs::File)> {
    let folder = Folder::open(Path::new(TEMPORARY))?;
    let mut kept = folder.make_unnamed()?.file().try_clone()?;
    let mut input = io::stdin().lock().take(MESSAGE_BYTES_MAX.saturating_add(1));
    if io::copy(&mut input, &mut kept)? > MESSAGE_BYTES_MAX {
        return Err(io::Error::other("message too large"));
    }
    Ok((folder, kept))
}

/// Says what is wrong to the caller and in the log.
struct Teller<'a> {
    called: &'a OsStr,
}

impl Teller<'_> {
    fn tell(&self, text: &[u8]) {
        system_log::write("mail.local", Severity::Error, text);
        let line = [self.called.as_bytes(), b": ", text, b"\n"].concat();
        drop(io::stderr().write_all(&line));
    }
}

fn usage(called: &OsStr) -> ExitCode {
    let flags = "[-7] [-b] [-d] [-l] [-f from|-r from] [-h filename] user ...";
    Teller { called }.tell(format!("usage: mail.local {flags}").as_bytes());
    ExitCode::from(exit::UNAVAILABLE)
}
