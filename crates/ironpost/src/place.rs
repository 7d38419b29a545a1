//! Which server a command means: by `--data`, by `--config`, or the one of this system.

use crate::flags::PlaceFlags;
use daemon::request::SPOOL_LINK_NAME;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The configuration of this system's server.
const CONFIG: &str = "/etc/ironpost.toml";

/// Names the folder of another server's state.
const DATA: &str = "IRONPOST_DATA";

/// Where state is without a configuration that says otherwise.
const RUN: &str = "/run/ironpost";
const SPOOL: &str = "/var/spool/ironpost";

/// The queue folders of submit.cf, Debian's and sendmail's own.
const CLIENT_QUEUES: [&str; 2] = ["/var/spool/mqueue-client", "/var/spool/clientmqueue"];

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
        match std::env::var_os(DATA) {
            Some(folder) => Self::in_folder(Path::new(&folder)),
            None => Self::by_config(Path::new(CONFIG)),
        }
    }

    /// Whether a file of ours, or `IRONPOST_DATA`, says what server this system has.
    pub(crate) fn is_our_own() -> bool {
        std::env::var_os(DATA).is_some() || Path::new(CONFIG).exists()
    }

    /// The server of a sendmail.cf, or its spool. A server that has another spool has another configuration, and knows other
    /// ways for the mail: it is not meant. Who may not make the drop folder has no business in it, and a queue directory
    /// that is not there is not made: leaving a message there then says so.
    pub(crate) fn of_cf(run: &[u8], spool: &[u8]) -> Self {
        let path = |octets| PathBuf::from(OsStr::from_bytes(octets));
        let mut place = Self { run: path(run), spool: path(spool) };
        let of_server = std::fs::read_link(place.run.join(SPOOL_LINK_NAME));
        if of_server.is_ok_and(|other| other != place.spool) {
            // Nobody serves there.
            place.run = place.spool.join("run");
        }
        if daemon::may_keep(&place.spool) {
            for folder in [&place.spool, &place.spool.join(daemon::drop::FOLDER_NAME)] {
                drop(std::fs::create_dir(folder));
            }
        }
        place
    }

    /// The server that new mail of a sendmail.cf is handed to: that of this system, where the configuration is one for
    /// submission, which would bring it there by SMTP.
    pub(crate) fn for_mail_of_cf(run: &[u8], spool: &[u8]) -> Self {
        let place = Self::of_cf(run, spool);
        let is_clients = CLIENT_QUEUES.iter().any(|queue| place.spool.starts_with(queue));
        if is_clients { Self { run: OsStr::from_bytes(run).into(), ..place } } else { place }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_server_with_another_spool_gets_no_mail_of_this_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let of = |spool: &Path| {
            let octets = |path: &Path| path.as_os_str().as_bytes().to_vec();
            Place::of_cf(&octets(&path("run")), &octets(spool))
        };
        std::fs::create_dir(path("run")).unwrap();
        assert_eq!(of(&path("one")).run, path("run"));
        symlink(path("one"), path("run/spool")).unwrap();
        assert_eq!(of(&path("one")).run, path("run"));
        assert_eq!(of(&path("other")).run, path("other/run"));
        // Mail of submit.cf is for this system's server, its queue is not.
        let client = Path::new("/var/spool/clientmqueue/ironpost").as_os_str().as_bytes();
        let run = path("run");
        let run = run.as_os_str().as_bytes();
        assert_eq!(Place::for_mail_of_cf(run, client).run, path("run"));
        assert_ne!(Place::of_cf(run, client).run, path("run"));
    }
}
