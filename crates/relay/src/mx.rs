//! Where a domain's mail goes: from the host of a route to an ordered, bounded list of addresses
//! (RFC 5321, 5.1; RFC 7505; sendmail's host syntax).
//!
//! 1. [`parse_hosts`] reads the host of the route: names and `[literals]`, ports, lists.
//! 2. A name outside brackets has mail exchangers; [`order_exchangers`] sorts them by preference, by
//!    chance among equals, and cuts the list at ourselves. No exchanger: the name itself. The
//!    null exchanger: no mail at all.
//! 3. Each host has addresses. Those that DNS gave must not lead to ourselves or to nowhere
//!    ([`is_forbidden`]): whoever writes a zone must not be able to make this host talk to its
//!    own services. Addresses that the owner wrote are his business.
//!
//! The steps are functions; [`find`] asks the questions in between.

use crate::nowhere::Nowhere;
use crate::resolve::{Answer, Lookup, NAME_BYTES_MAX, Query, QueryKind, Records};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The most hosts of a route that are looked at.
pub const HOSTS_MAX: usize = 16;

/// The most exchangers of a domain that are looked at.
pub const EXCHANGERS_MAX: usize = 16;

/// The most addresses that are tried for one destination.
pub const HOPS_MAX: usize = 32;

/// One host of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What is written.
    pub host: Host,
    /// Where to connect.
    pub port: u16,
    /// Whether the name is written with a dot at its end.
    pub is_dotted: bool,
}

/// Where a destination can be reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Addresses, best first.
    pub hops: Vec<Hop>,
    /// Hosts among them that have none, in order.
    pub dead: Vec<Dead>,
}

/// A host of a destination that cannot be reached, where others may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dead {
    /// So many hops come before it.
    pub behind: usize,
    /// Its name.
    pub name: Box<[u8]>,
    /// Why.
    pub why: Nowhere,
}

impl Found {
    /// These behind those before.
    pub(crate) fn append(&mut self, other: Self) {
        let behind = self.hops.len();
        self.hops.extend(other.hops);
        self.dead
            .extend(other.dead.into_iter().map(|one| Dead { behind: one.behind + behind, ..one }));
        self.hops.truncate(HOPS_MAX);
        self.dead.truncate(HOPS_MAX);
    }
}

/// What a route can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A domain that may have mail exchangers.
    Domain(Box<[u8]>),
    /// `[host]`: its addresses alone count.
    Single(Box<[u8]>),
    /// `[192.0.2.1]`, `[IPv6:2001:db8::1]`: an address that the owner or the sender wrote.
    Address(IpAddr),
}

/// One address to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// The name of the host, for the log, for reports and for TLS.
    pub name: Box<[u8]>,
    /// Where to connect.
    pub address: SocketAddr,
    /// Whether the name is shown as the configuration has it.
    pub is_as_written: bool,
}

impl Hop {
    /// A host that is named by its address alone: `[192.0.2.1]`.
    #[must_use]
    pub(crate) fn literal(address: SocketAddr) -> Self {
        let name = format!("[{}]", wire::domain::tagged(address.ip())).into_bytes().into();
        Self { name, address, is_as_written: false }
    }

    /// The name as log lines and reports show it: what DNS has ends in a dot, `[literals]` do not.
    #[must_use]
    pub fn shown(&self) -> Box<[u8]> {
        let mut name = self.name.to_vec();
        if !self.is_as_written && !name.starts_with(b"[") && !name.ends_with(b".") {
            name.push(b'.');
        }
        name.into()
    }

    /// Name and address, for `relay=`.
    #[must_use]
    pub fn relay(&self) -> Box<[u8]> {
        let address = match self.address.ip().to_canonical() {
            IpAddr::V4(address) => format!(" [{address}]"),
            IpAddr::V6(address) => format!(" [IPv6:{address}]"),
        };
        [&self.shown(), address.as_bytes()].concat().into()
    }
}

/// Who we are, for the rules against sending mail to ourselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ourselves {
    /// Names that mean this host.
    pub names: Vec<Box<[u8]>>,
    /// Addresses of this host: no cage can ask for them.
    pub addresses: Vec<IpAddr>,
    /// Addresses that DNS may lead to although the rules forbid them.
    pub trusted: Vec<IpAddr>,
}

impl Ourselves {
    fn has_name(&self, name: &[u8]) -> bool {
        self.names.iter().any(|own| undotted(own).eq_ignore_ascii_case(undotted(name)))
    }

    fn has_address(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|own| own.to_canonical() == address.to_canonical())
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|own| own.to_canonical() == address.to_canonical())
    }
}

impl Dead {
    fn new(name: Box<[u8]>, why: &Nowhere) -> Self {
        Self { behind: 0, name, why: why.clone() }
    }
}

