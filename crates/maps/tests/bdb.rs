//! Berkeley DB files against libdb's own tools (`db5.3-util`), and against bytes that are no such file.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may stop"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};

use maps::bdb::build::{Build, IfThere};
use maps::bdb::{Database, Kind};
use proptest::collection::vec;
use proptest::prelude::*;

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Whether libdb's tools are here. Where CI runs they must be.
fn has_tools() -> bool {
    let there = Command::new("db5.3_verify").arg("-V").output().is_ok();
    assert!(
        there || std::env::var_os("CI").is_none(),
        "db5.3_verify is not installed: apt-get install db5.3-util"
    );
    if !there {
        eprintln!("not compared with libdb: db5.3-util is not installed");
    }
    there
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Makes a file with libdb.
fn load(path: &Path, kind: &str, options: &[String], pairs: &Pairs) -> bool {
    let mut text = format!("VERSION=3\nformat=bytevalue\ntype={kind}\n");
    for option in options {
        writeln!(text, "{option}").unwrap();
    }
    text.push_str("HEADER=END\n");
    for (key, value) in pairs {
        writeln!(text, " {}\n {}", escaped(key), escaped(value)).unwrap();
    }
    text.push_str("DATA=END\n");
    let mut child = Command::new("db5.3_load")
        .arg(path)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("db5.3_load starts");
    // libdb stumbles over some files of its own making (many long duplicates): they prove nothing.
    let is_written = child.stdin.take().unwrap().write_all(text.as_bytes()).is_ok();
    child.wait().unwrap().success() && is_written
}

fn unescaped(line: &str) -> Vec<u8> {
    let line = line.trim_start().as_bytes();
    line.chunks(2)
        .map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap())
        .collect()
}

/// What libdb reads in a file.
fn dump(path: &Path) -> Pairs {
    let output = Command::new("db5.3_dump").arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with(' ')).map(unescaped).collect();
    lines.chunks(2).map(|two| (two[0].clone(), two[1].clone())).collect()
}

fn is_sound(path: &Path) -> bool {
    Command::new("db5.3_verify").arg("-q").arg(path).status().unwrap().success()
}

