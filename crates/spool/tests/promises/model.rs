//! Random work against a map in memory, with crashes in between.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use proptest::prelude::*;
use spool::fault::FaultyDisk;
use spool::{Options, RealDisk, Spool as _};
use wire::QueueId;

use crate::desk::{Desk, OPTIONS, text};

#[derive(Debug, Clone)]
enum Deed {
    Store(usize),
    StoreLarge(usize),
    Note(u8, usize),
    Remove(u8),
    Settle,
    KeepHouse,
    /// A crash; something that was being written was torn, and garbage is where it was.
    Crash(Vec<u8>),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        6 => (0_usize..6000).prop_map(Deed::Store),
        1 => (0_usize..9000).prop_map(Deed::StoreLarge),
        3 => (any::<u8>(), 0_usize..300).prop_map(|(at, len)| Deed::Note(at, len)),
        6 => any::<u8>().prop_map(Deed::Remove),
        2 => Just(Deed::Settle),
        2 => Just(Deed::KeepHouse),
        1 => proptest::collection::vec(any::<u8>(), 0..3000).prop_map(Deed::Crash),
    ]
}

type Model = BTreeMap<u64, (Vec<u8>, Option<Vec<u8>>)>;

fn pick(model: &Model, at: u8) -> Option<u64> {
    let place = usize::from(at) % model.len().max(1);
    model.keys().nth(place).copied()
}

fn crash(desk: &mut Desk, garbage: &[u8]) {
    desk.settle();
    // Appended and never handed to a thread: not there afterwards.
    desk.append(1_000_000, b"never").ok();
    desk.close();
    // Behind the last commit of a segment that is not sealed, anything may lie.
    let is_open =
        |path: &&std::path::PathBuf| path.metadata().is_ok_and(|facts| facts.len() == 65_536);
    for path in desk.segments().iter().filter(is_open) {
        let octets = std::fs::read(path).unwrap();
        let end = octets.iter().rposition(|&octet| octet != 0).unwrap_or(0) + 1;
        let end = end.next_multiple_of(4096);
        if end + garbage.len() < octets.len() - 8192 {
            let file = OpenOptions::new().write(true).open(path).unwrap();
            file.write_all_at(garbage, u64::try_from(end).unwrap()).unwrap();
        }
    }
    desk.crash();
}

/// The power goes; of what was not synced some survives.
fn power_cut(desk: &mut Desk, faulty: &FaultyDisk, seed: usize) {
    desk.settle();
    desk.append(1_000_000, b"never").ok();
    desk.close();
    faulty.power_cut(u64::try_from(seed).unwrap()).unwrap();
    desk.crash();
}

fn play(shards: u32, has_power_cuts: bool, deeds: Vec<Deed>) -> Result<(), TestCaseError> {
    let faulty = Arc::new(FaultyDisk::forgetful());
    let options = Options { shards, ..OPTIONS };
    let mut desk = if has_power_cuts {
        Desk::with(Arc::<FaultyDisk>::clone(&faulty), options)
    } else {
        Desk::with(Arc::new(RealDisk), options)
    };
    let mut model = Model::new();
    let mut next = 1;
    for deed in deeds {
        match deed {
            Deed::Store(len) => {
                desk.store(next, &text(next, len)).unwrap();
                model.insert(next, (text(next, len), None));
                next += 1;
            }
            Deed::StoreLarge(len) => {
                desk.store_large(next, &text(next, len)).unwrap();
                model.insert(next, (text(next, len), None));
                next += 1;
            }
            Deed::Note(at, len) => {
                if let Some(id) = pick(&model, at) {
                    let slot = desk.slot(id);
                    desk.log().note(slot, &text(id, len)).unwrap();
                    model.get_mut(&id).unwrap().1 = Some(text(id, len));
                }
            }
            Deed::Remove(at) => {
                if let Some(id) = pick(&model, at) {
                    let slot = desk.slot(id);
                    desk.log().remove(slot).unwrap();
                    model.remove(&id);
                    prop_assert_eq!(desk.log().find(QueueId::from_u64(id)), None);
                }
            }
            Deed::Settle => drop(desk.settle()),
            Deed::KeepHouse => {
                desk.log().housekeeping();
                desk.settle();
            }
            Deed::Crash(garbage) if has_power_cuts => {
                power_cut(&mut desk, &faulty, garbage.len());
            }
            Deed::Crash(garbage) => crash(&mut desk, &garbage),
        }
        let count = desk.log().list(0, usize::MAX).len();
        prop_assert_eq!(count, model.len());
    }
    prop_assert_eq!(&desk.all(), &model);
    crash(&mut desk, b"");
    prop_assert_eq!(&desk.all(), &model);
    desk.keep_house();
    prop_assert_eq!(&desk.all(), &model);
    prop_assert_eq!(&desk.crash().all(), &model);
    let large = model.len();
    prop_assert!(desk.in_folder("large").len() <= large);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn it_holds_what_a_map_holds_through_any_crashes(
        shards in 1_u32..3,
        has_power_cuts: bool,
        deeds in proptest::collection::vec(deed(), 1..120),
    ) {
        play(shards, has_power_cuts, deeds)?;
    }
}
