//! `DaemonPortOptions`: where the server listens and what is special there. `ClientPortOptions`: where our connections come from.

use super::{carry, tune};
use crate::machine::Machine;
use crate::read::values::number;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use policy::settings::{Bounds, Endpoint, Source};

/// The most listeners (sendmail's MAXDAEMONS; a `Facts::daemon` is an octet).
const PORTS_MAX: usize = 100;

/// One place to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Port {
    pub(super) endpoint: Endpoint,
    pub(super) name: Vec<u8>,
    pub(super) bounds: Bounds,
    modifiers: Vec<u8>,
}

impl Port {
    /// One of the command line.
    pub(super) fn plain(endpoint: Endpoint) -> Self {
        let bounds = Bounds::default();
        Self { endpoint, name: b"MTA".to_vec(), bounds, modifiers: Vec::new() }
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
        match one(line, said) {
            Ok(port) => ports.push(port),
            Err(Fault::Wrong(why)) => return Err(told(line, why)),
            Err(Fault::LeftOut(why)) => said.extend_from_slice(&told(line, why)),
        }
    }
    if !is_named {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 25);
        ports.push(Port::plain(Endpoint::Tcp(address)));
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
        let Ok(port) = one(line, &mut Vec::new()) else { continue };
        source.is_named_by_address |= port.has(b'h');
        match port.endpoint.ip() {
            Some(IpAddr::V4(address)) => {
                source.four = Some(address).filter(|ip| !ip.is_unspecified());
            }
            Some(IpAddr::V6(address)) => {
                source.six = Some(address).filter(|ip| !ip.is_unspecified());
            }
            None => {}
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

/// A line as it is written, before it makes sense.
#[derive(Default)]
struct Fields<'a> {
    address: &'a [u8],
    port: Option<&'a [u8]>,
    family: &'a [u8],
    name: Option<&'a [u8]>,
    bounds: Bounds,
    modifiers: Vec<u8>,
}

impl<'a> Fields<'a> {
    /// Takes one `KEY=VALUE`, of whose key the first letter counts. Whether there is such a key.
    fn take(&mut self, key: &[u8], value: &'a [u8]) -> bool {
        let count = u32::try_from(number(value)).unwrap_or(0);
        match key {
            [b'A' | b'a', ..] => self.address = value,
            [b'F' | b'f', ..] => self.family = value,
            [b'M' | b'm', ..] => {
                let letters = value.iter().filter(|octet| octet.is_ascii_alphabetic());
                self.modifiers.extend(letters);
            }
            [b'N' | b'n', ..] => self.name = Some(value),
            [b'P' | b'p', ..] => self.port = Some(value),
            [b'c' | b'C', ..] => self.bounds.sessions_max = Some(count).filter(|count| *count > 0),
            [b'D', ..] => self.bounds.delivery_mode = tune::mode(value),
            [b'd', ..] => self.bounds.delay_load = Some(count),
            [b'L' | b'l', ..] => self.bounds.backlog = u16::try_from(count).ok(),
            [b'q' | b'Q', ..] => self.bounds.queue_load = Some(count),
            [b'r', b'e', b'f', ..] => self.bounds.refuse_load = Some(count),
            // Sizes of the kernel's buffers, filters, and how safe the queue is: it is always.
            [b'I' | b'i' | b'R' | b'r' | b'S' | b's' | b'T' | b't', ..] => {}
            _ => return false,
        }
        true
    }

    fn endpoint(&self) -> Result<Endpoint, Fault> {
        let any = match self.family {
            b"" | b"inet" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            b"inet6" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            b"local" | b"unix" => {
                let found = Endpoint::unix(self.address);
                return found.ok_or(Fault::Wrong(b"Addr= must be the path of the socket"));
            }
            _ => {
                return Err(Fault::LeftOut(b"only inet, inet6 and local are served; left out"));
            }
        };
        let port = self.port.map_or(Some(25), carry::port);
        let port = port.ok_or(Fault::Wrong(b"the port has no known name; write its number"))?;
        let ip = match self.address {
            b"" => any,
            text => carry::address(text)
                .ok_or(Fault::Wrong(b"Addr= must be an address, names are not looked up"))?,
        };
        Ok(Endpoint::Tcp(SocketAddr::new(ip, port)))
    }
}

fn one(line: &[u8], said: &mut Vec<u8>) -> Result<Port, Fault> {
    let mut fields = Fields::default();
    for field in line.split(|octet| *octet == b',').map(<[u8]>::trim_ascii) {
        let Some(at) = field.iter().position(|octet| *octet == b'=') else { continue };
        let (key, value) = field.split_at_checked(at).unwrap_or((field, b""));
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if !fields.take(key, value) {
            let words = [b"PortOptions parameter \"", key, b"\" unknown\n"].concat();
            said.extend_from_slice(&words);
        }
    }
    let endpoint = fields.endpoint()?;
    let name = fields.name.unwrap_or(b"MTA").to_vec();
    Ok(Port { endpoint, name, bounds: fields.bounds, modifiers: fields.modifiers })
}
