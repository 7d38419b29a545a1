//! Maps: the K line, the classes that need nothing from outside, and what is done to every value.
//!
//! `Kname class flags rest` (manual, section 5.10). The classes `macro`, `arith`, `dequote`, `sequence`, `switch` and
//! `null` are answered here; all others go to the [`crate::World`].

mod ask;
mod own;

use crate::read::chars::{is_space, split_word, trim_start};
use crate::world::{MapHandle, MapSpec};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Classes that are known; what is not compiled into Debian's sendmail is refused as there.
const CLASSES: [&[u8]; 25] = [
    b"hash",
    b"btree",
    b"text",
    b"host",
    b"dns",
    b"bestmx",
    b"dequote",
    b"regex",
    b"macro",
    b"arith",
    b"sequence",
    b"switch",
    b"implicit",
    b"user",
    b"program",
    b"syslog",
    b"socket",
    b"null",
    b"stab",
    b"ldap",
    b"userdb",
    b"nis",
    b"nisplus",
    b"dprintf",
    b"arpa",
];

/// A map of the configuration.
#[derive(Debug, Clone)]
pub struct Map {
    /// The K line.
    pub spec: Arc<MapSpec>,
    /// `-S`: what blanks in keys become; 0: the option BlankSub.
    pub space: u8,
    kind: Kind,
    handle: Handle,
}

/// Who answers a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    Macro,
    Arith,
    Dequote,
    Sequence,
    Switch,
    /// The outside does; a host's name is remembered in address test mode.
    Host,
    /// The outside does.
    Outside,
}

impl Kind {
    fn of(class: &[u8]) -> Self {
        match class {
            b"null" => Self::Null,
            b"macro" => Self::Macro,
            b"arith" => Self::Arith,
            b"dequote" => Self::Dequote,
            b"sequence" => Self::Sequence,
            b"switch" => Self::Switch,
            b"host" => Self::Host,
            _ => Self::Outside,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handle {
    Closed,
    Open(MapHandle),
    Failed,
}

/// Flags that take a value, by class.
fn takes_value(class: &[u8], letter: u8) -> bool {
    match class {
        b"regex" => matches!(letter, b'a' | b'T' | b's' | b'd' | b'S'),
        b"dequote" => matches!(letter, b'a' | b's' | b'S'),
        b"syslog" => matches!(letter, b'L' | b'S'),
        b"host" => matches!(letter, b'a' | b'T' | b'd' | b'r' | b'S'),
        b"dns" => matches!(
            letter,
            b'a' | b'T' | b'd' | b'r' | b'R' | b'Z' | b'B' | b'z' | b'S' | b'k' | b'v'
        ),
        b"ldap" => !matches!(
            letter,
            b'N' | b'O' | b'o' | b'f' | b'm' | b'A' | b'q' | b'D' | b't' | b'n' | b'1' | b'R'
        ),
        _ => matches!(letter, b'a' | b'T' | b'k' | b'v' | b'z' | b'd' | b'S'),
    }
}

/// Flags that a class knows; 0 for those that take any.
fn knows_flag(class: &[u8], letter: u8) -> bool {
    match class {
        b"hash" | b"btree" | b"text" | b"user" | b"program" | b"implicit" | b"stab" | b"null"
        | b"bestmx" | b"socket" => b"NOofmAqadTkvztSD".contains(&letter),
        _ => true,
    }
}

/// Reads a K line behind the `K`.
///
/// # Errors
/// sendmail's text for it.
pub fn read(line: &[u8], complaints: &mut Vec<Vec<u8>>) -> Option<Map> {
    let line = trim_start(line);
    if !line.first().is_some_and(u8::is_ascii_alphanumeric) {
        complaints.push(b"readcf: config K line: no map name".to_vec());
        return None;
    }
    let length = line
        .iter()
        .take_while(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'.'))
        .count();
    let (name, rest) = line.split_at_checked(length)?;
    let rest = trim_start(rest.get(1..).unwrap_or_default());
    if !rest.first().is_some_and(u8::is_ascii_alphanumeric) {
        complaints.push([b"readcf: config K line, map ", name, b": no map class"].concat());
        return None;
    }
    let length = rest.iter().take_while(|octet| octet.is_ascii_alphanumeric()).count();
    let (class, rest) = rest.split_at_checked(length)?;
    let rest = trim_start(rest.get(1..).unwrap_or_default());
    if !CLASSES.iter().any(|known| known.eq_ignore_ascii_case(class)) {
        complaints.push(
            [b"readcf: map ", name, b": class ", class, b" not available".as_slice()].concat(),
        );
        return None;
    }
    let mut spec = MapSpec {
        name: name.into(),
        class: class.to_ascii_lowercase().into(),
        flags: Vec::new(),
        rest: Box::default(),
    };
    spec.rest = read_flags(rest, &mut spec, complaints).into();
    if spec.rest.is_empty() && needs_file(&spec.class) {
        complaints.push([b"No file name for ", &*spec.class, b" map ", name].concat());
    }
    if &*spec.class == b"dns" {
        check_dns(&spec, complaints);
    }
    if &*spec.class == b"ldap" && !spec.has(b'k') {
        complaints.push([b"No filter given in map ", name].concat());
    }
    Some(Map::new(spec))
}

/// A dns map must say what it asks for.
fn check_dns(spec: &MapSpec, complaints: &mut Vec<Vec<u8>>) {
    const TYPES: [&[u8]; 12] = [
        b"A", b"AAAA", b"AFSDB", b"CNAME", b"MX", b"NS", b"PTR", b"SRV", b"TLSA", b"TXT", b"SOA",
        b"HINFO",
    ];
    let wanted = spec.flag(b'R');
    let is_known =
        wanted.is_some_and(|wanted| TYPES.iter().any(|known| known.eq_ignore_ascii_case(wanted)));
    if let Some(wanted) = wanted
        && !is_known
    {
        complaints.push([b"dns map ", &*spec.name, b": wrong type ", wanted].concat());
    }
    if !is_known {
        complaints.push([b"dns map ", &*spec.name, b": missing -R type"].concat());
    }
}

fn needs_file(class: &[u8]) -> bool {
    matches!(class, b"hash" | b"btree" | b"text" | b"implicit" | b"program" | b"socket" | b"switch")
}

fn read_flags<'a>(
    mut rest: &'a [u8],
    spec: &mut MapSpec,
    complaints: &mut Vec<Vec<u8>>,
) -> &'a [u8] {
    loop {
        rest = trim_start(rest);
        let Some((b'-', behind)) = rest.split_first() else { return rest };
        let Some((letter, value)) = behind.split_first() else { return behind };
        if !knows_flag(&spec.class, *letter) {
            complaints.push(
                [
                    b"Illegal option ".as_slice(),
                    core::slice::from_ref(letter),
                    b" map ",
                    &*spec.name,
                ]
                .concat(),
            );
        }
        let takes = takes_value(&spec.class, *letter);
        let is_directory = &*spec.class == b"ldap";
        let trims = is_directory || matches!(letter, b'k' | b'v' | b'R' | b'Z' | b'B');
        let value = if takes && trims { trim_start(value) } else { value };
        let (word, behind) =
            if takes && is_directory { split_filter(value) } else { split_word(value) };
        spec.flags.push((*letter, if takes { word.into() } else { Box::default() }));
        rest = behind.get(1..).unwrap_or_default();
    }
}

