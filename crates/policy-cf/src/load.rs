//! Reading a configuration: predefined macros and classes first, then line by line, then the maps that are always there.

mod alias_maps;

use crate::header::Header;
use crate::machine::{Machine, exit};
use crate::map::{self, Map};
use crate::options::{Complaint, Set};
use crate::read::chars::{is_space, split_word, trim_start, words};
use crate::read::equates;
use crate::read::lines::{Lines, translate};
use crate::read::values::{munch, number};
use crate::rules::{WILDCARDS_MAX, compile};
use crate::token::{Scan, Tables, Token, meta};
use crate::world::MapSpec;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The largest configuration or class file.
pub const FILE_OCTETS_MAX: usize = 256 * 1024 * 1024;
/// The version of the configuration language that is understood.
const LEVEL: i64 = 10;
/// The most P lines.
const PRIORITIES_MAX: usize = 25;

/// What the caller knows about this host and this run, before any line is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The host's canonical name (`$j`, `$k`).
    pub host: Vec<u8>,
    /// Other names and bracketed addresses of it (class w).
    pub aliases: Vec<Vec<u8>>,
    /// The version (`$v`).
    pub version: Vec<u8>,
    /// Who runs it, as `$_` has it.
    pub caller: Vec<u8>,
    /// The letter of the mode (`${opMode}`).
    pub mode: Vec<u8>,
    /// Date in the form of ctime (`$d`), of RFC 5322 (`$a`, `$b`) and compact (`$t`).
    pub dates: [Vec<u8>; 3],
    /// The process number (`$p`).
    pub process: Vec<u8>,
    /// The user and group ids of no one (`*file*` and such).
    pub load_average: Vec<u8>,
}

/// One setting of the command line, applied before the file is read: `-O` and `-o` then stand, `-M` can be changed by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// An option as the `O` line has it, without the `O`.
    Option(Vec<u8>),
    /// A macro: name and value together, as the `D` line has it.
    Macro(Vec<u8>),
}

/// Makes a machine ready to read: predefined macros, classes, mailers, maps.
#[expect(clippy::too_many_lines, reason = "one step a line, in an order that must be seen whole")]
pub fn prepare(machine: &mut Machine<'_>, facts: &Facts) {
    let host = facts.host.as_slice();
    let dot = host.iter().position(|octet| *octet == b'.').unwrap_or(host.len());
    let (short, domain) = host.split_at_checked(dot).unwrap_or((host, b""));
    let domain = domain.get(1..).unwrap_or_default();
    let macros = &mut machine.config.macros;
    for (name, value) in [
        (b'n', b"MAILER-DAEMON".as_slice()),
        (b'v', &facts.version),
        (b'w', host),
        (b'j', host),
        (b'k', host),
        (b'_', &facts.caller),
        (b'p', &facts.process),
        (b'a', &facts.dates[1]),
        (b'b', &facts.dates[1]),
        (b'd', &facts.dates[0]),
        (b't', &facts.dates[2]),
    ] {
        macros.set(name, Some(value.to_vec()));
    }
    if !domain.is_empty() {
        macros.set(b'm', Some(domain.to_vec()));
    }
    macros.set_named(b"opMode", &facts.mode);
    macros.set_named(b"load_avg", &facts.load_average);
    macros.set_named(b"deliveryMode", if facts.mode == b"t" { b"i" } else { b"b" });
    let config = &mut machine.config;
    let classes = Arc::make_mut(&mut config.classes);
    classes.add(b'w', host);
    classes.add(b'w', short);
    for alias in &facts.aliases {
        classes.add(b'w', alias);
    }
    classes.add(b'k', host);
    if !domain.is_empty() {
        classes.add(b'm', domain);
    }
    for (class, list) in [
        (b"s".as_slice(), b"rfc822".as_slice()),
        (b"n", b"multipart/signed"),
        (b"e", b"7bit 8bit binary"),
        (b"checkMIMETextHeaders", b"content-description"),
        (
            b"checkMIMEHeaders",
            b"content-disposition content-id content-transfer-encoding content-type mime-version",
        ),
        (
            b"checkMIMEFieldHeaders",
            b"content-disposition content-id content-transfer-encoding content-type mime-version",
        ),
        (b"persistentMacros", b"r s _ {if_addr} {daemon_flags}"),
    ] {
        if let Some(id) = config.macros.id(class) {
            for word in words(list) {
                classes.add(id, word);
            }
        }
    }
    for line in [
        b"prog, P=/bin/sh, F=lsouDq9, T=X-Unix/X-Unix/X-Unix, A=sh -c \x81u".as_slice(),
        b"*file*, P=[FILE], F=lsDFMPEouq9, T=X-Unix/X-Unix/X-Unix, A=FILE \x81u",
        b"*include*, P=/dev/null, F=su, A=INCLUDE \x81u",
    ] {
        let _none_is_odd = crate::mailer::read(line, config, machine.world, &mut Vec::new());
    }
}

