//! What is fuzzed: four functions that take any octets and must come back, without a panic, within bounds.
//!
//! `cargo xtask fuzz` calls them on stable Rust; `fuzz/` gives them to libFuzzer.

use maps::bdb::Database;
use policy_cf::crack::crack;
use policy_cf::load::{self, Facts};
use policy_cf::machine::ScanTable;
use policy_cf::options::Options;
use policy_cf::resolve::Side;
use policy_cf::{Answer, Config, Machine, MapHandle, MapSpec, OpenFailure, World};
use std::ops::ControlFlow;

/// Keys looked at in one file: a file may claim any number.
const KEYS_MAX: usize = 10_000;
/// Addresses tried with one configuration.
const ADDRESSES_MAX: usize = 4;
/// What separates a configuration from the addresses that it is tried with.
pub(crate) const SEPARATOR: u8 = 0;

/// A world without files, names and users: every map is there, and every key is its own value.
struct Echo;

impl World for Echo {
    fn open(&mut self, _: &MapSpec) -> Result<MapHandle, OpenFailure> {
        Ok(MapHandle(0))
    }
    fn lookup(&mut self, _: MapHandle, key: &[u8], _: &[&[u8]], _: &mut Vec<u8>) -> Answer {
        match key.len() % 3 {
            0 => Answer::NotFound(68),
            1 => Answer::TempFail(75),
            _ => Answer::Found(key.to_vec()),
        }
    }
    fn now_s(&mut self) -> u64 {
        0
    }
}

/// Reads a configuration and goes on with what came of it.
pub(crate) fn with_configuration(file: &[u8], then: impl FnOnce(&mut Machine<'_>)) {
    let mut world = Echo;
    let mut machine = Machine::new(Config::default(), &mut world);
    load::prepare(&mut machine, &Facts { host: b"host.test".to_vec(), ..Facts::default() });
    load::read(&mut machine, b"fuzz.cf", file);
    if !machine.is_over {
        load::finish(&mut machine);
        then(&mut machine);
    }
}

/// Any octets as a configuration.
pub(crate) fn cf_read(data: &[u8]) {
    with_configuration(data, |_| {});
}

/// A configuration, [`SEPARATOR`], addresses a line each: resolved, with events kept.
pub(crate) fn rules(data: &[u8]) {
    let mut parts = data.splitn(2, |octet| *octet == SEPARATOR);
    let file = parts.next().unwrap_or_default();
    let addresses = parts.next().unwrap_or(b"user@host.test");
    with_configuration(file, |machine| {
        for address in addresses.split(|octet| *octet == b'\n').take(ADDRESSES_MAX) {
            drop(machine.take_events());
            let resolved = machine.parse(address, Side::default());
            if let Some(mailer) = resolved.and_then(|resolved| resolved.mailer) {
                let side = Side { is_sender: true, is_header: true };
                drop(machine.remote_name(address, mailer, side));
            }
            machine.out.clear();
        }
    });
}

/// Any octets as an address: cut into tokens, put together again, cracked.
pub(crate) fn token(data: &[u8]) {
    let mut world = Echo;
    let mut machine = Machine::new(Config::default(), &mut world);
    for how in [ScanTable::Outside, ScanTable::NoComments] {
        let mut tokens = Vec::new();
        machine.scan(data, how, b',', &mut tokens);
        drop(machine.join(&tokens, b' ', true, 1024));
        machine.show_tokens(&tokens);
        machine.out.clear();
        machine.replies.clear();
    }
    drop(crack(data, &Options::default()));
}

/// Any octets as a Berkeley DB file: every key, and each of the first few looked up.
pub(crate) fn bdb(data: &[u8]) {
    let Ok(mut database) = Database::from_bytes(data.to_vec()) else { return };
    let mut keys: Vec<Vec<u8>> = Vec::new();
    let mut seen = 0_usize;
    let walked = database.each(&mut |key, _| {
        seen = seen.saturating_add(1);
        if keys.len() < 16 {
            keys.push(key.to_vec());
        }
        if seen < KEYS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    // What is wrong with the file is an answer like any other.
    drop(walked);
    for key in keys.iter().map(Vec::as_slice).chain([b"postmaster".as_slice()]) {
        drop(database.lookup(key));
    }
}
