//! The writing: a message in the form that somebody wants.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt::Write as _;

use super::Encoding;
use super::base::{BaseReader, BaseWriter};
use super::lines::{Lines, Strip};
use super::quoted::{QuotedReader, QuotedWriter};
use super::survey::Findings;
use super::walk::{Header, Nature, Place, Visit, Walk};
use crate::QueueId;
use crate::header::Fields;

/// What becomes of octets above 127.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Conversion {
    /// Nothing: the message goes on octet by octet.
    #[default]
    None,
    /// Nothing in its parts; what stands around the parts of a multipart is left with seven bits.
    Pass,
    /// Parts become 7-bit text (RFC 6152, 3).
    ToSeven,
    /// A text that is all of the message and was made 7-bit text becomes 8-bit text again.
    ToEight,
}

/// How a message is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a wish of its own")]
pub struct Wish {
    /// What becomes of octets above 127.
    pub conversion: Conversion,
    /// Whether a message that says nothing about MIME gets the fields that say it is 8-bit text.
    pub is_labelled: bool,
    /// The character set of text that names none.
    pub charset: Box<[u8]>,
    /// Who converts, for X-MIME-Autoconverted: a host and the message's name there.
    pub host_name: Box<[u8]>,
    /// See `host_name`.
    pub id: Option<QueueId>,
    /// Whether quoted-printable quotes what EBCDIC does not know.
    pub quotes_more: bool,
    /// Whether `From ` at the beginning of a line is quoted.
    pub quotes_from: bool,
    /// The longest line in octets without its end; 0: any.
    pub line_bytes_max: u32,
    /// Where octets lose their eighth bit.
    pub strip: Strip,
    /// Whether octets 0 are left out.
    pub drops_nul: bool,
}

impl Wish {
    /// Whether every message goes on as it is.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.conversion == Conversion::None
            && !self.is_labelled
            && !self.quotes_from
            && self.line_bytes_max == 0
            && self.strip == Strip::Nowhere
            && !self.drops_nul
    }
}

/// Writes a message anew. What goes in has CR LF line ends, and so has what comes out; lone CRs stay.
#[derive(Debug)]
pub struct Shaper {
    /// `None`: parts are not looked at.
    walk: Option<Walk<Writer>>,
    lines: Lines,
    /// Between the two.
    walked: Vec<u8>,
    /// What is left of a piece without octets 0, where they go.
    without_nul: Option<Vec<u8>>,
}

impl Shaper {
    /// A shaper for one message. `findings` are those of a survey of the same octets; only [`Conversion::ToSeven`] needs any.
    #[must_use]
    pub fn new(wish: Wish, findings: Findings) -> Self {
        let lines = Lines::new(wish.line_bytes_max, wish.quotes_from, wish.strip);
        let without_nul = wish.drops_nul.then(Vec::new);
        let is_walked = wish.conversion != Conversion::None || wish.is_labelled;
        let writer =
            || Writer { wish, encodings: findings.encodings.into_iter(), leaf: Leaf::Plain };
        Self {
            walk: is_walked.then(|| Walk::new(writer())),
            lines,
            walked: Vec::new(),
            without_nul,
        }
    }

    /// Appends what becomes of the next octets of the message to `out`.
    pub fn read(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let Some(mut left) = self.without_nul.take() else { return self.shape(piece, out) };
        left.clear();
        left.extend(piece.iter().filter(|&&octet| octet != 0));
        self.shape(&left, out);
        self.without_nul = Some(left);
    }

    fn shape(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        match &mut self.walk {
            None => self.lines.read(piece, out),
            Some(walk) if self.lines.is_idle() => walk.read(piece, out),
            Some(walk) => {
                walk.read(piece, &mut self.walked);
                self.lines.read(&self.walked, out);
                self.walked.clear();
            }
        }
    }

    /// The message has ended: appends the rest.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        if let Some(walk) = &mut self.walk {
            walk.finish(&mut self.walked);
        }
        self.lines.read(&self.walked, out);
        self.lines.finish(out);
    }
}

/// Writes what the walk finds.
#[derive(Debug)]
struct Writer {
    wish: Wish,
    encodings: alloc::vec::IntoIter<Encoding>,
    leaf: Leaf,
}

