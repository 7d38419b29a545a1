//! The outside of a rule machine on this host: files, maps, names, users, the clock.

use super::dns::{Failure, Resolver, kind};
use policy_cf::load::Facts;
use policy_cf::{Answer, Exchanger, MapHandle, MapSpec, OpenFailure, UserEntry, World};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub(super) struct Outside {
    resolver: Resolver,
    maps: Vec<Open>,
    switch: HashMap<Vec<u8>, Vec<Box<[u8]>>>,
    hosts: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
    keeps_aliases: bool,
    seen: HashMap<Vec<u8>, Result<Vec<u8>, Failure>>,
}

struct Open {
    spec: MapSpec,
    kind: Kind,
}

enum Kind {
    Database(Box<maps::bdb::Database>),
    Text(Vec<u8>),
    Nothing,
    Host,
    Dns,
    BestMx,
    User,
    Other,
}

impl Outside {
    pub(super) fn new() -> Self {
        let text = std::fs::read("/etc/mail/service.switch").unwrap_or_default();
        let mut switch = HashMap::new();
        for line in text.split(|octet| *octet == b'\n') {
            let mut words = policy_cf::read::chars::words(line);
            if let Some(name) = words.next() {
                switch.insert(name.to_vec(), words.map(Into::into).collect());
            }
        }
        let text = std::fs::read("/etc/hosts").unwrap_or_default();
        let hosts = text
            .split(|octet| *octet == b'\n')
            .filter_map(|line| {
                let line = line.split(|octet| *octet == b'#').next()?;
                let mut words = policy_cf::read::chars::words(line).map(<[u8]>::to_vec);
                let address = words.next()?;
                Some((address, words.collect()))
            })
            .collect();
        Self { resolver: Resolver::new(), maps: Vec::new(), switch, hosts, keeps_aliases: false, seen: HashMap::new() }
    }

    pub(super) fn facts(&self) -> Facts {
        let short = std::fs::read("/proc/sys/kernel/hostname").unwrap_or_default();
        let short = policy_cf::read::chars::trim_end(&short).to_vec();
        let mut aliases = Vec::new();
        let mut host = short.clone();
        for (address, names) in &self.hosts {
            if names.iter().any(|name| name.eq_ignore_ascii_case(&short)) {
                if let Some(full) = names.iter().find(|name| name.contains(&b'.')) {
                    host.clone_from(full);
                }
                aliases.extend(names.iter().cloned());
                aliases.push([b"[", address.as_slice(), b"]"].concat());
            }
        }
        Facts {
            host,
            aliases,
            version: b"8.17.1.9".to_vec(),
            caller: b"root@localhost".to_vec(),
            mode: b"t".to_vec(),
            load_average: b"0".to_vec(),
            process: std::process::id().to_string().into_bytes(),
            ..Facts::default()
        }
    }

    fn in_hosts(&self, name: &[u8]) -> Option<Vec<u8>> {
        let bare = name.strip_suffix(b".").unwrap_or(name);
        self.hosts.iter().find_map(|(_, names)| {
            names.iter().any(|known| known.eq_ignore_ascii_case(bare)).then(|| {
                let full = names.iter().find(|name| name.contains(&b'.'));
                full.or(names.first()).cloned().unwrap_or_default()
            })
        })
    }

    /// The canonical name by files, then DNS; `true` if its aliases go round in a ring.
    fn canonical(&mut self, name: &[u8], said: &mut Vec<u8>) -> Result<(Vec<u8>, bool), Failure> {
        if let Some(name) = self.in_hosts(name) {
            return Ok((name, false));
        }
        let bare = name.strip_suffix(b".").unwrap_or(name);
        let mut later = false;
        let mut tries = vec![bare.to_vec()];
        if !name.ends_with(b".") {
            for domain in &self.resolver.search {
                let full = [bare, b".", domain.as_slice()].concat();
                if bare.contains(&b'.') {
                    tries.push(full);
                } else {
                    tries.insert(tries.len().saturating_sub(1), full);
                }
            }
        }
        for name in tries {
            match self.chase(&name, said) {
                Ok(found) => return Ok(found),
                Err(Failure::Later) => later = true,
                Err(_) => {}
            }
        }
        Err(if later { Failure::Later } else { Failure::NoName })
    }

