//! Transactions with servers that mean well.

use std::sync::Arc;

use policy::{Acceptance, Ask, MailerId, Origin, Route, Settings, Verdict};
use proptest::prelude::*;
use smtp::client::{
    Cause, Habits, Impossible, Outcome, Patience, Protocol, Recipient, Scope, Session, Stage,
    Transaction, Want,
};
use smtp::server::{self, Body, Input, Outbox, Request, Terms};
use wire::QueueId;
use wire::command::DeliverBy;
use wire::date::Date;
use wire::dsn::{Notify, Ret};

use crate::talk::{begin, play, run};

const HELLO: &str =
    "250-them.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250 DSN\r\n";

fn shown(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered(_) => "delivered",
        Outcome::Later(..) => "later",
        Outcome::Never(_) => "never",
    }
}

fn all(outcomes: &[Outcome]) -> Vec<&'static str> {
    outcomes.iter().map(shown).collect()
}

#[test]
fn a_transaction_is_one_flight_where_the_server_pipelines() {
    let server = [
        "220 hi\r\n",
        HELLO,
        "250 ok\r\n550 5.1.1 no\r\n450 later\r\n250 ok\r\n354 go\r\n",
        "250 2.0.0 taken\r\n",
    ];
    let (session, sent, results) = run(Protocol::Smtp, &server, &["x@c", "y@c", "z@c"]);
    assert_eq!(
        sent,
        "EHLO us.test\r\nMAIL From:<a@b.test> SIZE=26 BODY=8BITMIME\r\nRCPT To:<x@c>\r\nRCPT To:<y@c>\r\nRCPT To:<z@c>\r\nDATA\r\n\
         Subject: x\r\n\r\n..dot\r\ntext\r\n.\r\n"
    );
    assert_eq!(all(&results), ["never", "later", "delivered"]);
    assert_eq!(session.want(), Want::Transaction);
    let Outcome::Never(cause) = &results[0] else { panic!() };
    assert_eq!((cause.stage(), cause.status().to_string()), (Stage::Recipient, "5.1.1".into()));
    assert_eq!(cause.to_string(), "550 5.1.1 no");
}

/// What submit.cf's mailers (`F=…k`) need: the server of this host has our name, and is to get the mail.
#[test]
fn a_server_with_our_own_name_is_us_only_where_that_is_looked_for() {
    for (shuns_itself, wanted) in [(true, Want::Closed), (false, Want::Transaction)] {
        let habits = Habits { shuns_itself, ..Habits::default() };
        let mut session = Session::new(Protocol::Smtp, b"us.test").with_habits(habits);
        play(&mut session, &["220 hi\r\n", "250 us.test at your service\r\n"], &[]);
        assert_eq!(session.want(), wanted);
    }
}

#[test]
fn a_server_of_before_1995_gets_helo_and_one_command_at_a_time() {
    let mut session = Session::new(Protocol::Smtp, b"us.test");
    let said = |session: &mut Session, server: &str| play(session, &[server], &["x@c"]);
    assert_eq!(session.want(), Want::Answer(Patience::Greeting));
    assert_eq!(said(&mut session, "220 hi\r\n"), "EHLO us.test\r\n");
    assert_eq!(said(&mut session, "502 what?\r\n"), "HELO us.test\r\n");
    assert_eq!(said(&mut session, "250 hi\r\n"), "MAIL From:<a@b.test>\r\n");
    assert_eq!(said(&mut session, "250 ok\r\n"), "RCPT To:<x@c>\r\n");
    assert_eq!(said(&mut session, "250 ok\r\n"), "DATA\r\n");
    assert_eq!(session.want(), Want::Answer(Patience::Data));
    let body = "Subject: x\r\n\r\n..dot\r\ntext\r\n.\r\n";
    assert_eq!(said(&mut session, "354 go\r\n"), body);
    assert_eq!(session.want(), Want::Answer(Patience::Dot));
    session.receive(b"250 ok\r\n");
    assert_eq!(all(&session.results()), ["delivered"]);
}

