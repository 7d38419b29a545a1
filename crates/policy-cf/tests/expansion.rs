//! Who stands behind a name: aliases, lists and `.forward` as sendmail follows them, and any octets in them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_docs_in_private_items,
    reason = "a test may stop"
)]

use policy_cf::expand::{
    Expansion, How, List, ListFault, ListFaultKind, ListWanted, Outside, State, Writers, expand,
};
use policy_cf::load::{self, Facts};
use policy_cf::{
    Answer, Config, Machine, MapHandle, MapSpec, OpenFailure, Unavailable, UserEntry, World,
};
use proptest::prelude::*;
use std::collections::HashMap;
use std::time::{Duration, Instant};

const CF: &[u8] = b"V10/Berkeley
O AliasFile=/aliases
O ForwardPath=$z/.forward
O OldStyleHeaders=True
Troot
Mlocal, P=/bin/cat, F=lsDFMAw5:/|@qSPn9, A=cat $u
Mprog, P=/bin/sh, F=lsDFM, A=sh -c $u
Mesmtp, P=[IPC], F=mDFMuXa, A=TCP $h
S0
R$+ @ $+\t$#esmtp $@ $2 $: $1 @ $2
R$+\t$#local $: $1
S3
R$* < $+ > $*\t$: $2
S4
";

#[derive(Default)]
struct Town {
    aliases: HashMap<Vec<u8>, Vec<u8>>,
    users: Vec<&'static str>,
}

impl World for Town {
    fn open(&mut self, _: &MapSpec) -> Result<MapHandle, OpenFailure> {
        Ok(MapHandle(0))
    }
    fn lookup(&mut self, _: MapHandle, key: &[u8], _: &[&[u8]], _: &mut Vec<u8>) -> Answer {
        match self.aliases.get(key) {
            Some(value) => Answer::Found(value.clone()),
            None => Answer::NotFound(0),
        }
    }
    fn user(&mut self, name: &[u8]) -> Result<Option<UserEntry>, Unavailable> {
        if name == b"unknowable" {
            return Err(Unavailable);
        }
        let at = self.users.iter().position(|user| user.as_bytes() == name);
        Ok(at.map(|at| UserEntry {
            name: name.to_vec(),
            uid: 1000 + u32::try_from(at).unwrap(),
            gid: 1000,
            gecos: b"& Example, room 1".to_vec(),
            home: [b"/home/", name].concat(),
            shell: b"/bin/false".to_vec(),
        }))
    }
    fn now_s(&mut self) -> u64 {
        0
    }
}

#[derive(Default)]
struct Files {
    files: HashMap<Vec<u8>, Vec<u8>>,
}

impl Outside for Files {
    fn read_list(&mut self, wanted: &ListWanted<'_>) -> Result<List, ListFault> {
        let Some(octets) = self.files.get(wanted.path) else {
            let text = b"No such file or directory".to_vec();
            return Err(ListFault { text, kind: ListFaultKind::Missing });
        };
        Ok(List {
            octets: octets.clone(),
            uid: 0,
            gid: 0,
            writers: Writers::Owner,
            is_owner_sure: true,
        })
    }
    fn shells(&mut self) -> Vec<Vec<u8>> {
        vec![b"/bin/sh".to_vec()]
    }
    fn user_by_id(&mut self, _: u32) -> Option<UserEntry> {
        None
    }
    fn find_user(&mut self, _: &mut dyn FnMut(&UserEntry) -> bool) -> Option<UserEntry> {
        None
    }
}

struct Seen {
    endpoints: Vec<String>,
    said: Vec<String>,
    expansion: Expansion,
}

