//! What a server's answers mean for the queue, in sendmail's words.
//!
//! The log says three things of a failure: `dsn=`, `reply=` and `stat=`. The reply is the server's; the other two are
//! ours, and follow from the reply's code and what it was the answer to. An enhanced status code of the server counts
//! only if it announced ENHANCEDSTATUSCODES (RFC 2034): many send digits and dots that mean something else.

use queue::{
    Batch, BodyKind, Outcome, READ_ERROR, RESET, Return, Said, Scope, Status, Trouble, Voice,
};
use smtp::client::{self, Cause, Extension, Impossible, Loss, Protocol, Session, Stage};
use wire::command::DeliverBy;
use wire::dsn::{Notify, Ret};
use wire::reply::Reply;

/// What sendmail calls an answer that fits nothing that was said.
const PROTOCOL_ERROR: &str = "Remote protocol error";

/// Lends the session what it needs to know of a batch.
pub(crate) fn with_transaction<T>(
    batch: &Batch,
    protocol: Protocol,
    is_eight_bit: bool,
    act: impl FnOnce(&client::Transaction<'_>) -> T,
) -> T {
    let recipients: Vec<client::Recipient<'_>> = batch
        .recipients
        .iter()
        .map(|one| client::Recipient {
            address: &one.user,
            is_reported: one.notify.wants_success(),
            // Behind LMTP is the last hop: reports are ours to make.
            notify: if protocol == Protocol::Lmtp { None } else { notify(one.notify) },
            original: one.original.as_deref().filter(|_| protocol != Protocol::Lmtp),
        })
        .collect();
    act(&client::Transaction {
        sender: &batch.sender,
        recipients: &recipients,
        size_bytes: batch.size_bytes,
        body: match batch.body {
            _ if is_eight_bit => Some(wire::command::BodyKind::EightBit),
            BodyKind::DeclaredSeven => Some(wire::command::BodyKind::SevenBit),
            BodyKind::SevenBit | BodyKind::EightBit | BodyKind::Unlabelled => None,
        },
        is_utf8: batch.is_utf8,
        ret: batch.ret.map(|ret| match ret {
            Return::Full => Ret::Full,
            Return::Headers => Ret::Headers,
        }),
        envelope_id: batch.envelope_id.as_deref(),
        is_own: batch.is_own,
        by: batch.by.map(|by| DeliverBy {
            seconds: by.left_s(batch.created_s, sys::clock::realtime_s()),
            returns: by.returns,
            traces: by.traces,
        }),
    })
}

fn notify(notify: queue::Notify) -> Option<Notify> {
    match notify {
        queue::Notify::UNSET => None,
        queue::Notify::NEVER => Some(Notify::Never),
        some => Some(Notify::On {
            success: some.wants_success(),
            failure: some.wants_failure(),
            delay: some.wants_delay(),
        }),
    }
}

/// Tells the queue what came of transactions over one connection.
pub(crate) struct Teller<'t> {
    pub(crate) session: &'t Session,
    pub(crate) protocol: Protocol,
    /// `name. [address]`, as `relay=` says it.
    pub(crate) host: &'t [u8],
    /// `name.`
    pub(crate) name: &'t [u8],
    /// Whether BODY=8BITMIME was said.
    pub(crate) is_eight_bit: bool,
}

