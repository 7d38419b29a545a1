//! Messages in all forms, whole and in pieces; what was encoded is decoded again.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

fn wish(conversion: Conversion) -> Wish {
    Wish {
        conversion,
        charset: b"unknown-8bit"[..].into(),
        host_name: b"mx.example"[..].into(),
        ..Wish::default()
    }
}

fn survey(message: &[u8], piece: usize) -> Findings {
    let mut survey = Survey::new();
    message.chunks(piece).for_each(|piece| survey.read(piece));
    survey.finish()
}

fn shaped(wish: Wish, message: &[u8], piece: usize) -> Vec<u8> {
    let mut shaper = Shaper::new(wish, survey(message, piece));
    let mut out = Vec::new();
    message.chunks(piece).for_each(|piece| shaper.read(piece, &mut out));
    shaper.finish(&mut out);
    out
}

/// Texts are written with LF here.
fn net(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in text.split_inclusive(|&octet| octet == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(line) => out.extend([line, b"\r\n"].concat()),
            None => out.extend_from_slice(line),
        }
    }
    out
}

#[track_caller]
fn becomes(wish: &Wish, text: &[u8], expected: &[u8]) {
    let message = net(text);
    for piece in [1, 3, message.len().max(1)] {
        let out = shaped(wish.clone(), &message, piece);
        assert_eq!(out.escape_ascii().to_string(), net(expected).escape_ascii().to_string());
    }
}

use alloc::string::ToString as _;

const SAYS: &[u8] = b"by mx.example\n";

#[test]
fn octets_0_are_left_out_for_who_wants_none() {
    let wish = Wish { drops_nul: true, ..Wish::default() };
    let text = b"Subject: a\0b\r\n\r\n\0.c\0\r\n";
    assert!(!wish.is_idle());
    for piece in [1, 3, 100] {
        assert_eq!(shaped(wish.clone(), text, piece), b"Subject: ab\r\n\r\n.c\r\n");
    }
}

#[test]
fn text_without_mime_becomes_quoted_printable_of_an_unknown_charset() {
    let expected = [
        b"Subject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=unknown-8bit\nContent-Transfer-Encoding: quoted-printable\nX-MIME-Autoconverted: from 8bit to quoted-printable ",
        SAYS,
        b"\nna=EFve text =3D long\n=2E\nblank at the end=20\n",
    ]
    .concat();
    let text = b"Subject: x\n\nna\xefve text = long\n.\nblank at the end \n";
    becomes(&wish(Conversion::ToSeven), text, &expected);
}

#[test]
fn an_eighth_above_127_makes_base64() {
    let header: &[u8] = b"MIME-Version: 1.0\nContent-Type: text/plain\n";
    let base: &[u8] =
        b"Content-Transfer-Encoding: base64\nX-MIME-Autoconverted: from 8bit to base64 ";
    // Eight octets with the end of the line: one is an eighth, two are more.
    let text = [header, b"\nabcd\xfcfg\n"].concat();
    assert_eq!(survey(&net(&text), 2).encodings, [Encoding::Quoted]);
    let text = [header, b"Content-Transfer-Encoding: 8bit\n\nabcd\xfc\xfcg\n"].concat();
    let expected = [header, base, SAYS, b"\nYWJjZPz8Zw0K\n"].concat();
    becomes(&wish(Conversion::ToSeven), &text, &expected);
}

#[test]
fn parts_are_encoded_one_by_one() {
    let top: &[u8] = b"MIME-Version: 1.0\nContent-Type: multipart/mixed;\n boundary=\"=_b\"\n";
    let text = [
        top,
        b"Content-Transfer-Encoding: 8bit\n\nfor\xe9 nobody\n--=_b  \n\nplain\n--=_b\nContent-Transfer-Encoding: 8bit\nContent-Type: text/plain\n\n\xe4\xf6\xfc\n",
        b"--=_b\nContent-Type: message/rfc822\n\nSubject: in\n\nlonger text \xe9\n\n--=_b--\nrest\n",
    ]
    .concat();
    let expected = [
        top,
        b"\nfori nobody\n--=_b\n\nplain\n--=_b\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\nX-MIME-Autoconverted: from 8bit to base64 ",
        SAYS,
        b"\n5Pb8\n--=_b\nContent-Type: message/rfc822\n\nSubject: in\nMIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\nX-MIME-Autoconverted: from 8bit to quoted-printable ",
        SAYS,
        b"\nlonger text =E9\n\n--=_b--\nrest\n",
    ]
    .concat();
    becomes(&wish(Conversion::ToSeven), &text, &expected);
}

#[test]
fn what_is_encoded_or_signed_stays() {
    let text =
        b"MIME-Version: 1.0\nContent-Transfer-Encoding: base64\nContent-Type: x/y\n\n\xe4\xf6\n";
    let expected =
        b"MIME-Version: 1.0\nContent-Type: x/y\nContent-Transfer-Encoding: base64\n\n\xe4\xf6\n";
    becomes(&wish(Conversion::ToSeven), text, expected);
    let text = b"MIME-Version: 1.0\nContent-Type: multipart/signed; boundary=a\n\n--a\n\n\xe4\xf6\n--a--\n";
    becomes(&wish(Conversion::ToSeven), text, text);
}

