//! Who carries mail out: the relays, and delivery children, one a user, started when there is work.

use super::House;
use crate::edges::{FromRelay, News, Task, ToRelay, Tried, Try, Ward};
use crate::link::{Link, LinkError};
use crate::log::Severity;
use ::policy::{MailboxPlace, Transport};
use ::queue::{Batch, BatchId, Input, Outcome, Scope, Status, Trouble};
use spool::Spool as _;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Batches that one relay may have at the same time.
const RELAY_BATCHES_MAX: u32 = 1000;

/// Batches that delivery children may have together.
const CHILD_BATCHES_MAX: u32 = 500;

/// One process that carries mail out.
struct Carrier {
    /// `None`: a relay. Else for whom it works.
    ward: Option<Ward>,
    /// `None`: wanted from master, not there yet.
    link: Option<Link>,
    /// Tries that wait for the child to come.
    waiting: Vec<Parcel>,
    batches: HashSet<BatchId>,
    /// A relay on an errand that was told to close what it keeps.
    parting: Parting,
    is_over: bool,
}

/// How far a relay has come with its farewell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parting {
    Not,
    Asked,
    Done,
}

/// A try with its body.
pub(super) struct Parcel {
    pub(super) wish: Try,
    pub(super) body: ParcelBody,
}

pub(super) enum ParcelBody {
    Inline(Arc<[u8]>),
    Large(File),
}

/// All carriers.
#[derive(Default)]
pub(super) struct Carriers {
    all: Vec<Carrier>,
    next_relay: usize,
    /// Batches for a relay while there is none: after a start, or when it has just died.
    without_relay: Vec<Batch>,
}

impl Carriers {
    /// How many batches can be out at the same time.
    pub(super) fn room(&self) -> u32 {
        let relays = self.all.iter().filter(|carrier| carrier.ward.is_none()).count();
        let relays = u32::try_from(relays).unwrap_or(u32::MAX);
        CHILD_BATCHES_MAX.saturating_add(RELAY_BATCHES_MAX.saturating_mul(relays))
    }

    /// Nothing is out.
    pub(super) fn is_idle(&self) -> bool {
        self.all.iter().all(|carrier| carrier.batches.is_empty())
    }

    pub(super) fn links(&self) -> impl Iterator<Item = &Link> {
        self.all.iter().filter_map(|carrier| carrier.link.as_ref())
    }

    pub(super) fn fill(&mut self, ready: &mut impl Iterator<Item = bool>) {
        for carrier in &mut self.all {
            if let Some(link) = &mut carrier.link
                && ready.next() == Some(true)
                && link.fill().is_err()
            {
                carrier.is_over = true;
            }
        }
    }

    pub(super) fn flush(&mut self) {
        for carrier in &mut self.all {
            if let Some(link) = &mut carrier.link
                && link.flush().is_err()
            {
                carrier.is_over = true;
            }
        }
    }

    /// Has the relays of an errand close what they keep; whether they all have.
    pub(super) fn part(&mut self) -> bool {
        let mut have_parted = true;
        for carrier in self.all.iter_mut().filter(|carrier| carrier.is_relay()) {
            if carrier.parting == Parting::Not
                && let Some(link) = &mut carrier.link
            {
                carrier.parting = Parting::Asked;
                if link.send(&ToRelay::Part, &[]).is_err() {
                    carrier.is_over = true;
                }
            }
            have_parted &= carrier.parting == Parting::Done || carrier.is_over;
        }
        have_parted
    }

    fn has_relay(&self) -> bool {
        self.all.iter().any(Carrier::is_relay)
    }

    /// The next relay in turn.
    fn relay(&mut self) -> Option<&mut Carrier> {
        let count = self.all.iter().filter(|carrier| carrier.is_relay()).count();
        let turn = self.next_relay.checked_rem(count)?;
        self.next_relay = turn.wrapping_add(1);
        self.all.iter_mut().filter(|carrier| carrier.is_relay()).nth(turn)
    }
}

impl Carrier {
    fn new(ward: Option<Ward>, link: Option<Link>) -> Self {
        let (waiting, batches) = (Vec::new(), HashSet::new());
        Self { ward, link, waiting, batches, parting: Parting::Not, is_over: false }
    }

    /// A relay that lives.
    fn is_relay(&self) -> bool {
        self.ward.is_none() && !self.is_over
    }

    /// Sends a try, or keeps it until the child is there.
    fn take(&mut self, parcel: Parcel) {
        self.batches.insert(parcel.wish.batch.id);
        let Some(link) = &mut self.link else {
            self.waiting.push(parcel);
            return;
        };
        let sent = if self.ward.is_none() {
            self.parting = Parting::Not;
            let wish = ToRelay::Try(Box::new(parcel.wish));
            match parcel.body {
                ParcelBody::Inline(body) => link.send(&wish, &body),
                ParcelBody::Large(file) => link.send_with(&wish, &[], file.into()),
            }
        } else {
            match parcel.body {
                ParcelBody::Inline(body) => link.send(&parcel.wish, &body),
                ParcelBody::Large(file) => link.send_with(&parcel.wish, &[], file.into()),
            }
        };
        if sent.is_err() {
            self.is_over = true;
        }
    }
}

