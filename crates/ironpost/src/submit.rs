//! `sendmail -C file.cf ADDR… < message`: what the command itself does between its words and the handing over of the message
//! (operations guide, sections 2 and 4).
//!
//! The order is sendmail's: flags, the configuration, who calls, the queue folder, the sender, the message, its recipients
//! through rule sets and aliases, the log. Who can't get it is said at once, in the manner of option `ErrorMode`; for the rest
//! the message is handed over, and the caller waits as option `DeliveryMode` says.

mod collect;
mod dead_letter;
mod fields;
mod hand_over;
mod lines;
mod recipients;
mod sender;

use crate::configured::{self, Run};
use crate::sendmail::Flags;
use collect::{Collected, Manner};
use fields::Head;
pub(crate) use hand_over::{place, place_of_queue, status_of};
use maps::syslog::{NOTICE, send};
use policy::Verdict;
use policy::settings::DeliveryMode;
use policy_cf::machine::exit;
use queue::Notify;
use recipients::Recipients;
pub(crate) use sender::Sender;
use std::ffi::OsString;

/// Octets of a message, where the configuration sets no limit.
const MESSAGE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Octets of a header, where it sets none.
const HEADER_BYTES_MAX: u64 = 32 * 1024;
/// Servers that a message may pass, where it sets no limit.
const HOPS_MAX: u32 = 25;
/// What a class of Precedence counts for a message, and each recipient against it (options `ClassFactor` and `RecipientFactor`).
const CLASS_FACTOR: i64 = 1800;
const RECIPIENT_FACTOR: i64 = 30_000;

/// What is said of octets above 127 where there may be none.
const EIGHT_BITS: &[u8] = b"Eight bit data not allowed";

/// What to do with those who can't get the message (option `ErrorMode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ErrorMode {
    /// Say it, and leave the message in the sender's home.
    Print,
    /// Say nothing.
    Quiet,
    /// Write to the sender.
    Mail,
    /// Write to the sender, and exit as if nothing had happened.
    MailAndSucceed,
    /// Say it to a sender at a terminal, write to others.
    Write,
}

/// Runs the mode; gives the exit status.
pub(crate) fn run(words: &[OsString], flags: &Flags) -> u8 {
    configured::with(words, b'm', |run| submit(run, flags).unwrap_or_else(|status| status))
}

fn submit(run: &mut Run<'_>, flags: &Flags) -> Result<u8, u8> {
    run.settle()?;
    run.enter_queue()?;
    if run.log_level() > 9 {
        run.note(&[b"connect from ", &*sys::user::current_name(), b"@localhost"].concat());
    }
    let error_mode = ErrorMode::of(run);
    run.machine.holds_errors = error_mode != ErrorMode::Print;
    run.machine.hides_notes = !run.is_verbose();
    let id = hand_over::fresh_id(run);
    run.id = id.to_ascii().to_vec();
    for complaint in &flags.complaints {
        run.machine.user_error(complaint.as_bytes());
    }
    let mut submission = Submission::begin(run, flags, id, error_mode);
    if run.asked.operands.is_empty() && !flags.from_header {
        if !run.machine.holds_errors {
            run.machine.say(&[b"Recipient names must be specified"]);
        }
        submission.read(run)?;
        submission.log(run, 0);
        return Ok(exit::USAGE);
    }
    submission.read(run)?;
    // Name servers are asked when it is tried, if that is to be later.
    run.machine.is_deferring = delivery_mode(run) == DeliveryMode::Defer;
    submission.find_recipients(run);
    submission.judge_header(run);
    submission.log(run, submission.recipients.count);
    submission.look_at_size(run);
    submission.look_for_loop(run);
    submission.look_for_eight_bits(run);
    let status = submission.send(run);
    Ok(if error_mode == ErrorMode::MailAndSucceed { exit::OK } else { status })
}

/// The most octets of a message (option `MaxMessageSize`).
fn message_bytes_max(run: &Run<'_>) -> u64 {
    let limit = run.machine.config.options.number("MaxMessageSize").filter(|limit| *limit > 0);
    limit.map_or(MESSAGE_BYTES_MAX, u64::from)
}

