//! `M` lines that say themselves where mail goes: SMTP over a Unix socket (`A=FILE PATH`), and hosts and ports made of the
//! route's (`A=TCP $h.example $h`). In the server and in a command without one.
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
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tempfile::TempDir;

/// No wait of these tests is longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a next hop heard in one connection, line by line.
type Heard = Vec<String>;

/// A next hop for one connection that takes everything.
fn hear(stream: impl Read + Write) -> Heard {
    let mut stream = BufReader::new(stream);
    let (mut heard, mut line) = (Heard::new(), String::new());
    let mut in_text = false;
    stream.get_mut().write_all(b"220 sink.test ESMTP\r\n").unwrap();
    while stream.read_line(&mut line).is_ok_and(|count| count > 0) {
        let said = std::mem::take(&mut line).trim_end().to_owned();
        let reply = match (in_text, said.as_str()) {
            (true, ".") => "250 2.0.0 taken\r\n",
            (true, _) => "",
            (false, "DATA") => "354 go on\r\n",
            (false, "QUIT") => "221 2.0.0 bye\r\n",
            (false, _) => "250 2.0.0 fine\r\n",
        };
        in_text = said == "DATA" || (in_text && said != ".");
        let is_end = said == "QUIT" && !in_text;
        heard.push(said);
        if stream.get_mut().write_all(reply.as_bytes()).is_err() || is_end {
            break;
        }
    }
    heard
}

/// A next hop behind a Unix socket.
fn behind(path: &Path) -> Receiver<Heard> {
    let listener = UnixListener::bind(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            drop(sender.send(hear(stream.unwrap())));
        }
    });
    receiver
}

/// A next hop on a port.
fn on_a_port() -> (u16, Receiver<Heard>) {
    behind_a_port(TcpListener::bind("127.0.0.1:0").unwrap())
}

fn behind_a_port(listener: TcpListener) -> (u16, Receiver<Heard>) {
    let port = listener.local_addr().unwrap().port();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            drop(sender.send(hear(stream.unwrap())));
        }
    });
    (port, receiver)
}

/// A host whose mail goes to `mailer` with this host; local users get theirs in a folder.
fn house(mailer: &str, host: &str) -> TempDir {
    let folder = TempDir::new_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let queue = folder.path().join("queue");
    fs::create_dir(&queue).unwrap();
    let text = format!(
        "V10/Berkeley\nDjmail.example.test\nO OperatorChars=.:%@!^/[]+\nO QueueDirectory={}\n\
         O ForwardPath=\nO Timeout.connect=5s\nDZ127\nS3\nR<$*>\t$1\nS0\nR$-\t$#local $: $1\nR$*\t$#own $@ {host} $: $1\n\
         Mlocal, P=/bin/false, F=lsDFMA5:/|@qPn, A=false\nMprog, P=/bin/false, F=lsDFMoqeu9, A=false\n\
         Mown, P=[IPC], F=mDFMuXa, {mailer}\n",
        queue.display()
    );
    fs::write(folder.path().join("sendmail.cf"), text).unwrap();
    folder
}

/// A letter through a command that starts a server of its own.
fn submit(folder: &Path) {
    let program = folder.join("sendmail");
    symlink(env!("CARGO_BIN_EXE_ironpost"), &program).unwrap();
    let mut child = Command::new(program)
        .arg("-C")
        .arg(folder.join("sendmail.cf"))
        .args(["-odi", "-f", "alice@mail.example.test", "bob@remote.test"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"Subject: one\n\n.hello\n").unwrap();
    assert!(child.wait().unwrap().success());
}

/// A letter through the running server.
fn send(server: &Server) {
    let mut talk = session(server.port);
    for said in [
        "",
        "EHLO x",
        "MAIL FROM:<alice@mail.example.test>",
        "RCPT TO:<bob@remote.test>",
        "DATA",
        "Subject: one\r\n\r\n..hello\r\n.",
    ] {
        let reply = say(&mut talk, said);
        assert!(reply.starts_with(['2', '3']), "{said}: {reply}");
    }
}

/// What the next hop got is the letter.
fn check(heard: &Receiver<Heard>) {
    let heard = heard.recv_timeout(PATIENCE).unwrap();
    assert_eq!(heard.first().unwrap(), "EHLO mail.example.test");
    assert!(heard.iter().any(|line| line == "RCPT To:<bob@remote.test>"), "{heard:?}");
    assert!(heard.iter().any(|line| line == "..hello"), "{heard:?}");
}

/// A line of the server's log with all of these.
fn logged(folder: &Path, words: &[&str]) -> String {
    let mut found = None;
    let mut log = String::new();
    let is_there = is_soon(|| {
        log = fs::read_to_string(folder.join("log")).unwrap();
        let line = log.lines().find(|line| words.iter().all(|word| line.contains(word)));
        found = line.map(str::to_owned);
        found.is_some()
    });
    assert!(is_there, "{words:?} is not in {log}");
    found.unwrap()
}

#[test]
fn a_command_speaks_smtp_over_the_unix_socket_of_a_mailer() {
    let folder = house("A=FILE /tmp", "x");
    let path = folder.path().join("smtp");
    let config = folder.path().join("sendmail.cf");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("A=FILE /tmp", &format!("A=FILE {}", path.display()))).unwrap();
    let heard = behind(&path);
    submit(folder.path());
    check(&heard);
}

