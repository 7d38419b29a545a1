//! Where a recipient goes: rule sets 3 and 0, then aliases, rule set 5 and the users of this system (sendmail's recipient()).

use super::check::refusal;
use crate::expand::{Outside, find_user};
use crate::machine::{Event, Machine, Said, ScanTable, exit, strip_quotes};
use crate::resolve::{Resolved, Side, set};
use crate::token::meta;
use crate::world::Unavailable;
use alloc::vec::Vec;
use policy::{MailerId, Refusal, Route};

/// How often rule set 5 may send a local name on.
const LOCAL_ROUNDS_MAX: u32 = 10;

/// Resolves an address as the envelope has it.
pub(super) fn resolve(machine: &mut Machine<'_>, shown: &[u8]) -> Result<Resolved, Refusal> {
    machine.replies.clear();
    let parsed = machine.parse(shown, Side::default());
    let said = machine.replies.pop();
    let no = |reply: Option<Vec<u8>>, host: Option<&[u8]>| {
        let reply = reply.unwrap_or_else(|| b"501 5.1.3 Missing recipient".to_vec());
        refusal(&reply, host, shown, b"")
    };
    match parsed {
        None => Err(no(said, None)),
        Some(resolved) if resolved.mailer.is_none() => {
            Err(no(resolved.refusal.or(said), resolved.host.as_deref()))
        }
        Some(resolved) => Ok(resolved),
    }
}

/// The route of an address that no check has seen.
pub(super) fn route(
    machine: &mut Machine<'_>,
    lists: &mut dyn Outside,
    shown: &[u8],
) -> Result<Route, Refusal> {
    let resolved = resolve(machine, shown)?;
    place(machine, lists, shown, resolved)
}

/// The route of an address that rule set 0 resolved.
pub(super) fn place(
    machine: &mut Machine<'_>,
    lists: &mut dyn Outside,
    shown: &[u8],
    mut resolved: Resolved,
) -> Result<Route, Refusal> {
    let no = |reply: &[u8]| refusal(reply, None, shown, b"");
    for _ in 0..LOCAL_ROUNDS_MAX {
        let number = resolved.mailer.ok_or_else(|| no(b"550 5.1.1 User unknown"))?;
        let Some(mailer) = machine.config.mailers.get(number) else {
            return Err(no(b"554 5.3.5 unknown mailer"));
        };
        let (flags, name) = (mailer.flags, mailer.name.clone());
        let directly: Option<&[u8]> = match name.as_slice() {
            b"prog" => Some(b"550 5.7.1 Cannot mail directly to programs"),
            b"*file*" => Some(b"550 5.7.1 Cannot mail directly to files"),
            b"*include*" => Some(b"550 5.7.1 Cannot mail directly to :include:s"),
            _ => None,
        };
        if let Some(reply) = directly {
            return Err(no(reply));
        }
        // `\user` is the user himself.
        let is_quoted = resolved.user.contains(&b'\\');
        if flags.has(b'A') && !is_quoted && has_alias(machine, &resolved, &no)? {
            return Ok(carried_by(number, &resolved, true));
        }
        if flags.has(b'5')
            && let Some(next) = localaddr(machine, shown, &resolved.user)?
            && (next.mailer, &next.host, &next.user)
                != (resolved.mailer, &resolved.host, &resolved.user)
        {
            resolved = next;
            continue;
        }
        if flags.has(b'w') {
            let user = strip_quotes(&resolved.user);
            let found = find_user(machine, lists, &user)
                .map_err(|Unavailable| no(b"451 4.3.0 Temporary user lookup failure"))?;
            let Some((found, is_near)) = found else {
                return Err(no(b"550 5.1.1 User unknown"));
            };
            if is_near {
                // Found by another name than the one written: that one may be an alias.
                resolved.user = found.name;
                continue;
            }
            if is_quoted {
                resolved.user = user;
            }
        }
        // A user may have a `.forward`: who stands behind him is seen when it is read.
        let forwards = name == b"local" && flags.has(b'w') && has_forward_path(machine);
        return Ok(carried_by(number, &resolved, forwards && !is_quoted));
    }
    Err(no(b"554 5.4.6 aliasing/forwarding loop broken"))
}

/// Whether users' `.forward` files are looked for at all.
fn has_forward_path(machine: &Machine<'_>) -> bool {
    let path = machine.config.options.values.get("ForwardPath");
    path.is_none_or(|path| path.iter().any(|octet| *octet != b':'))
}

fn carried_by(number: usize, resolved: &Resolved, expands: bool) -> Route {
    Route {
        mailer: MailerId(u8::try_from(number).unwrap_or(u8::MAX)),
        host: resolved.host.clone().unwrap_or_default().into(),
        user: resolved.user.clone().into(),
        expands,
    }
}

/// Names under which an alias is looked for: with the detail, with any detail, without (`$@ +detail` of rule set 0).
pub(super) fn alias_names(host: &[u8], user: &[u8]) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    if host.first() == Some(&b'+') {
        names.push([user, host].concat());
        names.push([user, b"+*".as_slice()].concat());
    }
    names.push(user.to_vec());
    names
}

/// Looks an alias up; `Err`: the tables can't say now.
pub(super) fn alias(
    machine: &mut Machine<'_>,
    host: &[u8],
    user: &[u8],
) -> Result<Option<Vec<u8>>, ()> {
    for name in alias_names(host, user) {
        let mut status = exit::OK;
        let key = name.to_ascii_lowercase();
        let found = machine.class_look_up(b"aliases", &key, &[], &mut status, 0);
        let said = Said::of(found.as_deref(), status);
        machine.note(|_| Event::Asked(b"aliases".to_vec(), key, said));
        if found.is_some() {
            return Ok(found);
        }
        if status == exit::TEMPFAIL {
            return Err(());
        }
    }
    Ok(None)
}

fn has_alias(
    machine: &mut Machine<'_>,
    resolved: &Resolved,
    no: &dyn Fn(&[u8]) -> Refusal,
) -> Result<bool, Refusal> {
    let host = resolved.host.as_deref().unwrap_or_default();
    match alias(machine, host, &resolved.user) {
        Ok(found) => Ok(found.is_some()),
        Err(()) => Err(no(b"451 4.3.0 Temporary alias lookup failure")),
    }
}

/// Rule set 5 may send a local name without an alias elsewhere; `None`: it stays.
pub(super) fn localaddr(
    machine: &mut Machine<'_>,
    shown: &[u8],
    user: &[u8],
) -> Result<Option<Resolved>, Refusal> {
    let mut tokens = Vec::new();
    let (found, _) = machine.scan(user, ScanTable::Outside, 0, &mut tokens);
    if !found {
        return Ok(None);
    }
    let _status = machine.rewrite(&mut tokens, set::LOCAL);
    if tokens.first().is_none_or(|token| token.lead != meta::MAILER) {
        return Ok(None);
    }
    machine.replies.clear();
    let resolved = machine.build(&tokens, Side::default());
    if resolved.mailer.is_some() {
        return Ok(Some(resolved));
    }
    let reply = resolved.refusal.or_else(|| machine.replies.pop());
    let reply = reply.unwrap_or_else(|| b"550 5.1.1 User unknown".to_vec());
    Err(refusal(&reply, resolved.host.as_deref(), shown, b""))
}
