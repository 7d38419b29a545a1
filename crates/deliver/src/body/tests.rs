//! The text of a message, piece by piece and by the slow and obvious reading.

use super::*;
use proptest::prelude::*;

/// The same by the slow and obvious reading.
fn slowly(text: &[u8], quotes: bool) -> Vec<u8> {
    let mut unix: Vec<u8> = Vec::new();
    let mut octets = text.iter().copied().peekable();
    while let Some(octet) = octets.next() {
        if !(octet == b'\r' && octets.peek() == Some(&b'\n')) {
            unix.push(octet);
        }
    }
    if !unix.is_empty() && unix.last() != Some(&b'\n') {
        unix.push(b'\n');
    }
    let mut out = Vec::new();
    for line in unix.split_inclusive(|&octet| octet == b'\n') {
        if quotes && line.starts_with(b"From ") {
            out.push(b'>');
        }
        out.extend_from_slice(line);
    }
    out
}

fn in_pieces(pieces: &[&[u8]], quotes: bool) -> Vec<u8> {
    let mut text = UnixText::new(quotes);
    let mut out = Vec::new();
    for piece in pieces {
        text.push(piece, &mut out);
    }
    text.finish(&mut out);
    out
}

#[test]
fn a_separator_in_the_text_is_quoted_wherever_it_is_cut() {
    let text = b"From a\r\nxFrom b\r\nFromc\r\nFrom ";
    for cut in 0..=text.len() {
        let (left, right) = text.split_at(cut);
        assert_eq!(in_pieces(&[left, right], true), b">From a\nxFrom b\nFromc\n>From \n");
    }
}

#[test]
fn an_address_with_a_line_end_makes_no_second_field() {
    let mut out = Vec::new();
    write_delivery_fields(b"a@b\r\nX: y", b"c", &mut out);
    assert_eq!(out, b"Return-Path: <a@b??X: y>\nDelivered-To: c\n");
}

#[test]
fn a_file_that_is_too_short_is_an_error() {
    let file = tempfile::tempfile().unwrap();
    let body = Body::File { head: b"", file: &file, start: 0, size: 1 };
    let read: Result<(), io::Error> = body.read(|_| Ok(()));
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

proptest! {
    #[test]
    fn pieces_and_the_whole_and_the_slow_reading_agree(
        text in proptest::collection::vec(proptest::sample::select(b"\r\nFrom x>".to_vec()), 0..60),
        cuts in proptest::collection::vec(0..60_usize, 0..4),
        quotes: bool,
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.sort_unstable();
        let mut pieces: Vec<&[u8]> = Vec::new();
        let mut from = 0;
        for cut in cuts {
            pieces.push(&text[from..cut]);
            from = cut;
        }
        pieces.push(&text[from..]);
        let expected = slowly(&text, quotes);
        prop_assert_eq!(&in_pieces(&pieces, quotes), &expected);
        prop_assert_eq!(&in_pieces(&[&text], quotes), &expected);
    }
}
