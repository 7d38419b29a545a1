//! A configuration that answers a mail server's questions: [`CfPolicy`].
//!
//! Rules change macros and fill an arena while they run, so each question is worked on by an [`Engine`] of its own: a copy of the
//! configuration (rules and classes shared) and an outside. Engines rest in a [`Pool`] between questions; before an engine
//! rests, its macros and its arena go back to what reading the file left, so nothing that a client said outlives its question.

mod carry;
mod check;
mod dress;
mod expand;
mod greet;
mod header;
mod help;
mod judge;
mod local;
mod look;
mod manners;
mod moment;
mod ports;
mod reports;
pub mod stages;
mod tune;

pub use header::judge as judge_header;
pub use tune::{delivery_mode, seconds, spool_of};

use crate::expand::Outside;
use crate::load::{self, Facts, Setting};
use crate::machine::{Machine, exit};
use crate::map::Map;
use crate::model::Config;
use crate::options::Options;
use crate::world::World;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use policy::settings::Endpoint;
use policy::{
    Dress, Dressed, Expansion, FileSeen, Policy, Question, Refusal, Route, Settings, Verdict,
};

/// What answers one question at a time.
pub struct Engine {
    config: Config,
    world: Box<dyn World + Send>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("arena_octets", &self.config.arena.len())
            .field("long_names", &self.config.macros.long_names())
            .finish_non_exhaustive()
    }
}

/// Where engines rest. The crate knows no locks, so the caller brings one.
pub trait Pool: Send + Sync {
    /// An outside for one more engine.
    fn world(&self) -> Box<dyn World + Send>;

    /// Where the lists and `.forward` files of users are read, as far as the caller may read them; nowhere, if it doesn't say.
    fn lists(&self) -> Box<dyn Outside> {
        Box::new(look::NoLists)
    }

    /// Takes a line for the log.
    fn note(&self, _line: &[u8]) {}

    /// Engines that are made when the file is read, at least one. What an engine has open then it can't open later, where the
    /// process gives up rights in between.
    fn engines_at_start(&self) -> usize {
        1
    }

    /// An engine that rests, if there is one: it is the caller's until it comes back.
    fn take(&self) -> Option<Engine>;

    /// An engine goes to rest. Where there are enough, it may be dropped.
    fn give(&self, engine: Engine);
}

/// What the configuration does not say and the command line or the system does.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// This host and this run.
    pub facts: Facts,
    /// Options and macros of the command line.
    pub settings: Vec<Setting>,
    /// The folder of all state, in place of the configuration's folders.
    pub data: Option<Vec<u8>>,
    /// Addresses in place of `DaemonPortOptions`.
    pub listen: Vec<Endpoint>,
    /// Whether the server runs as root: the log then goes to syslog.
    pub is_root: bool,
}

/// The policy of a sendmail.cf.
pub struct CfPolicy {
    base: Config,
    arena_len: usize,
    settings: Settings,
    ports: Vec<ports::Port>,
    pool: Box<dyn Pool>,
}

impl fmt::Debug for CfPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CfPolicy").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Whether a configuration is a sendmail.cf rather than an ironpost.toml: its first line that says something begins with a
/// letter of sendmail's (`V10`, `D`, `O `, …) and is no TOML, which needs ` = ` or `[`.
#[must_use]
pub fn is_cf(text: &[u8]) -> bool {
    let mut lines = text.split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii_end);
    let said = lines.find(|line| !line.trim_ascii().is_empty() && line.first() != Some(&b'#'));
    let Some([letter, rest @ ..]) = said else { return false };
    match letter {
        b'V' => rest.first().is_some_and(u8::is_ascii_digit),
        b'O' => rest.first() == Some(&b' ') || !rest.windows(3).any(|part| part == b" = "),
        b'C' | b'D' | b'E' | b'F' | b'H' | b'K' | b'M' | b'P' | b'Q' | b'R' | b'S' | b'T'
        | b'X' => true,
        _ => false,
    }
}

