//! Before a batch goes to its mailer: the policy is asked for the header and the addresses that this mailer gets.
//!
//! Messages lie in the spool as they came (`Settings::dresses_mail`). The answer goes in front of the text: for a small body
//! here, for a large one by who reads the file. A policy that can't say lets the batch wait; it never bounces.

use super::House;
use super::carriers::{Parcel, ParcelBody};
use crate::edges::Head;
use crate::log::Severity;
use ::policy::dress::Unfit;
use ::policy::settings::BODY_INLINE_BYTES_MAX;
use ::policy::{Dress, Dressed, MailerId, Refusal, Route};
use ::queue::{Batch, BatchId, Input, Outcome, Past, Scope, Status, Trouble};
use std::collections::HashMap;
use std::os::unix::fs::FileExt as _;
use wire::header::Fields;

/// Octets of a large body among which its header is looked for: more than any that is taken in.
const HEADER_BYTES_MAX: usize = 2 * BODY_INLINE_BYTES_MAX;

/// Messages whose made fields are kept, for reports on them.
const KEPT_MAX: usize = 4096;

/// Octets of made fields that are kept of one message.
const KEPT_BYTES_MAX: usize = 8 * 1024;

/// Batches whose dress is awaited.
#[derive(Default)]
pub(super) struct Dressing {
    waiting: HashMap<BatchId, Undressed>,
    /// The fields that were made last for a message, by its slot: a report gives them back with it.
    made: HashMap<u32, Box<[u8]>>,
    /// What came of recipients that the policy took out of batches that are on their way.
    judged: HashMap<BatchId, Vec<(u32, Outcome)>>,
}

/// A batch as the scheduler gave it, and where the text begins behind the stored header.
struct Undressed {
    parcel: Parcel,
    text_at: usize,
}

impl Dressing {
    /// Keeps the fields that were made for a message, as far as there is room.
    fn keep(&mut self, slot: u32, dressed: &Dressed) {
        let bytes = usize::try_from(dressed.made_bytes).unwrap_or(usize::MAX);
        let made = dressed.header.get(..bytes).unwrap_or_default();
        let has_room = self.made.len() < KEPT_MAX || self.made.contains_key(&slot);
        if has_room && !made.is_empty() && made.len() <= KEPT_BYTES_MAX {
            self.made.insert(slot, made.into());
        }
    }

    /// What came of the recipients of a batch that its mailer did not see.
    pub(super) fn judged(&mut self, id: BatchId) -> Vec<(u32, Outcome)> {
        self.judged.remove(&id).unwrap_or_default()
    }

    /// A message is gone.
    pub(super) fn forget(&mut self, slot: u32) {
        self.made.remove(&slot);
    }

    /// A message as a report gives it back: behind the fields that were made for it, without those that nobody is to see.
    pub(super) fn returned(&self, slot: u32, original: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(original.len());
        let made = self.made.get(&slot).map(|made| &**made).unwrap_or_default();
        let made = Fields::new(made).filter(|field| !field.is("return-path"));
        made.for_each(|field| out.extend_from_slice(field.whole));
        let mut own = Fields::new(original);
        let is_hidden = |name: &str| ["bcc", "resent-bcc", "return-path"].contains(&name);
        for field in own.by_ref() {
            let name = field.name.to_ascii_lowercase();
            if !is_hidden(str::from_utf8(&name).unwrap_or_default()) {
                out.extend_from_slice(field.whole);
            }
        }
        out.extend_from_slice(own.rest());
        out
    }

    /// Forgets all: their batches.
    pub(super) fn give_up(&mut self) -> Vec<BatchId> {
        self.waiting.drain().map(|(id, _)| id).collect()
    }
}

