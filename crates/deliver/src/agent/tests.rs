//! Programs of all kinds, as shell scripts.

use super::*;
use crate::Body;

fn program(script: &str) -> Program {
    // What is not for the shell is for us.
    let script = script.replace('$', "$$");
    let arguments = ["sh", "-c", &script, "name", "$u", "at $h"];
    Program {
        path: b"/bin/sh"[..].into(),
        arguments: arguments.iter().map(|argument| argument.as_bytes().into()).collect(),
        is_lmtp: false,
        ids: None,
        folders: b"/nowhere:/tmp"[..].into(),
        root: Box::default(),
        nice: 0,
        wait_s: 2,
    }
}

fn run_with(script: &str, flags: &[u8], user: &[u8]) -> Outcome {
    let body = Body::Bytes(b"Subject: x\r\n\r\nFrom me\r\nend\r\n");
    let job = Job {
        sender: b"a@b.test",
        separator: b"",
        is_sender_named: true,
        recipient: b"u@here.test",
        user,
        body,
        form: None,
    };
    run_job(script, flags, &job)
}

fn run_job(script: &str, flags: &[u8], job: &Job<'_>) -> Outcome {
    let program = program(script);
    let flags = flags.iter().fold(MailerFlags::default(), |flags, &flag| flags.with(flag));
    let agent = Agent {
        program: &program,
        mailer: b"prog",
        flags,
        line_end: b"",
        home: None,
        our_name: b"here.test",
        offset_s: 0,
        is_alone: false,
        spool: None,
    };
    agent.run(0, job, b"host.test")
}

fn run(script: &str) -> Outcome {
    run_with(script, b"", b"u")
}

/// What a script prints that asks for another try: its first line.
fn said(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Later { trouble, .. } => String::from_utf8_lossy(&trouble.text).into_owned(),
        Outcome::Delivered { .. } | Outcome::Relayed { .. } | Outcome::Never(_) => {
            format!("{outcome:?}")
        }
    }
}

#[test]
fn a_program_gets_its_arguments_and_the_message_in_the_form_of_its_flags() {
    let shown = |flags: &[u8]| said(&run_with("tr '\\n' '|'; echo \" $*\"; exit 75", flags, b"u"));
    assert_eq!(shown(b"n"), "Subject: x||From me|end| u at host.test");
    assert_eq!(
        shown(b"EPb"),
        "From a@b.test Thu Jan  1 00:00:00 1970|Return-Path: <a@b.test>|Subject: x||>From me|end|| u at host.test"
    );
    assert_eq!(said(&run("pwd; exit 75")), "/tmp");
    assert_eq!(said(&run("env | grep -c . | grep -qx 0 || echo $AGENT; exit 75")), "sendmail");
}

#[test]
fn a_program_gets_the_line_of_the_configuration_before_the_message() {
    let body = Body::Bytes(b"Subject: x\r\n\r\n");
    let job = Job {
        sender: b"a@b.test",
        separator: b"from a, whenever",
        is_sender_named: true,
        recipient: b"u@here.test",
        user: b"u",
        body,
        form: None,
    };
    let shown = |flags: &[u8]| said(&run_job("tr '\\n' '|'; exit 75", flags, &job));
    assert_eq!(shown(b""), "from a, whenever|Subject: x||");
    assert_eq!(shown(b"n"), "Subject: x||");
}

#[test]
fn exit_codes_are_outcomes() {
    assert!(matches!(run("cat >/dev/null"), Outcome::Delivered { .. }));
    let Outcome::Never(trouble) = run("echo whoever; exit 67") else { panic!("not refused") };
    assert_eq!((trouble.status, &*trouble.text), (Status(5, 1, 1), &b"User unknown"[..]));
    let said = trouble.said.unwrap();
    assert_eq!(&*said.reply, b"550 5.1.1 User unknown\nwhoever");
    let Outcome::Never(trouble) = run("exit 3") else { panic!("not refused") };
    assert_eq!(&*trouble.text, b"unknown mailer error 3");
    assert!(matches!(run("kill -9 $$"), Outcome::Later { .. }));
}

#[test]
fn a_program_that_never_ends_or_never_reads_or_prints_for_ever_costs_its_time_and_no_more() {
    let before = Instant::now();
    assert_eq!(said(&run("sleep 60")), "program took too long and was ended");
    assert_eq!(said(&run("while :; do echo y; done")), "program took too long and was ended");
    // Its child keeps the pipe, and goes with it.
    assert!(matches!(run("sleep 60 & exit 0"), Outcome::Delivered { .. }));
    assert!(before.elapsed() < Duration::from_secs(20));
}

#[test]
fn an_address_is_never_an_option() {
    assert!(matches!(run_with("exit 0", b"", b"-rf"), Outcome::Never(_)));
    assert!(matches!(run_with("exit 0", b"", b"a\0b"), Outcome::Never(_)));
}

#[test]
fn nothing_of_a_message_is_in_the_environment_of_a_program() {
    let shown = said(&run("env | cut -d= -f1 | sort | tr '\\n' ' '; exit 75"));
    let allowed = ["AGENT", "HOME", "PATH", "PWD", "SHLVL", "TZ", "_", "OLDPWD"];
    assert!(shown.split_whitespace().all(|name| allowed.contains(&name)), "{shown}");
}

