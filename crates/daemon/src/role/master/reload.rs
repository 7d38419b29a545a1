//! SIGHUP: a second policy reads the file; only when it is content do the others get their edge to it.

use super::Master;
use super::stop::Phase;
use crate::edges::Order;
use crate::log::Severity;
use crate::roles::Role;
use policy::Settings;

impl Master {
    /// Starts the second policy.
    pub(super) fn reload(&mut self) {
        let is_reading =
            self.family.processes.iter().any(|p| p.role == Role::Policy && !p.is_ready);
        if is_reading || !matches!(self.phase, Phase::Running) {
            return;
        }
        if self.options.as_sendmail.is_some() {
            let program = std::env::args_os().next().unwrap_or_default();
            let text = format!("restarting {} due to signal", program.to_string_lossy());
            self.log.line(Severity::Info, None, text.as_bytes());
        } else {
            self.log.line(Severity::Notice, None, b"reading the configuration again");
        }
        if let Err(error) = self.start_reader() {
            let text = format!("cannot read the configuration again: {error}; the old one stays");
            self.log.line(Severity::Error, None, text.as_bytes());
        }
    }

    /// A policy that died: a new one reads the file; everybody waits for it.
    pub(super) fn restart_policy(&mut self, _index: u8) -> std::io::Result<()> {
        self.start_reader()
    }

    fn start_reader(&mut self) -> std::io::Result<()> {
        let configuration = self.options.configuration().map_err(|_| {
            std::io::Error::new(std::io::ErrorKind::NotFound, "the file can't be opened")
        })?;
        self.family.start_policy(0, &super::reading(&self.options), configuration)
    }

    /// The second policy has read the file: it takes over.
    pub(super) fn reloaded(&mut self, place: usize, mut settings: Settings) {
        self.options.adjust(&mut settings);
        if place >= self.family.processes.len() {
            return;
        }
        let mut newcomer = self.family.processes.remove(place);
        // A policy that is at work has heard strangers: what the server may do is settled before that.
        if newcomer.role != Role::Policy || newcomer.is_ready {
            newcomer.kill();
            self.family.processes.push(newcomer);
            return;
        }
        for old in self.family.processes.iter_mut().filter(|p| p.role == Role::Policy) {
            old.is_retired = true;
            old.order(&Order::Stop);
        }
        self.change_listeners(&settings);
        let order = Order::Settings(Box::new(settings.clone()));
        for process in &mut self.family.processes {
            process.order(&order);
        }
        if let Err(error) = self.family.join(&mut newcomer) {
            self.log.line(Severity::Critical, None, format!("cannot join: {error}").as_bytes());
        }
        self.family.processes.push(newcomer);
        self.settings = settings;
        if self.options.as_sendmail.is_some() {
            return self.tell_start();
        }
        self.log.line(
            Severity::Notice,
            None,
            b"the configuration was read; new sessions follow it",
        );
    }

    /// Where the new settings listen elsewhere, the sessions' processes are replaced: the old ones
    /// finish what they have.
    fn change_listeners(&mut self, settings: &Settings) {
        if self.hands.listens_on(&settings.listeners) {
            return;
        }
        if let Err(super::StartError::System(text) | super::StartError::Configuration(text)) =
            self.hands.listen(&settings.listeners)
        {
            self.log.line(Severity::Error, None, text.as_bytes());
        }
        for process in self.family.processes.iter_mut().filter(|p| p.role == Role::Smtpd) {
            process.order(&Order::Stop);
        }
    }

    /// The second policy does not like the file: the old one stays.
    pub(super) fn reload_failed(&mut self, place: usize, text: &str) {
        if let Some(process) = self.family.processes.get_mut(place) {
            process.is_retired = true;
        }
        for line in text.lines() {
            self.log.line(Severity::Error, None, line.as_bytes());
        }
        self.log.line(Severity::Error, None, b"the configuration is wrong; the old one stays");
    }
}
