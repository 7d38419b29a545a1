//! One job, same roles: a command with a sendmail.cf and no server starts one for as long as its job lasts.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tempfile::TempDir;

/// No wait of these tests is longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a next hop heard in one connection, line by line.
type Heard = Vec<String>;

/// A next hop that takes everything.
fn sink() -> (u16, Receiver<Heard>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut out = stream.unwrap();
            let mut lines = BufReader::new(out.try_clone().unwrap());
            let mut heard = Heard::new();
            let mut in_text = false;
            out.write_all(b"220 sink.test ESMTP\r\n").unwrap();
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|count| count > 0) {
                let said = line.trim_end().to_owned();
                line.clear();
                let reply = match (in_text, said.as_str()) {
                    (true, ".") => "250 2.0.0 taken",
                    (true, _) => "",
                    (false, "DATA") => "354 go on",
                    (false, "QUIT") => "221 2.0.0 bye",
                    (false, _) => "250 2.0.0 fine",
                };
                in_text = said == "DATA" || (in_text && said != ".");
                let is_end = said == "QUIT" && !in_text;
                heard.push(said);
                if !reply.is_empty() && writeln!(out, "{reply}\r").is_err() || is_end {
                    break;
                }
            }
            drop(sender.send(heard));
        }
    });
    (port, receiver)
}

