//! The message of a local user: its envelope, its Received field, its line in the log.

use crate::request::{Answer, Submission};
use policy::Settings;
use queue::{BodyKind, Envelope, Origin, Purpose, Recipient};
use std::io::Write;
use wire::QueueId;

/// Octets of an address on the command line.
const ADDRESS_BYTES_MAX: usize = 1024;

/// What is wrong with a submission, before any octet of its body is taken.
pub(crate) fn fault(submission: &Submission) -> Option<Answer> {
    if submission.recipients.is_empty() {
        return Some(Answer::Refused("no recipient addresses found".into()));
    }
    let is_wrong = |address: &[u8]| {
        address.len() > ADDRESS_BYTES_MAX || address.iter().any(u8::is_ascii_control)
    };
    let wrong = submission.recipients.iter().chain([&submission.sender]).find(|a| is_wrong(a))?;
    let shown = wire::escape::text(wrong.get(..80).unwrap_or(wrong));
    Some(Answer::Refused(format!("553 5.1.3 {shown}... not an address").into()))
}

/// The Received field of a submission (RFC 5321, 4.4), in sendmail's form.
pub(crate) fn received(
    settings: &Settings,
    uid: u32,
    submission: &Submission,
    id: QueueId,
) -> Vec<u8> {
    let mut field = b"Received: (from ".to_vec();
    let login = &submission.login;
    if login.is_empty() || login.len() > 64 {
        field.extend_from_slice(uid.to_string().as_bytes());
    } else {
        wire::escape::printable(login, &mut field);
    }
    field.extend_from_slice(b"@localhost)\r\n\tby ");
    field.extend_from_slice(&settings.host_name);
    // Writing into memory does not fail.
    drop(write!(field, " (Ironpost) id {id};\r\n\t{}\r\n", crate::date::now()));
    field
}

/// The envelope: the queue asks the policy where each recipient goes once it is durable.
pub(crate) fn envelope(
    id: QueueId,
    uid: u32,
    submission: &Submission,
    size_bytes: u64,
) -> Envelope {
    let count = submission.recipients.len();
    let recipient =
        |address: &[u8]| Recipient { notify: submission.notify, ..Recipient::unrouted(address) };
    Envelope {
        id,
        created_s: sys::clock::realtime_s(),
        purpose: Purpose::Mail,
        sender: submission.sender.clone(),
        recipients: submission.recipients.iter().map(|address| recipient(address)).collect(),
        size_bytes,
        body: BodyKind::Unlabelled,
        is_utf8: !submission.recipients.iter().chain([&submission.sender]).all(|a| a.is_ascii()),
        ret: None,
        envelope_id: None,
        by: None,
        origin: Origin { user: submission.login.clone(), uid: Some(uid), ..Origin::default() },
        quarantine: None,
        mailers_mark: 0,
        priority: queue::usual_priority(size_bytes, count),
        returns: queue::Returns::default(),
    }
}

/// sendmail's `from=` line of a submission.
pub(crate) fn from_line(envelope: &Envelope) -> Vec<u8> {
    let mut line = b"from=".to_vec();
    line.extend_from_slice(&envelope.sender);
    let rest = format!(
        ", size={}, class=0, nrcpts={}, relay=",
        envelope.size_bytes,
        envelope.recipients.len()
    );
    line.extend_from_slice(rest.as_bytes());
    line.extend_from_slice(&envelope.origin.user);
    line.extend_from_slice(b"@localhost");
    line
}
