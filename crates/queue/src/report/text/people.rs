//! The part of a report that people read: who, why, and what was said on the way.

use super::{
    ADDRESS_SHOWN_MAX, Paper, REASON_SHOWN_MAX, TEXT_SHOWN_MAX, client, duration, is_told_whole,
    line, reason,
};
use crate::outcome::{DOT, Said, TEXT_BYTES_MAX, Trouble, Voice, cleaned};
use crate::report::{Fate, Report, ReportKind, ReportLine};
use alloc::{format, vec::Vec};

/// Words over a list of recipients, and which fates stand under them.
type Heading = (&'static [u8], fn(Fate) -> bool);

impl Paper<'_> {
    pub(super) fn for_people(self, out: &mut Vec<u8>) {
        let report = self.report;
        if report.kind == ReportKind::Delay {
            line(out, &[b"    **********************************************"]);
            line(out, &[b"    **      THIS IS A WARNING MESSAGE ONLY      **"]);
            line(out, &[b"    **  YOU DO NOT NEED TO RESEND YOUR MESSAGE  **"]);
            line(out, &[b"    **********************************************"]);
            line(out, &[]);
        }
        let at = self.date(report.created_s);
        line(out, &[b"The original message was received at ", at.as_bytes()]);
        line(out, &[b"from ", &source(report)]);
        if matches!(report.kind, ReportKind::DoubleBounce | ReportKind::Copy) {
            line(out, &[b"with id ", format!("{}", report.id).as_bytes()]);
        }
        if !report.looks.foreword.is_empty() {
            line(out, &[]);
            for one in report.looks.foreword.split(|&octet| octet == b'\n') {
                line(out, &[&cleaned(one, TEXT_SHOWN_MAX)]);
            }
        }
        self.lists(out);
        line(out, &[]);
        line(out, &[b"   ----- Transcript of session follows -----"]);
        for list in &report.lists {
            let list = cleaned(list, ADDRESS_SHOWN_MAX);
            line(out, &[b"Message delivered to mailing list ", &list]);
        }
        self.transcript(out);
        if report.kind == ReportKind::Delay {
            let late = duration(report.warn_s.into());
            if let Some(by) = report.missed() {
                let seconds = format!("({}s)", by.seconds);
                line(out, &[b"Warning: Delivery time ", seconds.as_bytes(), b" exceeded"]);
            } else {
                line(out, &[b"Warning: message still undelivered after ", late.as_bytes()]);
            }
            let until = duration(report.give_up_s.into());
            line(out, &[b"Will keep trying until message is ", until.as_bytes(), b" old"]);
        }
    }

    fn lists(self, out: &mut Vec<u8>) {
        let tells_of_late = self.report.missed().is_some();
        let headings: [Heading; 3] = [
            (b"The following addresses had permanent fatal errors", |fate| fate == Fate::Failed),
            (b"The following addresses had transient non-fatal errors", |fate| {
                fate == Fate::Delayed
            }),
            (b"The following addresses had successful delivery notifications", |fate| {
                !matches!(fate, Fate::Failed | Fate::Delayed)
            }),
        ];
        for (place, (heading, belongs)) in headings.into_iter().enumerate() {
            if place == 1 && !tells_of_late {
                continue;
            }
            let mut lines = self
                .report
                .lines
                .iter()
                .filter(|one| !one.is_aside && belongs(one.fate))
                .peekable();
            if lines.peek().is_none() {
                continue;
            }
            line(out, &[]);
            line(out, &[b"   ----- ", heading, b" -----"]);
            for one in lines {
                person(one, out);
            }
        }
    }

    /// What was said, without what was said for the recipient before too.
    fn transcript(self, out: &mut Vec<u8>) {
        let mut last: Option<&Trouble> = None;
        for one in self.report.tried() {
            let has_told = matches!(one.fate, Fate::Failed | Fate::Delayed);
            let is_same_host = last.is_some_and(|last| last.host == one.trouble.host);
            let is_whole = says_nothing_of_address(&one.trouble.text);
            if has_told && is_whole && last == Some(&one.trouble) {
                continue;
            }
            let has_printed = one.fate == Fate::Delivered && one.trouble.voice == Voice::Local;
            if has_printed {
                talk(&one.trouble, true, None, out);
            } else if has_told {
                let before = last.filter(|_| is_same_host).and_then(|last| last.said.as_deref());
                talk(&one.trouble, is_same_host, before.map(Said::last_command), out);
                last = Some(&one.trouble);
            }
            self.end(one, out);
        }
    }

    /// What came of a recipient in one line, or a few.
    fn end(self, one: &ReportLine, out: &mut Vec<u8>) {
        let address = cleaned(&one.address, ADDRESS_SHOWN_MAX);
        let said = cleaned(&one.trouble.text, TEXT_SHOWN_MAX);
        match one.fate {
            Fate::Failed if self.report.missed().is_some_and(|by| by.returns) => {
                let seconds = self.report.by.map_or(0, |by| by.seconds);
                line(out, &[format!("Delivery time ({seconds}s) expired").as_bytes()]);
                line(out, &[b"Message will be deleted from queue"]);
            }
            Fate::Failed if one.trouble.status.0 == 4 => {
                line(out, &[&address, b"... Deferred: ", &said]);
                let age = duration(self.report.give_up_s.into());
                line(out, &[b"Message could not be delivered for ", age.as_bytes()]);
                line(out, &[b"Message will be deleted from queue"]);
            }
            // The talk said it.
            Fate::Failed if is_told_whole(&one.trouble) => {}
            Fate::Failed if says_nothing_of_address(&said) => {
                line(out, &[codes(&one.trouble).as_bytes(), b" ", &said]);
            }
            Fate::Failed => {
                line(out, &[codes(&one.trouble).as_bytes(), b" ", &address, b"... ", &said]);
            }
            Fate::Delayed => line(out, &[&address, b"... Deferred: ", &said]),
            Fate::Delivered => line(out, &[&address, b"... Successfully delivered"]),
            Fate::Relayed => {
                line(out, &[&address, b"... relayed; expect no further notifications"]);
            }
            Fate::Traced => line(out, &[&address, b"... Deliver-By trace: relayed"]),
            Fate::Noticed => line(out, &[&address, b"... Deliver-by notify: relayed"]),
            Fate::Expanded => line(out, &[&address, b"... expanded to multiple addresses"]),
        }
    }
}