#[test]
fn a_second_transaction_resets_only_what_the_first_one_left() {
    let mut session = Session::new(Protocol::Smtp, b"us.test");
    play(
        &mut session,
        &["220 hi\r\n", HELLO, "250 ok\r\n250 ok\r\n354 go\r\n", "250 ok\r\n"],
        &["x@c"],
    );
    begin(&mut session, &["y@c"]);
    assert!(session.output().starts_with(b"MAIL"));
    session.output().clear();
    session.receive(b"250 ok\r\n550 no\r\n503 nobody\r\n");
    assert_eq!(all(&session.results()), ["never"]);
    begin(&mut session, &["z@c"]);
    assert!(session.output().starts_with(b"RSET\r\nMAIL"), "the sender is still there");
    session.receive(b"250 reset\r\n250 ok\r\n250 ok\r\n354 go\r\n");
    assert_eq!(session.want(), Want::Body);
    session.end_body();
    session.receive(b"250 ok\r\n");
    assert_eq!(all(&session.results()), ["delivered"]);
    session.output().clear();
    session.quit();
    assert_eq!(session.output(), b"QUIT\r\n");
    assert_eq!(session.want(), Want::Closed);
}

#[test]
fn without_recipients_no_data_is_sent() {
    let server = ["220 hi\r\n", "250 plain\r\n", "250 ok\r\n", "550 no\r\n"];
    let (session, sent, results) = run(Protocol::Smtp, &server, &["x@c"]);
    assert!(!sent.contains("DATA"), "{sent}");
    assert_eq!(all(&results), ["never"]);
    assert_eq!(session.want(), Want::Transaction);
}

#[test]
fn a_message_for_nobody_is_empty() {
    let server = ["220 hi\r\n", HELLO, "250 ok\r\n550 no\r\n354 go\r\n", "554 nobody\r\n"];
    let (session, sent, results) = run(Protocol::Smtp, &server, &["x@c"]);
    assert!(sent.ends_with("DATA\r\n.\r\n"), "{sent}");
    assert_eq!(all(&results), ["never"]);
    assert_eq!(session.want(), Want::Transaction);
}

#[test]
fn a_refused_sender_is_everybodys_outcome() {
    let server = ["220 hi\r\n", HELLO, "451 4.7.1 greylisted\r\n503 no\r\n503 no\r\n503 no\r\n"];
    let (session, _, results) = run(Protocol::Smtp, &server, &["x@c", "y@c"]);
    assert_eq!(all(&results), ["later", "later"]);
    let Outcome::Later(cause, Scope::Recipient) = &results[1] else { panic!("{results:?}") };
    assert_eq!(cause.stage(), Stage::Mail);
    assert_eq!(session.want(), Want::Transaction);
}

#[test]
fn lmtp_answers_for_each_recipient() {
    let server = [
        "220 hi\r\n",
        "250-them\r\n250 PIPELINING\r\n",
        "250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n",
        "250 2.0.0 x has it\r\n",
        "452 4.2.2 z is full\r\n",
    ];
    let (session, sent, results) = run(Protocol::Lmtp, &server, &["x@c", "y@c", "z@c"]);
    assert!(sent.starts_with("LHLO us.test\r\n"));
    assert_eq!(all(&results), ["delivered", "never", "later"]);
    assert_eq!(session.want(), Want::Transaction);
}

#[test]
fn lmtp_that_breaks_between_answers_leaves_the_rest_for_later() {
    let server = [
        "220 hi\r\n",
        "250-t\r\n250 PIPELINING\r\n",
        "250 a\r\n250 b\r\n250 c\r\n354 d\r\n",
        "250 x\r\n421 bye\r\n",
    ];
    let (session, _, results) = run(Protocol::Lmtp, &server, &["x@c", "y@c"]);
    assert_eq!(all(&results), ["delivered", "later"]);
    assert_eq!(session.want(), Want::Closed);
}

/// A recipient with wishes.
const TO: &[Recipient<'_>] = &[Recipient {
    address: b"x@c",
    is_reported: true,
    notify: Some(Notify::On { success: true, failure: false, delay: true }),
    original: Some(b"rfc822;x+40c"),
}];

