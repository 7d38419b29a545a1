//! A client and a server that follows a script.

use smtp::client::{Outcome, Protocol, Recipient, Session, Transaction, Want};

/// What is sent.
pub(crate) const BODY: &[u8] = b"Subject: x\r\n\r\n.dot\r\ntext\r\n";

/// Begins a transaction from `a@b.test` to these addresses.
pub(crate) fn begin(session: &mut Session, addresses: &[&str]) {
    let recipients: Vec<Recipient<'_>> = addresses
        .iter()
        .map(|address| Recipient {
            address: address.as_bytes(),
            is_reported: false,
            notify: None,
            original: None,
        })
        .collect();
    session.begin(&Transaction {
        sender: b"a@b.test",
        recipients: &recipients,
        size_bytes: u64::try_from(BODY.len()).unwrap(),
        body: Some(wire::command::BodyKind::EightBit),
        is_utf8: false,
        ret: None,
        envelope_id: None,
        is_own: false,
        by: None,
    });
}

/// Plays a script: after each piece of the server the client goes on as far as it can. Returns what the client sent.
pub(crate) fn play(session: &mut Session, server: &[&str], addresses: &[&str]) -> String {
    let mut sent = Vec::new();
    let mut has_begun = false;
    for said in server {
        session.receive(said.as_bytes());
        go_on(session, &mut has_begun, addresses);
        sent.append(session.output());
    }
    String::from_utf8(sent).unwrap()
}

fn go_on(session: &mut Session, has_begun: &mut bool, addresses: &[&str]) {
    if session.want() == Want::Transaction && !*has_begun {
        *has_begun = true;
        begin(session, addresses);
    }
    if session.want() == Want::Body {
        session.write_body(BODY);
        session.end_body();
    }
}

/// A session that follows a script to its end, what it sent, and what came of it.
pub(crate) fn run(
    protocol: Protocol,
    server: &[&str],
    addresses: &[&str],
) -> (Session, String, Vec<Outcome>) {
    let mut session = Session::new(protocol, b"us.test");
    let sent = play(&mut session, server, addresses);
    let results = session.results();
    (session, sent, results)
}