/// A recipient in a list of them.
fn person(one: &ReportLine, out: &mut Vec<u8>) {
    let note: &[u8] = match one.fate {
        Fate::Relayed => b"  (relayed to non-DSN-aware mailer)",
        Fate::Traced => b"  (Deliver-By trace: relayed)",
        Fate::Noticed => b"  (Deliver-By notify: relayed)",
        Fate::Expanded => b"  (expanded by mailing list)",
        Fate::Delivered => b"  (successfully delivered to mailbox)",
        Fate::Failed | Fate::Delayed => b"",
    };
    line(out, &[&cleaned(&one.address, ADDRESS_SHOWN_MAX), note]);
    let reply = reason(&one.trouble);
    if let Some(reply) = reply.filter(|_| one.fate == Fate::Failed) {
        let reply = cleaned(reply, TEXT_BYTES_MAX);
        line(out, &[b"    (reason: ", &wire::escape::shorten(&reply, REASON_SHOWN_MAX), b")"]);
    }
    if let Some(list) = &one.expanded_from {
        line(out, &[b"    (expanded from: ", &cleaned(list, ADDRESS_SHOWN_MAX), b")"]);
    }
}

/// The server's words and ours before them.
fn talk(trouble: &Trouble, is_same_host: bool, before: Option<&[u8]>, out: &mut Vec<u8>) {
    if trouble.voice == Voice::Local {
        // What a program printed.
        for one in trouble.said.iter().flat_map(|said| said.lines()).skip(1) {
            line(out, &[&cleaned(one, TEXT_SHOWN_MAX)]);
        }
        return;
    }
    let host = trouble.host.split(|&octet| octet == b' ').next().unwrap_or_default();
    if !host.is_empty() && !is_same_host {
        line(out, &[b"... while talking to ", &cleaned(host, 255), b":"]);
    }
    match &trouble.said {
        Some(said) => {
            let command = said.last_command();
            // What was said once may have several answers.
            if !command.is_empty() && before != Some(command) {
                let command = if *command == *DOT { b"DATA" } else { command };
                line(out, &[b">>> ", &cleaned(command, ADDRESS_SHOWN_MAX)]);
            }
            for one in said.lines() {
                line(out, &[b"<<< ", &cleaned(one, TEXT_SHOWN_MAX)]);
            }
        }
        None => line(out, &[b"<<< ", &cleaned(&trouble.text, TEXT_SHOWN_MAX)]),
    }
}

/// Failures that are the message's or the host's, whoever it was for.
fn says_nothing_of_address(text: &[u8]) -> bool {
    let whole: [&[u8]; 8] = [
        b"unknown mailer error",
        b"Service unavailable",
        b"Remote protocol error",
        b"Local config",
        b"Data format error",
        b"Eight bit data",
        b"Too many hops",
        b"Message exceeds maximum",
    ];
    whole.iter().any(|start| text.starts_with(start))
}

/// The codes before the last line: those that sendmail's exit codes stand for, else the status's own.
fn codes(trouble: &Trouble) -> alloc::string::String {
    let known: [(&[u8], &str); 8] = [
        (b"User unknown", "550 5.1.1"),
        (b"Host unknown", "550 5.1.2"),
        (b"Service unavailable", "554 5.0.0"),
        (b"Remote protocol error", "554 5.5.0"),
        (b"Local configuration error", "554 5.3.5"),
        (b"Data format error", "501 5.6.0"),
        (b"Eight bit data", "554 5.6.1"),
        (b"Message exceeds maximum", "552 5.2.3"),
    ];
    match known.iter().find(|(start, _)| trouble.text.starts_with(start)) {
        Some((_, codes)) => (*codes).into(),
        None => format!("554 {}", trouble.status),
    }
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
