//! The files of TCP wrappers on this machine: read when a client comes and they have changed. What [`policy::host_access`]
//! makes of them is the answer.
//!
//! A file that has changed and can't be read now stays in force as it was read last: in the cage of the policy that is so for a
//! file that was put in the place of another, until a reload.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use policy::host_access::{Peer, Rules, lets_in};

use crate::file_watch::Stamp;
use crate::table::path_of;

/// The name that lines name us by: sendmail's, whatever the command is called.
const DAEMON: &[u8] = b"sendmail";
/// Octets of one file.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// One file as it was read last.
#[derive(Debug, Default)]
struct Watched {
    path: PathBuf,
    rules: Rules,
    /// `None`: it was not looked at yet, or was not there.
    stamp: Option<Stamp>,
}

/// Both files.
#[derive(Debug, Default)]
pub(crate) struct Wrappers {
    allow: Watched,
    deny: Watched,
}

impl Wrappers {
    pub(crate) fn new(allow: &Path, deny: &Path) -> Self {
        let watched = |path: &Path| Watched { path: path.into(), ..Watched::default() };
        Self { allow: watched(allow), deny: watched(deny) }
    }

    /// Whether a client comes in. What is wrong with the files is added to `notes`.
    pub(crate) fn lets_in(&mut self, peer: &Peer<'_>, notes: &mut Vec<Vec<u8>>) -> bool {
        self.allow.look(notes);
        self.deny.look(notes);
        lets_in(&self.allow.rules, &self.deny.rules, peer, &mut patterns)
    }

    /// All files that an answer may need.
    pub(crate) fn files(&mut self, notes: &mut Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let mut files = Vec::new();
        for watched in [&mut self.allow, &mut self.deny] {
            watched.look(notes);
            files.extend(path_octets(&watched.path));
            files.extend(watched.rules.files().map(<[u8]>::to_vec));
        }
        files
    }
}

fn path_octets(path: &Path) -> Option<Vec<u8>> {
    use std::os::unix::ffi::OsStrExt;
    path.is_absolute().then(|| path.as_os_str().as_bytes().to_vec())
}

impl Watched {
    /// Reads the file if it is another than it was.
    fn look(&mut self, notes: &mut Vec<Vec<u8>>) {
        let stamp = Stamp::at(&self.path);
        if stamp == self.stamp {
            return;
        }
        let shown = self.path.display();
        if stamp.is_none() {
            self.rules = Rules::default();
        } else {
            match read(&self.path) {
                Ok(text) => {
                    self.rules = Rules::read(&text, DAEMON);
                    for line in self.rules.faults() {
                        let note = format!("{shown}: line {line}: missing \":\" separator");
                        notes.push(note.into_bytes());
                    }
                }
                Err(error) => {
                    let note = format!("{shown}: {error}: what it said before stays in force");
                    notes.push(note.into_bytes());
                }
            }
        }
        self.stamp = stamp;
    }
}

/// What a file of patterns says; nothing if it is not there.
fn patterns(path: &[u8]) -> Option<Vec<u8>> {
    match read(&path_of(path)) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Vec::new()),
        Err(_) => None,
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop")]
mod tests {
    use super::Wrappers;
    use policy::host_access::Peer;

    #[test]
    fn a_file_counts_as_it_is_when_the_client_comes() {
        let folder = tempfile::tempdir().unwrap();
        let (allow, deny) = (folder.path().join("allow"), folder.path().join("deny"));
        let mut wrappers = Wrappers::new(&allow, &deny);
        let mut notes = Vec::new();
        let peer = Peer { name: b"", address: "192.0.2.1".parse().unwrap() };
        assert!(wrappers.lets_in(&peer, &mut notes));
        std::fs::write(&deny, "ALL: 192.0.2.1\nwhat is this\n").unwrap();
        assert!(!wrappers.lets_in(&peer, &mut notes));
        assert_eq!(notes.len(), 1, "{notes:?}");
        std::fs::write(&allow, "sendmail: 192.0.2.\n").unwrap();
        assert!(wrappers.lets_in(&peer, &mut notes));
        std::fs::remove_file(&allow).unwrap();
        assert!(!wrappers.lets_in(&peer, &mut notes));
        std::fs::remove_file(&deny).unwrap();
        assert!(wrappers.lets_in(&peer, &mut notes));
        assert_eq!(notes.len(), 1, "{notes:?}");
    }

    #[test]
    fn files_of_patterns_are_named_for_the_cage() {
        let folder = tempfile::tempdir().unwrap();
        let deny = folder.path().join("deny");
        std::fs::write(&deny, "ALL: /etc/spammers, 192.0.2.1\n").unwrap();
        let mut wrappers = Wrappers::new(&folder.path().join("allow"), &deny);
        let files = wrappers.files(&mut Vec::new());
        assert_eq!(files.len(), 3, "{files:?}");
        assert_eq!(files.last().unwrap(), b"/etc/spammers");
    }
}
