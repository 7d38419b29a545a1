//! Class `user` (and `passwd` of ironpost.toml): the users of this system. `-v` names the column.

use policy_cf::{Answer, MapSpec, OpenFailure, UserEntry};
use std::path::Path;

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

    pub(crate) fn lookup(&self, key: &[u8]) -> Answer {
        let name = key.to_ascii_lowercase();
        let entry = match sys_user(&name) {
            Ok(Some(entry)) => entry,
            Ok(None) => return Answer::NotFound(NO_USER),
            Err(()) => return Answer::TempFail(TEMPORARY),
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

/// A user of this system.
///
/// # Errors
/// The database can't be asked.
pub(crate) fn sys_user(name: &[u8]) -> Result<Option<UserEntry>, ()> {
    let Ok(text) = str::from_utf8(name) else { return Ok(None) };
    let Some(user) = sys::user::by_name(text).map_err(drop)? else { return Ok(None) };
    Ok(Some(UserEntry {
        name: user.name.into_bytes(),
        uid: user.uid,
        gid: user.gid,
        gecos: user.gecos,
        home: user.home.as_os_str().as_encoded_bytes().to_vec(),
        shell: field("/etc/passwd", name, 6).unwrap_or_default(),
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
