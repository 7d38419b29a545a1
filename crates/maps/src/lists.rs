//! Lists and `.forward` files on disk: looked at and read; `policy_cf::expand::judged` says whether they are trusted.
//!
//! A file that can be a list is opened without waiting for a FIFO, and is the one that was looked at, or is not read.

use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use policy::{FileFacts, FileSeen, FileTrouble, FileWanted};
use policy_cf::UserEntry;
use policy_cf::expand::{LIST_OCTETS_MAX, List, ListFault, ListWanted, Outside, judged};

use crate::table::path_of;
use crate::text::read_bounded;

/// `EIO`, for errors without a number.
const EIO: i32 = 5;
/// Login shells where shells(5) is not there.
const SHELLS: [&[u8]; 2] = [b"/bin/sh", b"/bin/csh"];
/// The lists of this system.
#[derive(Debug, Default, Clone, Copy)]
pub struct Lists;

impl Outside for Lists {
    fn read_list(&mut self, wanted: &ListWanted<'_>) -> Result<List, ListFault> {
        let file = FileWanted { path: wanted.path.into(), user: wanted.user.into() };
        judged(wanted, &gather(file, groups_of(wanted.user, wanted.gid)))
    }

    fn shells(&mut self) -> Vec<Vec<u8>> {
        let Some((text, _)) = read_bounded(Path::new("/etc/shells")) else {
            return SHELLS.iter().map(|shell| shell.to_vec()).collect();
        };
        text.split(|octet| *octet == b'\n')
            .filter_map(|line| line.split(|octet| *octet == b'#').next())
            .map(|line| line.trim_ascii().to_vec())
            .filter(|line| line.starts_with(b"/"))
            .collect()
    }

    fn user_by_id(&mut self, uid: u32) -> Option<UserEntry> {
        self.find_user(&mut |user| user.uid == uid)
    }

    fn find_user(&mut self, is_it: &mut dyn FnMut(&UserEntry) -> bool) -> Option<UserEntry> {
        let (text, _) = read_bounded(Path::new("/etc/passwd"))?;
        text.split(|octet| *octet == b'\n').filter_map(entry).find(|user| is_it(user))
    }
}

/// One line of passwd(5).
fn entry(line: &[u8]) -> Option<UserEntry> {
    let mut fields = line.split(|octet| *octet == b':');
    let name = fields.next()?.to_vec();
    let mut number = || str::from_utf8(fields.by_ref().next()?).ok()?.parse().ok();
    let _password: Option<u32> = number();
    let (uid, gid) = (number()?, number()?);
    let mut text = || fields.next().map(<[u8]>::to_vec);
    Some(UserEntry { name, uid, gid, gecos: text()?, home: text()?, shell: text()? })
}

/// The groups a user is in.
fn groups_of(user: &[u8], gid: u32) -> Vec<u32> {
    let mut groups = vec![gid];
    let text = read_bounded(Path::new("/etc/group")).map(|(text, _)| text).unwrap_or_default();
    for line in text.split(|octet| *octet == b'\n') {
        let fields: Vec<&[u8]> = line.split(|octet| *octet == b':').collect();
        if let [_, _, number, members] = fields.as_slice()
            && members.split(|octet| *octet == b',').any(|member| member == user)
            && let Some(number) = str::from_utf8(number).ok().and_then(|text| text.parse().ok())
        {
            groups.push(number);
        }
    }
    groups
}

/// Looks at a file and reads it, with the rights of the caller, who has these groups.
#[must_use]
pub fn gather(wanted: FileWanted, groups: Vec<u32>) -> FileSeen {
    let path = path_of(&wanted.path);
    let found = std::fs::metadata(&path);
    let is_link = std::fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink());
    let read = match &found {
        Ok(found) => read(&path, found).map(Vec::into_boxed_slice),
        Err(error) => Err(FileTrouble::System(number(error))),
    };
    let found = found.as_ref().map(facts).map_err(number);
    FileSeen { folders: folders(&path), wanted, groups, is_link, found, read }
}

/// The folders above a file, from the root down.
fn folders(path: &Path) -> Vec<Result<FileFacts, i32>> {
    let mut above: Vec<&Path> =
        path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()).collect();
    above.reverse();
    let mut folders = Vec::new();
    for folder in above {
        let seen =
            std::fs::metadata(folder).map(|found| facts(&found)).map_err(|error| number(&error));
        folders.push(seen);
        if seen.is_err() {
            break;
        }
    }
    folders
}

/// Reads the file that was found.
fn read(path: &Path, found: &Metadata) -> Result<Vec<u8>, FileTrouble> {
    // A pipe or a device is not even opened.
    if !found.is_file() {
        return Err(FileTrouble::NotPlain);
    }
    let system = |error: io::Error| FileTrouble::System(number(&error));
    let file = std::fs::File::open(path).map_err(system)?;
    let opened = file.metadata().map_err(system)?;
    if (opened.dev(), opened.ino()) != (found.dev(), found.ino()) || facts(&opened) != facts(found)
    {
        return Err(FileTrouble::Changed);
    }
    let mut octets = Vec::new();
    let limit = u64::try_from(LIST_OCTETS_MAX).unwrap_or(u64::MAX);
    file.take(limit.saturating_add(1)).read_to_end(&mut octets).map_err(system)?;
    if octets.len() > LIST_OCTETS_MAX {
        return Err(FileTrouble::TooLarge);
    }
    Ok(octets)
}

fn facts(metadata: &Metadata) -> FileFacts {
    FileFacts { mode: metadata.mode(), uid: metadata.uid(), gid: metadata.gid() }
}

fn number(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(EIO)
}
