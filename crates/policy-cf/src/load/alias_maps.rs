//! Option AliasFile: a map for each file, `Alias0` and so on, each of its own class (`hash:/etc/aliases`) or of class implicit.

use crate::machine::Machine;
use crate::map;
use crate::read::chars::{is_space, trim_start};
use alloc::vec::Vec;

/// A map for each alias file; gives their names.
pub(super) fn add(machine: &mut Machine<'_>, files: &[u8]) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    let files = files.split(|octet| *octet == b',').map(trim_start);
    for (index, file) in files.filter(|file| !file.is_empty()).enumerate() {
        let colon = file.iter().position(|octet| *octet == b':' || is_space(*octet));
        let colon = colon.filter(|at| file.get(*at) == Some(&b':'));
        let (class, rest) = match colon.and_then(|colon| file.split_at_checked(colon)) {
            Some((class, rest)) => (class, rest.get(1..).unwrap_or_default()),
            None => (b"implicit".as_slice(), file),
        };
        let name = alloc::format!("Alias{index}").into_bytes();
        let line = [name.as_slice(), b" ", class, b" ", rest].concat();
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
