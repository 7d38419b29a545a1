//! Against a responder of our own, which knows a handful of entries and three ways to be ill.

use super::*;
use ber::{ENUMERATED, INTEGER, OCTETS, SEQUENCE, put};
use std::io::Write;
use std::net::{TcpListener, TcpStream};

/// One entry of the directory: what a question must hold, and attributes with values.
type Known = (&'static [u8], &'static [(&'static str, &'static [&'static str])]);

const PEOPLE: [Known; 4] = [
    (b"jane", &[("mail", &["jane@hub.test"]), ("uid", &["jane"])]),
    (b"twins", &[("mail", &["castor@hub.test", "pollux@hub.test"])]),
    (b"staff", &[("objectClass", &["list"]), ("member", &["cn=jane,o=x", "cn=staff,o=x"])]),
    (b"cn=jane,o=x", &[("mail", &["jane@hub.test"])]),
];

fn has(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The whole question that stands next in the stream.
fn question(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let mut octet = [0];
    loop {
        stream.read_exact(&mut octet).ok()?;
        text.push(octet[0]);
        let mut rest = text.as_slice();
        if let Some((_, content)) = ber::take(&mut rest) {
            return Some(content.to_vec());
        }
    }
}

fn reply(stream: &mut TcpStream, number: &[u8], tag: u8, content: &[u8]) {
    let (mut operation, mut message) = (Vec::new(), Vec::new());
    put(&mut operation, INTEGER, number);
    put(&mut operation, tag, content);
    put(&mut message, SEQUENCE, &operation);
    stream.write_all(&message).unwrap();
}

fn done(code: u8) -> Vec<u8> {
    let mut content = Vec::new();
    put(&mut content, ENUMERATED, &[code]);
    put(&mut content, OCTETS, b"");
    put(&mut content, OCTETS, b"");
    content
}

fn entry(attributes: &[(&str, &[&str])]) -> Vec<u8> {
    let mut list = Vec::new();
    for (name, values) in attributes {
        let (mut attribute, mut set) = (Vec::new(), Vec::new());
        for value in *values {
            put(&mut set, OCTETS, value.as_bytes());
        }
        put(&mut attribute, OCTETS, name.as_bytes());
        put(&mut attribute, 0x31, &set);
        put(&mut list, SEQUENCE, &attribute);
    }
    let mut content = Vec::new();
    put(&mut content, OCTETS, b"cn=x");
    put(&mut content, SEQUENCE, &list);
    content
}

/// Answers one connection until it ends.
fn answer(mut stream: TcpStream) {
    while let Some(text) = question(&mut stream) {
        let mut rest = text.as_slice();
        let number = ber::expect(&mut rest, INTEGER).unwrap().to_vec();
        let (tag, content) = ber::take(&mut rest).unwrap();
        if tag == 0x60 {
            let code = if has(content, b"secret") { 0 } else { 49 };
            reply(&mut stream, &number, 0x61, &done(code));
            continue;
        }
        if has(content, b"nonsense") {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n").unwrap();
            return;
        }
        if has(content, b"silence") {
            // Answers nothing until the other end is gone.
            drop(question(&mut stream));
            return;
        }
        let found = PEOPLE.iter().rev().find(|(key, _)| has(content, key));
        if let Some((_, attributes)) = found {
            reply(&mut stream, &number, 0x64, &entry(attributes));
        }
        reply(&mut stream, &number, 0x65, &done(if found.is_some() { 0 } else { 32 }));
    }
}

/// Starts a responder; gives its port.
fn directory() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(8) {
            let stream = stream.unwrap();
            std::thread::spawn(move || answer(stream));
        }
    });
    port
}

fn spec(flags: &str) -> MapSpec {
    let line = format!("people ldap {flags}");
    let map = policy_cf::map::read(line.as_bytes(), &mut Vec::new()).unwrap();
    MapSpec::clone(&map.spec)
}

fn map(flags: &str) -> Ldap {
    let default = format!("-h 127.0.0.1 -p {} -b o=x", directory());
    Ldap::open(&spec(flags), &spec(&default), Door::default()).unwrap()
}

fn ask(map: &mut Ldap, key: &[u8]) -> Answer {
    map.lookup(key, &[], &mut Vec::new())
}

#[test]
fn a_key_finds_the_wanted_attribute() {
    let mut people = map("-k (&(objectClass=person) (uid=%0)) -v mail");
    assert_eq!(ask(&mut people, b"JANE"), Answer::Found(b"jane@hub.test".to_vec()));
    assert_eq!(ask(&mut people, b"nobody"), Answer::NotFound(0));
}

#[test]
fn several_values_stand_behind_one_another_and_a_single_match_refuses_them() {
    let mut people = map("-k uid=%0 -v mail -z,");
    let both = b"castor@hub.test,pollux@hub.test".to_vec();
    assert_eq!(ask(&mut people, b"twins"), Answer::Found(both));
    let mut people = map("-k uid=%0 -v mail -1");
    assert_eq!(ask(&mut people, b"twins"), Answer::NotFound(0));
}

#[test]
fn names_of_entries_are_followed_and_circles_end() {
    let mut people = map("-k uid=%0 -v mail,member:DN:list");
    assert_eq!(ask(&mut people, b"staff"), Answer::Found(b"jane@hub.test".to_vec()));
}

#[test]
fn a_password_opens_the_directory_and_a_wrong_one_does_not() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("password");
    let flags = format!("-k uid=%0 -v mail -d cn=mta -M simple -P {}", file.display());
    std::fs::write(&file, "secret\n").unwrap();
    assert_eq!(ask(&mut map(&flags), b"jane"), Answer::Found(b"jane@hub.test".to_vec()));
    std::fs::write(&file, "guess\n").unwrap();
    assert_eq!(ask(&mut map(&flags), b"jane"), Answer::TempFail(TEMPORARY));
}

#[test]
fn a_server_that_hangs_costs_its_time_and_is_left_alone_then() {
    let mut people = map("-k uid=%0 -v mail -l 1");
    let begin = Instant::now();
    let mut notes = Vec::new();
    assert_eq!(people.lookup(b"silence", &[], &mut notes), Answer::TempFail(TEMPORARY));
    assert!(begin.elapsed() < Duration::from_secs(3));
    assert_eq!(notes.len(), 1);
    assert_eq!(ask(&mut people, b"jane"), Answer::TempFail(TEMPORARY));
    assert!(begin.elapsed() < Duration::from_secs(4));
}

#[test]
fn what_is_no_ldap_is_a_temporary_failure() {
    let mut people = map("-k uid=%0 -v mail");
    assert_eq!(ask(&mut people, b"nonsense"), Answer::TempFail(TEMPORARY));
}

#[test]
fn nobody_listening_is_a_temporary_failure() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let flags = format!("-h 127.0.0.1:{port} -k uid=%0 -v mail");
    let mut people = Ldap::open(&spec(&flags), &spec("-b o=x"), Door::default()).unwrap();
    assert_eq!(ask(&mut people, b"jane"), Answer::TempFail(TEMPORARY));
}

#[test]
fn what_can_not_be_served_is_said_when_the_map_is_opened() {
    for flags in ["-H ldaps://x/", "-M krbv4", "-s all", "-v mail:NUMBER", "-r now"] {
        let opened = Ldap::open(&spec(&format!("-k uid=%0 {flags}")), &spec(""), Door::default());
        assert!(opened.is_err(), "{flags}");
    }
}

#[test]
fn a_url_names_base_scope_and_filter() {
    let query = url(b"ldap://other.test/o=a%20b??sub?(uid=x)").unwrap();
    assert_eq!((query.base.as_slice(), query.scope), (&b"o=a b"[..], 2));
    assert_eq!(query.filter, filter::encode(b"(uid=x)").unwrap());
}
