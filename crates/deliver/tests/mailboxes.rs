//! Mailboxes, seen from outside: what gets in, what is refused, what is left after trouble.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop where something is wrong"
)]

use deliver::{Body, Job, Mailboxes, Moment};
use policy::{MailboxPlace, Transport};
use queue::{Outcome, Status};
use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const NOW: Moment = Moment { unix_s: 1_795_244_968, offset_s: 0 };

fn mbox_in(folder: &Path) -> Mailboxes {
    open(&Transport::Mbox(place(folder)))
}

fn maildir_in(folder: &Path) -> Mailboxes {
    open(&Transport::Maildir(place(folder)))
}

fn place(folder: &Path) -> MailboxPlace {
    MailboxPlace::Folder(folder.to_str().unwrap().as_bytes().into())
}

fn open(transport: &Transport) -> Mailboxes {
    Mailboxes::open(transport, None, b"mx.example")
        .unwrap()
        .with_lock_wait(Duration::from_millis(100))
}

fn job<'a>(user: &'a [u8], text: &'a [u8]) -> Job<'a> {
    let body = Body::Bytes(text);
    Job {
        sender: b"a@b.example",
        separator: b"",
        is_sender_named: true,
        recipient: b"c@d.example",
        user,
        body,
        form: None,
    }
}

fn status(outcome: &Outcome) -> Status {
    match outcome {
        Outcome::Later { trouble, .. } | Outcome::Never(trouble) => trouble.status,
        Outcome::Delivered { .. } | Outcome::Relayed { .. } => Status(2, 0, 0),
    }
}

fn text_of(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Later { trouble, .. } | Outcome::Never(trouble) => {
            String::from_utf8_lossy(&trouble.text).into_owned()
        }
        Outcome::Delivered { text, .. } | Outcome::Relayed { text, .. } => {
            String::from_utf8_lossy(text).into_owned()
        }
    }
}

#[test]
fn an_mbox_gets_a_separator_fields_quoted_text_and_an_empty_line() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = mbox_in(folder.path())
        .deliver(NOW, &job(b"bob", b"Subject: x\r\n\r\nFrom me\r\n.\r\nlast"));
    assert_eq!(status(&outcome), Status(2, 0, 0));
    let expected = "From a@b.example Sat Nov 21 07:09:28 2026\nReturn-Path: <a@b.example>\n\
         Delivered-To: c@d.example\nSubject: x\n\n>From me\n.\nlast\n\n";
    assert_eq!(fs::read_to_string(folder.path().join("bob")).unwrap(), expected);
    assert_eq!(fs::metadata(folder.path().join("bob")).unwrap().mode() & 0o777, 0o600);
    assert!(!folder.path().join("bob.lock").exists());
}

#[test]
fn an_mbox_gets_the_line_of_the_configuration_if_readers_know_it_as_one() {
    let folder = tempfile::tempdir().unwrap();
    for (separator, first) in [
        (&b"From a@b.example whenever"[..], "From a@b.example whenever\n"),
        (b"Message from a", "From a@b.example Sat Nov 21 07:09:28 2026\n"),
    ] {
        let job = Job { separator, ..job(b"bob", b"x\r\n") };
        assert_eq!(status(&mbox_in(folder.path()).deliver(NOW, &job)), Status(2, 0, 0));
        let text = fs::read_to_string(folder.path().join("bob")).unwrap();
        assert!(text.starts_with(first), "{text}");
        fs::remove_file(folder.path().join("bob")).unwrap();
    }
}

#[test]
fn a_last_line_that_is_open_is_closed_before_the_next_message() {
    let folder = tempfile::tempdir().unwrap();
    for (before, gap) in [("", ""), ("x\n\n", ""), ("x\n", "\n"), ("x", "\n\n"), ("\n", "\n")] {
        fs::write(folder.path().join("bob"), before).unwrap();
        let outcome = mbox_in(folder.path()).deliver(NOW, &job(b"bob", b"y\r\n"));
        assert_eq!(status(&outcome), Status(2, 0, 0));
        let after = fs::read_to_string(folder.path().join("bob")).unwrap();
        assert!(after.starts_with(&format!("{before}{gap}From a@b.example ")), "{after:?}");
    }
}

