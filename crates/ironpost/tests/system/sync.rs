//! No 250 before the sync: what the kernel saw, in its order.

use crate::house::{House, note, until};
use std::fs;
use std::process::{Command, Stdio};

const LETTERS: usize = 20;

/// What a call of this line came to: the line itself, or where it is resumed, later.
fn end_of(lines: &[&str], start: usize) -> Option<usize> {
    if !lines[start].ends_with("<unfinished ...>") {
        return Some(start);
    }
    let process = lines[start].split_whitespace().next()?;
    let is_end =
        |line: &&str| line.starts_with(&format!("{process} ")) && line.contains("resumed>");
    Some(start + 1 + lines.iter().skip(start + 1).position(is_end)?)
}

#[test]
fn every_250_comes_after_the_sync_of_its_message() {
    let has_strace = Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok();
    if !has_strace {
        note("strace is not there: only the spool's own test of the order was made");
        return;
    }
    let mut house = House::empty();
    let trace = house.folder.path().join("trace");
    let calls = "trace=openat,pwrite64,pwritev,fdatasync,fsync,sendto,write,writev";
    let trace_name = trace.display().to_string();
    house =
        house.wrapped(&["strace", "-D", "-f", "-y", "-s", "5000", "-o", &trace_name, "-e", calls]);
    house.start();
    let mut replies = Vec::new();
    let mut session = house.talk().unwrap();
    for number in 0..LETTERS {
        let to = format!("user{}@example.org", number % 3);
        let reply = session.letter(&format!("{number} of the traced"), &to, "text\r\n").unwrap();
        assert!(reply.starts_with("250 2.0.0 "), "{reply}");
        replies.push(reply.trim_end().to_owned());
    }
    until("the letters", || house.letters().len() == LETTERS);
    assert_eq!(house.stop(), Some(0));
    let text = String::from_utf8_lossy(&fs::read(&trace).unwrap()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let position = |is_it: &dyn Fn(&str) -> bool| lines.iter().position(|line| is_it(line));
    for (number, reply) in replies.iter().enumerate() {
        let mark = format!("X-Number: {number} of the traced");
        let written = position(&|line: &str| {
            line.contains("pwrite64(") && line.contains(".seg>") && line.contains(&mark)
        });
        let written = written.expect("no write of the message into a segment");
        let path = lines[written].split(['<', '>']).nth(1).unwrap();
        let segment = path.split("/spool/").nth(1).unwrap();
        let written = end_of(&lines, written).expect("the write came to no end");
        let is_open = |line: &str| {
            line.contains("openat(") && line.contains("SYNC") && line.contains(segment)
        };
        let durable = if lines.iter().any(|line| is_open(line)) {
            written
        } else {
            let is_sync = |line: &&str| line.contains("fdatasync(") && line.contains(segment);
            let sync = lines[written..].iter().position(is_sync).expect("no sync of the segment");
            end_of(&lines, written + sync).expect("the sync came to no end")
        };
        let is_reply =
            |line: &str| line.contains("sendto(") && line.contains(&reply[..40.min(reply.len())]);
        let answer = position(&is_reply).expect("no reply");
        assert!(durable < answer, "{reply} came before its message was durable");
        // The mailbox is synced before the queue forgets the message.
        let is_mail = |line: &str| {
            (line.contains("fsync(") || line.contains("fdatasync(")) && line.contains("/mail/user")
        };
        assert!(position(&is_mail).is_some(), "no sync of a mailbox");
    }
}
