//! The reference, the examples and the reader say the same.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop")]

use policy_toml::{SystemFacts, load};
use std::collections::BTreeSet;

const REFERENCE: &str = include_str!("../../../docs/ironpost-toml.md");

fn facts() -> SystemFacts {
    SystemFacts { host_name: b"here.example.org".to_vec(), is_root: true, ..SystemFacts::default() }
}

/// What is wrong with a file; warnings too.
fn complaints(name: &str, text: &str) -> String {
    match load(name, text.as_bytes(), &facts()) {
        Ok((_, warnings)) => warnings.render(false),
        Err(problems) => problems.render(false),
    }
}

/// The keys in the first column of the tables.
fn documented() -> BTreeSet<String> {
    let rows = REFERENCE.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split_once('`')).map(|(key, _)| key.to_owned()).collect()
}

/// The last block of the reference: a file with every key.
fn whole_file() -> &'static str {
    let (_, rest) = REFERENCE.split_once("```toml\n").unwrap();
    rest.split_once("```").unwrap().0
}

/// Keys that the reader says it knows, when it is asked for one that it does not.
fn known(table: Option<&str>) -> BTreeSet<String> {
    let (head, prefix) = match table {
        Some(table) => (format!("[{table}]\n"), format!("{table}.")),
        None => (String::new(), String::new()),
    };
    let Err(problems) = load("f", format!("{head}no_such_key = 1\n").as_bytes(), &facts()) else {
        panic!("an unknown key was taken");
    };
    let names =
        problems.problems.iter().flat_map(|problem| problem.help.split('`').skip(1).step_by(2));
    names.map(|name| format!("{prefix}{name}")).collect()
}

#[test]
fn every_key_of_the_reader_is_in_the_reference_and_no_other() {
    let tables = ["privacy", "limits", "timeouts", "queue", "log", "paths"];
    let mut all = known(None);
    for table in tables {
        assert!(all.remove(table), "{table}");
        all.extend(known(Some(table)));
    }
    assert_eq!(all, documented());
}

#[test]
fn the_whole_file_of_the_reference_is_right_and_has_every_key() {
    assert_eq!(complaints("reference", whole_file()), "");
    let (mut table, mut keys) = (String::new(), BTreeSet::new());
    for line in whole_file().lines() {
        if let Some(name) = line.strip_prefix('[') {
            name.trim_end_matches(']').clone_into(&mut table);
        } else if let Some((key, _)) = line.split_once(" = ") {
            keys.insert(match table.as_str() {
                "" => key.to_owned(),
                "routes" => "routes".to_owned(),
                table => format!("{table}.{key}"),
            });
        }
    }
    assert_eq!(keys, documented());
}

#[test]
fn the_defaults_of_the_reference_are_those_of_an_empty_file() {
    let (empty, _) = load("f", b"", &facts()).unwrap();
    let numbers: String = ["[limits]", "[timeouts]", "[queue]"]
        .iter()
        .map(|table| {
            let (_, rest) = whole_file().split_once(table).unwrap();
            format!("{table}{}", rest.split("\n[").next().unwrap())
        })
        .collect::<Vec<_>>()
        .join("\n");
    let (written, _) = load("f", numbers.as_bytes(), &facts()).unwrap();
    assert_eq!(empty.settings, written.settings);
}

#[test]
fn the_examples_are_right() {
    for (name, text) in [
        ("null-client", include_str!("../../../examples/null-client.toml")),
        ("small-site", include_str!("../../../examples/small-site.toml")),
        ("smart-host", include_str!("../../../examples/smart-host.toml")),
    ] {
        assert_eq!(complaints(name, text), "");
    }
}

#[test]
fn the_configuration_of_the_comparison_is_right_for_both_mailboxes() {
    for mailbox in ["mbox", "maildir"] {
        let text = include_str!("../../../bench/ironpost.toml")
            .replace("@PORT@", "2525")
            .replace("@SINK_PORT@", "2526")
            .replace("@MAILBOX@", mailbox)
            .replace("@SESSIONS@", "1000");
        assert_eq!(complaints("bench", &text), "");
        assert!(!text.contains('@'));
    }
}
