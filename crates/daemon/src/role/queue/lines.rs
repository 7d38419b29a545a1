//! sendmail's log lines of the queue: `to=`, `DSN:`, what destinations do.

use crate::date::clock;
use crate::log::Severity;
use ::policy::settings::Quirks;
use ::policy::{Mailer, MailerId, Settings};
use ::queue::{DropReason, Event, Report, ReportKind, Stat, Status, To};
use std::io::Write;
use wire::QueueId;

/// The most octets of a reply in a line.
const SHOWN_BYTES_MAX: usize = 203;

/// How grave an event is, and from which `LogLevel` on it is written.
pub(super) fn weight(event: &Event) -> (Severity, u8) {
    match event {
        Event::To(to) => match to.stat {
            Stat::Sent | Stat::Discarded | Stat::Removed | Stat::Quarantined => (Severity::Info, 8),
            Stat::Deferred => (Severity::Info, 9),
            Stat::Failed => (Severity::Info, 7),
        },
        Event::Lost { .. } => (Severity::Alert, 0),
        Event::Complaint { .. } => (Severity::Critical, 0),
        Event::Storm { .. } => (Severity::Notice, 4),
        Event::Held { .. } | Event::Released { .. } => (Severity::Info, 9),
        // sendmail has no such lines: below its debugging they would be news to those who read its log.
        Event::Done { .. } => (Severity::Info, 10),
        Event::Dropped { .. } | Event::DestinationDown { .. } | Event::DestinationUp { .. } => {
            (Severity::Info, 10)
        }
    }
}

/// The line, and which message it is about.
pub(super) fn line(event: &Event, settings: &Settings) -> (Option<QueueId>, Vec<u8>) {
    let mut out = Vec::new();
    let id = match event {
        Event::To(to) => {
            to_line(&mut out, to, settings);
            Some(to.id)
        }
        Event::Held { id, reason } => {
            put(&mut out, &[b"quarantine=", reason]);
            Some(*id)
        }
        Event::Released { id } => {
            put(&mut out, &[b"unquarantine"]);
            Some(*id)
        }
        Event::Complaint { id, text } => {
            put(&mut out, &[b"SYSERR(root): ", text]);
            Some(*id)
        }
        Event::Lost { id } => {
            let number = id.to_string();
            put(&mut out, &[b"Losing ./qf", number.as_bytes(), b": savemail panic"]);
            Some(*id)
        }
        Event::Storm { id, to, count } => {
            let count = format!("{count} reports within an hour to ");
            put(&mut out, &[count.as_bytes(), to, b", named by strangers: further ones wait"]);
            Some(*id)
        }
        Event::Dropped { id, to, by } => {
            let why: &[u8] = match by {
                DropReason::DoubleBounce => b"its report can't be delivered either",
                DropReason::NoPostmaster => b"no postmaster is configured",
                DropReason::NotWanted => b"the sender wants no report",
                DropReason::Storm => b"its sender had too many reports hour after hour",
                DropReason::Saved => b"it is in the file for what nobody can get",
            };
            put(&mut out, &[b"to=", to, b", dropped: ", why]);
            Some(*id)
        }
        Event::Done { id, delay_s, tries } => {
            let tries = format!(", ntries={tries}");
            put(&mut out, &[b"done; delay=", clock(*delay_s).as_bytes(), tries.as_bytes()]);
            Some(*id)
        }
        Event::DestinationDown { mailer, host, pause_ms, text } => {
            let pause = format!(": not before {} s: ", pause_ms / 1000);
            put(&mut out, &[name(*mailer, settings), b" ", host, pause.as_bytes(), text]);
            None
        }
        Event::DestinationUp { mailer, host } => {
            put(&mut out, &[name(*mailer, settings), b" ", host, b": answers again"]);
            None
        }
    };
    (id, out)
}

