//! Address test mode (`sendmail -bt`): one command a line, answers as sendmail words them (manual, section 5.1.6).

use crate::load::add_words;
use crate::machine::{Machine, ScanTable, exit};
use crate::read::chars::{split_word, trim_end, trim_start};
use crate::read::lines::translate;
use crate::resolve::Side;
use crate::token::show;
use alloc::vec::Vec;

/// What is said at the start.
pub const GREETING: &[u8] =
    b"ADDRESS TEST MODE (ruleset 3 NOT automatically invoked)\nEnter <ruleset> <address>\n";

/// The longest command line.
pub const COMMAND_OCTETS_MAX: usize = 2047;

/// One session of address test mode.
#[derive(Debug, Clone, Copy, Default)]
pub struct TestMode {
    side: Side,
}

/// Whether the session goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Session {
    /// The next command.
    GoesOn,
    /// `/quit`.
    Ends,
}

impl TestMode {
    /// Begins: sets what test mode sets.
    pub fn begin(machine: &mut Machine<'_>) -> Self {
        machine.config.macros.set_named(b"addr_type", b"e r");
        machine.out.extend_from_slice(GREETING);
        Self::default()
    }

    /// Carries out one line; what it shows is in `machine.out`.
    pub fn command(&mut self, machine: &mut Machine<'_>, line: &[u8]) -> Session {
        let end = line.iter().position(|octet| *octet == 0 || *octet == b'\n');
        let line = line.get(..end.unwrap_or(line.len())).unwrap_or(line);
        machine.replies.clear();
        machine.about.clear();
        match line.first() {
            None | Some(b'#') => {}
            Some(b'?') => help(machine),
            Some(b'.') => define(machine, line),
            Some(b'=') => list(machine, line),
            Some(b'-') => match line.get(1) {
                Some(b'd') => machine.debug.set(line.get(2..).unwrap_or_default()),
                None => machine.say(&[b"Usage: -d{debug arguments}"]),
                Some(_) => machine.say(&[b"Unknown \"-\" command ", line]),
            },
            Some(b'$') => value(machine, line),
            Some(b'/') => return self.slash(machine, line),
            Some(_) => rule_sets(machine, line),
        }
        machine.about.clear();
        Session::GoesOn
    }

    fn slash(&mut self, machine: &mut Machine<'_>, line: &[u8]) -> Session {
        let line = trim_end(line);
        let end = line.iter().position(|octet| matches!(octet, b' ' | b'\t'));
        let (command, rest) =
            line.split_at_checked(end.unwrap_or(line.len())).unwrap_or((line, b""));
        let rest = trim_start(rest);
        match command.get(1..).unwrap_or_default().to_ascii_lowercase().as_slice() {
            b"" => machine.say(&[b"Usage: /[canon|map|mx|parse|try|tryflags]"]),
            b"quit" => return Session::Ends,
            b"mx" => exchangers(machine, rest),
            b"canon" => canon(machine, rest),
            b"map" => map(machine, rest),
            b"try" => self.try_mailer(machine, rest),
            b"tryflags" => self.flags(machine, rest),
            b"parse" => self.parse(machine, rest),
            _ => machine.say(&[b"Unknown \"/\" command ", command]),
        }
        Session::GoesOn
    }

    fn flags(&mut self, machine: &mut Machine<'_>, rest: &[u8]) {
        if rest.is_empty() {
            machine.say(&[b"Usage: /tryflags [Hh|Ee][Ss|Rr]"]);
            return;
        }
        for octet in rest {
            match octet {
                b'H' | b'h' => self.side.is_header = true,
                b'E' | b'e' => self.side.is_header = false,
                b'S' | b's' => self.side.is_sender = true,
                b'R' | b'r' => self.side.is_sender = false,
                _ => {}
            }
        }
        let kind = [
            if self.side.is_header { b'h' } else { b'e' },
            b' ',
            if self.side.is_sender { b's' } else { b'r' },
        ];
        machine.config.macros.set_named(b"addr_type", &kind);
    }

    fn names(self) -> (&'static [u8], &'static [u8]) {
        (
            if self.side.is_header { b"header" } else { b"envelope" },
            if self.side.is_sender { b"sender" } else { b"recipient" },
        )
    }

    fn try_mailer(self, machine: &mut Machine<'_>, rest: &[u8]) {
        let end = rest.iter().position(|octet| matches!(octet, b' ' | b'\t'));
        let (name, address) =
            rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or((rest, b""));
        let address = trim_start(address);
        if address.is_empty() {
            machine.say(&[b"Usage: /try mailer address"]);
            return;
        }
        let Some(mailer) = machine.config.mailer(name) else {
            machine.say(&[b"Unknown mailer ", name]);
            return;
        };
        let (place, role) = self.names();
        machine.say(&[b"Trying ", place, b" ", role, b" address ", address, b" for mailer ", name]);
        let (text, status) = machine.remote_name(address, mailer, self.side);
        let code = alloc::format!("{status}");
        machine.say(&[b"Rcode = ", code.as_bytes(), b", addr = ", &text]);
    }

