//! The cages of the running processes, proved by deed: as root with own users, and without root.

use crate::house::{House, STRANGER, until};

fn prove(house: &House) -> String {
    assert_eq!(house.talk().unwrap().send("1", "anna"), Some(true));
    until("a delivery", || house.letters().len() == 1);
    let proof = house.run(&["privileges", "--check"], "");
    let text = String::from_utf8_lossy(&proof.stdout).into_owned();
    assert!(proof.status.success() && text.contains("every cage holds"), "{text}");
    for role in ["policy", "queue", "resolver", "relay", "control", "smtpd", "deliver"] {
        assert!(text.contains(&format!("\n{role} 0 (pid")), "{role} is missing: {text}");
    }
    text
}

/// The user numbers of all our processes, and the bounds of resources that each has.
fn uids(house: &House) -> Vec<(String, String)> {
    let each = house.processes().into_iter().map(|(pid, role)| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let uid = status.lines().find_map(|line| line.strip_prefix("Uid:\t")).unwrap();
        (role, uid.split('\t').next().unwrap().to_owned())
    });
    each.collect()
}

#[test]
fn every_cage_holds() {
    let house = House::new();
    prove(&house);
    if crate::house::is_root() {
        for (role, uid) in uids(&house) {
            assert!(uid.starts_with("599"), "{role} runs as {uid}");
        }
    }
}

#[test]
fn every_cage_holds_without_root() {
    let house = House::without_root();
    prove(&house);
    if crate::house::is_root() {
        for (role, uid) in uids(&house) {
            assert_eq!(uid, STRANGER.to_string(), "{role}");
        }
    }
}

/// What the kernel says of a bound of a process.
fn bound(pid: i32, name: &str) -> String {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn every_role_has_its_bounds_and_its_name() {
    // A role whose standard output is a file must be able to make it grow: the bounds of files hold where it is none.
    let mut house = House::empty().wrapped(&["sh", "-c", "exec \"$@\" >/dev/null 2>&1", "sh"]);
    let mail = house.data().join("mail").display().to_string();
    house.configure(&format!(
        "local_domains = [\"example.org\"]\nlocal_users = \"any\"\ndelivery = \"maildir\"\n\
         mailbox = \"{mail}\"\n"
    ));
    house.start();
    assert_eq!(house.talk().unwrap().send("1", "anna"), Some(true));
    until("a delivery", || house.letters().len() == 1);
    for (pid, role) in house.processes() {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
        assert_eq!(name.trim_end(), role);
        for kind in ["Max open files", "Max address space"] {
            assert_ne!(bound(pid, kind), "unlimited", "{role}: {kind}");
        }
        assert_eq!(bound(pid, "Max core file size"), "0", "{role}");
        let has_threads = matches!(role.as_str(), "policy" | "queue");
        let processes = bound(pid, "Max processes");
        assert!(has_threads || processes == "0", "{role} may start {processes} threads");
        let file_size = bound(pid, "Max file size");
        match role.as_str() {
            "policy" | "resolver" | "relay" => assert_eq!(file_size, "0", "{role}"),
            // A mailbox may become as large as its owner likes.
            "deliver" => {}
            _ => assert_ne!(file_size, "unlimited", "{role}"),
        }
    }
}
