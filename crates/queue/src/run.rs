//! A run of the queue, as an operator orders it: which messages, in which order, and what becomes of them.
//!
//! Limits of one kind are alternatives; of each kind one must hold (`-qRone -qRtwo -qSthree`: one or two, and three). A limit
//! that excludes holds for what does not contain its text: for a message with several recipients one of them is enough.

use crate::QueueId;
use crate::active::is_held;
use crate::message::Envelope;
use crate::note::{Hold, Note};
use alloc::{boxed::Box, vec::Vec};
use serde::{Deserialize, Serialize};

/// What a limit is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// The queue id (`-qI`); its case counts.
    Id,
    /// A recipient that is not done (`-qR`).
    Recipient,
    /// The sender (`-qS`).
    Sender,
    /// Why it is kept back (`-qQ`); its case counts.
    Reason,
}

/// One limit: what contains a text, or what does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// What it is about.
    pub part: Part,
    /// What is looked for.
    pub text: Box<[u8]>,
    /// Whether it holds for what does not contain the text.
    pub excludes: bool,
}

/// In which order messages come (`QueueSortOrder`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum SortOrder {
    /// The smallest priority number first.
    #[default]
    Priority,
    /// By the host of the first recipient, read backwards; then by priority.
    Host,
    /// The oldest first.
    Time,
    /// By id.
    Name,
    /// As the dice fall.
    Random,
    /// As they come: the newest first.
    None,
}

/// What becomes of the messages of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deed {
    /// They are tried.
    #[default]
    Try,
    /// They are kept back; why.
    Hold(Box<[u8]>),
    /// They are no longer kept back.
    Release,
}

/// A run of the queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The limits.
    pub limits: Vec<Limit>,
    /// Whether it is about messages that are kept back, and not about the others.
    pub is_of_held: bool,
    /// Their order.
    pub order: SortOrder,
    /// What was tried within so many seconds is left alone (`MinQueueAge`).
    pub young_s: u32,
    /// What becomes of them.
    pub deed: Deed,
}

/// What limits are held against.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The queue id as text.
    pub id: Vec<u8>,
    /// The sender as the queue shows it.
    pub sender: Vec<u8>,
    /// The recipients that are not done, likewise.
    pub recipients: Vec<Vec<u8>>,
    /// Why it is kept back; `None`: it is not.
    pub reason: Option<Vec<u8>>,
}

impl Facts {
    /// Those of a queued message. What came by SMTP stands in angle brackets, as the queue shows it.
    #[must_use]
    pub fn of(id: QueueId, envelope: &Envelope, note: &Note) -> Self {
        Self {
            id: id.to_ascii().to_vec(),
            sender: envelope.written_sender().into(),
            recipients: note.open(envelope).map(|(_, _, written)| written.into()).collect(),
            reason: reason(envelope, note).map(<[u8]>::to_vec),
        }
    }
}

/// Why a message is kept back, if it is.
#[must_use]
pub fn reason<'m>(envelope: &'m Envelope, note: &'m Note) -> Option<&'m [u8]> {
    if !is_held(envelope, note) {
        return None;
    }
    match &note.hold {
        Hold::Held(reason) => Some(reason),
        Hold::AsAccepted | Hold::Released => envelope.quarantine.as_deref(),
    }
}

impl Run {
    /// Whether the limits say yes to a message.
    #[must_use]
    pub fn wants(&self, facts: &Facts) -> bool {
        facts.reason.is_some() == self.is_of_held
            && [Part::Id, Part::Recipient, Part::Sender, Part::Reason]
                .into_iter()
                .all(|part| self.allows(part, facts))
    }

    /// Whether one of the limits of a kind holds, if there is one.
    fn allows(&self, part: Part, facts: &Facts) -> bool {
        let mut limits = self.limits.iter().filter(|limit| limit.part == part).peekable();
        limits.peek().is_none() || limits.any(|limit| limit.holds(facts))
    }
}

impl Limit {
    fn holds(&self, facts: &Facts) -> bool {
        let fits = |text: &[u8], folds| contains(text, &self.text, folds) != self.excludes;
        match self.part {
            Part::Id => fits(&facts.id, false),
            Part::Sender => fits(&facts.sender, true),
            Part::Recipient => facts.recipients.iter().any(|recipient| fits(recipient, true)),
            Part::Reason => facts.reason.as_deref().is_some_and(|reason| fits(reason, false)),
        }
    }
}

fn contains(text: &[u8], wanted: &[u8], folds: bool) -> bool {
    let is_it =
        |part: &[u8]| if folds { part.eq_ignore_ascii_case(wanted) } else { part == wanted };
    wanted.is_empty() || text.windows(wanted.len()).any(is_it)
}

/// The place of a message in its run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    host: Box<[u8]>,
    number: i128,
    id: u64,
}

