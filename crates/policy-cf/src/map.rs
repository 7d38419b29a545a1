//! Maps: the K line, the classes that need nothing from outside, and what is done to every value.
//!
//! `Kname class flags rest` (manual, section 5.10). The classes `macro`, `arith`, `dequote`, `sequence`, `switch` and
//! `null` are answered here; all others go to the [`crate::World`].

use crate::machine::{Event, Machine, Said, exit, strip_quotes};
use crate::read::chars::{is_space, split_word, trim_start};
use crate::world::{Answer, MapHandle, MapSpec};
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

/// How deep maps of maps may be.
const MAP_DEPTH_MAX: u32 = 12;
/// Host names remembered in address test mode.
const HOSTS_MAX: usize = 10_000;
/// Maps in one sequence (sendmail's MAXMAPSTACK).
const SEQUENCE_MAX: usize = 12;

/// A map of the configuration.
#[derive(Debug, Clone)]
pub struct Map {
    /// The K line.
    pub spec: Arc<MapSpec>,
    /// `-S`: what blanks in keys become; 0: the option BlankSub.
    pub space: u8,
    append: Option<Arc<[u8]>>,
    append_on_failure: Option<Arc<[u8]>>,
    handle: Handle,
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
            b'N' | b'O' | b'o' | b'f' | b'm' | b'A' | b'q' | b'D' | b't' | b'n' | b'1'
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
        let value = if takes && matches!(letter, b'k' | b'v' | b'R' | b'Z' | b'B') {
            trim_start(value)
        } else {
            value
        };
        let (word, behind) = split_word(value);
        spec.flags.push((*letter, if takes { word.into() } else { Box::default() }));
        rest = behind.get(1..).unwrap_or_default();
    }
}

impl Map {
    /// A map of a spec that was made up.
    #[must_use]
    pub fn new(spec: MapSpec) -> Self {
        let space = spec
            .flag(b'S')
            .or_else(|| if &*spec.class == b"dequote" { spec.flag(b's') } else { None });
        let space = space.and_then(|value| value.first()).copied().unwrap_or(0);
        let append = spec.flag(b'a').map(Into::into);
        let append_on_failure = spec.flag(b'T').map(Into::into);
        Self { spec: Arc::new(spec), space, append, append_on_failure, handle: Handle::Closed }
    }

    fn keeps_quotes(&self) -> bool {
        matches!(&*self.spec.class, b"dequote" | b"macro" | b"arith") || self.spec.has(b'q')
    }
}

/// Puts arguments in for `%0` … `%9`, and the tag of `-a` behind.
fn decorate(value: &[u8], arguments: Option<&[&[u8]]>, append: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len().saturating_add(16));
    match arguments {
        None => out.extend_from_slice(value),
        Some(arguments) => {
            let mut octets = value.iter().copied().take_while(|octet| *octet != 0);
            while let Some(octet) = octets.next() {
                if octet != b'%' {
                    out.push(octet);
                    continue;
                }
                match octets.next() {
                    None | Some(b'%') => out.push(b'%'),
                    Some(digit @ b'0'..=b'9') => {
                        let index = usize::from(digit.wrapping_sub(b'0'));
                        out.extend_from_slice(arguments.get(index).copied().unwrap_or_default());
                    }
                    Some(other) => {
                        out.push(b'%');
                        out.push(other);
                    }
                }
            }
        }
    }
    out.extend_from_slice(append.unwrap_or_default());
    out
}

