//! The files of TCP wrappers: `hosts_access(5)` and `hosts_options(5)`, as a sendmail built with TCPWRAPPERS consults them.
//!
//! A line is `daemons : clients [: options]`. The first line of hosts.allow that fits lets the client in, then the first of
//! hosts.deny keeps it out, and who is in neither comes in. Options are read and none is carried out but `allow` and `deny`:
//! `spawn` changes nothing here, and what would put a program in the server's place (`twist`), would ask one (`aclexec`) or is
//! not known keeps the client out.

use alloc::{boxed::Box, vec::Vec};
use core::net::IpAddr;
use core::str;

/// Lines that one file may have; what comes after them is not read.
const LINES_MAX: usize = 1_000_000;
/// Words of one list that are looked at.
const WORDS_MAX: usize = 10_000;
/// What stands for a name or a user that nobody knows.
const UNKNOWN: &[u8] = b"unknown";
/// What may stand between words.
const BLANKS: &[u8] = b" ,\t\r\n";

/// What is known of a client: `hosts_ctl(3)` is told no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer<'a> {
    /// Its name by reverse look-up; empty: nobody knows.
    pub name: &'a [u8],
    /// Its address.
    pub address: IpAddr,
}

impl<'a> Peer<'a> {
    /// The name as patterns see it.
    #[must_use]
    pub const fn shown(&self) -> &'a [u8] {
        if self.name.is_empty() { UNKNOWN } else { self.name }
    }
}

/// What a line says of those whom it fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// What its file says.
    AsTheFile,
    Allow,
    Deny,
}

/// A line that is about our daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    clients: Box<[u8]>,
    said: Said,
}

/// One file's lines that are about one daemon, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    rules: Vec<Rule>,
    faults: Vec<usize>,
}

/// The patterns of other files: the words of a file, nothing for a file that is not there, `None` for one that can't be read.
pub type Files<'a> = dyn FnMut(&[u8]) -> Option<Vec<u8>> + 'a;

impl Rules {
    /// Reads the lines that are about `daemon`. A line that is none is named by [`Rules::faults`] and fits nobody.
    #[must_use]
    pub fn read(text: &[u8], daemon: &[u8]) -> Self {
        let mut read = Self::default();
        for (number, line) in joined(text).into_iter().take(LINES_MAX).enumerate() {
            if line.starts_with(b"#") || line.trim_ascii().is_empty() {
                continue;
            }
            let mut fields = fields(&line).into_iter();
            let (Some(daemons), Some(clients)) = (fields.next(), fields.next()) else {
                read.faults.push(number.saturating_add(1));
                continue;
            };
            if list_fits(&daemons, &mut |word| is_daemon(word, daemon)) {
                let said = said(fields);
                read.rules.push(Rule { clients: clients.into(), said });
            }
        }
        read
    }

    /// The numbers of logical lines that have no colon.
    #[must_use]
    pub fn faults(&self) -> &[usize] {
        &self.faults
    }

    /// Files of patterns (`/path`) that lines name.
    pub fn files(&self) -> impl Iterator<Item = &[u8]> {
        let words = self.rules.iter().flat_map(|rule| words(&rule.clients));
        words.map(|word| split_user(word).1).filter(|word| word.starts_with(b"/"))
    }

    /// The first line that fits.
    fn first(&self, peer: &Peer<'_>, doubt: bool, files: &mut Files<'_>) -> Option<Said> {
        let mut fits = |rule: &&Rule| {
            list_fits(&rule.clients, &mut |word| is_client(word, peer, doubt, files))
        };
        self.rules.iter().find(|rule| fits(rule)).map(|rule| rule.said)
    }
}

/// Whether a client comes in. A pattern file that can't be read lets nobody in, and keeps out who is kept out by it.
#[must_use]
pub fn lets_in(allow: &Rules, deny: &Rules, peer: &Peer<'_>, files: &mut Files<'_>) -> bool {
    match allow.first(peer, false, files) {
        Some(said) => said != Said::Deny,
        None => deny.first(peer, true, files).is_none_or(|said| said == Said::Allow),
    }
}

/// Logical lines: a backslash before the end of a line continues it.
fn joined(text: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let mut continues = false;
    for line in text.split(|octet| *octet == b'\n') {
        let (line, goes_on) = line.strip_suffix(b"\\").map_or((line, false), |line| (line, true));
        match lines.last_mut().filter(|_| continues) {
            Some(last) => last.extend_from_slice(line),
            None => lines.push(line.to_vec()),
        }
        continues = goes_on;
    }
    lines
}

