//! Class `host`: the canonical name of a host, by the services of the switch file: `files` (hosts(5)) and `dns`.
//!
//! In the domain name system a name is tried as it is and in the domains to search: an address, then a mail exchanger
//! makes it a host; a true name (CNAME) takes its place and the search begins again.

use std::net::IpAddr;
use std::path::Path;

use policy_cf::Answer;

use crate::dns::{Data, Failure, Kind, Resolver};

/// sysexits.h: no such host, and not now.
const NO_HOST: u8 = 68;
const TEMPORARY: u8 = 75;
/// How many true names may lead to one another (sendmail's MAXCNAMEDEPTH).
const TRUE_NAMES_MAX: usize = 10;

/// Whether an entry of hosts(5) is the wanted one, by its names and its address.
type Fits<'a> = dyn Fn(&[&[u8]], Option<IpAddr>) -> bool + 'a;

/// What one service knows.
enum Known {
    Name(Vec<u8>),
    Nothing,
    /// Nothing but true names that lead to one another.
    Loop(Vec<u8>),
    NotNow,
}

/// The canonical name of a host, for `/canon`: an address in brackets has none, and a server that is late is not named.
pub(crate) fn canonical(
    host: &[u8],
    services: &[Box<[u8]>],
    hosts: &Path,
    resolver: &Resolver,
    keeps_aliases: bool,
    said: &mut Vec<u8>,
) -> Option<Vec<u8>> {
    if host.starts_with(b"[") {
        return None;
    }
    match find(host, None, services, hosts, resolver, keeps_aliases, said) {
        Known::Name(name) | Known::Loop(name) => Some(name),
        Known::Nothing | Known::NotNow => None,
    }
}

/// Looks a host up.
pub(crate) fn lookup(
    key: &[u8],
    services: &[Box<[u8]>],
    hosts: &Path,
    resolver: &Resolver,
    keeps_aliases: bool,
    said: &mut Vec<u8>,
) -> Answer {
    let inside = key.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
    let address = match inside.map(address) {
        None => None,
        Some(Some(address)) => Some(address),
        Some(None) => return Answer::NotFound(NO_HOST),
    };
    match find(key, address, services, hosts, resolver, keeps_aliases, said) {
        Known::Name(name) => Answer::Found(name),
        Known::Nothing | Known::Loop(_) => Answer::NotFound(NO_HOST),
        Known::NotNow => {
            said.extend_from_slice(key);
            said.extend_from_slice(b": Name server timeout\n");
            Answer::TempFail(TEMPORARY)
        }
    }
}

/// Asks the services in their order.
fn find(
    key: &[u8],
    address: Option<IpAddr>,
    services: &[Box<[u8]>],
    hosts: &Path,
    resolver: &Resolver,
    keeps_aliases: bool,
    said: &mut Vec<u8>,
) -> Known {
    let mut last = Known::Nothing;
    for service in services {
        let known = match (&**service, address) {
            (b"files", Some(address)) => by_file(hosts, &|_, there| there == Some(address)),
            (b"files", None) => {
                let key = key.strip_suffix(b".").unwrap_or(key);
                by_file(hosts, &|names, _| names.iter().any(|name| name.eq_ignore_ascii_case(key)))
            }
            (b"dns", Some(address)) => by_address(resolver, address),
            (b"dns", None) => by_name(resolver, key, keeps_aliases, said),
            _ => Known::Nothing,
        };
        match known {
            Known::Name(name) => return Known::Name(name),
            Known::Nothing => {}
            Known::Loop(_) | Known::NotNow => last = known,
        }
    }
    last
}

fn address(inside: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(inside).ok()?;
    let text =
        if text.len() > 5 && text.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case("IPv6:")) {
            text.get(5..)?
        } else {
            text
        };
    text.parse().ok()
}

/// The first name with a dot (else the first) of the entry of hosts(5) that fits.
fn by_file(hosts: &Path, fits: &Fits<'_>) -> Known {
    let Some((text, _)) = crate::text::read_bounded(hosts) else { return Known::Nothing };
    for line in text.split(|&octet| octet == b'\n') {
        let line = line.split(|&octet| octet == b'#').next().unwrap_or_default();
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let there = words.next().and_then(|word| str::from_utf8(word).ok()?.parse().ok());
        let names: Vec<&[u8]> = words.collect();
        if fits(&names, there) {
            let full = names.iter().find(|name| name.contains(&b'.')).or(names.first());
            return full.map_or(Known::Nothing, |name| Known::Name(name.to_vec()));
        }
    }
    Known::Nothing
}

