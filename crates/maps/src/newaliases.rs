//! `newaliases` (and `sendmail -bi`): makes the maps of the alias files again (newaliases(1)).
//!
//! Entries go into the map as they are written; what they mean is seen when mail is sent. `@` stands in
//! a map that is whole.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::bdb::Kind;
use crate::bdb::build::{Build, IfThere, PAGE_BYTES};
use crate::cf_options::{CfOptions, DEFAULT_CF};
use crate::makemap::text_of;
use crate::replace::{replace, unique_id};
use crate::safe_file::error_text;
use crate::syslog::{ALERT, CRITICAL, INFO, NOTICE, send};
use crate::table::{path_of, with_db};
use crate::terminal::{Terminal, exit};

/// How much of a line sendmail repeats in a complaint.
const QUOTED_BYTES_MAX: usize = 40;

/// Carries out `newaliases WORDS` (options of sendmail; `-bi` is understood); gives the exit code.
pub fn run(_name: &OsStr, words: &[OsString], terminal: &mut Terminal<'_>) -> u8 {
    let (cf, set) = options(words);
    let mut options = match CfOptions::read(&cf) {
        Ok(options) => options,
        Err(why) => {
            terminal.complain(&[
                cf.as_os_str().as_bytes(),
                b": line 0: cannot open: ",
                why.as_bytes(),
                b"\n",
            ]);
            return exit::NOINPUT;
        }
    };
    let is_overridden = set
        .iter()
        .any(|option| option.get(..9).is_some_and(|name| name.eq_ignore_ascii_case(b"AliasFile")));
    if is_overridden {
        options.alias_files.clear();
    }
    for option in &set {
        options.set(option);
    }
    if !may_rebuild(&options) {
        let uid = sys::user::real_uid().to_string();
        send(ALERT, &[b"user ", uid.as_bytes(), b" attempted to rebuild the alias map"].concat());
        terminal.say(&[b"Permission denied (real uid not trusted)\n"]);
        return exit::USAGE;
    }
    let mut code = exit::OK;
    for (class, file) in options.aliases() {
        let kind = match &*class {
            b"hash" | b"implicit" => Kind::Hash,
            b"btree" => Kind::Btree,
            _ => continue,
        };
        code = code.max(rebuild(&file, kind, options.trusted_user, terminal));
    }
    code
}

/// The configuration and the options that sendmail's words set.
fn options(words: &[OsString]) -> (PathBuf, Vec<Vec<u8>>) {
    let (mut cf, mut set) = (PathBuf::from(DEFAULT_CF), Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (flag, value) = match word.as_bytes() {
            [b'-', flag @ (b'C' | b'O' | b'o'), value @ ..] => (*flag, value),
            _ => continue,
        };
        let value = if value.is_empty() {
            words.next().map_or(&[][..], |next| next.as_bytes())
        } else {
            value
        };
        match (flag, value) {
            (b'C', _) => cf = path_of(value),
            (b'o', [b'A', file @ ..]) => set.push([b"AliasFile=", file].concat()),
            (b'O', _) => set.push(value.to_vec()),
            _ => {}
        }
    }
    (cf, set)
}

fn may_rebuild(options: &CfOptions) -> bool {
    let uid = sys::user::real_uid();
    let name = sys::user::current_name();
    uid == 0 || options.trusted_user == Some(uid) || options.trusted_names.contains(&name)
}

/// Makes the map of one file again.
fn rebuild(file: &[u8], kind: Kind, owner: Option<u32>, terminal: &mut Terminal<'_>) -> u8 {
    let text = match std::fs::read(path_of(file)) {
        Ok(text) => text,
        Err(error) => {
            terminal.say(&[
                b"newaliases: cannot open ",
                file,
                b": ",
                error_text(&error).as_bytes(),
                b"\n",
            ]);
            return exit::OK;
        }
    };
    send(NOTICE, &[b"alias database ", file, b" rebuilt by ", &sys::user::current_name()].concat());
    let mut maker = Maker {
        file,
        build: Build::new(kind, PAGE_BYTES, false),
        code: exit::OK,
        count: 0,
        longest: 0,
        total: 0,
    };
    maker.read(&text, terminal);
    let Maker { mut build, code, count, longest, total, .. } = maker;
    build.put(b"@\0", b"@\0", IfThere::Replace);
    let made = build.into_bytes(unique_id()).map_err(|error| text_of(&error));
    let path = with_db(&path_of(file));
    if let Err(why) =
        made.and_then(|octets| replace(&path, &octets, owner).map_err(|error| error_text(&error)))
    {
        let path = path.as_os_str().as_bytes();
        terminal.say(&[b"newaliases: cannot create ", path, b": ", why.as_bytes(), b"\n"]);
        return exit::CANTCREAT;
    }
    let summary = format!(": {count} aliases, longest {longest} bytes, {total} bytes total");
    terminal.say(&[file, summary.as_bytes(), b"\n"]);
    send(INFO, &[file, summary.as_bytes()].concat());
    code
}

