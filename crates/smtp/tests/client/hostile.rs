//! Servers that mean ill: whatever they say, each recipient has an outcome, nothing is lost, memory is bounded.

use proptest::prelude::*;
use proptest::sample::select;
use smtp::client::{
    Cause, Habits, Loss, Outcome, Protocol, Recipient, Scope, Session, Stage, Transaction, Want,
};

use crate::talk::{begin, play, run};

const GOOD: [&str; 5] = [
    "220 hi\r\n",
    "250-them.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
    "250 ok\r\n250 ok\r\n550 no\r\n354 go\r\n",
    "250 taken\r\n",
    "",
];
const TO: [&str; 2] = ["x@c", "y@c"];

/// Every way in which we talk: both protocols, as fast as may be and as patiently as sendmail.
const WAYS: [(Protocol, bool); 4] = [
    (Protocol::Smtp, false),
    (Protocol::Smtp, true),
    (Protocol::Lmtp, false),
    (Protocol::Lmtp, true),
];

fn session((protocol, is_patient): (Protocol, bool)) -> Session {
    let habits = Habits {
        is_patient,
        reads_loosely: is_patient,
        awaits_esmtp: false,
        shuns_esmtp: false,
        shuns_itself: is_patient,
        sends_chunks: false,
    };
    Session::new(protocol, b"us.test").with_habits(habits)
}

#[test]
fn a_connection_that_closes_at_any_octet_loses_nobody() {
    let whole = GOOD.concat();
    let cuts = |way| (0..=whole.len()).map(move |cut| (way, cut));
    for (way, cut) in WAYS.into_iter().flat_map(cuts) {
        let mut session = session(way);
        let mut left = cut;
        let said: Vec<&str> = GOOD
            .iter()
            .map(|said| {
                let (now, _) = said.split_at(left.min(said.len()));
                left -= now.len();
                now
            })
            .collect();
        play(&mut session, &said, &TO);
        let is_done = session.want() == Want::Transaction;
        if !is_done {
            session.lose(Loss::Closed);
            if cut < GOOD[0].len() + GOOD[1].len() {
                begin(&mut session, &TO);
            }
        }
        let results = session.results();
        assert_eq!(results.len(), 2, "{cut}");
        assert_eq!(matches!(results[0], Outcome::Delivered(_)), cut >= whole.len(), "{cut}");
        assert!(!matches!(results[0], Outcome::Never(_)), "{cut}");
        assert_eq!(is_done, cut >= whole.len(), "{cut}");
    }
}

#[test]
fn a_drop_behind_the_dot_is_for_later_and_not_untouched() {
    let mut session = Session::new(Protocol::Smtp, b"us.test");
    play(&mut session, &GOOD[..3], &TO);
    session.lose(Loss::Timeout);
    assert!(!session.is_untouched());
    let results = session.results();
    let later =
        Outcome::Later(Cause::Lost { stage: Stage::Dot, why: Loss::Timeout }, Scope::Destination);
    assert_eq!(results[0], later);
    assert!(matches!(results[1], Outcome::Never(_)), "what was said stays said");
}

#[test]
fn a_connection_that_was_closed_while_idle_leaves_the_transaction_untouched() {
    for said in ["421 idle too long\r\n", ""] {
        let mut session = Session::new(Protocol::Smtp, b"us.test");
        session.receive(GOOD[0].as_bytes());
        session.receive(GOOD[1].as_bytes());
        begin(&mut session, &TO);
        session.receive(said.as_bytes());
        session.lose(Loss::Closed);
        assert!(session.is_untouched(), "{said}");
        assert!(
            session
                .results()
                .iter()
                .all(|result| matches!(result, Outcome::Later(_, Scope::Destination)))
        );
    }
}

