//! A sendmail.cf as a policy: every question, refusals as sendmail words them, and engines that forget.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]

use policy::{
    Ask, Facts, FileSeen, LmtpPlace, Origin, Policy, Question, Refusal, Resolved, Transport,
    Verdict,
};
use policy_cf::load;
use policy_cf::{
    Answer, CfPolicy, Engine, Given, MapHandle, MapSpec, OpenFailure, Pool, Unavailable, UserEntry,
    World,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A world with one table and two users.
struct Small;

impl World for Small {
    fn open(&mut self, _: &MapSpec) -> Result<MapHandle, OpenFailure> {
        Ok(MapHandle(0))
    }

    fn lookup(&mut self, _: MapHandle, key: &[u8], _: &[&[u8]], _: &mut Vec<u8>) -> Answer {
        match key {
            b"spam.test" => Answer::Found(b"ERROR:5.7.1:550 no spam".to_vec()),
            b"staff" => Answer::Found(b"alice, bob@remote.test".to_vec()),
            b"slow" => Answer::TempFail(75),
            _ => Answer::NotFound(67),
        }
    }

    fn user(&mut self, name: &[u8]) -> Result<Option<UserEntry>, Unavailable> {
        if name == b"unknowable" {
            return Err(Unavailable);
        }
        Ok((name == b"alice" || name == b"root").then(|| UserEntry {
            name: name.to_vec(),
            uid: 1000,
            gid: 1000,
            gecos: b"Alice Adams,,,".to_vec(),
            home: b"/home/alice".to_vec(),
            shell: b"/bin/sh".to_vec(),
        }))
    }

    fn lets_in(&mut self, peer: &policy::host_access::Peer<'_>) -> bool {
        peer.address.to_string() != "192.0.2.99"
    }

    fn now_s(&mut self) -> u64 {
        1_795_246_593
    }
}

#[derive(Default)]
struct Engines {
    resting: Mutex<Vec<Engine>>,
    made: Arc<AtomicUsize>,
}

impl Pool for Engines {
    fn world(&self) -> Box<dyn World + Send> {
        self.made.fetch_add(1, Ordering::SeqCst);
        Box::new(Small)
    }

    fn take(&self) -> Option<Engine> {
        self.resting.lock().unwrap().pop()
    }

    fn give(&self, engine: Engine) {
        self.resting.lock().unwrap().push(engine);
    }
}

const CF: &str = "V10/Berkeley
DjMail.Example.Test
Cwexample.test
O OperatorChars=.:%@!^/[]+
O MaxMessageSize=123456
O MaxHopCount=17
O Timeout.command=5m
O Timeout.queuereturn=3d
O Timeout.queuewarn=4h
O PrivacyOptions=novrfy,noreceipts
O SmtpGreetingMessage=$j Small; $b
O DaemonPortOptions=Name=MTA, Addr=127.0.0.1, Port=2525, M=Ef
O DaemonPortOptions=Name=MSA, Addr=127.0.0.1, Port=2587, M=a
O AliasFile=/etc/aliases
O QueueDirectory=/var/spool/mqueue/q*
Kaccess hash /etc/mail/access
Kset macro
Scheck_relay
R$* $| 192.0.2.66\t$#error $@ 5.7.1 $: \"550 Access denied by \" $&{daemon_name}
R$* $| 192.0.2.67\t$#error $@ 4.3.2 $: \"421 go away\"
Scheck_mail
R<$*@discard.test>\t$#discard
R<$*@hold.test>\t$#error $@ quarantine $: looks odd
R<mark@$*>\t$: $(set {mark} $@ $1 $) <ok>
R<old@$*>\t$#error $: 550 old style
R<late@$*>\t$#error $@ 4.7.1 $: \"451 later\"
R<$*@$+>\t$: <$1@$2> <$(access $2 $: ? $)>
R$* <ERROR:$-.$-.$-:$*>\t$#error $@ $2.$3.$4 $: $5
Scheck_rcpt
R<relay@$*>\t$#error $@ 5.7.1 $: \"550 Relaying denied for \" $&f \" from \" $&{client_addr}
R<marked@$*>\t$#error $@ 5.7.1 $: \"550 mark is \" $&{mark}
Scheck_data
R3\t$#error $: 550 three are too many
Scheck_eoh
R$- $| $-\t$#error $: 552 $1 fields of $2
Scheck_eom
R999\t$#discard
Scheck_etrn
R$*\t$#error $@ 5.7.1 $: \"550 no etrn for $1\"
Scheck_expn
R$*\t$#error $@ 5.7.1 $: \"550 no expansion\"
Scheck_other
RZORK $| 5\t$#error $@ 5.7.1 $: \"421 zork hangs up\"
S3
R<$*>\t$1
R$-@$=w\t$1
S0
Rnobody\t$#error $@ nouser $: \"550 No such person\"
R$-\t$#local $: $1
R$-@$+\t$#esmtp $@ $2 $: $1@$2
R$*\t$#error $@ 5.1.3 $: \"553 bad address\"
Mlocal, P=[FILE], F=lsDFMAw5:/|@qSP, A=FILE /var/mail/$u, T=DNS/RFC822/X-Unix
Mesmtp, P=[IPC], F=mDFMuXa, S=masquerade/0, A=TCP $h 2526, E=\\r\\n, L=990, r=50
Mlpc, P=[LPC], F=mDFMuX, A=IPC $h
Mcyrus, P=[IPC], F=lsDFMnqXz, A=FILE /run/lmtp, E=\\r\\n
Smasquerade
R$-@$*example.test\t$1@masked.test
Mimap, P=[IPC], F=lsDFMnqXz, A=TCP $h lmtp
Mhub, P=[IPC], F=mDFMuX, A=TCP hub.$m
Modd, P=[IPC], F=mDFMuX, A=TCP mail.$h
Minside, P=[IPC], F=mDFMuX, A=TCP $h.in$$D$m $h
Msocket, P=[IPC], F=mDFMuX, A=FILE /run/$Z
Meach, P=[IPC], F=mDFMuX, A=TCP $u.test
Mpipe, P=/bin/cat, F=lsDFMu, A=cat -x $u $Z-${own}/$m $h, U=1:2
DZdollar$$
D{own}mine
";

fn open(cf: &str) -> CfPolicy {
    let given = Given {
        facts: load::Facts { host: b"mail.example.test".to_vec(), ..load::Facts::default() },
        ..Given::default()
    };
    let opened = CfPolicy::open(b"test.cf", cf.as_bytes(), &given, Box::new(Engines::default()));
    opened.map_err(|said| String::from_utf8_lossy(&said).into_owned()).unwrap().0
}

fn facts(address: &str) -> Facts {
    Facts {
        origin: Origin::Client {
            peer: format!("{address}:4711").parse().unwrap(),
            local: "192.0.2.1:25".parse().unwrap(),
            name: b"client.test"[..].into(),
            resolved: Resolved::Ok,
        },
        daemon: 0,
        hello: b"client.test"[..].into(),
        is_esmtp: true,
        sender: None,
        recipients: 0,
        macros: Vec::new(),
    }
}

fn ask(policy: &CfPolicy, facts: Facts, ask: Ask) -> Verdict {
    policy.judge(&Question { facts, ask })
}

fn mail(policy: &CfPolicy, address: &[u8]) -> Verdict {
    let parameters = policy::Parameters::default();
    ask(policy, facts("192.0.2.10"), Ask::Sender { address: address.into(), parameters })
}

fn rcpt(policy: &CfPolicy, facts: Facts, address: &[u8]) -> Verdict {
    ask(policy, facts, Ask::Recipient { address: address.into() })
}

fn refused(verdict: Verdict) -> (u16, (u8, u16, u16), String, String) {
    let Verdict::Refuse(Refusal { code, status, text, by, .. }) = verdict else {
        panic!("{verdict:?}")
    };
    let shown = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    (code, status, shown(&text), shown(&by))
}

#[test]
fn options_become_settings() {
    let policy = open(CF);
    let settings = policy.settings();
    assert_eq!(&*settings.host_name, b"Mail.Example.Test");
    assert_eq!(settings.limits.message_bytes_max, 123_456);
    assert_eq!(settings.limits.hops_max, 17);
    assert_eq!(settings.timeouts.command_s, 300);
    assert_eq!((settings.retry.give_up_s, settings.retry.warn_s), (3 * 86_400, 4 * 3600));
    assert!(!settings.answers_vrfy && settings.answers_expn && !settings.offers_dsn);
    let listeners: Vec<String> =
        settings.listeners.iter().map(|listener| listener.endpoint.to_string()).collect();
    assert_eq!(listeners, ["127.0.0.1:2525", "127.0.0.1:2587"]);
    assert_eq!(&*settings.paths.spool, b"/var/spool/mqueue/ironpost");
    assert!(settings.paths.read.iter().any(|path| &**path == b"/etc/mail"));
    assert!(settings.paths.read.iter().any(|path| &**path == b"/etc/aliases.db"));
    assert!(settings.paths.read.iter().all(|path| &**path != b"/etc"));
}

#[test]
fn mailers_keep_their_numbers_and_what_nobody_serves_waits() {
    let policy = open(CF);
    let of = |name: &[u8]| {
        policy.settings().mailers.iter().find(|mailer| &*mailer.name == name).unwrap().clone()
    };
    let esmtp = of(b"esmtp");
    assert_eq!(esmtp.transport, Transport::Smtp { port: 2526 });
    assert_eq!((esmtp.recipients_max, esmtp.carriage.line_bytes_max), (50, 990));
    assert!(esmtp.carriage.flags.has(b'a') && !esmtp.carriage.flags.has(b'l'));
    let Transport::Program(file) = of(b"local").transport else { panic!("no file") };
    assert_eq!(&*file.path, b"[FILE]");
    assert!(matches!(of(b"lpc").transport, Transport::Waits { .. }));
    assert!(matches!(of(b"cyrus").transport, Transport::Lmtp(_)));
    assert_eq!(of(b"imap").transport, Transport::Lmtp(LmtpPlace::Host { port: 24 }));
    assert_eq!(&*of(b"imap").carriage.host, b"");
    assert_eq!(of(b"hub").transport, Transport::Smtp { port: 25 });
    assert_eq!(&*of(b"hub").carriage.host, b"hub.example.test");
    assert_eq!(of(b"odd").transport, Transport::Smtp { port: 25 });
    assert_eq!(&*of(b"odd").carriage.host, b"mail.$h");
    assert_eq!(&*of(b"odd").carriage.host_for(b"a.test."), b"mail.a.test.");
    assert_eq!(&*of(b"inside").carriage.host_for(b"a.test."), b"a.test.in$Dexample.test:a.test.");
    assert_eq!(of(b"socket").transport, Transport::SmtpUnix(b"/run/dollar$"[..].into()));
    assert!(matches!(of(b"each").transport, Transport::Waits { .. }));
    let Transport::Program(program) = of(b"pipe").transport else { panic!("no program") };
    assert_eq!((&*program.path, program.ids), (b"/bin/cat".as_slice(), Some((1, 2))));
    assert_eq!(&*program.arguments[2], b"$u");
    assert_eq!(&*program.arguments[3], b"dollar$$-mine/example.test");
    assert_eq!(&*program.arguments[4], b"$h");
}

#[test]
fn a_connection_is_refused_by_check_relay_and_greeted_otherwise() {
    let policy = open(CF);
    let (code, status, text, by) = refused(ask(&policy, facts("192.0.2.66"), Ask::Connect));
    assert_eq!((code, status), (550, (5, 7, 1)));
    assert_eq!((text.as_str(), by.as_str()), ("Access denied by MTA", "check_relay"));
    let verdict = ask(&policy, facts("192.0.2.67"), Ask::Connect);
    assert!(matches!(verdict, Verdict::Refuse(Refusal { code: 421, closes: true, .. })));
    let Verdict::Accept(acceptance) = ask(&policy, facts("192.0.2.10"), Ask::Connect) else {
        panic!("refused")
    };
    let greeting = String::from_utf8_lossy(&acceptance.lines[0]).into_owned();
    assert!(greeting.starts_with("Mail.Example.Test ESMTP Small; "), "{greeting}");
}

#[test]
fn senders_are_refused_discarded_and_held() {
    let policy = open(CF);
    assert_eq!(
        refused(mail(&policy, b"u@spam.test")),
        (550, (5, 7, 1), "<u@spam.test>... no spam".into(), "check_mail".into())
    );
    assert_eq!(refused(mail(&policy, b"old@x.test")).2, "<old@x.test>... old style");
    assert_eq!(refused(mail(&policy, b"old@x.test")).1, (5, 0, 0));
    let (code, status, text, _) = refused(mail(&policy, b"late@x.test"));
    assert_eq!((code, status, text.as_str()), (451, (4, 7, 1), "later"));
    assert!(matches!(mail(&policy, b"u@discard.test"), Verdict::Discard { .. }));
    let Verdict::Quarantine { reason, .. } = mail(&policy, b"u@hold.test") else {
        panic!("not held")
    };
    assert_eq!(&*reason, b"looks odd");
    assert!(matches!(mail(&policy, b""), Verdict::Accept(_)));
    let Verdict::Accept(acceptance) = mail(&policy, b"a@remote.test") else { panic!("refused") };
    let mailer = acceptance.macros.iter().find(|(name, _)| &**name == b"{mail_mailer}").unwrap();
    assert_eq!(&*mailer.1, b"esmtp");
}

#[test]
fn recipients_are_routed_or_refused() {
    let policy = open(CF);
    let from = |sender: &[u8]| Facts { sender: Some(sender.into()), ..facts("192.0.2.10") };
    let Verdict::Accept(acceptance) = rcpt(&policy, from(b"a@b.test"), b"u@Remote.test") else {
        panic!("refused")
    };
    let route = acceptance.route.unwrap();
    let mailer = &policy.settings().mailers[usize::from(route.mailer.0)];
    assert_eq!(&*mailer.name, b"esmtp");
    assert_eq!(
        (&*route.host, &*route.user),
        (b"remote.test".as_slice(), b"u@Remote.test".as_slice())
    );
    assert_eq!(
        refused(rcpt(&policy, from(b"a@b.test"), b"relay@x.test")),
        (
            550,
            (5, 7, 1),
            "<relay@x.test>... Relaying denied for a@b.test from 192.0.2.10".into(),
            "check_rcpt".into()
        )
    );
    let (code, status, text, by) = refused(rcpt(&policy, from(b""), b"nouser@example.test"));
    assert_eq!((code, status), (550, (5, 1, 1)));
    assert_eq!((text.as_str(), by.as_str()), ("<nouser@example.test>... User unknown", ""));
    assert_eq!(refused(rcpt(&policy, from(b""), b"nobody")).2, "<nobody>... No such person");
    for later in [b"slow".as_slice(), b"unknowable@example.test"] {
        assert_eq!(refused(rcpt(&policy, from(b""), later)).0, 451);
    }
    for name in [b"alice".as_slice(), b"alice@example.test"] {
        assert!(policy.route(name).is_ok_and(|route| route.expands), "there may be a .forward");
    }
    assert_eq!(policy.route(b"unknown").unwrap_err().code, 550);
}

#[test]
fn an_alias_stands_for_its_members() {
    let policy = open(CF);
    let route = policy.route(b"staff").unwrap();
    assert!(route.expands);
    let wanted = policy.expand(b"staff", &route).wanted;
    let names: Vec<&[u8]> = wanted.iter().map(|file| &*file.user).collect();
    assert_eq!(names, [b"alice".as_slice()], "she may have a .forward");
    let files: Vec<FileSeen> = wanted.into_iter().map(|file| FileSeen::unseen(file, 2)).collect();
    let expansion = policy.expand_with(b"staff", &route, b"", &files);
    let addresses: Vec<&[u8]> =
        expansion.recipients.iter().map(|recipient| &*recipient.address).collect();
    assert_eq!(addresses, [b"alice".as_slice(), b"bob@remote.test"]);
}

#[test]
fn the_other_questions_have_their_rule_sets() {
    let policy = open(CF);
    let three = Facts { recipients: 3, ..facts("192.0.2.10") };
    assert_eq!(refused(ask(&policy, three, Ask::Data)).2, "three are too many".to_owned());
    assert!(matches!(ask(&policy, facts("192.0.2.10"), Ask::Data), Verdict::Accept(_)));
    let verdict = ask(&policy, facts("192.0.2.10"), Ask::EndOfMessage { size_bytes: 999 });
    assert!(matches!(verdict, Verdict::Discard { .. }));
    let argument: Box<[u8]> = b"x.test"[..].into();
    let etrn = ask(&policy, facts("192.0.2.10"), Ask::Turn { argument: argument.clone() });
    assert_eq!(refused(etrn).3, "check_etrn");
    let expn = ask(&policy, facts("192.0.2.10"), Ask::Expand { argument: argument.clone() });
    assert_eq!(refused(expn).3, "check_expn");
    assert_eq!(refused(ask(&policy, facts("192.0.2.10"), Ask::Verify { argument })).0, 252);
}

#[test]
fn a_port_that_demands_a_name_and_password_takes_no_mail() {
    let policy = open(CF);
    let parameters = policy::Parameters::default();
    let facts = Facts { daemon: 1, ..facts("192.0.2.10") };
    let verdict = ask(&policy, facts, Ask::Sender { address: b"a@b.test"[..].into(), parameters });
    assert_eq!(refused(verdict).0, 530);
}

#[test]
fn macros_live_as_long_as_the_session_says_and_no_longer() {
    let policy = open(CF);
    let Verdict::Accept(acceptance) = mail(&policy, b"mark@secret.test") else { panic!("refused") };
    let marked = acceptance.macros.iter().any(|(name, value)| {
        (&**name, &**value) == (b"{mark}".as_slice(), b"secret.test".as_slice())
    });
    assert!(marked, "{:?}", acceptance.macros);
    let same = Facts { macros: acceptance.macros, ..facts("192.0.2.10") };
    assert!(refused(rcpt(&policy, same, b"marked@x.test")).2.ends_with("mark is secret.test"));
    let other = refused(rcpt(&policy, facts("192.0.2.10"), b"marked@x.test")).2;
    assert!(!other.contains("secret"), "{other}");
}

#[test]
fn what_a_client_says_is_no_rule() {
    let policy = open(CF);
    for octet in 0_u8..=255 {
        let address = [b"a".as_slice(), &[octet], b"@x.test"].concat();
        drop(mail(&policy, &address));
        drop(rcpt(&policy, facts("192.0.2.10"), &address));
        let hello = Facts { hello: address.clone().into(), ..facts("192.0.2.10") };
        drop(ask(&policy, hello, Ask::Connect));
    }
    // `$| 192.0.2.66` said by the client's name is not the rule set's second argument.
    let mut facts = facts("192.0.2.10");
    if let Origin::Client { name, .. } = &mut facts.origin {
        *name = b"x \x9b 192.0.2.66 \x9b y"[..].into();
    }
    assert!(matches!(ask(&policy, facts, Ask::Connect), Verdict::Accept(_)));
}

#[test]
fn threads_have_engines_of_their_own_and_share_them() {
    let engines = Engines::default();
    let made = Arc::clone(&engines.made);
    let given = Given::default();
    let policy = CfPolicy::open(b"x.cf", CF.as_bytes(), &given, Box::new(engines)).unwrap().0;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    assert!(matches!(mail(&policy, b"a@remote.test"), Verdict::Accept(_)));
                }
            });
        }
    });
    assert!(made.load(Ordering::SeqCst) <= 4);
}

