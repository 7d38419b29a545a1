//! The disk is full: messages are refused, what is there can be ended, and there is room again by itself.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use spool::fault::{Call, Failure, FaultyDisk, Plan};
use spool::{Event, Log, Options, Refused, Room, Spool as _};
use wire::QueueId;

use crate::desk::{Desk, OPTIONS, text};

const FULL: Plan = Plan { call: Call::Allocate, nth: 1, failure: Failure::Full, is_lasting: true };

fn full(segment_bytes: u64) -> (Desk, Arc<FaultyDisk>, u64) {
    let faulty = Arc::new(FaultyDisk::new());
    let options = Options { segment_bytes, ..OPTIONS };
    let mut desk = Desk::with(Arc::<FaultyDisk>::clone(&faulty), options);
    faulty.fail(FULL);
    let mut id = 1;
    desk.append(id, &text(id, 5000)).unwrap();
    faulty.heal();
    desk.settle();
    faulty.fail(FULL);
    loop {
        id += 1;
        match desk.store(id, &text(id, 5000)) {
            Ok(_) => {}
            Err(refused) => {
                assert_eq!(refused, Refused::Full);
                return (desk, faulty, id);
            }
        }
    }
}

#[test]
fn a_full_disk_refuses_messages_and_takes_them_again_by_itself() {
    let (mut desk, faulty, refused) = full(65_536);
    assert!(refused > 5);
    assert_eq!(desk.log().room(), Room::Low);
    assert_eq!(desk.append(1000, b"body"), Err(Refused::Full));
    assert_eq!(desk.events(), [Event::Full]);
    assert!(!desk.log().is_broken());
    assert_eq!(desk.body(1), text(1, 5000));
    faulty.heal();
    desk.log().housekeeping();
    assert_eq!(desk.log().room(), Room::Enough);
    desk.store(refused, &text(refused, 5000)).unwrap();
    assert_eq!(desk.crash().found, (1..=refused).collect::<Vec<_>>());
}

#[test]
fn on_a_full_disk_what_was_delivered_is_still_forgotten() {
    let (mut desk, faulty, refused) = full(1 << 20);
    let before = desk.log().statistics().commits;
    desk.log().housekeeping();
    for id in 1..refused {
        let slot = desk.slot(id);
        desk.log().remove(slot).unwrap();
    }
    desk.settle();
    assert!(desk.log().statistics().commits > before);
    faulty.heal();
    assert_eq!(desk.crash().found, []);
}

#[test]
fn when_not_even_an_end_has_room_it_waits_for_it_and_goes_first() {
    let faulty = Arc::new(FaultyDisk::new());
    let mut desk = Desk::with(Arc::<FaultyDisk>::clone(&faulty), OPTIONS);
    desk.store(1, &text(1, 5000)).unwrap();
    desk.store(2, &text(2, 5000)).unwrap();
    // After a start there is no segment with room left.
    desk.crash();
    faulty.fail(FULL);
    let slot = desk.slot(1);
    desk.log().remove(slot).unwrap();
    let slot = desk.slot(2);
    desk.log().note(slot, b"first").unwrap();
    let ticket = desk.append(3, b"body").unwrap();
    desk.log().commit();
    desk.log().note(slot, b"second").unwrap();
    assert_eq!(desk.wait(ticket), Err(Refused::Full));
    desk.log().housekeeping();
    desk.settle();
    assert_eq!(desk.log().statistics().commits, 0);
    assert_eq!(desk.read(2).unwrap().1.unwrap(), b"second");
    faulty.heal();
    desk.log().housekeeping();
    desk.settle();
    assert_eq!(desk.crash().found, [2]);
    assert_eq!(desk.read(2).unwrap().1.unwrap(), b"second");
}

#[test]
fn a_large_body_that_was_refused_leaves_no_file() {
    let (mut desk, faulty, refused) = full(65_536);
    desk.log().housekeeping();
    assert_eq!(desk.store_large(refused + 1, &text(9, 5000)), Err(Refused::Full));
    desk.settle();
    assert_eq!(desk.in_folder("large").len(), 0);
    faulty.heal();
}

/// A real one, where this process may mount.
struct Mounted(PathBuf);

impl Mounted {
    fn new() -> Option<Self> {
        let path = std::env::temp_dir().join(format!("ironpost-full-{}", std::process::id()));
        fs::create_dir_all(&path).ok()?;
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(&path)
            .output();
        let is_mounted = mount.is_ok_and(|output| output.status.success());
        if !is_mounted {
            fs::remove_dir(&path).ok()?;
        }
        is_mounted.then_some(Self(path))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount").arg(&self.0).output();
        assert!(unmounted.is_ok_and(|output| output.status.success()));
        drop(fs::remove_dir(&self.0));
    }
}

#[test]
fn a_small_real_disk_fills_up_and_empties_again() {
    let Some(mounted) = Mounted::new() else { return };
    let folder = || fs::File::open(&mounted.0).unwrap().into();
    let options = Options { segment_bytes: 64 << 20, shards: 2, ..OPTIONS };
    let (mut log, _) = Log::open(folder(), options).unwrap();
    let mut done = Vec::new();
    let mut stored = Vec::new();
    let mut refusals = 0;
    for id in 1..=2_000_u64 {
        let body = spool::Body::Inline(&[b'x'; 8_000]);
        if log.append(id, QueueId::from_u64(id), b"envelope", body).is_err() {
            refusals += 1;
            continue;
        }
        done.clear();
        while done.is_empty() {
            log.commit();
            sys::poll::readable(&log.wake(), log.next_commit_ms().or(Some(100))).unwrap();
            log.completed(&mut done);
        }
        match done[0].result {
            Ok(slot) => stored.push((id, slot)),
            Err(refused) => {
                assert_eq!(refused, Refused::Full);
                refusals += 1;
            }
        }
    }
    assert!(!log.is_broken() && refusals > 0 && stored.len() > 100);
    // Half of it is delivered: then there is room for as much.
    for (_, slot) in stored.drain(..stored.len() / 2) {
        log.remove(slot).unwrap();
    }
    for _ in 0..200 {
        log.housekeeping();
        log.commit();
        sys::poll::readable(&log.wake(), Some(2)).unwrap();
        log.completed(&mut done);
    }
    drop(log);
    let (_, found) = Log::open(folder(), options).unwrap();
    let found: Vec<u64> = found.iter().map(|found| found.id.as_u64()).collect();
    assert_eq!(found, stored.iter().map(|(id, _)| *id).collect::<Vec<_>>());
}