#[test]
fn a_multipart_that_was_cut_off_is_closed() {
    let text = b"Content-Type: multipart/mixed; boundary=a\n\nx\n--a\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n";
    becomes(&wish(Conversion::Pass), text, &[&text[..], b"--b--\n--a--\n"].concat());
    let text = b"Content-Type: multipart/mixed; boundary=a\n\nx\n";
    becomes(&wish(Conversion::Pass), text, &[&text[..], b"--a--\n"].concat());
}

#[test]
fn the_boundary_of_an_outer_part_ends_the_inner_ones() {
    let text = b"Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: y\n\ntext\n--a\n\nnext \xe4\xf6\n--a--\n";
    assert_eq!(survey(&net(text), 5).encodings, [Encoding::Keep, Encoding::Base64]);
    becomes(&wish(Conversion::Pass), text, text);
}

#[test]
fn encoded_text_becomes_plain_text_again() {
    let header: &[u8] = b"Content-Type: text/plain; charset=iso-8859-1\n";
    let text = [
        header,
        b"Content-Transfer-Encoding: Quoted-Printable\n\ncaf=E9 =3d so=\nft= \t\n! =4x =\n",
    ]
    .concat();
    let expected = [
        header,
        b"Content-Transfer-Encoding: 8bit\nX-MIME-Autoconverted: from Quoted-Printable to 8bit ",
        SAYS,
        b"\ncaf\xe9 = soft! =4x \n",
    ]
    .concat();
    becomes(&wish(Conversion::ToEight), &text, &expected);
    let text =
        [header, b"Content-Transfer-Encoding: base64\n\nY2Fm6Q0K\nIHgK.Cg==\nAAAA\n"].concat();
    let expected = [
        header,
        b"Content-Transfer-Encoding: 8bit\nX-MIME-Autoconverted: from base64 to 8bit ",
        SAYS,
        b"\ncaf\xe9\n x\n\n",
    ]
    .concat();
    becomes(&wish(Conversion::ToEight), &text, &expected);
    let text = b"Content-Type: text/html\nContent-Transfer-Encoding: base64\n\nY2Fm6Q==\n";
    becomes(&wish(Conversion::ToEight), text, text);
}

#[test]
fn unlabelled_text_gets_its_label() {
    let wish = Wish { is_labelled: true, ..wish(Conversion::Pass) };
    let expected = b"A: b\nMIME-Version: 1.0\nContent-Type: text/plain; charset=unknown-8bit\nContent-Transfer-Encoding: 8bit\n\n\xe4\n";
    becomes(&wish, b"A: b\n\n\xe4\n", expected);
    becomes(&wish, b"MIME-Version: 1.0\n\n\xe4\n", b"MIME-Version: 1.0\n\n\xe4\n");
}

#[test]
fn long_lines_are_cut_with_an_exclamation_mark() {
    let wish = Wish { line_bytes_max: 20, ..Wish::default() };
    let text =
        b"12345678901234567890\n.2345678901234567890A\n1234567890123456789012345678901234567890\n";
    let expected = b"12345678901234567890\n.234567890123456789!\n 0A\n1234567890123456789!\n 012345678901234567!\n 890\n";
    becomes(&wish, text, expected);
}

#[test]
fn separators_are_quoted_and_octets_stripped() {
    let wish = Wish { quotes_from: true, strip: Strip::Header, ..wish(Conversion::None) };
    let text = b"A: \xe9\n\nFrom here\nFromage\n From \xe9\nFrom\n";
    becomes(&wish, text, b"A: i\n\n>From here\nFromage\n From \xe9\nFrom\n");
    let wish = Wish { strip: Strip::Everywhere, ..Wish::default() };
    becomes(&wish, b"A: \xe9\n\n\xe9", b"A: i\n\ni");
}

#[test]
fn quoted_printable_quotes_what_the_mailer_wants_quoted() {
    let wish = Wish { quotes_from: true, quotes_more: true, ..wish(Conversion::ToSeven) };
    let out = shaped(wish, &net(b"MIME-Version: 1.0\n\nFrom here \xe9 [x]\n"), 7);
    assert!(out.ends_with(b"\r\n\r\nFrom=20here =E9 =5Bx=5D\r\n"), "{}", out.escape_ascii());
}

#[test]
fn lines_of_quoted_printable_are_short_and_never_begin_with_a_dot() {
    let text =
        [b"MIME-Version: 1.0\n\n", &[b'.'; 300][..], b"\xe9", &b"a. ".repeat(70), b"\n"].concat();
    let out = shaped(wish(Conversion::ToSeven), &net(&text), 11);
    let (_, body) = out.split_at(out.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4);
    for line in body.split(|&octet| octet == b'\n') {
        assert!(line.len() <= 77, "{}", line.escape_ascii());
    }
    assert_eq!(undo(b"quoted-printable", body), net(&text)[21..]);
}

