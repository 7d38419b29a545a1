//! A server that is told what to do by a sendmail.cf.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop")]

#[path = "running/dialogue.rs"]
mod dialogue;
#[path = "running/port.rs"]
mod port;
#[path = "running/server.rs"]
mod server;

use dialogue::{say, session};
use server::Server;
use std::fs;
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ironpost");

/// No wait of these tests is longer.
const PATIENCE: Duration = Duration::from_secs(20);

const CF: &str = "V10/Berkeley
Djmail.example.test
C{Bad}spam.test
O OperatorChars=.:%@!^/[]+
O SmtpGreetingMessage=$j Rules; $b
Scheck_mail
R<$*@$={Bad}>\t$#error $@ 5.7.1 $: \"550 no mail from \" $2
Scheck_rcpt
R<$*@closed.test>\t$#error $@ 5.7.1 $: \"550 Relaying denied for \" $&f \" from \" $&{client_addr}
S3
R<$*>\t$1
S0
R$-\t$#local $: $1
R$-@$+\t$#esmtp $@ $2 $: $1@$2
Mlocal, P=[FILE], F=lsDFMAw5:/|@qSP, A=FILE /var/mail/$u
Mesmtp, P=[IPC], F=mDFMuXa, A=TCP $h
";

fn serve(folder: &Path) -> Server {
    serve_with(folder, CF)
}

fn serve_with(folder: &Path, cf: &str) -> Server {
    fs::write(folder.join("sendmail.cf"), cf).unwrap();
    Server::start(folder)
}

#[test]
fn a_server_answers_with_the_rule_sets_of_its_sendmail_cf() {
    let folder = TempDir::new_in("/tmp").unwrap();
    // Its roles are other users when we are root.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let server = serve(folder.path());
    let port = server.port;
    let mut session = session(port);
    let greeting = say(&mut session, "");
    assert!(greeting.starts_with("220 mail.example.test ESMTP Rules;"), "{greeting}");
    assert!(say(&mut session, "EHLO client.test").starts_with("250 "));
    assert_eq!(
        say(&mut session, "MAIL FROM:<a@spam.test>"),
        "550 5.7.1 <a@spam.test>... no mail from spam.test"
    );
    assert!(say(&mut session, "MAIL FROM:<a@b.test>").starts_with("250 2.1.0"));
    assert_eq!(
        say(&mut session, "RCPT TO:<u@closed.test>"),
        "550 5.7.1 <u@closed.test>... Relaying denied for a@b.test from 127.0.0.1"
    );
    assert!(say(&mut session, "RCPT TO:<u@open.test>").starts_with("250 2.1.5"));
    let unknown = say(&mut session, "RCPT TO:<no-such-user-here>");
    assert_eq!(unknown, "550 5.1.1 <no-such-user-here>... User unknown");
    drop(server);
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("ruleset=check_rcpt, arg1=<u@closed.test>, relay="), "{log}");
}

