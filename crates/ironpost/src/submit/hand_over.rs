//! Hands a submission over: to the server of this spool if one runs, else to one of our own that lasts as long as its mail takes.

use super::recipients::{Failed, Outgoing};
use super::{Submission, lines};
use crate::configured::Run;
use crate::place::Place;
use crate::sendmail::{Taken, take};
use crate::submit::Sender;
use daemon::client::Client;
use daemon::edges::{Attempt, Errand};
use daemon::job::{Job, JobError, Outcomes, Seen};
use daemon::request;
use maps::syslog::{NOTICE, send};
use policy::settings::DeliveryMode;
use policy_cf::machine::exit;
use policy_cf::read::equates;
use queue::{
    Controller, Envelope, Followed, Notify, Origin, Purpose, Recipient, Returns, Said, Share,
    Status, Trouble,
};
use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use wire::path::bare;

/// Where a server of root's has its control socket.
const RUN: &[u8] = b"/run/ironpost";

/// What is written to the log of a failed delivery, and the exit status that goes with it (sysexits.h).
const STATUSES: [(&[u8], u8); 13] = [
    (b"User unknown", exit::NOUSER),
    (b"Host unknown", exit::NOHOST),
    (b"Data format error", 65),
    (b"Cannot open input", 66),
    (b"internal software error", exit::SOFTWARE),
    (b"Local configuration error", exit::SOFTWARE),
    (b"system resource failure", exit::OSERR),
    (b"critical system file missing", 72),
    (b"can't create (user) output file", 73),
    (b"Can't create output", 73),
    (b"I/O error", 74),
    (b"Remote protocol error", exit::PROTOCOL),
    (b"Insufficient permission", 77),
];

/// Envelopes that a submission is split into at most, beside the first.
const SPLITS_MAX: u64 = 255;

/// What is to be handed over in one sender's name.
struct Part<'s> {
    id: wire::QueueId,
    sender: &'s [u8],
    controller: Option<Controller>,
    outgoing: Vec<&'s Outgoing>,
    failed: Vec<&'s Failed>,
    /// Whether the queue split it off: its header was made before.
    is_split: bool,
}

/// How it is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Manner {
    pub(super) mode: DeliveryMode,
    /// Those who were refused at once are reported to the sender.
    pub(super) reports_refused: bool,
    /// Those who fail now are.
    pub(super) reports_failed: bool,
}

/// Hands over those who can be sent to; those of a list with an owner in the owner's name. Gives whether somebody failed
/// meanwhile.
pub(super) fn hand_over(submission: &Submission<'_>, run: &mut Run<'_>, manner: Manner) -> bool {
    let outgoing = &submission.recipients.outgoing;
    let owners = owners(outgoing);
    let mut parts = Vec::new();
    let failed: Vec<&Failed> = submission
        .recipients
        .failed
        .iter()
        .filter(|failed| manner.reports_refused || failed.waits.is_some())
        .collect();
    let own: Vec<&Outgoing> = outgoing.iter().filter(|one| one.owner.is_none()).collect();
    if !own.is_empty() || !failed.is_empty() {
        let controller = controller(&submission.sender);
        let (id, sender) = (submission.id, submission.sender.address.as_slice());
        parts.push(Part { id, sender, controller, outgoing: own, failed, is_split: false });
    }
    let mut last = submission.id;
    for owner in &owners {
        last = wire::QueueId::from_u64(last.as_u64().saturating_add(1));
        let shown = [b"clone: owner=", owner.as_slice()].concat();
        if run.log_level() > 4 {
            run.note(&[last.to_ascii().as_slice(), b": ", &*shown].concat());
        }
        let controller = controller(&Sender::of_owner(run, owner));
        let outgoing = outgoing.iter().filter(|one| one.owner.as_ref() == Some(owner)).collect();
        parts.push(Part {
            id: last,
            sender: owner,
            controller,
            outgoing,
            failed: Vec::new(),
            is_split: false,
        });
    }
    if parts.is_empty() {
        return false;
    }
    let parts = split(submission, run, parts);
    log_queued(submission, run, &parts, manner.mode);
    deliver(submission, run, &parts, manner)
}

/// The id of a submission; where its recipients may be split, those below it are free for the parts.
pub(super) fn fresh_id(run: &Run<'_>) -> wire::QueueId {
    let id = daemon::job::fresh_id();
    match recipients_max(run) {
        Some(_) => wire::QueueId::from_u64(id.as_u64().saturating_add(SPLITS_MAX)),
        None => id,
    }
}

