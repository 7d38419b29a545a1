//! `master`: binds, opens, hands out; starts the others and starts them again.
//!
//! The only role that may be root, so it does as little as it can: it hears frames of fixed kinds from its
//! children, and no octet of mail, configuration or network. The first `policy` reads the
//! configuration in its own cage and sends typed settings; a reload is a second `policy`.

mod errand;
mod family;
mod hands;
mod identity;
mod reload;
mod stop;

pub(crate) use errand::run as on_errand;

use crate::Serve;
use crate::edges::{Errand, Grant, News, Order, Reading, SocketPlace, Ward};
use crate::link::LinkError;
use crate::log::{Log, Severity};
use crate::roles::Role;
use family::{Family, Process};
use hands::Hands;
use policy::Settings;
use std::process::ExitCode;
use stop::Phase;
use sys::signal::{Signal, Signals};

/// How long the first policy may take to read the configuration.
const READING_MS: u64 = 60_000;

/// Master's state.
pub(crate) struct Master {
    options: Serve,
    settings: Settings,
    family: Family,
    hands: Hands,
    log: Log,
    signals: Signals,
    phase: Phase,
    proofs: Vec<WantedProof>,
    next_ticket: u32,
    is_announced: bool,
    /// What we were started for, if we end with that.
    errand: Option<Errand>,
}

/// A question of control for everybody's proof.
struct WantedProof {
    ticket: u32,
    controls_ticket: u32,
    control: u32,
    waiting: usize,
    proofs: Vec<crate::edges::Proof>,
    until_ms: u64,
}

/// How long the proofs of all may take.
const PROOFS_MS: u64 = 3_000;

/// What stops a start.
pub(crate) enum StartError {
    /// The configuration is wrong; the messages, ready to print.
    Configuration(String),
    /// The system refused something; in words.
    System(String),
}

impl From<LinkError> for StartError {
    fn from(error: LinkError) -> Self {
        Self::System(error.to_string())
    }
}

impl From<std::io::Error> for StartError {
    fn from(error: std::io::Error) -> Self {
        Self::System(error.to_string())
    }
}

/// Serves until a signal says stop.
///
/// # Errors
/// What kept the server from starting.
pub(crate) fn run(options: Serve) -> Result<ExitCode, StartError> {
    sys::fd::keep_from_children()?;
    let signals = Signals::block()?;
    let mut family = Family::new(crate::is_root(), None)?;
    let mut settings = first_policy(&options, &mut family)?;
    options.adjust(&mut settings);
    let mut hands = Hands::open(&settings)?;
    if options.as_sendmail.is_some() && !settings.paths.pid_file.is_empty() {
        // Who sees the port open may look for it at once; that it can't be written is told with the start.
        crate::write_pid_file(&settings.paths.pid_file).ok();
    }
    if let Some(prepare) = options.prepare {
        prepare(&settings);
    }
    let trouble = hands.trouble.take();
    let mut master = Master::start(options, settings, family, hands, signals, None)?;
    if let Some(text) = trouble {
        master.log.line(Severity::Error, None, text.as_bytes());
    }
    master.work()
}

/// Starts the first policy and waits for what it read.
fn first_policy(options: &Serve, family: &mut Family) -> Result<Settings, StartError> {
    family.start_policy(0, &reading(options), options.configuration()?)?;
    let deadline = sys::clock::monotonic_ms().saturating_add(READING_MS);
    let mut settings = None;
    loop {
        let Some(policy) = family.processes.first_mut() else {
            return Err(StartError::System("the policy is gone".into()));
        };
        while let Some((news, _)) = policy.link.receive::<News>()? {
            match news {
                News::Settings(read) => settings = Some(*read),
                News::Wrong(text) => return Err(StartError::Configuration(text.into())),
                News::Ready { .. } => {
                    policy.is_ready = true;
                    return settings
                        .ok_or_else(|| StartError::System("the policy sent no settings".into()));
                }
                News::ChildWanted { .. }
                | News::SocketWanted { .. }
                | News::Proof { .. }
                | News::ProofWanted { .. }
                | News::ReloadWanted
                | News::StopWanted => {}
            }
        }
        if sys::clock::monotonic_ms() > deadline {
            return Err(StartError::System("the configuration was not read in a minute".into()));
        }
        sys::poll::readable(&policy.link, Some(1000))?;
        policy.link.fill().map_err(|_| {
            StartError::System("the policy ended while it read the configuration".into())
        })?;
    }
}

fn reading(options: &Serve) -> Reading {
    Reading {
        arguments: options.arguments.clone(),
        data: options.data.as_deref().map(|data| crate::path_octets(data).into()),
        listen: options.listen.iter().map(|address| address.as_str().into()).collect(),
        host_name: sys::host_name().into(),
        is_root: crate::is_root(),
    }
}

