//! The addresses of this machine, as the kernel lists them in /proc.

use std::net::{Ipv4Addr, Ipv6Addr};

/// How many addresses are listed.
const ADDRESSES_MAX: usize = 256;

/// All addresses but the loopback's, in brackets as in mail addresses.
pub(crate) fn addresses() -> Vec<Vec<u8>> {
    let table = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let mut found: Vec<Vec<u8>> = Vec::new();
    let mut last: Option<Ipv4Addr> = None;
    for line in table.lines() {
        if let Some((_, address)) = line.split_once("|-- ") {
            last = address.trim().parse().ok();
        } else if line.contains("host LOCAL")
            && let Some(address) = last.filter(|address| !address.is_loopback())
        {
            let text = format!("[{address}]").into_bytes();
            if !found.contains(&text) {
                found.push(text);
            }
        }
    }
    let table = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    for word in table.lines().filter_map(|line| line.split_ascii_whitespace().next()) {
        if let Some(address) = u128::from_str_radix(word, 16)
            .ok()
            .map(Ipv6Addr::from)
            .filter(|address| !address.is_loopback())
        {
            found.push(format!("[IPv6:{address}]").into_bytes());
        }
    }
    found.truncate(ADDRESSES_MAX);
    found
}
