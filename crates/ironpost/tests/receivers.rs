//! Real receivers: Postfix, Exim, sendmail and `OpenSMTPD` by SMTP, Dovecot by LMTP, as Debian packages them. Mixed letters go
//! through a server and through `sendmail`, and each must arrive once, its body octet for octet. Beside them (`agents`) the
//! delivery agents of Debian as local mailers.
//!
//! `RECEIVER_LETTERS=1000 cargo test -p ironpost --test receivers -- --nocapture` is the measure of docs/performance.md.
//!
//! Nothing is installed: packages are unpacked below the target folder once (`debian`), and each test begins itself again
//! in mount, network and process namespaces of its own, where a receiver runs in that root (`room.sh`). That wants root and,
//! the first time, the package servers; without them a test says so and ends.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test may stop and tell"
)]

#[path = "receivers/agents.rs"]
mod agents;
#[path = "receivers/arrived.rs"]
mod arrived;
#[path = "receivers/debian.rs"]
mod debian;
#[path = "running/dialogue.rs"]
mod dialogue;
#[path = "receivers/letters.rs"]
mod letters;
#[path = "running/port.rs"]
mod port;
#[path = "receivers/send.rs"]
mod send;
#[path = "running/server.rs"]
mod server;
#[path = "running/soon.rs"]
mod soon;

use server::Server;
use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Letters, if nobody says how many.
const LETTERS: usize = 60;

/// How long a receiver may take to greet.
const START: Duration = Duration::from_mins(1);

/// Set for a test in its namespaces: the folder of its room.
const ROOM: &str = "RECEIVER_ROOM";

/// Mailers of a sendmail.cf, to the receiver.
const SMTP: &str = "P=[IPC], F=mDFMuXa, r=100, A=TCP $h 25";
const LMTP: &str = "P=[IPC], F=mDFMuXz, r=100, A=TCP $h 25";

const ROOM_SH: &str = include_str!("receivers/room.sh");

/// One receiver: the test that plays it, its script, the words before it, our mailer.
struct Scene {
    test: &'static str,
    script: &'static str,
    settings: &'static str,
    mailer: &'static str,
}

#[test]
fn postfix_gets_every_letter_as_it_was() {
    Scene {
        test: "postfix_gets_every_letter_as_it_was",
        script: include_str!("receivers/postfix.sh"),
        settings: "",
        mailer: SMTP,
    }
    .play();
}

#[test]
fn exim_gets_every_letter_as_it_was() {
    Scene {
        test: "exim_gets_every_letter_as_it_was",
        script: include_str!("receivers/exim.sh"),
        settings: "",
        mailer: SMTP,
    }
    .play();
}

#[test]
fn a_receiver_without_8bitmime_gets_every_letter_encoded() {
    Scene {
        test: "a_receiver_without_8bitmime_gets_every_letter_encoded",
        script: include_str!("receivers/exim.sh"),
        settings: "SEVEN_BIT=1\n",
        mailer: SMTP,
    }
    .play();
}

#[test]
fn sendmail_gets_every_letter_as_it_was() {
    Scene {
        test: "sendmail_gets_every_letter_as_it_was",
        script: include_str!("receivers/sendmail.sh"),
        settings: "",
        mailer: SMTP,
    }
    .play();
}

#[test]
fn opensmtpd_gets_every_letter_as_it_was() {
    Scene {
        test: "opensmtpd_gets_every_letter_as_it_was",
        script: include_str!("receivers/opensmtpd.sh"),
        settings: "",
        mailer: SMTP,
    }
    .play();
}

#[test]
fn dovecot_gets_every_letter_as_it_was_by_lmtp() {
    Scene {
        test: "dovecot_gets_every_letter_as_it_was_by_lmtp",
        script: include_str!("receivers/dovecot.sh"),
        settings: "",
        mailer: LMTP,
    }
    .play();
}

impl Scene {
    /// Plays it in namespaces of its own, or says why that can't be.
    fn play(&self) {
        in_a_room(self.test, |room| self.play_inside(room));
    }

    fn play_inside(&self, room: &Path) {
        let count = std::env::var("RECEIVER_LETTERS").map_or(LETTERS, |text| text.parse().unwrap());
        let mut receiver = self.start(room);
        fs::create_dir(room.join("queue")).unwrap();
        let cf = include_str!("receivers/sendmail.cf")
            .replace("FOLDER", room.to_str().unwrap())
            .replace("MAILER", self.mailer);
        fs::write(room.join("sendmail.cf"), cf).unwrap();
        let server = Server::start(room);
        let letters = letters::letters(count);
        let began = Instant::now();
        send::all(room, server.port, &letters);
        let accepted = began.elapsed();
        let copies = arrived::wait(room, letters.iter().map(|letter| letter.users.len()).sum());
        let took = began.elapsed();
        drop(server);
        // A receiver that is told what to refuse takes seven bits only.
        arrived::compare(room, &letters, !self.settings.is_empty());
        eprintln!(
            "{}: {count} letters, {copies} copies: accepted in {accepted:?}, there in {took:?}",
            self.test
        );
        receiver.kill().unwrap();
        receiver.wait().unwrap();
    }

    /// Starts the receiver and waits until it greets. It ends with the process namespace.
    fn start(&self, room: &Path) -> Child {
        let system = prepare(room);
        let log = File::create(room.join("receiver.log")).unwrap();
        let mut receiver = Command::new("chroot")
            .arg(system)
            .args(["/bin/sh", "-euc", &format!("{}{}", self.settings, self.script)])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let since = Instant::now();
        while TcpStream::connect("127.0.0.1:25").is_err() {
            let is_alive = receiver.try_wait().unwrap().is_none() && since.elapsed() < START;
            assert!(is_alive, "no greeting\n{}", arrived::logs(room));
            std::thread::sleep(Duration::from_millis(50));
        }
        receiver
    }
}

/// Begins this test again in namespaces of its own and does `inside` there, or says why that can't be.
fn in_a_room(test: &str, inside: impl FnOnce(&Path)) {
    if let Some(room) = std::env::var_os(ROOM) {
        let room = Path::new(&room);
        inside(room);
        fs::write(room.join("done"), "").unwrap();
        return;
    }
    let Some(system) = system() else { return };
    let room = TempDir::new_in("/tmp").unwrap();
    // The receiver's users pass through it.
    fs::set_permissions(room.path(), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink(system, room.path().join("root")).unwrap();
    let status = namespaces()
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(ROOM, room.path())
        .status()
        .unwrap();
    assert!(status.success(), "{test}");
    assert!(room.path().join("done").exists(), "{test} was not played");
}

/// Makes the room, in the namespaces; the folder that is its root.
fn prepare(room: &Path) -> PathBuf {
    let system = room.join("root");
    let status = Command::new("sh")
        .args(["-c", ROOM_SH, "room.sh"])
        .arg(&system)
        .arg(room)
        .status()
        .unwrap();
    assert!(status.success(), "no room");
    system
}

/// The unpacked packages, if this machine lets us have them and namespaces.
fn system() -> Option<&'static Path> {
    let may = namespaces().args(["ip", "link", "set", "lo", "up"]).output();
    if !may.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("no namespaces of our own (this wants root): nothing is sent ({may:?})");
        return None;
    }
    debian::root().map_err(|reason| eprintln!("no packages: nothing is sent ({reason})")).ok()
}

fn namespaces() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command
}
