//! The commands before the message, and their answers, in order.
//!
//! All commands are written down when the transaction begins; how many of them go out at once is the server's to say.
//! With PIPELINING not more than `FLIGHT_MAX` answers are owed at any time, so that a long list of recipients cannot
//! fill both sockets and stop both sides.
//!
//! Where the message goes as one chunk (RFC 3030), BDAT with it stands in the place of DATA, and its answer is that to the whole.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::vec::Vec;

use wire::command::BodyKind;
use wire::dsn::Notify;
use wire::reply::Reply;

use super::hello::{Extension, Extensions};
use super::outcome::{Impossible, Outcome, Stage};
use super::{Patience, Recipient, Transaction, set};

/// Answers that a server may owe us.
const FLIGHT_MAX: usize = 100;
/// Octets of an address that is sent; longer ones are not.
const ADDRESS_BYTES_MAX: usize = 1024;
/// Octets of a parameter's value.
const VALUE_BYTES_MAX: usize = 600;

/// A command that was or will be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Reset,
    Mail,
    Recipient(usize),
    Data,
    /// BDAT with the whole message.
    Chunk,
}

/// The commands of a transaction, and how far they have come.
#[derive(Debug)]
pub(super) struct Envelope {
    /// Commands that were not sent yet, one line each.
    lines: Vec<u8>,
    unsent: VecDeque<Asked>,
    awaited: VecDeque<Asked>,
    /// Places of recipients whose address cannot be sent.
    unfit: Vec<usize>,
    /// The message, where it goes as one chunk and has not gone yet.
    chunk: Vec<u8>,
    accepted: Vec<usize>,
    /// What the server said to those it accepted, where a report may have to tell; `None`: none does.
    welcomes: Option<Vec<(usize, Reply)>>,
    has_sender: bool,
    /// Nothing goes out before RSET and MAIL were answered.
    is_patient: bool,
}

/// What comes after an answer.
#[derive(Debug)]
pub(super) enum Next {
    /// More commands or answers, if there are any.
    More,
    /// The message.
    Body,
    /// Nothing: the message went with the commands, and this was the answer to it.
    Ended(Reply),
    /// Nothing: DATA was refused.
    Refused {
        /// For good, not for now.
        for_good: bool,
    },
    /// The end: the answer makes no sense.
    Unexpected(Stage, Reply),
}

impl Envelope {
    /// Writes the commands of a transaction down.
    pub(super) fn new(
        transaction: &Transaction<'_>,
        extensions: &Extensions,
        has_reset: bool,
        is_patient: bool,
        chunk: Option<Vec<u8>>,
    ) -> Self {
        let mut envelope = if has_reset { Self::reset() } else { Self::empty() };
        envelope.is_patient = is_patient;
        envelope.welcomes = may_be_told(transaction, extensions).then(Vec::new);
        write_mail(transaction, extensions, &mut envelope.lines);
        envelope.unsent.push_back(Asked::Mail);
        for (place, recipient) in transaction.recipients.iter().enumerate() {
            if is_fit(recipient.address) && !recipient.address.is_empty() {
                write_rcpt(recipient, extensions, &mut envelope.lines);
                envelope.unsent.push_back(Asked::Recipient(place));
            } else {
                envelope.unfit.push(place);
            }
        }
        if let Some(chunk) = chunk {
            envelope.lines.extend_from_slice(format!("BDAT {} LAST\r\n", chunk.len()).as_bytes());
            envelope.chunk = chunk;
            envelope.unsent.push_back(Asked::Chunk);
        } else {
            envelope.lines.extend_from_slice(b"DATA\r\n");
            envelope.unsent.push_back(Asked::Data);
        }
        envelope
    }

    const fn empty() -> Self {
        Self {
            lines: Vec::new(),
            unsent: VecDeque::new(),
            awaited: VecDeque::new(),
            unfit: Vec::new(),
            chunk: Vec::new(),
            accepted: Vec::new(),
            welcomes: None,
            has_sender: false,
            is_patient: false,
        }
    }

    /// RSET, and nothing else.
    pub(super) fn reset() -> Self {
        let mut envelope = Self::empty();
        envelope.lines.extend_from_slice(b"RSET\r\n");
        envelope.unsent.push_back(Asked::Reset);
        envelope
    }

    /// Places of recipients whose address cannot be sent.
    pub(super) fn unfit(&self) -> Vec<usize> {
        self.unfit.clone()
    }

    /// Whether anybody is left to send to.
    pub(super) fn has_recipients(&self) -> bool {
        self.unsent.iter().any(|asked| matches!(asked, Asked::Recipient(_)))
    }

    /// Whether nothing is owed and nothing is to be sent.
    pub(super) fn is_over(&self) -> bool {
        self.awaited.is_empty() && self.unsent.is_empty()
    }

    /// Whether the server has a sender that only RSET or a message takes away.
    pub(super) const fn has_sender(&self) -> bool {
        self.has_sender
    }

    pub(super) fn accepted(&mut self) -> Vec<usize> {
        core::mem::take(&mut self.accepted)
    }