    /// Follows aliases to a name that has an address or a mail exchanger.
    fn chase(&self, name: &[u8], said: &mut Vec<u8>) -> Result<(Vec<u8>, bool), Failure> {
        let asked = name;
        let mut name = name.to_vec();
        let mut depth = 0;
        let mut later = false;
        for question in [kind::A, kind::AAAA, kind::MX] {
            loop {
                let records = match self.resolver.ask(&name, question) {
                    Ok(records) => records,
                    Err(Failure::NoName) => return Err(Failure::NoName),
                    Err(Failure::Later) => {
                        later = true;
                        break;
                    }
                    Err(Failure::NoRecord) => break,
                };
                let before = name.clone();
                for record in &records {
                    if self.keeps_aliases && record.kind == kind::CNAME {
                        return Ok((asked.to_vec(), false));
                    }
                    if record.kind == kind::CNAME && record.name.eq_ignore_ascii_case(&name) {
                        name.clone_from(&record.data);
                        depth += 1;
                        if depth > 10 {
                            said.extend_from_slice(b"DNS failure: CNAME loop for ");
                            said.extend_from_slice(&name);
                            said.push(b'\n');
                            return Ok((name, true));
                        }
                    }
                }
                if records.iter().any(|record| record.kind == question) {
                    let kept = if self.keeps_aliases { asked.to_vec() } else { name };
                    return Ok((kept, false));
                }
                if before == name {
                    break;
                }
            }
        }
        Err(if later { Failure::Later } else { Failure::NoRecord })
    }

    fn pointer(&self, address: &[u8]) -> Result<Vec<u8>, Failure> {
        let text = String::from_utf8_lossy(address);
        let text = text.strip_prefix("IPv6:").unwrap_or(&text);
        let address: IpAddr = text.parse().map_err(|_| Failure::NoName)?;
        for (known, names) in &self.hosts {
            if String::from_utf8_lossy(known).parse() == Ok(address)
                && let Some(name) = names.first()
            {
                return Ok(name.clone());
            }
        }
        let name = match address {
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa")
            }
            IpAddr::V6(address) => {
                let mut name = String::new();
                for octet in address.octets().iter().rev() {
                    name.push_str(&format!("{:x}.{:x}.", octet & 15, octet >> 4));
                }
                name + "ip6.arpa"
            }
        };
        let records = self.resolver.ask(name.as_bytes(), kind::PTR)?;
        let record = records.into_iter().find(|record| record.kind == kind::PTR);
        record.map(|record| record.data).ok_or(Failure::NoRecord)
    }

    fn host(&mut self, key: &[u8], said: &mut Vec<u8>) -> Answer {
        let found = match self.seen.get(key) {
            Some(found) => found.clone(),
            None => {
                let end = key.iter().position(|octet| *octet == b']');
                let found = match (key.first(), end) {
                    (Some(b'['), Some(end)) => self.pointer(key.get(1..end).unwrap_or_default()),
                    _ => match self.canonical(key, said) {
                        Ok((_, true)) => Err(Failure::NoName),
                        Ok((name, false)) => Ok(name),
                        Err(failure) => Err(failure),
                    },
                };
                self.seen.insert(key.to_vec(), found.clone());
                found
            }
        };
        match found {
            Ok(name) => Answer::Found(name),
            Err(Failure::Later) => {
                said.extend_from_slice(&policy_cf::machine::shorten(key, 33));
                said.extend_from_slice(b": Name server timeout\n");
                Answer::TempFail(75)
            }
            Err(_) => Answer::NotFound(68),
        }
    }

    fn dns(&self, spec: &MapSpec, key: &[u8]) -> Answer {
        let wanted = match spec.flag(b'R').unwrap_or_default().to_ascii_uppercase().as_slice() {
            b"A" => kind::A,
            b"AAAA" => kind::AAAA,
            b"MX" => kind::MX,
            b"TXT" => kind::TXT,
            b"PTR" => kind::PTR,
            b"CNAME" => kind::CNAME,
            _ => return Answer::NotFound(78),
        };
        match self.resolver.ask(key, wanted) {
            Ok(records) => {
                let mut found =
                    records.into_iter().filter(|record| record.kind == wanted).map(|r| r.data);
                match spec.flag(b'z').and_then(|value| value.first()) {
                    Some(separator) => {
                        let all: Vec<Vec<u8>> = found.collect();
                        if all.is_empty() {
                            return Answer::NotFound(68);
                        }
                        Answer::Found(all.join(separator))
                    }
                    None => found.next().map_or(Answer::NotFound(68), Answer::Found),
                }
            }
            Err(Failure::Later) => Answer::TempFail(75),
            Err(_) => Answer::NotFound(68),
        }
    }

    fn exchangers(&self, host: &[u8]) -> Result<Vec<Exchanger>, Failure> {
        if host.first() == Some(&b'[') {
            return Ok(vec![Exchanger { name: host.to_vec(), preference: 0 }]);
        }
        let bare = host.strip_suffix(b".").unwrap_or(host);
        match self.resolver.ask(bare, kind::MX) {
            Ok(records) => {
                let mut list: Vec<Exchanger> = records
                    .iter()
                    .filter(|record| record.kind == kind::MX)
                    .map(|record| Exchanger {
                        name: record.data.clone(),
                        preference: record.preference,
                    })
                    .collect();
                list.sort_by_key(|exchanger| exchanger.preference);
                if list.is_empty() {
                    list.push(Exchanger { name: bare.to_vec(), preference: 0 });
                }
                Ok(list)
            }
            Err(Failure::NoRecord) => {
                Ok(vec![Exchanger { name: bare.to_vec(), preference: 0 }])
            }
            Err(failure) => Err(failure),
        }
    }
}

