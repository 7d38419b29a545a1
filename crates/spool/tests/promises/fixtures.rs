//! Spools that earlier versions wrote: readable for ever.
//!
//! `make_fixture` writes one into the folder named by `IRONPOST_FIXTURE`:
//! `IRONPOST_FIXTURE=crates/spool/tests/fixtures/v1 cargo test -p spool --test promises make_fixture`.
//! It is done once for a version of the format, before the first change after it, and never again.

use std::fs;
use std::path::{Path, PathBuf};

use crate::desk::{Desk, text};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

#[test]
fn make_fixture() {
    let Some(target) = std::env::var_os("IRONPOST_FIXTURE") else { return };
    let mut desk = Desk::new();
    // A sealed segment, one that ended in a crash, a note, an end whose message lies in another segment, a large body.
    for id in 1..=20 {
        desk.store(id, &text(id, 3000)).unwrap();
    }
    desk.store_large(21, &text(21, 5000)).unwrap();
    desk.note(5, b"tried");
    desk.remove(6);
    desk.close();
    fs::create_dir_all(&target).unwrap();
    copy(desk.place.path(), Path::new(&target));
}

#[test]
fn a_spool_of_version_1_is_read() {
    let mut desk = Desk::new();
    desk.close();
    fs::remove_file(desk.place.path().join("format")).unwrap();
    copy(&fixtures().join("v1"), desk.place.path());
    let expected: Vec<u64> = (1..=21).filter(|&id| id != 6).collect();
    for _ in 0..2 {
        assert_eq!(desk.crash().found, expected);
        assert_eq!(desk.events(), []);
        for id in 1..=20 {
            if id != 6 {
                let note = (id == 5).then(|| b"tried".to_vec());
                assert_eq!(desk.read(id).unwrap(), (text(id, 3000), note));
            }
        }
        assert_eq!(desk.body(21), text(21, 5000));
    }
}
