//! Reports: bounces, warnings and receipts (RFC 3461, RFC 3462, RFC 3464), looking like sendmail's.
//!
//! A report is a multipart of three: for people, for programs (message/delivery-status), and the
//! message it is about or its header. It is from `<>`, so nothing ever answers it; what remote
//! servers said was cleaned before it got here. The whole message comes back only to our own users,
//! if it is small: a bounce must not carry a stranger's payload to a forged sender, whatever RET
//! asks for.

use crate::QueueId;
use crate::message::{
    BodyKind, DeliverBy, Envelope, Origin, Purpose, Return, Returns, usual_priority,
};
use crate::outcome::Trouble;
use crate::recipient::{Followed, Recipient};
use alloc::{boxed::Box, string::String, vec::Vec};
use policy::settings::Reports;
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod fixture;
mod inside;
mod text;

pub use text::duration;
pub(crate) use text::warning;

/// The most octets of a message that come back whole; of a larger one only the header does.
pub const RETURNED_BYTES_MAX: u64 = 50_000;

/// The most octets of a header that come back.
pub const RETURNED_HEADER_BYTES_MAX: usize = 32_768;

/// What sendmail counts for the words of a report around the message that comes back, in octets (`pri=`, `SIZE=`).
const WORDS_BYTES: u64 = 1024;

/// What a report says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ReportKind {
    /// Recipients failed.
    Failure,
    /// Recipients failed, and the sender can't be told; for the postmaster.
    DoubleBounce,
    /// Recipients failed and the sender is told; the postmaster's copy.
    Copy,
    /// Recipients are late.
    Delay,
    /// Recipients have it, and the sender wanted to know.
    Success,
}

impl ReportKind {
    /// Whether it tells of failures.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Failure | Self::DoubleBounce | Self::Copy)
    }
}

/// `Action:` of RFC 3464, 2.3.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// `failed`
    Failed,
    /// `delayed`
    Delayed,
    /// `delivered`
    Delivered,
    /// `relayed`: to a server that does not report.
    Relayed,
    /// `relayed`, as a deadline wants it told of each server (RFC 2852, `T`).
    Traced,
    /// `relayed` to a server that does not know of the deadline (RFC 2852, `N`).
    Noticed,
    /// `expanded`: to the members of a list, who are not reported on.
    Expanded,
}

/// One recipient in a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportLine {
    /// Whether it is only in the transcript: the name that led to it is what was asked about.
    pub is_aside: bool,
    /// Its address, as it was written.
    pub address: Box<[u8]>,
    /// What a mailer would have been told, where that is another one.
    pub actual: Option<Box<[u8]>>,
    /// The address that the sender wrote: its own, or that of the list or alias at the top.
    pub first: Box<[u8]>,
    /// The address that it was expanded from, if it was.
    pub expanded_from: Option<Box<[u8]>>,
    /// ORCPT, as it came.
    pub original: Option<Box<[u8]>>,
    /// Its place among the recipients of the message: in this order they were tried.
    pub index: u32,
    /// What its mailer calls diagnostics (`T=`); empty: as they sound.
    pub diagnostics: Box<[u8]>,
    /// By LMTP, whose server is no MTA that a program need hear of.
    pub is_by_lmtp: bool,
    /// What became of it.
    pub fate: Fate,
    /// Status, text, host.
    pub trouble: Trouble,
}

/// A report that is to be stored as a new message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The slot of the message that it is about.
    pub about: u32,
    /// What it says.
    pub kind: ReportKind,
    /// Whom it goes to, as he wrote himself: in angle brackets if he came by SMTP; never empty.
    pub to: Box<[u8]>,
    /// Who gets it beside him (`Errors-To`).
    pub also_to: Vec<Recipient>,
    /// Set if it is known that nobody is there: it ends without a try.
    pub dead_end: Option<Trouble>,
    /// Our host name.
    pub reporter: Box<[u8]>,
    /// Whether a policy that dresses mail adds its trace fields, Date, From and Message-Id.
    pub is_dressed_later: bool,
    /// When it was made, in seconds since 1970.
    pub at_s: u64,
    /// The id of the message that it is about.
    pub id: QueueId,
    /// When that was accepted, in seconds since 1970.
    pub created_s: u64,
    /// Its sender, as the report may show it.
    pub sender: Box<[u8]>,
    /// ENVID, in xtext as it came.
    pub envelope_id: Option<Box<[u8]>>,
    /// How long its delivery was to take.
    pub by: Option<DeliverBy>,
    /// Where that message came from.
    pub origin: Origin,
    /// What kind of octets it has.
    pub body: BodyKind,
    /// Whether its header may hold UTF-8.
    pub is_utf8: bool,
    /// How much of it comes back.
    pub returned: Return,
    /// Octets of that message, as it was logged.
    pub size_bytes: u64,
    /// Whether that message was itself a report.
    pub is_about_report: bool,
    /// What it looks like; without a foreword unless it is of a failure.
    pub looks: Reports,
    /// Age at which it will fail, in seconds.
    pub give_up_s: u32,
    /// Age at which its sender is warned, in seconds.
    pub warn_s: u32,
    /// Lists with an owner, who gets it, that the message has just been sent on to.
    pub lists: Vec<Box<[u8]>>,
    /// The recipients that it tells of, never none.
    pub lines: Vec<ReportLine>,
    /// Others, who are only in the transcript: who waits, and a sender whom no report reaches.
    pub asides: Vec<ReportLine>,
}

