//! The disk gives back other octets than it got: that costs what was in them, and nothing else.

use std::fs;

use proptest::prelude::*;
use spool::{Error, Event, OpenedBody, Spool as _};
use wire::QueueId;

use crate::desk::{Desk, text};

fn flip(desk: &mut Desk, segment: usize, needle: &[u8]) {
    let path = desk.segments().remove(segment);
    let mut octets = fs::read(&path).unwrap();
    let at = octets.windows(needle.len()).position(|window| window == needle).unwrap();
    octets[at] ^= 0x10;
    fs::write(&path, &octets).unwrap();
}

#[test]
fn bit_rot_in_an_open_segment_costs_one_message() {
    let mut desk = Desk::new();
    for id in 1..=5 {
        desk.store(id, &text(id, 3000)).unwrap();
    }
    desk.close();
    flip(&mut desk, 0, b"message 3 message 3");
    assert_eq!(desk.crash().found, [1, 2, 4, 5]);
    let events = desk.events();
    assert!(
        matches!(&events[..], [Event::Damaged { id: Some(id), saved_as: Some(_), .. }] if *id == QueueId::from_u64(3)),
        "{events:?}"
    );
    let copies = desk.in_folder("damaged");
    assert_eq!(copies.len(), 1);
    let copy = fs::read(&copies[0]).unwrap();
    assert!(copy.windows(8).any(|window| window == b"essage 3"));
}

#[test]
fn bit_rot_in_a_sealed_segment_is_found_when_the_message_is_read() {
    let mut desk = Desk::new();
    for id in 1..=5 {
        desk.store(id, &text(id, 3000)).unwrap();
    }
    desk.crash();
    flip(&mut desk, 0, b"message 3 message 3");
    assert!(matches!(desk.read(3), Err(Error::Damaged { id }) if id == QueueId::from_u64(3)));
    assert!(matches!(&desk.events()[..], [Event::Damaged { saved_as: Some(_), .. }]));
    assert_eq!(desk.in_folder("damaged").len(), 1);
    for id in [1, 2, 4, 5] {
        assert_eq!(desk.body(id), text(id, 3000));
    }
    // It can be removed like any other.
    desk.remove(3);
    assert_eq!(desk.crash().found, [1, 2, 4, 5]);
}

#[test]
fn bit_rot_in_a_header_or_trailer_costs_at_most_what_is_in_that_commit() {
    for at in [0, 9, 30, 45, 61, 64 + 28 + 13 + 3000, 64 + 28 + 13 + 3000 + 9] {
        let mut desk = Desk::new();
        for id in 1..=5 {
            desk.store(id, &text(id, 3000)).unwrap();
        }
        desk.close();
        let path = desk.segments().remove(0);
        let mut octets = fs::read(&path).unwrap();
        octets[4096 * 3 + at] ^= 4;
        fs::write(&path, &octets).unwrap();
        desk.crash();
        for id in [1, 2, 4, 5] {
            assert_eq!(desk.body(id), text(id, 3000), "at {at}");
        }
        let is_copied = desk.in_folder("damaged").len() == 1;
        assert!(desk.found.contains(&3) || is_copied, "at {at}");
    }
}

#[test]
fn a_damaged_segment_header_costs_nothing() {
    let mut desk = Desk::new();
    desk.store(7, &text(7, 3000)).unwrap();
    desk.close();
    let path = desk.segments().remove(0);
    let mut octets = fs::read(&path).unwrap();
    octets[20] ^= 4;
    fs::write(&path, &octets).unwrap();
    assert_eq!(desk.crash().found, [7]);
}

#[test]
fn a_segment_of_which_nothing_can_be_told_is_left_alone() {
    let mut desk = Desk::new();
    desk.store(7, &text(7, 3000)).unwrap();
    desk.close();
    let path = desk.segments().remove(0);
    let octets = fs::read(&path).unwrap();
    let mut spoilt = octets.clone();
    spoilt[20] ^= 4;
    spoilt[4096] ^= 4;
    fs::write(&path, &spoilt).unwrap();
    assert_eq!(desk.crash().found, []);
    desk.keep_house();
    assert_eq!(fs::read(&path).unwrap(), spoilt);
    assert_eq!(desk.in_folder("damaged").len(), 1);
    fs::write(&path, octets).unwrap();
    assert_eq!(desk.crash().found, [7]);
}

