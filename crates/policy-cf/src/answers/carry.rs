//! M lines as the carriers that other roles know.

use crate::machine::Machine;
use crate::macros::Macros;
use crate::mailer::Mailer;
use crate::token::{meta, show};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use policy::{Carriage, LmtpPlace, MailerFlags, Program, Transport};

/// Connections to one destination at the same time: sendmail has as many as queue runners.
const CONCURRENCY_MAX: u32 = 20;
/// The port of SMTP where `A=` names none.
const SMTP_PORT: u16 = 25;

/// All mailers, by number.
pub(super) fn mailers(machine: &Machine<'_>) -> Vec<policy::Mailer> {
    machine.config.mailers.iter().map(|mailer| carrier(machine, mailer)).collect()
}

fn carrier(machine: &Machine<'_>, mailer: &Mailer) -> policy::Mailer {
    let positive = |number: i64| u32::try_from(number).unwrap_or(0);
    let options = &machine.config.options;
    // As sendmail has it, one at a time needs the status of hosts.
    let is_single = options.truth("SingleThreadDelivery")
        && options.values.get("HostStatusDirectory").is_some_and(|path| !path.is_empty());
    policy::Mailer {
        name: mailer.name.clone().into(),
        transport: transport(machine, mailer),
        // Without `F=m` each recipient has a transaction of its own.
        recipients_max: if mailer.flags.has(b'm') {
            positive(mailer.recipients_max).clamp(1, 1000)
        } else {
            1
        },
        concurrency_max: if is_single { 1 } else { CONCURRENCY_MAX },
        carriage: Carriage {
            flags: flags(mailer),
            waits_for_run: mailer.waits_for_run(options.truth("HoldExpensive")),
            line_bytes_max: positive(mailer.line_max),
            line_end: mailer.line_end.clone().into(),
            message_bytes_max: u64::try_from(mailer.size_max).unwrap_or(0),
            messages_max: positive(mailer.messages_max),
            charset: mailer.charset.clone().unwrap_or_default().into(),
            types: mailer.types.clone().map(|kind| kind.unwrap_or_default().into()),
            host: called_host(machine, mailer).into(),
        },
    }
}

/// The host of the route, as it stands in what `A=` names.
const ROUTE_HOST: &[u8] = b"$h";

/// The host that `A=TCP HOST [PORT]` names itself, perhaps with `$h` in it: connections go there, whatever the rules said.
/// Nothing with `$h` alone.
fn called_host(machine: &Machine<'_>, mailer: &Mailer) -> Vec<u8> {
    let is_network = matches!(mailer.path.as_slice(), b"[IPC]" | b"[TCP]");
    let macros = &machine.config.macros;
    match mailer.arguments.as_slice() {
        [how, host, rest @ ..] if is_network && how != b"FILE" => {
            let mut host = argument_of(macros, host);
            let port = rest.first().map(|port| argument_of(macros, port));
            if port.is_some_and(|port| port == ROUTE_HOST) {
                // The rules say the port alone.
                host.extend_from_slice(b":$h");
            }
            if host == ROUTE_HOST { Vec::new() } else { host }
        }
        _ => Vec::new(),
    }
}

/// Whether no macro of a message is left in an argument but those.
fn has_only(argument: &[u8], names: &[u8]) -> bool {
    let mut rest = argument.iter();
    while let Some(octet) = rest.next() {
        if *octet == b'$' && !rest.next().is_some_and(|name| *name == b'$' || names.contains(name))
        {
            return false;
        }
    }
    true
}

/// A server behind a Unix socket: `A=FILE PATH`.
fn behind_a_path(argument: &[u8], is_lmtp: bool) -> Transport {
    if !argument.starts_with(b"/") {
        return waits(b"the Unix socket of this mailer has no absolute path");
    }
    if !has_only(argument, b"") {
        // Who writes an address must not choose a path.
        return waits(b"the path of this mailer's Unix socket is made of what a message says");
    }
    let path = policy::with_host(argument, b"");
    if is_lmtp { Transport::Lmtp(LmtpPlace::Unix(path)) } else { Transport::SmtpUnix(path) }
}

/// A server on the network: `A=TCP HOST [PORT]`.
fn on_the_network(host: &[u8], port_argument: Option<&[u8]>, is_lmtp: bool) -> Transport {
    if !has_only(host, b"h") {
        return waits(b"the host of this mailer is made of what one recipient says");
    }
    let known_port = match port_argument {
        None | Some(b"" | ROUTE_HOST) => Some(SMTP_PORT),
        Some(text) => port(text),
    };
    let Some(port) = known_port else {
        return waits(b"the port of this mailer has no known name");
    };
    let is_fixed = port_argument != Some(ROUTE_HOST);
    match address(host).filter(|_| is_fixed) {
        _ if !is_lmtp => Transport::Smtp { port },
        Some(address) => Transport::Lmtp(LmtpPlace::Tcp(SocketAddr::new(address, port))),
        None => Transport::Lmtp(LmtpPlace::Host { port }),
    }
}

