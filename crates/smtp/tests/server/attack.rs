//! What was tried on mail servers, each with its lesson.

use policy::settings::Quirks;
use smtp::server::Questions;

use crate::world::{World, settings};

fn ready() -> World {
    let mut world = World::plain();
    world.send(b"EHLO client.test\r\nMAIL FROM:<a@remote.test>\r\nRCPT TO:<alice>\r\nDATA\r\n");
    world
}

/// Smuggling (CVE-2023-51764, -51765, -51766): every false end of data, with a second message behind it.
#[test]
fn no_false_end_of_data_lets_a_second_message_in() {
    for end in [
        "\n.\n",
        "\n.\r\n",
        "\r\n.\n",
        "\r.\r",
        "\r.\r\n",
        "\r\n.\r",
        "\r\r\n.\r\r\n",
        "\r\n\0.\r\n",
        "\r\n.\0\r\n",
        "\n\n.\r\n",
        "\r\n.\r\r\n",
        "\n.\r",
        "\r.\n",
        "\r\n. \r\n",
        "\r\n .\r\n",
        "\r\n..\r\n",
    ] {
        for piece in [1, 1000] {
            let mut world = ready();
            let stream = format!(
                "x{end}MAIL FROM:<evil@remote.test>\r\nRCPT TO:<bob>\r\nDATA\r\ny\r\n.\r\n"
            );
            stream.as_bytes().chunks(piece).for_each(|piece| world.send(piece));
            world.send(b"NOOP\r\n");
            let codes = world.codes();
            assert_eq!(codes.len(), 7, "{end:?} in pieces of {piece}: {}", world.text());
            assert!(world.stored.len() <= 1, "{end:?}");
            assert!(world.stored.iter().all(|(message, _)| *message.sender == *b"a@remote.test"));
        }
    }
}

#[test]
fn commands_that_end_in_a_bare_lf_are_not_carried_out() {
    let mut world = World::plain();
    world.send(b"MAIL FROM:<a@remote.test>\nRCPT TO:<alice>\nDATA\n");
    assert_eq!(world.codes(), [220, 500, 500, 500]);
}

#[test]
fn a_bare_cr_inside_a_command_is_refused() {
    let mut world = World::plain();
    world.send(b"MAIL FROM:<a@remote.test>\rRCPT TO:<alice>\r\n");
    assert_eq!(world.codes(), [220, 501]);
}

#[test]
fn a_user_of_this_machine_may_end_lines_with_lf_and_not_with_cr() {
    for (line, taken) in [("one\ntwo\r\n", true), ("one\rtwo\r\n", false)] {
        let mut world = World::of_a_user();
        world.send(b"HELO x\nMAIL FROM:<a@remote.test>\nRCPT TO:<alice>\nDATA\n");
        world.send(line.as_bytes());
        world.send(b".\r\n");
        assert_eq!(world.stored.len(), usize::from(taken), "{}", world.text());
        let last = if taken { 250 } else { 550 };
        assert_eq!(world.codes().last(), Some(&last), "{}", world.text());
    }
}

#[test]
fn an_address_with_nul_or_control_characters_is_refused_and_not_cleaned() {
    for octet in (0..=0x1fu8).chain([0x7f]).filter(|octet| !b"\r\n".contains(octet)) {
        let mut world = World::plain();
        world.send(&[b"MAIL FROM:<a", &[octet][..], b"b@remote.test>\r\n"].concat());
        assert_eq!(world.codes(), [220, 501], "{octet}");
    }
}

#[test]
fn an_octet_above_127_in_an_address_is_refused_without_smtputf8() {
    for octet in 0x80..=0xffu8 {
        let mut world = World::plain();
        world.send(&[b"MAIL FROM:<a", &[octet][..], b"b@remote.test>\r\n"].concat());
        assert_eq!(world.codes(), [220, 501], "{octet}");
    }
}

