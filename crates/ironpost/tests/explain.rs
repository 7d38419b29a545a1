//! `ironpost explain` and `ironpost check` as a user runs them, with a small site of our own.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder with the site's configuration and tables. Not below /tmp: sendmail's rules refuse maps there.
struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let site = Self { folder };
        let place = site.path("").display().to_string();
        let place = place.trim_end_matches('/').to_owned();
        site.write("site.cf", &include_str!("explain/site.cf").replace("DIR", &place));
        site.write(
            "access",
            "Connect:192.0.2.66 REJECT\nFrom:bulk@lists.test DISCARD\nTo:frank@example.test REJECT\nTo:joe@example.test HOLD\n",
        );
        site.write("mailertable", "partner.test mx.partner.test\nclosed.test error:nohost\n");
        site.write("virtusertable", "info@example.test anna@example.test\n");
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
    }

    fn run(&self, words: &[&str], input: &str) -> Output {
        run(&self.path("site.cf"), words, input)
    }

    /// What `explain` prints, with the folder's name taken out.
    fn explain(&self, words: &[&str]) -> (String, i32) {
        let output = self.run(&[&["explain"], words].concat(), "");
        let text = String::from_utf8(output.stdout).expect("ASCII");
        (
            text.replace(&self.path("").display().to_string(), "DIR/"),
            output.status.code().expect("ended"),
        )
    }

    fn first_line(&self, words: &[&str]) -> (String, i32) {
        let (text, code) = self.explain(words);
        (text.lines().next().unwrap_or_default().to_owned(), code)
    }

    fn json(&self, words: &[&str]) -> serde_json::Value {
        let (text, _) = self.explain(&[&["--json"], words].concat());
        serde_json::from_str(&text).expect("JSON")
    }
}

fn run(config: &Path, words: &[&str], input: &str) -> Output {
    let (command, rest) = words.split_first().expect("a command");
    let mut child = Command::new(env!("CARGO_BIN_EXE_ironpost"))
        .arg(command)
        .arg("--config")
        .arg(config)
        .args(rest)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("taken");
    child.wait_with_output().expect("ended")
}

#[test]
fn mail_to_another_host_names_mailer_host_and_user() {
    let site = Site::new();
    let (line, code) = site.first_line(&["anna@elsewhere.test"]);
    assert_eq!(
        line,
        "mail to anna@elsewhere.test goes by mailer esmtp to host elsewhere.test as user anna@elsewhere.test"
    );
    assert_eq!(code, 0);
}

#[test]
fn every_rule_that_fired_is_shown_with_its_line_and_text() {
    let site = Site::new();
    let (text, _) = site.explain(&["info@example.test"]);
    assert_eq!(text, include_str!("explain/info.txt"));
}

#[test]
fn a_refusal_names_the_rule_and_the_map_that_made_it() {
    let site = Site::new();
    let (line, code) = site.first_line(&["--client", "192.0.2.66,bad.test", "anna@example.test"]);
    assert_eq!(
        line,
        "mail to anna@example.test is refused: 550 5.7.1 Access denied, by check_relay, rule at site.cf:37, \
         because map access said REJECT for key Connect:192.0.2.66"
    );
    assert_eq!(code, 77);
}

#[test]
fn the_blame_is_on_the_inner_rule_not_on_those_that_hand_it_up() {
    let site = Site::new();
    let (line, _) = site.first_line(&["frank@example.test"]);
    assert_eq!(
        line,
        "mail to frank@example.test is refused: 550 5.2.1 Mailbox disabled for this recipient, by check_rcpt, \
         rule at site.cf:49, because map access said REJECT for key To:frank@example.test"
    );
}

#[test]
fn discarded_and_quarantined_mail_is_said_to_be_so() {
    let site = Site::new();
    let (line, code) = site.first_line(&["--from", "<bulk@lists.test>", "anna@example.test"]);
    assert!(line.starts_with("mail to anna@example.test is taken and thrown away, by check_mail"));
    assert_eq!(code, 0);
    let (line, _) = site.first_line(&["joe@example.test"]);
    assert!(line.ends_with("as user joe, but waits in quarantine: held for review"), "{line}");
}

#[test]
fn a_route_that_refuses_ends_with_its_status() {
    let site = Site::new();
    let (line, code) = site.first_line(&["x@closed.test"]);
    assert!(line.contains("is refused: 550 5.1.2 mail for this host is not taken"), "{line}");
    assert!(line.ends_with("because map mailertable said error:nohost for key closed.test"));
    assert_eq!(code, 68);
}

/// The login name that these tests run as.
fn login() -> String {
    let name = Command::new("id").arg("-un").output().expect("id").stdout;
    String::from_utf8(name).expect("ASCII").trim().to_owned()
}