impl Machine<'_> {
    /// A look-up in a rule: quotes, deferral and `-T` as rules have them.
    pub fn map_look_up(
        &mut self,
        name: &[u8],
        key: &[u8],
        arguments: &[Vec<u8>],
        status: &mut u8,
    ) -> Option<Vec<u8>> {
        let folded = name.to_ascii_lowercase();
        let map = self.config.maps.get(&folded)?;
        if self.is_deferring && map.spec.has(b'D') {
            *status = exit::TEMPFAIL;
            return None;
        }
        let key = if map.keeps_quotes() { key.to_vec() } else { strip_quotes(key) };
        let ignores_failure = map.spec.has(b't');
        let append_on_failure = map.append_on_failure.clone();
        let mut outcome = exit::OK;
        let found = self.class_look_up(&folded, &key, arguments, &mut outcome, 0);
        self.note(|_| {
            let said = match &found {
                Some(value) => Said::Found(value.clone()),
                None if outcome == exit::TEMPFAIL => Said::TemporaryFailure,
                None => Said::NotFound,
            };
            Event::Asked(name.to_vec(), key.clone(), said)
        });
        if outcome == exit::TEMPFAIL {
            if !ignores_failure {
                *status = exit::TEMPFAIL;
            }
            if let Some(tag) = append_on_failure {
                return Some([key.as_slice(), &*tag].concat());
            }
        }
        found
    }

    /// A look-up as the class does it (`/map`): value decorated, no more.
    pub(crate) fn class_look_up(
        &mut self,
        folded: &[u8],
        key: &[u8],
        arguments: &[Vec<u8>],
        status: &mut u8,
        depth: u32,
    ) -> Option<Vec<u8>> {
        let map = self.config.maps.get(folded)?.clone();
        if depth > MAP_DEPTH_MAX {
            return None;
        }
        let mut all: Vec<&[u8]> = alloc::vec![key];
        all.extend(arguments.iter().map(Vec::as_slice));
        let append = map.append.as_deref();
        match &*map.spec.class {
            b"null" => {
                *status = exit::NOHOST;
                None
            }
            b"macro" => Some(self.macro_map(key, arguments, status)),
            b"arith" => arith(key, arguments, status),
            b"dequote" => {
                let space = if map.space == 0 { None } else { Some(map.space) };
                dequote(key, space).map(|text| decorate(&text, None, append))
            }
            b"sequence" | b"switch" => {
                let members = self.members(&map);
                let is_switch = &*map.spec.class == b"switch";
                if is_switch && !members.iter().any(|name| self.config.maps.contains_key(name)) {
                    *status = exit::TEMPFAIL;
                    return None;
                }
                self.sequence(&members, key, arguments, status, depth)
            }
            _ => {
                let Some(answer) = self.outside_look_up(folded, key, arguments) else {
                    *status = exit::TEMPFAIL;
                    return None;
                };
                match answer {
                    Answer::Found(value) => {
                        *status = exit::OK;
                        Some(if map.spec.has(b'm') {
                            decorate(key, None, append)
                        } else {
                            decorate(&value, Some(&all), append)
                        })
                    }
                    // A text file that lacks the key says so as a host that is not there.
                    Answer::NotFound(0) if &*map.spec.class == b"text" => {
                        *status = exit::NOHOST;
                        None
                    }
                    Answer::NotFound(code) | Answer::TempFail(code) => {
                        *status = code;
                        None
                    }
                }
            }
        }
    }

    /// Asks the outside; `None` if the map could not be opened.
    fn outside_look_up(
        &mut self,
        folded: &[u8],
        key: &[u8],
        arguments: &[Vec<u8>],
    ) -> Option<Answer> {
        if !self.open_map(folded) {
            return None;
        }
        let map = self.config.maps.get(folded)?;
        let Handle::Open(handle) = map.handle else { return None };
        let is_host = &*map.spec.class == b"host";
        // What stands behind a bracketed address is not looked at.
        let end = key.iter().position(|octet| *octet == b']');
        let key = match end.and_then(|end| key.get(..end.saturating_add(1))) {
            Some(bracketed) if is_host && key.first() == Some(&b'[') => bracketed,
            _ => key,
        };
        if is_host
            && self.is_test
            && let Some(answer) = self.hosts.get(key)
        {
            return Some(answer.clone());
        }
        let mut said = Vec::new();
        let rest: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
        let answer = self.world.lookup(handle, key, &rest, &mut said);
        self.pass_on(&said);
        if is_host && self.is_test && !matches!(answer, Answer::TempFail(_)) {
            if self.hosts.len() >= HOSTS_MAX {
                self.hosts.clear();
            }
            self.hosts.insert(key.to_vec(), answer.clone());
        }
        Some(answer)
    }

    /// Opens a map if it is not; `false` if it can't be and need not be (`-o`). One that must be there and is not
    /// counts as open: each of its keys is a temporary failure.
    pub(crate) fn open_map(&mut self, folded: &[u8]) -> bool {
        let Some(map) = self.config.maps.get(folded) else { return false };
        if matches!(
            &*map.spec.class,
            b"null" | b"macro" | b"arith" | b"dequote" | b"sequence" | b"switch"
        ) {
            return true;
        }
        let (handle, spec) = (map.handle, Arc::clone(&map.spec));
        match handle {
            Handle::Open(_) => return true,
            Handle::Failed => return !spec.is_optional(),
            Handle::Closed => {}
        }
        let opened = match self.world.open(&spec) {
            Ok(handle) => Handle::Open(handle),
            Err(failure) => {
                if !failure.text.is_empty() {
                    if failure.text.ends_with(b"No such file or directory") {
                        self.set_status(exit::OSERR);
                    }
                    self.system_error(&failure.text, None);
                }
                Handle::Failed
            }
        };
        if let Some(map) = self.config.maps.get_mut(folded) {
            map.handle = opened;
        }
        matches!(opened, Handle::Open(_)) || !spec.is_optional()
    }

    fn members(&mut self, map: &Map) -> Vec<Vec<u8>> {
        let mut words =
            map.spec.rest.split(|octet| is_space(*octet)).filter(|word| !word.is_empty());
        if &*map.spec.class == b"sequence" {
            return words.take(SEQUENCE_MAX).map(<[u8]>::to_ascii_lowercase).collect();
        }
        let service = words.next().unwrap_or_default().to_vec();
        let services = self.world.service(&service);
        let named = services.iter().map(|kind| [service.as_slice(), b".", kind].concat());
        named.map(|name| name.to_ascii_lowercase()).collect()
    }

    fn sequence(
        &mut self,
        members: &[Vec<u8>],
        key: &[u8],
        arguments: &[Vec<u8>],
        status: &mut u8,
        depth: u32,
    ) -> Option<Vec<u8>> {
        let mut failed = false;
        *status = exit::OK;
        for member in members {
            if !self.config.maps.contains_key(member) || !self.open_map(member) {
                continue;
            }
            *status = exit::OK;
            let found = self.class_look_up(member, key, arguments, status, depth.saturating_add(1));
            if found.is_some() {
                return found;
            }
            failed |= *status == exit::TEMPFAIL;
        }
        if failed {
            *status = exit::TEMPFAIL;
        } else if *status == exit::OK {
            *status = exit::NOHOST;
        }
        None
    }

    fn macro_map(&mut self, key: &[u8], arguments: &[Vec<u8>], status: &mut u8) -> Vec<u8> {
        let name = self.config.macros.read_name(key);
        for complaint in &name.complaints {
            self.system_error(complaint, None);
        }
        if name.id != 0 {
            self.config.macros.set(name.id, arguments.first().cloned());
        }
        *status = exit::OK;
        Vec::new()
    }
}