/// Whether hosts(5) gives the name this address.
pub(crate) fn in_file(hosts: &Path, name: &[u8], address: IpAddr) -> bool {
    let is_it = |names: &[&[u8]], there: Option<IpAddr>| {
        there == Some(address) && names.iter().any(|one| one.eq_ignore_ascii_case(name))
    };
    matches!(by_file(hosts, &is_it), Known::Name(_))
}

/// The addresses that hosts(5) gives a name.
pub(crate) fn addresses_in_file(hosts: &Path, name: &[u8]) -> Vec<IpAddr> {
    let found = std::cell::RefCell::new(Vec::new());
    // None is the one: all are looked at.
    by_file(hosts, &|names, there| {
        if names.iter().any(|one| one.eq_ignore_ascii_case(name)) {
            found.borrow_mut().extend(there);
        }
        false
    });
    found.into_inner()
}

fn by_address(resolver: &Resolver, address: IpAddr) -> Known {
    let name = match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let nibbles =
                address.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            let digits: Vec<String> = nibbles.map(|nibble| format!("{nibble:x}")).collect();
            digits.join(".") + ".ip6.arpa"
        }
    };
    match resolver.ask(name.as_bytes(), Kind::PTR) {
        Ok(answer) => answer
            .records
            .into_iter()
            .find_map(|record| match record.data {
                Data::Name(name) => (record.kind == Kind::PTR).then_some(name),
                Data::Exchanger(..)
                | Data::Service(_)
                | Data::Text(_)
                | Data::Address(_)
                | Data::Other => None,
            })
            .map_or(Known::Nothing, Known::Name),
        Err(Failure::NotNow) => Known::NotNow,
        Err(Failure::NoName | Failure::NoData) => Known::Nothing,
    }
}

fn by_name(resolver: &Resolver, key: &[u8], keeps_aliases: bool, said: &mut Vec<u8>) -> Known {
    let mut name = key.strip_suffix(b".").unwrap_or(key).to_vec();
    let has_dot = name.contains(&b'.');
    let is_whole = key.ends_with(b".");
    let mut candidates: Vec<Vec<u8>> = Vec::new();
    if has_dot {
        candidates.push(name.clone());
    }
    if !is_whole {
        candidates.extend(resolver.search().iter().map(|domain| [&*name, b".", domain].concat()));
    }
    if !has_dot {
        candidates.push(name.clone());
    }
    let mut is_late = false;
    for candidate in candidates {
        name.clone_from(&candidate);
        let mut links = 0_usize;
        loop {
            match step(resolver, &name) {
                Step::Here => return Known::Name(name),
                Step::Elsewhere(..) if keeps_aliases => return Known::Name(name),
                Step::Elsewhere(other, true) => return Known::Name(other),
                Step::Elsewhere(other, false) => {
                    links = links.saturating_add(1);
                    if links > TRUE_NAMES_MAX {
                        said.extend_from_slice(b"!DNS failure: CNAME loop for ");
                        said.extend_from_slice(&other);
                        said.push(b'\n');
                        return Known::Loop(other);
                    }
                    name = other;
                }
                Step::Nowhere if links > 0 => return Known::Name(name),
                Step::Nowhere => break,
                Step::NotNow => {
                    is_late = true;
                    break;
                }
            }
        }
        if is_late {
            break;
        }
    }
    if is_late { Known::NotNow } else { Known::Nothing }
}

enum Step {
    Here,
    /// This is its true name; and whether that is known to be a host.
    Elsewhere(Vec<u8>, bool),
    Nowhere,
    NotNow,
}

/// Whether a name has an address or a mail exchanger, or another true name.
fn step(resolver: &Resolver, name: &[u8]) -> Step {
    for kind in [Kind::A, Kind::AAAA, Kind::MX] {
        match resolver.ask(name, kind) {
            Ok(answer) => {
                for record in &answer.records {
                    if !record.name.eq_ignore_ascii_case(name) {
                        continue;
                    }
                    if record.kind == kind {
                        return Step::Here;
                    }
                    if let (Kind::CNAME, Data::Name(other)) = (record.kind, &record.data) {
                        let is_host = answer
                            .records
                            .iter()
                            .any(|one| one.kind == kind && one.name.eq_ignore_ascii_case(other));
                        return Step::Elsewhere(other.clone(), is_host);
                    }
                }
            }
            Err(Failure::NoName) => return Step::Nowhere,
            Err(Failure::NoData) => {}
            Err(Failure::NotNow) => return Step::NotNow,
        }
    }
    Step::Nowhere
}
