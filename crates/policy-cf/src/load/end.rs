//! The end of reading: the maps and mailers that are always there, and what older configurations did not have to say.

use super::alias_maps;
use crate::machine::Machine;
use crate::map::Map;
use crate::token::Tables;
use crate::world::MapSpec;
use alloc::boxed::Box;
use alloc::sync::Arc;

/// The version of the configuration language that is understood.
const LEVEL: i64 = 10;

/// What is done when file and command line are read: the maps that are always there, and the version's word.
pub fn finish(machine: &mut Machine<'_>) {
    let alias = machine.config.options.alias_files.clone();
    // `-D`: nobody is asked for hosts where delivery is put off.
    add_map(machine, b"host", b"host", &[(b'a', b"."), (b'D', b"")], b"");
    add_map(machine, b"users", b"user", &[], b"passwd");
    let names = alias_maps::add(machine, &alias);
    add_map(machine, b"aliases", b"sequence", &[], &names.join(&b' '));
    let is_told = machine.is_test || machine.config.options.truth("Verbose");
    if is_told && machine.config.level < LEVEL {
        let version = machine.config.macros.value(b'v').unwrap_or_default().to_vec();
        let level = alloc::format!("{}", machine.config.level);
        machine.say(&[
            b"Warning: .cf file is out of date: sendmail ",
            &version,
            b" supports version 10, .cf file is version ",
            level.as_bytes(),
        ]);
    }
    check_host_name(machine);
    missing_mailers(machine);
    old_mailers(machine);
    set_tables(machine);
    if !machine.config.options.truth("DontProbeInterfaces") {
        let addresses = machine.world.interface_addresses();
        for address in addresses {
            Arc::make_mut(&mut machine.config.classes).add(b'w', &address);
        }
    }
    machine.world.configure(&machine.config.options);
}

/// Mail can't be sent without these.
fn missing_mailers(machine: &mut Machine<'_>) {
    for (name, text) in [
        (b"prog".as_slice(), b"No prog mailer defined".as_slice()),
        (b"*file*", b"No *file* mailer defined"),
        (b"*include*", b"No *include* mailer defined"),
        (b"local", b"No local mailer defined"),
    ] {
        if machine.config.mailer(name).is_none() {
            machine.system_error(text, None);
        }
    }
}

/// A host that does not know its full name is told so.
fn check_host_name(machine: &mut Machine<'_>) {
    let name = machine.config.macros.value(b'j').unwrap_or_default().to_vec();
    let name = machine.expand(&name);
    let is_told = machine.is_test || machine.config.options.truth("Verbose");
    if !name.contains(&b'.') && is_told {
        let shown: &[u8] = if name.is_empty() { b"localhost" } else { &name };
        machine.say(&[
            b"WARNING: local host name (",
            shown,
            b") is not qualified; see cf/README: WHO AM I?",
        ]);
    }
}

/// Flags that older configurations did not have to name.
fn old_mailers(machine: &mut Machine<'_>) {
    let level = machine.config.level;
    for mailer in &mut machine.config.mailers {
        let is_local = mailer.name == b"local";
        let runs = mailer.name == b"prog" || mailer.name == b"*file*";
        if runs || mailer.name == b"*include*" {
            mailer.flags.clear(b'm');
        }
        let mut flags: &[u8] = b"";
        if level < 6 && is_local {
            flags = b"Aw5:|/@";
        } else if level < 6 && runs {
            flags = b"o";
        }
        for flag in flags {
            mailer.flags.set(*flag);
        }
        if level < 7 && (is_local || runs) {
            mailer.flags.set(b'q');
        }
    }
}

/// The operator characters of configurations before level 7 stand in `$o`.
pub(super) fn set_tables(machine: &mut Machine<'_>) {
    if machine.config.level < 7
        && !machine.config.options.values.contains_key("OperatorChars")
        && let Some(operators) = machine.config.macros.value(b'o')
    {
        machine.config.tables = Tables::new(operators);
    }
}

fn add_map(
    machine: &mut Machine<'_>,
    name: &[u8],
    class: &[u8],
    flags: &[(u8, &[u8])],
    rest: &[u8],
) {
    if machine.config.maps.contains_key(name) {
        return;
    }
    let flags = flags.iter().map(|(letter, value)| (*letter, Box::from(*value))).collect();
    let spec = MapSpec { name: name.into(), class: class.into(), flags, rest: rest.into() };
    machine.config.maps.insert(name.to_vec(), Map::new(spec));
}