/// How many recipients an envelope may have in the queue (`r=` of the queue group `mqueue`).
fn recipients_max(run: &Run<'_>) -> Option<usize> {
    let mut lines = run.machine.config.queue_groups.iter().map(|line| equates::split(line));
    let (_, equates) = lines.rfind(|(name, _)| name.eq_ignore_ascii_case(b"mqueue"))?;
    let (_, value) = equates.filter(|(field, _)| *field == b'r').last()?;
    str::from_utf8(&value?).ok()?.trim().parse().ok().filter(|&most| most > 0)
}

/// Makes envelopes of no more recipients than the queue wants; the first keeps its id.
fn split<'s>(submission: &Submission<'_>, run: &Run<'_>, parts: Vec<Part<'s>>) -> Vec<Part<'s>> {
    let Some(most) = recipients_max(run) else { return parts };
    let first = submission.id.as_u64().saturating_sub(SPLITS_MAX);
    let mut free = (first..submission.id.as_u64()).map(wire::QueueId::from_u64);
    let mut split = Vec::new();
    for mut part in parts {
        let count = part.outgoing.len();
        let mut rest = part.outgoing.split_off(most.min(count));
        let (id, sender, controller) = (part.id, part.sender, part.controller.clone());
        split.push(part);
        let mut ids = Vec::new();
        while let Some(id) = free.next().filter(|_| !rest.is_empty()) {
            let tail = rest.split_off(most.min(rest.len()));
            let outgoing = std::mem::replace(&mut rest, tail);
            ids.push(id.to_string());
            let (controller, failed) = (controller.clone(), Vec::new());
            split.push(Part { id, sender, controller, outgoing, failed, is_split: true });
        }
        if let Some(last) = split.last_mut() {
            // More parts than there are ids for: the last one is larger.
            last.outgoing.append(&mut rest);
        }
        if !ids.is_empty() && run.log_level() > 8 {
            let (more, ids) = (ids.len(), ids.join("; "));
            let text =
                format!("{id}: split: maxrcpts={most}, rcpts={count}, count={more}, ids={ids}");
            send(NOTICE, text.as_bytes());
        }
    }
    split
}

