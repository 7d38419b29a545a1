//! What users of this machine leave in the way of the server.

use crate::town::{BOB, LOCAL, MALLORY, Town, is_root};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

/// Notes whom it delivers to.
const NOTE: &str = "echo $1 >> DIR/out/record; cat >> DIR/out/letters\n";

#[test]
fn a_list_that_others_may_write_runs_no_program_and_writes_no_file() {
    if !is_root() {
        return;
    }
    let town = Town::with(LOCAL, NOTE);
    let place = town.path().to_str().unwrap();
    let list = town.path().join("list");
    fs::write(&list, format!("bob\n\"|touch {place}/out/ran\"\n{place}/out/written\n")).unwrap();
    fs::set_permissions(&list, fs::Permissions::from_mode(0o666)).unwrap();
    town.aliases("list: :include:DIR/list\n", 0o644);
    town.send("list");
    town.until("an answer", || {
        town.log().contains("to=<list>") || town.out("record").contains(BOB)
    });
    town.ends_without_a_deed();
}

#[test]
fn what_is_put_into_the_drop_folder_is_no_way_to_the_files_of_others() {
    if !is_root() {
        return;
    }
    let town = Town::with(LOCAL, NOTE);
    let (drop, secret) = (town.path().join("data/spool/drop"), town.path().join("secret"));
    fs::write(&secret, "the secret\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    symlink(&secret, drop.join("0123456789abcdef0123456789abcdef")).unwrap();
    fs::hard_link(&secret, drop.join("1123456789abcdef0123456789abcdef")).unwrap();
    fs::create_dir(drop.join("2123456789abcdef0123456789abcdef")).unwrap();
    let pipe = drop.join("3123456789abcdef0123456789abcdef");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let garbage = drop.join("4123456789abcdef0123456789abcdef");
    fs::write(&garbage, b"ironpst1\xff\xff\xff\xff garbage").unwrap();
    town.owned_by(MALLORY, &garbage);
    town.hang_up();
    for number in 1..=2 {
        town.send(BOB);
        town.until("Bob's letter", || town.out("record").lines().count() == number);
    }
    assert!(!town.log().contains("the secret") && !town.out("letters").contains("the secret"));
    assert_eq!(fs::read_to_string(&secret).unwrap(), "the secret\n");
}

#[test]
fn a_hang_up_starts_no_program_that_the_first_word_names() {
    if !is_root() {
        return;
    }
    let town = Town::named("DIR/evil", LOCAL, NOTE);
    let evil = town.path().join("evil");
    fs::write(&evil, format!("#!/bin/sh\ntouch {}/out/evil\n", town.path().display())).unwrap();
    fs::set_permissions(&evil, fs::Permissions::from_mode(0o755)).unwrap();
    town.hang_up();
    town.until("the configuration", || town.log().contains("the configuration was read"));
    town.send(BOB);
    town.until("Bob's letter", || town.out("record").contains(BOB));
    assert!(!town.path().join("out/evil").exists());
}
