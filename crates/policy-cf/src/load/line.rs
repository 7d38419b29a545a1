//! One line of a configuration by its letter, and the lines that need few words.

use super::class::{add_words, class_file};
use super::end::set_tables;
use super::{option, rule, say_all};
use crate::header::Header;
use crate::machine::Machine;
use crate::map;
use crate::read::chars::{trim_end, trim_start, words};
use crate::read::equates;
use crate::read::lines::translate;
use crate::read::values::{munch, number};
use crate::token::meta;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The most P lines.
const PRIORITIES_MAX: usize = 25;

/// The state between lines: the rule set that rules go to.
pub(super) struct Reader {
    set: Option<usize>,
    /// A rule was read: the operators stay as they are now.
    has_rules: bool,
}

impl Default for Reader {
    fn default() -> Self {
        Self { set: Some(0), has_rules: false }
    }
}

impl Reader {
    /// Reads one line.
    pub(super) fn line(&mut self, machine: &mut Machine<'_>, text: &[u8], number_of_line: u32) {
        let mut complaints = Vec::new();
        if text.first() == Some(&b'#') {
            return;
        }
        let has_comments = machine.config.level >= 3 || machine.config.level == 0;
        let text = translate(text, &mut machine.config.macros, has_comments, &mut complaints);
        say_all(machine, core::mem::take(&mut complaints));
        let Some((kind, rest)) = text.split_first() else { return };
        match kind {
            b'R' => self.rule(machine, rest, number_of_line, &mut complaints),
            b'S' => self.select(machine, rest, &mut complaints),
            b'D' => define(machine, rest, &mut complaints),
            b'H' => header(machine, rest),
            b'C' => {
                if let Some((id, rest)) = name(machine, rest, &mut complaints) {
                    let list = machine.expand(rest);
                    add_words(machine, id, &list);
                }
            }
            b'T' => add_words(machine, b't', rest),
            b'F' => {
                if let Some((id, rest)) = name(machine, rest, &mut complaints) {
                    class_file(machine, id, rest);
                }
            }
            b'M' => {
                let config = &mut machine.config;
                let warning = crate::mailer::read(rest, config, machine.world, &mut complaints);
                if let Some(warning) = warning {
                    machine.say(&[&warning]);
                }
            }
            b'O' => option(machine, rest, false),
            b'P' => priority(machine, rest, &text, &mut complaints),
            b'V' => version(machine, rest, &mut complaints),
            b'K' => map_line(machine, rest, &mut complaints),
            b'E' => {
                let mut parts = rest.splitn(2, |octet| *octet == b'=');
                let name = parts.next().unwrap_or_default().to_vec();
                machine.config.environment.push((name, parts.next().map(<[u8]>::to_vec)));
            }
            b'X' => {
                equates::filter(rest, &mut complaints);
                machine.config.filters.push(rest.to_vec());
            }
            b'Q' => {
                equates::queue_group(rest, &mut complaints);
                machine.config.queue_groups.push(rest.to_vec());
            }
            _ => complaints.push(unknown(&text)),
        }
        say_all(machine, complaints);
    }

    fn select(&mut self, machine: &mut Machine<'_>, rest: &[u8], complaints: &mut Vec<Vec<u8>>) {
        let name = machine.expand(rest);
        let found = Arc::make_mut(&mut machine.config.sets).enter(&name);
        complaints.extend(found.complaint);
        let Some(number) = found.number else { return };
        self.set = Some(number);
        if !machine.config.sets.of(number).is_empty() && machine.is_test {
            machine.say(&[b"WARNING: Ruleset ", rest, b" has multiple definitions"]);
        }
    }

    fn rule(
        &mut self,
        machine: &mut Machine<'_>,
        rest: &[u8],
        line: u32,
        complaints: &mut Vec<Vec<u8>>,
    ) {
        if !self.has_rules {
            self.has_rules = true;
            set_tables(machine);
            machine.config.options.has_operators = true;
        }
        let rule = rule::read(machine, rest, line, complaints);
        if let (Some(rule), Some(set)) = (rule, self.set) {
            Arc::make_mut(&mut machine.config.sets).push(set, rule);
        }
    }
}

/// A K line: the map is entered under its name.
fn map_line(machine: &mut Machine<'_>, rest: &[u8], complaints: &mut Vec<Vec<u8>>) {
    let line = machine.expand(rest);
    let Some(map) = map::read(&line, complaints) else { return };
    if &*map.spec.class == b"sequence" {
        let maps = &machine.config.maps;
        let is_known = |name: &&[u8]| maps.contains_key(&name.to_ascii_lowercase());
        if let Some(member) = words(&map.spec.rest).find(|name| !is_known(name)) {
            let text = [b"Sequence map ", &*map.spec.name, b": unknown member map ", member];
            complaints.push(text.concat());
        }
    }
    let name = map.spec.name.to_ascii_lowercase();
    let is_pattern = &*map.spec.class == b"regex";
    machine.config.maps.insert(name.clone(), map);
    // A pattern is looked at here, so that the message names this line.
    if is_pattern {
        let _is_open = machine.open_map(&name);
    }
}

