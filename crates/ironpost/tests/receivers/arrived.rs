//! What lies in the Maildirs of the receiver, and whether it is what was sent.

use crate::letters::Letter;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// So long without a letter: nothing more comes.
const SILENCE: Duration = Duration::from_mins(1);

/// Octets of a log that are shown.
const LOG_SHOWN: usize = 6000;

/// Waits until that many letters have arrived, or none for a while; gives how many there are.
pub(crate) fn wait(room: &Path, wanted: usize) -> usize {
    let (mut count, mut since) = (0, Instant::now());
    while since.elapsed() < SILENCE {
        let now = files(room).len();
        if now >= wanted {
            return now;
        }
        if now > count {
            (count, since) = (now, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    count
}

/// Each letter is with each of its recipients once, its body octet for octet, in seven bits if only these may pass; nothing
/// else is there.
pub(crate) fn compare(room: &Path, letters: &[Letter], is_7bit: bool) {
    let mut faults = Vec::new();
    let mut times: HashMap<(usize, usize), usize> = HashMap::new();
    for (user, path) in files(room) {
        let text = fs::read(&path).unwrap();
        let (header, body) = parts(&text);
        let number = field(header, "X-Number").and_then(|text| text.parse::<usize>().ok());
        let Some(letter) = number.and_then(|number| letters.get(number)) else {
            faults.push(format!("{user} has what nobody sent: {}", String::from_utf8_lossy(&text)));
            continue;
        };
        *times.entry((letter.number, user)).or_default() += 1;
        if is_7bit && !text.is_ascii() {
            faults.push(format!("letter {} came with eight bits", letter.number));
        }
        let body = decoded(field(header, "Content-Transfer-Encoding").as_deref(), body);
        if body != letter.body() {
            faults.push(format!("letter {} of u{user}: {}", letter.number, differ(&body, letter)));
        }
    }
    for letter in letters {
        for &user in &letter.users {
            let times = times.remove(&(letter.number, user)).unwrap_or(0);
            if times != 1 {
                faults.push(format!("letter {} is {times} times with u{user}", letter.number));
            }
        }
    }
    faults.extend(times.keys().map(|key| format!("not meant for them (letter, user): {key:?}")));
    let count = faults.len();
    faults.truncate(20);
    assert!(count == 0, "{count} faults: {}\n{}", faults.join("\n"), logs(room));
}

/// The ends of all logs, and what waits.
pub(crate) fn logs(room: &Path) -> String {
    let mut all = String::new();
    let names = ["log", "receiver.log", "var/log/mail.log", "var/log/exim4/mainlog"];
    for name in names {
        if let Ok(text) = fs::read(room.join(name)) {
            let end = &text[text.len().saturating_sub(LOG_SHOWN)..];
            writeln!(all, "== {name}\n{}", String::from_utf8_lossy(end)).unwrap();
        }
    }
    // What commands could not deliver waits in a queue of their own.
    let mut mailq = Command::new(room.join("sendmail"));
    if let Ok(said) = mailq.arg("-bp").arg("-C").arg(room.join("sendmail.cf")).output() {
        all.push_str(&String::from_utf8_lossy(&said.stdout[..said.stdout.len().min(LOG_SHOWN)]));
    }
    all
}

/// Every letter that arrived, with the number of the user who has it.
fn files(room: &Path) -> Vec<(usize, PathBuf)> {
    let mut found = Vec::new();
    for home in fs::read_dir(room.join("home")).unwrap().flatten() {
        let user = home.file_name().to_str().and_then(|name| name.strip_prefix('u')?.parse().ok());
        for part in ["new", "cur"] {
            let folder = home.path().join("Maildir").join(part);
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            found.extend(entries.filter_map(|entry| Some((user?, entry.path()))));
        }
    }
    found
}

/// Header and body; a letter may end with its header.
fn parts(text: &[u8]) -> (&[u8], &[u8]) {
    match text.windows(2).position(|pair| pair == b"\n\n") {
        Some(end) => (&text[..end], &text[end + 2..]),
        None => (text, b""),
    }
}

fn field(header: &[u8], name: &str) -> Option<String> {
    let header = String::from_utf8_lossy(header);
    header.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_ascii_lowercase())
    })
}

/// The octets that an encoding stands for (RFC 2045, 6), with LF.
fn decoded(encoding: Option<&str>, body: &[u8]) -> Vec<u8> {
    match encoding {
        Some("quoted-printable") => from_quoted_printable(body),
        Some("base64") => without_cr(&from_base64(body)),
        _ => body.to_vec(),
    }
}

fn from_quoted_printable(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    for line in body.split_inclusive(|&octet| octet == b'\n') {
        // A line that ends with `=` goes on in the next.
        let mut rest = line.strip_suffix(b"=\n").unwrap_or(line);
        while let Some((&octet, after)) = rest.split_first() {
            let hex = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
            let value = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
            if let (b'=', Some(value)) = (octet, value) {
                out.push(value);
                rest = &after[2..];
            } else {
                out.push(octet);
                rest = after;
            }
        }
    }
    out
}

fn from_base64(body: &[u8]) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::with_capacity(body.len());
    let (mut bits, mut held) = (0_u32, 0_u32);
    for octet in body {
        let Some(value) = LETTERS.iter().position(|letter| letter == octet) else { continue };
        bits = (bits << 6 | u32::try_from(value).unwrap()) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from(bits >> held & 0xff).unwrap());
        }
    }
    out
}

/// CR LF as LF; a CR that stands alone stays.
fn without_cr(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|&octet| octet == b'\n') {
        match line.strip_suffix(b"\r\n") {
            Some(line) => {
                out.extend_from_slice(line);
                out.push(b'\n');
            }
            None => out.extend_from_slice(line),
        }
    }
    out
}

/// Where two bodies part.
fn differ(body: &[u8], letter: &Letter) -> String {
    let sent = letter.body();
    let at = body.iter().zip(&sent).take_while(|(one, other)| one == other).count();
    let around = |text: &[u8]| {
        let from = at.saturating_sub(30).min(text.len());
        text[from..text.len().min(at + 40)].escape_ascii().to_string()
    };
    format!(
        "{} octets for {}, from {at} on: got …{}…, sent …{}…",
        body.len(),
        sent.len(),
        around(body),
        around(&sent)
    )
}