/// A submission under way.
struct Submission<'f> {
    flags: &'f Flags,
    id: wire::QueueId,
    created_s: u64,
    error_mode: ErrorMode,
    sender: Sender,
    message: Collected,
    head: Head,
    class: i64,
    notify: Notify,
    recipients: Recipients,
    /// Who hears of failures beside the sender (`Errors-To`).
    also_to: Vec<recipients::Outgoing>,
    is_looping: bool,
    /// Why it is kept back, if a rule set says so.
    quarantine: Option<Box<[u8]>>,
}

impl<'f> Submission<'f> {
    fn begin(
        run: &mut Run<'_>,
        flags: &'f Flags,
        id: wire::QueueId,
        error_mode: ErrorMode,
    ) -> Self {
        let created_s = sys::clock::realtime_s();
        name_message(run, id, created_s);
        run.tell();
        let sender = Sender::set(run);
        run.tell();
        run.logs_addresses = true;
        warn_of_sender(run, &sender);
        let message = Collected::default();
        let head = Head::read(&message);
        let recipients = Recipients::default();
        let is_looping = false;
        let class = 0;
        Self {
            flags,
            id,
            created_s,
            error_mode,
            sender,
            message,
            head,
            class,
            notify: flags.notify,
            recipients,
            also_to: Vec::new(),
            is_looping,
            quarantine: None,
        }
    }

    /// Reads the message.
    fn read(&mut self, run: &mut Run<'_>) -> Result<(), u8> {
        let options = &run.machine.config.options;
        let number = |name| options.number(name).filter(|limit| *limit > 0).map(u64::from);
        let manner = Manner {
            ignores_dots: self.flags.ignores_dots || options.truth("IgnoreDots"),
            keeps_from_line: options.truth("SaveFromLine"),
            is_seven_bit: options.truth("SevenBitInput"),
            message_bytes_max: message_bytes_max(run),
            header_bytes_max: number("MaxHeadersLength").unwrap_or(HEADER_BYTES_MAX),
        };
        let collected = collect::collect(&mut std::io::stdin().lock(), manner);
        self.message = collected.map_err(|error| {
            let text = format!("collect: I/O error on input: {error}");
            run.machine.system_error(text.as_bytes(), None);
            crate::exit::IOERR
        })?;
        self.head = Head::read(&self.message);
        let options = &run.machine.config.options;
        if self.head.wants_receipt && options.truth("RrtImpliesDsn") {
            if self.notify == Notify::UNSET {
                self.notify = Notify::SUCCESS.and(Notify::FAILURE).and(Notify::DELAY);
            }
            self.head.drop_receipt();
        }
        self.class = self.head.precedence.as_deref().map_or(0, |name| class_of(run, name));
        if !self.message.is_head_too_large {
            return Ok(());
        }
        let text = format!("552 5.6.0 Headers too large ({} max)", manner.header_bytes_max);
        run.machine.user_error(text.as_bytes());
        self.log(run, 0);
        Err(exit::UNAVAILABLE)
    }

    /// Follows the addresses of the command line and, with `-t`, of the header.
    fn find_recipients(&mut self, run: &mut Run<'_>) {
        let operands = std::mem::take(&mut run.asked.operands);
        let mut lists: Vec<&[u8]> = operands.iter().map(Vec::as_slice).collect();
        if self.flags.from_header {
            lists.extend(self.head.lists.iter().map(Vec::as_slice));
        }
        self.recipients = Recipients::of(run, &lists, self.sender.shown());
        // Who is refused for now only waits: that is no error of the caller's.
        let passing = self.recipients.failed.iter().filter(|failed| failed.waits.is_some()).count();
        self.find_readers_of_errors(run);
        run.tell();
        run.user_errors = run.user_errors.saturating_sub(passing);
        let found = &self.recipients;
        for failed in &found.failed {
            lines::log_unknown(run, failed);
        }
        let has_errors = found.errors > 0 || run.user_errors > 0;
        let is_nobody = found.outgoing.is_empty() && found.failed.is_empty();
        if has_errors {
            run.machine.set_status(exit::USAGE);
        } else if passing > 0 && run.machine.status == exit::TEMPFAIL {
            run.machine.status = exit::OK;
        }
        if self.flags.from_header {
            // Whom the header names was not known when it came.
            let only = operands.first().filter(|_| operands.len() == 1);
            self.recipients.only = only.cloned();
        }
        if is_nobody && self.flags.from_header {
            run.machine.say(&[b"No recipient addresses found in header"]);
        }
        let action = run.machine.config.options.values.get("NoRecipientAction");
        let action = action.cloned().unwrap_or_default();
        let named: Vec<&[u8]> =
            self.recipients.outgoing.iter().map(|one| one.address.as_slice()).collect();
        self.head.name_recipients(&action, &named);
    }

