//! Random days of a queue: messages come, deliveries succeed and fail, processes crash, the queue
//! itself dies and starts again from its notes. Whatever happens, every recipient ends once.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may stop")]

use policy::{
    Expansion, MailboxPlace, Mailer, MailerId, Refusal, RefusedMember, Route, Settings, Transport,
    settings::Retry,
};
use proptest::prelude::*;
use queue::{
    Action, BodyKind, DropReason, Envelope, Event, Fate, Input, Inquiry, Note, Notify, Origin,
    Outcome, Purpose, QueueId, Recipient, ReportKind, Scheduler, Scope, Stat, Status, Trouble,
    Voice, mailers_mark,
};
use std::collections::{BTreeMap, BTreeSet};

fn settings() -> Settings {
    let mailer = |name: &[u8], transport, recipients_max| Mailer {
        name: name.into(),
        transport,
        recipients_max,
        concurrency_max: 2,
        carriage: policy::Carriage::default(),
    };
    Settings {
        mailers: vec![
            mailer(b"esmtp", Transport::Smtp { port: 25 }, 2),
            mailer(b"local", Transport::Maildir(MailboxPlace::Folder(b"/m"[..].into())), 1),
            mailer(b"error", Transport::Error, 1),
            mailer(b"discard", Transport::Discard, 1),
        ],
        postmaster: b"u9"[..].into(),
        // The tally goes by addresses.
        reports: policy::settings::Reports { hide_inside: false, ..Default::default() },
        retry: Retry {
            first_s: 60,
            longest_s: 600,
            give_up_s: 7200,
            warn_s: 1800,
            ..Retry::default()
        },
        ..Settings::default()
    }
}

/// The world's policy: what an address leads to is written in its first letter.
fn route(address: &[u8]) -> Result<Route, Refusal> {
    let route = |mailer, host: &[u8], expands| {
        Ok(Route { mailer: MailerId(mailer), host: host.into(), user: address.into(), expands })
    };
    match address[0] {
        b'r' => route(0, &[b'h', address[1] % 3 + b'0'], false),
        b'u' => route(1, b"", false),
        b'e' => route(2, b"5.1.1 User unknown", false),
        b'd' => route(3, b"", false),
        b'l' | b'o' | b't' => route(1, b"", true),
        _ => Err(Refusal::new(550, (5, 1, 1), b"unknown", b"test")),
    }
}

fn expand(address: &[u8], dice: &mut Dice) -> Expansion {
    let members: &[&[u8]] = match address[0] {
        b'l' => &[b"r1", b"u1", b"r2", b"x1"],
        b'o' => &[b"r4", b"r5", b"r5", b"e1"],
        _ => &[b"u2"],
    };
    if dice.throw(4) == 0 {
        return Expansion { later: Some(b"tables are busy"[..].into()), ..Expansion::default() };
    }
    let mut expansion = Expansion::default();
    for &member in members {
        match route(member) {
            Ok(route) => {
                expansion.recipients.push(policy::Recipient {
                    address: member.into(),
                    route,
                    from: Box::default(),
                    controller: None,
                });
            }
            Err(refusal) => {
                expansion.refused.push(RefusedMember::new(member, refusal));
            }
        }
    }
    if address[0] == b'o' {
        expansion.owner = Some(b"u7"[..].into());
    }
    expansion
}

struct Dice {
    script: Vec<u8>,
    at: usize,
}

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.at += 1;
        // After the script the world is kind, so that every day ends.
        self.script.get(self.at).map_or(sides - 1, |&face| usize::from(face) % sides)
    }
}

