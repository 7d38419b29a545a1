//! Mailboxes of system users, written as that user: mbox with its locks, and Maildir.

use crate::house::{House, is_root, note, until};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Who gets mail: an existing user without root's rights; without root only ourselves can.
fn recipient() -> Option<(String, u32)> {
    let names = if is_root() { vec!["games", "nobody"] } else { vec![] };
    let own = Command::new("id").arg("-un").output().ok()?;
    let own = String::from_utf8(own.stdout).ok()?.trim().to_owned();
    let mut names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    if !is_root() && !own.is_empty() {
        names.push(own);
    }
    names.into_iter().find_map(|name| {
        let uid = Command::new("id").args(["-u", &name]).output().ok()?;
        let uid = String::from_utf8(uid.stdout).ok()?.trim().parse().ok()?;
        Some((name, uid))
    })
}

/// A server that delivers to this user into a folder like `/var/mail`.
fn house(delivery: &str, name: &str) -> (House, PathBuf) {
    let mut house = House::empty();
    let folder = house.folder.path().join("var-mail");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o1777)).unwrap();
    house.configure(&format!(
        "local_domains = [\"example.org\"]\nlocal_users = \"system\"\nsystem_recipients = [\"{name}\"]\n\
         delivery = \"{delivery}\"\nmailbox = \"{}\"\n[queue]\nfirst_s = 1\nlongest_s = 1\n",
        folder.display()
    ));
    house.start();
    (house, folder)
}

#[test]
fn an_mbox_is_written_as_its_owner_behind_both_locks() {
    let Some((name, uid)) = recipient() else { return note("no user to deliver to") };
    let (house, folder) = house("mbox", &name);
    let mailbox = folder.join(&name);
    assert_eq!(house.talk().unwrap().send("first", &name), Some(true));
    let text = || fs::read_to_string(&mailbox).unwrap_or_default();
    until("the first letter", || text().contains("X-Number: first"));
    let facts = fs::metadata(&mailbox).unwrap();
    assert_eq!((facts.uid(), facts.mode() & 0o777), (uid, 0o600));
    assert!(text().starts_with("From a@example.org "), "{}", text());
    until("no lock", || !folder.join(format!("{name}.lock")).exists());
    // Somebody else has the lock file: the letter waits, and comes when it is gone.
    let lock = folder.join(format!("{name}.lock"));
    fs::write(&lock, "").unwrap();
    assert_eq!(house.talk().unwrap().send("behind-dotlock", &name), Some(true));
    std::thread::sleep(Duration::from_secs(2));
    assert!(!text().contains("behind-dotlock"), "written in spite of the lock file");
    fs::remove_file(&lock).unwrap();
    until("the second letter", || text().contains("X-Number: behind-dotlock"));
    // The same with a lock of the kernel's (fcntl).
    let file = fs::File::options().read(true).write(true).open(&mailbox).unwrap();
    rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert_eq!(house.talk().unwrap().send("behind-fcntl", &name), Some(true));
    std::thread::sleep(Duration::from_secs(2));
    assert!(!text().contains("behind-fcntl"), "written in spite of the lock");
    drop(file);
    until("the third letter", || text().contains("X-Number: behind-fcntl"));
    assert_eq!(text().matches("X-Number: ").count(), 3);
    until("an empty queue", || house.mailq().contains("is empty"));
}

#[test]
fn a_maildir_is_made_and_written_as_its_owner() {
    let Some((name, uid)) = recipient() else { return note("no user to deliver to") };
    let (house, folder) = house("maildir", &name);
    assert_eq!(house.talk().unwrap().send("first", &name), Some(true));
    let new = folder.join(&name).join("new");
    until("the letter", || crate::house::list(&new).len() == 1);
    let letter = crate::house::list(&new).remove(0);
    for (path, mode) in [(&letter, 0o600), (&new, 0o700), (&folder.join(&name), 0o700)] {
        let facts = fs::metadata(path).unwrap();
        assert_eq!((facts.uid(), facts.mode() & 0o777), (uid, mode), "{}", path.display());
    }
    crate::house::count(
        &fs::read_to_string(letter).unwrap(),
        &mut std::collections::BTreeMap::new(),
    );
    assert_eq!(crate::house::list(&folder.join(&name).join("tmp")).len(), 0);
}

#[test]
fn a_system_user_that_the_file_does_not_name_gets_nothing() {
    if !is_root() {
        return note("without root nobody else gets mail anyway");
    }
    let (house, folder) = house("mbox", "games");
    let reply = house.talk().unwrap().letter("1", "daemon@example.org", "").unwrap();
    if reply.starts_with("250") {
        until("a reason", || house.mailq().contains("system user"));
    }
    assert!(!folder.join("daemon").exists(), "{reply}");
}