#[test]
fn a_batch_is_delivered_to_its_mailboxes_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let texts: Vec<Vec<u8>> = (0..200).map(|n| format!("{n}\r\n").into_bytes()).collect();
    let jobs: Vec<Job<'_>> =
        texts.iter().enumerate().map(|(n, text)| job([&b"bob"[..], b"eve"][n % 2], text)).collect();
    let outcomes = mbox_in(folder.path()).deliver_batch(NOW, &jobs);
    assert!(outcomes.iter().all(|outcome| status(outcome) == Status(2, 0, 0)));
    let numbers = |name: &str| -> Vec<usize> {
        let text = fs::read_to_string(folder.path().join(name)).unwrap();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    };
    assert_eq!(numbers("bob"), (0..200).step_by(2).collect::<Vec<_>>());
    assert_eq!(numbers("eve"), (1..200).step_by(2).collect::<Vec<_>>());
}

#[test]
fn a_large_body_comes_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let line = b"From the file, 0123456789012345678901234567890123456789\r\n";
    let message: Vec<u8> = line.iter().copied().cycle().take(line.len() * 20_000).collect();
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(&message, 7).unwrap();
    let size = u64::try_from(message.len()).unwrap();
    let body = Body::File { head: b"", file: &file, start: 7, size };
    let job = |user| Job { body, ..job(user, b"") };
    let boxes = mbox_in(folder.path());
    let small = super_small();
    let outcomes = boxes.deliver_batch(NOW, &[small, job(b"bob"), small]);
    assert!(outcomes.iter().all(|outcome| status(outcome) == Status(2, 0, 0)));
    let text = fs::read_to_string(folder.path().join("bob")).unwrap();
    assert_eq!(text.matches("\n>From the file").count(), 20_000);
    assert_eq!(text.matches("\nFrom a@b.example").count() + 1, 3);
    assert!(text.ends_with("small\n\n") && !text.contains('\r'));
    assert_eq!(status(&maildir_in(folder.path()).deliver(NOW, &job(b"dir"))), Status(2, 0, 0));
    let entry = fs::read_dir(folder.path().join("dir/new")).unwrap().next().unwrap().unwrap();
    assert_eq!(
        fs::read_to_string(entry.path()).unwrap().matches("\nFrom the file").count(),
        20_000
    );
}

fn super_small() -> Job<'static> {
    job(b"bob", b"small\r\n")
}

#[test]
fn a_body_that_cannot_be_read_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = tempfile::tempfile().unwrap();
    let body = Body::File { head: b"", file: &file, start: 0, size: 10 };
    let jobs = [super_small(), Job { body, ..super_small() }, super_small()];
    let outcomes = mbox_in(folder.path()).deliver_batch(NOW, &jobs);
    let found: Vec<Status> = outcomes.iter().map(status).collect();
    assert_eq!(found, [Status(2, 0, 0), Status(4, 3, 0), Status(2, 0, 0)]);
    let text = fs::read_to_string(folder.path().join("bob")).unwrap();
    assert_eq!(text.matches("From a@b.example").count(), 2);
}

#[test]
fn what_is_no_plain_file_is_no_mailbox() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("victim"), "mine").unwrap();
    symlink("victim", at("link")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    fs::hard_link(at("victim"), at("hard")).unwrap();
    fs::create_dir(at("folder")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), rustix::fs::Mode::RWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    for name in ["link", "dangling", "hard", "folder", "pipe", "socket"] {
        let outcome = mbox_in(folder.path()).deliver(NOW, &job(name.as_bytes(), b"x\r\n"));
        assert_eq!(status(&outcome), Status(4, 2, 0), "{name}");
        assert!(
            text_of(&outcome).ends_with(&format!("{name}: irregular file")),
            "{}",
            text_of(&outcome)
        );
    }
    assert_eq!(fs::read_to_string(at("victim")).unwrap(), "mine");
    assert!(!at("nowhere").exists());
}

