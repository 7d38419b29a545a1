//! What is known of other hosts, from one command to the next (`HostStatusDirectory`): relays tell it, and who asks
//! (`hoststat`) is told.
//!
//! sendmail keeps a tree of files, one a host, that every process may write. Here it is one file of the spool's, written by who
//! has the spool. It is a hint: one that can't be read or written costs a look-up more.

use super::House;
use crate::log::Severity;
use ::relay::{HOSTS_MAX, HostStatus};
use spool::HintFile;
use std::collections::HashMap;

/// The name of the file.
const FILE_NAME: &str = "hosts";

/// Hosts in one answer or one frame.
const PART_MAX: usize = 200;

/// The hosts.
#[derive(Default)]
pub(super) struct Hosts {
    known: HashMap<Box<[u8]>, HostStatus>,
    /// `None`: nothing is kept.
    file: Option<HintFile>,
    is_changed: bool,
}

impl Hosts {
    /// What the file has.
    pub(super) fn open(folder: std::os::fd::OwnedFd) -> Self {
        let file = HintFile::new(folder, FILE_NAME);
        let octets = file.read().unwrap_or_default();
        // Of another version, or damaged: it is made anew.
        let read: Vec<HostStatus> = postcard::from_bytes(&octets).unwrap_or_default();
        let mut hosts = Self { known: HashMap::new(), file: Some(file), is_changed: false };
        hosts.put(read);
        hosts.is_changed = false;
        hosts
    }

    /// Takes news over.
    pub(super) fn put(&mut self, news: Vec<HostStatus>) {
        if self.file.is_none() || news.is_empty() {
            return;
        }
        self.is_changed = true;
        for status in news.into_iter().map(HostStatus::cleaned) {
            self.known.insert(status.host.clone(), status);
        }
        if self.known.len() > HOSTS_MAX {
            // A tenth goes at once: this is not to be done for every host.
            let all = self.all();
            for old in all.iter().skip(HOSTS_MAX - HOSTS_MAX / 10) {
                self.known.remove(&old.host);
            }
        }
    }

    /// All of them, the last one that was tried first.
    fn all(&self) -> Vec<HostStatus> {
        let mut all: Vec<HostStatus> = self.known.values().cloned().collect();
        all.sort_by(|one, other| {
            other.at_ms.cmp(&one.at_ms).then_with(|| one.host.cmp(&other.host))
        });
        all
    }

    /// Parts of them that fit into frames.
    pub(super) fn parts(&self) -> Vec<Vec<HostStatus>> {
        self.all().chunks(PART_MAX).map(<[_]>::to_vec).collect()
    }

    /// Forgets what is older than this.
    fn purge(&mut self, memory_ms: u64) {
        let now_ms = sys::clock::realtime_ms();
        let before = self.known.len();
        self.known.retain(|_, status| status.at_ms.saturating_add(memory_ms) > now_ms);
        self.is_changed |= self.known.len() != before;
    }

    /// Writes what has changed.
    fn save(&mut self) -> std::io::Result<()> {
        if !std::mem::take(&mut self.is_changed) {
            return Ok(());
        }
        let octets = postcard::to_allocvec(&self.all()).map_err(std::io::Error::other)?;
        self.file.as_ref().map_or(Ok(()), |file| file.replace(&octets))
    }
}

impl House {
    /// Some hosts from a place of the list on.
    pub(super) fn hosts_from(&mut self, from: u32, purges: bool) -> Vec<HostStatus> {
        if purges {
            let memory_ms = u64::from(self.settings.calling.host_memory_s).saturating_mul(1000);
            self.hosts.purge(memory_ms);
        }
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        self.hosts.all().into_iter().skip(from).take(PART_MAX).collect()
    }

    /// Writes what has become known of hosts.
    pub(super) fn save_hosts(&mut self) {
        if let Err(error) = self.hosts.save() {
            let text = format!("the status of hosts: {error}");
            self.log.line(Severity::Warning, None, text.as_bytes());
        }
    }
}
