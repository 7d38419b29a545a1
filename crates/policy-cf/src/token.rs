//! Addresses as sendmail cuts them: octets into tokens, tokens back into text, and both as shown to people.
//!
//! A token is a run of octets in an [`Arena`]; the metasymbols of the rewriting language (`$*`, `$@` …) are
//! single octets from 0x80 to 0x9F, so a token's first octet tells what it is. Scanning follows a table
//! of states (operator, atom, quoted string, blank, one octet, illegal): manual, section 5.1.

mod scan;
mod show;
mod table;

pub use scan::{Scan, ScanComplaint, Scanned};
pub use show::{join, show};
pub use table::{Table, Tables};

use alloc::vec::Vec;

/// Metasymbols of the rewriting language.
pub mod meta {
    /// `$x`, not yet expanded; the macro's number follows.
    pub const MACRO: u8 = 0x81;
    /// `$&x`; the macro's number follows.
    pub const DEFERRED: u8 = 0x82;
    /// `$(`
    pub const LOOKUP_BEGIN: u8 = 0x85;
    /// `$)`
    pub const LOOKUP_END: u8 = 0x86;
    /// `$*`
    pub const ANY: u8 = 0x90;
    /// `$+`
    pub const SOME: u8 = 0x91;
    /// `$-`
    pub const ONE: u8 = 0x92;
    /// `$=x`; the class's number follows.
    pub const CLASS: u8 = 0x93;
    /// `$~x`; the class's number follows.
    pub const NOT_CLASS: u8 = 0x94;
    /// `$1` … `$9`; the digit follows.
    pub const POSITION: u8 = 0x95;
    /// `$#`
    pub const MAILER: u8 = 0x96;
    /// `$@`
    pub const HOST: u8 = 0x97;
    /// `$:`
    pub const USER: u8 = 0x98;
    /// `$>`
    pub const CALL: u8 = 0x99;
    /// `$?`
    pub const IF: u8 = 0x9a;
    /// `$|`
    pub const ELSE: u8 = 0x9b;
    /// `$.`
    pub const FI: u8 = 0x9c;
    /// `$[`
    pub const HOST_BEGIN: u8 = 0x9d;
    /// `$]`
    pub const HOST_END: u8 = 0x9e;
    /// The octet after this one stands for itself.
    pub const QUOTE: u8 = 0xff;

    /// The letter after `$` and its metasymbol.
    pub const LETTERS: [(u8, u8); 17] = [
        (b'*', ANY),
        (b'+', SOME),
        (b'-', ONE),
        (b'=', CLASS),
        (b'~', NOT_CLASS),
        (b'#', MAILER),
        (b'@', HOST),
        (b':', USER),
        (b'>', CALL),
        (b'?', IF),
        (b'|', ELSE),
        (b'.', FI),
        (b'[', HOST_BEGIN),
        (b']', HOST_END),
        (b'(', LOOKUP_BEGIN),
        (b')', LOOKUP_END),
        (b'&', DEFERRED),
    ];
}

/// The longest name (address or token), one more than fits (sendmail's MAXNAME).
pub const NAME_OCTETS_MAX: usize = 256;
/// The longest key of a map, one more than fits (sendmail's MAXKEY).
pub const KEY_OCTETS_MAX: usize = 1024;
/// The most tokens of one address (sendmail's MAXATOM).
pub const TOKENS_MAX: usize = 1000;

/// A run of octets in an [`Arena`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    start: u32,
    length: u32,
    /// Hash of the octets in lower case: unequal hashes are unequal tokens.
    pub hash: u32,
    /// The first octet, 0 if there is none.
    pub lead: u8,
}

/// Octets that tokens point into: those of the rules below, those of the call that is running above.
#[derive(Debug, Clone, Default)]
pub struct Arena {
    octets: Vec<u8>,
}

/// How much an arena may hold: far above what any address needs, so that a runaway rule set ends.
pub const ARENA_OCTETS_MAX: usize = 64 * 1024 * 1024;

impl Arena {
    /// Puts one octet in; there is an end to that.
    fn push(&mut self, octet: u8) {
        if self.octets.len() < ARENA_OCTETS_MAX {
            self.octets.push(octet);
        }
    }

    /// The token of all octets from `start` on.
    fn token_from(&self, start: usize) -> Token {
        let text = self.octets.get(start..).unwrap_or_default();
        Token {
            start: u32::try_from(start).unwrap_or(u32::MAX),
            length: u32::try_from(text.len()).unwrap_or(0),
            hash: fold_hash(text),
            lead: text.first().copied().unwrap_or(0),
        }
    }

    /// The octets of a token.
    #[must_use]
    pub fn text(&self, token: Token) -> &[u8] {
        let start = usize::try_from(token.start).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::try_from(token.length).unwrap_or(0));
        self.octets.get(start..end).unwrap_or_default()
    }

    /// Whether two tokens are equal, letters of either case.
    #[must_use]
    pub fn are_equal(&self, one: Token, other: Token) -> bool {
        // Marks are one octet, which is at hand; most words of rules are marks.
        one.hash == other.hash
            && one.length == other.length
            && (one.start == other.start
                || (one.length == 1 && one.lead.eq_ignore_ascii_case(&other.lead))
                || self.text(one).eq_ignore_ascii_case(self.text(other)))
    }

    /// How much is in.
    #[must_use]
    pub fn len(&self) -> usize {
        self.octets.len()
    }

    /// Whether nothing is in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// Drops all that was put in since [`Arena::len`] was `len`.
    pub fn cut(&mut self, len: usize) {
        self.octets.truncate(len);
    }
}

/// FNV-1a over the octets in lower case.
#[must_use]
pub fn fold_hash(text: &[u8]) -> u32 {
    text.iter().fold(0x811c_9dc5, |hash, octet| fold_hash_step(hash, *octet))
}

/// One more octet into a [`fold_hash`].
#[must_use]
pub fn fold_hash_step(hash: u32, octet: u8) -> u32 {
    (hash ^ u32::from(octet.to_ascii_lowercase())).wrapping_mul(0x0100_0193)
}

/// White space as C's isspace says it.
#[must_use]
pub fn is_blank(octet: u8) -> bool {
    matches!(octet, b'\t' | b'\n' | 0x0b | 0x0c | b'\r' | b' ')
}
