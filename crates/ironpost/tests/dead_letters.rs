//! `DeadLetterDrop`: what nobody can get ends in a mailbox file of the owner's, from one job and from a server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop")]

#[path = "running/dialogue.rs"]
mod dialogue;
#[path = "running/port.rs"]
mod port;
#[path = "running/server.rs"]
mod server;
#[path = "running/soon.rs"]
mod soon;

use dialogue::{say, session};
use server::Server;
use soon::is_soon;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A next hop that refuses all recipients for good.
fn refusing() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || refuse(stream.unwrap()));
        }
    });
    port
}

fn refuse(mut out: TcpStream) {
    let lines = BufReader::new(out.try_clone().unwrap()).lines();
    out.write_all(b"220 sink.test ESMTP\r\n").unwrap();
    for line in lines.map_while(Result::ok) {
        let reply = match line.get(..4) {
            Some("RCPT") => "550 5.1.1 nobody",
            Some("DATA") => "503 5.5.1 whose",
            Some("QUIT") => "221 2.0.0 bye",
            _ => "250 2.0.0 fine",
        };
        if writeln!(out, "{reply}\r").is_err() || line == "QUIT" {
            break;
        }
    }
}

/// A host that gives everything to that next hop, with a folder for dead letters that root or we alone may write.
struct Host {
    folder: TempDir,
    /// Below a folder that nobody else may write.
    letters: TempDir,
}

impl Host {
    fn new() -> Self {
        let folder = TempDir::new_in("/tmp").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(folder.path().join("queue")).unwrap();
        let letters = TempDir::new_in("/tmp").unwrap();
        let host = Self { folder, letters };
        let text = format!(
            "V10/Berkeley
Djmail.example.test
O OperatorChars=.:%@!^/[]+
O QueueDirectory={}
O DeadLetterDrop={}
H?D?Date: $b
H?F?From: $g
S3
R<$*>\t$1
S0
R$*\t$#esmtp $@ [127.0.0.1] $: $1
Mlocal, P=[FILE], F=lsDFMAw5:/|@qSP, A=FILE /var/mail/$u
Mesmtp, P=[IPC], F=mDFMuXa, A=TCP $h {}
",
            host.folder.path().join("queue").display(),
            host.drop().display(),
            refusing()
        );
        fs::write(host.config(), text).unwrap();
        host
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("sendmail.cf")
    }

    fn drop(&self) -> PathBuf {
        self.letters.path().join("dead.letter")
    }

    /// A command under this name; what it said.
    fn command(&self, name: &str, arguments: &[&str], input: &str) -> String {
        let program = self.folder.path().join(name);
        if !program.exists() {
            symlink(env!("CARGO_BIN_EXE_ironpost"), &program).unwrap();
        }
        let mut child = Command::new(program)
            .arg("-C")
            .arg(self.config())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    }

    /// Sends a letter that will come back to nobody.
    fn send(&self) {
        let letter = "MAIL FROM:<alice@mail.example.test>\r\nRCPT TO:<bob@remote.test>\r\n\
                      DATA\r\nSubject: one\r\n\r\nhello\r\nFrom here on\r\n.\r\nQUIT\r\n";
        let said = self.command("sendmail", &["-bs", "-odi"], letter);
        assert!(said.contains("Message accepted for delivery"), "{said}");
    }

    /// The messages that are kept back for the operator.
    fn lost(&self) -> String {
        self.command("mailq", &["-qL"], "")
    }
}

/// What one dead letter looks like: the report that nobody got, with the message in it.
fn is_letter(text: &str) -> bool {
    text.starts_with("From MAILER-DAEMON ")
        && text.contains("\nDate: ")
        && text.contains("\nSubject: Returned mail: see transcript for details\n")
        && text.contains("\n550 5.1.1 ")
        && text.contains("\nhello\n>From here on\n")
        && !text.contains('\r')
}

#[test]
fn a_job_saves_what_nobody_can_get_and_the_queue_is_empty() {
    let host = Host::new();
    host.send();
    let text = fs::read_to_string(host.drop()).unwrap();
    assert!(is_letter(&text), "{text}");
    assert_eq!(fs::metadata(host.drop()).unwrap().mode() & 0o777, 0o600);
    assert!(host.lost().contains("Total requests: 0"), "{}", host.lost());
    host.send();
    let text = fs::read_to_string(host.drop()).unwrap();
    assert_eq!(text.matches("\nSubject: Returned mail").count(), 2, "{text}");
    assert_eq!(text.matches("\n\nFrom MAILER-DAEMON ").count(), 1, "{text}");
}

#[test]
fn what_the_file_can_not_take_stays_in_the_queue() {
    let host = Host::new();
    // No mailbox: a message there would harm whatever it is.
    fs::write(host.drop(), "root:x:0:0\n").unwrap();
    host.send();
    assert_eq!(fs::read_to_string(host.drop()).unwrap(), "root:x:0:0\n");
    assert!(host.lost().contains("Total requests: 1"), "{}", host.lost());
    // Nor what a name leads to, nor what others may write.
    fs::remove_file(host.drop()).unwrap();
    let other = host.letters.path().join("other");
    fs::write(&other, "").unwrap();
    symlink(&other, host.drop()).unwrap();
    host.send();
    assert_eq!(fs::metadata(&other).unwrap().len(), 0);
    fs::remove_file(host.drop()).unwrap();
    fs::write(host.drop(), "").unwrap();
    fs::set_permissions(host.drop(), fs::Permissions::from_mode(0o666)).unwrap();
    host.send();
    assert_eq!(fs::metadata(host.drop()).unwrap().len(), 0);
    assert!(host.lost().contains("Total requests: 3"), "{}", host.lost());
}

#[test]
fn a_server_saves_it_too_and_says_so() {
    let host = Host::new();
    let server = Server::start(host.folder.path());
    let mut session = session(server.port);
    for (line, reply) in [
        ("", "220"),
        ("HELO client.test", "250"),
        ("MAIL FROM:<alice@mail.example.test>", "250"),
        ("RCPT TO:<bob@remote.test>", "250"),
        ("DATA", "354"),
        ("Subject: one\r\n\r\nhello\r\nFrom here on\r\n.", "250"),
        ("QUIT", "221"),
    ] {
        assert!(say(&mut session, line).starts_with(reply), "{line}");
    }
    let wanted = format!(": Saved message in {}", host.drop().display());
    let log = || fs::read_to_string(host.folder.path().join("log")).unwrap();
    assert!(is_soon(|| log().contains(&wanted)), "{}", log());
    let text = fs::read_to_string(host.drop()).unwrap();
    assert!(is_letter(&text), "{text}");
    assert!(!log().contains("savemail panic"), "{}", log());
    drop(server);
}