fn flags(mailer: &Mailer) -> MailerFlags {
    let set = (0..128_u8).filter(|flag| mailer.flags.has(*flag));
    set.fold(MailerFlags::default(), MailerFlags::with)
}

fn transport(machine: &Machine<'_>, mailer: &Mailer) -> Transport {
    if mailer.name.eq_ignore_ascii_case(b"discard") {
        return Transport::Discard;
    }
    match mailer.path.as_slice() {
        b"[IPC]" | b"[TCP]" => {
            let is_lmtp = mailer.flags.has(b'z');
            let arguments = mailer.arguments.iter();
            let mut arguments = arguments.map(|one| argument_of(&machine.config.macros, one));
            let how = arguments.next().unwrap_or_default();
            let place = arguments.next().unwrap_or_default();
            if how == b"FILE" {
                behind_a_path(&place, is_lmtp)
            } else {
                on_the_network(&place, arguments.next().as_deref(), is_lmtp)
            }
        }
        b"[LPC]" => waits(b"P=[LPC] has no program to talk to"),
        b"/dev/null" if mailer.name == b"*include*" => waits(b"lists are expanded before delivery"),
        path => Transport::Program(Box::new(program(machine, mailer, path))),
    }
}

fn waits(reason: &[u8]) -> Transport {
    Transport::Waits { reason: reason.into() }
}

/// `P=` of the mailer that appends to files.
const FILE: &[u8] = b"[FILE]";

/// Macros of one letter that are a message's or a recipient's: whoever runs the program knows them.
const OF_A_MESSAGE: &[u8] = b"abcdefghinoprstuxyz_";

/// An argument of a program: macros of the configuration (`$m`, `$Z`, `${own}`) have their values, those of a message stand in
/// it as `$u`.
fn argument_of(macros: &Macros, template: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let name = |id: u8, out: &mut Vec<u8>| macros.show_name(id, out);
    let mut rest = template;
    while let Some(place) = rest.iter().position(|&octet| octet == meta::MACRO) {
        let (plain, found) = rest.split_at(place);
        show(plain, &name, &mut text);
        let end = found.len().min(2);
        let (found, behind) = found.split_at(end);
        rest = behind;
        let id = found.get(1).copied().unwrap_or_default();
        if OF_A_MESSAGE.contains(&id) || macros.value(id).is_none() {
            show(found, &name, &mut text);
            continue;
        }
        for octet in macros.expand(found).unwrap_or_default() {
            // It is no macro a second time.
            text.extend_from_slice(if octet == b'$' {
                b"$$"
            } else {
                core::slice::from_ref(&octet)
            });
        }
    }
    show(rest, &name, &mut text);
    text
}

fn program(machine: &Machine<'_>, mailer: &Mailer, path: &[u8]) -> Program {
    let macros = &machine.config.macros;
    let shown = |argument: &Vec<u8>| argument_of(macros, argument).into();
    let ids = mailer
        .user
        .and_then(|(uid, gid)| Some((u32::try_from(uid).ok()?, u32::try_from(gid).ok()?)));
    // Files of users are written below SafeFileEnvironment, whatever their paths say.
    let safe = machine.config.options.values.get("SafeFileEnvironment");
    let safe = safe.filter(|folder| path == FILE && folder.as_slice() != b"/");
    let root = mailer.root.as_ref().or(safe);
    Program {
        path: path.into(),
        arguments: mailer.arguments.iter().map(shown).collect(),
        is_lmtp: mailer.flags.has(b'z'),
        ids,
        folders: mailer.folders.clone().unwrap_or_default().into(),
        root: root.cloned().unwrap_or_default().into(),
        nice: i8::try_from(mailer.nice.clamp(-20, 20)).unwrap_or(0),
        wait_s: mailer.wait.as_deref().map_or(0, |text| super::tune::seconds(text, b's')),
    }
}

/// A port by number or by the names that everybody knows.
pub(super) fn port(text: &[u8]) -> Option<u16> {
    match text {
        b"smtp" | b"mail" => Some(25),
        b"submission" | b"msa" | b"msp" => Some(587),
        b"smtps" | b"submissions" | b"urd" | b"ssmtp" => Some(465),
        b"lmtp" => Some(24),
        digits => str::from_utf8(digits).ok()?.parse().ok().filter(|port| *port != 0),
    }
}

/// An address without a name server: `192.0.2.1`, `[192.0.2.1]`, `IPv6:::1`, `localhost`.
pub(super) fn address(text: &[u8]) -> Option<IpAddr> {
    let bare = text.strip_prefix(b"[").and_then(|text| text.strip_suffix(b"]")).unwrap_or(text);
    if bare.eq_ignore_ascii_case(b"localhost") {
        return Some(IpAddr::from([127, 0, 0, 1]));
    }
    let head = bare.get(..5).filter(|head| head.eq_ignore_ascii_case(b"ipv6:"));
    let bare = head.and_then(|_| bare.get(5..)).unwrap_or(bare);
    str::from_utf8(bare).ok()?.parse().ok()
}
