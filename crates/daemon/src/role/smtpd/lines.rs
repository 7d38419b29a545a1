//! sendmail's log lines of a session.

use super::House;
use crate::log::Severity;
use policy::Origin;
use smtp::server::{Event, FromLine, Message, Session};
use std::fmt::Write;
use std::net::IpAddr;
use wire::QueueId;
use wire::escape::text;

/// Writes the lines of a step's events.
pub(super) fn write(house: &House, session: &Session, events: &[Event]) {
    for event in events {
        let (severity, level) = weight(event);
        if house.log.wants(level) {
            let (id, line) = line(event, session.origin());
            house.log.line(severity, id, line.as_bytes());
        }
    }
}

/// A message that the policy throws away.
pub(super) fn discarded(house: &House, message: &Message, by: &[u8]) {
    let line = format!("discarded by {}: from=<{}>", text(by), text(&message.sender));
    house.log.line(Severity::Info, Some(message.id), line.as_bytes());
}

/// How grave an event is, and from which `LogLevel` on it is written.
fn weight(event: &Event) -> (Severity, u8) {
    match event {
        Event::From(_) => (Severity::Info, 5),
        Event::Refused(_) => (Severity::Notice, 4),
        Event::CommandTooLong
        | Event::BareEnd { .. }
        | Event::Lost { .. }
        | Event::TimedOut { .. } => (Severity::Notice, 2),
        Event::Noted { .. }
        | Event::Looked { .. }
        | Event::Foreign { .. }
        | Event::Attack { .. }
        | Event::RecipientFlood
        | Event::Silent => (Severity::Info, 6),
        Event::Probe { .. } | Event::OutOfStep => (Severity::Critical, 1),
    }
}

fn line(event: &Event, origin: &Origin) -> (Option<QueueId>, String) {
    let relay = relay(origin);
    match event {
        Event::From(from) => (Some(from.id), from_line(from, &relay)),
        Event::Refused(refused) => {
            let line = format!(
                "ruleset={}, arg1={}, relay={relay}, reject={}",
                text(&refused.by),
                text(&refused.argument),
                text(&refused.reply)
            );
            (refused.id, line)
        }
        Event::Noted { id, text: said } => (*id, text(said).to_string()),
        Event::Looked { verb, argument, is_rejected } => {
            let verdict = if *is_rejected { " [rejected]" } else { "" };
            (None, format!("{relay}: {verb} {}{verdict}", text(argument)))
        }
        Event::Probe { verb } => (None, format!("\"{verb}\" command from {relay}")),
        Event::Foreign { line } => {
            let line = text(line);
            (None, format!("{relay}: probable open proxy: command={line}"))
        }
        Event::Attack { command, count } => {
            (None, format!("{relay}: possible SMTP attack: command={command}, count={count}"))
        }
        Event::RecipientFlood => (None, format!("{relay}: Possible SMTP RCPT flood, closing")),
        Event::CommandTooLong => (None, format!("{relay}: SMTP violation, input too long")),
        Event::BareEnd { id, text } => (*id, format!("{text}, relay={relay}")),
        Event::Lost { id, stage } => {
            (*id, format!("lost input channel from {relay} after {stage}"))
        }
        Event::TimedOut { id, stage } => {
            (*id, format!("timeout waiting for input from {relay} during {stage}"))
        }
        Event::Silent => {
            (None, format!("{relay} did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA"))
        }
        Event::OutOfStep => (None, format!("{relay}: a bug: an answer that nobody asked for")),
    }
}

/// sendmail's `from=` line.
fn from_line(from: &FromLine, relay: &str) -> String {
    let mut line = format!(
        "from=<{}>, size={}, class=0, nrcpts={}",
        text(&from.sender),
        from.size_bytes,
        from.recipients
    );
    // Writing into a string does not fail.
    if !from.message_id.is_empty() {
        write!(line, ", msgid={}", text(&from.message_id)).ok();
    }
    if let Some(body) = from.body {
        let body = match body {
            wire::command::BodyKind::SevenBit => "7BIT",
            wire::command::BodyKind::EightBit => "8BITMIME",
        };
        write!(line, ", bodytype={body}").ok();
    }
    write!(line, ", proto={}, daemon=MTA, relay={relay}", from.protocol).ok();
    line
}

/// `NAME [ADDRESS]`, or the address alone.
fn relay(origin: &Origin) -> String {
    match origin {
        Origin::Client { peer, name, .. } => {
            let address = match peer.ip().to_canonical() {
                IpAddr::V4(address) => format!("[{address}]"),
                IpAddr::V6(address) => format!("[IPv6:{address}]"),
            };
            if name.is_empty() { address } else { format!("{} {address}", text(name)) }
        }
        Origin::User { name, .. } => format!("{}@localhost", text(name)),
        Origin::Ourselves => "localhost".into(),
    }
}