/// sendmail 8.17 strips the 8th bit of what it repeats: 0x8A comes back as a line feed, and splits the reply.
#[test]
fn a_reply_is_printable_and_cannot_be_split() {
    let mut world = World::plain();
    world.send(b"\x8a\x8d250 2.1.0 ok\x8a\r\nHELP \x8a250\r\nMAIL FROM:<\x8a>\r\nVRFY \x8a\r\n");
    let text = world.text();
    assert!(text.bytes().all(|octet| matches!(octet, b' '..=b'~' | b'\r' | b'\n')), "{text}");
    assert_eq!(text.lines().count(), 5, "{text}");
    assert!(
        text.lines().all(|line| line.as_bytes()[0] != b'2' || line.starts_with("220")),
        "{text}"
    );
}

#[test]
fn hello_envid_and_orcpt_cannot_inject_header_lines() {
    let mut world = World::plain();
    world.send(b"EHLO x\rX: y\r\nEHLO (evil)\r\nMAIL FROM:<a@b.test> ENVID=a+0D+0AX:+20y\r\n");
    world.send(b"MAIL FROM:<a@b.test>\r\nRCPT TO:<alice> ORCPT=rfc822;a+0Ab\r\n");
    assert_eq!(world.codes(), [220, 501, 501, 501, 250, 501]);
}

/// Exim CVE-2017-16943 and -16944: the state behind BDAT.
#[test]
fn a_chunk_is_always_data_whatever_its_size_says() {
    let mut world = World::plain();
    world.send(b"MAIL FROM:<a@b.test>\r\nRCPT TO:<alice>\r\nBDAT 18446744073709551615\r\n");
    world.send(b".\r\nQUIT\r\n.\r\n");
    assert_eq!(world.codes(), [220, 250, 250], "all of it is data");
    let mut world = World::plain();
    world.send(b"BDAT 18446744073709551616\r\nMAIL FROM:<a@b.test>\r\n");
    assert_eq!(world.codes(), [220, 501]);
    assert!(world.is_closed, "who knows what follows");
}

#[test]
fn a_session_asks_for_nothing_while_it_waits() {
    let mut world = ready();
    world.send(b"x\r\n.\r\nRSET\r\nMAIL FROM:<>\r\n");
    assert_eq!(world.codes(), [220, 250, 250, 250, 354, 250, 250, 250]);
    assert_eq!(world.stored.len(), 1);
}

#[test]
fn starttls_keeps_nothing_because_it_is_not_there() {
    let mut world = World::plain();
    world.send(b"STARTTLS\r\nMAIL FROM:<a@b.test>\r\n");
    assert_eq!(world.codes(), [220, 454, 250]);
}

#[test]
fn other_protocols_end_at_their_first_line() {
    for line in [
        "GET / HTTP/1.1",
        "post / HTTP/1.0",
        "CONNECT a:25 HTTP/1.0",
        "PRI * HTTP/2.0",
        "SSH-2.0-x",
        "USER root",
        "OPTIONS sip:a SIP/2.0",
        "INVITE sip:a SIP/2.0",
        "\x16\x03\x01\x00",
    ] {
        let mut world = World::plain();
        world.send(format!("{line}\r\nMAIL FROM:<a@b.test>\r\n").as_bytes());
        assert_eq!(world.codes(), [220, 421], "{line}");
        assert!(world.is_closed);
    }
}

#[test]
fn an_endless_line_costs_no_memory() {
    let mut world = World::plain();
    for _ in 0..10_000 {
        world.send(&[b'a'; 1000]);
    }
    assert_eq!(world.codes(), [220]);
    world.send(b"\r\n");
    assert_eq!(world.codes(), [220, 421]);
}

#[test]
fn an_endless_header_is_thrown_away_as_it_comes() {
    let mut world = ready();
    for _ in 0..5_000 {
        world.send(b"X-A: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n");
    }
    world.send(b".\r\n");
    assert_eq!(world.codes().last(), Some(&552));
    assert!(world.stored.is_empty());
}

