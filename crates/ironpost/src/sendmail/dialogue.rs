//! `sendmail -bs`: SMTP on standard input and output. The same session as on port 25, in this process, as the user who
//! called it; messages go the way of all submissions.
//!
//! With `-C` the rule sets of that configuration answer, here and with the caller's rights. Without, a user of this machine
//! may send to anybody, and the server that takes the message decides where to.

use super::flags::Flags;
use super::{Taken, take};
use crate::place::Place;
use crate::printer::Printer;
use crate::submit;
use daemon::client::Client;
use daemon::edges::{self, Argument, Errand};
use daemon::job::{self, Job, JobError};
use daemon::log::{Log, Severity};
use daemon::request::{Addressee, Submission};
use daemon::{session_envelope, session_lines};
use policy::settings::{DeliveryMode, LogTo, Logging, Offers, Privacy, Quirks};
use policy::{
    Acceptance, Ask, MailerId, Origin, Policy, Question, Refusal, Route, Settings, Verdict,
};
use smtp::server::{
    Body, Input, Message, Moment, NotStored, Outbox, Recipient, Request, Session, Terms,
};
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Octets that are read at once.
const PIECE_BYTES: usize = 16 * 1024;

/// Octets of a configuration.
const CONFIGURATION_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The dialogue's state.
struct Dialogue {
    session: Session,
    terms: Arc<Terms>,
    policy: Option<Box<dyn Policy>>,
    log: Log,
    out: Outbox,
    place: Place,
    login: Box<[u8]>,
    /// The server of our own that tries what the client hands in.
    errand: Option<Job>,
    config: Option<PathBuf>,
    arguments: Vec<Argument>,
    /// A body that is larger than the session keeps.
    large: Vec<u8>,
    fresh_id: wire::QueueId,
    /// What was handed in.
    handed: Vec<wire::QueueId>,
}

/// Speaks until QUIT or the end of the input.
pub(super) fn run(flags: &Flags, place: &Place, printer: &mut Printer) -> ExitCode {
    let policy = match flags.config.as_deref().map(|path| configured(path, flags)) {
        None => None,
        Some(Ok(policy)) => Some(policy),
        Some(Err(text)) => return printer.fail("sendmail", &text, crate::exit::CONFIG),
    };
    let login = sys::user::current_name();
    let settings = policy.as_ref().map_or_else(plain, |policy| policy.settings().clone());
    let terms = Arc::new(Terms { settings });
    let uid = sys::user::real_uid();
    let origin = Origin::User { uid, name: login.clone().into() };
    let logging = Logging { to: LogTo::Syslog, ..terms.settings.logging };
    // Without a socket of the system's log nothing is logged: standard output is the client's.
    let socket = sys::socket::connect_syslog().ok();
    let is_logged = socket.is_some() && policy.is_some();
    let level = if is_logged { logging.level } else { 0 };
    let log = Log::of_program(&Logging { level, ..logging }, socket, "sendmail");
    let mut dialogue = Dialogue {
        session: Session::new(Arc::clone(&terms), 0, origin),
        terms,
        log,
        out: Outbox::default(),
        place: policy.as_ref().map_or_else(
            || place.clone(),
            |policy| {
                let paths = &policy.settings().paths;
                Place::for_mail_of_cf(&paths.run, &paths.spool)
            },
        ),
        policy,
        login: login.into(),
        errand: None,
        config: flags.config.as_deref().map(|path| OsStr::from_bytes(path).into()),
        arguments: flags.arguments.clone(),
        large: Vec::new(),
        fresh_id: job::fresh_id(),
        handed: Vec::new(),
    };
    dialogue.step(Input::Open, printer);
    let mut input = std::io::stdin().lock();
    let mut piece = vec![0; PIECE_BYTES];
    while !dialogue.session.is_over() {
        let count = input.read(&mut piece).unwrap_or(0);
        if count == 0 {
            dialogue.step(Input::Eof, printer);
            break;
        }
        let mut rest = piece.get(..count).unwrap_or_default();
        while !rest.is_empty() && !dialogue.session.is_over() {
            let taken = dialogue.step(Input::Bytes(rest), printer);
            rest = rest.get(taken..).unwrap_or_default();
        }
    }
    dialogue.end()
}