/// Reads the host of a route.
///
/// Several hosts stand with commas or, outside brackets, colons between them; a number after a colon
/// is a port. Empty members are passed over, as sendmail does; more than [`HOSTS_MAX`] are cut.
///
/// # Errors
/// [`Nowhere::BadHost`]: no host at all, an open bracket, a name that is none, a port that is none.
pub fn parse_hosts(host: &[u8], default_port: u16) -> Result<Vec<Target>, Nowhere> {
    let bad = || Nowhere::BadHost(shown(host));
    let mut targets: Vec<Target> = Vec::new();
    for member in host.split(|&octet| octet == b',') {
        let mut rest = member.trim_ascii();
        while !rest.is_empty() {
            let (written, after) = split_member(rest).ok_or_else(bad)?;
            rest = after;
            if is_number(written) {
                // A port belongs to the host before it: `host:25` and `[host]:25`.
                let target = targets.last_mut().filter(|_| !is_start(member, written));
                target.ok_or_else(bad)?.port = port_of(written).ok_or_else(bad)?;
            } else if !written.is_empty() {
                targets.push(Target {
                    host: parse_host(written).ok_or_else(bad)?,
                    port: default_port,
                    is_dotted: written.ends_with(b"."),
                });
            }
        }
    }
    targets.truncate(HOSTS_MAX);
    if targets.is_empty() { Err(bad()) } else { Ok(targets) }
}

/// The host of a route with each name in brackets: its addresses alone count. What is no host stays.
#[must_use]
pub fn bracketed(host: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(host.len().saturating_add(2));
    let mut rest = host.trim_ascii();
    while !rest.is_empty() {
        let end = rest.iter().position(|&octet| octet == b',').unwrap_or(rest.len());
        let Some((written, _)) = split_member(rest.get(..end).unwrap_or_default()) else {
            return host.to_vec();
        };
        let name = written.trim_ascii();
        let is_name = !name.is_empty() && !is_number(name) && !name.starts_with(b"[");
        let (open, close): (&[u8], &[u8]) = if is_name { (b"[", b"]") } else { (b"", b"") };
        // What stands between members comes with them.
        let between =
            rest.get(written.len()..).and_then(|behind| behind.get(..1)).unwrap_or_default();
        out.extend_from_slice(&[open, name, close, between].concat());
        rest = rest.get(written.len() + between.len()..).unwrap_or_default().trim_ascii_start();
    }
    out
}

/// Whether `written` stands at the very start of `member`, where no host is before it.
fn is_start(member: &[u8], written: &[u8]) -> bool {
    member.trim_ascii().len() == written.len() || member.trim_ascii().starts_with(b":")
}

/// The first member of a list with colons, and the rest after the colon.
fn split_member(list: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = if list.starts_with(b"[") {
        let close = list.iter().position(|&octet| octet == b']')?;
        close.checked_add(1)?
    } else {
        list.iter().position(|&octet| octet == b':').unwrap_or(list.len())
    };
    let (written, after) = list.split_at_checked(end)?;
    match after.split_first() {
        None => Some((written, after)),
        Some((b':', after)) => Some((written, after)),
        Some(_) => None,
    }
}

/// A member that is all digits is a port.
fn is_number(written: &[u8]) -> bool {
    !written.is_empty() && written.iter().all(u8::is_ascii_digit)
}

fn port_of(written: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(written).ok()?;
    text.parse().ok().filter(|&port| port != 0)
}

fn parse_host(written: &[u8]) -> Option<Host> {
    let Some(inside) = written.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) else {
        return is_name(written).then(|| Host::Domain(undotted(written).into()));
    };
    let text = std::str::from_utf8(inside).ok()?;
    let six = text.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPv6:")).and(text.get(5..));
    if let Some(six) = six {
        return six.parse::<Ipv6Addr>().ok().map(|address| Host::Address(address.into()));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(Host::Address(address));
    }
    is_name(inside).then(|| Host::Single(undotted(inside).into()))
}

/// Whether a name can be asked of DNS: letters, digits, `-`, `_`, and octets of UTF-8.
fn is_name(name: &[u8]) -> bool {
    let name = undotted(name);
    name.len() <= NAME_BYTES_MAX
        && name.split(|&octet| octet == b'.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label.iter().all(|&octet| {
                    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | 0x80..)
                })
        })
}

