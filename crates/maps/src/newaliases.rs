//! `newaliases` (and `sendmail -bi`): makes the maps of the alias files again (newaliases(1)).
//!
//! Entries go into the map as they are written; what they mean is seen when mail is sent, or here if option `CheckAliases`
//! asks for it. `@` stands in a map that is whole.

use policy_cf::Machine;
use policy_cf::resolve::Side;

use crate::bdb::Kind;
use crate::bdb::build::{Build, IfThere, PAGE_BYTES};
use crate::configuration::{alias_files, trusted_user};
use crate::makemap::text_of;
use crate::replace::{replace, unique_id};
use crate::syslog::{ALERT, INFO, NOTICE, send};
use crate::table::{path_of, with_db};
use crate::terminal::exit;

/// How much of a line sendmail repeats in a complaint.
const QUOTED_BYTES_MAX: usize = 40;

/// Makes the maps of all alias files of a configuration again; what is said is in `machine`. Gives the exit status.
pub fn run(machine: &mut Machine<'_>) -> u8 {
    let owner = trusted_user(&machine.config);
    let uid = sys::user::real_uid();
    let name = sys::user::current_name();
    let is_trusted = uid == 0 || owner == Some(uid) || machine.config.classes.contains(b't', &name);
    if !is_trusted {
        let uid = uid.to_string();
        send(ALERT, &[b"user ", uid.as_bytes(), b" attempted to rebuild the alias map"].concat());
        machine.say(&[b"Permission denied (real uid not trusted)"]);
        return exit::USAGE;
    }
    for (class, file) in alias_files(&machine.config) {
        let kind = match &*class {
            b"hash" | b"implicit" => Kind::Hash,
            b"btree" => Kind::Btree,
            _ => continue,
        };
        rebuild(&file, kind, owner, machine);
    }
    machine.status
}

/// Makes the map of one file again.
fn rebuild(file: &[u8], kind: Kind, owner: Option<u32>, machine: &mut Machine<'_>) {
    let text = match std::fs::read(path_of(file)) {
        Ok(text) => text,
        Err(error) => {
            let why = sys::error_words(&error);
            machine.say(&[b"newaliases: cannot open ", file, b": ", why.as_bytes()]);
            return;
        }
    };
    send(NOTICE, &[b"alias database ", file, b" rebuilt by ", &sys::user::current_name()].concat());
    let mut maker = Maker {
        build: Build::new(kind, PAGE_BYTES, false),
        count: 0,
        longest: 0,
        total: 0,
        checks: machine.config.options.truth("CheckAliases"),
    };
    for entry in Entries::new(&text) {
        machine.place = Some((file.to_vec(), entry.line));
        maker.take(entry, machine);
    }
    machine.place = None;
    machine.about.clear();
    let Maker { mut build, count, longest, total, .. } = maker;
    build.put(b"@\0", b"@\0", IfThere::Replace);
    let made = build.into_bytes(unique_id()).map_err(|error| text_of(&error));
    let path = with_db(&path_of(file));
    if let Err(why) = made
        .and_then(|octets| replace(&path, &octets, owner).map_err(|error| sys::error_words(&error)))
    {
        let path = path.as_os_str().as_encoded_bytes();
        machine.say(&[b"newaliases: cannot create ", path, b": ", why.as_bytes()]);
        machine.set_status(exit::CANTCREAT);
        return;
    }
    let summary = format!(": {count} aliases, longest {longest} bytes, {total} bytes total");
    machine.say(&[file, summary.as_bytes()]);
    send(INFO, &[file, summary.as_bytes()].concat());
}

struct Maker {
    build: Build,
    count: usize,
    longest: usize,
    total: usize,
    checks: bool,
}

impl Maker {
    fn take(&mut self, entry: Entry, machine: &mut Machine<'_>) {
        let (name, mut value, whole) = match entry.what {
            What::Alias { name, value, whole } => (name, value, whole),
            What::Wrong(text) => {
                machine.system_error(text, None);
                return;
            }
        };
        let quoted = whole.get(..QUOTED_BYTES_MAX).unwrap_or(&whole);
        let said = machine.replies.len();
        let parsed = machine.parse(&name, Side::default());
        let is_refused = machine.replies.len() > said;
        machine.replies.clear();
        let mailer = parsed.as_ref().and_then(|parsed| parsed.mailer);
        let Some((parsed, mailer)) = parsed.zip(mailer).filter(|_| !is_refused) else {
            let text = [b"553 5.3.5 ", quoted, b"... illegal alias name"].concat();
            machine.system_error(&text, None);
            return;
        };
        if self.checks {
            check_value(&value, machine);
        }
        let flags = machine.config.mailers.get(mailer).map(|mailer| mailer.flags);
        if !flags.is_some_and(|flags| flags.has(b'A')) {
            let text = [b"554 5.3.5 ", name.as_slice(), b"... cannot alias non-local names"];
            machine.system_error(&text.concat(), None);
            return;
        }
        let mut user = parsed.user;
        if user.eq_ignore_ascii_case(b"postmaster") {
            user.make_ascii_lowercase();
        }
        if value.trim_ascii().is_empty() {
            let text = [b"554 5.3.5 ", quoted, b"... missing value for alias"].concat();
            machine.system_error(&text, None);
            return;
        }
        let key = [&*user, b"\0"].concat();
        if self.build.value(&key).is_some() {
            let place = machine.place.take();
            machine.say(&[b"Warning: duplicate alias name ", &user]);
            machine.place = place;
        }
        self.count = self.count.saturating_add(1);
        self.longest = self.longest.max(value.len());
        self.total = self.total.saturating_add(user.len()).saturating_add(value.len());
        value.push(0);
        self.build.put(&key, &value, IfThere::Replace);
    }
}

