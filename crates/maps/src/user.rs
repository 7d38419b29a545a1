//! Class `user` (and `passwd` of ironpost.toml): the users of this system. `-v` names the column.

use crate::file_watch::Stamp;
use policy_cf::{Answer, MapSpec, OpenFailure, Unavailable, UserEntry};
use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// The file of users. Others may come from elsewhere (nsswitch.conf).
const FILE: &str = "/etc/passwd";
/// How long the file is taken to be as it was seen.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(250);
/// How long a name is taken to be who it was, or nobody, where no file tells of a change.
const BELIEF: Duration = Duration::from_secs(5);
/// How many names are remembered: clients choose them.
const REMEMBERED_MAX: usize = 4096;

/// sysexits.h: no such user, and not now.
const NO_USER: u8 = 67;
const TEMPORARY: u8 = 75;

/// A map of class user.
#[derive(Debug)]
pub(crate) struct Users {
    column: Column,
}

#[derive(Debug, Clone, Copy)]
enum Column {
    Name,
    Password,
    Uid,
    Gid,
    Gecos,
    Home,
    Shell,
}

impl Users {
    /// Takes the column of a K line.
    ///
    /// # Errors
    /// The column is not known.
    pub(crate) fn open(spec: &MapSpec) -> Result<Self, OpenFailure> {
        let column = match spec.flag(b'v').unwrap_or_default() {
            b"" | b"name" => Column::Name,
            b"passwd" => Column::Password,
            b"uid" => Column::Uid,
            b"gid" => Column::Gid,
            b"gecos" => Column::Gecos,
            b"dir" => Column::Home,
            b"shell" => Column::Shell,
            other => {
                let text = [b"User map ", &*spec.name, b": unknown column name ", other].concat();
                return Err(OpenFailure { text, class_unknown: false });
            }
        };
        Ok(Self { column })
    }

    pub(crate) fn lookup(&self, key: &[u8], remembered: &mut Remembered) -> Answer {
        let name = key.to_ascii_lowercase();
        let entry = match remembered.user(&name) {
            Ok(Some(entry)) => entry,
            Ok(None) => return Answer::NotFound(NO_USER),
            Err(Unavailable) => return Answer::TempFail(TEMPORARY),
        };
        Answer::Found(match self.column {
            Column::Name => name,
            Column::Password => b"x".to_vec(),
            Column::Uid => entry.uid.to_string().into_bytes(),
            Column::Gid => entry.gid.to_string().into_bytes(),
            Column::Gecos => entry.gecos,
            Column::Home => entry.home,
            Column::Shell => entry.shell,
        })
    }
}

/// Users that were asked for a moment ago: a list of recipients asks for each of them several times, and an
/// answer of the system's database takes as long as all rule sets together.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    entries: HashMap<Box<[u8]>, (Instant, Option<UserEntry>)>,
    /// The file as it was last seen, and when.
    file: Option<(Instant, Option<Stamp>)>,
}

impl Remembered {
    /// A user of this system.
    ///
    /// # Errors
    /// The database can't be asked.
    pub(crate) fn user(&mut self, name: &[u8]) -> Result<Option<UserEntry>, Unavailable> {
        let now = Instant::now();
        self.look_at_file(now);
        if let Some((asked, entry)) = self.entries.get(name)
            && now.duration_since(*asked) < BELIEF
        {
            return Ok(entry.clone());
        }
        let entry = sys_user(name)?;
        if self.entries.len() >= REMEMBERED_MAX {
            self.entries.clear();
        }
        self.entries.insert(name.into(), (now, entry.clone()));
        Ok(entry)
    }

    fn look_at_file(&mut self, now: Instant) {
        if let Some((looked, _)) = &self.file
            && now.duration_since(*looked) < LOOK_AGAIN_AFTER
        {
            return;
        }
        let stamp = Stamp::at(Path::new(FILE));
        if self.file.is_some_and(|(_, then)| then != stamp) {
            self.entries.clear();
        }
        self.file = Some((now, stamp));
    }
}

fn sys_user(name: &[u8]) -> Result<Option<UserEntry>, Unavailable> {
    let Ok(text) = str::from_utf8(name) else { return Ok(None) };
    let Some(user) = sys::user::by_name(text).map_err(|_number| Unavailable)? else {
        return Ok(None);
    };
    Ok(Some(UserEntry {
        name: user.name.into_bytes(),
        uid: user.uid,
        gid: user.gid,
        gecos: user.gecos,
        home: user.home.as_os_str().as_encoded_bytes().to_vec(),
        shell: user.shell.as_os_str().as_encoded_bytes().to_vec(),
    }))
}

/// A field of an entry of passwd(5) or group(5).
pub(crate) fn field(file: &str, name: &[u8], index: usize) -> Option<Vec<u8>> {
    let (text, _) = crate::text::read_bounded(Path::new(file))?;
    text.split(|&octet| octet == b'\n')
        .find(|line| line.split(|&octet| octet == b':').next() == Some(name))
        .and_then(|line| line.split(|&octet| octet == b':').nth(index))
        .map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_asked_for_once_and_nobody_is_remembered_too() {
        let mut remembered = Remembered::default();
        let root = remembered.user(b"root").unwrap().unwrap();
        assert_eq!((root.uid, remembered.user(b"root").unwrap()), (0, Some(root)));
        assert_eq!(remembered.user(b"no-such-user-here"), Ok(None));
        assert_eq!(remembered.entries.len(), 2);
    }

    #[test]
    fn a_changed_file_of_users_forgets_all() {
        let mut remembered = Remembered::default();
        remembered.user(b"root").unwrap();
        let long_ago = Instant::now().checked_sub(LOOK_AGAIN_AFTER).unwrap();
        remembered.file = Some((long_ago, None));
        remembered.look_at_file(Instant::now());
        assert_eq!(remembered.entries.len(), 0);
    }

    #[test]
    fn names_that_clients_make_up_do_not_fill_the_memory() {
        let mut remembered = Remembered::default();
        let now = Instant::now();
        for number in 0..REMEMBERED_MAX {
            remembered.entries.insert(number.to_string().into_bytes().into(), (now, None));
        }
        remembered.user(b"root").unwrap();
        assert!(remembered.entries.len() <= REMEMBERED_MAX);
    }
}
