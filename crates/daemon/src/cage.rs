//! Builds the cage of a role from its row of the table, and proves it by deed.

use crate::edges::Proof;
use crate::link::LinkError;
use crate::roles::{Deed, Duty, Grows, Role};
use crate::start::Inheritance;
use deliver::AgentSpool;
use policy::{MailboxPlace, Settings, Transport};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use sys::confine::{Cage, Calls, Entered, Grant, Hidden, Identity, Limits, Narrower};

/// Threads of a role that may have some, over all processes of its user.
const THREADS_MAX: u64 = 64;

/// Octets of the largest file of the spool: a segment, and what recovery puts aside of one.
const SEGMENT_FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// What a stored body may have beside the message as it came: the fields that we add.
const BODY_SLACK_BYTES: u64 = 1024 * 1024;

/// Processes of one user while a program runs for him: enough for his sessions, not for a fork bomb.
const PROCESSES_OF_USER_MAX: u64 = 2000;

/// Of programs that users wish for: what they make is theirs to write, as sendmail has it.
const UMASK_OF_PROGRAMS: u32 = 0o022;

/// Of local delivery agents: what they make is the user's and the mail spool's group's, and nobody else's.
const UMASK_OF_AGENTS: u32 = 0o007;

/// All deeds, in the order of the report.
const DEEDS: [Deed; 5] = [Deed::OpenPasswd, Deed::Socket, Deed::Network, Deed::Execve, Deed::Kill];

/// Enters the cage of the role. What this kernel can't give, in words; empty: nothing.
///
/// # Errors
/// The cage can't be built: the role must not work.
pub(crate) fn enter(inheritance: &Inheritance) -> Result<String, LinkError> {
    enter_with(inheritance, &[])
}