/// sendmail's line on a report that was made, under the id of the message that it is about.
pub(super) fn report_line(report: &Report, id: QueueId) -> Vec<u8> {
    let mut out = format!("{id}: ").into_bytes();
    let first = report.lines.first().map(|line| &line.trouble);
    let last = report.tried().into_iter().rfind(|line| line.fate == ::queue::Fate::Failed);
    let last = last.map(|line| &line.trouble).or(first);
    let text = last.map_or(&b""[..], |trouble| &trouble.text);
    let is_late = first.is_some_and(|first| first.status == Status(4, 4, 7));
    let who: &[u8] = match report.kind {
        _ if report.is_about_report => b"return to sender: ",
        ReportKind::Delay => b"sender notify: ",
        ReportKind::DoubleBounce | ReportKind::Copy => b"postmaster notify: ",
        ReportKind::Failure | ReportKind::Success => b"DSN: ",
    };
    match report.kind {
        kind if kind.is_failure() && is_late => {
            let limit = ::queue::duration(report.give_up_s.into());
            put(&mut out, &[who, b"Cannot send message for ", limit.as_bytes()]);
        }
        ReportKind::Failure | ReportKind::DoubleBounce | ReportKind::Copy => {
            put(&mut out, &[who, text]);
        }
        ReportKind::Delay => put(&mut out, &[who, report.warning().as_bytes()]),
        ReportKind::Success => put(&mut out, &[who, b"Return receipt"]),
    }
    out
}

/// sendmail's line on what came of recipients.
fn to_line(out: &mut Vec<u8>, to: &To, settings: &Settings) {
    out.extend_from_slice(b"to=");
    for (number, address) in to.to.iter().enumerate() {
        put(out, &[if number == 0 { b"" } else { b"," }, address]);
    }
    if let Some(controller) = to.controller.as_ref().filter(|_| to.stat != Stat::Quarantined) {
        let numbers = format!(" ({}/{})", controller.uid, controller.gid);
        put(out, &[b", ctladdr=", &controller.address, numbers.as_bytes()]);
    } else if let Some(name) = &to.led_by {
        put(out, &[b", ctladdr=", name]);
    }
    // What the message began with, and its tries.
    let tries = i64::from(to.tries).saturating_mul(settings.weights.retry_factor);
    let priority = to.priority.saturating_add(tries);
    put(out, &[b", delay=", clock(to.delay_s).as_bytes()]);
    if let Some(took_ms) = to.xdelay_ms.filter(|_| to.stat != Stat::Quarantined) {
        put(out, &[b", xdelay=", clock(took_ms / 1000).as_bytes()]);
    }
    put(out, &[b", mailer=", name(to.mailer, settings)]);
    put(out, &[format!(", pri={priority}").as_bytes()]);
    if to.stat == Stat::Quarantined {
        // Nothing was tried: there is no more to say.
        return put(out, &[b", quarantine=", &to.text, b", stat=quarantined"]);
    }
    if !to.host.is_empty() {
        if settings.manners.quirks.has(Quirks::WHOLE_IPV6) {
            put(out, &[b", relay=", &wire::domain::with_whole_addresses(&to.host)]);
        } else {
            put(out, &[b", relay=", &to.host]);
        }
    }
    put(out, &[format!(", dsn={}", to.status).as_bytes()]);
    if let Some(reply) = &to.reply {
        let reply = policy_cf::machine::shorten(&plain(reply), SHOWN_BYTES_MAX);
        put(out, &[b", reply=", &reply]);
    }
    put(out, &[b", stat="]);
    result(out, to);
}

/// A reply as it came: what stands in it for octets that can't be shown is written for them once more by the log.
fn plain(reply: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(reply.len());
    let mut rest = reply;
    while let Some((&octet, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| octet == b'\\');
        let value = digits.and_then(|digits| str::from_utf8(digits).ok());
        let value = value.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        let value = value.filter(|value| !wire::escape::is_printable(*value));
        out.push(value.unwrap_or(octet));
        rest = if value.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    out
}

/// What came of recipients, as `stat=` has it.
pub(super) fn result(out: &mut Vec<u8>, to: &To) {
    match to.stat {
        // The delivery agents of this machine have nothing to add.
        Stat::Sent if to.text.is_empty() || *to.text == *b"Sent" => put(out, &[b"Sent"]),
        Stat::Sent => put(out, &[b"Sent (", &to.text, b")"]),
        Stat::Deferred if to.text.is_empty() => put(out, &[b"Deferred"]),
        Stat::Deferred => put(out, &[b"Deferred: ", &to.text]),
        Stat::Failed => put(out, &[&to.text]),
        Stat::Discarded => put(out, &[b"discarded"]),
        Stat::Removed => put(out, &[b"removed by the operator"]),
        Stat::Quarantined => {}
    }
}

fn name(mailer: MailerId, settings: &Settings) -> &[u8] {
    let mailer: Option<&Mailer> = settings.mailers.get(usize::from(mailer.0));
    mailer.map_or(b"unknown", |mailer| &mailer.name)
}

fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        // Writing into memory does not fail.
        drop(out.write_all(part));
    }
}