    fn parse(self, machine: &mut Machine<'_>, rest: &[u8]) {
        if rest.is_empty() {
            machine.say(&[b"Usage: /parse address"]);
            return;
        }
        let template = crate::crack::crack(rest, &machine.config.options);
        machine.out.extend_from_slice(b"Cracked address = ");
        machine.show(&template);
        let (place, role) = self.names();
        machine.say(&[b"\nParsing ", place, b" ", role, b" address"]);
        let Some(resolved) = machine.parse(rest, self.side) else {
            machine.say(&[b"Cannot parse"]);
            return;
        };
        let user = resolved.user.as_slice();
        match resolved.host.as_deref().filter(|host| !host.is_empty()) {
            Some(host) => {
                let name = resolved.mailer_name.as_slice();
                machine.say(&[b"mailer ", name, b", host ", host, b", user ", user]);
            }
            None => machine.say(&[b"mailer ", &resolved.mailer_name, b", user ", user]),
        }
    }
}

/// `r1,r2 address, address`.
fn rule_sets(machine: &mut Machine<'_>, line: &[u8]) {
    let line = trim_start(line);
    let (sets, rest) = split_word(line);
    let Some((_, address)) = rest.split_first() else {
        machine.say(&[b"No address!"]);
        return;
    };
    if machine.is_invalid_address(address, true) {
        return;
    }
    let base = machine.config.arena.len();
    let has_comments = machine.config.level < 9;
    let table = if has_comments { ScanTable::Outside } else { ScanTable::NoComments };
    let mut rest = address;
    loop {
        let mut tokens = Vec::new();
        let (found, stopped) = machine.scan(rest, table, b',', &mut tokens);
        if found {
            run_sets(machine, sets, &mut tokens);
        }
        machine.config.arena.cut(base);
        rest = rest.get(stopped..).unwrap_or_default();
        match rest.split_first() {
            Some((_, behind)) => rest = behind,
            None => return,
        }
    }
}

fn run_sets(machine: &mut Machine<'_>, sets: &[u8], tokens: &mut Vec<crate::token::Token>) {
    let mut names = sets;
    while !names.is_empty() {
        let found = machine.config.sets.find(names);
        if let Some(complaint) = &found.complaint {
            machine.system_error(complaint, None);
        }
        let Some(set) = found.number else {
            machine.say(&[b"Undefined ruleset ", names]);
            return;
        };
        let status = machine.rewrite(tokens, set);
        if status != exit::OK {
            let text = alloc::format!(" ({set}) status {status}");
            machine.say(&[b"== Ruleset ", names, text.as_bytes()]);
        }
        let comma = names.iter().position(|octet| *octet == b',');
        names = match comma {
            Some(comma) => names.get(comma.saturating_add(1)..).unwrap_or_default(),
            None => b"",
        };
    }
}

fn help(machine: &mut Machine<'_>) {
    let Some(path) = machine.config.options.help_file.clone() else {
        machine.say(&[b"Sendmail 8 -- HELP not implemented"]);
        return;
    };
    match machine.world.read_file(&path, 1 << 20) {
        Ok(text) => {
            for line in text.split(|octet| *octet == b'\n') {
                if let Some(rest) = line.strip_prefix(b"-bt\t") {
                    let rest = machine.expand(rest);
                    machine.say(&[&rest]);
                }
            }
            machine.say(&[b"End of HELP info"]);
        }
        Err(_) => machine.say(&[b"HELP not implemented"]),
    }
}

fn define(machine: &mut Machine<'_>, line: &[u8]) {
    let kind = line.get(1).copied();
    match kind {
        None => {
            machine.say(&[b"Usage: .[DC]macro value(s)"]);
            return;
        }
        Some(b'C') if line.len() == 2 => return,
        Some(b'D' | b'C') => {}
        Some(_) => {
            machine.say(&[b"Unknown \".\" command ", line]);
            return;
        }
    }
    let rest = line.get(2..).unwrap_or_default();
    let Some((id, taken)) = read_name(machine, rest) else { return };
    let mut complaints = Vec::new();
    let rest = rest.get(taken..).unwrap_or_default();
    let value = translate(rest, &mut machine.config.macros, false, &mut complaints);
    for complaint in complaints {
        machine.system_error(&complaint, None);
    }
    if kind == Some(b'D') {
        machine.config.macros.set(id, Some(value));
    } else {
        let list = machine.expand(&value);
        add_words(machine, id, &list);
    }
}

fn read_name(machine: &mut Machine<'_>, text: &[u8]) -> Option<(u8, usize)> {
    let name = machine.config.macros.read_name(text);
    for complaint in &name.complaints {
        machine.system_error(complaint, None);
    }
    (name.id != 0).then_some((name.id, name.taken))
}

