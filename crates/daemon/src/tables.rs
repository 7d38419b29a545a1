//! How the policy's process reads the configuration, and where its tables come from: the aliases file and
//! the user database.
//!
//! The aliases file is looked at again at most once a second; one that can't be read or is wrong leaves the
//! last good one in use, and the lines that are wrong are named once.

use crate::edges::{Argument, Grant, Reading};
use crate::engines;
use crate::map_notes::MapNotes;
use crate::map_porter::MapPorter;
use crate::start::Inheritance;
use policy::Policy;
use policy_cf::Given;
use policy_cf::load::Setting;
use policy_toml::{Meaning, Problems, SystemFacts, Tables, Target, TomlPolicy};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use wire::alias::{Entries, Member};

/// Octets of a configuration.
const CONFIGURATION_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Octets of an aliases file.
const ALIASES_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// How long an aliases file is believed without a look.
const BELIEF_MS: u64 = 1000;

/// Reads what master handed over, or takes the defaults of no configuration.
///
/// # Errors
/// The messages, ready to print.
pub(crate) fn load(
    inheritance: &mut Inheritance,
    porter: &Arc<MapPorter>,
    notes: &Arc<MapNotes>,
) -> Result<Arc<dyn Policy + Send + Sync>, String> {
    let reading = inheritance.reading.take().ok_or("nothing to read")?;
    let system = system_facts(&reading);
    let place = inheritance
        .grants
        .iter()
        .position(|(grant, _)| matches!(grant, Grant::Configuration { .. }));
    let granted = place.and_then(|place| inheritance.grants.remove(place));
    let meaning = match granted {
        Some((Grant::Configuration { name }, file)) => {
            let name = String::from_utf8_lossy(&name).into_owned();
            let mut text = Vec::new();
            let mut file = File::from(file).take(CONFIGURATION_BYTES_MAX);
            file.read_to_end(&mut text).map_err(|error| format!("{name}: {error}"))?;
            if policy_cf::is_cf(&text) {
                return load_cf(&name, &text, &reading, porter, notes);
            }
            let read = policy_toml::load(&name, &text, &system);
            read.map(|(meaning, _warnings)| meaning).map_err(|problems| problems.render(false))?
        }
        Some(_) | None => policy_toml::zero(&system).map_err(|problems| problems.render(false))?,
    };
    let tables = SystemTables::new(&meaning)?;
    Ok(Arc::new(TomlPolicy::new(meaning, Box::new(tables))))
}

/// Says of a configuration's text what is wrong with it, or what is risky in it.
///
/// # Errors
/// What is wrong, ready to print.
pub(crate) fn check(name: &str, text: &[u8], color: bool) -> Result<String, String> {
    if policy_cf::is_cf(text) {
        let given = Given { facts: crate::host_facts(b"d"), is_root: true, ..Given::default() };
        return engines::open(name, text, &given, None, &Arc::default())
            .map(|(_, warnings)| warnings);
    }
    let system =
        SystemFacts { host_name: sys::host_name(), is_root: true, ..SystemFacts::default() };
    let render = |problems: &Problems| problems.render(color);
    let (meaning, warnings) =
        policy_toml::load(name, text, &system).map_err(|problems| render(&problems))?;
    let mut said = render(&warnings);
    if let Some(path) = &meaning.aliases {
        let (_, faults) = read_aliases(path)?;
        for fault in faults {
            said.push('\n');
            said.push_str(&fault);
        }
    }
    Ok(said.trim().to_owned())
}

/// The policy of a configuration's text.
///
/// # Errors
/// What is wrong, ready to print.
pub(crate) fn policy_of(name: &str, text: &[u8]) -> Result<Box<dyn Policy>, String> {
    if policy_cf::is_cf(text) {
        let given = Given { facts: crate::host_facts(b"d"), is_root: true, ..Given::default() };
        let (policy, _warnings) = engines::open(name, text, &given, None, &Arc::default())?;
        return Ok(Box::new(policy));
    }
    let system =
        SystemFacts { host_name: sys::host_name(), is_root: true, ..SystemFacts::default() };
    let (meaning, _warnings) =
        policy_toml::load(name, text, &system).map_err(|problems| problems.render(false))?;
    let tables = SystemTables::new(&meaning)?;
    Ok(Box::new(TomlPolicy::new(meaning, Box::new(tables))))
}

