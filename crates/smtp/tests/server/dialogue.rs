//! Runs `tests/dialogues/*.smtp` (see the README there): each at once, line by line, octet by octet.

use std::fs;
use std::path::PathBuf;

use policy::Settings;
use policy::settings::Network;
use smtp::server::{Input, Questions};

use crate::world::{World, settings};

/// One line of a dialogue that does something.
enum Act {
    Send(Vec<u8>),
    Timeout,
    Eof,
}

struct Dialogue {
    settings: Settings,
    questions: Questions,
    /// What the client does, and what is said until it does it.
    acts: Vec<(String, Act)>,
    /// What is said at the end.
    end: String,
    is_closed: bool,
    stored: Option<String>,
    events: Vec<String>,
}

fn read(text: &str) -> Dialogue {
    let mut dialogue = Dialogue {
        settings: settings(),
        questions: Questions::ENVELOPE,
        acts: vec![],
        end: String::new(),
        is_closed: false,
        stored: None,
        events: vec![],
    };
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (kind, rest) = line.split_at(line.len().min(2));
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        let act = match kind {
            "C:" => Act::Send([rest.as_bytes(), b"\r\n"].concat()),
            "R:" => Act::Send(unescape(rest)),
            "T:" => Act::Timeout,
            "E:" => Act::Eof,
            "S:" => {
                dialogue.end.extend([rest, "\r\n"]);
                continue;
            }
            "B:" => {
                dialogue.stored.get_or_insert_default().extend([rest, "\r\n"]);
                continue;
            }
            "L:" => {
                dialogue.events.push(rest.to_owned());
                continue;
            }
            "X:" => {
                dialogue.is_closed = true;
                continue;
            }
            "O:" => {
                option(&mut dialogue, rest);
                continue;
            }
            _ => panic!("what is {line:?}?"),
        };
        dialogue.acts.push((std::mem::take(&mut dialogue.end), act));
    }
    dialogue
}

fn option(dialogue: &mut Dialogue, text: &str) {
    let (name, value) = text.split_once(' ').unwrap_or((text, ""));
    let number = || value.parse::<u32>().unwrap();
    let limits = &mut dialogue.settings.limits;
    match name {
        "vrfy" => dialogue.settings.answers_vrfy = true,
        "no-dsn" => dialogue.settings.offers_dsn = false,
        "ask-all" => dialogue.questions = Questions::ALL,
        "submission" => dialogue.settings.listeners[0].is_submission = true,
        "recipients" => limits.recipients_max = number(),
        "size" => limits.message_bytes_max = number().into(),
        "header" => limits.header_bytes_max = number(),
        "hops" => limits.hops_max = number(),
        "bad-commands" => limits.bad_commands_max = number(),
        "bad-recipients" => limits.bad_recipients_max = number(),
        "normalize" => dialogue
            .settings
            .normalized_networks
            .push(Network { address: "192.0.2.0".parse().unwrap(), prefix_bits: 24 }),
        _ => panic!("what is {text:?}?"),
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = vec![];
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        if octet != b'\\' {
            out.push(octet);
            continue;
        }
        match octets.next().unwrap() {
            b'r' => out.push(b'\r'),
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'\\' => out.push(b'\\'),
            b'x' => {
                let digits = [octets.next().unwrap(), octets.next().unwrap()];
                out.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            }
            // `\*{N}{TEXT}` is N times TEXT.
            b'*' => {
                let rest: Vec<u8> = octets.by_ref().collect();
                let rest = String::from_utf8(rest).unwrap();
                let (count, rest) = rest.strip_prefix('{').unwrap().split_once("}{").unwrap();
                let (times, rest) = rest.split_once('}').unwrap();
                out.extend_from_slice(unescape(times).repeat(count.parse().unwrap()).as_slice());
                out.extend_from_slice(&unescape(rest));
                return out;
            }
            other => panic!("what is \\{}?", char::from(other)),
        }
    }
    out
}

/// How the client's octets are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    AtOnce,
    Lines,
    Octets,
}

fn play(dialogue: &Dialogue, cut: Cut, name: &str) {
    let mut world = World::new(dialogue.settings.clone(), dialogue.questions);
    let mut expected = String::new();
    let mut pending = vec![];
    for (said_before, act) in &dialogue.acts {
        expected.push_str(said_before);
        if cut != Cut::AtOnce {
            same(&world, &expected, name, cut);
        }
        match (act, cut) {
            (Act::Send(octets), Cut::AtOnce) => pending.extend_from_slice(octets),
            (Act::Send(octets), Cut::Lines) => world.send(octets),
            (Act::Send(octets), Cut::Octets) => {
                for &octet in octets {
                    world.send(&[octet]);
                }
            }
            (Act::Timeout | Act::Eof, _) => {
                world.send(&std::mem::take(&mut pending));
                let input = if matches!(act, Act::Eof) { Input::Eof } else { Input::Timeout };
                world.input(input);
            }
        }
    }
    world.send(&pending);
    expected.push_str(&dialogue.end);
    same(&world, &expected, name, cut);
    assert_eq!(world.is_closed, dialogue.is_closed, "{name} {cut:?}: closed");
    if let Some(stored) = &dialogue.stored {
        assert_eq!(&world.bodies().concat(), stored, "{name} {cut:?}: stored");
    }
    for event in &dialogue.events {
        let found = world.events.iter().any(|seen| format!("{seen:?}").starts_with(event));
        assert!(found, "{name} {cut:?}: no {event} in {:?}", world.events);
    }
}

fn same(world: &World, expected: &str, name: &str, cut: Cut) {
    let mut said = world.text();
    for (message, _) in &world.stored {
        said = said.replace(&message.id.to_string(), "QID");
    }
    let (mut said, mut expected) = (said.lines(), expected.lines());
    loop {
        match (said.next(), expected.next()) {
            (None, None) => return,
            (said, expected) => assert_eq!(said, expected, "{name} {cut:?}"),
        }
    }
}

#[test]
fn every_dialogue_goes_as_written_however_its_octets_are_cut() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/dialogues");
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "smtp") {
            let dialogue = read(&fs::read_to_string(&path).unwrap());
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            for cut in [Cut::Lines, Cut::Octets, Cut::AtOnce] {
                play(&dialogue, cut, &name);
            }
            count += 1;
        }
    }
    assert!(count >= 10, "only {count} dialogues in {}", folder.display());
}
