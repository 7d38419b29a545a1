//! Lines as a mailer bears them: none above its limit (`L=`), none that begins with `From ` if it wants that quoted (`F=E`),
//! seven bits where it wants no more (`F=6`, `F=7`).
//!
//! A line above the limit is cut as sendmail does it: `!` ends the piece, a space begins the next.

use alloc::vec::Vec;

/// The shortest limit that is kept: a mailer that wants less gets this.
const LIMIT_MIN: usize = 16;
/// What begins a message in an mbox.
const FROM: &[u8] = b"From ";

/// Where octets lose their eighth bit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strip {
    /// Nowhere.
    #[default]
    Nowhere,
    /// In the header.
    Header,
    /// Everywhere.
    Everywhere,
}

/// Passes text with CR LF line ends on.
#[derive(Debug)]
pub(super) struct Lines {
    /// Octets of a line without its end; `usize::MAX`: any.
    limit: usize,
    quotes_from: bool,
    strip: Strip,
    in_header: bool,
    /// Octets of the line that were passed on.
    column: usize,
    /// So many octets of `From ` have come at the beginning of the line, and wait.
    from: usize,
    /// The octet that stands at the limit: it depends on the next one whether the line is cut before it.
    at_limit: Option<u8>,
    /// A CR has come, and waits for what follows it.
    after_cr: bool,
}

impl Lines {
    pub(super) fn new(line_bytes_max: u32, quotes_from: bool, strip: Strip) -> Self {
        let limit = match usize::try_from(line_bytes_max) {
            Ok(0) | Err(_) => usize::MAX,
            Ok(limit) => limit.max(LIMIT_MIN),
        };
        Self {
            limit,
            quotes_from,
            strip,
            in_header: true,
            column: 0,
            from: 0,
            at_limit: None,
            after_cr: false,
        }
    }

    /// Whether everything is passed on as it is.
    pub(super) fn is_idle(&self) -> bool {
        self.limit == usize::MAX && !self.quotes_from && self.strip == Strip::Nowhere
    }

    /// Appends what becomes of `piece` to `out`.
    pub(super) fn read(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let mut rest = piece;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).map(|at| at.saturating_add(1));
            let (line, behind) =
                rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or((rest, &[]));
            rest = behind;
            if end.is_some() && self.is_ordinary(line) {
                self.put(line, out);
                self.line_ends(line.len() <= 2);
            } else {
                for &octet in line {
                    self.step(octet, out);
                }
            }
        }
    }

    /// Whether a line, which is whole, needs no closer look.
    fn is_ordinary(&self, line: &[u8]) -> bool {
        self.column == 0
            && self.from == 0
            && !self.after_cr
            && line.len().saturating_sub(2) <= self.limit
            && line.ends_with(b"\r\n")
            && !(self.quotes_from && line.starts_with(FROM))
    }

    fn step(&mut self, octet: u8, out: &mut Vec<u8>) {
        if octet == b'\n' {
            let is_empty = self.column == 0 && self.from == 0;
            self.finish(out);
            self.put(b"\n", out);
            return self.line_ends(is_empty);
        }
        if core::mem::replace(&mut self.after_cr, octet == b'\r') {
            self.compare(b'\r', out);
        }
        if octet != b'\r' {
            self.compare(octet, out);
        }
    }

    /// Looks for `From ` at the beginning of the line.
    fn compare(&mut self, octet: u8, out: &mut Vec<u8>) {
        if !self.quotes_from || self.column > 0 {
            return self.place(octet, out);
        }
        if FROM.get(self.from) == Some(&octet) {
            self.from = self.from.saturating_add(1);
            if self.from == FROM.len() {
                out.push(b'>');
                self.release(out);
            }
        } else {
            self.release(out);
            self.place(octet, out);
        }
    }

    /// Puts what waits at the beginning of the line.
    fn release(&mut self, out: &mut Vec<u8>) {
        let count = core::mem::take(&mut self.from);
        FROM.iter().take(count).for_each(|&octet| self.place(octet, out));
    }

    /// Puts an octet into the line, or into the next one if this is full.
    fn place(&mut self, octet: u8, out: &mut Vec<u8>) {
        if self.column.saturating_add(1) < self.limit {
            self.put(&[octet], out);
            self.column = self.column.saturating_add(1);
        } else if let Some(first) = self.at_limit.take() {
            self.put(b"!\r\n ", out);
            self.put(&[first, octet], out);
            self.column = 3;
        } else {
            self.at_limit = Some(octet);
        }
    }

    fn put(&self, octets: &[u8], out: &mut Vec<u8>) {
        let strips = match self.strip {
            Strip::Nowhere => false,
            Strip::Header => self.in_header,
            Strip::Everywhere => true,
        };
        if strips {
            out.extend(octets.iter().map(|octet| octet & 0x7f));
        } else {
            out.extend_from_slice(octets);
        }
    }

    fn line_ends(&mut self, is_empty: bool) {
        self.column = 0;
        if is_empty {
            self.in_header = false;
        }
    }

    /// Puts what waits; the line, or the text, has ended.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        self.release(out);
        if let Some(octet) = self.at_limit.take() {
            self.put(&[octet], out);
        }
        if core::mem::take(&mut self.after_cr) {
            self.put(b"\r", out);
        }
    }
}
