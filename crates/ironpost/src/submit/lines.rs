//! What the log says of a submission: `from=`, and `to=` of those that are not tried now.

use super::recipients::{Failed, Outgoing};
use crate::configured::Run;
use maps::syslog::{INFO, NOTICE, send};
use policy::Controller;
use policy_cf::machine::enhanced_length;

/// The most octets of an address in a line.
const SHOWN_BYTES_MAX: usize = 203;

/// What the `from=` line is made of.
#[derive(Debug)]
pub(super) struct From<'a> {
    pub(super) sender: &'a [u8],
    pub(super) size_bytes: u64,
    pub(super) class: i64,
    pub(super) recipients: usize,
    pub(super) message_id: Option<&'a [u8]>,
    /// What kind of octets it has, as it was given.
    pub(super) body: Option<&'a [u8]>,
    pub(super) protocol: Option<&'a [u8]>,
}

impl From<'_> {
    /// Writes the line.
    pub(super) fn log(&self, run: &Run<'_>) {
        if run.log_level() <= 4 {
            return;
        }
        let shorten = |text: &[u8]| policy_cf::machine::shorten(text, SHOWN_BYTES_MAX);
        let mut line = [&run.id, b": from=".as_slice(), &shorten(self.sender)].concat();
        let Self { size_bytes, class, recipients, .. } = self;
        let numbers = format!(", size={size_bytes}, class={class}, nrcpts={recipients}");
        line.extend_from_slice(numbers.as_bytes());
        if let Some(id) = self.message_id {
            line.extend_from_slice(&[b", msgid=".as_slice(), &shorten(id)].concat());
        }
        if let Some(body) = self.body {
            line.extend_from_slice(&[b", bodytype=", body].concat());
        }
        if let Some(protocol) = self.protocol.filter(|protocol| !protocol.is_empty()) {
            line.extend_from_slice(&[b", proto=", protocol].concat());
        }
        line.extend_from_slice(&[b", relay=", &*sys::user::current_name(), b"@localhost"].concat());
        send(INFO, &line);
    }
}

/// The line of a rule set that has something against the header.
pub(super) fn log_judged(run: &Run<'_>, set: &[u8], subject: &[u8], result: &[u8]) {
    if run.log_level() == 0 {
        return;
    }
    let subject = policy_cf::machine::shorten(subject, SHOWN_BYTES_MAX);
    let user = sys::user::current_name();
    let parts: [&[u8]; 8] =
        [&run.id, b": ruleset=", set, b", arg1=", &subject, b", relay=", &user, b"@localhost, "];
    send(NOTICE, &[&parts.concat(), result].concat());
}

/// The line of a user that is not there.
pub(super) fn log_unknown(run: &Run<'_>, failed: &Failed) {
    let Some(mailer) = failed.unknown_at.as_deref().filter(|_| run.log_level() > 7) else { return };
    let mut line = [&run.id, b": to=".as_slice(), &failed.address].concat();
    if let Some(way) = &failed.way {
        line.extend_from_slice(&[b", ctladdr=", &*way.from].concat());
    }
    if let Some((uid, gid)) = failed.led_ids {
        line.extend_from_slice(format!(" ({uid}/{gid})").as_bytes());
    }
    let (status, text) = split(&failed.reply);
    let parts: [&[u8]; 8] = [
        b", delay=00:00:00, mailer=",
        mailer,
        b", pri=0, dsn=",
        status,
        b", reply=",
        &failed.reply,
        b", stat=",
        text,
    ];
    line.extend_from_slice(&parts.concat());
    send(INFO, &line);
}

/// The line of a recipient that waits for a run of the queue.
pub(super) fn log_queued(
    run: &Run<'_>,
    id: wire::QueueId,
    recipient: &Outgoing,
    priority: i64,
    is_unlooked: bool,
) {
    if run.log_level() <= 8 {
        return;
    }
    let mailer = run.machine.config.mailers.get(recipient.mailer);
    let name = mailer.map(|mailer| mailer.name.as_slice()).unwrap_or_default();
    let priority = format!(", pri={priority}");
    let parts: [&[u8]; 8] = [
        &id.to_ascii(),
        b": to=",
        &recipient.address,
        b", delay=00:00:00, mailer=",
        name,
        priority.as_bytes(),
        if is_unlooked { b", dsn=4.4.3" } else { b"" },
        b", stat=queued",
    ];
    send(INFO, &parts.concat());
}

