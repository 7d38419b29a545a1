//! sendmail's log lines of a session, for the server and for `sendmail -bs`.
//!
//! fail2ban's and logwatch's patterns are written for these words. Each event has the facility's severity and the `LogLevel`
//! from which on sendmail writes it; what a peer said is escaped before it becomes part of a line.

use crate::log::{About, Log, Severity};
use policy::settings::Quirks;
use policy::{Origin, Resolved, Settings};
use smtp::server::{Entry, Event, FromLine, GivenUp, Marked, Refused, Session};
use std::fmt::{Display, Write};
use std::net::IpAddr;

/// What a peer said as letters, one an octet: the log escapes whatever is in a line, once.
fn text(said: &[u8]) -> impl Display {
    said.iter().map(|octet| char::from(*octet)).collect::<String>()
}

/// The octets of a line of such letters.
fn octets(line: &str) -> Vec<u8> {
    line.chars().map(|letter| u8::try_from(letter).unwrap_or(b'?')).collect()
}

/// Octets of a value that a line repeats.
const VALUE_BYTES_MAX: usize = 300;
/// Octets of a Message-Id that a line repeats.
const MESSAGE_ID_BYTES_MAX: usize = 100;

/// Writes the lines of a step's events.
pub fn write(log: &Log, settings: &Settings, session: &Session, events: &[Entry]) {
    for Entry { id, event } in events {
        let (severity, level) = weight(event);
        if log.wants(level) {
            let scene = Scene { origin: session.origin(), settings, daemon: session.daemon() };
            let about = match (id, event) {
                (_, Event::Refused(refused)) if refused.is_about_session => About::Session,
                (_, Event::Marked(marked)) if marked.is_about_session => About::Session,
                (_, Event::Connected) => About::NoQueue,
                (Some(id), _) => About::Message(*id),
                (None, _) => About::Session,
            };
            log.line_about(severity, about, &octets(&scene.whole_line(event)));
            if *event == Event::Connected && session.origin().address().is_some() {
                absent(log, settings, *id);
            }
        }
    }
}

/// What sendmail tells at each connection of what it was not given: mechanisms for AUTH, milters, certificates. Here they are
/// never there.
fn absent(log: &Log, settings: &Settings, id: Option<wire::QueueId>) {
    if !settings.dresses_mail {
        return;
    }
    log.line(Severity::Warning, None, b"AUTH warning: no mechanisms");
    if log.wants(11) {
        log.line(Severity::Info, id, b"Milter: no active filter");
    }
    if log.wants(14) {
        log.line(Severity::Warning, None, b"STARTTLS: ServerCertFile missing");
    }
}

/// Octets of a block, as lines about room count them.
const BLOCK_BYTES: u64 = 4096;

/// Octets as blocks.
#[must_use]
pub const fn blocks(bytes: u64) -> u64 {
    bytes / BLOCK_BYTES
}

/// Tells that there is too little room for who wants to store `room.0` octets where `room.1` are free (level 1). sendmail says
/// so for each file system of a queue and for the queue: twice where there is one.
pub fn low_on_space(
    log: &Log,
    settings: &Settings,
    id: Option<wire::QueueId>,
    who: &str,
    room: (u64, u64),
) {
    if !log.wants(1) {
        return;
    }
    let (needed, free) = (room.0, blocks(room.1));
    let least = blocks(settings.limits.free_bytes_min);
    let spool = &settings.paths.spool;
    // With a sendmail.cf ours lies in the folder of its queue.
    let end = spool.iter().rposition(|octet| settings.dresses_mail && *octet == b'/');
    let folder = text(spool.get(..end.unwrap_or(spool.len())).unwrap_or_default());
    let line = format!(
        "low on space ({who} needs {needed} bytes + {least} blocks in {folder}), max avail: {free}"
    );
    for _file_system_and_queue in 0..2 {
        log.line(Severity::Alert, id, &octets(&line));
    }
}

/// Tells that a client's message finds too little room.
pub fn low_on_space_for(
    log: &Log,
    settings: &Settings,
    session: &Session,
    needed: u64,
    free_bytes: u64,
) {
    let who = name(session.origin());
    low_on_space(log, settings, session.log_id(), &who, (needed, free_bytes));
}

/// Tells that a message was thrown away after it was accepted (level 5).
pub fn discarded(log: &Log, id: wire::QueueId) {
    if log.wants(5) {
        log.line(Severity::Info, Some(id), b"discarded");
    }
}