/// RFC 1870: the size that was announced, and the size that came.
#[test]
fn a_lying_size_is_found_out() {
    let mut world = World::plain();
    world.send(b"MAIL FROM:<a@b.test> SIZE=99999999999\r\n");
    world.send(b"MAIL FROM:<a@b.test> SIZE=1\r\nRCPT TO:<alice>\r\nDATA\r\n\r\n");
    for _ in 0..60 {
        world.send(&b"0123456789012345678901234567890\r\n".repeat(32_768));
    }
    world.send(b".\r\n");
    assert_eq!(world.codes(), [220, 552, 250, 250, 354, 552]);
    assert!(world.stored.is_empty());
}

/// What one line is answered in a fresh session.
fn answer(line: &[u8]) -> (u16, World) {
    let mut world = World::plain();
    world.send(line);
    world.send(b"\r\n");
    let codes = world.codes();
    assert_eq!(codes.len(), 2, "one reply: {}", world.text());
    (codes[1], world)
}

/// CVE-1999-0095 (the worm of 1988), CVE-1999-0145, and what other servers take from their proxies.
#[test]
fn no_verb_opens_a_back_door() {
    for line in [
        "DEBUG",
        "WIZ",
        "KILL",
        "SHOWQ",
        "ONEX",
        "XCLIENT ADDR=127.0.0.1",
        "XFORWARD NAME=x",
        "PROXY TCP4 127.0.0.1 127.0.0.1 1 2",
    ] {
        assert_eq!(answer(line.as_bytes()).0, 500, "{line}");
    }
    for line in ["TURN", "SEND FROM:<a@b.test>", "SOML FROM:<a@b.test>", "SAML FROM:<a@b.test>"] {
        assert_eq!(answer(line.as_bytes()).0, 502, "{line}");
    }
    assert_eq!(answer(b"VERB").0, 502, "no account of the work for strangers");
}

#[test]
fn by_default_nobody_learns_names() {
    assert_eq!(answer(b"VRFY alice").1.said, answer(b"VRFY nobody").1.said);
    assert_eq!(answer(b"EXPN alice").0, 502);
    assert_eq!(answer(b"ETRN ';drop").0, 502);
}

#[test]
fn what_sendmail_lets_pass_is_refused_where_it_has_no_meaning() {
    for line in [
        "HELO -x",
        "HELO .",
        "HELO x\x01y",
        "HELO x\0y",
        "HELO \u{e9}",
        "DATA x",
        "MAIL FROM:<a@b.test> SIZE=abc",
        "MAIL FROM:<a@b.test> SIZE=1 SIZE=2",
        "MAIL FROM:<a@b.test> BODY=9BIT",
    ] {
        assert_eq!(answer(line.as_bytes()).0, 501, "{line:?}");
    }
    assert_eq!(answer(b"NO\0OP").0, 500, "and nothing is taken out of a verb");
    let mut world = World::plain();
    world.send(b"MAIL FROM:<a@b.test>\r\nRCPT TO:<alice> NOTIFY=NEVER NOTIFY=NEVER\r\n");
    assert_eq!(world.codes(), [220, 250, 501]);
}

#[test]
fn a_command_that_check_other_refuses_has_one_reply() {
    let mut world = World::new(settings(), Questions::ALL);
    world.send(b"FORBIDDEN\r\nNOOP\r\n");
    assert_eq!(world.codes(), [220, 550, 250]);
}

#[test]
fn what_is_pipelined_behind_a_closing_answer_is_not_carried_out() {
    for last in ["QUIT", "BDAT -1", "BDAT 1 LAST x", "GET / HTTP/1.1"] {
        let mut world = World::plain();
        let mail = "MAIL FROM:<a@b.test>\r\nRCPT TO:<alice>\r\nDATA\r\nx\r\n.\r\n";
        world.send(format!("{last}\r\n{mail}").as_bytes());
        assert_eq!(world.codes().len(), 2, "{last}");
        assert!(world.is_closed && world.stored.is_empty(), "{last}");
    }
}

