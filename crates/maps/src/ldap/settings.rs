//! The flags of an ldap map: which server, as whom, what is searched, what comes of it (operations guide, section 5.10).

use std::time::Duration;

use policy_cf::MapSpec;

use super::client::Manner;
use crate::door::Server;
use crate::table::path_of;

/// The port of the protocol.
const PORT: u16 = 389;
/// How long a look-up may take where `-l` doesn't say, and at most; how long a connection may, where `-c` doesn't.
const TIME_DEFAULT_S: u32 = 10;
const TIME_MAX_S: u32 = 60;
const CONNECT_DEFAULT_S: u32 = 5;
/// Attributes and servers of one map.
const LIST_MAX: usize = 64;

/// What to do with the values of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is a value.
    Normal,
    /// It names an entry that is read next.
    Name,
    /// It is a filter that is searched for next.
    Filter,
    /// It is a URL that is searched next.
    Url,
}

/// An attribute of `-v`: `name[:kind[:objectclass|objectclass]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: Vec<u8>,
    pub(super) kind: Kind,
    /// Only of entries of one of these classes; of any, if there are none.
    pub(super) classes: Vec<Vec<u8>>,
}

/// A map's flags, read.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) servers: Vec<Server>,
    pub(super) base: Vec<u8>,
    pub(super) scope: u8,
    pub(super) filter: Vec<u8>,
    pub(super) wanted: Vec<Wanted>,
    pub(super) manner: Manner,
    pub(super) is_single: bool,
    pub(super) delimiter: u8,
    /// `-V`: the attribute's name stands before its value, with this between.
    pub(super) name_separator: Option<u8>,
    pub(super) version: u32,
    pub(super) user: Vec<u8>,
    pub(super) password_file: Option<Vec<u8>>,
    pub(super) keeps_case: bool,
    pub(super) connect_max: Duration,
    pub(super) time_max: Duration,
}

impl Settings {
    /// Reads the flags of a map; what it does not say the option `LDAPDefaultSpec` does.
    ///
    /// # Errors
    /// What can't be served, in words.
    pub(super) fn read(spec: &MapSpec, default: &MapSpec) -> Result<Self, String> {
        let flag = |letter| spec.flag(letter).or_else(|| default.flag(letter));
        let has = |letter| spec.has(letter) || default.has(letter);
        let number = |letter, otherwise| number(flag(letter)).unwrap_or(otherwise);
        let mut base = flag(b'b').unwrap_or_default().to_vec();
        // A map that names its own host is not sent to the default's URL.
        let is_own = spec.has(b'h') || spec.has(b'H');
        let server = |letter| if is_own { spec.flag(letter) } else { flag(letter) };
        let port = u16::try_from(number(b'p', u32::from(PORT))).unwrap_or(PORT);
        let servers = match (server(b'H'), server(b'h')) {
            (Some(list), _) => urls(list, &mut base)?,
            (None, list) => hosts(list.unwrap_or(b"localhost"), port),
        };
        if !matches!(flag(b'M').map(method), None | Some(Method::None | Method::Simple)) {
            return Err("only the methods none and simple are served (-M)".into());
        }
        let wanted = wanted(flag(b'v').unwrap_or_default())?;
        let time_s = number(b'l', TIME_DEFAULT_S).clamp(1, TIME_MAX_S);
        let is_single = has(b'1');
        let manner = Manner {
            deref: deref(flag(b'r'))?,
            size_max: number(b'Z', 0),
            time_s,
            names_only: has(b'n'),
            attributes: names(&wanted),
        };
        Ok(Self {
            servers,
            base,
            scope: scope(flag(b's'))?,
            filter: flag(b'k').unwrap_or_default().to_vec(),
            wanted,
            manner,
            is_single,
            delimiter: flag(b'z').and_then(delimiter).unwrap_or(b'\n'),
            name_separator: flag(b'V').and_then(delimiter),
            version: number(b'w', 3).clamp(2, 3),
            user: flag(b'd').unwrap_or_default().to_vec(),
            password_file: flag(b'P').map(<[u8]>::to_vec),
            keeps_case: spec.keeps_case(),
            connect_max: Duration::from_secs(u64::from(number(b'c', CONNECT_DEFAULT_S).max(1))),
            time_max: Duration::from_secs(u64::from(time_s)),
        })
    }
}

fn number(value: Option<&[u8]>) -> Option<u32> {
    str::from_utf8(value?).ok()?.trim().parse().ok()
}

fn scope(value: Option<&[u8]>) -> Result<u8, String> {
    match value.map(<[u8]>::to_ascii_lowercase).as_deref() {
        Some(b"base") => Ok(0),
        Some(b"one") => Ok(1),
        None | Some(b"sub") => Ok(2),
        Some(_) => Err("-s is base, one or sub".into()),
    }
}

