//! What the maps of a sendmail.cf have to say to the administrator: a table that is older than its text, a server that does
//! not answer. Each engine finds the same, so a line is written once an hour, whoever comes with it.

use crate::log::{Log, Severity};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the same is not said again.
const SILENCE: Duration = Duration::from_hours(1);
/// How many lines are remembered, and how many wait for the log.
const LINES_MAX: usize = 256;

/// The way of such lines into the log.
#[derive(Debug, Default)]
pub(crate) struct MapNotes {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    log: Option<Log>,
    /// What was said before there was a log.
    waiting: Vec<Vec<u8>>,
    told: HashMap<Vec<u8>, Instant>,
}

impl MapNotes {
    /// From now on there is a log.
    pub(crate) fn begin(&self, log: Log) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for line in state.waiting.drain(..) {
            log.line(Severity::Warning, None, &line);
        }
        state.log = Some(log);
    }

    /// Writes a line as it is, however often.
    pub(crate) fn write(&self, severity: Severity, line: &[u8]) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = &state.log {
            log.line(severity, None, line);
        }
    }

    /// Takes a line; whether it is a new one.
    pub(crate) fn tell(&self, line: &[u8]) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if state.told.get(line).is_some_and(|told| now.duration_since(*told) < SILENCE) {
            return false;
        }
        if state.told.len() >= LINES_MAX {
            state.told.clear();
        }
        state.told.insert(line.to_vec(), now);
        match &state.log {
            Some(log) => log.line(Severity::Warning, None, line),
            None if state.waiting.len() < LINES_MAX => state.waiting.push(line.to_vec()),
            None => {}
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_and_the_memory_of_it_has_a_limit() {
        let notes = MapNotes::default();
        assert!(notes.tell(b"map /x.db is older than /x"));
        assert!(!notes.tell(b"map /x.db is older than /x"));
        for number in 0..LINES_MAX {
            notes.tell(number.to_string().as_bytes());
        }
        let state = notes.state.lock().unwrap();
        assert!(state.told.len() <= LINES_MAX && state.waiting.len() <= LINES_MAX);
    }
}
