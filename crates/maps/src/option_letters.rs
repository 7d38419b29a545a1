//! Command-line letters as getopt(3) reads them: `-ab -cvalue -c value --`, up to the first word that is none.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// A letter and its value.
pub type Letter = (u8, Option<OsString>);

/// Splits words into letters and the words behind them. `letters` as for getopt: a colon behind those with a value.
///
/// # Errors
/// A letter that is not known, or one without its value.
#[expect(clippy::result_unit_err, reason = "the usage line says all there is to say")]
pub fn read<'a>(
    words: &'a [OsString],
    letters: &[u8],
) -> Result<(Vec<Letter>, &'a [OsString]), ()> {
    let mut found = Vec::new();
    let mut rest = words;
    while let Some((word, behind)) = rest.split_first() {
        let Some(mut cluster) = word.as_bytes().strip_prefix(b"-").filter(|tail| !tail.is_empty())
        else {
            break;
        };
        rest = behind;
        if cluster == b"-" {
            break;
        }
        while let Some((&letter, tail)) = cluster.split_first() {
            cluster = tail;
            let at = letters.iter().position(|&known| known == letter && known != b':').ok_or(())?;
            if letters.get(at.saturating_add(1)) != Some(&b':') {
                found.push((letter, None));
                continue;
            }
            let value = if tail.is_empty() {
                let (next, behind) = rest.split_first().ok_or(())?;
                rest = behind;
                next.clone()
            } else {
                OsString::from_vec(tail.to_vec())
            };
            found.push((letter, Some(value)));
            cluster = &[];
        }
    }
    Ok((found, rest))
}

/// The octets of a value.
#[must_use]
pub fn octets(value: Option<&OsString>) -> &[u8] {
    value.map(OsString::as_os_str).map_or(&[], OsStr::as_bytes)
}
