//! A message in memory, while something is done with it.

use crate::message::Envelope;
use crate::note::{Added, Hold, Note};
use crate::outcome::Trouble;
use crate::recipient::{Recipient, State};
use crate::schedule::Inquiry;
use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};
use policy::Expansion;

/// What came of a round, which says when the next one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Round {
    /// Nothing was tried: what could be, waits for its destination.
    Untried,
    /// Something was tried.
    Tried,
    /// A delivery process ended in it: nobody's fault but ours, the next round comes soon.
    Broken,
}

/// How a message came into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    /// It is tried as it comes.
    New,
    /// It waited in the queue.
    Waited,
    /// Likewise, and it is tried although it is kept back.
    Forced,
}

/// A message in memory.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) envelope: Box<Envelope>,
    pub(crate) note: Box<Note>,
    /// Recipients whose answer from the policy is awaited.
    pub(crate) asking: Vec<u32>,
    /// Answers that came before that to a recipient further ahead.
    pub(crate) early: BTreeMap<u32, Expansion>,
    /// Recipients whose members are on their way into messages of their own, and what they will be.
    pub(crate) splitting: Vec<(u32, State)>,
    /// Recipients that are ready at their destinations.
    pub(crate) ready: usize,
    /// Recipients in running transactions.
    pub(crate) in_flight: usize,
    /// Whether the note in the spool is out of date.
    pub(crate) is_dirty: bool,
    /// Whether a note is to be written at a set time.
    pub(crate) has_late_note: bool,
    /// What this round has been so far.
    pub(crate) round: Round,
    /// How it came into memory.
    pub(crate) came: Came,
    /// Whether something was tried before it came into memory.
    pub(crate) was_tried: bool,
    /// About how much memory it takes.
    pub(crate) size_bytes: usize,
    /// Whom reports of this round would go to, as far as the policy was asked about them.
    pub(crate) consulted: Vec<Consulted>,
}

/// Somebody who is to get a report.
#[derive(Debug)]
pub(crate) struct Consulted {
    /// His address, without angle brackets.
    pub(crate) address: Box<[u8]>,
    /// Set if nobody is there: why.
    pub(crate) dead_end: Option<Trouble>,
    /// Names on the way to him that lead nowhere, though others do: where they stand and what they are, and why.
    pub(crate) unknown: Vec<(Box<[u8]>, Trouble)>,
}

impl Active {
    pub(crate) fn new(envelope: Box<Envelope>, note: Box<Note>) -> Self {
        let size_bytes = envelope
            .recipients
            .iter()
            .chain(note.added.iter().map(|added| &added.recipient))
            .fold(512_usize, |sum, recipient| sum.saturating_add(memory_bytes(recipient)));
        Self {
            envelope,
            note,
            asking: Vec::new(),
            early: BTreeMap::new(),
            splitting: Vec::new(),
            ready: 0,
            in_flight: 0,
            is_dirty: false,
            has_late_note: false,
            round: Round::Untried,
            came: Came::New,
            was_tried: false,
            size_bytes,
            consulted: Vec::new(),
        }
    }

    /// Why no report reaches an address, if the policy said so.
    pub(crate) fn dead_end(&self, address: &[u8]) -> Option<&Trouble> {
        self.consulted.iter().find(|one| *one.address == *address)?.dead_end.as_ref()
    }

    /// The address of a recipient as it was written: what came by SMTP stood in angle brackets.
    pub(crate) fn written(&self, index: u32) -> Box<[u8]> {
        let Some(recipient) = self.recipient(index) else { return Box::default() };
        let parent = self.parent(index).and_then(|parent| self.recipient(parent));
        self.envelope.written(recipient, parent)
    }

    /// Whether nothing is going on.
    pub(crate) fn is_idle(&self) -> bool {
        self.asking.is_empty()
            && self.splitting.is_empty()
            && self.ready == 0
            && self.in_flight == 0
    }

    pub(crate) fn state(&self, index: u32) -> Option<&State> {
        self.note.states.get(usize::try_from(index).ok()?)
    }

