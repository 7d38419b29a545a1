//! Where a message ends, and where it does not (RFC 5321, 4.1.1.4 and 4.5.2).
//!
//! Only CR LF `.` CR LF ends a message. Servers that took less were fed a second message inside the first ("SMTP smuggling",
//! 2023), so a CR or LF that stands alone is a fault of the sender; the rest of a faulty message is swallowed up to its true
//! end and never read as commands. Where an owner has clients that know no better, a lone CR or LF is read as a line end
//! ([`Ends::Normalized`]), but it still ends no message: a lone dot behind one is content.
//!
//! The reader copies whole runs: `memchr` finds the next CR or LF, and the octets of ordinary lines are copied with their
//! ends in one piece. Everything else goes through `TextReader::step`, octet by octet.

use alloc::vec::Vec;

/// What a lone CR or LF is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// A fault.
    Strict,
    /// A line end, stored as CR LF.
    Normalized,
    /// A lone LF is a line end, stored as CR LF; a lone CR is a fault: what a program of this machine writes.
    Unix,
}

/// What is wrong with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFault {
    /// A CR without an LF behind it.
    BareCr,
    /// An LF without a CR before it.
    BareLf,
    /// A line above the limit, its end included.
    LongLine,
}

/// Takes a message that arrives in pieces out of its clothes: dots of transparency, lone line ends.
#[derive(Debug, Clone)]
pub struct TextReader {
    at: At,
    ends: Ends,
    has_dots: bool,
    fault: Option<TextFault>,
    line_bytes: usize,
    line_bytes_max: usize,
}

/// What has been seen since the last whole line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Behind CR LF, or at the beginning.
    LineStart,
    /// Behind a lone CR or LF that was read as a line end.
    SoftStart,
    /// Inside a line.
    Inside,
    /// A dot behind CR LF.
    Dot,
    /// A dot behind a lone line end.
    SoftDot,
    /// A CR inside a line.
    Cr,
    /// A CR behind the dot behind CR LF.
    DotCr,
}

/// How far a message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// All octets were taken; more must come.
    More,
    /// The message has ended; what is behind the first `taken` octets is not part of it.
    End {
        /// Octets taken, the end included.
        taken: usize,
    },
}

impl TextReader {
    /// A reader of DATA: dots are taken out, and CR LF `.` CR LF ends it.
    #[must_use]
    pub const fn dotted(ends: Ends, line_bytes_max: usize) -> Self {
        Self::new(ends, true, line_bytes_max)
    }

    /// A reader of BDAT (RFC 3030): dots mean nothing, [`TextReader::finish`] ends it.
    #[must_use]
    pub const fn chunked(ends: Ends, line_bytes_max: usize) -> Self {
        Self::new(ends, false, line_bytes_max)
    }

    const fn new(ends: Ends, has_dots: bool, line_bytes_max: usize) -> Self {
        Self { at: At::LineStart, ends, has_dots, fault: None, line_bytes: 0, line_bytes_max }
    }

    /// Appends the message's own octets in `input` to `body`, up to the end of the message. After a fault nothing is
    /// appended any more.
    pub fn read(&mut self, input: &[u8], body: &mut Vec<u8>) -> Step {
        let mut taken = 0usize;
        while let Some(rest) = input.get(taken..)
            && let Some(&octet) = rest.first()
        {
            if self.at == At::Inside {
                let run = self.run(rest, body);
                if run > 0 {
                    taken = taken.saturating_add(run);
                    continue;
                }
            }
            taken = taken.saturating_add(1);
            if self.step(octet, body) {
                return Step::End { taken };
            }
        }
        Step::More
    }

    /// The text has ended without a dot: an open line is closed. Only for BDAT.
    pub fn finish(&mut self, body: &mut Vec<u8>) {
        if self.at == At::Cr {
            self.bare(TextFault::BareCr, body);
        }
        if self.at == At::Inside {
            self.put(b"\r\n", body);
        }
        self.at = At::LineStart;
    }

    /// The first thing that was wrong with the text.
    #[must_use]
    pub const fn fault(&self) -> Option<TextFault> {
        self.fault
    }

    /// Takes ordinary octets and whole line ends from `rest`, which begins inside a line, up to what needs a closer look.
    /// Returns how many were taken; at the place behind them the reader is inside a line still.
    fn run(&mut self, rest: &[u8], body: &mut Vec<u8>) -> usize {
        let mut done = 0usize;
        while let Some(ahead) = rest.get(done..) {
            let Some(at) = memchr::memchr2(b'\r', b'\n', ahead) else {
                self.grow(ahead.len());
                done = rest.len();
                break;
            };
            self.grow(at);
            done = done.saturating_add(at);
            // An ordinary line end, and an ordinary beginning of the next line.
            let Some([b'\r', b'\n', next]) = ahead.get(at..at.saturating_add(3)) else { break };
            if matches!(next, b'.' | b'\r' | b'\n') {
                break;
            }
            self.grow(2);
            self.line_bytes = 0;
            done = done.saturating_add(2);
        }
        if self.fault.is_none()
            && let Some(run) = rest.get(..done)
        {
            body.extend_from_slice(run);
        }
        done
    }

