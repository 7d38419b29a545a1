//! Hands letters over: by SMTP in four connections, and one after the other to `sendmail`.

use crate::letters::Letter;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const CONNECTIONS: usize = 4;

/// An answer that takes longer would hide a fault.
const PATIENCE: Duration = Duration::from_mins(2);

/// Gives back when all were accepted.
pub(crate) fn all(room: &Path, port: u16, letters: &[Letter]) {
    std::thread::scope(|scope| {
        for turn in 0..CONNECTIONS {
            let mine: Vec<&Letter> = letters
                .iter()
                .filter(|letter| !letter.by_command && letter.number % CONNECTIONS == turn)
                .collect();
            scope.spawn(move || by_smtp(port, &mine));
        }
        for letter in letters.iter().filter(|letter| letter.by_command) {
            by_command(room, letter);
        }
    });
}

fn by_smtp(port: u16, letters: &[&Letter]) {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = BufReader::new(stream);
    say(&mut stream, b"", "the greeting");
    say(&mut stream, b"EHLO client.example.org\r\n", "EHLO");
    for letter in letters {
        let body = if letter.is_8bit { " BODY=8BITMIME" } else { "" };
        say(&mut stream, format!("MAIL FROM:<sender@sender.test>{body}\r\n").as_bytes(), "MAIL");
        for user in &letter.users {
            say(&mut stream, format!("RCPT TO:<u{user}@example.test>\r\n").as_bytes(), "RCPT");
        }
        say(&mut stream, b"DATA\r\n", "DATA");
        say(&mut stream, &on_the_wire(letter), "the dot");
    }
    say(&mut stream, b"QUIT\r\n", "QUIT");
}

/// CR LF, dots doubled, the last dot (RFC 5321, 4.5.2).
fn on_the_wire(letter: &Letter) -> Vec<u8> {
    let text = [&letter.header, letter.gap, &letter.body()].concat();
    let mut wire = Vec::with_capacity(text.len() + text.len() / 8);
    for line in text.split_inclusive(|&octet| octet == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(&line[..line.len() - 1]);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b".\r\n");
    wire
}

/// Says it and reads a reply, which must be a good one.
fn say(stream: &mut BufReader<TcpStream>, words: &[u8], what: &str) {
    stream.get_mut().write_all(words).unwrap();
    let mut line = String::from("   -");
    while line.as_bytes().get(3) == Some(&b'-') {
        line.clear();
        stream.read_line(&mut line).unwrap();
    }
    assert!(line.starts_with(['2', '3']), "{what}: {line}");
}

/// One job that delivers before it ends; the last line has no end, if that can be.
fn by_command(room: &Path, letter: &Letter) {
    let program = room.join("sendmail");
    if !program.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ironpost"), &program).unwrap();
    }
    let mut command = Command::new(program);
    command.args(["-odi", "-i", "-f", "sender@sender.test", "-C"]).arg(room.join("sendmail.cf"));
    let mut child = command
        .args(letter.users.iter().map(|user| format!("u{user}@example.test")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let text = [&letter.header, letter.gap, &letter.body()].concat();
    // An empty last line is nothing but its end.
    let text = if text.ends_with(b"\n\n") { &text[..] } else { &text[..text.len() - 1] };
    child.stdin.take().unwrap().write_all(text).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "letter {}: {output:?}", letter.number);
}
