//! Class `ldap`: a directory is searched (operations guide, section 5.10; RFC 4511). `-k` is the filter, `-v` what of the
//! entries is taken; attributes of type DN, FILTER or URL lead to further searches.
//!
//! A look-up has one deadline (`-l`) over all servers and searches: a server that hangs costs that and no more, and gives a
//! temporary failure. There is no TLS: `ldaps://` is refused, a server on this host is best asked through `ldapi://`.
//!
//! Own code and not the crate ldap3, which reads an answer of any size and panics at entries that don't decode.

mod ber;
mod client;
mod filter;
mod settings;

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Read};
use std::time::{Duration, Instant};

use policy_cf::{Answer, MapSpec, OpenFailure};

use crate::door::Door;
use crate::table::path_of;
use client::{Connection, Entry, Failure, Query};
use settings::{Kind, Settings, Wanted};

/// Searches that one look-up may come to, and octets of its value.
const SEARCHES_MAX: usize = 64;
const VALUE_BYTES_MAX: usize = 1024 * 1024;
/// The longest password.
const PASSWORD_BYTES_MAX: u64 = 256;
/// After a failure the servers are left alone for so long: a queue of look-ups does not wait for each of them.
const PAUSE: Duration = Duration::from_secs(2);
/// The filter that every entry passes.
const ANY: &[u8] = b"(objectClass=*)";
const TEMPORARY: u8 = 75;

/// A map of class ldap.
#[derive(Debug)]
pub(crate) struct Ldap {
    name: Box<[u8]>,
    settings: Settings,
    door: Door,
    /// What the file of `-P` held when the map was opened: later it may be out of reach.
    password: Vec<u8>,
    connection: Option<Connection>,
    /// When the servers were last found wanting.
    failed: Option<Instant>,
    is_told: bool,
}

impl Ldap {
    /// Reads the flags of a K line; servers are asked at the first look-up. `default`: the option `LDAPDefaultSpec`.
    ///
    /// # Errors
    /// A flag that can't be served.
    pub(crate) fn open(spec: &MapSpec, default: &MapSpec, door: Door) -> Result<Self, OpenFailure> {
        let settings = Settings::read(spec, default).map_err(|why| OpenFailure {
            text: [b"ldap map \"", &*spec.name, b"\": ", why.as_bytes()].concat(),
            class_unknown: false,
        })?;
        let name = spec.name.clone();
        for server in &settings.servers {
            door.announce(server);
        }
        let password = read_password(&settings).unwrap_or_default();
        let connection = None;
        Ok(Self { name, settings, door, password, connection, failed: None, is_told: false })
    }

    /// Searches for a key; what should be in the log goes to `notes`.
    pub(crate) fn lookup(
        &mut self,
        key: &[u8],
        arguments: &[&[u8]],
        notes: &mut Vec<Vec<u8>>,
    ) -> Answer {
        if self.failed.is_some_and(|at| at.elapsed() < PAUSE) {
            return Answer::TempFail(TEMPORARY);
        }
        let key = if self.settings.keeps_case { key.to_vec() } else { key.to_ascii_lowercase() };
        let filled = filter::fill(&self.settings.filter, &key, arguments);
        let Some(filter) = filter::encode(&filled) else { return Answer::NotFound(0) };
        let (base, scope) = (self.settings.base.clone(), self.settings.scope);
        match self.search(Query { base, scope, filter }) {
            Ok(value) => {
                self.is_told = false;
                value.map_or(Answer::NotFound(0), Answer::Found)
            }
            Err(failure) => {
                self.failed = Some(Instant::now());
                if !std::mem::replace(&mut self.is_told, true) {
                    let why = failure.to_string();
                    notes.push([b"ldap map ", &*self.name, b": ", why.as_bytes()].concat());
                }
                Answer::TempFail(TEMPORARY)
            }
        }
    }

    /// All searches that a key leads to, and what they give together.
    fn search(&mut self, first: Query) -> Result<Option<Vec<u8>>, Failure> {
        let deadline = start(self.settings.time_max);
        let mut seen = BTreeSet::from([first.clone()]);
        let mut waiting = VecDeque::from([first]);
        let mut values = Values::default();
        while let Some(query) = waiting.pop_front() {
            let entries = self.ask(&query, deadline)?;
            if self.settings.is_single && entries.len() > 1 {
                return Ok(None);
            }
            for entry in &entries {
                self.read_entry(entry, &mut values, &mut |query| {
                    if seen.len() < SEARCHES_MAX && seen.insert(query.clone()) {
                        waiting.push_back(query);
                    }
                });
            }
        }
        if values.count == 0 || (self.settings.is_single && values.count > 1) {
            return Ok(None);
        }
        Ok(Some(values.text))
    }