#[test]
fn an_engine_forgets_and_does_not_grow() {
    struct One(Arc<Engines>);
    impl Pool for One {
        fn world(&self) -> Box<dyn World + Send> {
            self.0.world()
        }
        fn take(&self) -> Option<Engine> {
            self.0.take()
        }
        fn give(&self, engine: Engine) {
            self.0.give(engine);
        }
    }
    let engines = Arc::new(Engines::default());
    let pool = Box::new(One(Arc::clone(&engines)));
    let policy = CfPolicy::open(b"x.cf", CF.as_bytes(), &Given::default(), pool).unwrap().0;
    let shape = || format!("{:?}", engines.resting.lock().unwrap());
    let before = shape();
    for number in 0..4_000_u32 {
        let address = format!("mark{number}@secret.test");
        drop(mail(&policy, address.as_bytes()));
        drop(rcpt(&policy, facts("192.0.2.10"), b"marked@x.test"));
    }
    assert_eq!(before, shape());
    assert!(
        refused(rcpt(&policy, facts("192.0.2.10"), b"marked@x.test"))
            .2
            .trim_end()
            .ends_with("mark is")
    );
}

#[test]
fn a_wrong_configuration_is_named_in_sendmails_words() {
    let pool = Box::new(Engines::default());
    let wrong = CfPolicy::open(b"x.cf", b"V10\nYodd\n", &Given::default(), pool);
    let said = String::from_utf8(wrong.unwrap_err()).unwrap();
    assert!(said.contains("x.cf: line 2: unknown configuration line \"Yodd\""), "{said}");
}

