//! The world of the rule machine: opens maps by their class, looks keys up, reads class files, knows users and time.

use std::io::Read;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use policy::Resolved;
use policy::host_access::Peer;
use policy_cf::{
    Answer, Exchanger, MapHandle, MapSpec, OpenFailure, Unavailable, UserEntry, World,
};

use crate::alias_text::AliasText;
use crate::cdb::Cdb;
use crate::dns::{Asker, Resolver};
use crate::door::{Door, Porter};
use crate::ldap::Ldap;
use crate::program::Failed;
use crate::regex::Pattern;
use crate::resolver_map::Names;
use crate::socket::Socket;
use crate::syslog::Log;
use crate::table::{Table, path_of};
use crate::text::{Text, read_bounded};
use crate::user::{Remembered, Users, field};
use crate::wrappers::Wrappers;
use crate::{bestmx, clients, host, interface, program};

/// How many maps may be open.
const MAPS_MAX: usize = 4096;
/// How long a program of an `F|` line may take.
const CLASS_PROGRAM_TIME_MAX: Duration = Duration::from_mins(1);
/// How long the service switch file is taken to be as it was read.
const SWITCH_BELIEF: Duration = Duration::from_secs(1);
const TEMPORARY: u8 = 75;
/// Numbers of errors where the system gave none: no such file, bad number, too large.
const ENOENT: i32 = 2;
const EFBIG: i32 = 27;

/// Where the files of the system are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The service switch (option `ServiceSwitchFile`).
    pub service_switch: PathBuf,
    /// hosts(5) (option `HostsFile`).
    pub hosts: PathBuf,
    /// resolv.conf(5).
    pub resolver: PathBuf,
    /// hosts.allow and hosts.deny of `hosts_access(5)`.
    pub host_access: [PathBuf; 2],
}

impl Default for Places {
    fn default() -> Self {
        Self {
            service_switch: "/etc/mail/service.switch".into(),
            hosts: "/etc/hosts".into(),
            resolver: "/etc/resolv.conf".into(),
            host_access: ["/etc/hosts.allow".into(), "/etc/hosts.deny".into()],
        }
    }
}

/// Everything outside of the rule machine, as it is on this machine.
#[derive(Debug)]
pub struct Outside {
    places: Places,
    resolver: Option<Resolver>,
    asker: Option<Arc<dyn Asker>>,
    door: Door,
    maps: Vec<Map>,
    keeps_aliases: bool,
    /// The service switch file, and when it was read.
    service_switch: Option<(Instant, Vec<u8>)>,
    users: Option<Remembered>,
    /// The option `LDAPDefaultSpec`.
    directory_default: Option<Arc<MapSpec>>,
    wrappers: Option<Wrappers>,
    notes: Vec<Vec<u8>>,
}

/// One open map.
#[derive(Debug)]
enum Map {
    Table(Box<Table>),
    Text(Text),
    AliasText(AliasText),
    Regex(Box<Pattern>),
    Users(Users),
    Program(Vec<u8>),
    Log(Log),
    Socket(Socket),
    Cdb(Cdb),
    Directory(Box<Ldap>),
    Host,
    BestExchanger(Option<u8>),
    Names(Names),
    /// Never has anything now (stab: the symbol table of another process).
    Unknown,
}

impl Outside {
    /// The world as the system's files describe it.
    #[must_use]
    pub const fn new(places: Places) -> Self {
        Self {
            places,
            resolver: None,
            asker: None,
            door: Door::by(None),
            maps: Vec::new(),
            keeps_aliases: false,
            service_switch: None,
            users: None,
            directory_default: None,
            wrappers: None,
            notes: Vec::new(),
        }
    }

    /// The same, with somebody who asks name servers in our place.
    #[must_use]
    pub fn asking(mut self, asker: Arc<dyn Asker>) -> Self {
        self.asker = Some(asker);
        self
    }

    /// The same, with somebody who connects and writes into the log in our place.
    #[must_use]
    pub fn served_by(mut self, porter: Arc<dyn Porter>) -> Self {
        self.door = Door::by(Some(porter));
        self
    }

    fn resolver(&mut self) -> &Resolver {
        let (path, asker) = (&self.places.resolver, &self.asker);
        self.resolver.get_or_insert_with(|| Resolver::from_file(path).by(asker.clone()))
    }
}

