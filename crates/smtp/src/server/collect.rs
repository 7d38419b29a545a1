//! DATA, BDAT, and the end of a message: checks, the store, the promise.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use policy::settings::{DeliveryMode, Questions, Quirks};
use policy::{Ask, Origin, Resolved, Settings, Verdict};
use wire::QueueId;
use wire::command::Chunk;
use wire::date::Date;
use wire::dot::{TextFault, TextReader};
use wire::header::{Received, write_message_id};

use super::answer::Asked;
use super::body::{Additions, BodyFault, Collecting, Header, Nul, Opening, Skip};
use super::body_fault::bare_words;
use super::event::{Event, FromLine, GivenUp};
use super::outbox::{Body, Codes, Deadline, Message, Outbox, Request};
use super::transaction::{Chunks, Transaction};
use super::{Moment, NotStored, Session, State};

/// Recipients of a refused message that have a line in the log.
const GIVEN_UP_MAX: usize = 20;

impl Session {
    pub(super) fn data(&mut self, moment: &Moment, out: &mut Outbox) {
        if self.is_denied(out) {
            return;
        }
        match self.cannot_begin() {
            Some((codes, words)) => self.refuse_command(codes, words, out),
            None if self.has_chunks() => {
                self.refuse_command((503, (5, 5, 1)), "DATA not allowed after BDAT", out);
            }
            None => self.begin(Opening::Dotted, moment, out),
        }
    }

    /// Whatever is wrong with a BDAT, its octets are data and never commands.
    pub(super) fn bdat(&mut self, chunk: Chunk, moment: &Moment, out: &mut Outbox) {
        let refused = match self.transaction.as_deref() {
            Some(Transaction { chunks: Chunks::Failed, .. }) => {
                Some(((503, (5, 5, 1)), "BDAT failed before; use RSET"))
            }
            _ => self.cannot_begin(),
        };
        if let Some((codes, words)) = refused {
            self.state = State::Skipping(Box::new(Skip { left: chunk.size_bytes, codes, words }));
            self.collect_deadline(moment, moment.now.unix_s, out);
            self.skip(&[], out);
            return;
        }
        if self.has_chunks() {
            let collecting = self.transaction.as_mut().and_then(|transaction| {
                match core::mem::replace(&mut transaction.chunks, Chunks::None) {
                    Chunks::Some(collecting) => Some(collecting),
                    Chunks::None | Chunks::Failed => None,
                }
            });
            if let Some(collecting) = collecting {
                self.go_on(collecting, chunk, moment, out);
            }
        } else {
            self.begin(Opening::Chunk(chunk), moment, out);
        }
    }

    fn cannot_begin(&self) -> Option<(Codes, &'static str)> {
        match &self.transaction {
            None => Some(((503, (5, 0, 0)), "Need MAIL command")),
            Some(transaction) if transaction.recipients.is_empty() => {
                Some(((503, (5, 0, 0)), "Need RCPT (recipient)"))
            }
            Some(_) => None,
        }
    }

    fn has_chunks(&self) -> bool {
        let chunks = self.transaction.as_ref().map(|transaction| &transaction.chunks);
        !matches!(chunks, None | Some(Chunks::None))
    }

    fn begin(&mut self, opening: Opening, moment: &Moment, out: &mut Outbox) {
        if self.terms.settings.manners.questions.has(Questions::DATA) {
            self.ask(Ask::Data, Asked::Data(opening), out);
        } else {
            self.open_body(opening, moment, out);
        }
    }

    pub(super) fn data_judged(
        &mut self,
        opening: Opening,
        verdict: Verdict,
        moment: &Moment,
        out: &mut Outbox,
    ) {
        match (verdict, opening) {
            (Verdict::Refuse(refusal), Opening::Dotted) => {
                let count = self.transaction.as_ref().map_or(0, |one| one.recipients.len());
                let count = alloc::format!("{count}");
                self.turn_down(&refusal, count.as_bytes(), out);
                self.reset(out);
            }
            // The chunk comes whatever we say.
            (Verdict::Refuse(refusal), Opening::Chunk(chunk)) => {
                let mut collecting = self.collecting(opening, moment);
                collecting.refusal = Some(refusal);
                self.go_on(Box::new(collecting), chunk, moment, out);
            }
            (verdict, opening) => {
                self.mark(&verdict, b"", out);
                self.open_body(opening, moment, out);
            }
        }
    }

