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
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

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
const NEW_MAILBOX: Mode = Mode::RUSR.union(Mode::WUSR).union(Mode::RGRP).union(Mode::WGRP);

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

fn apply(grants: &[Grant<'_>], ports: &Ports<'_>) -> Result<RestrictionStatus, RulesetError> {
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
    ruleset.restrict_self()
}

fn add(ruleset: RulesetCreated, grant: Grant<'_>) -> Result<RulesetCreated, RulesetError> {
    let (path, access) = match grant {
        Grant::ReadBelow(folder) => return add_place(ruleset, folder, reading()),
        Grant::WriteBelow(folder) => return add_place(ruleset, folder, writing()),
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
    let is_his = facts.st_uid == rustix::process::geteuid().as_raw();
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
    (is_his && is_mailbox).then_some(place)
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
