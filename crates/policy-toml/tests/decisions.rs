//! Who may send to whom, and where it goes, as the server asks it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop")]

use policy::{
    Ask, Facts, MailerId, Origin, Parameters, Policy, Question, Refusal, Resolved, Verdict,
};
use policy_toml::{SystemFacts, Tables, Target, TomlPolicy, load, zero};
use std::collections::BTreeMap;

const SITE: &str = r#"
host_name = "mx.example.org"
local_domains = ["example.org"]
relay_networks = ["192.0.2.0/24"]
relay_domains = ["relayed.example"]
[routes]
"closed.example" = "error: closed since May"
"relayed.example" = "[192.0.2.25]"
"#;

/// The tables of a small house.
#[derive(Default)]
struct House {
    users: Vec<&'static str>,
    aliases: BTreeMap<&'static str, Vec<Target>>,
    is_down: bool,
}

impl Tables for House {
    fn alias(&self, name: &[u8]) -> Result<Option<Vec<Target>>, String> {
        if self.is_down {
            Err("away".into())
        } else {
            Ok(self.aliases.get(std::str::from_utf8(name).unwrap_or("")).cloned())
        }
    }

    fn user(&self, name: &[u8]) -> Result<bool, String> {
        Ok(self.users.iter().any(|user| user.as_bytes() == name))
    }
}

fn to(address: &str) -> Target {
    Target::Address(address.as_bytes().to_vec())
}

