//! `mailq` and `ironpost queue`: what is queued, in sendmail's columns or as JSON; orders.

use crate::exit;
use crate::flags::{QueueFlags, QueueOrder};
use crate::place::Place;
use crate::printer::Printer;
use daemon::client::{Client, ClientError};
use daemon::edges::{Argument, Errand, Listed};
use daemon::job::Job;
use daemon::request::Request;
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

/// Carries out `ironpost queue …`.
pub(crate) fn order(flags: &QueueFlags, printer: &mut Printer) -> ExitCode {
    let place = Place::from(flags.place.clone());
    let request = match &flags.order {
        None => return run(&place, flags.json, printer),
        Some(QueueOrder::Flush) => Request::Flush,
        Some(QueueOrder::Remove { id }) => match id.parse() {
            Ok(id) => Request::Remove(id),
            Err(_) => return printer.fail("ironpost queue", "not a queue id", exit::USAGE),
        },
    };
    match Client::connect(&place.run).and_then(|mut client| client.order(&request)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => printer.fail("ironpost queue", "there is no such message", exit::DATAERR),
        Err(error) => failed(&error, printer),
    }
}

fn failed(error: &ClientError, printer: &mut Printer) -> ExitCode {
    let code = match error {
        ClientError::NoServer(_) => exit::UNAVAILABLE,
        ClientError::NotPermitted => exit::NOPERM,
        ClientError::NoAnswer(_) | ClientError::NotNow(_) => exit::TEMPFAIL,
        ClientError::Confused => exit::SOFTWARE,
        ClientError::Input(_) => exit::IOERR,
    };
    printer.fail("mailq", &error.to_string(), code)
}

/// Lists the queue.
pub(crate) fn run(place: &Place, is_json: bool, printer: &mut Printer) -> ExitCode {
    let mut listing = Listing::new(is_json);
    let mut each = |entry: &Listed| listing.add(entry);
    if let Err(error) = Client::connect(&place.run).and_then(|mut client| client.list(&mut each)) {
        return failed(&error, printer);
    }
    listing.show(&place.spool.display().to_string(), printer);
    ExitCode::SUCCESS
}

/// Lists the queue of a sendmail.cf; where no server runs, one is started that looks it up. `folder` is the queue's.
pub(crate) fn of_configuration(
    config: &Path,
    arguments: &[Argument],
    folder: &str,
    printer: &mut Printer,
) -> ExitCode {
    let mut listing = Listing::new(false);
    let listed = Job::start(config, arguments, Errand::Keep).and_then(|mut job| {
        job.list(|entry| listing.add(entry))?;
        job.finish()
    });
    if let Err(error) = listed {
        return printer.fail("mailq", &error.to_string(), exit::TEMPFAIL);
    }
    listing.show(folder, printer);
    ExitCode::SUCCESS
}

/// What is queued, as it will be shown.
struct Listing {
    out: String,
    count: u64,
    is_json: bool,
}

impl Listing {
    fn new(is_json: bool) -> Self {
        Self { out: String::new(), count: 0, is_json }
    }

    fn add(&mut self, entry: &Listed) {
        self.count = self.count.saturating_add(1);
        // Writing into a string does not fail.
        let written =
            if self.is_json { json(&mut self.out, entry) } else { columns(&mut self.out, entry) };
        written.ok();
    }

    fn show(&self, folder: &str, printer: &mut Printer) {
        let Self { out, count, is_json } = self;
        if *is_json {
            printer.octets(out.as_bytes());
            return;
        }
        if *count == 0 {
            printer.line(&format!("{folder} is empty\n\t\tTotal requests: 0"));
            return;
        }
        let plural = if *count == 1 { "request" } else { "requests" };
        printer.line(&format!(
            "\t\t{folder} ({count} {plural})\n-----Q-ID----- --Size-- -----Q-Time----- ------------Sender/Recipient-----------"
        ));
        printer.octets(out.as_bytes());
        printer.line(&format!("\t\tTotal requests: {count}"));
    }
}

/// Letters of a reason that are shown.
const REASON_LETTERS_MAX: usize = 60;

/// Letters of the sender that are shown.
const SENDER_LETTERS_MAX: usize = 39;

/// Letters of a recipient that are shown.
const RECIPIENT_LETTERS_MAX: usize = 38;

