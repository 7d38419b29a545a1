//! What is stored, and what is promised.

use policy::settings::BODY_INLINE_BYTES_MAX;
use smtp::server::{Body, Event, Input, NotStored, Outbox, Questions, Request};

use crate::world::{World, settings};

const ENVELOPE: &[u8] = b"EHLO client.test\r\nMAIL FROM:<a@remote.test>\r\nRCPT TO:<alice>\r\n";

fn ready() -> World {
    let mut world = World::plain();
    world.send(ENVELOPE);
    world.send(b"DATA\r\n");
    world
}

#[test]
fn a_received_field_stands_first_and_names_the_message() {
    let mut world = ready();
    world.send(b"Subject: x\r\nMessage-ID: <1@a>\r\n\r\ntext\r\n.\r\n");
    let (message, text) = &world.stored[0];
    let text = String::from_utf8(text.clone()).unwrap();
    let expected = format!(
        "Received: from client.test (client.test [192.0.2.10])\r\n\
         \tby mail.example.test (Ironpost) with ESMTP id {}\r\n\
         \tfor <alice>; Sat, 21 Nov 2026 07:36:33 +0000\r\n\
         Subject: x\r\nMessage-ID: <1@a>\r\n\r\ntext\r\n",
        message.id
    );
    assert_eq!(text, expected);
    let Some(Event::From(line)) = world.events.last() else { panic!("{:?}", world.events) };
    assert_eq!((line.recipients, line.protocol, &line.message_id[..]), (1, "ESMTP", &b"<1@a>"[..]));
}

#[test]
fn each_message_has_its_own_name() {
    let mut world = ready();
    world.send(b".\r\n");
    world.send(b"MAIL FROM:<>\r\nRCPT TO:<alice>\r\nRCPT TO:<bob>\r\nDATA\r\n.\r\n");
    let ids: Vec<_> = world.stored.iter().map(|(message, _)| message.id).collect();
    assert_eq!(ids.len(), 2);
    assert_ne!(ids[0], ids[1]);
    let text = String::from_utf8_lossy(&world.stored[1].1).into_owned();
    assert!(!text.contains("for <"), "who else got it is nobody's business: {text}");
}

#[test]
fn a_large_message_goes_to_a_file_whole() {
    let line = b"0123456789012345678901234567890123456789012345678901234567890123\r\n";
    let text = [&b"Subject: x\r\n\r\n"[..], &line.repeat(5000)].concat();
    for piece in [usize::MAX, 1000] {
        let mut world = ready();
        text.chunks(piece.min(text.len())).for_each(|piece| world.send(piece));
        world.send(b".\r\nNOOP\r\n");
        let (message, stored) = &world.stored[0];
        assert_eq!(message.body, Body::Large);
        assert!(stored.ends_with(&text) && stored.starts_with(b"Received: "));
        assert!(world.text().ends_with("250 2.0.0 OK\r\n"));
    }
}

#[test]
fn a_message_just_small_enough_stays_in_memory() {
    let mut world = ready();
    let text = b"\r\n".repeat((BODY_INLINE_BYTES_MAX - 1000) / 2);
    world.send(&text);
    world.send(b".\r\n");
    assert!(matches!(world.stored[0].0.body, Body::Inline(_)));
}

#[test]
fn what_is_not_stored_is_not_promised() {
    for (why, code) in [(NotStored::Full, 452), (NotStored::Trouble, 451)] {
        for lines in [10, 200_000] {
            let mut world = ready();
            world.trouble = Some(why);
            world.send(&b"text\r\n".repeat(lines));
            world.send(b".\r\n");
            assert_eq!(world.codes().last(), Some(&code));
            world.trouble = None;
            world.send(b"MAIL FROM:<>\r\nRCPT TO:<bob>\r\nDATA\r\nx\r\n.\r\n");
            assert_eq!(world.codes().last(), Some(&250), "the session goes on");
        }
    }
}

#[test]
fn replies_to_what_was_pipelined_go_out_in_order() {
    let mut world = World::plain();
    world.send(&[ENVELOPE, b"RCPT TO:<nobody>\r\nRCPT TO:<bob>\r\nDATA\r\n"].concat());
    assert_eq!(world.codes(), [220, 250, 250, 250, 550, 250, 354]);
}

#[test]
fn an_answer_that_nobody_waits_for_ends_the_session() {
    let mut world = World::plain();
    world.input(Input::Stored(wire::QueueId::new(1, 1)));
    assert!(world.is_closed);
    assert!(world.text().ends_with("421 4.3.0 mail.example.test Internal trouble\r\n"));
    assert!(!world.text().contains("accepted"));
}

