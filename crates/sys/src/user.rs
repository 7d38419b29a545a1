//! Who is who: the user database.

use nix::unistd::{Uid, User as Entry};
use std::io;
use std::path::PathBuf;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
    /// Home folder.
    pub home: PathBuf,
    /// Full name and more, as it stands in the database.
    pub gecos: Vec<u8>,
}

impl From<Entry> for User {
    fn from(entry: Entry) -> Self {
        Self {
            name: entry.name,
            uid: entry.uid.as_raw(),
            gid: entry.gid.as_raw(),
            home: entry.dir,
            gecos: entry.gecos.into_bytes(),
        }
    }
}

/// The user of this login name.
///
/// # Errors
/// The database can't be asked.
pub fn by_name(name: &str) -> io::Result<Option<User>> {
    if name.contains('\0') {
        return Ok(None);
    }
    Ok(Entry::from_name(name)?.map(User::from))
}

/// The user of this number.
///
/// # Errors
/// The database can't be asked.
pub fn by_uid(uid: u32) -> io::Result<Option<User>> {
    Ok(Entry::from_uid(Uid::from_raw(uid))?.map(User::from))
}

/// The number of the user we act as.
#[must_use]
pub fn effective_uid() -> u32 {
    Uid::effective().as_raw()
}

/// The number of the user who called us.
#[must_use]
pub fn real_uid() -> u32 {
    Uid::current().as_raw()
}

/// The login name of the user who called us, or the number in digits.
#[must_use]
pub fn current_name() -> Vec<u8> {
    match by_uid(real_uid()) {
        Ok(Some(user)) => user.name.into_bytes(),
        Ok(None) | Err(_) => real_uid().to_string().into_bytes(),
    }
}
