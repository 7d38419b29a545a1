//! What the scheduler promises, one promise a test. Time is a number here.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may stop")]

use policy::settings::Ages;
use policy::{
    Expansion, MailboxPlace, Mailer, MailerId, Route, Settings, Transport, settings::Retry,
};
use queue::{
    Action, Batch, BodyKind, DropReason, Envelope, Event, Fate, Input, Inquiry, Note, Notify,
    Origin, Outcome, Outlook, Purpose, QueueId, Recipient, Report, ReportKind, Scheduler, Scope,
    Split, Stat, State, Status, To, Trouble, Voice, mailers_mark,
};
use std::collections::{BTreeMap, BTreeSet};

const START_MS: u64 = 1_800_000_000_000;

fn mailer(name: &[u8], transport: Transport) -> Mailer {
    let carriage = policy::Carriage::default();
    Mailer { name: name.into(), transport, recipients_max: 100, concurrency_max: 10, carriage }
}

fn settings() -> Settings {
    let folder = MailboxPlace::Folder(b"/mail"[..].into());
    Settings {
        mailers: vec![
            mailer(b"esmtp", Transport::Smtp { port: 25 }),
            mailer(b"local", Transport::Maildir(folder)),
            mailer(b"error", Transport::Error),
            mailer(b"discard", Transport::Discard),
        ],
        retry: Retry {
            first_s: 300,
            longest_s: 3600,
            give_up_s: 432_000,
            warn_s: 14_400,
            ..Retry::default()
        },
        // What is told is looked at whole.
        reports: policy::settings::Reports { hide_inside: false, ..Default::default() },
        ..Settings::default()
    }
}

/// `user@host` by SMTP, `user` to a mailbox, `list:` asks the policy.
fn recipient(address: &str) -> Recipient {
    let (mailer, host, expands) = match address.split_once('@') {
        _ if address.starts_with("list") => (1, "", true),
        _ if address.starts_with("error") => (2, "5.1.1 User unknown", false),
        _ if address.starts_with("discard") => (3, "by rule", false),
        Some((_, host)) => (0, host, false),
        None => (1, "", false),
    };
    let address = address.as_bytes();
    let route = Route {
        mailer: MailerId(mailer),
        host: host.as_bytes().into(),
        user: address.into(),
        expands,
    };
    Recipient {
        address: address.into(),
        route,
        notify: Notify::UNSET,
        original: None,
        followed: None,
    }
}

fn envelope(sender: &str, to: &[&str]) -> Envelope {
    Envelope {
        id: QueueId::new(START_MS / 1000, 1),
        created_s: START_MS / 1000,
        purpose: Purpose::Mail,
        sender: sender.as_bytes().into(),
        recipients: to.iter().map(|one| recipient(one)).collect(),
        size_bytes: 1000,
        body: BodyKind::SevenBit,
        is_utf8: false,
        ret: None,
        envelope_id: None,
        by: None,
        origin: Origin::default(),
        quarantine: None,
        mailers_mark: mailers_mark(&settings().mailers),
        priority: 0,
        returns: queue::Returns::default(),
    }
}

fn delivered() -> Outcome {
    let (host, text) = (b"mx"[..].into(), b"250 ok"[..].into());
    Outcome::Delivered { host, text, answer: Box::default() }
}

fn trouble(class: u8, text: &str) -> Trouble {
    Trouble {
        status: Status(class, 4, 1),
        text: text.as_bytes().into(),
        host: b"mx"[..].into(),
        voice: Voice::Smtp,
        said: None,
    }
}

fn down() -> Outcome {
    Outcome::Later { trouble: trouble(4, "no connection"), scope: Scope::Destination }
}

fn later() -> Outcome {
    Outcome::Later { trouble: trouble(4, "450 later"), scope: Scope::Recipient }
}

fn never() -> Outcome {
    Outcome::Never(trouble(5, "550 never"))
}

/// A daemon that answers loads by itself and keeps the rest for the test.
struct Desk {
    scheduler: Scheduler,
    now_ms: u64,
    spool: BTreeMap<u32, (Envelope, Option<Note>)>,
    next_slot: u32,
    loads: usize,
    batches: Vec<Batch>,
    reports: Vec<Report>,
    events: Vec<Event>,
    saves: Vec<u32>,
    inquiries: Vec<(u32, u32, Inquiry)>,
    notes: usize,
    has_room: bool,
    wake_ms: Option<u64>,
}

impl Desk {
    fn new() -> Self {
        Self::with(&settings())
    }

    fn with(settings: &Settings) -> Self {
        Self {
            scheduler: Scheduler::new(settings, 42),
            now_ms: START_MS,
            spool: BTreeMap::new(),
            next_slot: 0,
            loads: 0,
            batches: Vec::new(),
            reports: Vec::new(),
            events: Vec::new(),
            saves: Vec::new(),
            inquiries: Vec::new(),
            notes: 0,
            has_room: true,
            wake_ms: None,
        }
    }

    /// Stores the parts of a message. The last input comes first.
    fn split(&mut self, split: Split) -> Vec<Input> {
        let Split { slot, recipient, parts } = split;
        let mut inputs = Vec::new();
        for envelope in parts.into_iter().filter(|_| self.has_room) {
            let slot = self.next_slot;
            self.next_slot += 1;
            self.spool.insert(slot, (envelope.clone(), None));
            inputs.push(Input::Arrived { slot, envelope: Box::new(envelope) });
        }
        inputs.push(Input::Split { slot, recipient, is_stored: self.has_room });
        inputs
    }

