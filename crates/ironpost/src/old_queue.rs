//! Mail that sendmail left in its queue: found beside our spool, taken into it, and removed only when it is safe there.
//!
//! It is taken in when a server of a sendmail.cf starts and before each run of the queue, by the command that starts either,
//! with its caller's rights; `mailq` only looks. An id comes from the time and the name of a control file, so that a crash
//! between the two steps does not make two messages of one.

mod control;
mod folder;

use crate::printer::Printer;
use control::{Addressee, Control, Flaw};
use daemon::edges::{Argument, Errand, Listed, ListedRecipient};
use daemon::job::{Job, JobError};
use folder::{Left, Place, Taken};
use maps::syslog::{ALERT, CRITICAL, INFO, send};
use policy::{Controller, MailerId, Route};
use queue::{BodyKind, Envelope, Followed, Origin, Purpose, Recipient, Return};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use wire::QueueId;
use wire::path::bare;

/// sysexits.h: a file of the queue is wrong.
const SOFTWARE: u8 = 70;

/// Bits of an id that may be chosen here: those above are the time and the lane.
const COUNT_MASK: u32 = 0x000f_ffff;

/// What must be known of a configuration to take in what it queued.
#[derive(Debug, Clone, Default)]
pub(crate) struct OldQueue {
    /// The queue directory.
    base: PathBuf,
    /// As the configuration has it, for messages.
    shown: String,
    /// The numbers of the mailers for programs and for files.
    programs: Option<u8>,
    files: Option<u8>,
    /// `queue::mailers_mark`.
    mark: u32,
    log_level: u32,
}

/// A message that was found.
struct Found {
    place: Place,
    control: Control,
}

/// What is taken in: who takes it, and whom it shows what it does.
struct Intake<'p> {
    job: Job,
    known: HashMap<QueueId, Listed>,
    /// `-v`: what can't be taken is shown as a run would show it.
    printer: Option<&'p mut Printer>,
    seen: usize,
    total: usize,
    status: u8,
}

/// Why something is kept back, where its control file has no reason.
const HELD: &[u8] = b"quarantined";

impl Found {
    /// What is kept back is so by its name.
    fn new(place: Place, mut control: Control) -> Self {
        if place.is_held && control.quarantine.is_none() {
            control.quarantine = Some(HELD.to_vec());
        }
        Self { place, control }
    }
}

impl OldQueue {
    /// The queue of a configuration.
    pub(crate) fn of(run: &crate::configured::Run<'_>) -> Self {
        let config = &run.machine.config;
        let number = |name: &[u8]| {
            let place = config.mailers.iter().position(|mailer| mailer.name == name)?;
            u8::try_from(place).ok()
        };
        let spool = crate::submit::place_of_queue(run).spool;
        let queue = config.options.values.get("QueueDirectory").cloned().unwrap_or_default();
        Self {
            base: spool.parent().unwrap_or(&spool).to_path_buf(),
            shown: String::from_utf8_lossy(&queue).into_owned(),
            programs: number(b"prog"),
            files: number(b"*file*"),
            mark: queue::mailer_names_mark(config.mailers.iter().map(|mailer| &mailer.name)),
            log_level: run.log_level(),
        }
    }

    /// Whether there is a control file beside this spool.
    pub(crate) fn is_beside(spool: &Path) -> bool {
        spool.parent().is_some_and(|base| !folder::find(base).is_empty())
    }

    /// What waits there, for a list, those that can't be taken in with the names they keep; and the names of those whose control
    /// file is not to be read.
    pub(crate) fn list(
        &self,
        mut each: impl FnMut(&Listed, Option<&str>),
        mut unreadable: impl FnMut(&str),
    ) {
        for place in folder::find(&self.base) {
            let Some(octets) = place.look() else { continue };
            let (control, is_read) = match Control::read(&octets) {
                Ok(control) => (control, true),
                Err(Flaw::Unfinished) => {
                    unreadable(&place.id);
                    continue;
                }
                Err(Flaw::Version(_) | Flaw::Line(..)) => (Control::read_loosely(&octets), false),
            };
            let found = Found::new(place, control);
            let is_taken = is_read && !found.control.recipients.is_empty();
            each(&listed(&found), (!is_taken).then_some(&found.place.id));
        }
    }

