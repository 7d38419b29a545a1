//! What each octet is to the scanner, by who asks (option OperatorChars).

use super::meta;

/// What an octet is to the scanner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A token of its own.
    Operator,
    /// Part of a word.
    Atom,
    /// The quotation mark.
    Quote,
    /// Between words.
    Blank,
    /// Takes the next octet with it.
    One,
}

/// A table of kinds by octet.
#[derive(Debug, Clone)]
pub struct Table([Kind; 256]);

impl Table {
    pub(super) fn kind(&self, octet: u8) -> Kind {
        self.0.get(usize::from(octet)).copied().unwrap_or(Kind::Atom)
    }

    fn set(&mut self, octet: u8, kind: Kind) {
        if let Some(place) = self.0.get_mut(usize::from(octet)) {
            *place = kind;
        }
    }
}

/// The tables, by who asks.
#[derive(Debug, Clone)]
pub struct Tables {
    /// Addresses from outside: metasymbols are plain letters, parentheses begin comments.
    pub outside: Table,
    /// Rules of old configurations: parentheses begin comments.
    pub inside: Table,
    /// Rules and address test mode: parentheses are tokens.
    pub no_comments: Table,
}

impl Tables {
    /// The tables for these operator characters (option OperatorChars).
    #[must_use]
    pub fn new(operators: &[u8]) -> Self {
        let mut inside = Table([Kind::Atom; 256]);
        for octet in [b'\t', b'\n', 0x0b, 0x0c, b'\r', b' ', b'(', b')'] {
            inside.set(octet, Kind::Blank);
        }
        inside.set(b'"', Kind::Quote);
        for octet in 0x80..=0x9f {
            inside.set(octet, Kind::Operator);
        }
        for octet in [meta::DEFERRED, meta::CLASS, meta::NOT_CLASS, meta::POSITION, meta::QUOTE] {
            inside.set(octet, Kind::One);
        }
        for octet in operators.iter().chain(b"()<>,;\r\n") {
            if inside.kind(*octet) == Kind::Atom {
                inside.set(*octet, Kind::Operator);
            }
        }
        let mut outside = inside.clone();
        for octet in (0x80..=0x9f).chain([meta::QUOTE]) {
            outside.set(octet, Kind::Atom);
        }
        let mut no_comments = inside.clone();
        no_comments.set(b'(', Kind::Operator);
        no_comments.set(b')', Kind::Operator);
        Self { outside, inside, no_comments }
    }

    /// Whether a text is one word that a scan gives back as it is.
    #[must_use]
    pub(crate) fn is_plain(&self, text: &[u8]) -> bool {
        let is_atom = |octet: &u8| {
            octet.is_ascii_graphic() && *octet != b'\\' && self.outside.kind(*octet) == Kind::Atom
        };
        !text.is_empty() && text.len() < super::NAME_OCTETS_MAX && text.iter().all(is_atom)
    }

    /// Whether a token that begins with this octet is a word, so that two of them need something between.
    #[must_use]
    pub fn is_word(&self, lead: u8) -> bool {
        self.inside.kind(lead) == Kind::Atom
    }
}
