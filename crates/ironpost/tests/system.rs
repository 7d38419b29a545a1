//! The real processes: letters, cages, kills, wrong files, garbage. As root with own uids, else as the caller.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ironpost");

/// No wait of these tests is longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server in a folder of its own.
struct House {
    folder: TempDir,
    port: u16,
    server: Option<Child>,
}

impl House {
    /// Starts a server without configuration and waits for its greeting.
    fn new() -> Self {
        let folder = TempDir::new_in("/tmp").unwrap();
        // Its roles are other users when we are root.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut house = Self { folder, port, server: None };
        house.start();
        house
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn start(&mut self) {
        let server = Command::new(PROGRAM)
            .args(["serve", "--listen", &format!("127.0.0.1:{}", self.port), "--data"])
            .arg(self.data())
            .stdout(fs::File::create(self.folder.path().join("log")).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.server = Some(server);
        until("the greeting", || self.talk().is_some());
    }

    /// A session that was greeted.
    fn talk(&self) -> Option<Session> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let mut session = Session { input: BufReader::new(stream.try_clone().ok()?), stream };
        (session.reply()? == 220).then_some(session)
    }

    fn run(&self, words: &[&str], input: &str) -> Output {
        let mut command = Command::new(PROGRAM);
        command.arg(words[0]).arg("--data").arg(self.data()).args(&words[1..]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that does not read is a command that has said why.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        child.wait_with_output().unwrap()
    }

    /// The letters in all mailboxes: the word behind `X-Number:` and how often it is there.
    fn letters(&self) -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for mailbox in list(&self.data().join("mail")) {
            for letter in list(&mailbox.join("new")) {
                let text = fs::read_to_string(letter).unwrap();
                let number = text.lines().find_map(|line| line.strip_prefix("X-Number: "));
                let number = number.expect("a letter without its number is torn").to_owned();
                assert!(text.ends_with("the end\n"), "{number} is torn");
                *found.entry(number).or_default() += 1;
            }
        }
        found
    }

    /// Our processes: id and role.
    fn processes(&self) -> Vec<(i32, String)> {
        let master = self.server.as_ref().unwrap().id();
        let mut found = Vec::new();
        for process in list(Path::new("/proc")) {
            let Ok(stat) = fs::read_to_string(process.join("stat")) else { continue };
            let rest = stat.rsplit(')').next().unwrap();
            if rest.split_whitespace().nth(1) == Some(&master.to_string()) {
                let words = fs::read_to_string(process.join("cmdline")).unwrap_or_default();
                let pid = process.file_name().unwrap().to_string_lossy().parse().unwrap();
                found.push((pid, words.split('\0').nth(2).unwrap_or_default().to_owned()));
            }
        }
        found
    }

    /// SIGTERM, and the exit code.
    fn stop(&mut self) -> Option<i32> {
        let mut server = self.server.take().unwrap();
        kill("TERM", server.id());
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            if let Some(status) = server.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(server.kill());
        drop(server.wait());
        panic!("the server did not stop");
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            drop(server.kill());
            drop(server.wait());
        }
    }
}

struct Session {
    input: BufReader<TcpStream>,
    stream: TcpStream,
}

impl Session {
    /// The code of the next reply; `None`: the connection is gone.
    fn reply(&mut self) -> Option<u16> {
        loop {
            let mut line = String::new();
            if self.input.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.get(..3)?.parse().ok();
            }
        }
    }

    fn say(&mut self, line: &str) -> Option<u16> {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).ok()?;
        self.reply()
    }

    /// Sends a numbered letter; whether it was acknowledged.
    fn send(&mut self, number: &str, to: &str) -> Option<bool> {
        for line in ["RSET", "MAIL FROM:<a@example.org>", &format!("RCPT TO:<{to}@example.org>")] {
            if self.say(line)? != 250 {
                return Some(false);
            }
        }
        if self.say("DATA")? != 354 {
            return Some(false);
        }
        let filling = "a line of text\r\n".repeat(200);
        Some(self.say(&format!("X-Number: {number}\r\n\r\n{filling}the end\r\n."))? == 250)
    }
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("waited in vain for {what}");
}

fn kill(signal: &str, pid: u32) {
    let script = format!("kill -{signal} {pid}");
    // A process that is gone already can't be signalled.
    drop(Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status());
}

#[test]
fn letters_by_every_way_reach_the_mailbox() {
    let mut house = House::new();
    assert_eq!(house.talk().unwrap().send("smtp", "anna"), Some(true));
    let text = |number: &str| format!("X-Number: {number}\nTo: anna@example.org\n\nthe end\n");
    assert!(house.run(&["sendmail", "anna@example.org"], &text("sendmail")).status.success());
    assert!(house.run(&["sendmail", "-t", "-i"], &text("header")).status.success());
    let dialogue = "HELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<anna@c>\r\nDATA\r\n\
                    X-Number: dialogue\r\n\r\nthe end\r\n.\r\nQUIT\r\n";
    let said = house.run(&["sendmail", "-bs"], dialogue);
    assert!(String::from_utf8_lossy(&said.stdout).contains("Message accepted"), "{said:?}");
    until("four letters", || house.letters().len() == 4);
    let empty = |house: &House| {
        let queue = house.run(&["mailq"], "");
        String::from_utf8_lossy(&queue.stdout).contains("Total requests: 0")
    };
    until("an empty queue", || empty(&house));
    assert_eq!(house.stop(), Some(0));
}

