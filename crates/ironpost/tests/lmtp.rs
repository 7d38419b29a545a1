//! Local delivery by LMTP through the real processes, over TCP and over a Unix socket.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]

#[path = "running/port.rs"]
mod port;
#[path = "running/soon.rs"]
mod soon;

use port::free_port;
use soon::is_soon;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tempfile::TempDir;

/// A server that is ended with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// An LMTP server for one connection: takes everybody but `full`, whose mailbox is full, and `nobody`. Gives the
/// recipients and the message.
fn sink(stream: impl Read + Write) -> (Vec<String>, String) {
    let mut stream = BufReader::new(stream);
    let (mut recipients, mut message) = (Vec::new(), String::new());
    stream.get_mut().write_all(b"220 sink LMTP\r\n").unwrap();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).unwrap_or(0) == 0 {
            return (recipients, message);
        }
        let word = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let answer = match &*word {
            "LHLO" => "250-sink\r\n250-PIPELINING\r\n250 ENHANCEDSTATUSCODES".to_owned(),
            "RCPT" if line.contains("nobody") => "550 5.1.1 no such mailbox".to_owned(),
            "RCPT" => {
                recipients.push(line.trim().to_owned());
                "250 2.1.5 ok".to_owned()
            }
            "DATA" => {
                stream.get_mut().write_all(b"354 go\r\n").unwrap();
                loop {
                    let mut line = String::new();
                    stream.read_line(&mut line).unwrap();
                    if line == ".\r\n" {
                        break;
                    }
                    message.push_str(&line);
                }
                let answers = recipients.iter().map(|one| {
                    if one.contains("full") { "452 4.2.2 full" } else { "250 2.0.0 stored" }
                });
                answers.collect::<Vec<_>>().join("\r\n")
            }
            "QUIT" => return (recipients, message),
            _ => "250 2.0.0 ok".to_owned(),
        };
        stream.get_mut().write_all(format!("{answer}\r\n").as_bytes()).unwrap();
    }
}

/// Starts a server whose local mail goes to `place`, and sends it a letter to four names.
fn send_through(folder: &Path, place: &str) -> Server {
    let port = free_port();
    let data = folder.join("data");
    let text = format!(
        "host_name = \"here.example\"\nlisten = [\"127.0.0.1:{port}\"]\nlocal_domains = [\"here.example\"]\n\
         local_users = \"any\"\ndelivery = {{ lmtp = \"{place}\" }}\n"
    );
    let file = folder.join("ironpost.toml");
    fs::write(&file, text).unwrap();
    let log = fs::File::create(folder.join("log")).unwrap();
    let server = Command::new(env!("CARGO_BIN_EXE_ironpost"))
        .args(["serve", "--config"])
        .arg(&file)
        .arg("--data")
        .arg(&data)
        .stdout(log.try_clone().unwrap())
        .stderr(Stdio::from(log))
        .spawn()
        .unwrap();
    let server = Server(server);
    assert!(is_soon(|| TcpStream::connect(("127.0.0.1", port)).is_ok()), "no greeting");
    let mut talk = BufReader::new(TcpStream::connect(("127.0.0.1", port)).unwrap());
    for said in [
        "",
        "HELO x.example\r\n",
        "MAIL FROM:<>\r\n",
        "RCPT TO:<anna@here.example>\r\n",
        "RCPT TO:<full@here.example>\r\n",
        "RCPT TO:<nobody@here.example>\r\n",
        "RCPT TO:<otto@here.example>\r\n",
        "DATA\r\n",
        "Subject: x\r\n\r\n..dot\r\n.\r\n",
    ] {
        talk.get_mut().write_all(said.as_bytes()).unwrap();
        let mut line = String::new();
        talk.read_line(&mut line).unwrap();
        assert!(line.starts_with(['2', '3']), "{said} {line}");
    }
    server
}

/// What the sink saw and what the log says.
fn check(folder: &Path, seen: &Receiver<(Vec<String>, String)>, relay: &str) {
    let line = |name: &str| {
        let log = fs::read_to_string(folder.join("log")).unwrap();
        let to = format!("<{name}@here.example>");
        log.lines().find(|line| line.contains(&to) && line.contains(" to=")).map(str::to_owned)
    };
    assert!(is_soon(|| ["anna", "full", "nobody", "otto"].iter().all(|name| line(name).is_some())));
    for (name, end) in [
        ("anna", "dsn=2.0.0, stat=Sent"),
        ("otto", "dsn=2.0.0, stat=Sent"),
        ("full", "dsn=4.2.2, reply=452 4.2.2 full, stat=Deferred: 452 4.2.2 full"),
        ("nobody", "dsn=5.1.1, reply=550 5.1.1 no such mailbox, stat=User unknown"),
    ] {
        let line = line(name).unwrap();
        assert!(line.ends_with(&format!("relay={relay}, {end}")), "{line}");
    }
    let (recipients, message) = seen.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(recipients, ["RCPT To:<anna>", "RCPT To:<full>", "RCPT To:<otto>"]);
    assert!(message.ends_with("Subject: x\r\n\r\n..dot\r\n"), "{message}");
}

fn folder() -> TempDir {
    let folder = TempDir::new_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

#[test]
fn a_letter_is_delivered_by_lmtp_over_tcp_with_an_answer_a_recipient() {
    let folder = folder();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let (sender, seen) = channel();
    std::thread::spawn(move || sender.send(sink(listener.accept().unwrap().0)));
    let _server = send_through(folder.path(), &place);
    check(folder.path(), &seen, "[127.0.0.1] [127.0.0.1]");
}

#[test]
fn a_letter_is_delivered_by_lmtp_over_a_unix_socket_that_master_opens() {
    let folder = folder();
    let path = folder.path().join("lmtp");
    let listener = UnixListener::bind(&path).unwrap();
    let (sender, seen) = channel();
    std::thread::spawn(move || sender.send(sink(listener.accept().unwrap().0)));
    let _server = send_through(folder.path(), &format!("unix:{}", path.display()));
    check(folder.path(), &seen, "localhost");
}