/// How grave an event is, and from which `LogLevel` on it is written.
const fn weight(event: &Event) -> (Severity, u8) {
    match event {
        Event::Connected => (Severity::Info, 10),
        Event::Led(_) | Event::Undone(_) => (Severity::Info, 11),
        Event::Cut => (Severity::Warning, 2),
        Event::CutFrom(_) => (Severity::Notice, 2),
        Event::Warned(_) => (Severity::Info, 4),
        Event::From(_) | Event::NoHello | Event::SpokeEarly { .. } | Event::HurriedHello { .. } => {
            (Severity::Info, 5)
        }
        Event::Refused(_) | Event::Marked(_) | Event::Noted(_) | Event::HeaderTooLarge { .. } => {
            (Severity::Notice, 4)
        }
        Event::Unparsable(_) => (Severity::Notice, 3),
        Event::TooLarge { .. } => (Severity::Notice, 7),
        Event::BareEnd { .. } | Event::Lost { .. } | Event::TimedOut { .. } => {
            (Severity::Notice, 2)
        }
        Event::CommandTooLong { .. } => (Severity::Info, 2),
        Event::Looked { .. }
        | Event::Foreign { .. }
        | Event::Attack { .. }
        | Event::RecipientFlood { .. }
        | Event::Silent => (Severity::Info, 6),
        Event::GivenUp(_) => (Severity::Info, 8),
        Event::Heard(_) | Event::Said(_) => (Severity::Info, 15),
        Event::NoTls => (Severity::Error, 1),
        Event::Probe { .. } | Event::OutOfStep => (Severity::Critical, 1),
    }
}

/// Who talks to whom.
struct Scene<'a> {
    origin: &'a Origin,
    settings: &'a Settings,
    daemon: u8,
}

impl Scene<'_> {
    /// The line, the client's address in it as this log writes it.
    fn whole_line(&self, event: &Event) -> String {
        let line = self.line(event);
        let Some(IpAddr::V6(address)) = self.origin.address().map(|one| one.to_canonical()) else {
            return line;
        };
        if self.settings.manners.quirks.has(Quirks::WHOLE_IPV6) {
            let whole = format!("[IPv6:{}]", wire::domain::whole(address));
            line.replace(&literal(address.into()), &whole)
        } else {
            line
        }
    }

    fn line(&self, event: &Event) -> String {
        let relay = relay(self.origin);
        match event {
            Event::From(from) => self.summary(from, &relay),
            Event::Refused(refused) => refused_line(refused, &relay),
            Event::Marked(marked) => marked_line(marked, &relay),
            Event::Noted(said) | Event::Led(said) => text(said).to_string(),
            Event::Unparsable(sender) => {
                let sender = text(sender);
                format!("setsender: {sender}: invalid or unparsable, received from {relay}")
            }
            Event::Connected => format!("connect from {relay}"),
            Event::Undone(to) => format!("to={}, delay=00:00:00, pri=0, stat=RSET", text(cut(to))),
            Event::Looked { .. }
            | Event::Probe { .. }
            | Event::Foreign { .. }
            | Event::Attack { .. }
            | Event::RecipientFlood { .. } => self.suspicion(event, &relay),
            Event::NoHello => {
                let host = text(&self.settings.host_name);
                format!("Authentication-Warning: {host}: {relay} didn't use HELO protocol")
            }
            Event::Warned(warning) => format!("Authentication-Warning: {}", text(warning)),
            Event::SpokeEarly { after_s } => {
                format!(
                    "rejecting commands from {relay} due to pre-greeting traffic after {after_s} seconds"
                )
            }
            Event::HurriedHello { verb } => {
                let address = self.address();
                let peer = format!("{} [{address}]", name(self.origin));
                format!("rejecting server {verb} from {peer} due to traffic before response")
            }
            Event::NoTls => "smtps: TLS not available, exiting".into(),
            Event::CommandTooLong { bytes } => {
                format!("{relay}: SMTP violation, input too long: {bytes}")
            }
            Event::BareEnd { text: said, place, sender } => {
                let (name, sender) = (name(self.origin), text(sender));
                format!(
                    "collect: relay={name}, from={sender}, info={said}, where={place}, status=tempfail"
                )
            }
            Event::HeaderTooLarge { most } => {
                let name = name(self.origin);
                format!("headers too large ({most} max) from {name} during message collect")
            }
            Event::TooLarge { bytes, most } => {
                format!("message size ({bytes}) exceeds maximum ({most})")
            }
            Event::GivenUp(given_up) => given_up_line(given_up),
            Event::Lost { .. }
            | Event::TimedOut { .. }
            | Event::Cut
            | Event::CutFrom(_)
            | Event::Silent => self.gone(event, &relay),
            Event::Heard(line) => format!("<-- {}", text(line)),
            Event::Said(line) => format!("--- {}", text(line)),
            Event::OutOfStep => format!("{relay}: a bug: an answer that nobody asked for"),
        }
    }

    /// What those do who look for something.
    fn suspicion(&self, event: &Event, relay: &str) -> String {
        if let Event::Looked { line, is_rejected } = event {
            let end = if *is_rejected { " [rejected]" } else { "" };
            format!("{relay}: {}{end}", text(line))
        } else if let Event::Probe { verb } = event {
            format!("\"{verb}\" command from {relay} ({})", self.address())
        } else if let Event::Foreign { line } = event {
            format!("{relay}: probable open proxy: command={}\r\n", text(line))
        } else if let Event::Attack { command, count } = event {
            format!("{relay}: possible SMTP attack: command={command}, count={count}")
        } else {
            let closes = matches!(event, Event::RecipientFlood { closes: true });
            let deed = if closes { "shutting down connection" } else { "throttling" };
            format!("{relay}: Possible SMTP RCPT flood, {deed}.")
        }
    }

    /// How a session ended that did not end well.
    fn gone(&self, event: &Event, relay: &str) -> String {
        let to = self.listener();
        if let Event::Lost { stage } = event {
            format!("lost input channel from {relay} to {to} after {stage}")
        } else if *event == Event::Cut {
            "collect: premature EOM: unexpected close".into()
        } else if let Event::CutFrom(sender) = event {
            let (name, sender) = (name(self.origin), text(sender));
            format!("collect: relay={name}, from={sender}, info=unexpected close")
        } else if let Event::TimedOut { stage } = event {
            let name = name(self.origin);
            format!("timeout waiting for input from {name} during {stage}")
        } else {
            format!("{relay} did not issue MAIL/EXPN/VRFY/ETRN during connection to {to}")
        }
    }

    /// sendmail's `from=` line.
    fn summary(&self, from: &FromLine, relay: &str) -> String {
        let mut line = format!(
            "from={}, size={}, class={}, nrcpts={}",
            text(cut(&from.sender)),
            from.size_bytes,
            from.class,
            from.recipients
        );
        // Writing into a string does not fail.
        if !from.message_id.is_empty() {
            write!(line, ", msgid={}", text(cut_to(&from.message_id, MESSAGE_ID_BYTES_MAX))).ok();
        }
        if let Some(body) = from.body {
            let body = match body {
                wire::command::BodyKind::SevenBit => "7BIT",
                wire::command::BodyKind::EightBit => "8BITMIME",
            };
            write!(line, ", bodytype={body}").ok();
        }
        write!(line, ", proto={}", from.protocol).ok();
        if matches!(self.origin, Origin::Client { .. }) {
            write!(line, ", daemon={}", self.listener()).ok();
        }
        write!(line, ", relay={relay}").ok();
        line
    }

    /// The listener's name, or `stdin`.
    fn listener(&self) -> impl Display {
        let listener = self.settings.listeners.get(usize::from(self.daemon));
        match (self.origin, listener) {
            (Origin::Client { .. }, Some(listener)) => text(&listener.name).to_string(),
            (Origin::Client { .. }, None) => "MTA".into(),
            (Origin::User { .. } | Origin::Ourselves, _) => "stdin".into(),
        }
    }

    /// The client's address as sendmail shows it; `0`: none.
    fn address(&self) -> String {
        let address = self.origin.address().map(|address| address.to_canonical().to_string());
        address.unwrap_or_else(|| "0".into())
    }
}

