//! `rmail`: takes mail that came by UUCP (rmail(8)). Its `From ` lines, each of which a host on the way has put in front, are
//! folded into one sender, a path of hosts (RFC 976); the rest goes to `sendmail`.

use crate::printer::Printer;
use crate::{exit, sendmail_child};
use maps::option_letters;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use std::process::ExitCode;

/// Octets of a `From ` line.
const LINE_BYTES_MAX: u64 = 4096;

/// Hosts on the way.
const HOSTS_MAX: usize = 64;

const USAGE: &str = "usage: rmail [-T] [-D domain] user ...";

/// Where a message comes from.
#[derive(Debug, Default, PartialEq, Eq)]
struct Origin {
    /// The host next to us.
    host: Vec<u8>,
    /// The hosts before it, `a!b!`.
    path: Vec<u8>,
    user: Vec<u8>,
}

/// Carries it out.
pub(crate) fn run(words: &[OsString], printer: &mut Printer) -> ExitCode {
    let Ok((letters, users)) = option_letters::read(words, b"D:T") else {
        return fail(printer, USAGE, exit::USAGE);
    };
    if users.is_empty() {
        return fail(printer, USAGE, exit::USAGE);
    }
    let mut domain = OsString::from("UUCP");
    for (letter, value) in letters {
        if letter == b'D' {
            domain = value.unwrap_or_default();
        }
    }
    let mut input = io::stdin().lock();
    let (origin, first) = match Origin::read(&mut input) {
        Ok(read) => read,
        Err(why) => return fail(printer, &format!("rmail: {why}"), exit::DATAERR),
    };
    let Some(words) = arguments(&origin, &domain, users) else {
        return fail(printer, "rmail: dash precedes address", exit::USAGE);
    };
    let sent = sendmail_child::run(&words, Path::new("/"), |to| {
        io::Write::write_all(to, &first)?;
        io::copy(&mut input, to).map(drop)
    });
    match sent.map(|status| status.code()) {
        Ok(Some(code)) => ExitCode::from(u8::try_from(code).unwrap_or(exit::SOFTWARE)),
        Ok(None) => fail(printer, "rmail: sendmail was ended by a signal", exit::SOFTWARE),
        Err(error) => fail(printer, &format!("rmail: sendmail: {error}"), exit::UNAVAILABLE),
    }
}

fn fail(printer: &mut Printer, text: &str, code: u8) -> ExitCode {
    printer.complain(text);
    ExitCode::from(code)
}

/// What sendmail is called with; `None`: an address would be taken for a flag.
fn arguments(origin: &Origin, domain: &OsStr, users: &[OsString]) -> Option<Vec<OsString>> {
    let mut words: Vec<OsString> = ["-G", "-oee", "-odq", "-oi"].map(OsString::from).into();
    if !origin.host.is_empty() {
        words.push(octets(&[b"-p", domain.as_bytes(), b":", &origin.host]));
    }
    words.push(octets(&[b"-f", &origin.path, &origin.user]));
    words.push("--".into());
    for user in users {
        let user = user.as_bytes();
        if user.starts_with(b"-") {
            return None;
        }
        // A comma would make two of it.
        let is_bare = user.contains(&b',') && !user.contains(&b'<');
        words.push(if is_bare { octets(&[b"<", user, b">"]) } else { octets(&[user]) });
    }
    Some(words)
}

fn octets(parts: &[&[u8]]) -> OsString {
    OsString::from_vec(parts.concat())
}

impl Origin {
    /// Reads the `From ` lines; gives the line behind them too.
    fn read(input: &mut impl BufRead) -> Result<(Self, Vec<u8>), String> {
        let mut origin = Self::default();
        let mut hosts: usize = 0;
        loop {
            let mut line = Vec::new();
            let read = input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
            if read.map_err(|error| error.to_string())? == 0 && origin.user.is_empty() {
                return Err("unexpected EOF".into());
            }
            let plain = line.strip_prefix(b">").unwrap_or(&line);
            let Some(rest) = plain.strip_prefix(b"From ") else {
                if origin.user.is_empty() {
                    return Err("no \"From\" header".into());
                }
                return Ok((origin, line));
            };
            hosts = hosts.saturating_add(1);
            if hosts > HOSTS_MAX {
                return Err("too many From lines".into());
            }
            origin.hop(rest.trim_ascii_end())?;
        }
    }

    /// Takes one `From ` line in.
    fn hop(&mut self, rest: &[u8]) -> Result<(), String> {
        let corrupted = || format!("corrupted From line: {}", wire::escape::text(rest));
        let mut words = rest.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let address = words.next().ok_or_else(corrupted)?;
        let words: Vec<&[u8]> = words.collect();
        let remote = words.windows(3).find_map(|window| match window {
            [b"remote", b"from", host] => Some(*host),
            _ => None,
        });
        let (before, user) = match address.iter().rposition(|&octet| octet == b'!') {
            Some(at) => (address.get(..at), address.get(at.saturating_add(1)..)),
            None => (None, Some(address)),
        };
        let before: Vec<&[u8]> =
            before.into_iter().flat_map(|path| path.split(|&octet| octet == b'!')).collect();
        for host in remote.into_iter().chain(before) {
            if self.host.is_empty() {
                self.host = host.to_vec();
            }
            self.path.extend_from_slice(host);
            self.path.push(b'!');
        }
        self.user = user.filter(|user| !user.is_empty()).ok_or_else(corrupted)?.to_vec();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Origin, Vec<u8>), String> {
        Origin::read(&mut text.as_bytes())
    }

    #[test]
    fn hosts_of_all_from_lines_make_the_path() {
        let text =
            "From uucp Sat remote from near\n>From x!joe Sat Nov 21 remote from far\nTo: a\n";
        let (origin, first) = read(text).unwrap();
        assert_eq!(
            (&*origin.host, &*origin.path, &*origin.user),
            (&b"near"[..], &b"near!far!x!"[..], &b"joe"[..])
        );
        assert_eq!(first, b"To: a\n");
    }

    #[test]
    fn an_address_is_never_a_flag() {
        let origin = read("From -C/etc/x Sat\n\n").unwrap().0;
        let words = arguments(&origin, OsStr::new("UUCP"), &["a,b".into()]).unwrap();
        assert_eq!(words, ["-G", "-oee", "-odq", "-oi", "-f-C/etc/x", "--", "<a,b>"]);
        assert_eq!(arguments(&origin, OsStr::new("UUCP"), &["-X/tmp/x".into()]), None);
    }

    #[test]
    fn what_has_no_from_line_is_refused() {
        assert_eq!(read("To: a\n").unwrap_err(), "no \"From\" header");
        assert_eq!(read("").unwrap_err(), "unexpected EOF");
        assert!(read("From \n").unwrap_err().starts_with("corrupted"));
    }
}