/// The fields of a line: colons divide them, but for those behind a backslash or in brackets (addresses of IPv6).
fn fields(line: &[u8]) -> Vec<Vec<u8>> {
    let mut fields = Vec::new();
    let mut field = Vec::new();
    let (mut is_literal, mut in_brackets) = (false, false);
    for &octet in line {
        match octet {
            b':' if is_literal => {
                // The backslash was for the colon.
                field.pop();
                field.push(octet);
            }
            b':' if !in_brackets => fields.push(core::mem::take(&mut field)),
            _ => field.push(octet),
        }
        is_literal = octet == b'\\';
        in_brackets = (in_brackets || octet == b'[') && octet != b']';
    }
    fields.push(field);
    fields
}

/// What the options of a line come to.
fn said(options: impl Iterator<Item = Vec<u8>>) -> Said {
    let mut said = Said::AsTheFile;
    for option in options {
        let mut parts = option.split(|octet| *octet == b'=' || octet.is_ascii_whitespace());
        let Some(word) = parts.find(|part| !part.is_empty()) else { continue };
        match word.to_ascii_lowercase().as_slice() {
            b"allow" => return Said::Allow,
            b"user" | b"group" | b"umask" | b"linger" | b"keepalive" | b"spawn" | b"rfc931"
            | b"setenv" | b"nice" | b"severity" | b"banners" => {}
            _ => said = Said::Deny,
        }
    }
    said
}

fn words(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let words = list.split(|octet| BLANKS.contains(octet)).filter(|word| !word.is_empty());
    words.take(WORDS_MAX)
}

/// Whether a list fits: `A EXCEPT B EXCEPT C` is A without (B without C).
fn list_fits(list: &[u8], fits: &mut dyn FnMut(&[u8]) -> bool) -> bool {
    let mut parts: Vec<bool> = Vec::new();
    let mut part = false;
    for word in words(list) {
        if word.eq_ignore_ascii_case(b"EXCEPT") {
            parts.push(part);
            part = false;
        } else {
            part = part || fits(word);
        }
    }
    parts.into_iter().rev().fold(part, |excepted, part| part && !excepted)
}

/// A daemon's pattern. Nobody is told which of our addresses was called, so of `daemon@host` only `ALL` fits behind the `@`.
fn is_daemon(word: &[u8], daemon: &[u8]) -> bool {
    match word.iter().position(|octet| *octet == b'@').and_then(|at| word.split_at_checked(at)) {
        Some((name, host)) if !name.is_empty() => {
            is_text(name, daemon) && is_text(host.get(1..).unwrap_or_default(), UNKNOWN)
        }
        Some(_) | None => is_text(word, daemon),
    }
}

/// `user@host` as its two patterns; `@netgroup` has no user.
fn split_user(word: &[u8]) -> (&[u8], &[u8]) {
    match word.iter().position(|octet| *octet == b'@') {
        Some(at) if at > 0 => {
            let (user, host) = word.split_at_checked(at).unwrap_or((b"", word));
            (user, host.get(1..).unwrap_or_default())
        }
        Some(_) | None => (b"ALL", word),
    }
}

fn is_client(word: &[u8], peer: &Peer<'_>, doubt: bool, files: &mut Files<'_>) -> bool {
    let (user, host) = split_user(word);
    // Nobody asks for the user of a connection.
    is_text(user, UNKNOWN) && is_host(host, peer, doubt, files)
}

fn is_host(word: &[u8], peer: &Peer<'_>, doubt: bool, files: &mut Files<'_>) -> bool {
    if word.starts_with(b"/") {
        let Some(patterns) = files(word) else { return doubt };
        // A file names no further files.
        return words(&patterns)
            .any(|word| !word.starts_with(b"/") && is_host(word, peer, doubt, &mut |_| None));
    }
    let name = peer.shown();
    let is_known = !name.eq_ignore_ascii_case(UNKNOWN);
    if word.starts_with(b"@") {
        // There are no netgroups here.
        false
    } else if word.eq_ignore_ascii_case(b"KNOWN") {
        is_known
    } else if word.eq_ignore_ascii_case(b"LOCAL") {
        is_known && !name.contains(&b'.')
    } else if let Some(fits) = is_in_network(word, peer.address) {
        fits
    } else {
        let address = alloc::format!("{}", peer.address.to_canonical());
        is_text(word, name) || is_text(word, address.as_bytes())
    }
}

/// `address/bits`, `address/mask` and `[address]/bits`; `None`: the word is none of these.
fn is_in_network(word: &[u8], address: IpAddr) -> Option<bool> {
    let (network, mask) = match word.iter().position(|octet| *octet == b'/') {
        Some(at) => {
            let (network, mask) = word.split_at_checked(at)?;
            (network, Some(mask.get(1..)?))
        }
        None if word.starts_with(b"[") => (word, None),
        None => return None,
    };
    let bare = network.strip_prefix(b"[").and_then(|inner| inner.strip_suffix(b"]"));
    let network: IpAddr = str::from_utf8(bare.unwrap_or(network)).ok()?.parse().ok()?;
    let whole = if network.is_ipv4() { 32 } else { 128 };
    let prefix_bits = match mask {
        None => whole,
        Some(mask) => {
            let mask = str::from_utf8(mask).ok()?;
            match mask.parse::<IpAddr>() {
                Ok(IpAddr::V4(mask)) if network.is_ipv4() => {
                    return Some(is_masked(network, u32::from(mask), address));
                }
                Ok(_) => return Some(false),
                Err(_) => mask.parse().ok().filter(|bits| *bits <= whole)?,
            }
        }
    };
    Some(crate::settings::Network { address: network, prefix_bits }.holds(address))
}

