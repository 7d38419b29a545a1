//! Any octets from outside end their own session and nobody else.

use crate::house::{House, until};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

#[test]
fn garbage_on_the_port_ends_its_own_sessions_only() {
    let house = House::new();
    let before = house.processes();
    let mut random = 7_u64;
    for size in [1, 10, 1000, 50_000] {
        for _ in 0..8 {
            let garbage: Vec<u8> = (0..size)
                .map(|_| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(3);
                    random.to_le_bytes()[5]
                })
                .collect();
            let Some(mut session) = house.talk() else { panic!("no session") };
            drop(session.stream.write_all(&garbage));
            drop(session.stream.shutdown(std::net::Shutdown::Write));
            drop(session.input.read_to_end(&mut Vec::new()));
        }
    }
    for foreign in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\x02\x00\x01", b"SSH-2.0-x\r\n"] {
        let mut session = house.talk().unwrap();
        drop(session.stream.write_all(foreign));
        drop(session.input.read_to_end(&mut Vec::new()));
    }
    assert_eq!(house.talk().unwrap().send("after", "anna"), Some(true));
    // A delivery child may have come meanwhile; nobody may have gone.
    let after: Vec<i32> = house.processes().into_iter().map(|(pid, _)| pid).collect();
    assert!(before.iter().all(|(pid, _)| after.contains(pid)), "{before:?} {after:?}");
}

/// A connection to the control socket that is not used as it should be; what came back.
fn misuse(house: &House, octets: &[u8], is_slow: bool) -> Vec<u8> {
    let mut stream = UnixStream::connect(house.data().join("run/control")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    for piece in octets.chunks(if is_slow { 1 } else { 65_536 }) {
        // It may have had enough already.
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    drop(stream.shutdown(std::net::Shutdown::Write));
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let is_end = read.is_ok_and(|_| true)
        || stream.read(&mut [0]).is_ok_and(|count| count == 0)
        || stream.write_all(b"x").is_err();
    assert!(is_end, "the conversation hangs after {} octets", octets.len());
    answer
}

/// A frame with these lengths and octets.
fn frame(body: u32, head: u32, octets: &[u8]) -> Vec<u8> {
    [&body.to_le_bytes()[..], &head.to_le_bytes(), octets].concat()
}

#[test]
fn garbage_in_the_control_socket_ends_its_own_conversation_only() {
    let house = House::new();
    let before = house.processes();
    let mut random = 11_u64;
    let mut octets = |count: usize| -> Vec<u8> {
        let next = |_| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(3);
            random.to_le_bytes()[5]
        };
        (0..count).map(next).collect()
    };
    for size in [1, 7, 8, 9, 100, 5000, 200_000] {
        misuse(&house, &octets(size), false);
    }
    misuse(&house, &octets(300), true);
    // Lengths that are out of bounds, that do not fit together, that never come.
    for (body, head) in [(u32::MAX, 0), (0, u32::MAX), (4, 5), (0, 0), (1_000_000, 10), (8, 8)] {
        misuse(&house, &frame(body, head, &octets(8)), false);
    }
    // Each request's number with octets behind it that are not its own.
    for number in 0..=255_u8 {
        let head = [&[number][..], &octets(11)].concat();
        misuse(&house, &frame(12, 12, &head), number % 16 == 0);
    }
    // Descriptors that nobody asked for, and many conversations that say nothing.
    let silent: Vec<UnixStream> =
        (0..50).map(|_| UnixStream::connect(house.data().join("run/control")).unwrap()).collect();
    for _ in 0..50 {
        let stream = UnixStream::connect(house.data().join("run/control")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        let piece = frame(1, 1, &[3]);
        let pieces = [std::io::IoSlice::new(&piece)];
        sys::socket::send_with_fds(stream.as_fd(), &pieces, &[file.as_fd()]).unwrap();
        assert_eq!((&stream).read(&mut [0; 100]).unwrap_or(0), 0, "a descriptor was welcome");
    }
    drop(silent);
    let text = "X-Number: after\n\nthe end\n";
    assert!(house.run(&["sendmail", "anna@example.org"], text).status.success());
    until("the letter", || house.letters().contains_key("after"));
    let after: Vec<i32> = house.processes().into_iter().map(|(pid, _)| pid).collect();
    assert!(before.iter().all(|(pid, _)| after.contains(pid)), "{before:?} {after:?}");
}