#[test]
fn with_the_format_file_and_all_headers_gone_nothing_is_unlinked() {
    let mut desk = Desk::new();
    desk.store(7, &text(7, 3000)).unwrap();
    desk.close();
    let path = desk.segments().remove(0);
    let mut spoilt = fs::read(&path).unwrap();
    spoilt[20] ^= 4;
    fs::write(&path, &spoilt).unwrap();
    fs::remove_file(desk.place.path().join("format")).unwrap();
    assert_eq!(desk.crash().found, []);
    desk.keep_house();
    assert_eq!(fs::read(&path).unwrap(), spoilt);
}

#[test]
fn damage_found_while_moving_lets_the_rest_move() {
    let mut desk = Desk::new();
    for id in 1..=40 {
        desk.store(id, &text(id, 3000)).unwrap();
    }
    for id in (1..=40).filter(|id| id % 10 != 2 && id % 10 != 3) {
        desk.remove(id);
    }
    flip(&mut desk, 0, b"message 3 message 3");
    desk.keep_house();
    assert!(matches!(desk.read(3), Err(Error::Damaged { .. })));
    assert!(!desk.in_folder("damaged").is_empty());
    for id in [2, 12, 13, 22, 23, 32, 33] {
        assert_eq!(desk.body(id), text(id, 3000));
    }
    desk.remove(3);
    desk.keep_house();
    assert_eq!(desk.crash().found, [2, 12, 13, 22, 23, 32, 33]);
}

#[test]
fn a_missing_large_body_is_told_and_nothing_else_suffers() {
    let mut desk = Desk::new();
    desk.store_large(7, &text(7, 9000)).unwrap();
    desk.store_large(8, &text(8, 9000)).unwrap();
    fs::remove_file(desk.place.path().join("large/0000000000000007")).unwrap();
    desk.crash();
    assert_eq!(desk.events(), [Event::LargeMissing { id: QueueId::from_u64(7) }]);
    assert!(desk.read(7).is_err());
    assert_eq!(desk.body(8), text(8, 9000));
    fs::write(desk.place.path().join("large/0000000000000008"), b"short").unwrap();
    assert!(matches!(desk.read(8), Err(Error::Damaged { .. })));
    desk.remove(7);
    desk.remove(8);
    assert_eq!(desk.crash().found, []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_octets_anywhere_are_read_without_a_panic_and_the_spool_works_on(
        octets in proptest::collection::vec(any::<u8>(), 0..20_000),
        flips in proptest::collection::vec((0_usize..70_000, any::<u8>()), 0..30),
        is_sealed: bool,
    ) {
        let mut desk = Desk::new();
        for id in 1..=12 {
            desk.append(id, &text(id, 2000)).unwrap();
            if id % 3 == 0 {
                desk.settle();
            }
        }
        if is_sealed {
            desk.crash();
        }
        desk.close();
        for segment in desk.segments() {
            let mut whole = fs::read(&segment).unwrap();
            for (at, octet) in &flips {
                if let Some(place) = whole.get_mut(*at) {
                    *place = *octet;
                }
            }
            fs::write(&segment, &whole).unwrap();
        }
        fs::write(desk.place.path().join("log/0/00000099.seg"), &octets).unwrap();
        desk.crash();
        for id in desk.found.clone() {
            let slot = desk.slot(id);
            if let Ok(opened) = desk.log().open(slot)
                && let OpenedBody::Inline(body) = opened.body
            {
                prop_assert_eq!(body, text(id, 2000));
            }
        }
        desk.store(1000, &text(1000, 500)).unwrap();
        desk.keep_house();
        prop_assert_eq!(desk.crash().body(1000), text(1000, 500));
    }
}
