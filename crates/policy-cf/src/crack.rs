//! Cutting an address out of the name and comments around it (sendmail's crackaddr).
//!
//! Gives a template in which `$g` stands where the address stood: `"A. B" <$g> (comment)`.

use crate::options::Options;
use crate::read::chars::{is_space, trim_start};
use crate::token::{NAME_OCTETS_MAX, meta};
use alloc::vec::Vec;

/// The template being built, with room kept for what must still be closed.
struct Template {
    text: Vec<u8>,
    room: usize,
}

impl Template {
    fn has_room(&self) -> bool {
        self.text.len() < self.room
    }

    fn add(&mut self, octet: u8) {
        if self.has_room() {
            self.text.push(octet);
        }
    }
}

/// The walk over the text.
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that was seen on the way")]
struct Walk<'a> {
    text: &'a [u8],
    at: usize,
    out: Template,
    /// Where the part that is being rebuilt begins, in the template and in the text.
    head: usize,
    text_head: usize,
    copying: i32,
    angles: i32,
    comments: i32,
    open_comments: i32,
    brackets: i32,
    quoted: bool,
    open_quote: bool,
    open_angle: bool,
    has_address: bool,
    must_quote: bool,
    seen_angle: bool,
    seen_colon: bool,
}

/// What the reader of one octet decided.
enum Then {
    Next,
    Address,
}

/// The template of `address`.
#[must_use]
pub fn crack(address: &[u8], options: &Options) -> Vec<u8> {
    let end = address.iter().position(|octet| *octet == 0).unwrap_or(address.len());
    let text = trim_start(address.get(..end).unwrap_or(address));
    let mut walk = Walk {
        text,
        at: 0,
        out: Template { text: Vec::new(), room: NAME_OCTETS_MAX },
        head: 0,
        text_head: 0,
        copying: 0,
        angles: 0,
        comments: 0,
        open_comments: 0,
        brackets: 0,
        quoted: false,
        open_quote: false,
        open_angle: false,
        has_address: false,
        must_quote: false,
        seen_angle: false,
        seen_colon: false,
    };
    while let Some(octet) = walk.next() {
        if matches!(walk.octet(octet, options), Then::Address) {
            walk.address();
        }
    }
    walk.close()
}