/// The policy of the configuration that `-C` names.
fn configured(path: &[u8], flags: &Flags) -> Result<Box<dyn Policy>, String> {
    let name = String::from_utf8_lossy(path).into_owned();
    let file = std::fs::File::open(&name).map_err(|error| format!("{name}: {error}"))?;
    let mut text = Vec::new();
    file.take(CONFIGURATION_BYTES_MAX)
        .read_to_end(&mut text)
        .map_err(|error| format!("{name}: {error}"))?;
    // Its warnings were said when it was looked at.
    let (policy, _warnings) = daemon::policy_of_cf(&name, &text, &flags.arguments, b"s")?;
    Ok(policy)
}

/// The settings of a dialogue without a configuration.
fn plain() -> Settings {
    let mut settings = Settings { host_name: sys::host_name().into(), ..Settings::default() };
    settings.manners.privacy = Privacy::NO_ETRN;
    settings.manners.offers = settings.manners.offers.and(Offers::SIZE_BARE);
    settings
}

impl Dialogue {
    /// A step, and everything that it asks for: when it returns, the session wants octets or is over.
    fn step(&mut self, input: Input<'_>, printer: &mut Printer) -> usize {
        let octets = self.one(input, printer);
        let mut waiting = Vec::new();
        while let Some(request) = self.out.request.take() {
            let answer = match request {
                Request::Ask(question) => Input::Verdict(self.verdict(&question)),
                Request::Pause { ms } => {
                    std::thread::sleep(std::time::Duration::from_millis(u64::from(ms)));
                    Input::Paused
                }
                Request::OpenLarge => Input::LargeReady,
                Request::Store(message) => {
                    waiting = self.waiting(&message);
                    self.store(*message)
                }
            };
            let stored = if let Input::Stored(id) = &answer { Some(*id) } else { None };
            self.one(answer, printer);
            for line in waiting.drain(..).filter(|_| stored.is_some()) {
                self.log.line(Severity::Info, stored, &line);
            }
        }
        octets
    }

    fn one(&mut self, input: Input<'_>, printer: &mut Printer) -> usize {
        let moment = Moment { now: daemon::now(), fresh_id: self.fresh_id };
        self.out.clear();
        let taken = self.session.step(input, &moment, &mut self.out);
        if taken.id {
            self.fresh_id = job::fresh_id();
        }
        self.large.extend_from_slice(&self.out.body);
        if self.out.drops_large {
            self.large.clear();
        }
        session_lines::write(&self.log, &self.terms.settings, &self.session, &self.out.events);
        printer.octets(&self.out.bytes);
        taken.octets
    }

    /// What the log says of each recipient of a message that only waits in the queue of a host that sends (`UseMSP`).
    fn waiting(&self, message: &Message) -> Vec<Vec<u8>> {
        let settings = &self.terms.settings;
        let is_told = settings.manners.quirks.has(Quirks::QUEUED_LOGGED)
            && settings.delivery_mode.only_queues()
            && message.discard.is_none();
        if !is_told || !self.log.wants(9) {
            return Vec::new();
        }
        let line = |recipient: &Recipient| {
            let mailer = settings.mailers.get(usize::from(recipient.route.mailer.0));
            let mailer = mailer.map(|mailer| &*mailer.name).unwrap_or_default();
            let priority = format!(", pri={}, stat=queued", message.priority);
            let delay: &[u8] = b", delay=00:00:00, mailer=";
            [b"to=", &*recipient.shown, delay, mailer, priority.as_bytes()].concat()
        };
        message.recipients.iter().map(line).collect()
    }

