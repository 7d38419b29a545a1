//! Maps that ask other servers and the log, in the running server: its policy is in a cage that makes no sockets.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop")]

#[path = "running/dialogue.rs"]
mod dialogue;
#[path = "running/port.rs"]
mod port;
#[path = "running/server.rs"]
mod server;

use dialogue::{say, session};
use port::free_port;
use server::Server;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use tempfile::TempDir;

/// Says of each name that it was asked for, as a server of class `socket` (netstrings), one question a connection: the
/// next one needs a new one.
fn answer(mut stream: impl Read + Write) {
    let mut size = Vec::new();
    let mut octet = [0];
    while stream.read_exact(&mut octet).is_ok() && octet[0] != b':' {
        size.push(octet[0]);
    }
    let size: usize = String::from_utf8(size).unwrap().parse().unwrap_or(0);
    let mut question = vec![0; size.saturating_add(1)];
    stream.read_exact(&mut question).unwrap();
    let question = String::from_utf8(question).unwrap();
    let said = format!("OK {}", question.trim_end_matches(',').replace(' ', "/"));
    stream.write_all(format!("{}:{said},", said.len()).as_bytes()).unwrap();
}

/// A tag, a length, a content (below 128 octets).
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    [&[tag, length], content].concat()
}

/// An LDAP server that has one entry for every search: mail is found@hub.test.
fn direct(mut stream: TcpStream) {
    let mut head = [0; 2];
    while stream.read_exact(&mut head).is_ok() {
        let mut question = vec![0; usize::from(head[1])];
        stream.read_exact(&mut question).unwrap();
        let number = element(2, question.get(2..3).unwrap());
        let values = element(0x31, &element(4, b"found@hub.test"));
        let list = element(0x30, &[element(4, b"mail"), values].concat());
        let attributes = element(0x30, &list);
        let entry = element(0x64, &[element(4, b"cn=x"), attributes].concat());
        let end = element(0x65, &[element(10, &[0]), element(4, b""), element(4, b"")].concat());
        for answer in [entry, end] {
            stream.write_all(&element(0x30, &[number.clone(), answer].concat())).unwrap();
        }
    }
}

/// Serves each connection of a TCP listener; gives its port.
fn listen(serve: fn(TcpStream)) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream));
        }
    });
    port
}

#[test]
fn maps_reach_their_servers_from_within_the_cage_and_nothing_else_does() {
    let folder = TempDir::new_in("/tmp").unwrap();
    // Its roles are other users when we are root.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let place = folder.path().join("wall.sock");
    let wall = UnixListener::bind(&place).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o666)).unwrap();
    std::thread::spawn(move || wall.incoming().flatten().for_each(answer));
    let (gate, people) = (listen(answer), listen(direct));
    let gone = free_port();
    let cf = format!(
        "V10/Berkeley\nDjmail.example.test\nO OperatorChars=.:%@!^/[]+\nO LogLevel=9\n\
         Kgate socket inet:{gate}@localhost\nKwall socket local:{}\nKgone socket -T<TMPF> inet:{gone}@127.0.0.1\n\
         Kpeople ldap -h 127.0.0.1 -p {people} -b o=x -k (uid=%0) -v mail\nKtell syslog -LNOTICE\n\
         Scheck_rcpt\n\
         R<$-@gate.test>\t$#error $@ 5.7.1 $: \"550 \" $(gate $1 $: nothing $)\n\
         R<$-@wall.test>\t$#error $@ 5.7.1 $: \"550 \" $(wall $1 $: nothing $)\n\
         R<$-@gone.test>\t$: $(gone $1 $: nothing $)\n\
         R$*<TMPF>$*\t$#error $@ 4.3.0 $: \"451 later\"\n\
         R<$-@people.test>\t$#error $@ 5.7.1 $: \"550 \" $(people $1 $: nobody $)\n\
         R<$-@tell.test>\t$#error $@ 5.7.1 $: \"550 told\" $(tell heard.$1 $)\n\
         S3\nR<$*>\t$1\n\
         S0\nR$-@$+\t$#esmtp $@ $2 $: $1@$2\n\
         Mlocal, P=[FILE], F=lsDFMAw5:/|@qSP, A=FILE /var/mail/$u\n\
         Mesmtp, P=[IPC], F=mDFMuXa, A=TCP $h\n",
        place.display(),
    );
    fs::write(folder.path().join("sendmail.cf"), cf).unwrap();
    let server = Server::start(folder.path());
    let mut session = session(server.port);
    say(&mut session, "");
    say(&mut session, "EHLO client.test");
    say(&mut session, "MAIL FROM:<a@b.test>");
    for (address, wanted) in [
        ("one@gate.test", "550 5.7.1 <one@gate.test>... gate/one"),
        ("two@gate.test", "550 5.7.1 <two@gate.test>... gate/two"),
        ("three@wall.test", "550 5.7.1 <three@wall.test>... wall/three"),
        ("jane@people.test", "550 5.7.1 <jane@people.test>... found@hub.test"),
        ("joe@people.test", "550 5.7.1 <joe@people.test>... found@hub.test"),
        ("me@tell.test", "550 5.7.1 <me@tell.test>... told"),
    ] {
        assert_eq!(say(&mut session, &format!("RCPT TO:<{address}>")), wanted);
    }
    let refused = say(&mut session, "RCPT TO:<x@gone.test>");
    assert_eq!(refused, "451 4.3.0 later");
    drop(server);
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("NOQUEUE: heard.me"), "{log}");
}
