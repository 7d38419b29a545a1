//! Letters by every way in, and what was left while nobody served.

use crate::house::{House, until};
use std::time::Duration;

#[test]
fn letters_by_every_way_reach_the_mailbox() {
    let mut house = House::new();
    assert_eq!(house.talk().unwrap().send("smtp", "anna"), Some(true));
    let text = |number: &str| format!("X-Number: {number}\nTo: anna@example.org\n\nthe end\n");
    assert!(house.run(&["sendmail", "anna@example.org"], &text("sendmail")).status.success());
    assert!(house.run(&["sendmail", "-t", "-i"], &text("header")).status.success());
    let dialogue = "HELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<anna@c>\r\nDATA\r\n\
                    X-Number: dialogue\r\n\r\nthe end\r\n.\r\nQUIT\r\n";
    let said = house.run(&["sendmail", "-bs"], dialogue);
    assert!(String::from_utf8_lossy(&said.stdout).contains("Message accepted"), "{said:?}");
    until("four letters", || house.letters().len() == 4);
    let empty = |house: &House| {
        let queue = house.run(&["mailq"], "");
        String::from_utf8_lossy(&queue.stdout).contains("Total requests: 0")
    };
    until("an empty queue", || empty(&house));
    assert_eq!(house.stop(), Some(0));
}

#[test]
fn a_letter_that_was_left_while_nobody_served_is_delivered_once() {
    let mut house = House::new();
    assert_eq!(house.stop(), Some(0));
    let text = "X-Number: left\n\nthe end\n";
    assert!(house.run(&["sendmail", "anna@example.org"], text).status.success());
    house.start();
    until("the letter", || house.letters().contains_key("left"));
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(house.letters()["left"], 1);
}

/// Where the system's log is wanted and nobody listens, lines go to standard output; roles must not be killed for making that
/// file grow.
#[test]
fn a_log_that_falls_back_to_a_file_kills_no_role() {
    let mut house = House::empty();
    house.log_to = "syslog";
    let mailbox = house.data().join("mail").display().to_string();
    house.configure(&format!(
        "local_users = \"any\"\nlocal_domains = [\"example.org\"]\ndelivery = \"maildir\"\nmailbox = \"{mailbox}\""
    ));
    house.start();
    for number in ["one", "two", "three"] {
        assert_eq!(house.talk().unwrap().send(number, "anna"), Some(true));
    }
    until("three letters", || house.letters().len() == 3);
    assert!(!house.log().contains("was ended by signal"), "{}", house.log());
    assert_eq!(house.stop(), Some(0));
}