    fn step(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut actions = Vec::new();
            self.scheduler.step(self.now_ms, input, &mut actions);
            for action in actions {
                match action {
                    Action::Load { slot } => {
                        self.loads += 1;
                        let (envelope, note) = self.spool[&slot].clone();
                        let (envelope, note) = (Box::new(envelope), note.map(Box::new));
                        inputs.push(Input::Loaded { slot, envelope, note });
                    }
                    Action::Inquire { slot, recipient, inquiry, .. } => {
                        self.inquiries.push((slot, recipient, inquiry));
                    }
                    Action::Try(batch) => self.batches.push(*batch),
                    Action::Note { slot, record } => {
                        self.notes += 1;
                        self.spool.get_mut(&slot).unwrap().1 = Some(Note::decode(&record).unwrap());
                    }
                    Action::Remove { slot } => assert!(self.spool.remove(&slot).is_some()),
                    Action::Report(report) => self.reports.push(*report),
                    Action::Split(split) => inputs.append(&mut self.split(*split)),
                    Action::Save { slot } => self.saves.push(slot),
                    Action::Log(event) => self.events.push(*event),
                    Action::Wake { at_ms } => self.wake_ms = Some(at_ms),
                }
            }
        }
    }

    fn arrive(&mut self, envelope: Envelope) -> u32 {
        let slot = self.next_slot;
        self.next_slot += 1;
        self.spool.insert(slot, (envelope.clone(), None));
        self.step(Input::Arrived { slot, envelope: Box::new(envelope) });
        slot
    }

    fn send(&mut self, to: &[&str]) -> u32 {
        let mut envelope = envelope("alice@here", to);
        envelope.created_s = self.now_ms / 1000;
        self.arrive(envelope)
    }

    /// Ends one running batch with one outcome for all.
    fn end(&mut self, batch: &Batch, outcome: &Outcome) {
        let results = batch.recipients.iter().map(|one| (one.index, outcome.clone())).collect();
        self.step(Input::Outcome { batch: batch.id, results });
    }

    /// Ends all running batches, and gives how many there were.
    fn end_all(&mut self, outcome: &Outcome) -> usize {
        let batches = std::mem::take(&mut self.batches);
        for batch in &batches {
            self.end(batch, outcome);
        }
        batches.len()
    }

    /// Lets time pass, waking whenever the scheduler wants to.
    fn pass(&mut self, seconds: u64) {
        let until_ms = self.now_ms + seconds * 1000;
        while let Some(at_ms) = self.wake_ms.filter(|&at_ms| at_ms <= until_ms) {
            self.wake_ms = None;
            self.now_ms = at_ms.max(self.now_ms);
            self.step(Input::Tick);
        }
        self.now_ms = until_ms;
        self.step(Input::Tick);
    }

    fn restart(&mut self) {
        self.scheduler = Scheduler::new(&settings(), 43);
        self.batches.clear();
        self.inquiries.clear();
        self.wake_ms = None;
        for (slot, (envelope, note)) in self.spool.clone() {
            let (envelope, note) = (Box::new(envelope), note.map(Box::new));
            self.step(Input::Recovered { slot, envelope, note });
        }
    }

    fn tos(&self) -> impl Iterator<Item = &To> {
        self.events
            .iter()
            .filter_map(|event| if let Event::To(to) = event { Some(to) } else { None })
    }
}

#[test]
fn a_message_is_tried_at_once_and_gone_when_it_is_delivered() {
    let mut desk = Desk::new();
    desk.send(&["bob@far"]);
    let batch = desk.batches[0].clone();
    assert_eq!((&*batch.host, &*batch.sender), (&b"far"[..], &b"alice@here"[..]));
    desk.now_ms += 2500;
    desk.end(&batch, &delivered());
    assert!(desk.spool.is_empty());
    assert_eq!(desk.notes, 0);
    let to = desk.tos().next().unwrap();
    assert_eq!(
        (to.stat, to.xdelay_ms, to.delay_s, &*to.text),
        (Stat::Sent, Some(2500), 2, &b"250 ok"[..])
    );
    assert_eq!(desk.scheduler.ledger().delivered, 1);
    assert_eq!(desk.scheduler.queued(), 0);
}

#[test]
fn recipients_of_one_destination_share_a_batch_up_to_the_mailers_limit() {
    let mut settings = settings();
    settings.mailers[0].recipients_max = 2;
    let mut desk = Desk::with(&settings);
    desk.send(&["a@far", "b@FAR", "c@far", "d@near", "e", "f"]);
    let sizes: Vec<usize> = desk.batches.iter().map(|batch| batch.recipients.len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 6);
    assert_eq!(sizes.iter().filter(|&&size| size == 2).count(), 1);
    assert_eq!(desk.batches.iter().filter(|batch| batch.mailer == MailerId(1)).count(), 2);
}

#[test]
fn a_dead_destination_gets_one_probe_a_pause_whatever_waits_for_it() {
    let mut desk = Desk::new();
    for _ in 0..10_000 {
        desk.send(&["bob@dead"]);
    }
    let first = desk.batches.len();
    assert!(first <= 10, "{first}");
    desk.end_all(&down());
    assert!(desk.batches.is_empty());
    let mut tries = 0;
    for _ in 0..24 * 6 {
        desk.pass(600);
        while desk.end_all(&down()) > 0 {
            tries += 1;
        }
    }
    assert!((20..30).contains(&tries), "{tries} probes in a day");
    // New mail for it waits with the rest.
    desk.send(&["carol@dead"]);
    assert!(desk.batches.is_empty());
    // Nothing is written for those that only wait, but that they were warned of.
    assert!(desk.notes - desk.reports.len() < 100, "{} notes", desk.notes);
}

#[test]
fn when_a_dead_destination_answers_everything_for_it_goes() {
    let mut desk = Desk::new();
    for _ in 0..1000 {
        desk.send(&["bob@dead"]);
    }
    desk.end_all(&down());
    desk.pass(400);
    assert_eq!(desk.batches.len(), 1, "the probe");
    let mut rounds = 0;
    while desk.end_all(&delivered()) > 0 {
        rounds += 1;
    }
    assert!(desk.spool.is_empty());
    assert!(rounds > 90, "the window is 10");
    assert!(desk.events.iter().any(|event| matches!(event, Event::DestinationUp { .. })));
}

#[test]
fn concurrency_starts_small_grows_with_success_and_stays_below_its_limits() {
    let mut desk = Desk::new();
    for _ in 0..200 {
        desk.send(&["bob@far"]);
    }
    assert_eq!(desk.batches.len(), 5);
    let mut most = 0;
    while !desk.batches.is_empty() {
        most = most.max(desk.batches.len());
        let batch = desk.batches.remove(0);
        desk.end(&batch, &delivered());
    }
    assert_eq!(most, 10);
    assert!(desk.spool.is_empty());
}

