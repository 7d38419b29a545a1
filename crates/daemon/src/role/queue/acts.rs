//! Does what the scheduler asks for. All actions of one step go into the same commit.

use super::House;
use crate::edges::{Attempt, Errand};
use crate::log::Severity;
use ::policy::Expansion;
use ::queue::{Action, Envelope, Event, Input, Inquiry, Note, Report, ReportKind, To};
use spool::Spool as _;
use std::sync::Arc;

impl House {
    /// Does all actions, in order.
    pub(super) fn act(&mut self, actions: &mut Vec<Action>) {
        let mut answers = Vec::new();
        for action in actions.drain(..) {
            match action {
                Action::Load { slot } => answers.push(self.loaded(slot)),
                Action::Inquire { slot, recipient, inquiry: Inquiry::Report, .. }
                    if self.errand == Some(Errand::DeliverUnreported) =>
                {
                    // Who waits for what comes of it tells the sender himself.
                    let later = Some(Box::default());
                    let expansion = Box::new(Expansion { later, ..Expansion::default() });
                    answers.push(Input::Answered { slot, recipient, expansion });
                }
                Action::Inquire { slot, recipient, address, sender, inquiry } => {
                    self.policy.inquire((slot, recipient), address, sender, inquiry);
                }
                Action::Try(batch) => self.carry(&batch),
                Action::Note { slot, record } => self.note(slot, &record),
                Action::Remove { slot } => self.remove(slot),
                Action::Report(report)
                    if self.errand == Some(Errand::DeliverUnreported)
                        && report.kind == ReportKind::Failure => {}
                Action::Report(report) => self.report(&report),
                Action::Save { slot } => self.save(slot),
                Action::Split(split) => self.splits.push_back(*split),
                Action::Log(event) => self.log_event(&event),
                Action::Wake { at_ms } => self.wake_at_ms = Some(at_ms),
            }
        }
        for answer in answers {
            self.step(answer);
        }
    }

    /// Reads a message's envelope and newest note from the spool.
    pub(super) fn read(&mut self, slot: spool::Slot) -> Option<(Box<Envelope>, Option<Box<Note>>)> {
        let opened = match self.spool.open(slot) {
            Ok(opened) => opened,
            Err(error) => {
                let text = format!("a message can't be read: {error}; put aside");
                self.log.line(Severity::Critical, None, text.as_bytes());
                return None;
            }
        };
        let envelope = Envelope::decode(&opened.envelope).ok()?;
        let note = match opened.note {
            Some(record) => Some(Box::new(Note::decode(&record).ok()?)),
            None => None,
        };
        Some((Box::new(envelope), note))
    }

    /// The same, with the note that a message without one stands for.
    pub(super) fn read_noted(&mut self, slot: spool::Slot) -> Option<(Box<Envelope>, Note)> {
        let (envelope, note) = self.read(slot)?;
        let note = note.map_or_else(|| Note::new(&envelope), |note| *note);
        Some((envelope, note))
    }

    fn loaded(&mut self, slot: u32) -> Input {
        match self.read(slot.into()) {
            Some((envelope, note)) => Input::Loaded { slot, envelope, note },
            None => Input::Unreadable { slot },
        }
    }

    pub(super) fn note(&mut self, slot: u32, record: &[u8]) {
        if let Err(refused) = self.spool.note(slot.into(), record) {
            // Not written: what was delivered may be delivered again after a crash, and nothing is lost.
            self.log.line(Severity::Error, None, format!("no note: {refused}").as_bytes());
        }
    }

    fn remove(&mut self, slot: u32) {
        self.fresh.forget(slot);
        self.dressing.forget(slot);
        if let Err(refused) = self.spool.remove(slot.into()) {
            self.log.line(Severity::Error, None, format!("not removed: {refused}").as_bytes());
        }
    }

    /// Writes a report on a message and stores it.
    fn report(&mut self, report: &Report) {
        let mut original = self.beginning(report.about.into(), report.original_bytes_max());
        if report.is_dressed_later && !original.is_empty() {
            original = self.dressing.returned(report.about, &original);
        }
        let id = self.mint_in(self.spool.shard_of(report.id));
        let text = super::lines::report_line(report, id);
        self.log.line(Severity::Info, Some(report.id), &text);
        let mut body = Vec::new();
        report.write(id, crate::date::offset_s(), &original, &mut body);
        let envelope = report.envelope(id, ::queue::mailers_mark(&self.settings.mailers));
        let mut record = Vec::new();
        if envelope.encode(&mut record).is_err() {
            return;
        }
        let body: Arc<[u8]> = body.into();
        let inline = spool::Body::Inline(&body);
        let stored = self.append_own(Box::new(envelope), &record, Some(Arc::clone(&body)), inline);
        if let Err(refused) = stored {
            self.log.line(Severity::Error, Some(id), format!("not stored: {refused}").as_bytes());
        }
    }

    /// The beginning of a message's body; nothing if it can't be read.
    pub(super) fn beginning(&mut self, slot: spool::Slot, octets_max: usize) -> Vec<u8> {
        let Ok(opened) = self.spool.open(slot) else { return Vec::new() };
        match opened.body {
            spool::OpenedBody::Inline(body) => {
                body.get(..octets_max.min(body.len())).unwrap_or_default().to_vec()
            }
            spool::OpenedBody::Large(file, size_bytes) => {
                let wanted = u64::try_from(octets_max).unwrap_or(u64::MAX).min(size_bytes);
                let mut beginning = vec![0; usize::try_from(wanted).unwrap_or(0)];
                match std::os::unix::fs::FileExt::read_exact_at(&file, &mut beginning, 0) {
                    Ok(()) => beginning,
                    Err(_) => Vec::new(),
                }
            }
        }
    }

    pub(super) fn log_event(&mut self, event: &Event) {
        if let Event::To(to) = event {
            self.count_outcome(to);
        }
        if let (Some(_), Event::To(to)) = (&self.errand, event) {
            self.intake.tell_results(&attempts(to));
            self.show_result(to);
        }
        let (severity, level) = super::lines::weight(event);
        if self.log.wants(level) {
            let (id, line) = super::lines::line(event, &self.settings);
            self.log.line(severity, id, &line);
        }
        if let Event::Lost { id } = event {
            let text = b"SYSERR(root): savemail: cannot save rejected email anywhere";
            self.log.line(Severity::Critical, Some(*id), text);
        }
    }
}

/// What a `to=` line says, a recipient at a time.
fn attempts(to: &To) -> Vec<Attempt> {
    let status = (to.status.0, to.status.1, to.status.2);
    let recipients = to.to.iter().cloned();
    recipients
        .map(|recipient| Attempt { id: to.id, recipient, status, text: to.text.clone() })
        .collect()
}