#[test]
fn a_421_at_any_place_is_for_later() {
    for place in 0..GOOD.len() {
        let mut said: Vec<&str> = GOOD[..place].to_vec();
        said.push("421 4.3.2 going down\r\n");
        let (mut session, ..) = run(Protocol::Smtp, &said, &TO);
        assert_eq!(session.want(), Want::Closed, "{place}");
        begin(&mut session, &TO);
        assert!(session.results().iter().all(|result| matches!(result, Outcome::Later(..))));
        assert!(session.gone().unwrap().to_string().starts_with("421 4.3.2"));
    }
}

#[test]
fn an_answer_that_nobody_asked_for_is_not_believed() {
    // The answer to the dot comes before the message.
    let mut session = Session::new(Protocol::Smtp, b"us.test");
    session.receive(b"220 hi\r\n");
    session.receive(GOOD[1].as_bytes());
    begin(&mut session, &TO);
    session.receive(b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n");
    assert_eq!(session.want(), Want::Closed);
    assert!(session.results().iter().all(|result| matches!(result, Outcome::Later(..))));
    // An answer too many behind the greeting.
    let mut session = Session::new(Protocol::Smtp, b"us.test");
    session.receive(b"220 hi\r\n250 x\r\n250 y\r\n");
    assert_eq!(session.want(), Want::Closed);
}

#[test]
fn answers_of_the_wrong_class_end_the_connection() {
    for (place, said) in [
        (0, "250 hi\r\n"),
        (0, "354 go\r\n"),
        (1, "354 go\r\n"),
        (2, "354 go\r\n"),
        (2, "250 a\r\n354 b\r\n"),
        (2, "250 a\r\n250 b\r\n250 c\r\n250 d\r\n"),
        (3, "354 more\r\n"),
    ] {
        let mut script: Vec<&str> = GOOD[..place].to_vec();
        script.push(said);
        let (session, _, results) = run(Protocol::Smtp, &script, &TO);
        assert_eq!(session.want(), Want::Closed, "{place} {said}");
        assert!(
            !results.iter().any(|result| matches!(result, Outcome::Delivered(_))),
            "{place} {said}"
        );
    }
}

#[test]
fn a_recipient_accepted_without_a_sender_is_not_sent_to() {
    let server = [GOOD[0], GOOD[1], "550 no\r\n250 ok\r\n250 ok\r\n354 go\r\n"];
    let (_, sent, results) = run(Protocol::Smtp, &server, &TO);
    assert!(sent.ends_with("DATA\r\n.\r\n"), "{sent}");
    assert!(results.iter().all(|result| matches!(result, Outcome::Never(_))));
}

#[test]
fn lines_that_are_no_replies_cost_a_patient_client_its_patience_and_no_memory() {
    for junk in ["hello there\r\n", "\0\0\x07\x1b[2J\r\n", "250-again\r\n", "2\n"] {
        for way in WAYS {
            let mut session = session(way);
            session.receive(b"220 hi\r\n");
            session.output().clear();
            let replies = session.replies();
            for _ in 0..10_000 {
                session.receive(junk.as_bytes());
            }
            // Nothing of it is an answer: the patience that began with EHLO goes on, or the connection is over.
            assert!(session.want() == Want::Closed || session.replies() == replies, "{junk}");
            assert!(session.output().is_empty() || session.want() == Want::Closed, "{junk}");
            begin(&mut session, &TO);
            let results = session.results();
            assert!(results.iter().all(|one| matches!(one, Outcome::Later(..))), "{junk}");
        }
    }
}

#[test]
fn octet_by_octet_is_as_good_as_at_once() {
    for way in WAYS {
        let mut session = session(way);
        let whole = GOOD.concat();
        let octets: Vec<&str> = whole.split_inclusive(|_: char| true).collect();
        play(&mut session, &octets, &TO);
        let results = session.results();
        assert!(matches!(results[0], Outcome::Delivered(_)), "{way:?}");
        assert!(matches!(results[1], Outcome::Never(_)), "{way:?}");
    }
}

#[test]
fn an_answer_to_a_message_for_nobody_is_no_answer_to_the_next_one() {
    // All recipients are refused behind PIPELINING, and the server answers the dot all the same.
    let server = [GOOD[0], GOOD[1], "250 ok\r\n550 no\r\n550 no\r\n354 go\r\n"];
    for early in ["", "250 taken\r\n", "503 nobody\r\n", "354 go\r\n"] {
        let mut session = session((Protocol::Lmtp, true));
        play(&mut session, &server, &TO);
        assert!(session.results().iter().all(|one| matches!(one, Outcome::Never(_))));
        session.receive(early.as_bytes());
        if session.want() == Want::Transaction {
            begin(&mut session, &TO);
        }
        for said in ["250 reset\r\n", "250 sender\r\n", "250 x\r\n", "250 y\r\n", "354 go\r\n"] {
            session.receive(said.as_bytes());
        }
        // What is one behind ends before the message goes out.
        assert_eq!(session.want() == Want::Body, early.is_empty(), "{early}");
    }
}

#[test]
fn endless_replies_cost_nothing() {
    let mut session = Session::new(Protocol::Smtp, b"us.test");
    for _ in 0..1_000_000 {
        session.receive(b"220-hi\r\n");
    }
    assert_eq!(session.want(), Want::Closed);
    let mut session = Session::new(Protocol::Smtp, b"us.test");
    for _ in 0..10_000 {
        session.receive(&[b'2'; 1000]);
    }
    assert_eq!(session.want(), Want::Closed);
    assert!(matches!(session.gone(), Some(Cause::Garbled { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_a_server_says_everybody_has_an_outcome(
        said in proptest::collection::vec(select(vec![
            "220 hi\r\n", "250 ok\r\n", "250-more\r\n", "354 go\r\n", "421 bye\r\n", "450 later\r\n", "550 no\r\n",
            "250-x\r\n250 PIPELINING\r\n", "\r\n", "\n", "\0\x7f", "HTTP/1.1 200 OK\r\n", "25", "0 ok", "999 x\r\n", "250 SIZE 5\r\n",
        ]), 0..14),
        way in select(WAYS.to_vec()),
        piece in 1usize..9,
    ) {
        let stream = said.concat();
        let pieces: Vec<&str> = stream.as_bytes().chunks(piece).map(|piece| std::str::from_utf8(piece).unwrap()).collect();
        let mut session = session(way);
        play(&mut session, &pieces, &TO);
        session.lose(Loss::Closed);
        let results = session.results();
        prop_assert!(results.is_empty() || results.len() == TO.len());
        prop_assert_eq!(session.want(), Want::Closed);
        begin(&mut session, &TO);
        prop_assert_eq!(session.results().len(), TO.len());
    }

    /// Every kind of malice at every step: endless lines, octet by octet, controls, NUL, answers before the question, the end at
    /// any octet. Whoever was promised nothing is not delivered, nobody is refused who was not, and nothing piles up.
    #[test]
    fn a_hostile_server_costs_itself_and_nobody_is_lost(
        step in 0..GOOD.len(),
        deed in 0..8_usize,
        cut in 0_usize..40,
        way in select(WAYS.to_vec()),
    ) {
        let evil = match deed {
            0 => "250-more\r\n".repeat(10_000),
            1 => "2".repeat(200_000),
            2 => "250 \u{1b}[2J\u{7}\u{8}\r\n".to_owned(),
            3 => "250 a\0b\r\n\0\r\n".to_owned(),
            4 => GOOD.concat(),
            5 => "\r\n".repeat(10_000),
            6 => "999 what\r\n250".to_owned(),
            _ => String::new(),
        };
        let (now, _) = GOOD[step].split_at(cut.min(GOOD[step].len()));
        let mut said: Vec<&str> = GOOD[..step].to_vec();
        said.push(now);
        let octets = evil.split_inclusive(|_: char| true);
        if deed == 2 { said.extend(octets) } else { said.push(&evil) }
        let mut session = session(way);
        let sent = play(&mut session, &said, &TO);
        prop_assert!(sent.len() < 2000, "{}", sent.len());
        prop_assert!(session.output().is_empty());
        session.lose(Loss::Closed);
        let mut results = session.results();
        if results.is_empty() {
            // It was lost before there was anything to send.
            begin(&mut session, &TO);
            results = session.results();
        }
        prop_assert_eq!(results.len(), TO.len());
        // Only who was really asked about the dot may say that it has the message.
        let was_asked = sent.contains("\r\n.\r\n");
        for one in &results {
            prop_assert!(was_asked || !matches!(one, Outcome::Delivered(_)), "{one:?}");
            if let Outcome::Later(cause, _) | Outcome::Never(cause) = one {
                let shown = cause.to_string();
                prop_assert!(!shown.contains(|octet: char| octet.is_control()), "{shown:?}");
                prop_assert!(shown.len() < 4096);
            }
        }
    }

    #[test]
    fn any_octets_are_survived(
        said in proptest::collection::vec(any::<u8>(), 0..400),
        way in select(WAYS.to_vec()),
    ) {
        let mut session = session(way);
        session.receive(b"220 x\r\n250 y\r\n");
        begin(&mut session, &TO);
        session.receive(&said);
        prop_assert_eq!(session.results().len(), TO.len());
    }
}

/// A session with a server that takes chunks, which was sent a message in one flight.
fn with_chunk() -> Session {
    let habits = Habits { sends_chunks: true, ..Habits::default() };
    let mut session = Session::new(Protocol::Smtp, b"us.test").with_habits(habits);
    session.receive(b"220 hi\r\n250-them.test\r\n250-PIPELINING\r\n250 CHUNKING\r\n");
    session.output().clear();
    assert!(session.takes_chunks());
    let recipients = TO.map(|address| Recipient {
        address: address.as_bytes(),
        notify: None,
        original: None,
        is_reported: false,
    });
    let transaction = Transaction {
        sender: b"a@b",
        recipients: &recipients,
        size_bytes: 6,
        body: None,
        is_utf8: false,
        ret: None,
        envelope_id: None,
        is_own: false,
        by: None,
    };
    session.begin_with(&transaction, Some(b".text\r\n".to_vec()));
    session
}

#[test]
fn a_chunk_goes_with_its_envelope_and_its_answer_is_that_of_all_who_were_accepted() {
    let mut session = with_chunk();
    let sent = String::from_utf8(session.output().clone()).unwrap();
    assert_eq!(
        sent,
        "MAIL From:<a@b>\r\nRCPT To:<x@c>\r\nRCPT To:<y@c>\r\nBDAT 7 LAST\r\n.text\r\n"
    );
    session.receive(b"250 ok\r\n250 ok\r\n550 no\r\n");
    assert_eq!(session.want(), Want::Answer(smtp::client::Patience::Dot));
    session.receive(b"250 taken\r\n");
    assert_eq!(session.want(), Want::Transaction);
    let results = session.results();
    assert!(matches!(results[0], Outcome::Delivered(_)) && matches!(results[1], Outcome::Never(_)));
}

#[test]
fn whatever_is_said_to_a_chunk_each_recipient_has_an_outcome() {
    let words = ["250 ok", "354 go", "450 no", "550 no", "503 no", "500 what", "421 bye", "", "2x"];
    for said in 0..words.len().pow(4) {
        let mut session = with_chunk();
        let mut number = said;
        let mut is_taken = true;
        for _ in 0..4 {
            session.receive(format!("{}\r\n", words[number % words.len()]).as_bytes());
            is_taken &= number % words.len() == 0;
            number /= words.len();
        }
        if session.want() != Want::Transaction {
            session.lose(Loss::Closed);
        }
        let results = session.results();
        assert_eq!(results.len(), 2);
        assert!(!is_taken || results.iter().all(|one| matches!(one, Outcome::Delivered(_))));
        let last = words[(said / words.len().pow(3)) % words.len()];
        let may_have_it = last.starts_with("250");
        assert!(may_have_it || !results.iter().any(|one| matches!(one, Outcome::Delivered(_))));
    }
}