/// Any mask, also one with holes.
fn is_masked(network: IpAddr, mask: u32, address: IpAddr) -> bool {
    match (network, address.to_canonical()) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            u32::from(address) & mask == u32::from(network)
        }
        (IpAddr::V4(_) | IpAddr::V6(_), _) => false,
    }
}

/// One pattern and one text: `.suffix`, `ALL`, `KNOWN`, `prefix.`, `*` and `?`, or the text itself.
fn is_text(pattern: &[u8], text: &[u8]) -> bool {
    if pattern.eq_ignore_ascii_case(b"ALL") {
        true
    } else if pattern.eq_ignore_ascii_case(b"KNOWN") {
        !text.eq_ignore_ascii_case(UNKNOWN)
    } else if pattern.starts_with(b".") {
        let tail = text.len().checked_sub(pattern.len()).and_then(|start| text.get(start..));
        tail.is_some_and(|tail| tail.eq_ignore_ascii_case(pattern))
    } else if pattern.ends_with(b".") {
        let head = text.get(..pattern.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(pattern))
    } else if pattern.iter().any(|octet| matches!(octet, b'*' | b'?')) {
        is_glob(pattern, text)
    } else {
        pattern.eq_ignore_ascii_case(text)
    }
}

/// `*` and `?`, without recursion: after a mismatch the last `*` takes one octet more.
fn is_glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen) = (0_usize, 0_usize);
    let mut star: Option<(usize, usize)> = None;
    while let Some(octet) = text.get(seen) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at = at.saturating_add(1);
                continue;
            }
            Some(wanted) if *wanted == b'?' || wanted.eq_ignore_ascii_case(octet) => {
                at = at.saturating_add(1);
                seen = seen.saturating_add(1);
                continue;
            }
            Some(_) | None => {}
        }
        let Some((place, taken)) = star else { return false };
        let taken = taken.saturating_add(1);
        star = Some((place, taken));
        at = place.saturating_add(1);
        seen = taken;
    }
    pattern.get(at..).unwrap_or_default().iter().all(|octet| *octet == b'*')
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop")]
mod tests {
    use super::{Peer, Rules, is_glob, lets_in};
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[expect(clippy::unnecessary_wraps, reason = "files have this shape")]
    fn nothing(_: &[u8]) -> Option<Vec<u8>> {
        Some(Vec::new())
    }

    fn comes_in(allow: &str, deny: &str, name: &str, address: &str) -> bool {
        let read = |text: &str| Rules::read(text.as_bytes(), b"sendmail");
        let peer = Peer { name: name.as_bytes(), address: address.parse().unwrap() };
        lets_in(&read(allow), &read(deny), &peer, &mut nothing)
    }

    fn is_kept_out(deny: &str, name: &str, address: &str) -> bool {
        !comes_in("", deny, name, address)
    }

    #[test]
    fn who_is_in_no_file_comes_in() {
        assert!(comes_in("", "", "a.test", "192.0.2.1"));
        assert!(comes_in("sshd: ALL: deny\n", "sshd: ALL\n", "a.test", "192.0.2.1"));
    }

    #[test]
    fn hosts_allow_is_asked_before_hosts_deny() {
        let allow = "sendmail: 192.0.2.\n";
        assert!(comes_in(allow, "ALL: ALL\n", "", "192.0.2.1"));
        assert!(!comes_in(allow, "ALL: ALL\n", "", "192.0.20.1"));
    }

