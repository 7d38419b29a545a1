//! A long `:include:` list: accepted at once, followed in bounded memory, everybody on it gets it once.
//!
//! `LIST_MEMBERS=100000 cargo test --release -p ironpost --test list -- --nocapture` measures what the issue of local
//! delivery asks for.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may stop and tell"
)]

#[path = "running/port.rs"]
mod port;
#[path = "running/server.rs"]
mod server;

use server::Server;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Members, if nobody says how many: enough for several parts.
const MEMBERS: usize = 3000;

/// Waiting for longer would hide a fault.
const PATIENCE: Duration = Duration::from_mins(4);

/// The most memory that a process may have had.
const MEMORY_KIB_MAX: u64 = 100 * 1024;

const CF: &str = "V10/Berkeley
Djmail.example.test
O OperatorChars=.:%@!^/[]+
O AliasFile=DIR/aliases
O ForwardPath=
O DontBlameSendmail=TrustStickyBit,IncludeFileInUnsafeDirPath,GroupWritableIncludeFile
S3
R<$*>\t$1
S0
R:include:$*\t$#local $: :include:$1
R$-\t$#local $: $1
R$-@mail.example.test\t$#local $: $1
R$-@$+\t$#esmtp $@ [127.0.0.1] $: $1@$2
Mlocal, P=/bin/false, F=lsDFMA5:/|@qPn, A=false
Mesmtp, P=[IPC], F=mDFMuXa, r=100, A=TCP $h PORT
Mprog, P=/bin/false, F=lsDFMoqeu9, A=false
";

/// How often each recipient got a message.
type Told = Arc<Mutex<HashMap<String, usize>>>;

/// The next host: takes everything, notes who got it.
fn sink(listener: &TcpListener, told: &Told) {
    for stream in listener.incoming() {
        let told = Arc::clone(told);
        let stream = stream.unwrap();
        // A client that goes in the middle has said nothing.
        std::thread::spawn(move || drop(talk(stream, &told)));
    }
}

fn talk(stream: TcpStream, told: &Told) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let mut out = stream;
    out.write_all(b"220 sink\r\n")?;
    let mut recipients: Vec<String> = Vec::new();
    while let Some(line) = lines.next() {
        let line = line?;
        let reply: &[u8] = match line.get(..4).unwrap_or_default().to_ascii_uppercase().as_str() {
            "EHLO" => b"250-sink\r\n250 PIPELINING\r\n",
            "RCPT" => {
                recipients.push(line);
                b"250 ok\r\n"
            }
            "DATA" => {
                out.write_all(b"354 go on\r\n")?;
                while lines.next().is_some_and(|line| line.is_ok_and(|line| line != ".")) {}
                let mut told = told.lock().unwrap();
                for one in recipients.drain(..) {
                    *told.entry(one).or_default() += 1;
                }
                b"250 ok\r\n"
            }
            "QUIT" => return out.write_all(b"221 bye\r\n"),
            _ => b"250 ok\r\n",
        };
        out.write_all(reply)?;
    }
    Ok(())
}

/// A message to the list; gives how long its acceptance took.
fn send(port: u16) -> Duration {
    let mut talk = BufReader::new(TcpStream::connect(("127.0.0.1", port)).unwrap());
    let rcpt = "RCPT TO:<all@mail.example.test>\r\n";
    let from = "MAIL FROM:<sender@mail.example.test>\r\n";
    let began = Instant::now();
    for said in ["", "HELO x\r\n", from, rcpt, "DATA\r\n", "Subject: x\r\n\r\nhello\r\n.\r\n"] {
        talk.get_mut().write_all(said.as_bytes()).unwrap();
        let mut line = String::new();
        talk.read_line(&mut line).unwrap();
        assert!(line.starts_with(['2', '3']), "{said} {line}");
    }
    began.elapsed()
}

/// The most memory that a process and its children had, the largest first.
fn memory(parent: u32) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        // A process may end while it is looked at.
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else { continue };
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1).map(str::to_owned)
        };
        let is_ours = field("PPid:") == Some(parent.to_string());
        if let (true, Some(Ok(peak)), Some(name)) =
            (is_ours, field("VmHWM:").map(|kib| kib.parse()), field("Name:"))
        {
            found.push((peak, name));
        }
    }
    found.sort_unstable_by(|one, other| other.cmp(one));
    found
}

fn write_files(path: &Path, members: usize, sink_port: u16) {
    let mut list = String::new();
    for number in 0..members {
        writeln!(list, "user{number}@far{}.test", number % 97).unwrap();
        if number % 10 == 0 {
            writeln!(list, "user{number}@far{}.test (again)", number % 97).unwrap();
        }
    }
    let place = path.to_str().unwrap();
    fs::write(path.join("list"), list).unwrap();
    fs::write(path.join("aliases"), format!("all: :include:{place}/list\n")).unwrap();
    let cf = CF.replace("DIR", place).replace("PORT", &sink_port.to_string());
    fs::write(path.join("sendmail.cf"), cf).unwrap();
}

#[test]
fn everybody_on_a_long_list_gets_it_once() {
    let members = std::env::var("LIST_MEMBERS").map_or(MEMBERS, |number| number.parse().unwrap());
    let told: Told = Told::default();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let sink_port = listener.local_addr().unwrap().port();
    std::thread::spawn({
        let told = Arc::clone(&told);
        move || sink(&listener, &told)
    });
    let folder = TempDir::new_in("/tmp").unwrap();
    let path = folder.path();
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    write_files(path, members, sink_port);
    let server = Server::start(path);
    let accepted = send(server.port);
    let began = Instant::now();
    while told.lock().unwrap().len() < members {
        let log = || fs::read_to_string(path.join("log")).unwrap();
        let so_far = told.lock().unwrap().len();
        assert!(began.elapsed() < PATIENCE, "{so_far} of {members}: {:.3000}", log());
        std::thread::sleep(Duration::from_millis(20));
    }
    let took = began.elapsed();
    let peaks = memory(server.child.id());
    eprintln!("{members} members: accepted in {accepted:?}, delivered in {took:?}, KiB {peaks:?}");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(told.lock().unwrap().len(), members);
    assert!(told.lock().unwrap().values().all(|&times| times == 1), "somebody got it twice");
    assert!(accepted < Duration::from_secs(1), "{accepted:?}");
    assert!(peaks.iter().all(|&(peak, _)| peak < MEMORY_KIB_MAX), "{peaks:?}");
}