#[test]
fn every_cage_holds() {
    let house = House::new();
    assert_eq!(house.talk().unwrap().send("1", "anna"), Some(true));
    until("a delivery", || house.letters().len() == 1);
    let proof = house.run(&["privileges", "--check"], "");
    let text = String::from_utf8_lossy(&proof.stdout);
    assert!(proof.status.success() && text.contains("every cage holds"), "{text}");
    for role in ["policy", "queue", "resolver", "relay", "control", "smtpd", "deliver"] {
        assert!(text.contains(&format!("\n{role} 0 (pid")), "{role} is missing: {text}");
    }
}

#[test]
fn a_letter_that_was_left_while_nobody_served_is_delivered_once() {
    let mut house = House::new();
    assert_eq!(house.stop(), Some(0));
    let text = "X-Number: left\n\nthe end\n";
    assert!(house.run(&["sendmail", "anna@example.org"], text).status.success());
    house.start();
    until("the letter", || house.letters().contains_key("left"));
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(house.letters()["left"], 1);
}

#[test]
fn kills_at_random_moments_lose_nothing_that_was_acknowledged() {
    let rounds: u64 =
        std::env::var("IRONPOST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let mut house = House::new();
    let mut acknowledged = Vec::new();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..rounds {
        let mut session = None;
        for number in 0..30 {
            if number == 15 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let processes = house.processes();
                let at = usize::try_from(random >> 33).unwrap() % (processes.len() + 1);
                if let Some((pid, _)) = processes.get(at) {
                    kill("KILL", u32::try_from(*pid).unwrap());
                } else {
                    // Master, and so everybody.
                    drop(house.server.as_mut().unwrap().kill());
                    drop(house.server.take().unwrap().wait());
                    house.start();
                }
            }
            let name = format!("{round}-{number}");
            let Some(mut open) = session.take().or_else(|| house.talk()) else { continue };
            match open.send(&name, &format!("user{}", number % 3)) {
                Some(true) => {
                    acknowledged.push(name);
                    session = Some(open);
                }
                Some(false) => session = Some(open),
                None => {}
            }
        }
    }
    assert!(acknowledged.len() > usize::try_from(rounds).unwrap() * 10, "{}", acknowledged.len());
    // A start brings everything that waits for a retry back at once.
    drop(house.run(&["queue", "flush"], ""));
    let is_whole = |house: &House| {
        drop(house.run(&["queue", "flush"], ""));
        let letters = house.letters();
        acknowledged.iter().all(|name| letters.contains_key(name))
    };
    until("every acknowledged letter", || is_whole(&house));
    let twice = house.letters().values().filter(|&&count| count > 1).count();
    assert!(twice <= usize::try_from(rounds).unwrap() * 20, "{twice} letters came twice");
}

#[test]
fn garbage_on_the_port_ends_its_own_sessions_only() {
    let house = House::new();
    let before = house.processes();
    let mut random = 7_u64;
    for size in [1, 10, 1000, 50_000] {
        for _ in 0..8 {
            let garbage: Vec<u8> = (0..size)
                .map(|_| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(3);
                    random.to_le_bytes()[5]
                })
                .collect();
            let Some(mut session) = house.talk() else { panic!("no session") };
            drop(session.stream.write_all(&garbage));
            drop(session.stream.shutdown(std::net::Shutdown::Write));
            drop(session.input.read_to_end(&mut Vec::new()));
        }
    }
    for foreign in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\x02\x00\x01", b"SSH-2.0-x\r\n"] {
        let mut session = house.talk().unwrap();
        drop(session.stream.write_all(foreign));
        drop(session.input.read_to_end(&mut Vec::new()));
    }
    assert_eq!(house.talk().unwrap().send("after", "anna"), Some(true));
    // A delivery child may have come meanwhile; nobody may have gone.
    let after: Vec<i32> = house.processes().into_iter().map(|(pid, _)| pid).collect();
    assert!(before.iter().all(|(pid, _)| after.contains(pid)), "{before:?} {after:?}");
}

#[test]
fn a_wrong_configuration_is_named_with_its_place() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ironpost.toml");
    fs::write(&path, "host_name = \"mx.example.org\"\nlisten = [\"nowhere\"]\n").unwrap();
    for command in ["check", "serve"] {
        let output = Command::new(PROGRAM).args([command, "--config"]).arg(&path).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{command}: {text}");
        assert!(text.contains("ironpost.toml:2:"), "{command}: {text}");
    }
}
