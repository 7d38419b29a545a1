//! The system's log as sendmail writes it, and the class `syslog`: writes the key there and answers with nothing (`-L` names the severity).

use crate::door::Door;
use policy_cf::{Answer, MapSpec};
use std::os::fd::AsFd;
use std::time::Duration;

/// Facility mail.
const MAIL: u8 = 2 << 3;
/// How often, and how far apart, a line is offered to a log that is busy.
const TRIES_MAX: u32 = 20;
const PAUSE: Duration = Duration::from_millis(2);
/// The longest line that is sent, in bytes.
const LINE_BYTES_MAX: usize = 1024;

// Severities, as syslog(3) numbers them.
/// Something must be done at once.
pub const ALERT: u8 = 1;
/// Something of ours is wrong.
pub const CRITICAL: u8 = 2;
/// A file is not as it should be.
pub const WARNING: u8 = 4;
/// A refusal.
pub const NOTICE: u8 = 5;
/// The usual.
pub const INFO: u8 = 6;

/// A map of class syslog.
#[derive(Debug)]
pub(crate) struct Log {
    severity: u8,
    door: Door,
}

impl Log {
    pub(crate) fn open(spec: &MapSpec, door: Door) -> Self {
        let name = spec.flag(b'L').unwrap_or_default().to_ascii_uppercase();
        let severity = match name.strip_prefix(b"LOG_").unwrap_or(&name) {
            b"EMERG" => 0,
            b"ALERT" => ALERT,
            b"CRIT" => CRITICAL,
            b"ERR" => 3,
            b"WARNING" => WARNING,
            b"NOTICE" => NOTICE,
            b"DEBUG" => 7,
            _ => INFO,
        };
        Self { severity, door }
    }

    pub(crate) fn lookup(&self, key: &[u8]) -> Answer {
        self.door.log(self.severity, &[b"NOQUEUE: ", key].concat());
        Answer::Found(Vec::new())
    }
}

/// Writes one line as sendmail, control characters escaped. Nobody waits long for a log: a line that it does not take is lost.
pub fn send(severity: u8, text: &[u8]) {
    let Ok(socket) = sys::socket::connect_syslog() else { return };
    let mut line = format!("<{}>sendmail[{}]: ", MAIL | severity, std::process::id()).into_bytes();
    for &octet in text.iter().take(LINE_BYTES_MAX) {
        escape(octet, &mut line);
    }
    for _ in 0..TRIES_MAX {
        if sys::socket::send_datagram(socket.as_fd(), &line) {
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

/// A line in the log holds printable characters only, and a backslash is always one of ours.
fn escape(octet: u8, line: &mut Vec<u8>) {
    match octet {
        b'\\' => line.extend_from_slice(b"\\\\"),
        b'\n' => line.extend_from_slice(b"\\n"),
        b'\r' => line.extend_from_slice(b"\\r"),
        b'\t' => line.extend_from_slice(b"\\t"),
        0x08 => line.extend_from_slice(b"\\b"),
        0x0b => line.extend_from_slice(b"\\v"),
        0x0c => line.extend_from_slice(b"\\f"),
        b' '..=b'~' => line.push(octet),
        other => line.extend_from_slice(format!("\\{other:03o}").as_bytes()),
    }
}