/// A daemon that does what the scheduler says, with a spool in memory.
struct World {
    scheduler: Scheduler,
    dice: Dice,
    now_ms: u64,
    spool: BTreeMap<u32, (Envelope, Option<Vec<u8>>)>,
    last_id: u64,
    loads: Vec<u32>,
    inquiries: Vec<(u32, u32, Vec<u8>, Inquiry)>,
    batches: Vec<queue::Batch>,
    per_host: BTreeMap<Vec<u8>, u32>,
    wake_ms: Option<u64>,
    arrivals: Vec<u32>,
    /// (message, recipient) and how it ended.
    ends: BTreeMap<(u64, Vec<u8>), Vec<&'static str>>,
    /// What may have been delivered without the queue knowing.
    unsure: BTreeSet<(u64, Vec<u8>)>,
    accepted: Vec<(u64, Vec<Vec<u8>>)>,
    reported: BTreeMap<(u64, Vec<u8>, bool), u32>,
    warned: BTreeMap<u64, u32>,
    purposes: BTreeMap<u64, Purpose>,
}

/// All hosts that a batch goes to.
fn hosts(batch: &queue::Batch) -> BTreeSet<Vec<u8>> {
    let host = |one: &queue::BatchRecipient| {
        if one.host.is_empty() { batch.host.to_vec() } else { one.host.to_vec() }
    };
    batch.recipients.iter().map(host).collect()
}

impl World {
    fn new(script: Vec<u8>) -> Self {
        Self {
            scheduler: Scheduler::new(&settings(), 1),
            dice: Dice { script, at: 0 },
            now_ms: 1_800_000_000_000,
            spool: BTreeMap::new(),
            last_id: 0,
            loads: Vec::new(),
            inquiries: Vec::new(),
            batches: Vec::new(),
            per_host: BTreeMap::new(),
            wake_ms: None,
            arrivals: Vec::new(),
            ends: BTreeMap::new(),
            unsure: BTreeSet::new(),
            accepted: Vec::new(),
            reported: BTreeMap::new(),
            warned: BTreeMap::new(),
            purposes: BTreeMap::new(),
        }
    }

