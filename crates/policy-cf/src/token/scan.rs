//! Octets into tokens (sendmail's prescan): a table of states, brackets and quotation marks in balance, comments out.

use super::table::{Kind, Table};
use super::{Arena, NAME_OCTETS_MAX, TOKENS_MAX, Token, is_blank};
use alloc::vec::Vec;

/// Room of one scan: octets and their ends (sendmail's PSBUFSIZE).
const SCAN_OCTETS_MAX: usize = NAME_OCTETS_MAX + TOKENS_MAX;

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
    /// Takes the octets of the token that is being gathered.
    arena: &'a mut Arena,
    at: usize,
    state: State,
    backslash: bool,
    comments: usize,
    angles: usize,
    is_route: bool,
    used: usize,
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
        let before = tokens.len();
        let mut scanner = Scanner {
            scan: *self,
            address,
            arena,
            at: 0,
            state: State::Atom,
            backslash: false,
            comments: 0,
            angles: 0,
            is_route: false,
            used: 0,
        };
        if let Err(complaint) = scanner.run(before, tokens, complain) {
            complain(complaint);
            tokens.truncate(before);
        }
        Scanned { is_some: tokens.len() > before, stopped: scanner.stopped() }
    }
}

impl Scanner<'_, '_> {
    /// Reads all tokens; `Err`: there are none to be had.
    fn run(
        &mut self,
        before: usize,
        tokens: &mut Vec<Token>,
        complain: &mut dyn FnMut(ScanComplaint),
    ) -> Result<(), ScanComplaint> {
        let mut carried = None;
        loop {
            let begin = self.arena.len();
            let end = loop {
                if let Some(octet) = carried.take() {
                    self.keep(octet)?;
                    self.keep_atoms();
                }
                match self.read(complain)? {
                    Read::Go(octet) => carried = octet,
                    Read::Break(octet) => {
                        carried = octet;
                        break None;
                    }
                    Read::End(octet) => break Some(octet),
                }
            };
            let length = self.arena.len().saturating_sub(begin);
            if length > 0 {
                self.used = self.used.saturating_add(1);
                if tokens.len().saturating_sub(before) >= TOKENS_MAX {
                    return Err(ScanComplaint::TooManyTokens);
                } else if length >= NAME_OCTETS_MAX {
                    return Err(ScanComplaint::TokenTooLong);
                }
                tokens.push(self.arena.token_from(begin));
            }
            if let Some(octet) = end
                && (octet == 0 || self.angles == 0)
            {
                return Ok(());
            }
        }
    }

    /// Keeps an octet of the token.
    fn keep(&mut self, octet: u8) -> Result<(), ScanComplaint> {
        if self.used >= SCAN_OCTETS_MAX.saturating_sub(5) {
            return Err(ScanComplaint::TooLong);
        }
        self.used = self.used.saturating_add(1);
        self.arena.push(if octet == 0xff { 0x7f } else { octet });
        Ok(())
    }

    /// Keeps what follows of a word in one go: octets that mean nothing but themselves.
    fn keep_atoms(&mut self) {
        if self.state != State::Atom || self.backslash || self.comments > 0 {
            return;
        }
        let room = SCAN_OCTETS_MAX.saturating_sub(5).saturating_sub(self.used);
        let rest = self.address.get(self.at..).unwrap_or_default();
        let is_plain = |octet: &u8| {
            self.scan.table.kind(*octet) == Kind::Atom
                && !matches!(octet, 0 | b'\\' | 0xff)
                && *octet != self.scan.delimiter
        };
        let count = rest.iter().take(room).take_while(|octet| is_plain(octet)).count();
        for octet in rest.iter().take(count) {
            self.arena.push(*octet);
        }
        self.at = self.at.saturating_add(count);
        self.used = self.used.saturating_add(count);
    }

    fn stopped(&self) -> usize {
        self.at.saturating_sub(1).min(self.address.len())
    }

    fn read(&mut self, complain: &mut dyn FnMut(ScanComplaint)) -> Result<Read, ScanComplaint> {
        let mut octet = self.address.get(self.at).copied().unwrap_or(0);
        self.at = self.at.saturating_add(1);
        if octet == 0 {
            let Some((open, close)) = self.missing() else { return Ok(Read::End(0)) };
            complain(ScanComplaint::Unbalanced(open));
            octet = close;
            self.at = self.at.saturating_sub(1);
        } else if octet == self.scan.delimiter && self.comments == 0 && self.state != State::Quoted
        {
            if self.angles == 0 {
                return Ok(Read::End(octet));
            }
            if octet == b',' && !self.is_route && !self.scan.lenient {
                complain(ScanComplaint::Unbalanced(b'<'));
                octet = b'>';
                self.at = self.at.saturating_sub(1);
            }
        }
        if core::mem::take(&mut self.backslash) {
            if self.comments > 0 {
                return Ok(Read::Go(None));
            }
            if octet != b'!' || self.state == State::Quoted {
                self.keep(b'\\')?;
                return Ok(Read::Go(Some(octet)));
            }
        }
        Ok(match self.structure(octet, complain) {
            None => Read::Go(None),
            // A backslash: it goes with the octet after it.
            Some(0) => self.take(b'\\', true),
            Some(octet) => {
                if octet == self.scan.delimiter
                    && self.angles == 0
                    && self.state != State::Quoted
                    && self.scan.delimiter != 0
                {
                    return Ok(Read::End(octet));
                }
                self.take(octet, false)
            }
        })
    }

    /// What is still open at the end: the mark that opened, and the one that is put in for the missing one.
    fn missing(&self) -> Option<(u8, u8)> {
        if self.scan.lenient {
            None
        } else if self.state == State::Quoted {
            Some((b'"', b'"'))
        } else if self.comments > 0 {
            Some((b'(', b')'))
        } else if self.angles > 0 {
            Some((b'<', b'>'))
        } else {
            None
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