/// sendmail's columns: id, mark, size, time, sender; why it is kept or still here; recipients. Addresses that came by SMTP
/// stand in their angle brackets, those of a command as they were given.
fn columns(out: &mut String, entry: &Listed) -> std::fmt::Result {
    let mark = if entry.is_active { '*' } else { ' ' };
    let time = daemon::listing_time(entry.created_s);
    let sender = match (&*entry.sender, entry.is_own) {
        (b"", _) => "MAILER-DAEMON".to_owned(),
        (sender, is_own) => address(sender, is_own),
    };
    let sender = cut(&sender, SENDER_LETTERS_MAX);
    writeln!(out, "{}{mark}{:>8} {time} {sender}", entry.id, entry.size_bytes)?;
    if !entry.quarantine.is_empty() {
        let reason = wire::escape::text(&entry.quarantine).to_string();
        writeln!(out, "     QUARANTINE: {}", cut(&reason, REASON_LETTERS_MAX))?;
    }
    if !entry.status.is_empty() {
        let reason = wire::escape::text(&entry.status).to_string();
        writeln!(out, "                 ({})", cut(&reason, REASON_LETTERS_MAX))?;
    }
    for recipient in &entry.recipients {
        let recipient = address(recipient, entry.is_own).replace('\\', "\\\\");
        writeln!(out, "\t\t\t\t\t {}", cut(&recipient, RECIPIENT_LETTERS_MAX))?;
    }
    Ok(())
}

fn address(octets: &[u8], is_own: bool) -> String {
    let text = wire::escape::text(octets);
    if is_own { text.to_string() } else { format!("<{text}>") }
}

/// The first letters: escaped text is ASCII.
fn cut(text: &str, letters_max: usize) -> &str {
    text.get(..letters_max).unwrap_or(text)
}

fn json(out: &mut String, entry: &Listed) -> std::fmt::Result {
    let recipients: Vec<String> = entry.recipients.iter().map(|r| quoted(r)).collect();
    writeln!(
        out,
        r#"{{"id":"{}","size":{},"created":{},"active":{},"sender":{},"quarantine":{},"status":{},"recipients":[{}]}}"#,
        entry.id,
        entry.size_bytes,
        entry.created_s,
        entry.is_active,
        quoted(&entry.sender),
        quoted(&entry.quarantine),
        quoted(&entry.status),
        recipients.join(",")
    )
}

/// A JSON string of octets: printable ASCII after escaping.
pub(crate) fn quoted(octets: &[u8]) -> String {
    let text = wire::escape::text(octets).to_string();
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Listed {
        Listed {
            id: wire::QueueId::new(1_790_000_000, 7),
            size_bytes: 5,
            created_s: 1_790_000_000,
            is_active: false,
            is_own: true,
            quarantine: Box::default(),
            sender: b"verylongsenderaddressforthelisting@averylongdomainname.test"[..].into(),
            status: Box::default(),
            recipients: vec![b"u@other.test"[..].into()],
        }
    }

    /// The lines without the id and the time, which depends on the zone.
    fn lines(entry: &Listed) -> Vec<String> {
        let mut out = String::new();
        columns(&mut out, entry).unwrap();
        let time = daemon::listing_time(entry.created_s);
        let out = out.replace(&time, "TIME").replace(&entry.id.to_string(), "ID");
        out.lines().map(str::to_owned).collect()
    }

    #[test]
    fn columns_are_those_of_sendmail() {
        let wanted =
            ["ID        5 TIME verylongsenderaddressforthelisting@aver", "\t\t\t\t\t u@other.test"];
        assert_eq!(lines(&entry()), wanted);
    }

    #[test]
    fn what_is_being_delivered_has_a_star_and_what_waits_its_reason() {
        let status = b"Deferred: Connection refused by mx2.remote.test."[..].into();
        let active = Listed { is_active: true, sender: Box::default(), status, ..entry() };
        let wanted = [
            "ID*       5 TIME MAILER-DAEMON",
            "                 (Deferred: Connection refused by mx2.remote.test.)",
            "\t\t\t\t\t u@other.test",
        ];
        assert_eq!(lines(&active), wanted);
    }

    #[test]
    fn what_came_by_smtp_stands_in_brackets_and_what_is_kept_back_says_why() {
        let quarantine = b"held for a look"[..].into();
        let held = Listed { is_own: false, quarantine, sender: b"a@b"[..].into(), ..entry() };
        let wanted = [
            "ID        5 TIME <a@b>",
            "     QUARANTINE: held for a look",
            "\t\t\t\t\t <u@other.test>",
        ];
        assert_eq!(lines(&held), wanted);
    }
}