impl House {
    /// Asks how the mailer wants a batch. False: it can't be read now.
    pub(super) fn dress(&mut self, batch: Batch) -> bool {
        let Some(mut parcel) = self.parcel(batch) else { return false };
        let Some(header) = stored_header(&parcel.body) else { return false };
        let batch = &mut parcel.wish.batch;
        let Some(mut message) = batch.story.take() else { return false };
        message.offset_s = crate::date::offset_s();
        let text_at = header.len();
        let question = Dress {
            mailer: batch.mailer,
            host: batch.host.clone(),
            sender: batch.sender.clone(),
            users: batch.recipients.iter().map(|one| one.user.clone()).collect(),
            addresses: batch.recipients.iter().map(|one| one.address.clone()).collect(),
            header: header.into(),
            message: *message,
        };
        let id = batch.id;
        let undressed = Undressed { parcel, text_at };
        self.dressing.waiting.insert(id, undressed);
        self.policy.dress(id, question);
        true
    }

    /// How the header of a message looks that comes back to the reader of a report.
    pub(super) fn question_of_return(&mut self, slot: u32, route: &Route) -> Option<Dress> {
        self.question_of(slot, route.mailer, &route.host)
    }

    /// How the header of a message looks that goes to no recipient by this mailer.
    pub(super) fn question_of(
        &mut self,
        slot: u32,
        mailer: MailerId,
        host: &[u8],
    ) -> Option<Dress> {
        let (envelope, _) = self.read(slot.into())?;
        let beginning = self.beginning(slot.into(), HEADER_BYTES_MAX);
        let mut message = envelope.story();
        message.offset_s = crate::date::offset_s();
        Some(Dress {
            mailer,
            host: host.into(),
            sender: envelope.sender.clone(),
            users: Vec::new(),
            addresses: Vec::new(),
            header: fields_of(&beginning).into(),
            message,
        })
    }

    /// The policy's answer to that. Without one the header comes back as it was stored.
    pub(super) fn returned(&mut self, slot: u32, answer: Result<Dressed, Refusal>) {
        if let Ok(dressed) = answer {
            self.dressing.keep(slot, &dressed);
        }
    }

    /// The policy's answer.
    pub(super) fn dressed(&mut self, id: BatchId, answer: Result<Dressed, Refusal>) {
        // Given up meanwhile.
        let Some(Undressed { mut parcel, text_at }) = self.dressing.waiting.remove(&id) else {
            return;
        };
        let dressed = match answer {
            Ok(dressed) if dressed.users.len() == parcel.wish.batch.recipients.len() => dressed,
            Ok(_) => {
                let why = b"the policy answered otherwise";
                return self.come_back(&parcel.wish.batch, why, Scope::Recipient);
            }
            // Its own trouble, as with a sender that no map knows now: what else is for the same mailbox goes on.
            Err(refusal) => {
                return self.come_back(&parcel.wish.batch, &refusal.text, Scope::Recipient);
            }
        };
        self.dressing.keep(parcel.wish.batch.slot, &dressed);
        let ward = self.ward(&parcel.wish.batch);
        let batch = &mut parcel.wish.batch;
        batch.sender = dressed.sender;
        batch.separator = dressed.separator;
        for (recipient, user) in batch.recipients.iter_mut().zip(dressed.users) {
            recipient.user = user;
        }
        let results = take_out(batch, &dressed.unfit);
        let (id, is_empty) = (batch.id, batch.recipients.is_empty());
        let message = batch.message;
        for unfit in &dressed.unfit {
            self.log.line(Severity::Notice, Some(message), &unfit.line);
        }
        if is_empty {
            return self.step(Input::Outcome { batch: id, results });
        }
        if !results.is_empty() {
            if self.dressing.judged.len() >= KEPT_MAX {
                // Those of batches that came back when their carrier died: they are judged again.
                self.dressing.judged.clear();
            }
            self.dressing.judged.insert(id, results);
        }
        let batch = &mut parcel.wish.batch;
        match &mut parcel.body {
            ParcelBody::Inline(body) => {
                let text = body.get(text_at..).unwrap_or_default();
                *body = [&dressed.header, text].concat().into();
                if batch.past != Past::New {
                    // As it goes out: what it was when it came is no longer known to sendmail's queue.
                    batch.size_bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
                }
            }
            ParcelBody::Large(_) => {
                let text_at = u64::try_from(text_at).unwrap_or(u64::MAX);
                parcel.wish.head = Some(Head { header: dressed.header, text_at });
            }
        }
        self.hand_over(ward, parcel);
    }
}

