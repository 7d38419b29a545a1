//! Addresses as a policy reads them: the parts it decides on, and the tricks it refuses.
//!
//! The decision is made on the address that delivery will use. What could mean one thing here and another
//! thing there (the %-hack, bang paths, two at-signs, routes) is refused, not interpreted (RFC 1123 5.2.16; the
//! relay tests of the last thirty years).

use policy::settings::Network;
use std::net::IpAddr;

/// Octets of a local part (RFC 5321, 4.5.3.1.1).
const LOCAL_PART_BYTES_MAX: usize = 64;

/// Octets of a domain (RFC 5321, 4.5.3.1.2).
const DOMAIN_BYTES_MAX: usize = 255;

/// Octets of a label (RFC 1035, 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// What is wrong with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing, or nothing before the at-sign.
    Empty,
    /// Too long a part.
    TooLong,
    /// The domain is none.
    Domain,
    /// A control character, a blank, or a quotation that does not end.
    Character,
    /// It asks us to send on: `a@b@us`, `@us:a@b`.
    Route,
}

/// The parts of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parts {
    /// The local part without quotation.
    pub(crate) local: Vec<u8>,
    /// The domain in lower case without a dot at its end; `None`: there is none.
    pub(crate) domain: Option<Vec<u8>>,
    /// Whether the local part asks whoever has the domain to send on: `a%b`, `b!a`, `"a@b"`.
    pub(crate) is_routed: bool,
}

/// Reads an address without angle brackets.
pub(crate) fn read(address: &[u8]) -> Result<Parts, Fault> {
    let at = at_sign(address)?;
    let (local, domain) = match at {
        Some(at) => {
            let (local, rest) = address.split_at_checked(at).unwrap_or_default();
            (local, rest.split_first().map(|(_, domain)| domain))
        }
        None => (address, None),
    };
    let is_quoted = local.first() == Some(&b'"');
    let local = unquoted(local)?;
    if local.is_empty() {
        return Err(Fault::Empty);
    }
    if local.len() > LOCAL_PART_BYTES_MAX {
        return Err(Fault::TooLong);
    }
    let is_routed = local.iter().any(|octet| matches!(octet, b'%' | b'!' | b'@' | b':'));
    if !is_quoted && local.iter().any(|octet| b"<>()[],;\\\" ".contains(octet)) {
        return Err(Fault::Character);
    }
    let domain = match domain {
        Some(domain) => Some(read_domain(domain)?),
        None => None,
    };
    Ok(Parts { local, domain, is_routed })
}

/// The at-sign between local part and domain: the last one outside of quotation; there must not be two.
fn at_sign(address: &[u8]) -> Result<Option<usize>, Fault> {
    let (mut is_quoted, mut is_escaped, mut found) = (false, false, None);
    for (place, &octet) in address.iter().enumerate() {
        if octet < b' ' || octet == 0x7f {
            return Err(Fault::Character);
        }
        if is_escaped {
            is_escaped = false;
            continue;
        }
        match octet {
            b'\\' => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b'@' if !is_quoted && found.is_some() => return Err(Fault::Route),
            b'@' if !is_quoted => found = Some(place),
            _ => {}
        }
    }
    if is_quoted || is_escaped { Err(Fault::Character) } else { Ok(found) }
}

fn unquoted(local: &[u8]) -> Result<Vec<u8>, Fault> {
    let Some(rest) = local.strip_prefix(b"\"") else {
        return Ok(local.to_vec());
    };
    let inner = rest.strip_suffix(b"\"").ok_or(Fault::Character)?;
    let mut out = Vec::with_capacity(inner.len());
    let mut octets = inner.iter();
    while let Some(&octet) = octets.next() {
        match octet {
            b'\\' => out.extend(octets.next()),
            b'"' => return Err(Fault::Character),
            _ => out.push(octet),
        }
    }
    Ok(out)
}