fn append(path: &std::path::Path) -> Outcome {
    let arguments = [b"FILE".as_slice(), b"$u"].map(Box::from).into();
    let program = Program { path: FILE.into(), arguments, ..program("") };
    let flags = MailerFlags::default().with(b'E');
    let agent = Agent {
        program: &program,
        mailer: b"prog",
        flags,
        line_end: b"",
        home: None,
        our_name: b"here.test",
        offset_s: 0,
        is_alone: false,
        spool: None,
    };
    let body = Body::Bytes(b"Subject: x\r\n\r\nFrom me\r\n");
    let user = path.as_os_str().as_encoded_bytes();
    agent.run(
        0,
        &Job {
            sender: b"a@b.test",
            separator: b"",
            is_sender_named: true,
            recipient: b"u@here.test",
            user,
            body,
            form: None,
        },
        b"",
    )
}

#[test]
fn mail_goes_into_plain_files_only() {
    let folder = tempfile::TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let is_refused = |name: &str| matches!(append(&at(name)), Outcome::Never(_));
    for _ in 0..2 {
        assert!(matches!(append(&at("new")), Outcome::Delivered { .. }));
    }
    let text = std::fs::read_to_string(at("new")).unwrap();
    assert_eq!(text.matches("From a@b.test ").count(), 2);
    assert_eq!(text.matches("\n>From me\n").count(), 2);
    std::os::unix::fs::symlink(at("new"), at("link")).unwrap();
    assert!(is_refused("link"), "a link may lead anywhere");
    std::fs::hard_link(at("new"), at("second")).unwrap();
    assert!(is_refused("new"), "a file with two names may be somebody's");
    std::fs::remove_file(at("second")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(at("new"), mode).unwrap();
    assert!(is_refused("new"), "a program would run what a stranger wrote");
    assert!(is_refused("none/new") && is_refused(""));
    assert_eq!(std::fs::read_to_string(at("new")).unwrap(), text);
    assert!(matches!(append("/dev/null".as_ref()), Outcome::Delivered { .. }));
}

#[test]
fn a_program_that_asks_for_another_try_without_a_word_is_named() {
    assert_eq!(said(&run("exit 75")), "prog mailer (/bin/sh) exited with EX_TEMPFAIL");
}

/// An LMTP server as a shell script: who is not `u` is nobody; behind the dot it says `verdict`, which may name the count of
/// lines and the last one.
fn lmtp(recipient: &[u8], verdict: &str) -> Outcome {
    let script = r#"
        say() { printf '%s\r\n' "$1"; }
        cr=$(printf '\r'); lines=0
        say '220 here LMTP'; read -r hello; say '250-here'; say '250 ENHANCEDSTATUSCODES'
        read -r from; say '250 2.1.0 ok'; read -r to
        case $to in "RCPT TO:<u@"*|"RCPT To:<u@"*) say '250 2.1.5 ok' ;; *) say '550 5.1.1 nobody here'; read -r rest; exit ;; esac
        read -r data; say '354 go on'
        while read -r line; do
            [ "$line" = ".$cr" ] && break
            lines=$((lines + 1)); last=${line%"$cr"}
        done
        say "VERDICT"; read -r quit; say '221 bye'
    "#;
    talk(&script.replace("VERDICT", verdict), recipient)
}

fn talk(script: &str, recipient: &[u8]) -> Outcome {
    let program = Program { is_lmtp: true, wait_s: 2, ..program(script) };
    let agent = Agent {
        program: &program,
        mailer: b"local",
        flags: MailerFlags::default(),
        line_end: b"\r\n",
        home: None,
        our_name: b"here.test",
        offset_s: 0,
        is_alone: false,
        spool: None,
    };
    let body = Body::Bytes(b"Subject: x\r\n\r\n.dot\r\nend\r\n");
    let job = Job {
        sender: b"a@b.test",
        separator: b"",
        is_sender_named: true,
        recipient,
        user: b"u",
        body,
        form: None,
    };
    agent.run(0, &job, b"host.test")
}

#[test]
fn a_program_that_speaks_lmtp_is_told_the_message_and_its_answers_count() {
    assert_eq!(lmtp(b"u@here.test", "250 2.0.0 stored"), delivered(b""));
    let full = lmtp(b"u@here.test", "452 4.2.2 full after $lines: $last");
    assert!(said(&full).contains("full after 4: end"), "{full:?}");
    let Outcome::Never(nobody) = lmtp(b"x@here.test", "250 ok") else { panic!("delivered") };
    assert_eq!(nobody.status, Status(5, 1, 1));
    let refused = lmtp(b"u@here.test", "554 5.7.1 no");
    assert!(
        matches!(&refused, Outcome::Never(why) if why.status == Status(5, 7, 1)),
        "{refused:?}"
    );
}

#[test]
fn a_program_that_says_nothing_or_nonsense_in_lmtp_costs_its_time_and_loses_no_mail() {
    let since = Instant::now();
    for script in ["sleep 60", "exit 0", "echo hello; cat", "exec >&-; sleep 60", "yes 220-on"] {
        let outcome = talk(script, b"u@here.test");
        assert!(matches!(outcome, Outcome::Later { .. }), "{script}: {outcome:?}");
    }
    // Two seconds each at most, and two more to end.
    assert!(since.elapsed() < Duration::from_secs(30));
}
