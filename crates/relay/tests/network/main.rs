//! Deliveries to servers of all kinds, over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop where something is wrong"
)]

mod errand;
mod server;
mod terms;

use policy::{Carriage, MailerId, Settings};
use queue::{Batch, BatchId, BatchRecipient, BodyKind, Notify, Outcome, Past, Scope, Status};
use relay::resolve::Records;
use relay::{Answer, Body, Doors, Job, Lookup, Ourselves, Query, QueryKind, Relay, Report, Way};
use server::{Deed, Fault, Server};
use std::cell::RefCell;
use std::future::Future;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Notify as Bell;

/// No DNS: literals alone are asked for.
struct NoNames;

impl Lookup for NoNames {
    fn lookup(&self, _query: Query) -> Pin<Box<dyn Future<Output = Answer> + '_>> {
        Box::pin(std::future::ready(Answer::NoSuchName))
    }
}

/// Opens what is named.
struct UnixDoors;

impl Doors for UnixDoors {
    fn open(&self, path: &[u8]) -> Pin<Box<dyn Future<Output = Result<OwnedFd, Box<str>>> + '_>> {
        let path = std::ffi::OsStr::from_bytes(path).to_owned();
        let opened = std::os::unix::net::UnixStream::connect(path).and_then(|stream| {
            stream.set_nonblocking(true)?;
            Ok(stream.into())
        });
        Box::pin(std::future::ready(opened.map_err(|error| error.to_string().into())))
    }
}

/// A relay and what it reports.
struct Office {
    relay: Relay,
    reports: Rc<RefCell<Vec<Report>>>,
    bell: Rc<Bell>,
}

impl Office {
    fn new() -> Self {
        Self::with(Rc::new(NoNames))
    }

    fn with(lookup: Rc<dyn Lookup>) -> Self {
        let reports: Rc<RefCell<Vec<Report>>> = Rc::default();
        let bell = Rc::new(Bell::new());
        let mut settings = Settings::default();
        settings.timeouts.connect_s = 1;
        settings.timeouts.greeting_s = 1;
        settings.timeouts.reply_s = 1;
        settings.timeouts.mail_s = 1;
        settings.timeouts.rcpt_s = 1;
        settings.timeouts.data_s = 1;
        settings.timeouts.dot_s = 1;
        settings.timeouts.idle_s = 2;
        let (sink, ring) = (Rc::clone(&reports), Rc::clone(&bell));
        let report = Rc::new(move |report| {
            sink.borrow_mut().push(report);
            ring.notify_one();
        });
        let relay = Relay::new(&settings, Ourselves::default(), lookup, Rc::new(UnixDoors), report);
        Self { relay, reports, bell }
    }

    /// Waits for so many reports, and gives them in the order of their batches.
    async fn reports(&self, count: usize) -> Vec<Report> {
        while self.reports.borrow().len() < count {
            let bell = self.bell.notified();
            tokio::time::timeout(Duration::from_secs(15), bell).await.expect_report();
        }
        let mut reports = self.reports.borrow().clone();
        assert_eq!(reports.len(), count);
        assert_eq!(self.relay.jobs(), 0);
        reports.sort_by_key(|report| report.batch);
        reports
    }

    async fn one(&self, job: Job) -> Vec<Outcome> {
        self.relay.submit(job);
        let mut reports = self.reports(1).await;
        reports.pop().unwrap().results.into_iter().map(|(_, outcome)| outcome).collect()
    }
}

trait ExpectReport {
    fn expect_report(self);
}

impl<E: std::fmt::Debug> ExpectReport for Result<(), E> {
    fn expect_report(self) {
        assert!(self.is_ok(), "no report came");
    }
}