impl Teller<'_> {
    /// What came of one recipient of a batch.
    pub(crate) fn outcome(&self, batch: &Batch, place: usize, came: client::Outcome) -> Outcome {
        match came {
            client::Outcome::Delivered(reply) => self.taken(&reply, place),
            client::Outcome::Later(cause, _) if is_protocol_error(&cause) => {
                Outcome::Never(self.trouble(&cause, Some((batch, place))))
            }
            client::Outcome::Later(cause, scope) => {
                let scope = match scope {
                    client::Scope::Recipient => Scope::Recipient,
                    client::Scope::Destination => Scope::Destination,
                };
                let mut trouble = self.trouble(&cause, Some((batch, place)));
                trouble.status = trouble.status.in_class(4);
                Outcome::Later { trouble, scope }
            }
            client::Outcome::Never(cause) => {
                Outcome::Never(self.trouble(&cause, Some((batch, place))))
            }
        }
    }

    fn taken(&self, reply: &Reply, place: usize) -> Outcome {
        let host = self.host.into();
        match self.protocol {
            // It is at its last hop; log lines of local delivery have no text.
            Protocol::Lmtp => {
                let answer = self.session.welcome(place).map(first_line).unwrap_or_default();
                Outcome::Delivered { host, text: Box::default(), answer: answer.into() }
            }
            Protocol::Smtp => Outcome::Relayed {
                host,
                text: text_of(reply),
                accepted: self.session.welcome(place).map(first_line).unwrap_or_default().into(),
                reports: self.session.extensions().has(Extension::Dsn),
                keeps_time: self.session.extensions().has(Extension::DeliverBy),
            },
        }
    }

    /// A cause in words for log and reports.
    pub(crate) fn trouble(&self, cause: &Cause, whose: Option<(&Batch, usize)>) -> Trouble {
        if let Cause::Impossible(Impossible::NoDeadlines | Impossible::TooLate { .. }) = cause {
            // Ours, and not of one recipient: an empty first line says so.
            let words = format!("\n554 {} {cause}", cause.status());
            let said = Said { command: Box::default(), reply: words.into_bytes().into() };
            let trouble = Trouble::ours(Status(5, 0, 0), b"Service unavailable");
            return Trouble { host: self.host.into(), said: Some(Box::new(said)), ..trouble };
        }
        if *cause == Cause::Ourselves {
            let words = format!("553 5.3.5 {} {cause}", self.name.escape_ascii());
            let said = Said { command: Box::default(), reply: words.into_bytes().into() };
            let trouble = Trouble::ours(Status(5, 3, 5), b"Local configuration error");
            return Trouble { host: self.host.into(), said: Some(Box::new(said)), ..trouble };
        }
        let said = self.said(cause, whose);
        let reply = said.as_ref().and_then(|said| said.lines().next());
        let text = self.words(cause, reply.unwrap_or_default());
        let is_told = said.is_some() && !is_protocol_error(cause);
        let (said, voice) = match (said, cause) {
            (None, Cause::Lost { stage, why }) => {
                let (said, voice) = self.in_its_place(*stage, *why, whose);
                (said, voice)
            }
            (said, _) => (said, if is_told { Voice::Smtp } else { Voice::Local }),
        };
        Trouble {
            status: self.status(cause),
            text: text.into_bytes().into(),
            host: self.host.into(),
            voice,
            said: said.map(Box::new),
        }
        .cleaned()
    }

    /// What stands in the place of a reply that did not come, and whether the log tells it.
    fn in_its_place(
        &self,
        stage: Stage,
        why: Loss,
        whose: Option<(&Batch, usize)>,
    ) -> (Option<Said>, Voice) {
        if !matches!(why, Loss::Closed | Loss::Broken | Loss::Timeout) {
            return (None, Voice::Local);
        }
        let is_reset = stage == Stage::Recipient && why != Loss::Timeout;
        let (words, voice) =
            if is_reset { (RESET, Voice::Smtp) } else { (READ_ERROR, Voice::Local) };
        let command = match (stage, whose) {
            (Stage::Recipient, Some((batch, place))) => self.rcpt(batch, place),
            _ => Vec::new(),
        };
        let reply = [words, self.name].concat().into();
        (Some(Said { command: command.into(), reply }), voice)
    }

    fn rcpt(&self, batch: &Batch, place: usize) -> Vec<u8> {
        with_transaction(batch, self.protocol, self.is_eight_bit, |all| {
            let one = all.recipients.get(place);
            one.map(|one| client::rcpt_line(one, self.session.extensions())).unwrap_or_default()
        })
    }

    /// What the server said, and to what.
    fn said(&self, cause: &Cause, whose: Option<(&Batch, usize)>) -> Option<Said> {
        let reply = cause.reply()?;
        let extensions = self.session.extensions();
        let command = match (cause.stage(), whose) {
            (Stage::Hello, _) => self.session.hello_line(),
            (Stage::Reset, _) => b"RSET".to_vec(),
            (Stage::Mail, Some((batch, _))) => {
                with_transaction(batch, self.protocol, self.is_eight_bit, |all| {
                    client::mail_line(all, extensions)
                })
            }
            (Stage::Recipient, Some((batch, place))) if self.session.names_recipients_at_once() => {
                [&*self.rcpt(batch, place), b"\nDATA"].concat()
            }
            (Stage::Recipient, Some((batch, place))) => self.rcpt(batch, place),
            (Stage::Data, _) => b"DATA".to_vec(),
            (Stage::Body | Stage::Dot, _) => queue::DOT.to_vec(),
            (Stage::Greeting | Stage::Idle | Stage::Mail | Stage::Recipient, _) => Vec::new(),
        };
        Some(Said { command: command.into(), reply: lines_of(reply).into() })
    }

    fn status(&self, cause: &Cause) -> Status {
        let own =
            |status: wire::status::Status| Status(status.class, status.subject, status.detail);
        match cause {
            Cause::Said { stage, reply } => {
                match reply.status.filter(|_| self.trusts_status(*stage)) {
                    Some(status) => own(status),
                    None => status_of(*stage, reply.code),
                }
            }
            Cause::Unexpected { stage: Stage::Dot, .. } => Status(5, 0, 0),
            cause if is_protocol_error(cause) => Status(5, 5, 1),
            Cause::Unexpected { .. } | Cause::Garbled { .. } | Cause::Lost { .. } => {
                own(cause.status())
            }
            Cause::Ourselves | Cause::Impossible(_) => own(cause.status()),
        }
    }

    /// Whether the server's own status counts. LMTP servers have to know RFC 2034 (RFC 2033, 5); before anything was said of
    /// a message, and at DATA, no status says more than the code.
    fn trusts_status(&self, stage: Stage) -> bool {
        let is_of_a_message = matches!(stage, Stage::Mail | Stage::Recipient | Stage::Dot);
        let is_announced = self.session.extensions().has(Extension::EnhancedStatusCodes);
        is_of_a_message && (is_announced || self.protocol == Protocol::Lmtp)
    }

    /// What `stat=` says.
    fn words(&self, cause: &Cause, reply: &[u8]) -> String {
        let name = || self.name.escape_ascii();
        match cause {
            Cause::Said { reply: whole, .. } if !whole.is_permanent() => {
                String::from_utf8_lossy(reply).into_owned()
            }
            Cause::Said { stage, reply: whole } => {
                let words = permanent_words(*stage, whole.code);
                let says_why = self.protocol == Protocol::Lmtp && *stage == Stage::Dot;
                match whole.lines.first().filter(|text| says_why && !text.is_empty()) {
                    Some(text) => format!("{words} ({})", String::from_utf8_lossy(text)),
                    None => words.to_owned(),
                }
            }
            cause if is_protocol_error(cause) => PROTOCOL_ERROR.to_owned(),
            Cause::Unexpected { .. } => format!("unexpected reply from {}", name()),
            Cause::Garbled { fault, .. } => format!("{fault} from {}", name()),
            // The words stand in the place of the reply.
            Cause::Lost { stage, why: Loss::Closed | Loss::Broken }
                if *stage == Stage::Recipient
                    || *stage == Stage::Dot && self.protocol == Protocol::Lmtp =>
            {
                String::new()
            }
            Cause::Lost { why, .. } => match why {
                Loss::Closed => format!("Connection reset by {}", name()),
                Loss::Broken => format!("Connection broken by {}", name()),
                Loss::Timeout => format!("Connection timed out with {}", name()),
                Loss::OurBody => "message file cannot be read".to_owned(),
                Loss::Quit | Loss::Unknown => format!("Connection with {} was ended", name()),
            },
            Cause::Ourselves | Cause::Impossible(_) => format!("{cause}"),
        }
    }
}