fn unknown(text: &[u8]) -> Vec<u8> {
    [b"unknown configuration line \"", text, b"\""].concat()
}

/// The name at the start of a `D`, `C` or `F` line, and what stands behind it.
fn name<'a>(
    machine: &mut Machine<'_>,
    text: &'a [u8],
    complaints: &mut Vec<Vec<u8>>,
) -> Option<(u8, &'a [u8])> {
    let name = machine.config.macros.read_name(text);
    complaints.extend(name.complaints);
    (name.id != 0).then(|| (name.id, text.get(name.taken..).unwrap_or_default()))
}

fn define(machine: &mut Machine<'_>, text: &[u8], complaints: &mut Vec<Vec<u8>>) {
    if let Some((id, rest)) = name(machine, text, complaints) {
        let (value, _) = munch(rest, 0);
        machine.config.macros.set(id, Some(value));
    }
}

fn priority(machine: &mut Machine<'_>, rest: &[u8], line: &[u8], complaints: &mut Vec<Vec<u8>>) {
    if machine.config.priorities.len() >= PRIORITIES_MAX {
        complaints.push(b"too many P lines, 25 max".to_vec());
        return;
    }
    let Some(equals) = rest.iter().position(|octet| *octet == b'=') else {
        complaints.push(unknown(line));
        return;
    };
    let (name, value) = rest.split_at_checked(equals).unwrap_or((rest, b""));
    let value = number(value.get(1..).unwrap_or_default());
    machine.config.priorities.push((name.to_vec(), value));
}

fn version(machine: &mut Machine<'_>, rest: &[u8], complaints: &mut Vec<Vec<u8>>) {
    let text = trim_start(rest);
    if !text.first().is_some_and(u8::is_ascii_digit) {
        let shown = rest.get(..20).unwrap_or(rest);
        complaints.push([b"invalid argument to V line: \"", shown, b"\""].concat());
        return;
    }
    machine.config.level = number(text);
    if machine.config.level >= 5 {
        // Since level 5 the short name stands in $w.
        let host = machine.config.macros.value(b'w').unwrap_or_default();
        let short = host.split(|octet| *octet == b'.').next().unwrap_or_default().to_vec();
        machine.config.macros.set(b'w', Some(short));
    }
    if machine.config.level >= 6 {
        machine.config.options.colon_is_plain = false;
    }
    let digits = text.iter().take_while(|octet| octet.is_ascii_digit()).count();
    let rest = text.get(digits..).unwrap_or_default();
    if let Some((b'/', vendor)) = rest.split_first() {
        let length = vendor.iter().take_while(|octet| octet.is_ascii_alphabetic()).count();
        let vendor = vendor.get(..length).unwrap_or_default();
        if !vendor.eq_ignore_ascii_case(b"berkeley") {
            complaints.push([b"invalid V line vendor code: \"", vendor, b"\""].concat());
        }
    }
}

/// Reads an H line: `?flags?Name: template` or `Name: $>rule set`.
fn header(machine: &mut Machine<'_>, text: &[u8]) {
    let mut rest = text;
    let mut condition = Vec::new();
    if let Some((b'?', behind)) = rest.split_first()
        && let Some(end) = behind.iter().position(|octet| *octet == b'?')
    {
        condition = behind.get(..end).unwrap_or_default().to_vec();
        rest = behind.get(end.saturating_add(1)..).unwrap_or_default();
    }
    let Some(colon) = rest.iter().position(|octet| *octet == b':') else {
        let text = [b"header syntax error, line \"", text, b"\""].concat();
        machine.system_error(&text, None);
        return;
    };
    let (name, value) = rest.split_at_checked(colon).unwrap_or((rest, b""));
    let name = trim_end(name).to_vec();
    let value = trim_start(value.get(1..).unwrap_or_default());
    let (is_check, keeps_comments, value) = match value {
        [meta::MACRO, b'>', b'+', rest @ ..] => (true, true, trim_start(rest)),
        [meta::MACRO, b'>', rest @ ..] => (true, false, trim_start(rest)),
        _ => (false, false, value),
    };
    if is_check {
        let found = Arc::make_mut(&mut machine.config.sets).enter(value);
        say_all(machine, found.complaint.into_iter().collect());
    }
    machine.config.headers.push(Header {
        condition,
        name,
        value: value.to_vec(),
        is_check,
        keeps_comments,
    });
}
