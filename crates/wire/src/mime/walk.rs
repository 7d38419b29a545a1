//! Follows the structure of a message that streams by: headers, parts, what is between them (RFC 2046, 5.1).
//!
//! A line that may be a boundary or a field is looked at whole; of a longer one than [`LINE_BYTES_MAX`] only the beginning
//! counts, and its rest goes on as it comes. The boundary of an outer multipart ends the inner ones. What is nested deeper
//! than [`NESTING_MAX`], or has a header above [`HEADER_BYTES_MAX`], is followed no further: it goes on as it is.

use alloc::vec::Vec;

use super::kind::{BOUNDARY_BYTES_MAX, Kind};

/// Multiparts and messages inside each other that are followed.
pub const NESTING_MAX: usize = 20;
/// Octets of the header of a message or part that is read.
pub const HEADER_BYTES_MAX: usize = 1024 * 1024;
/// Octets of a line that are looked at together.
const LINE_BYTES_MAX: usize = 1100;

const _: () = assert!(BOUNDARY_BYTES_MAX < LINE_BYTES_MAX, "a boundary is looked at whole");

/// Whose header it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The message's.
    Outer,
    /// That of a part of a multipart.
    Part,
    /// That of a message inside.
    Inner,
}

/// What stands below a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    /// Text or other octets; whether they may be encoded.
    Leaf { may_be_encoded: bool },
    /// Parts.
    Multipart,
    /// A message.
    Message,
    /// The rest of a header that was too long, and what follows it: nothing is known of it.
    Unread,
}

/// A header, and what it says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header<'a> {
    /// The fields.
    pub(super) fields: &'a [u8],
    pub(super) kind: &'a Kind,
    pub(super) place: Place,
    pub(super) nature: Nature,
}

/// Whoever wants to know. Lines come without their ends, long ones in pieces of which the last `ends`.
pub(super) trait Visit {
    /// A header has ended.
    fn header(&mut self, header: &Header<'_>, out: &mut Vec<u8>);
    /// A piece of a line of a leaf.
    fn text(&mut self, text: &[u8], ends: bool, out: &mut Vec<u8>);
    /// The leaf has ended: with the boundary behind it, or with the message.
    fn leaf_ends(&mut self, by_boundary: bool, out: &mut Vec<u8>);
    /// A piece of a line before the first part or behind the last one.
    fn aside(&mut self, text: &[u8], ends: bool, out: &mut Vec<u8>);
    /// A boundary between parts, or the final one.
    fn boundary(&mut self, boundary: &[u8], is_final: bool, out: &mut Vec<u8>);
}

/// A multipart that is open.
#[derive(Debug)]
struct Level {
    boundary: Vec<u8>,
    is_digest: bool,
    /// How deep its parts are nested.
    depth: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Header(Place),
    Leaf,
    Aside,
}

/// The walk, and who is told.
#[derive(Debug)]
pub(super) struct Walk<V> {
    pub(super) visitor: V,
    at: At,
    /// The fields of an open header.
    header: Vec<u8>,
    /// The line so far, while it may be a boundary or a field.
    line: Vec<u8>,
    /// The beginning of the line has gone on already.
    is_inside: bool,
    /// A CR has come inside a line whose beginning has gone on, and waits for what follows it.
    after_cr: bool,
    levels: Vec<Level>,
    depth: usize,
}

impl<V: Visit> Walk<V> {
    pub(super) const fn new(visitor: V) -> Self {
        Self {
            visitor,
            at: At::Header(Place::Outer),
            header: Vec::new(),
            line: Vec::new(),
            is_inside: false,
            after_cr: false,
            levels: Vec::new(),
            depth: 0,
        }
    }

    /// Takes the next octets of the message.
    pub(super) fn read(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let mut rest = piece;
        while !rest.is_empty() {
            let Some(end) = memchr::memchr(b'\n', rest) else {
                self.unfinished(rest, out);
                return;
            };
            let (line, behind) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            rest = behind.get(1..).unwrap_or_default();
            if self.is_inside {
                self.inside(line, out);
                self.after_cr = false;
                self.is_inside = false;
                self.tell(&[], false, true, out);
            } else if self.line.is_empty() {
                self.tell(without_cr(line), true, true, out);
            } else {
                let mut whole = core::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.tell(without_cr(&whole), true, true, out);
                whole.clear();
                self.line = whole;
            }
        }
    }

    /// A piece of a line whose end has not come.
    fn unfinished(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        if self.is_inside {
            return self.inside(piece, out);
        }
        self.line.extend_from_slice(piece);
        if self.line.len() > LINE_BYTES_MAX {
            let mut whole = core::mem::take(&mut self.line);
            let text = without_cr(&whole);
            self.after_cr = text.len() < whole.len();
            self.is_inside = true;
            self.tell(text, true, false, out);
            whole.clear();
            self.line = whole;
        }
    }

    /// A piece from the middle of a line.
    fn inside(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        if piece.is_empty() {
            return;
        }
        if self.after_cr {
            self.tell(b"\r", false, false, out);
        }
        let text = without_cr(piece);
        self.after_cr = text.len() < piece.len();
        self.tell(text, false, false, out);
    }

    /// The message has ended.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        let line = core::mem::take(&mut self.line);
        if !line.is_empty() {
            self.tell(&line, true, true, out);
        }
        if self.is_inside {
            if self.after_cr {
                self.tell(b"\r", false, false, out);
            }
            self.tell(&[], false, true, out);
        }
        while let At::Header(place) = self.at {
            self.end_header(place, out);
        }
        if self.at == At::Leaf {
            self.visitor.leaf_ends(false, out);
        }
        self.at = At::Aside;
        // As sendmail does: readers that insist on the end of a multipart get it.
        while let Some(level) = self.levels.pop() {
            self.visitor.boundary(&level.boundary, true, out);
        }
    }

