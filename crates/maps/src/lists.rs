//! Lists and `.forward` files on disk: opened only if nobody else can have written them (manual, `DontBlameSendmail`).
//!
//! The file is judged for the user it is read for: folders above it, links, who may write it, and whether that user may
//! read it. It is opened without following a last link where links are refused, and judged again when it is open.

use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use policy_cf::UserEntry;
use policy_cf::expand::{
    Blame, LIST_OCTETS_MAX, List, ListFault, ListFaultKind, ListWanted, Outside, Writers,
};

use crate::safe_file::error_text;
use crate::table::path_of;
use crate::text::read_bounded;

const READ: u32 = 0o4;
const SEARCH: u32 = 0o1;
const STICKY: u32 = 0o1000;
const GROUP_WRITES: u32 = 0o020;
const WORLD_WRITES: u32 = 0o002;
/// Login shells where shells(5) is not there.
const SHELLS: [&[u8]; 2] = [b"/bin/sh", b"/bin/csh"];
/// Errors that may be gone later: out of memory or files, I/O, stale handles, busy.
const TRANSIENT: [i32; 12] = [4, 5, 11, 12, 16, 23, 24, 28, 35, 110, 111, 116];

/// The lists of this system.
#[derive(Debug, Default, Clone, Copy)]
pub struct Lists;

impl Outside for Lists {
    fn read_list(&mut self, wanted: &ListWanted<'_>) -> Result<List, ListFault> {
        let path = path_of(wanted.path);
        let reader = Reader { wanted, groups: groups_of(wanted.user, wanted.gid) };
        let found = std::fs::metadata(&path).map_err(|error| fault(&error))?;
        reader.judge_folders(&path)?;
        reader.judge_link(&path)?;
        reader.judge_file(&found)?;
        let file = std::fs::File::open(&path).map_err(|error| fault(&error))?;
        let opened = file.metadata().map_err(|error| fault(&error))?;
        if (opened.dev(), opened.ino()) != (found.dev(), found.ino()) {
            return Err(unsafe_file("File changed after open"));
        }
        reader.judge_file(&opened)?;
        let mut octets = Vec::new();
        let limit = u64::try_from(LIST_OCTETS_MAX).unwrap_or(u64::MAX);
        file.take(limit.saturating_add(1))
            .read_to_end(&mut octets)
            .map_err(|error| fault(&error))?;
        if octets.len() > LIST_OCTETS_MAX {
            return Err(unsafe_file("File too large"));
        }
        Ok(List {
            octets,
            uid: opened.uid(),
            gid: opened.gid(),
            writers: writers(&opened),
            is_owner_sure: true,
        })
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

fn writers(metadata: &Metadata) -> Writers {
    match metadata.mode() {
        mode if mode & WORLD_WRITES != 0 => Writers::World,
        mode if mode & GROUP_WRITES != 0 => Writers::Group,
        _ => Writers::Owner,
    }
}

fn fault(error: &io::Error) -> ListFault {
    let kind = match error.raw_os_error() {
        Some(2) => ListFaultKind::Missing,
        Some(number) if TRANSIENT.contains(&number) => ListFaultKind::Transient,
        _ => ListFaultKind::Permanent,
    };
    ListFault { text: error_text(error).into_bytes(), kind }
}

fn unsafe_file(text: &str) -> ListFault {
    ListFault { text: text.as_bytes().to_vec(), kind: ListFaultKind::Permanent }
}

/// Judges one file for one user.
struct Reader<'a> {
    wanted: &'a ListWanted<'a>,
    groups: Vec<u32>,
}

impl Reader<'_> {
    fn blame(&self, forward: &str, include: &str) -> bool {
        let blame: &Blame = self.wanted.blame;
        blame.has(if self.wanted.is_forward { forward } else { include })
    }

    /// Whether the user has a right on a file or folder.
    fn may(&self, metadata: &Metadata, right: u32) -> bool {
        let mode = metadata.mode();
        if self.wanted.uid == 0 {
            return true;
        }
        let shift = if metadata.uid() == self.wanted.uid {
            6
        } else if self.groups.contains(&metadata.gid()) {
            3
        } else {
            0
        };
        (mode >> shift) & right != 0
    }

    fn judge_folders(&self, path: &Path) -> Result<(), ListFault> {
        let ignores = self.blame("forwardfileinunsafedirpath", "includefileinunsafedirpath");
        let allows_group = self.wanted.blame.has("groupwritabledirpathsafe")
            || self.blame("forwardfileingroupwritabledirpath", "includefileingroupwritabledirpath");
        let trusts_sticky = self.wanted.blame.has("truststickybit");
        let mut folders: Vec<&Path> =
            path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()).collect();
        folders.reverse();
        for folder in folders {
            let metadata = std::fs::metadata(folder).map_err(|error| fault(&error))?;
            if !self.may(&metadata, SEARCH) {
                return Err(fault(&io::Error::from_raw_os_error(13)));
            }
            let mode = metadata.mode();
            let is_sticky = trusts_sticky && mode & STICKY != 0;
            if ignores || is_sticky {
                continue;
            }
            let text = if mode & WORLD_WRITES != 0 {
                "World writable directory"
            } else if mode & GROUP_WRITES != 0 && !allows_group {
                "Group writable directory"
            } else {
                continue;
            };
            return Err(ListFault {
                text: text.as_bytes().to_vec(),
                kind: ListFaultKind::UnsafeFolder,
            });
        }
        Ok(())
    }

    /// A link is refused in a folder that others may write.
    fn judge_link(&self, path: &Path) -> Result<(), ListFault> {
        let is_link = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
        if !is_link
            || self.blame("linkedforwardfileinwritabledir", "linkedincludefileinwritabledir")
        {
            return Ok(());
        }
        let folder = path.parent().unwrap_or_else(|| Path::new("/"));
        let metadata = std::fs::metadata(folder).map_err(|error| fault(&error))?;
        if metadata.mode() & (GROUP_WRITES | WORLD_WRITES) != 0 {
            return Err(unsafe_file("Symbolic links not allowed"));
        }
        Ok(())
    }

    fn judge_file(&self, metadata: &Metadata) -> Result<(), ListFault> {
        if !metadata.is_file() {
            return Err(unsafe_file("Regular files only"));
        }
        let mode = metadata.mode();
        let allows_world = self.blame("worldwritableforwardfile", "worldwritableincludefile");
        let allows_group = self.blame("groupwritableforwardfile", "groupwritableincludefile");
        let text = if mode & GROUP_WRITES != 0 && !allows_group {
            Some("Group writable file")
        } else if mode & WORLD_WRITES != 0 && !allows_world {
            Some("World writable file")
        } else if mode & 0o222 != 0 && mode & 0o111 != 0 {
            Some("Executable files not allowed")
        } else {
            None
        };
        if let Some(text) = text {
            return Err(unsafe_file(text));
        }
        if !self.may(metadata, READ) {
            return Err(fault(&io::Error::from_raw_os_error(13)));
        }
        Ok(())
    }
}
