//! The programs that read sendmail's log read ours: fail2ban's stock filters and logwatch's report, as Debian packages them.
//!
//! Where they are not installed there is nothing to compare with, and the tests say so; `.ci/run` installs them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test may stop")]

#[path = "running/port.rs"]
mod port;

use port::free_port;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ironpost");

/// No wait of these tests is longer.
const PATIENCE: Duration = Duration::from_secs(20);

const CF: &str = "V10/Berkeley
Djmail.example.test
O OperatorChars=.:%@!^/[]+
O PrivacyOptions=noexpn,novrfy
O LogLevel=9
Scheck_rcpt
R<$*@closed.test>\t$#error $@ 5.7.1 $: \"550 Relaying denied. IP name lookup failed [\" $&{client_addr} \"]\"
S3
R<$*>\t$1
S0
R$-\t$#local $: $1
R$-@$+\t$#esmtp $@ $2 $: $1@$2
Mlocal, P=[FILE], F=lsDFMAw5:/|@qSP, A=FILE /var/mail/$u
Mesmtp, P=[IPC], F=mDFMuXa, A=TCP $h
";

const STRANGERS: [&[&str]; 3] = [
    &["EHLO x.test", "MAIL FROM:<a@b.test>", "RCPT TO:<u@closed.test>", "QUIT"],
    &["HELO x.test", "EXPN all", "VRFY root", "QUIT"],
    &["HELO x.test", "QUIT"],
];

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The log of a server that strangers visited, in the form that a syslog daemon writes.
fn visited() -> String {
    let folder = TempDir::new_in("/tmp").unwrap();
    // Its roles are other users when we are root.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let port = free_port();
    let config = folder.path().join("sendmail.cf");
    fs::write(&config, CF).unwrap();
    let child = Command::new(PROGRAM)
        .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--config"])
        .arg(config)
        .arg("--data")
        .arg(folder.path().join("data"))
        .stdout(fs::File::create(folder.path().join("log")).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _server = Server(child);
    for lines in STRANGERS {
        talk(port, lines);
    }
    let since = Instant::now();
    loop {
        let log = fs::read_to_string(folder.path().join("log")).unwrap();
        // The last stranger's last line.
        if log.matches("did not issue").count() == 1 {
            return log.lines().filter_map(as_syslog).fold(String::new(), |mut all, line| {
                writeln!(all, "{line}").unwrap();
                all
            });
        }
        assert!(since.elapsed() < PATIENCE, "{log}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn talk(port: u16, lines: &[&str]) {
    let since = Instant::now();
    let stream = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => break stream,
            Err(error) => assert!(since.elapsed() < PATIENCE, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = BufReader::new(stream);
    let reply = |stream: &mut BufReader<TcpStream>| {
        let mut line = String::from("   -");
        while line.as_bytes().get(3) == Some(&b'-') {
            line.clear();
            assert!(stream.read_line(&mut line).unwrap() > 0, "the server closed");
        }
    };
    reply(&mut stream);
    for line in lines {
        stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
        reply(&mut stream);
    }
}

/// `2026-11-21T11:38:04Z sm-mta[7]: TEXT` as `Nov 21 11:38:04 mail sm-mta[7]: TEXT` (RFC 3164).
fn as_syslog(line: &str) -> Option<String> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (stamp, rest) = line.split_once("Z ")?;
    let (date, time) = stamp.split_once('T')?;
    let mut parts = date.split('-').skip(1);
    let month = MONTHS.get(parts.next()?.parse::<usize>().ok()?.checked_sub(1)?)?;
    let day: u8 = parts.next()?.parse().ok()?;
    Some(format!("{month} {day:>2} {time} mail {rest}"))
}

fn is_installed(path: &str) -> bool {
    let there = Path::new(path).exists();
    if !there {
        eprintln!("{path} is not installed: there is nothing to compare with");
    }
    there
}

#[test]
fn stock_filters_of_fail2ban_find_who_probes() {
    if !is_installed("/usr/bin/fail2ban-regex") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("mail.log");
    let log = visited();
    fs::write(&file, &log).unwrap();
    let output = Command::new("/usr/bin/fail2ban-regex")
        .arg(&file)
        .arg("/etc/fail2ban/filter.d/sendmail-reject.conf[mode=extra]")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // A refused recipient, EXPN, VRFY, and who said nothing.
    assert!(said.contains("Failregex: 4 total"), "{said}\n{log}");
}

#[test]
fn the_report_of_logwatch_names_who_was_refused() {
    if !is_installed("/usr/sbin/logwatch") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let log = visited();
    fs::write(folder.path().join("mail.log"), &log).unwrap();
    let output = Command::new("/usr/sbin/logwatch")
        .args(["--service", "sendmail", "--range", "all", "--detail", "10", "--logdir"])
        .arg(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("Sendmail was started 1 time(s)"), "{said}\n{log}");
    assert!(said.contains("Relaying denied") && said.contains("<u@closed.test>"), "{said}");
    assert!(!said.contains("Unmatched Entries"), "{said}");
}
