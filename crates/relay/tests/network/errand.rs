//! Jobs of an errand: one after another, over connections that are kept, with all that is said.

use super::*;
use relay::Talk;

impl Office {
    /// On an errand of a `sendmail.cf`.
    fn on_errand() -> Self {
        let office = Self::with(Rc::new(NoNames));
        let mut settings = Settings::default();
        settings.calling.is_patient = true;
        for timeout in [&mut settings.timeouts.greeting_s, &mut settings.timeouts.mail_s] {
            *timeout = 1;
        }
        office.relay.configure(&settings, Ourselves::default());
        office.relay.go_on_errand();
        office
    }

    /// What is said when all is closed.
    async fn part(&self) -> Vec<Talk> {
        let (sender, parted) = tokio::sync::oneshot::channel();
        self.relay.part(Box::new(move |talk| drop(sender.send(talk))));
        parted.await.unwrap()
    }
}

/// The lines of both sides.
fn lines(talk: &[Talk]) -> Vec<String> {
    let line = |event: &Talk| {
        let Talk::Line(line) = event else { return None };
        Some(String::from_utf8_lossy(line).into_owned())
    };
    talk.iter().filter_map(line).collect()
}

#[test]
fn messages_of_an_errand_share_a_connection_and_rset_stands_between() {
    in_house(async {
        let (server, address) = Server::start(&[]).await;
        let office = Office::on_errand();
        for number in 1..=3 {
            office.relay.submit(job(address, number, &["c@d.example"]));
        }
        let reports = office.reports(3).await;
        assert!(reports.iter().all(|report| is_relayed(&report.results[0].1)));
        assert!(matches!(reports[0].talk.first(), Some(Talk::Connecting { .. })));
        assert_eq!(lines(&reports[1].talk).first().map(String::as_str), Some(">>> RSET"));
        assert!(reports[1].talk.iter().any(|event| matches!(event, Talk::Cached { .. })));
        let farewell = office.part().await;
        assert!(matches!(farewell.first(), Some(Talk::Closing { .. })));
        assert_eq!(lines(&farewell).first().map(String::as_str), Some(">>> QUIT"));
        assert_eq!(server.connections.get(), 1);
        assert!(office.relay.is_idle());
    });
}

fn tried(job: Job) -> Job {
    Job { batch: Batch { past: Past::Tried, ..job.batch }, ..job }
}

#[test]
fn recipients_that_come_for_the_first_time_are_named_from_the_last() {
    in_house(async {
        let (server, address) = Server::start(&[]).await;
        let office = Office::on_errand();
        office.relay.submit(job(address, 1, &["a@d", "b@d"]));
        office.relay.submit(tried(job(address, 2, &["a@d", "b@d"])));
        office.reports(2).await;
        let received = server.received.borrow();
        assert_eq!(received[0].rcpt, ["<b@d>", "<a@d>"]);
        assert_eq!(received[1].rcpt, ["<a@d>", "<b@d>"]);
    });
}

#[test]
fn a_server_that_floods_costs_a_bounded_record_and_its_escapes_are_gone() {
    in_house(async {
        let faults = [
            Fault { phase: "connect", nth: 1, deed: Deed::Raw(b"220-\x1b[2J\r\n") },
            Fault { phase: "MAIL", nth: 1, deed: Deed::Flood },
        ];
        for fault in faults {
            let (_server, address) = Server::start(&[fault]).await;
            let office = Office::on_errand();
            office.relay.submit(job(address, 1, &["c@d.example"]));
            let reports = office.reports(1).await;
            assert!(matches!(reports[0].results[0].1, Outcome::Later { .. } | Outcome::Never(_)));
            let said = lines(&reports[0].talk).concat();
            assert!(said.len() <= relay::TALK_BYTES_MAX && !said.contains('\x1b'));
        }
    });
}

#[test]
fn a_host_that_refuses_us_is_not_asked_again_in_the_same_errand() {
    in_house(async {
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = closed.local_addr().unwrap();
        drop(closed);
        let office = Office::on_errand();
        office.relay.submit(job(address, 1, &["c@d.example"]));
        office.relay.submit(job(address, 2, &["c@d.example"]));
        let reports = office.reports(2).await;
        let begins = |report: &Report| {
            report.talk.iter().any(|event| matches!(event, Talk::Connecting { .. }))
        };
        assert!(begins(&reports[0]) && !begins(&reports[1]));
        let host = |report: &Report| {
            let Outcome::Later { trouble, scope: Scope::Recipient } = &report.results[0].1 else {
                panic!("{:?}", report.results);
            };
            trouble.host.clone()
        };
        assert!(host(&reports[0]).ends_with(b" [127.0.0.1]"));
        assert_eq!(*host(&reports[1]), *b"[127.0.0.1]");
    });
}
