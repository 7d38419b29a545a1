//! `mailq` and `ironpost queue`: what is queued, in sendmail's columns or as JSON; orders.

use crate::exit;
use crate::flags::{QueueFlags, QueueOrder};
use crate::place::Place;
use crate::printer::Printer;
use crate::sendmail::queue_order::Order;
use daemon::client::{Client, ClientError};
use daemon::edges::{Errand, Listed};
use daemon::job::Job;
use daemon::request::Request;
use queue::run::{Facts, SortOrder};
use std::fmt::Write;
use std::process::ExitCode;
use wire::path::bare;

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
    let mut each = |entry: &Listed| listing.add(entry, None);
    if let Err(error) = Client::connect(&place.run).and_then(|mut client| client.list(&mut each)) {
        return failed(&error, printer);
    }
    listing.show(&place.spool.display().to_string(), printer);
    ExitCode::SUCCESS
}

/// Lists the queue of a sendmail.cf: the server that has it tells; where none runs, one is started that looks it up.
pub(crate) fn of_configuration(order: &Order<'_>, printer: &mut Printer) -> ExitCode {
    let run = &order.queue.run;
    let mut listing = Listing {
        is_verbose: order.is_verbose,
        young_s: run.young_s,
        now_s: sys::clock::realtime_s(),
        ..Listing::new(false)
    };
    let mut found: Vec<(Listed, Option<String>)> = Vec::new();
    let mut each = |entry: &Listed, name: Option<&str>| {
        let is_wanted = if order.queue.is_of_lost {
            *entry.quarantine == *queue::LOST
        } else {
            run.wants(&facts(entry))
        };
        if is_wanted {
            found.push((entry.clone(), name.map(str::to_owned)));
        }
    };
    let mut unreadable = Vec::new();
    order.queue.old.list(&mut each, |id| {
        if !order.queue.is_of_lost && !run.is_of_held {
            unreadable.push(id.to_owned());
        }
    });
    let mut each = |entry: &Listed| each(entry, None);
    let listed = match order.server() {
        Some(mut server) => server.list(&mut each).map_err(|error| error.to_string()),
        None => Job::start(order.config, order.arguments, Errand::Look)
            .and_then(|mut job| {
                job.list(&mut each)?;
                job.finish()
            })
            .map(drop)
            .map_err(|error| error.to_string()),
    };
    if let Err(why) = listed {
        return printer.fail("mailq", &why, exit::TEMPFAIL);
    }
    // In the order of a run; those of the same number as they came.
    if run.order == SortOrder::Priority {
        found.sort_by_key(|(entry, _)| entry.priority);
    }
    for (entry, name) in &found {
        listing.add(entry, name.as_deref());
    }
    for id in unreadable {
        listing.add_unreadable(&id);
    }
    listing.show(&String::from_utf8_lossy(&order.queue.folder), printer);
    ExitCode::SUCCESS
}

/// What limits of `-q` are held against.
fn facts(entry: &Listed) -> Facts {
    let reason = Some(entry.quarantine.to_vec()).filter(|reason| !reason.is_empty());
    Facts {
        id: entry.id.to_ascii().to_vec(),
        sender: entry.sender.to_vec(),
        recipients: entry.recipients.iter().map(|one| one.address.to_vec()).collect(),
        reason,
    }
}

/// What is queued, as it will be shown.
struct Listing {
    out: String,
    count: u64,
    is_json: bool,
    is_verbose: bool,
    /// What was tried within so many seconds is marked.
    young_s: u32,
    now_s: u64,
}

impl Listing {
    fn new(is_json: bool) -> Self {
        Self { out: String::new(), count: 0, is_json, is_verbose: false, young_s: 0, now_s: 0 }
    }

    /// Adds an entry; one that keeps a name of its own has no id.
    fn add(&mut self, entry: &Listed, name: Option<&str>) {
        self.count = self.count.saturating_add(1);
        // Writing into a string does not fail.
        let mark = self.mark(entry);
        let id = name.map_or_else(|| entry.id.to_string(), str::to_owned);
        let written = if self.is_json {
            json(&mut self.out, entry)
        } else if self.is_verbose {
            wide(&mut self.out, &id, entry, mark)
        } else {
            columns(&mut self.out, &id, entry, mark)
        };
        written.ok();
    }

    /// A control file in sendmail's queue with nothing in it.
    fn add_unreadable(&mut self, id: &str) {
        self.count = self.count.saturating_add(1);
        writeln!(self.out, "{id}  (no control file)").ok();
    }

    /// The sign behind an id: it is being tried, or it was a short while ago.
    fn mark(&self, entry: &Listed) -> char {
        let is_young = self.young_s > 0
            && entry.tried_s > 0
            && entry.tried_s.saturating_add(self.young_s.into()) > self.now_s;
        match (entry.is_active, is_young) {
            (true, _) => '*',
            (false, true) => '-',
            (false, false) => ' ',
        }
    }