impl Walk<'_> {
    fn next(&mut self) -> Option<u8> {
        let octet = self.text.get(self.at).copied();
        if octet.is_some() {
            self.at = self.at.saturating_add(1);
        }
        octet
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[expect(clippy::too_many_lines, reason = "one arm an octet, in the order in which they count")]
    fn octet(&mut self, octet: u8, options: &Options) -> Then {
        if self.copying > 0 {
            self.out.add(octet);
        }
        if octet == b'\\' {
            if self.comments <= 0 && !self.quoted {
                self.must_quote = true;
            }
            if let Some(next) = self.next()
                && self.copying > 0
            {
                self.out.add(next);
            }
            return Then::Address;
        }
        if octet == b'"' && self.comments <= 0 {
            self.quoted = !self.quoted;
            if self.copying > 0 && self.out.has_room() {
                self.hold(!self.open_quote);
                self.open_quote = !self.open_quote;
            }
            return Then::Next;
        }
        if self.quoted {
            return Then::Address;
        }
        if self.comment(octet) {
            return Then::Next;
        }
        match octet {
            b'[' => self.brackets = self.brackets.saturating_add(1),
            b']' => self.brackets = self.brackets.saturating_sub(1),
            b':' if self.angles <= 0
                && self.brackets <= 0
                && !self.seen_colon
                && !options.colon_is_plain =>
            {
                return self.group();
            }
            b';' if self.copying <= 0 && !options.colon_is_plain => self.out.add(octet),
            _ => {}
        }
        if options.must_quote.contains(&octet) && self.comments <= 0 && !self.quoted {
            self.must_quote = true;
        }
        match octet {
            b'<' => {
                if self.seen_angle {
                    self.must_quote = true;
                }
                self.seen_angle = true;
                self.angles = 1;
                if self.out.has_room() {
                    if !self.open_angle {
                        self.hold(true);
                    }
                    self.open_angle = true;
                }
                self.rebuild(b'<');
                self.copying = 0;
                self.has_address = false;
                self.must_quote = false;
                Then::Next
            }
            b'>' => {
                if self.angles > 0 {
                    self.angles = self.angles.saturating_sub(1);
                    if self.out.has_room() {
                        if self.open_angle {
                            self.hold(false);
                        }
                        self.open_angle = false;
                    }
                } else if self.out.has_room() {
                    if self.copying > 0 && self.out.text.len() > self.head {
                        self.out.text.pop();
                    }
                    self.must_quote = true;
                    return Then::Next;
                }
                if self.copying <= 0 {
                    self.out.add(octet);
                }
                self.copying = self.copying.saturating_add(1);
                Then::Next
            }
            _ => Then::Address,
        }
    }

    /// Keeps room for a closing octet, or gives it back.
    fn hold(&mut self, keep: bool) {
        self.out.room =
            if keep { self.out.room.saturating_sub(1) } else { self.out.room.saturating_add(1) };
    }

    /// Parentheses. `true`: the octet is part of a comment.
    fn comment(&mut self, octet: u8) -> bool {
        if octet == b'(' {
            self.comments = self.comments.saturating_add(1);
            if self.out.has_room() {
                self.hold(true);
                self.open_comments = self.open_comments.saturating_add(1);
                if self.copying <= 0 {
                    if self.out.text.len() != self.head {
                        self.out.add(b' ');
                    }
                    self.out.add(octet);
                }
                self.copying = self.copying.saturating_add(1);
            }
        }
        if self.comments > 0 {
            if octet == b')' {
                self.comments = self.comments.saturating_sub(1);
                self.copying = self.copying.saturating_sub(1);
                if self.out.has_room() {
                    self.open_comments = self.open_comments.saturating_sub(1);
                    self.hold(false);
                }
            }
            return true;
        }
        if octet == b')'
            && self.copying > 0
            && self.out.has_room()
            && self.out.text.len() > self.head
        {
            self.out.text.pop();
        }
        false
    }

    /// `list: a, b;`, or DECnet's `host::user`.
    fn group(&mut self) -> Then {
        if let Some(next @ (b':' | b'.')) = self.peek() {
            if self.comments <= 0 && !self.quoted {
                self.must_quote = true;
            }
            if self.copying > 0 {
                self.out.add(b':');
                self.out.add(next);
            }
            self.at = self.at.saturating_add(1);
            return Then::Address;
        }
        self.seen_colon = true;
        self.rebuild(b':');
        while let Some(octet) = self.peek().filter(|octet| is_space(*octet)) {
            self.out.add(octet);
            self.at = self.at.saturating_add(1);
        }
        self.copying = 0;
        self.has_address = false;
        self.must_quote = false;
        self.head = self.out.text.len();
        self.text_head = self.at;
        Then::Next
    }

    /// Puts down once more what stood before `mark`, in quotes if it needs them.
    fn rebuild(&mut self, mark: u8) {
        let base = self.head;
        self.out.text.truncate(base);
        if self.must_quote {
            self.out.add(b'"');
            // Back over the mark and the blanks before it.
            self.at = self.at.saturating_sub(1);
            while self.at > 0 {
                self.at = self.at.saturating_sub(1);
                if !self.peek().is_some_and(is_space) {
                    break;
                }
            }
            self.at = self.at.saturating_add(1);
        }
        for octet in self.text.get(self.text_head..self.at).unwrap_or_default() {
            if self.must_quote && *octet == b'"' {
                self.out.add(b'\\');
            }
            self.out.add(*octet);
        }
        if self.must_quote {
            if self.out.text.len() == base.saturating_add(1) {
                self.out.text.pop();
            } else {
                self.out.add(b'"');
            }
            while let Some(octet) = self.next() {
                self.out.add(octet);
                if octet == mark {
                    break;
                }
            }
        }
    }

    fn address(&mut self) {
        if self.copying <= 0 && !self.has_address {
            if self.out.text.last() == Some(&b')') {
                self.out.add(b' ');
            }
            self.out.add(meta::MACRO);
            self.out.add(b'g');
            self.has_address = true;
        }
    }

    fn close(mut self) -> Vec<u8> {
        self.out.room = NAME_OCTETS_MAX;
        if self.open_quote {
            self.out.add(b'"');
        }
        while self.open_comments > 0 {
            self.open_comments = self.open_comments.saturating_sub(1);
            self.out.add(b')');
        }
        if self.open_angle {
            self.out.add(b'>');
        }
        if self.out.text.len() < NAME_OCTETS_MAX {
            return self.out.text;
        }
        alloc::vec![b'<', meta::MACRO, b'g', b'>']
    }
}
