//! `makemap`: makes a map from lines of keys and values, or shows one (makemap(8)).
//!
//! The new file is whole before it takes the place of the old one, and it is made even when lines were wrong,
//! as sendmail's makemap leaves it.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, Read};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::bdb::build::{Build, IfThere, PAGE_BYTES, Put};
use crate::bdb::{Database, Error, Kind};
use crate::configuration::{self, DEFAULT_CF, trusted_user};
use crate::option_letters::{self, octets};
use crate::replace::{replace, unique_id};
use crate::safe_file;
use crate::table::with_db;
use crate::terminal::{Terminal, exit};

/// The longest line, its end included (sendmail's MAXLINE of this program).
const LINE_BYTES_MAX: usize = 1024;

/// What was asked for.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "one for each letter of the command line")]
struct Order {
    cf: PathBuf,
    comment: u8,
    separator: Option<u8>,
    with_nul: bool,
    has_duplicates: bool,
    keeps_empty: bool,
    keeps_case: bool,
    appends: bool,
    replaces: bool,
    is_safe: bool,
    shows: bool,
    is_verbose: bool,
}

/// Carries out `makemap WORDS`; gives the exit code. `name` is what it was called by.
pub fn run(name: &OsStr, words: &[OsString], terminal: &mut Terminal<'_>) -> u8 {
    let name = name.as_bytes();
    let Ok((letters, rest)) = option_letters::read(words, b"C:D:Nc:t:defi:lorsuv") else {
        return usage(name, terminal);
    };
    if letters.iter().any(|(letter, _)| *letter == b'l') {
        terminal.say(&[b"hash\nbtree\nimplicit\n"]);
        return exit::OK;
    }
    let [class, map] = rest else { return usage(name, terminal) };
    let order = order(&letters);
    let owner = match configuration::read(&order.cf) {
        Ok(config) => trusted_user(&config),
        Err(why) => {
            terminal.complain(&[
                name,
                b": ",
                order.cf.as_os_str().as_bytes(),
                b": ",
                why.as_bytes(),
                b"\n",
            ]);
            return exit::NOINPUT;
        }
    };
    let target = Target {
        name,
        class: class.as_bytes(),
        map: map.as_bytes(),
        path: with_db(Path::new(map)),
        owner,
    };
    let opened = open(&order, target.class, &target.path).and_then(|(kind, old)| match old {
        Some(mut old) if order.shows => Ok(Err(show(&target, &order, &mut old, terminal))),
        Some(mut old) => Build::from_database(&mut old).map(Ok).map_err(|error| text_of(&error)),
        None => Ok(Ok(Build::new(kind, PAGE_BYTES, order.has_duplicates))),
    });
    match opened {
        Ok(Ok(build)) => target.make(build, &order, terminal),
        Ok(Err(code)) => code,
        Err(why) => {
            terminal.complain(&[name, b": ", &refusal(target.class, target.map, &why), b"\n"]);
            exit::CANTCREAT
        }
    }
}

/// What is to be made, and by whom.
struct Target<'a> {
    name: &'a [u8],
    class: &'a [u8],
    map: &'a [u8],
    path: PathBuf,
    owner: Option<u32>,
}

impl Target<'_> {
    /// Fills the map and puts it in its place.
    fn make(&self, mut build: Build, order: &Order, terminal: &mut Terminal<'_>) -> u8 {
        let code = fill(&mut build, self.name, self.map, order, terminal);
        let made =
            build.into_bytes(unique_id()).map_err(|error| text_of(&error)).and_then(|octets| {
                replace(&self.path, &octets, self.owner).map_err(|error| sys::error_words(&error))
            });
        match made {
            Ok(()) => code,
            Err(why) => {
                terminal.complain(&[
                    self.name,
                    b": ",
                    self.map,
                    b": error on close: ",
                    why.as_bytes(),
                    b"\n",
                ]);
                exit::IOERR
            }
        }
    }
}

