//! Any octets on each internal edge: an error or a value, never a panic, never a wait without end.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]

use daemon::edges::{
    Asked, FromPolicy, FromQueue, Listed, News, NotStored, Order, Resolved, ToPolicy, ToQueue,
    Tried, Try,
};
use daemon::link::{Link, LinkError};
use daemon::request::{Answer, Request};
use policy::settings::FRAME_BYTES_MAX;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{IoSlice, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use wire::QueueId;

/// What an end of an edge made of what came: frames taken, and how it ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It waits for more.
    Waits(usize),
    /// It has given the edge up.
    Over(usize),
}

fn pair() -> (UnixStream, Link) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    (ours, Link::new(OwnedFd::from(theirs)))
}

/// Reads all that is there, as the loops of the roles do.
fn read<T: DeserializeOwned>(link: &mut Link) -> End {
    let mut frames = 0;
    // Every turn reads something or ends: no more turns than octets.
    for _ in 0..10_000 {
        let filled = link.fill();
        loop {
            match link.receive::<T>() {
                Ok(Some(_)) => frames += 1,
                Ok(None) => break,
                Err(_) => return End::Over(frames),
            }
        }
        match filled {
            Ok(true) => {}
            Ok(false) => return End::Waits(frames),
            Err(_) => return End::Over(frames),
        }
    }
    panic!("an edge that never comes to rest");
}

fn deliver<T: DeserializeOwned>(octets: &[u8]) -> End {
    let (mut ours, mut link) = pair();
    ours.write_all(octets).unwrap();
    read::<T>(&mut link)
}

/// The same octets on every edge, in every direction.
fn on_each_edge(octets: &[u8]) -> Vec<End> {
    vec![
        deliver::<Order>(octets),
        deliver::<News>(octets),
        deliver::<ToPolicy>(octets),
        deliver::<FromPolicy>(octets),
        deliver::<ToQueue>(octets),
        deliver::<FromQueue>(octets),
        deliver::<Try>(octets),
        deliver::<Tried>(octets),
        deliver::<Asked>(octets),
        deliver::<Resolved>(octets),
        deliver::<Request>(octets),
        deliver::<Answer>(octets),
    ]
}

fn frame(head: &[u8], tail: &[u8]) -> Vec<u8> {
    let body = u32::try_from(head.len() + tail.len()).unwrap();
    let head_bytes = u32::try_from(head.len()).unwrap();
    [&body.to_le_bytes()[..], &head_bytes.to_le_bytes(), head, tail].concat()
}

/// What a link of ours sends for a value.
fn sent<T: Serialize>(head: &T, tail: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut link = Link::new(OwnedFd::from(ours));
    link.send(head, tail).unwrap();
    assert!(link.flush().unwrap());
    drop(link);
    let mut octets = Vec::new();
    { theirs }.read_to_end(&mut octets).unwrap();
    octets
}

/// Frames as they are in life.
fn examples() -> Vec<Vec<u8>> {
    let id = QueueId::from_u64(77);
    let listed = Listed {
        id,
        size_bytes: 1,
        created_s: 2,
        is_active: true,
        quarantine: b"a look"[..].into(),
        sender: b"a@b"[..].into(),
        status: b"Deferred"[..].into(),
        recipients: vec![daemon::edges::ListedRecipient {
            address: b"c@d"[..].into(),
            controller: None,
            status: Box::default(),
        }],
        priority: 1,
        tried_s: 0,
        is_warned: false,
        is_eight_bit: None,
    };
    let envelope: Box<[u8]> = b"envelope"[..].into();
    vec![
        sent(&ToQueue::Commit { ticket: 1, envelope, large_bytes: None }, b"body"),
        sent(&ToQueue::List { ticket: 3, after: 0 }, &[]),
        sent(&ToQueue::Remove { ticket: 4, id }, &[]),
        sent(&FromQueue::Stored { ticket: 1, id }, &[]),
        sent(&FromQueue::NotStored { ticket: 1, why: NotStored::Full }, &[]),
        sent(&FromQueue::Listed { ticket: 1, entries: vec![listed] }, &[]),
        sent(&Order::Settings(Box::default()), &[]),
        sent(&Order::Prove { ticket: 1, with_deeds: true }, &[]),
        sent(&News::Wrong("a.toml:1:1: no".into()), &[]),
        sent(&Request::Remove(id), &[]),
        sent(&Request::Body, &[b'x'; 3000]),
        sent(&Answer::NotNow("later".into()), &[]),
    ]
}

