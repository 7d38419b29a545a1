//! Destinations, their lines of jobs and their connections.

use crate::{Job, Lookup, Report};
use policy::Settings;
use std::net::IpAddr;
use std::rc::Rc;

/// Who we are, for the rules against sending mail to ourselves.
#[derive(Debug, Clone, Default)]
pub struct Ourselves {
    /// Names that mean this host, besides [`Settings::host_name`].
    pub names: Vec<Box<[u8]>>,
    /// Addresses of this host: no cage can ask for them.
    pub addresses: Vec<IpAddr>,
}

/// Delivers over SMTP. Lives in a `tokio::task::LocalSet`.
#[derive(Clone)]
pub struct Relay {}

impl Relay {
    /// A relay without connections. `report` is called once for each job, never inside of
    /// [`Relay::submit`].
    #[must_use]
    pub fn new(
        _settings: &Settings,
        _ourselves: Ourselves,
        _lookup: Rc<dyn Lookup>,
        _report: Rc<dyn Fn(Report)>,
    ) -> Self {
        Self {}
    }

    /// Takes a job.
    pub fn submit(&self, _job: Job) {}

    /// From now on by these settings; open connections keep theirs.
    pub fn configure(&self, _settings: &Settings, _ourselves: Ourselves) {}

    /// How many jobs have no report yet.
    #[must_use]
    pub fn jobs(&self) -> usize {
        0
    }

    /// Idle connections say QUIT now, the others after the job they have; no new ones are made. What
    /// waits in line is reported `Later`.
    pub fn close(&self) {}
}