fn verify(path: &Path) {
    let output = Command::new("db5.3_verify").arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn read_all(database: &mut Database) -> Pairs {
    try_read_all(database).unwrap()
}

fn try_read_all(database: &mut Database) -> Result<Pairs, maps::bdb::Error> {
    let mut pairs = Vec::new();
    database.each(&mut |key, value| {
        pairs.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok(pairs)
}

/// Keys and values, mostly short, some far beyond a page.
fn pairs() -> impl Strategy<Value = Pairs> {
    let size = prop_oneof![8 => 0_usize..40, 2 => 100_usize..600, 1 => 1000_usize..9000];
    let key_size = prop_oneof![12 => 1_usize..30, 2 => 60_usize..300, 1 => 500_usize..3000];
    let key = (key_size, any::<u32>(), 0_u8..6).prop_map(|(size, seed, spread)| {
        let mut key = format!("{:x}", seed >> (spread * 5)).into_bytes();
        key.resize(size, b'a' + spread);
        key
    });
    let value = (size, any::<u8>()).prop_map(|(size, octet)| vec![octet; size]);
    vec((key, value), 0..400)
}

fn unique(pairs: &Pairs) -> BTreeMap<Vec<u8>, Vec<u8>> {
    pairs.iter().rev().cloned().collect()
}

fn page_size() -> impl Strategy<Value = usize> {
    prop::sample::select(vec![512_usize, 1024, 2048, 4096, 8192, 32768])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn what_libdb_writes_is_read_in_its_order(
        pairs in pairs(),
        page_bytes in prop_oneof![page_size(), Just(65536)],
        is_hash in any::<bool>(),
        is_big_endian in any::<bool>(),
        duplicates in 0_u8..3,
        checksum in any::<bool>(),
    ) {
        if !has_tools() { return Ok(()); }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.db");
        let mut options = vec![format!("db_pagesize={page_bytes}"), format!("db_lorder={}", if is_big_endian { 4321 } else { 1234 })];
        if duplicates > 0 { options.push("duplicates=1".into()); }
        if duplicates > 1 { options.push("dupsort=1".into()); }
        if checksum { options.push("chksum=1".into()); }
        let mut pairs = pairs;
        if duplicates > 0 {
            let more: Pairs = pairs.iter().take(7).flat_map(|(key, _)| (0..40_u8).map(|n| (key.clone(), vec![n; usize::from(n)]))).collect();
            pairs.extend(more);
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            pairs.dedup();
        }
        if !load(&path, if is_hash { "hash" } else { "btree" }, &options, &pairs) { return Ok(()); }
        // libdb damages some files while it makes them (sorted duplicates of long keys): they prove nothing.
        if !is_sound(&path) { return Ok(()); }
        let wanted = dump(&path);
        // Nor does a key that it replaced on a full page and left there twice: which one counts is anybody's guess.
        if duplicates == 0 && unique(&wanted).len() != wanted.len() { return Ok(()); }
        let mut database = Database::open(&path).unwrap();
        prop_assert_eq!(database.kind(), if is_hash { Kind::Hash } else { Kind::Btree });
        prop_assert!(read_all(&mut database) == wanted, "walk");
        for (index, (key, _)) in wanted.iter().enumerate() {
            if index % 3 != 0 { continue; }
            let mut values = Vec::new();
            database.values(key, &mut |_, value| { values.push(value.to_vec()); ControlFlow::Continue(()) }).unwrap();
            let there: Vec<_> = wanted.iter().filter(|pair| pair.0 == *key).map(|pair| pair.1.clone()).collect();
            prop_assert!(values == there, "key {}", escaped(key));
        }
        prop_assert_eq!(database.lookup(b"not there at all").unwrap(), None);
    }

    #[test]
    fn what_is_written_libdb_finds_right(pairs in pairs(), page_bytes in page_size(), is_hash in any::<bool>(), has_duplicates in any::<bool>()) {
        let kind = if is_hash { Kind::Hash } else { Kind::Btree };
        let mut build = Build::new(kind, page_bytes, has_duplicates);
        let mut wanted: BTreeMap<Vec<u8>, Vec<Vec<u8>>> = BTreeMap::new();
        for (key, value) in &pairs {
            build.put(key, value, if has_duplicates { IfThere::Add } else { IfThere::Keep });
            let values = wanted.entry(key.clone()).or_default();
            if has_duplicates || values.is_empty() { values.push(value.clone()); }
        }
        if has_duplicates {
            for (key, _) in pairs.iter().take(5) {
                for n in 0..60_u8 {
                    build.put(key, &vec![n; usize::from(n)], IfThere::Add);
                    wanted.get_mut(key).unwrap().push(vec![n; usize::from(n)]);
                }
            }
        }
        let bytes = build.into_bytes([7; 20]).unwrap();
        let mut by_us = read_all(&mut Database::from_bytes(bytes.clone()).unwrap());
        if has_tools() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("m.db");
            std::fs::write(&path, bytes).unwrap();
            verify(&path);
            prop_assert!(dump(&path) == by_us, "libdb reads it otherwise");
        }
        by_us.sort_by(|a, b| a.0.cmp(&b.0));
        let wanted: Pairs = wanted.into_iter().flat_map(|(key, values)| values.into_iter().map(move |value| (key.clone(), value))).collect();
        prop_assert!(by_us == wanted, "something is missing");
    }

    #[test]
    fn hash_files_give_their_pairs_in_the_order_of_libdbs_own(pairs in pairs(), page_bytes in page_size()) {
        if !has_tools() { return Ok(()); }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.db");
        let mut seen = unique(&pairs);
        let pairs: Pairs = pairs.into_iter().filter(|(key, value)| key.len() <= page_bytes / 4 && seen.get(key) == Some(value) && seen.remove(key).is_some()).collect();
        if !load(&path, "hash", &[format!("db_pagesize={page_bytes}")], &pairs) { return Ok(()); }
        let mut build = Build::new(Kind::Hash, page_bytes, false);
        for (key, value) in &pairs { build.put(key, value, IfThere::Keep); }
        let ours = read_all(&mut Database::from_bytes(build.into_bytes([7; 20]).unwrap()).unwrap());
        let wanted = dump(&path);
        let differs = ours.iter().zip(&wanted).position(|(a, b)| a != b);
        prop_assert!(ours.len() == wanted.len() && differs.is_none(), "{} {} {differs:?} {:?} {:?}", ours.len(), wanted.len(), differs.map(|at| (ours[at].0.len(), ours[at].1.len())), differs.map(|at| (wanted[at].0.len(), wanted[at].1.len())));
    }
}

fn sample(is_hash: bool, page_bytes: usize) -> Vec<u8> {
    let kind = if is_hash { Kind::Hash } else { Kind::Btree };
    let mut build = Build::new(kind, page_bytes, true);
    for n in 0..200_u32 {
        build.put(format!("key{n}").as_bytes(), &vec![b'v'; (n * 7 % 900) as usize], IfThere::Add);
        build.put(format!("key{}", n % 9).as_bytes(), b"another", IfThere::Add);
    }
    build.into_bytes([1; 20]).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_file_gives_an_error_and_no_more_than_its_size_allows(
        is_hash in any::<bool>(),
        hits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        words in vec((any::<prop::sample::Index>(), 0_u8..40), 0..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = sample(is_hash, 512);
        for (at, octet) in hits { let at = at.index(bytes.len()); bytes[at] = octet; }
        for (at, number) in words { let at = at.index(bytes.len() / 4) * 4; bytes[at] = number; }
        if let Some(cut) = cut { let at = cut.index(bytes.len()); bytes.truncate(at); }
        play(bytes);
    }

    #[test]
    fn any_bytes_behind_a_right_head_end_in_time(head in 0_usize..4, body in vec(any::<u8>(), 0..4000)) {
        let mut bytes = match head {
            0 => sample(true, 512),
            1 => sample(false, 512),
            2 => { let mut old = vec![0_u8; 512]; for (at, n) in [(0, 0x0006_1561_u32), (4, 2), (8, 1234), (12, 256), (40, 3), (44, 3), (48, 1), (60, 1), (64, 0xdf18_0a5f)] { old[at..at + 4].copy_from_slice(&n.to_be_bytes()); } old }
            _ => { let mut old = vec![0_u8; 512]; for (at, n) in [(0, 0x0005_3162_u32), (4, 3), (8, 512)] { old[at..at + 4].copy_from_slice(&n.to_le_bytes()); } old }
        };
        bytes.truncate(512);
        bytes.extend(body);
        play(bytes);
    }
}

/// Does everything with bytes that may be anything.
fn play(bytes: Vec<u8>) {
    let size = bytes.len();
    let Ok(mut database) = Database::from_bytes(bytes) else { return };
    let mut total = 0_usize;
    let walked = database.each(&mut |key, value| {
        total += key.len() + value.len();
        ControlFlow::Continue(())
    });
    assert!(total < size * 1024 + 1_000_000, "{total} of {size}: {walked:?}");
    for key in [&b"key1"[..], b"", b"key199", b"zzz"] {
        drop(database.lookup(key));
    }
    if let Ok(build) = Build::from_database(&mut database) {
        drop(build.into_bytes([0; 20]));
    }
}
