//! Address test mode as a command: `sendmail -bt -C FILE -O… -M… -d…` on standard input and output.

use policy_cf::load::{self, Setting};
use policy_cf::machine::{Machine, exit};
use policy_cf::test_mode::{COMMAND_OCTETS_MAX, Session, TestMode};
use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::os::unix::ffi::OsStrExt;

/// What the words of the command line ask for.
#[derive(Default)]
struct Asked {
    file: Vec<u8>,
    debug: Vec<Vec<u8>>,
    settings: Vec<Setting>,
}

fn read_words(words: &[OsString]) -> Asked {
    let mut asked = Asked { file: b"/etc/mail/sendmail.cf".to_vec(), ..Asked::default() };
    let mut words = words.iter().map(|word| word.as_bytes().to_vec());
    while let Some(word) = words.next() {
        let Some((flag, value)) = word.strip_prefix(b"-").and_then(<[u8]>::split_first) else {
            continue;
        };
        let mut value = value.to_vec();
        if value.is_empty() && matches!(flag, b'C' | b'O' | b'o' | b'M') {
            value = words.next().unwrap_or_default();
        }
        match flag {
            b'C' => asked.file = value,
            b'd' => asked.debug.push(value),
            b'O' => {
                let text = [b" ".as_slice(), &value].concat();
                asked.settings.push(Setting::Option(text));
            }
            b'o' => asked.settings.push(Setting::Option(value)),
            b'M' => asked.settings.push(Setting::Macro(value)),
            _ => {}
        }
    }
    asked
}

/// Runs the mode; gives the exit status.
#[must_use]
pub(crate) fn run(words: &[OsString]) -> u8 {
    let asked = read_words(words);
    let mut outside = maps::Outside::new(maps::Places::default());
    let facts = daemon::host_facts(b"t");
    let mut machine = Machine::new(policy_cf::Config::default(), &mut outside);
    let mut output = std::io::stdout().lock();
    machine.is_test = true;
    for levels in &asked.debug {
        machine.debug.set(levels);
    }
    load::prepare(&mut machine, &facts);
    for setting in &asked.settings {
        load::apply(&mut machine, setting);
    }
    match machine.world.read_file(&asked.file, load::FILE_OCTETS_MAX) {
        Ok(file) => load::read(&mut machine, &asked.file, &file),
        Err(error) => {
            machine.place = Some((asked.file.clone(), 0));
            machine.system_error(b"cannot open", Some(load::error_text(error)));
            machine.place = None;
            if output.write_all(&machine.out).is_err() {
                return exit::OSERR;
            }
            return 72;
        }
    }
    if machine.is_over {
        let written = output.write_all(&machine.out);
        return if written.is_err() { exit::OSERR } else { machine.status };
    }
    load::finish(&mut machine);
    let mut mode = TestMode::begin(&mut machine);
    let mut input = std::io::stdin().lock();
    loop {
        machine.out.extend_from_slice(b"> ");
        if machine.out.len() > 1 << 16 || !has_more() {
            if output.write_all(&machine.out).is_err() || output.flush().is_err() {
                return machine.status;
            }
            machine.out.clear();
        }
        let Some(line) = read_line(&mut input) else { return machine.status };
        if mode.command(&mut machine, &line) == Session::Ends {
            let written = output.write_all(&machine.out).and_then(|()| output.flush());
            return if written.is_err() { exit::OSERR } else { machine.status };
        }
    }
}

/// Whether another whole line is there without waiting.
fn has_more() -> bool {
    // What is buffered is at hand; beyond it the terminal may want to see the prompt first.
    BUFFERED.with(std::cell::Cell::get)
}

thread_local! {
    /// Whether the last read left something in the buffer.
    static BUFFERED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Reads one line, at most as long as sendmail's buffer: a longer one comes in pieces.
fn read_line(input: &mut std::io::StdinLock<'_>) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    loop {
        let Ok(buffer) = input.fill_buf() else { return None };
        if buffer.is_empty() {
            BUFFERED.with(|cell| cell.set(false));
            return if line.is_empty() { None } else { Some(line) };
        }
        let room = COMMAND_OCTETS_MAX.saturating_sub(line.len()).min(buffer.len());
        let piece = buffer.get(..room).unwrap_or_default();
        let end = piece.iter().position(|octet| *octet == b'\n');
        let take = end.map_or(piece.len(), |end| end.saturating_add(1));
        line.extend_from_slice(buffer.get(..take).unwrap_or_default());
        let left = buffer.len().saturating_sub(take);
        input.consume(take);
        BUFFERED.with(|cell| cell.set(left > 0));
        if end.is_some() || line.len() >= COMMAND_OCTETS_MAX {
            return Some(line);
        }
    }
}
