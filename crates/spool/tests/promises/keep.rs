//! What is stored is there, until it is removed.

use std::sync::Arc;

use spool::{Body, Error, Log, Options, RealDisk, Refused, Room, Slot, Spool as _};
use wire::QueueId;

use crate::desk::{Desk, OPTIONS, envelope, text};

#[test]
fn a_stored_message_is_read_back_now_and_after_a_crash() {
    let mut desk = Desk::new();
    let slot = desk.store(7, &text(7, 3000)).unwrap();
    assert_eq!(desk.body(7), text(7, 3000));
    assert_eq!(desk.slot(7), slot);
    assert_eq!(desk.crash().found, [7]);
    assert_eq!(desk.read(7).unwrap(), (text(7, 3000), None));
}

#[test]
fn an_empty_envelope_and_an_empty_body_are_a_message() {
    let mut desk = Desk::new();
    let body = Body::Inline(b"");
    desk.log().append(1, QueueId::from_u64(9), b"", body).unwrap();
    let slot = desk.wait(1).unwrap();
    let opened = desk.log().open(slot).unwrap();
    assert_eq!((opened.envelope.len(), opened.note), (0, None));
}

#[test]
fn the_newest_note_is_read_before_and_after_it_is_durable() {
    let mut desk = Desk::new();
    let slot = desk.store(7, b"body").unwrap();
    desk.note(7, b"first");
    desk.log().note(slot, b"second").unwrap();
    desk.log().note(slot, b"third").unwrap();
    assert_eq!(desk.read(7).unwrap().1.unwrap(), b"third");
    desk.settle();
    assert_eq!(desk.read(7).unwrap().1.unwrap(), b"third");
    assert_eq!(desk.crash().read(7).unwrap().1.unwrap(), b"third");
}

#[test]
fn what_is_removed_stays_removed_and_its_slot_is_used_again() {
    let mut desk = Desk::new();
    let slot = desk.store(7, b"body").unwrap();
    desk.store(8, b"body").unwrap();
    desk.log().remove(slot).unwrap();
    assert!(matches!(desk.log().open(slot), Err(Error::Gone)));
    assert_eq!(desk.log().remove(slot), Err(Refused::TooLarge));
    assert_eq!(desk.log().find(QueueId::from_u64(7)), None);
    desk.settle();
    assert_eq!(desk.store(9, b"body"), Ok(slot));
    assert_eq!(desk.crash().found, [8, 9]);
}

#[test]
fn a_large_body_is_a_file_until_its_message_ends() {
    let mut desk = Desk::new();
    desk.store_large(7, &text(7, 300_000)).unwrap();
    assert_eq!(desk.body(7), text(7, 300_000));
    assert_eq!(desk.crash().body(7), text(7, 300_000));
    assert_eq!(desk.in_folder("large").len(), 1);
    desk.remove(7);
    assert_eq!(desk.in_folder("large").len(), 0);
    assert_eq!(desk.crash().found, []);
}

#[test]
fn an_abandoned_large_body_is_gone_at_once_and_a_forgotten_one_at_the_next_start() {
    let mut desk = Desk::new();
    let large = desk.log().begin_large().unwrap();
    desk.log().abandon(large.token);
    assert_eq!(desk.in_folder("large").len(), 0);
    let _forgotten = desk.log().begin_large().unwrap();
    assert_eq!(desk.in_folder("large").len(), 1);
    desk.crash();
    assert_eq!(desk.in_folder("large").len(), 0);
}

#[test]
fn what_can_not_be_stored_as_it_is_is_refused_and_leaves_nothing() {
    let mut desk = Desk::new();
    desk.store(7, b"body").unwrap();
    assert_eq!(desk.append(7, b"the same id"), Err(Refused::TooLarge));
    assert_eq!(desk.append(8, &text(8, 60_000)), Err(Refused::TooLarge));
    let large = desk.log().begin_large().unwrap();
    let short = Body::Large(large.token, 5);
    assert_eq!(desk.log().append(1, QueueId::from_u64(9), b"", short), Err(Refused::TooLarge));
    assert_eq!(desk.append_large(7, b"the same id"), Err(Refused::TooLarge));
    assert_eq!(desk.in_folder("large").len(), 0);
    assert_eq!(desk.log().note(Slot::from(77), b""), Err(Refused::TooLarge));
    assert_eq!(desk.crash().found, [7]);
}

#[test]
fn messages_are_listed_in_the_order_of_ids_when_they_are_durable() {
    let mut desk = Desk::new();
    for id in [5, 3, 9] {
        desk.store(id, b"body").unwrap();
    }
    desk.append(4, b"body").unwrap();
    let ids = |desk: &mut Desk, after, max| -> Vec<u64> {
        desk.log().list(after, max).into_iter().map(|(id, _)| id.as_u64()).collect()
    };
    assert_eq!(ids(&mut desk, 0, 10), [3, 5, 9]);
    assert_eq!(ids(&mut desk, 3, 1), [5]);
    desk.settle();
    assert_eq!(ids(&mut desk, 3, 2), [4, 5]);
}

