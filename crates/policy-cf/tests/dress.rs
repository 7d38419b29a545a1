//! Messages dressed for their mailers, as sendmail 8.17 writes them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]

use policy::{Dress, Dressed, MailerId, Policy, Resolved, Story};
use policy_cf::options::Options;
use policy_cf::{
    Answer, CfPolicy, Engine, Exchanger, Given, MapHandle, MapSpec, OpenFailure, Pool, UserEntry,
    World, load,
};
use std::fmt::Write as _;
use std::sync::Mutex;
use wire::QueueId;

/// A world without tables, with one user.
struct Small;

impl World for Small {
    fn open(&mut self, _: &MapSpec) -> Result<MapHandle, OpenFailure> {
        Ok(MapHandle(0))
    }

    fn lookup(&mut self, _: MapHandle, key: &[u8], _: &[&[u8]], _: &mut Vec<u8>) -> Answer {
        if key == b"slow.test" { Answer::TempFail(75) } else { Answer::NotFound(67) }
    }

    fn mail_exchangers(&mut self, _: &[u8], _: &mut Vec<u8>) -> (Vec<Exchanger>, u8) {
        (Vec::new(), 68)
    }

    fn canonical_name(&mut self, _: &[u8], _: &mut Vec<u8>) -> Option<Vec<u8>> {
        None
    }

    fn service(&mut self, _: &[u8]) -> Vec<Box<[u8]>> {
        Vec::new()
    }

    fn read_file(&mut self, _: &[u8], _: usize) -> Result<Vec<u8>, i32> {
        Err(2)
    }

    fn run_program(&mut self, _: &[u8], _: usize) -> Result<Vec<u8>, i32> {
        Err(2)
    }

    fn interface_addresses(&mut self) -> Vec<Vec<u8>> {
        Vec::new()
    }

    fn configure(&mut self, _: &Options) {}

    fn user(&mut self, name: &[u8]) -> Option<UserEntry> {
        (name == b"alice").then(|| UserEntry {
            name: name.to_vec(),
            uid: 1000,
            gid: 1000,
            gecos: b"Alice Adams,,,".to_vec(),
            home: b"/home/alice".to_vec(),
            shell: b"/bin/sh".to_vec(),
        })
    }

    fn group(&mut self, _: &[u8]) -> Option<u32> {
        None
    }

    fn now_s(&mut self) -> u64 {
        1_795_246_593
    }

    fn load_average(&mut self) -> u32 {
        0
    }
}

#[derive(Default)]
struct Engines(Mutex<Vec<Engine>>);

impl Pool for Engines {
    fn world(&self) -> Box<dyn World + Send> {
        Box::new(Small)
    }

    fn take(&self) -> Option<Engine> {
        self.0.lock().unwrap().pop()
    }

    fn give(&self, engine: Engine) {
        self.0.lock().unwrap().push(engine);
    }
}

fn open(cf: &str) -> CfPolicy {
    let facts = load::Facts {
        host: b"mail.example.test".to_vec(),
        version: b"8.17.1".to_vec(),
        ..load::Facts::default()
    };
    let given = Given { facts, ..Given::default() };
    let opened = CfPolicy::open(b"test.cf", cf.as_bytes(), &given, Box::new(Engines::default()));
    opened.map_err(|said| String::from_utf8_lossy(&said).into_owned()).unwrap().0
}

const ID: u64 = 1_795_246_593_000_000;

fn story(sender: &str, recipients: &[&str]) -> Story {
    Story {
        id: QueueId::from_u64(ID),
        created_s: 1_795_246_593,
        offset_s: 0,
        is_report: false,
        sender: sender.as_bytes().into(),
        recipients: recipients.iter().map(|one| one.as_bytes().into()).collect(),
        size_bytes: 91,
        client_name: Box::default(),
        client_address: Box::default(),
        resolved: Resolved::Ok,
        hello: Box::default(),
        protocol: Box::default(),
        user: b"root"[..].into(),
        daemon: 0,
        macros: Vec::new(),
    }
}

