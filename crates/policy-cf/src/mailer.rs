//! M lines: mailers (manual, section 5.4), and how `=M` shows them.

use crate::model::{Config, MAILERS_MAX};
use crate::read::chars::{is_space, trim_start};
use crate::read::values::{munch, number};
use crate::token::meta;
use crate::world::{Unavailable, World};
use alloc::vec::Vec;

/// Arguments of one mailer (sendmail's MAXPV).
const ARGUMENTS_MAX: usize = 256;
/// Recipients a transaction where `r=` does not say it.
const RECIPIENTS_DEFAULT: i64 = 100;
/// The longest line where F=L asks for a limit and `L=` names none.
const LINE_LIMIT: i64 = 990;

/// One mailer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mailer {
    /// Its name.
    pub name: Vec<u8>,
    /// `P=`: the program, `[IPC]`, or `[FILE]`.
    pub path: Vec<u8>,
    /// `F=`: a bit a flag character.
    pub flags: Flags,
    /// `S=`: rule sets for senders, envelope and header.
    pub sender_sets: (i64, i64),
    /// `R=`: rule sets for recipients, envelope and header.
    pub recipient_sets: (i64, i64),
    /// `A=`: the arguments, macros unexpanded.
    pub arguments: Vec<Vec<u8>>,
    /// `M=`: the largest message, octets; 0: any.
    pub size_max: i64,
    /// `m=`: messages a connection.
    pub messages_max: i64,
    /// `r=`: recipients a transaction.
    pub recipients_max: i64,
    /// `L=`: the longest line; 0: any.
    pub line_max: i64,
    /// `E=`: the end of a line.
    pub line_end: Vec<u8>,
    /// `U=`: user and group.
    pub user: Option<(i64, i64)>,
    /// `D=`: folders to run in.
    pub folders: Option<Vec<u8>>,
    /// `C=`: default character set.
    pub charset: Option<Vec<u8>>,
    /// `T=`: MTA, address and diagnostic types.
    pub types: [Option<Vec<u8>>; 3],
    /// `/=`: new root.
    pub root: Option<Vec<u8>>,
    /// `N=`: nice value.
    pub nice: i64,
    /// `W=`: time to wait for it.
    pub wait: Option<Vec<u8>>,
    /// `Q=`: queue group.
    pub queue_group: Option<Vec<u8>>,
}

impl Mailer {
    /// Whether it works in runs of the queue only: with `F=%`, and with `F=e` where expensive mail is held (HoldExpensive).
    #[must_use]
    pub fn waits_for_run(&self, holds_expensive: bool) -> bool {
        self.flags.has(b'%') || self.flags.has(b'e') && holds_expensive
    }
}

/// A set of flag characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags(u128);

impl Flags {
    /// Whether a flag is in.
    #[must_use]
    pub fn has(self, flag: u8) -> bool {
        flag < 128 && self.0 & 1_u128.wrapping_shl(u32::from(flag)) != 0
    }

    /// Takes a flag out.
    pub fn clear(&mut self, flag: u8) {
        if flag < 128 {
            self.0 &= !1_u128.wrapping_shl(u32::from(flag));
        }
    }

    /// Puts a flag in.
    pub fn set(&mut self, flag: u8) {
        if flag < 128 {
            self.0 |= 1_u128.wrapping_shl(u32::from(flag));
        }
    }
}