fn job(address: SocketAddr, number: u64, recipients: &[&str]) -> Job {
    let recipients = recipients.iter().enumerate().map(|(index, user)| BatchRecipient {
        index: u32::try_from(index).unwrap() + 10,
        address: user.as_bytes().into(),
        host: Box::default(),
        user: user.as_bytes().into(),
        notify: Notify::default(),
        original: None,
    });
    let text: &[u8] = b"Subject: x\r\n\r\n.dot\r\n";
    let batch = Batch {
        id: BatchId(number),
        slot: 1,
        message: wire_id(number),
        mailer: MailerId(0),
        host: format!("[{}]:{}", address.ip(), address.port()).into_bytes().into(),
        sender: b"a@b.example"[..].into(),
        separator: Box::default(),
        is_sender_named: true,
        recipients: recipients.collect(),
        size_bytes: u64::try_from(text.len()).unwrap(),
        body: BodyKind::SevenBit,
        is_utf8: false,
        ret: None,
        envelope_id: None,
        is_own: false,
        by: None,
        created_s: 0,
        past: Past::New,
        story: None,
    };
    let (way, body) = (Way::Smtp { port: 25 }, Body::Bytes(text.into()));
    Job { batch, way, connections_max: 1, body, carriage: Carriage::default() }
}

fn wire_id(number: u64) -> wire::QueueId {
    wire::QueueId::from_u64(number)
}

fn in_house<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, future)
}

fn status(outcome: &Outcome) -> (Status, Option<Scope>) {
    match outcome {
        Outcome::Later { trouble, scope } => (trouble.status, Some(*scope)),
        Outcome::Never(trouble) => (trouble.status, None),
        Outcome::Relayed { .. } | Outcome::Delivered { .. } => (Status(2, 0, 0), None),
    }
}

fn is_relayed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Relayed { .. })
}

fn fault(phase: &'static str, nth: usize, deed: Deed) -> Fault {
    Fault { phase, nth, deed }
}

#[test]
fn a_message_arrives_as_it_is() {
    in_house(async {
        let (server, address) = Server::start(&[]).await;
        let outcomes = Office::new().one(job(address, 1, &["c@d.example", "e@d.example"])).await;
        assert!(outcomes.iter().all(is_relayed), "{outcomes:?}");
        let received = server.received.borrow();
        assert_eq!(received.len(), 1);
        assert!(received[0].mail.starts_with("<a@b.example>"), "{}", received[0].mail);
        assert_eq!(received[0].rcpt, ["<c@d.example>", "<e@d.example>"]);
        assert_eq!(received[0].body, b"Subject: x\r\n\r\n.dot\r\n");
    });
}

#[test]
fn a_large_message_comes_from_its_file() {
    in_house(async {
        let (server, address) = Server::start(&[]).await;
        let line = b".0123456789012345678901234567890123456789012345678901234567890123\r\n";
        let text: Vec<u8> = line.iter().copied().cycle().take(line.len() * 30_000).collect();
        let path = std::env::temp_dir().join(format!("relay-test-{}", std::process::id()));
        std::fs::write(&path, [b"xx", &text[..]].concat()).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let size = u64::try_from(text.len()).unwrap();
        let mut job = job(address, 1, &["c@d.example"]);
        job.batch.size_bytes = size;
        job.body = Body::File { head: b""[..].into(), file: Rc::new(file), start: 2, size };
        let outcomes = Office::new().one(job).await;
        assert!(is_relayed(&outcomes[0]), "{outcomes:?}");
        assert!(server.received.borrow()[0].body == text);
    });
}

#[test]
fn many_messages_use_one_connection() {
    in_house(async {
        let (server, address) = Server::start(&[]).await;
        let office = Office::new();
        for number in 0..200 {
            office.relay.submit(job(address, number, &["c@d.example"]));
        }
        let reports = office.reports(200).await;
        assert!(reports.iter().all(|report| is_relayed(&report.results[0].1)));
        assert!(reports.iter().all(|report| report.results[0].0 == 10));
        assert_eq!(server.received.borrow().len(), 200);
        assert_eq!(server.connections.get(), 1);
    });
}