fn order(letters: &[option_letters::Letter]) -> Order {
    let mut order = Order {
        cf: PathBuf::from(DEFAULT_CF),
        comment: b'#',
        separator: None,
        with_nul: false,
        has_duplicates: false,
        keeps_empty: false,
        keeps_case: false,
        appends: false,
        replaces: false,
        is_safe: true,
        shows: false,
        is_verbose: false,
    };
    for (letter, value) in letters {
        let first = octets(value.as_ref()).first().copied();
        match letter {
            b'C' => order.cf = PathBuf::from(value.clone().unwrap_or_default()),
            b'D' => order.comment = first.unwrap_or(b'#'),
            b't' => order.separator = first,
            b'N' => order.with_nul = true,
            b'd' => order.has_duplicates = true,
            b'e' => order.keeps_empty = true,
            b'f' => order.keeps_case = true,
            b'o' => order.appends = true,
            b'r' => order.replaces = true,
            b's' => order.is_safe = false,
            b'u' => order.shows = true,
            b'v' => order.is_verbose = true,
            // -c, a cache's size, and -i, what implicit means, change nothing here.
            _ => {}
        }
    }
    order
}

fn usage(name: &[u8], terminal: &mut Terminal<'_>) -> u8 {
    terminal.complain(&[
        b"Usage: ",
        name,
        b" [-C cffile] [-N] [-c cachesize] [-D commentchar]\n               [-d] [-e] [-f] [-i type] [-l] [-o] [-r] [-s] [-t delimiter]\n               [-u] [-v] type mapname\n",
    ]);
    exit::USAGE
}

/// The kind of a class and, where it is to be read, the old file.
fn open(order: &Order, class: &[u8], path: &Path) -> Result<(Kind, Option<Database>), String> {
    let kind = kind_of(class)?;
    if order.is_safe {
        safe_file::check(path, !(order.shows || order.appends))?;
    }
    if order.shows || order.appends {
        let database = Database::open(path).map_err(|error| text_of(&error))?;
        return Ok((database.kind(), Some(database)));
    }
    Ok((kind, None))
}

/// The kind of file of a class.
///
/// # Errors
/// sendmail's text; for classes that Debian does not build, beginning with `-D`.
pub(crate) fn kind_of(class: &[u8]) -> Result<Kind, String> {
    match class {
        b"hash" | b"implicit" => Ok(Kind::Hash),
        b"btree" => Ok(Kind::Btree),
        b"dbm" => Err("-DNDBM".into()),
        b"cdb" => Err("-DCDB".into()),
        _ => Err("Unknown database type".into()),
    }
}

/// Why a map was not opened, in sendmail's words.
pub(crate) fn refusal(class: &[u8], map: &[u8], why: &str) -> Vec<u8> {
    if why.starts_with("-D") {
        return [b"Need to recompile with ", why.as_bytes(), b" for ", class, b" support"].concat();
    }
    [b"error opening type ", class, b" map ", map, b": ", why.as_bytes()].concat()
}

/// A file's error in the system's words.
pub(crate) fn text_of(error: &Error) -> String {
    match error {
        Error::Io(error) => sys::error_words(error),
        Error::NotDatabase | Error::Unsupported(_) | Error::Damaged { .. } => error.to_string(),
    }
}

fn show(target: &Target<'_>, order: &Order, old: &mut Database, terminal: &mut Terminal<'_>) -> u8 {
    let between = [order.separator.unwrap_or(b'\t')];
    let shown = old.each(&mut |key, value| {
        terminal.say(&[until_nul(key), &between, until_nul(value), b"\n"]);
        ControlFlow::Continue(())
    });
    match shown {
        Ok(()) => exit::OK,
        Err(error) => {
            let why = text_of(&error);
            terminal.complain(&[
                target.name,
                b": couldn't get next entry from map ",
                target.map,
                b": ",
                why.as_bytes(),
                b"\n",
            ]);
            exit::IOERR
        }
    }
}

