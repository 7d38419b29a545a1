//! `tests/dialogues/*.smtp`, which the pure session plays octet by octet, played against the running server: the same words.
//!
//! The client comes from an address of this machine that is not loopback, where there is one, because loopback may send to anywhere.

use crate::house::{House, Session, note};
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, Read, Write};
use std::net::{Ipv4Addr, Shutdown, UdpSocket};
use std::path::{Path, PathBuf};

/// Dialogues that need a policy that ironpost.toml can't describe.
const LEFT_OUT: [(&str, &str); 5] = [
    ("vrfy.smtp", "ironpost.toml knows no full names of users"),
    ("limits.smtp", "ironpost.toml takes no limits as low as its own (60 octets of header)"),
    ("mail-parameters.smtp", "ironpost.toml takes no limit of a message below 1024 octets"),
    ("ask-all.smtp", "ironpost.toml is asked nothing beside sender and recipients"),
    ("sequence.smtp", "ironpost.toml has no recipients that are refused for now (`later`)"),
];

/// What a client does, behind the lines that it waits for first.
enum Act {
    Send(Vec<u8>),
    Close,
}

#[derive(Default)]
struct Dialogue {
    acts: Vec<(Vec<String>, Act)>,
    end: Vec<String>,
    is_closed: bool,
    stored: Option<String>,
    /// Lines of ironpost.toml, those of tables last.
    top: String,
    privacy: String,
    limits: String,
    is_submission: bool,
}

fn read(text: &str, client: Ipv4Addr) -> Dialogue {
    let mut dialogue = Dialogue::default();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (kind, rest) = line.split_at(line.len().min(2));
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        let act = match kind {
            "C:" => Act::Send([rest.as_bytes(), b"\r\n"].concat()),
            "R:" => Act::Send(unescape(rest)),
            "E:" => Act::Close,
            "S:" => {
                // The names of clients are looked up by nobody here.
                let line = rest.replace(" client.test [", " [");
                dialogue.end.push(line.replace("192.0.2.10", &client.to_string()));
                continue;
            }
            "B:" => {
                dialogue.stored.get_or_insert_default().extend([rest, "\n"]);
                continue;
            }
            // What the session reports to its log is the pure test's affair.
            "L:" => continue,
            "X:" => {
                dialogue.is_closed = true;
                continue;
            }
            "O:" => {
                option(&mut dialogue, rest, client);
                continue;
            }
            _ => panic!("what is {line:?}?"),
        };
        dialogue.acts.push((std::mem::take(&mut dialogue.end), act));
    }
    dialogue
}

fn option(dialogue: &mut Dialogue, text: &str, client: Ipv4Addr) {
    let (name, value) = text.split_once(' ').unwrap_or((text, ""));
    let limit = match name {
        "vrfy" => return dialogue.privacy.push_str("vrfy = true\n"),
        "no-dsn" => return dialogue.privacy.push_str("dsn = false\n"),
        "submission" => return dialogue.is_submission = true,
        "normalize" => {
            return dialogue.top.extend(["normalize = [\"", &client.to_string(), "\"]\n"]);
        }
        "recipients" => "recipients_max",
        "size" => "message_bytes_max",
        "header" => "header_bytes_max",
        "hops" => "hops_max",
        "bad-commands" => "bad_commands_max",
        "bad-recipients" => "bad_recipients_max",
        _ => panic!("what is {text:?}?"),
    };
    dialogue.limits.extend([limit, " = ", value, "\n"]);
}

/// `\r \n \t \\ \xHH` are octets, `\*{N}{TEXT}` is N times TEXT.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = vec![];
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.extend_from_slice(plain.as_bytes());
        let (kind, behind) = escape.split_at(1);
        rest = behind;
        match kind {
            "r" => out.push(b'\r'),
            "n" => out.push(b'\n'),
            "t" => out.push(b'\t'),
            "\\" => out.push(b'\\'),
            "x" => {
                out.push(u8::from_str_radix(&behind[..2], 16).unwrap());
                rest = &behind[2..];
            }
            "*" => {
                let (count, behind) = behind.strip_prefix('{').unwrap().split_once("}{").unwrap();
                let (times, behind) = behind.split_once('}').unwrap();
                out.extend(unescape(times).repeat(count.parse().unwrap()));
                rest = behind;
            }
            other => panic!("what is \\{other}?"),
        }
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// Reads these lines, and no others; `QID` stands for any id.
fn hear(session: &mut Session, lines: &[String], name: &str) {
    for expected in lines {
        let mut said = Vec::new();
        session.input.read_until(b'\n', &mut said).unwrap_or_else(|_| panic!("{name}: {expected}"));
        let said = String::from_utf8_lossy(&said);
        let said = said.trim_end_matches(['\r', '\n']);
        let is_it = match expected.split_once("QID") {
            Some((before, behind)) => said.starts_with(before) && said.ends_with(behind),
            None => said == expected,
        };
        assert!(is_it, "{name}: wanted {expected:?}, heard {said:?}");
    }
}

