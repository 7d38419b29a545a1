//! Files and ports by Landlock: what is not granted can't be opened, whoever the user is.
//!
//! The rules are those of version 6 (Linux 6.12): files, TCP ports, abstract Unix sockets and signals of processes
//! outside. An older kernel enforces what it knows, and [`Enforced`] says so; the rest of the cage stands without.

use super::{Calls, Grant, Narrower};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath,
    PathFd, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope,
};
use nix::libc;
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// How far this kernel went along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enforced {
    /// Every rule holds.
    Fully,
    /// The kernel is older than some rules.
    Partly,
    /// The kernel has no Landlock.
    Not,
}

/// The rights of a mailbox that is made: the owner's and the group's (Debian policy 11.6), less what the umask takes.
pub(super) const NEW_MAILBOX: Mode =
    Mode::RUSR.union(Mode::WUSR).union(Mode::RGRP).union(Mode::WGRP);

/// The rules that we know.
const RULES: ABI = ABI::V6;

/// TCP ports; `None`: all.
pub(super) struct Ports<'a> {
    connect: Option<&'a [u16]>,
    bind: Option<&'a [u16]>,
}

impl<'a> Ports<'a> {
    /// Who makes no sockets has no ports; who does has those named, or all.
    pub(super) fn of(calls: &[Calls], narrower: &'a Narrower) -> Self {
        if !calls.contains(&Calls::SocketInet) {
            return Self { connect: Some(&[]), bind: Some(&[]) };
        }
        let (connect, bind) = (&narrower.connect_ports, &narrower.bind_ports);
        Self { connect: connect.as_deref(), bind: bind.as_deref() }
    }

    fn rules(&self) -> [(AccessNet, Option<&'a [u16]>); 2] {
        [(AccessNet::ConnectTcp, self.connect), (AccessNet::BindTcp, self.bind)]
    }
}

/// Whether this kernel can keep a process from files that its user may use, from cutting them too (Landlock since its third
/// version).
#[must_use]
pub fn keeps_files() -> bool {
    const VERSION: libc::c_uint = 1;
    const WITH_TRUNCATE: libc::c_long = 3;
    let nothing = std::ptr::null::<libc::c_void>();
    // SAFETY: with this flag the call reads no memory and makes nothing; it says which version there is.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0_usize, VERSION) };
    version >= WITH_TRUNCATE
}

/// Restricts this process to the grants and ports.
pub(super) fn restrict(grants: &[Grant<'_>], ports: &Ports<'_>) -> io::Result<Enforced> {
    let status = apply(grants, ports).map_err(io::Error::other)?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Enforced::Fully,
        RulesetStatus::PartiallyEnforced => Enforced::Partly,
        RulesetStatus::NotEnforced => Enforced::Not,
    })
}

/// The rules for programs of who has more than they: without [`Grant::OursBelow`]. `None`: they may have all.
pub(super) fn for_programs(grants: &[Grant<'_>]) -> io::Result<Option<ForPrograms>> {
    if !grants.iter().any(|grant| matches!(grant, Grant::OursBelow(_))) {
        return Ok(None);
    }
    let theirs: Vec<_> =
        grants.iter().filter(|grant| !matches!(grant, Grant::OursBelow(_))).copied().collect();
    let ruleset = ruleset_of(&theirs, &Ports { connect: None, bind: None });
    let ruleset: Option<OwnedFd> = ruleset.map_err(io::Error::other)?.into();
    let ruleset = ruleset.ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))?;
    Ok(Some(ForPrograms { ruleset: Arc::new(ruleset) }))
}

/// What makes the cage of the programs that a process starts narrower than its own.
#[derive(Debug, Clone)]
pub struct ForPrograms {
    ruleset: Arc<OwnedFd>,
}

impl ForPrograms {
    /// Lets a program start in the narrower cage, or not at all.
    pub fn hold(&self, command: &mut Command) {
        let ruleset = Arc::clone(&self.ruleset);
        let enter = move || {
            // SAFETY: the call takes a descriptor that lives as long as this closure, and touches no memory.
            let result = unsafe {
                libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0_u32)
            };
            if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
        };
        // SAFETY: between fork and exec the closure makes one system call: no memory is allocated, no lock taken.
        unsafe { command.pre_exec(enter) };
    }
}