/// `CheckAliases`: every address behind the colon must be one.
fn check_value(value: &[u8], machine: &mut Machine<'_>) {
    let mut rest = value;
    loop {
        let skip =
            rest.iter().take_while(|octet| octet.is_ascii_whitespace() || **octet == b',').count();
        rest = rest.get(skip..).unwrap_or_default();
        if rest.is_empty() {
            return;
        }
        let said = machine.replies.len();
        let (is_address, stopped) = machine.check_address(rest, b',');
        if !is_address {
            let text = [b"553 5.3.5 ", rest, b"... bad address"].concat();
            let about = std::mem::take(&mut machine.about);
            machine.user_error(&text);
            machine.about = about;
        }
        machine.replies.truncate(said);
        rest = rest.get(stopped.max(1)..).unwrap_or_default();
    }
}

/// One entry of a text alias file.
pub(crate) struct Entry {
    line: u32,
    pub(crate) what: What,
}

/// What an entry is.
pub(crate) enum What {
    /// A name and whom it stands for, as written; `whole`: all of its lines.
    Alias {
        /// What stands before the colon.
        name: Vec<u8>,
        /// What stands behind it.
        value: Vec<u8>,
        /// All of it.
        whole: Vec<u8>,
    },
    /// No entry: why not.
    Wrong(&'static [u8]),
}

/// The entries of a text alias file.
pub(crate) struct Entries<'a> {
    lines: Lines<'a>,
    is_skipping: bool,
}

impl<'a> Entries<'a> {
    pub(crate) const fn new(text: &'a [u8]) -> Self {
        Self { lines: Lines { rest: text, number: 0 }, is_skipping: false }
    }

    /// How much of the text it was made of has been read, in octets.
    pub(crate) const fn place(&self, text: &[u8]) -> usize {
        text.len().saturating_sub(self.lines.rest.len())
    }
}

impl Iterator for Entries<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        loop {
            let line = self.lines.next()?;
            let number = self.lines.number;
            let was_skipping = std::mem::replace(&mut self.is_skipping, false);
            match line.first() {
                None | Some(b'#') => {}
                Some(b' ' | b'\t') => {
                    self.is_skipping = true;
                    if !was_skipping {
                        let what =
                            What::Wrong(b"554 5.3.5 Non-continuation line starts with space");
                        return Some(Entry { line: number, what });
                    }
                }
                Some(_) => return Some(self.entry(&line, number)),
            }
        }
    }
}

impl Entries<'_> {
    /// One entry: `line` and those that go on with it.
    fn entry(&mut self, line: &[u8], number: u32) -> Entry {
        let Some(colon) = colon(line) else {
            return Entry { line: number, what: What::Wrong(b"554 5.3.5 missing colon") };
        };
        let (name, rest) = line.split_at(colon);
        let mut value = rest.strip_prefix(b":").unwrap_or_default().trim_ascii_start().to_vec();
        let mut whole = line.to_vec();
        while matches!(self.lines.rest, [b' ' | b'\t', ..]) {
            let more = self.lines.next().unwrap_or_default();
            value.extend_from_slice(&more);
            whole.extend_from_slice(&more);
        }
        let what = What::Alias { name: name.trim_ascii().to_vec(), value, whole };
        Entry { line: self.lines.number, what }
    }
}

/// Where the name ends: a colon within quotes belongs to it.
fn colon(line: &[u8]) -> Option<usize> {
    let mut is_quoted = false;
    let mut octets = line.iter().enumerate();
    while let Some((at, octet)) = octets.next() {
        match octet {
            b'\\' => {
                octets.next();
            }
            b'"' => is_quoted = !is_quoted,
            b':' if !is_quoted => return Some(at),
            _ => {}
        }
    }
    line.iter().position(|&octet| octet == b':')
}

/// The key of a name where no rule sets are at hand: lower case, without quotes that nothing inside needs.
pub(crate) fn local_name(name: &[u8]) -> Vec<u8> {
    let inside = name.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let needs = |octet: &u8| octet.is_ascii_whitespace() || matches!(octet, b'"' | b'\\');
    match inside {
        Some(inside) if !inside.is_empty() && !inside.iter().any(needs) => {
            inside.to_ascii_lowercase()
        }
        _ => name.to_ascii_lowercase(),
    }
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
