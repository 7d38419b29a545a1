//! Any octets, cut anywhere: the same words, the same messages, no panic, bounded memory.

use proptest::prelude::*;
use proptest::sample::select;
use smtp::server::Questions;

use crate::world::{World, settings};

/// What a session came to.
type Outcome = (String, Vec<Vec<u8>>, bool);

fn play(stream: &[u8], cuts: &[usize], questions: Questions) -> Outcome {
    let mut settings = settings();
    settings.limits.message_bytes_max = 2000;
    settings.limits.header_bytes_max = 500;
    settings.limits.text_line_bytes_max = 300;
    settings.limits.command_bytes_max = 200;
    let mut world = World::new(settings, questions);
    let mut rest = stream;
    let mut cuts = cuts.iter().cycle();
    while !rest.is_empty() {
        let cut = cuts.next().copied().unwrap_or(1).clamp(1, rest.len());
        world.send(&rest[..cut]);
        rest = &rest[cut..];
    }
    let stored = world.stored.iter().map(|(_, text)| text.clone()).collect();
    (world.text(), stored, world.is_closed)
}

fn words() -> impl Strategy<Value = Vec<u8>> {
    let word = select(vec![
        &b"EHLO client.test\r\n"[..],
        b"MAIL FROM:<a@remote.test>\r\n",
        b"MAIL FROM:<discard@remote.test> BODY=8BITMIME\r\n",
        b"RCPT TO:<alice>\r\n",
        b"RCPT TO:<nobody>\r\n",
        b"DATA\r\n",
        b"BDAT 7\r\n",
        b"BDAT 3 LAST\r\n",
        b"BDAT 0 LAST\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"VRFY a\r\n",
        b"Subject: x\r\n",
        b"Received: y\r\n",
        b"text\r\n",
        b"\r\n",
        b".\r\n",
        b"..\r\n",
        b"\r",
        b"\n",
        b".",
        b"\xff\0",
        b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ]);
    proptest::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

fn letter() -> impl Strategy<Value = Vec<u8>> {
    words().prop_map(|words| {
        [
            b"EHLO client.test\r\nMAIL FROM:<a@remote.test>\r\nRCPT TO:<alice>\r\nDATA\r\n",
            &words[..],
            b"\r\n.\r\nQUIT\r\n",
        ]
        .concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn pieces_make_no_difference(
        stream in prop_oneof![words(), letter()],
        cuts in proptest::collection::vec(1usize..60, 1..8),
        asks_all: bool,
    ) {
        let questions = if asks_all { Questions::ALL } else { Questions::ENVELOPE };
        let at_once = play(&stream, &[usize::MAX], questions);
        prop_assert_eq!(&play(&stream, &cuts, questions), &at_once);
        prop_assert_eq!(&play(&stream, &[1], questions), &at_once);
    }

    #[test]
    fn any_octets_get_an_answer_and_no_panic(stream in proptest::collection::vec(any::<u8>(), 0..600)) {
        let (text, ..) = play(&stream, &[37], Questions::ALL);
        prop_assert!(text.bytes().all(|octet| matches!(octet, b' '..=b'~' | b'\r' | b'\n')));
    }

    #[test]
    fn what_is_stored_holds_no_lone_line_end(stream in letter()) {
        let (_, stored, _) = play(&stream, &[11], Questions::ENVELOPE);
        for text in stored {
            let crlf = text.windows(2).filter(|pair| pair == b"\r\n").count();
            prop_assert_eq!(text.split(|&octet| octet == b'\r').count(), crlf + 1);
            prop_assert_eq!(text.split(|&octet| octet == b'\n').count(), crlf + 1);
            prop_assert!(text.ends_with(b"\r\n"));
        }
    }
}