proptest! {
    #[test]
    fn any_octets_are_answered_on_every_edge(octets in prop::collection::vec(any::<u8>(), 0..4000)) {
        on_each_edge(&octets);
    }

    #[test]
    fn any_head_in_a_sound_frame_is_answered_on_every_edge(
        head in prop::collection::vec(any::<u8>(), 0..200),
        tail in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        on_each_edge(&frame(&head, &tail));
    }

    #[test]
    fn a_number_of_a_kind_with_any_octets_behind_it_is_answered_on_every_edge(
        kind in 0_u8..16,
        rest in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        on_each_edge(&frame(&[&[kind][..], &rest].concat(), &[]));
    }

    #[test]
    fn one_octet_changed_in_a_frame_is_answered_on_every_edge(
        which in 0_usize..12, at in any::<prop::sample::Index>(), octet in any::<u8>(),
    ) {
        let mut octets = examples().swap_remove(which);
        let at = at.index(octets.len());
        octets[at] = octet;
        on_each_edge(&octets);
    }
}

#[test]
fn a_frame_that_is_cut_anywhere_waits_for_its_rest_and_takes_it() {
    let octets = sent(&ToQueue::List { ticket: 3, after: 9 }, b"tail");
    for cut in 0..octets.len() {
        let (mut ours, mut link) = pair();
        ours.write_all(&octets[..cut]).unwrap();
        assert_eq!(read::<ToQueue>(&mut link), End::Waits(0), "cut at {cut}");
        ours.write_all(&octets[cut..]).unwrap();
        assert_eq!(read::<ToQueue>(&mut link), End::Waits(1), "cut at {cut}");
    }
}

#[test]
fn frames_split_at_every_octet_come_whole() {
    let octets: Vec<u8> = examples().into_iter().skip(1).take(2).flatten().collect();
    let (mut ours, mut link) = pair();
    let mut frames = 0;
    for octet in octets {
        ours.write_all(&[octet]).unwrap();
        match read::<ToQueue>(&mut link) {
            End::Waits(count) => frames += count,
            End::Over(_) => panic!("given up"),
        }
    }
    assert_eq!(frames, 2);
}

#[test]
fn lengths_out_of_bounds_end_the_edge_before_anything_is_kept() {
    let long = u32::try_from(FRAME_BYTES_MAX + 1).unwrap();
    for (body, head) in [(long, 0), (u32::MAX, 1), (4, 5), (0, 1), (u32::MAX, u32::MAX)] {
        let octets = [body.to_le_bytes(), head.to_le_bytes()].concat();
        for end in on_each_edge(&octets) {
            assert_eq!(end, End::Over(0), "{body} {head}");
        }
    }
}

#[test]
fn octets_behind_a_value_end_the_edge() {
    let octets = sent(&Request::List, &[]);
    let head = [&octets[8..], b"x"].concat();
    assert_eq!(deliver::<Request>(&frame(&head, &[])), End::Over(0));
}

#[test]
fn a_descriptor_that_nobody_asked_for_ends_the_edge() {
    let octets = sent(&Request::List, &[]);
    let (ours, mut link) = pair();
    let file = std::fs::File::open("/dev/null").unwrap();
    sys::socket::send_with_fds(ours.as_fd(), &[IoSlice::new(&octets)], &[file.as_fd()]).unwrap();
    assert_eq!(read::<Request>(&mut link), End::Over(1));
}

#[test]
fn a_descriptor_that_is_missing_is_an_error_and_no_wait() {
    let (mut ours, mut link) = pair();
    ours.write_all(&sent(&FromQueue::Large { ticket: 1 }, &[])).unwrap();
    link.fill().unwrap();
    assert!(matches!(link.receive::<FromQueue>(), Ok(Some((FromQueue::Large { .. }, _)))));
    assert!(matches!(link.descriptor(), Err(LinkError::Garbled(_))));
}

#[test]
fn more_descriptors_than_frames_end_the_edge() {
    let (ours, mut link) = pair();
    let file = std::fs::File::open("/dev/null").unwrap();
    // Frames that never end, each octet with a descriptor.
    ours.set_nonblocking(true).unwrap();
    let mut is_over = false;
    for _ in 0..2000 {
        let piece = [IoSlice::new(&[200])];
        if sys::socket::send_with_fds(ours.as_fd(), &piece, &[file.as_fd()]).is_err() {
            break;
        }
        is_over |= link.fill().is_err();
        if is_over {
            break;
        }
    }
    assert!(is_over, "descriptors without end were kept");
}

#[test]
fn an_edge_whose_other_end_is_gone_is_over() {
    let (ours, mut link) = pair();
    drop(ours);
    assert!(matches!(link.fill(), Err(LinkError::Closed)));
    // Nobody reads: what is sent does not pile up without end.
    let (ours, mut link) = pair();
    let tail = vec![0; FRAME_BYTES_MAX / 2];
    let refused = (0..200).find_map(|_| link.send(&Request::Body, &tail).err());
    assert!(matches!(refused, Some(LinkError::Garbled(_))));
    drop(ours);
}