/// A wrong class of answer: sendmail's "protocol error", for good.
fn is_protocol_error(cause: &Cause) -> bool {
    matches!(
        cause,
        Cause::Unexpected { stage: Stage::Mail | Stage::Recipient | Stage::Data | Stage::Dot, .. }
    )
}

/// The first line of a reply without its code.
fn text_of(reply: &Reply) -> Box<[u8]> {
    let lines = lines_of(reply);
    let first = lines.split(|&octet| octet == b'\n').next().unwrap_or_default();
    first.get(4..).unwrap_or_default().into()
}

/// The first line of a reply as it came, code included.
pub(crate) fn first_line(reply: &Reply) -> Vec<u8> {
    let lines = lines_of(reply);
    lines.split(|&octet| octet == b'\n').next().unwrap_or_default().to_vec()
}

/// The lines of a reply as they came, codes included, LF between them.
fn lines_of(reply: &Reply) -> Vec<u8> {
    let mut out = Vec::new();
    let last = reply.lines.len().saturating_sub(1);
    for (number, text) in reply.lines.iter().enumerate() {
        if number > 0 {
            out.push(b'\n');
        }
        out.extend_from_slice(reply.code.to_string().as_bytes());
        let status = reply.status.map(|status| format!("{status} ")).unwrap_or_default();
        let rest = [status.as_bytes(), text].concat();
        let rest = rest.trim_ascii_end();
        if number < last || !rest.is_empty() {
            out.push(if number < last { b'-' } else { b' ' });
        }
        out.extend_from_slice(rest);
    }
    out
}

fn permanent_words(stage: Stage, code: u16) -> &'static str {
    match (stage, code) {
        (Stage::Recipient, 550 | 551 | 553) => "User unknown",
        (Stage::Mail, 501 | 553) => "Data format error",
        (Stage::Dot, code) if is_out_of_place(code) => PROTOCOL_ERROR,
        _ => "Service unavailable",
    }
}

/// Whether a refusal behind the dot is none of a mailbox or a message (RFC 5321, 4.2.1: x5x).
fn is_out_of_place(code: u16) -> bool {
    (500..600).contains(&code) && code / 10 != 55
}

