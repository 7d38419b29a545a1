//! The text of a report: sendmail's words, RFC 3464's fields.
//!
//! Everything that came from outside is bounded and cleaned once more on its way in: an address
//! may hold quoted line ends, and a field of ours must stay one field.

use super::{Fate, Report, ReportKind, ReportLine};
use crate::QueueId;
use crate::message::{BodyKind, Return};
use crate::outcome::{Voice, cleaned};
use alloc::{boxed::Box, format, string::String, vec::Vec};

/// The most octets of an address that are shown.
const ADDRESS_SHOWN_MAX: usize = 512;

/// The most octets of a line of text that is shown.
const TEXT_SHOWN_MAX: usize = 900;

/// Appends the report.
pub(super) fn write(report: &Report, id: QueueId, original: &[u8], out: &mut Vec<u8>) {
    let boundary = format!("{id}.{}/{}", report.at_s, text(&report.reporter, 255));
    header(report, id, &boundary, out);
    line(out, &[b"This is a MIME-encapsulated message"]);
    next_part(out, &boundary);
    line(out, &[]);
    for_people(report, out);
    next_part(out, &boundary);
    line(out, &[b"Content-Type: ", kind_of_status(report)]);
    line(out, &[]);
    for_programs(report, out);
    next_part(out, &boundary);
    returned(report, original, &boundary, out);
    line(out, &[]);
    line(out, &[b"--", boundary.as_bytes(), b"--"]);
}

fn header(report: &Report, id: QueueId, boundary: &str, out: &mut Vec<u8>) {
    let host = text(&report.reporter, 255);
    let at = date(report.at_s);
    line(out, &[b"Received: from localhost (localhost)"]);
    line(out, &[b"\tby ", host.as_bytes(), format!(" id {id}; {at}").as_bytes()]);
    line(out, &[b"Date: ", at.as_bytes()]);
    line(out, &[b"From: Mail Delivery Subsystem <MAILER-DAEMON@", host.as_bytes(), b">"]);
    line(out, &[format!("Message-Id: <{}.{id}@{host}>", report.at_s).as_bytes()]);
    line(out, &[b"To: <", &cleaned(&report.to, ADDRESS_SHOWN_MAX), b">"]);
    line(out, &[b"MIME-Version: 1.0"]);
    line(out, &[b"Content-Type: multipart/report; report-type=delivery-status;"]);
    line(out, &[b"\tboundary=\"", boundary.as_bytes(), b"\""]);
    if report.body == BodyKind::EightBit || report.is_utf8 {
        line(out, &[b"Content-Transfer-Encoding: 8bit"]);
    }
    let (subject, auto): (Box<[u8]>, &[u8]) = match report.kind {
        ReportKind::Failure => {
            (b"Returned mail: see transcript for details"[..].into(), b"failure")
        }
        ReportKind::DoubleBounce => (
            b"Postmaster notify: see transcript for details"[..].into(),
            b"postmaster-notification",
        ),
        ReportKind::Success => (b"Return receipt"[..].into(), b"return-receipt"),
        ReportKind::Delay => {
            let late = duration(report.at_s.saturating_sub(report.created_s));
            let subject = format!("Warning: could not send message for past {late}");
            (subject.into_bytes().into(), b"warning-timeout")
        }
    };
    line(out, &[b"Subject: ", &subject]);
    line(out, &[b"Auto-Submitted: auto-generated (", auto, b")"]);
    line(out, &[]);
}

