//! Lines of small programs in the system's log (RFC 3164, facility mail), each under the program's own name.

use std::os::fd::AsFd as _;

/// Facility mail, times eight.
const FACILITY_MAIL: u8 = 2 * 8;

/// Octets of a line; what is longer is cut.
const LINE_BYTES_MAX: usize = 1024;

/// How grave a line is (RFC 3164, 4.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// Somebody tries what he may not.
    Critical,
    /// Something does not work.
    Error,
    /// A refusal.
    Notice,
}

/// Writes a line. Control characters are shown as escapes, so that nobody forges a second line; octets of other alphabets
/// stand as they are, as with syslog(3). A log that does not take the line loses it.
pub(crate) fn write(program: &str, severity: Severity, text: &[u8]) {
    let Ok(socket) = sys::socket::connect_syslog() else { return };
    let severity = match severity {
        Severity::Critical => 2,
        Severity::Error => 3,
        Severity::Notice => 5,
    };
    let head = format!(
        "<{}>{} {program}[{}]: ",
        FACILITY_MAIL | severity,
        wire::date::syslog(sys::clock::realtime_s()),
        std::process::id()
    );
    let mut line = head.into_bytes();
    for &octet in text.iter().take(LINE_BYTES_MAX) {
        match octet {
            b' '..=b'~' | 0xa0.. => line.push(octet),
            other => line.extend_from_slice(format!("\\{other:03o}").as_bytes()),
        }
    }
    // A lost line is no reason not to do the work.
    let _is_sent: bool = sys::socket::send_datagram(socket.as_fd(), &line);
}