fn value(machine: &mut Machine<'_>, line: &[u8]) {
    if line.get(1) == Some(&b'=') {
        let Some((id, _)) = read_name(machine, line.get(2..).unwrap_or_default()) else { return };
        for word in machine.config.classes.listing(id) {
            machine.out.extend_from_slice(word);
            machine.out.push(b'\n');
        }
        return;
    }
    let Some((id, _)) = read_name(machine, line.get(1..).unwrap_or_default()) else { return };
    match machine.config.macros.value(id).map(<[u8]>::to_vec) {
        None => machine.say(&[b"Undefined"]),
        Some(text) => {
            machine.show(&text);
            machine.out.push(b'\n');
        }
    }
}

fn list(machine: &mut Machine<'_>, line: &[u8]) {
    match line.get(1) {
        Some(b'S') => rules(machine, line.get(2..).unwrap_or_default()),
        Some(b'M') => {
            let config = &machine.config;
            let mut out = Vec::new();
            for (number, mailer) in config.mailers.iter().enumerate() {
                crate::mailer::show(number, mailer, config, &mut out);
            }
            machine.out.extend_from_slice(&out);
        }
        None => machine.say(&[b"Usage: =Sruleset or =M"]),
        Some(_) => machine.say(&[b"Unknown \"=\" command ", line]),
    }
}

fn rules(machine: &mut Machine<'_>, name: &[u8]) {
    let found = machine.config.sets.find(name);
    if let Some(complaint) = &found.complaint {
        machine.system_error(complaint, None);
    }
    let Some(set) = found.number else {
        machine.say(&[b"Undefined ruleset ", name]);
        return;
    };
    let config = &machine.config;
    let mut out = Vec::new();
    let show_name = |id: u8, out: &mut Vec<u8>| config.macros.show_name(id, out);
    for rule in config.sets.of(set) {
        out.push(b'R');
        for token in &rule.left {
            show(config.arena.text(*token), &show_name, &mut out);
            out.push(b' ');
        }
        out.extend_from_slice(b"\t\t");
        for token in &rule.right {
            show(config.arena.text(*token), &show_name, &mut out);
            out.push(b' ');
        }
        out.push(b'\n');
    }
    machine.out.extend_from_slice(&out);
}

fn map(machine: &mut Machine<'_>, rest: &[u8]) {
    if rest.is_empty() {
        machine.say(&[b"Usage: /map mapname key"]);
        return;
    }
    let (name, key) = split_word(rest);
    let key = key.get(1..).unwrap_or_default();
    if key.is_empty() {
        machine.say(&[b"No key specified"]);
        return;
    }
    let folded = name.to_ascii_lowercase();
    if !machine.config.maps.contains_key(&folded) {
        machine.say(&[b"Map named \"", name, b"\" not found"]);
        return;
    }
    if !machine.open_map(&folded) {
        machine.say(&[b"Map named \"", name, b"\" not open"]);
        return;
    }
    for part in [b"map_lookup: ".as_slice(), name, b" (", key, b") "] {
        machine.out.extend_from_slice(part);
    }
    let mut status = exit::OK;
    let found = machine.class_look_up(&folded, key, &[], &mut status, 0);
    let code = alloc::format!(" ({status})");
    match found {
        None => machine.say(&[b"no match", code.as_bytes()]),
        Some(value) => machine.say(&[b"returns ", &value, code.as_bytes()]),
    }
}

fn exchangers(machine: &mut Machine<'_>, rest: &[u8]) {
    if rest.is_empty() {
        machine.say(&[b"Usage: /mx address"]);
        return;
    }
    let mut said = Vec::new();
    let (list, status) = machine.world.mail_exchangers(rest, &mut said);
    machine.pass_on(&said);
    if let [only] = list.as_slice()
        && only.name.is_empty()
    {
        machine.say(&[b"getmxrr(", rest, b") returns null MX (See RFC7505)"]);
        return;
    }
    let count = if list.is_empty() && status == exit::TEMPFAIL {
        b"-1".to_vec()
    } else {
        crate::rules::decimal(list.len())
    };
    machine.say(&[b"getmxrr(", rest, b") returns ", &count, b" value(s):"]);
    for exchanger in list {
        let end: &[u8] = if exchanger.name.first() == Some(&b'[') { b"" } else { b"." };
        machine.say(&[b"\t", &exchanger.name, end]);
    }
}

fn canon(machine: &mut Machine<'_>, rest: &[u8]) {
    if rest.is_empty() {
        machine.say(&[b"Usage: /canon address"]);
        return;
    }
    if rest.len() >= 256 {
        machine.say(&[b"Name too long"]);
        return;
    }
    let mut said = Vec::new();
    let name = machine.world.canonical_name(rest, &mut said).unwrap_or_else(|| rest.to_vec());
    machine.pass_on(&said);
    machine.say(&[b"getcanonname(", rest, b") returns ", &name]);
}

/// Debug levels from `-d` on the command line.
pub fn debug(machine: &mut Machine<'_>, levels: &[u8]) {
    machine.debug.set(levels);
}