fn folded(spec: &MapSpec, key: &[u8]) -> Vec<u8> {
    if spec.keeps_case() { key.to_vec() } else { key.to_ascii_lowercase() }
}

fn path_of(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

fn text_value(spec: &MapSpec, text: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    let number = |letter: u8, default: usize| {
        spec.flag(letter)
            .and_then(|value| std::str::from_utf8(value).ok()?.parse().ok())
            .unwrap_or(default)
    };
    let (key_at, value_at) = (number(b'k', 0), number(b'v', 1));
    let separator = spec.flag(b'z').and_then(|value| value.first()).copied();
    for line in text.split(|octet| *octet == b'\n') {
        if line.is_empty() || line.first() == Some(&b'#') {
            continue;
        }
        let columns: Vec<&[u8]> = match separator {
            Some(separator) => line.split(|octet| *octet == separator).collect(),
            None => policy_cf::read::chars::words(line).collect(),
        };
        let found = columns.get(key_at).copied().unwrap_or_default();
        let equal =
            if spec.keeps_case() { found == key } else { found.eq_ignore_ascii_case(key) };
        if equal && let Some(value) = columns.get(value_at) {
            return Some(value.to_vec());
        }
    }
    None
}

impl World for Outside {
    fn open(&mut self, spec: &MapSpec) -> Result<MapHandle, OpenFailure> {
        let handle = MapHandle(u32::try_from(self.maps.len()).unwrap_or(u32::MAX));
        let kind = match &*spec.class {
            b"hash" | b"btree" | b"implicit" => {
                let mut path = spec.rest.to_vec();
                if !path.ends_with(b".db") {
                    path.extend_from_slice(b".db");
                }
                match maps::bdb::Database::open(path_of(&path)) {
                    Ok(database) => Kind::Database(Box::new(database)),
                    Err(_) => Kind::Nothing,
                }
            }
            b"text" => match std::fs::read(path_of(&spec.rest)) {
                Ok(text) => Kind::Text(text),
                Err(_) => Kind::Nothing,
            },
            b"host" => Kind::Host,
            b"dns" => Kind::Dns,
            b"bestmx" => Kind::BestMx,
            b"user" => Kind::User,
            _ => Kind::Other,
        };
        self.maps.push(Open { spec: spec.clone(), kind });
        Ok(handle)
    }

    fn lookup(
        &mut self,
        map: MapHandle,
        key: &[u8],
        _arguments: &[&[u8]],
        said: &mut Vec<u8>,
    ) -> Answer {
        let index = usize::try_from(map.0).unwrap_or(usize::MAX);
        let Some(open) = self.maps.get_mut(index) else { return Answer::NotFound(68) };
        let spec = open.spec.clone();
        match &mut open.kind {
            Kind::Database(database) => {
                let mut key = folded(&spec, key);
                let mut found = database.lookup(&key);
                if matches!(found, Ok(None)) {
                    key.push(0);
                    found = database.lookup(&key);
                }
                match found {
                    Ok(Some(mut value)) => {
                        if value.last() == Some(&0) {
                            value.pop();
                        }
                        Answer::Found(value)
                    }
                    _ => Answer::NotFound(0),
                }
            }
            Kind::Text(text) => match text_value(&spec, text, key) {
                Some(value) => Answer::Found(value),
                None => Answer::NotFound(68),
            },
            Kind::Nothing | Kind::Other => Answer::NotFound(0),
            Kind::Host => self.host(key, said),
            Kind::Dns => self.dns(&spec, key),
            Kind::BestMx => match self.exchangers(key) {
                Ok(list) => {
                    let separator = spec.flag(b'z').and_then(|value| value.first());
                    let mut names = list.into_iter().map(|one| [&*one.name, b"."].concat());
                    match separator {
                        Some(separator) => {
                            Answer::Found(names.collect::<Vec<_>>().join(separator))
                        }
                        None => names.next().map_or(Answer::NotFound(0), Answer::Found),
                    }
                }
                Err(Failure::Later) => Answer::TempFail(75),
                Err(_) => Answer::NotFound(68),
            },
            Kind::User => match self.user(key) {
                Some(user) => {
                    let value = match spec.flag(b'v').unwrap_or_default() {
                        b"" | b"1" | b"name" | b"pw_name" => user.name,
                        b"3" | b"uid" | b"pw_uid" => user.uid.to_string().into_bytes(),
                        b"4" | b"gid" | b"pw_gid" => user.gid.to_string().into_bytes(),
                        b"5" | b"gecos" | b"pw_gecos" => user.gecos,
                        b"6" | b"dir" | b"pw_dir" => user.home,
                        b"7" | b"shell" | b"pw_shell" => user.shell,
                        _ => return Answer::NotFound(0),
                    };
                    Answer::Found(value)
                }
                None => Answer::NotFound(67),
            },
        }
    }

    fn mail_exchangers(&mut self, host: &[u8], _said: &mut Vec<u8>) -> (Vec<Exchanger>, u8) {
        match self.exchangers(host) {
            Ok(list) => (list, 0),
            Err(Failure::Later) => (Vec::new(), 75),
            Err(_) => (Vec::new(), 68),
        }
    }

    fn canonical_name(&mut self, host: &[u8], said: &mut Vec<u8>) -> Option<Vec<u8>> {
        self.canonical(host, said).ok().map(|(name, _)| name)
    }

    fn service(&mut self, name: &[u8]) -> Vec<Box<[u8]>> {
        self.switch.get(name).cloned().unwrap_or_else(|| vec![b"files".as_slice().into()])
    }

    fn read_file(&mut self, path: &[u8], _limit_bytes: usize) -> Result<Vec<u8>, i32> {
        std::fs::read(path_of(path)).map_err(|error| error.raw_os_error().unwrap_or(5))
    }

    fn run_program(&mut self, command: &[u8], _limit_bytes: usize) -> Result<Vec<u8>, i32> {
        let mut words = policy_cf::read::chars::words(command).map(OsStr::from_bytes);
        let program = words.next().unwrap_or_default();
        match std::process::Command::new(program).args(words).env_clear().output() {
            Ok(output) => Ok(output.stdout),
            Err(error) => Err(error.raw_os_error().unwrap_or(5)),
        }
    }

    fn user(&mut self, name: &[u8]) -> Option<UserEntry> {
        let text = std::fs::read("/etc/passwd").ok()?;
        text.split(|octet| *octet == b'\n').find_map(|line| {
            let mut fields = line.split(|octet| *octet == b':').map(<[u8]>::to_vec);
            let found = fields.next()?;
            if found != name {
                return None;
            }
            let mut number = |skip: usize| -> Option<u32> {
                std::str::from_utf8(&fields.nth(skip)?).ok()?.parse().ok()
            };
            let uid = number(1)?;
            let gid = number(0)?;
            Some(UserEntry {
                name: found,
                uid,
                gid,
                gecos: fields.next()?,
                home: fields.next()?,
                shell: fields.next()?,
            })
        })
    }

    fn interface_addresses(&mut self) -> Vec<Vec<u8>> {
        let text = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
        let mut address = "";
        let mut found: Vec<Vec<u8>> = Vec::new();
        for line in text.lines().map(str::trim) {
            if let Some(leaf) = line.strip_prefix("|-- ") {
                address = leaf;
            } else if line == "/32 host LOCAL" {
                let name = format!("[{address}]").into_bytes();
                if !found.contains(&name) {
                    found.push(name);
                }
            }
        }
        found
    }

    fn configure(&mut self, options: &policy_cf::options::Options) {
        self.keeps_aliases = options.truth("DontExpandCnames");
    }

    fn group(&mut self, name: &[u8]) -> Option<u32> {
        let text = std::fs::read("/etc/group").ok()?;
        text.split(|octet| *octet == b'\n').find_map(|line| {
            let mut fields = line.split(|octet| *octet == b':');
            (fields.next()? == name).then(|| std::str::from_utf8(fields.nth(1)?).ok()?.parse().ok())?
        })
    }

    fn now_s(&mut self) -> u64 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map(|now| now.as_secs()).unwrap_or_default()
    }

    fn load_average(&mut self) -> u32 {
        0
    }
}
