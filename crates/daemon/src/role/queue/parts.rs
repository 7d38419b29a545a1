//! Stores the parts of a message with a long list: in one batch with the note that says so, or not at all.

use super::House;
use crate::log::Severity;
use ::queue::{Envelope, Input, Split};
use spool::{LargeToken, OpenedBody, Refused, Spool as _};
use std::sync::Arc;

/// Octets left in the batch for the note.
const NOTE_BYTES: usize = 2 * 1024 * 1024;

/// By how many octets a record may grow with its id.
const ID_BYTES: usize = 10;

/// The text that all parts have.
enum Text {
    Small(Arc<[u8]>),
    Large(u64),
}

impl House {
    /// Stores the parts that wait. What does not go into the batch of this turn goes into that of the next.
    pub(super) fn store_splits(&mut self) {
        while let Some(split) = self.splits.pop_front() {
            let (slot, recipient) = (split.slot, split.recipient);
            let stored = match self.text_for(&split) {
                Err(Refused::Full) => {
                    self.splits.push_front(split);
                    return;
                }
                Ok(text) => self.store_split(split, &text),
                Err(refused) => Err(refused),
            };
            if let Err(refused) = stored {
                let text = format!("the members of a list are not stored: {refused}");
                self.log.line(Severity::Error, None, text.as_bytes());
            }
            self.step(Input::Split { slot, recipient, is_stored: stored.is_ok() });
        }
    }

    /// The text of a message whose parts all go into the open batch.
    fn text_for(&mut self, split: &Split) -> Result<Text, Refused> {
        let id = split.parts.first().map(|part| part.id).ok_or(Refused::TooLarge)?;
        let text = match self.spool.open(split.slot.into()).map_err(|_| Refused::Broken)?.body {
            OpenedBody::Inline(body) => Text::Small(body.into()),
            OpenedBody::Large(_, size_bytes) => Text::Large(size_bytes),
        };
        let length = match &text {
            Text::Small(body) => body.len(),
            Text::Large(_) => size_of::<u64>(),
        };
        let (mut octets, mut record) = (NOTE_BYTES, Vec::new());
        for part in &split.parts {
            record.clear();
            part.encode(&mut record).map_err(|_| Refused::TooLarge)?;
            octets = octets.saturating_add(record.len()).saturating_add(ID_BYTES);
            octets = octets.saturating_add(length);
        }
        self.spool.takes(id, octets, split.parts.len().saturating_add(1))?;
        Ok(text)
    }

    fn store_split(&mut self, split: Split, text: &Text) -> Result<(), Refused> {
        match text {
            Text::Small(body) => {
                for part in split.parts {
                    let inline = spool::Body::Inline(body);
                    self.store_part(part, Some(Arc::clone(body)), inline)?;
                }
            }
            Text::Large(size_bytes) => {
                let tokens = self.names(split.slot, split.parts.len())?;
                for (part, token) in split.parts.into_iter().zip(tokens) {
                    self.store_part(part, None, spool::Body::Large(token, *size_bytes))?;
                }
            }
        }
        Ok(())
    }

    /// So many further names for the large body of a message.
    fn names(&mut self, slot: u32, count: usize) -> Result<Vec<LargeToken>, Refused> {
        let mut tokens = Vec::with_capacity(count);
        while tokens.len() < count {
            let Ok(token) = self.spool.share_large(slot.into()) else {
                for token in tokens {
                    self.spool.abandon(token);
                }
                return Err(Refused::Broken);
            };
            tokens.push(token);
        }
        Ok(tokens)
    }

    /// Stores a part under an id of the shard of the message that it comes from.
    fn store_part(
        &mut self,
        mut part: Envelope,
        fresh: Option<Arc<[u8]>>,
        body: spool::Body<'_>,
    ) -> Result<(), Refused> {
        let from = part.id;
        part.id = self.mint_in(self.spool.shard_of(from));
        let mut record = Vec::new();
        part.encode(&mut record).map_err(|_| Refused::TooLarge)?;
        let text = format!("{}: clone: nrcpts={}", part.id, part.recipients.len());
        self.append_own(Box::new(part), &record, fresh, body)?;
        self.log.line(Severity::Info, Some(from), text.as_bytes());
        Ok(())
    }
}