/// Whether a server broke the protocol by refusing a message with that.
pub(crate) fn is_protocol_refusal(cause: &Cause) -> bool {
    matches!(cause, Cause::Said { stage: Stage::Dot, reply } if is_out_of_place(reply.code))
}

/// The status that stands for a reply without one: as sendmail, by what it answers.
fn status_of(stage: Stage, code: u16) -> Status {
    match (stage, code) {
        (Stage::Hello | Stage::Mail | Stage::Data | Stage::Dot, 421) => Status(4, 3, 2),
        (Stage::Greeting | Stage::Hello, 400..=499) => Status(4, 5, 0),
        (Stage::Greeting | Stage::Hello, 500..=599) => Status(5, 5, 0),
        (Stage::Mail, 552) => Status(5, 3, 4),
        (Stage::Mail | Stage::Recipient, 553) => Status(5, 1, 3),
        (Stage::Mail, 501) | (Stage::Recipient | Stage::Dot, 500) => Status(5, 5, 2),
        (Stage::Recipient | Stage::Dot, 501 | 504) => Status(5, 5, 4),
        (Stage::Recipient | Stage::Dot, 502 | 503) => Status(5, 5, 1),
        (Stage::Recipient, 550) => Status(5, 1, 1),
        (Stage::Dot, 550) => Status(5, 2, 0),
        (Stage::Recipient | Stage::Dot, 551) => Status(5, 1, 6),
        (Stage::Recipient | Stage::Dot, 552) => Status(5, 2, 2),
        (Stage::Dot, 553) => Status(5, 1, 0),
        (Stage::Mail | Stage::Recipient | Stage::Dot, 450) => Status(4, 2, 0),
        (Stage::Mail | Stage::Recipient | Stage::Dot, 451) => Status(4, 3, 0),
        (Stage::Mail | Stage::Recipient | Stage::Dot, 452) => Status(4, 3, 1),
        (_, 400..=499) => Status(4, 0, 0),
        _ => Status(5, 0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded of sendmail 8.17: what each code is behind each command, of a server without ENHANCEDSTATUSCODES.
    #[test]
    fn codes_mean_what_they_mean_to_sendmail() {
        let usual: [(u16, Status); 5] = [
            (450, Status(4, 2, 0)),
            (451, Status(4, 3, 0)),
            (452, Status(4, 3, 1)),
            (455, Status(4, 0, 0)),
            (471, Status(4, 0, 0)),
        ];
        for (code, status) in usual {
            for stage in [Stage::Mail, Stage::Recipient, Stage::Dot] {
                assert_eq!(status_of(stage, code), status, "{stage:?} {code}");
            }
            assert_eq!(status_of(Stage::Greeting, code), Status(4, 5, 0));
            assert_eq!(status_of(Stage::Hello, code), Status(4, 5, 0));
            assert_eq!(status_of(Stage::Data, code), Status(4, 0, 0));
        }
        let (useless, unknown) = ("Service unavailable", "User unknown");
        let recorded = [
            (Stage::Mail, 501, (5, 5, 2), "Data format error"),
            (Stage::Mail, 552, (5, 3, 4), useless),
            (Stage::Mail, 553, (5, 1, 3), "Data format error"),
            (Stage::Mail, 550, (5, 0, 0), useless),
            (Stage::Recipient, 500, (5, 5, 2), useless),
            (Stage::Recipient, 504, (5, 5, 4), useless),
            (Stage::Recipient, 503, (5, 5, 1), useless),
            (Stage::Recipient, 550, (5, 1, 1), unknown),
            (Stage::Recipient, 551, (5, 1, 6), unknown),
            (Stage::Recipient, 552, (5, 2, 2), useless),
            (Stage::Recipient, 553, (5, 1, 3), unknown),
            (Stage::Recipient, 571, (5, 0, 0), useless),
            (Stage::Data, 550, (5, 0, 0), useless),
            (Stage::Dot, 500, (5, 5, 2), PROTOCOL_ERROR),
            (Stage::Dot, 535, (5, 0, 0), PROTOCOL_ERROR),
            (Stage::Dot, 550, (5, 2, 0), useless),
            (Stage::Dot, 551, (5, 1, 6), useless),
            (Stage::Dot, 553, (5, 1, 0), useless),
            (Stage::Dot, 556, (5, 0, 0), useless),
            (Stage::Dot, 571, (5, 0, 0), PROTOCOL_ERROR),
        ];
        for (stage, code, (class, subject, detail), words) in recorded {
            assert_eq!(status_of(stage, code), Status(class, subject, detail), "{stage:?} {code}");
            assert_eq!(permanent_words(stage, code), words, "{stage:?} {code}");
        }
    }
}