fn apply(grants: &[Grant<'_>], ports: &Ports<'_>) -> Result<RestrictionStatus, RulesetError> {
    ruleset_of(grants, ports)?.restrict_self()
}

fn ruleset_of(grants: &[Grant<'_>], ports: &Ports<'_>) -> Result<RulesetCreated, RulesetError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(RULES))?
        .scope(Scope::from_all(RULES))?;
    for (access, allowed) in ports.rules() {
        if allowed.is_some() {
            ruleset = ruleset.handle_access(access)?;
        }
    }
    let mut ruleset = ruleset.create()?;
    for (access, allowed) in ports.rules() {
        for &port in allowed.unwrap_or_default() {
            ruleset = ruleset.add_rule(NetPort::new(port, access))?;
        }
    }
    for grant in grants {
        ruleset = add(ruleset, *grant)?;
    }
    Ok(ruleset)
}

fn add(ruleset: RulesetCreated, grant: Grant<'_>) -> Result<RulesetCreated, RulesetError> {
    let (path, access) = match grant {
        Grant::ReadBelow(folder) => return add_place(ruleset, folder, reading()),
        Grant::WriteBelow(folder) | Grant::OursBelow(folder) => {
            return add_place(ruleset, folder, writing());
        }
        Grant::ReadPath(path) => (path, reading()),
        Grant::WritePath(path) => (path, writing()),
        Grant::MakePath(path) => (path, AccessFs::MakeReg | AccessFs::WriteFile),
        Grant::ExecutePath(path) => (path, reading() | AccessFs::Execute),
        Grant::ListPath(path) => (path, AccessFs::ReadDir.into()),
        Grant::OwnMailbox(path) => {
            return match own_mailbox(path) {
                Some(place) => add_place(ruleset, place.as_fd(), writing()),
                None => Ok(ruleset),
            };
        }
    };
    match PathFd::new(path) {
        Ok(place) => add_place(ruleset, place.as_fd(), access),
        // What is not there can't be granted, and can't be opened.
        Err(_) => Ok(ruleset),
    }
}

/// The mailbox of who we are now. An agent may have put another's in its place, by a link or a new name: the owner and the
/// number of names are looked at behind the opening.
fn own_mailbox(path: &Path) -> Option<OwnedFd> {
    let look =
        || rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
    let place = match look() {
        Err(Errno::NOENT) => {
            let flags =
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            // What can't be made is seen by the next look.
            drop(rustix::fs::open(path, flags, NEW_MAILBOX));
            look()
        }
        looked => looked,
    };
    let place = place.ok()?;
    let facts = rustix::fs::fstat(&place).ok()?;
    is_mailbox_of(&facts, rustix::process::geteuid().as_raw()).then_some(place)
}

/// Whether this is a mailbox of this user: a plain file with one name, or a folder.
pub(super) fn is_mailbox_of(facts: &Stat, uid: u32) -> bool {
    let is_mailbox = match FileType::from_raw_mode(facts.st_mode) {
        FileType::RegularFile => facts.st_nlink == 1,
        FileType::Directory => true,
        FileType::Symlink
        | FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => false,
    };
    facts.st_uid == uid && is_mailbox
}

fn add_place(
    ruleset: RulesetCreated,
    place: BorrowedFd<'_>,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    let facts = rustix::fs::fstat(place);
    let is_folder =
        facts.is_ok_and(|facts| FileType::from_raw_mode(facts.st_mode) == FileType::Directory);
    // What one does with a folder can't be granted for a file.
    let access = if is_folder { access } else { access & AccessFs::from_file(RULES) };
    ruleset.add_rule(PathBeneath::new(place, access))
}

fn reading() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::ReadDir
}

fn writing() -> BitFlags<AccessFs> {
    reading()
        | AccessFs::WriteFile
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::Refer
        | AccessFs::Truncate
}