#[test]
fn a_route_before_an_address_does_not_make_a_relay() {
    for recipient in ["@example.test:bob@far.test", "\"bob@far.test\"", "bob@[192.0.2.1]"] {
        let mut world = World::plain();
        world.send(format!("MAIL FROM:<a@b.test>\r\nRCPT TO:<{recipient}>\r\n").as_bytes());
        assert_eq!(world.codes(), [220, 250, 550], "{recipient}");
    }
    for recipient in ["bob@far.test@example.test", "bob@far.test(@example.test)", ":include:/x"] {
        let mut world = World::plain();
        world.send(format!("MAIL FROM:<a@b.test>\r\nRCPT TO:<{recipient}>\r\n").as_bytes());
        assert_eq!(world.codes(), [220, 250, 553], "{recipient}");
    }
}

/// abuse.net's list: who a client says it is, and whose mail it says it has, decide nothing.
#[test]
fn what_a_client_says_of_itself_opens_no_relay() {
    for hello in ["mail.example.test", "localhost", "[127.0.0.1]"] {
        for sender in ["", "root", "root@mail.example.test", "a@[127.0.0.1]", "bob@far.test"] {
            let mut world = World::plain();
            let stream =
                format!("HELO {hello}\r\nMAIL FROM:<{sender}>\r\nRCPT TO:<bob@far.test>\r\n");
            world.send(stream.as_bytes());
            assert_eq!(world.codes(), [220, 250, 250, 550], "{hello} {sender}");
        }
    }
}

/// Backscatter: who is not there is said before the message, so nobody is told of it who never wrote.
#[test]
fn an_unknown_user_is_refused_and_not_bounced() {
    let mut world = World::plain();
    world.send(b"MAIL FROM:<a@remote.test>\r\nRCPT TO:<nobody@example.test>\r\nDATA\r\n");
    assert_eq!(world.codes()[..3], [220, 250, 550]);
    assert!(world.stored.is_empty() && world.codes()[3] == 503, "{}", world.text());
}

/// Mail loops end in a refusal while the one who sent it listens, not in a report to somebody else.
#[test]
fn a_message_that_goes_in_circles_is_refused_and_not_bounced() {
    let mut world = ready();
    for _ in 0..30 {
        world.send(b"Received: from a by b; Sat, 21 Nov 2026 12:00:00 +0000\r\n");
    }
    world.send(b"\r\nx\r\n.\r\n");
    assert_eq!(world.codes().last(), Some(&554), "{}", world.text());
    assert!(world.stored.is_empty());
}

/// CVE-2020-7247: text for a shell is no address.
#[test]
fn text_for_a_shell_is_no_sender_and_no_recipient() {
    for text in [";id;@b.test", "$(id)@b.test", "a b@b.test", "<a>@b.test", "a\\ b@b.test"] {
        let mut world = World::plain();
        world.send(format!("MAIL FROM:<{text}>\r\nMAIL FROM:<a@b.test>\r\n").as_bytes());
        world.send(format!("RCPT TO:<{text}>\r\n").as_bytes());
        let codes = world.codes();
        assert!(codes[1] >= 500 && codes[3] >= 500, "{text}: {codes:?}");
    }
}

#[test]
fn what_is_longer_or_closer_than_the_grammar_allows_is_refused() {
    let name = |count: usize| format!("{}.test", ["a"; 150][..count].join("."));
    for line in [
        format!("HELO {}", name(150)),
        format!("HELO {}.test", "a".repeat(64)),
        "MAIL FROM:<a@b.test>x".to_owned(),
        "MAIL FROM:<a@b.test>SIZE=1".to_owned(),
        format!("MAIL FROM:<a@b.test> ENVID={}", "a".repeat(101)),
        "MAIL FROM:<a@b.test> ENVID=a+0".to_owned(),
    ] {
        assert_eq!(answer(line.as_bytes()).0, 501, "{line:?}");
    }
    let mut world = World::plain();
    world.send(b"MAIL FROM:<a@b.test>\r\n");
    world.send(format!("RCPT TO:<alice> ORCPT=rfc822;{}\r\n", "a".repeat(501)).as_bytes());
    assert_eq!(world.codes(), [220, 250, 501]);
}