    /// What the server said to those it accepted, as far as it was kept.
    pub(super) fn welcomes(&mut self) -> Vec<(usize, Reply)> {
        self.welcomes.take().unwrap_or_default()
    }

    /// How long the next answer may take.
    pub(super) fn patience(&self) -> Patience {
        match self.awaited.front() {
            Some(Asked::Data) => Patience::Data,
            Some(Asked::Chunk) => Patience::Dot,
            Some(Asked::Mail) => Patience::Mail,
            Some(Asked::Recipient(_)) => Patience::Recipient,
            Some(Asked::Reset) => Patience::Reset,
            None => Patience::Command,
        }
    }

    pub(super) fn stage(&self) -> Stage {
        match self.awaited.front() {
            None => Stage::Idle,
            Some(Asked::Reset) => Stage::Reset,
            Some(Asked::Mail) => Stage::Mail,
            Some(Asked::Recipient(_)) => Stage::Recipient,
            Some(Asked::Data) => Stage::Data,
            Some(Asked::Chunk) => Stage::Dot,
        }
    }

    /// Sends as many commands as may go out now.
    pub(super) fn send(&mut self, extensions: &Extensions, out: &mut Vec<u8>) {
        let flight = if extensions.has(Extension::Pipelining) { FLIGHT_MAX } else { 1 };
        let mut sent = 0usize;
        while self.awaited.len() < flight
            && !(self.is_patient
                && matches!(self.awaited.front(), Some(Asked::Reset | Asked::Mail)))
            && let Some(asked) = self.unsent.pop_front()
        {
            let is_for_nobody =
                matches!(asked, Asked::Data | Asked::Chunk) && self.accepted.is_empty();
            if is_for_nobody && self.awaited.is_empty() {
                // Every recipient was refused before DATA went out.
                self.unsent.clear();
                break;
            }
            let rest = self.lines.get(sent..).unwrap_or_default();
            let line = first_line(rest);
            out.extend_from_slice(line);
            sent = sent.saturating_add(line.len());
            if asked == Asked::Chunk {
                out.append(&mut self.chunk);
            }
            self.awaited.push_back(asked);
        }
        self.lines.drain(..sent.min(self.lines.len()));
    }

    /// Takes the next answer.
    pub(super) fn answer(&mut self, reply: Reply, results: &mut [Option<Outcome>]) -> Next {
        let stage = self.stage();
        let Some(asked) = self.awaited.pop_front() else {
            return Next::Unexpected(stage, reply);
        };
        let is_known = reply.is_positive() || reply.is_intermediate() || reply_refuses(&reply);
        if !is_known || reply.is_intermediate() != (asked == Asked::Data && !reply_refuses(&reply))
        {
            // A 3yz to anything but DATA, a 2yz to DATA.
            return Next::Unexpected(stage, reply);
        }
        match asked {
            Asked::Reset if reply.is_positive() => Next::More,
            Asked::Reset => Next::Unexpected(stage, reply),
            Asked::Mail if reply.is_positive() => {
                self.has_sender = true;
                Next::More
            }
            Asked::Mail => {
                settle(results, &Outcome::of(stage, reply));
                // What is on its way is answered; nothing more goes out.
                self.unsent.clear();
                Next::More
            }
            Asked::Recipient(place) => {
                if reply.is_positive() {
                    self.accept(place, reply);
                } else if self.has_sender {
                    set(results, place, Outcome::of(stage, reply));
                }
                Next::More
            }
            Asked::Data if reply.is_intermediate() => Next::Body,
            Asked::Chunk => Next::Ended(reply),
            Asked::Data => {
                let for_good = reply.is_permanent();
                settle(results, &Outcome::of(stage, reply));
                Next::Refused { for_good }
            }
        }
    }

    /// A recipient is accepted only after its sender was: a server that says otherwise is not believed.
    fn accept(&mut self, place: usize, reply: Reply) {
        if self.has_sender {
            self.accepted.push(place);
            if let Some(welcomes) = &mut self.welcomes {
                welcomes.push((place, reply));
            }
        }
    }
}

/// Whether a report of success or of a deadline may follow on this server's yes: where it makes none itself.
fn may_be_told(transaction: &Transaction<'_>, extensions: &Extensions) -> bool {
    let has_dsn = extensions.has(Extension::Dsn);
    let is_asked = |one: &Recipient<'_>| {
        has_dsn && matches!(one.notify, Some(Notify::On { success: true, .. }))
    };
    let is_ours = |one: &Recipient<'_>| one.is_reported && !is_asked(one);
    transaction.by.is_some() || transaction.recipients.iter().any(is_ours)
}

const fn reply_refuses(reply: &Reply) -> bool {
    reply.is_temporary() || reply.is_permanent()
}

/// The first line of `lines`, with its end.
fn first_line(lines: &[u8]) -> &[u8] {
    let end = lines.iter().position(|&octet| octet == b'\n');
    end.and_then(|at| lines.get(..=at)).unwrap_or(lines)
}

fn settle(results: &mut [Option<Outcome>], outcome: &Outcome) {
    for result in results {
        result.get_or_insert_with(|| outcome.clone());
    }
}