impl Master {
    /// Starts everybody but the policy.
    fn start(
        options: Serve,
        settings: Settings,
        mut family: Family,
        mut hands: Hands,
        signals: Signals,
        errand: Option<Errand>,
    ) -> Result<Self, StartError> {
        let log = Log::new(&settings.logging, hands.log_socket());
        family.start_rest(&settings, &mut hands)?;
        Ok(Self {
            options,
            settings,
            family,
            hands,
            log,
            signals,
            phase: Phase::Running,
            proofs: Vec::new(),
            next_ticket: 0,
            is_announced: errand.is_some(),
            errand,
        })
    }

    /// The loop: signals, news of the children, deaths, restarts that are due.
    fn work(&mut self) -> Result<ExitCode, StartError> {
        loop {
            let now = sys::clock::monotonic_ms();
            for signal in self.signals.pending() {
                self.signal(signal);
            }
            self.bury(now);
            self.restart(now);
            self.read_news();
            self.answer_late_proofs(now);
            if self.step_stop(now) {
                return Ok(ExitCode::SUCCESS);
            }
            self.announce();
            self.family.flush();
            let wait = self.next_wait_ms(now);
            self.family.poll(&self.signals, wait)?;
        }
    }

    fn signal(&mut self, signal: Signal) {
        match signal {
            Signal::Terminate | Signal::Interrupt => self.begin_stop(),
            Signal::HangUp => self.reload(),
            Signal::User1 => self.tell_state(),
            Signal::Child => {}
        }
    }

    /// Says where we listen, once everybody is ready.
    fn announce(&mut self) {
        if self.is_announced || !self.family.processes.iter().all(|process| process.is_ready) {
            return;
        }
        self.is_announced = true;
        self.tell_start();
        if let Some(say) = self.options.announce {
            say(&self.settings);
        }
    }

    /// The line on the start, and the file with our process id.
    pub(super) fn tell_start(&self) {
        let Some(daemon) = &self.options.as_sendmail else {
            let text = format!("starting daemon ({}): SMTP+queueing", env!("CARGO_PKG_VERSION"));
            return self.log.line(Severity::Info, None, text.as_bytes());
        };
        let pid_file = &self.settings.paths.pid_file;
        if !pid_file.is_empty()
            && let Err(error) = crate::write_pid_file(pid_file)
        {
            let name = String::from_utf8_lossy(pid_file).into_owned();
            let text = format!("unable to write pid to {name}: {error}");
            self.log.line(Severity::Error, None, text.as_bytes());
        }
        if self.log.wants(9) {
            let line = daemon.line(true);
            self.log.line(Severity::Info, None, line.as_bytes());
        }
    }

    /// Takes the news of all children.
    fn read_news(&mut self) {
        for place in 0..self.family.processes.len() {
            while let Some(process) = self.family.processes.get_mut(place) {
                let news = match process.link.receive::<News>() {
                    Ok(Some((news, _))) => news,
                    Ok(None) => break,
                    Err(error) => {
                        self.garbled(place, &error);
                        break;
                    }
                };
                self.news(place, news);
            }
        }
    }

    /// A child that sends what is no frame is not trusted with anything more.
    fn garbled(&mut self, place: usize, error: &LinkError) {
        if let Some(process) = self.family.processes.get_mut(place) {
            let text = format!("{} {}: {error}; killed", process.name(), process.pid());
            process.kill();
            self.log.line(Severity::Critical, None, text.as_bytes());
        }
    }

    fn news(&mut self, place: usize, news: News) {
        match news {
            News::Ready { weaker } => self.is_ready(place, &weaker),
            News::Settings(settings) => self.reloaded(place, *settings),
            News::Wrong(text) => self.reload_failed(place, &text),
            News::ChildWanted { ward } => self.child_wanted(place, &ward),
            News::SocketWanted { ticket, place: wanted } => {
                self.socket_wanted(place, ticket, &wanted);
            }
            News::Proof { ticket, proof } => self.proof(ticket, proof),
            News::ProofWanted { ticket, with_deeds } => {
                self.proof_wanted(place, ticket, with_deeds);
            }
            // An operator's wishes come by control; who else says so is not to be believed.
            News::ReloadWanted if self.is_control(place) => self.reload(),
            News::StopWanted if self.is_control(place) => self.begin_stop(),
            News::ReloadWanted | News::StopWanted => {}
        }
    }

    fn is_control(&self, place: usize) -> bool {
        self.family.processes.get(place).is_some_and(|process| process.role == Role::Control)
    }

    fn is_ready(&mut self, place: usize, weaker: &str) {
        let Some(process) = self.family.processes.get_mut(place) else { return };
        process.is_ready = true;
        if !weaker.is_empty() {
            let text = format!("{}: weaker cage: {weaker}", process.name());
            self.log.line(Severity::Warning, None, text.as_bytes());
        }
    }

