//! The messages that are queued: 40 octets each, and an index by id of about 26.

use std::collections::BTreeMap;

use crate::segment::Entry;

/// Where a record lies. Segment 0 is nowhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: u32,
    /// Where the record's header begins.
    pub(crate) offset: u32,
    /// Octets of its payload.
    pub(crate) len: u32,
}

impl Place {
    pub(crate) fn of(segment: u32, entry: &Entry) -> Self {
        Self { segment, offset: entry.offset, len: entry.len }
    }

    pub(crate) fn is_somewhere(self) -> bool {
        self.segment != 0
    }
}

/// How far a message has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// The slot is free.
    #[default]
    Free,
    /// On its way to the disk for the first time.
    Coming,
    /// Durable.
    Here,
    /// Durable, but the disk gives other octets.
    Damaged,
    /// Its Done is on its way, or its large body is being unlinked.
    Going,
}

/// A message.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Message {
    pub(crate) id: u64,
    /// Where it lies.
    pub(crate) letter: Place,
    pub(crate) note: Place,
    pub(crate) state: State,
    /// Its body is a file.
    pub(crate) is_large: bool,
    /// A copy of it in another segment is on its way to the disk.
    pub(crate) is_moving: bool,
    /// Notes on their way to the disk.
    pub(crate) notes_pending: u8,
}

/// All messages.
#[derive(Debug, Default)]
pub(crate) struct Table {
    messages: Vec<Message>,
    free: Vec<u32>,
    by_id: BTreeMap<u64, u32>,
}

impl Table {
    /// Takes a slot for a message. `None`: the id is in use, or there are 2^32 messages.
    pub(crate) fn insert(&mut self, message: Message) -> Option<u32> {
        if self.by_id.contains_key(&message.id) {
            return None;
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => u32::try_from(self.messages.len()).ok()?,
        };
        let id = message.id;
        match self.at_mut(slot) {
            Some(place) => *place = message,
            None => self.messages.push(message),
        }
        self.by_id.insert(id, slot);
        Some(slot)
    }

    pub(crate) fn remove(&mut self, slot: u32) {
        if let Some(message) = self.at_mut(slot)
            && message.state != State::Free
        {
            let id = message.id;
            *message = Message::default();
            self.by_id.remove(&id);
            self.free.push(slot);
        }
    }

    /// The message in a slot that is not free.
    pub(crate) fn get(&self, slot: u32) -> Option<&Message> {
        let message = self.messages.get(usize::try_from(slot).ok()?)?;
        (message.state != State::Free).then_some(message)
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Message> {
        self.at_mut(slot).filter(|message| message.state != State::Free)
    }

    fn at_mut(&mut self, slot: u32) -> Option<&mut Message> {
        self.messages.get_mut(usize::try_from(slot).ok()?)
    }

    pub(crate) fn find(&self, id: u64) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    /// Messages with ids above `after`, in the order of ids.
    pub(crate) fn above(&self, after: u64) -> impl Iterator<Item = (u64, u32)> {
        let range = after.checked_add(1).map(|first| self.by_id.range(first..));
        range.into_iter().flatten().map(|(&id, &slot)| (id, slot))
    }

    /// All messages, in the order of ids.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u64, u32)> {
        self.by_id.iter().map(|(&id, &slot)| (id, slot))
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_takes_forty_octets() {
        assert_eq!(size_of::<Message>(), 40);
    }

    #[test]
    fn slots_are_used_again_and_an_id_has_one() {
        let mut table = Table::default();
        let message = |id| Message { id, state: State::Here, ..Message::default() };
        assert_eq!(table.insert(message(7)), Some(0));
        assert_eq!(table.insert(message(9)), Some(1));
        assert_eq!(table.insert(message(7)), None);
        table.remove(0);
        table.remove(0);
        assert_eq!(table.find(7), None);
        assert_eq!(table.insert(message(8)), Some(0));
        assert_eq!(table.above(7).collect::<Vec<_>>(), [(8, 0), (9, 1)]);
        assert_eq!(table.above(u64::MAX).count(), 0);
    }
}
