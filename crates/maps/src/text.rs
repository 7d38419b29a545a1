//! Class `text`: a file of lines with columns. `-k` and `-v` number the columns of key and value from 0, `-z` is what
//! stands between columns (else white space). The first line that fits counts.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use policy_cf::{Answer, MapSpec, OpenFailure};

use crate::door::Door;
use crate::file_watch::Stamp;
use crate::safe_file;
use crate::table::path_of;

/// How large such a file may be.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
const TEMPORARY: u8 = 75;

/// Keys in lower case and their values.
type Pairs = HashMap<Box<[u8]>, Box<[u8]>>;

/// A map of class text.
#[derive(Debug)]
pub(crate) struct Text {
    door: Door,
    path: PathBuf,
    key_column: usize,
    value_column: usize,
    separator: Option<u8>,
    read: Option<(Pairs, Stamp)>,
}

impl Text {
    /// Reads the file that a K line names.
    ///
    /// # Errors
    /// sendmail's text for it.
    pub(crate) fn open(spec: &MapSpec, door: &Door) -> Result<Self, OpenFailure> {
        let column = |letter| spec.flag(letter).map_or(Some(0), number);
        let named = |what: &[u8], letter| {
            let value = spec.flag(letter).unwrap_or_default();
            let text = [
                b"text map \"",
                &*spec.name,
                b"\", file ",
                &*spec.rest,
                b": ",
                what,
                b" column \"",
                value,
                b"\" is not a number",
            ]
            .concat();
            OpenFailure { text, class_unknown: false }
        };
        let mut text = Self {
            door: door.clone(),
            path: path_of(&spec.rest),
            key_column: column(b'k').ok_or_else(|| named(b"key", b'k'))?,
            value_column: column(b'v').ok_or_else(|| named(b"value", b'v'))?,
            separator: spec.flag(b'z').and_then(separator),
            read: None,
        };
        let is_safe = safe_file::check(&text.path, false).is_ok();
        text.read = if is_safe { text.load() } else { None };
        if text.read.is_none() {
            let path = text.path.as_os_str().as_encoded_bytes();
            let why = if spec.is_optional() {
                Vec::new()
            } else {
                [b"text map \"", &*spec.name, b"\": unsafe map file ", path].concat()
            };
            return Err(OpenFailure { text: why, class_unknown: false });
        }
        Ok(text)
    }

    fn load(&self) -> Option<(Pairs, Stamp)> {
        let (text, stamp) = read_bounded_of(self.door.file(&self.path).ok()?)?;
        let mut pairs = HashMap::new();
        for line in text.split(|&octet| octet == b'\n') {
            if line.first() == Some(&b'#') {
                continue;
            }
            let key = column(line, self.key_column, self.separator);
            let value = column(line, self.value_column, self.separator);
            if let (Some(key), Some(value)) = (key, value) {
                pairs.entry(key.to_ascii_lowercase().into()).or_insert_with(|| value.into());
            }
        }
        Some((pairs, stamp))
    }

    /// Looks a key up, after reading the file again if it changed.
    pub(crate) fn lookup(&mut self, key: &[u8]) -> Answer {
        let now = Stamp::at(&self.path);
        let is_same = matches!((&self.read, now), (Some((_, then)), Some(now)) if *then == now);
        if !is_same && let Some(read) = self.load() {
            self.read = Some(read);
        }
        match &self.read {
            None => Answer::TempFail(TEMPORARY),
            Some((pairs, _)) => match pairs.get(key.to_ascii_lowercase().as_slice()) {
                Some(value) => Answer::Found(value.to_vec()),
                None => Answer::NotFound(0),
            },
        }
    }
}

/// A file's octets and state; `None` if it can't be read or is too large.
pub(crate) fn read_bounded(path: &Path) -> Option<(Vec<u8>, Stamp)> {
    read_bounded_of(std::fs::File::open(path).ok()?)
}

/// The same of a file that is open.
pub(crate) fn read_bounded_of(file: std::fs::File) -> Option<(Vec<u8>, Stamp)> {
    let stamp = Stamp::of(&file.metadata().ok()?);
    let mut text = Vec::new();
    let size = file.take(FILE_BYTES_MAX.saturating_add(1)).read_to_end(&mut text).ok()?;
    (u64::try_from(size).ok()? <= FILE_BYTES_MAX).then_some((text, stamp))
}

fn number(value: &[u8]) -> Option<usize> {
    str::from_utf8(value).ok()?.trim().parse().ok()
}

fn separator(value: &[u8]) -> Option<u8> {
    match value {
        [b'\\', b't', ..] => Some(b'\t'),
        [b'\\', b'n', ..] => Some(b'\n'),
        [b'\\', b'\\', ..] => Some(b'\\'),
        [octet, ..] => Some(*octet),
        [] => None,
    }
}

/// One column of a line.
fn column(line: &[u8], index: usize, separator: Option<u8>) -> Option<&[u8]> {
    match separator {
        Some(separator) => line.split(|&octet| octet == separator).nth(index),
        None => line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).nth(index),
    }
}