impl House {
    /// Gives a batch to who carries it, dressed if the settings say so.
    pub(super) fn carry(&mut self, batch: &Batch) {
        let mailer = self.settings.mailers.get(usize::from(batch.mailer.0));
        match mailer.map(|mailer| &mailer.transport) {
            Some(Transport::Smtp { .. } | Transport::SmtpUnix(_) | Transport::Lmtp(_))
                if !self.carriers.has_relay() =>
            {
                // Not the destination's fault: it waits for the relay to come, not for a retry.
                self.carriers.without_relay.push(batch.clone());
                return;
            }
            Some(
                Transport::Smtp { .. }
                | Transport::SmtpUnix(_)
                | Transport::Lmtp(_)
                | Transport::Maildir(_)
                | Transport::Mbox(_)
                | Transport::Program(_),
            ) => {}
            Some(Transport::Waits { reason }) => {
                let reason = reason.clone();
                self.come_back(batch, &reason, Scope::Destination);
                return;
            }
            Some(Transport::Discard | Transport::Error) | None => {
                self.come_back(batch, b"no way to carry this", Scope::Destination);
                return;
            }
        }
        if batch.story.is_some() {
            if !self.dress(batch.clone()) {
                self.come_back(batch, b"the message can't be read now", Scope::Recipient);
            }
            return;
        }
        let ward = self.ward(batch);
        match self.parcel(batch.clone()) {
            Some(parcel) => self.hand_over(ward, parcel),
            None => self.come_back(batch, b"the message can't be read now", Scope::Recipient),
        }
    }

    /// For whom a batch is carried out; `None`: by a relay.
    pub(super) fn ward(&self, batch: &Batch) -> Option<Ward> {
        let mailer = self.settings.mailers.get(usize::from(batch.mailer.0))?;
        let mailboxes = |user| Some(Ward { user, task: Task::Mailboxes });
        // The scheduler makes a destination of each user: all recipients have the same.
        let user = || batch.recipients.first().map(|one| one.user.clone()).unwrap_or_default();
        match &mailer.transport {
            Transport::Maildir(place) | Transport::Mbox(place) => match place {
                MailboxPlace::Folder(_) => mailboxes(Box::default()),
                MailboxPlace::Spool(_) | MailboxPlace::Home(_) => mailboxes(user()),
            },
            Transport::Program(_) => {
                // `F=w`: recipients are users of this system, and the program runs as them. A program or file of a
                // list or `.forward` is used as whose it is, who stands in the place of the host.
                let user = match &*mailer.name {
                    b"prog" | b"*file*" => batch.host.clone(),
                    _ if mailer.carriage.flags.has(b'w') => user(),
                    _ => Box::default(),
                };
                Some(Ward { user, task: Task::Program(batch.mailer) })
            }
            Transport::Smtp { .. }
            | Transport::SmtpUnix(_)
            | Transport::Lmtp(_)
            | Transport::Waits { .. }
            | Transport::Discard
            | Transport::Error => None,
        }
    }

    /// Gives a parcel to who carries it.
    pub(super) fn hand_over(&mut self, ward: Option<Ward>, parcel: Parcel) {
        self.show_try(&parcel.wish.batch, ward.is_none());
        if let Some(ward) = ward {
            self.carry_by_child(ward, parcel);
        } else if let Some(relay) = self.carriers.relay() {
            relay.take(parcel);
        } else {
            // It ended meanwhile: nobody's fault but ours, the batch is tried again soon.
            let batches = vec![parcel.wish.batch.id];
            self.step(Input::LinkDown { batches, has_crashed: false });
        }
    }

    fn carry_by_child(&mut self, ward: Ward, parcel: Parcel) {
        let is_his =
            |carrier: &&mut Carrier| carrier.ward.as_ref() == Some(&ward) && !carrier.is_over;
        if let Some(child) = self.carriers.all.iter_mut().find(is_his) {
            child.take(parcel);
            return;
        }
        drop(self.life.send(&News::ChildWanted { ward: ward.clone() }, &[]));
        let mut child = Carrier::new(Some(ward), None);
        child.take(parcel);
        self.carriers.all.push(child);
    }

    /// A batch with its body, from memory or from the spool.
    pub(super) fn parcel(&mut self, batch: Batch) -> Option<Parcel> {
        if let Some(body) = self.fresh.forget(batch.slot) {
            let wish = Try { batch, large_bytes: None, head: None };
            return Some(Parcel { wish, body: ParcelBody::Inline(body) });
        }
        let opened = self.spool.open(batch.slot.into()).ok()?;
        let (large_bytes, body) = match opened.body {
            spool::OpenedBody::Inline(body) => (None, ParcelBody::Inline(body.into())),
            spool::OpenedBody::Large(file, size) => (Some(size), ParcelBody::Large(file)),
        };
        Some(Parcel { wish: Try { batch, large_bytes, head: None }, body })
    }