/// Sorts exchangers by preference, by chance among equals, and cuts the list where we stand in
/// it: only a better exchanger than ourselves gets the mail (RFC 5321, 5.1).
///
/// `chance` gives each name a number that nobody can guess: the same exchangers come in the same order for every domain that has
/// them. An empty list comes back if we are the best.
#[must_use]
pub fn order_exchangers(
    mut exchangers: Vec<(u16, Box<[u8]>)>,
    ourselves: &Ourselves,
    chance: &dyn Fn(&[u8]) -> u64,
) -> Vec<(u16, Box<[u8]>)> {
    exchangers.retain(|(_, host)| is_name(host) || host.is_empty());
    let own = exchangers.iter().filter(|(_, host)| ourselves.has_name(host));
    let own_preference = own.map(|&(preference, _)| preference).min();
    let mut keyed: Vec<_> = exchangers
        .into_iter()
        .filter(|&(preference, _)| own_preference.is_none_or(|own| preference < own))
        .map(|(preference, host)| ((preference, chance(&host)), host))
        .collect();
    keyed.sort_unstable();
    keyed.truncate(EXCHANGERS_MAX);
    keyed.into_iter().map(|((preference, _), host)| (preference, host)).collect()
}

/// Whether an address that came from DNS is one where no mail can go: "this network", loopback,
/// link-local, multicast, reserved, or unspecified.
#[must_use]
pub fn is_forbidden(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [first, ..] = address.octets();
            first == 0 || first >= 224 || address.is_loopback() || address.is_link_local()
        }
        IpAddr::V6(address) => {
            let embedded = embedded_ipv4(address);
            address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || address.is_unicast_link_local()
                || embedded.is_some_and(|inner| is_forbidden(inner.into()))
        }
    }
}

/// The IPv4 address that a translated or compatible IPv6 address leads to (RFC 4291, 2.5.5.1;
/// RFC 6052): the loopback address has more than one coat.
fn embedded_ipv4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    const COMPATIBLE: [u8; 12] = [0; 12];
    const TRANSLATED: [u8; 12] = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];
    let octets = address.octets();
    let (prefix, inner) = octets.split_last_chunk::<4>()?;
    (prefix == COMPATIBLE || prefix == TRANSLATED).then(|| Ipv4Addr::from(*inner))
}

/// Finds where mail for the host of a route goes.
///
/// # Errors
/// [`Nowhere`]: nowhere, for good or for now. Trouble with one host of several is passed over while
/// another is known; if none is, an answer that is missing counts more than one that says no.
pub async fn find(
    host: &[u8],
    default_port: u16,
    ourselves: &Ourselves,
    lookup: &dyn Lookup,
    chance: &dyn Fn(&[u8]) -> u64,
) -> Result<Found, Nowhere> {
    let mut all = Found::default();
    let mut trouble: Option<Nowhere> = None;
    for target in parse_hosts(host, default_port)? {
        let found = match &target.host {
            Host::Address(address) => {
                let hops = vec![Hop::literal(SocketAddr::new(*address, target.port))];
                Ok(Found { hops, dead: Vec::new() })
            }
            Host::Single(name) => hops_of(name, target.port, ourselves, lookup)
                .await
                .map(|hops| Found { hops, dead: Vec::new() }),
            Host::Domain(name) => exchangers_of(name, target.port, ourselves, lookup, chance).await,
        };
        match found {
            Ok(found) => all.append(found),
            Err(new) => {
                let new = new.with_dot(target.is_dotted);
                if let Host::Domain(name) | Host::Single(name) = target.host {
                    all.append(Found { hops: Vec::new(), dead: vec![Dead::new(name, &new)] });
                }
                if trouble.is_none() || matches!(new, Nowhere::Unanswered { .. }) {
                    trouble = Some(new);
                }
            }
        }
        if all.hops.len() >= HOPS_MAX {
            break;
        }
    }
    match trouble {
        Some(trouble) if all.hops.is_empty() => Err(trouble),
        _ => Ok(all),
    }
}