/// Tells of those that are not tried now.
fn log_queued(
    submission: &Submission<'_>,
    run: &mut Run<'_>,
    parts: &[Part<'_>],
    mode: DeliveryMode,
) {
    let priority = submission.priority(run);
    let is_shown = run.is_verbose();
    let mut waiting: Vec<&[u8]> = Vec::new();
    for part in parts {
        for failed in &part.failed {
            if let Some(mailer) = &failed.waits {
                lines::log_waiting(run, failed, mailer, priority);
                waiting.push(&failed.address);
            }
        }
        for one in &part.outgoing {
            let flags = run.machine.config.mailers.get(one.mailer).map(|mailer| mailer.flags);
            let flags = flags.unwrap_or_default();
            let waits_for_run = waits_for_run(run, one.mailer);
            if mode.only_queues() || waits_for_run {
                let is_unlooked = mode == DeliveryMode::Defer && !flags.has(b'l');
                lines::log_queued(run, part.id, one, priority, is_unlooked);
            }
            if waits_for_run && !mode.only_queues() {
                waiting.push(&one.address);
            }
        }
    }
    for address in waiting.into_iter().filter(|_| is_shown) {
        run.machine.say(&[address, b"... queued"]);
    }
}

/// Whether a mailer works in runs of the queue only; one that is only expensive works at once where somebody watches.
fn waits_for_run(run: &Run<'_>, mailer: usize) -> bool {
    let options = &run.machine.config.options;
    let is_watched = run.is_verbose();
    let holds = options.truth("HoldExpensive") && !is_watched;
    run.machine.config.mailers.get(mailer).is_some_and(|mailer| mailer.waits_for_run(holds))
}

fn owners(outgoing: &[Outgoing]) -> Vec<Vec<u8>> {
    let mut owners: Vec<Vec<u8>> = Vec::new();
    for owner in outgoing.iter().filter_map(|one| one.owner.as_ref()) {
        if !owners.contains(owner) {
            owners.push(owner.clone());
        }
    }
    owners
}

/// The user of an address, as the log names him.
fn controller(sender: &Sender) -> Option<Controller> {
    let (uid, gid) = sender.ids?;
    let login = sender.user.clone().unwrap_or_default().into();
    Some(Controller { address: sender.shown().into(), login, uid, gid })
}

/// Hands all parts over, and waits if the mode says so. Gives whether somebody failed meanwhile.
fn deliver(
    submission: &Submission<'_>,
    run: &mut Run<'_>,
    parts: &[Part<'_>],
    manner: Manner,
) -> bool {
    let place = place(run);
    if Client::connect(&place.run).is_ok() {
        for part in parts {
            give(submission, run, part, &place);
        }
        return false;
    }
    let is_told_here = manner.mode == DeliveryMode::Interactive && !manner.reports_failed;
    let errand = if is_told_here { Errand::DeliverUnreported } else { Errand::of(manner.mode) };
    let file = run.asked.file.clone();
    let config = Path::new(OsStr::from_bytes(&file));
    let mut job = match Job::start(config, &submission.flags.arguments, errand) {
        Ok(job) => job,
        Err(error) => {
            // Somebody has the spool and keeps it: he finds it in the drop folder.
            let text = format!("no server for this message: {error}; it waits for one");
            run.note(text.as_bytes());
            for part in parts {
                give(submission, run, part, &place);
            }
            return false;
        }
    };
    for part in parts {
        let envelope = part.envelope(submission, run);
        if let Err(error) = job.commit(&envelope, &text(submission, run)) {
            not_taken(run, &error);
            return false;
        }
    }
    if manner.mode != DeliveryMode::Interactive {
        job.detach();
        return false;
    }
    let is_watched = run.is_verbose();
    let outcomes = if is_watched {
        // What was said so far comes first.
        run.tell();
        job.finish_watched(&mut |seen| {
            let Seen::Text(text) = seen else { return };
            let mut output = std::io::stdout().lock();
            // Who closed it watches no more.
            drop(output.write_all(text).and_then(|()| output.flush()));
        })
    } else {
        job.finish()
    };
    let outcomes = outcomes.unwrap_or_default();
    if let Some(status) = outcomes.exit {
        run.machine.set_status(status);
    }
    outcomes.attempts.iter().filter(|attempt| count(run, parts, attempt)).count() > 0
}

fn not_taken(run: &mut Run<'_>, error: &JobError) {
    run.machine.system_error(format!("the message was not taken: {error}").as_bytes(), None);
    run.machine.status = exit::TEMPFAIL;
}

/// Takes the outcome of a try into the exit status; whether it is a failure of one of ours.
fn count(run: &mut Run<'_>, parts: &[Part<'_>], attempt: &Attempt) -> bool {
    let status = status(attempt).filter(|_| parts.iter().any(|part| part.id == attempt.id));
    if let Some(status) = status {
        run.machine.set_status(status);
    }
    status.is_some()
}

/// The exit status of a failure; `None`: it is none.
fn status(attempt: &Attempt) -> Option<u8> {
    let known = || STATUSES.iter().find(|(text, _)| attempt.text.starts_with(text));
    (attempt.status.0 == 5).then(|| known().map_or(exit::UNAVAILABLE, |(_, status)| *status))
}

/// The exit status of a run: that of the first failure.
pub(crate) fn status_of(outcomes: &Outcomes) -> u8 {
    outcomes.exit.or_else(|| outcomes.attempts.iter().find_map(status)).unwrap_or(exit::OK)
}

/// The text as it is handed over.
fn text(submission: &Submission<'_>, run: &Run<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    for warning in &run.warnings {
        text.extend_from_slice(&[b"X-Authentication-Warning: ", &**warning, b"\r\n"].concat());
    }
    text.extend_from_slice(&submission.head.text);
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(&submission.message.body);
    text
}

/// What of the message comes back with a report: of what is too large there is the header only.
fn ret(submission: &Submission<'_>) -> Option<queue::Return> {
    if submission.message.is_too_large {
        Some(queue::Return::Headers)
    } else {
        submission.flags.ret
    }
}

/// Gives a part to the server that runs, or leaves it for the next one.
fn give(submission: &Submission<'_>, run: &mut Run<'_>, part: &Part<'_>, place: &Place) {
    if submission.message.is_too_large {
        // Its body was not kept, and a server would take the rest of it for a message.
        run.machine.user_error(b"552 5.2.3 Message is too large");
        run.machine.status = exit::UNAVAILABLE;
        return;
    }
    let outgoing = part.outgoing.iter().map(|one| one.address.as_slice());
    // The server comes to the same answer on those who were refused, and reports them.
    let failed = part.failed.iter().map(|one| one.address.as_slice());
    let addressee = |address| request::Addressee {
        address: bare(address).into(),
        notify: submission.notify,
        original: None,
    };
    let envelope = request::Submission {
        login: sys::user::current_name().into(),
        sender: bare(part.sender).into(),
        recipients: outgoing.chain(failed).map(addressee).collect(),
        ret: ret(submission),
        envelope_id: submission.flags.envelope_id.clone().map(Into::into),
        body: submission.body_kind(),
        macros: macros(submission, run.asked.sender.is_some(), part.is_split),
    };
    let trouble = match take(&envelope, &text(submission, run), place) {
        Taken::Yes(Some(taken)) => return log_handed(submission, run, part, taken),
        // It lies where the next server finds it, who logs it then.
        Taken::Yes(None) => return,
        Taken::NotNow(why) | Taken::Never(why) => why,
    };
    run.machine.system_error(trouble.as_bytes(), None);
    run.machine.status = exit::TEMPFAIL;
}