fn refused_line(refused: &Refused, relay: &str) -> String {
    if *refused.by == *b"tcpwrappers" {
        let (name, address) = (text(&refused.argument), refused.second.as_deref());
        return format!("tcpwrappers ({name}, {}) rejection", text(address.unwrap_or_default()));
    }
    let mut line = format!("ruleset={}, arg1={}", text(&refused.by), text(cut(&refused.argument)));
    if let Some(second) = &refused.second {
        // Writing into a string does not fail.
        write!(line, ", arg2={}", text(cut(second))).ok();
    }
    write!(line, ", relay={relay}, reject={}", text(&refused.reply)).ok();
    line
}

fn marked_line(marked: &Marked, relay: &str) -> String {
    let (by, argument) = (text(&marked.by), text(cut(&marked.argument)));
    match &marked.quarantine {
        Some(reason) => {
            format!("ruleset={by}, arg1={argument}, relay={relay}, quarantine={}", text(reason))
        }
        None => format!("ruleset={by}, arg1={argument}, relay={relay}, discard"),
    }
}

/// What sendmail says of a recipient of a message that it has just refused.
fn given_up_line(given_up: &GivenUp) -> String {
    let priority = given_up.priority;
    format!(
        "to={}, delay=00:00:00, pri={priority}, stat={}",
        text(&given_up.to),
        text(&given_up.text)
    )
}

fn cut(value: &[u8]) -> &[u8] {
    cut_to(value, VALUE_BYTES_MAX)
}

fn cut_to(value: &[u8], most: usize) -> &[u8] {
    value.get(..most).unwrap_or(value)
}

/// The client's name, or its address in brackets.
fn name(origin: &Origin) -> String {
    match origin {
        Origin::Client { name, .. } if !name.is_empty() => text(name).to_string(),
        Origin::Client { peer, .. } => literal(peer.ip()),
        Origin::User { .. } | Origin::Ourselves => "localhost".into(),
    }
}

fn literal(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    }
}

/// `NAME [ADDRESS]`, or the address alone.
fn relay(origin: &Origin) -> String {
    match origin {
        Origin::Client { peer, name, resolved, .. } => {
            let address = literal(peer.ip());
            let forged = if *resolved == Resolved::Forged { " (may be forged)" } else { "" };
            if name.is_empty() || **name == *address.as_bytes() {
                format!("{address}{forged}")
            } else {
                format!("{} {address}{forged}", text(name))
            }
        }
        Origin::User { name, .. } => format!("{}@localhost", text(name)),
        Origin::Ourselves => "localhost".into(),
    }
}