#[test]
fn no_more_batches_run_than_there_is_room_for() {
    let mut desk = Desk::new();
    desk.step(Input::Room { batches: 3 });
    for host in 0..20 {
        desk.send(&[&format!("bob@h{host}")]);
    }
    assert_eq!(desk.batches.len(), 3);
    desk.step(Input::Room { batches: 4 });
    assert_eq!(desk.batches.len(), 4);
}

#[test]
fn a_destination_with_much_mail_does_not_delay_one_with_little() {
    let mut desk = Desk::new();
    desk.step(Input::Room { batches: 2 });
    for _ in 0..20_000 {
        desk.send(&["bob@big"]);
    }
    desk.send(&["carol@small"]);
    let mut before = 0;
    while desk.batches.iter().all(|batch| *batch.host == *b"big") {
        let batch = desk.batches.remove(0);
        desk.end(&batch, &delivered());
        before += 1;
    }
    assert!(before <= 3, "{before} went before");
}

#[test]
fn a_temporary_failure_is_tried_again_with_growing_pauses() {
    let mut desk = Desk::new();
    desk.send(&["bob@far"]);
    let mut pauses = Vec::new();
    for _ in 0..6 {
        desk.end_all(&later());
        let at_ms = desk.now_ms;
        while desk.batches.is_empty() {
            desk.pass(1);
        }
        pauses.push((desk.now_ms - at_ms) / 1000);
    }
    for (pause, plain) in pauses.iter().zip([300, 600, 1200, 2400, 3600, 3600]) {
        assert!(*pause >= plain * 7 / 8 - 1 && *pause <= plain * 9 / 8 + 1, "{pauses:?}");
    }
}

#[test]
fn a_message_that_is_too_old_comes_back_after_one_warning() {
    let mut desk = Desk::new();
    desk.send(&["bob@far"]);
    while !desk.spool.is_empty() {
        desk.end_all(&later());
        desk.pass(600);
    }
    let kinds: Vec<ReportKind> = desk.reports.iter().map(|report| report.kind).collect();
    assert_eq!(kinds, [ReportKind::Delay, ReportKind::Failure]);
    let (warning, bounce) = (&desk.reports[0], &desk.reports[1]);
    assert!((14_400..18_600).contains(&(warning.at_s - START_MS / 1000)));
    assert!((432_000..436_000).contains(&(bounce.at_s - START_MS / 1000)));
    assert_eq!(bounce.lines[0].trouble.status, Status(4, 4, 7));
    assert_eq!(*bounce.lines[0].trouble.text, *b"450 later");
    assert_eq!(desk.scheduler.ledger().bounced, 1);
}

#[test]
fn a_message_for_a_destination_that_stays_dead_is_warned_of_and_expires_too() {
    let mut desk = Desk::new();
    for _ in 0..3 {
        desk.send(&["bob@dead"]);
    }
    while !desk.spool.is_empty() {
        desk.end_all(&down());
        desk.pass(600);
    }
    assert_eq!(desk.reports.iter().filter(|one| one.kind == ReportKind::Delay).count(), 3);
    assert_eq!(desk.reports.iter().filter(|one| one.kind == ReportKind::Failure).count(), 3);
    assert_eq!(*desk.reports[5].lines[0].trouble.text, *b"no connection");
}

#[test]
fn failures_of_one_round_are_one_report_and_a_stranger_gets_no_body() {
    let mut desk = Desk::new();
    desk.send(&["a@far", "b@near", "error", "c@far", "discard"]);
    desk.end_all(&never());
    assert_eq!(desk.reports.len(), 1);
    let report = &desk.reports[0];
    assert_eq!((report.kind, report.lines.len()), (ReportKind::Failure, 4));
    assert_eq!(report.returned, queue::Return::Headers);
    assert!(desk.spool.is_empty());
    let ledger = desk.scheduler.ledger();
    assert_eq!((ledger.bounced, ledger.discarded), (4, 1));
}

#[test]
fn nobody_is_told_who_asked_not_to_be() {
    let mut desk = Desk::new();
    let mut envelope = envelope("alice@here", &["bob@far"]);
    envelope.recipients[0].notify = Notify::NEVER;
    desk.arrive(envelope);
    desk.end_all(&never());
    assert!(desk.reports.is_empty());
    let dropped = |event: &Event| matches!(event, Event::Dropped { by: DropReason::NotWanted, .. });
    assert!(desk.events.iter().any(dropped));
    assert_eq!(desk.scheduler.ledger().dropped, 1);
}

#[test]
fn a_success_is_reported_only_by_the_last_who_can() {
    let relayed = |reports| Outcome::Relayed {
        host: b"mx"[..].into(),
        text: b"250 ok"[..].into(),
        accepted: Box::default(),
        reports,
        keeps_time: false,
    };
    for (outcome, fate) in [
        (delivered(), Some(Fate::Delivered)),
        (relayed(false), Some(Fate::Relayed)),
        (relayed(true), None),
    ] {
        let mut desk = Desk::new();
        let mut envelope = envelope("alice@here", &["bob@far"]);
        envelope.recipients[0].notify = Notify::SUCCESS;
        desk.arrive(envelope);
        desk.end_all(&outcome);
        assert_eq!(desk.reports.first().map(|report| report.lines[0].fate), fate);
        assert!(desk.spool.is_empty());
    }
}

#[test]
fn reports_about_reports_end_with_the_postmaster() {
    let mut desk = Desk::new();
    desk.send(&["bob@far"]);
    let mut rounds = 0;
    while !desk.spool.is_empty() {
        desk.end_all(&never());
        for (slot, recipient, inquiry) in std::mem::take(&mut desk.inquiries) {
            assert_eq!(inquiry, Inquiry::RouteAndExpand);
            let address = desk.spool[&slot].0.recipients[0].address.clone();
            let route = Route {
                mailer: MailerId(0),
                host: b"far"[..].into(),
                user: address.clone(),
                expands: false,
            };
            let recipients =
                vec![policy::Recipient { address, route, from: Box::default(), controller: None }];
            let expansion = Box::new(Expansion { recipients, ..Expansion::default() });
            desk.step(Input::Answered { slot, recipient, expansion });
        }
        if let Some(report) = desk.reports.get(rounds).cloned() {
            let id = QueueId::new(START_MS / 1000, 100);
            let mark = mailers_mark(&settings().mailers);
            desk.arrive(report.envelope(id, mark));
            rounds += 1;
        }
    }
    let kinds: Vec<ReportKind> = desk.reports.iter().map(|report| report.kind).collect();
    assert_eq!(kinds, [ReportKind::Failure, ReportKind::DoubleBounce]);
    assert_eq!(*desk.reports[0].to, *b"alice@here");
    assert_eq!(*desk.reports[1].to, *b"postmaster");
    let is_drop =
        |event: &Event| matches!(event, Event::Dropped { by: DropReason::DoubleBounce, .. });
    assert_eq!(desk.events.iter().filter(|event| is_drop(event)).count(), 1);
}

