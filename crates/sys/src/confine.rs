//! The cage of a process: built from data, entered once, never left.
//!
//! In this order, each step checked (a step that fails silently is how sendmail 8.10.1 kept root on a kernel that
//! refused to drop it, CVE-2000-0506): no new privileges; the bounding set; groups, group, user, and the proof
//! that there is no way back; not dumpable; limits; files and ports (Landlock); system calls (seccomp).

mod calls;
mod files;
mod seccomp;

pub use calls::Calls;

use nix::unistd::{Gid, Uid};
use rustix::process::{Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};
use std::ffi::CString;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

/// A cage, not yet entered.
#[derive(Debug)]
pub struct Cage<'a> {
    /// The name of the process in `ps`.
    pub name: &'a str,
    /// Whom to become; `None`: stay who we are.
    pub identity: Option<Identity>,
    /// Bounds of resources.
    pub limits: Limits,
    /// Files that may be used; nothing else can be opened.
    pub grants: Vec<Grant<'a>>,
    /// System calls beside the base.
    pub calls: &'a [Calls],
}

/// A user to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
}

/// Bounds of resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open descriptors.
    pub descriptors: u64,
    /// Address space in octets.
    pub memory_bytes: u64,
}

/// A part of the file system that may be used.
#[derive(Debug, Clone, Copy)]
pub enum Grant<'a> {
    /// A file, or a folder and all below it, for reading.
    ReadPath(&'a Path),
    /// A folder and all below it, for reading and writing.
    WritePath(&'a Path),
    /// The same, of a folder that is open already.
    WriteBelow(BorrowedFd<'a>),
}

/// A step that failed.
#[derive(Debug)]
pub struct ConfineError {
    step: &'static str,
    error: io::Error,
}

impl std::fmt::Display for ConfineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the cage can't be closed: {}: {}", self.step, self.error)
    }
}

impl std::error::Error for ConfineError {}

/// What the cage came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    files: files::Enforced,
}

impl Entered {
    /// What this kernel could not give, in words; empty: nothing.
    #[must_use]
    pub fn weaker(&self) -> String {
        match self.files {
            files::Enforced::Fully => String::new(),
            files::Enforced::Partly => "this kernel has not all of Landlock".into(),
            files::Enforced::Not => {
                "this kernel has no Landlock: files are kept by the user and by seccomp".into()
            }
        }
    }
}

/// Names a step in its error.
fn step<T, E: Into<io::Error>>(
    step: &'static str,
    result: Result<T, E>,
) -> Result<T, ConfineError> {
    result.map_err(|error| ConfineError { step, error: error.into() })
}

impl Cage<'_> {
    /// Enters the cage. The process must have one thread.
    ///
    /// # Errors
    /// The step that failed; the process is then somewhere in between, and must end.
    pub fn enter(self) -> Result<Entered, ConfineError> {
        if let Ok(name) = CString::new(self.name) {
            // A name is a courtesy to `ps`.
            rustix::thread::set_name(&name).ok();
        }
        step("no_new_privs", rustix::thread::set_no_new_privs(true))?;
        drop_bounding_set()?;
        if let Some(identity) = &self.identity {
            become_user(identity)?;
        }
        drop_capabilities()?;
        let not = rustix::process::DumpableBehavior::NotDumpable;
        step("not dumpable", rustix::process::set_dumpable_behavior(not))?;
        limit(&self.limits)?;
        let wants_network = self.calls.contains(&Calls::SocketInet);
        let files = step("files", files::restrict(&self.grants, wants_network))?;
        step("system calls", seccomp::restrict(self.calls))?;
        Ok(Entered { files })
    }
}

/// Takes every capability out of the bounding set. Without the right to do so there is nothing in our
/// sets that exec could give back (`no_new_privs`), and [`drop_capabilities`] sees to the rest.
fn drop_bounding_set() -> Result<(), ConfineError> {
    for capability in CapabilitySet::all().iter() {
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(rustix::io::Errno::PERM) if !Uid::effective().is_root() => return Ok(()),
            Err(error) => return step("bounding set", Err(error)),
        }
    }
    Ok(())
}

fn become_user(identity: &Identity) -> Result<(), ConfineError> {
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    let groups: Vec<Gid> = identity.groups.iter().map(|&group| Gid::from_raw(group)).collect();
    step("groups", nix::unistd::setgroups(&groups))?;
    step("group", nix::unistd::setresgid(gid, gid, gid))?;
    step("user", nix::unistd::setresuid(uid, uid, uid))?;
    let is_root = uid.is_root();
    if !is_root && (nix::unistd::setuid(Uid::from_raw(0)).is_ok() || Uid::current() != uid) {
        return step("user", Err(io::Error::other("there is a way back to root")));
    }
    if Gid::current() != gid || Gid::effective() != gid || Uid::effective() != uid {
        return step("user", Err(io::Error::other("the kernel did not obey")));
    }
    Ok(())
}

/// Empties the effective, permitted and inheritable sets, and looks whether they are empty.
fn drop_capabilities() -> Result<(), ConfineError> {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    step("capabilities", rustix::thread::set_capabilities(None, sets))?;
    let now = step("capabilities", rustix::thread::capabilities(None))?;
    if now == sets {
        return Ok(());
    }
    step("capabilities", Err(io::Error::other("the kernel did not obey")))
}

/// Sets limits, never above what we may have.
fn limit(limits: &Limits) -> Result<(), ConfineError> {
    for (resource, wanted) in [
        (Resource::Nofile, limits.descriptors),
        (Resource::As, limits.memory_bytes),
        (Resource::Core, 0),
    ] {
        let allowed = rustix::process::getrlimit(resource).maximum;
        let bound = allowed.map_or(wanted, |allowed| wanted.min(allowed));
        let limit = Rlimit { current: Some(bound), maximum: Some(bound) };
        step("limits", rustix::process::setrlimit(resource, limit))?;
    }
    Ok(())
}