    fn step(&mut self, input: Input) {
        let mut actions = Vec::new();
        self.scheduler.step(self.now_ms, input, &mut actions);
        for action in actions {
            self.act(action);
        }
        assert!(self.scheduler.ledger().is_balanced());
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Load { slot } => self.loads.push(slot),
            Action::Inquire { slot, recipient, address, inquiry, .. } => {
                self.inquiries.push((slot, recipient, address.into_vec(), inquiry));
            }
            Action::Try(batch) => self.try_batch(*batch),
            Action::Note { slot, record } => {
                let note = Note::decode(&record).unwrap();
                let mut again = Vec::new();
                note.encode(&mut again);
                assert_eq!(again, record);
                self.spool.get_mut(&slot).unwrap().1 = Some(record);
            }
            Action::Remove { slot } => {
                self.spool.remove(&slot).unwrap();
            }
            Action::Report(report) => {
                for line in &report.lines {
                    if report.kind != ReportKind::Delay {
                        let is_failure = line.fate == Fate::Failed;
                        let key = (report.id.as_u64(), line.address.to_vec(), is_failure);
                        *self.reported.entry(key).or_default() += 1;
                        if is_failure {
                            self.end(report.id.as_u64(), &line.address, "bounced");
                        }
                    }
                }
                if report.kind == ReportKind::Delay && *report.to == *report.sender {
                    *self.warned.entry(report.id.as_u64()).or_default() += 1;
                }
                let purpose = self.purposes[&report.id.as_u64()];
                assert_ne!(purpose, Purpose::DoubleBounce, "a double bounce is never reported");
                assert!(purpose == Purpose::Mail || report.kind == ReportKind::DoubleBounce);
                let mark = mailers_mark(&settings().mailers);
                let envelope = report.envelope(QueueId::from_u64(0), mark);
                assert!(envelope.sender.is_empty());
                self.store(envelope);
            }
            Action::Save { .. } => panic!("there is no file for what nobody can get"),
            Action::Split(_) => panic!("no list here is that long"),
            Action::Log(event) => self.log(&event),
            Action::Wake { at_ms } => self.wake_ms = Some(at_ms),
        }
    }

    fn log(&mut self, event: &Event) {
        match event {
            Event::Dropped { id, to, by } => {
                if *by == DropReason::DoubleBounce {
                    assert_eq!(self.purposes[&id.as_u64()], Purpose::DoubleBounce);
                }
                self.end(id.as_u64(), to, "dropped");
            }
            Event::To(to) => {
                let end = match to.stat {
                    Stat::Sent => "sent",
                    Stat::Discarded => "discarded",
                    Stat::Removed => "removed",
                    Stat::Deferred | Stat::Failed | Stat::Quarantined => return,
                };
                for one in &to.to {
                    self.end(to.id.as_u64(), one, end);
                }
            }
            Event::Held { .. }
            | Event::Done { .. }
            | Event::Lost { .. }
            | Event::Storm { .. }
            | Event::Complaint { .. }
            | Event::Released { .. }
            | Event::DestinationDown { .. }
            | Event::DestinationUp { .. } => {}
        }
    }

    fn end(&mut self, id: u64, address: &[u8], end: &'static str) {
        self.ends.entry((id, address.to_vec())).or_default().push(end);
    }

    fn try_batch(&mut self, batch: queue::Batch) {
        for host in hosts(&batch) {
            let running = self.per_host.entry(host).or_default();
            *running += 1;
            if batch.mailer.0 == 0 {
                assert!(*running <= 2, "concurrency of a destination");
                assert!(batch.recipients.len() <= 2);
            }
        }
        for one in &batch.recipients {
            let key = (batch.message.as_u64(), one.address.to_vec());
            assert!(!self.ends.contains_key(&key), "tried after its end: {key:?}");
        }
        self.batches.push(batch);
    }

    /// Puts a message into the spool; it arrives with the next steps.
    fn store(&mut self, mut envelope: Envelope) {
        self.last_id += 1;
        envelope.id = QueueId::from_u64(self.last_id);
        self.purposes.insert(self.last_id, envelope.purpose);
        let slot = (0..u32::MAX)
            .find(|slot| !self.spool.contains_key(slot) && !self.arrivals.contains(slot))
            .unwrap();
        let recipients = envelope.recipients.iter().map(|one| one.address.to_vec()).collect();
        self.accepted.push((self.last_id, recipients));
        self.spool.insert(slot, (envelope, None));
        self.arrivals.push(slot);
    }

    fn send(&mut self) {
        const NAMES: [&[u8]; 12] =
            [b"r0", b"r1", b"r2", b"r3", b"u1", b"u2", b"e1", b"d1", b"l1", b"o1", b"t1", b"r4"];
        let count = 1 + self.dice.throw(5);
        let names: BTreeSet<&[u8]> =
            (0..count).map(|_| NAMES[self.dice.throw(NAMES.len())]).collect();
        let notify =
            [Notify::UNSET, Notify::NEVER, Notify::SUCCESS.and(Notify::FAILURE), Notify::SUCCESS];
        let recipients = names
            .into_iter()
            .map(|name| Recipient {
                address: name.into(),
                route: route(name).unwrap(),
                notify: notify[self.dice.throw(4)],
                original: None,
                followed: None,
            })
            .collect();
        let sender: &[u8] = [&b"u8"[..], b"", b"r8", b"e1"][self.dice.throw(4)];
        let quarantine = (self.dice.throw(10) == 0).then(|| b"test"[..].into());
        self.store(Envelope {
            id: QueueId::from_u64(0),
            created_s: self.now_ms / 1000,
            purpose: Purpose::Mail,
            sender: sender.into(),
            recipients,
            size_bytes: 1000,
            body: BodyKind::SevenBit,
            is_utf8: false,
            ret: None,
            envelope_id: None,
            by: None,
            origin: Origin::default(),
            quarantine,
            mailers_mark: mailers_mark(&settings().mailers),
            priority: 0,
            returns: queue::Returns::default(),
        });
    }

    fn read(&self, slot: u32) -> (Box<Envelope>, Option<Box<Note>>) {
        let (envelope, note) = &self.spool[&slot];
        let mut record = Vec::new();
        envelope.encode(&mut record).unwrap();
        let envelope = Envelope::decode(&record).unwrap();
        let note = note.as_ref().map(|record| Box::new(Note::decode(record).unwrap()));
        (Box::new(envelope), note)
    }

    fn answer_something(&mut self) -> bool {
        if let Some(slot) = self.arrivals.pop() {
            let (envelope, _) = self.read(slot);
            self.step(Input::Arrived { slot, envelope });
        } else if let Some(slot) = self.loads.pop() {
            let (envelope, note) = self.read(slot);
            self.step(Input::Loaded { slot, envelope, note });
        } else if let Some((slot, recipient, address, inquiry)) = self.inquiries.pop() {
            let expansion = match inquiry {
                Inquiry::Expand(_) => expand(&address, &mut self.dice),
                Inquiry::Route | Inquiry::RouteAndExpand | Inquiry::Report => match route(&address)
                {
                    Ok(route) if route.expands => expand(&address, &mut self.dice),
                    Ok(route) => Expansion {
                        recipients: vec![policy::Recipient {
                            address: address.into(),
                            route,
                            from: Box::default(),
                            controller: None,
                        }],
                        ..Expansion::default()
                    },
                    Err(refusal) => Expansion {
                        refused: vec![RefusedMember::new(&address, refusal)],
                        ..Expansion::default()
                    },
                },
            };
            let expansion = Box::new(expansion);
            self.step(Input::Answered { slot, recipient, expansion });
        } else {
            return false;
        }
        true
    }

    fn finish_batch(&mut self, batch: &queue::Batch) {
        for host in hosts(batch) {
            *self.per_host.get_mut(&host).unwrap() -= 1;
        }
    }

    fn answer_batch(&mut self) -> bool {
        if self.batches.is_empty() {
            return false;
        }
        let place = self.dice.throw(self.batches.len());
        let batch = self.batches.swap_remove(place);
        self.finish_batch(&batch);
        let trouble = |class, voice| Trouble {
            status: Status(class, 1, 1),
            text: b"no"[..].into(),
            host: b"mx"[..].into(),
            voice,
            said: None,
        };
        let is_down = self.dice.throw(5) == 0;
        let is_in_parts = self.dice.throw(2) == 0;
        let mut results = Vec::new();
        for one in &batch.recipients {
            let (host, text) = (b"mx"[..].into(), b"250 ok"[..].into());
            let outcome = if is_down {
                Outcome::Later { trouble: trouble(4, Voice::Local), scope: Scope::Destination }
            } else {
                match self.dice.throw(6) {
                    0 => {
                        Outcome::Later { trouble: trouble(4, Voice::Smtp), scope: Scope::Recipient }
                    }
                    1 => Outcome::Never(trouble(5, Voice::Smtp)),
                    2 => Outcome::Relayed {
                        host,
                        text,
                        accepted: Box::default(),
                        reports: false,
                        keeps_time: false,
                    },
                    3 => Outcome::Relayed {
                        host,
                        text,
                        accepted: Box::default(),
                        reports: true,
                        keeps_time: false,
                    },
                    4 => continue,
                    _ => Outcome::Delivered { host, text, answer: Box::default() },
                }
            };
            if is_in_parts {
                self.step(Input::Part { batch: batch.id, results: vec![(one.index, outcome)] });
            } else {
                results.push((one.index, outcome));
            }
        }
        self.step(Input::Outcome { batch: batch.id, results });
        true
    }

    fn delivery_dies(&mut self) {
        let batches = std::mem::take(&mut self.batches);
        for batch in &batches {
            self.finish_batch(batch);
        }
        let has_crashed = self.dice.throw(2) == 0;
        let batches = batches.iter().map(|batch| batch.id).collect();
        self.step(Input::LinkDown { batches, has_crashed });
    }

    /// The queue process dies: what is in its memory is gone.
    fn queue_dies(&mut self) {
        for batch in std::mem::take(&mut self.batches) {
            for one in batch.recipients {
                self.unsure.insert((batch.message.as_u64(), one.address.to_vec()));
            }
        }
        self.loads.clear();
        self.inquiries.clear();
        self.arrivals.clear();
        self.per_host.clear();
        self.wake_ms = None;
        self.scheduler = Scheduler::new(&settings(), 2);
        let slots: Vec<u32> = self.spool.keys().copied().collect();
        for slot in slots {
            let (envelope, note) = self.read(slot);
            self.step(Input::Recovered { slot, envelope, note });
        }
    }

    /// The configuration is read again, with other names for the mailers.
    fn reload(&mut self) {
        let mut changed = settings();
        if self.dice.throw(2) == 0 {
            changed.mailers[3].name = b"thrown"[..].into();
        }
        self.step(Input::Settings(Box::new(changed)));
    }

    fn operate(&mut self) {
        let Some(&slot) = self.spool.keys().nth(self.dice.throw(4)) else { return };
        match self.dice.throw(5) {
            0 => self.step(Input::Hold { slot, reason: None }),
            1 => self.step(Input::Release { slot }),
            2 => self.step(Input::Remove { slot }),
            3 => self.step(Input::Flush { slot: Some(slot) }),
            _ => self.step(Input::Flush { slot: None }),
        }
    }

    fn turn(&mut self) {
        match self.dice.throw(16) {
            0..=2 => self.send(),
            3..=7 => {
                self.answer_something();
            }
            8..=11 => {
                self.answer_batch();
            }
            12 => {
                self.now_ms += 60_000;
                self.step(Input::Tick);
            }
            13 if self.dice.throw(3) == 0 => self.delivery_dies(),
            14 if self.dice.throw(3) == 0 => self.queue_dies(),
            15 if self.dice.throw(4) == 0 => self.reload(),
            15 => self.operate(),
            _ => self.now_ms += 1000,
        }
    }

    /// Goes on until the queue is empty.
    fn drain(&mut self) {
        for _ in 0..20_000 {
            if self.answer_something() || self.answer_batch() {
                continue;
            }
            if self.scheduler.queued() == 0 {
                return;
            }
            let held: Vec<u32> = self.spool.keys().copied().collect();
            for slot in held {
                self.step(Input::Release { slot });
            }
            if self.loads.is_empty() {
                let at_ms = self.wake_ms.take();
                let at_ms = at_ms.unwrap_or_else(|| panic!("queued, and nobody wakes us"));
                assert!(at_ms >= self.now_ms);
                self.now_ms = at_ms;
                self.step(Input::Tick);
            }
        }
        panic!("the queue does not become empty");
    }

    fn check(&self) {
        assert!(self.spool.is_empty(), "the spool keeps something");
        for ((id, address), ends) in &self.ends {
            assert_eq!(ends.len(), 1, "{id} {} {ends:?}", String::from_utf8_lossy(address));
        }
        for (key, count) in &self.reported {
            assert_eq!(*count, 1, "{key:?} was reported {count} times");
        }
        for (id, count) in &self.warned {
            assert_eq!(*count, 1, "{id} was warned of {count} times");
        }
        for (id, recipients) in &self.accepted {
            for address in recipients {
                let expands = matches!(address[0], b'l' | b'o' | b't') || self.is_report(*id);
                let has_end = self.ends.contains_key(&(*id, address.clone()));
                assert!(has_end || expands, "{id} {} is lost", String::from_utf8_lossy(address));
            }
        }
        let ledger = self.scheduler.ledger();
        assert_eq!(ledger.open, 0);
        assert_eq!(ledger.damaged, 0);
    }

    fn is_report(&self, id: u64) -> bool {
        self.purposes[&id] != Purpose::Mail
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn on_every_day_each_recipient_ends_once(script in prop::collection::vec(any::<u8>(), 0..1500)) {
        let mut world = World::new(script);
        while world.dice.at < world.dice.script.len() {
            world.turn();
        }
        world.drain();
        world.check();
    }
}
