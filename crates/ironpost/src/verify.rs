//! `sendmail -bv ADDR…`: where mail for these addresses would go; and what any mode says of a sendmail.cf before it works.

use crate::configured::{self, Run};
use crate::old_queue::OldQueue;
use crate::place::Place;
use crate::sendmail::{About, QueueWords};
use crate::submit::Sender;
use policy_cf::expand::{Expansion, How, Member, State, expand};
use policy_cf::machine::exit;
use queue::run::{Deed, SortOrder};
use std::ffi::OsString;

/// Runs the mode; gives the exit status.
#[must_use]
pub(crate) fn run(words: &[OsString]) -> u8 {
    configured::with(words, b'v', |run| verify(run).unwrap_or_else(|status| status))
}

fn verify(run: &mut Run<'_>) -> Result<u8, u8> {
    run.settle()?;
    if sys::user::real_uid() != 0 {
        run.machine.say(&[b"Notice: -bv may give misleading output for non-privileged user"]);
    }
    run.enter_queue()?;
    run.tell();
    run.id = wire::QueueId::new(sys::clock::realtime_s(), std::process::id()).to_ascii().to_vec();
    // What is wrong with the sender of a message is said first.
    drop(Sender::set(run));
    run.tell();
    run.logs_addresses = true;
    if run.asked.operands.is_empty() {
        run.machine.say(&[b"Recipient names must be specified"]);
        return Ok(exit::USAGE);
    }
    let how = How {
        is_verbose: run.is_verbose(),
        ignores_aliases: run.asked.ignores_aliases,
        ..How::default()
    };
    let operands = std::mem::take(&mut run.asked.operands);
    let lists: Vec<&[u8]> = operands.iter().map(Vec::as_slice).collect();
    let expansion = expand(&mut run.machine, &mut maps::Lists, &lists, &how);
    show(run, &expansion);
    run.tell();
    if expansion.errors > 0 || run.user_errors > 0 {
        run.machine.set_status(exit::USAGE);
    }
    Ok(run.machine.status)
}

/// What a configuration says of its queue, and which part of it the words mean.
#[derive(Debug, Clone, Default)]
pub(crate) struct QueueLook {
    /// The folder, as the configuration has it.
    pub(crate) folder: Vec<u8>,
    /// What is meant of it.
    pub(crate) run: queue::run::Run,
    /// What nobody can get is meant (`savemail panic`). What could not be read the spool has put aside, and lists nothing of it.
    pub(crate) is_of_lost: bool,
    /// Where a server of this queue is to be found.
    pub(crate) place: Option<Place>,
    /// What sendmail left in it.
    pub(crate) old: OldQueue,
    /// Option `PidFile`.
    pub(crate) pid_file: Vec<u8>,
    /// Option `LogLevel`.
    pub(crate) log_level: u32,
    /// Whether the status of hosts is kept (option `HostStatusDirectory`).
    pub(crate) keeps_host_status: bool,
}

impl QueueLook {
    fn of(run: &Run<'_>, words: &QueueWords) -> Self {
        let options = &run.machine.config.options;
        let value = |name: &str| options.values.get(name).cloned().unwrap_or_default();
        let order = match value("QueueSortOrder").first().map(u8::to_ascii_lowercase) {
            Some(b'h') => SortOrder::Host,
            Some(b't') => SortOrder::Time,
            Some(b'f') => SortOrder::Name,
            Some(b'r') => SortOrder::Random,
            Some(b'n' | b'm') => SortOrder::None,
            _ => SortOrder::Priority,
        };
        let deed = match &words.mark {
            None => Deed::Try,
            Some(reason) if reason.is_empty() => Deed::Release,
            Some(reason) => Deed::Hold(reason.as_slice().into()),
        };
        let young = options.values.get("MinQueueAge");
        Self {
            folder: value("QueueDirectory"),
            run: queue::run::Run {
                limits: words.limits.clone(),
                is_of_held: words.about == About::Held,
                order,
                young_s: young.map_or(0, |text| policy_cf::answers::seconds(text, b'm')),
                deed,
            },
            is_of_lost: words.about == About::Lost,
            place: Some(crate::submit::place_of_queue(run)),
            old: OldQueue::of(run),
            pid_file: value("PidFile"),
            log_level: run.log_level(),
            keeps_host_status: !value("HostStatusDirectory").is_empty(),
        }
    }
}

/// Whether there is a queue group of this name; without a name: yes.
fn has_group(run: &Run<'_>, name: &[u8]) -> bool {
    let lines = &run.machine.config.queue_groups;
    let is_it = |line: &[u8]| line.split(|octet| b", \t".contains(octet)).next() == Some(name);
    name.eq_ignore_ascii_case(b"mqueue") || lines.iter().any(|line| is_it(line))
}

/// Looks at the configuration that the words name, as every mode does first: errors, who calls, the queue folder. Gives what it
/// says of the queue. `is_run`: it is to be run.
///
/// # Errors
/// The exit status it ends with.
pub(crate) fn look(words: &[OsString], is_run: bool, queue: &QueueWords) -> Result<QueueLook, u8> {
    let mut found = QueueLook::default();
    let mut is_unknown = false;
    let status = configured::with(words, b'p', |run| {
        let looked = run.settle().and_then(|()| run.enter_queue());
        found = QueueLook::of(run, queue);
        let is_closed = is_run && run.machine.config.options.is_private("restrictqrun");
        if looked.is_err() && is_closed {
            run.machine.say(&[b"You do not have permission to process the queue"]);
            return crate::exit::NOPERM;
        }
        if let Some(name) = queue.group.as_ref().filter(|name| !has_group(run, name)) {
            run.machine.say(&[b"Queue group ", name, b" unknown"]);
            is_unknown = true;
        }
        looked.err().unwrap_or(exit::OK)
    });
    if status == exit::OK && !is_unknown { Ok(found) } else { Err(status) }
}

/// `-bC`: reads the configuration as every command does; its complaints are all that is said.
pub(crate) fn check(words: &[OsString]) -> u8 {
    configured::with(words, b'C', |run| run.settle().err().unwrap_or(exit::OK))
}

/// What `-bs` looks at before it greets: the configuration, who calls, the queue folder. What is wrong is said in replies.
pub(crate) fn before_dialogue(words: &[OsString]) -> u8 {
    let here = std::env::current_dir();
    let status = configured::with(words, b's', |run| {
        run.settle().and_then(|()| run.enter_queue()).err().unwrap_or(exit::OK)
    });
    // The configuration may have been named from here.
    here.and_then(std::env::set_current_dir).ok();
    status
}

fn show(run: &mut Run<'_>, expansion: &Expansion) {
    let is_sendable =
        |member: &&Member| matches!(member.state, State::Deliverable | State::Deferred);
    for member in expansion.in_order().filter(is_sendable) {
        let number = member.mailer;
        let mailer = number.and_then(|number| run.machine.config.mailers.get(number));
        let name = mailer.map(|mailer| mailer.name.clone()).unwrap_or_default();
        let mut line = [&*member.address, b"... deliverable: mailer ", &name].concat();
        if let Some(host) = member.host.as_deref().filter(|host| !host.is_empty()) {
            line.extend_from_slice(&[b", host ", host].concat());
        }
        line.extend_from_slice(&[b", user ", &*member.user].concat());
        for octet in &mut line {
            *octet &= 0x7f;
        }
        run.machine.say(&[&line]);
    }
}