/// Puts the messages of a run in order: each is looked at once, and not kept.
#[derive(Debug)]
pub struct Plan {
    run: Run,
    now_s: u64,
    dice: crate::retry::Dice,
    found: Vec<(Rank, u32)>,
}

impl Plan {
    /// For a run at this time; `seed` makes a random order.
    #[must_use]
    pub fn new(run: Run, now_s: u64, seed: u64) -> Self {
        Self { run, now_s, dice: crate::retry::Dice::new(seed), found: Vec::new() }
    }

    /// Looks at a message. `priority`: sendmail's number, the smallest comes first.
    pub fn consider(&mut self, slot: u32, envelope: &Envelope, note: &Note, priority: i64) {
        let is_tried = self.run.deed == Deed::Try;
        let is_young = is_tried
            && note.tries > 0
            && note.tried_s.saturating_add(self.run.young_s.into()) > self.now_s;
        if !is_young && self.run.wants(&Facts::of(envelope.id, envelope, note)) {
            let rank = self.rank(envelope, priority);
            self.found.push((rank, slot));
        }
    }

    fn rank(&mut self, envelope: &Envelope, priority: i64) -> Rank {
        let id = envelope.id.as_u64();
        let (host, number) = match self.run.order {
            SortOrder::Priority => (Box::default(), priority.into()),
            SortOrder::Host => (first_host(envelope), priority.into()),
            SortOrder::Time => (Box::default(), envelope.created_s.into()),
            SortOrder::Name => (Box::default(), 0),
            SortOrder::Random => (Box::default(), self.dice.throw(u64::MAX).into()),
            SortOrder::None => (Box::default(), u64::MAX.saturating_sub(id).into()),
        };
        Rank { host, number, id }
    }

    /// The messages in their order.
    #[must_use]
    pub fn finish(mut self) -> Vec<u32> {
        self.found.sort();
        self.found.into_iter().map(|(_, slot)| slot).collect()
    }
}

/// The domain of the first recipient in lower case, read backwards.
fn first_host(envelope: &Envelope) -> Box<[u8]> {
    let address = envelope.recipients.first().map(|one| &*one.address).unwrap_or_default();
    let at = address.iter().rposition(|&octet| octet == b'@');
    let host = at.and_then(|at| address.get(at.saturating_add(1)..)).unwrap_or_default();
    host.iter().rev().map(u8::to_ascii_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(sender: &str, recipients: &[&str], reason: Option<&str>) -> Facts {
        Facts {
            id: b"6AKMK93X000716".to_vec(),
            sender: sender.as_bytes().to_vec(),
            recipients: recipients.iter().map(|one| one.as_bytes().to_vec()).collect(),
            reason: reason.map(|reason| reason.as_bytes().to_vec()),
        }
    }

    fn limit(part: Part, text: &str) -> Limit {
        Limit { part, text: text.as_bytes().into(), excludes: false }
    }

    #[test]
    fn limits_of_a_kind_are_alternatives_and_every_kind_must_hold() {
        let run = Run {
            limits: alloc::vec![
                limit(Part::Recipient, "REMOTE"),
                limit(Part::Recipient, "other"),
                limit(Part::Sender, "bob"),
            ],
            ..Run::default()
        };
        assert!(run.wants(&facts("bob", &["x@remote.test"], None)));
        assert!(run.wants(&facts("Bob", &["x@other.test"], None)));
        assert!(!run.wants(&facts("alice", &["x@remote.test"], None)));
        assert!(!run.wants(&facts("bob", &["x@third.test"], None)));
    }

    #[test]
    fn a_limit_that_excludes_is_content_with_one_recipient_that_it_does_not_name() {
        let without = Limit { excludes: true, ..limit(Part::Recipient, "remote") };
        let run = Run { limits: alloc::vec![without], ..Run::default() };
        assert!(!run.wants(&facts("a", &["x@remote.test"], None)));
        assert!(run.wants(&facts("a", &["x@remote.test", "y"], None)));
    }

    #[test]
    fn what_is_kept_back_comes_only_where_it_is_asked_for() {
        let held = Run { is_of_held: true, ..Run::default() };
        let with = Run { limits: alloc::vec![limit(Part::Reason, "look")], ..held.clone() };
        assert!(!Run::default().wants(&facts("a", &["x"], Some("held for a look"))));
        assert!(held.wants(&facts("a", &["x"], Some("held for a look"))));
        assert!(!held.wants(&facts("a", &["x"], None)));
        assert!(with.wants(&facts("a", &["x"], Some("held for a look"))));
        assert!(!with.wants(&facts("a", &["x"], Some("Look"))));
    }

    #[test]
    fn an_id_is_looked_for_as_it_is_written() {
        let run = |text| Run { limits: alloc::vec![limit(Part::Id, text)], ..Run::default() };
        assert!(run("000716").wants(&facts("a", &["x"], None)));
        assert!(!run("6akmk").wants(&facts("a", &["x"], None)));
    }
}
