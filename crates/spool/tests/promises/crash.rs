//! Each state in which a crash leaves the folder: the rows of the table in docs/spool.md.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use spool::fault::FaultyDisk;
use spool::{Error, Event, Log, Spool as _};

use crate::desk::{Desk, OPTIONS, text};

const BLOCK: usize = 4096;

#[test]
fn an_empty_folder_becomes_a_spool() {
    let mut desk = Desk::new();
    assert_eq!(desk.found, []);
    assert_eq!(desk.segments().len(), 0);
    assert_eq!(desk.crash().found, []);
}

#[test]
fn a_format_file_that_was_not_finished_is_made_again() {
    let mut desk = Desk::new();
    desk.store(7, b"body").unwrap();
    for content in [&b""[..], b"ironpost-sp", b"ironpost-spool 1 00112233"] {
        fs::write(desk.place.path().join("format"), content).unwrap();
        fs::write(desk.place.path().join("format.new"), b"half of it, or more than it").unwrap();
        assert_eq!(desk.crash().found, [7], "{content:?}");
    }
}

#[test]
fn a_message_that_was_only_gathered_is_not_there() {
    let mut desk = Desk::new();
    desk.append(7, b"body").unwrap();
    assert_eq!(desk.crash().found, []);
}

#[test]
fn a_large_body_without_a_record_is_taken_away() {
    let mut desk = Desk::new();
    desk.store(7, b"body").unwrap();
    fs::write(desk.place.path().join("large/0000000000000063"), b"named, no record").unwrap();
    assert_eq!(desk.crash().found, [7]);
    assert_eq!(desk.in_folder("large").len(), 0);
}

#[test]
fn a_segment_that_was_begun_and_not_written_to_is_taken_away() {
    let mut desk = Desk::new();
    desk.store(7, b"body").unwrap();
    desk.close();
    let folder = desk.place.path().join("log/0");
    fs::write(folder.join("00000050.seg"), b"").unwrap();
    fs::write(folder.join("00000051.seg"), vec![0; 65_536]).unwrap();
    let header = fs::read(desk.segments().first().unwrap()).unwrap();
    fs::write(folder.join("00000052.seg"), &header[..BLOCK]).unwrap();
    assert_eq!(desk.crash().found, [7]);
    // The last is another segment's header under a wrong name: not ours to judge.
    assert_eq!(desk.segments().len(), 2);
    assert!(matches!(desk.events()[..], [Event::Foreign { .. }]));
    // A number is never used twice.
    desk.store(8, b"body").unwrap();
    assert!(desk.segments().last().unwrap().ends_with("00000053.seg"));
}

#[test]
fn a_torn_commit_is_dropped_and_what_was_before_it_is_there() {
    for cut in [0, 1, 63, 64, 100, 4095, 4096, 6000, 8_100] {
        let mut desk = Desk::new();
        desk.store(7, &text(7, 3000)).unwrap();
        let whole = fs::read(desk.segments().last().unwrap()).unwrap();
        desk.store(8, &text(8, 8_000)).unwrap();
        desk.close();
        // Of the second commit only the first octets reached the disk.
        let path = desk.segments().pop().unwrap();
        let mut torn = fs::read(&path).unwrap();
        let begin = 2 * BLOCK;
        torn[begin + cut..].copy_from_slice(&whole[begin + cut..]);
        fs::write(&path, &torn).unwrap();
        assert_eq!(desk.crash().found, [7], "cut at {cut}");
        assert_eq!(desk.body(7), text(7, 3000));
        assert_eq!(desk.in_folder("damaged").len(), usize::from(cut > 0));
        let is_told = matches!(desk.events()[..], [Event::Torn { .. }]);
        assert_eq!(is_told, cut > 0, "cut at {cut}");
        // And it does not come back from behind what is written next.
        desk.store(9, &text(9, 100)).unwrap();
        assert_eq!(desk.crash().found, [7, 9]);
        assert_eq!(desk.events(), []);
    }
}

