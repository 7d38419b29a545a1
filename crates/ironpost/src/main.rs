//! The commands: one binary, chosen by the name it is called by or by a subcommand.
#![forbid(unsafe_code)]

mod address_test;
mod check;
mod configured;
mod editmap;
mod explain;
mod flags;
mod host_status;
mod mail_local;
mod mailq;
mod mailstats;
mod makemap;
mod newaliases;
mod old_queue;
mod place;
mod praliases;
mod printer;
mod privileges;
mod rmail;
mod sendmail;
mod sendmail_child;
mod serve;
mod smrsh;
mod submit;
mod system_log;
mod vacation;
mod verify;

use flags::{Command, Flags};
use printer::Printer;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

/// sysexits.h, as far as the commands say it.
mod exit {
    /// Wrong use of a command.
    pub(crate) const USAGE: u8 = 64;
    /// The input is wrong.
    pub(crate) const DATAERR: u8 = 65;
    /// Something needed is not there.
    pub(crate) const UNAVAILABLE: u8 = 69;
    /// An inner error.
    pub(crate) const SOFTWARE: u8 = 70;
    /// The input can't be read.
    pub(crate) const IOERR: u8 = 74;
    /// Not now; try again.
    pub(crate) const TEMPFAIL: u8 = 75;
    /// The user may not.
    pub(crate) const NOPERM: u8 = 77;
    /// The configuration is wrong.
    pub(crate) const CONFIG: u8 = 78;
}

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let called = words.next().unwrap_or_default();
    let name = Path::new(&called).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let words: Vec<OsString> = words.collect();
    let mut printer = Printer::default();
    match name.as_str() {
        // Debian's links are sendmail-mta and sendmail-msp.
        name if name.starts_with("sendmail") => {
            sendmail::run(&called, &words, &place::Place::of_this_system(), &mut printer)
        }
        "makemap" => makemap::run(&called, &words),
        "editmap" => editmap::run(&called, &words),
        "newaliases" => newaliases::run(&words),
        "praliases" => praliases::run(&called, &words),
        "mailstats" => mailstats::run(&words),
        "smrsh" => smrsh::run(&called, &words),
        "mail.local" => mail_local::run(&called, &words),
        // The second is Debian's name for sendmail's own.
        "vacation" | "vacation.sendmail" => vacation::run(&words),
        "rmail" => rmail::run(&words, &mut printer),
        "mailq" => as_sendmail(&called, "-bp", words, &mut printer),
        "hoststat" => as_sendmail(&called, "-bh", words, &mut printer),
        "purgestat" => as_sendmail(&called, "-bH", words, &mut printer),
        "runq" => as_sendmail(&called, "-q", words, &mut printer),
        "smtpd" => as_sendmail(&called, "-bd", words, &mut printer),
        _ => by_subcommand(&words, &mut printer),
    }
}

/// Other names of sendmail stand for a mode, which a flag may change.
fn as_sendmail(
    called: &OsStr,
    mode: &str,
    words: Vec<OsString>,
    printer: &mut Printer,
) -> ExitCode {
    let words: Vec<OsString> = std::iter::once(mode.into()).chain(words).collect();
    sendmail::run(called, &words, &place::Place::of_this_system(), printer)
}

fn by_subcommand(words: &[OsString], printer: &mut Printer) -> ExitCode {
    // Roles are started by master with fixed words: no flags are read for them.
    if let [first, role] = words
        && first == "role"
    {
        return match daemon::run_role(&role.to_string_lossy()) {
            Ok(code) => code,
            Err(text) => printer.fail("ironpost", &text, exit::SOFTWARE),
        };
    }
    let flags = match Flags::read(words) {
        Ok(flags) => flags,
        Err(error) => return printer.usage(&error),
    };
    match flags.command {
        Command::Serve(serve) => serve::run(serve, printer),
        Command::Check(check) => check::run(&check, printer),
        Command::Explain(explain) => explain::run(&explain, printer),
        Command::Queue(queue) => mailq::order(&queue, printer),
        Command::Mailq(place) => mailq::run(&place.into(), false, printer),
        Command::Privileges(privileges) => privileges::run(&privileges, printer),
        Command::Sendmail(sendmail) => {
            sendmail::run(OsStr::new("sendmail"), &sendmail.words, &sendmail.place.into(), printer)
        }
    }
}
