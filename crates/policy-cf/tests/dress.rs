//! Messages dressed for their mailers, as sendmail 8.17 writes them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]

use policy::{Dress, Dressed, MailerId, Policy, Resolved, Story};
use policy_cf::{
    Answer, CfPolicy, Engine, Given, MapHandle, MapSpec, OpenFailure, Pool, Unavailable, UserEntry,
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

    fn user(&mut self, name: &[u8]) -> Result<Option<UserEntry>, Unavailable> {
        Ok((name == b"alice").then(|| UserEntry {
            name: name.to_vec(),
            uid: 1000,
            gid: 1000,
            gecos: b"Alice Adams,,,".to_vec(),
            home: b"/home/alice".to_vec(),
            shell: b"/bin/sh".to_vec(),
        }))
    }

    fn now_s(&mut self) -> u64 {
        1_795_246_593
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

/// Names become `$x<@$y.>` on their way and lose the marks at the end; what has no domain gets ours for SMTP.
const CF: &str = "V10/Berkeley
O OperatorChars=.:%@!^/[]+
O NoRecipientAction=add-to-undisclosed
DnMAILER-DAEMON
DZ17
Kslow hash /etc/mail/slow
HReceived: $?sfrom $s $.$?_($?s$|from $.$_)
\t$.by $j ($v/$Z)$?r with $r$. id $i$?u
\tfor $u; $|;
\t$.$b
H?P?Return-Path: <$g>
H?D?Resent-Date: $a
H?D?Date: $a
H?F?From: $?x$x <$g>$|$g$.
H?x?Full-Name: $x
H?M?Message-Id: <$t.$i@$j>
H?${mark}?X-Mark: ${mark} on
HX-Always: to $u
HSubject: $>check
Scheck
S3
R$*<>$*\t$@ <@>
R$*:;\t$@ <@>
R$*<$*>$*\t$2
R@$+:$+\t$2
R$+:$+\t$2
R$*;\t$1
R$+@$+.\t$1@$2
R$+@$+\t$@ $1<@$2.>
S4
R<@>\t$@
R$*<@$+.>\t$1@$2
S0
R$-\t$#local $: $1
R$-<@mail.example.test.>\t$#local $: $1
R$*<@$+.>\t$#esmtp $@ $2 $: $1<@$2.>
R$*\t$#local $: $1
Sfromlocal
R<@>\t$n
Sfromsmtp
R<@>\t$@ <@>
R$+<@slow.test.>\t$: $(slow slow.test $: $1 $) <@slow.test.>
R$+<@$+>\t$@ $1<@$2>
R$+\t$: $1<@$j.>
Stosmtp
R<@>\t$@ <@>
R$+<@$+>\t$@ $1<@$2>
R$+\t$: $1<@$j.>
Smasked
R$+\t$: $>fromsmtp $1
R$+<@mail.example.test.>\t$1<@masked.test.>
Mlocal, P=/bin/deliver, F=lsDFMAw5:/|@qPxSB, S=fromlocal, A=deliver $u
Mprog, P=/bin/sh, F=lsDFMoqeu9, S=fromlocal, A=sh -c $u
Mesmtp, P=[IPC], F=mDFMuXa, S=fromsmtp/masked, R=tosmtp, E=\\r\\n, L=990, A=TCP $h
Mpath, P=[IPC], F=mDFMuXap, S=fromsmtp, R=tosmtp, A=TCP $h
Mbare, P=[IPC], F=muXag, S=fromsmtp, R=tosmtp, A=TCP $h
";

fn cf() -> CfPolicy {
    open(&CF.replace("\\t", "\t").replace("\\\\", "\\"))
}

fn dress(cf: &CfPolicy, mailer: &str, header: &str, message: Story) -> Dressed {
    let place = cf.settings().mailers.iter().position(|one| &*one.name == mailer.as_bytes());
    let dress = Dress {
        mailer: MailerId(u8::try_from(place.unwrap()).unwrap()),
        host: b"remote.test"[..].into(),
        sender: message.sender.clone(),
        users: vec![b"\\bob@remote.test"[..].into()],
        addresses: vec![b"<bob@remote.test>"[..].into()],
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

/// The envelope sender that comes out.
fn sender(mailer: &str, message: Story) -> String {
    let dressed = dress(&cf(), mailer, "", message);
    String::from_utf8_lossy(&dressed.sender).into_owned()
}

#[test]
fn what_a_message_lacks_stands_first_in_the_order_of_the_file() {
    let message = by_smtp("alice@mail.example.test", &["bob@remote.test"]);
    assert_eq!(
        header(&cf(), "esmtp", "To: bob\nSubject: x\n y\nx-always: no\n", message),
        "Received: from hello.test (client.test [192.0.2.10])
\tby mail.example.test (8.17.1/17) with ESMTP id ID
\tfor <bob@remote.test>; DATE
Date: DATE
From: Alice Adams <alice@masked.test>
Message-Id: <202611210736.ID@mail.example.test>
To: bob@mail.example.test
Subject: x
 y
x-always: no
"
    );
}

#[test]
fn a_local_mailer_gets_the_way_back_and_names_as_they_are() {
    let message = story("alice", &["bob", "carol"]);
    let own = "Return-Path: <old@x.test>\nReceived: from a\n by b\nFrom: alice (A.)\nTo: bob,\n\tcarol\nBcc: dave\nDate: d\n";
    assert_eq!(
        header(&cf(), "local", own, message.clone()),
        "Received: (from root@localhost)
\tby mail.example.test (8.17.1/17) id ID;
\tDATE
Return-Path: <alice>
Full-Name: Alice Adams
Message-Id: <202611210736.ID@mail.example.test>
X-Always: to
Received: from a
 by b
From: alice (A.)
To: bob, carol
Date: d
"
        .replace("X-Always: to\n", "X-Always: to \n")
    );
    assert_eq!(&*dress(&cf(), "local", own, message).users[0], b"bob@remote.test");
}

#[test]
fn addresses_are_rewritten_with_their_comments_and_folded_at_78() {
    let own = "To: u0@remote.test, u1@remote.test, u2@remote.test, user3@remote.test, u4@r.test, \"Dave, D.\" <dave>\nCc: (a comment) x@y.test,\n\tGroup: a@b.test, c;\nFrom: bob\nSender: \"A. B.\" <x@mail.example.test>\nMessage-Id: m\nDate: d\n";
    let text = header(&cf(), "esmtp", own, story("bob", &[]));
    let at = text.find("To: ").unwrap();
    assert_eq!(
        text.split_at(at).1,
        "To: u0@remote.test, u1@remote.test, u2@remote.test, user3@remote.test,
        u4@r.test, \"Dave, D.\" <dave@mail.example.test>
Cc: (a comment) x@y.test, Group: a@b.test, c@mail.example.test;
From: bob@masked.test
Sender: \"A. B.\" <x@masked.test>
Message-Id: m
Date: d
"
    );
}

#[test]
fn eight_bits_in_a_name_stay_as_they_are() {
    let text =
        header(&cf(), "esmtp", "From: \"\u{d6}dip\u{e9}\" <\u{d6}@x.test>\n", story("b", &[]));
    assert!(text.contains("From: \"\u{d6}dip\u{e9}\" <\u{d6}@x.test>\n"), "{text}");
    let text = header(&cf(), "esmtp", "From: \u{d6}dip\u{e9} <bob>\n", story("b", &[]));
    assert!(text.contains("From: \u{d6}dip\u{e9} <bob@masked.test>\n"), "{text}");
}

#[test]
fn blind_copies_are_not_shown() {
    let text = header(&cf(), "esmtp", "Bcc: x@y.test\n", story("bob", &["x@y.test"]));
    assert!(text.ends_with("Bcc:\n"), "{text}");
    let text = header(&cf(), "esmtp", "Subject: s\n", story("bob", &["x@y.test"]));
    assert!(text.ends_with("Subject: s\nTo: undisclosed-recipients:;\n"), "{text}");
}

#[test]
fn what_was_resent_gets_its_own_date() {
    let text = header(&cf(), "esmtp", "Resent-From: bob\n", story("bob", &["x@y.test"]));
    assert!(text.contains("Resent-Date: DATE\nDate: DATE\n"), "{text}");
    assert!(text.contains("Resent-From: bob@masked.test\n"), "{text}");
}

#[test]
fn a_macro_may_be_the_condition_of_a_field() {
    let mut message = story("bob", &["x@y.test"]);
    message.macros.push((b"{mark}"[..].into(), b"red\r\nX-Forged: y"[..].into()));
    let text = header(&cf(), "esmtp", "", message);
    assert!(text.contains("X-Mark: red??X-Forged: y on\n"), "{text}");
}

#[test]
fn a_report_is_from_nobody_by_smtp_and_from_the_daemon_else() {
    let report = || Story { is_report: true, user: Box::default(), ..story("", &["alice"]) };
    assert_eq!(sender("esmtp", report()), "");
    assert_eq!(sender("bare", report()), "MAILER-DAEMON@mail.example.test");
    assert_eq!(sender("local", report()), "MAILER-DAEMON");
    assert_eq!(
        header(&cf(), "prog", "To: alice\nX-Always: x\n", report()),
        "Received: from localhost (localhost)
\tby mail.example.test (8.17.1/17) id ID;
\tDATE
Date: DATE
From: Mail Delivery Subsystem <MAILER-DAEMON>
Message-Id: <202611210736.ID@mail.example.test>
To: alice
X-Always: x
"
    );
}

#[test]
fn an_envelope_sender_is_as_the_mailer_says_it() {
    assert_eq!(sender("esmtp", story("alice", &[])), "alice@mail.example.test");
    assert_eq!(sender("local", story("alice", &[])), "alice");
    assert_eq!(sender("esmtp", by_smtp("a@b.test", &[])), "a@b.test");
    assert_eq!(sender("esmtp", by_smtp("", &[])), "");
    assert_eq!(sender("local", by_smtp("", &[])), "MAILER-DAEMON");
    assert_eq!(sender("path", by_smtp("a@b.test", &[])), "@mail.example.test:a@b.test");
    assert_eq!(sender("path", story("alice", &[])), "alice@mail.example.test");
}

#[test]
fn a_map_that_cannot_say_lets_the_message_wait() {
    let cf = cf();
    let message = by_smtp("a@slow.test", &[]);
    let place = cf.settings().mailers.iter().position(|one| &*one.name == b"esmtp").unwrap();
    let dress = Dress {
        mailer: MailerId(u8::try_from(place).unwrap()),
        host: b"remote.test"[..].into(),
        sender: message.sender.clone(),
        users: Vec::new(),
        addresses: Vec::new(),
        header: Box::default(),
        message,
    };
    assert!(cf.dress(dress.clone()).unwrap_err().is_temporary());
    let gone = Dress { mailer: MailerId(99), ..dress };
    assert!(cf.dress(gone).unwrap_err().is_temporary());
}

#[test]
fn a_domain_is_lent_to_names_where_the_senders_mailer_says_so() {
    let with_c = CF.replace("F=mDFMuXa, S=fromsmtp/masked", "F=mDFMuXaC, S=fromsmtp/masked");
    let cf = open(&with_c.replace("\\t", "\t"));
    let text = header(&cf, "esmtp", "To: ann, tom@x.test\n", by_smtp("joe@other.test", &[]));
    assert!(text.ends_with("To: ann@other.test, tom@x.test\n"), "{text}");
    let text =
        header(&cf, "esmtp", "To: ann, tom@x.test\n", by_smtp("alice@mail.example.test", &[]));
    assert!(text.ends_with("To: ann@mail.example.test, tom@x.test\n"), "{text}");
}

#[test]
fn any_header_comes_out_whole_and_within_bounds() {
    let cf = cf();
    let long = format!("To: {}\nSubject: s\n", "a, ".repeat(20_000));
    let dressed = dress(&cf, "esmtp", &long, story("bob", &[]));
    assert!(dressed.header.len() < 2 * policy::settings::DRESSED_BYTES_MAX);
    assert!(dressed.header.ends_with(b"Subject: s\r\n"));
    for odd in [
        "To: \x01\x7f,,;<<>>((\n",
        "From: \u{9c}\u{81}g\u{ff}\n",
        "To: @,@,@\n",
        "Cc:\n",
        "To: \"a\n",
    ] {
        let text = header(&cf, "esmtp", &format!("{odd}Subject: s\n"), story("bob", &[]));
        assert!(text.contains("\nSubject: s\n"), "{odd} {text}");
    }
}

#[test]
fn check_compat_is_asked_about_each_pair_of_sender_and_recipient() {
    let rules = "\
Scheck_compat
R<carol@there.test> $| <bob@$+>\t$#error $@ 5.7.1 $: \"550 not from \" $1
R<dave@$+> $| $+\t$#discard $: discard
R<erin@$+> $| $+\t$#error $@ 4.7.1 $: \"450 later\"
";
    let cf = open(&(CF.replace("\\t", "\t").replace("\\\\", "\\") + rules));
    let unfit = |sender| dress(&cf, "esmtp", "To: bob@remote.test\n", by_smtp(sender, &[])).unfit;
    assert_eq!(unfit("a@there.test"), []);
    let refused = unfit("carol@there.test").remove(0);
    let refusal = refused.refusal.unwrap();
    assert_eq!((refused.place, refusal.code, refusal.status), (0, 550, (5, 7, 1)));
    let line = String::from_utf8_lossy(&refused.line).into_owned();
    let beginning = "ruleset=check_compat, arg1=<carol@there.test>, arg2=<bob@remote.test>, relay=";
    assert!(line.starts_with(beginning), "{line}");
    assert!(line.ends_with(", reject=550 5.7.1 not from remote.test"), "{line}");
    let discarded = unfit("dave@there.test").remove(0);
    assert_eq!(discarded.refusal, None);
    assert!(discarded.line.ends_with(b", discard"), "{discarded:?}");
    assert!(unfit("erin@there.test").remove(0).refusal.unwrap().is_temporary());
}

/// The line before the message that comes out, with these further lines of configuration.
fn separator(lines: &str, mailer: &str, sender: &str) -> String {
    let cf = open(&format!("{CF}{lines}").replace("\\t", "\t").replace("\\\\", "\\"));
    let dressed = dress(&cf, mailer, "", by_smtp(sender, &["bob@remote.test"]));
    String::from_utf8_lossy(&dressed.separator).into_owned()
}

#[test]
fn the_line_before_a_message_is_that_of_the_configuration() {
    let alice = "alice@mail.example.test";
    let option = "O UnixFromLine=From $g at $d on $j\n";
    assert_eq!(
        separator(option, "prog", alice),
        "From alice@mail.example.test at Sat Nov 21 07:36:33 2026 on mail.example.test"
    );
    assert_eq!(separator("DlFrom $g!\n", "local", "a@b.test"), "From a@b.test!");
    // The usual one is written by who knows the time, and a server gets none.
    assert_eq!(separator("", "prog", alice), "");
    assert_eq!(separator("O UnixFromLine=From $g $d\n", "prog", alice), "");
    assert_eq!(separator(option, "esmtp", alice), "");
    let none = format!("{option}Mnone, P=/bin/sh, F=nlsDFMoqeu9, A=sh -c $u\n");
    assert_eq!(separator(&none, "none", alice), "");
}

#[test]
fn a_mailer_of_uucp_is_told_which_host_is_remote() {
    let lines = "Muucp, P=/bin/uux, F=DFMhuUd, A=uux - $h!rmail $u\n";
    let date = "Sat Nov 21 07:36:33 2026";
    for (sender, wanted) in [
        ("far!near!joe", format!("From near!joe  {date} remote from far")),
        ("joe@far.test", format!("From joe  {date} remote from far.test")),
    ] {
        assert_eq!(separator(lines, "uucp", sender), wanted);
    }
}
