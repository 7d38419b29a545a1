//! Address test mode as a command: `sendmail -bt -C FILE -O… -M… -d…` on standard input and output.

use crate::configured;
use policy_cf::test_mode::{COMMAND_OCTETS_MAX, Session, TestMode};
use std::ffi::OsString;
use std::io::BufRead;

/// How much output may wait for the next pause.
const WAITING_OCTETS_MAX: usize = 1 << 16;

/// Runs the mode; gives the exit status.
#[must_use]
pub(crate) fn run(words: &[OsString]) -> u8 {
    configured::with(words, b't', |run| {
        let mut mode = TestMode::begin(&mut run.machine);
        let mut input = std::io::stdin().lock();
        loop {
            run.machine.out.extend_from_slice(b"> ");
            if run.machine.out.len() > WAITING_OCTETS_MAX || !has_more() {
                run.tell();
            }
            let Some(line) = read_line(&mut input) else { return run.machine.status };
            if mode.command(&mut run.machine, &line) == Session::Ends {
                return run.machine.status;
            }
        }
    })
}

/// Whether another whole line is there without waiting.
fn has_more() -> bool {
    // What is buffered is at hand; beyond it the terminal may want to see the prompt first.
    BUFFERED.with(std::cell::Cell::get)
}

thread_local! {
    /// Whether the last read left something in the buffer.
    static BUFFERED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Reads one line, at most as long as sendmail's buffer: a longer one comes in pieces.
fn read_line(input: &mut std::io::StdinLock<'_>) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    loop {
        let Ok(buffer) = input.fill_buf() else { return None };
        if buffer.is_empty() {
            BUFFERED.with(|cell| cell.set(false));
            return if line.is_empty() { None } else { Some(line) };
        }
        let room = COMMAND_OCTETS_MAX.saturating_sub(line.len()).min(buffer.len());
        let piece = buffer.get(..room).unwrap_or_default();
        let end = piece.iter().position(|octet| *octet == b'\n');
        let take = end.map_or(piece.len(), |end| end.saturating_add(1));
        line.extend_from_slice(buffer.get(..take).unwrap_or_default());
        let left = buffer.len().saturating_sub(take);
        input.consume(take);
        BUFFERED.with(|cell| cell.set(left > 0));
        if end.is_some() || line.len() >= COMMAND_OCTETS_MAX {
            return Some(line);
        }
    }
}
