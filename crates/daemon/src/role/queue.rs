//! `queue`: owns the spool, decides with the scheduler what is tried when, and keeps every promise.
//!
//! One loop over all edges: read what is there, let the scheduler step, hand everything of this turn to the
//! spool as one commit, write what is to be written. The spool's own threads do the waiting for the disk.
//! A disk that fails ends the process: it starts again from what is durable.

mod acts;
mod carriers;
mod counted;
mod dressing;
mod files;
mod hosts;
mod intake;
mod last_resort;
mod lines;
mod listing;
mod parts;
mod policy;
mod rounds;
mod shown;

use crate::cage;
use crate::drop::DropFolder;
use crate::edges::{Errand, Grant, News, Order, Task};
use crate::ids::{Ids, LANES, QUEUE_LANE};
use crate::link::{Link, LinkError};
use crate::log::{Log, Severity};
use crate::roles::Role;
use crate::session_lines;
use crate::start::Inheritance;
use crate::statistics::Tally;
use ::policy::Settings;
use ::queue::{Action, Envelope, Input, Scheduler, Split};
use carriers::Carriers;
use dressing::Dressing;
use files::Files;
use hosts::Hosts;
use intake::{Intake, Source};
use last_resort::LastResort;
use policy::PolicyLine;
use shown::Shown;
use spool::Spool as _;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// How long the end may wait for what is out.
const FAREWELL_MS: u64 = 9_000;

/// Octets of a segment that is made on an errand.
const ERRAND_SEGMENT_BYTES: u64 = 1024 * 1024;

/// Batches that an errand tries at the same time.
const ERRAND_BATCHES_MAX: u32 = 1;

/// How long we wait for whoever has the spool (who only looks holds its lock for a moment), a run of the queue for the one
/// before, and how often we look.
const LOCK_MS: u64 = 3_000;
const RUN_LOCK_MS: u64 = 90_000;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// How often the drop folder is looked at, and the spool's room and segments are cared for.
const HOUSEKEEPING_MS: u64 = 1_000;

/// The queue's state.
struct House {
    settings: Settings,
    log: Log,
    spool: spool::Log,
    scheduler: Scheduler,
    actions: Vec<Action>,
    intake: Intake,
    carriers: Carriers,
    policy: PolicyLine,
    files: Files,
    hosts: Hosts,
    dressing: Dressing,
    last_resort: LastResort,
    /// Parts of messages that are to be stored.
    splits: VecDeque<Split>,
    life: Link,
    index: u8,
    ids: Ids,
    /// The greatest id of each lane.
    lanes: [u64; LANES],
    /// Small messages that have just come, until they are tried for the first time.
    fresh: Fresh,
    drops: Option<DropFolder>,
    /// Files in the drop folder that are no messages: named once in the log.
    refused_drops: HashSet<String>,
    shown: Shown,
    wake_at_ms: Option<u64>,
    housekeeping_at_ms: u64,
    stop_until_ms: Option<u64>,
    /// What the server was started for, if it ends with that.
    errand: Option<Errand>,
    /// What is left of a run of the queue: the messages, the next one last.
    round: Vec<u32>,
    /// What is counted for `mailstats`.
    tally: Tally,
    /// New messages that wait for those before them.
    arrivals: VecDeque<(u32, Box<Envelope>)>,
}

/// Bodies kept in memory between the commit and the first try, so that they need not be read back.
#[derive(Default)]
struct Fresh {
    bodies: HashMap<u32, Arc<[u8]>>,
    octets: usize,
}

/// Octets of fresh bodies at most; what is more is read back from the spool.
const FRESH_BYTES_MAX: usize = 64 * 1024 * 1024;

impl Fresh {
    fn keep(&mut self, slot: u32, body: Arc<[u8]>) {
        if self.octets.saturating_add(body.len()) <= FRESH_BYTES_MAX {
            self.octets = self.octets.saturating_add(body.len());
            self.bodies.insert(slot, body);
        }
    }

    fn forget(&mut self, slot: u32) -> Option<Arc<[u8]>> {
        let body = self.bodies.remove(&slot)?;
        self.octets = self.octets.saturating_sub(body.len());
        Some(body)
    }
}