#[test]
fn a_list_is_expanded_once_and_its_owner_hears_of_failures() {
    let mut desk = Desk::new();
    let slot = desk.send(&["list", "a@far"]);
    desk.end_all(&delivered());
    let (_, recipient, _) = desk.inquiries.remove(0);
    let member = |address: &str| {
        let own = crate::recipient(address);
        policy::Recipient {
            address: own.address,
            route: own.route,
            from: Box::default(),
            controller: None,
        }
    };
    let expansion = Box::new(Expansion {
        recipients: vec![member("a@far"), member("b@far"), member("b@far"), member("c")],
        owner: Some(b"owner@here"[..].into()),
        ..Expansion::default()
    });
    desk.step(Input::Answered { slot, recipient, expansion });
    let tried: Vec<&[u8]> =
        desk.batches.iter().flat_map(|batch| &batch.recipients).map(|one| &*one.address).collect();
    assert_eq!(tried, [&b"b@far"[..], b"c"], "a@far has it already");
    assert!(desk.batches.iter().all(|batch| *batch.sender == *b"owner@here"));
    desk.end_all(&never());
    assert_eq!(*desk.reports[0].to, *b"owner@here");
    assert_eq!(desk.reports[0].lines[0].expanded_from.as_deref(), Some(&b"list"[..]));
    let ledger = desk.scheduler.ledger();
    assert_eq!((ledger.expanded, ledger.delivered, ledger.bounced), (1, 1, 2));
}

/// The answer that a list has so many members, each twice, at different hosts.
fn long_list(members: usize) -> Expansion {
    let member = |number: usize| {
        let own = recipient(&format!("user{number}@host{}", number % 7));
        policy::Recipient {
            address: own.address,
            route: own.route,
            from: Box::default(),
            controller: None,
        }
    };
    let recipients = (0..members).chain(0..members).map(member).collect();
    Expansion { recipients, owner: Some(b"owner@here"[..].into()), ..Expansion::default() }
}

#[test]
fn a_long_list_goes_on_in_messages_of_its_own_and_everybody_gets_it_once() {
    let mut desk = Desk::new();
    let slot = desk.send(&["list", "user3@host3"]);
    desk.end_all(&delivered());
    let (_, recipient, _) = desk.inquiries.remove(0);
    desk.step(Input::Answered { slot, recipient, expansion: Box::new(long_list(20_000)) });
    assert!(!desk.spool.contains_key(&slot), "all that it had to do is done");
    assert_eq!(desk.spool.len(), 20);
    assert!(desk.spool.values().all(|(part, note)| {
        note.is_none() && *part.sender == *b"owner@here" && part.recipients.len() <= 1000
    }));
    let mut told: BTreeSet<Box<[u8]>> = BTreeSet::new();
    while !desk.batches.is_empty() {
        for batch in std::mem::take(&mut desk.batches) {
            assert!(batch.recipients.iter().all(|one| told.insert(one.address.clone())));
            desk.end(&batch, &delivered());
        }
    }
    assert_eq!(told.len(), 19_999);
    assert!(desk.spool.is_empty());
    let ledger = desk.scheduler.ledger();
    assert_eq!((ledger.expanded, ledger.relayed + ledger.delivered), (1, 20_000));
}

#[test]
fn a_long_list_waits_while_there_is_no_room_for_its_members() {
    let mut desk = Desk::new();
    desk.has_room = false;
    let slot = desk.send(&["list"]);
    let (_, recipient, _) = desk.inquiries.remove(0);
    desk.step(Input::Answered { slot, recipient, expansion: Box::new(long_list(2000)) });
    assert!(matches!(desk.scheduler.outlook(slot), Some(Outlook::Waiting { .. })));
    desk.has_room = true;
    desk.step(Input::Flush { slot: Some(slot) });
    let (_, recipient, _) = desk.inquiries.remove(0);
    desk.step(Input::Answered { slot, recipient, expansion: Box::new(long_list(2000)) });
    assert_eq!(desk.spool.len(), 2);
    assert!(desk.reports.is_empty());
}

#[test]
fn what_a_note_says_survives_a_restart() {
    let mut desk = Desk::new();
    let slot = desk.send(&["a@far", "b@near"]);
    let batch = desk.batches.remove(0);
    assert_eq!((&*batch.host, &*batch.recipients[1].host), (&b"far"[..], &b"near"[..]));
    desk.step(Input::Part { batch: batch.id, results: vec![(1, delivered())] });
    desk.restart();
    assert_eq!(desk.batches.len(), 1);
    assert_eq!(desk.batches[0].recipients.len(), 1);
    assert_eq!(*desk.batches[0].recipients[0].address, *b"a@far");
    desk.end_all(&later());
    let Some(Outlook::Waiting { until_s }) = desk.scheduler.outlook(slot) else { panic!() };
    desk.restart();
    assert_eq!(desk.scheduler.outlook(slot), Some(Outlook::Waiting { until_s }));
    assert!(matches!(desk.spool[&slot].1.as_ref().unwrap().states[1], State::Delivered(None)));
}

