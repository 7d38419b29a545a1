//! HELP: the texts of HelpFile. A line is a topic, a tab and text; `#vers 2` at the beginning says that macros are
//! expanded (operations guide, section 5.1.1).

use crate::machine::Machine;
use crate::read::lines::translate;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Octets of a help file that are read.
const FILE_BYTES_MAX: usize = 64 * 1024;
/// Lines of one answer.
const LINES_MAX: usize = 200;
/// The topic that HELP without one asks for.
const MAIN_TOPIC: &[u8] = b"smtp";

/// The lines about a topic; `None`: there is no help file.
pub(super) fn lines(machine: &mut Machine<'_>, topic: &[u8]) -> Option<Vec<Box<[u8]>>> {
    let path = machine.config.options.values.get("HelpFile").filter(|path| !path.is_empty())?;
    let path = path.clone();
    let text = machine.world.read_file(&path, FILE_BYTES_MAX).ok()?;
    let topic = if topic.is_empty() { MAIN_TOPIC } else { topic };
    let topic = topic.to_ascii_lowercase();
    let expands = version(&text) >= 2;
    let mut found = Vec::new();
    for line in text.split(|octet| *octet == b'\n') {
        let Some(tab) = line.iter().position(|octet| *octet == b'\t') else { continue };
        let (name, said) = line.split_at_checked(tab).unwrap_or((line, b""));
        if line.starts_with(b"#") || name == b"cpyr" || name != topic {
            continue;
        }
        let said = said.get(1..).unwrap_or_default();
        found.push(if expands { expanded(machine, said) } else { said.into() });
        if found.len() >= LINES_MAX {
            break;
        }
    }
    Some(found)
}

fn version(text: &[u8]) -> u32 {
    let first = text.split(|octet| *octet == b'\n').next().unwrap_or_default();
    let digits = first.strip_prefix(b"#vers").unwrap_or_default().trim_ascii();
    core::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// A text with its macros; a line that is none by itself stays as it is.
pub(super) fn expanded(machine: &mut Machine<'_>, text: &[u8]) -> Box<[u8]> {
    let mut complaints = Vec::new();
    let text = translate(text, &mut machine.config.macros, false, &mut complaints);
    machine.expand(&text).into()
}
