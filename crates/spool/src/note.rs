//! Notes on their way to the disk: the newest of a message counts until nothing of it is under way any more.

use crate::Slot;
use std::collections::HashMap;

/// The newest note of a message, and how many of its notes are in batches that are not durable.
#[derive(Debug)]
pub(crate) struct Pending {
    id: u64,
    pub(crate) note: Vec<u8>,
    under_way: u32,
}

impl Pending {
    /// A note was put into a batch.
    pub(crate) fn put(notes: &mut HashMap<Slot, Self>, slot: Slot, id: u64, note: &[u8]) {
        let before = notes.get(&slot).filter(|pending| pending.id == id);
        let under_way = before.map_or(0, |pending| pending.under_way).saturating_add(1);
        notes.insert(slot, Self { id, note: note.to_vec(), under_way });
    }

    /// A batch with a note has ended, durable or not. Gives the newest note if nothing of the message is under way now; a
    /// slot that another message has meanwhile is left alone.
    pub(crate) fn arrived(notes: &mut HashMap<Slot, Self>, slot: Slot, id: u64) -> Option<Vec<u8>> {
        let pending = notes.get_mut(&slot).filter(|pending| pending.id == id)?;
        pending.under_way = pending.under_way.saturating_sub(1);
        if pending.under_way > 0 {
            return None;
        }
        notes.remove(&slot).map(|pending| pending.note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_note_counts_until_all_have_arrived() {
        let (slot, mut notes) = (Slot(3), HashMap::new());
        Pending::put(&mut notes, slot, 7, b"first");
        Pending::put(&mut notes, slot, 7, b"second");
        assert_eq!(Pending::arrived(&mut notes, slot, 7), None);
        assert_eq!(notes[&slot].note, b"second");
        assert_eq!(Pending::arrived(&mut notes, slot, 7).unwrap(), b"second");
        assert!(notes.is_empty());
    }

    #[test]
    fn an_old_note_does_not_touch_the_slots_next_message() {
        let (slot, mut notes) = (Slot(3), HashMap::new());
        Pending::put(&mut notes, slot, 8, b"new");
        assert_eq!(Pending::arrived(&mut notes, slot, 7), None);
        assert_eq!(notes[&slot].note, b"new");
    }
}
