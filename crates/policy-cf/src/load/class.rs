//! C, T and F lines: words into classes, from the line, a file, a program or a map.

use super::{FILE_OCTETS_MAX, directory};
use crate::machine::{Machine, exit};
use crate::map;
use crate::read::chars::{is_space, split_word, trim_start, words};
use crate::token::meta;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Adds every word of a list to a class.
pub(crate) fn add_words(machine: &mut Machine<'_>, class: u8, list: &[u8]) {
    for word in words(list) {
        add_word(machine, class, word);
    }
}

/// One word, or all words of another class (`$=x`).
fn add_word(machine: &mut Machine<'_>, class: u8, word: &[u8]) {
    let [meta::CLASS, from] = word else {
        Arc::make_mut(&mut machine.config.classes).add(class, word);
        return;
    };
    let members: Vec<Vec<u8>> =
        machine.config.classes.listing(*from).into_iter().map(<[u8]>::to_vec).collect();
    for member in members {
        Arc::make_mut(&mut machine.config.classes).add(class, &member);
    }
}

/// Reads the file (or runs the program) of an F line.
pub(super) fn class_file(machine: &mut Machine<'_>, class: u8, text: &[u8]) {
    let mut text = trim_start(text);
    let mut is_optional = false;
    if text.starts_with(b"-o") {
        is_optional = true;
        text = trim_start(split_word(text).1);
    }
    if let Some((key, kind, spec)) = map_form(text) {
        return class_map(machine, class, (key, kind, spec), is_optional);
    }
    let format: &[u8];
    let content = if let Some((b'|', command)) = text.split_first() {
        format = b"%s";
        machine.world.run_program(command, FILE_OCTETS_MAX)
    } else {
        let (path, rest) = split_word(text);
        let rest = trim_start(rest);
        format = if rest.is_empty() { b"%s" } else { rest };
        if path.is_empty() {
            machine.system_error(b"fileclass: missing file name", None);
            return;
        }
        machine.world.read_file(path, FILE_OCTETS_MAX)
    };
    let path = split_word(text).0;
    match content {
        Ok(content) => {
            for line in content.split(|octet| *octet == b'\n') {
                if line.first() == Some(&b'#') {
                    continue;
                }
                if let Some(word) = scan_word(line, format) {
                    for word in words(word) {
                        Arc::make_mut(&mut machine.config.classes).add(class, word);
                    }
                }
            }
        }
        Err(_) if is_optional => {}
        Err(error) => {
            let text = [b"fileclass: cannot open '", path, b"'"].concat();
            let trouble = error_text(error);
            machine.system_error(&text, Some(trouble));
        }
    }
}

/// `key@class:spec`, or `@LDAP`, which names what is found by the class's own name.
fn map_form(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    if matches!(text.first(), Some(b'|' | b'/')) {
        return None;
    }
    let at = text.iter().position(|octet| *octet == b'@')?;
    let (key, rest) = text.split_at_checked(at)?;
    let rest = rest.get(1..)?;
    let length = rest.iter().take_while(|octet| octet.is_ascii_alphanumeric()).count();
    let (kind, spec) = rest.split_at_checked(length)?;
    match spec.split_first() {
        Some((b':', spec)) => Some((key, kind, spec)),
        _ if key.is_empty() && trim_start(spec).is_empty() && kind == b"LDAP" => {
            Some((key, b"ldap", b""))
        }
        _ => None,
    }
}

/// Words that stand in a map under a key, with blanks or commas between.
fn class_map(
    machine: &mut Machine<'_>,
    class: u8,
    (key, kind, spec): (&[u8], &[u8], &[u8]),
    is_optional: bool,
) {
    // No K line can give this name.
    const NAME: &[u8] = b" class";
    let is_standard = kind == b"ldap" && spec.is_empty();
    let (key, spec) = if is_standard {
        (class_name(machine, class), directory::of_classes(machine))
    } else {
        (key.to_vec(), machine.expand(spec))
    };
    let mut complaints = Vec::new();
    let map = map::read(&[b"class ", kind, b" ", spec.as_slice()].concat(), &mut complaints);
    super::say_all(machine, complaints);
    let Some(map) = map else { return };
    // What the options say about directories counts from here on.
    machine.world.configure(&machine.config.options);
    machine.config.maps.insert(NAME.to_vec(), map);
    let mut status = exit::OK;
    let found = machine.class_look_up(NAME, &key, &[], &mut status, 0);
    machine.config.maps.remove(NAME);
    if let Some(value) = found {
        let list = value.split(|octet| *octet == b',' || is_space(*octet));
        for word in list.filter(|word| !word.is_empty()) {
            Arc::make_mut(&mut machine.config.classes).add(class, word);
        }
    } else if status == exit::TEMPFAIL && !is_optional {
        let text = [b"fileclass: cannot open '", key.as_slice(), b"@", kind, b"'"].concat();
        machine.system_error(&text, Some(b"Resource temporarily unavailable"));
    }
}

/// The name of a class without braces.
fn class_name(machine: &Machine<'_>, class: u8) -> Vec<u8> {
    let mut name = Vec::new();
    machine.config.macros.show_name(class, &mut name);
    let bare = name.strip_prefix(b"{").and_then(|name| name.strip_suffix(b"}"));
    bare.map(<[u8]>::to_vec).unwrap_or(name)
}

/// What the system says for an error number.
#[must_use]
pub fn error_text(number: i32) -> &'static [u8] {
    match number {
        1 => b"Operation not permitted",
        2 => b"No such file or directory",
        13 => b"Permission denied",
        20 => b"Not a directory",
        21 => b"Is a directory",
        40 => b"Too many levels of symbolic links",
        550 => b"Group writable directory",
        _ => b"Input/output error",
    }
}

/// What scanf takes from a line: `%s`, `%[set]`, `%[^set]`, with plain text around.
fn scan_word<'a>(line: &'a [u8], format: &[u8]) -> Option<&'a [u8]> {
    let mut rest = line;
    let mut format = format;
    loop {
        match format {
            [] => return None,
            [b'%', b's', ..] => {
                let word = split_word(trim_start(rest)).0;
                return (!word.is_empty()).then_some(word);
            }
            [b'%', b'[', set @ ..] => {
                let (negated, set) = match set {
                    [b'^', set @ ..] => (true, set),
                    _ => (false, set),
                };
                let end = set.iter().skip(1).position(|octet| *octet == b']');
                let end = end.map_or(set.len(), |end| end.saturating_add(1));
                let set = set.get(..end).unwrap_or(set);
                let length = rest.iter().take_while(|octet| set.contains(octet) != negated).count();
                let word = rest.get(..length).unwrap_or_default();
                return (!word.is_empty()).then_some(word);
            }
            [octet, behind @ ..] => {
                if is_space(*octet) {
                    rest = trim_start(rest);
                } else if rest.first() == Some(octet) {
                    rest = rest.get(1..).unwrap_or_default();
                } else {
                    return None;
                }
                format = behind;
            }
        }
    }
}
