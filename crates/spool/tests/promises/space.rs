//! Space comes back, and with it nothing that had ended.

use spool::Spool as _;
use wire::QueueId;

use crate::desk::{Desk, text};

#[test]
fn a_segment_without_living_messages_is_unlinked() {
    let mut desk = Desk::new();
    for id in 1..=60 {
        desk.store(id, &text(id, 3000)).unwrap();
        desk.remove(id);
    }
    assert!(desk.segments().len() <= 2, "{:?}", desk.segments());
    assert_eq!(desk.crash().found, []);
}

#[test]
fn mostly_dead_segments_are_emptied_and_their_messages_live_on() {
    let mut desk = Desk::new();
    for id in 1..=200 {
        desk.store(id, &text(id, 3000)).unwrap();
        if id % 10 == 0 {
            desk.note(id, &text(id, 50));
        }
    }
    let before = desk.segments().len();
    for id in (1..=200).filter(|id| id % 20 != 0) {
        desk.remove(id);
    }
    desk.keep_house();
    assert!(desk.segments().len() * 4 < before, "{} of {before}", desk.segments().len());
    let expected: Vec<u64> = (1..=10).map(|number| number * 20).collect();
    for _ in 0..2 {
        for &id in &expected {
            assert_eq!(desk.read(id).unwrap(), (text(id, 3000), Some(text(id, 50))));
        }
        assert_eq!(desk.crash().found, expected);
    }
}

#[test]
fn the_end_of_a_message_outlives_its_record() {
    let mut desk = Desk::new();
    // The first segment stays, for most of it lives; a few in it end, somewhere behind.
    for id in 1..=17 {
        desk.store(id, &text(id, 3000)).unwrap();
    }
    for id in [3, 4] {
        desk.remove(id);
    }
    let first = desk.segments().remove(0);
    // Everything that comes after lives and dies, and takes the segments of those ends with it, if it may.
    for id in 100..=220 {
        desk.store(id, &text(id, 3000)).unwrap();
        desk.remove(id);
        desk.log().housekeeping();
    }
    desk.keep_house();
    assert!(first.exists());
    assert!(desk.segments().len() <= 5, "{:?}", desk.segments());
    let expected: Vec<u64> = (1..=17).filter(|id| ![3, 4].contains(id)).collect();
    assert_eq!(desk.crash().found, expected);
    desk.keep_house();
    assert_eq!(desk.crash().found, expected);
}

#[test]
fn an_id_that_is_used_again_is_a_new_message() {
    let mut desk = Desk::new();
    for id in 1..=17 {
        desk.store(id, &text(id, 3000)).unwrap();
    }
    desk.note(3, b"of the first");
    desk.remove(3);
    desk.store(3, b"the second").unwrap();
    for round in 0..3 {
        for id in 100..=160 {
            desk.store(id, &text(id, 3000)).unwrap();
            desk.remove(id);
        }
        desk.keep_house();
        assert_eq!(desk.read(3).unwrap(), (b"the second".to_vec(), None), "round {round}");
        desk.crash();
    }
    assert_eq!(desk.read(3).unwrap(), (b"the second".to_vec(), None));
    desk.remove(3);
    for id in 100..=160 {
        desk.store(id, &text(id, 3000)).unwrap();
        desk.remove(id);
    }
    desk.keep_house();
    assert!(!desk.crash().found.contains(&3));
}

#[test]
fn a_message_that_ends_while_it_is_moved_stays_ended() {
    let mut desk = Desk::new();
    for id in 1..=60 {
        desk.store(id, &text(id, 3000)).unwrap();
    }
    for id in (1..=60).filter(|id| id % 15 != 0) {
        desk.remove(id);
    }
    // The copies are gathered; before they are durable, two of the messages end and one gets a note.
    desk.log().housekeeping();
    for id in [15, 30] {
        let slot = desk.log().find(QueueId::from_u64(id)).unwrap();
        desk.log().remove(slot).unwrap();
    }
    let slot = desk.slot(45);
    desk.log().note(slot, b"new").unwrap();
    desk.settle();
    for _ in 0..2 {
        desk.keep_house();
        assert_eq!(desk.crash().found, [45, 60]);
        assert_eq!(desk.read(45).unwrap(), (text(45, 3000), Some(b"new".to_vec())));
    }
}

#[test]
fn notes_that_were_replaced_cost_nothing_in_the_end() {
    let mut desk = Desk::new();
    desk.store(1, &text(1, 100)).unwrap();
    for round in 0..200 {
        desk.note(1, &text(round, 1000));
        if round % 20 == 0 {
            desk.log().housekeeping();
        }
    }
    desk.keep_house();
    assert!(desk.segments().len() <= 4, "{:?}", desk.segments());
    assert_eq!(desk.crash().read(1).unwrap(), (text(1, 100), Some(text(199, 1000))));
}
