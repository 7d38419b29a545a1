//! What a part is: the fields Content-Type and Content-Transfer-Encoding of its header (RFC 2045, 5 and 6).

use alloc::vec::Vec;

use crate::header::Fields;

/// The longest boundary that is followed, in octets; RFC 2046 allows 70.
pub(super) const BOUNDARY_BYTES_MAX: usize = 250;
/// Octets of an encoding's name that are kept.
const ENCODING_BYTES_MAX: usize = 200;
/// Octets of a type's or a parameter's name.
const NAME_BYTES_MAX: usize = 100;

/// What a header says about the part below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Kind {
    /// `text/plain`, in lower case; empty: nothing said, or nothing that makes sense.
    name: Vec<u8>,
    /// The boundary of a multipart.
    pub(super) boundary: Option<Vec<u8>>,
    /// The encoding as it was written, without comments.
    pub(super) encoding: Option<Vec<u8>>,
    /// Whether there is a Content-Type.
    pub(super) has_type: bool,
    /// Whether there is a MIME-Version.
    pub(super) has_version: bool,
}

impl Kind {
    /// Reads a header.
    pub(super) fn read(header: &[u8]) -> Self {
        let mut kind = Self::default();
        for field in Fields::new(header) {
            if field.is("MIME-Version") {
                kind.has_version = true;
            } else if field.is("Content-Type") && !kind.has_type {
                kind.has_type = true;
                kind.read_type(field.value);
            } else if field.is("Content-Transfer-Encoding") && kind.encoding.is_none() {
                let mut words = Words::new(field.value).map(|word| word.text);
                kind.encoding = words
                    .next()
                    .map(|first| words.fold(first, |all, word| [&*all, &*word].concat()));
                if let Some(encoding) = &mut kind.encoding {
                    encoding.truncate(ENCODING_BYTES_MAX);
                }
            }
        }
        kind
    }

    fn read_type(&mut self, value: &[u8]) {
        let mut words = Words::new(value).peekable();
        for _ in 0..3 {
            match words.peek() {
                Some(word) if !word.is_sign(b';') => {
                    self.name.extend(word.text.iter().take(NAME_BYTES_MAX));
                    words.next();
                }
                Some(_) | None => break,
            }
        }
        self.name.make_ascii_lowercase();
        while let Some(word) = words.next() {
            if !word.is_sign(b';') {
                continue;
            }
            let Some(name) = words.next_if(|word| !word.is_sign(b';')) else { continue };
            if words.next_if(|word| word.is_sign(b'=')).is_none() {
                continue;
            }
            if self.boundary.is_none() && name.text.eq_ignore_ascii_case(b"boundary") {
                // A quirk: signs in a boundary that nobody quoted.
                let mut boundary = Vec::new();
                while let Some(word) = words.next_if(|word| !word.is_sign(b';')) {
                    boundary.extend_from_slice(&word.text);
                }
                boundary.truncate(boundary.trim_ascii_end().len());
                let fits = !boundary.is_empty() && boundary.len() <= BOUNDARY_BYTES_MAX;
                self.boundary = fits.then_some(boundary);
            }
        }
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.name == name.as_bytes()
    }

    pub(super) fn is_multipart(&self) -> bool {
        self.name.starts_with(b"multipart/")
    }

    pub(super) fn is_message(&self) -> bool {
        self.name.starts_with(b"message/")
    }

