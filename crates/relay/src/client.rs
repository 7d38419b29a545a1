//! The client's half of a conversation, as a machine: octets of the server in, octets for the server
//! out, no socket and no clock (RFC 5321; RFC 2920 pipelining; RFC 1870 SIZE; RFC 6152 8BITMIME;
//! RFC 3461 DSN; RFC 6531 SMTPUTF8).
//!
//! A transaction is one flight where the server allows it: MAIL, each RCPT, DATA; then the message with
//! its dot. What must be reset from the transaction before goes in front of the same flight. The answers
//! are matched by the order of what was asked; a server that answers what nobody asked is
//! not believed any more.

use queue::{Batch, BodyKind, Notify, Outcome, Return, Scope, Status, Trouble, Voice};
use std::collections::VecDeque;
use wire::dot::DotWriter;
use wire::reply::{Reply, ReplyReader};

/// What an answer is the answer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Greeting,
    Ehlo,
    Helo,
    Reset,
    Mail,
    Recipient(usize),
    Data,
    Dot,
}

/// What the machine waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// An answer.
    Answer(Patience),
    /// The message: [`Client::write_body`], then [`Client::end_body`].
    Body,
    /// A transaction: [`Client::begin`].
    Nothing,
}

/// How long an answer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    Greeting,
    Command,
    Data,
    Dot,
}

/// What the server says that it can.
#[derive(Debug, Clone, Default)]
struct Extensions {
    known: Vec<Extension>,
    /// RFC 1870; 0: no limit is known.
    size_max: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extension {
    Pipelining,
    EightBit,
    Dsn,
    Utf8,
}

/// One connection's conversation.
#[derive(Debug)]
pub(crate) struct Client {
    our_name: Box<[u8]>,
    /// The name of the server, for reports.
    host: Box<[u8]>,
    reader: ReplyReader,
    answers: u64,
    asked: VecDeque<Asked>,
    extensions: Extensions,
    /// Octets for the server.
    pub(crate) out: Vec<u8>,
    dots: DotWriter,
    wants_body: bool,
    /// RSET goes before the next transaction.
    needs_reset: bool,
    /// Why the connection is of no more use.
    gone: Option<Trouble>,
    transaction: Transaction,
}

/// The state of a transaction.
#[derive(Debug, Default)]
struct Transaction {
    /// A recipient's number, and its outcome when it is known.
    results: Vec<(u32, Option<Outcome>)>,
    /// The RCPT commands that were not sent yet, as one text each, and DATA's turn after them.
    waiting: VecDeque<(Asked, Vec<u8>)>,
    has_sender: bool,
    accepted: usize,
    /// Whether the server has said anything about it.
    is_touched: bool,
    /// Whether the whole message was sent.
    is_sent: bool,
}

impl Client {
    /// Waits for the greeting of `host`.
    pub(crate) fn new(our_name: &[u8], host: &[u8]) -> Self {
        Self {
            our_name: our_name.into(),
            host: host.into(),
            reader: ReplyReader::default(),
            answers: 0,
            asked: [Asked::Greeting].into(),
            extensions: Extensions::default(),
            out: Vec::new(),
            dots: DotWriter::default(),
            wants_body: false,
            needs_reset: false,
            gone: None,
            transaction: Transaction::default(),
        }
    }

    pub(crate) fn want(&self) -> Want {
        if self.wants_body {
            return Want::Body;
        }
        match self.asked.front() {
            None => Want::Nothing,
            Some(Asked::Greeting) => Want::Answer(Patience::Greeting),
            Some(Asked::Data) => Want::Answer(Patience::Data),
            Some(Asked::Dot) => Want::Answer(Patience::Dot),
            Some(Asked::Ehlo | Asked::Helo | Asked::Reset | Asked::Mail | Asked::Recipient(_)) => {
                Want::Answer(Patience::Command)
            }
        }
    }

    /// The name of the server.
    pub(crate) fn host(&self) -> &[u8] {
        &self.host
    }

    /// How many whole answers have come.
    pub(crate) fn answers(&self) -> u64 {
        self.answers
    }

    /// Why the connection is of no more use, if so.
    pub(crate) fn gone(&self) -> Option<&Trouble> {
        self.gone.as_ref()
    }

    /// Whether the server said nothing about the transaction yet, and has not got the message.
    pub(crate) fn is_untouched(&self) -> bool {
        !self.transaction.is_touched && !self.transaction.is_sent
    }