/// Words over a list of recipients, and which fates stand under them.
type Heading = (&'static [u8], fn(Fate) -> bool);

/// The part that people read.
fn for_people(report: &Report, out: &mut Vec<u8>) {
    if report.kind == ReportKind::Delay {
        line(out, &[b"    **********************************************"]);
        line(out, &[b"    **      THIS IS A WARNING MESSAGE ONLY      **"]);
        line(out, &[b"    **  YOU DO NOT NEED TO RESEND YOUR MESSAGE  **"]);
        line(out, &[b"    **********************************************"]);
        line(out, &[]);
    }
    line(out, &[b"The original message was received at ", date(report.created_s).as_bytes()]);
    line(out, &[b"from ", &source(report)]);
    let headings: [Heading; 3] = [
        (b"The following addresses had permanent fatal errors", |fate| fate == Fate::Failed),
        (b"The following addresses had transient non-fatal errors", |fate| fate == Fate::Delayed),
        (b"The following addresses had successful delivery notifications", |fate| {
            matches!(fate, Fate::Delivered | Fate::Relayed | Fate::Expanded)
        }),
    ];
    for (heading, belongs) in headings {
        let mut lines = report.lines.iter().filter(|one| belongs(one.fate)).peekable();
        if lines.peek().is_none() {
            continue;
        }
        line(out, &[]);
        line(out, &[b"   ----- ", heading, b" -----"]);
        for one in lines {
            person_line(one, out);
        }
    }
    line(out, &[]);
    line(out, &[b"   ----- Transcript of session follows -----"]);
    for one in &report.lines {
        transcript(report, one, out);
    }
    if report.kind == ReportKind::Delay {
        let late = duration(report.at_s.saturating_sub(report.created_s));
        line(out, &[b"Warning: message still undelivered after ", late.as_bytes()]);
        let until = duration(report.give_up_s.into());
        line(out, &[b"Will keep trying until message is ", until.as_bytes(), b" old"]);
    }
}

fn person_line(one: &ReportLine, out: &mut Vec<u8>) {
    let note: &[u8] = match one.fate {
        Fate::Relayed => b"  (relayed to non-DSN-aware mailer)",
        Fate::Expanded => b"  (expanded by mailing list)",
        Fate::Delivered => b"  (successfully delivered to mailbox)",
        Fate::Failed | Fate::Delayed => b"",
    };
    line(out, &[b"<", &cleaned(&one.address, ADDRESS_SHOWN_MAX), b">", note]);
    if matches!(one.fate, Fate::Failed | Fate::Delayed) && !one.trouble.text.is_empty() {
        line(out, &[b"    (reason: ", &cleaned(&one.trouble.text, TEXT_SHOWN_MAX), b")"]);
    }
    if let Some(list) = &one.expanded_from {
        line(out, &[b"    (expanded from: <", &cleaned(list, ADDRESS_SHOWN_MAX), b">)"]);
    }
}

fn transcript(report: &Report, one: &ReportLine, out: &mut Vec<u8>) {
    let address = cleaned(&one.address, ADDRESS_SHOWN_MAX);
    let said = cleaned(&one.trouble.text, TEXT_SHOWN_MAX);
    if !one.trouble.host.is_empty() && one.trouble.voice == Voice::Smtp {
        let host = cleaned(&one.trouble.host, 255);
        if matches!(one.fate, Fate::Failed | Fate::Delayed) {
            line(out, &[b"... while talking to ", &host, b":"]);
            line(out, &[b"<<< ", &said]);
        }
    }
    let status = format!("{}", one.trouble.status);
    match one.fate {
        Fate::Failed if one.trouble.status.0 == 4 => {
            line(out, &[b"<", &address, b">... Deferred: ", &said]);
            let age = duration(report.give_up_s.into());
            line(out, &[b"Message could not be delivered for ", age.as_bytes()]);
            line(out, &[b"Message will be deleted from queue"]);
        }
        Fate::Failed => line(out, &[b"554 ", status.as_bytes(), b" <", &address, b">... ", &said]),
        Fate::Delayed => line(out, &[b"<", &address, b">... Deferred: ", &said]),
        Fate::Delivered => line(out, &[b"<", &address, b">... Successfully delivered"]),
        Fate::Relayed => {
            line(out, &[b"<", &address, b">... relayed; expect no further notifications"]);
        }
        Fate::Expanded => line(out, &[b"<", &address, b">... expanded to the members of a list"]),
    }
}

/// The part that programs read (RFC 3464, 2.2 and 2.3).
fn for_programs(report: &Report, out: &mut Vec<u8>) {
    if let Some(id) = &report.envelope_id {
        line(out, &[b"Original-Envelope-Id: ", &from_xtext(id)]);
    }
    line(out, &[b"Reporting-MTA: dns; ", text(&report.reporter, 255).as_bytes()]);
    let client = client(report);
    if !client.is_empty() {
        line(out, &[b"Received-From-MTA: DNS; ", &client]);
    }
    line(out, &[b"Arrival-Date: ", date(report.created_s).as_bytes()]);
    for one in &report.lines {
        line(out, &[]);
        status_fields(report, one, out);
    }
}

fn status_fields(report: &Report, one: &ReportLine, out: &mut Vec<u8>) {
    if let Some(original) = &one.original {
        let (kind, address) = match original.iter().position(|&octet| octet == b';') {
            Some(end) => original.split_at_checked(end).unwrap_or((b"rfc822", original)),
            None => (&b"rfc822"[..], &**original),
        };
        let address = from_xtext(address.strip_prefix(b";").unwrap_or(address));
        line(out, &[b"Original-Recipient: ", &cleaned(kind, 40), b"; ", &address]);
    }
    let kind: &[u8] = if one.address.is_ascii() { b"RFC822; " } else { b"utf-8; " };
    line(out, &[b"Final-Recipient: ", kind, &cleaned(&one.address, ADDRESS_SHOWN_MAX)]);
    let action: &[u8] = match one.fate {
        Fate::Failed => b"failed",
        Fate::Delayed => b"delayed",
        Fate::Delivered => b"delivered",
        Fate::Relayed => b"relayed",
        Fate::Expanded => b"expanded",
    };
    line(out, &[b"Action: ", action]);
    let status = &one.trouble.status;
    // RFC 3464, 2.3.4: a failure is 5.y.z, but for 4.4.7; a delay is 4.y.z.
    let status = match one.fate {
        Fate::Failed if (status.0, status.1, status.2) != (4, 4, 7) => status.in_class(5),
        Fate::Failed => *status,
        Fate::Delayed => status.in_class(4),
        Fate::Delivered | Fate::Relayed | Fate::Expanded => status.in_class(2),
    };
    line(out, &[b"Status: ", format!("{status}").as_bytes()]);
    let said = cleaned(&one.trouble.text, TEXT_SHOWN_MAX);
    match one.trouble.voice {
        Voice::Smtp if !one.trouble.host.is_empty() => {
            line(out, &[b"Remote-MTA: DNS; ", &cleaned(&one.trouble.host, 255)]);
            if !said.is_empty() {
                line(out, &[b"Diagnostic-Code: SMTP; ", &said]);
            }
        }
        Voice::Smtp => {}
        Voice::Local if said.is_empty() => {}
        Voice::Local => line(out, &[b"Diagnostic-Code: X-Ironpost; ", &said]),
    }
    line(out, &[b"Last-Attempt-Date: ", date(report.at_s).as_bytes()]);
    if one.fate == Fate::Delayed {
        let until = report.created_s.saturating_add(report.give_up_s.into());
        line(out, &[b"Will-Retry-Until: ", date(until).as_bytes()]);
    }
}

/// The message that the report is about, or its header. Lone CR and NUL do not come through.
fn returned(report: &Report, original: &[u8], boundary: &str, out: &mut Vec<u8>) {
    let eight = report.body == BodyKind::EightBit || report.is_utf8;
    let kind: &[u8] = match (report.returned, report.is_utf8) {
        (Return::Full, false) => b"message/rfc822",
        (Return::Full, true) => b"message/global",
        (Return::Headers, false) => b"text/rfc822-headers",
        (Return::Headers, true) => b"message/global-headers",
    };
    line(out, &[b"Content-Type: ", kind]);
    if eight {
        line(out, &[b"Content-Transfer-Encoding: 8bit"]);
    }
    line(out, &[]);
    let bounded = original.get(..report.original_bytes_max()).unwrap_or(original);
    for one in bounded.split_inclusive(|&octet| octet == b'\n') {
        let bare =
            one.strip_suffix(b"\n").map_or(one, |bare| bare.strip_suffix(b"\r").unwrap_or(bare));
        if bare.is_empty() && report.returned == Return::Headers {
            break;
        }
        // Whoever guesses our boundary must not end this part and go on as ours.
        if bare.strip_prefix(b"--").is_some_and(|rest| rest.starts_with(boundary.as_bytes())) {
            continue;
        }
        let is_clean = |&&octet: &&u8| !matches!(octet, b'\r' | 0) && (eight || octet.is_ascii());
        out.extend(bare.iter().filter(is_clean));
        out.extend_from_slice(b"\r\n");
    }
}

fn kind_of_status(report: &Report) -> &'static [u8] {
    if report.is_utf8 { b"message/global-delivery-status" } else { b"message/delivery-status" }
}

