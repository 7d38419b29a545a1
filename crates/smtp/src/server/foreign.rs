//! Commands that no mail client sends: probes for old holes, and other protocols altogether.
//!
//! Browsers and their like were made to speak to mail servers (form attacks; ALPACA, CVE-2021-3618): the first line of
//! another protocol ends the session, so that its body is never read as commands.

use wire::escape::text;

use super::Session;
use super::event::{self, Event};
use super::lookup::Other;
use super::outbox::Outbox;

/// Verbs of HTTP, FTP and SIP. `CONNECT` and `GET` come from those who look for open proxies.
const FOREIGN: [&str; 18] = [
    "GET",
    "POST",
    "CONNECT",
    "USER",
    "HEAD",
    "PUT",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "PATCH",
    "PRI",
    "INVITE",
    "REGISTER",
    "CANCEL",
    "BYE",
    "SUBSCRIBE",
    "M-SEARCH",
    "PASS",
];

/// What the Morris worm and its heirs ask for, and what old sendmails had.
const PROBES: [&str; 3] = ["debug", "showq", "wiz"];

/// Verbs of RFC 821 that nobody implements any more (RFC 5321, appendix F.6).
const UNIMPLEMENTED: [&str; 4] = ["SEND", "SAML", "SOML", "TURN"];

/// Octets of a line that a reply repeats.
const REPEATED_BYTES_MAX: usize = 200;

/// Whether a session that begins a line with this octet speaks TLS: a handshake record.
pub(super) fn is_foreign_octet(first: Option<u8>) -> bool {
    first == Some(0x16)
}

/// Whether a line belongs to another protocol.
pub(super) fn is_foreign(line: &[u8]) -> bool {
    let verb = line.split(|&octet| octet == b' ').next().unwrap_or_default();
    line.starts_with(b"SSH-")
        || FOREIGN.iter().any(|known| verb.eq_ignore_ascii_case(known.as_bytes()))
}

impl Session {
    /// Ends the session with somebody who speaks another protocol.
    pub(super) fn foreign(&mut self, line: &[u8], out: &mut Outbox) {
        self.tell(Event::Foreign { line: event::said(line) }, out);
        let (host, peer) = (text(&self.terms.settings.host_name), self.peer());
        out.say((421, (4, 7, 0)), format_args!("{host} Rejecting open proxy {peer}"));
        self.close(out);
    }

    /// A line whose verb nobody knows.
    pub(super) fn unknown(&mut self, line: &[u8], out: &mut Outbox) {
        let verb = line.split(|&octet| octet == b' ').next().unwrap_or_default();
        let is = |known: &&&str| verb.eq_ignore_ascii_case(known.as_bytes());
        if let Some(verb) = PROBES.iter().find(is) {
            self.tell(Event::Probe { verb }, out);
        }
        self.ask_other(line, 5, Other::Unknown, out);
    }

    /// The reply to a line whose verb nobody knows.
    pub(super) fn say_unknown(&mut self, line: &[u8], out: &mut Outbox) {
        let verb = line.split(|&octet| octet == b' ').next().unwrap_or_default();
        let is = |known: &&&str| verb.eq_ignore_ascii_case(known.as_bytes());
        let shown = text(line.get(..REPEATED_BYTES_MAX).unwrap_or(line));
        if UNIMPLEMENTED.iter().any(|known| is(&known)) {
            out.say((502, (5, 5, 1)), format_args!("Command not implemented: \"{shown}\""));
        } else {
            out.say((500, (5, 5, 1)), format_args!("Command unrecognized: \"{shown}\""));
        }
        self.bad_command(out);
    }
}
