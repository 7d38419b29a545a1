//! A sendmail.cf in the policy's process: where its engines rest, and the maps that each of them has open.
//!
//! As many engines are made as questions are worked on at the same time: a map that is slow holds up its own engine only.

use crate::map_notes::MapNotes;
use crate::map_porter::MapPorter;
use maps::{Outside, Places};
use policy_cf::world::World;
use policy_cf::{CfPolicy, Engine, Given, Pool};
use std::sync::{Arc, Mutex, PoisonError};

/// Engines that rest; one more is dropped. Each has its own files open.
const RESTING_MAX: usize = 64;

/// Questions that others than the network's sessions, one a core, have at the same time: the queue, and users of this machine.
const EDGES_BESIDE: usize = 2;

/// The engines of one configuration.
struct Resting {
    engines: Mutex<Vec<Engine>>,
    /// Who asks name servers and connects; `None`: each world does so itself (commands that are in no cage).
    porter: Option<Arc<MapPorter>>,
    notes: Arc<MapNotes>,
}

impl Pool for Resting {
    fn world(&self) -> Box<dyn World + Send> {
        let outside = Outside::new(Places::default());
        match &self.porter {
            Some(porter) => {
                let names = Arc::<crate::name_service::NameService>::clone(porter.names());
                Box::new(outside.asking(names).served_by(Arc::<MapPorter>::clone(porter)))
            }
            None => Box::new(outside),
        }
    }

    fn engines_at_start(&self) -> usize {
        // A command in no cage opens what it needs.
        if self.porter.is_none() {
            return 1;
        }
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        cores.saturating_add(EDGES_BESIDE).min(RESTING_MAX)
    }

    fn lists(&self) -> Box<dyn policy_cf::expand::Outside> {
        Box::new(maps::Lists)
    }

    fn note(&self, line: &[u8]) {
        self.notes.tell(line);
    }

    fn take(&self) -> Option<Engine> {
        // A thread that died while it held the lock left a whole list.
        self.engines.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn give(&self, engine: Engine) {
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        if engines.len() < RESTING_MAX {
            engines.push(engine);
        }
    }
}

/// Reads a sendmail.cf; its warnings, ready to print, come with it.
///
/// # Errors
/// What is wrong in it, in sendmail's words.
pub(crate) fn open(
    name: &str,
    text: &[u8],
    given: &Given,
    porter: Option<Arc<MapPorter>>,
    notes: &Arc<MapNotes>,
) -> Result<(CfPolicy, String), String> {
    let shown = |text: Vec<u8>| String::from_utf8_lossy(&text).trim_end().to_owned();
    let pool = Box::new(Resting { engines: Mutex::default(), porter, notes: Arc::clone(notes) });
    let (policy, said) = CfPolicy::open(name.as_bytes(), text, given, pool).map_err(shown)?;
    Ok((policy, shown(said)))
}
