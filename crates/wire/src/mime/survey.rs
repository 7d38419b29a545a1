//! What a message is made of: the look before the writing.

use alloc::vec::Vec;

use super::walk::{Header, Nature, Place, Visit, Walk};
use super::{Encoding, PARTS_MAX};

/// Octets of a part behind which a quarter above 127 is enough to know.
const SAMPLE_BYTES: u64 = 4096;

/// Looks at a message that streams by.
#[derive(Debug)]
pub struct Survey {
    walk: Walk<Counter>,
    nothing: Vec<u8>,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Whether there is an octet above 127, in a header or elsewhere.
    pub is_eight_bit: bool,
    /// Whether the message calls itself MIME (MIME-Version).
    pub is_mime: bool,
    /// What is done with each part that may be encoded, in order.
    pub(super) encodings: Vec<Encoding>,
}

impl Survey {
    /// A survey that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        let counter = Counter { findings: Findings::EMPTY, part: None };
        Self { walk: Walk::new(counter), nothing: Vec::new() }
    }

    /// Takes the next octets of the message.
    pub fn read(&mut self, piece: &[u8]) {
        let findings = &mut self.walk.visitor.findings;
        findings.is_eight_bit = findings.is_eight_bit || !piece.is_ascii();
        self.walk.read(piece, &mut self.nothing);
    }

    /// The message has ended.
    #[must_use]
    pub fn finish(mut self) -> Findings {
        self.walk.finish(&mut self.nothing);
        self.walk.visitor.findings
    }
}

impl Default for Survey {
    fn default() -> Self {
        Self::new()
    }
}

impl Findings {
    const EMPTY: Self = Self { is_eight_bit: false, is_mime: false, encodings: Vec::new() };
}

/// Counts octets, part by part.
#[derive(Debug)]
struct Counter {
    findings: Findings,
    part: Option<Count>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Count {
    all: u64,
    above_127: u64,
    is_known: bool,
}

impl Count {
    fn take(&mut self, text: &[u8], ends: bool) {
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        self.all = self.all.saturating_add(length).saturating_add(u64::from(ends));
        if !text.is_ascii() {
            let above = text.iter().filter(|octet| !octet.is_ascii()).count();
            self.above_127 =
                self.above_127.saturating_add(u64::try_from(above).unwrap_or(u64::MAX));
        }
        self.is_known = ends && self.all > SAMPLE_BYTES && self.above_127 > self.all / 4;
    }

    const fn encoding(self) -> Encoding {
        if self.above_127 == 0 {
            Encoding::Keep
        } else if self.all / 8 < self.above_127 {
            Encoding::Base64
        } else {
            Encoding::Quoted
        }
    }
}

impl Visit for Counter {
    fn header(&mut self, header: &Header<'_>, _out: &mut Vec<u8>) {
        if header.place == Place::Outer {
            self.findings.is_mime = header.kind.has_version;
        }
        let may_be_encoded = header.nature == Nature::Leaf { may_be_encoded: true };
        self.part = may_be_encoded.then(Count::default);
    }

    fn text(&mut self, text: &[u8], ends: bool, _out: &mut Vec<u8>) {
        if let Some(count) = &mut self.part
            && !count.is_known
        {
            count.take(text, ends);
        }
    }

    fn leaf_ends(&mut self, _by_boundary: bool, _out: &mut Vec<u8>) {
        if let Some(count) = self.part.take()
            && self.findings.encodings.len() < PARTS_MAX
        {
            self.findings.encodings.push(count.encoding());
        }
    }

    fn aside(&mut self, _text: &[u8], _ends: bool, _out: &mut Vec<u8>) {}

    fn boundary(&mut self, _boundary: &[u8], _is_final: bool, _out: &mut Vec<u8>) {}
}
