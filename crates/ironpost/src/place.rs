//! Which server a command means: by `--data`, by `--config`, or the one of this system.

use crate::flags::PlaceFlags;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The configuration of this system's server.
const CONFIG: &str = "/etc/ironpost.toml";

/// Where state is without a configuration that says otherwise.
const RUN: &str = "/run/ironpost";
const SPOOL: &str = "/var/spool/ironpost";

/// Where a server is to be found.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The folder with its control socket.
    pub(crate) run: PathBuf,
    /// Its spool.
    pub(crate) spool: PathBuf,
}

impl Place {
    /// The server of this system; `IRONPOST_DATA` names another one by its folder, for programs that call
    /// `sendmail` and can't be told flags.
    pub(crate) fn of_this_system() -> Self {
        match std::env::var_os("IRONPOST_DATA") {
            Some(folder) => Self::in_folder(Path::new(&folder)),
            None => Self::by_config(Path::new(CONFIG)),
        }
    }

    /// The server of a sendmail.cf, or its spool. Who may not make the drop folder has no business in it, and a queue directory
    /// that is not there is not made: leaving a message there then says so.
    pub(crate) fn of_cf(run: &[u8], spool: &[u8]) -> Self {
        let path = |octets| PathBuf::from(OsStr::from_bytes(octets));
        let place = Self { run: path(run), spool: path(spool) };
        for folder in [&place.spool, &place.spool.join(daemon::drop::FOLDER_NAME)] {
            drop(std::fs::create_dir(folder));
        }
        place
    }

    /// A server whose whole state is in one folder.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self { run: folder.join("run"), spool: folder.join("spool") }
    }

    /// A server by its configuration. One that can't be read is taken as one that says nothing of places:
    /// its server complains, not every `sendmail`.
    fn by_config(path: &Path) -> Self {
        let paths = std::fs::read(path).ok().and_then(|text| policy_toml::paths(&text));
        let (run, spool) = paths.unwrap_or_else(|| (RUN.into(), SPOOL.into()));
        Self { run, spool }
    }
}

impl From<PlaceFlags> for Place {
    fn from(flags: PlaceFlags) -> Self {
        match (flags.data, flags.config) {
            (Some(folder), _) => Self::in_folder(&folder),
            (None, Some(config)) => Self::by_config(&config),
            (None, None) => Self::of_this_system(),
        }
    }
}