#[test]
fn a_wrong_sendmail_cf_is_no_server() {
    let folder = TempDir::new_in("/tmp").unwrap();
    let config = folder.path().join("sendmail.cf");
    fs::write(&config, "V10/Berkeley\nYodd\n").unwrap();
    let output = Command::new(PROGRAM)
        .args(["serve", "--config"])
        .arg(&config)
        .arg("--data")
        .arg(folder.path().join("data"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("line 2: unknown configuration line"), "{said}");
}

#[test]
fn a_table_older_than_its_text_is_named_in_the_log() {
    let folder = TempDir::new_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // Tables below a folder that all may write are not read.
    let tables = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::set_permissions(tables.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let text = tables.path().join("rooms");
    fs::write(&text, "one 1\n").unwrap();
    let options = folder.path().join("options.cf");
    fs::write(&options, CF).unwrap();
    let mut made = Command::new(PROGRAM)
        .arg0("makemap")
        .arg("-C")
        .arg(options)
        .arg("hash")
        .arg(&text)
        .stdin(fs::File::open(&text).unwrap())
        .spawn()
        .unwrap();
    assert!(made.wait().unwrap().success());
    let later = std::time::SystemTime::now() + Duration::from_mins(1);
    fs::File::options().append(true).open(&text).unwrap().set_modified(later).unwrap();
    let cf = format!("{CF}Krooms hash {}\n", text.display());
    let server = serve_with(folder.path(), &cf);
    let port = server.port;
    assert!(say(&mut session(port), "").starts_with("220 "));
    drop(server);
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    let wanted = format!("map {0}.db is older than {0}", text.display());
    assert_eq!(log.matches(&wanted).count(), 1, "{log}");
}

/// Rules that count, and the control socket.
fn counting(folder: &Path) -> String {
    let rules = "\
O ConnectionRateWindowSize=10m
Scheck_relay
R$*\t$: $&{client_rate} $| $&{client_connections}
R$* $| 4\t$#error $@ 4.3.2 $: \"421 too many at once\"
R9 $| $*\t$#error $@ 4.3.2 $: \"421 too often\"
";
    format!("{CF}O ControlSocketName={}\n{rules}", folder.join("smcontrol").display())
}

#[test]
fn connections_of_a_client_are_counted_over_all_processes() {
    let folder = TempDir::new_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let server = serve_with(folder.path(), &counting(folder.path()));
    let greeting = |session: &mut BufReader<TcpStream>| say(session, "");
    let mut open = Vec::new();
    let refused = loop {
        let mut next = session(server.port);
        let said = greeting(&mut next);
        if !said.starts_with("220 ") {
            break said;
        }
        open.push(next);
        assert!(open.len() < 4, "nobody counts");
    };
    assert_eq!(refused, "421 4.3.2 too many at once");
    // The start of the server tried the port, too.
    assert!((2..=3).contains(&open.len()));
    for mut session in open {
        assert!(say(&mut session, "QUIT").starts_with("221 "));
    }
    std::thread::sleep(Duration::from_millis(500));
    // They are counted no more once they are gone; the ninth in ten minutes is one too often.
    let said: Vec<String> = (0..8).map(|_| greeting(&mut session(server.port))).collect();
    assert!(said.first().unwrap().starts_with("220 "), "{said:?}");
    assert!(said.iter().any(|said| said == "421 4.3.2 too often"), "{said:?}");
}

fn command(folder: &Path, line: &str) -> String {
    use std::io::Read;
    let mut stream = std::os::unix::net::UnixStream::connect(folder.join("smcontrol")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_control_socket_tells_and_ends_the_server() {
    let folder = TempDir::new_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut server = serve_with(folder.path(), &counting(folder.path()));
    let socket = folder.path().join("smcontrol");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    // Who has a greeting has everybody ready.
    assert!(say(&mut session(server.port), "").starts_with("220 "));
    assert!(command(folder.path(), "help").starts_with("Help for smcontrol:\r\n"));
    let status = command(folder.path(), "STATUS");
    assert_eq!(status.lines().next().unwrap().split('/').count(), 4, "{status}");
    assert!(status.contains(" smtpd\r\n"), "{status}");
    let tagged = command(folder.path(), "mstat");
    assert!(tagged.starts_with("C:") && tagged.contains("\r\nP:"), "{tagged}");
    assert_eq!(command(folder.path(), "memdump"), "Memory dump unavailable.\r\n");
    assert_eq!(command(folder.path(), "zork"), "Bad command (zork)\r\n");
    assert_eq!(command(folder.path(), "restart"), "OK\r\n");
    assert!(say(&mut session(server.port), "").starts_with("220 "));
    let child = i32::try_from(server.child.id()).unwrap();
    let child = rustix::process::Pid::from_raw(child).unwrap();
    rustix::process::kill_process(child, rustix::process::Signal::USR1).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(command(folder.path(), "shutdown"), "OK\r\n");
    assert!(server.child.wait().unwrap().success());
    assert!(!socket.exists());
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("--- dumping state on user signal: $j = mail.example.test ---"), "{log}");
}

/// CVE-2001-0653: a category of `-d` beyond all numbers was an index below a table.
#[test]
fn a_debug_category_beyond_all_numbers_does_no_harm() {
    let folder = TempDir::new_in("/tmp").unwrap();
    let config = folder.path().join("sendmail.cf");
    fs::write(&config, CF).unwrap();
    for flag in ["-d4294967295-1.4294967295", "-d-1.5", "-d99999999999999999999.1,0-5.x", "-d.,,-"]
    {
        let mut command = Command::new(PROGRAM);
        command.arg0("sendmail").args([flag, "-bt", "-C"]).arg(&config);
        let output = command.stdin(std::process::Stdio::null()).output().unwrap();
        assert!(output.status.code().is_some(), "{flag}: {output:?}");
    }
}

#[test]
fn log_lines_of_a_sendmail_cf_are_json_where_that_is_asked_for() {
    let folder = TempDir::new_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.path().join("sendmail.cf"), CF).unwrap();
    let mut server = Server::start_with(folder.path(), &["--log-json"]);
    let mut client = session(server.port);
    assert!(say(&mut client, "").starts_with("220 "));
    assert!(say(&mut client, "EHLO client.test").starts_with("250 "));
    assert!(say(&mut client, "MAIL FROM:<\"a\\\"b\"@spam.test>").starts_with("550 "));
    assert!(say(&mut client, "QUIT").starts_with("221 "));
    let child = i32::try_from(server.child.id()).unwrap();
    let child = rustix::process::Pid::from_raw(child).unwrap();
    rustix::process::kill_process(child, rustix::process::Signal::TERM).unwrap();
    assert!(server.child.wait().unwrap().success());
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    let lines = log.lines().filter(|line| !line.starts_with("ironpost: "));
    let entries: Vec<serde_json::Value> =
        lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let refused = entries
        .iter()
        .find(|entry| entry["text"].as_str().unwrap().starts_with("ruleset=check_mail, arg1="));
    let refused = refused.unwrap();
    assert_eq!(refused["severity"], "notice");
    assert!(refused["text"].as_str().unwrap().contains("<\"a\\\\\"b\"@spam.test>"), "{refused}");
}
