//! The same answers as the real sendmail: the recorded ones, against a floor that only rises.
//!
//! The recordings lie beside the checkout (`../shared/oracle`). Where they are not, there is nothing to compare with, and the
//! test says so; in CI they must be there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop")]

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// Address test mode: per cent of all checks. Only ever raised.
const ADDRESS_TEST_FLOOR: &str = "99.99";

#[test]
fn address_test_mode_answers_as_sendmail_does() {
    let oracle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/oracle/compare");
    if !oracle.exists() {
        assert!(std::env::var_os("CI").is_none(), "CI needs the recordings of sendmail");
        let text = b"no recordings of sendmail beside this checkout: nothing compared\n";
        std::io::stderr().write_all(text).unwrap();
        return;
    }
    let folder = TempDir::new_in("/tmp").unwrap();
    let sendmail = folder.path().join("sendmail");
    symlink(env!("CARGO_BIN_EXE_ironpost"), &sendmail).unwrap();
    let command = format!("{} -bt -C {{cf}} {{args}}", sendmail.display());
    let output = Command::new(oracle)
        .args(["bt", "--cmd", &command, "--jobs", "2", "--min", ADDRESS_TEST_FLOOR])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let end = text.lines().rev().take(12).collect::<Vec<_>>();
    assert!(output.status.success(), "{end:#?} {}", String::from_utf8_lossy(&output.stderr));
}

/// Commands: groups of cases, and the per cent of their checks. Only ever raised.
const COMMAND_FLOORS: [(&str, &str); 8] = [
    ("bv*", "100"),
    ("newaliases*", "100"),
    ("praliases*", "100"),
    ("makemap*", "100"),
    ("editmap*", "100"),
    ("cfline*", "98.8"),
    ("cffile*", "65"),
    ("flags*", "92.8"),
];

#[test]
fn commands_answer_as_sendmail_does() {
    let oracle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/oracle/compare");
    if !oracle.exists() {
        assert!(std::env::var_os("CI").is_none(), "CI needs the recordings of sendmail");
        return;
    }
    let folder = TempDir::new_in("/tmp").unwrap();
    for name in ["sendmail", "newaliases", "praliases", "makemap", "editmap", "mailq"] {
        symlink(env!("CARGO_BIN_EXE_ironpost"), folder.path().join(name)).unwrap();
    }
    let sendmail = folder.path().join("sendmail");
    for (group, floor) in COMMAND_FLOORS {
        let output = Command::new(&oracle)
            .args(["cli", "--only", group, "--jobs", "2", "--min", floor, "--cmd"])
            .arg(&sendmail)
            .arg("--tools")
            .arg(folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let end = text.lines().rev().take(40).collect::<Vec<_>>();
        assert!(output.status.success(), "{group}: {end:#?}");
    }
}
