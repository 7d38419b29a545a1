//! Mailers of a sendmail.cf that are programs: run as the recipient, in a cage; their exit codes and output come back.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop")]

#[path = "running/port.rs"]
mod port;
#[path = "running/server.rs"]
mod server;
#[path = "running/soon.rs"]
mod soon;

use server::Server;
use soon::is_soon;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

const CF: &str = "V10/Berkeley
Djmail.example.test
O OperatorChars=.:%@!^/[]+
H?P?Return-Path: <$g>
HReceived: from $s ($_) by $j id $i; $b
S3
R<$*>\t$1
S0
R$-\t$#local $: $1
R$-@mail.example.test\t$#local $: $1
R$-@$+\t$#esmtp $@ $2 $: $1@$2
Mlocal, P=/bin/sh, F=lsDFMAw5:/|@qPn, A=sh DIR/program $u
Mesmtp, P=[IPC], F=mDFMuXa, A=TCP $h
Mprog, P=/bin/sh, F=lsDFMoqeu9, A=sh -c $u
";

/// Keeps the message and who it ran as; from `<bad@x>` it wants nothing.
const SCRIPT: &str = "umask 0
case \"$(cat | tee DIR/letter | head -n 1)\" in
*bad@x*) echo 'not from there'; exit 67 ;;
esac
id -un > DIR/who
(: > /etc/ironpost-was-here) 2>/dev/null && echo yes > DIR/wrote
echo $1 > DIR/to
";

fn serve(folder: &Path) -> Server {
    serve_with(folder, CF)
}

fn serve_with(folder: &Path, cf: &str) -> Server {
    let place = folder.to_str().unwrap();
    fs::write(folder.join("sendmail.cf"), cf.replace("DIR", place)).unwrap();
    fs::write(folder.join("program"), SCRIPT.replace("DIR", place)).unwrap();
    Server::start(folder)
}

fn send(port: u16, from: &str, to: &str) {
    let mut talk = BufReader::new(TcpStream::connect(("127.0.0.1", port)).unwrap());
    let (from, to) = (format!("MAIL FROM:<{from}>\r\n"), format!("RCPT TO:<{to}>\r\n"));
    for said in ["", "HELO x\r\n", &from, &to, "DATA\r\n", "Subject: x\r\n\r\nFrom me\r\n.\r\n"] {
        talk.get_mut().write_all(said.as_bytes()).unwrap();
        let mut line = String::new();
        talk.read_line(&mut line).unwrap();
        assert!(line.starts_with(['2', '3']), "{said} {line}");
    }
}

/// Somebody whose mail may be delivered here: as root another user, else ourselves.
fn somebody() -> String {
    let name = Command::new("id").arg("-un").output().unwrap().stdout;
    let name = String::from_utf8(name).unwrap().trim().to_owned();
    if name == "root" { "nobody".to_owned() } else { name }
}

#[test]
fn a_program_delivers_as_the_recipient_and_its_refusal_is_a_failure() {
    let folder = TempDir::new_in("/tmp").unwrap();
    let path = folder.path();
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    let server = serve(path);
    let port = server.port;
    let user = somebody();
    let log = || fs::read_to_string(path.join("log")).unwrap();
    send(port, "a@b.test", &user);
    assert!(is_soon(|| log().contains("stat=Sent")), "{}", log());
    let read = |name: &str| fs::read_to_string(path.join(name)).unwrap();
    assert_eq!((read("who").trim(), read("to").trim()), (&*user, &*user));
    let letter = read("letter");
    assert!(letter.starts_with("Return-Path: <a@b.test>\nReceived: "), "{letter}");
    assert!(letter.contains("\nSubject: x\n") && letter.ends_with("\n\nFrom me\n"), "{letter}");
    assert!(!path.join("wrote").exists(), "the cage keeps what is not the user's");
    send(port, "bad@x", &user);
    assert!(is_soon(|| log().contains("dsn=5.1.1, stat=User unknown")), "{}", log());
}

#[test]
fn a_program_without_the_flag_n_gets_the_line_that_the_configuration_names() {
    let folder = TempDir::new_in("/tmp").unwrap();
    let path = folder.path();
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    let cf = CF.replace("F=lsDFMAw5:/|@qPn", "F=lsDFMAw5:/|@qP");
    let server = serve_with(path, &format!("{cf}O UnixFromLine=From $g by $j, $i\n"));
    let log = || fs::read_to_string(path.join("log")).unwrap();
    send(server.port, "a@b.test", &somebody());
    assert!(is_soon(|| log().contains("stat=Sent")), "{}", log());
    let letter = fs::read_to_string(path.join("letter")).unwrap();
    assert!(letter.starts_with("From a@b.test by mail.example.test, 0"), "{letter}");
    assert!(letter.contains("\nReturn-Path: <a@b.test>\n"), "{letter}");
}
