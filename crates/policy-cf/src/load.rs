//! Reading a configuration: predefined macros and classes first, then line by line, then the maps that are always there.
//!
//! [`prepare`], [`apply`] for what the command line says, [`read`] for each file, [`finish`]. Everything that is wrong is
//! said in sendmail's words, with file and line.

mod alias_maps;
mod begin;
mod class;
mod directory;
mod end;
mod line;
mod rule;

pub(crate) use class::add_words;

pub use begin::{Facts, prepare};
pub use class::error_text;
pub use end::finish;

use crate::machine::{Machine, exit};
use crate::options::{Complaint, Set};
use crate::read::lines::Lines;
use crate::token::Tables;
use alloc::vec::Vec;
use line::Reader;

/// The largest configuration or class file.
pub const FILE_OCTETS_MAX: usize = 256 * 1024 * 1024;

/// One setting of the command line, applied before the file is read: `-O` and `-o` then stand, `-M` can be changed by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// An option as the `O` line has it, without the `O`.
    Option(Vec<u8>),
    /// A macro: name and value together, as the `D` line has it.
    Macro(Vec<u8>),
}

/// Reads a whole file. Everything that is wrong is said in sendmail's words; reading goes on.
pub fn read(machine: &mut Machine<'_>, name: &[u8], file: &[u8]) {
    let mut reader = Reader::default();
    for line in Lines::new(file) {
        if machine.is_over {
            break;
        }
        machine.place = Some((name.to_vec(), line.number));
        reader.line(machine, &line.text, line.number);
    }
    machine.place = None;
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
    if name.is_empty() || is_number || matches!(machine.world.user(name), Ok(Some(_))) {
        return;
    }
    let text = [b"readcf: option ", option.as_bytes(), b": unknown user ", name].concat();
    machine.system_error(&text, None);
}