    /// Follows who is to hear of failures (option `UseErrorsTo`); the log counts them as well.
    fn find_readers_of_errors(&mut self, run: &mut Run<'_>) {
        if self.head.errors_to.is_empty() || !run.machine.config.options.truth("UseErrorsTo") {
            return;
        }
        let lists: Vec<&[u8]> = self.head.errors_to.iter().map(Vec::as_slice).collect();
        let found = Recipients::of(run, &lists, self.sender.shown());
        self.recipients.count = self.recipients.count.saturating_add(found.count);
        self.recipients.only = None;
        self.also_to = found.outgoing;
        self.also_to.truncate(queue::ERRORS_TO_MAX);
    }

    /// Writes the `from=` line.
    fn log(&self, run: &mut Run<'_>, recipients: usize) {
        run.tell();
        let message_id = self.message_id(run);
        let protocol = self.flags.protocol.as_deref();
        let line = lines::From {
            sender: self.sender.shown(),
            size_bytes: self.message.size_bytes,
            class: self.class,
            recipients,
            message_id: message_id.as_deref(),
            body: self.flags.body_word.as_deref(),
            protocol: protocol.and_then(|text| text.split(|octet| *octet == b':').next()),
        };
        line.log(run);
    }

    /// The message's own id, or the one that an H line of the configuration makes.
    fn message_id(&self, run: &mut Run<'_>) -> Option<Vec<u8>> {
        if let Some(id) = &self.head.message_id {
            return Some(id.clone());
        }
        let mut headers = run.machine.config.headers.iter();
        let is_it = |name: &[u8]| name.eq_ignore_ascii_case(b"message-id");
        let template = headers.rfind(|header| !header.is_check && is_it(&header.name))?;
        let template = template.value.clone();
        Some(run.machine.expand(&template).trim_ascii().to_vec())
    }

    /// Asks the rule sets of the header (`HSubject: $>check`, `check_eoh`), and does as they say.
    fn judge_header(&mut self, run: &mut Run<'_>) {
        let head = &self.message.head;
        let fields = u32::try_from(wire::header::Fields::new(head).count()).unwrap_or(u32::MAX);
        let size_bytes = u64::try_from(head.len()).unwrap_or(u64::MAX);
        let verdict = policy_cf::answers::judge_header(&mut run.machine, fields, size_bytes, head);
        run.tell();
        match verdict {
            None | Some(Verdict::Accept(_)) => {}
            Some(Verdict::Quarantine { reason, by, subject }) => {
                let subject = subject.unwrap_or_default();
                lines::log_judged(run, &by, &subject, &[b"quarantine=", &*reason].concat());
                self.quarantine = Some(reason);
            }
            Some(Verdict::Discard { by, subject }) => {
                lines::log_judged(run, &by, &subject.unwrap_or_default(), b"discard");
                self.recipients =
                    Recipients { count: self.recipients.count, ..Recipients::default() };
            }
            Some(Verdict::Refuse(refusal)) => {
                let (class, subject, detail) = refusal.status;
                let codes = format!("{} {class}.{subject}.{detail} ", refusal.code);
                let reply = [codes.as_bytes(), &refusal.text].concat();
                let seen = refusal.subject.unwrap_or_default();
                lines::log_judged(run, &refusal.by, &seen, &[b"reject=", &*reply].concat());
                run.machine.user_error(&reply);
                run.machine.set_status(exit::UNAVAILABLE);
                self.refuse_all(&reply, true);
            }
        }
    }