/// The same, with folders that are open already and may be written below.
pub(crate) fn enter_with(
    inheritance: &Inheritance,
    folders: &[BorrowedFd<'_>],
) -> Result<String, LinkError> {
    Ok(close(inheritance, folders, None)?.weaker())
}

/// A mail spool of which only this user's mailbox is seen, and where that mailbox is.
pub(crate) type HiddenSpool = (Hidden, PathBuf);

/// Hides the mailboxes of others from a local delivery agent, where we may. Comes before the cage.
pub(crate) fn hide_mailboxes(inheritance: &Inheritance) -> Option<HiddenSpool> {
    let identity = inheritance.identity.as_ref()?;
    let mailbox = mailbox(inheritance)?;
    // Without it the rules of the cage keep an agent from them, and from making lock files too.
    let hidden = sys::confine::hide_folder(&mailbox, identity.uid, identity.gid).ok()?;
    Some((hidden, mailbox))
}

/// Enters the cage of a role that has a mail spool of its own: its programs do not have the real one.
pub(crate) fn enter_hiding(
    inheritance: &Inheritance,
    hidden: Option<HiddenSpool>,
) -> Result<(String, Option<AgentSpool>), LinkError> {
    let real = hidden.as_ref().map(|(hidden, _)| hidden.folder.as_fd());
    let entered = close(inheritance, &[], real)?;
    let spool = hidden.zip(entered.for_programs());
    let spool =
        spool.map(|((hidden, mailbox), programs)| AgentSpool::new(hidden, &mailbox, programs));
    Ok((entered.weaker(), spool))
}

fn close(
    inheritance: &Inheritance,
    folders: &[BorrowedFd<'_>],
    hidden: Option<BorrowedFd<'_>>,
) -> Result<Entered, LinkError> {
    let duty = inheritance.role.duty();
    let mut grants: Vec<Grant<'_>> =
        folders.iter().map(|&folder| Grant::WriteBelow(folder)).collect();
    let mailbox = mailbox(inheritance);
    let spool = mailbox.as_deref().and_then(Path::parent);
    let paths = paths(inheritance, spool);
    for (path, writes) in &paths {
        grants.push(if *writes { Grant::WritePath(path) } else { Grant::ReadPath(path) });
    }
    let programs = if inheritance.role == Role::Agent { runnable(spool) } else { Vec::new() };
    grants.extend(programs.iter().map(|path| Grant::ExecutePath(path)));
    if let (Some(hidden), Some(spool)) = (hidden, spool) {
        grants.push(Grant::OursBelow(hidden));
        grants.push(Grant::WritePath(spool));
    }
    if let Some(mailbox) = &mailbox {
        grants.push(Grant::OwnMailbox(mailbox));
        grants.push(Grant::ListPath(Path::new("/")));
    }
    let identity = inheritance.identity.as_ref().map(|identity| Identity {
        uid: identity.uid,
        gid: identity.gid,
        groups: identity.groups.clone(),
    });
    // Programs of users submit mail (vacation, lists); delivery agents ask others of this machine about users (authdaemon,
    // dovecot's auth). Both may expect to be root and become the user first.
    let is_agent = inheritance.role == Role::Agent;
    let local: &[Calls] = if is_agent { &[Calls::SocketUnix, Calls::OwnIds] } else { &[] };
    let calls = [duty.calls, local].concat();
    let cage = Cage {
        name: duty.name,
        identity,
        limits: Limits { descriptors: duty.descriptors_max, memory_bytes: duty.memory_bytes_max },
        grants,
        calls: &calls,
    };
    let narrower = narrower(duty, inheritance, mailbox.is_some());
    cage.enter_narrower(&narrower).map_err(|error| LinkError::System(std::io::Error::other(error)))
}

/// The bounds that follow from the table and the settings.
fn narrower(duty: &Duty, inheritance: &Inheritance, is_delivery_agent: bool) -> Narrower {
    let settings = &inheritance.settings;
    // The kernel counts by user: where a role has none of its own, others' processes would count as its threads.
    let processes = if duty.role == Role::Agent {
        // Those of the user's own sessions count too.
        inheritance.identity.is_some().then_some(PROCESSES_OF_USER_MAX)
    } else if duty.calls.contains(&Calls::Threads) {
        inheritance.identity.is_some().then_some(THREADS_MAX)
    } else {
        Some(0)
    };
    let file_bytes = match duty.grows {
        // A role that logs into a file makes it grow, and would be killed for it: also where the system's log is
        // wanted and nobody listens there.
        _ if writes_into_a_file() => None,
        Grows::Nothing => Some(0),
        Grows::Body => Some(settings.limits.message_bytes_max.saturating_add(BODY_SLACK_BYTES)),
        Grows::Segment => Some(SEGMENT_FILE_BYTES_MAX),
        Grows::Anything => None,
    };
    // Whoever makes sockets connects and never listens; an address of our own may be bound, a port may not.
    let from = &settings.calling.from;
    let binds = duty.role == Role::Relay && (from.four.is_some() || from.six.is_some());
    let bind_ports = Some(if binds { vec![0] } else { Vec::new() });
    let umask = (duty.role == Role::Agent).then_some(if is_delivery_agent {
        UMASK_OF_AGENTS
    } else {
        UMASK_OF_PROGRAMS
    });
    let believed_gid = inheritance.identity.as_ref().filter(|_| is_delivery_agent);
    // The user's own comes first.
    let believed_gid = believed_gid.and_then(|identity| identity.groups.first().copied());
    Narrower { file_bytes, processes, connect_ports: None, bind_ports, umask, believed_gid }
}

/// The mailbox of a local delivery agent, which has the group of the mail spool.
fn mailbox(inheritance: &Inheritance) -> Option<PathBuf> {
    let identity = inheritance.identity.as_ref().filter(|_| inheritance.role == Role::Agent)?;
    let mailbox = crate::path_of(&identity.mailbox);
    let folder = mailbox.parent()?.canonicalize().ok()?;
    Some(folder.join(mailbox.file_name()?))
}

/// Below what programs may be read and run: everything, but for a local delivery agent not the mail spool. It carries out
/// what the user wrote (`.procmailrc`) with a group that may read the mailboxes of others.
fn runnable(spool: Option<&Path>) -> Vec<PathBuf> {
    without(PathBuf::from("/"), spool)
}

/// A tree, less the mail spool of a local delivery agent.
fn without(tree: PathBuf, spool: Option<&Path>) -> Vec<PathBuf> {
    match spool {
        Some(spool) => around(tree, spool),
        None => vec![tree],
    }
}

/// A tree in parts that leave out one folder and all below it. Links are left out: what they lead to has a part of its own.
fn around(tree: PathBuf, left_out: &Path) -> Vec<PathBuf> {
    if tree.starts_with(left_out) {
        return Vec::new();
    }
    if !left_out.starts_with(&tree) {
        return vec![tree];
    }
    let entries = std::fs::read_dir(&tree).into_iter().flatten().flatten();
    let entries = entries.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()));
    entries.flat_map(|entry| around(entry.path(), left_out)).collect()
}