fn read_domain(domain: &[u8]) -> Result<Vec<u8>, Fault> {
    let bare = domain.strip_suffix(b".").unwrap_or(domain);
    if bare.len() > DOMAIN_BYTES_MAX {
        return Err(Fault::TooLong);
    }
    if let Some(literal) = bare.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) {
        let text = std::str::from_utf8(literal).map_err(|_| Fault::Domain)?;
        let text = text.strip_prefix("IPv6:").unwrap_or(text);
        text.parse::<IpAddr>().map_err(|_| Fault::Domain)?;
        return Ok(bare.to_ascii_lowercase());
    }
    let is_label = |label: &[u8]| {
        !label.is_empty()
            && label.len() <= LABEL_BYTES_MAX
            && label.iter().all(|o| o.is_ascii_alphanumeric() || matches!(o, b'-' | b'_' | 0x80..))
            && label.first() != Some(&b'-')
            && label.last() != Some(&b'-')
    };
    if bare.split(|&octet| octet == b'.').all(is_label) {
        Ok(bare.to_ascii_lowercase())
    } else {
        Err(Fault::Domain)
    }
}

/// A domain of the configuration, folded.
pub(crate) fn domain(text: &str) -> Option<Vec<u8>> {
    read_domain(text.as_bytes()).ok()
}

/// `HOST`, `HOST:PORT`, `[ADDRESS]`, `[ADDRESS]:PORT`, `ADDRESS:PORT`; addresses come out in brackets.
pub(crate) fn next_hop(text: &str) -> Option<Vec<u8>> {
    if let Ok(address) = text.parse::<std::net::SocketAddr>() {
        return Some(format!("[{}]:{}", address.ip(), address.port()).into_bytes());
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(format!("[{address}]").into_bytes());
    }
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(address) = inner.and_then(|inner| inner.parse::<IpAddr>().ok()) {
        return Some(format!("[{address}]").into_bytes());
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse::<u16>().ok().filter(|&port| port > 0)?)),
        None => (text, None),
    };
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    domain(bare)?;
    Some(match port {
        Some(port) => format!("{host}:{port}").into_bytes(),
        None => host.as_bytes().to_vec(),
    })
}

/// `ADDRESS` or `ADDRESS/BITS`.
pub(crate) fn network(text: &str) -> Option<Network> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let prefix_bits = bits.unwrap_or(width);
    (prefix_bits <= width).then_some(Network { address, prefix_bits })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_parts() {
        let parts = read(b"Anna+x@Example.ORG.").unwrap();
        assert_eq!(parts.local, b"Anna+x");
        assert_eq!(parts.domain.unwrap(), b"example.org");
        assert_eq!(read(b"anna").unwrap().domain, None);
        assert_eq!(read(b"\"a b\"@x").unwrap().local, b"a b");
    }

    #[test]
    fn every_trick_to_be_sent_on_is_seen() {
        for trick in [
            &b"a%other.example@us"[..],
            b"other.example!a@us",
            b"\"a@other.example\"@us",
            b"a@other.example@us",
            b"@us:a@other.example",
            b"\"a%other\"@us",
        ] {
            let is_trick =
                read(trick).map_or_else(|fault| fault == Fault::Route, |parts| parts.is_routed);
            assert!(is_trick, "{}", String::from_utf8_lossy(trick));
        }
    }

    #[test]
    fn what_is_no_address_is_named() {
        assert_eq!(read(b""), Err(Fault::Empty));
        assert_eq!(read(b"@x"), Err(Fault::Empty));
        assert_eq!(read(b"a\0b@x"), Err(Fault::Character));
        assert_eq!(read(b"\"a@x"), Err(Fault::Character));
        assert_eq!(read(b"a@x..y"), Err(Fault::Domain));
        assert_eq!(read(b"a@[1.2.3]"), Err(Fault::Domain));
        assert_eq!(read(&[b'a'; 65]), Err(Fault::TooLong));
    }

    #[test]
    fn next_hops_are_hosts_or_addresses_with_ports() {
        assert_eq!(next_hop("127.0.0.1:25").unwrap(), b"[127.0.0.1]:25");
        assert_eq!(next_hop("[::1]:25").unwrap(), b"[::1]:25");
        assert_eq!(next_hop("mx.example.org:587").unwrap(), b"mx.example.org:587");
        assert_eq!(next_hop("[mx.example.org]").unwrap(), b"[mx.example.org]");
        assert_eq!(next_hop("mx.example.org:0"), None);
        assert_eq!(next_hop("a b"), None);
        assert_eq!(next_hop("[::1]").unwrap(), b"[::1]");
        assert_eq!(next_hop("[192.0.2.1]").unwrap(), b"[192.0.2.1]");
    }

    proptest::proptest! {
        #[test]
        fn any_octets_are_an_address_or_a_fault(octets: Vec<u8>) {
            drop(read(&octets));
        }
    }
}