#[test]
fn aliases_lists_and_forward_are_followed_to_their_ends_and_distrust_gives_its_reason() {
    let site = Site::new();
    let (place, user) = (site.path("").display().to_string(), login());
    let cf = fs::read_to_string(site.path("site.cf")).expect("read");
    let options = format!("O AliasFile={place}aliases\nO ForwardPath={place}forward.$u\n");
    let cf = cf.replace("O AliasFile=\n", &options).replace("F=lsDFMA:", "F=lsDFMAw5:");
    site.write("site.cf", &cf);
    site.write("aliases", &format!("staff: \\{user}, ann@far.test, :include:{place}list\n"));
    site.write("list", "x@far.test\n");
    let open_to_all = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    fs::set_permissions(site.path("list"), open_to_all).expect("changed");
    let (text, code) = site.explain(&["staff@example.test"]);
    for line in [
        format!("  to \\{user}: by mailer local as user \\{user}\n"),
        "  to ann@far.test: by mailer esmtp to host far.test as user ann@far.test\n".to_owned(),
        "  to :include:DIR/list: refused: 550 5.2.4 Cannot open DIR/list: ".to_owned(),
    ] {
        assert!(text.contains(&line), "{line} in {text}");
    }
    assert_eq!(code, 0);
    let name = format!("forward.{user}");
    site.write(&name, "ann@far.test\n");
    let (text, _) = site.explain(&[&format!("{user}@example.test")]);
    assert!(text.contains(&format!("goes on from there: {user} has it forwarded\n")), "{text}");
    let open_to_all = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    fs::set_permissions(site.path(&name), open_to_all).expect("changed");
    let (text, _) = site.explain(&[&format!("{user}@example.test")]);
    assert!(text.contains(&format!("goes by mailer local as user {user}\n")), "{text}");
    assert!(text.contains(&format!("forward: DIR/{name}: Group writable file")), "{text}");
}

#[test]
fn json_has_outcome_and_stages() {
    let site = Site::new();
    let value = site.json(&["--client", "192.0.2.1", "--from", "a@b.test", "x@partner.test"]);
    assert_eq!(value["outcome"]["kind"], "goes");
    assert_eq!(value["outcome"]["mailer"], "esmtp");
    assert_eq!(value["outcome"]["host"], "mx.partner.test");
    assert_eq!(value["outcome"]["sender"], "a@b.test");
    let names: Vec<&str> = value["stages"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|s| s["name"].as_str())
        .collect();
    assert_eq!(
        names,
        ["check_relay", "sender", "check_mail", "check_rcpt", "route", "sender for the mailer"]
    );
    let refused = site.json(&["frank@example.test"]);
    assert_eq!(refused["outcome"]["map"]["key"], "To:frank@example.test");
    assert_eq!(refused["outcome"]["rule"]["line"], 49);
}

#[test]
fn a_mailer_that_knows_its_users_refuses_others() {
    let site = Site::new();
    let text = fs::read_to_string(site.path("site.cf")).expect("read");
    site.write("site.cf", &text.replace("F=lsDFMA:", "F=lsDFMAw:"));
    let (line, code) = site.first_line(&["nobody-of-this-name@example.test"]);
    assert!(
        line.ends_with("is refused: 550 5.1.1 User unknown, by the users of this host"),
        "{line}"
    );
    assert_eq!(code, 67);
    assert_eq!(site.explain(&["root@example.test"]).1, 0);
}

#[test]
fn control_characters_never_reach_the_terminal() {
    let site = Site::new();
    let (text, _) = site.explain(&["-v", "a\x1b[31m\u{7}b@example.test"]);
    assert!(!text.bytes().any(|octet| octet.is_ascii_control() && octet != b'\n'));
    let value = site.json(&["a\x1b[31m\"\\b@example.test"]);
    assert!(value["address"].as_str().expect("text").contains("033"));
}

#[test]
fn only_what_differs_is_shown_beside_another_configuration() {
    let site = Site::new();
    let text = fs::read_to_string(site.path("site.cf")).expect("read");
    site.write(
        "other.cf",
        &text.replace("$#esmtp $@ $2 $: $1 < @ $2 >", "$#esmtp $@ relay.test $: $1 < @ $2 >"),
    );
    let other = site.path("other.cf").display().to_string();
    let input = "anna@example.test\nx@partner.test\n# a comment\n\nx@far.test\n";
    let output = site.run(&["explain", "--diff", &other], input);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "x@far.test\n  - goes by mailer esmtp to host far.test as user x@far.test\n  + goes by mailer esmtp to host relay.test as user x@far.test\n"
    );
    assert_eq!(output.status.code(), Some(1));
    let same = site.path("site.cf").display().to_string();
    let output = site.run(&["explain", "--diff", &same], input);
    assert_eq!((output.stdout.len(), output.status.code()), (0, Some(0)));
}

#[test]
fn wrong_flags_and_missing_files_have_their_own_statuses() {
    let site = Site::new();
    assert_eq!(site.explain(&["--client", "not-an-address", "x@y.test"]).1, 64);
    assert_eq!(run(&site.path("none.cf"), &["explain", "x@y.test"], "").status.code(), Some(78));
}