    fn open_body(&mut self, opening: Opening, moment: &Moment, out: &mut Outbox) {
        let collecting = Box::new(self.collecting(opening, moment));
        match opening {
            Opening::Dotted if self.is_stopping => self.shut(out),
            Opening::Dotted => {
                out.say_plain(354, true, format_args!("End data with <CR><LF>.<CR><LF>"));
                self.collect_deadline(moment, collecting.began_s, out);
                self.state = State::Body(collecting);
            }
            Opening::Chunk(chunk) => self.go_on(collecting, chunk, moment, out),
        }
    }

    fn collecting(&self, opening: Opening, moment: &Moment) -> Collecting {
        let line_max = self.terms.settings.limits.text_line_bytes_max;
        let line_max = usize::try_from(line_max).unwrap_or(usize::MAX);
        let reader = match opening {
            Opening::Dotted => TextReader::dotted(self.ends(), line_max),
            Opening::Chunk(_) => TextReader::chunked(self.ends(), line_max),
        };
        let prefix = if self.terms.settings.dresses_mail {
            self.warning_fields()
        } else {
            self.received(moment.now)
        };
        let mut collecting = Collecting::new(reader, prefix, moment.now.unix_s);
        if self.has_quirk(Quirks::NO_NUL) {
            collecting.nul = Nul::Refused;
        }
        collecting
    }

    /// Our Received field.
    fn received(&self, date: Date) -> Vec<u8> {
        let mut field = Vec::with_capacity(512);
        let Some(transaction) = &self.transaction else { return field };
        let (name, address, is_forged): (&[u8], IpAddr, bool) = match &self.facts.origin {
            Origin::Client { peer, name, resolved, .. } => {
                (name, peer.ip().to_canonical(), *resolved == Resolved::Forged)
            }
            Origin::User { .. } | Origin::Ourselves => {
                (b"localhost", Ipv4Addr::LOCALHOST.into(), false)
            }
        };
        let recipient = match transaction.recipients.as_slice() {
            [only] => Some(&*only.address),
            _ => None,
        };
        let received = Received {
            hello: &self.facts.hello,
            client_name: name,
            client_address: address,
            is_forged,
            by: &self.terms.settings.host_name,
            protocol: self.protocol(transaction.is_utf8),
            id: transaction.id,
            recipient,
            date,
        };
        received.write(&mut field);
        field
    }

