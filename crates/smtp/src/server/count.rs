//! What a session counts: what is wrong, what is idle, what looks for names. Too much of it costs the client time, then the
//! session.
//!
//! The time is sendmail's: from the limit on each such command costs 1, 2, 4 … seconds, at most four minutes. It is a timer
//! and nothing else: no process sleeps, and nobody else waits.

use policy::settings::Quirks;

use super::event::Event;
use super::outbox::{Outbox, Request};
use super::{Session, State, text};

/// HELO and EHLO that a session may say before it looks like an attack.
const HELLOS_MAX: u32 = 3;
/// VRFY and EXPN that a session may say before it looks like an attack.
const LOOKS_MAX: u32 = 6;
/// ETRN that a session may say before it looks like an attack.
const TURNS_MAX: u32 = 8;
/// Commands with wrong arguments before the session ends, as a multiple of the commands that nobody knows.
const FAULTS_PER_BAD: u32 = 4;
/// The longest pause, in seconds.
const PAUSE_S_MAX: u32 = 240;

/// What a session counts.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    bad_commands: u32,
    faults: u32,
    pub(super) bad_recipients: u32,
    /// Refused recipients of this message.
    pub(super) bad_here: u32,
    pub(super) messages: u32,
    hellos: u32,
    looks: u32,
    turns: u32,
    idles: u32,
    /// MAIL, VRFY, EXPN, ETRN: what a mail client comes for.
    pub(super) deeds: u32,
    /// Recipients that VRFY and EXPN found since the last message.
    pub(super) found: usize,
    /// How long the client has to wait now.
    pub(super) pause_s: u32,
}

impl Session {
    /// Counts a command that nobody knows; too many end the session.
    pub(super) fn bad_command(&mut self, out: &mut Outbox) {
        self.counts.bad_commands = self.counts.bad_commands.saturating_add(1);
        if self.counts.bad_commands > self.terms.settings.limits.bad_commands_max {
            self.too_many_bad(out);
        }
    }

    /// Counts a command that is known and wrong.
    pub(super) fn faulty_command(&mut self, out: &mut Outbox) {
        self.counts.faults = self.counts.faults.saturating_add(1);
        let most = self.terms.settings.limits.bad_commands_max.saturating_mul(FAULTS_PER_BAD);
        if self.counts.faults > most {
            self.too_many_bad(out);
        }
    }

    fn too_many_bad(&mut self, out: &mut Outbox) {
        if self.is_over() {
            return;
        }
        let host = &self.terms.settings.host_name;
        let text = format_args!("{} Too many bad commands; closing connection", text(host));
        out.bytes.truncate(last_line(&out.bytes));
        out.say((421, (4, 7, 0)), text);
        self.close(out);
    }

    /// Counts a command that does nothing.
    pub(super) fn count_idle(&mut self, command: &'static str, out: &mut Outbox) {
        self.counts.idles = self.counts.idles.saturating_add(1);
        let most = self.terms.settings.manners.idles_max;
        if most > 0 {
            self.suspect(command, self.counts.idles, most, out);
        }
    }

    pub(super) fn count_hello(&mut self, out: &mut Outbox) {
        self.counts.hellos = self.counts.hellos.saturating_add(1);
        self.suspect("HELO/EHLO", self.counts.hellos, HELLOS_MAX, out);
    }

    /// Counts VRFY and EXPN.
    pub(super) fn count_look(&mut self, command: &'static str, out: &mut Outbox) {
        self.counts.deeds = self.counts.deeds.saturating_add(1);
        self.counts.looks = self.counts.looks.saturating_add(1);
        self.suspect(command, self.counts.looks, LOOKS_MAX, out);
    }

    pub(super) fn count_turn(&mut self, out: &mut Outbox) {
        self.counts.deeds = self.counts.deeds.saturating_add(1);
        self.counts.turns = self.counts.turns.saturating_add(1);
        self.suspect("ETRN", self.counts.turns, TURNS_MAX, out);
    }

    /// From the limit on, a line in the log and a pause that doubles.
    fn suspect(&mut self, command: &'static str, count: u32, most: u32, out: &mut Outbox) {
        let Some(above) = count.checked_sub(most) else { return };
        if above == 0 {
            self.tell(Event::Attack { command, count }, out);
        }
        if !self.has_quirk(Quirks::DOUBLING_PAUSES) {
            return;
        }
        let pause_s = 1u32.checked_shl(above).unwrap_or(PAUSE_S_MAX).min(PAUSE_S_MAX);
        self.counts.pause_s = pause_s;
    }

    /// A pause that was earned in this step begins once nothing else is awaited.
    pub(super) fn pause(&mut self, out: &mut Outbox) {
        if self.counts.pause_s > 0 && out.request.is_none() && matches!(self.state, State::Command)
        {
            let pause_s = core::mem::take(&mut self.counts.pause_s);
            out.request = Some(Request::Pause { ms: pause_s.saturating_mul(1000) });
            out.deadline = super::Deadline::Off;
            self.state = State::Paused;
        }
    }
}

/// Where the last line of `bytes` begins.
fn last_line(bytes: &[u8]) -> usize {
    let before = bytes.strip_suffix(b"\r\n").unwrap_or(bytes);
    before.iter().rposition(|&octet| octet == b'\n').map_or(0, |at| at.saturating_add(1))
}