impl Report {
    /// The envelope of this report: from `<>`, to somebody for whom nobody was asked yet. Its size is sendmail's guess: that
    /// of the message that comes back and of the words around it, or nothing where only a header does.
    #[must_use]
    pub fn envelope(&self, id: QueueId, mailers_mark: u32) -> Envelope {
        let size_bytes = match self.returned {
            Return::Full => self.size_bytes.saturating_add(WORDS_BYTES),
            Return::Headers => 0,
        };
        Envelope {
            id,
            created_s: self.at_s,
            purpose: if self.is_about_report { Purpose::DoubleBounce } else { Purpose::Report },
            sender: Box::default(),
            recipients: core::iter::once(self.recipient()).chain(self.also_to.clone()).collect(),
            size_bytes,
            body: self.body,
            is_utf8: self.is_utf8,
            ret: None,
            envelope_id: None,
            by: None,
            origin: if self.is_about_report && self.dead_end.is_none() {
                self.origin.of_report().about_report(self.id)
            } else {
                self.origin.of_report()
            },
            quarantine: None,
            mailers_mark,
            priority: usual_priority(size_bytes, self.also_to.len().saturating_add(1)),
            returns: Returns::default(),
        }
    }

    /// The deadline, if it is over.
    #[must_use]
    pub fn missed(&self) -> Option<DeliverBy> {
        self.by.filter(|by| by.left_s(self.created_s, self.at_s) <= 0)
    }

    /// Its lines in the order in which they were tried: of those of one host the last one first.
    #[must_use]
    pub fn tried(&self) -> Vec<&ReportLine> {
        let mut lines: Vec<&ReportLine> = self.lines.iter().chain(&self.asides).collect();
        lines.sort_by_key(|one| one.index);
        let mut tried = Vec::with_capacity(lines.len());
        for group in lines.chunk_by(|one, next| one.trouble.host == next.trouble.host) {
            if group.first().is_some_and(|one| one.trouble.host.is_empty()) {
                tried.extend(group);
            } else {
                tried.extend(group.iter().rev());
            }
        }
        tried
    }

    /// The subject of a warning.
    #[must_use]
    pub fn warning(&self) -> String {
        warning(self.missed(), self.warn_s)
    }

    /// The names that it goes to, each once.
    fn readers(&self) -> Vec<&[u8]> {
        let mut readers: Vec<&[u8]> = alloc::vec![&*self.to];
        for also in &self.also_to {
            let way = also.followed.as_ref().and_then(|followed| followed.way.as_ref());
            let name = way.map_or(&*also.address, |way| &*way.first);
            if !readers.contains(&name) {
                readers.push(name);
            }
        }
        readers
    }

    fn recipient(&self) -> Recipient {
        let refused = self.dead_end.clone();
        let followed = refused
            .map(|trouble| Box::new(Followed { refused: Some(trouble), ..Followed::default() }));
        Recipient { followed, ..Recipient::unrouted(&self.to) }
    }

    /// How many octets from the start of the original message [`Report::write`] can use.
    #[must_use]
    pub fn original_bytes_max(&self) -> usize {
        match self.returned {
            Return::Full => usize::try_from(RETURNED_BYTES_MAX).unwrap_or(usize::MAX),
            Return::Headers => RETURNED_HEADER_BYTES_MAX,
        }
    }

    /// Appends the report as a message with CR LF line ends.
    ///
    /// `id` is the report's own; `original` is the message that it is about, or as much of it as
    /// [`Report::original_bytes_max`] says, or nothing if it cannot be read. `offset_s`: how far local time is
    /// ahead of UTC.
    pub fn write(&self, id: QueueId, offset_s: i32, original: &[u8], out: &mut Vec<u8>) {
        text::write(self, id, offset_s, original, out);
    }
}