    pub(super) fn protocol(&self, is_utf8: bool) -> &'static str {
        match (self.facts.is_esmtp, is_utf8) {
            (true, true) => "UTF8SMTP",
            (true, false) => "ESMTP",
            (false, _) => "SMTP",
        }
    }

    fn go_on(
        &mut self,
        mut collecting: Box<Collecting>,
        chunk: Chunk,
        moment: &Moment,
        out: &mut Outbox,
    ) {
        let additions = self.additions(moment);
        collecting.expect(chunk, additions.as_ref(), &self.terms.settings.limits, out);
        self.collect_deadline(moment, collecting.began_s, out);
        self.advance(collecting, out);
    }

    /// Takes octets of the message. Returns how many.
    pub(super) fn body(&mut self, rest: &[u8], moment: &Moment, out: &mut Outbox) -> usize {
        let State::Body(mut collecting) = core::mem::replace(&mut self.state, State::Command)
        else {
            return rest.len();
        };
        let age_s = moment.now.unix_s.saturating_sub(collecting.began_s);
        if age_s > u64::from(self.terms.settings.timeouts.message_s) {
            self.state = State::Body(collecting);
            self.timeout(out);
            return rest.len();
        }
        let additions = self.additions(moment);
        let taken = collecting.take(rest, additions.as_ref(), &self.terms.settings.limits, out);
        self.collect_deadline(moment, collecting.began_s, out);
        self.advance(collecting, out);
        taken
    }

    /// The timer: for the next piece, and never longer than for the whole.
    fn collect_deadline(&self, moment: &Moment, began_s: u64, out: &mut Outbox) {
        let timeouts = &self.terms.settings.timeouts;
        let age_s = u32::try_from(moment.now.unix_s.saturating_sub(began_s)).unwrap_or(u32::MAX);
        let left_s = timeouts.message_s.saturating_sub(age_s).max(1);
        out.deadline = Deadline::In(timeouts.data_block_s.min(left_s));
    }

    /// What a submission server adds where it is missing (RFC 6409, 8).
    fn additions(&self, moment: &Moment) -> Option<Additions<'_>> {
        if self.terms.settings.dresses_mail {
            return None;
        }
        let listener = self.terms.settings.listeners.get(usize::from(self.facts.daemon));
        let transaction = self.transaction.as_ref()?;
        let adds = self.has_quirk(Quirks::FIELDS_ADDED);
        if !adds && !listener.is_some_and(|listener| listener.is_submission) {
            return None;
        }
        Some(Additions {
            now: moment.now,
            id: transaction.id,
            host: &self.terms.settings.host_name,
            sender: match &*transaction.sender {
                b"" if !adds => b"MAILER-DAEMON",
                sender => sender,
            },
        })
    }

    /// What comes next for a message: a question, a file, its end, or more of it.
    fn advance(&mut self, collecting: Box<Collecting>, out: &mut Outbox) {
        let limits = &self.terms.settings.limits;
        if self.has_quirk(Quirks::BARE_ENDS_CLOSE)
            && let Some(fault) = collecting.bare_end()
        {
            return self.bare_end(fault, &collecting, out);
        }
        let head = collecting.head.head();
        let is_head_over = head.end.is_some() || (collecting.is_at_end && collecting.is_last());
        let is_good = collecting.fault(limits).is_none();
        let wants = self.terms.settings.manners.questions.has(Questions::END_OF_HEADER);
        if is_good && wants && is_head_over && !collecting.is_header_judged() {
            let header = collecting.header_text().into();
            let ask = Ask::EndOfHeader { fields: head.fields, size_bytes: head.bytes, header };
            return self.ask(ask, Asked::EndOfHeader(collecting), out);
        }
        if is_good && collecting.needs_file() {
            out.request = Some(Request::OpenLarge);
            out.deadline = Deadline::Off;
            self.state = State::Opening(collecting);
        } else if !collecting.is_at_end {
            self.state = State::Body(collecting);
            if self.is_stopping {
                self.shut(out);
            }
        } else if collecting.is_last() {
            self.end(collecting, out);
        } else {
            self.chunk_end(collecting, out);
        }
    }

    pub(super) fn header_judged(
        &mut self,
        mut collecting: Box<Collecting>,
        verdict: Verdict,
        moment: &Moment,
        out: &mut Outbox,
    ) {
        collecting.header = Header::Judged;
        self.mark(&verdict, b"", out);
        if let Verdict::Refuse(refusal) = verdict {
            collecting.refusal = Some(refusal);
            collecting.forget(out);
        }
        self.collect_deadline(moment, collecting.began_s, out);
        self.advance(collecting, out);
    }

    pub(super) fn large_ready(&mut self, out: &mut Outbox) {
        let state = core::mem::replace(&mut self.state, State::Command);
        let State::Opening(mut collecting) = state else {
            self.state = state;
            return self.out_of_step(out);
        };
        collecting.move_to_file(out);
        out.deadline = Deadline::In(self.terms.settings.timeouts.data_block_s);
        self.advance(collecting, out);
    }

    fn chunk_end(&mut self, collecting: Box<Collecting>, out: &mut Outbox) {
        if let Some(fault) = collecting.fault(&self.terms.settings.limits) {
            self.say_fault(&fault, out);
            if let Some(transaction) = &mut self.transaction {
                transaction.chunks = Chunks::Failed;
            }
        } else {
            out.say((250, (2, 0, 0)), format_args!("{} octets received", collecting.chunk_bytes));
            if let Some(transaction) = &mut self.transaction {
                transaction.chunks = Chunks::Some(collecting);
            }
        }
        if !self.is_over() {
            self.listen(out);
        }
    }

    /// A lone CR or LF in a message: what follows could be told from commands by a peer and not by us, or the other way
    /// round. The session ends.
    fn bare_end(&mut self, fault: TextFault, collecting: &Collecting, out: &mut Outbox) {
        let text = bare_words(fault);
        let is_head_over = collecting.head.head().end.is_some();
        let place = if is_head_over { "body" } else { "header" };
        self.tell(Event::BareEnd { text, place, sender: self.sender_shown() }, out);
        out.say((421, (4, 5, 0)), format_args!("{text}"));
        out.drops_large = true;
        self.tell_cut(collecting, out);
        self.close(out);
    }

    /// The whole message is here.
    fn end(&mut self, collecting: Box<Collecting>, out: &mut Outbox) {
        if let Some(fault) = collecting.fault(&self.terms.settings.limits) {
            self.tell_fault(&fault, &collecting, out);
            let start = out.bytes.len();
            self.say_fault(&fault, out);
            self.give_up(start, &collecting, out);
            self.forget(out);
            if !self.is_over() {
                self.listen(out);
            }
        } else if self.terms.settings.manners.questions.has(Questions::END_OF_MESSAGE) {
            let ask = Ask::EndOfMessage { size_bytes: collecting.size_bytes };
            self.ask(ask, Asked::EndOfMessage(collecting), out);
        } else {
            self.store(collecting, out);
        }
    }

    pub(super) fn message_judged(
        &mut self,
        mut collecting: Box<Collecting>,
        verdict: Verdict,
        out: &mut Outbox,
    ) {
        self.mark(&verdict, b"", out);
        if let Verdict::Refuse(refusal) = verdict {
            collecting.forget(out);
            self.tell_from(&collecting, out);
            let start = out.bytes.len();
            self.turn_down(&refusal, b"", out);
            self.give_up(start, &collecting, out);
            self.forget(out);
        } else {
            self.store(collecting, out);
        }
    }

    /// The `from=` line of a message that is whole, stored or not.
    pub(super) fn line_of(&self, collecting: &Collecting) -> Option<FromLine> {
        let transaction = self.transaction.as_ref()?;
        Some(FromLine {
            sender: self.sender_shown(),
            size_bytes: collecting.logged_bytes(),
            recipients: self.recipients(),
            class: self.class(collecting),
            message_id: self.message_id(collecting),
            body: transaction.body_kind,
            protocol: self.protocol(transaction.is_utf8),
        })
    }

    /// The class of the Precedence that the message names.
    fn class(&self, collecting: &Collecting) -> i64 {
        self.terms.settings.weights.class(&collecting.head.head().precedence)
    }

    /// What a run of the queue would go by.
    fn priority(&self, collecting: &Collecting) -> i64 {
        let class = self.class(collecting);
        let Settings { weights, delivery_mode, .. } = &self.terms.settings;
        let own_mode = self.listener().and_then(|listener| listener.bounds.delivery_mode);
        let bytes = collecting.logged_bytes();
        let followed_later = self.transaction.as_ref().filter(|transaction| {
            own_mode.unwrap_or(*delivery_mode) == DeliveryMode::Background
                && transaction.recipients.iter().any(|one| one.route.expands)
        });
        let Some(transaction) = followed_later else {
            return weights.priority(bytes, class, self.recipients());
        };
        // Whose aliases are followed behind the client's back goes through the queue, and counts as it lies there: with our
        // trace field, and without those that were only asked about.
        let field = u64::try_from(self.received(transaction.began).len()).unwrap_or(0);
        weights.priority(bytes.saturating_add(field), class, transaction.counted)
    }

    /// The Message-Id that the message has, or that it would get.
    fn message_id(&self, collecting: &Collecting) -> Vec<u8> {
        let head = collecting.head.head();
        match &self.transaction {
            Some(transaction) if !head.has_message_id && self.has_quirk(Quirks::FIELDS_ADDED) => {
                let mut field = Vec::new();
                let host = &self.terms.settings.host_name;
                write_message_id(transaction.began.unix_s, transaction.id, host, &mut field);
                let value = field.splitn(2, |&octet| octet == b' ').nth(1).unwrap_or_default();
                value.trim_ascii_end().to_vec()
            }
            _ => head.message_id.clone(),
        }
    }

    /// Tells the log of a message that is not stored.
    pub(super) fn tell_from(&mut self, collecting: &Collecting, out: &mut Outbox) {
        if let Some(line) = self.line_of(collecting) {
            self.tell(Event::From(Box::new(line)), out);
        }
        self.named = None;
    }

    /// Tells the log what became of the recipients of a message that is refused with the reply that begins at `start`.
    fn give_up(&self, start: usize, collecting: &Collecting, out: &mut Outbox) {
        let Some(transaction) = &self.transaction else { return };
        let reply = out.bytes.get(start..).unwrap_or_default();
        let line = reply.split(|&octet| octet == b'\r').next().unwrap_or_default();
        let text: Box<[u8]> =
            line.splitn(3, |&octet| octet == b' ').nth(2).unwrap_or_default().into();
        // It never lay in the queue.
        let weights = &self.terms.settings.weights;
        let (bytes, class) = (collecting.logged_bytes(), self.class(collecting));
        let priority = weights.priority(bytes, class, self.recipients());
        for recipient in transaction.recipients.iter().take(GIVEN_UP_MAX) {
            let (to, text) = (recipient.shown.to_vec(), text.clone());
            self.tell(Event::GivenUp(Box::new(GivenUp { to, priority, text })), out);
        }
    }

    fn store(&mut self, collecting: Box<Collecting>, out: &mut Outbox) {
        let line = self.line_of(&collecting);
        let priority = self.priority(&collecting);
        let (Some(transaction), Some(line)) = (self.transaction.take(), line) else {
            return self.out_of_step(out);
        };
        let protocol = line.protocol;
        let logged_bytes = line.size_bytes;
        let Collecting { head, buffer, size_bytes, is_large, .. } = *collecting;
        let message = Message {
            id: transaction.id,
            began: transaction.began,
            sender: transaction.sender,
            controller: transaction.controller,
            is_for_one: transaction.asked == 1,
            priority,
            recipients: transaction.recipients,
            body: if is_large { Body::Large } else { Body::Inline(buffer) },
            size_bytes,
            logged_bytes,
            body_kind: transaction.body_kind,
            is_utf8: transaction.is_utf8,
            ret: transaction.ret,
            envelope_id: transaction.envelope_id,
            by: transaction.by,
            head: head.into_head(),
            hello: self.facts.hello.clone(),
            protocol,
            discard: transaction.discard,
            quarantine: transaction.quarantine,
        };
        self.named = None;
        out.request = Some(Request::Store(Box::new(message)));
        out.deadline = Deadline::Off;
        self.state = State::Storing(Box::new(line));
    }

    pub(super) fn stored(&mut self, id: QueueId, out: &mut Outbox) {
        let state = core::mem::replace(&mut self.state, State::Command);
        let State::Storing(line) = state else {
            self.state = state;
            return self.out_of_step(out);
        };
        self.counts.messages = self.counts.messages.saturating_add(1);
        self.tell(Event::From(line), out);
        Self::promise(id, out);
        self.forget(out);
        self.listen(out);
    }

    /// The promise. Nothing else writes it, and only [`super::Input::Stored`] leads here.
    fn promise(id: QueueId, out: &mut Outbox) {
        out.say((250, (2, 0, 0)), format_args!("{id} Message accepted for delivery"));
    }

    pub(super) fn not_stored(&mut self, why: NotStored, out: &mut Outbox) {
        match core::mem::replace(&mut self.state, State::Command) {
            State::Storing(line) => {
                self.tell(Event::From(line), out);
                self.tell(Event::Noted(b"Message not stored"[..].into()), out);
                self.forget(out);
                self.say_fault(&BodyFault::NotStored(why), out);
                self.listen(out);
            }
            State::Opening(mut collecting) => {
                collecting.trouble = Some(why);
                collecting.forget(out);
                out.deadline = Deadline::In(self.terms.settings.timeouts.data_block_s);
                self.advance(collecting, out);
            }
            state @ (State::Fresh
            | State::Command
            | State::Asked(_)
            | State::Body(_)
            | State::Skipping(_)
            | State::Paused
            | State::Greeting(_)
            | State::Closed) => {
                self.state = state;
                self.out_of_step(out);
            }
        }
    }

    /// Throws octets of a chunk away. Returns how many.
    pub(super) fn skip(&mut self, rest: &[u8], out: &mut Outbox) -> usize {
        let State::Skipping(skip) = &mut self.state else { return rest.len() };
        let most = usize::try_from(skip.left).unwrap_or(usize::MAX);
        let taken = rest.len().min(most);
        skip.left = skip.left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
        if skip.left == 0 {
            let (codes, words) = (skip.codes, skip.words);
            self.listen(out);
            if !self.is_over() {
                self.refuse_command(codes, words, out);
            }
        }
        taken
    }
}
