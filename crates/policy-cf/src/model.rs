//! A configuration that was read: everything that the lines said, ready to answer.

use crate::class::Classes;
use crate::header::Header;
use crate::macros::Macros;
use crate::mailer::Mailer;
use crate::map::Map;
use crate::options::Options;
use crate::rules::RuleSets;
use crate::token::{Arena, Tables};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The most mailers (sendmail's MAXMAILERS).
pub const MAILERS_MAX: usize = 25;

/// A configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The octets of all rules.
    pub arena: Arena,
    /// What octets are to the scanner.
    pub tables: Tables,
    /// Macros and their values after reading.
    pub macros: Macros,
    /// Classes; shared by all copies of a configuration until one is changed.
    pub classes: Arc<Classes>,
    /// Rule sets; shared likewise.
    pub sets: Arc<RuleSets>,
    /// Mailers by number.
    pub mailers: Vec<Mailer>,
    /// Maps by lower-case name.
    pub maps: BTreeMap<Vec<u8>, Map>,
    /// Options.
    pub options: Options,
    /// H lines.
    pub headers: Vec<Header>,
    /// P lines: name and priority.
    pub priorities: Vec<(Vec<u8>, i64)>,
    /// E lines.
    pub environment: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Q lines, raw.
    pub queue_groups: Vec<Vec<u8>>,
    /// X lines, raw.
    pub filters: Vec<Vec<u8>>,
    /// The number of the V line.
    pub level: i64,
}

impl Config {
    /// The number of a mailer by its name.
    #[must_use]
    pub fn mailer(&self, name: &[u8]) -> Option<usize> {
        self.mailers.iter().position(|mailer| mailer.name.eq_ignore_ascii_case(name))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            arena: Arena::default(),
            tables: Tables::new(b".:@[]"),
            macros: Macros::default(),
            classes: Arc::default(),
            sets: Arc::default(),
            mailers: Vec::new(),
            maps: BTreeMap::new(),
            options: Options::default(),
            headers: Vec::new(),
            priorities: Vec::new(),
            environment: Vec::new(),
            queue_groups: Vec::new(),
            filters: Vec::new(),
            level: 0,
        }
    }
}
