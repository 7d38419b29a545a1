//! Reports as text: the whole of one, the parts of others, and whatever strangers say.

use crate::report::fixture::{line, report, said, smtp, written};
use crate::report::{Fate, ReportKind};
use crate::{Origin, QueueId, Return, Status, Trouble};
use alloc::{format, string::String, vec::Vec};
use proptest::prelude::*;

/// A whole report of failure.
const BOUNCE: &str = "\
Received: from localhost (localhost)\r
\tby mail.example.test id 05P87A00004660;\r
\tSat, 21 Nov 2026 08:10:00 +0100\r
Date: Sat, 21 Nov 2026 08:10:00 +0100\r
From: Mail Delivery Subsystem <MAILER-DAEMON@mail.example.test>\r
Message-Id: <202611210710.05P87A00004660@mail.example.test>\r
To: <alice@example.org>\r
MIME-Version: 1.0\r
Content-Type: multipart/report; report-type=delivery-status;\r
\tboundary=\"05P87A00004660.1795245000/mail.example.test\"\r
Subject: Returned mail: see transcript for details\r
Auto-Submitted: auto-generated (failure)\r
\r
This is a MIME-encapsulated message\r
\r
--05P87A00004660.1795245000/mail.example.test\r
\r
The original message was received at Sat, 21 Nov 2026 04:00:00 +0100\r
from client.example [192.0.2.1]\r
\r
   ----- The following addresses had permanent fatal errors -----\r
<bob@remote.test>\r
    (reason: 550-5.1.1 no such person)\r
    (expanded from: <list@example.test>)\r
\r
   ----- Transcript of session follows -----\r
... while talking to mx1.remote.test.:\r
>>> RCPT To:<bob@remote.test>\r
<<< 550-5.1.1 no such person\r
<<< 550 5.1.1 sorry\r
550 5.1.1 <bob@remote.test>... User unknown\r
\r
--05P87A00004660.1795245000/mail.example.test\r
Content-Type: message/delivery-status\r
\r
Original-Envelope-Id: a+b c\r
Reporting-MTA: dns; mail.example.test\r
Received-From-MTA: DNS; client.example\r
Arrival-Date: Sat, 21 Nov 2026 04:00:00 +0100\r
\r
Original-Recipient: rfc822;bob@remote.test\r
Final-Recipient: RFC822; list@example.test\r
X-Actual-Recipient: rfc822; bob@remote.test\r
Action: failed\r
Status: 5.1.1\r
Remote-MTA: DNS; mx1.remote.test\r
Diagnostic-Code: SMTP; 550-5.1.1 no such person\r
Last-Attempt-Date: Sat, 21 Nov 2026 08:10:00 +0100\r
\r
--05P87A00004660.1795245000/mail.example.test\r
Content-Type: text/rfc822-headers\r
\r
Return-Path: <alice@example.org>\r
From: alice\r
Subject: one\r
\r
--05P87A00004660.1795245000/mail.example.test--\r
\r
";

#[test]
fn a_bounce_reads_like_sendmails() {
    let reply = b"550-5.1.1 no such person\n550 5.1.1 sorry";
    let trouble = said(smtp(b"User unknown"), b"RCPT To:<bob@remote.test>", reply);
    let mut report = report(ReportKind::Failure, Fate::Failed, trouble);
    report.envelope_id = Some(b"a+2Bb+0Ac"[..].into());
    report.lines[0].original = Some(b"rfc822;bob+40remote.test"[..].into());
    let text = written(&report, b"From: alice\r\nSubject: one\r\n\r\nsecret\r\n");
    assert_eq!(text, BOUNCE);
}

#[test]
fn a_warning_says_since_when_and_until_when() {
    let trouble = Trouble { status: Status(4, 2, 1), ..smtp(b"450 4.2.1 locked") };
    let text = written(&report(ReportKind::Delay, Fate::Delayed, trouble), b"");
    for part in [
        "Subject: Warning: could not send message for past 4 hours\r\n",
        "Auto-Submitted: auto-generated (warning-timeout)\r\n",
        "**      THIS IS A WARNING MESSAGE ONLY      **",
        "Will keep trying until message is 5 days old\r\n",
        "Action: delayed\r\nStatus: 4.2.1\r\n",
    ] {
        assert!(text.contains(part), "{part}");
    }
}

#[test]
fn an_expired_message_fails_with_4_4_7_and_other_failures_with_class_5() {
    let of = |status| {
        let trouble = Trouble { status, ..smtp(b"450 no") };
        written(&report(ReportKind::Failure, Fate::Failed, trouble), b"")
    };
    assert!(of(Status(4, 4, 7)).contains("\r\nStatus: 4.4.7\r\n"));
    assert!(of(Status(4, 2, 1)).contains("\r\nStatus: 5.2.1\r\n"));
}

#[test]
fn the_body_comes_back_only_when_it_may() {
    let mut report = report(ReportKind::Failure, Fate::Failed, smtp(b"550 no"));
    let original = b"Subject: x\r\n\r\nsecret\r\n";
    assert!(!written(&report, original).contains("secret"));
    report.returned = Return::Full;
    let text = written(&report, original);
    assert!(text.contains(
        "message/rfc822\r\n\r\nReturn-Path: <alice@example.org>\r\nSubject: x\r\n\r\nsecret\r\n"
    ));
}

