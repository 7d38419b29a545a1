//! What a stranger is not told: a report without the inside of this house (SECURITY 1.4: what a bounce gives away).
//!
//! Who is not one of our users learns that his mail failed, for whom, and with which code. He does not learn which hosts it
//! was handed to inside, what those said word for word, nor which names stand behind the one that he wrote to. It is taken out
//! of the facts, before there is any text, so that no line of a report can forget it.

use super::{Fate, Report, ReportKind, ReportLine};
use crate::outcome::{Said, Trouble, Voice};
use alloc::{boxed::Box, vec::Vec};

/// What may be said in words: these name nobody.
const WORDS: [&[u8]; 9] = [
    b"User unknown",
    b"Host unknown",
    b"Service unavailable",
    b"Data format error",
    b"Remote protocol error",
    b"Local configuration error",
    b"Insufficient permission",
    b"delivery time expired",
    b"Message is too large",
];

/// What is said of anything else.
const FAILED: &[u8] = b"it could not be delivered";
const LATE: &[u8] = b"it could not be delivered yet";

impl Report {
    /// The same, for somebody who is not one of us. Reports for the postmaster stay as they are.
    #[must_use]
    pub(crate) fn for_stranger(mut self) -> Self {
        let origin = &self.origin;
        let is_ours = origin.uid.is_some() || !origin.user.is_empty();
        let is_for_postmaster = matches!(self.kind, ReportKind::DoubleBounce | ReportKind::Copy);
        if is_ours || is_for_postmaster || self.is_about_report || !self.looks.hide_inside {
            return self;
        }
        // Several members of one list are one recipient to who wrote to the list.
        let mut lines: Vec<ReportLine> = Vec::new();
        for line in core::mem::take(&mut self.lines) {
            let line = outer(line);
            let is_told = |known: &ReportLine| known.first == line.first && known.fate == line.fate;
            if !lines.iter().any(is_told) {
                lines.push(line);
            }
        }
        self.lines = lines;
        self.asides.clear();
        self.lists.clear();
        self
    }
}

/// What is seen of a recipient from outside.
fn outer(line: ReportLine) -> ReportLine {
    let ReportLine {
        is_aside, first, original, index, diagnostics, is_by_lmtp, fate, trouble, ..
    } = line;
    let words: &[u8] = WORDS
        .into_iter()
        .find(|words| trouble.text.starts_with(words))
        .unwrap_or(if fate == Fate::Delayed { LATE } else { FAILED });
    let code = trouble.reply().and_then(code);
    let said = code.map(|reply| Box::new(Said { command: Box::default(), reply }));
    ReportLine {
        is_aside,
        is_by_lmtp,
        actual: None,
        address: first.clone(),
        first,
        expanded_from: None,
        original,
        index,
        diagnostics,
        fate,
        trouble: Trouble {
            status: trouble.status,
            text: words.into(),
            host: Box::default(),
            voice: Voice::Local,
            said,
        },
    }
}

/// The code of a reply, without its words.
fn code(reply: &[u8]) -> Option<Box<[u8]>> {
    let digits = reply.get(..3)?;
    digits.iter().all(u8::is_ascii_digit).then(|| digits.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{self, said, smtp, written};
    use crate::{Origin, Trouble};

    /// About two recipients behind one name; a third waits.
    fn report(user: &str, kind: ReportKind) -> Report {
        let words = b"550 5.1.1 db7.inside.example [10.0.0.7] has no bob";
        let trouble = Trouble {
            host: b"db7.inside.example. [10.0.0.7]"[..].into(),
            ..said(smtp(b"User unknown"), b"RCPT To:<bob@db7.inside.example>", words)
        };
        let line = |address: &[u8], fate| ReportLine {
            first: b"sales@example.org"[..].into(),
            expanded_from: Some(b"sales-all@inside.example"[..].into()),
            ..fixture::line(address, fate, trouble.clone())
        };
        let origin = Origin {
            client_address: b"192.0.2.1"[..].into(),
            user: user.as_bytes().into(),
            ..Origin::default()
        };
        Report {
            origin,
            lines: [&b"bob@db7.inside.example"[..], b"dora@db7.inside.example"]
                .map(|address| line(address, Fate::Failed))
                .into(),
            asides: [line(b"carol@inside.example", Fate::Delayed)].into(),
            ..fixture::report(kind, Fate::Failed, trouble.clone())
        }
    }

    #[test]
    fn a_stranger_learns_what_failed_and_nothing_of_our_inside() {
        for multipart in [true, false] {
            let mut report = report("", ReportKind::Failure);
            report.looks.are_multipart = multipart;
            let text = written(&report.for_stranger(), b"Subject: x\r\n\r\nx\r\n");
            assert!(!text.contains("inside"), "{text}");
            assert!(!text.contains("10.0.0.7"), "{text}");
            assert!(text.contains("sales@example.org") && text.contains("User unknown"), "{text}");
            assert!(text.contains("(reason: 550)"), "{text}");
            assert_eq!(text.matches("Final-Recipient").count(), usize::from(multipart));
        }
    }

    #[test]
    fn words_of_others_that_are_not_known_are_not_passed_on() {
        for fate in [Fate::Failed, Fate::Delayed] {
            let mut report = report("", ReportKind::Failure);
            for line in &mut report.lines {
                line.fate = fate;
                line.trouble.text = b"Connection refused by db7.inside.example."[..].into();
            }
            let text = written(&report.for_stranger(), b"Subject: x\r\n\r\nx\r\n");
            assert!(!text.contains("inside"), "{text}");
        }
    }

    #[test]
    fn our_users_and_the_postmaster_are_told_everything() {
        for report in [
            report("alice", ReportKind::Failure),
            report("", ReportKind::DoubleBounce),
            report("", ReportKind::Copy),
            Report { is_about_report: true, ..report("", ReportKind::Failure) },
        ] {
            assert_eq!(report.clone().for_stranger(), report);
        }
        let mut open = report("", ReportKind::Failure);
        open.looks.hide_inside = false;
        assert_eq!(open.clone().for_stranger(), open);
    }
}