/// Works until master says stop, or the disk fails.
pub(crate) fn run(mut inheritance: Inheritance) -> Result<ExitCode, LinkError> {
    let log = inheritance.log();
    let folder = inheritance.take(|grant| matches!(grant, Grant::Spool));
    let folder = folder.ok_or(LinkError::Garbled("no spool"))?;
    // A cage has no time zone file; what is read here once is kept.
    let _offset_s = crate::date::offset_s();
    let weaker = cage::enter_with(&inheritance, &[folder.as_fd()])?;
    inheritance.ready(&weaker)?;
    let mut options = spool::Options {
        free_bytes_min: inheritance.settings.limits.free_bytes_min,
        ..spool::Options::default()
    };
    if inheritance.errand.is_some() {
        // A few messages: the disk of a host that only sends is not to be filled with room for thousands.
        options.segment_bytes = ERRAND_SEGMENT_BYTES;
    }
    let errand = inheritance.errand.clone();
    let takes_drops = !matches!(errand, Some(Errand::Keep | Errand::Look));
    let drops = DropFolder::open(&folder).ok().filter(|_| takes_drops);
    let (spool, recovered) = match open(&folder, options, errand.as_ref()) {
        Ok(opened) => opened,
        Err(error) => {
            log.line(Severity::Critical, None, format!("the spool: {error}").as_bytes());
            return Ok(ExitCode::from(crate::EX_IOERR));
        }
    };
    let keeps_hosts = inheritance.settings.calling.keeps_host_status;
    let hosts = match folder.try_clone() {
        Ok(folder) if keeps_hosts => Hosts::open(folder),
        Ok(_) | Err(_) => Hosts::default(),
    };
    let mut house = House::new(inheritance, log, (spool, hosts), drops);
    house.tell_room();
    for message in &recovered {
        house.recovered(message);
    }
    match errand {
        Some(Errand::Run(run)) => house.begin_run(*run, &recovered),
        Some(Errand::Deliver | Errand::DeliverUnreported | Errand::Keep | Errand::Look) => {
            house.scheduler.tell_blocked();
        }
        None => {}
    }
    house.work()
}

/// Opens the spool, and waits a little for who has it; a run of the queue waits until an earlier one is over.
fn open(
    folder: &OwnedFd,
    options: spool::Options,
    errand: Option<&Errand>,
) -> Result<(spool::Log, Vec<spool::Recovered>), spool::Error> {
    let patience_ms = if errand.is_some_and(Errand::is_run) { RUN_LOCK_MS } else { LOCK_MS };
    let until_ms = sys::clock::monotonic_ms().saturating_add(patience_ms);
    loop {
        let handle = folder.try_clone().map_err(|error| spool::Error::System("folder", error))?;
        if errand == Some(&Errand::Look) {
            return spool::Log::look(handle, options);
        }
        match spool::Log::open(handle, options) {
            Err(spool::Error::Locked) if sys::clock::monotonic_ms() < until_ms => {
                std::thread::sleep(LOCK_PAUSE);
            }
            opened => return opened,
        }
    }
}

impl House {
    fn new(
        mut inheritance: Inheritance,
        log: Log,
        (spool, hosts): (spool::Log, Hosts),
        drops: Option<DropFolder>,
    ) -> Self {
        let statistics = inheritance.take(|grant| matches!(grant, Grant::Statistics));
        let statistics = statistics.map(File::from);
        let settings = inheritance.settings;
        let mut house = Self {
            scheduler: Scheduler::new(&settings, sys::clock::realtime_us()),
            settings,
            log,
            spool,
            actions: Vec::new(),
            intake: Intake::default(),
            carriers: Carriers::default(),
            policy: PolicyLine::default(),
            files: Files::default(),
            hosts,
            dressing: Dressing::default(),
            last_resort: LastResort::default(),
            splits: VecDeque::new(),
            life: inheritance.life,
            index: inheritance.index,
            ids: Ids::new(QUEUE_LANE),
            lanes: [0; LANES],
            fresh: Fresh::default(),
            drops,
            refused_drops: HashSet::new(),
            shown: Shown::default(),
            wake_at_ms: None,
            housekeeping_at_ms: 0,
            stop_until_ms: None,
            errand: inheritance.errand,
            round: Vec::new(),
            arrivals: VecDeque::new(),
            tally: Tally::new(statistics),
        };
        for (grant, descriptor) in inheritance.grants {
            house.granted(grant, descriptor);
        }
        house
    }