    /// A message that has passed too many servers goes no further (option `MaxHopCount`).
    fn look_for_loop(&mut self, run: &mut Run<'_>) {
        // Its Received fields, ours among them, or what the caller said.
        let hops = self.head.hops.saturating_add(1).max(self.flags.hops);
        let limit = run.machine.config.options.number("MaxHopCount").unwrap_or(HOPS_MAX);
        if hops <= limit || self.recipients.outgoing.is_empty() {
            return;
        }
        self.is_looping = true;
        let first = self.recipients.outgoing.first();
        let text = format!("554 5.4.6 Too many hops {hops} ({limit} max): from ");
        let to: &[u8] = first.map_or(b"(nobody)", |first| &first.address);
        let parts = [text.as_bytes(), self.sender.shown(), b" via localhost, to ", to];
        run.machine.holds_errors = true;
        run.machine.system_error(&parts.concat(), None);
        run.machine.status = exit::UNAVAILABLE;
        self.refuse_all(b"554 5.4.6 Too many hops", false);
    }

    /// Octets above 127 that nothing speaks of go no further where that is wanted (option `EightBitMode=strict`).
    fn look_for_eight_bits(&mut self, run: &mut Run<'_>) {
        let mode = run.machine.config.options.values.get("EightBitMode");
        let is_strict = mode.and_then(|mode| mode.first()) == Some(&b's');
        if !is_strict || !self.message.has_eight_bits || self.head.is_mime {
            return;
        }
        self.refuse_untried(run, b"554 ", EIGHT_BITS);
    }

    /// A message that is too large goes nowhere (option `MaxMessageSize`); its sender gets its header back.
    fn look_at_size(&mut self, run: &mut Run<'_>) {
        if !self.message.is_too_large {
            return;
        }
        let limit = message_bytes_max(run);
        let size = self.message.size_bytes;
        let line = format!("{}: message size ({size}) exceeds maximum ({limit})", self.id);
        send(NOTICE, line.as_bytes());
        let text = format!("Message exceeds maximum fixed size ({limit})");
        self.refuse_untried(run, b"552 ", text.as_bytes());
    }

    /// Nobody gets the message for what it is; the log has a line for each.
    fn refuse_untried(&mut self, run: &mut Run<'_>, code: &[u8], text: &[u8]) {
        run.machine.say(&[text]);
        let priority = self.priority(run);
        for outgoing in &self.recipients.outgoing {
            lines::log_untried(run, outgoing, priority, text);
        }
        self.refuse_all(&[code, text].concat(), true);
    }

    /// Nobody gets the message.
    fn refuse_all(&mut self, reply: &[u8], is_about_message: bool) {
        for outgoing in std::mem::take(&mut self.recipients.outgoing) {
            self.recipients.failed.push(recipients::Failed {
                error: None,
                address: outgoing.address,
                reply: reply.to_vec(),
                unknown_at: None,
                controller: None,
                led_ids: None,
                way: outgoing.way,
                is_about_message,
                waits: None,
            });
        }
    }

    /// Hands over what can go, and tells of what can't (option `ErrorMode`); gives the exit status.
    fn send(&mut self, run: &mut Run<'_>) -> u8 {
        run.tell();
        let mode = delivery_mode(run);
        let is_quiet = self.error_mode == ErrorMode::Quiet;
        let keeps_letter = self.error_mode == ErrorMode::Print && self.has_home();
        let has_refused = self.recipients.failed.iter().any(|failed| failed.waits.is_none());
        let manner = hand_over::Manner {
            mode,
            reports_refused: has_refused && !is_quiet && !keeps_letter,
            reports_failed: !is_quiet && !keeps_letter,
        };
        let has_failed = hand_over::hand_over(self, run, manner);
        if keeps_letter && (has_refused || has_failed) {
            self.save_letter(run);
        }
        run.tell();
        run.machine.status
    }

    /// Whether the sender has a home here that a letter can be left in.
    fn has_home(&self) -> bool {
        let home = self.sender.home.as_deref().filter(|_| self.sender.is_local);
        home.is_some_and(dead_letter::may_save)
    }