/// An older server takes `HELO -x`; none of what it takes can end a comment or a line of a header.
#[test]
fn an_odd_name_is_taken_of_harmless_letters_only() {
    let mut settings = settings();
    settings.manners.quirks = Quirks::LOOSE_COMMANDS;
    for (name, code) in [
        ("-x", 250),
        (".", 250),
        ("x\x01y", 501),
        ("x(y", 501),
        ("x;y", 501),
        ("x\0y", 501),
        ("\u{e9}", 501),
        (&*"a".repeat(64), 501),
        (&*"a.".repeat(150), 501),
    ] {
        let mut world = World::new(settings.clone(), Questions::ENVELOPE);
        world.send(format!("HELO {name}\r\n").as_bytes());
        assert_eq!(world.codes(), [220, code], "{name:?}");
    }
}

#[test]
fn who_does_not_wait_for_the_answer_to_ehlo_gets_nothing_where_that_is_asked_for() {
    let mut settings = settings();
    settings.manners.quirks = Quirks::LONE_HELLO;
    let mut world = World::new(settings.clone(), Questions::ENVELOPE);
    world.send(b"EHLO client.test\r\nMAIL FROM:<a@remote.test>\r\nRCPT TO:<alice>\r\nQUIT\r\n");
    assert_eq!(world.codes(), [220, 554, 550, 550, 221]);
    let mut patient = World::new(settings, Questions::ENVELOPE);
    patient.send(b"EHLO client.test\r\n");
    patient.send(b"MAIL FROM:<a@remote.test>\r\nRCPT TO:<alice>\r\nQUIT\r\n");
    assert_eq!(patient.codes().last_chunk(), Some(&[250, 250, 221]));
}

#[test]
fn a_message_with_nul_is_refused_where_that_is_asked_for() {
    let message = b"EHLO client.test\r\nMAIL FROM:<a@remote.test>\r\nRCPT TO:<alice>\r\nDATA\r\nx\0y\r\n.\r\n";
    for (quirks, code) in [(Quirks::NONE, 250), (Quirks::NO_NUL, 554)] {
        let mut settings = settings();
        settings.manners.quirks = quirks;
        let mut world = World::new(settings, Questions::ENVELOPE);
        world.send(message);
        assert_eq!(world.codes().last(), Some(&code));
        assert_eq!(world.stored.len(), usize::from(code == 250));
    }
}

/// Harvesting by time: what a session does for a known and for an unknown recipient is the same.
#[test]
fn a_known_and_an_unknown_recipient_cost_the_same_steps() {
    let steps = |address: &str| {
        let mut world = ready();
        let before = (world.sends, world.events.len());
        world.send(format!("RCPT TO:<{address}>\r\n").as_bytes());
        (world.sends - before.0, world.is_closed)
    };
    assert_eq!(steps("alice@example.test"), steps("nobody@example.test"));
    let mut world = ready();
    world.send(b"RCPT TO:<alice@example.test>\r\nRCPT TO:<nobody@example.test>\r\n");
    let lines: Vec<usize> = world.text().lines().rev().take(2).map(str::len).collect();
    assert_eq!(lines.len(), 2, "one line each");
}

/// Who guesses names is sent away; who has one right has the longer patience (`BadRcptShutdown`, `BadRcptShutdownGood`).
#[test]
fn a_session_without_one_good_recipient_ends_after_fewer_bad_ones() {
    for (first, codes) in [
        ("nobody", &[220, 250, 550, 550, 550, 421][..]),
        ("alice", &[220, 250, 250, 550, 550, 550, 550, 421]),
    ] {
        let mut settings = settings();
        settings.limits.bad_recipients_alone_max = 2;
        settings.limits.bad_recipients_max = 3;
        let mut world = World::new(settings, Questions::ENVELOPE);
        world.send(b"MAIL FROM:<a@remote.test>\r\n");
        world.send(format!("RCPT TO:<{first}>\r\n").as_bytes());
        for _ in 0..9 {
            world.send(b"RCPT TO:<nobody>\r\n");
        }
        assert_eq!(world.codes(), codes);
        assert!(world.is_closed);
    }
}