#[test]
fn connections_are_as_many_as_allowed() {
    in_house(async {
        let (server, address) = Server::start(&[]).await;
        let office = Office::new();
        for number in 0..50 {
            let job = job(address, number, &["c@d.example"]);
            office.relay.submit(Job { connections_max: 3, ..job });
        }
        office.reports(50).await;
        assert_eq!(server.connections.get(), 3);
        assert_eq!(server.received.borrow().len(), 50);
    });
}

#[test]
fn recipients_have_answers_of_their_own() {
    in_house(async {
        let (server, address) = Server::start(&[]).await;
        let job = job(address, 1, &["good@d", "bad@d", "slow@d", "fine@d"]);
        let outcomes = Office::new().one(job).await;
        assert!(is_relayed(&outcomes[0]) && is_relayed(&outcomes[3]));
        assert_eq!(status(&outcomes[1]), (Status(5, 1, 1), None));
        assert_eq!(status(&outcomes[2]), (Status(4, 2, 0), Some(Scope::Recipient)));
        assert_eq!(server.received.borrow()[0].rcpt, ["<good@d>", "<fine@d>"]);
    });
}

#[test]
fn after_a_transaction_without_recipients_the_connection_is_good_for_the_next() {
    in_house(async {
        let (server, address) = Server::start(&[]).await;
        let office = Office::new();
        office.relay.submit(job(address, 1, &["bad@d"]));
        office.relay.submit(job(address, 2, &["good@d"]));
        let reports = office.reports(2).await;
        assert_eq!(status(&reports[0].results[0].1), (Status(5, 1, 1), None));
        assert!(is_relayed(&reports[1].results[0].1));
        assert_eq!(server.received.borrow().len(), 1);
    });
}

#[test]
fn a_no_at_each_phase_is_for_now_or_for_good() {
    for (phase, class) in
        [("MAIL", 4), ("MAIL", 5), ("DATA", 4), ("DATA", 5), ("dot", 4), ("dot", 5)]
    {
        let text = if class == 4 { "450 4.7.9 no" } else { "550 5.7.9 no" };
        in_house(async {
            let (server, address) = Server::start(&[fault(phase, 1, Deed::Say(text))]).await;
            let office = Office::new();
            office.relay.submit(job(address, 1, &["c@d"]));
            office.relay.submit(job(address, 2, &["c@d"]));
            let reports = office.reports(2).await;
            let found = status(&reports[0].results[0].1).0;
            // Its status counts, as it announced ENHANCEDSTATUSCODES; but not at DATA, where sendmail hears only the code.
            let (subject, detail) = if phase == "DATA" { (0, 0) } else { (7, 9) };
            assert_eq!(found, Status(class, subject, detail), "{phase}");
            assert!(is_relayed(&reports[1].results[0].1), "{phase} {reports:?}");
            assert_eq!(server.received.borrow().len(), 1);
        });
    }
}

#[test]
fn a_host_that_does_not_let_us_in_is_trouble_of_the_destination() {
    for (phase, text) in
        [("connect", "421 4.3.2 later"), ("connect", "450 later"), ("connect", "554 5.7.1 no")]
    {
        in_house(async {
            let (_server, address) = Server::start(&[fault(phase, 0, Deed::Say(text))]).await;
            let outcomes = Office::new().one(job(address, 1, &["c@d"])).await;
            let (found, scope) = status(&outcomes[0]);
            assert!(found.0 == 5 || scope == Some(Scope::Destination), "{outcomes:?}");
        });
    }
}

#[test]
fn a_connection_lost_at_any_phase_is_for_now_and_never_twice() {
    for phase in ["connect", "EHLO", "MAIL", "RCPT", "DATA", "dot"] {
        for deed in [Deed::Drop, Deed::Say("421 4.3.2 going down")] {
            in_house(async {
                let (server, address) = Server::start(&[fault(phase, 0, deed)]).await;
                let outcomes = Office::new().one(job(address, 1, &["c@d"])).await;
                assert!(matches!(outcomes[0], Outcome::Later { .. }), "{phase} {outcomes:?}");
                assert!(server.received.borrow().len() <= 1, "{phase}");
            });
        }
    }
}

