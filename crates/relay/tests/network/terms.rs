//! What a mailer or the configuration says of connections, seen from the other side.

use super::*;
use policy::MailerFlags;
use std::net::IpAddr;
use tokio::net::TcpListener;

/// A job of a mailer with this flag.
fn with_flag(job: Job, flag: u8) -> Job {
    let flags = MailerFlags::default().with(flag);
    Job { carriage: Carriage { flags, ..job.carriage }, ..job }
}

/// Settings in which every phase has a lot of time.
fn patient() -> Settings {
    let mut settings = Settings::default();
    let timeouts = &mut settings.timeouts;
    for one in [
        &mut timeouts.connect_s,
        &mut timeouts.greeting_s,
        &mut timeouts.reply_s,
        &mut timeouts.mail_s,
        &mut timeouts.rcpt_s,
        &mut timeouts.data_s,
        &mut timeouts.dot_s,
    ] {
        *one = 100;
    }
    settings
}

#[test]
fn a_mailer_that_shuns_esmtp_says_helo_to_everybody() {
    in_house(async {
        let (server, address) = Server::start(&[]).await;
        let outcomes = Office::new().one(with_flag(job(address, 1, &["c@d"]), b'2')).await;
        assert!(is_relayed(&outcomes[0]), "{outcomes:?}");
        assert_eq!(server.verbs.borrow().join(" "), "HELO MAIL RCPT DATA");
        assert_eq!(server.received.borrow()[0].mail, "<a@b.example>");
    });
}

#[test]
fn octets_0_stay_here_where_a_mailer_wants_none() {
    in_house(async {
        let (server, address) = Server::start(&[]).await;
        let mut job = with_flag(job(address, 1, &["c@d"]), b'1');
        job.body = Body::Bytes(b"Subject: x\r\n\r\na\0b\r\n"[..].into());
        assert!(is_relayed(&Office::new().one(job).await[0]));
        assert_eq!(server.received.borrow()[0].body, b"Subject: x\r\n\r\nab\r\n");
    });
}

/// `one.test` has an exchanger that is not there, and an address of its own.
struct OwnAddress;

impl Lookup for OwnAddress {
    fn lookup(&self, query: Query) -> Pin<Box<dyn Future<Output = Answer> + '_>> {
        let answer = match (&*query.name, query.kind) {
            (b"one.test", QueryKind::Mx) => {
                Answer::found(Records::Mx(vec![(0, b"gone.test"[..].into())]))
            }
            (b"one.test", QueryKind::A) => {
                Answer::found(Records::Addresses(vec!["127.0.0.1".parse().unwrap()]))
            }
            _ => Answer::NoSuchName,
        };
        Box::pin(std::future::ready(answer))
    }
}

#[test]
fn a_mailer_that_asks_for_no_exchangers_goes_to_the_host_itself() {
    for is_errand in [false, true] {
        in_house(async {
            let (server, address) = Server::start(&[]).await;
            let trusted = vec![address.ip()];
            for (flag, is_reached) in [(b'0', true), (b'm', false)] {
                let office = Office::with(Rc::new(OwnAddress));
                let ourselves = Ourselves { trusted: trusted.clone(), ..Ourselves::default() };
                office.relay.configure(&Settings::default(), ourselves);
                if is_errand {
                    office.relay.go_on_errand();
                }
                let mut job = with_flag(job(address, 1, &["c@one.test"]), flag);
                job.batch.host = b"one.test"[..].into();
                job.way = Way::Smtp { port: address.port() };
                assert_eq!(is_relayed(&office.one(job).await[0]), is_reached);
            }
            assert_eq!(server.received.borrow().len(), 1);
        });
    }
}

#[test]
fn a_connection_carries_as_many_messages_as_its_mailer_says() {
    for is_errand in [false, true] {
        in_house(async {
            let (server, address) = Server::start(&[]).await;
            let office = Office::new();
            if is_errand {
                office.relay.go_on_errand();
            }
            for number in 0..5 {
                let job = job(address, number, &["c@d"]);
                let carriage = Carriage { messages_max: 2, ..Carriage::default() };
                office.relay.submit(Job { carriage, ..job });
            }
            office.reports(5).await;
            assert_eq!((server.connections.get(), server.received.borrow().len()), (3, 5));
        });
    }
}