fn run(aliases: &[(&str, &[u8])], files: &[(&str, &[u8])], lists: &[&[u8]], how: &How) -> Seen {
    let mut town = Town { users: vec!["alice", "bob", "carol"], ..Town::default() };
    for (name, value) in aliases {
        town.aliases.insert(name.as_bytes().to_vec(), value.to_vec());
    }
    let mut outside = Files::default();
    for (path, text) in files {
        outside.files.insert(path.as_bytes().to_vec(), text.to_vec());
    }
    let mut machine = Machine::new(Config::default(), &mut town);
    load::prepare(&mut machine, &Facts { host: b"mx.example".to_vec(), ..Facts::default() });
    load::read(&mut machine, b"t.cf", CF);
    load::finish(&mut machine);
    machine.out.clear();
    machine.journal = Some(Vec::new());
    let expansion = expand(&mut machine, &mut outside, lists, how);
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let endpoints = expansion.endpoints().map(|end| text(&end.member.address)).collect();
    let journal = machine.journal.take().unwrap();
    let said = journal.iter().map(|said| text(&said.reply(b"554", b"5.0.0"))).collect();
    Seen { endpoints, said, expansion }
}

fn ends(aliases: &[(&str, &[u8])], files: &[(&str, &[u8])], list: &[u8]) -> Vec<String> {
    run(aliases, files, &[list], &How::default()).endpoints
}

#[test]
fn a_list_is_followed_and_each_name_comes_once() {
    let aliases: [(&str, &[u8]); 2] = [("all", b"alice, bob, team"), ("team", b"bob, x@y.example")];
    assert_eq!(ends(&aliases, &[], b"all"), ["bob", "alice", "x@y.example"]);
}

#[test]
fn a_loop_without_a_mailbox_is_broken_and_one_with_a_mailbox_ends_there() {
    let circle: [(&str, &[u8]); 2] = [("a", b"b"), ("b", b"a")];
    let seen = run(&circle, &[], &[b"a"], &How::default());
    assert!(seen.endpoints.is_empty());
    assert_eq!(seen.said, ["554 5.4.6 aliasing/forwarding loop broken"]);
    let own: [(&str, &[u8]); 1] = [("alice", b"alice, x@y.example")];
    assert_eq!(ends(&own, &[], b"alice"), ["alice", "x@y.example"]);
    let forward: [(&str, &[u8]); 2] =
        [("/home/alice/.forward", b"bob\n"), ("/home/bob/.forward", b"alice\n")];
    assert_eq!(ends(&[], &forward, b"alice"), ["alice", "bob"]);
}

#[test]
fn a_backslash_ends_the_way() {
    let files: [(&str, &[u8]); 1] = [("/home/alice/.forward", b"\\alice, x@y.example\n")];
    assert_eq!(ends(&[("bob", b"alice")], &files, b"bob"), ["\\alice", "x@y.example"]);
}

#[test]
fn programs_are_not_for_strangers_nor_for_users_without_a_shell() {
    let seen = run(&[], &[], &[b"\"|/bin/cat\""], &How::default());
    assert_eq!(seen.said, ["550 5.7.1 \"|/bin/cat\"... Cannot mail directly to programs"]);
    let files: [(&str, &[u8]); 1] = [("/home/alice/.forward", b"\"|/bin/cat\"\n")];
    let seen = run(&[], &files, &[b"alice"], &How::default());
    assert!(seen.said[0].contains("doesn't have a valid shell for mailing to programs"));
    let seen = run(&[("p", b"\"|/bin/cat\"")], &[], &[b"p"], &How::default());
    assert_eq!(seen.endpoints, ["\"|/bin/cat\""]);
    assert_eq!(seen.expansion.endpoints().next().unwrap().ids.unwrap().uid, 1);
}

#[test]
fn the_owner_of_a_list_gets_its_errors() {
    let aliases: [(&str, &[u8]); 2] = [("list", b"x@y.example"), ("owner-list", b"carol")];
    let seen = run(&aliases, &[], &[b"list"], &How::default());
    assert_eq!(seen.expansion.endpoints().next().unwrap().owner, Some(&b"carol"[..]));
}

#[test]
fn a_user_nobody_can_tell_of_waits() {
    let seen = run(&[("all", b"alice, unknowable")], &[], &[b"all"], &How::default());
    let states: Vec<State> = seen.expansion.in_order().map(|member| member.state).collect();
    assert_eq!(states, [State::Expanded, State::Deferred, State::Deliverable]);
    assert!(seen.said.is_empty(), "{:?}", seen.said);
}

