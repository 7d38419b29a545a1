//! The few lines of a sendmail.cf that the map commands need: alias files and who is trusted.

use std::io;
use std::path::Path;

use crate::safe_file::error_text;

/// The configuration that is read if no other is named.
pub(crate) const DEFAULT_CF: &str = "/etc/mail/sendmail.cf";
/// How large a configuration may be, in bytes.
const CF_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What they say.
#[derive(Debug, Default)]
pub(crate) struct CfOptions {
    /// Option `AliasFile`, all lines of it.
    pub(crate) alias_files: Vec<Vec<u8>>,
    /// Option `TrustedUser`, as a number.
    pub(crate) trusted_user: Option<u32>,
    /// Class `t` and the T lines.
    pub(crate) trusted_names: Vec<Vec<u8>>,
}

impl CfOptions {
    /// Reads a configuration.
    ///
    /// # Errors
    /// The system's text.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read(path).map_err(|error| error_text(&error))?;
        if text.len() > CF_BYTES_MAX {
            return Err(error_text(&io::Error::from_raw_os_error(27)));
        }
        let mut options = Self::default();
        for line in text.split(|&octet| octet == b'\n') {
            match line {
                [b'O', b' ', option @ ..] => options.set(option.trim_ascii_start()),
                [b'O', b'A', value @ ..] => options.alias_files.push(value.to_vec()),
                [b'T', names @ ..] | [b'C', b't', names @ ..] => {
                    let names =
                        names.split(u8::is_ascii_whitespace).filter(|name| !name.is_empty());
                    options.trusted_names.extend(names.map(<[u8]>::to_vec));
                }
                _ => {}
            }
        }
        Ok(options)
    }

    /// Takes one option, `Name=value`; others than ours say nothing here.
    pub(crate) fn set(&mut self, option: &[u8]) {
        let Some(equals) = option.iter().position(|&octet| octet == b'=') else { return };
        let (name, value) = option.split_at(equals);
        let value = value.strip_prefix(b"=").unwrap_or_default().trim_ascii();
        if name.trim_ascii().eq_ignore_ascii_case(b"AliasFile") {
            self.alias_files.push(value.to_vec());
        } else if name.trim_ascii().eq_ignore_ascii_case(b"TrustedUser") {
            let text = str::from_utf8(value).unwrap_or_default();
            self.trusted_user =
                text.parse().ok().or_else(|| Some(sys::user::by_name(text).ok()??.uid));
        }
    }

    /// The alias files with the class that stands before each (`hash:/x`; none: implicit).
    pub(crate) fn aliases(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut files = Vec::new();
        for part in self.alias_files.iter().flat_map(|list| list.split(|&octet| octet == b',')) {
            let part = part.trim_ascii();
            if part.is_empty() {
                continue;
            }
            let colon =
                part.iter().position(|&octet| octet == b':').filter(|_| !part.starts_with(b"/"));
            let (class, file) = match colon {
                Some(at) => (
                    part.get(..at).unwrap_or_default(),
                    part.get(at.saturating_add(1)..).unwrap_or_default(),
                ),
                None => (b"implicit".as_slice(), part),
            };
            // Flags (`-o`) stand before the file's name.
            let file = file
                .split(u8::is_ascii_whitespace)
                .rfind(|word| !word.is_empty())
                .unwrap_or_default();
            files.push((class.to_ascii_lowercase(), file.to_vec()));
        }
        files
    }
}