#[test]
fn a_configuration_is_known_by_its_first_line() {
    for cf in ["V10/Berkeley\n", "# x\n\nDjx\n", "O LogLevel=9\n", "Cwlocalhost\n"] {
        assert!(policy_cf::is_cf(cf.as_bytes()), "{cf}");
    }
    for toml in ["listen = [\"x\"]\n", "# x\n[limits]\n", "\n", "host_name = \"x\"\n"] {
        assert!(!policy_cf::is_cf(toml.as_bytes()), "{toml}");
    }
}

#[test]
fn who_the_files_of_tcp_wrappers_keep_out_is_denied_after_check_relay() {
    let policy = open(CF);
    let (code, status, text, by) = refused(ask(&policy, facts("192.0.2.99"), Ask::Connect));
    assert_eq!((code, status), (550, (5, 0, 0)));
    assert_eq!((text.as_str(), by.as_str()), ("Access denied", "tcpwrappers"));
    let Verdict::Refuse(refusal) = ask(&policy, facts("192.0.2.66"), Ask::Connect) else {
        panic!("let in")
    };
    assert_eq!(*refusal.by, *b"check_relay");
}

#[test]
fn a_user_who_sends_as_somebody_else_is_named_where_warnings_are_wanted() {
    let policy = open(&(CF.to_owned() + "O PrivacyOptions=authwarnings\nCtdaemon\n"));
    let warned = |uid, name: &[u8], address: &[u8]| {
        let origin = Origin::User { uid, name: name.into() };
        let parameters = policy::Parameters::default();
        let asked = Ask::Sender { address: address.into(), parameters };
        let verdict = ask(&policy, Facts { origin, ..facts("192.0.2.10") }, asked);
        let Verdict::Accept(acceptance) = verdict else { panic!("{verdict:?}") };
        acceptance.notes
    };
    let warning = [policy::Note::Warned(b"alice owned process doing -bs"[..].into())];
    for address in [&b"bob@example.test"[..], b"bob@remote.test", b""] {
        assert_eq!(warned(1000, b"alice", address), warning);
    }
    assert_eq!(warned(1000, b"alice", b"alice@example.test"), []);
    assert_eq!(warned(2, b"daemon", b"bob@remote.test"), []);
    assert_eq!(warned(0, b"root", b"bob@remote.test"), []);
}

#[test]
fn reports_may_have_ages_of_their_own_and_a_class_has_none() {
    let local = "V10\nMlocal, P=/bin/true, F=l, A=true $u\n";
    let days = |lines: &str| {
        let retry = open(&format!("{local}{lines}")).settings().retry;
        [false, true].map(|is_report| retry.ages(is_report).give_up_s / 86_400)
    };
    let urgent = "O Timeout.queuereturn.urgent=1d\nO Timeout.queuereturn.non-urgent=1d\n";
    assert_eq!(days(&format!("O Timeout.queuereturn=4d\n{urgent}")), [4, 4]);
    assert_eq!(days("O Timeout.queuereturn=4d\nO Timeout.queuereturn.dsn=1d\n"), [4, 1]);
    assert_eq!(days("O Timeout.queuereturn.normal=2d\n"), [2, 5]);
}
