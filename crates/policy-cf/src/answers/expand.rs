//! Who stands behind an alias, as far as members are addresses.

use super::check::refusal;
use super::judge::bracketed;
use super::local;
use crate::expand::Outside;
use crate::machine::Machine;
use alloc::boxed::Box;
use alloc::vec::Vec;
use policy::{Expansion, Recipient, RefusedMember, Route};
use wire::alias::{self, Member};

/// How deep aliases may lead to aliases (option MaxAliasRecursion).
const DEPTH_MAX: u32 = 10;
/// Members of one expansion.
const MEMBERS_MAX: usize = 10_000;

/// Expands an alias.
pub(super) fn expand(
    machine: &mut Machine<'_>,
    lists: &mut dyn Outside,
    address: &[u8],
    route: &Route,
) -> Expansion {
    let mut expansion = Expansion::default();
    follow(machine, lists, address, route, 0, &mut expansion);
    expansion
}

fn follow(
    machine: &mut Machine<'_>,
    lists: &mut dyn Outside,
    address: &[u8],
    route: &Route,
    depth: u32,
    out: &mut Expansion,
) {
    if depth > DEPTH_MAX || out.recipients.len().saturating_add(out.refused.len()) > MEMBERS_MAX {
        let reply = b"554 5.4.6 aliasing/forwarding loop broken";
        return refuse(out, address, reply);
    }
    let list = match local::alias(machine, &route.host, &route.user) {
        Ok(Some(list)) => list,
        Ok(None) => return refuse(out, address, b"550 5.1.1 User unknown"),
        Err(()) => {
            out.later = Some(Box::from(b"the aliases can't be read now".as_slice()));
            return;
        }
    };
    let Ok(members) = alias::members(&list) else {
        return refuse(out, address, b"553 5.1.3 the alias can't be understood");
    };
    for member in members {
        one(machine, lists, member, depth, out);
    }
}

fn one(
    machine: &mut Machine<'_>,
    lists: &mut dyn Outside,
    member: Member,
    depth: u32,
    out: &mut Expansion,
) {
    match member {
        Member::Address(name) => {
            let bare = name.strip_prefix(b"\\").unwrap_or(&name);
            match local::route(machine, lists, &bracketed(bare)) {
                Ok(route) if route.expands && bare.len() == name.len() => {
                    follow(machine, lists, bare, &route, depth.saturating_add(1), out);
                }
                Ok(mut route) => {
                    route.expands = false;
                    let is_known = out.recipients.iter().any(|known| known.route == route);
                    if !is_known {
                        out.recipients.push(Recipient { address: bare.into(), route });
                    }
                }
                Err(refusal) => out.refused.push(RefusedMember { address: bare.into(), refusal }),
            }
        }
        Member::Error(text) => refuse(out, &text, b"550 5.7.1 refused by the alias"),
        Member::Program(command) => refuse_kind(out, b"|", &command, b"programs"),
        Member::File(path) => refuse_kind(out, b"", &path, b"files"),
        Member::Include(path) => refuse_kind(out, b":include:", &path, b"lists in files"),
    }
}

fn refuse_kind(out: &mut Expansion, mark: &[u8], text: &[u8], kind: &[u8]) {
    let reply = [b"550 5.7.1 mail to ", kind, b" is not delivered here"].concat();
    refuse(out, &[mark, text].concat(), &reply);
}

fn refuse(out: &mut Expansion, address: &[u8], reply: &[u8]) {
    let refusal = refusal(reply, None, address, b"aliases");
    let address: Vec<u8> = address.to_vec();
    out.refused.push(RefusedMember { address: address.into(), refusal });
}
