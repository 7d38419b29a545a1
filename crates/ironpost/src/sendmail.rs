//! `sendmail`, as programs call it: reads a message, finds its recipients, hands it in.
//!
//! No set-user-ID bit and no spool of its own: a running server takes the message over its control socket
//! and says who we are by what the kernel tells it. While none runs, the message is left in the drop
//! folder, durably.

mod background;
mod dialogue;
mod flags;
mod message;
pub(crate) mod queue_order;

use crate::exit;
use crate::mailq;
use crate::place::Place;
use crate::printer::Printer;
use daemon::client::{Client, ClientError};
use daemon::request::{Addressee, Answer, Submission};
pub(crate) use flags::Flags;
pub(crate) use flags::each_flag;
pub(crate) use flags::{About, QueueWords};
use flags::{Mode, Wrong};
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

/// The configuration of the MTA where none is named.
const SENDMAIL_CF: &str = "/etc/mail/sendmail.cf";

/// Octets of a message that are read.
const MESSAGE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Does what the flags say; the exit code is one of sysexits.h.
pub(crate) fn run(
    called: &OsStr,
    words: &[OsString],
    place: &Place,
    printer: &mut Printer,
) -> ExitCode {
    let mut flags = match Flags::read(words) {
        Ok(flags) => flags,
        Err(Wrong::Flag(text)) => {
            return printer.fail(&called.to_string_lossy(), &text, exit::USAGE);
        }
        Err(Wrong::Value(text)) => {
            printer.line(&text);
            return ExitCode::from(exit::USAGE);
        }
    };
    flags.find_configuration();
    for complaint in flags.complaints.iter().filter(|_| !flags.names_configuration) {
        printer.line(complaint);
    }
    if let Some(config) = flags.config.as_deref()
        && flags.mode.is_about_queue()
    {
        return of_queue(config, words, &flags, printer);
    }
    match flags.mode {
        Mode::Deliver if flags.names_configuration => {
            ExitCode::from(crate::submit::run(words, &flags))
        }
        Mode::Deliver => deliver(&flags, place, printer),
        Mode::Dialogue => {
            if flags.config.is_some() {
                let status = crate::verify::before_dialogue(words);
                if status != 0 {
                    return ExitCode::from(status);
                }
            }
            dialogue::run(&flags, place, printer)
        }
        Mode::Serve if std::env::var_os(TAKES_IN).is_some() => take_in(words, &flags),
        Mode::Serve if flags.manner.is_in_background && !background::is_here() => {
            match background::leave_behind(words) {
                Ok(code) => code,
                Err(error) => printer.fail("sendmail", &error.to_string(), exit::TEMPFAIL),
            }
        }
        Mode::Serve => serve(&flags, printer),
        Mode::PrintQueue => mailq::run(place, false, printer),
        Mode::RunQueue => run_queue(place, printer),
        Mode::AddressTest => ExitCode::from(crate::address_test::run(words)),
        Mode::Verify => ExitCode::from(crate::verify::run(words)),
        Mode::CheckConfiguration => ExitCode::from(crate::verify::check(words)),
        Mode::OptionNames => {
            printer.octets(crate::configured::option_names().as_bytes());
            ExitCode::SUCCESS
        }
        Mode::MakeAliases => crate::newaliases::run(words),
        Mode::HostStatus | Mode::PurgeHosts | Mode::CountQueue | Mode::KeepRunning => {
            ExitCode::SUCCESS
        }
    }
}

/// `-bp`, `-q`, `-bh` with a configuration of sendmail's: of its queue.
fn of_queue(config: &[u8], words: &[OsString], flags: &Flags, printer: &mut Printer) -> ExitCode {
    let is_run = matches!(flags.mode, Mode::RunQueue | Mode::KeepRunning);
    let queue = match crate::verify::look(words, is_run, &flags.queue) {
        Ok(queue) => queue,
        Err(status) => return ExitCode::from(status),
    };
    let order = queue_order::Order {
        config: std::path::Path::new(OsStr::from_bytes(config)),
        arguments: &flags.arguments,
        queue,
        is_verbose: flags.is_verbose,
        is_awaited: flags.is_run_awaited(),
    };
    match flags.mode {
        Mode::RunQueue => order.run(printer),
        Mode::KeepRunning => order.keep_running(flags.queue.interval_s, words, printer),
        Mode::PrintQueue => mailq::of_configuration(&order, printer),
        Mode::HostStatus => crate::host_status::run(&order, false, printer),
        Mode::PurgeHosts => crate::host_status::run(&order, true, printer),
        Mode::CountQueue => {
            printer.line("Data unavailable: shared memory not updated");
            ExitCode::SUCCESS
        }
        Mode::Deliver
        | Mode::Dialogue
        | Mode::Serve
        | Mode::AddressTest
        | Mode::Verify
        | Mode::CheckConfiguration
        | Mode::OptionNames
        | Mode::MakeAliases => ExitCode::SUCCESS,
    }
}

/// Set for the process that takes in what sendmail left in its queue, while the server that starts waits.
const TAKES_IN: &str = "IRONPOST_TAKES_IN";

/// Has another process take in what sendmail left in its queue: a server's first process reads no mail.
fn prepare(settings: &policy::Settings) {
    use std::os::unix::process::CommandExt as _;
    let spool = std::path::Path::new(OsStr::from_bytes(&settings.paths.spool));
    if !crate::old_queue::OldQueue::is_beside(spool) {
        return;
    }
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_else(|| "sendmail".into());
    let taken = std::env::current_exe().and_then(|program| {
        std::process::Command::new(program)
            .arg0(name)
            .args(words)
            .env(TAKES_IN, "1")
            .stdin(std::process::Stdio::null())
            .status()
    });
    // What was not taken stays, and is taken with the next start or the next run of the queue.
    drop(taken);
}