#[test]
fn an_ironpost_toml_is_explained_too() {
    let site = Site::new();
    site.write("ironpost.toml", "smart_host = \"relay.example.test\"\n");
    let output = run(&site.path("ironpost.toml"), &["explain", "anna@far.test"], "");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "mail to anna@far.test goes by mailer relay to host relay.example.test as user anna@far.test\n"
    );
}

#[test]
fn a_site_that_is_right_is_said_to_be_so_and_no_more() {
    let site = Site::new();
    let output = site.run(&["check"], "");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let ours: Vec<&str> =
        text.lines().filter(|line| !line.starts_with("WARNING: local host")).collect();
    let name = site.path("site.cf").display().to_string();
    assert_eq!(ours, [format!("{name}: right")]);
    assert_eq!(output.status.code(), Some(0));
}

/// Adds lines to the site's configuration and gives what `check --json` finds.
fn findings(site: &Site, more: &str) -> (serde_json::Value, Option<i32>) {
    let text = fs::read_to_string(site.path("site.cf")).expect("read");
    site.write("site.cf", &format!("{text}{more}"));
    let output = site.run(&["check", "--json"], "");
    let value = serde_json::from_slice(&output.stdout).expect("JSON");
    (value, output.status.code())
}

#[test]
fn an_unknown_option_is_told_with_place_and_nearest_name() {
    let (value, code) = findings(&Site::new(), "O MaxMesageSize=1\n");
    let finding = &value["findings"][0];
    assert_eq!(finding["level"], "error");
    assert_eq!((&finding["line"], &finding["column"]), (&52.into(), &3.into()));
    assert_eq!(finding["hint"], "did you mean MaxMessageSize?");
    assert!(value["said"].to_string().contains("readcf: unknown option name MaxMesageSize"));
    assert_eq!(code, Some(78));
}

#[test]
fn macros_rule_sets_and_rules_that_lead_nowhere_are_told() {
    let more = "Sown\nR$* foo\t$@ $1\nR$* foo\t$: $&{nobody_sets_me}\nR$* bar\t$@ $>absent $1\n";
    let (value, code) = findings(&Site::new(), more);
    let found: Vec<(i64, i64, &str)> = value["findings"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| {
            let number = |name: &str| one[name].as_i64().expect("a number");
            (number("line"), number("column"), one["what"].as_str().expect("text"))
        })
        .collect();
    assert_eq!(
        found,
        [
            (54, 1, "this rule can never match"),
            (54, 12, "macro nobody_sets_me is used, and nothing sets it"),
            (55, 12, "rule set absent is called, and there is none"),
        ]
    );
    assert_eq!(code, Some(0));
}

#[test]
fn maps_that_are_missing_old_or_open_to_all_and_mailers_of_root_are_told() {
    let site = Site::new();
    let place = site.path("").display().to_string();
    site.write("old.db", "");
    site.write("old", "");
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_hours(1);
    let table = fs::File::options().append(true).open(site.path("old.db")).expect("opened");
    table.set_modified(long_ago).expect("changed");
    site.write("open", "");
    let open_to_all = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    fs::set_permissions(site.path("open"), open_to_all).expect("changed");
    let more = format!(
        "Kmissing hash {place}missing\nKold hash {place}old\nKopen text {place}open\nMboss, P=/bin/true, U=root, A=true\n"
    );
    let (value, _) = findings(&site, &more);
    let all = value["findings"].to_string().replace(&place, "");
    for wanted in [
        "there is no file missing.db",
        "makemap hash missing < missing",
        "old.db is older than old",
        "everybody may write open",
        "mailer boss runs as root (U=)",
    ] {
        assert!(all.contains(wanted), "{wanted}: {all}");
    }
}

#[test]
fn options_without_use_here_are_notes() {
    let site = Site::new();
    let (value, _) = findings(&site, "O ForkEachJob=True\n");
    assert_eq!(value["findings"][0]["level"], "note");
    assert_eq!(value["findings"][0]["what"], "option ForkEachJob is not needed");
    let output = site.run(&["check"], "");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!text.contains("ForkEachJob") && text.contains("1 note"), "{text}");
}

/// The recorded configurations lie beside the checkout; where they are not, there is nothing to look at.
#[test]
fn configurations_made_by_sendmails_own_m4_files_make_no_noise() {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/oracle/golden-public/cf");
    for name in ["debian-mta.cf", "debian-msp.cf", "generic.cf", "access.cf", "smarthost.cf"] {
        let file = folder.join(name);
        if !file.exists() {
            continue;
        }
        let output = run(&file, &["check", "--json"], "");
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let findings = value["findings"].as_array().expect("a list");
        // The maps that they name are on another host.
        let is_loud = |one: &&serde_json::Value| {
            one["level"] != "note" && !one["what"].to_string().contains("there is no file")
        };
        let loud: Vec<&serde_json::Value> = findings.iter().filter(is_loud).collect();
        assert!(loud.is_empty(), "{name}: {loud:?}");
    }
}