    /// Starts a delivery child, or tells the queue why not. Only the queue may ask.
    fn child_wanted(&mut self, place: usize, ward: &Ward) {
        let is_queue = self.family.processes.get(place).is_some_and(|p| p.role == Role::Queue);
        if !is_queue || !matches!(self.phase, Phase::Running) {
            return;
        }
        if let Err((why, is_for_good)) = self.family.start_child(ward, &self.settings) {
            let text = format!("no delivery for {}: {why}", String::from_utf8_lossy(&ward.user));
            self.log.line(Severity::Error, None, text.as_bytes());
            let order = Order::NoChild { ward: ward.clone(), why: why.into(), is_for_good };
            if let Some(queue) = self.family.processes.get_mut(place) {
                queue.order(&order);
            }
        }
    }

    /// Connects a relay to the server of a mailer on this machine, the policy to that of a map, if the settings have it.
    fn socket_wanted(&mut self, place: usize, ticket: u32, wanted: &SocketPlace) {
        let Some(process) = self.family.processes.get_mut(place) else { return };
        if !matches!(process.role, Role::Relay | Role::Policy | Role::Queue) {
            return;
        }
        match Hands::connect(process.role, wanted, &self.settings) {
            Ok(socket) => process.grant(Grant::Socket { ticket }, socket),
            Err(why) => process.order(&Order::NoSocket { ticket, why: why.into() }),
        }
    }

    fn proof_wanted(&mut self, place: usize, controls_ticket: u32, with_deeds: bool) {
        let Some(control) = self.family.processes.get(place) else { return };
        let control = control.pid();
        self.next_ticket = self.next_ticket.wrapping_add(1);
        let order = Order::Prove { ticket: self.next_ticket, with_deeds };
        let mut waiting = 0_usize;
        for process in self.family.processes.iter_mut().filter(|process| process.is_ready) {
            process.order(&order);
            waiting = waiting.saturating_add(1);
        }
        let until_ms = sys::clock::monotonic_ms().saturating_add(PROOFS_MS);
        self.proofs.push(WantedProof {
            ticket: self.next_ticket,
            controls_ticket,
            control,
            waiting,
            proofs: vec![self.own_proof()],
            until_ms,
        });
    }

    /// Master's own row: it has no cage, and says so.
    fn own_proof(&self) -> crate::edges::Proof {
        let edges = self.family.processes.iter().map(|process| process.role).collect();
        crate::cage::prove(Role::Master, 0, edges, false)
    }

    fn proof(&mut self, ticket: u32, proof: crate::edges::Proof) {
        if let Some(wanted) = self.proofs.iter_mut().find(|wanted| wanted.ticket == ticket) {
            wanted.proofs.push(proof);
            wanted.waiting = wanted.waiting.saturating_sub(1);
        }
    }

    /// Answers control when everybody has reported, or the time is over.
    fn answer_late_proofs(&mut self, now_ms: u64) {
        let (done, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.proofs)
            .into_iter()
            .partition(|wanted| wanted.waiting == 0 || wanted.until_ms <= now_ms);
        self.proofs = waiting;
        for wanted in done {
            let order = Order::Proofs { ticket: wanted.controls_ticket, proofs: wanted.proofs };
            let asker = self.family.processes.iter_mut().find(|p| p.pid() == wanted.control);
            if let Some(control) = asker {
                control.order(&order);
            }
        }
    }

    /// Takes the dead out, and plans their successors.
    fn bury(&mut self, now_ms: u64) {
        for (process, how) in self.family.take_dead(now_ms) {
            if self.errand.is_some() && process.role == Role::Queue {
                self.errand_done();
            } else if matches!(self.phase, Phase::Running)
                && !process.is_retired
                && !process.is_child()
            {
                let text = format!("{} {} {how}; starting it again", process.name(), process.pid());
                self.log.line(Severity::Error, None, text.as_bytes());
            }
            self.gone(&process);
        }
    }

    /// What a death means for the others.
    fn gone(&mut self, process: &Process) {
        if process.is_child() || process.is_retired || !matches!(self.phase, Phase::Running) {
            return;
        }
        self.family.plan_restart(process);
    }

    fn restart(&mut self, now_ms: u64) {
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        for (role, index) in self.family.due(now_ms) {
            let started = if role == Role::Policy {
                self.restart_policy(index)
            } else {
                self.family.start(role, index, &self.settings, &mut self.hands)
            };
            if let Err(error) = started {
                let text = format!("cannot start {}: {error}", role.duty().name);
                self.log.line(Severity::Critical, None, text.as_bytes());
                self.family.plan_again(role, index, now_ms);
            }
        }
    }

    fn next_wait_ms(&self, now_ms: u64) -> Option<u64> {
        let proofs = self.proofs.iter().map(|wanted| wanted.until_ms);
        let next = proofs.chain(self.family.next_due_ms()).chain(self.phase.until_ms()).min()?;
        Some(next.saturating_sub(now_ms).max(1))
    }
}