    fn show(&self, folder: &str, printer: &mut Printer) {
        let Self { out, count, is_json, .. } = self;
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
            "\t\t{folder} ({count} {plural})\n-----Q-ID----- --Size-- {}",
            if self.is_verbose {
                "-Priority- ---Q-Time--- --------Sender/Recipient--------"
            } else {
                "-----Q-Time----- ------------Sender/Recipient-----------"
            }
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

/// The same with `-v`.
const WIDE_LETTERS_MAX: usize = 78;
const WIDE_REASON_LETTERS_MAX: usize = 100;

/// sendmail's columns: id, mark, size, time, sender; why it is kept or still here; recipients. Addresses that came by SMTP
/// stand in their angle brackets, those of a command as they were given.
fn columns(out: &mut String, id: &str, entry: &Listed, mark: char) -> std::fmt::Result {
    let time = daemon::listing_time(entry.created_s);
    let sender = sender(entry);
    let sender = cut(&sender, SENDER_LETTERS_MAX);
    writeln!(out, "{id}{mark}{:>8} {time} {sender}", entry.size_bytes)?;
    reasons(out, entry, REASON_LETTERS_MAX)?;
    for recipient in &entry.recipients {
        let recipient = shown(&recipient.address);
        writeln!(out, "\t\t\t\t\t {}", cut(&recipient, RECIPIENT_LETTERS_MAX))?;
    }
    Ok(())
}

/// The same with `-v`: priorities, in whose name recipients are, and what was said of each.
fn wide(out: &mut String, id: &str, entry: &Listed, mark: char) -> std::fmt::Result {
    let time = daemon::listing_time(entry.created_s);
    // Without the day of the week.
    let time = time.get(4..).unwrap_or_default();
    let warned = if entry.is_warned { '+' } else { ' ' };
    let priority = entry.priority;
    let sender = sender(entry);
    let sender = cut(&sender, WIDE_LETTERS_MAX);
    let size = entry.size_bytes;
    writeln!(out, "{id}{mark}{size:>8} {priority:>10}{warned}{time} {sender}")?;
    reasons(out, entry, WIDE_REASON_LETTERS_MAX)?;
    let mut last = None;
    for recipient in &entry.recipients {
        if last != Some(&recipient.controller) && (last.is_some() || recipient.controller.is_some())
        {
            let user = recipient.controller.as_ref().map(|user| {
                let [login, name] =
                    [&user.login, &user.address].map(|text| wire::escape::text(text));
                format!("{login}:{}:{}:{name}", user.uid, user.gid)
            });
            writeln!(out, "\t\t\t\t\t\t(---{}---)", user.unwrap_or_default())?;
        }
        last = Some(&recipient.controller);
        let address = shown(&recipient.address);
        writeln!(out, "\t\t\t\t\t\t{}", cut(&address, WIDE_LETTERS_MAX))?;
        if !recipient.status.is_empty() {
            let status = wire::escape::text(&recipient.status).to_string();
            writeln!(out, "\t\t ({})", cut(&status, WIDE_REASON_LETTERS_MAX))?;
        }
    }
    Ok(())
}

fn sender(entry: &Listed) -> String {
    match &*entry.sender {
        b"" => "MAILER-DAEMON".to_owned(),
        sender => wire::escape::text(sender).to_string(),
    }
}

fn shown(octets: &[u8]) -> String {
    wire::escape::text(octets).to_string().replace('\\', "\\\\")
}

/// Why it is kept back, what kind of body it has, why it is still here.
fn reasons(out: &mut String, entry: &Listed, letters_max: usize) -> std::fmt::Result {
    if !entry.quarantine.is_empty() {
        let reason = wire::escape::text(&entry.quarantine).to_string();
        writeln!(out, "     QUARANTINE: {}", cut(&reason, letters_max))?;
    }
    let body = match entry.is_eight_bit {
        Some(true) => "8BITMIME",
        Some(false) => "7BIT",
        None => "",
    };
    if entry.status.is_empty() && body.is_empty() {
        return Ok(());
    }
    write!(out, "    {body:>10}")?;
    if !entry.status.is_empty() {
        let reason = wire::escape::text(&entry.status).to_string();
        write!(out, "   ({})", cut(&reason, letters_max))?;
    }
    writeln!(out)
}

/// The first letters: escaped text is ASCII.
fn cut(text: &str, letters_max: usize) -> &str {
    text.get(..letters_max).unwrap_or(text)
}

fn json(out: &mut String, entry: &Listed) -> std::fmt::Result {
    let recipients: Vec<String> =
        entry.recipients.iter().map(|one| quoted(bare(&one.address))).collect();
    writeln!(
        out,
        r#"{{"id":"{}","size":{},"created":{},"active":{},"sender":{},"quarantine":{},"status":{},"recipients":[{}]}}"#,
        entry.id,
        entry.size_bytes,
        entry.created_s,
        entry.is_active,
        quoted(bare(&entry.sender)),
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
            quarantine: Box::default(),
            sender: b"verylongsenderaddressforthelisting@averylongdomainname.test"[..].into(),
            status: Box::default(),
            recipients: vec![recipient(b"u@other.test")],
            priority: 90_039,
            tried_s: 0,
            is_warned: false,
            is_eight_bit: None,
        }
    }

    fn recipient(address: &[u8]) -> daemon::edges::ListedRecipient {
        daemon::edges::ListedRecipient {
            address: address.into(),
            controller: None,
            status: Box::default(),
        }
    }

    /// The lines without the id and the time, which depends on the zone.
    fn lines(entry: &Listed) -> Vec<String> {
        let mut out = String::new();
        let id = entry.id.to_string();
        columns(&mut out, &id, entry, if entry.is_active { '*' } else { ' ' }).unwrap();
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
        let recipients = vec![recipient(b"<u@other.test>")];
        let held = Listed { quarantine, sender: b"<a@b>"[..].into(), recipients, ..entry() };
        let wanted = [
            "ID        5 TIME <a@b>",
            "     QUARANTINE: held for a look",
            "\t\t\t\t\t <u@other.test>",
        ];
        assert_eq!(lines(&held), wanted);
    }
}
