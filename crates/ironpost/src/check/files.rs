//! The files that a configuration names: there, newer than their text, and written by nobody else; the users that its
//! mailers run as.

use super::finding::{Finding, Level, Place};
use policy_cf::machine::Machine;
use policy_cf::read::chars::split_word;
use policy_cf::read::lines::Lines;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use wire::escape;

/// What others may do: write.
const WORLD_WRITE: u32 = 0o002;

/// Looks at the configuration itself, its maps and its class files.
pub(super) fn check(machine: &Machine<'_>, name: &[u8], file: &[u8], findings: &mut Vec<Finding>) {
    others_may_write(&path(name), Place::default(), findings);
    for line in Lines::new(file) {
        let here = Place { line: line.first, column: 1 };
        match line.text.split_first() {
            Some((b'K', rest)) => map_line(machine, rest, here, findings),
            Some((b'F', rest)) => class_line(rest, here, findings),
            Some((b'M', rest)) => mailer_line(machine, rest, here, findings),
            _ => {}
        }
    }
    for map in machine.config.maps.values().filter(|map| map.spec.name.starts_with(b"alias")) {
        if &*map.spec.class == b"implicit" {
            aliases(&map.spec.rest, findings);
        }
    }
}

fn path(name: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(name))
}

fn look(path: &Path) -> Option<Metadata> {
    std::fs::metadata(path).ok()
}

fn others_may_write(path: &Path, here: Place, findings: &mut Vec<Finding>) {
    if look(path).is_some_and(|file| file.is_file() && file.mode() & WORLD_WRITE != 0) {
        let shown = shown(path);
        let what = format!("everybody may write {shown}");
        let hint = format!("chmod o-w {shown}");
        findings.push(Finding::at(Level::Warning, here, what, &hint));
    }
}

fn shown(path: &Path) -> String {
    escape::text(path.as_os_str().as_bytes()).to_string()
}

fn map_line(machine: &Machine<'_>, rest: &[u8], here: Place, findings: &mut Vec<Finding>) {
    let name = split_word(rest).0.to_ascii_lowercase();
    let Some(map) = machine.config.maps.get(&name) else { return };
    let spec = &map.spec;
    if spec.rest.is_empty() {
        return;
    }
    match &*spec.class {
        kind @ (b"hash" | b"btree") => {
            let text = path(&spec.rest);
            let table = with_db(&text);
            let kind = escape::text(kind).to_string();
            let hint = format!("makemap {kind} {text} < {text}", text = shown(&text));
            built(&table, &text, spec.is_optional(), here, &hint, findings);
        }
        b"text" => {
            let text = path(&spec.rest);
            others_may_write(&text, here, findings);
            if look(&text).is_none() && !spec.is_optional() {
                let what = format!("map {} has no file {}", escape::text(&spec.name), shown(&text));
                let hint = "every look-up will fail for now; make the file, or say -o";
                findings.push(Finding::at(Level::Warning, here, what, hint));
            }
        }
        _ => {}
    }
}

/// A file that is built from a text.
fn built(
    table: &Path,
    text: &Path,
    is_optional: bool,
    here: Place,
    hint: &str,
    findings: &mut Vec<Finding>,
) {
    others_may_write(table, here, findings);
    others_may_write(text, here, findings);
    match (look(table), look(text)) {
        (None, None) if is_optional => {}
        (None, _) => {
            let what = format!("there is no file {}", shown(table));
            findings.push(Finding::at(Level::Warning, here, what, hint));
        }
        (Some(built), Some(source)) if built.mtime() < source.mtime() => {
            let what = format!("{} is older than {}", shown(table), shown(text));
            findings.push(Finding::at(Level::Warning, here, what, hint));
        }
        (Some(_), _) => {}
    }
}

fn with_db(text: &Path) -> PathBuf {
    let name = text.as_os_str().as_bytes();
    if name.ends_with(b".db") { text.to_path_buf() } else { path(&[name, b".db"].concat()) }
}

fn aliases(file: &[u8], findings: &mut Vec<Finding>) {
    let text = path(file);
    built(&with_db(&text), &text, true, Place::default(), "newaliases", findings);
}

fn class_line(rest: &[u8], here: Place, findings: &mut Vec<Finding>) {
    let behind = match rest.split_first() {
        Some((b'{', name)) => {
            let end = name.iter().position(|octet| *octet == b'}').unwrap_or(name.len());
            name.get(end.saturating_add(1)..).unwrap_or_default()
        }
        Some((_, behind)) => behind,
        None => return,
    };
    let behind = behind.trim_ascii_start();
    let behind = behind.strip_prefix(b"-o").unwrap_or(behind).trim_ascii_start();
    if behind.starts_with(b"/") {
        others_may_write(&path(split_word(behind).0), here, findings);
    }
}

/// Mailers that would run as root: Ironpost runs none so.
fn mailer_line(machine: &Machine<'_>, rest: &[u8], here: Place, findings: &mut Vec<Finding>) {
    let length = rest.iter().take_while(|octet| **octet != b',' && !octet.is_ascii_whitespace());
    let name = rest.get(..length.count()).unwrap_or_default();
    let mailer = machine.config.mailer(name).and_then(|at| machine.config.mailers.get(at));
    let Some(mailer) = mailer.filter(|mailer| mailer.path.starts_with(b"/")) else { return };
    let hint = "a delivery runs as its recipient's user here, never as root; name a user with U=";
    let name = escape::text(name);
    match mailer.user {
        Some((0, _)) => {
            let what = format!("mailer {name} runs as root (U=)");
            findings.push(Finding::at(Level::Warning, here, what, hint));
        }
        None if mailer.flags.has(b'S') => {
            let what = format!("mailer {name} keeps root's rights under sendmail (F=S without U=)");
            findings.push(Finding::at(Level::Note, here, what, hint));
        }
        Some(_) | None => {}
    }
}
