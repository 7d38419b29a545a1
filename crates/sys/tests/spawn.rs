//! Our own program, started again: with nothing but what was handed over.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop")]

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use sys::spawn::{Child, Ended, Manner, Program};

/// Where the child finds its end. No test has that many descriptors.
const NUMBER: i32 = 177;

/// In the child alone: says what is open, then does what it is told.
#[test]
fn the_child() {
    let open = sys::deed::descriptors();
    // The other tests, in the same process, have that number open now and then.
    let is_alone = std::env::args().any(|word| word == "the_child");
    if !is_alone || !open.contains(&(NUMBER, "unix stream")) {
        return;
    }
    let mut link = UnixStream::from(sys::fd::inherited(NUMBER).unwrap());
    assert!(sys::fd::inherited(NUMBER).is_err(), "a descriptor has one owner");
    link.set_nonblocking(false).unwrap();
    let numbers: Vec<String> = open.iter().map(|(number, _)| number.to_string()).collect();
    let environment: Vec<String> =
        std::env::vars().map(|(name, _)| name).filter(|name| name != "TZ").collect();
    writeln!(link, "{} {}", numbers.join(","), environment.join(",")).unwrap();
    let mut order = [0; 1];
    link.read_exact(&mut order).unwrap();
    match order {
        [b'7'] => std::process::exit(7),
        [b'a'] => std::process::abort(),
        _ => std::thread::sleep(std::time::Duration::from_secs(20)),
    }
}

fn start(more: Vec<(OwnedFd, i32)>) -> (Child, UnixStream) {
    let (ours, theirs) = sys::socket::pair().unwrap();
    let words = ["test", "--exact", "the_child", "--nocapture", "--test-threads=1"];
    // What the test program in the child prints is nobody's result.
    let silence = std::fs::File::options().write(true).open("/dev/null").unwrap();
    let mut descriptors = vec![(theirs, NUMBER), (silence.into(), 1)];
    descriptors.extend(more);
    let manner = Manner { has_own_session: true, hears_signals: true, ..Manner::default() };
    let child = Program::ourselves().unwrap().start_as(&words, descriptors, manner).unwrap();
    let ours = UnixStream::from(ours);
    ours.set_nonblocking(false).unwrap();
    (child, ours)
}

fn report(link: &mut UnixStream) -> String {
    let mut text = String::new();
    let mut octet = [0; 1];
    while link.read(&mut octet).unwrap() == 1 && octet != *b"\n" {
        text.push(char::from(octet[0]));
    }
    text
}

#[test]
fn a_child_has_what_was_handed_over_and_nothing_else() {
    // Open across exec by somebody's mistake: it does not travel.
    let stray = rustix::io::dup(rustix::stdio::stderr()).unwrap();
    let (one, _other) = sys::socket::pair().unwrap();
    let (two, _another) = sys::socket::pair().unwrap();
    let (mut child, mut link) = start(vec![(one, 4), (two, 3)]);
    assert_eq!(report(&mut link), format!("0,1,2,3,4,{NUMBER} LC_ALL,PATH"));
    drop(stray);
    link.write_all(b"7").unwrap();
    assert_eq!(child.wait().unwrap(), Ended::Exited(7));
}

#[test]
fn how_a_child_ended_is_known() {
    let (mut child, mut link) = start(Vec::new());
    report(&mut link);
    assert_eq!(child.ended(), None);
    let watch = child.watch().unwrap();
    assert!(!sys::poll::readable(&watch, Some(0)).unwrap());
    link.write_all(b"a").unwrap();
    assert!(sys::poll::readable(&watch, Some(10_000)).unwrap());
    assert_eq!(child.ended(), Some(Ended::Signalled(6)));
}

#[test]
fn a_child_can_be_killed() {
    let (mut child, mut link) = start(Vec::new());
    report(&mut link);
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap(), Ended::Signalled(9));
}

#[test]
fn a_child_dies_with_who_started_it() {
    // The kernel looks at the thread that forked.
    let (mut child, mut link) = std::thread::spawn(|| start(Vec::new())).join().unwrap();
    assert!(report(&mut link).is_empty() || child.wait().is_ok());
    assert_eq!(child.wait().unwrap(), Ended::Signalled(9));
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let program = Program::ourselves().unwrap();
    let (one, two) = sys::socket::pair().unwrap();
    assert!(program.start(&["x"], vec![(one, 9), (two, 9)]).is_err());
    let (one, _two) = sys::socket::pair().unwrap();
    assert!(program.start(&["x"], vec![(one, -1)]).is_err());
    assert!(program.start(&[], Vec::new()).is_err());
}
