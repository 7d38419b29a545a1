//! What a stranger writes into an envelope or a header is no program, no file, and no bomb.

use crate::town::{BOB, LOCAL, Town, is_root};
use std::fmt::Write;
use std::time::{Duration, Instant};

/// Wants no mail from a command's name; notes the rest.
const PROGRAM: &str = "echo $1 >> DIR/out/record; cat > /dev/null; exit 67\n";

#[test]
fn a_program_as_sender_or_errors_to_is_not_run_for_the_report() {
    if !is_root() {
        return;
    }
    let town = Town::with(&["O UseErrorsTo=True\n", LOCAL].concat(), PROGRAM);
    let place = town.path().to_str().unwrap().to_owned();
    let sender = format!("\"|touch {place}/out/ran\"@mail.example.test");
    let file = format!("\"{place}/out/written\"@mail.example.test");
    let header = format!("Errors-To: {sender}, {file}\r\nReturn-Receipt-To: {sender}\r\n\r\n");
    for bad in [&sender, &file] {
        assert!(town.replies_to(bad, BOB).starts_with('5'));
    }
    town.send_all("alias@mail.example.test", BOB, &header);
    town.until("a refusal", || town.log().contains("stat=User unknown"));
    town.ends_without_a_deed();
}

#[test]
fn a_program_or_file_as_recipient_is_not_run_nor_written() {
    if !is_root() {
        return;
    }
    let town = Town::with(LOCAL, "cat > DIR/out/came\n");
    let place = town.path().to_str().unwrap().to_owned();
    let bad = [
        format!("\"|touch {place}/out/ran\""),
        format!("\"|touch {place}/out/ran\"@mail.example.test"),
        format!("{place}/out/written"),
        format!("\"{place}/out/written\"@mail.example.test"),
        format!(":include:{place}/passwd"),
        format!("\":include:{place}/passwd\"@mail.example.test"),
    ];
    for recipient in bad {
        let reply = town.replies_to("sender@remote.test", &recipient);
        assert!(reply.starts_with('5'), "{recipient} {reply}");
    }
    town.send(BOB);
    town.until("Bob's letter", || town.out("came").ends_with("hello\n"));
    for name in ["ran", "written"] {
        assert!(!town.path().join("out").join(name).exists());
    }
}

#[test]
fn aliases_that_double_at_each_step_come_to_one_letter_soon() {
    if !is_root() {
        return;
    }
    let town =
        Town::with(&["O MaxAliasRecursion=50\n", LOCAL].concat(), "echo $1 >> DIR/out/record\n");
    let mut text = String::from("last: bob\n");
    for step in 0..20 {
        let next = if step == 19 { "last".to_owned() } else { format!("a{}", step + 1) };
        writeln!(text, "a{step}: x{step}, y{step}\nx{step}: {next}\ny{step}: {next}").unwrap();
    }
    town.aliases(&text, 0o644);
    let since = Instant::now();
    town.send("a0");
    town.until("the letter", || town.out("record").contains(BOB));
    town.until("an empty queue", || town.mailq().contains("is empty"));
    assert!(since.elapsed() < Duration::from_secs(10));
    assert_eq!(town.out("record"), "bob\n");
}
