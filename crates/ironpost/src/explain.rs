//! `ironpost explain ADDRESS…`: what would come of mail, and why.
//!
//! A sentence first, then the rule sets that ran, the rules that fired with their place in the file, and the maps that
//! were asked. With `--diff` two configurations are put side by side and only what differs is shown.

#[cfg(test)]
mod any_octets;
mod json;
mod landing;
pub(crate) mod source;
mod steps;
mod toml;
mod trial;
mod words;

use crate::exit;
use crate::flags::ExplainFlags;
use crate::printer::Printer;
use policy_cf::machine::Machine;
use source::{Language, Source};
use std::ffi::OsStr;
use std::io::{BufRead, IsTerminal, Read};
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;
use trial::{Outcome, Session};
use words::Show;

/// The longest line of standard input; an address has at most 255 octets.
const LINE_OCTETS_MAX: u64 = 64 * 1024;
/// Two configurations answer differently.
const DIFFERENT: u8 = 1;
/// sysexits.h: no such user, no such host; the reason a name can't be delivered to.
const NOUSER: u8 = 67;
/// See [`NOUSER`].
const NOHOST: u8 = 68;

/// Explains every address.
pub(crate) fn run(flags: &ExplainFlags, printer: &mut Printer) -> ExitCode {
    let session = match session(flags) {
        Ok(session) => session,
        Err(why) => return printer.fail("ironpost explain", &why, exit::USAGE),
    };
    if flags.addresses.is_empty() && std::io::stdin().is_terminal() {
        let why = "which address? Name some, or give them on standard input, one a line";
        return printer.fail("ironpost explain", why, exit::USAGE);
    }
    let explained = match &flags.diff {
        Some(other) => with_file(&flags.config, printer, |name, file, printer| {
            with_file(other, printer, |other_name, other_file, printer| {
                let pair = [(name, file), (other_name, other_file)];
                differences(flags, &session, pair, printer)
            })
        }),
        None => {
            with_file(&flags.config, printer, |name, file, printer| match source::language(file) {
                Language::Cf => by_cf(flags, &session, name, file, printer),
                Language::Toml => toml::explain(flags, &session, name, file, printer),
            })
        }
    };
    ExitCode::from(explained)
}

/// What the flags say of the client and the sender.
fn session(flags: &ExplainFlags) -> Result<Session, String> {
    let client = match &flags.client {
        None => None,
        Some(text) => {
            let (ip, name) = match text.split_once(',') {
                Some((ip, name)) => (ip, Some(name.as_bytes().to_vec())),
                None => (text.as_str(), None),
            };
            let ip: IpAddr = ip
                .parse()
                .map_err(|_| format!("--client wants IP or IP,NAME; \"{text}\" is neither"))?;
            Some((ip, name.filter(|name| !name.is_empty())))
        }
    };
    let octets = |text: &std::ffi::OsString| text.as_bytes().to_vec();
    let from = flags.from.as_ref().map(|from| trial::bare(from.as_bytes()).to_vec());
    Ok(Session { client, helo: flags.helo.as_ref().map(octets), from })
}

/// Reads a configuration's octets and goes on with them.
fn with_file(
    path: &Path,
    printer: &mut Printer,
    then: impl FnOnce(&[u8], &[u8], &mut Printer) -> u8,
) -> u8 {
    let limit = u64::try_from(policy_cf::load::FILE_OCTETS_MAX).unwrap_or(u64::MAX);
    let mut file = Vec::new();
    let read = std::fs::File::open(path).and_then(|open| open.take(limit).read_to_end(&mut file));
    match read {
        Ok(_) => then(path.as_os_str().as_bytes(), &file, printer),
        Err(error) => {
            printer.complain(&format!("ironpost explain: {}: {error}", path.display()));
            exit::CONFIG
        }
    }
}

/// Calls `each` for every address of the command line, or of standard input if there are none there.
fn each_address(flags: &ExplainFlags, mut each: impl FnMut(&[u8])) {
    for address in &flags.addresses {
        each(address.as_bytes());
    }
    if !flags.addresses.is_empty() {
        return;
    }
    let mut input = std::io::stdin().lock();
    loop {
        let mut line = Vec::new();
        match input.by_ref().take(LINE_OCTETS_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let address = line.trim_ascii();
                if !address.is_empty() && !address.starts_with(b"#") {
                    each(address);
                }
            }
        }
    }
}

