//! Each wall of the cage, by deed: this test program executes itself again, enters a cage, and tries.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

use std::path::Path;
use std::process::Command;
use sys::confine::{Cage, Calls, Grant, Identity, Limits};
use sys::deed::{Deed, attempt};

const MARK: &str = "IRONPOST_CAGE";

const DEEDS: [Deed; 4] = [Deed::OpenPasswd, Deed::Socket, Deed::Execve, Deed::Kill];

/// Runs in the child alone; what it finds out is its exit code: a bit for each deed that succeeded.
#[test]
fn inside() {
    let Ok(which) = std::env::var(MARK) else { return };
    let is_root = sys::user::effective_uid() == 0;
    let identity = Identity { uid: 59_999, gid: 59_999, groups: Vec::new() };
    let folder = std::env::temp_dir();
    let (calls, grants): (&[Calls], Vec<Grant<'_>>) = match which.as_str() {
        "none" => (&[], Vec::new()),
        "connects" => (&[Calls::SocketInet], Vec::new()),
        "writes" => (
            &[Calls::FilesRead, Calls::FilesWrite, Calls::Threads],
            vec![Grant::WritePath(&folder)],
        ),
        "reads" => (&[Calls::FilesRead], vec![Grant::ReadPath(Path::new("/etc/passwd"))]),
        _ => std::process::exit(99),
    };
    let cage = Cage {
        name: "caged",
        identity: is_root.then_some(identity),
        limits: Limits { descriptors: 64, memory_bytes: 8 << 30 },
        grants,
        calls,
    };
    if let Err(error) = cage.enter() {
        std::io::Write::write_all(&mut std::io::stderr(), error.to_string().as_bytes()).unwrap();
        std::process::exit(98);
    }
    if which == "writes" {
        // A thread is no process: it may start.
        std::thread::spawn(|| ()).join().unwrap();
        assert!(!sys::deed::descriptors().is_empty());
    }
    let succeeded = DEEDS.iter().enumerate().filter(|(_, deed)| attempt(**deed).is_ok());
    std::process::exit(succeeded.map(|(bit, _)| 1 << bit).sum());
}

fn deeds_that_succeed_in(which: &str) -> Vec<Deed> {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args(["--exact", "inside", "--nocapture", "--test-threads=1"])
        .env(MARK, which)
        .output()
        .unwrap();
    let code = output.status.code().unwrap_or(97);
    assert!(code < 16, "{code}: {}", String::from_utf8_lossy(&output.stderr));
    DEEDS
        .into_iter()
        .enumerate()
        .filter(|(bit, _)| code & (1 << bit) != 0)
        .map(|(_, d)| d)
        .collect()
}

#[test]
fn without_a_group_nothing_succeeds() {
    assert_eq!(deeds_that_succeed_in("none"), []);
}

#[test]
fn who_connects_has_sockets_and_nothing_else() {
    assert_eq!(deeds_that_succeed_in("connects"), [Deed::Socket]);
}

#[test]
fn who_writes_below_one_folder_opens_nothing_beside_it() {
    assert_eq!(deeds_that_succeed_in("writes"), []);
}

#[test]
fn who_may_read_one_file_reads_it() {
    assert_eq!(deeds_that_succeed_in("reads"), [Deed::OpenPasswd]);
}