#[test]
fn recipients_of_several_hosts_go_out_together_and_each_host_counts_them_as_its_own() {
    let mut settings = settings();
    settings.mailers[0].concurrency_max = 1;
    let mut desk = Desk::with(&settings);
    desk.send(&["a@one", "b@two", "c@one", "d"]);
    let first = desk.batches.iter().position(|batch| *batch.host == *b"one").unwrap();
    let first = desk.batches.swap_remove(first);
    let whose: Vec<&[u8]> = first.recipients.iter().map(|one| &*one.address).collect();
    assert_eq!(whose, [&b"a@one"[..], b"c@one", b"b@two"]);
    desk.batches.clear();
    desk.send(&["e@two", "f@three"]);
    let batch = desk.batches.remove(0);
    assert_eq!((desk.batches.len(), &*batch.host, batch.recipients.len()), (0, &b"three"[..], 1));
    // One of the two answers: the other has still a batch out.
    let results = vec![(1, delivered()), (0, later())];
    desk.step(Input::Part { batch: first.id, results });
    assert_eq!(&*desk.batches.remove(0).host, b"two");
    desk.send(&["g@one"]);
    assert!(desk.batches.is_empty());
    desk.step(Input::Outcome { batch: first.id, results: vec![(2, down())] });
    assert!(desk.batches.is_empty() && desk.reports.is_empty());
    desk.pass(600);
    assert!(desk.batches.iter().any(|batch| *batch.host == *b"one"));
}

#[test]
fn a_batch_has_no_more_recipients_than_its_mailer_takes_and_one_sender() {
    let mut settings = settings();
    settings.mailers[0].recipients_max = 3;
    let mut desk = Desk::with(&settings);
    desk.send(&["a@one", "b@two", "c@two", "d@two", "e@three"]);
    let sizes: Vec<usize> = desk.batches.iter().map(|batch| batch.recipients.len()).collect();
    assert_eq!(sizes, [3, 2]);
    assert_eq!(desk.end_all(&delivered()), 2);
    settings.mailers[0].recipients_max = 1;
    let mut desk = Desk::with(&settings);
    desk.send(&["a@one", "b@two"]);
    assert_eq!(desk.end_all(&delivered()), 2);
    assert!(desk.spool.is_empty());
}

#[test]
fn a_message_whose_delivery_crashed_twice_is_put_aside() {
    let mut desk = Desk::new();
    let slot = desk.send(&["bob"]);
    for _ in 0..2 {
        let batches = std::mem::take(&mut desk.batches).iter().map(|batch| batch.id).collect();
        desk.step(Input::LinkDown { batches, has_crashed: true });
        desk.pass(40);
    }
    assert!(desk.batches.is_empty());
    assert_eq!(desk.scheduler.outlook(slot), Some(Outlook::Held));
    desk.restart();
    assert_eq!(desk.scheduler.outlook(slot), Some(Outlook::Held));
    desk.step(Input::Release { slot });
    assert_eq!(desk.end_all(&delivered()), 1);
    assert!(desk.spool.is_empty());
}

#[test]
fn the_operator_holds_releases_removes_and_flushes() {
    let mut desk = Desk::new();
    let slot = desk.send(&["bob@far"]);
    desk.end_all(&later());
    desk.step(Input::Hold { slot, reason: None });
    desk.pass(10_000);
    assert_eq!(desk.scheduler.outlook(slot), Some(Outlook::Held));
    desk.step(Input::Release { slot });
    assert_eq!(desk.end_all(&later()), 1);
    desk.step(Input::Flush { slot: Some(slot) });
    assert_eq!(desk.end_all(&down()), 1);
    desk.step(Input::Flush { slot: None });
    desk.step(Input::Tick);
    assert_eq!(desk.batches.len(), 1);
    desk.step(Input::Remove { slot });
    desk.end_all(&later());
    assert!(desk.spool.is_empty());
    assert!(desk.reports.is_empty());
    assert_eq!(desk.tos().last().unwrap().stat, Stat::Removed);
    assert_eq!(desk.scheduler.ledger().discarded, 1);
}

#[test]
fn routes_of_an_older_list_of_mailers_are_asked_for_again() {
    let mut desk = Desk::new();
    let mut old = envelope("alice@here", &["bob@far"]);
    old.mailers_mark ^= 1;
    let slot = desk.arrive(old);
    let (_, recipient, inquiry) = desk.inquiries.remove(0);
    assert_eq!(inquiry, Inquiry::Route);
    let own = crate::recipient("bob@far");
    let recipients = vec![policy::Recipient {
        address: own.address,
        route: own.route,
        from: Box::default(),
        controller: None,
    }];
    let expansion = Box::new(Expansion { recipients, ..Expansion::default() });
    desk.step(Input::Answered { slot, recipient, expansion });
    assert_eq!(desk.end_all(&delivered()), 1);
    assert!(desk.spool.is_empty());
}

#[test]
fn a_damaged_record_is_booked_and_forgotten() {
    let mut scheduler = Scheduler::new(&settings(), 1);
    let mut actions = Vec::new();
    let envelope = Box::new(envelope("alice@here", &["a@far", "b@far"]));
    scheduler.step(START_MS, Input::Recovered { slot: 0, envelope, note: None }, &mut actions);
    assert!(actions.contains(&Action::Load { slot: 0 }));
    scheduler.step(START_MS, Input::Unreadable { slot: 0 }, &mut actions);
    assert_eq!((scheduler.queued(), scheduler.ledger().damaged), (0, 2));
    assert_eq!(scheduler.traffic().count(), 0);
}

#[test]
fn a_waiting_message_takes_at_most_56_octets() {
    const MESSAGES: u32 = 1_000_000;
    let mut scheduler = Scheduler::new(&settings(), 1);
    let mut actions = Vec::new();
    let due_s = START_MS / 1000 + 1000;
    for slot in 0..MESSAGES {
        let envelope = envelope("alice@here", &[&format!("bob@h{}", slot % 1000)]);
        let mut note = Note::new(&envelope);
        note.next_try_s = due_s + u64::from(slot % 5000);
        let (envelope, note) = (Box::new(envelope), Some(Box::new(note)));
        scheduler.step(START_MS, Input::Recovered { slot, envelope, note }, &mut actions);
        actions.clear();
    }
    let each = scheduler.memory_bytes() / usize::try_from(MESSAGES).unwrap();
    assert!(each <= 56, "{each} octets a message");
    assert_eq!(scheduler.queued(), 1_000_000);
    assert_eq!(scheduler.traffic().count(), 1000);
}