#[test]
fn a_sender_who_wants_none_of_his_own_mail_is_left_out_of_lists_with_all_behind_him() {
    let aliases: [(&str, &[u8]); 2] = [("all", b"bob, alice, carol"), ("alone", b"alice")];
    let files: [(&str, &[u8]); 1] = [("/home/alice/.forward", b"x@y.example\n")];
    let how = How { left_out: Some(b"alice".to_vec()), ..How::default() };
    let seen = run(&aliases, &files, &[b"all"], &how);
    assert_eq!(seen.endpoints, ["carol", "bob"]);
    assert!(seen.expansion.left_out_sender && seen.said.is_empty());
    // Who names himself is meant.
    assert_eq!(run(&aliases, &files, &[b"alice"], &how).endpoints, ["x@y.example"]);
    let seen = run(&aliases, &files, &[b"alone"], &how);
    assert!(seen.endpoints.is_empty() && seen.said.is_empty(), "{:?}", seen.said);
}

#[test]
fn vrfy_follows_nothing() {
    let how = How { only_verifies: true, ..How::default() };
    let seen = run(&[("all", b"alice, bob")], &[], &[b"all"], &how);
    let states: Vec<State> = seen.expansion.in_order().map(|member| member.state).collect();
    assert_eq!(states, [State::Verified]);
}

#[test]
fn a_chain_that_is_too_deep_is_refused() {
    let names: Vec<(String, Vec<u8>)> =
        (0..40).map(|n| (format!("n{n}"), format!("n{}", n + 1).into_bytes())).collect();
    let aliases: Vec<(&str, &[u8])> =
        names.iter().map(|(name, next)| (name.as_str(), next.as_slice())).collect();
    let seen = run(&aliases, &[], &[b"n0"], &How::default());
    assert!(seen.said[0].ends_with("aliasing/forwarding loop broken (11 aliases deep; 10 max)"));
}

#[test]
fn a_long_list_is_followed_in_good_time_and_each_name_is_delivered_once() {
    let mut text = Vec::new();
    for n in 0..5_000 {
        text.extend_from_slice(format!("user{}@example.org\n", n % 4_000).as_bytes());
    }
    let started = Instant::now();
    let seen = run(&[("all", b":include:/l")], &[("/l", &text)], &[b"all"], &How::default());
    assert_eq!(seen.endpoints.len(), 4_000);
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn any_octets_in_aliases_lists_and_forward_files_come_to_an_end(
        alias in proptest::collection::vec(any::<u8>(), 0..200),
        list in proptest::collection::vec(any::<u8>(), 0..300),
        forward in proptest::collection::vec(any::<u8>(), 0..200),
        asked in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let aliases: [(&str, &[u8]); 3] =
            [("all", &alias), ("a", b"alice, all, :include:/l"), ("b", b"a, b, bob")];
        let files: [(&str, &[u8]); 2] = [("/l", &list), ("/home/alice/.forward", &forward)];
        let seen = run(&aliases, &files, &[b"b", &asked], &How::default());
        prop_assert!(seen.expansion.members.len() < 20_000);
    }

    #[test]
    fn names_that_lead_to_each_other_in_any_way_come_to_an_end(
        ways in proptest::collection::vec(proptest::collection::vec(0..6_usize, 0..5), 6),
    ) {
        let names = ["a", "b", "c", "alice", "bob", "/home/alice/.forward"];
        let texts: Vec<Vec<u8>> = ways
            .iter()
            .map(|way| way.iter().map(|at| names[*at]).collect::<Vec<_>>().join(", ").into_bytes())
            .collect();
        let aliases: Vec<(&str, &[u8])> =
            names.iter().zip(&texts).take(5).map(|(name, text)| (*name, text.as_slice())).collect();
        let files: [(&str, &[u8]); 1] = [(names[5], &texts[5])];
        let seen = run(&aliases, &files, &[b"a,b,c,alice,bob"], &How::default());
        prop_assert!(seen.expansion.members.len() < 20_000);
    }
}