#[test]
fn a_maildir_through_a_link_of_the_user_works_and_a_file_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("real")).unwrap();
    symlink("real", at("bob")).unwrap();
    let boxes = maildir_in(folder.path());
    assert_eq!(status(&boxes.deliver(NOW, &job(b"bob", b"x\r\n"))), Status(2, 0, 0));
    assert_eq!(fs::read_dir(at("real/new")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(at("real/tmp")).unwrap().count(), 0);
    assert_eq!(fs::metadata(at("real/new")).unwrap().mode() & 0o777, 0o700);
    fs::write(at("eve"), "").unwrap();
    let outcome = boxes.deliver(NOW, &job(b"eve", b"x\r\n"));
    assert_eq!(status(&outcome), Status(4, 2, 0));
    assert!(text_of(&outcome).ends_with("eve: irregular file"), "{}", text_of(&outcome));
    symlink("nowhere", at("dangling")).unwrap();
    let outcome = boxes.deliver(NOW, &job(b"dangling", b"x\r\n"));
    assert_eq!(status(&outcome), Status(4, 2, 0));
}

#[test]
fn a_maildir_below_home_is_made_and_its_files_have_names_of_their_own() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("mail")).unwrap();
    let transport = Transport::Maildir(MailboxPlace::Home(b"mail/Inbox"[..].into()));
    let home_path = home.path().to_str().unwrap().as_bytes();
    let boxes = Mailboxes::open(&transport, Some(home_path), b"mx/a:b").unwrap();
    let jobs: Vec<Job<'_>> = (0..150).map(|_| job(b"bob", b"a\r\nFrom b")).collect();
    let outcomes = boxes.deliver_batch(NOW, &jobs);
    assert!(outcomes.iter().all(|outcome| status(outcome) == Status(2, 0, 0)));
    let files: Vec<_> = fs::read_dir(home.path().join("mail/Inbox/new"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(files.len(), 150);
    let text = fs::read_to_string(&files[0]).unwrap();
    assert_eq!(text, "Return-Path: <a@b.example>\nDelivered-To: c@d.example\na\nFrom b\n");
    let name = files[0].file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("1795244968.P") && name.ends_with(".mx-a-b"), "{name}");
}

#[test]
fn names_with_tricks_are_nobodys() {
    let folder = tempfile::tempdir().unwrap();
    let long = [b'a'; 201];
    let names: [&[u8]; 8] = [b"", b".", b"..", b".hidden", b"../x", b"a/b", b"a\0b", &long];
    for name in names {
        for boxes in [mbox_in(folder.path()), maildir_in(folder.path())] {
            let outcome = boxes.deliver(NOW, &job(name, b"x\r\n"));
            assert_eq!(status(&outcome), Status(5, 1, 1), "{}", name.escape_ascii());
        }
    }
    let outcome = mbox_in(folder.path()).deliver(NOW, &job(b"bob.lock", b"x\r\n"));
    assert_eq!(status(&outcome), Status(5, 1, 1));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_lock_of_others_is_waited_for_and_a_stale_one_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let lock = folder.path().join("bob.lock");
    fs::write(&lock, "1\n").unwrap();
    let outcome = mbox_in(folder.path()).deliver(NOW, &job(b"bob", b"x\r\n"));
    assert_eq!(status(&outcome), Status(4, 2, 0));
    assert!(text_of(&outcome).ends_with("bob: mailbox locked"));
    let old = std::time::SystemTime::now() - Duration::from_secs(400);
    fs::File::options().write(true).open(&lock).unwrap().set_modified(old).unwrap();
    assert_eq!(status(&mbox_in(folder.path()).deliver(NOW, &super_small())), Status(2, 0, 0));
    // One of ours whose owner died, however young.
    fs::write(&lock, "1 flock\n").unwrap();
    assert_eq!(status(&mbox_in(folder.path()).deliver(NOW, &super_small())), Status(2, 0, 0));
    // One of ours whose owner lives.
    fs::write(&lock, "1 flock\n").unwrap();
    let owner = fs::File::open(&lock).unwrap();
    owner.lock().unwrap();
    assert_eq!(status(&mbox_in(folder.path()).deliver(NOW, &super_small())), Status(4, 2, 0));
    assert!(lock.exists());
}

