//! One line an event, in sendmail's form: to the system's log (RFC 3164, facility mail) or to standard output.
//!
//! A line never holds anything but printable ASCII: what a peer sent is escaped here, whoever wrote
//! the line, so that nobody can forge a second one. A log that does not take the line (its
//! socket stays full, its reader is gone) loses it: mail goes on.

use policy::settings::{LogTo, Logging};
use rustix::io::Errno;
use rustix::net::SendFlags;
use std::cell::{Cell, RefCell};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Octets of a line; what is longer is cut.
const LINE_BYTES_MAX: usize = 2048;
/// How long the reader of a full log gets, in milliseconds.
const PATIENCE_MS: u32 = 20;
/// How long one who did not use that is not waited for.
const DEAF_MS: u64 = 1000;

/// How grave a line is (RFC 3164, 4.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Somebody must do something.
    Alert = 1,
    /// A promise is at risk.
    Critical = 2,
    /// Something of ours does not work.
    Error = 3,
    /// Something may be wrong.
    Warning = 4,
    /// A refusal, or a change of state.
    Notice = 5,
    /// The usual.
    Info = 6,
}

impl Severity {
    /// The severity that syslog(3) gives this number; the least grave stands for those below it.
    pub(crate) const fn of(number: u8) -> Self {
        match number {
            0 | 1 => Self::Alert,
            2 => Self::Critical,
            3 => Self::Error,
            4 => Self::Warning,
            5 => Self::Notice,
            _ => Self::Info,
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Alert => 1,
            Self::Critical => 2,
            Self::Error => 3,
            Self::Warning => 4,
            Self::Notice => 5,
            Self::Info => 6,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Critical => "crit",
            Self::Error => "err",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
        }
    }
}

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// A message.
    Message(wire::QueueId),
    /// No message: the line says so (`NOQUEUE`).
    NoQueue,
    /// A session, or something else that never has a message.
    Session,
}

/// Where a role's lines go.
#[derive(Debug)]
pub struct Log {
    out: Out,
    tag: &'static str,
    level: u8,
    is_json: bool,
    pid: u32,
    line: RefCell<Vec<u8>>,
    /// Until when a full log is not waited for.
    deaf_until_ms: Cell<u64>,
}

#[derive(Debug)]
enum Out {
    Stdout,
    Socket(OwnedFd),
}

/// Syslog's facility mail, times eight.
const FACILITY_MAIL: u8 = 2 * 8;

impl Log {
    /// As the settings say; without a socket of the system's log, standard output serves.
    #[must_use]
    pub fn new(settings: &Logging, socket: Option<OwnedFd>) -> Self {
        let out = match (settings.to, socket) {
            (LogTo::Syslog, Some(socket)) => Out::Socket(socket),
            (LogTo::Syslog, None) | (LogTo::Stdout, _) => Out::Stdout,
        };
        Self {
            out,
            tag: "sm-mta",
            level: settings.level,
            is_json: settings.is_json,
            pid: std::process::id(),
            line: RefCell::new(Vec::new()),
            deaf_until_ms: Cell::new(0),
        }
    }

    /// Whether lines of sendmail's `LogLevel` `level` are wanted.
    #[must_use]
    pub fn wants(&self, level: u8) -> bool {
        self.level >= level
    }

    /// As [`Log::new`], for a program of another name.
    #[must_use]
    pub fn of_program(settings: &Logging, socket: Option<OwnedFd>, tag: &'static str) -> Self {
        Self { tag, ..Self::new(settings, socket) }
    }

    /// Writes a line. `id` is the queue id, without which the line is about no message.
    pub fn line(&self, severity: Severity, id: Option<wire::QueueId>, text: &[u8]) {
        let about = id.map_or(About::Session, About::Message);
        self.line_about(severity, about, text);
    }

    /// Writes a line about this.
    pub fn line_about(&self, severity: Severity, about: About, text: &[u8]) {
        let mut line = self.line.borrow_mut();
        line.clear();
        // Writing into memory does not fail.
        let now = sys::clock::realtime_s();
        let pid = self.pid;
        let written = match (&self.out, self.is_json) {
            (Out::Socket(_), false) => write!(
                line,
                "<{}>{} {}[{pid}]: ",
                FACILITY_MAIL.saturating_add(severity.number()),
                wire::date::syslog(now),
                self.tag
            ),
            (Out::Stdout, false) => write!(line, "{} {}[{pid}]: ", wire::date::iso(now), self.tag),
            (Out::Socket(_), true) => {
                write!(line, "<{}>{}: ", FACILITY_MAIL.saturating_add(severity.number()), self.tag)
            }
            (Out::Stdout, true) => Ok(()),
        };
        if written.is_err() {
            return;
        }
        if self.is_json {
            let id = match about {
                About::Message(id) => Some(id),
                About::NoQueue | About::Session => None,
            };
            json(&mut line, severity, id, pid, now, text);
        } else {
            match about {
                About::Message(id) => {
                    // Writing into memory does not fail.
                    write!(line, "{id}: ").ok();
                }
                About::NoQueue => line.extend_from_slice(b"NOQUEUE: "),
                About::Session => {}
            }
            wire::escape::logged(text, &mut line);
        }
        line.truncate(LINE_BYTES_MAX);
        self.put(&mut line);
    }

    /// A burst fills the log's socket in no time: its reader gets a moment. One who does not use it is not waited for again
    /// within the next second.
    fn wait_and_send(&self, socket: &OwnedFd, line: &[u8]) {
        let now_ms = sys::clock::monotonic_ms();
        if now_ms < self.deaf_until_ms.get() {
            return;
        }
        for _ in 0..PATIENCE_MS {
            std::thread::sleep(Duration::from_millis(1));
            if rustix::net::send(socket, line, SendFlags::NOSIGNAL) != Err(Errno::AGAIN) {
                return;
            }
        }
        self.deaf_until_ms.set(now_ms.saturating_add(DEAF_MS));
    }

    fn put(&self, line: &mut Vec<u8>) {
        match &self.out {
            Out::Stdout => {
                line.push(b'\n');
                let mut stdout = std::io::stdout().lock();
                // The reader of our lines may be gone; mail goes on.
                drop(stdout.write_all(line).and_then(|()| stdout.flush()));
            }
            Out::Socket(socket) => {
                // A system log that is gone must not stop mail.
                if rustix::net::send(socket, line, SendFlags::NOSIGNAL) == Err(Errno::AGAIN) {
                    self.wait_and_send(socket, line);
                }
            }
        }
    }
}

fn json(
    line: &mut Vec<u8>,
    severity: Severity,
    id: Option<wire::QueueId>,
    pid: u32,
    now_s: u64,
    text: &[u8],
) {
    let mut plain = Vec::with_capacity(text.len());
    wire::escape::logged(text, &mut plain);
    let quoted: String = String::from_utf8_lossy(&plain)
        .chars()
        .flat_map(|letter| match letter {
            '"' | '\\' => vec!['\\', letter],
            other => vec![other],
        })
        .collect();
    let id = id.map(|id| format!(r#""id":"{id}","#)).unwrap_or_default();
    let entry = format!(
        r#"{{"time":"{}","severity":"{}","pid":{pid},{id}"text":"{quoted}"}}"#,
        wire::date::iso(now_s),
        severity.word()
    );
    line.extend_from_slice(entry.as_bytes());
}
