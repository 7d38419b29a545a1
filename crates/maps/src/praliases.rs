//! `praliases`: shows the aliases as they stand in the map (praliases(8)).

use std::ffi::{OsStr, OsString};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::bdb::{Database, Error};
use crate::configuration::{self, DEFAULT_CF, alias_files};
use crate::makemap::{text_of, until_nul};
use crate::option_letters;
use crate::table::{path_of, with_db};
use crate::terminal::{Terminal, exit};

/// Carries out `praliases WORDS`; gives the exit code. `name` is what it was called by.
pub fn run(name: &OsStr, words: &[OsString], terminal: &mut Terminal<'_>) -> u8 {
    let name = name.as_bytes();
    let Ok((letters, keys)) = option_letters::read(words, b"C:f:") else {
        terminal.complain(&[b"usage: praliases [-C cffile] [-f aliasfile] [key ...]\n"]);
        return exit::USAGE;
    };
    let value = |wanted: u8| {
        letters
            .iter()
            .rev()
            .find(|(letter, _)| *letter == wanted)
            .and_then(|(_, value)| value.clone())
    };
    let files = if let Some(file) = value(b'f') {
        vec![file.as_bytes().to_vec()]
    } else {
        let cf = value(b'C').map_or_else(|| PathBuf::from(DEFAULT_CF), PathBuf::from);
        match configuration::read(&cf) {
            Ok(config) => alias_files(&config)
                .into_iter()
                .filter(|(class, _)| is_database(class))
                .map(|(_, file)| file)
                .collect(),
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
        }
    };
    let mut code = exit::OK;
    for file in files {
        let shown = Database::open(&with_db(&path_of(&file)))
            .and_then(|mut map| show(&mut map, keys, terminal));
        if let Err(error) = shown {
            terminal.complain(&[
                name,
                b": ",
                &file,
                b": open: ",
                text_of(&error).as_bytes(),
                b"\n",
            ]);
            code = exit::NOINPUT;
        }
    }
    code
}

fn is_database(class: &[u8]) -> bool {
    matches!(class, b"hash" | b"btree" | b"implicit")
}

/// Shows all of a map, or these keys.
fn show(map: &mut Database, keys: &[OsString], terminal: &mut Terminal<'_>) -> Result<(), Error> {
    if keys.is_empty() {
        return map.each(&mut |key, value| {
            terminal.say(&[until_nul(key), b":", until_nul(value), b"\n"]);
            ControlFlow::Continue(())
        });
    }
    for key in keys {
        let key = key.as_bytes();
        let found = match map.lookup(&[key, b"\0"].concat())? {
            Some(value) => Some(value),
            None => map.lookup(key)?,
        };
        match found {
            Some(value) => terminal.say(&[key, b":", until_nul(&value), b"\n"]),
            None => terminal.say(&[key, b": No such key\n"]),
        }
    }
    Ok(())
}