#[test]
fn a_plain_report_has_the_owners_words_and_no_parts() {
    let mut report = report(ReportKind::Failure, Fate::Failed, smtp(b"550 no"));
    report.looks.are_multipart = false;
    report.looks.foreword = b"Call us.\nOr write."[..].into();
    let text = written(&report, b"Subject: x\r\n\r\nsecret\r\n");
    assert!(text.contains("from client.example [192.0.2.1]\r\n\r\nCall us.\r\nOr write.\r\n\r\n"));
    let end = "   ----- Message header follows -----\r\n\r\nReturn-Path: <alice@example.org>\r\nSubject: x\r\n\r\n";
    assert!(text.ends_with(end), "{text}");
    assert!(!text.contains("MIME") && !text.contains("boundary"));
}

#[test]
fn the_size_of_a_report_is_that_of_what_comes_back_and_a_little() {
    let mut report = report(ReportKind::Failure, Fate::Failed, smtp(b"550 no"));
    assert_eq!(report.envelope(QueueId::from_u64(1), 0).size_bytes, 0);
    report.returned = Return::Full;
    assert_eq!(report.envelope(QueueId::from_u64(1), 0).size_bytes, 1124);
}

#[test]
fn a_returned_message_cannot_end_its_part() {
    let mut report = report(ReportKind::Failure, Fate::Failed, smtp(b"550 no"));
    report.returned = Return::Full;
    let boundary = "--05P87A00004660.1795245000/mail.example.test";
    let original = format!("Subject: x\r\n\r\n{boundary}--\r\nfree\r\n");
    let text = written(&report, original.as_bytes());
    assert_eq!(text.matches(&format!("\r\n{boundary}")).count(), 4);
    assert!(text.contains("free"));
}

#[test]
fn what_was_said_for_the_whole_message_stands_once() {
    let trouble = Trouble { status: Status(5, 0, 0), ..smtp(b"Service unavailable") };
    let trouble = said(trouble, b"DATA", b"554 no");
    let mut report = report(ReportKind::Failure, Fate::Failed, trouble);
    report.origin = Origin { user: b"anna"[..].into(), ..Origin::default() };
    report.to = b"alice@example.org"[..].into();
    report.lines.push(report.lines[0].clone());
    let text = written(&report, b"");
    let transcript = "... while talking to mx1.remote.test.:\r\n>>> DATA\r\n<<< 554 no\r\n554 5.0.0 Service unavailable\r\n\r\n";
    assert!(text.contains(transcript), "{text}");
    assert_eq!(text.matches("Action: failed").count(), 2);
    assert!(text.contains("\r\nTo: alice@example.org\r\n"), "a local user wrote no brackets");
}

/// The transcript, and the part for programs, without the fields that every report has.
fn shown(report: &crate::report::Report) -> (String, String) {
    let text = written(report, b"");
    let between = |from: &str, to: &str| {
        let rest = text.split(from).nth(1).unwrap_or_default();
        rest.split(to).next().unwrap_or_default().into()
    };
    let transcript = between("follows -----\r\n", "\r\n\r\n--");
    (transcript, between("Arrival-Date: Sat, 21 Nov 2026 04:00:00 +0100\r\n", "\r\n--"))
}

#[test]
fn what_we_say_ourselves_of_a_message_is_no_reason_of_a_recipient() {
    let ours = Trouble {
        host: b"remote.test."[..].into(),
        ..Trouble::ours(Status(5, 3, 4), b"Service unavailable")
    };
    let trouble = said(ours, b"", b"\n552 5.3.4 Message is too large; 9 bytes max");
    let (transcript, fields) = shown(&report(ReportKind::Failure, Fate::Failed, trouble));
    let wanted = "552 5.3.4 Message is too large; 9 bytes max\r\n554 5.0.0 Service unavailable";
    assert_eq!(transcript, wanted);
    assert!(fields.contains("Status: 5.3.4\r\n"), "{fields}");
    assert!(!fields.contains("Diagnostic-Code") && !fields.contains("Remote-MTA"), "{fields}");
}

#[test]
fn the_server_of_a_local_mailer_is_no_remote_mta() {
    let trouble = Trouble {
        host: b"[192.0.2.8] [192.0.2.8]"[..].into(),
        ..Trouble::ours(Status(5, 7, 1), b"x")
    };
    let trouble = said(trouble, b".", b"550 5.7.1 no");
    let mut report = report(ReportKind::Failure, Fate::Failed, trouble);
    assert!(shown(&report).1.contains("Remote-MTA: DNS; [192.0.2.8]\r\n"));
    report.lines.iter_mut().for_each(|line| line.is_by_lmtp = true);
    assert!(!shown(&report).1.contains("Remote-MTA"));
}