/// Says under which id the server goes on with a message: a line a mailer, as a client's queue has it in sendmail.
fn log_handed(submission: &Submission<'_>, run: &Run<'_>, part: &Part<'_>, taken: wire::QueueId) {
    let priority = submission.priority(run);
    let mut mailers: Vec<usize> = part.outgoing.iter().map(|one| one.mailer).collect();
    mailers.sort_unstable();
    mailers.dedup();
    for mailer in mailers {
        let to: Vec<&[u8]> = part
            .outgoing
            .iter()
            .filter(|one| one.mailer == mailer)
            .map(|one| one.address.as_slice())
            .collect();
        let from = part.controller.as_ref();
        lines::log_handed(run, part.id, (&to, mailer, priority), from, taken);
    }
}

impl Part<'_> {
    fn envelope(&self, submission: &Submission<'_>, run: &Run<'_>) -> Envelope {
        let flags = submission.flags;
        let outgoing = self.outgoing.iter().map(|one| {
            let sender = self.controller.as_ref();
            let share = submission.share(one);
            Recipient { notify: submission.notify, ..queued(one, sender, run, share) }
        });
        let failed = self.failed.iter().map(|one| refused(one, submission.notify));
        let recipients: Vec<Recipient> = failed.chain(outgoing).collect();
        let names = run.machine.config.mailers.iter().map(|mailer| &mailer.name);
        let whole = Envelope {
            id: submission.id,
            created_s: submission.created_s,
            purpose: Purpose::Mail,
            sender: bare(&submission.sender.address).into(),
            is_utf8: !recipients.iter().all(|one| one.address.is_ascii()),
            recipients,
            size_bytes: submission.message.size_bytes,
            body: submission.body_kind(),
            ret: ret(submission),
            envelope_id: flags.envelope_id.clone().map(Into::into),
            by: None,
            origin: Origin {
                user: sys::user::current_name().into(),
                uid: Some(sys::user::real_uid()),
                macros: macros(submission, run.asked.sender.is_some(), self.is_split),
                ..Origin::default()
            },
            quarantine: submission.quarantine.clone(),
            mailers_mark: queue::mailer_names_mark(names),
            priority: submission.priority(run),
            returns: Returns {
                without_text: submission.class < 0,
                also_to: submission
                    .also_to
                    .iter()
                    .map(|one| queued(one, None, run, Share::Sole))
                    .collect(),
            },
        };
        if bare(self.sender) == &*whole.sender {
            return Envelope { id: self.id, ..whole };
        }
        let part = whole.part_of_owner(self.id, bare(self.sender));
        Envelope { recipients: whole.recipients, ..part }
    }
}

/// Somebody who can't get it, as the queue has him.
fn refused(one: &Failed, notify: Notify) -> Recipient {
    let followed = Followed {
        controller: one.controller.clone(),
        logged: None,
        refused: Some(trouble(one)),
        is_as_written: true,
        goes_at_once: false,
        way: one.way.clone(),
        share: Share::Sole,
    };
    let unrouted = Recipient::unrouted(&one.address);
    let mut route = unrouted.route.clone();
    if let Some((user, _)) = &one.error {
        route.user = user.clone().into();
    }
    Recipient { followed: Some(Box::new(followed)), notify, route, ..unrouted }
}

/// Somebody as the queue has him; `sender`: who answers for him in the log, unless it is a program or a file.
fn queued(one: &Outgoing, sender: Option<&Controller>, run: &Run<'_>, share: Share) -> Recipient {
    let name = run.machine.config.mailers.get(one.mailer).map(|one| one.name.as_slice());
    let is_their_own = matches!(name, Some(b"prog" | b"*file*"));
    let logged = if is_their_own { one.logged.as_ref() } else { sender };
    let followed = Followed {
        controller: one.controller.clone(),
        logged: logged.cloned(),
        refused: None,
        is_as_written: true,
        goes_at_once: !waits_for_run(run, one.mailer),
        way: one.way.clone(),
        share,
    };
    Recipient { followed: Some(Box::new(followed)), ..one.queued(Notify::UNSET) }
}

