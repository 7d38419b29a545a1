//! Alias files, lists and `.forward` files as nobody should write them: who they are for gets an answer or waits, everybody
//! else is served.

use crate::town::{BOB, LOCAL, MALLORY, Town, is_root};
use std::fs;
use std::process::Command;

/// Notes whom it delivers to.
const NOTE: &str = "echo $1 >> DIR/out/record; cat > /dev/null\n";

/// Above what is read of one file.
const TOO_LARGE_BYTES: u64 = 70 << 20;

/// Makes a file without the octets on the disk.
fn large(town: &Town, name: &str) {
    fs::File::create(town.path().join(name)).unwrap().set_len(TOO_LARGE_BYTES).unwrap();
}

/// Mail for this name is answered with this; mail for Bob comes.
fn is_answered(town: &Town, name: &str, answer: &str) {
    let before = town.out("record").matches(BOB).count();
    town.send(name);
    town.send(BOB);
    town.until("Bob's letter", || town.out("record").matches(BOB).count() > before);
    town.until(answer, || town.log().contains(answer));
}

#[test]
fn a_forward_file_that_is_no_text_keeps_only_its_user_waiting() {
    if !is_root() {
        return;
    }
    let town = Town::with(LOCAL, NOTE);
    let forward = town.path().join("forward").join(MALLORY);
    let all: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    fs::write(&forward, all).unwrap();
    town.owned_by(MALLORY, &forward);
    let before = town.out("record").len();
    town.send(MALLORY);
    town.send(BOB);
    town.until("Bob's letter", || town.out("record").len() > before);
    // What opens slowly, or never: a pipe, and more than is read.
    fs::remove_file(&forward).unwrap();
    assert!(Command::new("mkfifo").arg(&forward).status().unwrap().success());
    town.owned_by(MALLORY, &forward);
    is_answered(&town, MALLORY, "to=<mallory>");
    fs::remove_file(&forward).unwrap();
    large(&town, "forward/mallory");
    town.owned_by(MALLORY, &forward);
    is_answered(&town, MALLORY, "to=<mallory>");
    town.until("an end of all", || {
        town.mailq().contains("is empty") || town.mailq().contains("mallory")
    });
}

#[test]
fn a_list_that_cannot_be_read_is_answered_as_sendmail_does_it() {
    if !is_root() {
        return;
    }
    let town = Town::with(LOCAL, NOTE);
    large(&town, "large");
    fs::create_dir(town.path().join("folder")).unwrap();
    assert!(Command::new("mkfifo").arg(town.path().join("pipe")).status().unwrap().success());
    town.aliases(
        "large: :include:DIR/large\nfolder: :include:DIR/folder\nnone: :include:DIR/none\npipe: :include:DIR/pipe\n",
        0o644,
    );
    for name in ["large", "folder", "none", "pipe"] {
        is_answered(&town, name, &format!("to=<{name}>"));
    }
}

#[test]
fn an_alias_file_that_is_half_written_or_no_text_loses_no_mail() {
    if !is_root() {
        return;
    }
    let town = Town::with(LOCAL, NOTE);
    town.aliases("list: bob\n", 0o644);
    is_answered(&town, "list", "to=bob");
    let all: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
    fs::write(town.path().join("aliases"), all).unwrap();
    is_answered(&town, "list", "to=<list>");
    // Removed and not there yet: what was there counts; a user needs none of it.
    fs::remove_file(town.path().join("aliases")).unwrap();
    let before = town.out("record").matches(MALLORY).count();
    town.send(MALLORY);
    town.until("the letter", || town.out("record").matches(MALLORY).count() > before);
}

/// A stranger chooses his sender, and with it the map that has no answer: nobody else's mail waits for that.
#[test]
fn a_sender_that_no_map_knows_now_keeps_only_his_own_message_waiting() {
    if !is_root() {
        return;
    }
    // The cage keeps the server from starting programs: it can't say what this one would have said.
    for map in ["socket unix:/nowhere", "program /bin/true"] {
        let lines = format!("Kbad {map}\nS21\nR$*@bad.test\t$: $(bad $1 $)\n");
        let local = LOCAL.replace("P=/bin/sh", "P=/bin/sh, S=21");
        let town = Town::with(&[&*lines, &local].concat(), "cat > DIR/out/$1\n");
        town.send_from("sender@bad.test", BOB);
        town.until("the first one waits", || town.mailq().contains("a map can't say now"));
        town.send(BOB);
        town.until("the second one", || town.out(BOB).ends_with("hello\n"));
        assert!(town.mailq().contains("sender@bad.test"), "{}", town.mailq());
    }
}