/// Writes `length` octets of what a killed delivery of two messages would have written.
fn torn(folder: &Path, cut: usize) -> String {
    let boxes = mbox_in(folder);
    let path = folder.join("bob");
    assert_eq!(status(&boxes.deliver(NOW, &job(b"bob", b"before\r\n"))), Status(2, 0, 0));
    let before = fs::read_to_string(&path).unwrap();
    let jobs = [job(b"bob", b"one\r\n"), job(b"bob", b"two\r\n")];
    assert_eq!(boxes.deliver_batch(NOW, &jobs).len(), 2);
    let after = fs::read_to_string(&path).unwrap();
    let one = (after.len() - before.len()) / 2;
    let mut note = Vec::new();
    note.extend_from_slice(&u64::try_from(before.len()).unwrap().to_le_bytes());
    note.extend_from_slice(&u64::try_from(after.len()).unwrap().to_le_bytes());
    note.extend_from_slice(&0_u32.to_le_bytes());
    note.extend_from_slice(&u32::try_from(one).unwrap().to_le_bytes());
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(&path, "user.ironpost.append", &note, flags).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(u64::try_from(before.len() + cut).unwrap()).unwrap();
    after
}

#[test]
fn what_a_killed_delivery_left_is_cut_off_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let whole = torn(folder.path(), 0).len();
    let before = fs::metadata(folder.path().join("bob")).unwrap().len();
    let one = (whole - usize::try_from(before).unwrap()) / 2;
    for cut in 0..=2 * one {
        fs::remove_file(folder.path().join("bob")).unwrap();
        torn(folder.path(), cut);
        let outcome = mbox_in(folder.path()).deliver(NOW, &job(b"bob", b"next\r\n"));
        assert_eq!(status(&outcome), Status(2, 0, 0));
        let text = fs::read_to_string(folder.path().join("bob")).unwrap();
        let words: Vec<&str> =
            text.lines().filter(|line| !line.is_empty() && !line.contains(' ')).collect();
        let expected: &[&str] = match cut / one {
            0 => &["before", "next"],
            1 => &["before", "one", "next"],
            _ => &["before", "one", "two", "next"],
        };
        assert_eq!(words, expected, "{cut}: {text}");
        assert_eq!(text.matches("Return-Path").count(), words.len(), "{cut}: {text}");
    }
}

#[test]
fn a_note_that_does_not_fit_cuts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let whole = torn(folder.path(), 30);
    let path = folder.path().join("bob");
    // Another program has added a message after the torn one.
    let mut text = fs::read_to_string(&path).unwrap();
    text.push_str("\n\nFrom other Sat Nov 21 07:09:28 2026\n\nother\n\n");
    fs::write(&path, &text).unwrap();
    assert!(text.len() < whole.len());
    assert_eq!(status(&mbox_in(folder.path()).deliver(NOW, &super_small())), Status(2, 0, 0));
    assert!(fs::read_to_string(&path).unwrap().starts_with(&text));
}

/// The second half of tests that need a process of their own: does what its environment says.
#[test]
fn in_another_process() {
    let Ok(folder) = std::env::var("DELIVER_TEST_FOLDER") else { return };
    let folder = Path::new(&folder);
    if let Ok(limit) = std::env::var("DELIVER_TEST_LIMIT") {
        let maximum = Some(limit.parse().unwrap());
        let limit = rustix::process::Rlimit { current: maximum, maximum };
        rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).unwrap();
        let jobs = [super_small(), job(b"bob", &[b'x'; 3000]), super_small()];
        let outcomes = mbox_in(folder).deliver_batch(NOW, &jobs);
        let found: Vec<Status> = outcomes.iter().map(status).collect();
        assert_eq!(found, [Status(2, 0, 0), Status(4, 2, 2), Status(4, 2, 2)]);
        assert!(text_of(&outcomes[1]).ends_with("bob: File too large"));
        let outcomes = maildir_in(folder).deliver_batch(NOW, &[job(b"dir", &[b'x'; 3000])]);
        assert_eq!(status(&outcomes[0]), Status(4, 2, 2));
        return;
    }
    if std::env::var_os("DELIVER_TEST_FULL").is_some() {
        into_a_full_disk(folder, Status(4, 3, 1), ": No space left on device");
        return;
    }
    if std::env::var_os("DELIVER_TEST_QUOTA").is_some() {
        into_a_full_disk(&folder.join("users"), Status(4, 2, 2), ": Disk quota exceeded");
        return;
    }
    let boxes = mbox_in(folder).with_lock_wait(Duration::from_secs(20));
    let is_endless = std::env::var_os("DELIVER_TEST_ENDLESS").is_some();
    for round in 0..if is_endless { usize::MAX } else { 20 } {
        let line = format!("{}-{round}\r\n", std::process::id()).repeat(200).into_bytes();
        assert_eq!(status(&boxes.deliver(NOW, &job(b"bob", &line))), Status(2, 0, 0));
    }
}