#[test]
fn another_list_of_mailers_sends_what_is_ready_back_to_be_routed() {
    let mut desk = Desk::new();
    for _ in 0..20 {
        desk.send(&["bob@far"]);
    }
    let mut changed = settings();
    changed.mailers[0].name = b"smtp8"[..].into();
    desk.step(Input::Settings(Box::new(changed)));
    assert_eq!(desk.end_all(&delivered()), 5, "what ran goes on");
    assert!(desk.batches.is_empty());
    desk.pass(60);
    assert_eq!(desk.inquiries.len(), 15);
    assert!(desk.inquiries.iter().all(|(_, _, inquiry)| *inquiry == Inquiry::Route));
}

#[test]
fn after_a_crash_with_many_batches_they_come_back_one_by_one() {
    let mut desk = Desk::new();
    desk.step(Input::Room { batches: 1000 });
    for user in 0..500 {
        desk.send(&[&format!("user{user}")]);
    }
    let batches = std::mem::take(&mut desk.batches).iter().map(|batch| batch.id).collect();
    desk.step(Input::LinkDown { batches, has_crashed: true });
    let mut most = 0;
    for _ in 0..600 {
        desk.pass(1);
        most = most.max(desk.end_all(&delivered()));
    }
    assert!(desk.spool.is_empty());
    assert!(most < 10, "{most} in one second");
}

#[test]
fn a_list_that_cannot_be_read_now_is_asked_for_again() {
    let mut desk = Desk::new();
    let slot = desk.send(&["list"]);
    for _ in 0..2 {
        let (_, recipient, _) = desk.inquiries.remove(0);
        let later = Some(b"aliases are being built"[..].into());
        let expansion = Box::new(Expansion { later, ..Expansion::default() });
        desk.step(Input::Answered { slot, recipient, expansion });
        desk.pass(1000);
    }
    assert_eq!(desk.inquiries.len(), 1);
    assert!(desk.reports.is_empty());
}

#[test]
fn with_a_million_waiting_a_step_stays_short() {
    // Counted, not timed: no step works off more than its share of what is due at once.
    let mut scheduler = Scheduler::new(&settings(), 1);
    let mut actions = Vec::new();
    for slot in 0..20_000 {
        let envelope = envelope("alice@here", &[&format!("bob@h{slot}")]);
        let mut note = Note::new(&envelope);
        note.next_try_s = START_MS / 1000 + 10;
        let (envelope, note) = (Box::new(envelope), Some(Box::new(note)));
        scheduler.step(START_MS, Input::Recovered { slot, envelope, note }, &mut actions);
    }
    actions.clear();
    scheduler.step(START_MS + 10_000, Input::Tick, &mut actions);
    let loads = actions.iter().filter(|action| matches!(action, Action::Load { .. })).count();
    assert_eq!(loads, 256);
    assert!(actions.contains(&Action::Wake { at_ms: START_MS + 10_000 }), "the rest at once");
    let lined = (0..20_000).filter(|&slot| scheduler.outlook(slot) == Some(Outlook::Lined)).count();
    assert_eq!(lined, 1024 - 256);
}

#[test]
fn etrn_tries_what_waits_for_that_host_and_for_nobody_else() {
    let mut desk = Desk::new();
    desk.send(&["bob@far"]);
    desk.send(&["bob@mail.near"]);
    assert_eq!(desk.end_all(&down()), 2);
    desk.step(Input::Turn { node: b"nowhere"[..].into() });
    desk.step(Input::Turn { node: b"near"[..].into() });
    desk.pass(0);
    assert!(desk.batches.is_empty());
    desk.step(Input::Turn { node: b"@NEAR"[..].into() });
    desk.pass(0);
    let hosts: Vec<&[u8]> = desk.batches.iter().map(|batch| &*batch.host).collect();
    assert_eq!(hosts, [b"mail.near"]);
}

#[test]
fn etrn_tries_what_was_there_before_a_daemon_that_tries_nothing_by_itself() {
    let mut settings = settings();
    settings.retry.first_s = Retry::BY_ORDER_S;
    settings.retry.longest_s = Retry::BY_ORDER_S;
    let mut desk = Desk::with(&settings);
    let mut envelope = envelope("alice@here", &["bob@near"]);
    envelope.recipients[0].route.host = b"Near."[..].into();
    desk.spool.insert(0, (envelope.clone(), None));
    desk.step(Input::Recovered { slot: 0, envelope: Box::new(envelope), note: None });
    desk.pass(1);
    assert!(desk.batches.is_empty());
    desk.step(Input::Turn { node: b"near"[..].into() });
    desk.pass(0);
    assert_eq!(desk.batches.len(), 1);
}

/// A desk whose policy dresses mail, as that of a sendmail.cf.
fn dressing_desk() -> Desk {
    Desk::with(&Settings { dresses_mail: true, ..settings() })
}

/// Answers all questions: `there` says whether an address leads anywhere.
fn answer_all(desk: &mut Desk, addresses: &[(u32, &str)], there: impl Fn(&str) -> bool) {
    let asked = std::mem::take(&mut desk.inquiries);
    for (slot, recipient, _) in asked {
        let known = addresses.iter().find(|(number, _)| *number == recipient);
        let address = known.map_or("nobody", |(_, address)| *address);
        let mut expansion = Expansion::default();
        if there(address) {
            let own = crate::recipient("a@far");
            let member = policy::Recipient {
                address: address.as_bytes().into(),
                route: own.route,
                from: Box::default(),
                controller: None,
            };
            expansion.recipients.push(member);
        } else {
            let refusal = policy::Refusal::new(550, (5, 1, 1), b"<x>... User unknown", b"");
            let member = policy::RefusedMember::new(address.as_bytes(), refusal);
            expansion.refused.push(member);
        }
        let expansion = Box::new(expansion);
        desk.step(Input::Answered { slot, recipient, expansion });
    }
}

#[test]
fn a_report_waits_until_it_is_known_where_it_can_go() {
    let mut desk = dressing_desk();
    desk.send(&["bob@far"]);
    desk.end_all(&never());
    assert!(desk.reports.is_empty());
    let (slot, recipient, inquiry) = desk.inquiries[0].clone();
    assert_eq!(inquiry, Inquiry::Report);
    let note = desk.spool[&slot].1.as_ref();
    assert!(note.is_none_or(|note| note.states[0] != State::Bounced), "not paid before it is");
    answer_all(&mut desk, &[(recipient, "alice@here")], |_| true);
    assert_eq!(desk.reports.len(), 1);
    assert_eq!(desk.reports[0].kind, ReportKind::Failure);
    assert!(desk.spool.is_empty());
}

