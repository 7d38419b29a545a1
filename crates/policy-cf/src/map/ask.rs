//! Asking a map: what rules do to the key, who answers, and maps made of maps.

use super::own::{arith, decorate, dequote};
use super::{Handle, Kind, Map};
use crate::machine::{Event, Machine, Said, exit, shorten, strip_quotes};
use crate::read::chars::is_space;
use crate::world::Answer;
use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The most octets of a key that are shown.
const KEY_SHOWN_MAX: usize = 203;
/// How deep maps of maps may be.
const MAP_DEPTH_MAX: u32 = 12;
/// Host names remembered in address test mode.
const HOSTS_MAX: usize = 10_000;
/// Maps in one sequence (sendmail's MAXMAPSTACK).
const SEQUENCE_MAX: usize = 12;

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
        let map = self.config.maps.get(&folded)?.clone();
        self.ask(&map, &folded, (key, arguments), status)
    }

    /// The same, of a map that was found.
    pub(crate) fn ask(
        &mut self,
        map: &Map,
        folded: &[u8],
        (key, arguments): (&[u8], &[Vec<u8>]),
        status: &mut u8,
    ) -> Option<Vec<u8>> {
        // The name server is not asked then, whatever the map's flags say.
        let is_put_off = map.spec.has(b'D') || *map.spec.class == *b"host";
        if self.is_deferring && is_put_off {
            *status = exit::TEMPFAIL;
            return None;
        }
        let is_plain = !key.iter().any(|octet| matches!(octet, b'"' | b'\\'));
        let key = if is_plain || map.keeps_quotes() {
            Cow::Borrowed(key)
        } else {
            Cow::Owned(strip_quotes(key))
        };
        let mut outcome = exit::OK;
        let found = self.ask_class(map, folded, (&key, arguments), &mut outcome, 0);
        self.note(|_| {
            let said = Said::of(found.as_deref(), outcome);
            Event::Asked(map.spec.name.to_vec(), key.to_vec(), said)
        });
        if outcome == exit::TEMPFAIL {
            if !map.spec.has(b't') {
                *status = exit::TEMPFAIL;
                let shown = shorten(&key, KEY_SHOWN_MAX);
                self.deferral =
                    [&*map.spec.name, b" map: lookup (", &shown, b"): deferred"].concat();
            }
            if let Some(tag) = map.spec.flag(b'T') {
                return Some([&*key, tag].concat());
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
        self.ask_class(&map, folded, (key, arguments), status, depth)
    }

    fn ask_class(
        &mut self,
        map: &Map,
        folded: &[u8],
        (key, arguments): (&[u8], &[Vec<u8>]),
        status: &mut u8,
        depth: u32,
    ) -> Option<Vec<u8>> {
        if depth > MAP_DEPTH_MAX {
            return None;
        }
        match map.kind {
            Kind::Null => {
                *status = exit::NOHOST;
                None
            }
            Kind::Macro => Some(self.macro_map(key, arguments, status)),
            Kind::Arith => arith(key, arguments, status),
            Kind::Dequote => {
                let space = if map.space == 0 { None } else { Some(map.space) };
                dequote(key, space).map(|text| decorate(&text, None, map.spec.flag(b'a')))
            }
            Kind::Sequence | Kind::Switch => {
                let members = self.members(map);
                let is_switch = map.kind == Kind::Switch;
                if is_switch && !members.iter().any(|name| self.config.maps.contains_key(name)) {
                    *status = exit::TEMPFAIL;
                    return None;
                }
                self.sequence(&members, key, arguments, status, depth)
            }
            Kind::Host | Kind::Outside => {
                let answer = self.ask_outside(map, folded, key, arguments);
                let Some(answer) = answer else {
                    *status = exit::TEMPFAIL;
                    return None;
                };
                read_answer(map, answer, (key, arguments), status)
            }
        }
    }

    /// Asks the outside; `None` if the map could not be opened.
    fn ask_outside(
        &mut self,
        map: &Map,
        folded: &[u8],
        key: &[u8],
        arguments: &[Vec<u8>],
    ) -> Option<Answer> {
        let mut handle = map.handle;
        if !matches!(handle, Handle::Open(_)) {
            if !self.open_map(folded) {
                return None;
            }
            handle = self.config.maps.get(folded)?.handle;
        }
        let Handle::Open(handle) = handle else { return None };
        let is_host = map.kind == Kind::Host;
        // What stands behind a bracketed address is not looked at.
        let end = key.iter().position(|octet| *octet == b']').filter(|_| is_host);
        let key = match end.and_then(|end| key.get(..end.saturating_add(1))) {
            Some(bracketed) if key.first() == Some(&b'[') => bracketed,
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
        if !matches!(map.kind, Kind::Host | Kind::Outside) {
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
        if map.kind == Kind::Sequence {
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

/// What an answer means to the rules.
fn read_answer(
    map: &Map,
    answer: Answer,
    (key, arguments): (&[u8], &[Vec<u8>]),
    status: &mut u8,
) -> Option<Vec<u8>> {
    let append = map.spec.flag(b'a');
    match answer {
        Answer::Found(value) => {
            *status = exit::OK;
            Some(if map.spec.has(b'm') {
                decorate(key, None, append)
            } else if append.is_none() && !value.iter().any(|octet| matches!(octet, b'%' | 0)) {
                value
            } else {
                decorate(&value, Some((key, arguments)), append)
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