    /// Takes what the server said.
    pub(crate) fn receive(&mut self, octets: &[u8]) {
        let mut rest = octets;
        while !rest.is_empty() && self.gone.is_none() {
            match self.reader.read(rest) {
                Ok((taken, reply)) => {
                    rest = rest.get(taken..).unwrap_or_default();
                    if let Some(reply) = reply {
                        self.answers = self.answers.wrapping_add(1);
                        self.answer(&reply);
                    }
                }
                Err(fault) => {
                    let text = format!("{fault} from {}", self.host.escape_ascii());
                    self.lose(Status(4, 5, 0), &text);
                }
            }
        }
    }

    /// The connection is lost, or the server too slow.
    pub(crate) fn lose(&mut self, status: Status, text: &str) {
        let trouble = Trouble::ours(status, text.as_bytes());
        self.end(Trouble { host: self.host.clone(), ..trouble }.cleaned());
    }

    /// Begins a transaction. Nothing may be asked for at the moment.
    pub(crate) fn begin(&mut self, batch: &Batch) {
        let results = batch.recipients.iter().map(|recipient| (recipient.index, None)).collect();
        self.transaction = Transaction { results, ..Transaction::default() };
        if let Some(trouble) = self.impossible(batch) {
            self.settle(&Outcome::Never(trouble));
            return;
        }
        if self.needs_reset {
            self.needs_reset = false;
            self.ask(Asked::Reset, b"RSET\r\n");
        }
        let mail = self.mail(batch);
        let waiting = &mut self.transaction.waiting;
        waiting.push_back((Asked::Mail, mail));
        for (number, recipient) in batch.recipients.iter().enumerate() {
            if !is_safe(&recipient.user) {
                let why = Trouble::ours(Status(5, 1, 3), b"553 5.1.3 bad recipient address");
                set(&mut self.transaction.results, number, &Outcome::Never(why));
                continue;
            }
            let mut rcpt = [b"RCPT TO:<", &*recipient.user, b">"].concat();
            if self.extensions.has(Extension::Dsn) {
                write_notify(recipient.notify, &mut rcpt);
                if let Some(original) = recipient.original.as_deref().filter(|text| is_plain(text))
                {
                    rcpt.extend_from_slice(b" ORCPT=");
                    rcpt.extend_from_slice(original);
                }
            }
            rcpt.extend_from_slice(b"\r\n");
            self.transaction.waiting.push_back((Asked::Recipient(number), rcpt));
        }
        self.transaction.waiting.push_back((Asked::Data, b"DATA\r\n".to_vec()));
        self.send_waiting();
    }

    /// A piece of the message, with CR LF line ends.
    pub(crate) fn write_body(&mut self, piece: &[u8]) {
        self.dots.write(piece, &mut self.out);
    }

    /// The end of the message.
    pub(crate) fn end_body(&mut self) {
        std::mem::take(&mut self.dots).finish(&mut self.out);
        self.wants_body = false;
        self.transaction.is_sent = true;
        self.asked.push_back(Asked::Dot);
    }

    /// Says goodbye; the answer is not waited for.
    pub(crate) fn quit(&mut self) {
        self.out.extend_from_slice(b"QUIT\r\n");
    }

    /// What came of the transaction, when nothing is wanted any more.
    pub(crate) fn results(&mut self) -> Vec<(u32, Outcome)> {
        let unknown = Trouble::ours(Status(4, 5, 0), b"no answer for this recipient");
        std::mem::take(&mut self.transaction.results)
            .into_iter()
            .map(|(number, outcome)| {
                let later = || Outcome::Later { trouble: unknown.clone(), scope: Scope::Recipient };
                (number, outcome.unwrap_or_else(later))
            })
            .collect()
    }

    /// Why this server cannot take this message at all.
    fn impossible(&self, batch: &Batch) -> Option<Trouble> {
        let (status, text): (Status, &[u8]) = if batch.is_utf8
            && !self.extensions.has(Extension::Utf8)
        {
            (Status(5, 6, 7), b"553 5.6.7 the server cannot carry internationalized addresses")
        } else if self.extensions.size_max.is_some_and(|max| max != 0 && batch.size_bytes > max) {
            (Status(5, 3, 4), b"552 5.3.4 Message is too large for the server")
        } else if !is_safe(&batch.sender) {
            (Status(5, 1, 7), b"553 5.1.7 bad sender address")
        } else {
            return None;
        };
        Some(Trouble { host: self.host.clone(), ..Trouble::ours(status, text) })
    }

