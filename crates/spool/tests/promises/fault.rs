//! Every call to the disk fails in turn: nothing that was acknowledged is lost, and nothing that ended durably comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use spool::fault::{Call, Failure, FaultyDisk, Plan};
use spool::{Completion, Event, Refused, Spool as _};
use wire::QueueId;

use crate::desk::{Desk, OPTIONS, text};

/// What was promised.
#[derive(Default)]
struct Promises {
    /// Stored, and not removed.
    kept: BTreeSet<u64>,
    /// Removed, and the removal was durable.
    gone: BTreeSet<u64>,
    notes: BTreeMap<u64, Vec<u8>>,
}

const LEN: usize = 5000;

/// Some of everything that a spool does.
fn work(desk: &mut Desk, promises: &mut Promises) {
    for id in 1..=24_u64 {
        let appended = match id % 8 {
            0 => desk.append_large(id, &text(id, LEN)),
            _ => desk.append(id, &text(id, LEN)),
        };
        let stored = appended.and_then(|ticket| desk.wait(ticket));
        let Ok(slot) = stored else {
            desk.log().housekeeping();
            continue;
        };
        promises.kept.insert(id);
        if id % 4 == 0 && desk.log().note(slot, &text(id, 30)).is_ok() {
            desk.settle();
            if !desk.log().is_broken() {
                promises.notes.insert(id, text(id, 30));
            }
        }
        let before = desk.log().statistics().messages;
        if id % 6 != 1 && desk.log().remove(slot).is_ok() {
            promises.kept.remove(&id);
            desk.settle();
            desk.log().housekeeping();
            desk.settle();
            // It is counted until its end is durable.
            if desk.log().statistics().messages < before {
                promises.gone.insert(id);
            }
        }
    }
    for _ in 0..3 {
        desk.log().housekeeping();
        desk.settle();
    }
}

/// Says whether the plan came to pass.
fn play(plan: Plan) -> bool {
    let faulty = Arc::new(FaultyDisk::new());
    let mut desk = Desk::closed(Arc::<FaultyDisk>::clone(&faulty), OPTIONS);
    let mut promises = Promises::default();
    faulty.fail(plan);
    if desk.open().is_ok() {
        work(&mut desk, &mut promises);
    }
    // A start on the same disk, failing or not, spoils nothing.
    drop(desk.open());
    desk.close();
    let has_failed = faulty.heal();
    desk.crash();
    let found: BTreeSet<u64> = desk.found.iter().copied().collect();
    for id in &promises.kept {
        assert!(found.contains(id), "{id} lost: {plan:?}");
        assert_eq!(desk.body(*id), text(*id, LEN), "{id} torn: {plan:?}");
        if let Some(note) = promises.notes.get(id) {
            assert_eq!(desk.read(*id).unwrap().1.as_ref(), Some(note), "{plan:?}");
        }
    }
    for id in &promises.gone {
        assert!(!found.contains(id), "{id} came back: {plan:?}");
    }
    has_failed
}

fn each(call: Call, failures: &[Failure]) {
    for &failure in failures {
        for is_lasting in [false, true] {
            let mut nth = 1;
            while play(Plan { call, nth, failure, is_lasting }) {
                // Each of the first calls, and then ever fewer of those that are like them.
                nth += 1 + nth / 12;
            }
        }
    }
}

#[test]
fn whichever_write_fails_nothing_acknowledged_is_lost() {
    each(Call::Write, &[Failure::Error, Failure::Torn, Failure::Short, Failure::Full]);
}

#[test]
fn whichever_sync_fails_nothing_acknowledged_is_lost() {
    each(Call::Sync, &[Failure::Error]);
    each(Call::SyncFolder, &[Failure::Error]);
}

#[test]
fn whichever_allocation_fails_nothing_acknowledged_is_lost() {
    each(Call::Allocate, &[Failure::Error, Failure::Full]);
}

#[test]
fn whichever_open_rename_unlink_or_truncate_fails_nothing_acknowledged_is_lost() {
    for call in [Call::Open, Call::Rename, Call::Unlink, Call::Truncate] {
        each(call, &[Failure::Error, Failure::Full]);
    }
}

#[test]
fn whichever_read_list_or_folder_fails_nothing_acknowledged_is_lost() {
    for call in [Call::Read, Call::List, Call::Folder] {
        each(call, &[Failure::Error]);
    }
}

#[test]
fn a_failed_sync_breaks_the_log_for_everybody() {
    let faulty = Arc::new(FaultyDisk::forgetful());
    let mut desk = Desk::with(Arc::<FaultyDisk>::clone(&faulty), OPTIONS);
    desk.store(1, b"body").unwrap();
    faulty.fail(Plan { call: Call::Sync, nth: 1, failure: Failure::Error, is_lasting: false });
    let ticket = desk.append(2, b"body").unwrap();
    desk.log().commit();
    let behind = desk.append(3, b"body").unwrap();
    let done = desk.settle();
    let refused = |ticket| Completion { ticket, result: Err(Refused::Broken) };
    assert_eq!(done, [refused(ticket), refused(behind)]);
    assert!(desk.log().is_broken());
    assert!(matches!(desk.events()[..], [Event::Broken { .. }]));
    // The second sync would work, and would prove nothing.
    assert_eq!(desk.append(4, b"body"), Err(Refused::Broken));
    assert_eq!(desk.log().list(0, 9).len(), 1);
    faulty.heal();
    desk.close();
    faulty.power_cut(0).unwrap();
    assert_eq!(desk.crash().found, [1]);
    desk.store(5, b"body").unwrap();
}

#[test]
fn a_large_body_that_can_not_be_synced_is_not_stored() {
    let faulty = Arc::new(FaultyDisk::new());
    let mut desk = Desk::with(Arc::<FaultyDisk>::clone(&faulty), OPTIONS);
    desk.store(1, b"body").unwrap();
    faulty.fail(Plan { call: Call::Sync, nth: 1, failure: Failure::Error, is_lasting: false });
    assert_eq!(desk.store_large(2, &text(2, LEN)), Err(Refused::Broken));
    faulty.heal();
    assert_eq!(desk.crash().found, [1]);
    assert_eq!(desk.in_folder("large").len(), 0);
}

#[test]
fn a_segment_that_can_not_be_read_now_is_left_for_the_next_start() {
    let faulty = Arc::new(FaultyDisk::new());
    let mut desk = Desk::with(Arc::<FaultyDisk>::clone(&faulty), OPTIONS);
    desk.store(1, &text(1, LEN)).unwrap();
    desk.close();
    faulty.fail(Plan { call: Call::Read, nth: 3, failure: Failure::Error, is_lasting: true });
    desk.open().unwrap();
    assert_eq!(desk.found, []);
    desk.store(2, b"body").unwrap();
    desk.keep_house();
    faulty.heal();
    assert_eq!(desk.crash().found, [1, 2]);
    assert_eq!(desk.log().find(QueueId::from_u64(1)).map(u32::from), Some(0));
}