/// A sendmail.cf as the server's policy. Its warnings go to standard error, as sendmail's do.
fn load_cf(
    name: &str,
    text: &[u8],
    reading: &Reading,
    porter: &Arc<MapPorter>,
    notes: &Arc<MapNotes>,
) -> Result<Arc<dyn Policy + Send + Sync>, String> {
    let mut listen = Vec::new();
    for address in &reading.listen {
        let parsed = address.parse();
        listen.push(parsed.map_err(|_| {
            format!("--listen {address}: neither an address with a port nor unix:/PATH")
        })?);
    }
    let given = Given {
        facts: crate::host_facts(b"d"),
        data: reading.data.as_ref().map(|data| data.to_vec()),
        listen,
        settings: cf_settings(&reading.arguments),
        is_root: reading.is_root,
    };
    // Loads what the C library needs for the user database before the cage is closed.
    drop(sys::user::by_name("root"));
    let (policy, warnings) = engines::open(name, text, &given, Some(Arc::clone(porter)), notes)?;
    if !warnings.is_empty() {
        // Standard error may be closed: a warning is no reason to stop.
        drop(writeln!(std::io::stderr(), "{warnings}"));
    }
    Ok(Arc::new(policy))
}

/// Options and macros of the command line as a sendmail.cf takes them.
pub(crate) fn cf_settings(arguments: &[Argument]) -> Vec<Setting> {
    let setting = |argument: &Argument| match argument {
        Argument::Option(text) => Setting::Option(text.to_vec()),
        Argument::Macro(text) => Setting::Macro(text.to_vec()),
    };
    arguments.iter().map(setting).collect()
}

fn system_facts(reading: &Reading) -> SystemFacts {
    SystemFacts {
        host_name: reading.host_name.to_vec(),
        listen: reading.listen.iter().map(ToString::to_string).collect(),
        data: reading.data.as_deref().map(crate::path_of),
        is_root: reading.is_root,
    }
}

type Names = HashMap<Vec<u8>, Vec<Target>>;

/// The aliases file and the user database.
struct SystemTables {
    aliases: Option<(PathBuf, Mutex<Aliases>)>,
}

struct Aliases {
    names: Names,
    changed: Option<SystemTime>,
    looked_ms: u64,
}

impl SystemTables {
    /// # Errors
    /// The aliases file can't be read: a server must not begin without it.
    fn new(meaning: &Meaning) -> Result<Self, String> {
        // Loads what the C library needs for the user database before the cage is closed.
        drop(sys::user::by_name("root"));
        let Some(path) = meaning.aliases.clone() else { return Ok(Self { aliases: None }) };
        let (names, _) = read_aliases(&path)?;
        let looked_ms = sys::clock::monotonic_ms();
        let aliases = Aliases { names, changed: changed(&path), looked_ms };
        Ok(Self { aliases: Some((path, Mutex::new(aliases))) })
    }
}

impl Tables for SystemTables {
    fn alias(&self, name: &[u8]) -> Result<Option<Vec<Target>>, String> {
        let Some((path, aliases)) = &self.aliases else { return Ok(None) };
        // A thread that died while it held the lock left whole tables: they are replaced in one step.
        let mut aliases = aliases.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ms = sys::clock::monotonic_ms();
        if now_ms.saturating_sub(aliases.looked_ms) > BELIEF_MS {
            aliases.looked_ms = now_ms;
            let seen = changed(path);
            if seen != aliases.changed
                && let Ok((names, _)) = read_aliases(path)
            {
                aliases.names = names;
                aliases.changed = seen;
            }
        }
        Ok(aliases.names.get(name).cloned())
    }

    fn user(&self, name: &[u8]) -> Result<bool, String> {
        let Ok(name) = std::str::from_utf8(name) else { return Ok(false) };
        let found = sys::user::by_name(name).map_err(|error| error.to_string())?;
        Ok(found.is_some())
    }
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|facts| facts.modified()).ok()
}

/// Reads an aliases file: names in lower case, and what is wrong, a line each.
fn read_aliases(path: &Path) -> Result<(Names, Vec<String>), String> {
    let shown = path.display();
    let mut text = Vec::new();
    let file = File::open(path).map_err(|error| format!("{shown}: {error}"))?;
    let mut file = file.take(ALIASES_BYTES_MAX);
    file.read_to_end(&mut text).map_err(|error| format!("{shown}: {error}"))?;
    let (mut names, mut faults) = (Names::new(), Vec::new());
    for entry in Entries::new(&text) {
        match entry {
            Ok(entry) => {
                let targets = entry.members.into_iter().map(target).collect();
                names.insert(entry.name.to_ascii_lowercase(), targets);
            }
            Err((line, fault)) => faults.push(format!("{shown}:{line}: {fault}")),
        }
    }
    Ok((names, faults))
}

fn target(member: Member) -> Target {
    match member {
        Member::Address(address) => match address.strip_prefix(b"\\") {
            Some(name) => Target::Mailbox(name.to_ascii_lowercase()),
            None => Target::Address(address.into()),
        },
        Member::Error(text) => Target::Error(text.into()),
        Member::Program(command) => Target::Other([b"|".as_slice(), &command].concat()),
        Member::File(path) => Target::Other(path.into()),
        Member::Include(path) => Target::Other([b":include:".as_slice(), &path].concat()),
    }
}
