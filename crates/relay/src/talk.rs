//! What who watches a delivery is shown (`sendmail -v`), and what the log is told beside outcomes.
//!
//! A [`Record`] is kept for each job of an errand and for its end. All of it is bounded, and every octet of a server's is
//! cleaned before it goes in: it ends on somebody's terminal.

use queue::printable;
use serde::{Deserialize, Serialize};

/// Octets of one line that are kept.
pub const LINE_BYTES_MAX: usize = 1024;

/// Octets of lines that are kept of one job; a server that says more is not shown further.
pub const TALK_BYTES_MAX: usize = 64 * 1024;

/// Events that are kept of one job.
pub const TALK_EVENTS_MAX: usize = 2048;

/// One thing that happened, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Talk {
    /// A connection is begun.
    Connecting {
        /// For whom: numbers within the message.
        whose: Vec<u32>,
        /// The host, as the log names it.
        host: Box<[u8]>,
        /// Its port, where the mailer or the route names one.
        port: Option<u16>,
    },
    /// A connection that stands is used again.
    Cached {
        /// For whom.
        whose: Vec<u32>,
        /// `ESMTP`, `SMTP`, `LMTP`.
        kind: Kind,
        /// The host.
        host: Box<[u8]>,
    },
    /// A connection is given up.
    Closing {
        /// For whom room is made; nobody: at the end.
        whose: Vec<u32>,
        /// The host.
        host: Box<[u8]>,
    },
    /// A line of either side, cleaned.
    Line(Box<[u8]>),
    /// What came of recipients, as `stat=` says it.
    Result {
        /// Whose.
        whose: Vec<u32>,
        /// `Sent (…)`, `Deferred: …`.
        text: Box<[u8]>,
    },
    /// A line for the log, under the message's id.
    Log {
        /// How grave it is.
        gravity: Gravity,
        /// The line.
        text: Box<[u8]>,
    },
    /// What the command exits with (sysexits.h), unless it was something else before.
    Exit(u8),
}

/// What is spoken over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// SMTP with extensions.
    Esmtp,
    /// SMTP without.
    Smtp,
    /// LMTP.
    Lmtp,
}

/// How grave a line of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gravity {
    /// `mail.notice`.
    Notice,
    /// `mail.crit`.
    Critical,
    /// `mail.info`, for who wants to know everything (`LogLevel` 14).
    Detail,
}

/// The events of one job.
#[derive(Debug, Default)]
pub(crate) struct Record {
    events: Vec<Talk>,
    octets: usize,
    /// A line of the server's that has not ended.
    open: Vec<u8>,
}

impl Record {
    /// Adds an event, as long as there is room.
    pub(crate) fn push(&mut self, event: Talk) {
        let octets = match &event {
            Talk::Line(text) | Talk::Result { text, .. } | Talk::Log { text, .. } => text.len(),
            Talk::Connecting { host, .. }
            | Talk::Cached { host, .. }
            | Talk::Closing { host, .. } => host.len(),
            Talk::Exit(_) => 0,
        };
        self.octets = self.octets.saturating_add(octets);
        if self.octets <= TALK_BYTES_MAX && self.events.len() < TALK_EVENTS_MAX {
            self.events.push(event);
        }
    }

    /// A command of ours, without its end.
    pub(crate) fn sent(&mut self, line: &[u8]) {
        let line = [b">>> ", line].concat();
        self.push(Talk::Line(printable(&line, LINE_BYTES_MAX)));
    }

    /// Octets of the server's; lines that have ended are kept.
    pub(crate) fn heard(&mut self, octets: &[u8]) {
        for &octet in octets {
            if octet == b'\n' {
                self.end_line();
            } else if self.open.len() < LINE_BYTES_MAX {
                self.open.push(octet);
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.open);
        self.push(Talk::Line(printable(line.trim_ascii_end(), LINE_BYTES_MAX)));
    }

    /// A connection is over: what its server had not ended is all that came.
    pub(crate) fn turn(&mut self) {
        if !self.open.is_empty() {
            self.end_line();
        }
    }

    /// Takes all that was kept.
    pub(crate) fn take(&mut self) -> Vec<Talk> {
        self.octets = 0;
        self.open.clear();
        std::mem::take(&mut self.events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_shown_without_its_teeth() {
        let mut record = Record::default();
        record.heard(b"250-\x1b[2J\x07x\r\n2");
        record.heard(b"50 \xff\r\n");
        let lines = record.take();
        assert_eq!(lines, [Talk::Line(b"250-?[2J?x"[..].into()), Talk::Line(b"250 ?"[..].into())]);
    }

    #[test]
    fn a_server_without_end_costs_a_bounded_record() {
        let mut record = Record::default();
        for _ in 0..10_000 {
            record.heard(&[b'x'; 100]);
            record.heard(b"\n");
        }
        record.heard(&vec![b'y'; 1 << 20]);
        assert!(record.open.len() <= LINE_BYTES_MAX);
        let kept = record.take();
        assert!(kept.len() <= TALK_EVENTS_MAX && kept.len() * 100 <= TALK_BYTES_MAX);
    }
}
