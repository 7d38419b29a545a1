//! The name of a client by its address: hosts(5) and the domain name system, there and back again.
//!
//! A name counts as the client's own only if it leads back to the address: whoever runs the reverse zone can write any name
//! into it.

use std::net::IpAddr;
use std::path::Path;

use policy::Resolved;
use policy_cf::Answer;

use crate::dns::{Data, Failure, Kind, Resolver};
use crate::host;

/// Looks a client up: its name (empty: none) and what the look-up came to.
pub(crate) fn name(
    address: IpAddr,
    services: &[Box<[u8]>],
    hosts: &Path,
    resolver: &Resolver,
) -> (Vec<u8>, Resolved) {
    let literal = match address {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    };
    let mut said = Vec::new();
    let name = match host::lookup(literal.as_bytes(), services, hosts, resolver, true, &mut said) {
        Answer::Found(name) => name,
        Answer::NotFound(_) => return (Vec::new(), Resolved::Fail),
        Answer::TempFail(_) => return (Vec::new(), Resolved::Temporary),
    };
    let name = name.strip_suffix(b".").unwrap_or(&name).to_vec();
    if wire::domain::check(&name).is_err() {
        return (Vec::new(), Resolved::Fail);
    }
    for service in services {
        match &**service {
            b"files" if host::in_file(hosts, &name, address) => return (name, Resolved::Ok),
            b"dns" => match leads_to(resolver, &name, address) {
                Some(true) => return (name, Resolved::Ok),
                Some(false) => {}
                None => return (Vec::new(), Resolved::Temporary),
            },
            _ => {}
        }
    }
    (name, Resolved::Forged)
}

/// Whether the name leads to the address; `None`: nobody answers now.
fn leads_to(resolver: &Resolver, name: &[u8], address: IpAddr) -> Option<bool> {
    let kind = if address.is_ipv4() { Kind::A } else { Kind::AAAA };
    match resolver.ask(name, kind) {
        Ok(answer) => {
            Some(answer.records.iter().any(|record| record.data == Data::Address(address)))
        }
        Err(Failure::NoName | Failure::NoData) => Some(false),
        Err(Failure::NotNow) => None,
    }
}