impl World for Outside {
    fn open(&mut self, spec: &MapSpec) -> Result<MapHandle, OpenFailure> {
        if self.maps.len() >= MAPS_MAX {
            return Err(OpenFailure { text: b"too many maps".to_vec(), class_unknown: false });
        }
        let mut map = match &*spec.class {
            b"ldap" => {
                let nothing = MapSpec::default();
                let default = self.directory_default.as_deref().unwrap_or(&nothing);
                Map::Directory(Box::new(Ldap::open(spec, default, self.door.clone())?))
            }
            _ => open_map(spec, &self.door)?,
        };
        if let Map::Table(table) = &mut map {
            self.notes.extend(table.stale());
        }
        let number = u32::try_from(self.maps.len()).unwrap_or(u32::MAX);
        self.maps.push(map);
        Ok(MapHandle(number))
    }

    fn lookup(
        &mut self,
        map: MapHandle,
        key: &[u8],
        arguments: &[&[u8]],
        said: &mut Vec<u8>,
    ) -> Answer {
        let services = match usize::try_from(map.0).ok().and_then(|number| self.maps.get(number)) {
            Some(Map::Host) => self.service(b"hosts"),
            _ => Vec::new(),
        };
        let (path, asker) = (&self.places.resolver, &self.asker);
        let resolver =
            self.resolver.get_or_insert_with(|| Resolver::from_file(path).by(asker.clone()));
        let Some(map) = usize::try_from(map.0).ok().and_then(|number| self.maps.get_mut(number))
        else {
            return Answer::TempFail(TEMPORARY);
        };
        match map {
            Map::Table(table) => {
                let answer = table.lookup(key);
                self.notes.extend(table.stale());
                answer
            }
            Map::Text(text) => text.lookup(key),
            Map::AliasText(text) => text.lookup(key),
            Map::Regex(pattern) => pattern.lookup(key),
            Map::Users(users) => users.lookup(key, self.users.get_or_insert_default()),
            // Nobody knows what a program would have said where none may be started.
            Map::Program(_) if self.door.is_caged() => Answer::TempFail(TEMPORARY),
            Map::Program(command) => program::lookup(command, key),
            Map::Log(log) => log.lookup(key),
            Map::Socket(socket) => socket.lookup(key),
            Map::Cdb(cdb) => cdb.lookup(key),
            Map::Directory(directory) => directory.lookup(key, arguments, &mut self.notes),
            Map::Host => {
                host::lookup(key, &services, &self.places.hosts, resolver, self.keeps_aliases, said)
            }
            Map::BestExchanger(separator) => bestmx::lookup(resolver, key, *separator),
            Map::Names(names) => names.lookup(resolver, key),
            Map::Unknown => Answer::TempFail(TEMPORARY),
        }
    }

    fn mail_exchangers(&mut self, host: &[u8], _said: &mut Vec<u8>) -> (Vec<Exchanger>, u8) {
        bestmx::exchangers(self.resolver(), host)
    }

    fn canonical_name(&mut self, host: &[u8], said: &mut Vec<u8>) -> Option<Vec<u8>> {
        let services = self.service(b"hosts");
        let keeps_aliases = self.keeps_aliases;
        let hosts = self.places.hosts.clone();
        host::canonical(host, &services, &hosts, self.resolver(), keeps_aliases, said)
    }

    fn client_name(&mut self, address: IpAddr) -> (Vec<u8>, Resolved) {
        let services = self.service(b"hosts");
        let hosts = self.places.hosts.clone();
        clients::name(address, &services, &hosts, self.resolver())
    }

    fn lets_in(&mut self, peer: &Peer<'_>) -> bool {
        let [allow, deny] = &self.places.host_access;
        let wrappers = self.wrappers.get_or_insert_with(|| Wrappers::new(allow, deny));
        wrappers.lets_in(peer, &mut self.notes)
    }

    fn host_access_files(&mut self) -> Vec<Vec<u8>> {
        let [allow, deny] = &self.places.host_access;
        let wrappers = self.wrappers.get_or_insert_with(|| Wrappers::new(allow, deny));
        wrappers.files(&mut self.notes)
    }

    fn interface_addresses(&mut self) -> Vec<Vec<u8>> {
        interface::addresses()
    }

    fn configure(&mut self, options: &policy_cf::options::Options) {
        self.keeps_aliases = options.truth("DontExpandCnames");
        // Read before a cage is closed: a file that takes this one's place later may not be readable then.
        self.host_access_files();
        self.directory_default = options.values.get("LDAPDefaultSpec").and_then(|flags| {
            // What is missing there is complained of where a map needs it.
            let line = [b"default ldap ", flags.as_slice()].concat();
            policy_cf::map::read(&line, &mut Vec::new()).map(|map| map.spec)
        });
    }

