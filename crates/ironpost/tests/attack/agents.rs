//! Local delivery agents in a mail spool of their own: the locks of others hold for them and theirs for others, and what they
//! leave there is neither lost nor in the way.

use crate::town::{BOB, LOCAL, MALLORY, Town, is_root};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// An agent that waits until it may write.
const SLOW: &str = "
cat > DIR/out/text
ls -a /var/mail > DIR/out/seen
echo x >> DIR/out/runs
while [ ! -e DIR/out/go ]; do sleep 0.05; done
cat DIR/out/text >> /var/mail/$1
";

fn in_spool(town: &Town, name: &str) -> PathBuf {
    town.path().join("mail").join(name)
}

fn mailbox(town: &Town, user: &str) -> String {
    fs::read_to_string(in_spool(town, user)).unwrap_or_default()
}

/// What is in the spool, sorted.
fn spool(town: &Town) -> Vec<String> {
    let entries = fs::read_dir(town.path().join("mail")).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn the_lock_of_others_keeps_an_agent_waiting_and_its_own_keeps_others() {
    if !is_root() {
        return;
    }
    let town = Town::with(LOCAL, SLOW);
    town.mailbox(BOB, "");
    let lock = in_spool(&town, "mallory.lock");
    fs::write(&lock, "1\n").unwrap();
    town.send(MALLORY);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(town.out("runs"), "", "while somebody else has the lock");
    fs::remove_file(&lock).unwrap();
    town.until("the agent", || !town.out("runs").is_empty());
    assert!(lock.exists());
    assert_eq!(town.out("seen"), ".\n..\nmallory\n");
    fs::write(town.path().join("out/go"), "").unwrap();
    town.until("the letter", || mailbox(&town, MALLORY).ends_with("\nhello\n"));
    town.until("no lock", || !lock.exists());
    assert_eq!(spool(&town), [BOB, MALLORY]);
}

#[test]
fn mail_that_an_agent_leaves_beside_the_mailbox_goes_into_it_and_the_rest_goes_away() {
    if !is_root() {
        return;
    }
    let town = Town::with(
        LOCAL,
        "
test -e /var/mail/$1.lock && echo found >> DIR/out/stale
echo 1 > /var/mail/$1.lock; echo junk > /var/mail/log; mkdir -p /var/mail/d/e
(echo 'From a@b.test  Sun Nov 22 02:06:58 2026'; cat; echo) > /var/mail/$1-spam
",
    );
    for count in 1..3 {
        town.send(MALLORY);
        let there = || mailbox(&town, MALLORY).matches("Subject: x\n\nhello\n").count();
        town.until("the letter", || there() == count);
    }
    assert!(mailbox(&town, MALLORY).starts_with("From sender@remote.test "));
    assert_eq!(town.out("stale"), "");
    assert_eq!(spool(&town), [MALLORY]);
}

#[test]
fn what_went_into_a_mailbox_that_was_replaced_is_delivered_again() {
    if !is_root() {
        return;
    }
    let town = Town::with(LOCAL, SLOW);
    town.send(MALLORY);
    town.until("the agent", || !town.out("runs").is_empty());
    fs::rename(in_spool(&town, MALLORY), in_spool(&town, "old")).unwrap();
    fs::write(town.path().join("out/go"), "").unwrap();
    town.until("the first try", || town.log().contains("mailbox was replaced"));
    assert!(town.mailq().contains("mallory"));
    town.flush();
    town.until("the letter", || mailbox(&town, MALLORY).ends_with("\nhello\n"));
    town.until("an empty queue", || !town.mailq().contains("mallory"));
}

#[test]
fn a_program_of_a_forward_file_finds_its_mailbox_made_and_talks_to_the_server() {
    if !is_root() {
        return;
    }
    let town = Town::with(LOCAL, "");
    let ask = [env!("CARGO_BIN_EXE_ironpost"), "mailq --data DIR/data > DIR/out/queue"].join(" ");
    town.forward(MALLORY, &format!("\"|cat >> /var/mail/{MALLORY} && {ask}\"\n"));
    town.send(MALLORY);
    town.until("the answer", || town.out("queue").contains("sender@remote.test"));
    assert!(mailbox(&town, MALLORY).ends_with("\nhello\n"));
    assert_eq!(spool(&town), [MALLORY]);
}