#[test]
fn a_wrong_configuration_is_5_5_0_and_the_host_is_named() {
    let ours = Trouble {
        host: b"a.test."[..].into(),
        ..Trouble::ours(Status(5, 3, 5), b"Local configuration error")
    };
    let trouble = said(ours, b"", b"\n554 5.0.0 MX list for a.test. points back to us.test");
    let (transcript, fields) = shown(&report(ReportKind::Failure, Fate::Failed, trouble));
    let wanted = "554 5.0.0 MX list for a.test. points back to us.test\r\n554 5.3.5 Local configuration error";
    assert_eq!(transcript, wanted);
    assert!(fields.contains("Status: 5.5.0\r\nRemote-MTA: DNS; a.test\r\nLast-"), "{fields}");
}

#[test]
fn a_refusal_of_rule_sets_stands_once_and_names_what_the_mailer_got() {
    let ours = Trouble::ours(Status(5, 7, 1), b"bob@h.test... h.test is closed");
    let trouble = said(ours, b"", b"\n550 5.7.1 bob@h.test... h.test is closed");
    let mut report = report(ReportKind::Failure, Fate::Failed, trouble);
    report.lines[0].actual = Some(b"550 h.test is closed"[..].into());
    let (transcript, fields) = shown(&report);
    assert_eq!(transcript, "550 5.7.1 bob@h.test... h.test is closed");
    assert!(
        fields.contains("X-Actual-Recipient: rfc822; 550 h.test is closed@mail.example.test\r\n")
            && fields.contains("Status: 5.7.1\r\nLast-"),
        "{fields}"
    );
}

#[test]
fn a_program_is_known_by_the_number_that_it_ended_with() {
    let of = |exit: &[u8], reply: &[u8], status, text: &[u8]| {
        let trouble = said(Trouble::ours(status, text), exit, reply);
        shown(&report(ReportKind::Failure, Fate::Failed, trouble))
    };
    let reply = b"554 5.0.0 Service unavailable\nno service";
    let (transcript, fields) = of(b"exit 69", reply, Status(5, 0, 0), b"Service unavailable");
    assert_eq!(transcript, "no service\r\n554 5.0.0 Service unavailable");
    assert!(fields.contains("Status: 5.5.0\r\nDiagnostic-Code: X-Unix; 69\r\n"), "{fields}");
    let reply = b"554 5.3.0 unknown mailer error 137";
    let (transcript, fields) = of(b"exit 137", reply, Status(5, 3, 0), b"unknown mailer error 137");
    assert_eq!(transcript, "554 5.3.0 unknown mailer error 137");
    assert!(fields.contains("Status: 5.0.0\r\nDiagnostic-Code: X-Unix; 137\r\n"), "{fields}");
}

#[test]
fn one_of_several_is_in_the_transcript_only() {
    let sent = || Trouble::ours(Status(2, 0, 0), b"");
    let mut report = report(ReportKind::Success, Fate::Expanded, sent());
    let printed = said(sent(), b"", b"\na warning");
    report.lines.push(line(b"\\bob", Fate::Delivered, printed));
    report.lines.iter_mut().for_each(|line| line.is_aside = true);
    report.lines.push(line(b"carol", Fate::Delivered, sent()));
    let (transcript, fields) = shown(&report);
    let wanted = "<bob@remote.test>... expanded to multiple addresses\r\na warning\r\n\
        \\bob... Successfully delivered\r\ncarol... Successfully delivered";
    assert_eq!(transcript, wanted);
    assert_eq!(fields.matches("Action: ").count(), 1);
    assert!(fields.contains("Status: 2.1.5\r\nLast-"), "{fields}");
}

#[test]
fn the_owner_of_a_list_is_told_which_it_was() {
    let mut report = report(ReportKind::Failure, Fate::Failed, smtp(b"550 no"));
    report.lists = alloc::vec![b"announce"[..].into()];
    assert!(
        shown(&report).0.starts_with("Message delivered to mailing list announce\r\n... while")
    );
}

proptest! {
    #[test]
    fn whatever_strangers_say_a_report_keeps_its_shape(
        said: Vec<u8>, address: Vec<u8>, envelope_id: Vec<u8>, orcpt: Vec<u8>, original: Vec<u8>,
    ) {
        let mut report = report(ReportKind::Failure, Fate::Failed, smtp(&said));
        report.envelope_id = Some(envelope_id.into());
        report.lines[0].address = address.into();
        report.lines[0].original = Some(orcpt.into());
        let mut out = Vec::new();
        report.write(QueueId::from_u64(1), 0, &original, &mut out);
        let lines: Vec<&[u8]> = out.split(|&octet| octet == b'\n').collect();
        prop_assert!(lines.iter().all(|line| line.is_empty() || line.ends_with(b"\r")));
        prop_assert!(!out.iter().any(|&octet| octet == 0 || octet == 0x1b && original.is_empty()));
        let opening = format!("--{}.", QueueId::from_u64(1));
        let boundaries = lines.iter().filter(|line| line.starts_with(opening.as_bytes())).count();
        prop_assert_eq!(boundaries, 4);
        prop_assert_eq!(lines.iter().filter(|line| line.starts_with(b"Action: ")).count(), 1);
    }
}
