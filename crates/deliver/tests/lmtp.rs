//! LMTP to a scripted server.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop where something is wrong"
)]

use deliver::Body;
use deliver::lmtp::{Stream, deliver};
use policy::MailerId;
use policy::settings::Timeouts;
use queue::{Batch, BatchId, BatchRecipient, BodyKind, Notify, Outcome, Scope, Status};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

/// A server that says the n-th line of its script after the n-th line it gets (and the first at
/// once), the last ones after the dot; an empty line says nothing. It gives what it got.
fn server(script: &'static [&'static str]) -> (Stream, JoinHandle<String>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let thread = std::thread::spawn(move || {
        let mut got = String::new();
        let mut lines = BufReader::new(theirs.try_clone().unwrap());
        let mut theirs = theirs;
        let mut is_body = false;
        for words in script {
            if !words.is_empty() {
                theirs.write_all(words.as_bytes()).unwrap();
                theirs.write_all(b"\r\n").unwrap();
            }
            if words.starts_with("354") {
                is_body = true;
            }
            loop {
                let mut line = String::new();
                if lines.read_line(&mut line).unwrap_or(0) == 0 {
                    return got;
                }
                got.push_str(&line);
                if !is_body || line == ".\r\n" {
                    is_body = false;
                    break;
                }
            }
        }
        got
    });
    (Stream::Unix(ours), thread)
}

fn batch(users: &[&str]) -> Batch {
    let recipients = users.iter().enumerate().map(|(index, user)| BatchRecipient {
        index: u32::try_from(index).unwrap(),
        address: user.as_bytes().into(),
        user: user.as_bytes().into(),
        notify: Notify::default(),
        original: None,
    });
    Batch {
        id: BatchId(1),
        slot: 0,
        message: wire::QueueId::from_u64(1),
        mailer: MailerId(0),
        host: Box::default(),
        sender: b"a@b"[..].into(),
        recipients: recipients.collect(),
        size_bytes: 5,
        body: BodyKind::EightBit,
        is_utf8: false,
        ret: None,
        envelope_id: None,
        created_s: 0,
    }
}

/// A status, and whose trouble it is.
type Fate = (Status, Option<Scope>);

fn delivered(script: &'static [&'static str], batches: &[Batch]) -> (Vec<Vec<Fate>>, String) {
    let (stream, thread) = server(script);
    let mut timeouts = Timeouts::default();
    (timeouts.greeting_s, timeouts.reply_s, timeouts.data_s, timeouts.dot_s) = (1, 1, 1, 1);
    let body = Body::Bytes(b".x\r\n");
    let jobs: Vec<(&Batch, Body<'_>)> = batches.iter().map(|batch| (batch, body)).collect();
    let results = deliver(&stream, b"dovecot", b"our.name", &timeouts, &jobs);
    drop(stream);
    let status = |(_, outcome): &(u32, Outcome)| match outcome {
        Outcome::Delivered { .. } | Outcome::Relayed { .. } => (Status(2, 0, 0), None),
        Outcome::Later { trouble, scope } => (trouble.status, Some(*scope)),
        Outcome::Never(trouble) => (trouble.status, None),
    };
    let results = results.iter().map(|batch| batch.iter().map(status).collect()).collect();
    (results, thread.join().unwrap())
}

const GOOD: Fate = (Status(2, 0, 0), None);

#[test]
fn each_recipient_has_its_answer_after_the_dot() {
    let script = &[
        "220 hi",
        "250-hi\r\n250 8BITMIME",
        "250 ok",
        "250 ok",
        "550 5.1.1 no such user",
        "250 ok",
        "354 go on",
        "250 2.0.0 one\r\n452 4.2.2 full",
    ];
    let (results, got) = delivered(script, &[batch(&["one", "two", "three"])]);
    let full = (Status(4, 2, 2), Some(Scope::Recipient));
    assert_eq!(results, [vec![GOOD, (Status(5, 1, 1), None), full]]);
    assert_eq!(
        got,
        "LHLO our.name\r\nMAIL FROM:<a@b> BODY=8BITMIME\r\nRCPT TO:<one>\r\nRCPT TO:<two>\r\n\
         RCPT TO:<three>\r\nDATA\r\n..x\r\n.\r\nQUIT\r\n"
    );
}

#[test]
fn commands_go_together_where_the_server_takes_them_and_transactions_follow_each_other() {
    let script = &[
        "220 hi",
        "250-hi\r\n250 PIPELINING",
        "250 ok",
        "250 ok",
        "354 go on",
        "250 2.0.0 done",
        "250 ok",
        "450 4.2.1 no",
        "250 reset",
    ];
    let (results, got) = delivered(script, &[batch(&["one"]), batch(&["two"])]);
    assert_eq!(results, [vec![GOOD], vec![(Status(4, 2, 1), Some(Scope::Recipient))]]);
    assert!(got.ends_with("MAIL FROM:<a@b>\r\nRCPT TO:<two>\r\nRSET\r\nQUIT\r\n"), "{got}");
}

#[test]
fn a_connection_that_is_lost_is_for_later_with_all_that_follow() {
    let later = (Status(4, 4, 2), Some(Scope::Destination));
    let scripts: [&'static [&'static str]; 4] = [
        &["220 hi"],
        &["220 hi", "250 hi", "250 ok"],
        &["220 hi", "250 hi", "250 ok", "250 ok", "354 go"],
        &[""],
    ];
    for script in scripts {
        let (results, _) = delivered(script, &[batch(&["one"]), batch(&["two"])]);
        assert_eq!(results, [vec![later], vec![later]], "{script:?}");
    }
}

#[test]
fn a_server_that_is_none_or_says_no_is_for_later() {
    for greeting in ["554 5.3.2 go away", "421 4.3.2 later", "\u{0}"] {
        let script: &'static [&'static str] = Box::leak(Box::new([&*greeting.to_owned().leak()]));
        let (results, _) = delivered(script, &[batch(&["one"])]);
        assert_eq!(results[0][0].0.0, 4, "{greeting:?}");
        assert_eq!(results[0][0].1, Some(Scope::Destination));
    }
}

#[test]
fn addresses_that_would_be_commands_are_not_sent() {
    let script = &["220 hi", "250 hi", "250 ok", "250 ok", "354 go", "250 ok", ""];
    let (results, got) = delivered(script, &[batch(&["a>\r\nRSET", "b"])]);
    assert_eq!(results, [vec![(Status(5, 1, 3), None), GOOD]]);
    assert!(!got.contains("RSET"));
}