/// `arith`: the key is the operator.
fn arith(key: &[u8], arguments: &[Vec<u8>], status: &mut u8) -> Option<Vec<u8>> {
    let (Some(first), Some(second)) = (arguments.first(), arguments.get(1)) else {
        *status = exit::CONFIG;
        return None;
    };
    let (first, second) = (c_number(first), c_number(second));
    let number = match key.first() {
        Some(b'|') => first | second,
        Some(b'&') => first & second,
        Some(b'%') => first.checked_rem(second)?,
        Some(b'+') => first.wrapping_add(second),
        Some(b'-') => first.wrapping_sub(second),
        Some(b'*') => first.wrapping_mul(second),
        Some(b'/') => first.checked_div(second)?,
        Some(b'l') => return Some(truth(first < second)),
        Some(b'=') => return Some(truth(first == second)),
        Some(b'r') if second >= first => first,
        Some(b'r') => return None,
        _ => {
            *status = exit::CONFIG;
            return None;
        }
    };
    *status = exit::OK;
    Some(alloc::format!("{number}").into_bytes())
}

fn truth(is: bool) -> Vec<u8> {
    if is { b"TRUE".to_vec() } else { b"FALSE".to_vec() }
}

/// A number as strtol reads it with base 0: `0x` and a leading `0` count, the rest is left.
fn c_number(text: &[u8]) -> i64 {
    let text = trim_start(text);
    let (negative, text) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let (base, digits) = match text {
        [b'0', b'x' | b'X', rest @ ..] if rest.first().is_some_and(u8::is_ascii_hexdigit) => {
            (16_u32, rest)
        }
        [b'0', rest @ ..] => (8, rest),
        _ => (10, text),
    };
    let mut value: i64 = 0;
    for octet in digits {
        let Some(digit) = char::from(*octet).to_digit(base) else { break };
        let next = value.checked_mul(i64::from(base));
        let digit = i64::from(digit);
        let next = if negative {
            next.and_then(|value| value.checked_sub(digit))
        } else {
            next.and_then(|value| value.checked_add(digit))
        };
        let Some(next) = next else { return if negative { i64::MIN } else { i64::MAX } };
        value = next;
    }
    value
}

/// `dequote`: takes the quotation marks off if what is inside needs none.
fn dequote(key: &[u8], space: Option<u8>) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(key.len());
    let (mut backslash, mut quoted, mut marks) = (false, false, 0_usize);
    let (mut angles, mut comments, mut spaces) = (0_usize, 0_usize, 0_usize);
    for octet in key {
        if backslash {
            backslash = false;
            out.push(*octet);
            continue;
        }
        let octet = if *octet == b' ' { space.unwrap_or(b' ') } else { *octet };
        match octet {
            b'\\' => backslash = true,
            b'(' => comments = comments.saturating_add(1),
            b')' => comments = comments.checked_sub(1)?,
            b' ' | b'\t' => spaces = spaces.saturating_add(1),
            _ => {}
        }
        if comments == 0 {
            match octet {
                b'"' => {
                    quoted = !quoted;
                    marks = marks.saturating_add(1);
                    continue;
                }
                b'<' => angles = angles.saturating_add(1),
                b'>' => angles = angles.checked_sub(1)?,
                _ => {}
            }
        }
        out.push(octet);
    }
    let plain = angles == 0 && comments == 0 && spaces == 0 && !backslash && !quoted && marks > 0;
    plain.then_some(out)
}
