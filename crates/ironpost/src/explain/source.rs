//! A configuration file that was read: the machine that it makes, and where each of its lines stands.

use policy_cf::load::{self, Facts};
use policy_cf::machine::Machine;
use policy_cf::read::lines::Lines;
use std::collections::BTreeMap;

/// The lines of a sendmail.cf by the number that its rules carry (their last physical line).
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// The file's name as it was asked for.
    pub(crate) name: Vec<u8>,
    lines: BTreeMap<u32, (u32, Vec<u8>)>,
}

impl Source {
    /// The lines of `file`.
    pub(crate) fn new(name: &[u8], file: &[u8]) -> Self {
        let lines = Lines::new(file).map(|line| (line.number, (line.first, line.text))).collect();
        Self { name: name.to_vec(), lines }
    }

    /// The first physical line and the text of the line that ends at `number`.
    pub(crate) fn line(&self, number: u32) -> Option<(u32, &[u8])> {
        self.lines.get(&number).map(|(first, text)| (*first, text.as_slice()))
    }

    /// The file's name without folders.
    pub(crate) fn short_name(&self) -> &[u8] {
        self.name.rsplit(|octet| *octet == b'/').next().unwrap_or_default()
    }
}

/// The text of a configuration: whose language is it?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// sendmail.cf.
    Cf,
    /// ironpost.toml.
    Toml,
}

/// Tells the languages apart by the first line that says something: tables and keys of TOML begin with `[` or a small
/// letter, lines of sendmail.cf with a capital one.
pub(crate) fn language(file: &[u8]) -> Language {
    let first = file
        .split(|octet| *octet == b'\n')
        .map(<[u8]>::trim_ascii_start)
        .find(|line| !line.is_empty() && line.first() != Some(&b'#'));
    match first.and_then(|line| line.first()) {
        Some(b'[' | b'a'..=b'z' | b'"') => Language::Toml,
        _ => Language::Cf,
    }
}

/// Reads `file` into the machine as a daemon would; what sendmail says of it is in `machine.out`.
pub(crate) fn read(machine: &mut Machine<'_>, name: &[u8], file: &[u8], facts: &Facts) -> Source {
    load::prepare(machine, facts);
    load::read(machine, name, file);
    if !machine.is_over {
        load::finish(machine);
    }
    Source::new(name, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cf_is_told_from_a_toml_by_its_first_line_that_says_something() {
        assert_eq!(language(b"# comment\n\nV10/Berkeley\n"), Language::Cf);
        assert_eq!(language(b"# comment\n\n[server]\n"), Language::Toml);
        assert_eq!(language(b"  listen = []\n"), Language::Toml);
        assert_eq!(language(b""), Language::Cf);
    }

    #[test]
    fn a_rule_over_two_lines_is_found_by_its_last_one() {
        let source = Source::new(b"/x/a.cf", b"Sx\nR$*\n\t$1\nR$+\t$2\n");
        assert_eq!(source.line(3), Some((2, b"R$*\n\t$1".as_slice())));
        assert_eq!(source.line(4), Some((4, b"R$+\t$2".as_slice())));
        assert_eq!(source.short_name(), b"a.cf");
    }
}
