//! What nobody can get, on its way into the owner's mailbox file (sendmail's `DeadLetterDrop`).
//!
//! Master opens the file each time, so that one that was moved away is made anew; this process opens no path. A message leaves the
//! spool only after the file is synced; what the file can't take stays kept back, as without a file.

use super::House;
use super::dressing::fields_of;
use crate::edges::{News, SocketPlace};
use crate::log::Severity;
use ::policy::MailerId;
use ::queue::{Event, Input};
use deliver::Moment;
use deliver::mailbox::last_resort::append;
use std::io;
use std::os::fd::OwnedFd;
use wire::QueueId;

/// Octets of a message that goes there, at most; reports are far smaller.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Octets that wait at most; what comes on top is kept back.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How often the file is asked for while somebody holds its lock, once each housekeeping.
const TRIES_MAX: u32 = 60;

/// The mailer whose header a message in a file has.
const FILE_MAILER: &[u8] = b"*file*";

/// A message on its way.
struct Letter {
    slot: u32,
    /// Its own id, ...
    id: QueueId,
    /// ... and that under which the log tells of it: of the report that it is about, which ended with it.
    told_id: QueueId,
    text: Vec<u8>,
}

/// Messages that wait for the file.
#[derive(Default)]
pub(super) struct LastResort {
    /// Whose header the policy is asked for.
    undressed: usize,
    letters: Vec<Letter>,
    is_wanted: bool,
    tries: u32,
}

impl LastResort {
    /// Whether nothing is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.undressed == 0 && self.letters.is_empty()
    }
}

impl House {
    /// Sends a message on its way.
    pub(super) fn save(&mut self, slot: u32) {
        self.last_resort.undressed = self.last_resort.undressed.saturating_add(1);
        let mut mailers = (0_u8..).zip(&self.settings.mailers);
        let mailer = mailers.find(|(_, mailer)| *mailer.name == *FILE_MAILER);
        let mailer = mailer.map(|(number, _)| MailerId(number));
        let mailer = mailer.filter(|_| self.settings.dresses_mail);
        match mailer.and_then(|mailer| self.question_of(slot, mailer, b"")) {
            Some(question) => self.policy.dress_saved(slot, question),
            None => self.saved_as(slot, None),
        }
    }

    /// The header that the message gets, or none but its own.
    pub(super) fn saved_as(&mut self, slot: u32, header: Option<Box<[u8]>>) {
        self.last_resort.undressed = self.last_resort.undressed.saturating_sub(1);
        let Some((envelope, _)) = self.read(slot.into()) else { return };
        let text = self.beginning(slot.into(), MESSAGE_BYTES_MAX);
        let (id, waiting) = (envelope.id, &self.last_resort.letters);
        let octets = waiting.iter().fold(text.len(), |sum, one| sum.saturating_add(one.text.len()));
        let told_id = envelope.origin.report_about().unwrap_or(id);
        let has_room = octets <= WAITING_BYTES_MAX && text.len() < MESSAGE_BYTES_MAX;
        if text.is_empty() || !has_room {
            return self.log_event(&Event::Lost { id: told_id });
        }
        let text = match header {
            Some(header) => {
                [&*header, text.get(fields_of(&text).len()..).unwrap_or_default()].concat()
            }
            None => text,
        };
        self.last_resort.letters.push(Letter { slot, id, told_id, text });
        self.want_last_resort();
    }

    /// Asks master for the file, if something waits for it.
    pub(super) fn want_last_resort(&mut self) {
        if self.last_resort.letters.is_empty() || self.last_resort.is_wanted {
            return;
        }
        self.last_resort.is_wanted = true;
        let news = News::SocketWanted { ticket: 0, place: SocketPlace::LastResort };
        // A master that is gone takes us with it.
        drop(self.life.send(&news, &[]));
    }

    /// The file is open.
    pub(super) fn last_resort_came(&mut self, file: &OwnedFd) {
        self.last_resort.is_wanted = false;
        let now = Moment { unix_s: sys::clock::realtime_s(), offset_s: crate::date::offset_s() };
        let texts: Vec<&[u8]> = self.last_resort.letters.iter().map(|one| &*one.text).collect();
        match append(file, now, &texts) {
            Ok(()) => self.are_saved(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.last_resort.tries = self.last_resort.tries.saturating_add(1);
                if self.last_resort.tries >= TRIES_MAX {
                    self.no_last_resort("somebody holds its lock");
                }
            }
            Err(error) => self.no_last_resort(&sys::error_words(&error)),
        }
    }

    /// All that waited is durable in the file.
    fn are_saved(&mut self) {
        self.last_resort.tries = 0;
        let path = self.settings.reports.last_resort.clone();
        for letter in std::mem::take(&mut self.last_resort.letters) {
            if self.log.wants(4) {
                let text = [b"Saved message in ", &*path].concat();
                self.log.line(Severity::Notice, Some(letter.told_id), &text);
            }
            // The operator may have thrown it away meanwhile, and another may be in its place.
            let slot = letter.slot;
            if self.read(slot.into()).is_some_and(|(envelope, _)| envelope.id == letter.id) {
                self.step(Input::Saved { slot });
            }
        }
    }

    /// The file can't be had: what waits for it is kept back, and the log says so.
    pub(super) fn no_last_resort(&mut self, why: &str) {
        self.last_resort.is_wanted = false;
        self.last_resort.tries = 0;
        let path = String::from_utf8_lossy(&self.settings.reports.last_resort).into_owned();
        let text = format!("cannot save message in {path}: {why}");
        for letter in std::mem::take(&mut self.last_resort.letters) {
            self.log.line(Severity::Error, Some(letter.told_id), text.as_bytes());
            self.log_event(&Event::Lost { id: letter.told_id });
        }
    }
}