#[test]
fn many_wait_for_one_flush() {
    let mut desk = Desk::new();
    let tickets: Vec<u64> = (1..=20).map(|id| desk.append(id, b"body").unwrap()).collect();
    let done = desk.settle();
    assert_eq!(done.iter().map(|done| done.ticket).collect::<Vec<_>>(), tickets);
    assert_eq!(desk.log().statistics().commits, 1);
}

#[test]
fn ends_and_notes_go_with_the_next_message_or_a_moment_later() {
    let mut desk = Desk::new();
    desk.store(7, b"body").unwrap();
    let slot = desk.store(8, b"body").unwrap();
    let before = desk.log().statistics().commits;
    desk.log().note(slot, b"note").unwrap();
    desk.log().commit();
    assert!(desk.log().next_commit_ms().is_some_and(|ms| (1..=6).contains(&ms)));
    desk.log().remove(slot).unwrap();
    desk.store(9, b"body").unwrap();
    assert_eq!(desk.log().statistics().commits, before + 1);
    assert_eq!(desk.log().next_commit_ms(), None);
    let slot = desk.slot(7);
    assert_eq!(desk.log().id(slot), Some(QueueId::from_u64(7)));
    desk.log().remove(slot).unwrap();
    let mut none = Vec::new();
    while desk.log().statistics().commits < before + 2 {
        desk.log().commit();
        let wait_ms = desk.log().next_commit_ms();
        sys::poll::readable(&desk.log().wake(), wait_ms).unwrap();
        desk.log().completed(&mut none);
    }
    assert_eq!(desk.crash().found, [9]);
}

#[test]
fn a_second_process_is_kept_out() {
    let mut desk = Desk::new();
    let second = Log::open(desk.folder(), OPTIONS);
    assert!(matches!(second, Err(Error::Locked)));
    desk.close();
    Log::open(desk.folder(), OPTIONS).unwrap();
}

#[test]
fn shards_share_the_messages_and_their_number_may_change() {
    let mut desk = Desk::new();
    for (round, shards) in [2, 1, 3].into_iter().enumerate() {
        desk.options = Options { shards, ..OPTIONS };
        desk.crash();
        let base = u64::try_from(round).unwrap() * 100;
        for id in base + 1..base + 40 {
            desk.append(id, &text(id, 2000)).unwrap();
        }
        desk.settle();
        // What an earlier number of shards stored is noted and ended by this one.
        for id in (1..base + 40).filter(|id| id % 3 == 0) {
            if let Some(slot) = desk.log().find(QueueId::from_u64(id)) {
                desk.log().remove(slot).unwrap();
            }
        }
        desk.settle();
    }
    let expected: Vec<u64> =
        (1..240).filter(|id| (1..40).contains(&(id % 100)) && id % 3 != 0).collect();
    desk.options = Options { shards: 2, ..OPTIONS };
    assert_eq!(desk.crash().found, expected);
    desk.keep_house();
    assert_eq!(desk.crash().found, expected);
    for id in expected {
        assert_eq!(desk.body(id), text(id, 2000));
    }
}

#[test]
fn there_is_room_again_only_when_there_is_a_little_more_than_the_least() {
    let faulty = Arc::new(spool::fault::FaultyDisk::new());
    let options = Options { free_bytes_min: 8_000, ..OPTIONS };
    let mut desk = Desk::with(Arc::<spool::fault::FaultyDisk>::clone(&faulty), options);
    let mut rooms = Vec::new();
    for free in [8_000, 7_999, 8_500, 9_000, 8_000] {
        faulty.set_free(Some(free));
        rooms.push(desk.log().room());
    }
    assert_eq!(rooms, [Room::Enough, Room::Low, Room::Low, Room::Enough, Room::Enough]);
}

#[test]
fn the_default_log_works_on_the_real_disk() {
    let place = tempfile::TempDir::new().unwrap();
    let folder = || std::fs::File::open(place.path()).unwrap().into();
    let (mut log, _) = Log::open_on(Arc::new(RealDisk), folder(), Options::default()).unwrap();
    log.append(1, QueueId::from_u64(1), &envelope(1), Body::Inline(b"body")).unwrap();
    log.commit();
    let mut done = Vec::new();
    while done.is_empty() {
        sys::poll::readable(&log.wake(), None).unwrap();
        log.completed(&mut done);
    }
    drop(log);
    assert_eq!(Log::open(folder(), Options::default()).unwrap().1.len(), 1);
}