    fn store(&mut self, message: Message) -> Input<'static> {
        if message.discard.is_some() {
            session_lines::discarded(&self.log, message.id);
            return Input::Stored(message.id);
        }
        if self.policy.is_some() && self.has_server() {
            return match self.commit(message) {
                Ok(id) => Input::Stored(id),
                Err(JobError::NotStored(edges::NotStored::Full)) => {
                    Input::NotStored(NotStored::Full)
                }
                Err(_) => Input::NotStored(NotStored::Trouble),
            };
        }
        let body = session_envelope::body_kind(&message);
        let text = match message.body {
            Body::Inline(text) => text,
            Body::Large => std::mem::take(&mut self.large),
        };
        let submission = Submission {
            login: self.login.clone(),
            sender: message.sender,
            recipients: message
                .recipients
                .into_iter()
                .map(|one| Addressee {
                    address: one.address,
                    notify: session_envelope::notify(one.notify),
                    original: one.original,
                })
                .collect(),
            ret: message.ret.map(session_envelope::returned),
            envelope_id: message.envelope_id,
            body,
            macros: policy::Macros::new(),
        };
        match take(&submission, &text, &self.place) {
            Taken::Yes(id) => Input::Stored(id.unwrap_or(message.id)),
            Taken::NotNow(_) | Taken::Never(_) => Input::NotStored(NotStored::Trouble),
        }
    }

    /// Makes a message durable, all parts of it.
    fn commit(&mut self, message: Message) -> Result<wire::QueueId, JobError> {
        let mut last = message.id;
        let mint = || {
            last = wire::QueueId::from_u64(
                last.as_u64().saturating_add(1).max(job::fresh_id().as_u64()),
            );
            last
        };
        let facts = self.session.facts();
        let parts = session_envelope::followed(&message, facts, &self.terms.settings, mint);
        let text = match message.body {
            Body::Inline(text) => text,
            Body::Large => std::mem::take(&mut self.large),
        };
        let parts = parts.iter().filter(|part| !part.recipients.is_empty());
        for part in parts {
            let job = self.errand.as_mut();
            let job = job.ok_or(JobError::NotStored(edges::NotStored::Trouble))?;
            job.commit(part, &text)?;
            self.handed.push(part.id);
            if part.id != message.id && self.log.wants(5) {
                let mut line = format!("{}: clone: owner=", part.id).into_bytes();
                line.extend_from_slice(&part.sender);
                self.log.line(Severity::Info, Some(message.id), &line);
            }
        }
        // The next message must have another name than the parts of this one.
        self.fresh_id =
            wire::QueueId::from_u64(self.fresh_id.as_u64().max(last.as_u64().saturating_add(1)));
        Ok(message.id)
    }

    /// Starts a server of our own for what is handed in, unless one runs that takes it. False: the message goes another
    /// way.
    fn has_server(&mut self) -> bool {
        if self.errand.is_none() && Client::connect(&self.place.run).is_err() {
            let errand = Errand::of(self.terms.settings.delivery_mode);
            let Some(config) = self.config.as_deref() else { return false };
            match Job::start(config, &self.arguments, errand) {
                Ok(job) => self.errand = Some(job),
                Err(error) => {
                    let text = format!("no server for this message: {error}; it waits for one");
                    self.log.line(Severity::Error, None, text.as_bytes());
                }
            }
        }
        self.errand.is_some()
    }

    /// The client has gone: what it handed in is tried by who has it, and we wait only if we are told to.
    /// Gives the exit status: that of the first delivery that failed.
    fn end(&mut self) -> ExitCode {
        let waits = self.terms.settings.delivery_mode == DeliveryMode::Interactive;
        let Some(job) = self.errand.take().filter(|_| waits) else { return ExitCode::SUCCESS };
        // What else came of it is in the log, and in reports to the sender.
        let mut outcomes = job.finish().unwrap_or_default();
        outcomes.attempts.retain(|attempt| self.handed.contains(&attempt.id));
        ExitCode::from(submit::status_of(&outcomes))
    }

    fn verdict(&self, question: &Question) -> Verdict {
        if let Ask::Sender { parameters, .. } = &question.ask
            && self.lacks_room(parameters.size_bytes.unwrap_or(0))
        {
            let text = b"Insufficient disk space; try again later";
            return Verdict::Refuse(Refusal::new(452, (4, 4, 5), text, b""));
        }
        match &self.policy {
            Some(policy) => policy.judge(question),
            None => permissive(&question.ask),
        }
    }
}

impl Dialogue {
    /// Whether the disk of the queue has too little room for a message (option `MinFreeBlocks`). A disk that does not say is
    /// left to who stores the message.
    fn lacks_room(&self, needed: u64) -> bool {
        let settings = &self.terms.settings;
        let Ok(free) = sys::disk::free_bytes(&self.place.spool) else { return false };
        let is_low = free < needed.saturating_add(settings.limits.free_bytes_min);
        if is_low && self.policy.is_some() {
            session_lines::low_on_space_for(&self.log, settings, &self.session, needed, free);
        }
        is_low && self.policy.is_some()
    }
}

/// A user of this machine may send to anybody; where to, the queue asks when it has the message.
fn permissive(ask: &Ask) -> Verdict {
    let Ask::Recipient { address } = ask else { return Verdict::accept() };
    let route = Route {
        mailer: MailerId(u8::MAX),
        host: Box::default(),
        user: address.clone(),
        expands: true,
    };
    Verdict::Accept(Acceptance { route: Some(route), ..Acceptance::default() })
}