    fn mail(&self, batch: &Batch) -> Vec<u8> {
        let mut mail = [b"MAIL FROM:<", &*batch.sender, b">"].concat();
        if self.extensions.size_max.is_some() {
            mail.extend_from_slice(format!(" SIZE={}", batch.size_bytes).as_bytes());
        }
        if self.extensions.has(Extension::EightBit) && batch.body == BodyKind::EightBit {
            mail.extend_from_slice(b" BODY=8BITMIME");
        }
        if batch.is_utf8 {
            mail.extend_from_slice(b" SMTPUTF8");
        }
        if self.extensions.has(Extension::Dsn) {
            match batch.ret {
                None => {}
                Some(Return::Full) => mail.extend_from_slice(b" RET=FULL"),
                Some(Return::Headers) => mail.extend_from_slice(b" RET=HDRS"),
            }
            if let Some(id) = batch.envelope_id.as_deref().filter(|text| is_plain(text)) {
                mail.extend_from_slice(b" ENVID=");
                mail.extend_from_slice(id);
            }
        }
        mail.extend_from_slice(b"\r\n");
        mail
    }

    fn ask(&mut self, asked: Asked, command: &[u8]) {
        self.asked.push_back(asked);
        self.out.extend_from_slice(command);
    }

    /// Sends the next command, or all of them where the server takes them together.
    fn send_waiting(&mut self) {
        while let Some((asked, command)) = self.transaction.waiting.pop_front() {
            let is_idle = asked == Asked::Data && self.transaction.accepted == 0;
            if is_idle && !self.extensions.has(Extension::Pipelining) {
                // Nobody to send it to.
                self.needs_reset = self.transaction.has_sender;
                return;
            }
            self.ask(asked, &command);
            if !self.extensions.has(Extension::Pipelining) {
                return;
            }
        }
    }

    fn answer(&mut self, reply: &Reply) {
        let Some(asked) = self.asked.pop_front() else {
            // A 421 may come unasked (RFC 5321, 3.8).
            let trouble = self.trouble(reply, Status(4, 4, 2));
            return self.end(trouble);
        };
        if reply.code == 421 {
            let trouble = self.trouble(reply, Status(4, 3, 2));
            return self.end(trouble);
        }
        if !matches!(asked, Asked::Greeting | Asked::Ehlo | Asked::Helo | Asked::Reset) {
            self.transaction.is_touched = true;
        }
        match asked {
            Asked::Greeting | Asked::Ehlo | Asked::Helo => self.hello(asked, reply),
            Asked::Reset if reply.is_positive() => {}
            Asked::Reset => {
                let trouble = self.trouble(reply, Status(4, 5, 0));
                self.end(trouble);
            }
            Asked::Mail => self.mail_answered(reply),
            Asked::Recipient(number) => self.recipient_answered(number, reply),
            Asked::Data => self.data_answered(reply),
            Asked::Dot => self.dot_answered(reply),
        }
    }

    fn hello(&mut self, asked: Asked, reply: &Reply) {
        if asked == Asked::Greeting && reply.code == 220 {
            let command = [b"EHLO ", &*self.our_name, b"\r\n"].concat();
            return self.ask(Asked::Ehlo, &command);
        }
        if asked == Asked::Ehlo && reply.is_permanent() {
            let command = [b"HELO ", &*self.our_name, b"\r\n"].concat();
            return self.ask(Asked::Helo, &command);
        }
        if asked == Asked::Greeting || !reply.is_positive() {
            let mut trouble = self.trouble(reply, Status(4, 5, 0));
            // For good only if the host takes no mail at all (RFC 7504): others may be better set up
            // tomorrow.
            if reply.code != 521 {
                trouble.status = trouble.status.in_class(4);
            }
            return self.end(trouble);
        }
        if asked == Asked::Ehlo {
            for line in reply.lines.iter().skip(1) {
                self.extensions.read(line);
            }
        }
    }

    fn mail_answered(&mut self, reply: &Reply) {
        if reply.is_positive() {
            self.transaction.has_sender = true;
        } else {
            let refused = self.refused(reply);
            self.settle(&refused);
            self.transaction.waiting.clear();
        }
        self.send_waiting();
    }

    fn recipient_answered(&mut self, number: usize, reply: &Reply) {
        if self.transaction.has_sender {
            if reply.is_positive() {
                self.transaction.accepted += 1;
            } else {
                let refused = self.refused(reply);
                set(&mut self.transaction.results, number, &refused);
            }
        }
        self.send_waiting();
    }

    fn data_answered(&mut self, reply: &Reply) {
        if reply.is_intermediate() {
            self.wants_body = true;
            if self.transaction.accepted == 0 {
                // It takes a message for nobody (RFC 2920, 3.1): an empty one.
                self.end_body();
            }
            return;
        }
        let refused = self.refused(reply);
        self.needs_reset = self.transaction.has_sender;
        self.settle(&refused);
    }

    fn dot_answered(&mut self, reply: &Reply) {
        let outcome = if reply.is_positive() {
            let text = Trouble::ours(Status(2, 0, 0), reply.to_string().as_bytes()).cleaned().text;
            Outcome::Relayed {
                host: self.host.clone(),
                text,
                reports: self.extensions.has(Extension::Dsn),
            }
        } else {
            self.refused(reply)
        };
        self.settle(&outcome);
    }