    pub(super) fn is_encoded_as(&self, name: &str) -> bool {
        let encoding = self.encoding.as_deref();
        encoding.is_some_and(|encoding| encoding.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// Whether its octets stand for themselves.
    pub(super) fn is_plain(&self) -> bool {
        self.encoding.is_none()
            || ["7bit", "8bit", "binary"].iter().any(|one| self.is_encoded_as(one))
    }
}

/// A word of a structured field: a run of plain octets, what a quoted string holds, or a sign.
struct Word {
    text: Vec<u8>,
    is_quoted: bool,
}

impl Word {
    fn is_sign(&self, sign: u8) -> bool {
        !self.is_quoted && self.text == [sign]
    }
}

/// The words of a field's value, comments and space left out.
struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Words<'a> {
    const fn new(value: &'a [u8]) -> Self {
        Self { rest: value }
    }

    fn skip_comment(&mut self) {
        let mut depth = 0_usize;
        while let Some((&octet, rest)) = self.rest.split_first() {
            self.rest = rest;
            match octet {
                b'\\' => self.rest = rest.split_first().map_or(rest, |(_, rest)| rest),
                b'(' => depth = depth.saturating_add(1),
                b')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn quoted(&mut self) -> Word {
        let mut text = Vec::new();
        while let Some((&octet, rest)) = self.rest.split_first() {
            self.rest = rest;
            match octet {
                b'"' => break,
                b'\r' | b'\n' => {}
                b'\\' => {
                    if let Some((&octet, rest)) = rest.split_first() {
                        text.push(octet);
                        self.rest = rest;
                    }
                }
                octet => text.push(octet),
            }
        }
        Word { text, is_quoted: true }
    }
}

const fn is_sign(octet: u8) -> bool {
    matches!(
        octet,
        b'<' | b'>' | b'@' | b',' | b';' | b':' | b'\\' | b'/' | b'[' | b']' | b'?' | b'=' | b')'
    )
}

impl Iterator for Words<'_> {
    type Item = Word;

    fn next(&mut self) -> Option<Word> {
        loop {
            let (&first, rest) = self.rest.split_first()?;
            match first {
                b' ' | b'\t' | b'\r' | b'\n' => self.rest = rest,
                b'(' => self.skip_comment(),
                b'"' => {
                    self.rest = rest;
                    return Some(self.quoted());
                }
                sign if is_sign(sign) => {
                    self.rest = rest;
                    return Some(Word { text: [sign].into(), is_quoted: false });
                }
                _ => break,
            }
        }
        let ends = |&octet: &u8| {
            is_sign(octet) || matches!(octet, b' ' | b'\t' | b'\r' | b'\n' | b'(' | b'"')
        };
        let end = self.rest.iter().position(ends).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(Word { text: word.to_vec(), is_quoted: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boundary(value: &str) -> Option<Vec<u8>> {
        Kind::read(&[b"Content-Type: ", value.as_bytes(), b"\r\n"].concat()).boundary
    }

    #[test]
    fn a_type_is_read_through_comments_and_folds() {
        let kind = Kind::read(b"content-type : (a (b)) Multipart/\r\n Mixed ; x=y;\r\n\tBoundary=\"a\\\"b;c \"\r\nContent-Transfer-Encoding: 8BIT (as it is)\r\n");
        assert!(kind.is("multipart/mixed") && kind.is_multipart() && kind.is_plain());
        assert_eq!(kind.boundary.as_deref(), Some(&b"a\"b;c"[..]));
        assert_eq!(kind.encoding.as_deref(), Some(&b"8BIT"[..]));
    }

    #[test]
    fn the_first_boundary_counts_and_a_monstrous_one_does_not() {
        assert_eq!(boundary("multipart/mixed; boundary=a; boundary=b"), Some(b"a".to_vec()));
        assert_eq!(boundary("multipart/mixed; boundary==_x=/y"), Some(b"=_x=/y".to_vec()));
        assert_eq!(boundary("multipart/mixed; boundary"), None);
        assert_eq!(boundary("multipart/mixed; boundary=;"), None);
        assert_eq!(boundary("multipart/mixed"), None);
        let long = "x".repeat(BOUNDARY_BYTES_MAX + 1);
        assert_eq!(boundary(&alloc::format!("multipart/mixed; boundary={long}")), None);
    }

    #[test]
    fn what_is_encoded_already_is_not_plain() {
        for (value, is_plain) in
            [("7bit", true), ("Binary", true), ("base64", false), ("x-odd", false)]
        {
            let header = alloc::format!("Content-Transfer-Encoding: {value}\r\n");
            assert_eq!(Kind::read(header.as_bytes()).is_plain(), is_plain, "{value}");
        }
        assert!(Kind::read(b"Subject: x\r\n").is_plain());
    }
}
