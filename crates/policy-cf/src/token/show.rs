//! Tokens back into text, and text as people are shown it.

use super::{Arena, Tables, Token, meta};
use alloc::vec::Vec;

/// Puts tokens together again: `separator` between two words that would run into each other.
///
/// `outside`: a quoted metasymbol comes without its quote octet. Stops (and says `false`) where `limit` octets are full.
pub fn join(
    arena: &Arena,
    tables: &Tables,
    tokens: &[Token],
    separator: u8,
    outside: bool,
    limit: usize,
    text: &mut Vec<u8>,
) -> bool {
    let mut room = limit.saturating_sub(2);
    let mut after_word = false;
    for token in tokens {
        let word = tables.is_word(token.lead);
        if after_word && word {
            text.push(separator);
            room = room.saturating_sub(1);
            if room == 0 {
                return false;
            }
        }
        let mut octets = arena.text(*token).iter();
        while let Some(octet) = octets.next() {
            room = room.saturating_sub(1);
            if room == 0 {
                return false;
            }
            if *octet == meta::QUOTE && outside {
                text.push(octets.next().copied().unwrap_or(*octet));
            } else {
                text.push(*octet);
            }
        }
        after_word = word;
    }
    true
}

/// Writes text as sendmail shows it: metasymbols as `$*`, macros as `$x` or `${name}`, others of the upper half as `M-c`.
pub fn show(text: &[u8], name: &dyn Fn(u8, &mut Vec<u8>), out: &mut Vec<u8>) {
    if text.iter().all(|octet| matches!(octet, b' '..=b'~')) {
        out.extend_from_slice(text);
        return;
    }
    let mut octets = text.iter().copied().peekable();
    while let Some(octet) = octets.next() {
        if octet.is_ascii() {
            show_plain(octet, out);
            continue;
        }
        match octet {
            meta::POSITION => {
                out.push(b'$');
                if let Some(digit) = octets.next() {
                    show_plain(digit, out);
                }
            }
            meta::MACRO | meta::DEFERRED => {
                out.push(b'$');
                if octet == meta::DEFERRED {
                    out.push(b'&');
                }
                if let Some(first) = octets.next() {
                    let mut id = Some(first);
                    if matches!(first, b'=' | b'~' | b'&' | b'?') {
                        out.push(first);
                        id = octets.next();
                    }
                    if let Some(id) = id {
                        name(id, out);
                    }
                }
            }
            _ => {
                if let Some((letter, _)) = meta::LETTERS.iter().find(|(_, symbol)| *symbol == octet)
                {
                    out.push(b'$');
                    out.push(*letter);
                    if matches!(octet, meta::CLASS | meta::NOT_CLASS)
                        && let Some(id) = octets.next()
                    {
                        name(id, out);
                    }
                } else {
                    out.extend_from_slice(b"M-");
                    show_plain(octet & 0x7f, out);
                }
            }
        }
    }
}

fn show_plain(octet: u8, out: &mut Vec<u8>) {
    match octet {
        b' '..=b'~' => out.push(octet),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => {}
    }
}
