//! The power goes, at each call in turn: what was acknowledged is there afterwards, what has ended stays away.
//!
//! [`Platter`] is a disk that remembers what is durable. A write without a sync may be there in part, each sector for itself; a
//! name without a sync of its folder may be there or not, in the order in which names changed. What a crash leaves is
//! drawn from all that is possible, put into a folder, and opened as after a start.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may stop")]

use spool::disk::Writable;
use spool::{Body, Completion, Disk, Log, OpenedBody, Options, RealDisk, Slot, Spool};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use wire::QueueId;

/// What a disk writes as a whole or not at all.
const SECTOR: usize = 512;

const OPTIONS: Options = Options { segment_bytes: 64 * 1024, shards: 1, free_bytes_min: 0 };

/// A change of names that is not durable yet.
enum Change {
    Added(String, u64),
    Renamed(String, String),
    Removed(String),
}

impl Change {
    fn folder(&self) -> &str {
        let (Self::Added(name, _) | Self::Renamed(name, _) | Self::Removed(name)) = self;
        name.rsplit_once('/').map_or(".", |(folder, _)| folder)
    }

    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Added(name, file) => {
                names.insert(name.clone(), *file);
            }
            Self::Renamed(from, to) => {
                let file = names.remove(from).unwrap();
                names.insert(to.clone(), file);
            }
            Self::Removed(name) => {
                names.remove(name);
            }
        }
    }
}

/// What is durable, and what might be.
struct State {
    calls: u64,
    dice: Dice,
    /// Names as they are for running programs, and as they are durable.
    seen: BTreeMap<String, u64>,
    names: BTreeMap<String, u64>,
    pending: Vec<Change>,
    /// Files by number: a handle to what running programs see, and what is durable.
    files: BTreeMap<u64, (File, Vec<u8>)>,
    folders: BTreeSet<String>,
}

/// A disk whose power goes at the `cut`-th call.
struct Platter {
    inner: RealDisk,
    cut: u64,
    state: Mutex<State>,
}

impl Platter {
    fn new(place: &Path, cut: u64, seed: u64) -> Self {
        let state = State {
            calls: 0,
            dice: Dice(seed),
            seen: BTreeMap::new(),
            names: BTreeMap::new(),
            pending: Vec::new(),
            files: BTreeMap::new(),
            folders: BTreeSet::new(),
        };
        Self { inner: RealDisk::new(folder(place)), cut, state: Mutex::new(state) }
    }

    /// A call that changes something. `Err`: the power is gone.
    fn call<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock().unwrap();
        state.calls += 1;
        if state.calls >= self.cut { Err(io::Error::other("no power")) } else { act(&mut state) }
    }

    fn has_power(&self) -> bool {
        self.state.lock().unwrap().calls < self.cut
    }

    /// Puts one of the states that a crash can leave into a folder.
    fn crash(&self, place: &Path) {
        let mut state = self.state.lock().unwrap();
        let State { dice, names, pending, files, folders, .. } = &mut *state;
        let kept = dice.below(pending.len() + 1);
        for change in pending.iter().take(kept) {
            change.apply(names);
        }
        for folder in folders.iter() {
            fs::create_dir_all(place.join(folder)).unwrap();
        }
        for (name, number) in names {
            let (file, durable) = &files[number];
            let mut left = durable.clone();
            let seen = whole(file);
            left.resize(seen.len().max(durable.len()), 0);
            for (sector, there) in left.chunks_mut(SECTOR).zip(seen.chunks(SECTOR)) {
                if there.len() == sector.len() && dice.below(2) == 0 {
                    sector.copy_from_slice(there);
                }
            }
            fs::write(place.join(name), left).unwrap();
        }
    }
}

fn whole(file: &File) -> Vec<u8> {
    let mut octets = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
    file.read_exact_at(&mut octets, 0).unwrap();
    octets
}

impl Disk for Platter {
    fn make_folder(&self, name: &str) -> io::Result<()> {
        self.inner.make_folder(name)?;
        // Folders are made once, at the first start, and synced; the platter takes them as durable.
        self.state.lock().unwrap().folders.insert(name.to_owned());
        Ok(())
    }

    fn create(&self, name: &str, length: u64) -> io::Result<Writable> {
        self.call(|state| {
            let file = self.inner.create(name, length)?;
            let number = file.file.metadata()?.ino();
            let durable = vec![0; usize::try_from(length).unwrap()];
            state.files.insert(number, (self.inner.open(name)?, durable));
            state.seen.insert(name.to_owned(), number);
            state.pending.push(Change::Added(name.to_owned(), number));
            Ok(file)
        })
    }

    fn open(&self, name: &str) -> io::Result<File> {
        self.inner.open(name)
    }

    fn write_at(&self, file: &Writable, octets: &[u8], place: u64) -> io::Result<()> {
        if !self.has_power() {
            return Err(io::Error::other("no power"));
        }
        // What is under way when the power goes is written in part: it is seen, and not durable.
        self.inner.write_at(file, octets, place)?;
        self.call(|state| {
            if file.is_durable {
                let start = usize::try_from(place).unwrap();
                let (_, durable) = state.files.get_mut(&file.file.metadata()?.ino()).unwrap();
                durable[start..start + octets.len()].copy_from_slice(octets);
            }
            Ok(())
        })
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.call(|state| {
            let (handle, durable) = state.files.get_mut(&file.metadata()?.ino()).unwrap();
            *durable = whole(handle);
            Ok(())
        })
    }