fn by_smtp(sender: &str, recipients: &[&str]) -> Story {
    Story {
        client_name: b"client.test"[..].into(),
        client_address: b"192.0.2.10"[..].into(),
        hello: b"hello.test"[..].into(),
        protocol: b"ESMTP"[..].into(),
        user: Box::default(),
        ..story(sender, recipients)
    }
}

fn dress(cf: &CfPolicy, mailer: &str, header: &str, message: Story) -> Dressed {
    let place = cf.settings().mailers.iter().position(|one| &*one.name == mailer.as_bytes());
    let dress = Dress {
        mailer: MailerId(u8::try_from(place.unwrap()).unwrap()),
        host: b"remote.test"[..].into(),
        sender: message.sender.clone(),
        users: vec![b"\\\"bob\"@remote.test"[..].into()],
        header: header.replace('\n', "\r\n").into_bytes().into(),
        message,
    };
    cf.dress(dress).unwrap()
}

/// The header that comes out, with LF; what names the message is short.
fn header(cf: &CfPolicy, mailer: &str, header: &str, message: Story) -> String {
    let dressed = dress(cf, mailer, header, message);
    let text = String::from_utf8_lossy(&dressed.header).replace("\r\n", "\n");
    assert!(!text.contains('\r'), "{text}");
    let mut id = String::new();
    write!(id, "{}", QueueId::from_u64(ID)).unwrap();
    text.replace(&id, "ID").replace("Sat, 21 Nov 2026 07:36:33 GMT", "DATE")
}

#[test]
fn temporary_golden() {
    let text = std::fs::read("/work/shared/oracle/golden-public/cf/generic.cf").unwrap();
    let text = String::from_utf8_lossy(&text).into_owned();
    let cf = open(&text);
    let h = "From: alice (Alice)\nTo: bob@remote.test, carol, \"Dave, D.\" <dave@mail.example.test>\nCc: erin@inside.test,\n root\nReply-To: <alice@mail.example.test>\nBcc: hidden@remote.test\nSender: bob\nReturn-Path: <old@x.test>\nSubject: headers\nX-Own: kept  as   is\nDate: Mon, 1 Jan 2024 00:00:00 +0000\nMessage-Id: <fixed@x.test>\n";
    for mailer in ["esmtp", "local", "prog"] {
        println!("{}", header(&cf, mailer, h, story("alice", &["bob@remote.test", "carol"])));
        println!("{}", header(&cf, mailer, "Subject: x\n", by_smtp("alice@mail.example.test", &["bob@remote.test"])));
        println!("{}", header(&cf, mailer, "From: orig@x.test\nResent-From: alice\nTo: a\nX: \n", by_smtp("", &["bob@remote.test"])));
        println!("{}", header(&cf, mailer, "To: <a@b>\nSubject: DSN\n", Story{is_report:true,..story("", &["bob@remote.test"])}));
        println!("{:?}", dress(&cf, mailer, "To: <a@b>\nSubject: DSN\n", Story{is_report:true,..story("", &["bob@remote.test"])}));
        println!("{:?}", dress(&cf, mailer, "To: <a@b>\nSubject: DSN\n", story("alice", &["bob@remote.test"])));
        println!("{}", header(&cf, mailer, "To: user0@remote.test, user1@remote.test, user2@remote.test, user3@remote.test, user4@remote.test, user5@remote.test, user6@remote.test, user7@remote.test, user8@remote.test, user9@remote.test, user10@remote.test, user11@remote.test\nCc: (a comment) x@y.test,\n\tGroup: a@b.test, c@d.test;\nSubject: folded\n here and\n\tthere\nFrom: \"\u{d6}dipus J\u{e4}ger\" <x@y>\nReply-To: a b c\nBcc:\n", by_smtp("joe@other.test", &["bob@remote.test"])));
    }
    let n = std::time::Instant::now();
    for _ in 0..100 { dress(&cf, "esmtp", h, story("alice", &["bob@remote.test", "carol"])); }
    println!("{:?}", n.elapsed() / 100);
}