/// Takes the recipients out of a batch that the policy does not let through; gives what came of them.
fn take_out(batch: &mut Batch, unfit: &[Unfit]) -> Vec<(u32, Outcome)> {
    let mut results = Vec::new();
    let mut place = 0_u32;
    batch.recipients.retain(|recipient| {
        let found = unfit.iter().find(|unfit| unfit.place == place);
        place = place.saturating_add(1);
        if let Some(unfit) = found {
            results.push((recipient.index, outcome(unfit.refusal.as_ref())));
        }
        found.is_none()
    });
    results
}

/// A refusal as what came of a recipient; without one the message is thrown away, and that is that.
fn outcome(refusal: Option<&Refusal>) -> Outcome {
    let Some(refusal) = refusal else {
        let (host, answer) = Default::default();
        return Outcome::Delivered { host, text: b"discarded"[..].into(), answer };
    };
    let (class, subject, detail) = refusal.status;
    let trouble = Trouble::ours(Status(class, subject, detail), &refusal.text).cleaned();
    if refusal.is_temporary() {
        Outcome::Later { trouble, scope: Scope::Recipient }
    } else {
        Outcome::Never(trouble)
    }
}

/// The fields of a message, without the empty line. `None`: it can't be read.
fn stored_header(body: &ParcelBody) -> Option<Vec<u8>> {
    match body {
        ParcelBody::Inline(body) => Some(fields_of(body).to_vec()),
        ParcelBody::Large(file) => {
            let mut beginning = vec![0; HEADER_BYTES_MAX];
            let mut filled = 0;
            loop {
                let room = beginning.get_mut(filled..).unwrap_or_default();
                match file.read_at(room, u64::try_from(filled).ok()?) {
                    Ok(0) => break,
                    Ok(count) => filled = filled.saturating_add(count),
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(_) => return None,
                }
            }
            beginning.truncate(filled);
            let length = fields_of(&beginning).len();
            beginning.truncate(length);
            Some(beginning)
        }
    }
}

/// The fields at the beginning of a message. Where they fill all that was read, the last one may not be whole: it is text.
pub(super) fn fields_of(message: &[u8]) -> &[u8] {
    let mut fields = Fields::new(message);
    let mut last = 0;
    for field in fields.by_ref() {
        last = field.whole.len();
    }
    let mut length = message.len().saturating_sub(fields.rest().len());
    if fields.rest().is_empty() && length >= HEADER_BYTES_MAX {
        length = length.saturating_sub(last);
    }
    message.get(..length).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_ends_before_the_empty_line_or_the_first_line_of_text() {
        assert_eq!(fields_of(b"A: b\r\n\tc\r\nD: e\r\n\r\nF: g\r\n"), b"A: b\r\n\tc\r\nD: e\r\n");
        assert_eq!(fields_of(b"\r\nF: g\r\n"), b"");
        assert_eq!(fields_of(b"A: b\r\nno field\r\n"), b"A: b\r\n");
    }

    #[test]
    fn a_message_comes_back_with_what_was_made_for_it() {
        let mut dressing = Dressing::default();
        let header: &[u8] = b"Return-Path: <x>\r\nReceived: a\r\n\tb\r\nDate: d\r\nTo: c@x\r\n";
        let dressed = Dressed {
            sender: Box::default(),
            separator: Box::default(),
            users: Vec::new(),
            header: header.into(),
            made_bytes: 44,
            unfit: Vec::new(),
        };
        dressing.keep(7, &dressed);
        let original = b"To: c\r\nBcc: d\r\nSubject: s\r\n\r\ntext\r\n";
        assert_eq!(
            dressing.returned(7, original),
            b"Received: a\r\n\tb\r\nDate: d\r\nTo: c\r\nSubject: s\r\n\r\ntext\r\n"
        );
        dressing.forget(7);
        assert!(dressing.returned(7, original).starts_with(b"To: c\r\nSubject"));
    }

    #[test]
    fn a_field_that_was_cut_off_is_text() {
        let mut long = b"A: b\r\nC: ".to_vec();
        long.resize(HEADER_BYTES_MAX, b'd');
        assert_eq!(fields_of(&long), b"A: b\r\n");
    }
}