impl Submission<'_> {
    /// Whether others stand behind the name that led to a recipient. Who asks for receipts in a field asks for those of
    /// everybody, and is not told of names.
    fn share(&self, one: &Outgoing) -> Share {
        let Some(way) = &one.way else { return Share::Sole };
        let others = self.recipients.outgoing.iter().map(|one| (&one.way, &one.owner));
        let same = others.filter(|(other, owner)| {
            **owner == one.owner && other.as_ref().is_some_and(|other| other.first == way.first)
        });
        match same.take(2).count() {
            0 | 1 => Share::Sole,
            _ if self.flags.notify == Notify::UNSET => Share::One,
            _ => Share::OneTold,
        }
    }
}

/// What the trace fields of a message show, beside what its envelope says.
fn macros(submission: &Submission<'_>, is_sender_named: bool, is_split: bool) -> policy::Macros {
    let flags = submission.flags;
    let protocol = flags.protocol.as_deref().unwrap_or_default();
    let mut protocol = protocol.splitn(2, |octet| *octet == b':').map(<[u8]>::to_vec);
    let first = is_split.then(|| submission.id.to_ascii().to_vec());
    let named: [(&[u8], Option<Vec<u8>>); 6] = [
        (b"mail_mailer", Some(submission.sender.mailer.clone())),
        (b"i", first),
        (b"u", submission.recipients.only.clone()),
        (b"x", flags.full_name.clone()),
        (b"r", protocol.next()),
        (b"s", protocol.next()),
    ];
    let is_said = |value: &Vec<u8>| !value.is_empty() && value.len() <= queue::FACT_BYTES_MAX;
    let said = |(name, value): (&[u8], Option<Vec<u8>>)| {
        Some((name.into(), value.filter(is_said)?.into()))
    };
    let mut macros: policy::Macros = named.into_iter().filter_map(said).collect();
    if !is_sender_named {
        macros.push((policy::dress::UNNAMED_SENDER.into(), b"1"[..].into()));
    }
    let is_for_one = submission.recipients.only.is_some();
    if !is_for_one || is_split || !submission.also_to.is_empty() {
        // It is not for one only.
        macros.push((b"u"[..].into(), Box::default()));
    }
    macros
}

/// Why somebody was refused, as the queue keeps it.
fn trouble(failed: &Failed) -> Trouble {
    let (status, text) = lines::split(&failed.reply);
    if let Some((_, own)) = &failed.error {
        return told(failed, own, status, text);
    }
    let status = status_from(status);
    let said = Said { command: Box::default(), reply: failed.reply.clone().into() };
    let said = (!failed.is_about_message).then(|| Box::new(said));
    Trouble { said, ..Trouble::ours(status, text) }
}

/// The same where rule sets refused it: with its address before the words, and the status is that which they named.
fn told(failed: &Failed, own: &[u8], status: &[u8], text: &[u8]) -> Trouble {
    let words = [&failed.address, b"... ".as_slice(), text].concat();
    let code = failed.reply.get(..3).unwrap_or(b"554");
    let reply = [b"\n", code, b" ", status, b" ", &*words].concat();
    let said = Said { command: Box::default(), reply: reply.into() };
    let status = if own.is_empty() { Status(5, 0, 0) } else { status_from(own) };
    Trouble { said: Some(Box::new(said)), ..Trouble::ours(status, &words) }
}

fn status_from(text: &[u8]) -> Status {
    let mut numbers = text.split(|octet| *octet == b'.').map(|part| {
        let number = str::from_utf8(part).ok().and_then(|text| text.parse::<u16>().ok());
        number.unwrap_or(0)
    });
    let mut next = || numbers.next().unwrap_or(0);
    Status(u8::try_from(next()).unwrap_or(5), next(), next())
}

/// The server that this configuration's mail is handed to.
pub(crate) fn place(run: &Run<'_>) -> Place {
    Place::for_mail_of_cf(RUN, &policy_cf::answers::spool_of(&run.machine.config.options))
}

/// The server that has this configuration's queue.
pub(crate) fn place_of_queue(run: &Run<'_>) -> Place {
    Place::of_cf(RUN, &policy_cf::answers::spool_of(&run.machine.config.options))
}
