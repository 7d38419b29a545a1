//! Wrong files, and files that are read again.

use crate::house::{House, PROGRAM, kill, until};
use std::fs;
use std::process::Command;
use tempfile::TempDir;

#[test]
fn a_wrong_configuration_is_named_with_its_place() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ironpost.toml");
    fs::write(&path, "host_name = \"mx.example.org\"\nlisten = [\"nowhere\"]\n").unwrap();
    for command in ["check", "serve"] {
        let output = Command::new(PROGRAM).args([command, "--config"]).arg(&path).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{command}: {text}");
        assert!(text.contains("ironpost.toml:2:"), "{command}: {text}");
    }
}

/// Mail for this domain is delivered here.
fn lines(house: &House, domain: &str) -> String {
    format!(
        "local_domains = [\"{domain}\"]\nlocal_users = \"any\"\ndelivery = \"maildir\"\n\
         mailbox = \"{}\"\nrelay_networks = []\nsmart_host = \"192.0.2.1\"\n",
        house.data().join("mail").display()
    )
}

/// The code of RCPT for this domain: 550 where VRFY-like local names have no user.
fn vrfy(session: &mut crate::house::Session, word: &str) -> String {
    session.ask(word).unwrap()
}

#[test]
fn new_sessions_follow_a_new_file_and_old_ones_keep_theirs() {
    let mut house = House::empty();
    let first = lines(&house, "first.test") + "[privacy]\nvrfy = false\n";
    house.configure(&first);
    house.start();
    let mut old = house.talk().unwrap();
    let before = vrfy(&mut old, "VRFY anna@first.test");
    assert!(before.starts_with("252"), "{before}");
    let second = lines(&house, "second.test") + "[privacy]\nvrfy = true\n";
    house.configure(&second);
    let before_pids = house.processes();
    kill("HUP", house.master());
    until("the new policy", || house.log().contains("new sessions follow it"));
    let answer = |house: &House| vrfy(&mut house.talk().unwrap(), "VRFY anna@second.test");
    until("a new answer", || answer(&house).starts_with("250"));
    // The session that was there before has the policy that was there before.
    assert_eq!(vrfy(&mut old, "VRFY anna@first.test"), before);
    assert_eq!(old.send("old", "anna"), Some(true));
    // Nobody but the policy was replaced.
    let after = house.processes();
    for (pid, role) in before_pids.iter().filter(|(_, role)| role != "policy") {
        assert!(after.iter().any(|(other, _)| other == pid), "{role} is gone");
    }
    drop(old);
    until("the end of the old policy", || {
        house.processes().iter().filter(|(_, role)| role == "policy").count() == 1
    });
}

#[test]
fn a_wrong_new_file_is_named_with_its_place_and_the_old_one_goes_on() {
    let mut house = House::empty();
    let first = lines(&house, "example.org");
    house.configure(&first);
    house.start();
    let right = fs::read_to_string(house.configuration()).unwrap();
    fs::write(house.configuration(), right.replace("relay_networks = []", "relay_networks = [7]"))
        .unwrap();
    kill("HUP", house.master());
    until("the complaint", || {
        house.log().contains("the configuration is wrong; the old one stays")
    });
    let log = house.log();
    let line = right.lines().position(|line| line.starts_with("relay_networks")).unwrap() + 1;
    assert!(log.contains(&format!("ironpost.toml:{line}:")), "{log}");
    assert_eq!(house.talk().unwrap().send("still", "anna"), Some(true));
    until("the letter", || house.letters().contains_key("still"));
    // A file that is right again is read again.
    fs::write(house.configuration(), right).unwrap();
    kill("HUP", house.master());
    until("the new policy", || house.log().contains("new sessions follow it"));
    assert_eq!(house.talk().unwrap().send("again", "anna"), Some(true));
}
