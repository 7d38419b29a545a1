//! How many processors there are for us.

/// Processors this process may use, at least 1.
#[must_use]
pub fn count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