    fn service(&mut self, name: &[u8]) -> Vec<Box<[u8]>> {
        if self.service_switch.as_ref().is_none_or(|(seen, _)| seen.elapsed() >= SWITCH_BELIEF) {
            let read = read_bounded(&self.places.service_switch);
            let text = read.map(|(text, _)| text).unwrap_or_default();
            self.service_switch = Some((Instant::now(), text));
        }
        let text = self.service_switch.as_ref().map_or(&[][..], |(_, text)| text);
        for line in text.split(|&octet| octet == b'\n') {
            let line = line.split(|&octet| octet == b'#').next().unwrap_or_default();
            let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            if words.next() == Some(name) {
                return words.map(Into::into).collect();
            }
        }
        match name {
            b"hosts" => vec![(*b"dns").into(), (*b"files").into()],
            b"aliases" | b"passwd" => vec![(*b"files").into()],
            _ => Vec::new(),
        }
    }

    fn read_file(&mut self, path: &[u8], limit_bytes: usize) -> Result<Vec<u8>, i32> {
        let number = |error: std::io::Error| error.raw_os_error().unwrap_or(ENOENT);
        let file = std::fs::File::open(path_of(path)).map_err(number)?;
        let mut octets = Vec::new();
        let limit = u64::try_from(limit_bytes).unwrap_or(u64::MAX);
        file.take(limit.saturating_add(1)).read_to_end(&mut octets).map_err(number)?;
        if octets.len() > limit_bytes { Err(EFBIG) } else { Ok(octets) }
    }

    fn run_program(&mut self, command: &[u8], limit_bytes: usize) -> Result<Vec<u8>, i32> {
        let limit = u64::try_from(limit_bytes).unwrap_or(u64::MAX);
        match program::run(command, None, limit, CLASS_PROGRAM_TIME_MAX) {
            Ok((_, output)) => Ok(output),
            Err(Failed::NotStarted(number)) => Err(number),
            Err(Failed::Late) => Err(110),
        }
    }

    fn take_notes(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.notes)
    }

    fn user(&mut self, name: &[u8]) -> Result<Option<UserEntry>, Unavailable> {
        self.users.get_or_insert_default().user(name)
    }

    fn group(&mut self, name: &[u8]) -> Option<u32> {
        str::from_utf8(&field("/etc/group", name, 2)?).ok()?.parse().ok()
    }

    fn now_s(&mut self) -> u64 {
        sys::clock::realtime_s()
    }

    fn load_average(&mut self) -> u32 {
        let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let mut parts = text.split([' ', '.']);
        let whole: u32 = parts.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        let is_half = parts.next().is_some_and(|part| part >= "50");
        whole.saturating_add(u32::from(is_half))
    }
}

fn open_map(spec: &MapSpec, door: &Door) -> Result<Map, OpenFailure> {
    Ok(match &*spec.class {
        b"hash" | b"btree" => Map::Table(Box::new(Table::open(spec, door)?)),
        b"implicit" => match Table::open(spec, door) {
            Ok(table) => Map::Table(Box::new(table)),
            Err(failure) => match AliasText::open(&spec.rest, door) {
                Some(text) => Map::AliasText(text),
                None => return Err(failure),
            },
        },
        b"text" => Map::Text(Text::open(spec, door)?),
        b"regex" => Map::Regex(Box::new(Pattern::open(spec)?)),
        b"user" | b"passwd" => Map::Users(Users::open(spec)?),
        b"program" => Map::Program(spec.rest.to_vec()),
        b"syslog" => Map::Log(Log::open(spec, door.clone())),
        b"socket" => Map::Socket(Socket::open(spec, door.clone())?),
        b"cdb" => Map::Cdb(Cdb::open(spec, door)?),
        b"host" => Map::Host,
        b"bestmx" => Map::BestExchanger(spec.flag(b'z').and_then(|text| text.first().copied())),
        b"dns" => Map::Names(Names::open(spec)?),
        b"stab" => Map::Unknown,
        _ => {
            let text = [b"readcf: map ", &*spec.name, b": class ", &*spec.class, b" not available"]
                .concat();
            return Err(OpenFailure { text, class_unknown: true });
        }
    })
}
