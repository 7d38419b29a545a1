//! Watches the header of a message that streams by: how long, how many fields, how many hops, what is missing, where it
//! ends. Of the header itself it keeps the Message-Id for the log, and nothing else.
//!
//! A header ends at an empty line, or at the first line that is neither a field nor a continuation: the body begins there
//! already, and whoever writes the message on puts the empty line in.

use alloc::vec::Vec;

/// Octets of a Message-Id that are kept.
pub const MESSAGE_ID_BYTES_MAX: usize = 250;
/// Octets of a Precedence that are kept.
pub(super) const PRECEDENCE_BYTES_MAX: usize = 32;
/// Octets of a field's name that are compared.
const NAME_BYTES_MAX: usize = 32;

/// How a header ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadEnd {
    /// With an empty line, which is not counted in [`Head::bytes`].
    Blank,
    /// With a line that is no field: the first of the body.
    NotAField,
}

/// What is known about a header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// Octets of whole lines of fields.
    pub bytes: u64,
    /// Number of fields.
    pub fields: u32,
    /// Number of Received fields.
    pub hops: u32,
    /// Whether there is a Date (or Resent-Date).
    pub has_date: bool,
    /// Whether there is a From (or Resent-From).
    pub has_from: bool,
    /// The value of the first Message-Id, cut to [`MESSAGE_ID_BYTES_MAX`]; empty: there is none.
    pub message_id: Vec<u8>,
    /// Whether there is a Message-Id.
    pub has_message_id: bool,
    /// The value of the first Precedence, cut to 64 octets; empty: there is none.
    pub precedence: Vec<u8>,
    /// How it ended, once it has.
    pub end: Option<HeadEnd>,
}

/// Watches a header.
#[derive(Debug, Clone, Default)]
pub struct HeadReader {
    head: Head,
    at: At,
    /// The beginning of the name, in lower case.
    name: Vec<u8>,
    line_bytes: u64,
    keeps: Keeps,
}

/// Which value is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Keeps {
    #[default]
    None,
    MessageId,
    Precedence,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum At {
    #[default]
    LineStart,
    Name,
    /// Spaces between a name and its colon.
    Gap,
    Value,
}

impl HeadReader {
    /// Takes the next octets of a message with CR LF line ends. Does nothing once the header has ended.
    pub fn read(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while self.head.end.is_none()
            && let Some((&octet, behind)) = rest.split_first()
        {
            if self.at == At::Value {
                rest = self.value(rest);
            } else {
                self.step(octet);
                rest = behind;
            }
        }
    }

    /// What is known so far; all of it, once [`Head::end`] says so or the message has ended.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// Octets of the header so far, those of an unfinished line included.
    #[must_use]
    pub const fn bytes_so_far(&self) -> u64 {
        self.head.bytes.saturating_add(self.line_bytes)
    }

    /// What is known.
    #[must_use]
    pub fn into_head(self) -> Head {
        self.head
    }

    fn step(&mut self, octet: u8) {
        self.at = match (self.at, octet) {
            (At::LineStart, b'\r' | b'\n') => return self.end(HeadEnd::Blank),
            (At::LineStart, b' ' | b'\t') if self.head.fields > 0 => At::Value,
            (At::LineStart | At::Name, b'!'..=b'9' | b';'..=b'~') => {
                if self.at == At::LineStart {
                    self.name.clear();
                }
                if self.name.len() < NAME_BYTES_MAX {
                    self.name.push(octet.to_ascii_lowercase());
                }
                At::Name
            }
            (At::Name | At::Gap, b' ' | b'\t') => At::Gap,
            (At::Name | At::Gap, b':') => {
                self.field();
                At::Value
            }
            (At::LineStart | At::Name | At::Gap | At::Value, _) => {
                return self.end(HeadEnd::NotAField);
            }
        };
        self.line_bytes = self.line_bytes.saturating_add(1);
    }