/// Fills a small file system with mail: some goes in, the rest is for later, nothing is torn.
fn into_a_full_disk(folder: &Path, wanted: Status, words: &str) {
    let text = b"0123456789\r\n".repeat(1000);
    for boxes in [mbox_in(folder), maildir_in(folder)] {
        let name = if folder.join("bob").exists() { b"dir" } else { b"bob" };
        let jobs: Vec<Job<'_>> = (0..40).map(|_| job(name, &text)).collect();
        let outcomes = boxes.deliver_batch(NOW, &jobs);
        let refused: Vec<&Outcome> =
            outcomes.iter().filter(|outcome| status(outcome).0 != 2).collect();
        assert!(!refused.is_empty());
        for outcome in refused {
            assert_eq!(status(outcome), wanted);
            assert!(text_of(outcome).ends_with(words));
        }
        if name == b"bob" {
            let delivered = outcomes.iter().filter(|outcome| status(outcome).0 == 2).count();
            let mailbox = fs::read_to_string(folder.join("bob")).unwrap();
            assert_eq!(mailbox.matches("Return-Path").count(), delivered);
            assert!(delivered > 0 && mailbox.ends_with("0123456789\n\n"));
        }
    }
}

/// A file system with a real quota, which holds for root too; without the tools or such a kernel nothing is tried.
const DISK_WITH_QUOTA: &str = "
truncate -s 128M \"$DELIVER_TEST_FOLDER.disk\"
mkfs.btrfs -q \"$DELIVER_TEST_FOLDER.disk\" || exit 0
mount -o loop \"$DELIVER_TEST_FOLDER.disk\" \"$DELIVER_TEST_FOLDER\" || exit 0
cd \"$DELIVER_TEST_FOLDER\"
btrfs quota enable . && btrfs subvolume create users && btrfs qgroup limit 400k users || exit 1
cd / && exec \"$0\" \"$@\"";

#[test]
fn a_quota_that_is_used_up_is_for_later_and_tears_nothing() {
    if !rustix::process::geteuid().is_root() {
        return; // a file system of its own is mounted
    }
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("mail");
    fs::create_dir(&place).unwrap();
    let status = Command::new("unshare")
        .args(["-m", "sh", "-c", DISK_WITH_QUOTA])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "in_another_process", "--nocapture"])
        .env("DELIVER_TEST_FOLDER", &place)
        .env("DELIVER_TEST_QUOTA", "1")
        .status();
    assert!(status.is_ok_and(|status| status.success()));
}

#[test]
fn a_full_disk_is_for_later_and_tears_nothing() {
    if !rustix::process::geteuid().is_root() {
        return; // a file system of its own is mounted
    }
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new("unshare")
        .args(["-m", "sh", "-c"])
        .arg("mount -t tmpfs -o size=200k tmpfs \"$DELIVER_TEST_FOLDER\" || exit 0; exec \"$0\" \"$@\"")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "in_another_process", "--nocapture"])
        .env("DELIVER_TEST_FOLDER", folder.path())
        .env("DELIVER_TEST_FULL", "1")
        .status();
    assert!(status.is_ok_and(|status| status.success()));
}