/// One session. All at once: nothing is waited for before all is sent.
fn play(dialogue: &Dialogue, port: u16, client: Ipv4Addr, is_at_once: bool, name: &str) {
    let mut session = Session::open_from(port, client).unwrap();
    let mut late = Vec::new();
    for (said_before, act) in &dialogue.acts {
        if is_at_once {
            late.extend_from_slice(said_before);
        } else {
            hear(&mut session, said_before, name);
        }
        match act {
            // A server that has closed takes no more.
            Act::Send(octets) => drop(session.stream.write_all(octets)),
            Act::Close => drop(session.stream.shutdown(Shutdown::Write)),
        }
    }
    late.extend_from_slice(&dialogue.end);
    hear(&mut session, &late, name);
    let mut rest = Vec::new();
    if dialogue.is_closed {
        // Octets that were not read are answered with a reset.
        drop(session.input.read_to_end(&mut rest));
    } else {
        let soon = Some(std::time::Duration::from_millis(50));
        session.stream.set_read_timeout(soon).unwrap();
        let error = session.input.read_to_end(&mut rest).map_err(|error| error.kind());
        assert_eq!(error, Err(std::io::ErrorKind::WouldBlock), "{name}: closed");
    }
    assert_eq!(String::from_utf8_lossy(&rest), "", "{name}");
}

/// The texts in all mailboxes without what we put before them, each once.
fn delivered(house: &House) -> BTreeSet<String> {
    let mut texts = BTreeSet::new();
    for mailbox in crate::house::list(&house.data().join("mail")) {
        for letter in crate::house::list(&mailbox.join("new")) {
            let text = String::from_utf8_lossy(&fs::read(letter).unwrap()).into_owned();
            let mut lines = text.split_inclusive('\n').peekable();
            assert!(lines.next().unwrap().starts_with("Return-Path: <"), "{text}");
            while lines.next_if(|line| line.starts_with("Delivered-To: ")).is_some() {}
            assert!(lines.next().unwrap().starts_with("Received: "), "{text}");
            while lines.next_if(|line| line.starts_with('\t')).is_some() {}
            texts.insert(without_date(&lines.collect::<String>()));
        }
    }
    texts
}

/// The date that is added to a submission is another one each time.
fn without_date(text: &str) -> String {
    let is_date = |line: &&str| line.starts_with("Date: ");
    text.split_inclusive('\n').filter(|line| !is_date(line)).collect()
}

fn run(path: &Path, client: Ipv4Addr, name: &str) {
    let text = fs::read_to_string(path).unwrap();
    let dialogue = read(&text, client);
    // Where some names are unknown, those that are known are users of the system, who are not there.
    let has_mailboxes = !text.contains("User unknown");
    let users = if has_mailboxes { "\"any\"" } else { "[\"alice\", \"bob\", \"carol\"]" };
    let mut house = House::empty();
    let mail = house.data().join("mail").display().to_string();
    house.listen =
        format!("{{ address = \"0.0.0.0:PORT\", submission = {} }}", dialogue.is_submission);
    house.configure(&format!(
        "greeting = \"Ironpost\"\nlocal_domains = [\"example.test\"]\ndelivery = \"maildir\"\n\
         local_users = {users}\nmailbox = \"{mail}\"\nsmart_host = \"192.0.2.1\"\n\
         {}[privacy]\n{}[limits]\n{}",
        dialogue.top, dialogue.privacy, dialogue.limits
    ));
    house.start();
    play(&dialogue, house.port, client, false, &format!("{name}, line by line"));
    if let Some(stored) = dialogue.stored.as_deref().filter(|_| has_mailboxes) {
        let stored = &without_date(stored);
        // A mailbox ends a last line that has no end.
        let size = |text: &str| text.chars().filter(|&letter| letter != '\n').count();
        let all = || delivered(&house).iter().map(|text| size(text)).sum::<usize>();
        let since = std::time::Instant::now();
        while all() < size(stored) && since.elapsed() < crate::house::PATIENCE {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(all(), size(stored), "{name}: {:?}", delivered(&house));
        for text in delivered(&house) {
            assert!(stored.contains(text.trim_end()), "{name}: {text:?} is not in {stored:?}");
        }
    }
    play(&dialogue, house.port, client, true, &format!("{name}, all at once"));
}

/// An address of ours that is not loopback: what the kernel would send from. Nothing is sent.
fn own_address() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("198.51.100.1:9").ok()?;
    match socket.local_addr().ok()?.ip() {
        std::net::IpAddr::V4(address) if !address.is_loopback() => Some(address),
        std::net::IpAddr::V4(_) | std::net::IpAddr::V6(_) => None,
    }
}

#[test]
fn the_running_server_says_what_the_pure_session_says() {
    let own = own_address();
    let client = own.unwrap_or(Ipv4Addr::LOCALHOST);
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/dialogues");
    let mut count = 0;
    for path in crate::house::list(&folder) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.extension().is_none_or(|extension| extension != "smtp") {
            continue;
        }
        if let Some((name, why)) = LEFT_OUT.iter().find(|(left_out, _)| *left_out == name) {
            note(&format!("{name} is not played: {why}"));
            continue;
        }
        if own.is_none() && name == "session.smtp" {
            note("session.smtp is not played: this machine has no address beside loopback");
            continue;
        }
        run(&path, client, &name);
        count += 1;
    }
    assert!(count >= 13, "only {count} dialogues were played");
}