#[test]
fn a_commit_whose_blocks_arrived_out_of_order_gives_what_is_whole_in_it() {
    let mut desk = Desk::new();
    desk.append(7, &text(7, 3000)).unwrap();
    desk.append(8, &text(8, 6000)).unwrap();
    desk.append(9, &text(9, 1000)).unwrap();
    desk.settle();
    desk.close();
    let path = desk.segments().pop().unwrap();
    let mut octets = fs::read(&path).unwrap();
    octets[2 * BLOCK..3 * BLOCK].fill(0);
    fs::write(&path, &octets).unwrap();
    assert_eq!(desk.crash().found, [7, 9]);
    assert_eq!((desk.body(7), desk.body(9)), (text(7, 3000), text(9, 1000)));
}

#[test]
fn a_commit_that_was_durable_but_not_told_is_there() {
    let mut desk = Desk::new();
    desk.append(7, b"body").unwrap();
    desk.log().commit();
    // The thread finishes what it was given; nobody asks it what came of it.
    assert_eq!(desk.crash().found, [7]);
}

#[test]
fn an_open_segment_is_sealed_by_the_next_start_and_read_by_its_index_after_that() {
    let mut desk = Desk::new();
    desk.store(7, &text(7, 3000)).unwrap();
    desk.close();
    let path = desk.segments().pop().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 65_536);
    assert_eq!(desk.crash().found, [7]);
    assert_eq!(fs::metadata(&path).unwrap().len(), u64::try_from(4 * BLOCK).unwrap());
    // Nothing but the index says so now.
    let mut octets = fs::read(&path).unwrap();
    octets[BLOCK..BLOCK + 64].fill(0);
    fs::write(&path, &octets).unwrap();
    assert_eq!(desk.crash().found, [7]);
    assert_eq!(desk.body(7), text(7, 3000));
}

#[test]
fn a_segment_whose_footer_or_cut_did_not_last_is_read_batch_by_batch() {
    let mut desk = Desk::new();
    for id in 1..=30 {
        desk.store(id, &text(id, 3000)).unwrap();
    }
    desk.close();
    let path = desk.segments().remove(0);
    let octets = fs::read(&path).unwrap();
    let footer = octets.len() - BLOCK;
    for spoil in [
        &|octets: &mut Vec<u8>| octets.truncate(footer) as (),
        &|octets: &mut Vec<u8>| {
            octets.resize(65_536, 0);
        },
        &|octets: &mut Vec<u8>| octets[footer + 100] ^= 1,
        &|octets: &mut Vec<u8>| {
            octets[footer - BLOCK] ^= 1;
        },
    ] as [&dyn Fn(&mut Vec<u8>); 4]
    {
        let mut octets = octets.clone();
        spoil(&mut octets);
        fs::write(&path, &octets).unwrap();
        assert_eq!(desk.crash().found, (1..=30).collect::<Vec<_>>());
        assert_eq!(desk.body(1), text(1, 3000));
        desk.close();
    }
}

#[test]
fn a_note_that_was_torn_leaves_the_one_before() {
    let mut desk = Desk::new();
    desk.store(7, b"body").unwrap();
    desk.note(7, b"first");
    desk.note(7, b"second");
    desk.close();
    let path = desk.segments().pop().unwrap();
    let mut octets = fs::read(&path).unwrap();
    octets[3 * BLOCK + 80..].fill(0);
    fs::write(&path, &octets).unwrap();
    assert_eq!(desk.crash().read(7).unwrap().1.unwrap(), b"first");
}

#[test]
fn an_end_that_was_torn_leaves_the_message() {
    let mut desk = Desk::new();
    desk.store(7, b"body").unwrap();
    desk.remove(7);
    desk.close();
    let path = desk.segments().pop().unwrap();
    let mut octets = fs::read(&path).unwrap();
    octets[2 * BLOCK + 70..].fill(0);
    fs::write(&path, &octets).unwrap();
    assert_eq!(desk.crash().found, [7]);
}

#[test]
fn a_large_body_whose_message_ended_is_taken_away() {
    let mut desk = Desk::new();
    desk.store_large(7, &text(7, 200_000)).unwrap();
    let path = desk.in_folder("large").remove(0);
    desk.remove(7);
    assert!(!path.exists());
    // The crash came between the end and the unlinking.
    fs::write(&path, text(7, 200_000)).unwrap();
    assert_eq!(desk.crash().found, []);
    assert!(!path.exists());
}