#[test]
fn dsn_parameters_go_to_who_knows_them() {
    let transaction = |recipients: &'static [Recipient<'static>]| Transaction {
        sender: b"",
        recipients,
        size_bytes: 10,
        body: None,
        is_utf8: false,
        ret: Some(Ret::Headers),
        envelope_id: Some(b"QQ"),
        is_own: false,
        by: None,
    };
    for (hello, mail, rcpt) in [
        (
            HELLO,
            "MAIL From:<> SIZE=10 ENVID=QQ RET=HDRS",
            "RCPT To:<x@c> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+40c",
        ),
        ("250-x\r\n250 PIPELINING\r\n", "MAIL From:<>", "RCPT To:<x@c>"),
    ] {
        let mut session = Session::new(Protocol::Smtp, b"us.test");
        session.receive(b"220 hi\r\n");
        session.receive(hello.as_bytes());
        session.output().clear();
        session.begin(&transaction(TO));
        let sent = String::from_utf8(session.output().clone()).unwrap();
        assert_eq!(sent, format!("{mail}\r\n{rcpt}\r\nDATA\r\n"));
    }
}

/// A deadline at which the message comes back.
const BY: DeliverBy = DeliverBy { seconds: 600, returns: true, traces: true };

#[test]
fn a_deadline_goes_on_to_a_server_that_knows_of_them_and_has_the_time() {
    let recipients =
        [Recipient { address: b"x@c", is_reported: false, notify: None, original: None }];
    let transaction = |by| Transaction {
        sender: b"a@b",
        recipients: &recipients,
        size_bytes: 0,
        body: None,
        is_utf8: false,
        ret: None,
        envelope_id: None,
        is_own: false,
        by: Some(by),
    };
    for (keyword, by, mail) in [
        ("DELIVERBY", BY, Some("MAIL From:<a@b> BY=600;RT")),
        ("DELIVERBY 900", BY, None),
        ("HELP", BY, None),
        ("HELP", DeliverBy { returns: false, ..BY }, Some("MAIL From:<a@b>")),
        (
            "DELIVERBY 900",
            DeliverBy { seconds: -5, returns: false, traces: false },
            Some("MAIL From:<a@b> BY=-5;N"),
        ),
    ] {
        let mut session = Session::new(Protocol::Smtp, b"us.test");
        session.receive(format!("220 hi\r\n250-x\r\n250 {keyword}\r\n").as_bytes());
        session.output().clear();
        session.begin(&transaction(by));
        let sent = String::from_utf8(session.output().clone()).unwrap();
        assert_eq!(sent.lines().next(), mail);
    }
}

#[test]
fn a_server_that_knows_of_logins_is_told_who_handed_a_message_in() {
    for (keyword, sender, is_own, mail) in [
        ("AUTH PLAIN", "a+b@c", true, "MAIL From:<a+b@c> AUTH=a+2Bb@c"),
        ("AUTH PLAIN", "a@b", false, "MAIL From:<a@b>"),
        ("AUTH PLAIN", "", true, "MAIL From:<>"),
        ("HELP", "a@b", true, "MAIL From:<a@b>"),
    ] {
        let mut session = Session::new(Protocol::Smtp, b"us.test");
        session.receive(format!("220 hi\r\n250-x\r\n250 {keyword}\r\n").as_bytes());
        session.output().clear();
        session.begin(&Transaction {
            sender: sender.as_bytes(),
            recipients: &[Recipient {
                address: b"x@c",
                is_reported: false,
                notify: None,
                original: None,
            }],
            size_bytes: 10,
            body: None,
            is_utf8: false,
            ret: None,
            envelope_id: None,
            is_own,
            by: None,
        });
        let sent = String::from_utf8(session.output().clone()).unwrap();
        assert_eq!(sent.lines().next(), Some(mail));
    }
}

#[test]
fn what_a_server_cannot_carry_is_not_tried() {
    let mut session = Session::new(Protocol::Smtp, b"us.test");
    session.receive(b"220 hi\r\n250-x\r\n250 SIZE 100\r\n");
    session.output().clear();
    let recipients =
        [Recipient { address: b"x@c", is_reported: false, notify: None, original: None }];
    let plain = Transaction {
        sender: b"a@b",
        recipients: &recipients,
        size_bytes: 10,
        body: None,
        is_utf8: false,
        ret: None,
        envelope_id: None,
        is_own: false,
        by: None,
    };
    for (transaction, why) in [
        (Transaction { is_utf8: true, ..plain }, Impossible::Utf8),
        (Transaction { sender: b"a\r\nb", ..plain }, Impossible::Sender),
        (Transaction { by: Some(BY), ..plain }, Impossible::NoDeadlines),
        (
            Transaction {
                recipients: &[Recipient {
                    address: b"x> NOTIFY=NEVER",
                    is_reported: false,
                    notify: None,
                    original: None,
                }],
                ..plain
            },
            Impossible::Address,
        ),
    ] {
        session.begin(&transaction);
        assert_eq!(session.results(), [Outcome::Never(Cause::Impossible(why))]);
        assert_eq!(session.want(), Want::Transaction);
        assert!(session.output().is_empty());
    }
}

