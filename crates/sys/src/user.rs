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

/// The groups this process has beside its own.
///
/// # Errors
/// The kernel does not say.
pub fn current_groups() -> io::Result<Vec<u32>> {
    Ok(nix::unistd::getgroups()?.into_iter().map(Gid::as_raw).collect())
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

/// Acting as another user until this is dropped; see [`act_as`].
#[derive(Debug)]
pub struct Acting {
    before: Option<Before>,
}

/// Who we were.
#[derive(Debug)]
struct Before {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

/// Takes the rights of a user for what follows in this process, which has one thread; root stays able to come back.
///
/// # Errors
/// We are neither root nor he, or the kernel refuses a step (sendmail 8.10.1 went on as root when it did:
/// CVE-2000-0506): then nothing is to be done in his name.
pub fn act_as(user: &User) -> io::Result<Acting> {
    if effective_uid() == user.uid && user.uid != 0 {
        return Ok(Acting { before: None });
    }
    if effective_uid() != 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let before =
        Before { uid: Uid::effective(), gid: Gid::effective(), groups: nix::unistd::getgroups()? };
    let acting = Acting { before: Some(before) };
    let groups: Vec<Gid> = groups_of(user)?.into_iter().map(Gid::from_raw).collect();
    nix::unistd::setgroups(&groups)?;
    nix::unistd::setegid(Gid::from_raw(user.gid))?;
    nix::unistd::seteuid(Uid::from_raw(user.uid))?;
    if effective_uid() != user.uid {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(acting)
}

impl Drop for Acting {
    fn drop(&mut self) {
        let Some(before) = &self.before else { return };
        // Whoever can't come back stays with fewer rights than he had.
        nix::unistd::seteuid(before.uid).ok();
        nix::unistd::setegid(before.gid).ok();
        nix::unistd::setgroups(&before.groups).ok();
    }
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

    #[test]
    fn who_is_not_root_acts_as_nobody_else() {
        let stranger = User { uid: 4_000_000, gid: 4_000_000, ..by_name("root").unwrap().unwrap() };
        if effective_uid() != 0 {
            let root = by_uid(0).unwrap().unwrap();
            assert!(act_as(&stranger).is_err() && act_as(&root).is_err());
        }
        // Root's change would be one of the whole process, other tests included.
    }
}
