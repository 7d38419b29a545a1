//! Destinations: a mailer with a host, or with a user for mailboxes. What waits for one, how much
//! of it may run together, and whether it answers.
//!
//! A destination nobody waits for is forgotten, unless it is down: then it is remembered until its
//! pause is over. The first destination is no destination: it stands for messages that have
//! several, or that the policy has to be asked about first.

use crate::outcome::Trouble;
use crate::slots::Line;
use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use policy::{Mailer, MailerId, Route, Transport};

/// The destination of messages that have several or none yet.
pub(crate) const MIXED: u32 = 0;

/// So many destinations are remembered for messages that wait; beyond, a message waits on its own.
pub(crate) const DESTINATIONS_MAX: usize = 100_000;

/// A destination that nothing is known of gets so many transactions at once; each success adds one.
const WINDOW_FIRST: u32 = 5;

/// Some recipients of one message that are ready to be tried.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) slot: u32,
    /// Numbers of recipients, all with the same sender.
    pub(crate) recipients: Vec<u32>,
}

impl Group {
    /// At most so many of them; the others stay the first of what is ready.
    pub(crate) fn keep_most(&mut self, most: usize, destination: &mut Destination) {
        if self.recipients.len() > most {
            let rest = self.recipients.split_off(most);
            destination.ready.push_front(Self { slot: self.slot, recipients: rest });
        }
    }
}

/// Whether a destination answers.
#[derive(Debug)]
pub(crate) enum Health {
    /// It does, as far as is known.
    Up,
    /// It does not, and is left alone until then.
    Down { until_ms: u64, trouble: Box<Trouble> },
    /// It did not; one transaction may find out.
    Probing { trouble: Box<Trouble> },
}

/// One destination.
#[derive(Debug)]
pub(crate) struct Destination {
    /// The mailer's number, then the host or user.
    key: Box<[u8]>,
    pub(crate) mailer: MailerId,
    /// Messages that are due and not in memory.
    pub(crate) line: Line,
    /// What is ready to be tried.
    pub(crate) ready: VecDeque<Group>,
    /// Messages counted under it, waiting or active.
    pub(crate) messages: u32,
    /// Those of them that are active or being read.
    pub(crate) admitted: u32,
    /// Transactions that run.
    pub(crate) in_flight: u32,
    window: u32,
    window_max: u32,
    pub(crate) recipients_max: u32,
    pub(crate) health: Health,
    /// Failures in a row.
    pub(crate) failures: u32,
    pub(crate) is_in_load_ring: bool,
    pub(crate) is_in_try_ring: bool,
}

impl Destination {
    fn new(key: &[u8], mailer: MailerId, terms: Option<&Mailer>) -> Self {
        let window_max = terms.map_or(1, |mailer| mailer.concurrency_max.max(1));
        Self {
            key: key.into(),
            mailer,
            line: Line::default(),
            ready: VecDeque::new(),
            messages: 0,
            admitted: 0,
            in_flight: 0,
            window: WINDOW_FIRST.min(window_max),
            window_max,
            recipients_max: terms.map_or(1, |mailer| mailer.recipients_max.max(1)),
            health: Health::Up,
            failures: 0,
            is_in_load_ring: false,
            is_in_try_ring: false,
        }
    }

    /// The host or user.
    pub(crate) fn name(&self) -> &[u8] {
        self.key.get(1..).unwrap_or_default()
    }

    /// Whether it is left alone now.
    pub(crate) fn is_down(&self) -> bool {
        matches!(self.health, Health::Down { .. })
    }

    /// What was said when it failed, until it answers again.
    pub(crate) fn trouble(&self) -> Option<&Trouble> {
        match &self.health {
            Health::Up => None,
            Health::Down { trouble, .. } | Health::Probing { trouble } => Some(trouble),
        }
    }

    /// Why nothing more may be made ready for it now.
    pub(crate) fn blocked_by(&self) -> Option<&Trouble> {
        match &self.health {
            Health::Up => None,
            Health::Down { trouble, .. } => Some(trouble),
            Health::Probing { trouble } => {
                let is_busy = self.in_flight > 0 || !self.ready.is_empty();
                is_busy.then_some(&**trouble)
            }
        }
    }