    /// Takes in all that nobody else works on. The exit status tells of what can't be read.
    ///
    /// # Errors
    /// The spool is not there: everything stays where it is.
    pub(crate) fn take_in(
        &self,
        config: &Path,
        arguments: &[Argument],
        printer: Option<&mut Printer>,
    ) -> Result<u8, JobError> {
        let places = folder::find(&self.base);
        if places.is_empty() {
            return Ok(0);
        }
        let mut job = Job::start(config, arguments, Errand::Keep)?;
        let mut known = HashMap::new();
        job.list(|entry| drop(known.insert(entry.id, entry.clone())))?;
        let (seen, total) = (0, places.len());
        let mut intake = Intake { job, known, printer, seen, total, status: 0 };
        for place in places {
            self.take(place, &mut intake)?;
        }
        intake.job.finish()?;
        Ok(intake.status)
    }

    fn take(&self, place: Place, intake: &mut Intake<'_>) -> Result<(), JobError> {
        intake.seen = intake.seen.saturating_add(1);
        let taken = match place.take() {
            Ok(Some(taken)) => taken,
            // It is gone: who had it has delivered it.
            Ok(None) | Err(Left::Locked) => return Ok(()),
            Err(Left::Unsafe) => {
                self.lose(&place, "bogus queue file", None, intake);
                return Ok(());
            }
            Err(Left::System(error)) => {
                self.complain(&place, &error.to_string());
                return Ok(());
            }
        };
        match Control::read(&taken.octets) {
            Ok(control) => self.commit(&Found::new(place, control), &taken, intake),
            Err(Flaw::Unfinished) => {
                intake.show(self, &place, None);
                Ok(())
            }
            Err(Flaw::Version(version)) => {
                let version = wire::escape::text(&version);
                let why = format!("Version number in queue file ({version}) greater than max (8)");
                self.lose(&place, "unsupported queue file version", Some(&why), intake);
                Ok(())
            }
            Err(Flaw::Line(number, line)) => {
                let (name, line) = (place.name(), wire::escape::text(&line).to_string());
                let why = format!("readqf: ./{name}: line {number}: bad line \"{line}\"");
                self.lose(&place, "unrecognized line", Some(&why), intake);
                Ok(())
            }
        }
    }

