//! The macros of a moment: what rule sets see of a session (operations guide, section 5.2), made from its facts.

use super::check::clean;
use super::ports::Port;
use crate::machine::Machine;
use crate::macros::Macros;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use policy::settings::Endpoint;
use policy::{Facts, Origin, Resolved};

/// Long names that are set here: they have numbers from the beginning.
const NAMES: [&[u8]; 35] = [
    b"addr_type",
    b"client_addr",
    b"client_connections",
    b"client_flags",
    b"client_name",
    b"client_port",
    b"client_ptr",
    b"client_rate",
    b"client_resolve",
    b"currHeader",
    b"daemon_addr",
    b"daemon_family",
    b"daemon_flags",
    b"daemon_info",
    b"daemon_name",
    b"daemon_port",
    b"deliveryMode",
    b"hdr_name",
    b"hdrlen",
    b"if_addr",
    b"if_family",
    b"if_name",
    b"load_avg",
    b"mail_addr",
    b"mail_from",
    b"mail_host",
    b"mail_mailer",
    b"msg_size",
    b"nbadrcpts",
    b"nrcpts",
    b"ntries",
    b"opMode",
    b"rcpt_addr",
    b"rcpt_host",
    b"rcpt_mailer",
];

/// Gives every name that a moment sets its number.
pub(super) fn name_all(macros: &mut Macros) {
    for name in NAMES {
        let _numbered = macros.id(name);
    }
}

/// An address as sendmail writes it in macros and brackets.
pub(super) fn address_text(address: IpAddr) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(address) => alloc::format!("{address}").into_bytes(),
        IpAddr::V6(address) => {
            let mut text = b"IPv6".to_vec();
            for part in address.segments() {
                text.extend_from_slice(alloc::format!(":{part:x}").as_bytes());
            }
            text
        }
    }
}

const fn family(address: IpAddr) -> &'static [u8] {
    match address {
        IpAddr::V4(_) => b"inet",
        IpAddr::V6(_) => b"inet6",
    }
}

/// Sets all macros that the facts of a session give.
pub(super) fn set(machine: &mut Machine<'_>, facts: &Facts, port: Option<&Port>) {
    let macros = &mut machine.config.macros;
    match &facts.origin {
        Origin::Client { peer, local, name, resolved } => {
            client(macros, *peer, name, *resolved);
            ours(macros, *local);
        }
        Origin::User { name, .. } => {
            let name = clean(name);
            macros.set_named(b"client_name", b"localhost");
            macros.set_named(b"client_resolve", b"OK");
            macros.set(b'_', Some([&name, b"@localhost".as_slice()].concat()));
        }
        Origin::Ourselves => {
            macros.set_named(b"client_name", b"localhost");
            macros.set_named(b"client_resolve", b"OK");
            macros.set(b'_', Some(b"localhost".to_vec()));
        }
    }
    if let Some(port) = port.filter(|_| matches!(facts.origin, Origin::Client { .. })) {
        macros.set_named(b"daemon_name", &port.name);
        macros.set_named(b"daemon_info", b"SMTP");
        macros.set_named(b"daemon_flags", &port.flags());
        listener(macros, &port.endpoint);
    }
    if !facts.hello.is_empty() {
        macros.set(b's', Some(clean(&facts.hello)));
        let protocol: &[u8] = if facts.is_esmtp { b"ESMTP" } else { b"SMTP" };
        macros.set(b'r', Some(protocol.to_vec()));
    }
    if let Some(sender) = &facts.sender {
        set_sender(macros, sender);
    }
    macros.set_named(b"nrcpts", &decimal(facts.recipients));
    macros.set_named(b"ntries", b"0");
    macros.set_named(b"nbadrcpts", b"0");
    for (name, value) in &facts.macros {
        let name = name.strip_prefix(b"{").and_then(|name| name.strip_suffix(b"}")).unwrap_or(name);
        macros.set_named(name, &clean(value));
    }
}

/// Where the client came in.
fn listener(macros: &mut Macros, endpoint: &Endpoint) {
    let (family, address, port) = match endpoint {
        Endpoint::Tcp(address) => {
            (family(address.ip()), address_text(address.ip()), decimal(address.port()))
        }
        Endpoint::Unix(path) => (b"local".as_slice(), path.to_vec(), Vec::new()),
    };
    macros.set_named(b"daemon_family", family);
    macros.set_named(b"daemon_addr", &address);
    macros.set_named(b"daemon_port", &port);
}

/// `$f` and `${mail_from}`: the sender as it stands in the envelope.
pub(super) fn set_sender(macros: &mut Macros, sender: &[u8]) {
    let sender = clean(sender);
    let shown = [b"<".as_slice(), &sender, b">"].concat();
    macros.set_named(b"mail_from", &shown);
    macros.set(b'f', Some(if sender.is_empty() { shown } else { sender }));
}

/// The outcome of a reverse look-up, as `${client_resolve}` names it.
pub(super) const fn resolution(resolved: Resolved) -> &'static [u8] {
    match resolved {
        Resolved::Ok => b"OK",
        Resolved::Fail => b"FAIL",
        Resolved::Temporary => b"TEMP",
        Resolved::Forged => b"FORGED",
    }
}

fn client(macros: &mut Macros, peer: SocketAddr, name: &[u8], resolved: Resolved) {
    let address = address_text(peer.ip());
    let bracketed = [b"[".as_slice(), &address, b"]"].concat();
    let name = clean(name);
    let shown = if name.is_empty() { &bracketed } else { &name };
    let mut whole = shown.clone();
    if !name.is_empty() {
        whole.push(b' ');
        whole.extend_from_slice(&bracketed);
    }
    if resolved == Resolved::Forged {
        whole.extend_from_slice(b" (may be forged)");
    }
    let word = resolution(resolved);
    macros.set(b'_', Some(whole));
    macros.set_named(b"client_ptr", shown);
    macros.set_named(b"client_name", shown);
    macros.set_named(b"client_addr", &address);
    macros.set_named(b"client_port", &decimal(peer.port()));
    macros.set_named(b"client_resolve", word);
}

fn ours(macros: &mut Macros, local: SocketAddr) {
    macros.set_named(b"if_addr", &address_text(local.ip()));
    macros.set_named(b"if_family", family(local.ip().to_canonical()));
}

pub(super) fn decimal(number: impl Into<u64>) -> Vec<u8> {
    let number: u64 = number.into();
    alloc::format!("{number}").into_bytes()
}