struct Maker<'a> {
    file: &'a [u8],
    build: Build,
    code: u8,
    count: usize,
    longest: usize,
    total: usize,
}

impl Maker<'_> {
    fn read(&mut self, text: &[u8], terminal: &mut Terminal<'_>) {
        let mut lines = Lines { rest: text, number: 0 };
        let mut is_skipping = false;
        while let Some(line) = lines.next() {
            match line.first() {
                None | Some(b'#') => is_skipping = false,
                Some(b' ' | b'\t') => {
                    if !is_skipping {
                        self.complain(
                            lines.number,
                            &[b"Non-continuation line starts with space"],
                            terminal,
                        );
                    }
                    is_skipping = true;
                }
                Some(_) => {
                    is_skipping = false;
                    self.entry(&line, &mut lines, terminal);
                }
            }
        }
    }

    /// One entry: `line` and those that go on with it.
    fn entry(&mut self, line: &[u8], lines: &mut Lines<'_>, terminal: &mut Terminal<'_>) {
        let Some(colon) = line.iter().position(|&octet| octet == b':') else {
            self.complain(lines.number, &[b"missing colon"], terminal);
            return;
        };
        let (name, rest) = line.split_at(colon);
        let mut value = rest.strip_prefix(b":").unwrap_or_default().trim_ascii_start().to_vec();
        let mut whole = line.to_vec();
        while matches!(lines.rest, [b' ' | b'\t', ..]) {
            let more = lines.next().unwrap_or_default();
            value.extend_from_slice(&more);
            whole.extend_from_slice(&more);
        }
        let Some(name) = local_name(name.trim_ascii()) else {
            let quoted = whole.get(..QUOTED_BYTES_MAX).unwrap_or(&whole);
            self.complain(lines.number, &[quoted, b"... illegal alias name"], terminal);
            return;
        };
        if value.trim_ascii().is_empty() {
            let quoted = whole.get(..QUOTED_BYTES_MAX).unwrap_or(&whole);
            self.complain(lines.number, &[quoted, b"... missing value for alias"], terminal);
            return;
        }
        let key = [&*name, b"\0"].concat();
        if self.build.value(&key).is_some() {
            terminal.say(&[b"Warning: duplicate alias name ", &name, b"\n"]);
        }
        self.count = self.count.saturating_add(1);
        self.longest = self.longest.max(value.len());
        self.total = self.total.saturating_add(name.len()).saturating_add(value.len());
        value.push(0);
        self.build.put(&key, &value, IfThere::Replace);
    }

    fn complain(&mut self, line: u32, what: &[&[u8]], terminal: &mut Terminal<'_>) {
        let text =
            [self.file, b": line ", line.to_string().as_bytes(), b": ", &what.concat()].concat();
        terminal.say(&[&text, b"\n"]);
        send(CRITICAL, &[b"NOQUEUE: SYSERR(", &*sys::user::current_name(), b"): ", &text].concat());
        self.code = exit::SOFTWARE;
    }
}

/// The key of a name: lower case, without quotes that nothing inside needs.
fn local_name(name: &[u8]) -> Option<Vec<u8>> {
    let inside = name.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let name = match inside {
        Some(inside)
            if !inside.is_empty()
                && !inside
                    .iter()
                    .any(|octet| octet.is_ascii_whitespace() || matches!(octet, b'"' | b'\\')) =>
        {
            inside
        }
        _ => name,
    };
    (!name.is_empty()).then(|| name.to_ascii_lowercase())
}

/// The lines of a file, up to a NUL, joined where one ends in a backslash.
struct Lines<'a> {
    rest: &'a [u8],
    number: u32,
}

impl Lines<'_> {
    fn next(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        loop {
            if self.rest.is_empty() {
                return (!line.is_empty()).then_some(line);
            }
            let end = memchr::memchr(b'\n', self.rest);
            let (now, behind) = self.rest.split_at(end.unwrap_or(self.rest.len()));
            self.rest = behind.strip_prefix(b"\n").unwrap_or_default();
            self.number = self.number.saturating_add(1);
            line.extend_from_slice(now.split(|&octet| octet == 0).next().unwrap_or_default());
            if line.last() != Some(&b'\\') {
                return Some(line);
            }
            line.pop();
        }
    }
}
