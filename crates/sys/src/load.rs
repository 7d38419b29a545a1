//! How busy this machine is (sysinfo(2)).

/// Processes that could run in the last minute, on average; rounded, as sendmail's options count it.
#[must_use]
pub fn average() -> u32 {
    let [minute, ..] = rustix::system::sysinfo().loads;
    let rounded = minute.saturating_add(SCALE / 2) / SCALE;
    u32::try_from(rounded).unwrap_or(u32::MAX)
}

/// The kernel counts in parts of this.
const SCALE: u64 = 65_536;

#[cfg(test)]
mod tests {
    #[test]
    fn a_machine_that_runs_a_test_is_not_busy_beyond_measure() {
        assert!(super::average() < 100_000);
    }
}
