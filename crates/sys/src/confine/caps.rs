//! Capabilities: all sets empty, and looked at again.

use super::{ConfineError, step};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};
use std::io;

/// Takes every capability out of the bounding set, those too that this program does not know by name. Without the
/// right to do so there is nothing in our sets that exec could give back (`no_new_privs`), and [`drop_all`]
/// sees to the rest.
pub(super) fn drop_bounding_set() -> Result<(), ConfineError> {
    let own = step("bounding set", rustix::thread::capabilities(None))?;
    if !own.effective.contains(CapabilitySet::SETPCAP) {
        return Ok(());
    }
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        match rustix::thread::capability_is_in_bounding_set(capability) {
            Ok(false) => continue,
            Ok(true) => {}
            // The first number that this kernel does not know: there is none above it.
            Err(Errno::INVAL) => break,
            Err(error) => return step("bounding set", Err(error)),
        }
        step("bounding set", rustix::thread::remove_capability_from_bounding_set(capability))?;
        if step("bounding set", rustix::thread::capability_is_in_bounding_set(capability))? {
            return step("bounding set", Err(io::Error::other("the kernel did not obey")));
        }
    }
    Ok(())
}

/// Empties the ambient, effective, permitted and inheritable sets, and looks whether they are empty.
pub(super) fn drop_all() -> Result<(), ConfineError> {
    step("capabilities", rustix::thread::clear_ambient_capability_set())?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    step("capabilities", rustix::thread::set_capabilities(None, sets))?;
    let now = step("capabilities", rustix::thread::capabilities(None))?;
    if now == sets {
        return Ok(());
    }
    step("capabilities", Err(io::Error::other("the kernel did not obey")))
}
