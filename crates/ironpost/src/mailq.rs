//! `mailq` and `ironpost queue`: what is queued, in sendmail's columns or as JSON; orders.

use crate::exit;
use crate::flags::{QueueFlags, QueueOrder};
use crate::place::Place;
use crate::printer::Printer;
use daemon::client::{Client, ClientError};
use daemon::edges::Listed;
use daemon::request::Request;
use std::fmt::Write;
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
    let mut out = String::new();
    let mut count = 0_u64;
    let mut each = |entry: &Listed| {
        count = count.saturating_add(1);
        // Writing into a string does not fail.
        let written = if is_json { json(&mut out, entry) } else { columns(&mut out, entry) };
        written.ok();
    };
    if let Err(error) = Client::connect(&place.run).and_then(|mut client| client.list(&mut each)) {
        return failed(&error, printer);
    }
    if is_json {
        printer.octets(out.as_bytes());
        return ExitCode::SUCCESS;
    }
    let spool = place.spool.display();
    if count == 0 {
        printer.line(&format!("{spool} is empty\n\t\tTotal requests: 0"));
        return ExitCode::SUCCESS;
    }
    let plural = if count == 1 { "request" } else { "requests" };
    printer.line(&format!(
        "\t\t{spool} ({count} {plural})\n-----Q-ID----- --Size-- -----Q-Time----- ------------Sender/Recipient-----------"
    ));
    printer.octets(out.as_bytes());
    printer.line(&format!("\t\tTotal requests: {count}"));
    ExitCode::SUCCESS
}

/// sendmail's columns: id, size, time, sender; status; recipients.
fn columns(out: &mut String, entry: &Listed) -> std::fmt::Result {
    let mark = if entry.is_active { '*' } else { ' ' };
    let time = daemon::listing_time(entry.created_s);
    let sender = wire::escape::text(&entry.sender);
    writeln!(out, "{}{mark} {:>8} {time} <{sender}>", entry.id, entry.size_bytes)?;
    if !entry.status.is_empty() {
        writeln!(out, "                 ({})", wire::escape::text(&entry.status))?;
    }
    for recipient in &entry.recipients {
        writeln!(out, "{:41}<{}>", "", wire::escape::text(recipient))?;
    }
    Ok(())
}

fn json(out: &mut String, entry: &Listed) -> std::fmt::Result {
    let recipients: Vec<String> = entry.recipients.iter().map(|r| quoted(r)).collect();
    writeln!(
        out,
        r#"{{"id":"{}","size":{},"created":{},"active":{},"sender":{},"status":{},"recipients":[{}]}}"#,
        entry.id,
        entry.size_bytes,
        entry.created_s,
        entry.is_active,
        quoted(&entry.sender),
        quoted(&entry.status),
        recipients.join(",")
    )
}

/// A JSON string of octets: printable ASCII after escaping.
pub(crate) fn quoted(octets: &[u8]) -> String {
    let text = wire::escape::text(octets).to_string();
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