/// Reads an M line behind the `M` and enters the mailer; complaints are sendmail's. Gives a warning that is no error.
#[expect(clippy::too_many_lines, reason = "one arm a field, as the table in the manual")]
pub fn read(
    line: &[u8],
    config: &mut Config,
    world: &mut dyn World,
    complaints: &mut Vec<Vec<u8>>,
) -> Option<Vec<u8>> {
    let length = line.iter().take_while(|octet| **octet != b',' && !is_space(**octet)).count();
    let (name, mut rest) = line.split_at_checked(length).unwrap_or((line, b""));
    if name.is_empty() {
        complaints.push(b"name required for mailer".to_vec());
        return None;
    }
    let mut mailer = Mailer { name: name.to_vec(), recipients_max: 0, ..Mailer::default() };
    let mut line_end = None;
    loop {
        // Fields stand apart by commas and blanks.
        let skip = rest.iter().take_while(|octet| **octet == b',' || is_space(**octet)).count();
        rest = rest.get(skip..).unwrap_or_default();
        let Some((field, behind)) = rest.split_first() else { break };
        let skip = behind.iter().take_while(|octet| !matches!(**octet, b'=' | b','));
        let skip = skip.count();
        let behind = behind.get(skip..).unwrap_or_default();
        let Some((b'=', value)) = behind.split_first() else {
            complaints.push([b"mailer ", name, b": `=' expected".as_slice()].concat());
            return None;
        };
        let value = trim_start(value);
        let (text, behind) = munch(value, b',');
        rest = behind;
        let count = || number(&text);
        match field {
            b'P' => {
                if text.is_empty() {
                    complaints.push([b"mailer ", name, b": empty path name".as_slice()].concat());
                }
                mailer.path = text;
            }
            b'F' => {
                for flag in text.iter().filter(|octet| !is_space(**octet)) {
                    mailer.flags.set(*flag);
                }
            }
            b'S' => mailer.sender_sets = rule_set_pair(&text, config, complaints),
            b'R' => mailer.recipient_sets = rule_set_pair(&text, config, complaints),
            b'E' => {
                if text.is_empty() {
                    complaints
                        .push([b"mailer ", name, b": null end-of-line string".as_slice()].concat());
                }
                line_end = Some(text);
            }
            b'A' => {
                if value.is_empty() {
                    complaints
                        .push([b"mailer ", name, b": null argument vector".as_slice()].concat());
                }
                mailer.arguments = arguments(&text);
            }
            b'M' => mailer.size_max = count(),
            b'm' => mailer.messages_max = count(),
            b'r' => mailer.recipients_max = count(),
            b'L' => mailer.line_max = count().max(0),
            b'N' => mailer.nice = count(),
            b'D' => mailer.folders = Some(text),
            b'C' => mailer.charset = Some(text),
            b'W' => mailer.wait = Some(text),
            b'/' => mailer.root = Some(text),
            b'Q' => {
                let is_known = text.eq_ignore_ascii_case(b"mqueue")
                    || config.queue_groups.iter().any(|line| {
                        crate::read::equates::split(line).0.eq_ignore_ascii_case(&text)
                    });
                if !is_known {
                    complaints.push([b"mailer ", name, b": unknown queue ", &*text].concat());
                }
                mailer.queue_group = Some(text);
            }
            b'T' => mailer.types = types(&text),
            b'U' => mailer.user = Some(user(&text, world, complaints)),
            _ => {
                complaints
                    .push([b"M", name, b": unknown mailer equate ", &[*field], b"="].concat());
            }
        }
    }
    finish(mailer, line_end, config, complaints)
}

#[expect(clippy::too_many_lines, reason = "one step a line, in an order that must be seen whole")]
fn finish(
    mut mailer: Mailer,
    line_end: Option<Vec<u8>>,
    config: &mut Config,
    complaints: &mut Vec<Vec<u8>>,
) -> Option<Vec<u8>> {
    let name = mailer.name.clone();
    let complaint = |text: &[u8]| [b"M", name.as_slice(), text].concat();
    if mailer.arguments.is_empty() {
        complaints.push(complaint(b": A= argument required"));
        return None;
    }
    if mailer.path.is_empty() {
        complaints.push(complaint(b": P= argument required"));
        return None;
    }
    if config.mailers.len() >= MAILERS_MAX {
        complaints.push(b"too many mailers defined (25 max)".to_vec());
        return None;
    }
    if mailer.recipients_max <= 0 {
        mailer.recipients_max = RECIPIENTS_DEFAULT;
    }
    if mailer.flags.has(b'L') {
        if mailer.line_max == 0 {
            mailer.line_max = LINE_LIMIT;
        }
        if config.level < 2 {
            mailer.flags.set(b'7');
        }
    }
    let first = mailer.arguments.first().map(Vec::as_slice).unwrap_or_default();
    if mailer.path == b"[TCP]" {
        complaints.push(complaint(b": P=[TCP] must be replaced by P=[IPC]"));
        mailer.path = b"[IPC]".to_vec();
    }
    let is_odd = mailer.path == b"[IPC]" && first != b"TCP" && first != b"FILE";
    let warning =
        is_odd.then(|| complaint(b": Warning: first argument in [IPC] mailer must be TCP or FILE"));
    if mailer.path == b"[IPC]" {
        if mailer.arguments.get(1).is_none_or(Vec::is_empty) {
            complaints.push(complaint(b": too few parameters for [IPC] mailer"));
        }
        let diagnostics: &[u8] = if first == b"FILE" { b"x-unix" } else { b"smtp" };
        let defaults: [&[u8]; 3] = [b"dns", b"rfc822", diagnostics];
        for (kind, default) in mailer.types.iter_mut().zip(defaults) {
            kind.get_or_insert_with(|| default.to_vec());
        }
    } else if mailer.path == b"[FILE]" {
        if mailer.arguments.len() != 2 {
            let how: &[u8] = if mailer.arguments.len() < 2 { b"few" } else { b"many" };
            complaints
                .push([&complaint(b": too "), how, b" parameters for [FILE] mailer"].concat());
        }
        if first != b"FILE" {
            complaints.push(complaint(b": first argument in [FILE] mailer must be FILE"));
        }
    }
    mailer.line_end = line_end.unwrap_or_else(|| {
        let has_user = mailer
            .arguments
            .iter()
            .any(|argument| argument.windows(2).any(|pair| pair == [meta::MACRO, b'u']));
        if has_user { b"\n".to_vec() } else { b"\r\n".to_vec() }
    });
    match config.mailer(&mailer.name) {
        Some(index) => {
            if let Some(place) = config.mailers.get_mut(index) {
                *place = mailer;
            }
        }
        None => config.mailers.push(mailer),
    }
    warning
}