/// Opens all maps of the file now: one that can't be read is known before the first client, and the first engine has them
/// open before its process is caged.
fn warn_of_maps(machine: &mut Machine<'_>, said: &mut Vec<u8>) {
    machine.out.clear();
    let names: Vec<Vec<u8>> = machine.config.maps.keys().cloned().collect();
    for name in names {
        // Whether it is there counts when it is asked.
        let _is_open = machine.open_map(&name);
    }
    said.append(&mut machine.out);
}

impl CfPolicy {
    /// Reads a configuration; what is worth a warning comes with it.
    ///
    /// # Errors
    /// sendmail's words for everything that is wrong in it, a line each.
    pub fn open(
        name: &[u8],
        text: &[u8],
        given: &Given,
        pool: Box<dyn Pool>,
    ) -> Result<(Self, Vec<u8>), Vec<u8>> {
        let mut world = pool.world();
        let mut machine = Machine::new(Config::default(), &mut *world);
        load::prepare(&mut machine, &given.facts);
        for setting in &given.settings {
            load::apply(&mut machine, setting);
        }
        load::read(&mut machine, name, text);
        if !machine.is_over {
            load::finish(&mut machine);
        }
        let mut said = core::mem::take(&mut machine.out);
        if machine.status != exit::OK || machine.is_over {
            return Err(said);
        }
        let (settings, ports) = tune::settings(&mut machine, &mut *pool.lists(), given, &mut said)?;
        warn_of_maps(&mut machine, &mut said);
        let mut base = machine.config;
        moment::name_all(&mut base.macros);
        base.macros.lay_ground();
        let arena_len = base.arena.len();
        for line in world.take_notes() {
            pool.note(&line);
        }
        // The outside that read the class files has what it opened: it serves the first engine, and no other.
        let config = base.clone();
        base.maps.values_mut().for_each(Map::close);
        let policy = Self { base, arena_len, settings, ports, pool };
        policy.pool.give(Engine { config, world });
        for _ in 1..policy.pool.engines_at_start() {
            policy.pool.give(policy.engine(&mut Vec::new()));
        }
        Ok((policy, said))
    }

    /// One more engine, with all maps open that can be opened now.
    fn engine(&self, said: &mut Vec<u8>) -> Engine {
        let mut world = self.pool.world();
        let mut machine = Machine::new(self.base.clone(), &mut *world);
        machine.world.configure(&self.base.options);
        warn_of_maps(&mut machine, said);
        Engine { config: machine.config, world }
    }

    /// The options, for those who look a place up: alias files, help file.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.base.options
    }

    /// Lets an engine work; it rests afterwards as if nothing had happened.
    fn with<T>(&self, work: impl FnOnce(&mut Machine<'_>) -> T) -> T {
        let engine = self.pool.take();
        let Engine { config, mut world } = engine.unwrap_or_else(|| self.engine(&mut Vec::new()));
        let mut machine = Machine::new(config, &mut *world);
        let result = work(&mut machine);
        let mut config = machine.config;
        for line in world.take_notes() {
            self.pool.note(&line);
        }
        config.macros.rest();
        config.arena.cut(self.arena_len);
        self.pool.give(Engine { config, world });
        result
    }
}

impl Policy for CfPolicy {
    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn judge(&self, question: &Question) -> Verdict {
        self.with(|machine| judge::judge(self, machine, question))
    }

    fn route(&self, address: &[u8]) -> Result<Route, Refusal> {
        self.with(|machine| {
            local::route(machine, &mut *self.pool.lists(), &judge::bracketed(address))
        })
    }

    fn expand(&self, address: &[u8], route: &Route) -> Expansion {
        self.expand_with(address, route, b"", &[])
    }

    fn expand_with(
        &self,
        address: &[u8],
        _route: &Route,
        sender: &[u8],
        files: &[FileSeen],
    ) -> Expansion {
        let mut lists = self.pool.lists();
        self.with(|machine| expand::expand(machine, &mut *lists, address, sender, files))
    }

    fn dress(&self, question: Dress) -> Result<Dressed, Refusal> {
        self.with(|machine| dress::dress(self, machine, question))
    }
}