#[test]
fn deliveries_that_are_killed_leave_nothing_torn_behind_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bob");
    for round in 0..30_u64 {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "in_another_process"]).stdout(std::process::Stdio::null());
        command.env("DELIVER_TEST_FOLDER", folder.path()).env("DELIVER_TEST_ENDLESS", "1");
        let mut writer = command.spawn().unwrap();
        let before = fs::metadata(&path).map_or(0, |stat| stat.len());
        while fs::metadata(&path).map_or(0, |stat| stat.len()) <= before {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(round * 137));
        writer.kill().unwrap();
        writer.wait().unwrap();
        assert_eq!(status(&mbox_in(folder.path()).deliver(NOW, &super_small())), Status(2, 0, 0));
    }
    let text = fs::read_to_string(&path).unwrap();
    for message in text.split("From a@b.example ").skip(1) {
        let lines: Vec<&str> = message.lines().skip(3).collect();
        assert!(lines.len() == 201 || lines == ["small", ""], "{message}");
    }
}

fn other_process(folder: &Path) -> Command {
    // With the signal of the file size limit ignored, the write fails instead (EFBIG).
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "in_another_process", "--nocapture"])
        .env("DELIVER_TEST_FOLDER", folder);
    command
}

fn every_message_is_whole(folder: &Path, writers: usize) {
    let text = fs::read_to_string(folder.join("bob")).unwrap();
    let messages: Vec<&str> = text.split("From a@b.example ").skip(1).collect();
    assert_eq!(messages.len(), writers * 20);
    for message in messages {
        let lines: Vec<&str> = message.lines().skip(3).collect();
        assert_eq!(lines.len(), 201, "{message}");
        assert!(lines[..200].iter().all(|line| *line == lines[0]));
    }
}

#[test]
fn many_processes_write_one_mbox_without_mixing_their_messages() {
    let folder = tempfile::tempdir().unwrap();
    let writers: Vec<_> = (0..4).map(|_| other_process(folder.path()).spawn().unwrap()).collect();
    for mut writer in writers {
        assert!(writer.wait().unwrap().success());
    }
    every_message_is_whole(folder.path(), 4);
}

#[test]
fn without_a_lock_file_the_lock_of_the_mailbox_is_enough() {
    if !rustix::process::geteuid().is_root() {
        return; // another user is needed, who may not write the folder
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = folder.path().join("bob");
    fs::write(&path, "").unwrap();
    std::os::unix::fs::chown(&path, Some(65_534), Some(65_534)).unwrap();
    let copy = folder.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let writers: Vec<_> = (0..3)
        .map(|_| {
            use std::os::unix::process::CommandExt as _;
            let mut command = Command::new(&copy);
            command.args(["--exact", "in_another_process"]).uid(65_534).gid(65_534);
            command.env("DELIVER_TEST_FOLDER", folder.path()).spawn().unwrap()
        })
        .collect();
    for mut writer in writers {
        assert!(writer.wait().unwrap().success());
    }
    every_message_is_whole(folder.path(), 3);
}

#[test]
fn a_mailbox_of_somebody_else_is_left_alone() {
    if !rustix::process::geteuid().is_root() {
        return; // only root can give files away
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bob");
    fs::write(&path, "").unwrap();
    std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
    let outcome = mbox_in(folder.path()).deliver(NOW, &super_small());
    assert!(text_of(&outcome).ends_with("bob: wrong ownership (65534)"), "{}", text_of(&outcome));
    fs::create_dir(folder.path().join("dir")).unwrap();
    std::os::unix::fs::chown(folder.path().join("dir"), Some(65_534), None).unwrap();
    let outcome = maildir_in(folder.path()).deliver(NOW, &job(b"dir", b"x\r\n"));
    assert!(text_of(&outcome).ends_with("dir: wrong ownership (65534)"), "{}", text_of(&outcome));
    assert_eq!(fs::read(&path).unwrap(), b"");
}

#[test]
fn a_mailbox_that_grows_too_large_is_cut_back_to_whole_messages() {
    let folder = tempfile::tempdir().unwrap();
    let output = other_process(folder.path()).env("DELIVER_TEST_LIMIT", "2000").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = fs::read_to_string(folder.path().join("bob")).unwrap();
    assert!(text.ends_with("small\n\n") && text.matches("Return-Path").count() == 1);
    assert_eq!(fs::read_dir(folder.path().join("dir/new")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(folder.path().join("dir/tmp")).unwrap().count(), 0);
}