    /// The loop. One turn: what came, what follows from it, one commit, what goes out.
    fn work(&mut self) -> Result<ExitCode, LinkError> {
        loop {
            let now_ms = sys::clock::realtime_ms();
            self.take_orders()?;
            self.take_in();
            self.take_answers();
            self.take_files();
            self.take_outcomes();
            self.take_completions()?;
            if self.wake_at_ms.is_some_and(|at| at <= now_ms) {
                self.wake_at_ms = None;
                self.step(Input::Tick);
            }
            self.keep_house(now_ms);
            self.go_on_with_round();
            self.go_on_with_arrivals();
            self.store_splits();
            self.spool.commit();
            self.flush();
            if self.is_over(now_ms) {
                self.spool.settle(&mut Vec::new());
                self.save_hosts();
                self.save_statistics();
                return Ok(ExitCode::SUCCESS);
            }
            self.wait(now_ms)?;
        }
    }

    /// One step of the scheduler, and all that it asks for.
    fn step(&mut self, input: Input) {
        let mut actions = std::mem::take(&mut self.actions);
        self.scheduler.step(sys::clock::realtime_ms(), input, &mut actions);
        self.act(&mut actions);
        self.actions = actions;
    }

    fn recovered(&mut self, message: &spool::Recovered) {
        self.saw_id(message.id.as_u64());
        let slot = message.slot.into();
        if self.errand.is_some() {
            // A run comes to it by itself; the others are about what is handed over.
            return;
        }
        let Some((envelope, note)) = self.read(message.slot) else { return };
        self.step(Input::Recovered { slot, envelope, note });
    }

    fn saw_id(&mut self, id: u64) {
        if let Some(last) = self.lanes.get_mut(crate::ids::lane(id)) {
            *last = (*last).max(id);
        }
    }

    fn take_orders(&mut self) -> Result<(), LinkError> {
        while let Some((order, _)) = self.life.receive::<Order>()? {
            match order {
                Order::Grant(grant) => {
                    let descriptor = self.life.descriptor()?;
                    self.granted(grant, descriptor);
                }
                Order::Settings(settings) => {
                    self.call_back();
                    self.settings = *settings;
                    self.step(Input::Settings(Box::new(self.settings.clone())));
                }
                Order::NoChild { ward, is_for_good, .. } if ward.task == Task::Files => {
                    self.no_reader(&ward.user, is_for_good);
                }
                Order::NoChild { ward, why, .. } => self.no_child(&ward, &why),
                Order::Prove { ticket, with_deeds } => {
                    let edges = crate::edges::neighbours(Role::Queue).collect();
                    let proof = cage::prove(Role::Queue, self.index, edges, with_deeds);
                    self.life.send(&News::Proof { ticket, proof }, &[])?;
                }
                Order::Stop => {
                    let until = sys::clock::realtime_ms().saturating_add(FAREWELL_MS);
                    self.stop_until_ms = Some(until);
                    self.step(Input::Room { batches: 0 });
                }
                Order::NoSocket { why, .. } => self.no_last_resort(&why),
                Order::Go { .. } | Order::Errand(_) | Order::Read(_) | Order::Proofs { .. } => {}
            }
        }
        Ok(())
    }

    fn granted(&mut self, grant: Grant, descriptor: OwnedFd) {
        match grant {
            Grant::Edge { to: Role::Smtpd, index } => {
                let after = self.lanes.get(usize::from(index)).copied().unwrap_or(0);
                self.intake.add(Source::lane(index), descriptor, after);
            }
            Grant::Edge { to: Role::Control, .. } => {
                let after = self.lanes.get(usize::from(crate::ids::CONTROL_LANE));
                let lane = Source::lane(crate::ids::CONTROL_LANE);
                self.intake.add(lane, descriptor, after.copied().unwrap_or(0));
            }
            Grant::Edge { to: Role::Relay, .. } => self.relay_came(descriptor),
            Grant::Edge { to: Role::Policy, .. } => self.policy.connect(descriptor),
            Grant::Child { ward } if ward.task == Task::Files => {
                self.reader_came(&ward.user, descriptor);
            }
            Grant::Child { ward } => self.child_came(&ward, descriptor),
            Grant::Socket { .. } => self.last_resort_came(&descriptor),
            Grant::Edge { .. }
            | Grant::Listener(_)
            | Grant::Spool
            | Grant::Statistics
            | Grant::ControlSocket
            | Grant::CommandSocket
            | Grant::Configuration { .. }
            | Grant::Log
            | Grant::NameServers => {}
        }
    }

