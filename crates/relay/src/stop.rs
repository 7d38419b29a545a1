//! The stops of a job: the hosts that an errand asks for it, best first.

use crate::mx::{Dead, Found, Hop};
use crate::nowhere::Nowhere;
use smtp::client::Protocol;

/// A host of a destination, with all its addresses.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    pub(crate) hops: Vec<Hop>,
    /// As it is shown.
    pub(crate) name: Box<[u8]>,
    pub(crate) port: u16,
    /// The port, where it is not that of mail.
    pub(crate) shown_port: Option<u16>,
    /// A Unix socket in place of addresses.
    pub(crate) door: Option<Box<[u8]>>,
    /// Why it has no address.
    pub(crate) dead: Option<Nowhere>,
    pub(crate) protocol: Protocol,
}

impl Stop {
    /// A server of this machine.
    pub(crate) fn local(door: &[u8], protocol: Protocol) -> Self {
        Self {
            hops: Vec::new(),
            name: b"localhost"[..].into(),
            port: 0,
            shown_port: None,
            door: Some(door.into()),
            dead: None,
            protocol,
        }
    }

    fn at(hop: Hop, protocol: Protocol) -> Self {
        let port = hop.address.port();
        Self {
            name: hop.shown(),
            port,
            shown_port: Some(port).filter(|&port| port != 25),
            hops: vec![hop],
            door: None,
            dead: None,
            protocol,
        }
    }

    fn dead(dead: Dead) -> Self {
        let name = [&*dead.name, b"."].concat().into();
        Self {
            hops: Vec::new(),
            name,
            port: 0,
            shown_port: None,
            door: None,
            dead: Some(dead.why),
            protocol: Protocol::Smtp,
        }
    }

    /// Where a destination was found to be: neighbours of one name and port are one stop.
    pub(crate) fn all(found: Found, protocol: Protocol) -> Vec<Self> {
        let mut stops: Vec<Self> = Vec::new();
        let mut dead = found.dead.into_iter().peekable();
        for (number, hop) in found.hops.into_iter().enumerate() {
            while let Some(one) = dead.next_if(|one| one.behind <= number) {
                stops.push(Self::dead(one));
            }
            match stops.last_mut() {
                Some(stop)
                    if stop.dead.is_none()
                        && stop.port == hop.address.port()
                        && stop.name == hop.shown() =>
                {
                    stop.hops.push(hop);
                }
                _ => stops.push(Self::at(hop, protocol)),
            }
        }
        stops.extend(dead.map(Self::dead));
        stops
    }
}