/// Whether standard output or standard error is a file.
fn writes_into_a_file() -> bool {
    let is_file = |descriptor: BorrowedFd<'_>| {
        let file = descriptor.try_clone_to_owned().map(std::fs::File::from);
        // What can't be looked at is taken as one.
        file.and_then(|file| file.metadata()).map_or(true, |facts| facts.is_file())
    };
    is_file(std::io::stdout().as_fd()) || is_file(std::io::stderr().as_fd())
}

/// The paths a role may use, and whether it may write there.
fn paths(inheritance: &Inheritance, spool: Option<&Path>) -> Vec<(PathBuf, bool)> {
    let settings = &inheritance.settings;
    match inheritance.role {
        Role::Policy => {
            let own = settings.paths.read.iter().map(|path| (crate::path_of(path), false));
            let users = ["/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/shells"];
            own.chain(users.iter().map(|path| (PathBuf::from(path), false))).collect()
        }
        // The rights of the user it is are the bound; it writes nowhere.
        Role::Reader => vec![(PathBuf::from("/"), false)],
        Role::Deliver => mailbox_paths(settings, inheritance),
        Role::Agent => agent_paths(inheritance, spool),
        Role::Master | Role::Smtpd | Role::Resolver | Role::Queue | Role::Relay | Role::Control => {
            Vec::new()
        }
    }
}

/// The folders of the mailboxes that a child may write.
fn mailbox_paths(settings: &Settings, inheritance: &Inheritance) -> Vec<(PathBuf, bool)> {
    let home = inheritance.identity.as_ref().map(|identity| identity.home.as_ref());
    let roots = inheritance.identity.as_ref().map(|identity| crate::path_of(&identity.mailbox));
    let roots = roots.as_deref().and_then(Path::parent).filter(|folder| folder.is_absolute());
    let mut paths: Vec<_> = roots.map(|folder| (folder.to_owned(), true)).into_iter().collect();
    for mailer in &settings.mailers {
        let (Transport::Maildir(place) | Transport::Mbox(place)) = &mailer.transport else {
            continue;
        };
        match place {
            MailboxPlace::Folder(folder) | MailboxPlace::Spool(folder) => {
                paths.push((crate::path_of(folder), true));
            }
            MailboxPlace::Home(_) => {
                if let Some(home) = home.filter(|home| !home.is_empty()) {
                    paths.push((crate::path_of(home), true));
                }
            }
        }
    }
    paths
}

/// Trees of the system, in which no program that mail started writes, whatever its user may.
const SYSTEM_TREES: [&str; 16] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var/run",
    "/var/spool",
];

/// What a program may write of those all the same.
const NEVERTHELESS: [&str; 2] = ["/dev/null", "/var/spool/mail"];

/// What a program may write, if its user may: everything but the system's own trees. It reads what its user may read.
/// A local delivery agent has rules of its own for the mail spool.
fn agent_paths(inheritance: &Inheritance, spool: Option<&Path>) -> Vec<(PathBuf, bool)> {
    let home = inheritance.identity.as_ref().map(|identity| crate::path_of(&identity.home));
    let home = home.filter(|home| home.components().count() > 1);
    let below = |folder: &str| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let trees = below("/").chain(below("/var")).map(|entry| entry.path());
    let is_system = |path: &Path| SYSTEM_TREES.iter().any(|tree| path.starts_with(tree));
    trees
        // A rule for all of /var would hold for the parts that are taken out.
        .filter(|path| !is_system(path) && path != Path::new("/var"))
        .chain(NEVERTHELESS.map(PathBuf::from))
        .chain(home)
        // A link is followed when its rule is made: it must not lead into a system's tree.
        .filter_map(|path| {
            path.canonicalize().ok().filter(|real| *real == path || !is_system(real))
        })
        .flat_map(|path| without(path, spool))
        .map(|path| (path, true))
        .collect()
}

/// Tries each deed, and lists what is open.
pub(crate) fn prove(role: Role, index: u8, edges: Vec<Role>, with_deeds: bool) -> Proof {
    let tried = if with_deeds { DEEDS.as_slice() } else { &[] };
    let deeds = tried.iter().map(|&deed| (deed, sys::deed::attempt(deed).is_ok())).collect();
    let descriptors = sys::deed::descriptors();
    let descriptors = descriptors.into_iter().map(|(number, kind)| (number, kind.into())).collect();
    Proof { role, index, pid: std::process::id(), deeds, descriptors, edges }
}