#[test]
fn a_long_list_goes_out_in_flights_that_fit_the_sockets() {
    let addresses: Vec<String> = (0..1000).map(|number| format!("r{number}@c.test")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let mut session = Session::new(Protocol::Smtp, b"us.test");
    session.receive(b"220 hi\r\n");
    session.receive(HELLO.as_bytes());
    session.output().clear();
    begin(&mut session, &addresses);
    let (mut commands, mut largest) = (0, 0);
    while session.want() != Want::Body {
        let sent = core::mem::take(session.output());
        largest = largest.max(sent.len());
        for line in sent.split(|&octet| octet == b'\n').filter(|line| !line.is_empty()) {
            commands += 1;
            session.receive(if line.starts_with(b"DATA") { b"354 go\r\n" } else { b"250 ok\r\n" });
        }
    }
    assert_eq!(commands, 1002);
    assert!(largest < 4096, "{largest}");
    session.end_body();
    session.receive(b"250 ok\r\n");
    assert!(session.results().iter().all(|outcome| matches!(outcome, Outcome::Delivered(_))));
}

/// Our server's half, with a policy that takes everything; what it stored.
fn to_ourselves(body: &[u8], piece: usize) -> (Vec<Outcome>, Vec<u8>) {
    let origin = Origin::Client {
        peer: "192.0.2.1:1".parse().unwrap(),
        local: "192.0.2.2:25".parse().unwrap(),
        name: Box::default(),
        resolved: policy::Resolved::Fail,
    };
    let terms = Terms { settings: Settings::default() };
    let mut theirs = server::Session::new(Arc::new(terms), 0, origin);
    let moment =
        server::Moment { now: Date { unix_s: 0, offset_s: 0 }, fresh_id: QueueId::new(1, 1) };
    let mut ours = Session::new(Protocol::Smtp, b"us.test");
    let (mut out, mut stored, mut has_begun) = (Outbox::default(), vec![], false);
    let mut pending: Vec<u8> = vec![];
    theirs.step(Input::Open, &moment, &mut out);
    loop {
        ours.receive(&out.bytes);
        out.bytes.clear();
        match ours.want() {
            Want::Transaction if has_begun => return (ours.results(), stored),
            Want::Transaction => {
                has_begun = true;
                begin(&mut ours, &["x@c", "y@c"]);
            }
            Want::Body => {
                body.chunks(piece).for_each(|piece| ours.write_body(piece));
                ours.end_body();
            }
            Want::Answer(_) => {}
            Want::Closed => panic!("{:?}", ours.gone()),
        }
        pending.append(ours.output());
        let taken = theirs.step(Input::Bytes(&pending), &moment, &mut out).octets;
        pending.drain(..taken);
        while let Some(request) = out.request.take() {
            let answer = match request {
                Request::Pause { .. } => Input::Paused,
                Request::Ask(question) => Input::Verdict(Verdict::Accept(Acceptance {
                    route: matches!(question.ask, Ask::Recipient { .. }).then(|| Route {
                        mailer: MailerId(0),
                        host: Box::default(),
                        user: Box::default(),
                        expands: false,
                    }),
                    ..Acceptance::default()
                })),
                Request::OpenLarge => Input::LargeReady,
                Request::Store(message) => {
                    let id = message.id;
                    let Body::Inline(text) = message.body else { panic!("small") };
                    stored = text;
                    Input::Stored(id)
                }
            };
            theirs.step(answer, &moment, &mut out);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_we_send_is_what_we_take(lines in proptest::collection::vec("[.]{0,3}[ -~]{0,40}", 0..12), piece in 1usize..30) {
        let body = format!("Subject: x\r\n\r\n{}\r\n", lines.join("\r\n"));
        let (results, stored) = to_ourselves(body.as_bytes(), piece);
        prop_assert_eq!(all(&results), ["delivered", "delivered"]);
        prop_assert!(stored.ends_with(body.as_bytes()));
    }
}
