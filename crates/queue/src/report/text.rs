//! The text of a report: sendmail's words, RFC 3464's fields.
//!
//! Everything that came from outside is bounded and cleaned once more on its way in: an address
//! may hold quoted line ends, and a field of ours must stay one field.

use super::{Fate, Report, ReportKind, ReportLine};
use crate::QueueId;
use crate::message::{DeliverBy, Return};
use crate::outcome::{Status, Trouble, Voice, cleaned};
use alloc::{boxed::Box, format, string::String, vec::Vec};

mod people;

/// The most octets of an address that are shown.
const ADDRESS_SHOWN_MAX: usize = 512;

/// The most octets of a line of text that is shown.
const TEXT_SHOWN_MAX: usize = 900;

/// The most octets of a reply that programs get (sendmail's own bound).
const DIAGNOSTICS_MAX: usize = 800;

/// The most octets of a reply that stands with a recipient; of a longer one both ends.
const REASON_SHOWN_MAX: usize = 203;

/// A report, and the time zone of its dates.
#[derive(Clone, Copy)]
struct Paper<'r> {
    report: &'r Report,
    offset_s: i32,
}

/// Appends the report.
pub(super) fn write(
    report: &Report,
    id: QueueId,
    offset_s: i32,
    original: &[u8],
    out: &mut Vec<u8>,
) {
    let paper = Paper { report, offset_s };
    let boundary = format!("{id}.{}/{}", report.at_s, text(&report.reporter, 255));
    paper.header(id, &boundary, out);
    if !report.looks.are_multipart {
        paper.for_people(out);
        line(out, &[]);
        let heading: &[u8] = match report.returned {
            Return::Full => b"   ----- Original message follows -----",
            Return::Headers => b"   ----- Message header follows -----",
        };
        line(out, &[heading]);
        line(out, &[]);
        returned(report, original, &boundary, out);
        return line(out, &[]);
    }
    line(out, &[b"This is a MIME-encapsulated message"]);
    next_part(out, &boundary);
    line(out, &[]);
    paper.for_people(out);
    next_part(out, &boundary);
    line(out, &[b"Content-Type: ", kind_of_status(report)]);
    line(out, &[]);
    paper.for_programs(out);
    next_part(out, &boundary);
    kind_of_returned(report, out);
    returned(report, original, &boundary, out);
    line(out, &[]);
    line(out, &[b"--", boundary.as_bytes(), b"--"]);
    line(out, &[]);
}