    /// A line, or a piece of one.
    fn tell(&mut self, text: &[u8], starts: bool, ends: bool, out: &mut Vec<u8>) {
        if starts && text.starts_with(b"--") && self.is_boundary(text, out) {
            return;
        }
        if let At::Header(place) = self.at
            && self.header_line(place, text, starts, ends, out)
        {
            return;
        }
        match self.at {
            At::Leaf => self.visitor.text(text, ends, out),
            At::Aside => self.visitor.aside(text, ends, out),
            // A message inside that begins with no header at all.
            At::Header(_) => self.tell(text, starts, ends, out),
        }
    }

    /// Takes a line of a header; false: the header has ended, and the line is the first below it.
    fn header_line(
        &mut self,
        place: Place,
        text: &[u8],
        starts: bool,
        ends: bool,
        out: &mut Vec<u8>,
    ) -> bool {
        if starts && text.is_empty() {
            self.end_header(place, out);
            return true;
        }
        if starts && !is_field(text, !self.header.is_empty()) {
            self.end_header(place, out);
            return false;
        }
        if self.header.len().saturating_add(text.len()) > HEADER_BYTES_MAX {
            self.give_up(place, out);
            return false;
        }
        self.header.extend_from_slice(text);
        if ends {
            self.header.extend_from_slice(b"\r\n");
        }
        true
    }

    /// The header is too long: it goes on as it is, with all that follows.
    fn give_up(&mut self, place: Place, out: &mut Vec<u8>) {
        let fields = core::mem::take(&mut self.header);
        let kind = Kind::default();
        self.at = At::Leaf;
        let header = Header { fields: &fields, kind: &kind, place, nature: Nature::Unread };
        self.visitor.header(&header, out);
    }

    fn end_header(&mut self, place: Place, out: &mut Vec<u8>) {
        let mut fields = core::mem::take(&mut self.header);
        let kind = Kind::read(&fields);
        let nature = self.nature(&kind, place);
        self.at = match nature {
            Nature::Leaf { .. } | Nature::Unread => At::Leaf,
            Nature::Multipart => At::Aside,
            Nature::Message => At::Header(Place::Inner),
        };
        self.visitor.header(&Header { fields: &fields, kind: &kind, place, nature }, out);
        if nature == Nature::Multipart
            && let Some(boundary) = kind.boundary.clone()
        {
            let is_digest = kind.is("multipart/digest");
            self.levels.push(Level { boundary, is_digest, depth: self.depth });
        }
        fields.clear();
        self.header = fields;
    }

    fn nature(&mut self, kind: &Kind, place: Place) -> Nature {
        let is_in_digest =
            place == Place::Part && self.levels.last().is_some_and(|level| level.is_digest);
        let is_message = kind.is("message/rfc822") || (!kind.has_type && is_in_digest);
        let is_fixed = kind.is("multipart/signed") || !kind.is_plain();
        let is_shallow = self.depth < NESTING_MAX;
        if kind.is_multipart() {
            if is_fixed || kind.boundary.is_none() || !is_shallow {
                return Nature::Leaf { may_be_encoded: false };
            }
            self.depth = self.depth.saturating_add(1);
            return Nature::Multipart;
        }
        let is_encoded = kind.is_encoded_as("base64") || kind.is_encoded_as("quoted-printable");
        if is_message && !is_encoded && is_shallow {
            self.depth = self.depth.saturating_add(1);
            return Nature::Message;
        }
        // Other kinds of messages may not be encoded (RFC 2046, 5.2).
        Nature::Leaf { may_be_encoded: !is_fixed && !is_message && !kind.is_message() }
    }

    /// Whether a line is the boundary of an open multipart; if so, it was dealt with.
    fn is_boundary(&mut self, line: &[u8], out: &mut Vec<u8>) -> bool {
        if line.len() > LINE_BYTES_MAX {
            return false;
        }
        let line = line.trim_ascii_end();
        let name = line.get(2..).unwrap_or_default();
        let is = |name: &[u8]| self.levels.iter().rposition(|level| level.boundary == name);
        let (found, is_final) = match (is(name), name.strip_suffix(b"--").and_then(is)) {
            (Some(found), _) => (found, false),
            (None, Some(found)) => (found, true),
            (None, None) => return false,
        };
        while let At::Header(place) = self.at {
            self.end_header(place, out);
        }
        if self.at == At::Leaf {
            self.visitor.leaf_ends(true, out);
        }
        self.levels.truncate(found.saturating_add(1));
        let Some(level) = self.levels.last() else { return false };
        self.depth = level.depth;
        self.visitor.boundary(&level.boundary, is_final, out);
        if is_final {
            self.depth = self.depth.saturating_sub(1);
            self.levels.pop();
            self.at = At::Aside;
        } else {
            self.at = At::Header(Place::Part);
        }
        true
    }
}

/// Whether a line belongs to a header. `may_continue`: a field stands before it.
fn is_field(line: &[u8], may_continue: bool) -> bool {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return may_continue;
    }
    let beginning = line.get(..LINE_BYTES_MAX).unwrap_or(line);
    let Some(colon) = memchr::memchr(b':', beginning) else { return false };
    let name = beginning.get(..colon).unwrap_or_default().trim_ascii_end();
    !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
}

fn without_cr(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"\r").unwrap_or(text)
}