    /// Takes one octet. Whether it ends the message.
    fn step(&mut self, octet: u8, body: &mut Vec<u8>) -> bool {
        if octet == b'\n' {
            return self.line_feed(body);
        }
        match self.at {
            At::Cr | At::DotCr => {
                if self.at == At::DotCr {
                    self.put(b".", body);
                }
                self.bare(TextFault::BareCr, body);
            }
            At::LineStart | At::SoftStart | At::Inside | At::Dot | At::SoftDot => {}
        }
        self.at = match (self.at, octet) {
            (At::Dot, b'\r') => At::DotCr,
            (At::SoftDot, b'\r') => {
                self.put(b".", body);
                At::Cr
            }
            (_, b'\r') => At::Cr,
            (At::LineStart, b'.') if self.has_dots => At::Dot,
            (At::SoftStart, b'.') if self.has_dots => At::SoftDot,
            // Behind a lone line end a dot is taken out only if another stands behind it: some clients that
            // send lone line ends double the dot, some do not.
            (At::SoftDot, other) if other != b'.' => {
                self.put(&[b'.', other], body);
                At::Inside
            }
            (_, other) => {
                self.put(&[other], body);
                At::Inside
            }
        };
        false
    }

    fn line_feed(&mut self, body: &mut Vec<u8>) -> bool {
        match self.at {
            At::DotCr => return true,
            At::Cr => {
                self.put(b"\r\n", body);
                self.line_bytes = 0;
                self.at = At::LineStart;
            }
            At::Dot | At::SoftDot => {
                // Where this ends the message the dot is no text of it.
                if self.ends != Ends::Strict {
                    self.put(b".", body);
                }
                self.bare(TextFault::BareLf, body);
            }
            At::LineStart | At::SoftStart | At::Inside => self.bare(TextFault::BareLf, body),
        }
        false
    }

    /// A lone CR or LF.
    fn bare(&mut self, fault: TextFault, body: &mut Vec<u8>) {
        match (self.ends, fault) {
            (Ends::Strict, _) | (Ends::Unix, TextFault::BareCr) => self.fail(fault),
            (Ends::Normalized | Ends::Unix, _) => self.put(b"\r\n", body),
        }
        self.line_bytes = 0;
        self.at = At::SoftStart;
    }

    fn put(&mut self, octets: &[u8], body: &mut Vec<u8>) {
        self.grow(octets.len());
        if self.fault.is_none() {
            body.extend_from_slice(octets);
        }
    }

    fn grow(&mut self, octets: usize) {
        self.line_bytes = self.line_bytes.saturating_add(octets);
        if self.line_bytes > self.line_bytes_max {
            self.fail(TextFault::LongLine);
        }
    }

    fn fail(&mut self, fault: TextFault) {
        self.fault = self.fault.or(Some(fault));
    }
}

/// Clothes a message for DATA: a dot more before each line that begins with one, CR LF where a lone CR or LF stands, and
/// CR LF `.` CR LF at the end. What comes out ends nowhere but at its end, whatever went in.
#[derive(Debug, Clone, Copy)]
pub struct DotWriter {
    at: Out,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Out {
    LineStart,
    Inside,
    /// A CR came in and was not written yet.
    Cr,
}

impl Default for DotWriter {
    fn default() -> Self {
        Self { at: Out::LineStart }
    }
}

impl DotWriter {
    /// Appends the next piece of the message to `out`.
    pub fn write(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        out.reserve(piece.len());
        let mut rest = piece;
        while let Some((&first, behind)) = rest.split_first() {
            match (self.at, first) {
                (Out::Cr, _) => {
                    out.extend_from_slice(b"\r\n");
                    self.at = Out::LineStart;
                    rest = if first == b'\n' { behind } else { rest };
                    continue;
                }
                (Out::LineStart, b'.') => {
                    out.extend_from_slice(b"..");
                    self.at = Out::Inside;
                    rest = behind;
                    continue;
                }
                (Out::LineStart | Out::Inside, _) => {}
            }
            rest = self.run(rest, out);
        }
    }

    /// Appends the end of the message.
    pub fn finish(self, out: &mut Vec<u8>) {
        match self.at {
            Out::LineStart => {}
            Out::Inside | Out::Cr => out.extend_from_slice(b"\r\n"),
        }
        out.extend_from_slice(b".\r\n");
    }

    /// Copies ordinary octets and whole line ends, and takes what stopped it. `rest` does not begin with a dot that needs
    /// another.
    fn run<'a>(&mut self, rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let mut done = 0usize;
        while let Some(ahead) = rest.get(done..) {
            let Some(at) = memchr::memchr2(b'\r', b'\n', ahead) else {
                out.extend_from_slice(rest);
                self.at = Out::Inside;
                return &[];
            };
            let end = done.saturating_add(at);
            match ahead.get(at..at.saturating_add(3)) {
                Some([b'\r', b'\n', next]) if !matches!(next, b'.' | b'\r' | b'\n') => {
                    done = end.saturating_add(2);
                }
                _ => {
                    out.extend_from_slice(rest.get(..end).unwrap_or_default());
                    let (stop, behind) =
                        rest.split_at_checked(end.saturating_add(1)).unwrap_or((rest, &[]));
                    self.at = if stop.last() == Some(&b'\r') {
                        Out::Cr
                    } else {
                        out.extend_from_slice(b"\r\n");
                        Out::LineStart
                    };
                    return behind;
                }
            }
        }
        &[]
    }
}

#[cfg(test)]
mod tests;
