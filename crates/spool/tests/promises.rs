//! What the spool promises, kept through crashes, faults and damage. Each row of the table in docs/spool.md has its test.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may stop")]

use proptest::prelude::*;
use spool::disk::fault::{Call, FaultyDisk};
use spool::{Body, Completion, Disk, Log, OpenedBody, Options, RealDisk, Refused, Slot, Spool};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use wire::QueueId;

const OPTIONS: Options = Options { segment_bytes: 64 * 1024, shards: 2, free_bytes_min: 0 };

fn folder(path: &Path) -> OwnedFd {
    File::open(path).unwrap().into()
}

fn open(path: &Path) -> (Log, Vec<(u64, Slot)>) {
    let (log, found) = Log::open(folder(path), OPTIONS).unwrap();
    (log, found.into_iter().map(|found| (found.id.as_u64(), found.slot)).collect())
}

/// Commits, and waits for everything that was appended.
fn settle(log: &mut Log, expected: usize) -> Vec<Completion> {
    let mut out = Vec::new();
    for _ in 0..2000 {
        log.commit();
        log.completed(&mut out);
        if out.len() >= expected {
            log.settle(&mut out);
            return out;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("the disk did not answer: {out:?}");
}

fn store(log: &mut Log, id: u64, body: &[u8]) -> Result<Slot, Refused> {
    let envelope = id.to_le_bytes();
    log.append(id, QueueId::from_u64(id), &envelope, Body::Inline(body))?;
    settle(log, 1).into_iter().find(|done| done.ticket == id).unwrap().result
}

fn body(log: &mut Log, slot: Slot) -> Vec<u8> {
    match log.open(slot).unwrap().body {
        OpenedBody::Inline(body) => body,
        OpenedBody::Large(file, size) => {
            let mut body = vec![0; usize::try_from(size).unwrap()];
            file.read_exact_at(&mut body, 0).unwrap();
            body
        }
    }
}

#[test]
fn what_was_acknowledged_is_there_after_a_crash() {
    let place = TempDir::new().unwrap();
    let (mut log, found) = open(place.path());
    assert_eq!(found, []);
    let slot = store(&mut log, 7, b"hello").unwrap();
    log.note(slot, b"tried once").unwrap();
    log.note(slot, b"tried twice").unwrap();
    settle(&mut log, 0);
    drop(log);
    let (mut log, found) = open(place.path());
    let [(7, slot)] = found[..] else { panic!("{found:?}") };
    let opened = log.open(slot).unwrap();
    assert_eq!(opened.envelope, 7_u64.to_le_bytes());
    assert_eq!(opened.note.unwrap(), b"tried twice");
    assert_eq!(body(&mut log, slot), b"hello");
}

#[test]
fn what_has_ended_does_not_come_back() {
    let place = TempDir::new().unwrap();
    let (mut log, _) = open(place.path());
    let slot = store(&mut log, 7, b"hello").unwrap();
    log.remove(slot).unwrap();
    settle(&mut log, 0);
    drop(log);
    assert_eq!(open(place.path()).1, []);
}

#[test]
fn a_large_body_is_a_file_until_its_message_ends() {
    let place = TempDir::new().unwrap();
    let (mut log, _) = open(place.path());
    let large = log.begin_large().unwrap();
    File::from(large.file).write_all("x".repeat(300_000).as_bytes()).unwrap();
    let body_of = Body::Large(large.token, 300_000);
    log.append(1, QueueId::from_u64(9), b"envelope", body_of).unwrap();
    let slot = settle(&mut log, 1)[0].result.unwrap();
    assert_eq!(body(&mut log, slot).len(), 300_000);
    drop(log);
    let (mut log, found) = open(place.path());
    assert_eq!(body(&mut log, found[0].1), "x".repeat(300_000).into_bytes());
    log.remove(found[0].1).unwrap();
    settle(&mut log, 0);
    assert_eq!(fs::read_dir(place.path().join("large")).unwrap().count(), 0);
}

#[test]
fn a_large_body_that_was_never_committed_is_swept_away() {
    let place = TempDir::new().unwrap();
    let (mut log, _) = open(place.path());
    let large = log.begin_large().unwrap();
    File::from(large.file).write_all(b"half").unwrap();
    drop(log);
    let (_log, found) = open(place.path());
    assert_eq!(found, []);
    assert_eq!(fs::read_dir(place.path().join("large")).unwrap().count(), 0);
}

#[test]
fn a_message_of_our_own_and_the_note_that_speaks_of_it_outlast_a_full_disk_together() {
    let place = TempDir::new().unwrap();
    drop(open(place.path()));
    let disk = FaultyDisk::new(folder(place.path()), Call::Create, 2, false);
    let (mut log, _) = Log::open_on(Arc::new(disk), OPTIONS).unwrap();
    let parent = store(&mut log, 2, &vec![7; 40_000]).unwrap();
    // It needs a further segment, for which there is no room.
    let id = QueueId::from_u64(4);
    log.append_own(4, id, b"part", Body::Inline(&vec![8; 30_000])).unwrap();
    log.append(6, QueueId::from_u64(6), b"stranger", Body::Inline(b"refused")).unwrap();
    log.note(parent, b"has a part").unwrap();
    let done = settle(&mut log, 2);
    assert!(done.contains(&Completion { ticket: 6, result: Err(Refused::Full) }), "{done:?}");
    assert!(done.iter().any(|done| done.ticket == 4 && done.result.is_ok()), "{done:?}");
    drop(log);
    let (mut log, found) = Log::open(folder(place.path()), OPTIONS).unwrap();
    let ids: Vec<u64> = found.iter().map(|found| found.id.as_u64()).collect();
    assert_eq!(ids, [2, 4]);
    assert_eq!(body(&mut log, found[1].slot), vec![8; 30_000]);
    assert_eq!(log.open(found[0].slot).unwrap().note.as_deref(), Some(&b"has a part"[..]));
}

#[test]
fn parts_of_a_message_share_its_large_body() {
    let place = TempDir::new().unwrap();
    let (mut log, _) = open(place.path());
    let large = log.begin_large().unwrap();
    File::from(large.file).write_all(&vec![b'x'; 300_000]).unwrap();
    log.append(1, QueueId::from_u64(2), b"whole", Body::Large(large.token, 300_000)).unwrap();
    let whole = settle(&mut log, 1)[0].result.unwrap();
    for id in [4, 6] {
        let token = log.share_large(whole).unwrap();
        let shared = Body::Large(token, 300_000);
        log.append_own(id, QueueId::from_u64(id), b"part", shared).unwrap();
    }
    log.remove(whole).unwrap();
    settle(&mut log, 2);
    drop(log);
    let (mut log, found) = open(place.path());
    assert_eq!(found.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [4, 6]);
    for (_, slot) in found {
        assert_eq!(body(&mut log, slot), vec![b'x'; 300_000]);
        log.remove(slot).unwrap();
    }
    settle(&mut log, 0);
    assert_eq!(fs::read_dir(place.path().join("large")).unwrap().count(), 0);
}

#[test]
fn a_batch_says_before_what_it_takes() {
    let place = TempDir::new().unwrap();
    let (mut log, _) = open(place.path());
    let id = QueueId::from_u64(2);
    assert_eq!(log.takes(id, 16 << 20, 64), Ok(()));
    assert_eq!(log.takes(id, 32 << 20, 64), Err(Refused::TooLarge));
    log.append_own(1, id, b"", Body::Inline(&vec![0; 20 << 20])).unwrap();
    assert_eq!(log.takes(id, 16 << 20, 64), Err(Refused::Full));
    settle(&mut log, 1);
    assert_eq!(log.takes(id, 16 << 20, 64), Ok(()));
}

#[test]
fn a_second_process_is_kept_out() {
    let place = TempDir::new().unwrap();
    let _log = open(place.path());
    assert!(matches!(Log::open(folder(place.path()), OPTIONS), Err(spool::Error::Locked)));
}

#[test]
fn a_format_of_the_future_is_named() {
    let place = TempDir::new().unwrap();
    store(&mut open(place.path()).0, 7, b"hello").unwrap();
    let segment = segments(place.path()).pop().unwrap();
    let file = OpenOptions::new().read(true).write(true).open(&segment).unwrap();
    let mut head = vec![0; 32];
    file.read_exact_at(&mut head, 0).unwrap();
    head[8] = 9;
    let words: Vec<u8> = head[8..20].iter().chain(&head[24..32]).copied().collect();
    head[20..24].copy_from_slice(&crc32c::crc32c(&words).to_le_bytes());
    file.write_all_at(&head, 0).unwrap();
    let opened = Log::open(folder(place.path()), OPTIONS);
    assert!(matches!(opened, Err(spool::Error::Version(9, 1))), "{opened:?}");
}

fn segments(path: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for shard in fs::read_dir(path.join("log")).unwrap() {
        let names = fs::read_dir(shard.unwrap().path()).unwrap();
        found.extend(names.map(|name| name.unwrap().path()));
    }
    found.sort();
    found
}

#[test]
fn dead_segments_are_freed_and_mostly_dead_ones_compacted() {
    let place = TempDir::new().unwrap();
    let (mut log, _) = open(place.path());
    let mut kept = Vec::new();
    for id in 1..=400_u64 {
        let slot = store_now(&mut log, id, &[b'x'; 2000]);
        if id % 40 == 0 {
            kept.push(id);
        } else {
            log.remove(slot).unwrap();
        }
    }
    for _ in 0..60 {
        settle(&mut log, 0);
        log.housekeeping();
    }
    assert!(log.statistics().segments <= 8, "{:?}", log.statistics());
    drop(log);
    let (mut log, found) = open(place.path());
    assert_eq!(found.iter().map(|(id, _)| *id).collect::<Vec<_>>(), kept);
    for (_, slot) in found {
        assert_eq!(body(&mut log, slot), [b'x'; 2000]);
    }
}

/// As `store`, without the extra turns.
fn store_now(log: &mut Log, id: u64, text: &[u8]) -> Slot {
    let envelope = id.to_le_bytes();
    log.append(id, QueueId::from_u64(id), &envelope, Body::Inline(text)).unwrap();
    let mut out = Vec::new();
    while out.is_empty() {
        log.commit();
        log.completed(&mut out);
        std::thread::yield_now();
    }
    out[0].result.unwrap()
}

#[test]
fn bit_rot_costs_one_message_and_nothing_behind_it() {
    let place = TempDir::new().unwrap();
    let options = Options { shards: 1, ..OPTIONS };
    let (mut log, _) = Log::open(folder(place.path()), options).unwrap();
    for id in 1..=5 {
        store(&mut log, id, &[u8::try_from(id).unwrap(); 3000]).unwrap();
    }
    drop(log);
    let segment = segments(place.path()).pop().unwrap();
    let mut octets = fs::read(&segment).unwrap();
    let hit = octets.windows(100).position(|window| window == [3; 100]).unwrap();
    octets[hit] ^= 1;
    fs::write(&segment, &octets).unwrap();
    let (mut log, found) = Log::open(folder(place.path()), options).unwrap();
    let ids: Vec<u64> = found.iter().map(|found| found.id.as_u64()).collect();
    assert_eq!(ids, [1, 2, 4, 5]);
    assert!(log.events().iter().any(|event| event.to_string().contains("damage")));
    assert_eq!(fs::read_dir(place.path().join("damaged")).unwrap().count(), 1);
}

/// Appends, notes and ends messages on a disk that fails; then recovers on a sound one. What was acknowledged must be
/// there, what ended durably must not.
fn play_with_fault(call: Call, at: u64, stays: bool) -> u64 {
    let place = TempDir::new().unwrap();
    drop(open(place.path()));
    let disk = Arc::new(FaultyDisk::new(folder(place.path()), call, at, stays));
    let mut acknowledged = BTreeMap::new();
    let options = Options { shards: 1, ..OPTIONS };
    if let Ok((mut log, _)) =
        Log::open_on(Arc::<FaultyDisk>::clone(&disk) as Arc<dyn Disk>, options)
    {
        for id in 1..=40_u64 {
            let text = vec![u8::try_from(id).unwrap(); 5000];
            let appended = if id % 10 == 0 {
                let Ok(large) = log.begin_large() else { continue };
                File::from(large.file).write_all(&text).unwrap();
                log.append(id, QueueId::from_u64(id * 2), b"e", Body::Large(large.token, 5000))
            } else {
                log.append(id, QueueId::from_u64(id * 2), b"e", Body::Inline(&text))
            };
            if appended.is_err() {
                log.housekeeping();
                continue;
            }
            let done = settle(&mut log, 1).into_iter().find(|done| done.ticket == id).unwrap();
            if let Ok(slot) = done.result {
                acknowledged.insert(id * 2, text);
                if id % 3 == 0 && log.remove(slot).is_ok() {
                    // Whether the end is durable is not known: both are right.
                    acknowledged.remove(&(id * 2));
                } else if id % 4 == 0 {
                    log.note(slot, b"note").ok();
                }
            }
        }
    }
    let (mut log, found) =
        Log::open_on(Arc::new(RealDisk::new(folder(place.path()))), options).unwrap();
    let found: BTreeMap<u64, Slot> = found.into_iter().map(|f| (f.id.as_u64(), f.slot)).collect();
    for (id, text) in acknowledged {
        let slot = found.get(&id).unwrap_or_else(|| panic!("{id} lost: {call:?} {at} {stays}"));
        assert_eq!(body(&mut log, *slot), text, "{id} torn: {call:?} {at} {stays}");
    }
    disk.seen()
}

#[test]
fn whichever_call_fails_nothing_acknowledged_is_lost() {
    for call in [Call::Create, Call::Write, Call::Sync, Call::Rename, Call::Open, Call::Remove] {
        for stays in [false, true] {
            let mut at = 1;
            // Each n-th call in turn, until the fault comes too late to matter.
            while play_with_fault(call, at, stays) >= at {
                at += 1 + at / 4;
            }
        }
    }
}

#[test]
fn a_failed_write_is_answered_and_breaks_the_log() {
    let place = TempDir::new().unwrap();
    drop(open(place.path()));
    let disk = FaultyDisk::new(folder(place.path()), Call::Write, 3, true);
    let (mut log, _) = Log::open_on(Arc::new(disk), Options { shards: 1, ..OPTIONS }).unwrap();
    store(&mut log, 1, b"a").unwrap();
    assert_eq!(store(&mut log, 2, b"b"), Err(Refused::Broken));
    assert!(log.is_broken());
    let refused = log.append(3, QueueId::from_u64(3), b"", Body::Inline(b""));
    assert_eq!(refused, Err(Refused::Broken));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_torn_end_costs_nothing_that_was_acknowledged(
        sizes in proptest::collection::vec(1_usize..9000, 1..12),
        garbage in proptest::collection::vec(any::<u8>(), 0..9000),
        cut in 0_usize..20_000,
    ) {
        let place = TempDir::new().unwrap();
        let options = Options { shards: 1, segment_bytes: 1 << 20, free_bytes_min: 0 };
        let (mut log, _) = Log::open(folder(place.path()), options).unwrap();
        for (number, size) in sizes.iter().enumerate() {
            let id = u64::try_from(number).unwrap() + 1;
            store_now(&mut log, id, &vec![7; *size]);
        }
        let end = usize::try_from(log.statistics().written_bytes).unwrap() + 4096;
        drop(log);
        let segment = segments(place.path()).pop().unwrap();
        let file = OpenOptions::new().write(true).open(&segment).unwrap();
        let at = u64::try_from(end + cut).unwrap();
        file.write_all_at(&garbage, at).unwrap();
        let (mut log, found) = Log::open(folder(place.path()), options).unwrap();
        prop_assert_eq!(found.len(), sizes.len());
        for (found, size) in found.iter().zip(&sizes) {
            prop_assert_eq!(body(&mut log, found.slot).len(), *size);
        }
    }

    #[test]
    fn any_octets_as_a_segment_are_read_without_a_panic(
        octets in proptest::collection::vec(any::<u8>(), 0..20_000),
        flips in proptest::collection::vec((0_usize..60_000, any::<u8>()), 0..20),
    ) {
        let place = TempDir::new().unwrap();
        let (mut log, _) = open(place.path());
        for id in 1..=4 {
            store_now(&mut log, id, &[1; 3000]);
        }
        drop(log);
        for segment in segments(place.path()) {
            let mut whole = fs::read(&segment).unwrap();
            for (at, octet) in &flips {
                if let Some(place) = whole.get_mut(*at) {
                    *place = *octet;
                }
            }
            fs::write(&segment, &whole).unwrap();
        }
        fs::write(place.path().join("log/0/00000099.seg"), &octets).unwrap();
        if let Ok((mut log, found)) = Log::open(folder(place.path()), OPTIONS) {
            for found in found {
                drop(log.open(found.slot));
            }
        }
    }
}
