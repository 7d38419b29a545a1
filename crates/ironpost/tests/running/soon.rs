//! Waiting in tests: for what must come, not for a time.

use std::time::{Duration, Instant};

/// How long the slowest of what is waited for may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until it is so. Whether it came to be.
pub(crate) fn is_soon(mut is_so: impl FnMut() -> bool) -> bool {
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        if is_so() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}
