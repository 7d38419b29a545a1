//! The message of a local user: its envelope, its Received field, its line in the log.

use crate::request::{Addressee, Answer, Submission};
use policy::Settings;
use queue::{Envelope, Origin, Purpose, Recipient};
use std::io::Write;
use wire::QueueId;

/// Octets of an address on the command line.
const ADDRESS_BYTES_MAX: usize = 1024;

/// Octets of ENVID and of ORCPT (RFC 3461, 4.4 and 4.2).
const ENVELOPE_ID_BYTES_MAX: usize = 100;
const ORIGINAL_BYTES_MAX: usize = 500;

/// What a user may say of his message for its header.
const MACROS: [&[u8]; 3] = [b"x", b"r", b"s"];

/// What is wrong with a submission, before any octet of its body is taken.
pub(crate) fn fault(submission: &Submission) -> Option<Answer> {
    if submission.recipients.is_empty() {
        return Some(Answer::Refused("no recipient addresses found".into()));
    }
    let is_wrong = |address: &[u8]| {
        address.len() > ADDRESS_BYTES_MAX || address.iter().any(u8::is_ascii_control)
    };
    if let Some(wrong) = addresses(submission).find(|address| is_wrong(address)) {
        let shown = wire::escape::text(wrong.get(..80).unwrap_or(wrong));
        return Some(Answer::Refused(format!("553 5.1.3 {shown}... not an address").into()));
    }
    let originals = submission.recipients.iter().map(|one| (&one.original, ORIGINAL_BYTES_MAX));
    let ours = [(&submission.envelope_id, ENVELOPE_ID_BYTES_MAX)];
    let is_odd = |text: &[u8], max| text.len() > max || !text.iter().all(u8::is_ascii_graphic);
    let mut named = originals.chain(ours).filter_map(|(text, max)| Some((text.as_ref()?, max)));
    named
        .any(|(text, max)| is_odd(text, max))
        .then(|| Answer::Refused("501 5.5.4 ENVID or ORCPT makes no sense".into()))
}

/// The sender's and all recipients' addresses.
fn addresses(submission: &Submission) -> impl Iterator<Item = &[u8]> {
    let recipients = submission.recipients.iter().map(|one| &*one.address);
    recipients.chain([&*submission.sender])
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
    let recipient = |one: &Addressee| Recipient {
        notify: one.notify,
        original: one.original.clone(),
        ..Recipient::unrouted(&one.address)
    };
    let is_said = |(name, value): &&(Box<[u8]>, Box<[u8]>)| {
        MACROS.contains(&&**name)
            && value.len() <= queue::FACT_BYTES_MAX
            && !value.iter().any(u8::is_ascii_control)
    };
    let macros = submission.macros.iter().filter(is_said).take(MACROS.len()).cloned().collect();
    Envelope {
        id,
        created_s: sys::clock::realtime_s(),
        purpose: Purpose::Mail,
        sender: submission.sender.clone(),
        recipients: submission.recipients.iter().map(recipient).collect(),
        size_bytes,
        body: submission.body,
        is_utf8: !addresses(submission).all(<[u8]>::is_ascii),
        ret: submission.ret,
        envelope_id: submission.envelope_id.clone(),
        by: None,
        origin: Origin {
            user: submission.login.clone(),
            uid: Some(uid),
            macros,
            ..Origin::default()
        },
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

#[cfg(test)]
mod tests {
    use super::*;
    use queue::{BodyKind, Notify};

    fn submission() -> Submission {
        let address = b"a@b.test"[..].into();
        Submission {
            login: b"alice"[..].into(),
            sender: b"alice"[..].into(),
            recipients: vec![Addressee { address, notify: Notify::UNSET, original: None }],
            ret: None,
            envelope_id: None,
            body: BodyKind::Unlabelled,
            macros: policy::Macros::new(),
        }
    }

    #[test]
    fn what_a_user_says_of_his_message_is_bounded_and_plain() {
        assert!(fault(&submission()).is_none());
        let mut nobody = submission();
        nobody.recipients.clear();
        let mut forged = submission();
        forged.sender = b"a\nb"[..].into();
        let mut injected = submission();
        injected.envelope_id = Some(b"x\r\nRCPT"[..].into());
        let mut long = submission();
        long.recipients[0].original = Some(vec![b'x'; ORIGINAL_BYTES_MAX + 1].into());
        for wrong in [nobody, forged, injected, long] {
            assert!(matches!(fault(&wrong), Some(Answer::Refused(_))), "{wrong:?}");
        }
    }

    #[test]
    fn of_macros_those_of_the_sender_are_taken() {
        let mut one = submission();
        let macros: [(&[u8], &[u8]); 3] =
            [(b"x", b"Alice"), (b"_", b"root@localhost"), (b"s", b"a\nb")];
        one.macros = macros.map(|(name, value)| (name.into(), value.into())).into();
        let kept = envelope(QueueId::from_u64(1), 7, &one, 5).origin;
        assert_eq!(kept.macros, [(b"x"[..].into(), b"Alice"[..].into())]);
        assert_eq!(kept.uid, Some(7));
    }
}
