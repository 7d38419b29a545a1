//! `editmap`: asks for, changes or takes out one entry of a map (editmap(8)).

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::bdb::Database;
use crate::bdb::build::{Build, IfThere};
use crate::configuration::{self, DEFAULT_CF, trusted_user};
use crate::makemap::{kind_of, refusal, text_of, until_nul};
use crate::option_letters;
use crate::replace::{replace, unique_id};
use crate::safe_file;
use crate::table::with_db;
use crate::terminal::{Terminal, exit};

/// Which of the three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Query,
    Update,
    Remove,
}

/// Carries out `editmap WORDS`; gives the exit code. `name` is what it was called by.
pub fn run(name: &OsStr, words: &[OsString], terminal: &mut Terminal<'_>) -> u8 {
    let name = name.as_bytes();
    let Ok((letters, rest)) = option_letters::read(words, b"C:fquxN") else {
        return usage(name, terminal);
    };
    let has = |wanted: u8| letters.iter().any(|(letter, _)| *letter == wanted);
    let (deed, class, map, key, value) = match (has(b'q'), has(b'u'), has(b'x'), rest) {
        (true, false, false, [class, map, key]) => (Deed::Query, class, map, key, None),
        (false, true, false, [class, map, key, value]) => {
            (Deed::Update, class, map, key, Some(value))
        }
        (false, false, true, [class, map, key]) => (Deed::Remove, class, map, key, None),
        _ => return usage(name, terminal),
    };
    let cf = letters
        .iter()
        .rev()
        .find(|(letter, _)| *letter == b'C')
        .and_then(|(_, value)| value.clone());
    let cf = cf.map_or_else(|| PathBuf::from(DEFAULT_CF), PathBuf::from);
    let owner = match configuration::read(&cf) {
        Ok(config) => trusted_user(&config),
        Err(why) => {
            terminal.complain(&[
                name,
                b": ",
                cf.as_os_str().as_bytes(),
                b": ",
                why.as_bytes(),
                b"\n",
            ]);
            return exit::NOINPUT;
        }
    };
    let (key, value) = octets_of(key, value, has(b'f'), has(b'N'));
    let path = with_db(Path::new(map));
    let opened = kind_of(class.as_bytes()).and_then(|_| {
        safe_file::check(&path, deed != Deed::Query)?;
        Database::open(&path).map_err(|error| text_of(&error))
    });
    let mut database = match opened {
        Ok(database) => database,
        Err(why) => {
            let why = refusal(class.as_bytes(), map.as_bytes(), &why);
            terminal.complain(&[name, b": ", &why, b"\n"]);
            return exit::IOERR;
        }
    };
    let edit = Edit { name, map: map.as_bytes(), path: &path, owner };
    match deed {
        Deed::Query => edit.query(&mut database, &key, terminal),
        Deed::Update | Deed::Remove => edit.change(&mut database, &key, value.as_deref(), terminal),
    }
}

/// Key and value as they stand in the map.
fn octets_of(
    key: &OsStr,
    value: Option<&OsString>,
    keeps_case: bool,
    with_nul: bool,
) -> (Vec<u8>, Option<Vec<u8>>) {
    let key = key.as_bytes();
    let mut key = if keeps_case { key.to_vec() } else { key.to_ascii_lowercase() };
    let mut value = value.map(|value| value.as_bytes().to_vec());
    if with_nul {
        key.push(0);
        if let Some(value) = &mut value {
            value.push(0);
        }
    }
    (key, value)
}

fn usage(name: &[u8], terminal: &mut Terminal<'_>) -> u8 {
    terminal.complain(&[
        b"Usage: ",
        name,
        b" [-C cffile] [-N] [-f] [-q|-u|-x] maptype mapname key [ \"value ...\" ]\n",
    ]);
    exit::USAGE
}

struct Edit<'a> {
    name: &'a [u8],
    map: &'a [u8],
    path: &'a Path,
    owner: Option<u32>,
}

impl Edit<'_> {
    fn query(&self, database: &mut Database, key: &[u8], terminal: &mut Terminal<'_>) -> u8 {
        match database.lookup(key) {
            Ok(Some(value)) => {
                terminal.say(&[until_nul(&value), b"\n"]);
                exit::OK
            }
            Ok(None) => {
                terminal.complain(&[
                    self.name,
                    b": couldn't find key ",
                    until_nul(key),
                    b" in map ",
                    self.map,
                    b"\n",
                ]);
                exit::UNAVAILABLE
            }
            Err(error) => self.failed(&text_of(&error), terminal),
        }
    }

    /// Puts a value in, or takes the key out.
    fn change(
        &self,
        database: &mut Database,
        key: &[u8],
        value: Option<&[u8]>,
        terminal: &mut Terminal<'_>,
    ) -> u8 {
        let mut build = match Build::from_database(database) {
            Ok(build) => build,
            Err(error) => return self.failed(&text_of(&error), terminal),
        };
        match value {
            Some(value) => {
                build.put(key, value, IfThere::Replace);
            }
            None if build.remove(key) => {}
            None => {
                terminal.complain(&[
                    self.name,
                    b": key ",
                    until_nul(key),
                    b" doesn't exist in map ",
                    self.map,
                    b"\n",
                ]);
                return exit::OK;
            }
        }
        let made = build.into_bytes(unique_id()).map_err(|error| text_of(&error));
        match made.and_then(|octets| {
            replace(self.path, &octets, self.owner).map_err(|error| sys::error_words(&error))
        }) {
            Ok(()) => exit::OK,
            Err(why) => self.failed(&why, terminal),
        }
    }

    fn failed(&self, why: &str, terminal: &mut Terminal<'_>) -> u8 {
        terminal.complain(&[self.name, b": ", self.map, b": ", why.as_bytes(), b"\n"]);
        exit::IOERR
    }
}