#[test]
fn a_header_without_end_goes_on_as_it_is() {
    let mut text = b"MIME-Version: 1.0\r\n".to_vec();
    while text.len() <= HEADER_BYTES_MAX {
        text.extend_from_slice(
            b"X-Field: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n",
        );
    }
    text.extend_from_slice(b"\r\n\xe4\xf6\r\n");
    assert_eq!(shaped(wish(Conversion::ToSeven), &text, 4096), text);
}

#[test]
fn what_is_nested_too_deep_goes_on_as_it_is() {
    let mut text = b"MIME-Version: 1.0\n".to_vec();
    for _ in 0..100 {
        text.extend_from_slice(b"Content-Type: message/rfc822\n\n");
    }
    text.extend_from_slice(b"\n\xe4\xf6\n");
    let out = shaped(wish(Conversion::ToSeven), &net(&text), 50);
    assert!(out.ends_with(b"\n\xe4\xf6\r\n"));
    assert_eq!(survey(&net(&text), 9).encodings, []);
}

/// Decodes a body by the book.
fn undo(encoding: &[u8], body: &[u8]) -> Vec<u8> {
    let header =
        [b"Content-Type: text/plain\r\nContent-Transfer-Encoding: ", encoding, b"\r\n\r\n"];
    let out = shaped(wish(Conversion::ToEight), &[&header.concat(), body].concat(), 1000);
    let begin = out.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    out[begin..].to_vec()
}

/// Text that has something of everything.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        4 => proptest::sample::select(alloc::vec![
            &b"\r\n"[..], b"--a", b"--a--", b"--b", b"--b--", b"From ", b".", b" ", b"=", b"\xe4\xf6\xfc", b"\xe9",
            b"A: b\r\n", b"Content-Type: multipart/mixed; boundary=a\r\n\r\n", b"\r\n--a\r\n", b"\r\n--b\r\n",
            b"Content-Type: multipart/digest; boundary=b\r\n\r\n", b"Content-Type: message/rfc822\r\n\r\n",
            b"Content-Transfer-Encoding: base64\r\n", b"\r\n--a--\r\n", b"\r", b"ordinary words and more of them",
        ]).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..30),
    ];
    proptest::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pieces_make_no_difference(text in text(), piece in 1usize..40, seven: bool, limit in 0u32..40) {
        let conversion = if seven { Conversion::ToSeven } else { Conversion::ToEight };
        let wish = Wish { line_bytes_max: limit, quotes_from: true, ..wish(conversion) };
        let whole = shaped(wish.clone(), &text, usize::MAX);
        prop_assert_eq!(shaped(wish, &text, piece), whole);
    }

    #[test]
    fn what_was_encoded_is_decoded(
        lines in proptest::collection::vec(proptest::collection::vec(
            prop_oneof![any::<u8>(), Just(b' '), Just(b'.'), Just(b'=')].prop_filter("no ends", |octet| !matches!(octet, b'\r' | b'\n')), 0..200), 1..20),
        high: bool,
    ) {
        let mut body = lines.iter().flat_map(|line| [line, &b"\r\n"[..]].concat()).collect::<Vec<u8>>();
        if !high {
            body.extend(core::iter::repeat_n(b'a', body.len() * 8));
            body.extend_from_slice(b"\r\n");
        }
        let message = [b"MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n", &*body].concat();
        let seven = shaped(wish(Conversion::ToSeven), &message, 100);
        prop_assert!(seven.is_ascii());
        let eight = shaped(wish(Conversion::ToEight), &seven, 100);
        let begin = eight.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        prop_assert_eq!(&eight[begin..], &*body);
    }

    #[test]
    fn no_line_is_longer_than_the_limit_and_none_is_lost(text in text(), limit in 16u32..40) {
        let text = net(&text.into_iter().filter(|octet| *octet != b'\r').collect::<Vec<u8>>());
        let out = shaped(Wish { line_bytes_max: limit, ..Wish::default() }, &text, 9);
        for line in out.split(|&octet| octet == b'\n') {
            prop_assert!(line.strip_suffix(b"\r").unwrap_or(line).len() <= usize::try_from(limit).unwrap());
        }
        let cut = b"!\r\n ";
        let mut joined = Vec::new();
        let mut rest = &out[..];
        while let Some(at) = rest.windows(4).position(|window| window == cut) {
            joined.extend_from_slice(&rest[..at]);
            rest = &rest[at + 4..];
        }
        joined.extend_from_slice(rest);
        let has_marks = text.windows(4).any(|window| window == cut);
        prop_assert!(has_marks || joined == text);
    }

    #[test]
    fn octets_that_are_no_mail_do_no_harm(octets: Vec<u8>, piece in 1usize..20) {
        shaped(wish(Conversion::ToSeven), &octets, piece);
        shaped(wish(Conversion::ToEight), &octets, piece);
    }
}