    /// A batch that could not even be tried. `scope`: whether others for the destination would fare as it did.
    pub(super) fn come_back(&mut self, batch: &Batch, why: &[u8], scope: Scope) {
        let trouble = Trouble::ours(Status(4, 3, 0), why);
        let results = batch
            .recipients
            .iter()
            .map(|recipient| (recipient.index, Outcome::Later { trouble: trouble.clone(), scope }));
        let results = results.collect();
        self.step(Input::Outcome { batch: batch.id, results });
    }

    /// A relay is there: what waited for one goes to it.
    pub(super) fn relay_came(&mut self, descriptor: OwnedFd) {
        let mut link = Link::new(descriptor);
        for part in self.hosts.parts() {
            // One that has ended is found when it is read.
            drop(link.send(&ToRelay::Hosts(part), &[]));
        }
        self.carriers.all.push(Carrier::new(None, Some(link)));
        for batch in std::mem::take(&mut self.carriers.without_relay) {
            self.carry(&batch);
        }
        self.tell_room();
    }

    /// The mailers have changed: what waits for a relay, or to be dressed, is routed again.
    pub(super) fn call_back(&mut self) {
        let waiting = std::mem::take(&mut self.carriers.without_relay);
        let mut batches: Vec<BatchId> = waiting.iter().map(|batch| batch.id).collect();
        batches.append(&mut self.dressing.give_up());
        if !batches.is_empty() {
            self.step(Input::LinkDown { batches, has_crashed: false });
        }
    }

    /// The child that was wanted is there.
    pub(super) fn child_came(&mut self, ward: &Ward, descriptor: OwnedFd) {
        let wanted =
            |carrier: &&mut Carrier| carrier.ward.as_ref() == Some(ward) && carrier.link.is_none();
        if let Some(child) = self.carriers.all.iter_mut().find(wanted) {
            child.link = Some(Link::new(descriptor));
            for parcel in std::mem::take(&mut child.waiting) {
                child.take(parcel);
            }
        }
    }

    /// There is no child for this user: his mail waits.
    pub(super) fn no_child(&mut self, ward: &Ward, why: &str) {
        let place = self
            .carriers
            .all
            .iter()
            .position(|carrier| carrier.ward.as_ref() == Some(ward) && carrier.link.is_none());
        let Some(place) = place else { return };
        let child = self.carriers.all.swap_remove(place);
        for parcel in child.waiting {
            self.come_back(&parcel.wish.batch, why.as_bytes(), Scope::Destination);
        }
    }

    /// Takes the outcomes of all carriers to the scheduler, and buries carriers that have ended.
    pub(super) fn take_outcomes(&mut self) {
        for place in 0..self.carriers.all.len() {
            loop {
                match self.take_tried(place) {
                    Ok(Some(tried)) => self.tried(tried),
                    Ok(None) => break,
                    Err(error) => {
                        let text = format!("a carrier: {error}; cut");
                        self.log.line(Severity::Critical, None, text.as_bytes());
                        if let Some(carrier) = self.carriers.all.get_mut(place) {
                            carrier.is_over = true;
                        }
                        break;
                    }
                }
            }
        }
        self.bury_carriers();
    }

    /// One outcome; only of a batch that this carrier has.
    fn take_tried(&mut self, place: usize) -> Result<Option<Tried>, LinkError> {
        let Some(carrier) = self.carriers.all.get_mut(place) else { return Ok(None) };
        let Some(link) = &mut carrier.link else { return Ok(None) };
        let tried = if carrier.ward.is_none() {
            match link.receive::<FromRelay>()? {
                Some((FromRelay::Tried(tried), _)) => tried,
                Some((FromRelay::Parted(talk), _)) => {
                    carrier.parting = Parting::Done;
                    self.show_farewell(&talk);
                    return self.take_tried(place);
                }
                None => return Ok(None),
            }
        } else {
            let Some((tried, _)) = link.receive::<Tried>()? else { return Ok(None) };
            tried
        };
        let is_his = if tried.is_last {
            carrier.batches.remove(&tried.batch)
        } else {
            carrier.batches.contains(&tried.batch)
        };
        if !is_his {
            return Err(LinkError::Garbled("an outcome of a batch it does not have"));
        }
        Ok(Some(tried))
    }

    fn bury_carriers(&mut self) {
        let mut lost: HashMap<bool, Vec<BatchId>> = HashMap::new();
        self.carriers.all.retain(|carrier| {
            if carrier.is_over {
                // A delivery child that ends with work in hand has crashed; a relay has many messages in
                // hand, and none of them can be blamed.
                let batches = lost.entry(carrier.ward.is_some()).or_default();
                batches.extend(carrier.batches.iter().copied());
            }
            !carrier.is_over
        });
        for (has_crashed, batches) in lost {
            if !batches.is_empty() {
                self.step(Input::LinkDown { batches, has_crashed });
            }
            self.tell_room();
        }
    }
}