/// Reads a whole file. Everything that is wrong is said in sendmail's words; reading goes on.
pub fn read(machine: &mut Machine<'_>, name: &[u8], file: &[u8]) {
    let mut reader = Reader { set: Some(0), warned: false };
    for line in Lines::new(file) {
        if machine.is_over {
            break;
        }
        machine.place = Some((name.to_vec(), line.number));
        reader.line(machine, &line.text, line.number);
    }
    machine.place = None;
}

/// What is done when file and command line are read: the maps that are always there, and the version's word.
pub fn finish(machine: &mut Machine<'_>) {
    let alias = machine.config.options.alias_files.clone();
    add_map(machine, b"host", b"host", &[(b'a', b".")], b"");
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
fn set_tables(machine: &mut Machine<'_>) {
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

/// Applies one setting of the command line.
pub fn apply(machine: &mut Machine<'_>, setting: &Setting) {
    let mut complaints = Vec::new();
    match setting {
        Setting::Option(text) => option(machine, text, true),
        Setting::Macro(text) => {
            let name = machine.config.macros.read_name(text);
            complaints.extend(name.complaints);
            if name.id != 0 {
                let value = text.get(name.taken..).unwrap_or_default();
                machine.config.macros.set(name.id, Some(value.to_vec()));
            }
        }
    }
    say_all(machine, complaints);
}

fn say_all(machine: &mut Machine<'_>, complaints: Vec<Vec<u8>>) {
    for complaint in complaints {
        machine.system_error(&complaint, None);
    }
}

fn option(machine: &mut Machine<'_>, text: &[u8], is_from_command_line: bool) {
    let mut complaints = Vec::new();
    match machine.config.options.set(text, is_from_command_line, &mut complaints) {
        Set::Operators(operators) => machine.config.tables = Tables::new(&operators),
        Set::User(option, value) => named_user(machine, option, &value),
        Set::Done | Set::Nothing => {}
    }
    for complaint in complaints {
        match complaint {
            Complaint::System(text) => machine.system_error(&text, None),
            Complaint::User(text) => machine.user_error(&text),
            Complaint::Plain(text) => machine.out.extend_from_slice(&text),
            Complaint::Fatal(text) => {
                machine.system_error(&text, None);
                machine.status = exit::USAGE;
                machine.is_over = true;
            }
        }
    }
}

/// Options that name a user: it must be there.
fn named_user(machine: &mut Machine<'_>, option: &str, value: &[u8]) {
    let name = value.split(|octet| matches!(octet, b':' | b'.' | b'/')).next().unwrap_or_default();
    let is_number = name.first().is_some_and(u8::is_ascii_digit);
    if name.is_empty() || is_number || machine.world.user(name).is_some() {
        return;
    }
    let text = [b"readcf: option ", option.as_bytes(), b": unknown user ", name].concat();
    machine.system_error(&text, None);
}

/// The state between lines: the rule set that rules go to.
struct Reader {
    set: Option<usize>,
    warned: bool,
}

impl Reader {
    fn line(&mut self, machine: &mut Machine<'_>, text: &[u8], number_of_line: u32) {
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
        if !self.warned {
            self.warned = true;
            set_tables(machine);
            machine.config.options.has_operators = true;
        }
        let Some(tab) = rest.iter().position(|octet| *octet == b'\t') else {
            complaints.push([b"invalid rewrite line \"R", rest, b"\" (tab expected)"].concat());
            return;
        };
        let (left, right) = rest.split_at_checked(tab).unwrap_or((rest, b""));
        let skip = right.iter().take_while(|octet| **octet == b'\t').count();
        let right = right.get(skip..).unwrap_or_default();
        let right = right.split(|octet| *octet == b'\t').next().unwrap_or_default();
        let left = side(machine, left);
        let mut wildcards = 0_usize;
        if left.is_empty() {
            complaints.push(b"R line: null LHS".to_vec());
        }
        for token in &left {
            let botch: &[u8] = match token.lead {
                meta::ANY | meta::SOME | meta::ONE | meta::CLASS | meta::NOT_CLASS => {
                    wildcards = wildcards.saturating_add(1);
                    continue;
                }
                meta::POSITION => b"$1-$9",
                meta::USER => b"$:",
                meta::CALL => b"$>",
                meta::IF => b"$?",
                meta::FI => b"$.",
                meta::HOST_BEGIN => b"$[",
                meta::HOST_END => b"$]",
                meta::LOOKUP_BEGIN => b"$(",
                meta::LOOKUP_END => b"$)",
                _ => continue,
            };
            complaints.push([b"Inappropriate use of ", botch, b" on LHS"].concat());
        }
        let mut left = left;
        if wildcards > WILDCARDS_MAX {
            complaints.push(b"R line: too many wildcards".to_vec());
            left = Vec::new();
        }
        let right = side(machine, right);
        if right.is_empty() {
            complaints.push(b"R line: null RHS".to_vec());
        }
        check_right(machine, &right, wildcards, complaints);
        let Some(set) = self.set else { return };
        let rule = compile(left, right, line, &machine.config.arena);
        Arc::make_mut(&mut machine.config.sets).push(set, rule);
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

/// One side of a rule, macros put in, as tokens.
fn side(machine: &mut Machine<'_>, text: &[u8]) -> Vec<Token> {
    let text = machine.expand(text);
    let mut tokens = Vec::new();
    let tables = &machine.config.tables;
    let table = if machine.config.level >= 9 { &tables.no_comments } else { &tables.inside };
    let scan = Scan { table, delimiter: b'\t', lenient: true };
    scan.run(&text, &mut machine.config.arena, &mut tokens, &mut |_| {});
    tokens
}

fn check_right(
    machine: &Machine<'_>,
    right: &[Token],
    wildcards: usize,
    complaints: &mut Vec<Vec<u8>>,
) {
    let mut in_map = false;
    let mut end = 0;
    let mut arguments = 0_usize;
    for token in right {
        let botch: &[u8] = match token.lead {
            meta::POSITION => {
                let digit = machine.config.arena.text(*token).get(1).copied().unwrap_or(b'0');
                let place = usize::from(digit.wrapping_sub(b'0'));
                if place == 0 || place > wildcards {
                    complaints
                        .push([b"replacement $".as_slice(), &[digit], b" out of bounds"].concat());
                }
                continue;
            }
            meta::ANY => b"$*",
            meta::SOME => b"$+",
            meta::ONE => b"$-",
            meta::CLASS => b"$=",
            meta::NOT_CLASS => b"$~",
            meta::HOST if in_map => {
                arguments = arguments.saturating_add(1);
                if arguments >= crate::rules::LOOKUP_ARGUMENTS_MAX {
                    complaints.push(b"too many arguments for map lookup".to_vec());
                }
                continue;
            }
            meta::HOST_BEGIN | meta::LOOKUP_BEGIN => {
                end =
                    if token.lead == meta::HOST_BEGIN { meta::HOST_END } else { meta::LOOKUP_END };
                if in_map {
                    complaints.push(b"cannot nest map lookups".to_vec());
                }
                in_map = true;
                arguments = 0;
                continue;
            }
            meta::HOST_END | meta::LOOKUP_END if token.lead == end => {
                in_map = false;
                end = 0;
                continue;
            }
            _ => continue,
        };
        complaints.push([b"Inappropriate use of ", botch, b" on RHS"].concat());
    }
    if in_map {
        complaints.push(b"missing map closing token".to_vec());
    }
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

fn class_file(machine: &mut Machine<'_>, class: u8, text: &[u8]) {
    let mut text = trim_start(text);
    let mut is_optional = false;
    if text.starts_with(b"-o") {
        is_optional = true;
        text = trim_start(split_word(text).1);
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
    let name = crate::read::chars::trim_end(name).to_vec();
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