    /// Whether the first of the line may be read, if `share` messages may be active for it.
    pub(crate) fn may_load(&self, share: u32) -> bool {
        self.line.length > 0
            && match self.health {
                Health::Up => self.admitted < share,
                Health::Down { .. } => false,
                Health::Probing { .. } => self.admitted == 0 && self.blocked_by().is_none(),
            }
    }

    /// Whether one more transaction may begin.
    pub(crate) fn may_try(&self) -> bool {
        !self.ready.is_empty()
            && match self.health {
                Health::Up => self.in_flight < self.window,
                Health::Down { .. } => false,
                Health::Probing { .. } => self.in_flight == 0,
            }
    }

    /// It answered. True if it had been down.
    pub(crate) fn answered(&mut self) -> bool {
        self.failures = 0;
        self.window = self.window.saturating_add(1).min(self.window_max);
        let was_up = matches!(self.health, Health::Up);
        if !was_up {
            self.health = Health::Up;
            self.window = WINDOW_FIRST.min(self.window_max);
        }
        !was_up
    }

    /// Takes over what the configuration says now.
    fn adopt(&mut self, terms: Option<&Mailer>) {
        self.window_max = terms.map_or(1, |mailer| mailer.concurrency_max.max(1));
        self.window = self.window.min(self.window_max);
        self.recipients_max = terms.map_or(1, |mailer| mailer.recipients_max.max(1));
    }

    fn is_idle(&self) -> bool {
        self.messages == 0 && self.in_flight == 0 && self.ready.is_empty() && !self.is_down()
    }
}

/// All destinations.
#[derive(Debug)]
pub(crate) struct Destinations {
    table: Vec<Option<Destination>>,
    by_key: BTreeMap<Box<[u8]>, u32>,
    free: Vec<u32>,
    /// When pauses end.
    wakes: BTreeSet<(u64, u32)>,
    /// Kept to make keys in.
    key: Vec<u8>,
}

impl Destinations {
    pub(crate) fn new() -> Self {
        Self {
            table: alloc::vec![Some(Destination::new(&[], MailerId(u8::MAX), None))],
            by_key: BTreeMap::new(),
            free: Vec::new(),
            wakes: BTreeSet::new(),
            key: Vec::new(),
        }
    }

    pub(crate) fn of(&self, number: u32) -> Option<&Destination> {
        self.table.get(usize::try_from(number).ok()?)?.as_ref()
    }

    pub(crate) fn of_mut(&mut self, number: u32) -> Option<&mut Destination> {
        self.table.get_mut(usize::try_from(number).ok()?)?.as_mut()
    }

    /// Whether no more are remembered for messages that only wait.
    pub(crate) fn is_full(&self) -> bool {
        self.by_key.len() >= DESTINATIONS_MAX
    }

