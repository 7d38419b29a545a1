//! Mail that goes on: a next hop that is down, one that refuses, mail that gets too old, and the reports about it.

use crate::house::{House, until};
use crate::port::free_port;
use crate::sink::Sink;

/// Mail for elsewhere goes to this port; local names have mailboxes.
fn lines(house: &House, port: u16, queue: &str) -> String {
    format!(
        "local_domains = [\"example.org\"]\nlocal_users = \"any\"\ndelivery = \"maildir\"\n\
         mailbox = \"{}\"\nsmart_host = \"127.0.0.1:{port}\"\nrelay_networks = [\"127.0.0.1\"]\n\
         trusted_next_hops = [\"127.0.0.1\"]\n[queue]\n{queue}\n",
        house.data().join("mail").display()
    )
}

fn house(port: u16, queue: &str) -> House {
    let mut house = House::empty();
    let lines = lines(&house, port, queue);
    house.configure(&lines);
    house.start();
    house
}

/// All letters in the mailbox of a name.
fn mailbox(house: &House, name: &str) -> Vec<String> {
    let folder = house.data().join("mail").join(name).join("new");
    let read = |path| std::fs::read_to_string(path).unwrap();
    crate::house::list(&folder).into_iter().map(read).collect()
}

fn send(house: &House, from: &str, to: &str) {
    let mut session = house.talk().unwrap();
    assert_eq!(session.say(&format!("MAIL FROM:<{from}>")), Some(250));
    assert_eq!(session.say(&format!("RCPT TO:<{to}>")), Some(250));
    assert_eq!(session.say("DATA"), Some(354));
    assert_eq!(session.say("X-Number: 1\r\nSubject: hello\r\n\r\nthe end\r\n."), Some(250));
}

#[test]
fn mail_for_a_host_that_is_down_waits_and_mailq_says_why() {
    let port = free_port();
    let house = house(port, "first_s = 1\nlongest_s = 1");
    send(&house, "anna@example.org", "bob@elsewhere.test");
    until("a reason", || house.mailq().contains("refused"));
    let listed = house.mailq();
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines[0].ends_with("(1 request)"), "{listed}");
    assert!(lines[2].ends_with(" <anna@example.org>"), "{listed}");
    assert!(lines[3].trim_start().starts_with('(') && lines[3].ends_with(')'), "{listed}");
    assert_eq!(lines[4].trim_start(), "<bob@elsewhere.test>", "{listed}");
    assert_eq!(lines[5], "\t\tTotal requests: 1", "{listed}");
    // It answers again: the mail goes by itself.
    let sink = Sink::start(port, "250 2.1.5 Ok");
    until("the letter", || sink.letters().len() == 1);
    let letter = sink.letters().remove(0);
    assert!(letter.sender.contains("<anna@example.org>"), "{letter:?}");
    assert!(letter.recipients[0].contains("<bob@elsewhere.test>"), "{letter:?}");
    until("an empty queue", || house.mailq().contains("is empty"));
}

#[test]
fn mail_that_gets_too_old_goes_back_with_a_report() {
    let house = house(free_port(), "first_s = 1\nlongest_s = 1\ngive_up_s = 2\nwarn_s = 0");
    send(&house, "anna@example.org", "bob@elsewhere.test");
    until("a report", || !mailbox(&house, "anna").is_empty());
    let report = mailbox(&house, "anna").remove(0);
    let wanted = [
        "Return-Path: <>\n",
        "Content-Type: multipart/report; report-type=delivery-status",
        "Content-Type: message/delivery-status",
        "Reporting-MTA: dns; mail.example.test",
        "Final-Recipient: rfc822; bob@elsewhere.test",
        "Action: failed",
        "Status: 4.",
        "X-Number: 1",
    ];
    for line in wanted {
        assert!(report.to_lowercase().contains(&line.to_lowercase()), "{line}: {report}");
    }
    until("an empty queue", || house.mailq().contains("is empty"));
}

#[test]
fn a_refused_recipient_is_reported_at_once_but_never_in_answer_to_a_report() {
    let sink = Sink::start(0, "550 5.1.1 No such user");
    let house = house(sink.port, "first_s = 1\nlongest_s = 1");
    send(&house, "anna@example.org", "bob@elsewhere.test");
    until("a report", || !mailbox(&house, "anna").is_empty());
    let report = mailbox(&house, "anna").remove(0);
    assert!(report.contains("Status: 5.1.1"), "{report}");
    // The answer to a report is no report to its sender, for it has none.
    send(&house, "", "bob@elsewhere.test");
    until("an empty queue", || house.mailq().contains("is empty"));
    assert!(house.log().contains("DSN: "), "{}", house.log());
    let mailboxes = crate::house::list(&house.data().join("mail"));
    for name in mailboxes.iter().map(|path| path.file_name().unwrap().to_str().unwrap()) {
        for letter in mailbox(&house, name) {
            let is_expected = name == "anna" || name == "postmaster";
            assert!(is_expected, "{name} got {letter}");
        }
    }
    assert_eq!(mailbox(&house, "anna").len(), 1);
    assert_eq!(sink.letters().len(), 0);
}

#[test]
fn mailq_marks_what_is_being_delivered() {
    // A next hop that takes the connection and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let house = house(silent.local_addr().unwrap().port(), "first_s = 1\nlongest_s = 1");
    send(&house, "anna@example.org", "bob@elsewhere.test");
    let line = |house: &House| house.mailq().lines().nth(2).unwrap_or_default().to_owned();
    until("a star", || line(&house).get(14..15) == Some("*"));
    drop(silent);
    until("no star", || line(&house).get(14..15) == Some(" "));
}