#[test]
fn a_server_that_closes_between_messages_gets_a_fresh_connection() {
    in_house(async {
        let (server, address) = Server::start(&[fault("after", 0, Deed::Drop)]).await;
        let office = Office::new();
        for number in 0..10 {
            office.relay.submit(job(address, number, &["c@d"]));
        }
        let reports = office.reports(10).await;
        assert!(reports.iter().all(|report| is_relayed(&report.results[0].1)), "{reports:?}");
        assert_eq!(server.received.borrow().len(), 10);
        assert_eq!(server.connections.get(), 10);
    });
}

#[test]
fn an_idle_connection_takes_the_next_message() {
    in_house(async {
        let (server, address) = Server::start(&[]).await;
        let office = Office::new();
        for number in 1..5 {
            office.relay.submit(job(address, u64::try_from(number).unwrap(), &["c@d"]));
            office.reports(number).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(server.connections.get(), 1);
    });
}

#[test]
fn a_used_connection_that_says_421_to_mail_is_replaced() {
    in_house(async {
        let faults = [fault("MAIL", 2, Deed::Say("421 4.4.2 too long idle"))];
        let (server, address) = Server::start(&faults).await;
        let office = Office::new();
        office.relay.submit(job(address, 1, &["c@d"]));
        office.reports(1).await;
        office.relay.submit(job(address, 2, &["c@d"]));
        let reports = office.reports(2).await;
        assert!(is_relayed(&reports[1].results[0].1), "{reports:?}");
        assert_eq!(server.connections.get(), 2);
        assert_eq!(server.received.borrow().len(), 2);
    });
}

#[test]
fn after_the_dot_nothing_is_tried_again_by_itself() {
    in_house(async {
        let (server, address) = Server::start(&[fault("dot", 2, Deed::Drop)]).await;
        let office = Office::new();
        office.relay.submit(job(address, 1, &["c@d"]));
        office.relay.submit(job(address, 2, &["c@d"]));
        let reports = office.reports(2).await;
        assert!(matches!(reports[1].results[0].1, Outcome::Later { .. }));
        assert_eq!(server.received.borrow().len(), 2);
    });
}

#[test]
fn a_silent_or_slow_or_endless_server_costs_its_timeout() {
    in_house(async {
        let mut cases = Vec::new();
        for phase in ["connect", "EHLO", "MAIL", "RCPT", "DATA", "dot"] {
            for deed in [Deed::Silence, Deed::Dribble, Deed::Flood] {
                cases.push(tokio::task::spawn_local(async move {
                    let (_server, address) = Server::start(&[fault(phase, 0, deed)]).await;
                    let before = Instant::now();
                    let outcomes = Office::new().one(job(address, 1, &["c@d"])).await;
                    let is_later = matches!(outcomes[0], Outcome::Later { .. });
                    assert!(is_later, "{phase} {deed:?} {outcomes:?}");
                    assert!(before.elapsed() < Duration::from_secs(4), "{phase} {deed:?}");
                }));
            }
        }
        for case in cases {
            case.await.unwrap();
        }
    });
}

#[test]
fn hostile_replies_end_the_connection_and_lose_nothing() {
    let replies: [&'static [u8]; 6] = [
        b"\0\0\0\r\n",
        b"hello\r\n",
        b"999 x\r\n",
        b"250\n250 x\r\n",
        b"25\r\n",
        b"250-a\r\n550 b\r\n",
    ];
    for phase in ["connect", "MAIL", "dot"] {
        for reply in replies {
            in_house(async {
                let faults = [fault(phase, 1, Deed::Raw(reply)), fault(phase, 2, Deed::Drop)];
                let (_server, address) = Server::start(&faults).await;
                let outcomes = Office::new().one(job(address, 1, &["c@d"])).await;
                assert!(!outcomes.is_empty(), "{phase} {reply:?}");
            });
        }
    }
}

#[test]
fn nobody_there_is_trouble_of_the_destination_for_all_that_wait() {
    in_house(async {
        let address = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        };
        let office = Office::new();
        for number in 0..5 {
            office.relay.submit(job(address, number, &["c@d"]));
        }
        for report in office.reports(5).await {
            let expected = (Status(4, 4, 1), Some(Scope::Destination));
            assert_eq!(status(&report.results[0].1), expected);
        }
    });
}

