//! The machine alone: what it says, and what it makes of what it hears.

use super::*;
use policy::MailerId;
use proptest::prelude::*;
use queue::{BatchId, BatchRecipient};

fn batch(users: &[&str]) -> Batch {
    let recipients = users.iter().enumerate().map(|(index, user)| BatchRecipient {
        index: u32::try_from(index).unwrap(),
        address: user.as_bytes().into(),
        user: user.as_bytes().into(),
        notify: Notify::SUCCESS.and(Notify::DELAY),
        original: Some(b"rfc822;x@y"[..].into()),
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
        ret: Some(Return::Headers),
        envelope_id: Some(b"id+2B1"[..].into()),
        created_s: 0,
    }
}

fn said(client: &mut Client) -> String {
    String::from_utf8(std::mem::take(&mut client.out)).unwrap()
}

/// A client that has said hello to a server with these extensions.
fn hello(extensions: &str) -> Client {
    let mut client = Client::new(b"our.name", b"mx");
    assert_eq!(client.want(), Want::Answer(Patience::Greeting));
    client.receive(b"220 mx ESMTP\r\n");
    assert_eq!(said(&mut client), "EHLO our.name\r\n");
    client.receive(format!("250-mx\r\n{extensions}250 HELP\r\n").as_bytes());
    assert_eq!(client.want(), Want::Nothing);
    client
}

fn statuses(client: &mut Client) -> Vec<u8> {
    assert_eq!(client.want(), Want::Nothing);
    let class = |(_, outcome)| match outcome {
        Outcome::Relayed { .. } | Outcome::Delivered { .. } => 2,
        Outcome::Later { .. } => 4,
        Outcome::Never(_) => 5,
    };
    client.results().into_iter().map(class).collect()
}

#[test]
fn everything_the_server_takes_goes_in_one_flight() {
    let mut client = hello("250-PIPELINING\r\n250-SIZE 10\r\n250-8BITMIME\r\n250-DSN\r\n");
    client.begin(&batch(&["c@d", "e@f"]));
    assert_eq!(
        said(&mut client),
        "MAIL FROM:<a@b> SIZE=5 BODY=8BITMIME RET=HDRS ENVID=id+2B1\r\n\
         RCPT TO:<c@d> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x@y\r\n\
         RCPT TO:<e@f> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x@y\r\nDATA\r\n"
    );
    client.receive(b"250 ok\r\n250 ok\r\n550 no\r\n354 go\r\n");
    assert_eq!(client.want(), Want::Body);
    client.write_body(b".x\r\n");
    client.end_body();
    assert_eq!(said(&mut client), "..x\r\n.\r\n");
    assert_eq!(client.want(), Want::Answer(Patience::Dot));
    client.receive(b"250 2.0.0 taken\r\n");
    assert_eq!(statuses(&mut client), [2, 5]);
}

#[test]
fn a_server_of_1982_is_asked_one_thing_at_a_time() {
    let mut client = Client::new(b"our.name", b"mx");
    client.receive(b"220 mx\r\n");
    said(&mut client);
    client.receive(b"500 what\r\n");
    assert_eq!(said(&mut client), "HELO our.name\r\n");
    client.receive(b"250 mx\r\n");
    client.begin(&batch(&["c@d", "e@f"]));
    for (command, answer) in [
        ("MAIL FROM:<a@b>\r\n", "250 ok\r\n"),
        ("RCPT TO:<c@d>\r\n", "450 later\r\n"),
        ("RCPT TO:<e@f>\r\n", "250 ok\r\n"),
        ("DATA\r\n", "354 go\r\n"),
    ] {
        assert_eq!(said(&mut client), command);
        client.receive(answer.as_bytes());
    }
    client.end_body();
    client.receive(b"250 ok\r\n");
    assert_eq!(statuses(&mut client), [4, 2]);
}

#[test]
fn nobody_accepted_means_no_data_and_a_reset_before_the_next() {
    let mut client = hello("");
    client.begin(&batch(&["c@d"]));
    client.receive(b"250 ok\r\n550 no\r\n");
    assert_eq!(statuses(&mut client), [5]);
    said(&mut client);
    client.begin(&batch(&["c@d"]));
    assert!(said(&mut client).starts_with("RSET\r\nMAIL FROM:<a@b>\r\n"));
}

#[test]
fn a_354_for_nobody_gets_an_empty_message() {
    let mut client = hello("250-PIPELINING\r\n");
    client.begin(&batch(&["c@d"]));
    said(&mut client);
    client.receive(b"250 ok\r\n550 no\r\n354 go\r\n");
    assert_eq!(said(&mut client), ".\r\n");
    client.receive(b"250 taken\r\n");
    assert_eq!(statuses(&mut client), [5]);
}

#[test]
fn what_the_server_cannot_carry_is_not_sent() {
    let mut client = hello("250-SIZE 4\r\n");
    client.begin(&batch(&["c@d"]));
    assert_eq!((said(&mut client), statuses(&mut client)), (String::new(), vec![5]));
    let mut client = hello("250-SIZE 0\r\n");
    client.begin(&Batch { is_utf8: true, ..batch(&["c@d"]) });
    assert_eq!((said(&mut client), statuses(&mut client)), (String::new(), vec![5]));
    client.begin(&Batch { sender: b"a\r\nRSET"[..].into(), ..batch(&["c@d"]) });
    assert_eq!((said(&mut client), statuses(&mut client)), (String::new(), vec![5]));
    client.begin(&batch(&["c>\r\nRSET\r\n", "d"]));
    client.receive(b"250 ok\r\n250 ok\r\n");
    assert!(!said(&mut client).contains("RSET"));
}

#[test]
fn an_answer_that_nobody_asked_for_ends_the_conversation() {
    let mut client = hello("");
    client.receive(b"250 surprise\r\n");
    assert!(client.gone().is_some());
}

/// Everything that can be seen of a conversation in which the server says `octets` in these pieces,
/// with a body sent where one is wanted.
fn conversation(pieces: &[&[u8]]) -> (Vec<u8>, Vec<(u32, Outcome)>, Option<Trouble>) {
    let mut client = Client::new(b"our.name", b"mx");
    let mut has_begun = false;
    let mut all = Vec::new();
    for octet in pieces.concat().chunks(1).filter(|_| pieces.len() == 1) {
        feed(&mut client, octet, &mut has_begun, &mut all);
    }
    for piece in pieces.iter().filter(|_| pieces.len() != 1) {
        feed(&mut client, piece, &mut has_begun, &mut all);
    }
    (all, client.results(), client.gone().cloned())
}

fn feed(client: &mut Client, octets: &[u8], has_begun: &mut bool, all: &mut Vec<u8>) {
    client.receive(octets);
    if client.want() == Want::Nothing && client.gone().is_none() && !*has_begun {
        *has_begun = true;
        client.begin(&batch(&["c@d", "e@f"]));
    }
    if client.want() == Want::Body {
        client.write_body(b"x\r\n");
        client.end_body();
    }
    all.append(&mut client.out);
}

fn replies() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just(b"220 hi\r\n".to_vec()),
        Just(b"250-hi\r\n250-PIPELINING\r\n250 SIZE 0\r\n".to_vec()),
        Just(b"250 ok\r\n".to_vec()),
        Just(b"354 go\r\n".to_vec()),
        Just(b"421 bye\r\n".to_vec()),
        Just(b"550 5.1.1 no\r\n".to_vec()),
        Just(b"450 no\r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..8),
    ];
    proptest::collection::vec(line, 0..12).prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn any_server_leaves_every_recipient_with_one_outcome_and_a_bounded_machine(said in replies()) {
        let (out, results, _) = conversation(&[&said]);
        prop_assert!(out.len() < 4096);
        prop_assert!(results.is_empty() || results.len() == 2);
    }

    #[test]
    fn octet_by_octet_is_the_same_as_in_two_pieces(said in replies(), cut: prop::sample::Index) {
        // One reply at most can be asked for between two pieces, so the flights are the same.
        let at = if said.is_empty() { 0 } else { cut.index(said.len()) };
        let by_octet = conversation(&[&said]);
        let (left, right) = said.split_at(at);
        let mut pieces: Vec<&[u8]> = left.split_inclusive(|&octet| octet == b'\n').collect();
        pieces.extend(right.split_inclusive(|&octet| octet == b'\n'));
        pieces.push(b"");
        pieces.push(b"");
        prop_assert_eq!(conversation(&pieces), by_octet);
    }
}
