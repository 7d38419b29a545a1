//! The steps of an answer one at a time, for who shows them to people (`ironpost explain`): the same functions that the
//! server's answers are made of.

use super::{check, local, moment};
use crate::machine::Machine;
use crate::resolve::Resolved;
use crate::world::Unavailable;
use alloc::vec::Vec;
use policy::{Facts, Refusal, Verdict};

/// Sets the macros of a session.
pub fn begin(machine: &mut Machine<'_>, facts: &Facts) {
    moment::set(machine, facts, None);
}

/// Whether the configuration has rules of this name.
#[must_use]
pub fn has(machine: &Machine<'_>, name: &[u8]) -> bool {
    check::has(machine, name)
}

/// Runs a check rule set over `first` (and `$|` and `second`); `None`: it says nothing against it, or is not there.
pub fn check(
    machine: &mut Machine<'_>,
    name: &[u8],
    first: &[u8],
    second: Option<&[u8]>,
) -> Option<Verdict> {
    check::run(machine, name, first, second, b"").verdict(name)
}

/// What the aliases put in the place of a user; `Err`: they can't say now.
///
/// # Errors
/// A map could not answer.
pub fn alias(
    machine: &mut Machine<'_>,
    host: &[u8],
    user: &[u8],
) -> Result<Option<Vec<u8>>, Unavailable> {
    local::alias(machine, host, user).map_err(|()| Unavailable)
}

/// Where rule set 5 sends a local user; `None`: he stays.
///
/// # Errors
/// The rule set refuses.
pub fn local_user(machine: &mut Machine<'_>, user: &[u8]) -> Result<Option<Resolved>, Refusal> {
    local::localaddr(machine, b"", user)
}

/// A reply text of the rules, with the status of `$@`, as a refusal.
#[must_use]
pub fn refusal(reply: &[u8], status: Option<&[u8]>) -> Refusal {
    check::refusal(reply, status, b"", b"")
}