fn rule_set_pair(text: &[u8], config: &mut Config, complaints: &mut Vec<Vec<u8>>) -> (i64, i64) {
    let mut one = |text: &[u8]| {
        let found = alloc::sync::Arc::make_mut(&mut config.sets).enter(text);
        complaints.extend(found.complaint);
        found.number.and_then(|number| i64::try_from(number).ok()).unwrap_or(-1)
    };
    let Some(slash) = text.iter().position(|octet| *octet == b'/') else {
        let both = one(text);
        return (both, both);
    };
    let (first, second) = text.split_at_checked(slash).unwrap_or((text, b""));
    (one(first), one(second.get(1..).unwrap_or_default()))
}

fn arguments(value: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = trim_start(value);
    while !rest.is_empty() && out.len() < ARGUMENTS_MAX {
        // An argument ends at a blank; quotes and backslashes as elsewhere in the file.
        let (word, behind) = munch(rest, b' ');
        out.push(word);
        rest = trim_start(behind);
    }
    out
}

fn types(text: &[u8]) -> [Option<Vec<u8>>; 3] {
    let mut parts = text
        .split(|octet| *octet == b'/')
        .map(|part| if part.is_empty() { None } else { Some(part.to_vec()) });
    [parts.next().flatten(), parts.next().flatten(), parts.next().flatten()]
}

fn user(text: &[u8], world: &mut dyn World, complaints: &mut Vec<Vec<u8>>) -> (i64, i64) {
    let mut parts = text.splitn(2, |octet| matches!(octet, b':' | b'/'));
    let name = parts.next().unwrap_or_default();
    let group = parts.next();
    let (mut uid, mut gid) = (-1, -1);
    if name.first().is_some_and(u8::is_ascii_digit) {
        uid = number(name);
    } else {
        match world.user(name) {
            Ok(Some(entry)) => {
                uid = i64::from(entry.uid);
                gid = i64::from(entry.gid);
            }
            Ok(None) | Err(Unavailable) => {
                complaints.push([b"readcf: mailer U= flag: unknown user ", name].concat());
            }
        }
    }
    if let Some(group) = group {
        if group.first().is_some_and(u8::is_ascii_digit) {
            gid = number(group);
        } else {
            match world.group(group) {
                Some(number) => gid = i64::from(number),
                None => {
                    complaints.push([b"readcf: mailer U= flag: unknown group ", group].concat());
                }
            }
        }
    }
    (uid, gid)
}

/// Writes one line of `=M`.
pub fn show(number: usize, mailer: &Mailer, config: &Config, out: &mut Vec<u8>) {
    let set = |number: i64| match usize::try_from(number) {
        Ok(number) => config.sets.name(number),
        Err(_) => b"?".to_vec(),
    };
    let pair = |sets: (i64, i64)| [set(sets.0).as_slice(), b"/", set(sets.1).as_slice()].concat();
    let (uid, gid) = mailer.user.unwrap_or((-1, -1));
    out.extend_from_slice(alloc::format!("mailer {number} (").as_bytes());
    out.extend_from_slice(&mailer.name);
    out.extend_from_slice(b"): P=");
    out.extend_from_slice(&mailer.path);
    out.extend_from_slice(b" S=");
    out.extend_from_slice(&pair(mailer.sender_sets));
    out.extend_from_slice(b" R=");
    out.extend_from_slice(&pair(mailer.recipient_sets));
    out.extend_from_slice(alloc::format!(" M={} U={uid}:{gid} F=", mailer.size_max).as_bytes());
    out.extend((0..128_u8).filter(|flag| mailer.flags.has(*flag)));
    out.extend_from_slice(alloc::format!(" L={} E=", mailer.line_max).as_bytes());
    let name = |id: u8, out: &mut Vec<u8>| config.macros.show_name(id, out);
    crate::token::show(&mailer.line_end, &name, out);
    if let Some(charset) = &mailer.charset {
        out.extend_from_slice(b" C=");
        out.extend_from_slice(charset);
    }
    out.extend_from_slice(b" T=");
    for (index, kind) in mailer.types.iter().enumerate() {
        if index > 0 {
            out.push(b'/');
        }
        out.extend_from_slice(kind.as_deref().unwrap_or(b"<undefined>"));
    }
    out.extend_from_slice(alloc::format!(" r={} A=", mailer.recipients_max).as_bytes());
    for (index, argument) in mailer.arguments.iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        crate::token::show(argument, &name, out);
    }
    out.push(b'\n');
}