    /// Takes the rest of a line.
    fn value<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let end = memchr::memchr(b'\n', rest);
        let taken = end.map_or(rest.len(), |at| at.saturating_add(1));
        let (line, rest) = rest.split_at_checked(taken).unwrap_or((rest, &[]));
        let kept = match self.keeps {
            Keeps::None => None,
            Keeps::MessageId => Some((&mut self.head.message_id, MESSAGE_ID_BYTES_MAX)),
            Keeps::Precedence => Some((&mut self.head.precedence, PRECEDENCE_BYTES_MAX)),
        };
        if let Some((value, most)) = kept {
            let room = most.saturating_sub(value.len());
            value.extend(line.iter().filter(|octet| octet.is_ascii_graphic()).take(room));
        }
        self.line_bytes = self.line_bytes.saturating_add(u64::try_from(taken).unwrap_or(u64::MAX));
        if end.is_some() {
            self.head.bytes = self.head.bytes.saturating_add(self.line_bytes);
            self.line_bytes = 0;
            self.at = At::LineStart;
        }
        rest
    }

    fn field(&mut self) {
        self.head.fields = self.head.fields.saturating_add(1);
        self.keeps = Keeps::None;
        match self.name.as_slice() {
            b"received" => self.head.hops = self.head.hops.saturating_add(1),
            b"date" | b"resent-date" => self.head.has_date = true,
            b"from" | b"resent-from" => self.head.has_from = true,
            b"message-id" => {
                if !self.head.has_message_id {
                    self.keeps = Keeps::MessageId;
                }
                self.head.has_message_id = true;
            }
            b"precedence" if self.head.precedence.is_empty() => self.keeps = Keeps::Precedence,
            _ => {}
        }
    }

    fn end(&mut self, end: HeadEnd) {
        self.head.end = Some(end);
        self.name = Vec::new();
        self.line_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Fields;
    use super::*;

    fn watch(message: &[u8], piece: usize) -> Head {
        let mut reader = HeadReader::default();
        message.chunks(piece).for_each(|piece| reader.read(piece));
        reader.into_head()
    }

    #[test]
    fn a_header_is_known_when_it_has_gone_by() {
        let head = watch(b"Received: a\r\n\tb\r\nRECEIVED : c\r\nmessage-id:\r\n <1@a>\r\nPrecedence: bulk\r\nFrom: x\r\n\r\nDate: y\r\n", 3);
        assert_eq!(
            head,
            Head {
                bytes: 79,
                fields: 5,
                hops: 2,
                has_date: false,
                has_from: true,
                message_id: b"<1@a>".to_vec(),
                has_message_id: true,
                precedence: b"bulk".to_vec(),
                end: Some(HeadEnd::Blank),
            }
        );
    }

    #[test]
    fn a_body_without_header_begins_at_once() {
        for message in
            [&b"hello\r\nx\r\n"[..], b" x\r\n", b"\xe4: x\r\n", b": x\r\n", b"From here\r\n"]
        {
            let head = watch(message, 100);
            assert_eq!((head.bytes, head.end), (0, Some(HeadEnd::NotAField)), "{message:?}");
        }
        assert_eq!(watch(b"\r\nx", 1).end, Some(HeadEnd::Blank));
        assert_eq!(watch(b"A: b\r\nhello\r\n", 1).bytes, 6);
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_reader_of_fields(
            parts in proptest::collection::vec(proptest::sample::select(alloc::vec![&b"Received: x"[..], b"\r\n", b"\r\n", b" ", b"a:", b"Date", b"\t", b"\xff", b":"]), 0..30),
            piece in 1usize..9,
        ) {
            let mut message = parts.concat();
            message.extend_from_slice(b"\r\n\r\n");
            let head = watch(&message, piece);
            let mut fields = Fields::new(&message);
            let found: Vec<_> = fields.by_ref().collect();
            prop_assert_eq!(usize::try_from(head.fields).unwrap(), found.len());
            let hops = found.iter().filter(|field| field.is("received")).count();
            prop_assert_eq!(usize::try_from(head.hops).unwrap(), hops);
            prop_assert_eq!(usize::try_from(head.bytes).unwrap(), message.len() - fields.rest().len());
        }
    }
}
