//! What a wrong file is told.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop")]

use policy_toml::{Problems, SystemFacts, load};

fn wrong(text: &[u8]) -> Problems {
    let Err(problems) = load("f.toml", text, &SystemFacts::default()) else { panic!("taken") };
    assert!(!problems.is_right());
    problems
}

fn first_lines(text: &str) -> Vec<String> {
    let rendered = wrong(text.as_bytes()).render(false);
    rendered.lines().filter(|line| line.starts_with("f.toml:")).map(str::to_owned).collect()
}

#[test]
fn a_wrong_key_has_its_place_and_the_key_that_was_meant() {
    let problems = wrong(b"\n  host_nam = 'x'\n");
    let text = problems.render(false);
    assert!(text.starts_with("f.toml:2:3: unknown field `host_nam`"), "{text}");
    assert!(text.contains("did you mean `host_name`?"), "{text}");
    assert!(text.contains("host_nam = 'x'"), "the line is shown: {text}");
    assert!(!wrong(b"zzzzzzzzzz = 1").render(false).contains("did you mean"));
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let form = first_lines(
        "hostname = 'x'\nlisten = 3\ndelivery = 7\n[limits]\nhops_max = 'a'\nsessions = 1\n[log]\njson = 1\n",
    );
    assert_eq!(form.len(), 6, "{form:#?}");
    let meaning = first_lines(
        "relay_networks = ['10.0.0.0/33', 'x']\nsmart_host = 'a b'\naliases = 'x'\nlisten = ['25']\nlocal_users = 'all'\n[routes]\n'a..b' = 'local'\n'c' = '?'\n",
    );
    assert_eq!(meaning.len(), 8, "{meaning:#?}");
}

#[test]
fn numbers_have_bounds() {
    assert_eq!(
        first_lines("[limits]\nsessions_max = 0\nrecipients_max = 1001\n[queue]\nfirst_s = 0\n")
            .len(),
        3
    );
}

#[test]
fn syntax_that_is_none_and_octets_that_are_no_text_have_a_place() {
    assert!(wrong(b"a = \n").render(false).starts_with("f.toml:1:"));
    assert!(wrong(b"# \xff\n").render(false).starts_with("f.toml:1:3: an octet that is not UTF-8"));
}

#[test]
fn any_name_needs_a_folder_or_lmtp() {
    assert_eq!(first_lines("local_users = 'any'").len(), 1);
    for right in [
        "local_users = 'any'\nmailbox = '/m'",
        "local_users = 'any'\ndelivery = { lmtp = 'unix:/run/lmtp' }",
    ] {
        assert!(
            load(
                "f",
                right.as_bytes(),
                &SystemFacts { host_name: b"h".to_vec(), ..SystemFacts::default() }
            )
            .is_ok()
        );
    }
}

#[test]
fn the_whole_world_as_a_relay_network_is_a_warning() {
    for network in ["0.0.0.0/0", "::/0"] {
        let text = format!("relay_networks = ['{network}']");
        let (_, warnings) = load("f.toml", text.as_bytes(), &SystemFacts::default()).unwrap();
        assert!(
            warnings.render(false).starts_with("f.toml:1:19: warning: "),
            "{}",
            warnings.render(false)
        );
    }
}

proptest::proptest! {
    #[test]
    fn any_octets_are_a_configuration_or_problems(octets in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        if let Err(problems) = load("f", &octets, &SystemFacts::default()) {
            assert!(!problems.render(true).is_empty());
        }
    }

    #[test]
    fn signs_of_toml_in_any_order_are_a_configuration_or_problems(text in "([\\[\\]{}='\",.#\n ]|limits|listen|routes|local_users|1|0x|é|\\\\|\r){0,40}") {
        if let Err(problems) = load("f", text.as_bytes(), &SystemFacts::default()) {
            assert!(!problems.render(false).is_empty());
        }
    }
}