#[test]
fn an_idle_connection_says_quit() {
    in_house(async {
        let (server, address) = Server::start(&[]).await;
        let office = Office::new();
        office.one(job(address, 1, &["c@d"])).await;
        assert!(!server.verbs.borrow().contains(&"QUIT".to_owned()));
        office.relay.close();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(server.verbs.borrow().contains(&"QUIT".to_owned()));
        office.relay.submit(job(address, 2, &["c@d"]));
        let reports = office.reports(2).await;
        assert!(matches!(reports[1].results[0].1, Outcome::Later { .. }));
    });
}

#[test]
fn an_unknown_host_and_a_bad_one_are_for_good() {
    in_house(async {
        for host in ["nowhere.example", "[oh"] {
            let mut job = job("127.0.0.1:1".parse().unwrap(), 1, &["c@d"]);
            job.batch.host = host.as_bytes().into();
            let outcomes = Office::new().one(job).await;
            assert_eq!(status(&outcomes[0]), (Status(5, 1, 2), None));
        }
    });
}

/// A resolver with a bug.
struct Broken;

impl Lookup for Broken {
    fn lookup(&self, _query: Query) -> Pin<Box<dyn Future<Output = Answer> + '_>> {
        panic!("a bug, for the test")
    }
}

const CHUNKS: &[&str] = &["PIPELINING", "CHUNKING", "8BITMIME"];

#[test]
fn a_small_message_goes_with_its_envelope_to_a_server_with_chunking() {
    in_house(async {
        let (server, address) = Server::start(&[]).await;
        server.extensions.set(CHUNKS);
        let office = Office::new();
        let outcomes = office.one(job(address, 1, &["good@d", "bad@d"])).await;
        assert!(is_relayed(&outcomes[0]) && matches!(outcomes[1], Outcome::Never(_)));
        office.reports.borrow_mut().clear();
        // Nobody is right: what was sent is taken back before the next.
        let outcomes = office.one(job(address, 2, &["bad@d"])).await;
        assert!(matches!(outcomes[0], Outcome::Never(_)));
        office.reports.borrow_mut().clear();
        assert!(is_relayed(&office.one(job(address, 3, &["good@d"])).await[0]));
        let verbs = server.verbs.borrow().join(" ");
        assert_eq!(verbs, "EHLO MAIL RCPT RCPT BDAT MAIL RCPT BDAT RSET MAIL RCPT BDAT");
        let received = server.received.borrow();
        assert_eq!((received.len(), &*received[0].body), (2, &b"Subject: x\r\n\r\n.dot\r\n"[..]));
        assert_eq!(server.connections.get(), 1);
    });
}

#[test]
fn a_chunk_that_is_put_off_is_for_later_and_one_that_is_refused_comes_back() {
    for (said, is_later) in [("451 4.3.0 not now", true), ("554 5.6.0 never", false)] {
        in_house(async {
            let fault = Fault { phase: "BDAT", nth: 1, deed: Deed::Say(said) };
            let (server, address) = Server::start(&[fault]).await;
            server.extensions.set(CHUNKS);
            let outcomes = Office::new().one(job(address, 1, &["good@d"])).await;
            assert_eq!(matches!(outcomes[0], Outcome::Later { .. }), is_later);
            assert!(is_later || matches!(outcomes[0], Outcome::Never(_)));
            assert!(server.received.borrow().is_empty());
        });
    }
}