fn take_in(words: &[OsString], flags: &Flags) -> ExitCode {
    let queue = match crate::verify::look(words, false, &flags.queue) {
        Ok(queue) => queue,
        Err(status) => return ExitCode::from(status),
    };
    let config = flags.config.as_deref().unwrap_or(SENDMAIL_CF.as_bytes());
    let order = queue_order::Order {
        config: std::path::Path::new(OsStr::from_bytes(config)),
        arguments: &flags.arguments,
        queue,
        is_verbose: false,
        is_awaited: true,
    };
    ExitCode::from(order.take_in(None))
}

/// `-bd`, `-bD`, `-bl`: serves a configuration of sendmail's.
fn serve(flags: &Flags, printer: &mut Printer) -> ExitCode {
    let config = flags.config.as_deref().map_or_else(
        || std::path::PathBuf::from(SENDMAIL_CF),
        |path| OsStr::from_bytes(path).into(),
    );
    let is_in_background = flags.manner.is_in_background;
    if is_in_background {
        background::settle();
    }
    let options = daemon::Serve {
        config: Some(config),
        arguments: flags.arguments.clone(),
        as_sendmail: Some(daemon::AsSendmail {
            interval_s: flags.queue.interval_s,
            is_persistent: flags.queue.is_persistent,
            is_local: flags.manner.is_local,
            has_terminal: !is_in_background,
        }),
        announce: is_in_background.then_some(|_: &policy::Settings| background::arrived()),
        prepare: Some(prepare),
        ..daemon::Serve::default()
    };
    match daemon::serve(options) {
        Ok(code) => code,
        Err((text, code)) => {
            printer.complain(&text);
            ExitCode::from(code)
        }
    }
}

/// Reads the message from standard input and hands it in.
fn deliver(flags: &Flags, place: &Place, printer: &mut Printer) -> ExitCode {
    let mut text = Vec::new();
    let mut input = std::io::stdin().lock().take(MESSAGE_BYTES_MAX.saturating_add(1));
    if let Err(error) = input.read_to_end(&mut text) {
        return printer.fail("sendmail", &error.to_string(), exit::IOERR);
    }
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > MESSAGE_BYTES_MAX {
        return printer.fail("sendmail", "the message is too large", exit::DATAERR);
    }
    let message = message::Message::read(&text, flags, &message::Caller::of_this_process());
    let submission = Submission {
        login: message.login.clone(),
        sender: message.sender.clone(),
        recipients: message
            .recipients
            .iter()
            .map(|address| Addressee {
                address: address.clone(),
                notify: flags.notify,
                original: None,
            })
            .collect(),
        ret: flags.ret,
        envelope_id: flags.envelope_id.clone().map(Into::into),
        body: flags.body.unwrap_or(queue::BodyKind::Unlabelled),
        // The header is made here.
        macros: policy::Macros::new(),
    };
    if submission.recipients.is_empty() {
        return printer.fail("sendmail", "no recipient addresses found", exit::USAGE);
    }
    hand_in(&submission, &message.text, place, printer)
}

/// Gives a message to the server, or leaves it for the next one.
fn hand_in(submission: &Submission, text: &[u8], place: &Place, printer: &mut Printer) -> ExitCode {
    match take(submission, text, place) {
        Taken::Yes(_) => ExitCode::SUCCESS,
        Taken::NotNow(why) => printer.fail("sendmail", &why, exit::TEMPFAIL),
        Taken::Never(why) => printer.fail("sendmail", &why, exit::DATAERR),
    }
}

/// What became of a message that was handed in.
pub(crate) enum Taken {
    /// It is durable; the server's id, if a server took it.
    Yes(Option<wire::QueueId>),
    /// It is not taken now; why.
    NotNow(String),
    /// It never will be; why.
    Never(String),
}

/// Hands a message to the server; without one, into the drop folder.
pub(crate) fn take(submission: &Submission, text: &[u8], place: &Place) -> Taken {
    let answer =
        Client::connect(&place.run).and_then(|mut client| client.submit(submission.clone(), text));
    match answer {
        Ok(Answer::Stored(id)) => Taken::Yes(Some(id)),
        Ok(Answer::Refused(why)) => Taken::Never(why.into()),
        Ok(_) => Taken::NotNow("the server answered what was not asked".into()),
        Err(ClientError::NoServer(why)) => {
            let folder = place.spool.join(daemon::drop::FOLDER_NAME);
            match daemon::drop::leave(&folder, submission, text) {
                Ok(()) => Taken::Yes(None),
                Err(error) => Taken::NotNow(format!(
                    "no server is running ({why}), and nothing can be left in {}: {error}",
                    folder.display()
                )),
            }
        }
        Err(error) => Taken::NotNow(error.to_string()),
    }
}

/// `-q`: has everything tried now.
fn run_queue(place: &Place, printer: &mut Printer) -> ExitCode {
    let request = daemon::request::Request::Flush;
    match Client::connect(&place.run).and_then(|mut client| client.order(&request)) {
        Ok(_) => ExitCode::SUCCESS,
        Err(ClientError::NotPermitted) => {
            let why = "You do not have permission to process the queue";
            printer.fail("sendmail", why, exit::NOPERM)
        }
        Err(error) => printer.fail("sendmail", &error.to_string(), exit::UNAVAILABLE),
    }
}