/// The hops of a domain by its exchangers, best first.
async fn exchangers_of(
    domain: &[u8],
    port: u16,
    ourselves: &Ourselves,
    lookup: &dyn Lookup,
    chance: &dyn Fn(&[u8]) -> u64,
) -> Result<Found, Nowhere> {
    let query = Query { name: domain.into(), kind: QueryKind::Mx };
    let exchangers = match lookup.lookup(query).await {
        Answer::Found { records: Records::Mx(exchangers), .. } => exchangers,
        Answer::NoSuchName => return Err(Nowhere::Unknown(shown(domain))),
        Answer::Temporary => return Err(unanswered(domain)),
        // The name itself is its exchanger.
        Answer::NoData | Answer::Found { .. } => {
            let hops = hops_of(domain, port, ourselves, lookup).await?;
            return Ok(Found { hops, dead: Vec::new() });
        }
    };
    if let [(_, only)] = &*exchangers
        && undotted(only).is_empty()
    {
        return Err(Nowhere::NullMx(shown(domain)));
    }
    let own = exchangers.iter().find(|(_, host)| ourselves.has_name(host)).cloned();
    let ordered = order_exchangers(exchangers, ourselves, chance);
    if let (Some((_, own)), true) = (own, ordered.is_empty()) {
        return Err(Nowhere::PointsBack { domain: shown(domain), host: shown(&own) });
    }
    let mut hops: Vec<(u16, Hop)> = Vec::new();
    let mut dead: Vec<(u16, Dead)> = Vec::new();
    let mut trouble: Option<Nowhere> = None;
    let mut cut = None;
    for (preference, host) in ordered {
        if cut.is_some_and(|cut| preference > cut) || hops.len() >= HOPS_MAX {
            break;
        }
        match hops_of(&host, port, ourselves, lookup).await {
            Ok(found) => hops.extend(found.into_iter().map(|hop| (preference, hop))),
            Err(Nowhere::PointsBack { host, .. }) => {
                // An address of ours is the same as a name of ours: equals are no better.
                cut = Some(preference);
                hops.retain(|&(other, _)| other < preference);
                trouble = Some(Nowhere::PointsBack { domain: shown(domain), host });
            }
            Err(new) => {
                let one = Dead { behind: hops.len(), ..Dead::new(host, &new) };
                dead.push((preference, one));
                if trouble.is_none() || matches!(new, Nowhere::Unanswered { .. }) {
                    trouble = Some(new);
                }
            }
        }
    }
    hops.retain(|&(preference, _)| cut.is_none_or(|cut| preference < cut));
    dead.retain(|&(preference, _)| cut.is_none_or(|cut| preference < cut));
    if hops.is_empty() {
        return Err(trouble.unwrap_or_else(|| Nowhere::NoAddress(shown(domain))));
    }
    Ok(Found {
        hops: hops.into_iter().map(|(_, hop)| hop).collect(),
        dead: dead.into_iter().map(|(_, one)| one).collect(),
    })
}

/// The addresses of one host: both families, IPv6 first (who races them is `connect`).
async fn hops_of(
    host: &[u8],
    port: u16,
    ourselves: &Ourselves,
    lookup: &dyn Lookup,
) -> Result<Vec<Hop>, Nowhere> {
    let ask = |kind| lookup.lookup(Query { name: host.into(), kind });
    let (six, four) = both(ask(QueryKind::Aaaa), ask(QueryKind::A)).await;
    let mut addresses: Vec<IpAddr> = Vec::new();
    let mut trouble = None;
    let mut is_known = false;
    for answer in [six, four] {
        match answer {
            Answer::Found { records: Records::Addresses(found), .. } => addresses.extend(found),
            Answer::Temporary => trouble = Some(unanswered(host)),
            Answer::NoData | Answer::Found { .. } => is_known = true,
            Answer::NoSuchName => {}
        }
    }
    if addresses.is_empty() {
        let absent = if is_known { Nowhere::NoAddress } else { Nowhere::Unknown };
        return Err(trouble.unwrap_or_else(|| absent(shown(host))));
    }
    let trusts = |address: IpAddr| ourselves.trusts(address);
    if let Some(own) = addresses.iter().find(|&&own| ourselves.has_address(own) && !trusts(own)) {
        let (domain, host) = (shown(host), own.to_string());
        return Err(Nowhere::PointsBack { domain, host });
    }
    addresses.retain(|&address| trusts(address) || !is_forbidden(address));
    addresses.truncate(HOPS_MAX);
    if addresses.is_empty() {
        return Err(Nowhere::Forbidden(shown(host)));
    }
    let hop = |address| {
        let address = SocketAddr::new(address, port);
        Hop { name: host.into(), address, is_as_written: false }
    };
    Ok(addresses.into_iter().map(hop).collect())
}

/// Two questions at once.
async fn both<A: Future<Output = Answer>, B: Future<Output = Answer>>(
    left: A,
    right: B,
) -> (Answer, Answer) {
    let (mut left, mut right) = (std::pin::pin!(left), std::pin::pin!(right));
    let (mut one, mut two) = (None, None);
    std::future::poll_fn(|context| {
        use std::task::Poll;
        if one.is_none()
            && let Poll::Ready(answer) = left.as_mut().poll(context)
        {
            one = Some(answer);
        }
        if two.is_none()
            && let Poll::Ready(answer) = right.as_mut().poll(context)
        {
            two = Some(answer);
        }
        match (one.take(), two.take()) {
            (Some(one), Some(two)) => Poll::Ready((one, two)),
            (a, b) => {
                (one, two) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

fn unanswered(host: &[u8]) -> Nowhere {
    Nowhere::Unanswered { host: shown(host) }
}

/// A name without the dot at its end.
fn undotted(name: &[u8]) -> &[u8] {
    name.strip_suffix(b".").unwrap_or(name)
}

/// What DNS or a sender wrote, as it may be shown.
fn shown(name: &[u8]) -> String {
    let end = name.len().min(NAME_BYTES_MAX);
    name.get(..end).unwrap_or_default().escape_ascii().to_string()
}

#[cfg(test)]
mod tests;
