//! Programs of mailers: where they stand, and what they can do to the server.

use crate::town::{BOB, EVE, EVES_UID, LOCAL, MALLORY, Town, is_root};
use std::os::unix::fs::MetadataExt;

/// A root folder of root's own, with the system's programs in it, and `out`.
const ROOT: &str = "mount -t tmpfs -o mode=755 none /mnt && cd /mnt && mkdir usr out && chmod 777 out \
    && mount --bind /usr usr && mount --bind DIR/out out && ln -s usr/bin bin && ln -s usr/lib lib \
    && ln -s usr/lib64 lib64 && cp DIR/program program && cd /";

#[test]
fn a_program_with_another_root_sees_nothing_else() {
    if !is_root() {
        return;
    }
    let local = "Mlocal, P=/bin/sh, F=lsDFMAw5:/|@qPn, /=/mnt, A=sh /program $u\n";
    let town = Town::prepared(local, "ls / > /out/root; id -u > /out/who; cat > /out/done\n", ROOT);
    town.send(BOB);
    town.until("the program", || town.out("done").ends_with("hello\n"));
    assert_eq!(town.out("root"), "bin\nlib\nlib64\nout\nprogram\nusr\n");
    assert_eq!(town.out("who"), "58102\n");
}

/// Processes of a user that are none of the server's own.
fn processes_of(uid: u32) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let is_his = |entry: &std::fs::DirEntry| {
        let is_his = std::fs::metadata(entry.path()).is_ok_and(|facts| facts.uid() == uid);
        let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        is_his && !words.is_empty() && !words.starts_with(b"ironpost")
    };
    entries.filter(is_his).count()
}

#[test]
fn a_program_that_forks_and_hides_is_ended_with_all_it_started() {
    if !is_root() {
        return;
    }
    let program = "grep processes /proc/self/limits | tr -s ' ' | cut -d ' ' -f 3 > DIR/out/limit
for n in 1 2 3 4 5 6 7 8 9; do setsid sh -c 'trap \"\" TERM HUP; setsid sleep 600 & sleep 600' & done
sleep 600\n";
    let local = "Mlocal, P=/bin/sh, F=lsDFMAw5:/|@qPn, W=4s, A=sh DIR/program $u\n";
    let town = Town::with(local, program);
    town.send(EVE);
    town.until("its processes", || processes_of(EVES_UID) > 15);
    town.until("the end", || town.log().contains("program took too long and was ended"));
    assert_eq!(processes_of(EVES_UID), 0);
    assert_eq!(town.out("limit").trim(), "2000");
}

#[test]
fn a_process_that_outlives_its_program_and_holds_its_input_delays_nobody() {
    if !is_root() {
        return;
    }
    let local = "Mlocal, P=/bin/sh, F=lsDFMAw5:/|@qPn, A=sh DIR/program $u\n";
    let town = Town::with(local, "setsid sleep 20 <&0 & exit 0\n");
    town.send_text(MALLORY, &"x\r\n".repeat(100_000));
    town.until("the delivery", || town.log().contains("stat=Sent"));
    town.send(MALLORY);
    town.until("the next", || town.log().matches("stat=Sent").count() == 2);
}

#[test]
fn a_message_whose_delivery_dies_twice_is_put_aside_and_the_rest_of_the_mail_goes_on() {
    if !is_root() {
        return;
    }
    let local = "Mlocal, P=/bin/sh, F=lsDFMAw5:/|@qPn, A=sh DIR/program $u\n";
    let program = "echo run >> DIR/out/$1; cat > DIR/out/letter
        grep -q poison DIR/out/letter && kill -9 $PPID; exit 0\n";
    let town = Town::with(local, program);
    town.send_text(EVE, "poison\r\n");
    town.until("the message aside", || {
        town.flush();
        town.mailq().contains("crashed")
    });
    assert_eq!(town.out(EVE), "run\nrun\n");
    for user in [BOB, EVE] {
        town.send(user);
    }
    town.until("the others", || town.log().matches("stat=Sent").count() == 2);
    assert_eq!(town.out(EVE), "run\nrun\nrun\n");
}

#[test]
fn files_are_written_below_the_safe_folder_only() {
    if !is_root() {
        return;
    }
    let lines = ["O SafeFileEnvironment=/mnt\n", LOCAL].concat();
    let town = Town::prepared(&lines, "", ROOT);
    town.aliases("inside: /out/box\nwhole: /mnt/out/box\nelsewhere: DIR/out/box\n", 0o644);
    for (number, name) in ["inside", "whole"].into_iter().enumerate() {
        town.send(name);
        town.until("the letter", || town.out("box").matches("hello").count() == number + 1);
    }
    town.send("elsewhere");
    town.until("the refusal", || town.log().contains("Can't create output"));
    assert_eq!(town.out("box").matches("hello").count(), 2);
}

#[test]
fn mail_waits_where_the_root_of_a_program_is_not_roots_alone_or_not_there() {
    for folder in ["DIR/out", "/no-such-folder"] {
        let local = format!("Mlocal, P=/bin/sh, F=lsDFMAw5:/|@qPn, /={folder}, A=sh /program $u\n");
        let town = Town::with(&local, "");
        town.send(if is_root() { BOB } else { "root" });
        town.until("the reason", || town.log().contains("stat=Deferred: /="));
    }
}

#[test]
fn a_program_is_as_nice_as_its_mailer_says() {
    if !is_root() {
        return;
    }
    let local = "Mlocal, P=/bin/sh, F=lsDFMAw5:/|@qPn, N=7, A=sh DIR/program $u\n";
    let town = Town::with(local, "cut -d ' ' -f 19 /proc/self/stat > DIR/out/nice\n");
    let own = rustix::process::getpriority_process(None).unwrap();
    town.send(BOB);
    town.until("the program", || !town.out("nice").is_empty());
    assert_eq!(town.out("nice").trim(), (own + 7).to_string());
}
