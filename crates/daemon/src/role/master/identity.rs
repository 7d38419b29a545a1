//! As whom a delivery child works, looked up in the user database, whatever the queue may think.
//!
//! Groups are the point of it. On Debian a mailbox may be `0660 user:mail` (policy 11.6), so the group of the mail spool
//! opens the mail of everybody. It goes to our own code that writes mailboxes, and to local delivery agents: mailers of
//! `F=S`, which sendmail would start as root, and which are set-group-ID mail on Debian (procmail, mail.local), a bit that
//! `no_new_privs` takes away. Such an agent sees a mail spool with its user's mailbox alone, and its cage keeps it from the
//! mailboxes of others all the same. What a user
//! wrote himself (`.forward`, lists: `prog` and `*file*`) has his own groups, as at a login.

use crate::edges::{Identity, Task, Ward};
use crate::roles::Role;
use policy::{MailboxPlace, Mailer, Program, Settings, Transport};
use std::path::{Path, PathBuf};
use sys::user::User;

/// Users below this number are the system's own; mail is delivered as one of them only if the
/// configuration names it.
const FIRST_ORDINARY_UID: u32 = 1000;

/// Where mailboxes of users are.
const SPOOL_OF_USERS: &str = "/var/mail";

/// The mailer of programs that users wish for.
const PROGRAMS_OF_USERS: &[u8] = b"prog";

/// As whom a delivery child works. `None`: as who we are.
pub(super) fn identity_of(
    ward: &Ward,
    settings: &Settings,
    is_root: bool,
) -> Result<Option<Identity>, String> {
    let mailer = match ward.task {
        Task::Program(id) => settings.mailers.get(usize::from(id.0)),
        Task::Mailboxes | Task::Files => None,
    };
    if let Some(Transport::Program(program)) = mailer.map(|mailer| &mailer.transport) {
        require_root_folder(program, is_root)?;
        if let Some((uid, gid)) = program.ids {
            // Whatever a configuration says, no program runs as root for a message.
            let identity = is_root.then(|| Identity::bare(uid, gid));
            return if uid == 0 { Err("U= names root".into()) } else { Ok(identity) };
        }
    }
    if let (true, Some(_), Some((uid, gid))) = (ward.user.is_empty(), mailer, settings.default_ids)
    {
        return Ok(is_root.then(|| Identity { groups: groups_of(uid), ..Identity::bare(uid, gid) }));
    }
    if ward.user.is_empty() {
        let role = role_of(ward.task, None);
        return Ok(role.uid().filter(|_| is_root).map(|uid| Identity::bare(uid, uid)));
    }
    let name = String::from_utf8_lossy(&ward.user);
    let found = sys::user::by_name(&name).map_err(|error| error.to_string())?;
    let found = found.ok_or("there is no such user")?;
    if ward.task == Task::Files {
        return reader_of(&found, is_root);
    }
    let is_named = || settings.system_recipients.iter().any(|named| **named == *ward.user);
    if found.uid < FIRST_ORDINARY_UID && !settings.takes_system_users && !is_named() {
        return Err("a system user, and the configuration does not name it".into());
    }
    if !is_root {
        let is_own = found.uid == sys::user::effective_uid();
        return if is_own { Ok(None) } else { Err("only root may deliver as another user".into()) };
    }
    match mailer {
        Some(mailer) if found.uid == 0 => roots(&found, mailer).map(Some),
        Some(mailer) if is_delivery_agent(mailer) => agent_of(&found).map(Some),
        Some(mailer) => {
            if *mailer.name == *PROGRAMS_OF_USERS {
                make_mailbox(&found);
            }
            plain(&found).map(Some)
        }
        None => {
            let groups = spool_groups(settings);
            Ok(Some(Identity { groups, ..plain(&found)? }))
        }
    }
}

/// Root's mail where a program would carry it: no program runs as root, so our own code puts it into the mailbox that the
/// program would have written, in the cage of mailboxes.
fn roots(root: &User, mailer: &Mailer) -> Result<Identity, String> {
    if !is_delivery_agent(mailer) {
        return Err("no program runs as root".into());
    }
    let mailbox = crate::path_octets(&Path::new(SPOOL_OF_USERS).join(&root.name)).into();
    Ok(Identity { mailbox, ..Identity::bare(root.uid, root.gid) })
}

/// Which role does a task as this identity.
pub(super) fn role_of(task: Task, identity: Option<&Identity>) -> Role {
    match task {
        Task::Program(_) if identity.is_some_and(|identity| identity.uid == 0) => Role::Deliver,
        Task::Program(_) => Role::Agent,
        Task::Mailboxes => Role::Deliver,
        Task::Files => Role::Reader,
    }
}

