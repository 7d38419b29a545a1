//! The same answers as the real sendmail: the recorded ones, against a floor that only rises.
//!
//! The recordings lie beside the checkout (`../shared/oracle`). Where they are not, there is nothing to compare with, and the
//! test says so; in CI they must be there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop")]

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Address test mode: per cent of all checks. Only ever raised.
const ADDRESS_TEST_FLOOR: &str = "99.99";

/// Commands: groups of cases, and the per cent of their checks. Only ever raised.
const COMMAND_FLOORS: [(&str, &str); 15] = [
    ("bv*", "100"),
    ("newaliases*", "100"),
    ("praliases*", "100"),
    ("makemap*", "100"),
    ("editmap*", "100"),
    ("cfline*", "98.8"),
    ("cffile*", "91"),
    ("flags*", "95.8"),
    ("submit*", "89.4"),
    ("queue*", "96"),
    ("hoststat*", "98"),
    ("mailstats*", "100"),
    ("smrsh*", "100"),
    ("maillocal*", "100"),
    ("vacation*", "100"),
];

/// Dialogues with the server: names, and the per cent of their checks. Only ever raised. Those that wait for seconds on
/// purpose are left to `compare smtp` by hand: they need an idle machine.
const DIALOGUE_FLOORS: [(&str, &str); 5] = [
    ("daemonflag*,delay*,header*,helo*,access*", "99.4"),
    ("cmd*,sequence*,pipe*,limit*,size*,data*", "87.2"),
    ("basic*,debian*,deliver*", "93.2"),
    ("privacy*,vrfy*,expn*,relay*,queue-groups,misc-oldcf", "99.2"),
    ("barelf*,misc-minfree,misc-defer,misc-virtuser,misc-nullclient", "99"),
];

/// Cases of outgoing mail and the share of their checks that must agree. Only ever raised.
const OUTGOING_FLOORS: [(&str, &str); 14] = [
    ("cache-*", "97.3"),
    ("phase-*", "96.1"),
    ("host-*", "98"),
    ("ehlo-*", "95.7"),
    ("lmtp-*,size-*", "96.9"),
    ("mx-*,route-*,multi-*", "93.1"),
    ("queue-*,quar-*", "95.1"),
    ("mode-*,daemon-*", "94.6"),
    ("bounce-*", "93.3"),
    ("dsn-*", "93.5"),
    ("sender-*,deliverby-*", "95.9"),
    ("hdr-*", "95.8"),
    ("mime-*", "96.4"),
    ("body-*,odd-*,timeout-*", "91.6"),
];

/// The comparer of the recordings, if they are there.
fn oracle() -> Option<PathBuf> {
    let oracle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/oracle/compare");
    if oracle.exists() {
        return Some(oracle);
    }
    assert!(std::env::var_os("CI").is_none(), "CI needs the recordings of sendmail");
    let text = b"no recordings of sendmail beside this checkout: nothing compared\n";
    std::io::stderr().write_all(text).unwrap();
    None
}

/// The names that our binary is called by.
const NAMES: [&str; 14] = [
    "sendmail",
    "newaliases",
    "praliases",
    "makemap",
    "editmap",
    "mailq",
    "hoststat",
    "purgestat",
    "smtpd",
    "smrsh",
    "mail.local",
    "vacation.sendmail",
    "rmail",
    "mailstats",
];

/// A folder of links to our binary, by the names that it is called by.
fn names() -> TempDir {
    let folder = TempDir::new_in("/tmp").unwrap();
    for name in NAMES {
        symlink(env!("CARGO_BIN_EXE_ironpost"), folder.path().join(name)).unwrap();
    }
    folder
}

/// Compares, and shows the last lines of what the comparer says if less agrees than did before.
fn hold(oracle: &Path, arguments: &[&str], floor: &str) {
    let output = Command::new(oracle)
        .args(arguments)
        .args(["--jobs", "2", "--min", floor])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let end = text.lines().rev().take(40).collect::<Vec<_>>();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {end:#?} {said}");
}

#[test]
fn address_test_mode_answers_as_sendmail_does() {
    let Some(oracle) = oracle() else { return };
    let folder = names();
    let command = format!("{}/sendmail -bt -C {{cf}} {{args}}", folder.path().display());
    hold(&oracle, &["bt", "--cmd", &command], ADDRESS_TEST_FLOOR);
}

#[test]
fn commands_answer_as_sendmail_does() {
    let Some(oracle) = oracle() else { return };
    let folder = names();
    let tools = folder.path().display().to_string();
    let sendmail = format!("{tools}/sendmail");
    // The recordings were made under Debian's name, which is left out of what is compared.
    let vacation = format!("vacation={tools}/vacation.sendmail");
    for (group, floor) in COMMAND_FLOORS {
        let tool = ["--tools", &tools, "--tool", &vacation];
        let arguments = [&["cli", "--only", group, "--cmd", &sendmail][..], &tool].concat();
        hold(&oracle, &arguments, floor);
    }
}

#[test]
fn outgoing_mail_is_carried_and_shown_as_sendmail_does() {
    let Some(oracle) = oracle() else { return };
    let folder = names();
    let tools = folder.path().display().to_string();
    let sendmail = format!("{tools}/sendmail");
    for (cases, floor) in OUTGOING_FLOORS {
        let arguments = ["out", "--only", cases, "--cmd", &sendmail, "--tools", &tools];
        hold(&oracle, &arguments, floor);
    }
}

#[test]
fn the_server_says_and_logs_what_sendmail_does() {
    let Some(oracle) = oracle() else { return };
    let folder = names();
    let command = format!("{}/sendmail {{mode}} -C {{cf}} {{args}}", folder.path().display());
    for (dialogues, floor) in DIALOGUE_FLOORS {
        hold(&oracle, &["smtp", "--serve", &command, "--only", dialogues], floor);
    }
}

/// Steps of matching that `check_rcpt` of a stock configuration may take: its rules are kept from addresses that they can't match,
/// and wildcards go straight to the next word. Only ever lowered.
const STEPS_MAX: u64 = 800;

#[test]
fn check_rcpt_of_a_stock_configuration_takes_few_steps() {
    use policy_cf::machine::ScanTable;
    let Some(oracle) = oracle() else { return };
    let name = oracle.with_file_name("golden-public/cf/localchecks.cf");
    let mut world = maps::Outside::new(maps::Places::default());
    let mut machine = policy_cf::Machine::new(policy_cf::Config::default(), &mut world);
    policy_cf::load::prepare(&mut machine, &policy_cf::load::Facts::default());
    policy_cf::load::read(&mut machine, b"stock.cf", &std::fs::read(name).unwrap());
    policy_cf::load::finish(&mut machine);
    machine.config.macros.set_named(b"client_addr", b"192.0.2.10");
    let set = machine.config.sets.find(b"check_rcpt").number.unwrap();
    let mut tokens = Vec::new();
    machine.scan(b"<user@other.test>", ScanTable::NoComments, 0, &mut tokens);
    machine.rewrite(&mut tokens, set);
    assert!((1..=STEPS_MAX).contains(&machine.steps()), "{} steps", machine.steps());
}
