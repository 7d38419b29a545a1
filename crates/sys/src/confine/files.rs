//! Files and ports by Landlock: what is not granted can't be opened, whoever the user is.

use super::Grant;
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};
use std::io;

/// How far this kernel went along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Enforced {
    Fully,
    Partly,
    Not,
}

/// The rules that we know.
const RULES: ABI = ABI::V6;

/// Restricts this process to the grants. Ports stay open for roles that connect; for all others there is
/// no port at all.
pub(super) fn restrict(grants: &[Grant<'_>], wants_network: bool) -> io::Result<Enforced> {
    let all = AccessFs::from_all(RULES);
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
    let mut ruleset = ruleset.handle_access(all).map_err(io::Error::other)?;
    if !wants_network {
        ruleset = ruleset.handle_access(AccessNet::from_all(RULES)).map_err(io::Error::other)?;
    }
    let ruleset = ruleset.scope(Scope::from_all(RULES)).map_err(io::Error::other)?;
    let mut ruleset = ruleset.create().map_err(io::Error::other)?;
    for grant in grants {
        ruleset = match *grant {
            Grant::ReadPath(path) => match PathFd::new(path) {
                Ok(file) => ruleset.add_rule(PathBeneath::new(file, reading(path.is_dir()))),
                // What is not there can't be granted, and can't be read.
                Err(_) => Ok(ruleset),
            },
            Grant::WritePath(path) => match PathFd::new(path) {
                Ok(folder) => ruleset.add_rule(PathBeneath::new(folder, writing())),
                Err(_) => Ok(ruleset),
            },
            Grant::WriteBelow(folder) => ruleset.add_rule(PathBeneath::new(folder, writing())),
        }
        .map_err(io::Error::other)?;
    }
    let status = ruleset.restrict_self().map_err(io::Error::other)?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Enforced::Fully,
        RulesetStatus::PartiallyEnforced => Enforced::Partly,
        RulesetStatus::NotEnforced => Enforced::Not,
    })
}

fn reading(is_folder: bool) -> landlock::BitFlags<AccessFs> {
    if is_folder { AccessFs::ReadFile | AccessFs::ReadDir } else { AccessFs::ReadFile.into() }
}

fn writing() -> landlock::BitFlags<AccessFs> {
    AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::Refer
        | AccessFs::Truncate
}
