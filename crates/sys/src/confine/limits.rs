//! Bounds of resources (setrlimit), never above what we may have.

use super::{ConfineError, Limits, Narrower, step};
use rustix::process::{Resource, Rlimit};

/// Sets the limits, soft and hard; core files are never written, because they would hold mail.
pub(super) fn set(limits: &Limits, narrower: &Narrower) -> Result<(), ConfineError> {
    let wanted = [
        (Resource::Nofile, Some(limits.descriptors)),
        (Resource::As, Some(limits.memory_bytes)),
        (Resource::Core, Some(0)),
        (Resource::Fsize, narrower.file_bytes),
        (Resource::Nproc, narrower.processes),
    ];
    for (resource, wanted) in wanted {
        let Some(wanted) = wanted else { continue };
        let allowed = rustix::process::getrlimit(resource).maximum;
        let bound = allowed.map_or(wanted, |allowed| wanted.min(allowed));
        let limit = Rlimit { current: Some(bound), maximum: Some(bound) };
        step("limits", rustix::process::setrlimit(resource, limit))?;
    }
    Ok(())
}