#[test]
fn a_message_that_was_moved_and_not_yet_left_behind_is_there_once() {
    let mut desk = Desk::new();
    for id in 1..=20 {
        desk.store(id, &text(id, 6000)).unwrap();
    }
    let old: Vec<_> =
        desk.segments().into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    for id in (1..=20).filter(|id| id % 9 != 2) {
        desk.remove(id);
    }
    desk.note(2, b"note");
    desk.keep_house();
    let gone: Vec<_> = old.into_iter().filter(|(_, path)| !path.exists()).collect();
    assert!(!gone.is_empty());
    // As if the crash had come before any segment was unlinked.
    for (octets, path) in gone {
        fs::write(path, octets).unwrap();
    }
    // The Dones of what was in them may be gone with theirs, but never those of the moved.
    desk.crash();
    for id in [2, 11, 20] {
        assert!(desk.found.contains(&id));
        assert_eq!(desk.body(id), text(id, 6000));
    }
    assert_eq!(desk.read(2).unwrap().1.unwrap(), b"note");
    desk.remove(2);
    desk.keep_house();
    assert!(!desk.crash().found.contains(&2));
}

#[test]
fn a_format_of_the_future_is_named() {
    let mut desk = Desk::new();
    desk.store(7, b"body").unwrap();
    desk.close();
    let format = fs::read_to_string(desk.place.path().join("format")).unwrap();
    fs::write(desk.place.path().join("format"), format.replace(" 1 ", " 2 ")).unwrap();
    let error = desk.open().unwrap_err();
    assert!(matches!(error, Error::Format { found: 2, known: 1 }));
    assert_eq!(error.to_string(), "the spool has format 2, this program knows formats up to 1");
    fs::write(desk.place.path().join("format"), &format).unwrap();
    set_format(&desk.segments().pop().unwrap(), 3);
    assert!(matches!(desk.open(), Err(Error::Format { found: 3, known: 1 })));
}

fn set_format(path: &Path, version: u32) {
    let mut block = fs::read(path).unwrap();
    block.truncate(BLOCK);
    block[8..12].copy_from_slice(&version.to_le_bytes());
    let crc = crc32c::crc32c(&block[..BLOCK - 4]);
    block[BLOCK - 4..].copy_from_slice(&crc.to_le_bytes());
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&block, 0).unwrap();
}

#[test]
fn octets_of_an_earlier_spool_are_never_taken_for_this_ones() {
    let mut first = Desk::new();
    first.store(7, b"body").unwrap();
    first.close();
    let mut second = Desk::new();
    second.store(8, b"body").unwrap();
    second.close();
    // The blocks of the first, where those of the second would come.
    let old = fs::read(first.segments().pop().unwrap()).unwrap();
    let file = OpenOptions::new().write(true).open(second.segments().pop().unwrap()).unwrap();
    file.write_all_at(&old[BLOCK..4 * BLOCK], u64::try_from(2 * BLOCK).unwrap()).unwrap();
    assert_eq!(second.crash().found, [8]);
}

#[test]
fn a_power_cut_after_the_answer_loses_nothing() {
    for seed in 0..40 {
        let faulty = Arc::new(FaultyDisk::forgetful());
        let mut desk = Desk::with(Arc::<FaultyDisk>::clone(&faulty), OPTIONS);
        let mut kept = Vec::new();
        for id in 1..=40 {
            desk.store(id, &text(id, 4000)).unwrap();
            if id % 5 == 0 {
                desk.note(id, b"note");
            }
            if id % 10 == 9 || id % 3 == 0 {
                desk.remove(id);
            } else {
                kept.push(id);
            }
            if id % 20 == 0 {
                desk.log().housekeeping();
                desk.settle();
            }
        }
        desk.append(99, &text(99, 7000)).unwrap();
        desk.log().commit();
        desk.close();
        faulty.power_cut(seed).unwrap();
        desk.crash();
        let found: Vec<u64> = desk.found.iter().copied().filter(|&id| id != 99).collect();
        assert_eq!(found, kept, "seed {seed}");
        for id in kept {
            assert_eq!(desk.body(id), text(id, 4000), "seed {seed}");
        }
    }
}

#[test]
fn the_lock_of_a_process_that_was_killed_is_free() {
    let desk = Desk::new();
    let place = desk.place.path().join("lock");
    assert!(place.exists());
    let mut desk = desk;
    desk.close();
    assert!(place.exists());
    Log::open(desk.folder(), OPTIONS).unwrap();
}
