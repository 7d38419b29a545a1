//! LMTP as `mail.local -l` speaks it (RFC 2033): one caller, who is our own mailer, on standard input and output.

use super::mailbox::{Post, Recipient};
use super::{Flags, MESSAGE_BYTES_MAX, TEMPORARY};
use std::fs::File;
use std::io::{self, BufRead, Read as _, Stdout, Write as _};
use std::path::Path;
use std::process::ExitCode;
use sys::disk::Folder;

/// Octets of a command line; the rest of a longer one is thrown away.
const COMMAND_BYTES_MAX: u64 = 4096;

/// Octets of a message's line that are looked at as one.
const PIECE_BYTES_MAX: u64 = 64 * 1024;

/// Recipients of a message.
const RECIPIENTS_MAX: usize = 10_000;

/// Serves until QUIT or the end of the input.
pub(super) fn serve(flags: &Flags) -> ExitCode {
    let mut server =
        Server { flags, out: io::stdout(), greeted: false, sender: None, recipients: Vec::new() };
    let name = String::from_utf8_lossy(&sys::host_name()).into_owned();
    let mut input = io::stdin().lock();
    let mut is_open = server.say(&format!("220 {name} LMTP ready"));
    while is_open {
        let Some(line) = command(&mut input) else { break };
        is_open = match server.command(&line, &name) {
            Next::Said(is_open) => is_open,
            Next::Data => server.data(&mut input),
        };
    }
    ExitCode::SUCCESS
}

/// What follows a command.
enum Next {
    /// The reply is out; whether more is to come.
    Said(bool),
    /// The message.
    Data,
}

struct Server<'a> {
    flags: &'a Flags,
    out: Stdout,
    greeted: bool,
    sender: Option<Vec<u8>>,
    recipients: Vec<Recipient>,
}

/// A line without its end; `None`: the input is over.
fn command(input: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    let read = input.by_ref().take(COMMAND_BYTES_MAX).read_until(b'\n', &mut line).ok()?;
    if read == 0 {
        return None;
    }
    if !line.ends_with(b"\n") {
        skip_line(input);
    }
    Some(line.trim_ascii_end().to_vec())
}

fn skip_line(input: &mut impl BufRead) {
    let mut rest = Vec::new();
    loop {
        rest.clear();
        let read = input.by_ref().take(PIECE_BYTES_MAX).read_until(b'\n', &mut rest);
        if !read.is_ok_and(|read| read > 0) || rest.ends_with(b"\n") {
            return;
        }
    }
}

impl Server<'_> {
    /// A reply; false: nobody reads it.
    fn say(&mut self, line: &str) -> bool {
        let written = self.out.write_all(format!("{line}\r\n").as_bytes());
        written.and_then(|()| self.out.flush()).is_ok()
    }

    fn command(&mut self, line: &[u8], name: &str) -> Next {
        let lower = line.to_ascii_lowercase();
        let verb = lower.split(|&octet| octet == b' ').next().unwrap_or_default();
        let reply = match verb {
            b"lhlo" => {
                self.greeted = true;
                let eight = if self.flags.is_7bit { "" } else { "250-8BITMIME\r\n" };
                format!("250-{name}\r\n{eight}250-ENHANCEDSTATUSCODES\r\n250 PIPELINING")
            }
            b"mail" => self.mail(line, &lower).to_owned(),
            b"rcpt" => self.rcpt(line, &lower),
            b"data" if self.recipients.is_empty() => "503 5.5.1 No recipients".into(),
            b"data" => return Next::Data,
            b"noop" => "250 2.0.0 Ok".into(),
            b"rset" => {
                self.reset();
                "250 2.0.0 Ok".into()
            }
            b"vrfy" => "252 2.3.3 Try RCPT to attempt delivery".into(),
            b"quit" => {
                let _is_heard: bool = self.say("221 2.0.0 Bye");
                return Next::Said(false);
            }
            _ => "500 5.5.2 Syntax error".into(),
        };
        Next::Said(self.say(&reply))
    }

    fn reset(&mut self) {
        self.sender = None;
        self.recipients.clear();
    }

    fn mail(&mut self, line: &[u8], lower: &[u8]) -> &'static str {
        if self.sender.is_some() {
            return "503 5.5.1 Nested MAIL command";
        }
        match path(line, lower, b"mail from:") {
            Some(sender) => {
                self.sender = Some(sender.to_vec());
                "250 2.5.0 Ok"
            }
            None => "501 5.5.4 Syntax error in parameters",
        }
    }

    fn rcpt(&mut self, line: &[u8], lower: &[u8]) -> String {
        if self.sender.is_none() {
            return "503 5.5.1 Need MAIL command".into();
        }
        let Some(address) = path(line, lower, b"rcpt to:") else {
            return "501 5.5.4 Syntax error in parameters".into();
        };
        if self.recipients.len() >= RECIPIENTS_MAX {
            return "452 4.5.3 Too many recipients".into();
        }
        // The domain has brought it here and means nothing any more.
        let local = match address.iter().rposition(|&octet| octet == b'@') {
            Some(at) => address.get(..at).unwrap_or_default(),
            None => address,
        };
        match Recipient::find(local.strip_prefix(b"\\").unwrap_or(local)) {
            Ok(recipient) => {
                self.recipients.push(recipient);
                "250 2.1.5 Ok".into()
            }
            Err(failure) if failure.is_unknown() => "550 5.1.1 User unknown".into(),
            Err(failure) => format!("451 4.3.0 {}", String::from_utf8_lossy(&failure.text)),
        }
    }

    /// Takes the message and answers for each recipient; false: the input is over.
    fn data(&mut self, input: &mut impl BufRead) -> bool {
        if !self.say("354 Go ahead") {
            return false;
        }
        let kept = match Folder::open(Path::new(TEMPORARY)).and_then(|folder| {
            let file = folder.make_unnamed()?.file().try_clone()?;
            Ok(file)
        }) {
            Ok(file) => file,
            Err(error) => {
                let words = sys::error_words(&error);
                let line = format!("421 4.3.0 can not open temporary file: {words}");
                let _is_heard: bool = self.say(&line);
                return false;
            }
        };
        let taken = take(input, &kept);
        let Some(taken) = taken else { return false };
        let sender = self.sender.take().unwrap_or_default();
        let recipients = std::mem::take(&mut self.recipients);
        let post = Post { flags: self.flags, sender: &sender, message: &kept };
        for recipient in &recipients {
            let delivered = match &taken {
                Ok(()) => post.deliver(recipient),
                Err(words) => {
                    let line = format!("451 4.3.0 {words}");
                    if !self.say(&line) {
                        return false;
                    }
                    continue;
                }
            };
            let line = match delivered {
                Ok(()) => format!("250 2.1.5 {} Ok", recipient.name()),
                Err(failure) => {
                    let (class, subject, detail) = failure.status;
                    let text = wire::escape::text(&failure.text);
                    format!("{} {class}.{subject}.{detail} {text}", failure.reply_code())
                }
            };
            if !self.say(&line) {
                return false;
            }
        }
        true
    }
}