    fn sync_folder(&self, name: &str) -> io::Result<()> {
        self.call(|state| {
            let (now, later) = std::mem::take(&mut state.pending)
                .into_iter()
                .partition(|change| change.folder() == name);
            state.pending = later;
            let now: Vec<Change> = now;
            for change in now {
                change.apply(&mut state.names);
            }
            Ok(())
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.call(|state| {
            self.inner.rename(from, to)?;
            let change = Change::Renamed(from.to_owned(), to.to_owned());
            change.apply(&mut state.seen);
            state.pending.push(change);
            Ok(())
        })
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.call(|state| {
            self.inner.link(from, to)?;
            let change = Change::Added(to.to_owned(), *state.seen.get(from).unwrap());
            change.apply(&mut state.seen);
            state.pending.push(change);
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.call(|state| {
            self.inner.remove(name)?;
            state.seen.remove(name);
            state.pending.push(Change::Removed(name.to_owned()));
            Ok(())
        })
    }

    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        self.inner.list(name)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.inner.free_bytes()
    }
}

/// What the queue was told before the power went.
#[derive(Default)]
struct Told {
    stored: BTreeMap<u64, Vec<u8>>,
    noted: BTreeMap<u64, Vec<u8>>,
    ended: BTreeSet<u64>,
}

/// Works until everything is done or the power is gone.
fn work(log: &mut Log, dice: &mut Dice) -> Told {
    let mut told = Told::default();
    let mut slots: BTreeMap<u64, Slot> = BTreeMap::new();
    for id in 1..=60_u64 {
        let text = vec![u8::try_from(id).unwrap(); 1 + dice.below(6000)];
        let size = u64::try_from(text.len()).unwrap();
        let taken = if dice.below(8) == 0 {
            let Ok(large) = log.begin_large() else { return told };
            File::from(large.file).write_all(&text).unwrap();
            log.append(id, QueueId::from_u64(id), b"envelope", Body::Large(large.token, size))
        } else {
            log.append(id, QueueId::from_u64(id), b"envelope", Body::Inline(&text))
        };
        if taken.is_err() {
            return told;
        }
        let Some(slot) = wait_for(log, id) else { return told };
        slots.insert(id, slot);
        told.stored.insert(id, text);
        let chosen = u64::try_from(1 + dice.below(usize::try_from(id).unwrap())).unwrap();
        let Some(&slot) = slots.get(&chosen) else { continue };
        if dice.below(3) == 0 {
            // An older note may have been replaced: whichever is durable is right until this one is known to be.
            told.noted.remove(&chosen);
            let note = id.to_le_bytes().to_vec();
            if log.note(slot, &note).is_err() || !settled(log) {
                return told;
            }
            told.noted.insert(chosen, note);
        } else {
            told.stored.remove(&chosen);
            told.noted.remove(&chosen);
            slots.remove(&chosen);
            if log.remove(slot).is_err() || !settled(log) {
                return told;
            }
            told.ended.insert(chosen);
        }
        log.housekeeping();
    }
    told
}

fn wait_for(log: &mut Log, ticket: u64) -> Option<Slot> {
    let mut out: Vec<Completion> = Vec::new();
    log.settle(&mut out);
    out.into_iter().find(|done| done.ticket == ticket)?.result.ok()
}

fn settled(log: &mut Log) -> bool {
    log.settle(&mut Vec::new());
    !log.is_broken()
}

/// Cuts the power at one call; gives how many calls there would have been.
fn play(cut: u64, seed: u64) -> u64 {
    let before = TempDir::new().unwrap();
    let platter = Arc::new(Platter::new(before.path(), cut, seed));
    let disk: Arc<dyn Disk> = Arc::<Platter>::clone(&platter);
    let told = match Log::open_on(disk, OPTIONS) {
        Ok((mut log, _)) => work(&mut log, &mut Dice(seed)),
        Err(_) => Told::default(),
    };
    let after = TempDir::new().unwrap();
    platter.crash(after.path());
    let (mut log, found) = Log::open(folder(after.path()), OPTIONS).unwrap();
    let found: BTreeMap<u64, Slot> = found.iter().map(|f| (f.id.as_u64(), f.slot)).collect();
    for (id, text) in &told.stored {
        let slot = found.get(id).unwrap_or_else(|| panic!("{id} is lost, cut {cut}, seed {seed}"));
        let opened = log.open(*slot).unwrap();
        assert!(read(opened.body) == *text, "{id} is torn, cut {cut}, seed {seed}");
        if let Some(note) = told.noted.get(id) {
            assert_eq!(opened.note.as_ref(), Some(note), "{id}, cut {cut}, seed {seed}");
        }
    }
    for id in &told.ended {
        assert!(!found.contains_key(id), "{id} is back, cut {cut}, seed {seed}");
    }
    // What was under way may be there, and then it is whole.
    for slot in found.values() {
        log.open(*slot).unwrap_or_else(|error| panic!("{error}, cut {cut}, seed {seed}"));
    }
    platter.state.lock().unwrap().calls
}

fn read(body: OpenedBody) -> Vec<u8> {
    match body {
        OpenedBody::Inline(body) => body,
        OpenedBody::Large(file, size) => {
            let mut body = vec![0; usize::try_from(size).unwrap()];
            file.read_exact_at(&mut body, 0).unwrap();
            body
        }
    }
}

#[test]
fn whenever_the_power_goes_nothing_acknowledged_is_lost_and_nothing_ended_is_back() {
    for seed in 1..=3 {
        let calls = play(u64::MAX, seed);
        assert!(calls > 100, "{calls} calls are no work");
        // Not each call for each seed: a run takes its time with a real disk.
        for cut in (seed..=calls).step_by(11) {
            play(cut, seed);
        }
    }
}

fn folder(path: &Path) -> OwnedFd {
    File::open(path).unwrap().into()
}

/// Pseudo-random numbers, so that a seed names a run (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) >> 8).unwrap() % bound
    }
}
