//! Class `cdb`: constant databases (Bernstein). 256 hash tables stand behind the records; the file is read in place.

use std::fs::File;
use std::os::unix::fs::FileExt;

use policy_cf::{Answer, MapSpec, OpenFailure};

use crate::door::Door;
use crate::file_watch::Stamp;
use crate::table::path_of;

/// The longest value that is given out, in bytes.
const VALUE_BYTES_MAX: u32 = 1024 * 1024;
const TEMPORARY: u8 = 75;

/// A map of class cdb.
#[derive(Debug)]
pub(crate) struct Cdb {
    door: Door,
    path: std::path::PathBuf,
    file: File,
    stamp: Stamp,
    keeps_case: bool,
}

impl Cdb {
    /// Opens the file that a K line names; `.cdb` is put behind the name if there is no file without it.
    ///
    /// # Errors
    /// sendmail's text for it.
    pub(crate) fn open(spec: &MapSpec, door: &Door) -> Result<Self, OpenFailure> {
        let mut path = path_of(&spec.rest);
        if !path.exists() {
            path.as_mut_os_string().push(".cdb");
        }
        let opened = door.file(&path).and_then(|file| {
            let stamp = Stamp::of(&file.metadata()?);
            Ok((file, stamp))
        });
        match opened {
            Ok((file, stamp)) => {
                let (door, keeps_case) = (door.clone(), spec.keeps_case());
                Ok(Self { door, path, file, stamp, keeps_case })
            }
            Err(_) if spec.is_optional() => {
                Err(OpenFailure { text: Vec::new(), class_unknown: false })
            }
            Err(error) => {
                let text = [
                    b"cdb map \"",
                    &*spec.name,
                    b"\": missing map file ",
                    path.as_os_str().as_encoded_bytes(),
                    b": ",
                    sys::error_words(&error).as_bytes(),
                ]
                .concat();
                Err(OpenFailure { text, class_unknown: false })
            }
        }
    }

    pub(crate) fn lookup(&mut self, key: &[u8]) -> Answer {
        if Stamp::at(&self.path).is_some_and(|now| now != self.stamp)
            && let Ok(file) = self.door.file(&self.path)
            && let Ok(metadata) = file.metadata()
        {
            self.stamp = Stamp::of(&metadata);
            self.file = file;
        }
        let key = if self.keeps_case { key.to_vec() } else { key.to_ascii_lowercase() };
        match self.find(&key) {
            Ok(Some(value)) => Answer::Found(value),
            Ok(None) => Answer::NotFound(0),
            Err(()) => Answer::TempFail(TEMPORARY),
        }
    }

    fn find(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ()> {
        let hash =
            key.iter().fold(5381_u32, |hash, &octet| hash.wrapping_mul(33) ^ u32::from(octet));
        let (table, slots) = self.two_numbers(u64::from(hash & 255).saturating_mul(8))?;
        if slots == 0 {
            return Ok(None);
        }
        for step in 0..slots {
            let slot = (hash >> 8).wrapping_add(step).checked_rem(slots).ok_or(())?;
            let (there, record) = self
                .two_numbers(u64::from(table).saturating_add(u64::from(slot).saturating_mul(8)))?;
            if record == 0 {
                return Ok(None);
            }
            if there == hash
                && let Some(value) = self.record(record, key)?
            {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn record(&self, at: u32, key: &[u8]) -> Result<Option<Vec<u8>>, ()> {
        let at = u64::from(at);
        let (key_bytes, value_bytes) = self.two_numbers(at)?;
        if usize::try_from(key_bytes) != Ok(key.len()) {
            return Ok(None);
        }
        let mut there = vec![0; key.len()];
        self.file.read_exact_at(&mut there, at.saturating_add(8)).map_err(drop)?;
        if there != key {
            return Ok(None);
        }
        if value_bytes > VALUE_BYTES_MAX {
            return Err(());
        }
        let mut value = vec![0; usize::try_from(value_bytes).map_err(drop)?];
        let value_at = at.saturating_add(8).saturating_add(u64::from(key_bytes));
        self.file.read_exact_at(&mut value, value_at).map_err(drop)?;
        Ok(Some(value))
    }

    fn two_numbers(&self, at: u64) -> Result<(u32, u32), ()> {
        let mut octets = [0; 8];
        self.file.read_exact_at(&mut octets, at).map_err(drop)?;
        let both = u64::from_le_bytes(octets);
        let low = u32::try_from(both & u64::from(u32::MAX)).map_err(drop)?;
        Ok((low, u32::try_from(both >> 32).map_err(drop)?))
    }
}
