//! Where a sendmail.cf says to listen (`DaemonPortOptions`), and what each place bounds itself.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop")]

#[path = "running/dialogue.rs"]
mod dialogue;
#[path = "running/port.rs"]
mod port;
#[path = "running/server.rs"]
#[expect(dead_code, reason = "other tests let it choose the port")]
mod server;

use dialogue::{say, session};
use port::free_port;
use server::Server;
use std::fs;
use std::io::BufReader;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ironpost");

const CF: &str = "V10/Berkeley
Djmail.example.test
O OperatorChars=.:%@!^/[]+
O SmtpGreetingMessage=$j ${daemon_name} ${daemon_family}; $b
Scheck_rcpt
R$*\t$#error $@ 5.7.1 $: \"550 you are \" $&{client_addr}
S3
R<$*>\t$1
S0
R$-\t$#local $: $1
R$-@$+\t$#esmtp $@ $2 $: $1@$2
Mlocal, P=[FILE], F=lsDFMAw5:/|@qSP, A=FILE /var/mail/$u
Mesmtp, P=[IPC], F=mDFMuXa, A=TCP $h
";

fn serve(folder: &Path, listeners: &[&str]) -> Server {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    let port = free_port();
    let own = format!("Addr=127.0.0.1, Port={port}, Name=TCP");
    let lines = [&[&*own], listeners].concat().join("\nO DaemonPortOptions=");
    let cf = format!("{CF}O DaemonPortOptions={lines}\n");
    fs::write(folder.join("sendmail.cf"), cf).unwrap();
    let child = Command::new(PROGRAM)
        .args(["serve", "--config"])
        .arg(folder.join("sendmail.cf"))
        .arg("--data")
        .arg(folder.join("data"))
        .stdout(Stdio::null())
        .stderr(fs::File::create(folder.join("errors")).unwrap())
        .spawn()
        .unwrap();
    Server::await_greeting(child, port)
}

fn local(path: &Path) -> BufReader<UnixStream> {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    BufReader::new(stream)
}

#[test]
fn a_unix_socket_is_a_place_to_listen_and_its_clients_are_of_this_host() {
    let folder = TempDir::new_in("/tmp").unwrap();
    let path = folder.path().join("in");
    let listener = format!("Family=local, Addr={}, Name=here", path.display());
    let mut server = serve(folder.path(), &[&listener]);
    assert!(
        say(&mut session(server.port), "").starts_with("220 mail.example.test ESMTP TCP inet;")
    );
    let mut client = local(&path);
    let greeting = say(&mut client, "");
    assert!(greeting.starts_with("220 mail.example.test ESMTP here local;"), "{greeting}");
    assert!(say(&mut client, "EHLO client.test").starts_with("250 "));
    assert!(say(&mut client, "MAIL FROM:<a@b.test>").starts_with("250 2.1.0"));
    assert_eq!(say(&mut client, "RCPT TO:<root>"), "550 5.7.1 <root>... you are 127.0.0.1");
    assert!(say(&mut client, "QUIT").starts_with("221 "));
    let child = rustix::process::Pid::from_child(&server.child);
    rustix::process::kill_process(child, rustix::process::Signal::TERM).unwrap();
    assert!(server.child.wait().unwrap().success());
    assert!(!path.exists(), "its name is left behind");
}

#[test]
fn a_file_that_stands_where_a_socket_should_is_left_alone() {
    let folder = TempDir::new_in("/tmp").unwrap();
    let path = folder.path().join("in");
    fs::write(&path, "precious").unwrap();
    let cf = format!("{CF}O DaemonPortOptions=Family=local, Addr={}\n", path.display());
    fs::write(folder.path().join("sendmail.cf"), cf).unwrap();
    let output = Command::new(PROGRAM)
        .args(["serve", "--config"])
        .arg(folder.path().join("sendmail.cf"))
        .arg("--data")
        .arg(folder.path().join("data"))
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("there is another file of this name"), "{said}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_listener_has_its_own_bounds_and_what_it_does_not_know_is_told() {
    let folder = TempDir::new_in("/tmp").unwrap();
    let path = folder.path().join("in");
    let listener = format!("Family=local, Addr={}, children=1, zork=1", path.display());
    let server = serve(folder.path(), &[&listener]);
    let mut open = Vec::new();
    let refused = loop {
        let mut next = local(&path);
        let said = say(&mut next, "");
        if !said.starts_with("220 ") {
            break said;
        }
        open.push(next);
        // Each process of sessions has its part.
        assert!(open.len() < 64, "nobody counts");
    };
    assert_eq!(refused, "421 4.3.2 Too many open connections.");
    assert!(say(&mut session(server.port), "").starts_with("220 "));
    let said = fs::read_to_string(folder.path().join("errors")).unwrap();
    assert!(said.contains("PortOptions parameter \"zork\" unknown"), "{said}");
}
