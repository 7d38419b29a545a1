//! A report for the tests: one recipient, one list that led to it, one client.

use super::{Fate, Report, ReportKind, ReportLine};
use crate::outcome::{Said, Status, Trouble, Voice};
use crate::{BodyKind, Origin, QueueId, Return};
use alloc::{boxed::Box, string::String, vec, vec::Vec};

/// A report with one line.
pub(super) fn report(kind: ReportKind, fate: Fate, trouble: Trouble) -> Report {
    Report {
        about: 1,
        kind,
        to: b"<alice@example.org>"[..].into(),
        also_to: Vec::new(),
        dead_end: None,
        reporter: b"mail.example.test"[..].into(),
        is_dressed_later: false,
        at_s: 1_795_245_000,
        id: QueueId::from_u64(7),
        created_s: 1_795_230_000,
        sender: b"alice@example.org"[..].into(),
        envelope_id: None,
        by: None,
        origin: Origin {
            client_address: b"192.0.2.1"[..].into(),
            hello: b"client.example"[..].into(),
            ..Origin::default()
        },
        body: BodyKind::SevenBit,
        is_utf8: false,
        returned: Return::Headers,
        size_bytes: 100,
        is_about_report: false,
        looks: policy::settings::Reports::default(),
        give_up_s: 432_000,
        warn_s: 14_400,
        lists: Vec::new(),
        lines: vec![line(b"<bob@remote.test>", fate, trouble)],
        asides: Vec::new(),
    }
}

/// A recipient that a list led to.
pub(super) fn line(address: &[u8], fate: Fate, trouble: Trouble) -> ReportLine {
    ReportLine {
        is_aside: false,
        is_by_lmtp: false,
        address: address.into(),
        actual: None,
        first: b"list@example.test"[..].into(),
        expanded_from: Some(b"<list@example.test>"[..].into()),
        original: None,
        index: 0,
        diagnostics: Box::default(),
        fate,
        trouble,
    }
}

/// What a server's words came to.
pub(super) fn smtp(text: &[u8]) -> Trouble {
    Trouble {
        host: b"mx1.remote.test. [192.0.2.9]"[..].into(),
        voice: Voice::Smtp,
        ..Trouble::ours(Status(5, 1, 1), text)
    }
}

/// The same with what was said.
pub(super) fn said(trouble: Trouble, command: &[u8], reply: &[u8]) -> Trouble {
    let said = Said { command: command.into(), reply: reply.into() };
    Trouble { said: Some(Box::new(said)), ..trouble }
}

/// The text of a report.
pub(super) fn written(report: &Report, original: &[u8]) -> String {
    let mut out = Vec::new();
    report.write(QueueId::new(1_795_245_000, 4660), 3600, original, &mut out);
    String::from_utf8(out).unwrap()
}