/// Where the message came from, for people.
fn source(report: &Report) -> Vec<u8> {
    let origin = &report.origin;
    let client = client(report);
    if !client.is_empty() {
        let mut from = client.into_vec();
        if !origin.client_address.is_empty() {
            from.extend_from_slice(b" [");
            from.extend_from_slice(&cleaned(&origin.client_address, 100));
            from.push(b']');
        }
        return from;
    }
    let mut from = if origin.user.is_empty() {
        b"localhost".to_vec()
    } else {
        cleaned(&origin.user, 255).into_vec()
    };
    if !origin.user.is_empty() {
        from.extend_from_slice(b"@localhost");
    }
    from
}

/// The client's name, or what it called itself, or its address.
fn client(report: &Report) -> Box<[u8]> {
    let origin = &report.origin;
    if origin.client_address.is_empty() {
        return Box::default();
    }
    let names = [&origin.client_name, &origin.hello, &origin.client_address];
    let name = names.into_iter().find(|name| !name.is_empty());
    name.map(|name| cleaned(name, 255)).unwrap_or_default()
}

fn next_part(out: &mut Vec<u8>, boundary: &str) {
    line(out, &[]);
    line(out, &[b"--", boundary.as_bytes()]);
}

fn line(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(b"\r\n");
}

fn text(octets: &[u8], max: usize) -> String {
    String::from_utf8_lossy(&cleaned(octets, max)).into_owned()
}