    /// All but the first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Destination> {
        self.table.iter().skip(1).flatten()
    }

    /// The numbers of what is called `node`, in letters of either case; `@node`: and of all hosts below it.
    pub(crate) fn numbers_of(&self, node: &[u8]) -> BTreeSet<u32> {
        let (node, with_below) = match node.strip_prefix(b"@") {
            Some(node) => (node, true),
            None => (node, false),
        };
        let is_called = |name: &[u8]| {
            // Rule sets leave a dot behind names that the DNS knows.
            let name = name.strip_suffix(b".").unwrap_or(name);
            let head = name.len().saturating_sub(node.len());
            let Some((head, tail)) = name.split_at_checked(head) else { return false };
            tail.eq_ignore_ascii_case(node)
                && (head.is_empty() || (with_below && head.ends_with(b".")))
        };
        let numbered = (0_u32..).zip(&self.table).skip(1);
        numbered
            .filter(|(_, entry)| entry.as_ref().is_some_and(|found| is_called(found.name())))
            .map(|(number, _)| number)
            .collect()
    }

    /// The number of the destination of a route, which is remembered from now on.
    pub(crate) fn find(&mut self, route: &Route, mailers: &[Mailer]) -> u32 {
        self.write_key(route, mailers);
        let key = core::mem::take(&mut self.key);
        let number = self.by_key.get(&*key).copied().unwrap_or_else(|| {
            let terms = mailers.get(usize::from(route.mailer.0));
            self.insert(Destination::new(&key, route.mailer, terms))
        });
        self.key = key;
        number
    }

    /// The number of the destination of a route, if it is remembered.
    pub(crate) fn known(&mut self, route: &Route, mailers: &[Mailer]) -> Option<u32> {
        self.write_key(route, mailers);
        self.by_key.get(&*self.key).copied()
    }

    fn write_key(&mut self, route: &Route, mailers: &[Mailer]) {
        let transport = mailers.get(usize::from(route.mailer.0)).map(|mailer| &mailer.transport);
        self.key.clear();
        self.key.push(route.mailer.0);
        match transport {
            Some(Transport::Maildir(_) | Transport::Mbox(_) | Transport::Program(_)) => {
                self.key.extend_from_slice(&route.user);
            }
            Some(Transport::Smtp { .. } | Transport::SmtpUnix(_) | Transport::Lmtp(_)) => {
                self.key.extend(route.host.iter().map(u8::to_ascii_lowercase));
            }
            Some(Transport::Waits { .. } | Transport::Discard | Transport::Error) | None => {}
        }
    }

    /// Forgets a destination that nobody needs.
    pub(crate) fn tidy(&mut self, number: u32) {
        if number == MIXED || !self.of(number).is_some_and(Destination::is_idle) {
            return;
        }
        let place = usize::try_from(number).ok().and_then(|index| self.table.get_mut(index));
        if let Some(gone) = place.and_then(Option::take) {
            self.by_key.remove(&gone.key);
            self.free.push(number);
        }
    }

    /// Leaves a destination alone until then.
    pub(crate) fn set_down(&mut self, number: u32, until_ms: u64, trouble: Box<Trouble>) {
        if let Some(destination) = self.of_mut(number) {
            destination.health = Health::Down { until_ms, trouble };
            self.wakes.insert((until_ms, number));
        }
    }

    /// The next end of a pause.
    pub(crate) fn next_wake_ms(&self) -> Option<u64> {
        self.wakes.first().map(|&(until_ms, _)| until_ms)
    }

    /// A destination whose pause is over by then: it may be probed.
    pub(crate) fn take_woken(&mut self, now_ms: u64) -> Option<u32> {
        while let Some(&(until_ms, number)) = self.wakes.first()
            && until_ms <= now_ms
        {
            self.wakes.pop_first();
            if self.probe(number, until_ms) {
                return Some(number);
            }
        }
        None
    }

    /// Ends the pause of one destination early. True if it was down.
    pub(crate) fn wake(&mut self, number: u32) -> bool {
        match self.of(number).map(|destination| &destination.health) {
            Some(&Health::Down { until_ms, .. }) => {
                self.wakes.remove(&(until_ms, number));
                self.probe(number, until_ms)
            }
            Some(Health::Up | Health::Probing { .. }) | None => false,
        }
    }

    /// Takes over what the configuration says now.
    pub(crate) fn adopt(&mut self, mailers: &[Mailer]) {
        for destination in self.table.iter_mut().skip(1).flatten() {
            destination.adopt(mailers.get(usize::from(destination.mailer.0)));
        }
    }

    /// Forgets all that is ready.
    pub(crate) fn drop_ready(&mut self) {
        for destination in self.table.iter_mut().flatten() {
            destination.ready.clear();
        }
    }

    /// Octets of memory that they take, without what is ready.
    pub(crate) fn memory_bytes(&self) -> usize {
        let keys: usize = self.iter().map(|one| one.key.len().saturating_mul(2)).sum();
        let each = size_of::<Option<Destination>>().saturating_add(64);
        self.table.capacity().saturating_mul(each).saturating_add(keys)
    }

    fn insert(&mut self, destination: Destination) -> u32 {
        let key = destination.key.clone();
        let number = self.free.pop().unwrap_or_else(|| {
            self.table.push(None);
            u32::try_from(self.table.len().saturating_sub(1)).unwrap_or(u32::MAX)
        });
        if let Some(place) =
            usize::try_from(number).ok().and_then(|index| self.table.get_mut(index))
        {
            *place = Some(destination);
        }
        self.by_key.insert(key, number);
        number
    }

    fn probe(&mut self, number: u32, expected_ms: u64) -> bool {
        let Some(destination) = self.of_mut(number) else { return false };
        match core::mem::replace(&mut destination.health, Health::Up) {
            Health::Down { until_ms, trouble } if until_ms == expected_ms => {
                destination.health = Health::Probing { trouble };
                true
            }
            health @ (Health::Up | Health::Down { .. } | Health::Probing { .. }) => {
                destination.health = health;
                false
            }
        }
    }
}
