//! What is queued, for `mailq`; and the drop folder, where `sendmail` leaves mail while nobody serves.

use super::House;
use crate::edges::{Listed, ListedRecipient};
use crate::log::Severity;
use crate::request::Submission;
use crate::submission;
use ::policy::{Settings, Transport};
use ::queue::run::reason;
use ::queue::{BodyKind, Envelope, Note, Outlook, Purpose, Recipient, State};
use spool::Spool as _;

/// Messages in one answer.
const LISTED_MAX: usize = 200;

/// Octets of all recipients in one answer.
const LISTED_BYTES_MAX: usize = 256 * 1024;

/// Files of the drop folder that are taken in one turn.
const DROPS_MAX: usize = 100;

impl House {
    /// Messages with ids above `after`, in order of ids; not all, but at least one if there is one.
    pub(super) fn listed(&mut self, after: u64) -> Vec<Listed> {
        let mut entries = Vec::new();
        let mut octets = 0_usize;
        for (id, slot) in self.spool.list(after, LISTED_MAX) {
            let Some((envelope, note)) = self.read_noted(slot) else { continue };
            let outlook = self.scheduler.outlook(slot.into());
            let is_current = self.spool.current() == Some(id);
            let mut entry = listed(id, &envelope, &note, outlook, &self.settings);
            entry.is_active |= is_current;
            entry.priority = self.number(&envelope, &note);
            entry.size_bytes = self.body_bytes(slot).unwrap_or(entry.size_bytes);
            octets = octets.saturating_add(
                entry
                    .recipients
                    .iter()
                    .map(|one| one.address.len().saturating_add(one.status.len()))
                    .sum(),
            );
            if octets > LISTED_BYTES_MAX && !entries.is_empty() {
                break;
            }
            entries.push(entry);
        }
        entries
    }

    /// Octets of a body behind its header, one for each line end, as sendmail's `mailq` counts them; `None`: it is large.
    fn body_bytes(&mut self, slot: spool::Slot) -> Option<u64> {
        let spool::OpenedBody::Inline(text) = self.spool.open(slot).ok()?.body else { return None };
        let mut fields = wire::header::Fields::new(&text);
        while fields.next().is_some() {}
        let body = fields.rest();
        let body = body.strip_prefix(b"\r\n").unwrap_or(body);
        u64::try_from(body.iter().filter(|&&octet| octet != b'\r').count()).ok()
    }

    /// Takes what lies in the drop folder.
    pub(super) fn pick_up_drops(&mut self) {
        if self.stop_until_ms.is_some() {
            return;
        }
        let Some(folder) = &self.drops else { return };
        let names = folder.names(DROPS_MAX).unwrap_or_default();
        for name in names {
            if self.intake.has_drop(&name) || self.refused_drops.contains(&name) {
                continue;
            }
            if let Err(why) = self.pick_up(&name) {
                let text = format!("drop/{name}: {why}; left there");
                self.log.line(Severity::Warning, None, text.as_bytes());
                if self.refused_drops.len() < DROPS_MAX {
                    self.refused_drops.insert(name);
                }
            }
        }
    }

    /// Takes one file. In words why not.
    fn pick_up(&mut self, name: &str) -> Result<(), String> {
        let folder = self.drops.as_ref().ok_or("no folder")?;
        let left = folder.read(name).map_err(|error| error.to_string())?;
        let left = left.ok_or("not a plain file of our size")?;
        let (submission, text) = crate::drop::decode(&left.octets).ok_or("not a message")?;
        if submission::fault(&submission).is_some() {
            return Err("a faulty envelope".into());
        }
        self.take_drop(&left.name, left.uid, &submission, text);
        Ok(())
    }

    fn take_drop(&mut self, name: &str, uid: u32, submission: &Submission, text: &[u8]) {
        let id = self.mint();
        let mut body = if self.settings.dresses_mail {
            // Trace fields are made when it is handed on.
            Vec::new()
        } else {
            submission::received(&self.settings, uid, submission, id)
        };
        body.extend_from_slice(text);
        let size_bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let envelope = submission::envelope(id, uid, submission, size_bytes);
        let line = submission::from_line(&envelope);
        self.log.line(Severity::Info, Some(id), &line);
        self.store_drop(name, Box::new(envelope), body);
    }

    /// The message of this file is durable in the spool.
    pub(super) fn drop_is_done(&mut self, name: &str) {
        let removed = self.drops.as_ref().map_or(Ok(()), |folder| folder.remove(name));
        if let Err(error) = removed {
            let text = format!("drop/{name}: {error}; it may be delivered twice");
            self.log.line(Severity::Error, None, text.as_bytes());
        }
    }
}

/// The host that a recipient's mail goes to; empty: it stays here.
fn host(recipient: &Recipient, settings: &Settings) -> Vec<u8> {
    let mailer = settings.mailers.get(usize::from(recipient.route.mailer.0));
    match mailer.map(|mailer| &mailer.transport) {
        Some(Transport::Smtp { .. } | Transport::SmtpUnix(_) | Transport::Lmtp(_)) => {
            recipient.route.host.to_ascii_lowercase()
        }
        Some(
            Transport::Maildir(_)
            | Transport::Mbox(_)
            | Transport::Program(_)
            | Transport::Waits { .. }
            | Transport::Discard
            | Transport::Error,
        )
        | None => Vec::new(),
    }
}

fn listed(
    id: wire::QueueId,
    envelope: &Envelope,
    note: &Note,
    outlook: Option<Outlook>,
    settings: &Settings,
) -> Listed {
    let mut status: Box<[u8]> = note.said.clone();
    let mut recipients = Vec::new();
    let mut open: Vec<_> = note.open(envelope).collect();
    // As sendmail's queue has them: who stays here first, then by hosts.
    open.sort_by_cached_key(|(recipient, ..)| host(recipient, settings));
    for (recipient, state, address) in open {
        let said: Box<[u8]> =
            if let State::Later(trouble) = state { trouble.shown() } else { Box::default() };
        if status.is_empty() || *status == *b"Deferred" && !said.is_empty() {
            // In LMTP what happened stands with the first of them.
            status.clone_from(&said);
        }
        recipients.push(ListedRecipient {
            address,
            controller: recipient.followed.as_ref().and_then(|one| one.controller.clone()),
            status: said,
        });
    }
    let is_eight_bit = match envelope.body {
        BodyKind::EightBit => Some(true),
        BodyKind::DeclaredSeven => Some(false),
        BodyKind::SevenBit | BodyKind::Unlabelled => None,
    };
    Listed {
        id,
        size_bytes: envelope.size_bytes,
        priority: envelope.priority,
        tried_s: note.tried_s,
        is_warned: note.is_warned,
        is_eight_bit,
        created_s: envelope.created_s,
        is_active: outlook == Some(Outlook::Active),
        quarantine: reason(envelope, note).map(Into::into).unwrap_or_default(),
        // A report of ours is nobody's; what somebody sent as nobody is shown as he wrote it.
        sender: match envelope.purpose {
            Purpose::Mail if envelope.sender.is_empty() => b"<>"[..].into(),
            Purpose::Mail | Purpose::Report | Purpose::DoubleBounce => envelope.written_sender(),
        },
        status,
        recipients,
    }
}
