//! Addresses as sendmail cuts them: octets into tokens, tokens back into text, and both as shown to people.
//!
//! A token is a run of octets in an [`Arena`]; the metasymbols of the rewriting language (`$*`, `$@` …) are
//! single octets from 0x80 to 0x9F, so a token's first octet tells what it is. Scanning follows a table
//! of states (operator, atom, quoted string, blank, one octet, illegal): manual, section 5.1.

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
/// Room of one scan: octets and their ends (sendmail's PSBUFSIZE).
const SCAN_OCTETS_MAX: usize = NAME_OCTETS_MAX + TOKENS_MAX;

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
    /// Puts text in and gives its token.
    pub fn add(&mut self, text: &[u8]) -> Token {
        let start = u32::try_from(self.octets.len()).unwrap_or(u32::MAX);
        if self.octets.len().saturating_add(text.len()) > ARENA_OCTETS_MAX {
            return Token { start: 0, length: 0, hash: fold_hash(b""), lead: 0 };
        }
        self.octets.extend_from_slice(text);
        Token {
            start,
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

/// What an octet is to the scanner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
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

/// A table of [`Kind`]s by octet.
#[derive(Debug, Clone)]
pub struct Table([Kind; 256]);

impl Table {
    fn kind(&self, octet: u8) -> Kind {
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

    /// Whether a token that begins with this octet is a word, so that two of them need something between.
    #[must_use]
    pub fn is_word(&self, lead: u8) -> bool {
        self.inside.kind(lead) == Kind::Atom
    }
}

/// What the scanner has to say about an address; printed by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanComplaint {
    /// A bracket or quotation mark without its partner.
    Unbalanced(u8),
    /// The address does not fit.
    TooLong,
    /// More than [`TOKENS_MAX`] tokens.
    TooManyTokens,
    /// A token of more than [`NAME_OCTETS_MAX`] octets.
    TokenTooLong,
}

impl ScanComplaint {
    /// sendmail's reply code, status and text.
    #[must_use]
    pub fn reply(self) -> &'static [u8] {
        match self {
            Self::Unbalanced(b'"') => b"553 5.0.0 Unbalanced '\"'",
            Self::Unbalanced(b'(') => b"553 5.0.0 Unbalanced '('",
            Self::Unbalanced(b')') => b"553 5.0.0 Unbalanced ')'",
            Self::Unbalanced(b'<') => b"553 5.0.0 Unbalanced '<'",
            Self::Unbalanced(_) => b"553 5.0.0 Unbalanced '>'",
            Self::TooLong => b"553 5.1.1 Address too long",
            Self::TooManyTokens => b"553 5.1.0 prescan: too many tokens",
            Self::TokenTooLong => b"553 5.1.0 prescan: token too long",
        }
    }
}

/// How to scan.
#[derive(Debug, Clone, Copy)]
pub struct Scan<'a> {
    /// The octets' kinds.
    pub table: &'a Table,
    /// Ends the address outside brackets and quotes; 0: none.
    pub delimiter: u8,
    /// Bad syntax is taken as it is (rules); else it is named and mended.
    pub lenient: bool,
}

/// What a scan left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scanned {
    /// Whether there is at least one token (the others are void).
    pub is_some: bool,
    /// Where the scan stopped: the delimiter, or the end.
    pub stopped: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Operator,
    Atom,
    Quoted,
    Blank,
    One,
}

/// The state after an octet of this kind, whether the octet is dropped, and whether a token ends before it.
fn step(state: State, kind: Kind) -> (State, bool, bool) {
    let plain = match kind {
        Kind::Operator => State::Operator,
        Kind::Atom => State::Atom,
        Kind::Quote => State::Quoted,
        Kind::Blank => State::Blank,
        Kind::One => State::One,
    };
    match state {
        State::Quoted if kind == Kind::Quote => (State::Operator, false, false),
        State::Quoted => (State::Quoted, false, false),
        State::One => (State::Operator, false, false),
        State::Operator => (plain, kind == Kind::Blank, true),
        State::Atom => (plain, kind == Kind::Blank, kind != Kind::Atom),
        State::Blank => (plain, kind == Kind::Blank, false),
    }
}

/// One scan in progress.
struct Scanner<'a, 's> {
    scan: Scan<'s>,
    address: &'a [u8],
    at: usize,
    state: State,
    backslash: bool,
    comments: usize,
    angles: usize,
    is_route: bool,
    used: usize,
    text: Vec<u8>,
}

/// What reading one octet means for the token that is being gathered.
enum Read {
    Go(Option<u8>),
    Break(Option<u8>),
    End(u8),
}