/// What C prints of octets.
pub(crate) fn until_nul(octets: &[u8]) -> &[u8] {
    octets.split(|&octet| octet == 0).next().unwrap_or_default()
}

/// Puts all lines of the input in; complains of those that are none.
fn fill(
    build: &mut Build,
    name: &[u8],
    map: &[u8],
    order: &Order,
    terminal: &mut Terminal<'_>,
) -> u8 {
    let mut code = exit::OK;
    let mut number = 0_u32;
    let if_there = match order {
        Order { has_duplicates: true, .. } => IfThere::Add,
        Order { replaces: true, .. } => IfThere::Replace,
        _ => IfThere::Keep,
    };
    while let Some(read) = read_line(terminal.input) {
        number = number.saturating_add(1);
        let place = [name, b": ", map, b": line ", number.to_string().as_bytes(), b": "].concat();
        let fault = match &read {
            Err(()) => Err(format!("line too long ({LINE_BYTES_MAX} bytes max)").into_bytes()),
            Ok(line) => match pair(line, order) {
                Ok(None) => continue,
                Ok(Some((key, value))) => {
                    if order.is_verbose {
                        terminal.say(&[b"key=`", &key, b"', val=`", &value, b"'\n"]);
                    }
                    put(build, order, key, value, if_there)
                }
                Err(fault) => Err(fault),
            },
        };
        if let Err(fault) = fault {
            terminal.complain(&[&place, &fault, b"\n"]);
            code = exit::DATAERR;
        }
    }
    code
}

fn put(
    build: &mut Build,
    order: &Order,
    mut key: Vec<u8>,
    mut value: Vec<u8>,
    if_there: IfThere,
) -> Result<(), Vec<u8>> {
    if order.with_nul {
        key.push(0);
        value.push(0);
    }
    match build.put(&key, &value, if_there) {
        Put::Done => Ok(()),
        Put::WasThere => Err([b"key ", until_nul(&key), b": duplicate key"].concat()),
        Put::TooLong => Err([b"key ", until_nul(&key), b": put error: too long"].concat()),
    }
}

/// The next line, or the next part of one that is too long; `None` at the end.
fn read_line(input: &mut dyn BufRead) -> Option<Result<Vec<u8>, ()>> {
    let mut line = Vec::new();
    let limit = u64::try_from(LINE_BYTES_MAX.saturating_sub(1)).unwrap_or(0);
    let size = input.take(limit).read_until(b'\n', &mut line).unwrap_or(0);
    if size == 0 {
        return None;
    }
    let end = line.iter().position(|&octet| octet == b'\n' || octet == 0);
    let is_whole = end.is_some() || input.fill_buf().map_or(true, <[u8]>::is_empty);
    line.truncate(end.unwrap_or(line.len()));
    Some(if is_whole { Ok(line) } else { Err(()) })
}

/// A key and its value.
type Pair = (Vec<u8>, Vec<u8>);

/// Key and value of a line; nothing for an empty line or a comment.
fn pair(line: &[u8], order: &Order) -> Result<Option<Pair>, Vec<u8>> {
    let is_between = |octet: &u8| match order.separator {
        Some(separator) => *octet == separator,
        None => octet.is_ascii_whitespace() || *octet == 0x0b,
    };
    match line.first() {
        None => return Ok(None),
        Some(first) if *first == order.comment => return Ok(None),
        Some(first) if order.separator.is_none() && is_between(first) => {
            return Err(b"syntax error (leading space)".to_vec());
        }
        Some(_) => {}
    }
    let end = line.iter().position(is_between).unwrap_or(line.len());
    let (key, rest) = line.split_at(end);
    let start = rest.iter().position(|octet| !is_between(octet)).unwrap_or(rest.len());
    let value = rest.get(start..).unwrap_or_default();
    let key = if order.keeps_case { key.to_vec() } else { key.to_ascii_lowercase() };
    if value.is_empty() && !order.keeps_empty {
        return Err([b"no RHS for LHS ", key.as_slice()].concat());
    }
    Ok(Some((key, value.to_vec())))
}
