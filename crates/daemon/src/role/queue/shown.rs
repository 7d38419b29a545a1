//! What a command that watches its errand (`sendmail -v`) is shown: who is tried where, what was said, what came of it.
//!
//! Relays say what they did in events that name recipients by their numbers; here they become lines with addresses. Of other
//! carriers only the beginning and the end are known. Nothing is shown that was not cleaned before.

use super::House;
use crate::edges::{Errand, FromQueue, Tried};
use crate::log::Severity;
use ::policy::{Mailer, Settings};
use ::queue::{Batch, BatchId, Input, Stat, To};
use ::relay::{Gravity, Kind, LINE_BYTES_MAX, TALK_BYTES_MAX, TALK_EVENTS_MAX, Talk};
use std::collections::HashMap;

/// Octets of recipients' addresses that stand in one line.
const NAMES_BYTES_MAX: usize = 4096;

/// Steps of one expansion that are shown.
const STEPS_MAX: usize = 500;

/// What must be known of batches that are out.
#[derive(Default)]
pub(super) struct Shown {
    out: HashMap<BatchId, Names>,
    /// A relay tells what comes of it itself.
    is_told: bool,
    /// Messages that a run has come to.
    number: u32,
}

/// Whom a batch is for.
struct Names {
    message: wire::QueueId,
    mailer: Box<[u8]>,
    recipients: HashMap<u32, Box<[u8]>>,
}

impl Names {
    fn of(&self, whose: &[u32]) -> Vec<u8> {
        let mut line = listed(whose.iter().filter_map(|index| self.recipients.get(index)));
        if !line.is_empty() {
            line.extend_from_slice(b"... ");
        }
        line
    }
}

/// Names with commas between, as many as one line has room for.
fn listed(names: impl Iterator<Item: AsRef<[u8]>>) -> Vec<u8> {
    let mut line = Vec::new();
    for name in names {
        let name = name.as_ref();
        if line.len().saturating_add(name.len()) > NAMES_BYTES_MAX {
            break;
        }
        if !line.is_empty() {
            line.push(b',');
        }
        line.extend_from_slice(name);
    }
    line
}

impl House {
    /// A run comes to a message; so many are left behind it.
    pub(super) fn show_running(&mut self, id: wire::QueueId, left: usize) {
        self.shown.number = self.shown.number.saturating_add(1);
        let number = self.shown.number;
        let total = number.saturating_add(u32::try_from(left).unwrap_or(u32::MAX));
        self.intake.show(&FromQueue::Running { id, number, total });
    }

    /// Who stands behind a name was found, in so many steps.
    pub(super) fn show_steps(&mut self, steps: &[Box<[u8]>]) {
        if self.errand.is_none() {
            return;
        }
        let mut text = Vec::new();
        for step in steps.iter().take(STEPS_MAX) {
            text.extend_from_slice(&::queue::printable(step, LINE_BYTES_MAX));
            text.push(b'\n');
        }
        if !text.is_empty() {
            self.show_text(text);
        }
    }

    /// A batch goes out.
    pub(super) fn show_try(&mut self, batch: &Batch, is_for_relay: bool) {
        if self.errand.is_none() {
            return;
        }
        self.spool.tell_current(batch.message);
        let names = Names {
            message: batch.message,
            mailer: mailer_name(&self.settings, batch),
            recipients: batch
                .recipients
                .iter()
                .map(|one| (one.index, ::queue::printable(&one.address, LINE_BYTES_MAX)))
                .collect(),
        };
        if !is_for_relay {
            let whose: Vec<u32> = batch.recipients.iter().map(|one| one.index).collect();
            let mailer = self.settings.mailers.get(usize::from(batch.mailer.0));
            let has_detail = mailer.is_some_and(Mailer::has_detail) && !batch.host.is_empty();
            let host = if has_detail { &*batch.host } else { b"" };
            let host = ::queue::printable(host, LINE_BYTES_MAX);
            let via: &[u8] = if has_detail { b" via " } else { b"" };
            let line =
                [&names.of(&whose), &b"Connecting to "[..], &host, via, &names.mailer, b"...\n"];
            self.show_text(line.concat());
        }
        self.shown.out.insert(batch.id, names);
    }

    /// A carrier has tried: what it said is shown, then the scheduler hears of it.
    pub(super) fn tried(&mut self, tried: Tried) {
        self.hosts.put(tried.hosts);
        let Tried { batch, mut results, is_last, talk, hosts: _ } = tried;
        if let Some(names) = self.shown.out.remove(&batch) {
            self.show(&talk, Some(&names));
            if !is_last {
                self.shown.out.insert(batch, names);
            }
        }
        self.shown.is_told = !talk.is_empty();
        if is_last {
            results.append(&mut self.dressing.judged(batch));
            self.step(Input::Outcome { batch, results });
        } else {
            self.step(Input::Part { batch, results });
        }
        self.shown.is_told = false;
    }