/// The value of a flag of an ldap map, and what stands behind it: quoted, or up to a blank outside of parentheses.
fn split_filter(text: &[u8]) -> (&[u8], &[u8]) {
    if let Some(inner) = text.strip_prefix(b"\"")
        && let Some(end) = inner.iter().position(|octet| *octet == b'"')
    {
        let (value, rest) = inner.split_at_checked(end).unwrap_or((inner, b""));
        return (value, rest.get(1..).unwrap_or_default());
    }
    let mut depth = 0_usize;
    let end = text.iter().position(|octet| {
        match octet {
            b'(' => depth = depth.saturating_add(1),
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && is_space(*octet)
    });
    text.split_at_checked(end.unwrap_or(text.len())).unwrap_or((text, b""))
}

impl Map {
    /// Forgets what was opened for it: by another outside than the one that is asked from now on.
    pub(crate) fn close(&mut self) {
        self.handle = Handle::Closed;
    }

    /// A map of a spec that was made up.
    #[must_use]
    pub fn new(spec: MapSpec) -> Self {
        let space = spec
            .flag(b'S')
            .or_else(|| if &*spec.class == b"dequote" { spec.flag(b's') } else { None });
        let space = space.and_then(|value| value.first()).copied().unwrap_or(0);
        let kind = Kind::of(&spec.class);
        Self { spec: Arc::new(spec), space, kind, handle: Handle::Closed }
    }

    fn keeps_quotes(&self) -> bool {
        matches!(self.kind, Kind::Dequote | Kind::Macro | Kind::Arith) || self.spec.has(b'q')
    }
}
