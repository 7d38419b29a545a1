//! The orderly end: first those who take mail in, then the queue with what it has out, then the rest.

use super::Master;
use crate::edges::Order;
use crate::log::Severity;
use crate::roles::Role;

/// How long each part of the end may take.
const STAGE_MS: u64 = 10_000;

/// Whether the end has begun.
pub(super) enum Phase {
    /// It has not.
    Running,
    /// The numbered stage runs until this moment.
    Stopping { stage: usize, until_ms: u64 },
}

/// Who is told to stop in which stage.
const STAGES: [&[Role]; 3] = [
    &[Role::Smtpd, Role::Control],
    &[Role::Queue],
    &[Role::Relay, Role::Deliver, Role::Agent, Role::Reader, Role::Resolver, Role::Policy],
];

impl Phase {
    /// When the loop must look again.
    pub(super) fn until_ms(&self) -> Option<u64> {
        match self {
            Self::Running => None,
            Self::Stopping { until_ms, .. } => Some(*until_ms),
        }
    }
}

impl Master {
    /// SIGTERM: begin the end, once.
    pub(super) fn begin_stop(&mut self) {
        if matches!(self.phase, Phase::Running) {
            if self.options.as_sendmail.is_none() || self.log.wants(10) {
                self.log.line(Severity::Info, None, b"stopping daemon, reason=signal");
            }
            self.forget_pid();
            self.enter_stage(0);
        }
    }

    /// SIGUSR1: tells the log who there is, in the frame of sendmail's state dump.
    pub(super) fn tell_state(&self) {
        let host = self.settings.host_name.escape_ascii();
        let mut lines = vec![format!("--- dumping state on user signal: $j = {host} ---")];
        let processes = self.family.processes.iter();
        lines.extend(processes.map(|process| format!("{} {}", process.pid(), process.name())));
        lines.push("--- end of state dump ---".into());
        for line in lines {
            self.log.line(Severity::Info, None, line.as_bytes());
        }
    }

    /// The file with our process id goes with us, and the socket of control commands.
    fn forget_pid(&self) {
        self.hands.forget_sockets(&self.settings.paths.command_socket);
        let pid_file = &self.settings.paths.pid_file;
        if self.options.as_sendmail.is_some() && !pid_file.is_empty() {
            std::fs::remove_file(crate::path_of(pid_file)).ok();
        }
    }

    /// The queue has done what we were started for.
    pub(super) fn errand_done(&mut self) {
        if matches!(self.phase, Phase::Running) {
            self.enter_stage(STAGES.len().saturating_sub(1));
        }
    }

    fn enter_stage(&mut self, stage: usize) {
        let until_ms = sys::clock::monotonic_ms().saturating_add(STAGE_MS);
        self.phase = Phase::Stopping { stage, until_ms };
        let told = STAGES.get(stage).copied().unwrap_or_default();
        for process in self.family.processes.iter_mut().filter(|p| told.contains(&p.role)) {
            process.order(&Order::Stop);
        }
    }

    /// Goes on to the next stage when this one's roles are gone or its time is over. True: all is over.
    pub(super) fn step_stop(&mut self, now_ms: u64) -> bool {
        let Phase::Stopping { stage, until_ms } = self.phase else { return false };
        let Some(told) = STAGES.get(stage) else { return true };
        let is_late = until_ms <= now_ms;
        let mut left = false;
        for process in self.family.processes.iter().filter(|p| told.contains(&p.role)) {
            left = true;
            if is_late {
                process.kill();
            }
        }
        if !left || is_late {
            self.enter_stage(stage.saturating_add(1));
            return stage.saturating_add(1) >= STAGES.len();
        }
        false
    }
}
