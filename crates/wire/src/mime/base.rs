//! Base64 as parts are encoded in (RFC 2045, 6.8): written in lines of 72 characters, read from whatever came.

use alloc::vec::Vec;

/// Characters of a line.
const LINE_CHARS: usize = 72;

/// Writes base64.
#[derive(Debug, Default)]
pub(super) struct BaseWriter {
    /// Octets that make no group yet: at most two.
    waiting: Vec<u8>,
    /// Characters of the line so far.
    column: usize,
}

impl BaseWriter {
    pub(super) fn write(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let mut rest = text;
        while !self.waiting.is_empty() && self.waiting.len() < 3 {
            let Some((&octet, behind)) = rest.split_first() else { return };
            self.waiting.push(octet);
            rest = behind;
        }
        if let Some(group) = core::mem::take(&mut self.waiting).first_chunk::<3>() {
            self.group(group, out);
        }
        let (groups, tail) = rest.as_chunks::<3>();
        for group in groups {
            self.group(group, out);
        }
        self.waiting.extend_from_slice(tail);
    }

    fn group(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        if self.column >= LINE_CHARS {
            out.extend_from_slice(b"\r\n");
            self.column = 0;
        }
        crate::base64::encode(octets, out);
        self.column = self.column.saturating_add(4);
    }

    /// Writes what waits, and the end of the last line.
    pub(super) fn finish(mut self, out: &mut Vec<u8>) {
        let last = core::mem::take(&mut self.waiting);
        if !last.is_empty() {
            self.group(&last, out);
        }
        if self.column > 0 {
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Reads base64: what is no letter of it is passed over, padding ends it.
#[derive(Debug, Default)]
pub(super) struct BaseReader {
    bits: u32,
    letters: u8,
    has_ended: bool,
}

impl BaseReader {
    pub(super) fn read(&mut self, text: &[u8], out: &mut Vec<u8>) {
        for &letter in text {
            if letter == b'=' && self.letters > 0 {
                self.pad(out);
            }
            let Some(value) = crate::base64::letter_value(letter) else { continue };
            if self.has_ended {
                return;
            }
            self.bits = (self.bits << 6) | value;
            self.letters = self.letters.saturating_add(1);
            if self.letters == 4 {
                let [_, octets @ ..] = self.bits.to_be_bytes();
                out.extend_from_slice(&octets);
                (self.bits, self.letters) = (0, 0);
            }
        }
    }

    /// The last group has fewer than four letters.
    pub(super) fn pad(&mut self, out: &mut Vec<u8>) {
        let missing = u32::from(4_u8.saturating_sub(self.letters));
        let bits = self.bits.checked_shl(missing.saturating_mul(6)).unwrap_or(0);
        let [_, first, second, _] = bits.to_be_bytes();
        match self.letters {
            2 => out.push(first),
            3 => out.extend_from_slice(&[first, second]),
            _ => {}
        }
        (self.bits, self.letters) = (0, 0);
        self.has_ended = true;
    }
}