/// How this terminal, or this pipe, is written to.
fn show(flags: &ExplainFlags) -> Show {
    let wants_none = std::env::var_os("NO_COLOR").is_some_and(|value| value != OsStr::new(""));
    let is_coloured = std::io::stdout().is_terminal() && !wants_none;
    Show { is_coloured, is_verbose: flags.verbose }
}

/// Reads a sendmail.cf as a daemon would and says on standard error what sendmail says of it.
fn ready(machine: &mut Machine<'_>, name: &[u8], file: &[u8], printer: &mut Printer) -> Source {
    let facts = daemon::host_facts(b"d");
    let source = source::read(machine, name, file, &facts);
    for line in machine.out.split(|octet| *octet == b'\n').filter(|line| !line.is_empty()) {
        printer.complain(&wire::escape::text(line).to_string());
    }
    machine.out.clear();
    source
}

fn by_cf(
    flags: &ExplainFlags,
    session: &Session,
    name: &[u8],
    file: &[u8],
    printer: &mut Printer,
) -> u8 {
    let mut outside = maps::Outside::new(maps::Places::default());
    let mut machine = Machine::new(policy_cf::Config::default(), &mut outside);
    let source = ready(&mut machine, name, file, printer);
    let show = show(flags);
    let mut code = 0;
    let mut is_first = true;
    each_address(flags, |address| {
        let explanation = trial::run(&mut machine, &source, session, address);
        if flags.json {
            let plain = Show { is_coloured: false, is_verbose: false };
            let summary = words::summary(&explanation, &source, plain);
            printer.line(&json::object(&explanation, name, &summary));
        } else {
            let gap = if is_first { "" } else { "\n" };
            let text = words::whole(&explanation, &source, show);
            printer.octets(format!("{gap}{text}").as_bytes());
        }
        is_first = false;
        if code == 0 {
            code = code_of(&explanation.outcome);
        }
    });
    code
}

/// The exit status that an outcome stands for.
fn code_of(outcome: &Outcome) -> u8 {
    let Outcome::Refused(refused) = outcome else { return 0 };
    code_of_reply(&refused.reply)
}

/// The exit status (sysexits.h) that a reply stands for.
fn code_of_reply(reply: &[u8]) -> u8 {
    match reply {
        [b'4', ..] => exit::TEMPFAIL,
        [_, _, _, b' ', b'5', b'.', b'1', b'.', b'1' | b'6', ..] => NOUSER,
        [_, _, _, b' ', b'5', b'.', b'1', b'.', b'2' | b'8', ..] => NOHOST,
        [_, _, _, b' ', b'5', b'.', b'1', b'.', ..] => exit::DATAERR,
        [_, _, _, b' ', b'5', b'.', b'7', b'.', ..] => exit::NOPERM,
        _ => exit::UNAVAILABLE,
    }
}

/// Shows the addresses that two configurations do not treat alike.
fn differences(
    flags: &ExplainFlags,
    session: &Session,
    [(name, file), (other_name, other_file)]: [(&[u8], &[u8]); 2],
    printer: &mut Printer,
) -> u8 {
    if [file, other_file].iter().any(|file| source::language(file) == Language::Toml) {
        let why = "--diff compares two sendmail.cf; one of these is an ironpost.toml";
        printer.complain(&format!("ironpost explain: {why}"));
        return exit::USAGE;
    }
    let mut outside = maps::Outside::new(maps::Places::default());
    let mut other_outside = maps::Outside::new(maps::Places::default());
    let mut machine = Machine::new(policy_cf::Config::default(), &mut outside);
    let source = ready(&mut machine, name, file, printer);
    let mut other_machine = Machine::new(policy_cf::Config::default(), &mut other_outside);
    let other_source = ready(&mut other_machine, other_name, other_file, printer);
    let mut code = 0;
    each_address(flags, |address| {
        let one = trial::run(&mut machine, &source, session, address);
        let two = trial::run(&mut other_machine, &other_source, session, address);
        if words::verdict(&one.outcome) == words::verdict(&two.outcome) {
            return;
        }
        code = DIFFERENT;
        if flags.json {
            printer.line(&format!(
                r#"{{"address":{},"outcome":{},"other":{}}}"#,
                crate::mailq::quoted(&one.address),
                json::outcome(&one.outcome),
                json::outcome(&two.outcome)
            ));
        } else {
            let show = show(flags);
            let text = words::difference(&one, &source, &two, &other_source, show);
            printer.octets(text.as_bytes());
        }
    });
    code
}