/// A host that gives everything to the next hop at this port.
fn configuration(folder: &Path, port: u16) -> String {
    let queue = folder.join("queue");
    fs::create_dir(&queue).unwrap();
    let text = format!(
        "V10/Berkeley
Djmail.example.test
O OperatorChars=.:%@!^/[]+
O QueueDirectory={}
S3
R<$*>\t$1
S0
R$*\t$#esmtp $@ [127.0.0.1] $: $1
Mlocal, P=[FILE], F=lsDFMAw5:/|@qSP, A=FILE /var/mail/$u
Mesmtp, P=[IPC], F=mDFMuXa, A=TCP $h {port}
",
        queue.display()
    );
    let file = folder.join("sendmail.cf");
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

/// A session on standard input and output; everything that it said.
fn dialogue(folder: &Path, arguments: &[&str], commands: &str) -> String {
    let program = folder.join("sendmail");
    if !program.exists() {
        symlink(env!("CARGO_BIN_EXE_ironpost"), &program).unwrap();
    }
    let mut child = Command::new(program)
        .arg("-bs")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// Without HELO: its answer would have to be awaited before more is said.
const LETTER: &str = "MAIL FROM:<alice@mail.example.test>\r\nRCPT TO:<bob@remote.test>\r\n\
                      DATA\r\nSubject: one\r\n\r\nhello\r\n.\r\nQUIT\r\n";

#[test]
fn what_a_dialogue_takes_is_delivered_without_a_server() {
    let folder = TempDir::new_in("/tmp").unwrap();
    let (port, heard) = sink();
    let config = configuration(folder.path(), port);
    let said = dialogue(folder.path(), &["-C", &config], LETTER);
    assert!(said.contains("Message accepted for delivery"), "{said}");
    let heard = heard.recv_timeout(PATIENCE).unwrap();
    assert!(heard.iter().any(|line| line == "RCPT To:<bob@remote.test>"), "{heard:?}");
    assert!(heard.iter().any(|line| line == "hello"), "{heard:?}");
}

#[test]
fn a_host_that_the_mailer_names_itself_gets_it_whatever_the_rules_say() {
    let folder = TempDir::new_in("/tmp").unwrap();
    let (port, heard) = sink();
    let config = configuration(folder.path(), port);
    let text = fs::read_to_string(&config).unwrap();
    let text = text.replace("$@ [127.0.0.1]", "$@ [192.0.2.1]");
    fs::write(&config, text.replace("A=TCP $h", "A=TCP [127.0.0.1]")).unwrap();
    dialogue(folder.path(), &["-C", &config], LETTER);
    let heard = heard.recv_timeout(PATIENCE).unwrap();
    assert!(heard.iter().any(|line| line == "hello"), "{heard:?}");
}

#[test]
fn what_is_only_to_be_queued_waits_durably_for_a_run() {
    let folder = TempDir::new_in("/tmp").unwrap();
    let (port, heard) = sink();
    let config = configuration(folder.path(), port);
    let said = dialogue(folder.path(), &["-odq", "-C", &config], LETTER);
    assert!(said.contains("Message accepted for delivery"), "{said}");
    assert!(heard.recv_timeout(Duration::from_secs(1)).is_err(), "it was not to be sent");
    // The next dialogue tries its own letter, and not that of the other.
    let other = LETTER.replace("bob@", "carol@");
    dialogue(folder.path(), &["-odi", "-C", &config], &other);
    let heard = heard.recv_timeout(PATIENCE).unwrap();
    assert!(heard.iter().any(|line| line == "RCPT To:<carol@remote.test>"), "{heard:?}");
    assert!(!heard.iter().any(|line| line.contains("bob@")), "{heard:?}");
}

/// `sendmail` or `mailq` on this configuration; what it said.
fn command(folder: &Path, name: &str, arguments: &[&str]) -> String {
    let program = folder.join(name);
    if !program.exists() {
        symlink(env!("CARGO_BIN_EXE_ironpost"), &program).unwrap();
    }
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A message as sendmail leaves it in its queue.
fn leave_in_queue(folder: &Path, id: &str, recipient: &str) {
    let control = format!(
        "V8\nT1790000000\nK0\nN0\nP30021\nFs\n$_root@localhost\nSalice@mail.example.test\n\
         RPFD:{recipient}\nH?P?Return-Path: <\u{81}g>\nH??Subject: old\n.\n"
    );
    let write = |name: String, text: &str| {
        let path = folder.join("queue").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    };
    write(format!("df{id}"), "hello\n");
    write(format!("qf{id}"), &control);
}

fn files_of_sendmail(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder.join("queue")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "ironpost").collect()
}

#[test]
fn mail_that_sendmail_left_is_listed_and_delivered_and_then_its_files_are_gone() {
    let folder = TempDir::new_in("/tmp").unwrap();
    let (port, heard) = sink();
    let config = configuration(folder.path(), port);
    leave_in_queue(folder.path(), "61LBsS5B012345", "bob@remote.test");
    let listed = command(folder.path(), "mailq", &["-C", &config]);
    assert!(listed.contains("bob@remote.test") && listed.contains("Total requests: 1"), "{listed}");
    assert_eq!(files_of_sendmail(folder.path()).len(), 2, "who only looks takes nothing");
    command(folder.path(), "sendmail", &["-OTimeout.queuereturn=10000d", "-qf", "-C", &config]);
    let heard = heard.recv_timeout(PATIENCE).unwrap();
    assert!(heard.iter().any(|line| line == "RCPT To:<bob@remote.test>"), "{heard:?}");
    assert!(heard.iter().any(|line| line == "Subject: old"), "{heard:?}");
    assert!(heard.iter().any(|line| line == "hello"), "{heard:?}");
    assert_eq!(files_of_sendmail(folder.path()), Vec::<String>::new());
    let listed = command(folder.path(), "mailq", &["-C", &config]);
    assert!(listed.contains("is empty"), "{listed}");
}

#[test]
fn a_control_file_that_is_not_understood_is_put_aside_with_its_text() {
    let folder = TempDir::new_in("/tmp").unwrap();
    let (port, _heard) = sink();
    let config = configuration(folder.path(), port);
    leave_in_queue(folder.path(), "61LBsS5B012345", "bob@remote.test\nY?");
    command(folder.path(), "sendmail", &["-qf", "-C", &config]);
    let mut left = files_of_sendmail(folder.path());
    left.sort();
    assert_eq!(left, ["Qf61LBsS5B012345", "df61LBsS5B012345"]);
}

#[test]
fn a_run_in_the_background_is_not_waited_for_and_mailq_sees_what_it_is_at() {
    let folder = TempDir::new_in("/tmp").unwrap();
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = configuration(folder.path(), silent.local_addr().unwrap().port());
    dialogue(folder.path(), &["-odq", "-C", &config], LETTER);
    command(folder.path(), "sendmail", &["-OTimeout.initial=20s", "-q", "-C", &config]);
    let (connection, _) = silent.accept().unwrap();
    let listed = command(folder.path(), "mailq", &["-C", &config]);
    drop(connection);
    let mark = listed.lines().find(|line| line.contains("<alice@mail.example.test>")).unwrap();
    assert_eq!(mark.chars().nth(14), Some('*'), "{listed}");
}