#[test]
fn a_server_that_offers_chunking_and_does_not_know_it_gets_the_message_otherwise() {
    in_house(async {
        let fault = Fault { phase: "BDAT", nth: 0, deed: Deed::Say("502 5.5.1 what") };
        let (server, address) = Server::start(&[fault]).await;
        server.extensions.set(CHUNKS);
        let office = Office::new();
        assert!(is_relayed(&office.one(job(address, 1, &["good@d"])).await[0]));
        office.reports.borrow_mut().clear();
        assert!(is_relayed(&office.one(job(address, 2, &["good@d"])).await[0]));
        assert_eq!(server.connections.get(), 2);
        assert_eq!(server.verbs.borrow().iter().filter(|verb| *verb == "BDAT").count(), 1);
        assert_eq!(server.received.borrow().len(), 2);
    });
}

#[test]
fn a_server_that_says_what_it_takes_gets_no_more_at_once() {
    in_house(async {
        let (server, address) = Server::start(&[]).await;
        server.extensions.set(&["LIMITS MAILMAX=2 RCPTMAX=2 RCPTDOMAINMAX=1", "PIPELINING"]);
        let office = Office::new();
        office.relay.submit(job(address, 1, &["a@d", "b@e", "c@D", "d@d"]));
        let reports = office.reports(3).await;
        assert_eq!(reports.iter().filter(|report| report.is_last).count(), 1);
        assert!(reports.iter().flat_map(|report| &report.results).all(|(_, one)| is_relayed(one)));
        let received = server.received.borrow();
        let mut sizes: Vec<(usize, usize)> =
            received.iter().map(|mail| (mail.connection, mail.rcpt.len())).collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [(1, 1), (1, 2), (2, 1)]);
    });
}

/// `one.test` and `two.test` have the same two exchangers, `other.test` another one; all are at 127.0.0.1.
struct Shared;

impl Lookup for Shared {
    fn lookup(&self, query: Query) -> Pin<Box<dyn Future<Output = Answer> + '_>> {
        let mx = |names: &[&str]| {
            let names = names.iter().map(|name| (10, name.as_bytes().into())).collect();
            Answer::found(Records::Mx(names))
        };
        let answer = match (&*query.name, query.kind) {
            (b"one.test", QueryKind::Mx) => mx(&["a.mx.test", "b.mx.test"]),
            (b"two.test", QueryKind::Mx) => mx(&["B.mx.test", "A.mx.test"]),
            (b"other.test", QueryKind::Mx) => mx(&["c.mx.test"]),
            (name, QueryKind::A) if name.ends_with(b".mx.test") => {
                Answer::found(Records::Addresses(vec!["127.0.0.1".parse().unwrap()]))
            }
            _ => Answer::NoSuchName,
        };
        Box::pin(std::future::ready(answer))
    }
}

#[test]
fn recipients_whose_hosts_have_the_same_exchangers_share_a_transaction() {
    for is_errand in [false, true] {
        in_house(async {
            let (server, address) = Server::start(&[]).await;
            let office = Office::with(Rc::new(Shared));
            let trusted = vec![address.ip()];
            let ourselves = Ourselves { trusted, ..Ourselves::default() };
            let mut settings = Settings::default();
            settings.calling.connections_kept = 2;
            office.relay.configure(&settings, ourselves);
            if is_errand {
                office.relay.go_on_errand();
            }
            let mut mixed = job(address, 1, &["a@one", "b@other", "c@two", "d@gone"]);
            mixed.batch.host = b"one.test"[..].into();
            for (place, host) in [(1, &b"other.test"[..]), (2, b"two.test"), (3, b"gone.test")] {
                mixed.batch.recipients[place].host = host.into();
            }
            mixed.way = Way::Smtp { port: address.port() };
            office.relay.submit(mixed);
            let mut reports = office.reports(3).await;
            assert_eq!(reports.iter().filter(|report| report.is_last).count(), 1);
            reports.sort_by_key(|report| report.results[0].0);
            let whose = |report: &Report| -> Vec<u32> {
                report.results.iter().map(|(index, _)| *index).collect()
            };
            assert_eq!(
                reports.iter().map(whose).collect::<Vec<_>>(),
                [vec![10, 12], vec![11], vec![13]]
            );
            assert!(is_relayed(&reports[0].results[1].1) && is_relayed(&reports[1].results[0].1));
            assert!(matches!(reports[2].results[0].1, Outcome::Never(_)));
            let mut sizes: Vec<usize> =
                server.received.borrow().iter().map(|mail| mail.rcpt.len()).collect();
            sizes.sort_unstable();
            assert_eq!(sizes, [1, 2]);
        });
    }
}