#[test]
fn the_postmaster_hears_at_once_of_a_failure_whose_sender_is_unknown() {
    let mut desk = dressing_desk();
    desk.send(&["bob@far"]);
    desk.end_all(&never());
    for _ in 0..2 {
        answer_all(&mut desk, &[], |_| false);
    }
    assert_eq!(desk.reports.len(), 1);
    let report = &desk.reports[0];
    assert_eq!((report.kind, &*report.to), (ReportKind::DoubleBounce, &b"postmaster"[..]));
    assert!(report.dead_end.is_some(), "not even he is there");
    assert_eq!(&*report.asides[0].trouble.text, b"User unknown");
    let unknown = desk.tos().filter(|to| to.xdelay_ms.is_none()).count();
    assert_eq!(unknown, 2);
    assert_eq!(desk.scheduler.ledger().bounced, 1);
}

#[test]
fn a_report_about_which_nobody_can_be_told_is_kept_back_and_not_lost() {
    let mut desk = dressing_desk();
    let mut report = envelope("", &["bob@far"]);
    report.purpose = Purpose::Report;
    let slot = desk.arrive(report);
    desk.end_all(&never());
    answer_all(&mut desk, &[], |_| false);
    assert!(desk.events.iter().any(|event| matches!(event, Event::Lost { .. })));
    assert_eq!(desk.scheduler.outlook(slot), Some(Outlook::Held));
    assert!(desk.spool.contains_key(&slot));
    assert_eq!(desk.reports.len(), 1, "one that ends at once, for the log");
    let mark = mailers_mark(&settings().mailers);
    let last = desk.reports[0].envelope(QueueId::new(START_MS / 1000, 101), mark);
    assert_eq!(last.purpose, Purpose::DoubleBounce);
    let last = desk.arrive(last);
    answer_all(&mut desk, &[], |_| false);
    assert!(!desk.spool.contains_key(&last));
    assert_eq!(desk.reports.len(), 1);
}

#[test]
fn a_storm_of_bounces_to_one_whom_strangers_name_is_put_off_and_none_is_lost() {
    let mut desk = Desk::new();
    desk.now_ms = START_MS / 3_600_000 * 3_600_000;
    for _ in 0..1_200 {
        desk.send(&["bob@far"]);
        while desk.end_all(&never()) > 0 {}
        desk.pass(0);
    }
    desk.pass(600);
    while desk.end_all(&never()) > 0 {}
    assert_eq!(desk.reports.len(), 1_000);
    let is_storm = |event: &&Event| matches!(event, Event::Storm { count: 1_000, .. });
    assert_eq!(desk.events.iter().filter(is_storm).count(), 1, "one line an hour");
    assert_eq!(desk.spool.len(), 200, "the others wait");
    assert_eq!(desk.scheduler.ledger().open, 200);
    // Our own users know what they sent.
    let mut own = envelope("alice@here", &["bob@far"]);
    own.origin.user = b"alice"[..].into();
    own.created_s = desk.now_ms / 1000;
    desk.arrive(own);
    while desk.end_all(&never()) > 0 {}
    assert_eq!(desk.reports.len(), 1_001);
    desk.pass(2 * 3600);
    assert_eq!(desk.reports.len(), 1_201);
    assert!(desk.spool.is_empty());
}

#[test]
fn the_text_comes_back_to_whom_the_owner_lets_have_it() {
    use policy::settings::ReturnPolicy::{AsAsked, Nobody, OwnUsers};
    use queue::Return::{Full, Headers};
    let stranger = Origin::default();
    let logged_in = Origin { user: b"alice"[..].into(), ..Origin::default() };
    let local = Origin { uid: Some(1000), ..Origin::default() };
    for (policy, ret, wanted) in [
        (OwnUsers, None, [Headers, Full, Full]),
        (OwnUsers, Some(Headers), [Headers, Headers, Headers]),
        (OwnUsers, Some(Full), [Headers, Full, Full]),
        (AsAsked, None, [Full, Full, Full]),
        (AsAsked, Some(Headers), [Headers, Headers, Headers]),
        (Nobody, Some(Full), [Headers, Headers, Headers]),
    ] {
        let mut wanted_settings = settings();
        wanted_settings.reports.returns = policy;
        let mut desk = Desk::with(&wanted_settings);
        for origin in [&stranger, &logged_in, &local] {
            let mut envelope = envelope("alice@here", &["bob@far"]);
            (envelope.ret, envelope.origin) = (ret, origin.clone());
            desk.arrive(envelope);
            desk.end_all(&never());
        }
        let returned: Vec<_> = desk.reports.iter().map(|report| report.returned).collect();
        assert_eq!(returned, wanted, "{policy:?} {ret:?}");
    }
    // Bulk mail and what is large never come back whole.
    let mut desk = Desk::new();
    for (without_text, size_bytes) in [(true, 1000), (false, 60_000)] {
        let mut envelope = envelope("alice@here", &["bob@far"]);
        envelope.origin = local.clone();
        (envelope.returns.without_text, envelope.size_bytes) = (without_text, size_bytes);
        desk.arrive(envelope);
        desk.end_all(&never());
    }
    assert!(desk.reports.iter().all(|report| report.returned == Headers));
}

#[test]
fn a_report_has_ages_of_its_own() {
    let mut wanted = settings();
    wanted.retry.report = Some(Ages { give_up_s: 3 * 3600, warn_s: 0 });
    let mut desk = Desk::with(&wanted);
    let mut report = envelope("", &["bob@far"]);
    report.purpose = Purpose::Report;
    desk.arrive(report);
    desk.send(&["bob@near"]);
    for _ in 0..36 {
        desk.end_all(&later());
        desk.pass(600);
    }
    desk.end_all(&later());
    let told: Vec<ReportKind> = desk.reports.iter().map(|one| one.kind).collect();
    assert_eq!(told, [ReportKind::DoubleBounce, ReportKind::Delay]);
    assert_eq!(desk.reports[0].give_up_s, 3 * 3600);
    assert_eq!(desk.spool.len(), 1);
}