#[test]
fn a_server_that_stops_keeps_its_promises_and_gives_no_more() {
    let mut world = ready();
    let mut out = Outbox::default();
    let text = b"x\r\n.\r\n";
    let taken = world.session.step(Input::Bytes(text), &world.moment, &mut out);
    assert_eq!(taken.octets, text.len());
    let Some(Request::Store(message)) = out.request.take() else { panic!("{out:?}") };
    out.clear();
    world.session.step(Input::Shutdown, &world.moment, &mut out);
    assert!(out.bytes.is_empty() && !out.closes);
    world.session.step(Input::Stored(message.id), &world.moment, &mut out);
    let said = String::from_utf8(out.bytes).unwrap();
    let expected = format!(
        "250 2.0.0 {} Message accepted for delivery\r\n421 4.3.2 mail.example.test Server shutting down\r\n",
        message.id
    );
    assert_eq!(said, expected);
    assert!(out.closes);
}

#[test]
fn a_discarded_message_says_by_whom() {
    let mut world = World::new(settings(), Questions::ALL);
    world.send(b"MAIL FROM:<discard@remote.test>\r\nRCPT TO:<alice>\r\nDATA\r\n.\r\n");
    let (message, _) = &world.stored[0];
    assert_eq!(message.discard.as_deref(), Some(&b"check_mail"[..]));
}

#[test]
fn a_message_that_takes_too_long_is_given_up() {
    let mut world = ready();
    world.send(b"Subject: drip\r\n");
    world.moment.now.unix_s += 3601;
    world.send(b"x");
    assert!(world.is_closed);
    assert_eq!(world.codes().last(), Some(&421));
    assert!(world.stored.is_empty());
}

#[test]
fn an_idle_session_is_small() {
    assert!(size_of::<smtp::server::Session>() <= 512, "{}", size_of::<smtp::server::Session>());
}

#[test]
fn a_server_that_stops_while_it_asks_takes_no_more_of_the_message() {
    let mut world = World::new(settings(), Questions::ALL);
    world.send(ENVELOPE);
    world.send(b"DATA\r\n");
    let mut out = Outbox::default();
    world.session.step(Input::Bytes(b"A: b\r\n\r\n"), &world.moment, &mut out);
    assert!(matches!(out.request, Some(Request::Ask(_))));
    out.clear();
    world.session.step(Input::Shutdown, &world.moment, &mut out);
    world.session.step(Input::Verdict(policy::Verdict::accept()), &world.moment, &mut out);
    assert_eq!(out.bytes, b"421 4.3.2 mail.example.test Server shutting down\r\n");
    assert!(out.closes);
}

#[test]
fn a_reset_between_chunks_gives_the_large_file_up() {
    let mut world = World::plain();
    world.send(ENVELOPE);
    world.send(b"BDAT 200000\r\n");
    world.send(&b"0123456\r\n".repeat(30_000)[..200_000 - 2]);
    world.send(b"\r\n");
    let mut out = Outbox::default();
    world.session.step(Input::Bytes(b"RSET\r\n"), &world.moment, &mut out);
    assert!(out.drops_large);
    world.session.step(Input::Bytes(b"NOOP\r\n"), &world.moment, &mut out);
    assert!(!world.session.is_over());
}

#[test]
fn an_answer_for_a_client_who_is_gone_is_passed_over() {
    let mut world = ready();
    let mut out = Outbox::default();
    world.session.step(Input::Bytes(b"MAIL FROM:<x@y>\r\n.\r\n"), &world.moment, &mut out);
    world.input(Input::Shutdown);
    let Some(Request::Store(message)) = out.request.take() else { panic!("{out:?}") };
    world.input(Input::Eof);
    world.input(Input::Stored(message.id));
    assert!(world.is_closed);
    let said = world.said.len();
    world.input(Input::Stored(message.id));
    assert_eq!(world.said.len(), said);
}

#[test]
fn a_client_that_does_not_say_hello_is_named_in_the_header_where_warnings_are_wanted() {
    let mut settings = settings();
    settings.dresses_mail = true;
    settings.manners.privacy = policy::settings::Privacy::AUTH_WARNINGS;
    let mut world = World::new(settings, Questions::ENVELOPE);
    world.send(b"MAIL FROM:<a@b.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n");
    world.send(b"Subject: x\r\n\r\ny\r\n.\r\n");
    let (message, text) = world.stored.pop().unwrap();
    let warning = "X-Authentication-Warning: mail.example.test: \
        client.test [192.0.2.10] didn't use HELO protocol\r\n";
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text, format!("{warning}Subject: x\r\n\r\ny\r\n"));
    assert_eq!(message.logged_bytes, 14);
}
