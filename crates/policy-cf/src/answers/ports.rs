//! `DaemonPortOptions`: where the server listens and what is special there. `ClientPortOptions`: where our connections come from.

use super::carry;
use crate::machine::Machine;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use policy::settings::Source;

/// The most listeners (sendmail's MAXDAEMONS; a `Facts::daemon` is an octet).
const PORTS_MAX: usize = 100;

/// One place to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Port {
    pub(super) address: SocketAddr,
    pub(super) name: Vec<u8>,
    modifiers: Vec<u8>,
}

impl Port {
    /// One of the command line.
    pub(super) fn plain(address: SocketAddr) -> Self {
        Self { address, name: b"MTA".to_vec(), modifiers: Vec::new() }
    }

    /// Whether a modifier is set.
    pub(super) fn has(&self, letter: u8) -> bool {
        self.modifiers.contains(&letter)
    }

    /// `${daemon_flags}`: lower case as it is, upper case doubled, with blanks.
    pub(super) fn flags(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for letter in &self.modifiers {
            if !text.is_empty() {
                text.push(b' ');
            }
            text.push(*letter);
            if letter.is_ascii_uppercase() {
                text.push(*letter);
            }
        }
        text
    }
}

/// All of the configuration; `Err`: a line that can't be obeyed. What is left out is said in `said`.
pub(super) fn read(machine: &Machine<'_>, said: &mut Vec<u8>) -> Result<Vec<Port>, Vec<u8>> {
    let mut ports = Vec::new();
    let mut is_named = false;
    for (_, line) in machine.config.options.all("DaemonPortOptions").take(PORTS_MAX) {
        is_named = true;
        match one(line) {
            Ok(port) => ports.push(port),
            Err(Fault::Wrong(why)) => return Err(told(line, why)),
            Err(Fault::LeftOut(why)) => said.extend_from_slice(&told(line, why)),
        }
    }
    if !is_named {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 25);
        ports.push(Port::plain(address));
    }
    if ports.is_empty() {
        return Err(b"DaemonPortOptions: none of the listeners can be served\n".to_vec());
    }
    Ok(ports)
}

/// Where our connections come from: of each family the last line counts. What cannot be read is left to the system.
pub(super) fn source(machine: &Machine<'_>) -> Source {
    let mut source = Source::default();
    for (_, line) in machine.config.options.all("ClientPortOptions").take(PORTS_MAX) {
        let Ok(port) = one(line) else { continue };
        source.is_named_by_address |= port.has(b'h');
        match port.address.ip() {
            IpAddr::V4(address) => source.four = Some(address).filter(|ip| !ip.is_unspecified()),
            IpAddr::V6(address) => source.six = Some(address).filter(|ip| !ip.is_unspecified()),
        }
    }
    source
}

enum Fault {
    Wrong(&'static [u8]),
    LeftOut(&'static [u8]),
}

fn told(line: &[u8], why: &[u8]) -> Vec<u8> {
    [b"DaemonPortOptions=", line, b": ", why, b"\n"].concat()
}

fn one(line: &[u8]) -> Result<Port, Fault> {
    let mut name = None;
    let (mut port, mut address, mut is_inet6) = (25, None, false);
    let mut modifiers = Vec::new();
    for field in line.split(|octet| *octet == b',').map(<[u8]>::trim_ascii) {
        let Some(at) = field.iter().position(|octet| *octet == b'=') else { continue };
        let (key, value) = field.split_at_checked(at).unwrap_or((field, b""));
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        match key.first() {
            Some(b'A' | b'a') => address = Some(value),
            Some(b'F' | b'f') => match value {
                b"inet" => {}
                b"inet6" => is_inet6 = true,
                _ => return Err(Fault::LeftOut(b"only inet and inet6 are served; left out")),
            },
            Some(b'M' | b'm') => {
                modifiers.extend(value.iter().filter(|octet| octet.is_ascii_alphabetic()));
            }
            Some(b'N' | b'n') => name = Some(value.to_vec()),
            Some(b'P' | b'p') => {
                port = carry::port(value)
                    .ok_or(Fault::Wrong(b"the port has no known name; write its number"))?;
            }
            _ => {}
        }
    }
    let ip = match address {
        None | Some(b"") if is_inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        None | Some(b"") => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Some(text) => carry::address(text)
            .ok_or(Fault::Wrong(b"Addr= must be an address, names are not looked up"))?,
    };
    let name = name.unwrap_or_else(|| b"MTA".to_vec());
    Ok(Port { address: SocketAddr::new(ip, port), name, modifiers })
}
