//! The fast reader against the slow obvious one, and the lessons of 2023.

use alloc::vec;

use proptest::prelude::*;

use super::*;

const LINE_MAX: usize = 60;

/// What a whole stream came to: body, octets taken if it ended, fault.
type Read = (Vec<u8>, Option<usize>, Option<TextFault>);

fn read(ends: Ends, stream: &[u8], piece: usize) -> Read {
    let mut reader = TextReader::dotted(ends, LINE_MAX);
    let (mut body, mut before) = (Vec::new(), 0);
    for piece in stream.chunks(piece) {
        if let Step::End { taken } = reader.read(piece, &mut body) {
            return (body, Some(before + taken), reader.fault());
        }
        before += piece.len();
    }
    (body, None, reader.fault())
}

/// The slow obvious reading of a message that has ended: find the end, look for faults, take out dots.
fn obvious(ends: Ends, stream: &[u8]) -> Option<(Vec<u8>, usize, bool)> {
    let mut padded = b"\r\n".to_vec();
    padded.extend_from_slice(stream);
    let end = padded.windows(5).position(|window| window == b"\r\n.\r\n")?;
    let text = &padded[2..end + 2];
    let bare = (0..text.len()).any(|at| match text[at] {
        b'\r' => text.get(at + 1) != Some(&b'\n'),
        b'\n' => at == 0 || text[at - 1] != b'\r',
        _ => false,
    });
    if bare && ends == Ends::Strict {
        return Some((vec![], end + 3, true));
    }
    // Lines, each with whether it began behind a true line end, and whether it ended with one.
    let mut lines: Vec<(Vec<u8>, bool, bool)> = vec![(vec![], true, true)];
    let mut at = 0;
    while at < text.len() {
        let width = match &text[at..] {
            [b'\r', b'\n', ..] => 2,
            [b'\r' | b'\n', ..] => 1,
            _ => 0,
        };
        if width == 0 {
            lines.last_mut().unwrap().0.push(text[at]);
            at += 1;
        } else {
            lines.last_mut().unwrap().2 = width == 2;
            lines.push((vec![], width == 2, true));
            at += width;
        }
    }
    let last = lines.pop().unwrap();
    assert!(last.0.is_empty());
    let mut body = Vec::new();
    for (line, is_true_start, is_true_end) in lines {
        let is_content = line == b"." && !is_true_end;
        let drops = line.starts_with(if is_true_start { &b"."[..] } else { b".." }) && !is_content;
        body.extend_from_slice(&line[usize::from(drops)..]);
        body.extend_from_slice(b"\r\n");
    }
    Some((body, end + 3, false))
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        3 => Just(b"\r\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just(b"\n".to_vec()),
        2 => Just(b".".to_vec()),
        3 => Just(b"word".to_vec()),
        1 => Just(b"\r\n.\r\n".to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

#[test]
fn dots_of_transparency_are_taken_out() {
    let (body, taken, fault) = read(Ends::Strict, b"a\r\n..b\r\n.c\r\n...\r\n.\r\nQUIT\r\n", 100);
    assert_eq!(body, b"a\r\n.b\r\nc\r\n..\r\n");
    assert_eq!((taken, fault), (Some(20), None));
}

#[test]
fn an_empty_message_is_only_a_dot() {
    assert_eq!(read(Ends::Strict, b".\r\n", 1), (vec![], Some(3), None));
}

#[test]
fn a_bare_lf_does_not_end_the_message() {
    for smuggled in [
        &b"a\n.\nQUIT\r\n"[..],
        b"a\n.\r\nQUIT\r\n",
        b"a\r\n.\nQUIT\r\n",
        b"a\r\n.\rQUIT\r\n",
        b"a\r.\rQUIT\r\n",
        b"a\r.\r\nQ\r\n",
        b"a\r\n\0.\r\nQ\r\n",
    ] {
        let (_, taken, _) = read(Ends::Strict, smuggled, 100);
        assert_eq!(taken, None, "{smuggled:?}");
        let (_, taken, fault) = read(Ends::Normalized, smuggled, 100);
        assert_eq!((taken, fault), (None, None), "{smuggled:?}");
    }
}

#[test]
fn a_faulty_message_is_swallowed_to_its_true_end() {
    let stream = b"a\nb\r\n..c\r\n.\r\nQUIT\r\n";
    let (body, taken, fault) = read(Ends::Strict, stream, 3);
    assert_eq!((body, taken, fault), (b"a".to_vec(), Some(13), Some(TextFault::BareLf)));
}

#[test]
fn what_was_normalized_ends_nothing_for_the_next_server() {
    let (body, taken, _) =
        read(Ends::Normalized, b"a\n.\nMAIL FROM:<b@c>\n.\r\nb\r.\r\nc\r\n.\r\n", 2);
    assert!(taken.is_some());
    assert_eq!(body, b"a\r\n.\r\nMAIL FROM:<b@c>\r\n.\r\nb\r\n.\r\nc\r\n");
    let mut out = Vec::new();
    let mut writer = DotWriter::default();
    writer.write(&body, &mut out);
    writer.finish(&mut out);
    assert_eq!(read(Ends::Strict, &out, 100), (body, Some(out.len()), None));
}

#[test]
fn a_line_above_the_limit_is_a_fault() {
    let mut stream = vec![b'x'; LINE_MAX - 1];
    stream.extend_from_slice(b"\r\n.\r\n");
    assert_eq!(read(Ends::Strict, &stream, 7).2, Some(TextFault::LongLine));
    assert_eq!(read(Ends::Strict, &stream, 700).2, Some(TextFault::LongLine));
    assert_eq!(read(Ends::Strict, &stream[1..], 7).2, None);
    assert_eq!(read(Ends::Strict, &stream[1..], 700).2, None);
}

#[test]
fn chunks_know_no_dots_and_are_closed_at_their_end() {
    let mut reader = TextReader::chunked(Ends::Strict, LINE_MAX);
    let mut body = Vec::new();
    assert_eq!(reader.read(b".\r\n.\r\n..x", &mut body), Step::More);
    reader.finish(&mut body);
    assert_eq!((body, reader.fault()), (b".\r\n.\r\n..x\r\n".to_vec(), None));
    assert_eq!(reader.read(b"x\r", &mut Vec::new()), Step::More);
    reader.finish(&mut Vec::new());
    assert_eq!(reader.fault(), Some(TextFault::BareCr));
}

proptest! {
    #[test]
    fn pieces_make_no_difference(stream in message(), piece in 1usize..20, strict: bool) {
        let ends = if strict { Ends::Strict } else { Ends::Normalized };
        prop_assert_eq!(read(ends, &stream, piece), read(ends, &stream, stream.len().max(1)));
    }

    #[test]
    fn the_fast_reading_is_the_obvious_one(stream in message(), strict: bool) {
        let ends = if strict { Ends::Strict } else { Ends::Normalized };
        let (body, taken, fault) = read(ends, &stream, 5);
        if fault == Some(TextFault::LongLine) {
            return Ok(());
        }
        match obvious(ends, &stream) {
            None => prop_assert_eq!(taken, None),
            Some((expected, end, is_faulty)) => {
                prop_assert_eq!(taken, Some(end));
                prop_assert_eq!(fault.is_some(), is_faulty);
                if !is_faulty {
                    prop_assert_eq!(body, expected);
                }
            }
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_ends_only_at_its_end(body in message(), piece in 1usize..20) {
        let mut at_once = Vec::new();
        let mut writer = DotWriter::default();
        writer.write(&body, &mut at_once);
        writer.finish(&mut at_once);
        let mut out = Vec::new();
        let mut writer = DotWriter::default();
        body.chunks(piece).for_each(|piece| writer.write(piece, &mut out));
        writer.finish(&mut out);
        prop_assert_eq!(&out, &at_once);
        let mut reader = TextReader::dotted(Ends::Strict, usize::MAX);
        let mut back = Vec::new();
        prop_assert_eq!(reader.read(&out, &mut back), Step::End { taken: out.len() });
        prop_assert_eq!(reader.fault(), None);
        if !body.contains(&b'\r') && !body.contains(&b'\n') && !body.is_empty() {
            prop_assert_eq!(back, [&body[..], b"\r\n"].concat());
        }
    }
}