fn site(text: &str, aliases: &[(&'static str, &[&str])]) -> TomlPolicy {
    let facts = SystemFacts { host_name: b"here".to_vec(), ..SystemFacts::default() };
    let (meaning, _) = load("f", text.as_bytes(), &facts)
        .unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    let lists = aliases
        .iter()
        .map(|(name, members)| (*name, members.iter().map(|member| to(member)).collect()));
    let house =
        House { users: vec!["anna", "bob", "root"], aliases: lists.collect(), is_down: false };
    TomlPolicy::new(meaning, Box::new(house))
}

fn question(peer: &str, ask: Ask) -> Question {
    let origin = Origin::Client {
        peer: peer.parse().unwrap(),
        local: "198.51.100.1:25".parse().unwrap(),
        name: b"mx.example.org"[..].into(),
        resolved: Resolved::Ok,
    };
    let facts = Facts {
        origin,
        daemon: 0,
        hello: b"example.org"[..].into(),
        is_esmtp: true,
        sender: Some(b"anna@example.org"[..].into()),
        recipients: 0,
        macros: Vec::new(),
    };
    Question { facts, ask }
}

fn recipient(
    policy: &TomlPolicy,
    peer: &str,
    address: &[u8],
) -> Result<(MailerId, String, String), Refusal> {
    match policy.judge(&question(peer, Ask::Recipient { address: address.into() })) {
        Verdict::Accept(acceptance) => {
            let route = acceptance.route.unwrap();
            let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
            Ok((route.mailer, text(&route.host), text(&route.user)))
        }
        Verdict::Refuse(refusal) => Err(refusal),
        Verdict::Discard { .. } | Verdict::Quarantine { .. } => panic!("neither"),
    }
}

const STRANGER: &str = "203.0.113.9:4000";
const FRIEND: &str = "192.0.2.9:4000";

#[test]
fn a_stranger_reaches_users_and_nobody_else() {
    let policy = site(SITE, &[]);
    for address in ["anna@example.org", "Anna+list@EXAMPLE.org", "bob@mx.example.org.", "anna"] {
        assert_eq!(
            recipient(&policy, STRANGER, address.as_bytes()).unwrap().0,
            MailerId(0),
            "{address}"
        );
    }
    let refusal = recipient(&policy, STRANGER, b"carl@example.org").unwrap_err();
    assert_eq!((refusal.code, refusal.status), (550, (5, 1, 1)));
    assert_eq!(&*refusal.text, b"<carl@example.org>... User unknown");
    let refusal = recipient(&policy, STRANGER, b"x@elsewhere.example").unwrap_err();
    assert_eq!((refusal.code, refusal.status), (550, (5, 7, 1)));
    assert_eq!(&*refusal.text, b"<x@elsewhere.example>... Relaying denied");
}

#[test]
fn no_trick_of_writing_makes_a_relay_of_it() {
    let policy = site(SITE, &[]);
    let tricks: [&[u8]; 20] = [
        b"x%elsewhere.example@example.org",
        b"x%elsewhere.example@[198.51.100.1]",
        b"x%elsewhere.example@relayed.example",
        b"elsewhere.example!x@relayed.example",
        b"\"x@elsewhere.example\"@relayed.example",
        b"x%elsewhere.example",
        b"elsewhere.example!x",
        b"elsewhere.example!x@example.org",
        b"\"x@elsewhere.example\"",
        b"\"x@elsewhere.example\"@example.org",
        b"\"x%elsewhere.example\"@example.org",
        b"x@elsewhere.example@example.org",
        b"x@elsewhere.example@",
        b"@example.org:x@elsewhere.example",
        b"x@elsewhere.example.",
        b"x@[203.0.113.7]",
        b"x@elsewhere.example\0@example.org",
        b"x@elsewhere.example\0.example.org",
        b"\"anna\"@elsewhere.example(@example.org)",
        b"anna\\@elsewhere.example@example.org",
    ];
    for trick in tricks {
        let refusal = recipient(&policy, STRANGER, trick).unwrap_err();
        assert!(refusal.code >= 550, "{}", String::from_utf8_lossy(trick));
        assert!(refusal.text.iter().all(|&octet| (b' '..0x7f).contains(&octet)));
    }
}

#[test]
fn who_may_send_out_is_a_matter_of_the_address_of_the_client() {
    let policy = site(SITE, &[]);
    let out = |peer| recipient(&policy, peer, b"x@elsewhere.example");
    let expected = (MailerId(1), "elsewhere.example".to_owned(), "x@elsewhere.example".to_owned());
    for peer in [FRIEND, "127.0.0.1:9", "[::1]:9", "[::ffff:192.0.2.4]:9"] {
        assert_eq!(out(peer).unwrap(), expected, "{peer}");
    }
    // The sender, the name and HELO of these questions are all ours, and it helps nobody.
    assert_eq!(out(STRANGER).unwrap_err().code, 550);
    // A friend may write to odd mailboxes of others: what they mean is for their server to say.
    assert_eq!(recipient(&policy, FRIEND, b"a!b%c@elsewhere.example").unwrap().0, MailerId(1));
    assert_eq!(
        recipient(&policy, FRIEND, b"a%elsewhere.example@example.org").unwrap_err().code,
        550
    );
}

#[test]
fn routes_and_relayed_domains_are_obeyed() {
    let policy = site(SITE, &[]);
    assert_eq!(recipient(&policy, STRANGER, b"x@Relayed.example").unwrap().1, "[192.0.2.25]");
    let refusal = recipient(&policy, FRIEND, b"x@closed.example").unwrap_err();
    assert_eq!(&*refusal.text, b"<x@closed.example>... closed since May");
    let policy = site("smart_host = \"127.0.0.1:2526\"", &[]);
    assert_eq!(
        recipient(&policy, "127.0.0.1:9", b"x@elsewhere.example").unwrap().1,
        "[127.0.0.1]:2526"
    );
}

#[test]
fn mail_for_the_postmaster_is_taken_and_has_a_reader() {
    for (text, reader) in [
        ("", "root"),
        ("postmaster = \"chief@elsewhere.example\"", "chief@elsewhere.example"),
        ("postmaster = \"Postmaster+x@here\"", "root"),
    ] {
        let policy = site(text, &[]);
        for address in ["postmaster", "Postmaster@localhost"] {
            assert!(recipient(&policy, STRANGER, address.as_bytes()).is_ok(), "{text} {address}");
            let route = policy.route(address.as_bytes()).unwrap();
            let expansion = policy.expand(address.as_bytes(), &route);
            assert_eq!(expansion.recipients.len(), 1);
            assert_eq!(&*expansion.recipients[0].route.user, reader.as_bytes());
        }
    }
}

/// Whom an alias reaches, and how many members lead nowhere.
fn reached(policy: &TomlPolicy, name: &str) -> (Vec<String>, usize) {
    let route = policy.route(name.as_bytes()).unwrap();
    let expansion = policy.expand(name.as_bytes(), &route);
    assert!(expansion.recipients.iter().all(|member| !member.route.expands));
    let mut names: Vec<_> = expansion
        .recipients
        .iter()
        .map(|member| String::from_utf8_lossy(&member.route.user).into_owned())
        .collect();
    names.sort();
    (names, expansion.refused.len())
}

#[test]
fn aliases_of_aliases_reach_everybody_once() {
    let policy = site(
        SITE,
        &[
            ("all", &["sales", "tech@example.org", "nobody@example.org"]),
            ("sales", &["anna", "bob"]),
            ("tech", &["anna", "x@elsewhere.example", "all"]),
            ("anna", &["anna@home.example"]),
            ("bob", &["bob", "bob@home.example"]),
            ("owner-all", &["anna"]),
        ],
    );
    // Anna's own line sends her mail away: that two lists name her leaves no copy in her mailbox here.
    let everybody = ["anna@home.example", "bob", "bob@home.example", "x@elsewhere.example"];
    assert_eq!(reached(&policy, "all"), (everybody.map(str::to_owned).to_vec(), 1));
    let route = policy.route(b"all").unwrap();
    assert_eq!(
        policy.expand(b"all", &route).owner.unwrap(),
        b"owner-all@mx.example.org"[..].into()
    );
}

#[test]
fn a_ring_of_aliases_ends_and_the_sender_hears_of_it() {
    let policy = site(SITE, &[("a", &["b"]), ("b", &["c"]), ("c", &["a"]), ("nothing", &[])]);
    assert_eq!(reached(&policy, "a"), (Vec::new(), 1));
    assert_eq!(reached(&policy, "nothing"), (Vec::new(), 1));
}

#[test]
fn tables_that_are_away_are_no_refusal() {
    let facts = SystemFacts::default();
    let (meaning, _) = load("f", b"host_name = 'h'", &facts).unwrap();
    let policy = TomlPolicy::new(meaning, Box::new(House { is_down: true, ..House::default() }));
    assert!(policy.route(b"anna").unwrap_err().is_temporary());
}

#[test]
fn without_a_file_every_domain_is_local_and_names_are_safe() {
    let facts = SystemFacts {
        host_name: b"h".to_vec(),
        data: Some("/data".into()),
        ..SystemFacts::default()
    };
    let policy = TomlPolicy::new(zero(&facts).unwrap(), Box::new(House::default()));
    for peer in ["127.0.0.1:9", STRANGER] {
        let expected = (MailerId(0), String::new(), "anyone".to_owned());
        assert_eq!(recipient(&policy, peer, b"Anyone+x@example.com").unwrap(), expected);
        for name in [
            &b"../x@example.com"[..],
            b".hidden@example.com",
            b"a/b@example.com",
            b"\"a b\"@example.com",
            b"+x@example.com",
        ] {
            assert!(recipient(&policy, peer, name).is_err(), "{}", String::from_utf8_lossy(name));
        }
    }
}

#[test]
fn vrfy_and_expn_tell_nothing_unless_the_owner_wants_it() {
    let ask = |policy: &TomlPolicy, ask| policy.judge(&question(STRANGER, ask));
    let policy = site(SITE, &[]);
    let verify = |argument: &[u8]| Ask::Verify { argument: argument.into() };
    assert_eq!(ask(&policy, verify(b"anna")), ask(&policy, verify(b"nobody")));
    assert!(matches!(
        ask(&policy, Ask::Expand { argument: b"all"[..].into() }),
        Verdict::Refuse(_)
    ));
    let policy = site("[privacy]\nvrfy = true", &[]);
    assert!(matches!(ask(&policy, verify(b"<anna>")), Verdict::Accept(_)));
    assert!(matches!(ask(&policy, verify(b"nobody")), Verdict::Refuse(_)));
}

proptest::proptest! {
    #[test]
    fn any_octets_from_a_stranger_end_here_or_nowhere(octets in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
        let policy = site(SITE, &[]);
        if let Ok((mailer, host, user)) = recipient(&policy, STRANGER, &octets) {
            assert!(mailer == MailerId(0) && ["anna", "bob", "root", "postmaster"].contains(&&*user) || host == "[192.0.2.25]");
        }
        drop(policy.judge(&question(STRANGER, Ask::Sender { address: octets.into(), parameters: Parameters::default() })));
    }

    #[test]
    fn signs_of_addresses_in_any_order_end_here_or_nowhere(text in "[ax@%!:.\"\\\\<>,]{0,12}(@example\\.org|@relayed\\.example|@elsewhere\\.example)?") {
        let policy = site(SITE, &[]);
        if let Ok((mailer, host, user)) = recipient(&policy, STRANGER, text.as_bytes()) {
            let is_plain = !user.contains(['%', '!', ':']) && user.matches('@').count() == 1;
            assert!(mailer == MailerId(0) || host == "[192.0.2.25]" && is_plain, "{}", text);
        }
    }
}

/// CVE-1999-0096: `decode` was an alias of a program that wrote files for strangers.
#[test]
fn decode_is_nobody_unless_the_owner_says_so() {
    let policy = site(SITE, &[]);
    for name in ["decode", "uudecode", "Decode"] {
        let address = format!("{name}@example.org").into_bytes().into();
        let verdict = policy.judge(&question("198.51.100.7:4711", Ask::Recipient { address }));
        assert!(matches!(verdict, Verdict::Refuse(Refusal { code: 550, .. })), "{verdict:?}");
    }
}
