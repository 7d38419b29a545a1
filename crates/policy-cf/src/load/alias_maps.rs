//! Option AliasFile: a map for each file, `Alias0` and so on, each of its own class (`hash:/etc/aliases`) or of class implicit.

use super::directory;
use crate::machine::Machine;
use crate::map;
use crate::read::chars::{is_space, trim_end, trim_start};
use alloc::vec::Vec;

/// A map for each alias file; gives their names.
pub(super) fn add(machine: &mut Machine<'_>, files: &[u8]) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    for (index, file) in parts(files).filter(|file| !file.is_empty()).enumerate() {
        let colon = file.iter().position(|octet| *octet == b':' || is_space(*octet));
        let colon = colon.filter(|at| file.get(*at) == Some(&b':'));
        let (class, rest) = match colon.and_then(|colon| file.split_at_checked(colon)) {
            Some((class, rest)) => (class, rest.get(1..).unwrap_or_default()),
            None => (b"implicit".as_slice(), file),
        };
        let rest = if class.eq_ignore_ascii_case(b"ldap") {
            // Members stand with commas between, whatever other maps do; a flag of one's own comes later and counts.
            let own = if rest.is_empty() { directory::of_aliases(machine) } else { rest.to_vec() };
            [b"-z, ", own.as_slice()].concat()
        } else {
            rest.to_vec()
        };
        let name = alloc::format!("Alias{index}").into_bytes();
        let line = [name.as_slice(), b" ", class, b" ", &rest].concat();
        let mut complaints = Vec::new();
        match map::read(&line, &mut complaints) {
            Some(map) => {
                let name = name.to_ascii_lowercase();
                machine.config.maps.insert(name.clone(), map);
                names.push(name);
            }
            None => complaints = alloc::vec![[b"setalias: unknown class ", class].concat()],
        }
        super::say_all(machine, complaints);
    }
    names
}

/// The parts of the option: with commas between, except in quotation marks, which are taken off.
fn parts(files: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_quoted = false;
    let list = files.split(move |octet| {
        is_quoted ^= *octet == b'"';
        *octet == b',' && !is_quoted
    });
    list.map(|part| {
        let part = trim_start(trim_end(part));
        part.strip_prefix(b"\"").and_then(|part| part.strip_suffix(b"\"")).unwrap_or(part)
    })
}
