//! A disk that fills up: 452 before the message and at the dot, nothing torn, and mail again when there is room.

use crate::house::{House, Session, is_root, note, until};
use crate::port::free_port;
use crate::sink::Sink;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const MIB: u64 = 1024 * 1024;

/// Sessions at the same time.
const SESSIONS: usize = 4;

const NO_ROOM: &str = "452 4.4.5 Insufficient disk space; try again later\r\n";

/// Mail goes on to a next hop that does not answer yet.
fn lines(port: u16, free_bytes_min: u64) -> String {
    format!(
        "smart_host = \"127.0.0.1:{port}\"\nrelay_networks = [\"127.0.0.1\"]\n\
         trusted_next_hops = [\"127.0.0.1\"]\n[queue]\nfirst_s = 1\nlongest_s = 1\n\
         [limits]\nfree_bytes_min = {free_bytes_min}\nmessages_max = 1000000\n"
    )
}

/// Sends letters until there is no room, numbered from `next` on; who was acknowledged, and the last words of each session.
fn fill(house: &House, next: &AtomicUsize) -> (BTreeSet<String>, Vec<String>) {
    let (kept, said) = (Mutex::new(BTreeSet::new()), Mutex::new(Vec::new()));
    let body = "a line of text that is not short, so that there are not too many of them\r\n";
    let body = body.repeat(100 * 1024 / body.len());
    std::thread::scope(|scope| {
        for _ in 0..SESSIONS {
            scope.spawn(|| {
                let mut session = house.talk().unwrap();
                for _ in 0..2000 {
                    let number = next.fetch_add(1, Ordering::SeqCst).to_string();
                    let reply = session.letter(&number, "someone@elsewhere.test", &body).unwrap();
                    if reply.starts_with("250") {
                        kept.lock().unwrap().insert(number);
                    } else {
                        said.lock().unwrap().push(reply);
                        return;
                    }
                }
                panic!("the disk does not fill up");
            });
        }
    });
    (kept.into_inner().unwrap(), said.into_inner().unwrap())
}

fn mail_is(house: &House, wanted: &str) -> bool {
    let ask = |mut session: Session| session.ask("MAIL FROM:<a@example.org>");
    house.talk().and_then(ask).is_some_and(|said| said.starts_with(wanted))
}

/// Whether this machine lets us mount.
fn may_mount() -> bool {
    let words = ["-m", "sh", "-c", "mount -t tmpfs -o size=1m none /mnt"];
    is_root() && Command::new("unshare").args(words).status().is_ok_and(|status| status.success())
}

#[test]
fn a_full_disk_is_452_and_nothing_is_lost_or_torn() {
    if !may_mount() {
        note("no mounts here: a full disk is played by the bound of free space alone");
        return too_little_free_space();
    }
    let port = free_port();
    let mut house = House::empty();
    house.configure(&lines(port, 4 * 1024 * 1024));
    let spool = house.data().join("spool");
    fs::create_dir_all(&spool).unwrap();
    let spool = spool.display().to_string();
    // A file system of our own, in a mount namespace of our own, that ends with the server.
    let script =
        format!("mount -t tmpfs -o size=150m,mode=0711 none {spool} && exec \"$0\" \"$@\"");
    house = house.wrapped(&["unshare", "-m", "sh", "-c", &script]);
    house.start();
    let (next, mut kept) = (AtomicUsize::new(0), BTreeSet::new());
    // What the server clears away meanwhile makes room for a few more.
    until("452 at MAIL", || {
        let (more, said) = fill(&house, &next);
        assert!(said.iter().all(|reply| reply == NO_ROOM), "{said:?}");
        kept.extend(more);
        mail_is(&house, NO_ROOM)
    });
    assert!(kept.len() > 500, "{} letters fitted", kept.len());
    // Nobody dies of it, and what is queued stays queued.
    let queued = house.run(&["queue", "--json"], "");
    let queued = String::from_utf8_lossy(&queued.stdout).lines().count();
    assert_eq!(queued, kept.len());
    let larger = Command::new("nsenter")
        .args(["-m", "-t", &house.master().to_string()])
        .args(["mount", "-o", "remount,size=400m", &spool])
        .status();
    assert!(larger.unwrap().success());
    until("room", || mail_is(&house, "250"));
    let sink = Sink::start(port, "250 2.1.5 Ok");
    assert_eq!(house.talk().unwrap().send("after", "someone"), Some(true));
    drop(house.run(&["queue", "flush"], ""));
    until("all letters", || {
        let numbers = sink.numbers();
        numbers.contains_key("after") && kept.iter().all(|number| numbers.contains_key(number))
    });
    assert_eq!(house.stop(), Some(0));
}

/// The bound of free space lies a little below what is free; a file takes the rest.
#[test]
fn too_little_free_space_is_452_at_mail_until_there_is_more() {
    too_little_free_space();
}

fn too_little_free_space() {
    let mut house = House::empty();
    let free = Command::new("stat").args(["-f", "-c", "%a %S"]).arg(house.folder.path()).output();
    let free = String::from_utf8(free.unwrap().stdout).unwrap();
    let free: u64 = free.split_whitespace().map(|word| word.parse::<u64>().unwrap()).product();
    // Others use this disk, too: the distances are large.
    let filler = house.folder.path().join("filler");
    let take = |mib: u64| {
        let size = format!("{mib}M");
        let done = Command::new("fallocate").args(["-l", &size]).arg(&filler).status();
        assert!(done.unwrap().success(), "no file of {size}");
    };
    house.configure(&lines(free_port(), free.saturating_sub(1024 * MIB)));
    house.start();
    assert!(mail_is(&house, "250"));
    take((free / MIB).min(2048));
    until("452 at MAIL", || mail_is(&house, NO_ROOM));
    fs::remove_file(&filler).unwrap();
    until("room", || mail_is(&house, "250"));
}
