//! SIGTERM: what was promised is finished, the others hear 421.

use crate::house::{House, kill};
use crate::port::free_port;
use crate::sink::Sink;
use std::io::Write;

#[test]
fn a_stop_says_421_to_who_is_idle_and_keeps_what_was_promised() {
    let mut house = House::new();
    let mut idle = house.talk().unwrap();
    assert_eq!(idle.say("EHLO client.test"), Some(250));
    let mut sending = house.talk().unwrap();
    for line in ["MAIL FROM:<a@example.org>", "RCPT TO:<anna@example.org>"] {
        assert_eq!(sending.say(line), Some(250));
    }
    assert_eq!(sending.say("DATA"), Some(354));
    sending.stream.write_all(b"X-Number: half\r\n\r\nhalf of").unwrap();
    assert_eq!(house.talk().unwrap().send("promised", "anna"), Some(true));
    kill("TERM", house.master());
    assert_eq!(idle.reply(), Some(421));
    assert_eq!(idle.reply(), None);
    // Half a message was no promise: 421 and the end, and it is not delivered.
    assert_eq!(sending.reply(), Some(421));
    assert_eq!(sending.reply(), None);
    assert_eq!(house.ended(), Some(0));
    house.start();
    crate::house::until("the letter", || house.letters().contains_key("promised"));
    assert_eq!(house.letters().len(), 1);
}

#[test]
fn what_could_not_go_out_before_the_stop_goes_out_after_the_start() {
    let port = free_port();
    let mut house = House::configured(&format!(
        "smart_host = \"127.0.0.1:{port}\"\nrelay_networks = [\"127.0.0.1\"]\n\
         trusted_next_hops = [\"127.0.0.1\"]\n"
    ));
    for number in ["1", "2", "3"] {
        assert_eq!(house.talk().unwrap().send(number, "bob"), Some(true));
    }
    assert_eq!(house.stop(), Some(0));
    let sink = Sink::start(port, "250 2.1.5 Ok");
    house.start();
    crate::house::until("three letters", || sink.numbers().len() == 3);
    assert_eq!(sink.letters().len(), 3);
}