    /// One search, in a connection that is there or a new one: the server may have closed it meanwhile.
    fn ask(&mut self, query: &Query, deadline: Instant) -> Result<Vec<Entry>, Failure> {
        if let Some(mut connection) = self.connection.take()
            && let Ok(entries) = connection.search(query, &self.settings.manner, deadline)
        {
            self.connection = Some(connection);
            return Ok(entries);
        }
        let mut last = Failure::Io(io::ErrorKind::NotFound.into());
        for number in 0..self.settings.servers.len() {
            let tried = self.connect(number, deadline).and_then(|mut connection| {
                let entries = connection.search(query, &self.settings.manner, deadline)?;
                Ok((connection, entries))
            });
            match tried {
                Ok((connection, entries)) => {
                    self.connection = Some(connection);
                    return Ok(entries);
                }
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    fn connect(&self, number: usize, deadline: Instant) -> Result<Connection, Failure> {
        let settings = &self.settings;
        let server = settings.servers.get(number).ok_or(io::ErrorKind::NotFound);
        let server = server.map_err(io::Error::from)?;
        let mut connection = Connection::open(server, &self.door, settings.connect_max, deadline)?;
        if !settings.user.is_empty() || settings.version < 3 {
            let password = self.password()?;
            connection.bind(settings.version, &settings.user, &password, deadline)?;
        }
        Ok(connection)
    }

    /// The password as the file has it now, or had it.
    fn password(&self) -> io::Result<Vec<u8>> {
        match read_password(&self.settings) {
            Err(_) if !self.password.is_empty() => Ok(self.password.clone()),
            read => read,
        }
    }

    /// Takes what is wanted of an entry: values, and searches that follow.
    fn read_entry(&self, entry: &Entry, values: &mut Values, follow: &mut dyn FnMut(Query)) {
        let mut all = entry.attributes.iter();
        let classes = all.find(|(name, _)| name.eq_ignore_ascii_case(b"objectclass"));
        let classes = classes.map(|(_, values)| values.as_slice()).unwrap_or_default();
        for (name, list) in &entry.attributes {
            let Some(kind) = self.wants(name, classes) else { continue };
            if self.settings.manner.names_only {
                values.add(name, self.settings.delimiter);
                continue;
            }
            for value in list {
                let (base, scope) = (self.settings.base.clone(), self.settings.scope);
                let next = match kind {
                    Kind::Normal => {
                        self.add(name, value, values);
                        None
                    }
                    Kind::Name => filter::encode(ANY).map(|filter| Query {
                        base: value.clone(),
                        scope: 0,
                        filter,
                    }),
                    Kind::Filter => {
                        filter::encode(value).map(|filter| Query { base, scope, filter })
                    }
                    Kind::Url => url(value),
                };
                if let Some(query) = next {
                    follow(query);
                }
            }
        }
    }

    fn add(&self, name: &[u8], value: &[u8], values: &mut Values) {
        let delimiter = self.settings.delimiter;
        match self.settings.name_separator {
            None => values.add(value, delimiter),
            Some(between) => values.add(&[name, &[between], value].concat(), delimiter),
        }
    }

    /// How an attribute is wanted; all are, if none is named.
    fn wants(&self, name: &[u8], classes: &[Vec<u8>]) -> Option<Kind> {
        if self.settings.wanted.is_empty() {
            return Some(Kind::Normal);
        }
        let is_member = |class: &Vec<u8>| classes.iter().any(|own| own.eq_ignore_ascii_case(class));
        let fits = |wanted: &&Wanted| {
            wanted.name.eq_ignore_ascii_case(name)
                && (wanted.classes.is_empty() || wanted.classes.iter().any(is_member))
        };
        self.settings.wanted.iter().find(fits).map(|wanted| wanted.kind)
    }
}

fn start(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time).unwrap_or(now)
}

/// The first line of the file of `-P`; nothing if there is no such file named.
fn read_password(settings: &Settings) -> io::Result<Vec<u8>> {
    let Some(path) = &settings.password_file else { return Ok(Vec::new()) };
    let mut text = Vec::new();
    let file = std::fs::File::open(path_of(path))?;
    file.take(PASSWORD_BYTES_MAX).read_to_end(&mut text)?;
    let line = text.split(|octet| matches!(octet, b'\n' | b'\r')).next();
    Ok(line.unwrap_or_default().to_vec())
}

/// Values put together.
#[derive(Debug, Default)]
struct Values {
    text: Vec<u8>,
    count: usize,
}

impl Values {
    fn add(&mut self, value: &[u8], delimiter: u8) {
        if self.text.len().saturating_add(value.len()) > VALUE_BYTES_MAX {
            return;
        }
        if self.count > 0 {
            self.text.push(delimiter);
        }
        self.text.extend_from_slice(value);
        self.count = self.count.saturating_add(1);
    }
}

/// `ldap:///base?attributes?scope?filter` (RFC 4516); the server in it is not gone to.
fn url(text: &[u8]) -> Option<Query> {
    let rest = text.strip_prefix(b"ldap://")?;
    let slash = rest.iter().position(|octet| *octet == b'/')?;
    let mut parts = rest.get(slash.saturating_add(1)..)?.split(|octet| *octet == b'?');
    let base = settings::unescape(parts.next()?);
    let _attributes = parts.next();
    let scope = match parts.next() {
        Some(b"one") => 1,
        Some(b"sub") => 2,
        _ => 0,
    };
    let filter = parts.next().filter(|filter| !filter.is_empty()).unwrap_or(ANY);
    Some(Query { base, scope, filter: filter::encode(&settings::unescape(filter))? })
}

#[cfg(test)]
mod tests;