    /// A relay has closed what it kept.
    pub(super) fn show_farewell(&mut self, talk: &[Talk]) {
        self.show(talk, None);
    }

    /// What a `to=` line says, if the carrier did not.
    pub(super) fn show_result(&mut self, to: &To) {
        let is_run = matches!(self.errand, Some(Errand::Run(_)));
        if self.shown.is_told {
            return;
        }
        let is_shown = matches!(to.stat, Stat::Sent | Stat::Deferred);
        if !(is_shown || (is_run && to.stat == Stat::Failed)) {
            return;
        }
        let mut text = Vec::new();
        super::lines::result(&mut text, to);
        let names = to.to.iter().map(|name| ::queue::printable(name, LINE_BYTES_MAX));
        let mut line = listed(names);
        line.extend_from_slice(b"... ");
        line.extend_from_slice(&::queue::printable(&text, LINE_BYTES_MAX));
        line.push(b'\n');
        self.show_text(line);
    }

    fn show_text(&mut self, text: Vec<u8>) {
        self.intake.show(&FromQueue::Shown(text.into()));
    }

    /// Makes lines of a relay's events; a relay that says more than it may is not believed further.
    fn show(&mut self, talk: &[Talk], names: Option<&Names>) {
        let mut out = Vec::new();
        for event in talk.iter().take(TALK_EVENTS_MAX) {
            if let Talk::Log { gravity, text } = event {
                let (severity, level) = match gravity {
                    Gravity::Notice => (Severity::Notice, 2),
                    Gravity::Critical => (Severity::Critical, 2),
                    Gravity::Detail => (Severity::Info, 14),
                };
                if self.log.wants(level) {
                    let text = ::queue::printable(text, LINE_BYTES_MAX);
                    self.log.line(severity, names.map(|names| names.message), &text);
                }
            } else if let Talk::Exit(status) = event {
                self.intake.tell_exit(*status);
            } else if out.len() < TALK_BYTES_MAX.saturating_mul(2) {
                write(&mut out, event, names);
            }
        }
        if !out.is_empty() {
            self.show_text(out);
        }
    }
}

/// One event as a line.
fn write(out: &mut Vec<u8>, event: &Talk, names: Option<&Names>) {
    let of = |whose: &[u32]| names.map(|names| names.of(whose)).unwrap_or_default();
    let mailer = names.map(|names| &*names.mailer).unwrap_or_default();
    let clean = |text: &[u8]| ::queue::printable(text, LINE_BYTES_MAX);
    let line = match event {
        Talk::Connecting { whose, host, port } => {
            let port = port.map(|port| format!(" port {port}")).unwrap_or_default();
            let to = [&*of(whose), b"Connecting to ", &clean(host), port.as_bytes()].concat();
            [&*to, b" via ", mailer, b"..."].concat()
        }
        Talk::Cached { whose, kind, host } => {
            let kind: &[u8] = match kind {
                Kind::Esmtp => b"ESMTP",
                Kind::Smtp => b"SMTP",
                Kind::Lmtp => b"LMTP",
            };
            let to = [&*of(whose), b"Using cached ", kind, b" connection to ", &clean(host)];
            [&*to.concat(), b" via ", mailer, b"..."].concat()
        }
        Talk::Closing { whose, host } => {
            [&*of(whose), b"Closing connection to ", &clean(host)].concat()
        }
        Talk::Line(line) => clean(line).into(),
        Talk::Result { whose, text } => [&*of(whose), &*clean(text)].concat(),
        Talk::Log { .. } | Talk::Exit(_) => return,
    };
    out.extend_from_slice(&line);
    out.push(b'\n');
}

fn mailer_name(settings: &Settings, batch: &Batch) -> Box<[u8]> {
    let mailer = settings.mailers.get(usize::from(batch.mailer.0));
    mailer.map(|mailer| mailer.name.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_become_the_lines_of_sendmail() {
        let recipients = [(0, b"bob@x"[..].into()), (1, b"carol@x"[..].into())];
        let names = Names {
            message: wire::QueueId::from_u64(1),
            mailer: b"esmtp"[..].into(),
            recipients: recipients.into_iter().collect(),
        };
        let host: Box<[u8]> = b"mx.x."[..].into();
        let events = [
            Talk::Connecting { whose: vec![1, 0], host: host.clone(), port: Some(2525) },
            Talk::Line(b"220 x\x1b[2J"[..].into()),
            Talk::Result { whose: vec![0], text: b"Sent"[..].into() },
            Talk::Closing { whose: Vec::new(), host },
        ];
        let mut out = Vec::new();
        for event in &events {
            write(&mut out, event, Some(&names));
        }
        let expected = "carol@x,bob@x... Connecting to mx.x. port 2525 via esmtp...\n\
            220 x?[2J\nbob@x... Sent\nClosing connection to mx.x.\n";
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
}