    /// The outcome of everybody who has none yet.
    fn settle(&mut self, outcome: &Outcome) {
        for (_, result) in &mut self.transaction.results {
            result.get_or_insert_with(|| outcome.clone());
        }
    }

    /// The connection is of no more use.
    fn end(&mut self, trouble: Trouble) {
        self.settle(&Outcome::Later { trouble: trouble.clone(), scope: Scope::Destination });
        self.asked.clear();
        self.wants_body = false;
        self.gone.get_or_insert(trouble);
    }

    /// A no, for now or for good. What is neither, where a yes or a no should be, is for now.
    fn refused(&self, reply: &Reply) -> Outcome {
        let trouble = self.trouble(reply, Status(4, 5, 0));
        if reply.is_permanent() {
            Outcome::Never(trouble)
        } else {
            Outcome::Later { trouble, scope: Scope::Recipient }
        }
    }

    fn trouble(&self, reply: &Reply, otherwise: Status) -> Trouble {
        let status = match &reply.status {
            Some(status) => Status(status.class, status.subject, status.detail),
            None => status_of(reply.code).unwrap_or(otherwise),
        };
        let text = reply.to_string().into_bytes().into();
        Trouble { status, text, host: self.host.clone(), voice: Voice::Smtp }.cleaned()
    }
}

impl Extensions {
    fn has(&self, extension: Extension) -> bool {
        self.known.contains(&extension)
    }

    fn add(&mut self, extension: Extension) {
        if !self.has(extension) {
            self.known.push(extension);
        }
    }

    fn read(&mut self, line: &[u8]) {
        let mut words = line.split(|&octet| octet == b' ').filter(|word| !word.is_empty());
        let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
        match &*keyword {
            b"PIPELINING" => self.add(Extension::Pipelining),
            b"8BITMIME" => self.add(Extension::EightBit),
            b"DSN" => self.add(Extension::Dsn),
            b"SMTPUTF8" => self.add(Extension::Utf8),
            b"SIZE" => {
                let text = words.next().and_then(|word| std::str::from_utf8(word).ok());
                self.size_max = Some(text.and_then(|text| text.parse().ok()).unwrap_or(0));
            }
            _ => {}
        }
    }
}

/// The status that a reply without one stands for, as sendmail reads it.
fn status_of(code: u16) -> Option<Status> {
    Some(match code {
        421 => Status(4, 3, 2),
        450 => Status(4, 2, 0),
        451 | 455 => Status(4, 3, 0),
        452 => Status(4, 3, 1),
        500 => Status(5, 5, 2),
        501 | 504 => Status(5, 5, 4),
        502 | 503 => Status(5, 5, 1),
        550 => Status(5, 2, 0),
        551 => Status(5, 1, 6),
        552 => Status(5, 2, 2),
        553 => Status(5, 1, 3),
        554 => Status(5, 3, 0),
        code if code / 100 == 4 => Status(4, 0, 0),
        code if code / 100 == 5 => Status(5, 0, 0),
        _ => return None,
    })
}

fn set(results: &mut [(u32, Option<Outcome>)], number: usize, outcome: &Outcome) {
    if let Some((_, result)) = results.get_mut(number) {
        result.get_or_insert_with(|| outcome.clone());
    }
}

/// Whether an address can stand between angle brackets: nothing in it ends the path or the command.
fn is_safe(address: &[u8]) -> bool {
    address.len() <= 1024
        && !address.iter().any(|&octet| octet.is_ascii_control() || matches!(octet, b'<' | b'>'))
}

/// Whether a parameter's value is one (RFC 5321, 4.1.2: esmtp-value).
fn is_plain(value: &[u8]) -> bool {
    value.len() <= 600 && value.iter().all(|&octet| (b'!'..=b'~').contains(&octet))
}

fn write_notify(notify: Notify, out: &mut Vec<u8>) {
    if notify == Notify::UNSET {
        return;
    }
    out.extend_from_slice(b" NOTIFY=");
    if notify == Notify::NEVER {
        out.extend_from_slice(b"NEVER");
        return;
    }
    let wishes: [(bool, &[u8]); 3] = [
        (notify.wants_success(), b"SUCCESS"),
        (notify.wants_failure(), b"FAILURE"),
        (notify.wants_delay(), b"DELAY"),
    ];
    let words: Vec<&[u8]> = wishes.iter().filter(|(is_set, _)| *is_set).map(|(_, w)| *w).collect();
    out.extend_from_slice(&words.join(&b","[..]));
}

#[cfg(test)]
mod tests;
