//! Who is who: the user database.

use nix::unistd::{Gid, Group, Uid, User as Entry};
use std::ffi::CString;
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
    /// Login shell.
    pub shell: PathBuf,
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
            shell: entry.shell,
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

/// The number of the group of the user who called us.
#[must_use]
pub fn real_gid() -> u32 {
    Gid::current().as_raw()
}

/// The login name of the user who called us, or the number in digits.
#[must_use]
pub fn current_name() -> Vec<u8> {
    match by_uid(real_uid()) {
        Ok(Some(user)) => user.name.into_bytes(),
        Ok(None) | Err(_) => real_uid().to_string().into_bytes(),
    }
}

/// The user who called us, as the database has him.
///
/// # Errors
/// The database can't be asked.
pub fn current() -> io::Result<Option<User>> {
    by_uid(real_uid())
}

/// All groups of a user, his own first.
///
/// # Errors
/// The database can't be asked.
pub fn groups_of(user: &User) -> io::Result<Vec<u32>> {
    let name = CString::new(user.name.as_str())?;
    let mut groups = vec![user.gid];
    for group in nix::unistd::getgrouplist(&name, Gid::from_raw(user.gid))? {
        if !groups.contains(&group.as_raw()) {
            groups.push(group.as_raw());
        }
    }
    Ok(groups)
}

/// The number of the group of this name.
///
/// # Errors
/// The database can't be asked.
pub fn group_by_name(name: &str) -> io::Result<Option<u32>> {
    if name.contains('\0') {
        return Ok(None);
    }
    Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_by_name_and_number() {
        let root = by_name("root").unwrap().unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert_eq!(by_uid(0).unwrap(), Some(root.clone()));
        assert_eq!(groups_of(&root).unwrap().first(), Some(&0));
        assert_eq!(group_by_name("root").unwrap(), Some(0));
    }

    #[test]
    fn who_is_not_there_is_no_error() {
        assert_eq!(by_name("no such user").unwrap(), None);
        assert_eq!(by_name("a\0b").unwrap(), None);
        assert_eq!(group_by_name("no such group").unwrap(), None);
        assert_eq!(by_uid(4_000_000_000).unwrap(), None);
    }
}