/// Why this server cannot take this message at all.
pub(super) fn impossible(
    transaction: &Transaction<'_>,
    extensions: &Extensions,
) -> Option<Impossible> {
    if transaction.is_utf8 && !extensions.has(Extension::SmtpUtf8) {
        return Some(Impossible::Utf8);
    }
    if let Some(by) = transaction.by.filter(|by| by.returns) {
        if !extensions.has(Extension::DeliverBy) {
            return Some(Impossible::NoDeadlines);
        }
        let least = extensions.deliver_by_min_s();
        if by.seconds < i64::from(least) {
            return Some(Impossible::TooLate { left_s: by.seconds, least_s: least });
        }
    }
    (!is_fit(transaction.sender)).then_some(Impossible::Sender)
}

/// Octets of a command that [`mail_line`] and [`rcpt_line`] give.
pub const COMMAND_BYTES_MAX: usize = 512;

/// The MAIL command of a transaction to a server that can do this, without its end and cut to [`COMMAND_BYTES_MAX`]: for
/// reports.
#[must_use]
pub fn mail_line(transaction: &Transaction<'_>, extensions: &Extensions) -> Vec<u8> {
    let mut line = Vec::new();
    write_mail(transaction, extensions, &mut line);
    shown(line)
}

/// The RCPT command of a recipient, as [`mail_line`].
#[must_use]
pub fn rcpt_line(recipient: &Recipient<'_>, extensions: &Extensions) -> Vec<u8> {
    let mut line = Vec::new();
    write_rcpt(recipient, extensions, &mut line);
    shown(line)
}

fn shown(mut line: Vec<u8>) -> Vec<u8> {
    line.truncate(line.trim_ascii_end().len().min(COMMAND_BYTES_MAX));
    line
}

fn write_mail(transaction: &Transaction<'_>, extensions: &Extensions, out: &mut Vec<u8>) {
    out.extend_from_slice(b"MAIL From:<");
    out.extend_from_slice(transaction.sender);
    out.push(b'>');
    if extensions.has(Extension::Size) && transaction.size_bytes > 0 {
        out.extend_from_slice(format!(" SIZE={}", transaction.size_bytes).as_bytes());
    }
    // To a server without 8BITMIME octets go as they are (sendmail's `pass8`).
    if extensions.has(Extension::EightBitMime) {
        out.extend_from_slice(match transaction.body {
            Some(BodyKind::EightBit) => b" BODY=8BITMIME",
            Some(BodyKind::SevenBit) => b" BODY=7BIT",
            None => b"",
        });
    }
    if transaction.is_utf8 {
        out.extend_from_slice(b" SMTPUTF8");
    }
    if extensions.has(Extension::Dsn) {
        if let Some(id) = transaction.envelope_id.filter(|id| is_value(id)) {
            out.extend_from_slice(b" ENVID=");
            out.extend_from_slice(id);
        }
        if let Some(ret) = transaction.ret {
            out.extend_from_slice(b" RET=");
            out.extend_from_slice(ret.as_bytes());
        }
    }
    if extensions.has(Extension::Auth) && transaction.is_own && !transaction.sender.is_empty() {
        out.extend_from_slice(b" AUTH=");
        write_xtext(transaction.sender, out);
    }
    if let Some(by) = transaction.by.filter(|_| extensions.has(Extension::DeliverBy)) {
        let mode = if by.returns { "R" } else { "N" };
        let trace = if by.traces { "T" } else { "" };
        out.extend_from_slice(format!(" BY={};{mode}{trace}", by.seconds).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

fn write_rcpt(recipient: &Recipient<'_>, extensions: &Extensions, out: &mut Vec<u8>) {
    out.extend_from_slice(b"RCPT To:<");
    out.extend_from_slice(recipient.address);
    out.push(b'>');
    if extensions.has(Extension::Dsn) {
        if let Some(notify) = recipient.notify {
            out.extend_from_slice(b" NOTIFY=");
            notify.write(out);
        }
        if let Some(original) = recipient.original.filter(|original| is_value(original)) {
            out.extend_from_slice(b" ORCPT=");
            out.extend_from_slice(original);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Text as a value of a parameter (RFC 3461, 4): what is not a plain character is `+` and two hexadecimal digits.
fn write_xtext(text: &[u8], out: &mut Vec<u8>) {
    for &octet in text {
        if octet.is_ascii_graphic() && !matches!(octet, b'+' | b'=') {
            out.push(octet);
        } else {
            out.extend_from_slice(format!("+{octet:02X}").as_bytes());
        }
    }
}

/// Whether an address can stand in a command: nothing in it ends the path or the line.
fn is_fit(address: &[u8]) -> bool {
    address.len() <= ADDRESS_BYTES_MAX
        && !address.iter().any(|&octet| octet.is_ascii_control() || matches!(octet, b'<' | b'>'))
}

/// Whether a text can be a parameter's value (RFC 5321, 4.1.2).
fn is_value(text: &[u8]) -> bool {
    text.len() <= VALUE_BYTES_MAX && text.iter().all(u8::is_ascii_graphic)
}
