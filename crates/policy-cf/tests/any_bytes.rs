//! Whatever stands in a configuration, or is typed in address test mode, is answered: no panic, and within bounds.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_docs_in_private_items,
    reason = "a test may stop"
)]

use policy_cf::load::{self, Facts};
use policy_cf::test_mode::{Session, TestMode};
use policy_cf::{Answer, Config, Machine, MapHandle, MapSpec, OpenFailure, World};
use proptest::prelude::*;

/// A world without files, names and users: every map is there and empty.
struct Nothing;

impl World for Nothing {
    fn open(&mut self, _: &MapSpec) -> Result<MapHandle, OpenFailure> {
        Ok(MapHandle(0))
    }
    fn lookup(&mut self, _: MapHandle, _: &[u8], _: &[&[u8]], _: &mut Vec<u8>) -> Answer {
        Answer::NotFound(68)
    }
    fn now_s(&mut self) -> u64 {
        0
    }
}

/// Reads a configuration, types the lines, gives what is shown.
fn play(file: &[u8], lines: &[&[u8]]) -> Vec<u8> {
    let mut world = Nothing;
    let mut machine = Machine::new(Config::default(), &mut world);
    machine.is_test = true;
    let facts = Facts { host: b"mail.example.test".to_vec(), ..Facts::default() };
    load::prepare(&mut machine, &facts);
    load::read(&mut machine, b"cf", file);
    load::finish(&mut machine);
    machine.out.clear();
    let mut mode = TestMode::begin(&mut machine);
    machine.out.clear();
    for line in lines {
        if mode.command(&mut machine, line) == Session::Ends {
            break;
        }
    }
    machine.out.clone()
}

const HEAD: &str = "V10/Berkeley\nO OperatorChars=.:@%!\nMlocal, P=/x, F=l, S=1, R=2, A=x $u\nC{G}green dark.green\n";

fn shown(rules: &str, line: &str) -> String {
    let file = format!("{HEAD}SX\n{rules}\n");
    String::from_utf8_lossy(&play(file.as_bytes(), &[line.as_bytes()])).into_owned()
}

#[test]
fn wildcards_take_as_little_as_they_can() {
    let text = shown("R$* . $*\t$@ <$1> <$2>", "X a.b.c");
    assert_eq!(
        text,
        "X                  input: a . b . c\nX                returns: < a > < b . c >\n"
    );
}

#[test]
fn a_class_takes_phrases_of_several_tokens() {
    assert!(
        shown("R$* $={G} $*\t$@ <$1> <$2> <$3>", "X a dark.green b")
            .ends_with("returns: < a > < dark . green > < b >\n")
    );
    assert!(shown("R$={G}\t$@ <$1>", "X dark.GREEN").ends_with("returns: < dark . GREEN >\n"));
}

#[test]
fn a_rule_that_matches_for_ever_ends_with_a_message() {
    assert!(shown("R$*\t$1 x", "X a").contains("Infinite loop in ruleset X, rule 1\n"));
}

#[test]
fn rule_sets_that_call_each_other_for_ever_end_with_a_message() {
    let text = shown("R$*\t$: $>X $1", "X a");
    assert!(text.contains("rewrite: excessive recursion (max 50), ruleset X\n"));
}

#[test]
fn a_pattern_made_to_backtrack_ends() {
    let many = "a.".repeat(120);
    let text = shown("R$* $* $* $* $* $* $* $* $* nothing\t$1", &format!("X {many}"));
    assert!(text.contains("returns:"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_configuration_is_read(file in proptest::collection::vec(any::<u8>(), 0..600)) {
        play(&file, &[b"3,0 a@b", b"=S0", b"=M", b"$j"]);
    }

    #[test]
    fn any_lines_of_known_kinds_are_read(lines in proptest::collection::vec(
        "[DCFHKMOPQRSTVXE][ -~\t]{0,60}", 0..24,
    )) {
        play(lines.join("\n").as_bytes(), &[b"3,0 a@b", b"/parse x@y", b"/try local z", b"=M"]);
    }

    #[test]
    fn any_command_is_answered(line in proptest::collection::vec(any::<u8>(), 0..400)) {
        let file = format!("{HEAD}S3\nR$*<$*>$*\t$2\nS0\nR$+\t$#local $: $1\n");
        play(file.as_bytes(), &[&line, b"3,0 a", b"/parse a <b@c> (d)"]);
    }

    #[test]
    fn any_address_is_scanned_and_cracked(address in proptest::collection::vec(any::<u8>(), 0..300)) {
        let file = format!("{HEAD}S3\nS0\nR$+\t$#local $: $1\n");
        let mut line = b"/parse ".to_vec();
        line.extend_from_slice(&address);
        play(file.as_bytes(), &[&line]);
    }
}