fn deref(value: Option<&[u8]>) -> Result<u8, String> {
    match value.map(<[u8]>::to_ascii_lowercase).as_deref() {
        None | Some(b"never") => Ok(0),
        Some(b"search") => Ok(1),
        Some(b"find") => Ok(2),
        Some(b"always") => Ok(3),
        Some(_) => Err("-r is never, always, search or find".into()),
    }
}

enum Method {
    None,
    Simple,
    Other,
}

fn method(value: &[u8]) -> Method {
    let value = value.to_ascii_lowercase();
    match value.strip_prefix(b"ldap_auth_").unwrap_or(&value) {
        b"none" => Method::None,
        b"simple" => Method::Simple,
        _ => Method::Other,
    }
}

fn delimiter(value: &[u8]) -> Option<u8> {
    match value {
        [b'\\', b'n', ..] => Some(b'\n'),
        [b'\\', b't', ..] => Some(b'\t'),
        [b'\\', b'\\', ..] => Some(b'\\'),
        [octet, ..] => Some(*octet),
        [] => None,
    }
}

/// `-h host[:port] host[:port]`
fn hosts(list: &[u8], port: u16) -> Vec<Server> {
    let words = list.split(|octet| matches!(octet, b' ' | b'\t' | b','));
    let words = words.filter(|word| !word.is_empty()).take(LIST_MAX);
    words.map(|word| host(word, port)).collect()
}

fn host(word: &[u8], port: u16) -> Server {
    let text = String::from_utf8_lossy(word);
    if let Some((name, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let port = rest.strip_prefix(':').and_then(|digits| digits.parse().ok()).unwrap_or(port);
        return Server::Inet(name.to_owned(), port);
    }
    match text.rsplit_once(':') {
        Some((name, digits)) if !name.contains(':') => {
            Server::Inet(name.to_owned(), digits.parse().unwrap_or(port))
        }
        _ => Server::Inet(text.into_owned(), port),
    }
}

/// `-H ldap://host:port/base ldapi://path`
fn urls(list: &[u8], base: &mut Vec<u8>) -> Result<Vec<Server>, String> {
    let words = list.split(|octet| matches!(octet, b' ' | b'\t')).filter(|word| !word.is_empty());
    let mut servers = Vec::new();
    for word in words.take(LIST_MAX) {
        if let Some(rest) = word.strip_prefix(b"ldap://") {
            let slash = rest.iter().position(|octet| *octet == b'/').unwrap_or(rest.len());
            let (name, path) = rest.split_at_checked(slash).unwrap_or((rest, b""));
            let name: &[u8] = if name.is_empty() { b"localhost" } else { name };
            servers.push(host(name, PORT));
            let path = path.get(1..).unwrap_or_default();
            let path = path.split(|octet| *octet == b'?').next().unwrap_or_default();
            if base.is_empty() {
                *base = unescape(path);
            }
        } else if let Some(path) = word.strip_prefix(b"ldapi://") {
            let path = path.split(|octet| *octet == b'?').next().unwrap_or_default();
            servers.push(Server::Local(path_of(&unescape(path))));
        } else {
            return Err("only ldap:// and ldapi:// are served (-H)".into());
        }
    }
    Ok(servers)
}

/// `%2f` and its kin.
pub(super) fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((octet, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|digits| str::from_utf8(digits).ok());
        let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match value {
            Some(value) if *octet == b'%' => {
                out.push(value);
                rest = behind.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*octet);
                rest = behind;
            }
        }
    }
    out
}

fn wanted(list: &[u8]) -> Result<Vec<Wanted>, String> {
    let words = list.split(|octet| *octet == b',').map(<[u8]>::trim_ascii);
    let words = words.filter(|word| !word.is_empty()).take(LIST_MAX);
    words
        .map(|word| {
            let mut parts = word.splitn(3, |octet| *octet == b':');
            let name = parts.next().unwrap_or_default().to_vec();
            let kind = match parts.next().map(<[u8]>::to_ascii_uppercase).as_deref() {
                None | Some(b"NORMAL") => Kind::Normal,
                Some(b"DN") => Kind::Name,
                Some(b"FILTER") => Kind::Filter,
                Some(b"URL") => Kind::Url,
                Some(_) => return Err("a type behind -v is NORMAL, DN, FILTER or URL".into()),
            };
            let classes = parts.next().unwrap_or_default().split(|octet| *octet == b'|');
            let classes = classes.filter(|class| !class.is_empty()).map(<[u8]>::to_vec).collect();
            Ok(Wanted { name, kind, classes })
        })
        .collect()
}

/// What is asked of the server: the wanted attributes, and the class where that counts.
fn names(wanted: &[Wanted]) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = wanted.iter().map(|wanted| wanted.name.clone()).collect();
    if wanted.iter().any(|wanted| !wanted.classes.is_empty()) {
        names.push(b"objectClass".to_vec());
    }
    names
}