/// How the text of a leaf is written.
#[derive(Debug)]
enum Leaf {
    /// As it is.
    Plain,
    /// As quoted-printable.
    Quote(QuotedWriter),
    /// As base64; a line end waits if it may belong to the boundary.
    Base { writer: BaseWriter, newline: bool },
    /// Quoted-printable becomes what it stands for.
    Unquote(QuotedReader, Decoded),
    /// Base64 becomes what it stands for.
    Unbase(BaseReader, Decoded),
}

/// Octets that came out of an encoding, on their way to be text with CR LF line ends.
#[derive(Debug, Default)]
struct Decoded {
    octets: Vec<u8>,
    after_cr: bool,
    is_inside: bool,
}

impl Decoded {
    /// Writes what was decoded: lone LFs become line ends.
    fn drain(&mut self, out: &mut Vec<u8>) {
        for octet in self.octets.drain(..) {
            if octet == b'\n' && !self.after_cr {
                out.push(b'\r');
            }
            out.push(octet);
            self.after_cr = octet == b'\r';
            self.is_inside = octet != b'\n';
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.drain(out);
        if self.is_inside {
            out.extend_from_slice(if self.after_cr { b"\n" } else { b"\r\n" });
        }
        *self = Self::default();
    }
}

fn line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

const ENCODING: &str = "Content-Transfer-Encoding";

impl Writer {
    /// The fields, without the encoding's where it will be said anew.
    fn fields(header: &Header<'_>, keeps_encoding: bool, out: &mut Vec<u8>) {
        if keeps_encoding {
            return out.extend_from_slice(header.fields);
        }
        for field in Fields::new(header.fields) {
            if !field.is(ENCODING) {
                out.extend_from_slice(field.whole);
            }
        }
    }

    fn autoconverted(&self, from: &[u8], to: &str, out: &mut Vec<u8>) {
        line(ENCODING.as_bytes(), to.as_bytes(), out);
        out.extend_from_slice(b"X-MIME-Autoconverted: from ");
        out.extend_from_slice(from);
        out.extend_from_slice(b" to ");
        out.extend_from_slice(to.as_bytes());
        out.extend_from_slice(b" by ");
        out.extend_from_slice(&self.wish.host_name);
        if let Some(id) = self.wish.id {
            let mut text = alloc::string::String::new();
            if write!(text, " id {id}").is_ok() {
                out.extend_from_slice(text.as_bytes());
            }
        }
        out.extend_from_slice(b"\r\n");
    }

    fn text_type(&self, out: &mut Vec<u8>) {
        line(b"Content-Type", &[b"text/plain; charset=", &*self.wish.charset].concat(), out);
    }

    fn encode(&mut self, header: &Header<'_>, out: &mut Vec<u8>) {
        Self::fields(header, false, out);
        if header.place != Place::Part && !header.kind.has_version {
            line(b"MIME-Version", b"1.0", out);
        }
        if header.place == Place::Outer && !header.kind.has_type {
            self.text_type(out);
        }
        let encoding = match header.nature {
            Nature::Leaf { may_be_encoded: true } => {
                self.encodings.next().unwrap_or(Encoding::Quoted)
            }
            Nature::Leaf { may_be_encoded: false } => Encoding::Keep,
            Nature::Multipart | Nature::Message | Nature::Unread => return,
        };
        match encoding {
            Encoding::Keep => {
                if let Some(encoding) = &header.kind.encoding {
                    line(ENCODING.as_bytes(), encoding, out);
                }
            }
            Encoding::Quoted => {
                self.autoconverted(b"8bit", "quoted-printable", out);
                let writer = QuotedWriter::new(self.wish.quotes_more, self.wish.quotes_from);
                self.leaf = Leaf::Quote(writer);
            }
            Encoding::Base64 => {
                self.autoconverted(b"8bit", "base64", out);
                self.leaf = Leaf::Base { writer: BaseWriter::default(), newline: false };
            }
        }
    }