#[test]
fn a_bug_ends_one_connection_and_its_jobs_are_for_later() {
    in_house(async {
        let (server, address) = Server::start(&[]).await;
        let office = Office::with(Rc::new(Broken));
        let mut named = job(address, 1, &["c@d"]);
        named.batch.host = b"name.example"[..].into();
        office.relay.submit(named);
        office.relay.submit(job(address, 2, &["c@d"]));
        let reports = office.reports(2).await;
        assert!(reports.iter().all(|report| report.is_last));
        assert_eq!(status(&reports[0].results[0].1), (Status(4, 3, 0), Some(Scope::Recipient)));
        assert!(is_relayed(&reports[1].results[0].1));
        assert_eq!(server.received.borrow().len(), 1);
    });
}

#[test]
fn a_message_that_cannot_be_read_is_never_ended_with_a_dot() {
    in_house(async {
        let (server, address) = Server::start(&[]).await;
        let office = Office::new();
        let mut short = job(address, 1, &["c@d"]);
        let path = std::env::temp_dir().join(format!("relay-short-{}", std::process::id()));
        std::fs::write(&path, b"Subject: x\r\n").unwrap();
        let file = std::fs::File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        short.body = Body::File { head: b""[..].into(), file: Rc::new(file), start: 0, size: 1000 };
        office.relay.submit(short);
        office.relay.submit(job(address, 2, &["c@d"]));
        let reports = office.reports(2).await;
        assert_eq!(status(&reports[0].results[0].1).0, Status(4, 3, 0));
        assert!(is_relayed(&reports[1].results[0].1));
        assert_eq!(server.received.borrow().len(), 1);
        assert_eq!(server.connections.get(), 2);
    });
}

/// A job with a body of its own, declared 8-bit or not.
fn eight_bit_job(address: SocketAddr, kind: BodyKind, text: &[u8]) -> Job {
    let mut job = job(address, 1, &["c@d.example"]);
    job.batch.size_bytes = u64::try_from(text.len()).unwrap();
    job.batch.body = kind;
    job.body = Body::Bytes(text.to_vec().into());
    job
}

#[test]
fn a_server_of_seven_bits_gets_seven_bits() {
    in_house(async {
        let (server, address) = Server::start(&[]).await;
        server.extensions.set(&["PIPELINING"]);
        let text = b"MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nna\xefve words\r\n";
        let outcomes = Office::new().one(eight_bit_job(address, BodyKind::EightBit, text)).await;
        assert!(is_relayed(&outcomes[0]), "{outcomes:?}");
        let received = server.received.borrow();
        assert_eq!(received[0].mail, "<a@b.example>");
        let body = String::from_utf8(received[0].body.clone()).unwrap();
        assert!(
            body.contains(
                "\r\nX-MIME-Autoconverted: from 8bit to quoted-printable by localhost id "
            ),
            "{body}"
        );
        assert!(body.ends_with("\r\n\r\nna=EFve words\r\n"), "{body}");
    });
}

#[test]
fn what_is_no_mime_goes_as_it_is_to_any_server() {
    in_house(async {
        let (server, address) = Server::start(&[]).await;
        server.extensions.set(&[]);
        let text = b"Subject: x\r\n\r\nna\xefve words\r\n";
        let outcomes = Office::new().one(eight_bit_job(address, BodyKind::SevenBit, text)).await;
        assert!(is_relayed(&outcomes[0]), "{outcomes:?}");
        assert_eq!(server.received.borrow()[0].body, text);
    });
}