/// The groups of the user of this number, who need not be in the database.
fn groups_of(uid: u32) -> Vec<u32> {
    let user = sys::user::by_uid(uid).ok().flatten();
    user.and_then(|user| sys::user::groups_of(&user).ok()).unwrap_or_default()
}

/// The user as after a login, with his own groups.
fn plain(user: &User) -> Result<Identity, String> {
    let groups = sys::user::groups_of(user).map_err(|error| error.to_string())?;
    let home = crate::path_octets(&user.home).into();
    Ok(Identity { groups, home, ..Identity::bare(user.uid, user.gid) })
}

/// As whom files of a user are read: never as root, whatever they decide.
fn reader_of(user: &User, is_root: bool) -> Result<Option<Identity>, String> {
    if user.uid == 0 {
        return Err("files are not read as root".into());
    }
    if !is_root {
        let is_own = user.uid == sys::user::effective_uid();
        return if is_own { Ok(None) } else { Err("only root may read as another user".into()) };
    }
    plain(user).map(Some)
}

/// Whether a mailer's program is one of the owner's that delivers into mailboxes; those named `prog` and `*file*` do
/// what users wrote.
fn is_delivery_agent(mailer: &Mailer) -> bool {
    mailer.carriage.flags.has(b'S') && !matches!(&*mailer.name, b"prog" | b"*file*")
}

/// A user whose delivery agent runs: its first group is that of the mail spool, so that what the agents of several users
/// make in one place is the group's.
fn agent_of(user: &User) -> Result<Identity, String> {
    let own = plain(user)?;
    if !sys::confine::keeps_files() {
        // Nothing would keep it from the mailboxes of others.
        return Ok(own);
    }
    let Some((mailbox, group)) = mailbox_of(user) else { return Ok(own) };
    Ok(Identity { gid: group, mailbox: crate::path_octets(&mailbox).into(), ..own })
}

/// A user's mailbox in a mail spool where users may make none themselves, and the group that may.
fn mailbox_of(user: &User) -> Option<(PathBuf, u32)> {
    // A name that the user database has can hold anything.
    if user.name.contains('/') || user.name.starts_with('.') || user.name.is_empty() {
        return None;
    }
    let group = writing_group(Path::new(SPOOL_OF_USERS))?;
    Some((Path::new(SPOOL_OF_USERS).join(&user.name), group))
}

/// A program of a `.forward` that delivers (`|procmail`) is set-group-ID mail on Debian to make the mailbox; in the cage it
/// has no such group, and finds the mailbox made.
fn make_mailbox(user: &User) {
    let Some((mailbox, group)) = mailbox_of(user) else { return };
    let Ok(spool) = Path::new(SPOOL_OF_USERS).canonicalize() else { return };
    let mailbox = mailbox.file_name().map(|name| spool.join(name));
    // Where it can't be made, the program says what it misses.
    mailbox.and_then(|mailbox| sys::confine::make_mailbox(&mailbox, user.uid, group).ok());
}

/// The groups that own the folders of our own mailboxes: for lock files, as Debian's delivery programs make them.
fn spool_groups(settings: &Settings) -> Vec<u32> {
    let folders = settings.mailers.iter().filter_map(|mailer| match &mailer.transport {
        Transport::Mbox(MailboxPlace::Spool(folder))
        | Transport::Maildir(MailboxPlace::Spool(folder)) => Some(crate::path_of(folder)),
        Transport::Mbox(_)
        | Transport::Maildir(_)
        | Transport::Smtp { .. }
        | Transport::SmtpUnix(_)
        | Transport::Lmtp(_)
        | Transport::Program(_)
        | Transport::Waits { .. }
        | Transport::Discard
        | Transport::Error => None,
    });
    folders.filter_map(|folder| writing_group(&folder)).collect()
}

/// The group one needs to make files in this folder; that of root is given to nobody.
fn writing_group(folder: &Path) -> Option<u32> {
    sys::disk::writing_group(folder).ok().flatten().filter(|group| *group != 0)
}

/// `/=`: only root can give a program another root, and only one that nobody else can change.
fn require_root_folder(program: &Program, is_root: bool) -> Result<(), String> {
    if program.root.is_empty() {
        return Ok(());
    }
    let folder = crate::path_of(&program.root);
    let shown = folder.display();
    if !is_root {
        return Err(format!("/={shown}: only root may give a program another root"));
    }
    let told = |error: std::io::Error| format!("/={shown}: {}", sys::error_words(&error));
    let folder: PathBuf = std::fs::canonicalize(&folder).map_err(told)?;
    if sys::disk::is_roots_alone(&folder).map_err(told)? {
        return Ok(());
    }
    Err(format!("/={shown}: not a folder that only root can change"))
}