    fn decode(&mut self, header: &Header<'_>, encoding: &[u8], out: &mut Vec<u8>) {
        Self::fields(header, false, out);
        self.autoconverted(encoding, "8bit", out);
        self.leaf = if header.kind.is_encoded_as("base64") {
            Leaf::Unbase(BaseReader::default(), Decoded::default())
        } else {
            Leaf::Unquote(QuotedReader::default(), Decoded::default())
        };
    }

    fn label(&self, header: &Header<'_>, out: &mut Vec<u8>) {
        let is_wanted = self.wish.is_labelled && header.place == Place::Outer;
        if !is_wanted || header.kind.has_version {
            return;
        }
        line(b"MIME-Version", b"1.0", out);
        if !header.kind.has_type {
            self.text_type(out);
        }
        if header.kind.encoding.is_none() {
            line(ENCODING.as_bytes(), b"8bit", out);
        }
    }

    /// The encoding of a message that is made 8-bit text again.
    fn undone<'h>(&self, header: &Header<'h>) -> Option<&'h [u8]> {
        let kind = header.kind;
        let is_encoded = kind.is_encoded_as("base64") || kind.is_encoded_as("quoted-printable");
        let is_wanted = self.wish.conversion == Conversion::ToEight
            && header.place == Place::Outer
            && kind.is("text/plain")
            && is_encoded;
        kind.encoding.as_deref().filter(|_| is_wanted)
    }
}

impl Visit for Writer {
    fn header(&mut self, header: &Header<'_>, out: &mut Vec<u8>) {
        self.leaf = Leaf::Plain;
        if header.nature == Nature::Unread {
            return Self::fields(header, true, out);
        }
        if self.wish.conversion == Conversion::ToSeven {
            self.encode(header, out);
        } else if let Some(encoding) = self.undone(header) {
            self.decode(header, encoding, out);
        } else {
            Self::fields(header, true, out);
            self.label(header, out);
        }
        out.extend_from_slice(b"\r\n");
    }

    fn text(&mut self, text: &[u8], ends: bool, out: &mut Vec<u8>) {
        match &mut self.leaf {
            Leaf::Plain => {
                out.extend_from_slice(text);
                if ends {
                    out.extend_from_slice(b"\r\n");
                }
            }
            Leaf::Quote(writer) => {
                writer.write(text, out);
                if ends {
                    writer.newline(out);
                }
            }
            Leaf::Base { writer, newline } => {
                if core::mem::replace(newline, ends) {
                    writer.write(b"\r\n", out);
                }
                writer.write(text, out);
            }
            Leaf::Unquote(reader, decoded) => {
                reader.read(text, &mut decoded.octets);
                if ends && reader.newline(&mut decoded.octets) {
                    decoded.octets.push(b'\n');
                }
                decoded.drain(out);
            }
            Leaf::Unbase(reader, decoded) => {
                reader.read(text, &mut decoded.octets);
                decoded.drain(out);
            }
        }
    }

    fn leaf_ends(&mut self, by_boundary: bool, out: &mut Vec<u8>) {
        match core::mem::replace(&mut self.leaf, Leaf::Plain) {
            Leaf::Plain => {}
            Leaf::Quote(writer) => writer.finish(out),
            Leaf::Base { mut writer, newline } => {
                if newline && !by_boundary {
                    writer.write(b"\r\n", out);
                }
                writer.finish(out);
            }
            Leaf::Unquote(mut reader, mut decoded) => {
                reader.finish(&mut decoded.octets);
                decoded.finish(out);
            }
            Leaf::Unbase(mut reader, mut decoded) => {
                reader.pad(&mut decoded.octets);
                decoded.finish(out);
            }
        }
    }

    fn aside(&mut self, text: &[u8], ends: bool, out: &mut Vec<u8>) {
        if self.wish.conversion == Conversion::None {
            out.extend_from_slice(text);
        } else {
            out.extend(text.iter().map(|octet| octet & 0x7f));
        }
        if ends {
            out.extend_from_slice(b"\r\n");
        }
    }

    fn boundary(&mut self, boundary: &[u8], is_final: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(b"--");
        out.extend_from_slice(boundary);
        out.extend_from_slice(if is_final { b"--\r\n" } else { b"\r\n" });
    }
}
