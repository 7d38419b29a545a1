//! `sendmail -bd`: the caller goes on when the server serves, and hears of it when it can't.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop")]

#[path = "running/dialogue.rs"]
mod dialogue;
#[path = "running/port.rs"]
mod port;

use dialogue::{say, session};
use port::free_port;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ironpost");

/// A folder with a configuration whose server listens on this port of any address.
fn folder(port: u16) -> TempDir {
    let folder = TempDir::new_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let here = folder.path().display();
    let cf = format!(
        "V10/Berkeley\nDjmail.example.test\nO QueueDirectory={here}/queue\nO PidFile={here}/pid\n\
         O DaemonPortOptions=Port={port}\nO SmtpGreetingMessage=$j ready; $b\nS3\nR<$*>\\t$1\nS0\n\
         R$-\\t$#local $: $1\nMlocal, P=[FILE], F=lsDFMAw5:/|@qSP, A=FILE {here}/$u\n"
    );
    fs::write(folder.path().join("sendmail.cf"), cf.replace("\\t", "\t")).unwrap();
    fs::create_dir(folder.path().join("queue")).unwrap();
    folder
}

/// Runs `sendmail` to its end; as root where it has a `/run` of its own.
fn sendmail(mode: &str, config: &Path) -> Output {
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("unshare");
        // The program is called by its other name, as a link would.
        let shell = "mount -t tmpfs none /run && exec bash -c 'exec -a sendmail \"$@\"' - \"$@\"";
        command.args(["--mount", "sh", "-c", shell, "-"]).arg(PROGRAM);
        command
    } else {
        let mut command = Command::new(PROGRAM);
        command.arg0("sendmail");
        command
    };
    command.args([OsStr::new(mode), OsStr::new("-C")]).arg(config).output().unwrap()
}

/// Ends the server that wrote its process id there.
fn end(pid_file: &Path) {
    let text = fs::read_to_string(pid_file).unwrap();
    let pid = text.lines().next().unwrap().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let since = Instant::now();
    while pid_file.exists() {
        assert!(since.elapsed() < Duration::from_secs(20), "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_caller_of_bd_goes_on_when_the_server_serves() {
    let port = free_port();
    let folder = folder(port);
    // Its output is read to its end: a server that held it would keep us here.
    let output = sendmail("-bd", &folder.path().join("sendmail.cf"));
    assert!(output.status.success(), "{output:?}");
    let stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let greeting = say(&mut std::io::BufReader::new(stream), "");
    assert!(greeting.starts_with("220 mail.example.test ESMTP ready;"), "{greeting}");
    let pid = fs::read_to_string(folder.path().join("pid")).unwrap();
    assert!(pid.lines().nth(1).unwrap().contains(" -bd -C "), "{pid}");
    end(&folder.path().join("pid"));
}

#[test]
fn a_server_that_can_not_start_tells_the_caller_why() {
    let taken = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let folder = folder(taken.local_addr().unwrap().port());
    let output = sendmail("-bd", &folder.path().join("sendmail.cf"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(71), "{said}");
    assert!(said.contains("cannot listen on"), "{said}");
}

#[test]
fn bl_leaves_the_port_to_clients_of_this_host() {
    let port = free_port();
    let folder = folder(port);
    let output = sendmail("-bl", &folder.path().join("sendmail.cf"));
    assert!(output.status.success(), "{output:?}");
    assert!(say(&mut session(port), "").starts_with("220 "));
    // Any other address of this host is free.
    drop(std::net::TcpListener::bind(("127.0.0.2", port)).unwrap());
    end(&folder.path().join("pid"));
}