impl Scan<'_> {
    /// Cuts `address` into tokens, appended to `tokens`; `complain` hears what is wrong.
    pub fn run(
        &self,
        address: &[u8],
        arena: &mut Arena,
        tokens: &mut Vec<Token>,
        complain: &mut dyn FnMut(ScanComplaint),
    ) -> Scanned {
        let mut scanner = Scanner {
            scan: *self,
            address,
            at: 0,
            state: State::Atom,
            backslash: false,
            comments: 0,
            angles: 0,
            is_route: false,
            used: 0,
            text: Vec::with_capacity(64),
        };
        let before = tokens.len();
        let mut carried = None;
        loop {
            scanner.text.clear();
            let end = loop {
                if let Some(octet) = carried.take()
                    && !scanner.keep(octet)
                {
                    complain(ScanComplaint::TooLong);
                    tokens.truncate(before);
                    return Scanned { is_some: false, stopped: scanner.stopped() };
                }
                match scanner.read(complain) {
                    Read::Go(octet) => carried = octet,
                    Read::Break(octet) => {
                        carried = octet;
                        break None;
                    }
                    Read::End(octet) => break Some(octet),
                }
            };
            if !scanner.text.is_empty() {
                scanner.used = scanner.used.saturating_add(1);
                let complaint = if tokens.len().saturating_sub(before) >= TOKENS_MAX {
                    Some(ScanComplaint::TooManyTokens)
                } else if scanner.text.len() >= NAME_OCTETS_MAX {
                    Some(ScanComplaint::TokenTooLong)
                } else {
                    None
                };
                if let Some(complaint) = complaint {
                    complain(complaint);
                    tokens.truncate(before);
                    return Scanned { is_some: false, stopped: scanner.stopped() };
                }
                tokens.push(arena.add(&scanner.text));
            }
            if let Some(octet) = end
                && (octet == 0 || scanner.angles == 0)
            {
                break;
            }
        }
        Scanned { is_some: tokens.len() > before, stopped: scanner.stopped() }
    }
}

impl Scanner<'_, '_> {
    /// Keeps an octet of the token; `false` if the address is too long.
    fn keep(&mut self, octet: u8) -> bool {
        if self.used >= SCAN_OCTETS_MAX.saturating_sub(5) {
            return false;
        }
        self.used = self.used.saturating_add(1);
        self.text.push(if octet == 0xff { 0x7f } else { octet });
        true
    }

    fn stopped(&self) -> usize {
        self.at.saturating_sub(1).min(self.address.len())
    }

    fn read(&mut self, complain: &mut dyn FnMut(ScanComplaint)) -> Read {
        let mut octet = self.address.get(self.at).copied().unwrap_or(0);
        self.at = self.at.saturating_add(1);
        if octet == 0 {
            let missing = if self.scan.lenient {
                None
            } else if self.state == State::Quoted {
                Some((b'"', b'"'))
            } else if self.comments > 0 {
                Some((b'(', b')'))
            } else if self.angles > 0 {
                Some((b'<', b'>'))
            } else {
                None
            };
            let Some((open, close)) = missing else { return Read::End(0) };
            complain(ScanComplaint::Unbalanced(open));
            octet = close;
            self.at = self.at.saturating_sub(1);
        } else if octet == self.scan.delimiter && self.comments == 0 && self.state != State::Quoted
        {
            if self.angles == 0 {
                return Read::End(octet);
            }
            if octet == b',' && !self.is_route && !self.scan.lenient {
                complain(ScanComplaint::Unbalanced(b'<'));
                octet = b'>';
                self.at = self.at.saturating_sub(1);
            }
        }
        if self.backslash {
            self.backslash = false;
            if self.comments > 0 {
                return Read::Go(None);
            }
            if octet != b'!' || self.state == State::Quoted {
                if !self.keep(b'\\') {
                    // The octet itself will find no room either, and is the one that is named.
                    return Read::Go(Some(octet));
                }
                return Read::Go(Some(octet));
            }
        }
        match self.structure(octet, complain) {
            None => Read::Go(None),
            Some(0) => {
                // A backslash: it goes with the octet after it.
                self.take(b'\\', true)
            }
            Some(octet) => {
                if octet == self.scan.delimiter
                    && self.angles == 0
                    && self.state != State::Quoted
                    && self.scan.delimiter != 0
                {
                    return Read::End(octet);
                }
                self.take(octet, false)
            }
        }
    }

    /// Comments, angle brackets and backslashes. `None`: the octet is swallowed; `Some(0)`: it is a backslash.
    fn structure(&mut self, octet: u8, complain: &mut dyn FnMut(ScanComplaint)) -> Option<u8> {
        let has_comments = self.scan.table.kind(b'(') == Kind::Blank;
        match octet {
            b'\\' => {
                self.backslash = true;
                return Some(0);
            }
            _ if self.state == State::Quoted => {}
            b'(' if has_comments => {
                self.comments = self.comments.saturating_add(1);
                return None;
            }
            b')' if has_comments => {
                if self.comments > 0 {
                    self.comments = self.comments.saturating_sub(1);
                } else if !self.scan.lenient {
                    complain(ScanComplaint::Unbalanced(b')'));
                }
                return None;
            }
            _ if self.comments > 0 => return None,
            b'<' => {
                self.angles = self.angles.saturating_add(1);
                let rest = self.address.get(self.at..).unwrap_or_default();
                let next = rest.iter().find(|octet| !is_blank(**octet));
                if next == Some(&b'@') {
                    self.is_route = true;
                }
            }
            b'>' => {
                self.is_route = false;
                if self.angles > 0 {
                    self.angles = self.angles.saturating_sub(1);
                } else if !self.scan.lenient {
                    complain(ScanComplaint::Unbalanced(b'>'));
                    return None;
                }
            }
            _ => {}
        }
        if self.scan.delimiter == b' ' && is_blank(octet) && self.state != State::Quoted {
            return Some(b' ');
        }
        Some(octet)
    }

    fn take(&mut self, octet: u8, is_backslash: bool) -> Read {
        let (state, dropped, ends) = step(self.state, self.scan.table.kind(octet));
        self.state = state;
        // The backslash itself is put down together with what it stands before.
        let kept = if dropped || is_backslash { None } else { Some(octet) };
        if ends { Read::Break(kept) } else { Read::Go(kept) }
    }
}

/// White space as C's isspace says it.
#[must_use]
pub fn is_blank(octet: u8) -> bool {
    matches!(octet, b'\t' | b'\n' | 0x0b | 0x0c | b'\r' | b' ')
}

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