    /// Makes a message durable in our spool, then removes its files.
    fn commit(
        &self,
        found: &Found,
        taken: &Taken,
        intake: &mut Intake<'_>,
    ) -> Result<(), JobError> {
        let place = &found.place;
        let folder = found.control.data_folder.as_deref().map(path_of);
        if found.control.recipients.is_empty() {
            // Nobody is left. A mistake in the file is no reason to lose its text.
            intake.show(self, place, None);
            place.put_aside();
            return Ok(());
        }
        let body = match place.text(folder) {
            Ok(body) => body,
            Err(error) => {
                self.complain(place, &error.to_string());
                return Ok(());
            }
        };
        let Some(id) = intake.id(found) else {
            // It is there: the last time ended before its files were removed.
            place.remove(folder);
            return Ok(());
        };
        let text = [found.control.header.as_slice(), b"\r\n", &body].concat();
        let envelope = self.envelope(id, found, taken.is_roots, &text);
        match intake.job.commit(&envelope, &text) {
            Ok(_) => {}
            Err(JobError::NotStored(why)) => {
                self.complain(place, &format!("not stored ({why:?})"));
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        intake.known.insert(id, listed(found));
        place.remove(folder);
        if self.log_level > 9 {
            let text = format!("{id}: taken from {}", place.folder.join(place.name()).display());
            send(INFO, text.as_bytes());
        }
        Ok(())
    }

    fn envelope(&self, id: QueueId, found: &Found, is_roots: bool, text: &[u8]) -> Envelope {
        let control = &found.control;
        let is_marked = control.body.eq_ignore_ascii_case(b"8BITMIME");
        // The flag `8`: sendmail saw octets above 127 when it came.
        let is_ascii = !control.flags.contains(&b'8') && text.is_ascii();
        let addressees = control.recipients.iter();
        let recipients: Vec<Recipient> =
            addressees.map(|one| self.recipient(one, is_roots)).collect();
        let cut =
            |fact: &[u8]| -> Box<[u8]> { fact.get(..queue::FACT_BYTES_MAX).unwrap_or(fact).into() };
        Envelope {
            id,
            created_s: control.created_s,
            purpose: Purpose::Mail,
            sender: bare(&control.sender).into(),
            is_utf8: !recipients.iter().all(|one| one.address.is_ascii()),
            recipients,
            size_bytes: u64::try_from(text.iter().filter(|&&octet| octet != b'\r').count())
                .unwrap_or(u64::MAX),
            body: match (is_marked, is_ascii) {
                (true, _) => BodyKind::EightBit,
                (false, true) => BodyKind::SevenBit,
                (false, false) => BodyKind::Unlabelled,
            },
            ret: control.flags.contains(&b'n').then_some(Return::Headers),
            envelope_id: control.envelope_id.as_deref().map(cut),
            by: None,
            origin: origin(control),
            quarantine: control.quarantine.as_deref().map(cut),
            mailers_mark: self.mark,
            priority: control.priority,
            returns: queue::Returns::default(),
        }
    }

    /// A recipient as our queue has it. Programs and files are used as the user the file names, if the file is root's.
    fn recipient(&self, one: &Addressee, is_roots: bool) -> Recipient {
        let user = one.user.as_ref().filter(|_| is_roots);
        let controller = user.map(|(login, uid, gid, name)| Controller {
            address: name.clone().into(),
            login: login.clone().into(),
            uid: *uid,
            gid: *gid,
        });
        let plain = one.address.strip_prefix(b"\"").unwrap_or(&one.address);
        let plain = plain.strip_suffix(b"\"").unwrap_or(plain);
        let place = match plain {
            [b'|', command @ ..] => self.programs.map(|mailer| (mailer, command)),
            [b'/', ..] => self.files.map(|mailer| (mailer, plain)),
            _ => None,
        };
        let theirs = place.zip(controller.as_ref());
        let unrouted = Recipient::unrouted(bare(&one.address));
        let route = match theirs {
            Some(((mailer, user), whose)) => Route {
                mailer: MailerId(mailer),
                host: whose.login.clone(),
                user: user.into(),
                expands: false,
            },
            None => unrouted.route,
        };
        let logged = theirs.and(controller.clone());
        let followed = Followed {
            controller,
            logged,
            refused: None,
            is_as_written: true,
            goes_at_once: false,
            way: None,
            share: queue::Share::Sole,
        };
        Recipient {
            address: one.address.clone().into(),
            route,
            notify: one.notify,
            original: one.original.clone().map(Into::into),
            followed: Some(Box::new(followed)),
        }
    }

    /// Puts a control file aside that can't be read, and says so.
    fn lose(&self, place: &Place, why: &str, details: Option<&str>, intake: &mut Intake<'_>) {
        let (id, name) = (&place.id, place.name());
        intake.show(self, place, details);
        if let Some(details) = details.filter(|_| self.log_level > 0) {
            intake.status = SOFTWARE;
            let user = String::from_utf8_lossy(&sys::user::current_name()).into_owned();
            send(CRITICAL, format!("{id}: SYSERR({user}): {details}").as_bytes());
        }
        if self.log_level > 0 {
            send(ALERT, format!("{id}: Losing ./{name}: {why}").as_bytes());
        }
        place.put_aside();
    }

    /// Says why a file stays where it is for now.
    fn complain(&self, place: &Place, why: &str) {
        if self.log_level > 0 {
            let text = format!("{}: ./{}: {why}; left there", place.id, place.name());
            send(CRITICAL, text.as_bytes());
        }
    }
}

impl Intake<'_> {
    /// What a run with `-v` shows of a file that it makes nothing of.
    fn show(&mut self, queue: &OldQueue, place: &Place, what: Option<&str>) {
        let Some(printer) = &mut self.printer else { return };
        let (shown, id, seen, total) = (&queue.shown, &place.id, self.seen, self.total);
        printer.line(&format!("\nRunning {shown}/{id} (sequence {seen} of {total})"));
        if let Some(what) = what {
            printer.line(what);
        }
    }

    /// The id for a message; `None`: it is in the spool.
    fn id(&self, found: &Found) -> Option<QueueId> {
        let wanted = listed(found);
        let mut id = wanted.id;
        while let Some(there) = self.known.get(&id) {
            let is_it = there.created_s == wanted.created_s
                && there.sender == wanted.sender
                && there.size_bytes == wanted.size_bytes
                && there
                    .recipients
                    .iter()
                    .all(|one| wanted.recipients.iter().any(|other| other.address == one.address));
            if is_it {
                return None;
            }
            id = QueueId::new(id.seconds(), id.counter().wrapping_add(1) & COUNT_MASK);
        }
        Some(id)
    }
}

/// The id that a message will have, if nobody has it: from its time and the name of its control file (FNV-1a).
fn id_of(found: &Found) -> QueueId {
    let hash =
        found.place.id.bytes().fold(0x811c_9dc5_u32, |hash, octet| {
            (hash ^ u32::from(octet)).wrapping_mul(0x0100_0193)
        });
    QueueId::new(found.control.created_s, (hash ^ (hash >> 20)) & COUNT_MASK)
}

/// A message as the list of the queue has it.
fn listed(found: &Found) -> Listed {
    let control = &found.control;
    let recipients = control.recipients.iter().map(|one| ListedRecipient {
        address: one.address.clone().into(),
        controller: one.user.as_ref().map(|(login, uid, gid, name)| Controller {
            address: name.clone().into(),
            login: login.clone().into(),
            uid: *uid,
            gid: *gid,
        }),
        status: Box::default(),
    });
    Listed {
        id: id_of(found),
        size_bytes: found.place.data_bytes(control.data_folder.as_deref().map(path_of)),
        priority: control.priority,
        tried_s: 0,
        is_warned: control.flags.contains(&b'w'),
        is_eight_bit: control.body.eq_ignore_ascii_case(b"8BITMIME").then_some(true),
        created_s: control.created_s,
        is_active: false,
        quarantine: control.quarantine.clone().unwrap_or_default().into(),
        sender: control.sender.clone().into(),
        status: control.message.clone().into(),
        recipients: recipients.collect(),
    }
}

/// Where it came from, as its control file tells; its header is as it goes out.
fn origin(control: &Control) -> Origin {
    let fact =
        |value: &[u8]| -> Box<[u8]> { value.get(..queue::FACT_BYTES_MAX).unwrap_or(value).into() };
    let marker = (policy::dress::QUEUED_HEADER.into(), b"1"[..].into());
    let macros = std::iter::once(marker).collect();
    if !control.sender.starts_with(b"<") {
        let user = control.peer.split(|&octet| octet == b'@').next().unwrap_or_default();
        return Origin { user: fact(user), macros, ..Origin::default() };
    }
    let mut peer = control.peer.splitn(2, |&octet| octet == b'[');
    let name = peer.next().unwrap_or_default().trim_ascii();
    let address = peer.next().and_then(|rest| rest.split(|&octet| octet == b']').next());
    let protocol: &[u8] = if control.protocol.is_empty() { b"SMTP" } else { &control.protocol };
    Origin {
        client_name: fact(name),
        client_address: fact(address.unwrap_or_default()),
        hello: fact(&control.hello),
        protocol: fact(protocol),
        macros,
        ..Origin::default()
    }
}

fn path_of(octets: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(octets))
}