/// The line on recipients whom a server of this host has taken over, under an id of its own: the form in which sendmail's client
/// queue tells of what it gave to the daemon, so that a message is followed from one id to the other.
pub(super) fn log_handed(
    run: &Run<'_>,
    id: wire::QueueId,
    (to, mailer, priority): (&[&[u8]], usize, i64),
    from: Option<&Controller>,
    taken: wire::QueueId,
) {
    if run.log_level() <= 7 {
        return;
    }
    let mailer = run.machine.config.mailers.get(mailer);
    let name = mailer.map(|mailer| mailer.name.as_slice()).unwrap_or_default();
    send(INFO, &handed(id, (to, name, priority), from, taken));
}

fn handed(
    id: wire::QueueId,
    (to, mailer, priority): (&[&[u8]], &[u8], i64),
    from: Option<&Controller>,
    taken: wire::QueueId,
) -> Vec<u8> {
    let mut line = [&id.to_ascii(), b": to=".as_slice(), &to.join(&b','), b", "].concat();
    if let Some(from) = from {
        let ids = format!(" ({}/{}), ", from.uid, from.gid);
        line.extend_from_slice(&[b"ctladdr=", &*from.address, ids.as_bytes()].concat());
    }
    let priority = format!(", pri={priority}, ");
    let parts: [&[u8]; 6] = [
        b"delay=00:00:00, xdelay=00:00:00, mailer=",
        mailer,
        priority.as_bytes(),
        b"relay=[127.0.0.1] [127.0.0.1], dsn=2.0.0, stat=Sent (",
        &taken.to_ascii(),
        b" Message accepted for delivery)",
    ];
    line.extend_from_slice(&parts.concat());
    line
}

/// The line of a recipient that is refused for now, and waits.
pub(super) fn log_waiting(run: &Run<'_>, failed: &Failed, mailer: &[u8], priority: i64) {
    if run.log_level() <= 8 {
        return;
    }
    let priority = format!(", pri={priority}, dsn=");
    let parts: [&[u8]; 8] = [
        &run.id,
        b": to=",
        &failed.address,
        b", delay=00:00:00, mailer=",
        mailer,
        priority.as_bytes(),
        split(&failed.reply).0,
        b", stat=queued",
    ];
    send(INFO, &parts.concat());
}

/// The line of a recipient that is not tried because of the message.
pub(super) fn log_untried(run: &Run<'_>, recipient: &Outgoing, priority: i64, text: &[u8]) {
    if run.log_level() <= 7 {
        return;
    }
    let priority = format!(", delay=00:00:00, pri={priority}, stat=");
    send(
        INFO,
        &[&run.id, b": to=".as_slice(), &recipient.address, priority.as_bytes(), text].concat(),
    );
}

/// The enhanced status code of a reply, and its text.
pub(super) fn split(reply: &[u8]) -> (&[u8], &[u8]) {
    let rest = reply.get(4..).unwrap_or_default();
    let length = enhanced_length(rest).unwrap_or(0);
    let (status, text) = rest.split_at_checked(length).unwrap_or((b"", rest));
    let status = match (status, reply.first()) {
        (b"", Some(b'4')) => b"4.0.0",
        (b"", _) => b"5.0.0",
        (status, _) => status,
    };
    (status, text.trim_ascii_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_names_the_id_of_the_command_and_that_of_the_server() {
        let (own, taken) = (wire::QueueId::from_u64(7), wire::QueueId::from_u64(1 << 40));
        let from =
            Controller { address: b"alice"[..].into(), login: b"alice"[..].into(), uid: 7, gid: 8 };
        let to: [&[u8]; 2] = [b"bob", b"c@d.test"];
        let line = handed(own, (&to, b"relay", 60_009), Some(&from), taken);
        assert_eq!(
            String::from_utf8_lossy(&line),
            format!(
                "{own}: to=bob,c@d.test, ctladdr=alice (7/8), delay=00:00:00, xdelay=00:00:00, \
                 mailer=relay, pri=60009, relay=[127.0.0.1] [127.0.0.1], dsn=2.0.0, \
                 stat=Sent ({taken} Message accepted for delivery)"
            )
        );
    }
}