/// What xtext (RFC 3461, 4) stands for, cleaned: `+2B` is `+`.
fn from_xtext(coded: &[u8]) -> Box<[u8]> {
    let mut plain = Vec::with_capacity(coded.len());
    let mut rest = coded;
    while let Some((&octet, after)) = rest.split_first() {
        let hex = (octet == b'+').then(|| after.split_at_checked(2)).flatten();
        let value = hex.and_then(|(digits, after)| {
            let digits = core::str::from_utf8(digits).ok()?;
            let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            is_hex.then(|| u8::from_str_radix(digits, 16).ok().map(|value| (value, after)))?
        });
        let (value, after) = value.unwrap_or((octet, after));
        plain.push(value);
        rest = after;
    }
    cleaned(&plain, ADDRESS_SHOWN_MAX)
}

/// A time span in its largest round unit, as sendmail says it: `4 hours`, `5 days`, `1 second`.
fn duration(seconds: u64) -> String {
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let found = units.into_iter().find(|&(size, _)| seconds >= size);
    let (size, name) = found.unwrap_or((1, "second"));
    let count = seconds.checked_div(size).unwrap_or(0);
    if count == 1 { format!("{count} {name}") } else { format!("{count} {name}s") }
}

/// A date as RFC 5322, 3.3 has it, in UTC. The days are counted by eras of 400 years that begin on
/// 1 March, so that the leap day is the last of its year.
fn date(seconds: u64) -> String {
    const MONTHS: [&str; 12] =
        ["Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"];
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    // Four digits of year: the end of 9999.
    let seconds = seconds.min(253_402_300_799);
    let (days, second) = (seconds.wrapping_div(86_400), seconds.wrapping_rem(86_400));
    let since_march_0 = days.saturating_add(719_468);
    let (era, day) = (since_march_0.wrapping_div(146_097), since_march_0.wrapping_rem(146_097));
    let in_era = day
        .saturating_add(day.wrapping_div(36_524))
        .saturating_sub(day.wrapping_div(1460))
        .saturating_sub(day.wrapping_div(146_096))
        .wrapping_div(365);
    let before = in_era
        .saturating_mul(365)
        .saturating_add(in_era >> 2)
        .saturating_sub(in_era.wrapping_div(100));
    let of_year = day.saturating_sub(before);
    let month = of_year.saturating_mul(5).saturating_add(2).wrapping_div(153);
    let of_month = of_year
        .saturating_sub(month.saturating_mul(153).saturating_add(2).wrapping_div(5))
        .saturating_add(1);
    let year =
        era.saturating_mul(400).saturating_add(in_era).saturating_add(u64::from(month >= 10));
    let name = |names: &[&'static str], index: u64| {
        usize::try_from(index).ok().and_then(|index| names.get(index).copied()).unwrap_or("")
    };
    format!(
        "{}, {of_month} {} {year} {:02}:{:02}:{:02} +0000",
        name(&DAYS, days.wrapping_rem(7)),
        name(&MONTHS, month),
        second.wrapping_div(3600),
        second.wrapping_div(60).wrapping_rem(60),
        second.wrapping_rem(60),
    )
}

#[cfg(test)]
mod tests;