    /// Leaves the message in the sender's home.
    fn save_letter(&self, run: &mut Run<'_>) {
        let home = self.sender.home.as_deref().unwrap_or_default();
        let text: [&[u8]; 3] = [&self.head.text, b"\r\n", &self.message.body];
        match dead_letter::save(home, self.sender.shown(), &text) {
            Ok(path) => {
                let path = path.display().to_string();
                run.machine.say(&[path.as_bytes(), b"... Saved message in ", path.as_bytes()]);
            }
            Err(error) => {
                let text = format!("cannot save rejected email in dead.letter: {error}");
                run.machine.system_error(text.as_bytes(), None);
            }
        }
    }

    /// What kind of octets the message has: as was said, else as it looks.
    fn body_kind(&self) -> queue::BodyKind {
        let seen = if self.message.has_eight_bits {
            queue::BodyKind::Unlabelled
        } else {
            queue::BodyKind::SevenBit
        };
        match self.flags.body {
            Some(_) if !self.message.has_eight_bits => queue::BodyKind::DeclaredSeven,
            told => told.unwrap_or(seen),
        }
    }

    /// What a run of the queue goes by: the smaller, the sooner.
    fn priority(&self, run: &Run<'_>) -> i64 {
        let factor = |name, default| {
            let value = run.machine.config.options.values.get(name);
            value.map_or(default, |value| policy_cf::read::values::number(value))
        };
        let count = i64::try_from(self.recipients.count).unwrap_or(i64::MAX);
        let size = i64::try_from(self.message.size_bytes).unwrap_or(i64::MAX);
        let class = self.class.saturating_mul(factor("ClassFactor", CLASS_FACTOR));
        let recipients = count.saturating_mul(factor("RecipientFactor", RECIPIENT_FACTOR));
        size.saturating_sub(class).saturating_add(recipients)
    }
}

impl ErrorMode {
    /// Option `ErrorMode`; what is none of its letters changes nothing.
    fn of(run: &Run<'_>) -> Self {
        let value = run.machine.config.options.values.get("ErrorMode");
        match value.and_then(|value| value.first()) {
            Some(b'q') => Self::Quiet,
            Some(b'm') => Self::Mail,
            Some(b'e') => Self::MailAndSucceed,
            Some(b'w') => Self::Write,
            Some(_) | None => Self::Print,
        }
    }
}

/// When the message is tried; who wants to see it happen waits for it.
fn delivery_mode(run: &Run<'_>) -> DeliveryMode {
    let options = &run.machine.config.options;
    let mode = policy_cf::answers::delivery_mode(options);
    let is_awaited = mode == DeliveryMode::Background && run.is_verbose();
    if is_awaited { DeliveryMode::Interactive } else { mode }
}

/// What H lines and rule sets may say of the message: `$i`, `$t`.
fn name_message(run: &mut Run<'_>, id: wire::QueueId, created_s: u64) {
    let minute = wire::date::compact(created_s).to_string();
    let minute = minute.as_bytes().get(..configured::MINUTE_LEN).unwrap_or_default().to_vec();
    let macros = &mut run.machine.config.macros;
    macros.set(b'i', Some(id.to_ascii().to_vec()));
    macros.set(b't', Some(minute));
}

/// Who gives himself out as another is named (`PrivacyOptions=authwarnings`).
fn warn_of_sender(run: &mut Run<'_>, sender: &Sender) {
    let user = sys::user::current_name();
    let is_another = sender.user.as_deref() != Some(&user);
    let is_trusted = run.machine.config.classes.contains(b't', &user);
    if run.asked.sender.is_some() && is_another && !is_trusted {
        let shown = run.asked.sender.clone().unwrap_or_default();
        let letter = run.asked.sender_letter;
        let text = [&user, b" set sender to ".as_slice(), &shown, b" using -", &[letter]].concat();
        run.warn(&text);
    }
}

/// The class of a Precedence, as P lines name them.
fn class_of(run: &Run<'_>, name: &[u8]) -> i64 {
    let known = run.machine.config.priorities.iter();
    let mut found = known.filter(|(known, _)| known.eq_ignore_ascii_case(name.trim_ascii()));
    found.next_back().map_or(0, |(_, class)| *class)
}