#[test]
fn the_server_speaks_smtp_over_the_unix_socket_of_a_mailer_and_says_so() {
    let folder = house("A=FILE /tmp", "x");
    let path = folder.path().join("smtp");
    let config = folder.path().join("sendmail.cf");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("A=FILE /tmp", &format!("A=FILE {}", path.display()))).unwrap();
    let heard = behind(&path);
    let server = Server::start(folder.path());
    send(&server);
    let line = logged(folder.path(), &["to=<bob@remote.test>"]);
    assert!(line.ends_with("relay=localhost, dsn=2.0.0, stat=Sent (2.0.0 taken)"), "{line}");
    drop(server);
    check(&heard);
}

#[test]
fn without_a_server_behind_its_unix_socket_mail_waits() {
    let folder = house("A=FILE /tmp/there/is/no/such", "x");
    let server = Server::start(folder.path());
    send(&server);
    let line = logged(folder.path(), &["to=<bob@remote.test>", "stat=Deferred"]);
    assert!(line.contains("dsn=4.3.5"), "{line}");
}

#[test]
fn a_host_made_of_that_of_the_route_is_connected_to() {
    for (mailer, host) in [("A=TCP [$Z.$h] PORT", "0.0.1"), ("A=TCP [127.0.0.1] $h", "PORT")] {
        let (port, heard) = on_a_port();
        let port = port.to_string();
        let folder = house(&mailer.replace("PORT", &port), &host.replace("PORT", &port));
        submit(folder.path());
        check(&heard);
        let server = Server::start(folder.path());
        send(&server);
        logged(
            folder.path(),
            &["to=<bob@remote.test>", "relay=[127.0.0.1] [127.0.0.1]", "stat=Sent"],
        );
        drop(server);
        check(&heard);
    }
}

#[test]
fn the_log_has_addresses_as_the_rule_sets_have_them() {
    // A machine without IPv6 has none to show.
    let Ok(listener) = TcpListener::bind("[::1]:0") else { return };
    let (port, heard) = behind_a_port(listener);
    for (option, shown) in [("False", "[IPv6:0:0:0:0:0:0:0:1]"), ("True", "[IPv6:::1]")] {
        let folder = house(&format!("A=TCP $h {port}"), "[IPv6:::1]");
        let config = folder.path().join("sendmail.cf");
        let text = fs::read_to_string(&config).unwrap();
        let text = text.replace("DZ127", &format!("O UseCompressedIPv6Addresses={option}"));
        fs::write(&config, text).unwrap();
        let server = Server::start(folder.path());
        send(&server);
        logged(folder.path(), &["to=<bob@remote.test>", &format!(" {shown}, "), "stat=Sent"]);
        drop(server);
        check(&heard);
    }
}

#[test]
fn mail_waits_where_a_path_or_a_host_is_made_of_what_a_stranger_writes() {
    for (mailer, reason) in [
        ("A=FILE /run/$u", "Unix socket is made of what a message says"),
        ("A=TCP $u.relay.test", "made of what one recipient says"),
    ] {
        let folder = house(mailer, "x");
        let server = Server::start(folder.path());
        send(&server);
        logged(folder.path(), &["to=<bob@remote.test>", reason]);
    }
}