/// The address between angle brackets; parameters behind it are left alone.
fn path<'a>(line: &'a [u8], lower: &[u8], verb: &[u8]) -> Option<&'a [u8]> {
    if !lower.starts_with(verb) {
        return None;
    }
    let rest = line.get(verb.len()..)?.trim_ascii_start().strip_prefix(b"<")?;
    let mut is_quoted = false;
    let mut is_escaped = false;
    let end = rest.iter().position(|&octet| {
        let is_end = octet == b'>' && !is_quoted && !is_escaped;
        is_quoted ^= octet == b'"' && !is_escaped;
        is_escaped = octet == b'\\' && !is_escaped;
        is_end
    })?;
    rest.get(..end)
}

/// The message up to the dot; `None`: the input ended before. What can't be kept is read on and said in words.
fn take(input: &mut impl BufRead, mut kept: &File) -> Option<Result<(), String>> {
    let mut size: u64 = 0;
    let mut failed = None;
    let mut at_line_start = true;
    loop {
        let mut line = Vec::new();
        let read = input.by_ref().take(PIECE_BYTES_MAX).read_until(b'\n', &mut line).ok()?;
        if read == 0 {
            return None;
        }
        let mut piece = &*line;
        if at_line_start {
            if piece == b".\r\n" || piece == b".\n" {
                return Some(failed.map_or(Ok(()), Err));
            }
            piece = piece.strip_prefix(b".").unwrap_or(piece);
        }
        at_line_start = line.ends_with(b"\n");
        size = size.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if size > MESSAGE_BYTES_MAX {
            failed = Some("message too large".to_owned());
        }
        if failed.is_none()
            && let Err(error) = kept.write_all(piece)
        {
            failed = Some(sys::error_words(&error));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_what_stands_between_the_brackets() {
        let read = |line: &str| {
            let lower = line.to_ascii_lowercase();
            path(line.as_bytes(), lower.as_bytes(), b"rcpt to:").map(<[u8]>::to_vec)
        };
        assert_eq!(read("RCPT TO:<\"a>b\"@c> X=y").unwrap(), b"\"a>b\"@c");
        assert_eq!(read("rcpt to: <a>").unwrap(), b"a");
        assert_eq!(read("rcpt to:a"), None);
        assert_eq!(read("rcpt to:<a"), None);
    }

    #[test]
    fn a_dot_behind_a_cut_line_does_not_end_the_message() {
        let folder = tempfile::TempDir::new().unwrap();
        let kept = File::create(folder.path().join("kept")).unwrap();
        let long = "x".repeat(usize::try_from(PIECE_BYTES_MAX).unwrap());
        let text = format!("{long}.\r\n..\r\n.\r\nRSET\r\n");
        let mut input = text.as_bytes();
        assert_eq!(take(&mut input, &kept), Some(Ok(())));
        assert_eq!(input, b"RSET\r\n");
        let kept = std::fs::read_to_string(folder.path().join("kept")).unwrap();
        assert_eq!(kept, format!("{long}.\r\n.\r\n"));
    }
}
