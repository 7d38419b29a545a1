//! Aliases and lists: who may read them, and who is on them.

use crate::town::{BOB, LOCAL, MALLORY, Town, is_root};

/// Notes whom it delivers to.
const NOTE: &str = "echo $1 >> DIR/out/record; cat > /dev/null\n";

#[test]
fn an_alias_file_that_only_root_may_read_is_read_again_when_it_changes() {
    if !is_root() {
        return;
    }
    let town = Town::with(LOCAL, NOTE);
    for (number, user) in [BOB, MALLORY, BOB].into_iter().enumerate() {
        town.aliases(&format!("list: {user}\n# {}\n", "x".repeat(number)), 0o640);
        town.send("list");
        town.until("the letter", || town.out("record").lines().count() == number + 1);
        assert_eq!(town.out("record").lines().last(), Some(user));
    }
}

#[test]
fn a_sender_who_wants_none_of_his_own_mail_is_left_out_of_a_list() {
    if !is_root() {
        return;
    }
    let lines = ["O MeToo=False\n", LOCAL].concat();
    let town = Town::with(&lines, NOTE);
    town.aliases("list: bob, mallory\nalone: mallory\n", 0o644);
    town.send_from("mallory@mail.example.test", "alone");
    town.send_from("mallory@mail.example.test", "list");
    town.until("the letter", || !town.out("record").is_empty());
    town.send_from("mallory@mail.example.test", "mallory");
    town.until("the other letter", || town.out("record").lines().count() == 2);
    assert_eq!(town.out("record"), "bob\nmallory\n");
    town.until("an empty queue", || town.mailq().contains("is empty"));
}