impl Paper<'_> {
    /// A date as sendmail writes it: UTC is GMT.
    fn date(self, unix_s: u64) -> String {
        let date = format!("{}", wire::date::Date { unix_s, offset_s: self.offset_s });
        match date.strip_suffix("+0000") {
            Some(date) => format!("{date}GMT"),
            None => date,
        }
    }

    fn header(self, id: QueueId, boundary: &str, out: &mut Vec<u8>) {
        let report = self.report;
        if !report.is_dressed_later {
            self.trace(id, out);
        }
        for reader in report.readers() {
            line(out, &[b"To: ", &cleaned(reader, ADDRESS_SHOWN_MAX)]);
        }
        if report.looks.are_multipart {
            line(out, &[b"MIME-Version: 1.0"]);
            line(out, &[b"Content-Type: multipart/report; report-type=delivery-status;"]);
            line(out, &[b"\tboundary=\"", boundary.as_bytes(), b"\""]);
            if report.body.is_eight_bit() || report.is_utf8 {
                line(out, &[b"Content-Transfer-Encoding: 8bit"]);
            }
        }
        let (subject, auto) = self.subject();
        line(out, &[b"Subject: ", &subject]);
        line(out, &[b"Auto-Submitted: auto-generated (", auto, b")"]);
        line(out, &[]);
    }

    /// The fields that a policy which dresses mail makes itself.
    fn trace(self, id: QueueId, out: &mut Vec<u8>) {
        let report = self.report;
        let host = text(&report.reporter, 255);
        let at = self.date(report.at_s);
        line(out, &[b"Received: from localhost (localhost)"]);
        line(out, &[b"\tby ", host.as_bytes(), format!(" id {id};").as_bytes()]);
        line(out, &[b"\t", at.as_bytes()]);
        line(out, &[b"Date: ", at.as_bytes()]);
        line(out, &[b"From: Mail Delivery Subsystem <MAILER-DAEMON@", host.as_bytes(), b">"]);
        let stamp = wire::date::compact(report.at_s);
        line(out, &[format!("Message-Id: <{stamp}.{id}@{host}>").as_bytes()]);
    }

    /// The subject, and why it was generated.
    fn subject(self) -> (Box<[u8]>, &'static [u8]) {
        match self.report.kind {
            ReportKind::Failure => {
                (b"Returned mail: see transcript for details"[..].into(), b"failure")
            }
            ReportKind::DoubleBounce | ReportKind::Copy => (
                b"Postmaster notify: see transcript for details"[..].into(),
                b"postmaster-notification",
            ),
            ReportKind::Success => (b"Return receipt"[..].into(), b"return-receipt"),
            ReportKind::Delay => (self.report.warning().into_bytes().into(), b"warning-timeout"),
        }
    }

    /// The part that programs read (RFC 3464, 2.2 and 2.3).
    fn for_programs(self, out: &mut Vec<u8>) {
        let report = self.report;
        if let Some(id) = &report.envelope_id {
            line(out, &[b"Original-Envelope-Id: ", &from_xtext(id)]);
        }
        line(out, &[b"Reporting-MTA: dns; ", text(&report.reporter, 255).as_bytes()]);
        let client = client(report);
        if !client.is_empty() {
            line(out, &[b"Received-From-MTA: DNS; ", &client]);
        }
        line(out, &[b"Arrival-Date: ", self.date(report.created_s).as_bytes()]);
        if let Some(by) = &report.by {
            let due = self.date(by.due_s(report.created_s));
            line(out, &[b"Deliver-By-Date: ", due.as_bytes()]);
        }
        for one in self.report.lines.iter().filter(|one| !one.is_aside) {
            line(out, &[]);
            self.status_fields(one, out);
        }
    }

    fn status_fields(self, one: &ReportLine, out: &mut Vec<u8>) {
        if let Some(original) = &one.original {
            let (kind, address) = match original.iter().position(|&octet| octet == b';') {
                Some(end) => original.split_at_checked(end).unwrap_or((b"rfc822", original)),
                None => (&b"rfc822"[..], &**original),
            };
            let address = from_xtext(address.strip_prefix(b";").unwrap_or(address));
            line(out, &[b"Original-Recipient: ", &cleaned(kind, 40), b";", &address]);
        }
        let kind: &[u8] = if one.first.is_ascii() { b"RFC822; " } else { b"utf-8; " };
        line(out, &[b"Final-Recipient: ", kind, &self.whole(&one.first)]);
        // A program or a file is written as a string where others are addresses.
        let used = one.actual.as_ref().unwrap_or(&one.address);
        let bare = used.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
        let bare = bare.filter(|bare| matches!(bare.first(), Some(b'|' | b'/')));
        let bare = bare.unwrap_or(used);
        let actual = match bare.first() {
            Some(b'|' | b'/') => [b"X-Unix; ", &*cleaned(bare, ADDRESS_SHOWN_MAX)].concat(),
            Some(_) | None => [b"rfc822; ", &*self.whole(used)].concat(),
        };
        if self.report.looks.name_actual {
            line(out, &[b"X-Actual-Recipient: ", &actual]);
        }
        line(out, &[b"Action: ", action(one.fate)]);
        line(out, &[b"Status: ", status(one).as_bytes()]);
        let host = cleaned(one.trouble.host_name(), 255);
        // A sender that was refused says nothing of where this recipient would have gone.
        let said = one.trouble.said.as_ref();
        let is_about_sender = said.is_some_and(|said| said.command.starts_with(b"MAIL"));
        let was_tried = told(&one.trouble).is_none() || one.trouble.is_of_configuration();
        let is_told = !one.is_by_lmtp && one.fate != Fate::Delivered;
        if !host.is_empty() && !is_about_sender && was_tried && is_told {
            line(out, &[b"Remote-MTA: DNS; ", &host]);
        }
        if let Some(reply) = one.trouble.exit().or_else(|| reason(&one.trouble)) {
            let kind: &[u8] = match (&*one.diagnostics, one.trouble.voice) {
                (b"", Voice::Smtp) => b"SMTP",
                (b"", Voice::Local) => b"X-Unix",
                (kind, _) => kind,
            };
            let kind = cleaned(kind, 40);
            line(out, &[b"Diagnostic-Code: ", &kind, b"; ", &cleaned(reply, DIAGNOSTICS_MAX)]);
        }
        line(out, &[b"Last-Attempt-Date: ", self.date(self.report.at_s).as_bytes()]);
    }

    /// An address with a domain: a name of this host gets its own.
    fn whole(self, address: &[u8]) -> Box<[u8]> {
        let bare = wire::path::bare(address);
        // `\name` is the name, which is not to be looked up once more.
        let shown = cleaned(bare.strip_prefix(b"\\").unwrap_or(bare), ADDRESS_SHOWN_MAX);
        if shown.contains(&b'@') {
            return shown;
        }
        [&*shown, b"@", &*cleaned(&self.report.reporter, 255)].concat().into()
    }
}