    /// Tells the scheduler how much can be out at the same time.
    fn tell_room(&mut self) {
        if self.stop_until_ms.is_none() {
            // A command's work is done in order, as sendmail does it.
            let batches = if self.errand.is_some() {
                ERRAND_BATCHES_MAX.min(self.carriers.room())
            } else {
                self.carriers.room()
            };
            self.step(Input::Room { batches });
        }
    }

    fn keep_house(&mut self, now_ms: u64) {
        if self.housekeeping_at_ms > now_ms {
            return;
        }
        self.housekeeping_at_ms = now_ms.saturating_add(HOUSEKEEPING_MS);
        self.spool.housekeeping();
        self.hurry_readers(now_ms);
        for event in self.spool.events() {
            self.log.line(Severity::Error, None, event.to_string().as_bytes());
        }
        let has_room = matches!(self.spool.room(), spool::Room::Enough)
            && self.spool.statistics().messages < u64::from(self.settings.limits.queued_max);
        let free_bytes = self.spool.statistics().free_bytes;
        if self.intake.tell_room(has_room, free_bytes) && self.errand.is_none() {
            self.log_no_room(free_bytes);
        }
        self.pick_up_drops();
        self.want_last_resort();
        self.save_hosts();
        self.save_statistics();
    }

    /// sendmail's words where its daemon finds too little room.
    fn log_no_room(&self, free_bytes: u64) {
        let (id, settings) = (Some(self.ids.fresh()), &self.settings);
        session_lines::low_on_space(&self.log, settings, id, "SMTP-DAEMON", (0, free_bytes));
        if self.log.wants(9) {
            let blocks = session_lines::blocks(settings.limits.free_bytes_min);
            let text = format!("rejecting new messages: min free: {blocks}");
            self.log.line(Severity::Info, None, text.as_bytes());
        }
    }

    fn is_over(&mut self, now_ms: u64) -> bool {
        if self.errand.is_some() && self.stop_until_ms.is_none() {
            if self.is_errand_done() {
                // What came to the drop folder while we had the spool is ours, too.
                self.pick_up_drops();
            }
            return self.is_errand_done() && self.carriers.part();
        }
        let Some(until) = self.stop_until_ms else { return false };
        until <= now_ms || (self.intake.is_idle() && self.carriers.is_idle())
    }

    /// Nobody can hand over any more, and all that was handed over was tried.
    fn is_errand_done(&self) -> bool {
        self.intake.has_ended()
            && self.intake.is_idle()
            && self.carriers.is_idle()
            && self.scheduler.is_quiet()
            && self.round.is_empty()
            && self.arrivals.is_empty()
            && self.last_resort.is_idle()
    }

    /// Writes what waits on all edges; who can't take it has ended, and is found by the next read.
    fn flush(&mut self) {
        drop(self.life.flush());
        self.intake.flush();
        self.carriers.flush();
        self.policy.flush();
        self.files.flush();
    }

    /// Waits for the next thing to happen, and reads what came.
    fn wait(&mut self, now_ms: u64) -> Result<(), LinkError> {
        let commit_at_ms = self.spool.next_commit_ms().map(|ms| now_ms.saturating_add(ms));
        let times =
            [self.wake_at_ms, Some(self.housekeeping_at_ms), self.stop_until_ms, commit_at_ms];
        let next = times.into_iter().flatten().min().unwrap_or(now_ms);
        let mut watched: Vec<(BorrowedFd<'_>, bool)> =
            vec![(self.life.as_fd(), self.life.is_behind()), (self.spool.wake(), false)];
        let links = self.intake.links().chain(self.carriers.links());
        let links = links.chain(self.policy.links()).chain(self.files.links());
        watched.extend(links.map(|link| (link.as_fd(), link.is_behind())));
        let ready = sys::poll::wait(&watched, Some(next.saturating_sub(now_ms)))?;
        drop(watched);
        let mut ready = ready.into_iter();
        if ready.next() == Some(true) {
            self.life.fill()?;
        }
        ready.next();
        self.intake.fill(&mut ready);
        self.carriers.fill(&mut ready);
        self.policy.fill(&mut ready);
        self.files.fill(&mut ready);
        Ok(())
    }
}
