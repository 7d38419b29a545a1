//! What the map commands need of a sendmail.cf: alias files, and who may own maps. Read by policy-cf.

use std::io;
use std::path::Path;

use policy_cf::{Config, Machine, load};

use crate::outside::{Outside, Places};

/// The configuration that is read if no other is named.
pub(crate) const DEFAULT_CF: &str = "/etc/mail/sendmail.cf";
/// How large a configuration may be, in bytes.
const CF_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The system's number for a file that is too large.
const EFBIG: i32 = 27;

/// Reads a configuration; what is wrong in it is not these commands' business.
///
/// # Errors
/// The system's text.
pub(crate) fn read(path: &Path) -> Result<Config, String> {
    let text = std::fs::read(path).map_err(|error| sys::error_words(&error))?;
    if text.len() > CF_BYTES_MAX {
        return Err(sys::error_words(&io::Error::from_raw_os_error(EFBIG)));
    }
    let mut outside = Outside::new(Places::default());
    let mut machine = Machine::new(Config::default(), &mut outside);
    load::prepare(&mut machine, &load::Facts::default());
    load::read(&mut machine, path.as_os_str().as_encoded_bytes(), &text);
    Ok(machine.config)
}

/// Option `TrustedUser`, as a number.
pub(crate) fn trusted_user(config: &Config) -> Option<u32> {
    let value = config.options.values.get("TrustedUser")?.trim_ascii();
    let text = str::from_utf8(value).ok()?;
    text.parse().ok().or_else(|| Some(sys::user::by_name(text).ok()??.uid))
}

/// The alias files with the class that stands before each (`hash:/x`; none: implicit).
pub(crate) fn alias_files(config: &Config) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut files = Vec::new();
    for part in config.options.alias_files.split(|&octet| octet == b',') {
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
        let file =
            file.split(u8::is_ascii_whitespace).rfind(|word| !word.is_empty()).unwrap_or_default();
        files.push((class.to_ascii_lowercase(), file.to_vec()));
    }
    files
}