#[test]
fn two_mailers_share_no_connection() {
    in_house(async {
        let (server, address) = Server::start(&[]).await;
        let office = Office::new();
        for number in 0..4 {
            let mut job = job(address, number, &["c@d"]);
            job.batch.mailer = MailerId(u8::try_from(number % 2).unwrap());
            office.relay.submit(job);
        }
        office.reports(4).await;
        assert_eq!((server.connections.get(), server.received.borrow().len()), (2, 4));
    });
}

/// Where the settings have it.
type Timeout = fn(&mut Settings) -> &mut u32;

#[test]
fn each_phase_has_a_timeout_of_its_own() {
    let phases: [(&'static str, Timeout); 7] = [
        ("connect", |settings| &mut settings.timeouts.greeting_s),
        ("EHLO", |settings| &mut settings.timeouts.reply_s),
        ("MAIL", |settings| &mut settings.timeouts.mail_s),
        ("RCPT", |settings| &mut settings.timeouts.rcpt_s),
        ("DATA", |settings| &mut settings.timeouts.data_s),
        ("dot", |settings| &mut settings.timeouts.dot_s),
        ("RSET", |settings| &mut settings.calling.reset_s),
    ];
    in_house(async {
        let mut cases = Vec::new();
        for (phase, timeout) in phases {
            for is_short in [true, false] {
                cases.push(tokio::task::spawn_local(async move {
                    let (_server, address) = Server::start(&[fault(phase, 0, Deed::Silence)]).await;
                    let mut settings = patient();
                    settings.calling.is_patient = true;
                    *timeout(&mut settings) = if is_short { 1 } else { 100 };
                    let office = Office::new();
                    office.relay.configure(&settings, Ourselves::default());
                    office.relay.go_on_errand();
                    office.relay.submit(job(address, 1, &["c@d"]));
                    office.relay.submit(job(address, 2, &["c@d"]));
                    tokio::time::sleep(Duration::from_millis(2500)).await;
                    let reports = office.reports.borrow().clone();
                    // The first message is through when RSET is said; what falls silent then is called again.
                    let before_it = usize::from(phase == "RSET");
                    let has_ended = reports.len() > before_it;
                    assert_eq!(has_ended, is_short, "{phase} {reports:?}");
                }));
            }
        }
        for case in cases {
            case.await.unwrap();
        }
    });
}

#[test]
fn connections_come_from_where_and_go_where_the_configuration_says() {
    in_house(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let office = Office::new();
        let mut settings = Settings::default();
        settings.calling.only_to = Some(IpAddr::from([127, 0, 0, 1]));
        settings.calling.from.four = Some([127, 0, 0, 9].into());
        office.relay.configure(&settings, Ourselves::default());
        // Nobody is at this address, and nobody is asked there.
        office.relay.submit(job(SocketAddr::from(([192, 0, 2, 1], port)), 1, &["c@d"]));
        let (_stream, peer) = tokio::time::timeout(Duration::from_secs(10), listener.accept())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(peer.ip(), IpAddr::from([127, 0, 0, 9]));
    });
}

#[test]
fn what_became_of_a_host_is_told_where_that_is_kept_and_believed_by_the_next_errand() {
    in_house(async {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = closed.local_addr().unwrap();
        drop(closed);
        let mut settings = Settings::default();
        settings.calling.keeps_host_status = true;
        let errand = || {
            let office = Office::new();
            office.relay.configure(&settings, Ourselves::default());
            office.relay.go_on_errand();
            office
        };
        let first = errand();
        first.relay.submit(job(address, 1, &["c@d"]));
        let hosts = first.reports(1).await[0].hosts.clone();
        assert_eq!(hosts.len(), 1);
        // It is back, and nobody asks.
        let back = TcpListener::bind(address).await.unwrap();
        let second = errand();
        second.relay.learn(hosts.clone());
        let again = second.one(job(address, 2, &["c@d"])).await;
        assert!(matches!(again[0], Outcome::Later { .. }), "{again:?}");
        // A mailer with the flag `W` does not care.
        let third = errand();
        third.relay.learn(hosts);
        third.relay.submit(with_flag(job(address, 3, &["c@d"]), b'W'));
        tokio::time::timeout(Duration::from_secs(10), back.accept()).await.unwrap().unwrap();
    });
}