/// RFC 3464, 2.3.3, with sendmail's remarks.
const fn action(fate: Fate) -> &'static [u8] {
    match fate {
        Fate::Failed => b"failed",
        Fate::Delayed => b"delayed",
        Fate::Delivered => b"delivered (to mailbox)",
        Fate::Relayed => b"relayed (to non-DSN-aware mailer)",
        Fate::Traced => b"relayed (Deliver-By trace mode)",
        Fate::Noticed => b"relayed (Deliver-By notify mode)",
        Fate::Expanded => b"expanded (to multi-recipient alias)",
    }
}

/// What we said ourselves of a server that can't be given the message, without words of its own.
fn told(trouble: &Trouble) -> Option<&[u8]> {
    let said = trouble.said.as_ref().filter(|_| trouble.voice == Voice::Local)?;
    said.reply.strip_prefix(b"\n")
}

/// Whether those words are all that there is to say.
pub(super) fn is_told_whole(trouble: &Trouble) -> bool {
    !trouble.text.is_empty() && told(trouble).is_some_and(|words| words.ends_with(&trouble.text))
}

/// Whether DATA was refused: nothing was said of any recipient then.
fn is_data_refused(trouble: &Trouble) -> bool {
    let said = trouble.said.as_ref().filter(|_| trouble.voice == Voice::Smtp);
    said.is_some_and(|said| *said.command == *b"DATA" && said.reply.starts_with(b"5"))
}

/// What was said of a recipient.
fn reason(trouble: &Trouble) -> Option<&[u8]> {
    if let Some(exit) = trouble.exit() {
        return Some(if trouble.is_unknown_exit() { exit } else { &trouble.text });
    }
    trouble.reply().filter(|reply| !reply.is_empty() && !is_data_refused(trouble))
}

/// The status in those words.
fn told_status(trouble: &Trouble) -> Option<Status> {
    let words = told(trouble)?;
    let mut numbers =
        words.get(4..)?.split(|&octet| octet == b' ').next()?.split(|&octet| octet == b'.');
    let mut next = || core::str::from_utf8(numbers.next()?).ok()?.parse::<u16>().ok();
    Some(Status(u8::try_from(next()?).ok()?, next()?, next()?))
}

