//! Addresses as they were written: what came by SMTP stood in angle brackets, what a command or a list said did not. So the
//! queue shows them, and so runs of it are asked for (`-qR`).

use crate::active::recipient;
use crate::message::Envelope;
use crate::note::Note;
use crate::recipient::{Recipient, State};
use alloc::boxed::Box;

impl Envelope {
    /// The address of a recipient as it was written: what came by SMTP stood in angle brackets. `parent`: whom it stands for.
    pub(crate) fn written(&self, recipient: &Recipient, parent: Option<&Recipient>) -> Box<[u8]> {
        let address = &recipient.address;
        let is_kept = recipient.followed.as_ref().is_some_and(|followed| followed.is_as_written);
        let came_so = !is_kept && parent.is_none_or(|parent| parent.address == *address);
        if self.origin.is_own() || !came_so || address.starts_with(b"<") {
            return address.clone();
        }
        [b"<", &**address, b">"].concat().into()
    }

    /// The reverse-path, likewise; the owner of a list stands there as the list has him.
    #[must_use]
    pub fn written_sender(&self) -> Box<[u8]> {
        if self.sender.is_empty() || self.origin.is_own() || self.is_part_of_owner() {
            return self.sender.clone();
        }
        [b"<", &*self.sender, b">"].concat().into()
    }
}

impl Note {
    /// The recipients of a message that have not ended, those that were added too: each with its state, and its address as it
    /// was written.
    pub fn open<'m>(
        &'m self,
        envelope: &'m Envelope,
    ) -> impl Iterator<Item = (&'m Recipient, &'m State, Box<[u8]>)> {
        let asked = envelope.recipients.iter().map(|one| (one, None));
        let added = self.added.iter().map(|one| (&one.recipient, Some(one.parent)));
        let all = asked.chain(added).zip(&self.states).filter(|(_, state)| state.is_open());
        all.map(|((one, parent), state)| {
            let parent = parent.and_then(|parent| recipient(envelope, self, parent));
            (one, state, envelope.written(one, parent))
        })
    }
}
