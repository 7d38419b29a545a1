//! The line before a message that programs and mailbox files get: option `UnixFromLine` (macro `$l`), or for `F=U` a line with the
//! name of the host that UUCP is to send back to.

use super::super::tune::value;
use super::Work;
use crate::machine::Machine;
use crate::token::meta::MACRO;
use alloc::vec::Vec;

/// Octets of the line; sendmail cuts at about as many.
const BYTES_MAX: usize = 2_000;

/// What everybody has: `From $g $d`. Who writes it knows both.
const USUAL: [&[u8]; 4] = [b"From ", &[MACRO, b'g'], b" ", &[MACRO, b'd']];

/// The line without its end; empty: the usual one, or none. `$g` is to be set for the mailer.
pub(super) fn separator(machine: &mut Machine<'_>, work: &Work<'_>) -> Vec<u8> {
    if work.flags.has(b'n') || work.is_smtp(machine) {
        return Vec::new();
    }
    let template = if work.flags.has(b'U') {
        from_uucp(machine)
    } else {
        let option = value(machine, "UnixFromLine").map(<[u8]>::to_vec);
        match option.or_else(|| machine.config.macros.value(b'l').map(<[u8]>::to_vec)) {
            Some(template) if !template.is_empty() && template != USUAL.concat() => template,
            Some(_) | None => return Vec::new(),
        }
    };
    let mut line = machine.expand(&template);
    line.retain(|octet| !octet.is_ascii_control());
    line.truncate(BYTES_MAX);
    line
}

/// `From user date remote from host`, of a path (`host!user`), an address, or a user of this host.
fn from_uucp(machine: &Machine<'_>) -> Vec<u8> {
    let macros = &machine.config.macros;
    let path = macros.value(b'g').unwrap_or_default();
    let cut = |at: Option<usize>| {
        let (before, rest) = path.split_at_checked(at?)?;
        Some((before, rest.get(1..)?))
    };
    let bang = cut(path.iter().position(|&octet| octet == b'!')).map(|(host, user)| (user, host));
    let at = || cut(path.iter().rposition(|&octet| octet == b'@'));
    let here = macros.value(b'k').unwrap_or_default();
    let (user, host) = bang.or_else(at).unwrap_or((path, here));
    [b"From ", user, b"  ", &[MACRO, b'd'], b" remote from ", host].concat()
}