/// What the end of a program is in a report: where its reply says no more than 554, that.
fn status_of_exit(trouble: &Trouble) -> Status {
    let says_nothing = trouble.status == Status(5, 0, 0);
    let is_554 = trouble.reply().is_some_and(|reply| reply.starts_with(b"554"));
    match trouble.status {
        _ if trouble.is_unknown_exit() => Status(5, 0, 0),
        _ if says_nothing && is_554 => Status(5, 5, 0),
        status => status,
    }
}

/// RFC 3464, 2.3.4: a failure is 5.y.z, but for 4.4.7; a delay is 4.y.z.
fn status(one: &ReportLine) -> String {
    let own = match &one.trouble {
        trouble if is_data_refused(trouble) => Status(5, 5, 0),
        trouble if trouble.exit().is_some() => status_of_exit(trouble),
        trouble => trouble.status,
    };
    // A code without a status of its own: 554 is what it stands for.
    let status = match told_status(&one.trouble).filter(|_| !is_told_whole(&one.trouble)) {
        Some(Status(5, 0, 0)) => Status(5, 5, 0),
        Some(told) => told,
        None => own,
    };
    let status = match one.fate {
        Fate::Failed if (status.0, status.1, status.2) != (4, 4, 7) => status.in_class(5),
        Fate::Failed => status,
        Fate::Delayed => status.in_class(4),
        Fate::Delivered if status == Status(2, 0, 0) => Status(2, 1, 5),
        Fate::Delivered | Fate::Relayed | Fate::Traced | Fate::Noticed | Fate::Expanded => {
            status.in_class(2)
        }
    };
    format!("{status}")
}

/// The header of the part that holds what comes back.
fn kind_of_returned(report: &Report, out: &mut Vec<u8>) {
    let kind: &[u8] = match (report.returned, report.is_utf8) {
        (Return::Full, false) => b"message/rfc822",
        (Return::Full, true) => b"message/global",
        (Return::Headers, false) => b"text/rfc822-headers",
        (Return::Headers, true) => b"message/global-headers",
    };
    line(out, &[b"Content-Type: ", kind]);
    if report.body.is_eight_bit() || report.is_utf8 {
        line(out, &[b"Content-Transfer-Encoding: 8bit"]);
    }
    line(out, &[]);
}

/// The message that the report is about, or its header. Lone CR and NUL do not come through.
fn returned(report: &Report, original: &[u8], boundary: &str, out: &mut Vec<u8>) {
    let eight = report.body.is_eight_bit() || report.is_utf8;
    let sender: &[u8] = if report.is_about_report { b"MAILER-DAEMON" } else { &report.sender };
    line(out, &[b"Return-Path: <", &cleaned(sender, ADDRESS_SHOWN_MAX), b">"]);
    let mut is_text = false;
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
        // A reader of mailboxes must not take it for the beginning of another message.
        if is_text && bare.starts_with(b"From ") {
            out.push(b'>');
        }
        is_text |= bare.is_empty();
        let is_clean = |&&octet: &&u8| !matches!(octet, b'\r' | 0) && (eight || octet.is_ascii());
        out.extend(bare.iter().filter(is_clean));
        out.extend_from_slice(b"\r\n");
    }
}

fn kind_of_status(report: &Report) -> &'static [u8] {
    if report.is_utf8 { b"message/global-delivery-status" } else { b"message/delivery-status" }
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
#[must_use]
pub fn duration(seconds: u64) -> String {
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let found = units.into_iter().find(|&(size, _)| seconds >= size);
    let (size, name) = found.unwrap_or((1, "second"));
    let count = seconds.checked_div(size).unwrap_or(0);
    if count == 1 { format!("{count} {name}") } else { format!("{count} {name}s") }
}

/// What a warning is about: a deadline that was missed, or how old the message is at least.
#[must_use]
pub(crate) fn warning(missed: Option<DeliverBy>, warn_s: u32) -> String {
    match missed {
        Some(by) => format!("Warning: Delivery time ({}s) exceeded", by.seconds),
        None => format!("Warning: could not send message for past {}", duration(warn_s.into())),
    }
}

#[cfg(test)]
mod tests;