    #[test]
    fn names_addresses_and_networks_are_patterns() {
        for (pattern, name, address, fits) in [
            ("192.0.2.1", "", "192.0.2.1", true),
            ("192.0.2.", "", "192.0.2.77", true),
            ("192.0.2.0/255.255.255.0", "", "192.0.2.77", true),
            ("192.0.2.0/24", "", "192.0.2.77", true),
            ("192.0.2.0/25", "", "192.0.2.177", false),
            ("192.0.2.0/255.255.255.1", "", "192.0.2.2", true),
            ("[2001:db8::]/32", "", "2001:db8::1", true),
            ("[2001:db8::1]", "", "2001:db8::2", false),
            (".spam.test", "a.SPAM.test", "192.0.2.1", true),
            (".spam.test", "spam.test", "192.0.2.1", false),
            ("spam.test", "spam.test", "192.0.2.1", true),
            ("*.spam.*", "a.spam.test", "192.0.2.1", true),
            ("LOCAL", "host", "192.0.2.1", true),
            ("LOCAL", "host.test", "192.0.2.1", false),
            ("LOCAL", "", "192.0.2.1", false),
            ("KNOWN", "", "192.0.2.1", false),
            ("UNKNOWN", "", "192.0.2.1", true),
            ("UNKNOWN", "a.test", "192.0.2.1", false),
            ("@group", "a.test", "192.0.2.1", false),
            ("root@ALL", "a.test", "192.0.2.1", false),
            ("UNKNOWN@ALL", "a.test", "192.0.2.1", true),
        ] {
            let line = alloc::format!("sendmail: {pattern}\n");
            assert_eq!(is_kept_out(&line, name, address), fits, "{pattern} {name} {address}");
        }
    }

    #[test]
    fn daemons_are_patterns_too() {
        let address = "192.0.2.1";
        for (daemons, fits) in [
            ("ALL", true),
            ("sshd, SENDMAIL", true),
            ("send*", true),
            ("ALL EXCEPT sendmail", false),
            ("ALL EXCEPT sshd", true),
            ("sendmail@192.0.2.9", false),
            ("sendmail@ALL", true),
        ] {
            let line = alloc::format!("{daemons}: ALL\n");
            assert_eq!(is_kept_out(&line, "", address), fits, "{daemons}");
        }
    }

    #[test]
    fn except_may_be_nested() {
        let line = "ALL: 192.0.2. EXCEPT 192.0.2.1 192.0.2.2 EXCEPT 192.0.2.2\n";
        assert!(is_kept_out(line, "", "192.0.2.3"));
        assert!(!is_kept_out(line, "", "192.0.2.1"));
        assert!(is_kept_out(line, "", "192.0.2.2"));
    }

    #[test]
    fn lines_may_continue_and_comments_do_not_count() {
        let text = "# ALL: ALL\n\nALL: \\\n  192.0.2.1 \\\n  192.0.2.2\nno colon here\n";
        assert!(is_kept_out(text, "", "192.0.2.2"));
        assert!(!is_kept_out(text, "", "192.0.2.3"));
        assert_eq!(Rules::read(text.as_bytes(), b"sendmail").faults(), [4]);
    }

    #[test]
    fn options_allow_and_deny_and_no_program_is_run() {
        let (name, address) = ("", "192.0.2.1");
        assert!(!comes_in("ALL: ALL: deny\n", "", name, address));
        assert!(comes_in("", "ALL: ALL: ALLOW\n", name, address));
        assert!(comes_in("ALL: ALL: spawn (echo %a | mail root) &: allow\n", "", name, address));
        assert!(!comes_in("", "ALL: ALL: spawn /bin/true\n", name, address));
        assert!(!comes_in("ALL: ALL: twist /bin/echo 550 no\n", "", name, address));
        assert!(!comes_in("ALL: ALL: rubbish\n", "", name, address));
        assert!(comes_in("ALL: ALL: severity mail.info\n", "ALL: ALL\n", name, address));
    }

    #[test]
    fn a_file_of_patterns_is_read_and_one_that_cannot_be_read_lets_nobody_in() {
        let rules = Rules::read(b"sendmail: /etc/bad.hosts\n", b"sendmail");
        assert_eq!(rules.files().collect::<Vec<_>>(), [b"/etc/bad.hosts"]);
        let none = Rules::default();
        let peer = Peer { name: b"", address: "192.0.2.1".parse().unwrap() };
        let mut listed = |_: &[u8]| Some(b"198.51.100.1\n192.0.2.\n".to_vec());
        assert!(!lets_in(&none, &rules, &peer, &mut listed));
        assert!(lets_in(&none, &rules, &peer, &mut nothing));
        assert!(!lets_in(&none, &rules, &peer, &mut |_| None));
        let all = Rules::read(b"ALL: ALL\n", b"sendmail");
        assert!(!lets_in(&rules, &all, &peer, &mut |_| None));
    }

    #[test]
    fn a_pattern_of_many_stars_costs_no_exponential_time() {
        let pattern = b"*a".repeat(500);
        let text = b"a".repeat(499);
        assert!(!is_glob(&pattern, &text));
        assert!(is_glob(b"*a*b?", b"xxaxxbz"));
    }

    proptest! {
        #[test]
        fn any_octets_are_rules(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let rules = Rules::read(&text, b"sendmail");
            let peer = Peer { name: b"a.test", address: "192.0.2.1".parse().unwrap() };
            let _comes_in = lets_in(&rules, &rules, &peer, &mut nothing);
        }
    }
}