/// A desk whose owner has a file for what nobody can get, with a report in it that nobody can get.
fn desk_with_a_file() -> (Desk, Settings, u32) {
    let mut wanted = Settings { dresses_mail: true, ..settings() };
    wanted.reports.last_resort = b"/dead"[..].into();
    let mut desk = Desk::with(&wanted);
    let mut report = envelope("", &["bob@far"]);
    report.purpose = Purpose::Report;
    let slot = desk.arrive(report);
    desk.end_all(&never());
    answer_all(&mut desk, &[], |_| false);
    (desk, wanted, slot)
}

#[test]
fn what_nobody_can_get_leaves_the_queue_once_it_is_in_the_owners_file() {
    let (mut desk, _, slot) = desk_with_a_file();
    assert_eq!(desk.saves, [slot]);
    assert_eq!(desk.scheduler.outlook(slot), Some(Outlook::Held), "until it is there");
    assert!(!desk.events.iter().any(|event| matches!(event, Event::Lost { .. })));
    desk.step(Input::Saved { slot });
    assert!(!desk.spool.contains_key(&slot));
    let ledger = desk.scheduler.ledger();
    assert_eq!((ledger.dropped, ledger.open), (1, 0));
    // The report about it was for the log.
    let mark = mailers_mark(&settings().mailers);
    let last = desk.reports[0].envelope(QueueId::new(START_MS / 1000, 101), mark);
    desk.arrive(last);
    answer_all(&mut desk, &[], |_| false);
    assert!(desk.spool.is_empty());
    assert_eq!(desk.saves.len(), 1);
}

#[test]
fn a_report_about_a_report_goes_into_the_owners_file_where_it_fails() {
    let (mut desk, _, _) = desk_with_a_file();
    let mut last = envelope("", &["postmaster@far"]);
    last.purpose = Purpose::DoubleBounce;
    let slot = desk.arrive(last);
    desk.end_all(&never());
    answer_all(&mut desk, &[], |_| false);
    assert_eq!(desk.saves.last(), Some(&slot));
    assert!(desk.spool.contains_key(&slot));
    desk.step(Input::Saved { slot });
    assert!(!desk.spool.contains_key(&slot));
}

#[test]
fn what_the_owners_file_could_not_take_is_tried_again_after_a_start() {
    let (mut desk, wanted, slot) = desk_with_a_file();
    desk.saves.clear();
    desk.scheduler = Scheduler::new(&wanted, 43);
    let (envelope, note) = desk.spool[&slot].clone();
    let (envelope, note) = (Box::new(envelope), note.map(Box::new));
    desk.step(Input::Recovered { slot, envelope, note });
    assert_eq!(desk.saves, [slot]);
    // Or when the operator lets it go: then all is told once more.
    desk.step(Input::Release { slot });
    answer_all(&mut desk, &[], |_| false);
    assert_eq!(desk.saves, [slot, slot]);
    desk.step(Input::Saved { slot });
    assert!(!desk.spool.contains_key(&slot));
}

#[test]
fn the_postmasters_copy_of_a_failure_has_no_text() {
    let mut wanted = Settings { dresses_mail: false, ..settings() };
    wanted.reports.copy_to = b"watch"[..].into();
    let mut desk = Desk::with(&wanted);
    desk.send(&["bob@far"]);
    desk.end_all(&never());
    let kinds: Vec<ReportKind> = desk.reports.iter().map(|report| report.kind).collect();
    assert_eq!(kinds, [ReportKind::Failure, ReportKind::Copy]);
    assert_eq!(
        (&*desk.reports[1].to, desk.reports[1].returned),
        (&b"watch"[..], queue::Return::Headers)
    );
}

#[test]
fn a_message_comes_back_at_the_deadline_that_asks_for_it() {
    let mut desk = Desk::new();
    let mut wanted = envelope("alice@here", &["bob@far"]);
    wanted.created_s = desk.now_ms / 1000;
    wanted.by = Some(queue::DeliverBy { seconds: 60, returns: true, traces: false });
    desk.arrive(wanted);
    desk.end_all(&later());
    desk.pass(59);
    assert!(desk.reports.is_empty());
    desk.end_all(&later());
    desk.pass(10);
    assert_eq!(desk.reports.len(), 1);
    let line = &desk.reports[0].lines[0];
    assert_eq!((line.fate, &*line.trouble.text), (Fate::Failed, &b"delivery time expired 60s"[..]));
    assert!(desk.spool.is_empty());
}

#[test]
fn a_deadline_that_only_tells_warns_once_and_goes_on() {
    let mut desk = Desk::new();
    let mut wanted = envelope("alice@here", &["bob@far"]);
    wanted.created_s = desk.now_ms / 1000;
    wanted.by = Some(queue::DeliverBy { seconds: 60, returns: false, traces: false });
    desk.arrive(wanted);
    for _ in 0..4 {
        desk.end_all(&later());
        desk.pass(400);
    }
    let kinds: Vec<ReportKind> = desk.reports.iter().map(|report| report.kind).collect();
    assert_eq!(kinds, [ReportKind::Delay]);
    assert!(desk.reports[0].missed().is_some());
    assert_eq!(desk.spool.len(), 1);
}

#[test]
fn a_sender_with_a_deadline_hears_of_a_server_that_knows_of_none() {
    for (traces, keeps_time, fate) in
        [(false, false, Some(Fate::Noticed)), (false, true, None), (true, true, Some(Fate::Traced))]
    {
        let mut desk = Desk::new();
        let mut wanted = envelope("alice@here", &["bob@far"]);
        wanted.by = Some(queue::DeliverBy { seconds: 600, returns: false, traces });
        desk.arrive(wanted);
        let (host, text) = (b"mx"[..].into(), b"ok"[..].into());
        let accepted = b"250 2.1.5 fine"[..].into();
        desk.end_all(&Outcome::Relayed { host, text, accepted, reports: true, keeps_time });
        let line = desk.reports.first().map(|report| &report.lines[0]);
        assert_eq!(line.map(|line| line.fate), fate);
        assert!(line.is_none_or(|line| line.trouble.reply() == Some(b"250 2.1.5 fine")));
    }
}