    /// Recipients that have not ended.
    pub(crate) fn open_count(&self) -> usize {
        self.note.states.iter().filter(|state| !state.is_end()).count()
    }

    /// The numbers of recipients that are still to be tried.
    pub(crate) fn open(&self) -> impl Iterator<Item = u32> {
        (0_u32..)
            .zip(&self.note.states)
            .filter(|(_, state)| state.is_open())
            .map(|(index, _)| index)
    }

    pub(crate) fn recipient(&self, index: u32) -> Option<&Recipient> {
        recipient(&self.envelope, &self.note, index)
    }

    fn added(&self, index: u32) -> Option<&Added> {
        let index = usize::try_from(index).ok()?;
        self.note.added.get(index.checked_sub(self.envelope.recipients.len())?)
    }

    /// The recipient that it was expanded from.
    pub(crate) fn parent(&self, index: u32) -> Option<u32> {
        self.added(index).map(|added| added.parent).filter(|&parent| parent < index)
    }

    /// The nearest recipient above it whose expansion has an owner.
    pub(crate) fn owner_index(&self, index: u32) -> Option<u32> {
        let mut above = self.parent(index);
        while let Some(at) = above {
            if let Some(State::Expanded { owner: Some(_), .. }) = self.state(at) {
                return Some(at);
            }
            above = self.parent(at);
        }
        None
    }

    /// The reverse-path for a recipient: the owner of the list it is in, or the sender.
    pub(crate) fn sender(&self, index: u32) -> &[u8] {
        match self.owner_index(index).and_then(|at| self.state(at)) {
            Some(State::Expanded { owner: Some(owner), .. }) => owner,
            _ => &self.envelope.sender,
        }
    }

    /// What must be asked before this recipient can be tried.
    pub(crate) fn inquiry(&self, index: u32, mark: u32) -> Option<Inquiry> {
        inquiry(&self.envelope, &self.note, index, mark)
    }

    pub(crate) fn is_held(&self) -> bool {
        self.came != Came::Forced && is_held(&self.envelope, &self.note)
    }
}

/// About how much memory a recipient takes.
pub(crate) fn memory_bytes(recipient: &Recipient) -> usize {
    recipient.address.len().saturating_add(recipient.route.user.len()).saturating_add(160)
}

/// Recipient number `index` of a message.
pub(crate) fn recipient<'a>(
    envelope: &'a Envelope,
    note: &'a Note,
    index: u32,
) -> Option<&'a Recipient> {
    let index = usize::try_from(index).ok()?;
    match index.checked_sub(envelope.recipients.len()) {
        None => envelope.recipients.get(index),
        Some(index) => note.added.get(index).map(|added| &added.recipient),
    }
}

/// What must be asked before recipient number `index` can be tried, where `mark` tells the mailers of now.
pub(crate) fn inquiry(envelope: &Envelope, note: &Note, index: u32, mark: u32) -> Option<Inquiry> {
    let recipient = recipient(envelope, note, index)?;
    let below = usize::try_from(index).ok()?.checked_sub(envelope.recipients.len());
    let was_marked = match below.and_then(|below| note.added.get(below)) {
        Some(added) => added.mailers_mark,
        None => envelope.mailers_mark,
    };
    if recipient.route.mailer == Recipient::UNROUTED {
        return Some(Inquiry::RouteAndExpand);
    }
    match (was_marked == mark, recipient.route.expands) {
        (true, true) => Some(Inquiry::Expand(recipient.route.clone())),
        (true, false) => None,
        (false, true) => Some(Inquiry::RouteAndExpand),
        (false, false) => Some(Inquiry::Route),
    }
}

/// Whether a message is kept back.
pub(crate) fn is_held(envelope: &Envelope, note: &Note) -> bool {
    match note.hold {
        Hold::AsAccepted => envelope.quarantine.is_some(),
        Hold::Held(_) => true,
        Hold::Released => false,
    }
}
