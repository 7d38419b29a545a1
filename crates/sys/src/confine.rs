//! The cage of a process: built from data, entered once, never left.
//!
//! In this order, each step checked (a step that fails silently is how sendmail 8.10.1 kept root on a kernel that
//! refused to drop it, CVE-2000-0506): one thread; no new privileges; the bounding set; groups, group, user, and
//! the proof that there is no way back; capabilities; not dumpable; death with the parent, where it was asked for;
//! limits; files and ports (Landlock); system calls (seccomp). The bounding set comes before the user, because
//! a user who is not root may not drop it; Landlock comes before seccomp, which forbids its calls.

mod calls;
mod caps;
mod hidden;
mod landlock;
mod limits;
mod seccomp;

pub use calls::Calls;
pub use hidden::{Hidden, hide_folder, make_mailbox};
pub use landlock::{Enforced, ForPrograms, keeps_files};

use nix::libc;
use nix::unistd::{Gid, Uid};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

/// A cage, not yet entered.
#[derive(Debug)]
pub struct Cage<'a> {
    /// The name of the process in `ps`.
    pub name: &'a str,
    /// Whom to become; `None`: stay who we are.
    pub identity: Option<Identity>,
    /// Bounds of resources.
    pub limits: Limits,
    /// Files that may be used; nothing else can be opened.
    pub grants: Vec<Grant<'a>>,
    /// System calls beside the base.
    pub calls: &'a [Calls],
}

/// A user to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
}

/// Bounds of resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open descriptors.
    pub descriptors: u64,
    /// Address space in octets.
    pub memory_bytes: u64,
}

/// A part of the file system that may be used.
#[derive(Debug, Clone, Copy)]
pub enum Grant<'a> {
    /// A file, or a folder and all below it, for reading.
    ReadPath(&'a Path),
    /// A folder and all below it, for reading and writing.
    WritePath(&'a Path),
    /// The same, of a folder that is open already.
    WriteBelow(BorrowedFd<'a>),
    /// The same, for this process and not for the programs that it starts ([`Entered::for_programs`]).
    OursBelow(BorrowedFd<'a>),
    /// A folder and all below it, open already, for reading.
    ReadBelow(BorrowedFd<'a>),
    /// A folder and all below it: new files may be made and written there; nothing is read or removed.
    MakePath(&'a Path),
    /// A program, or a folder of programs, to be read and executed (beside [`Calls::Spawn`]).
    ExecutePath(&'a Path),
    /// A folder and all below it: names may be listed, nothing is opened.
    ListPath(&'a Path),
    /// The mailbox of the user that this process becomes: read and written, a file or a folder of his. A file that is not
    /// there is made empty, so that the rule has something to hold; what is not his own is left alone.
    OwnMailbox(&'a Path),
}

/// What makes a cage narrower still; the default: nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Narrower {
    /// No file may grow above this, in octets. A write above it ends the process by SIGXFSZ.
    pub file_bytes: Option<u64>,
    /// Processes and threads of this user at most, over the whole machine.
    pub processes: Option<u64>,
    /// With [`Calls::SocketInet`]: the only TCP ports of others to connect to.
    pub connect_ports: Option<Vec<u16>>,
    /// With [`Calls::SocketInet`]: the only TCP ports of our own to bind.
    pub bind_ports: Option<Vec<u16>>,
    /// The rights that new files do not have (umask).
    pub umask: Option<u32>,
    /// With [`Calls::OwnIds`]: a group that this process is told it has become when it asks for that, though it keeps its
    /// own. An agent that makes itself its user's alone gives nothing away that the cage does not keep from it.
    pub believed_gid: Option<u32>,
}

/// A step that failed.
#[derive(Debug)]
pub struct ConfineError {
    step: &'static str,
    error: io::Error,
}

impl std::fmt::Display for ConfineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the cage can't be closed: {}: {}", self.step, self.error)
    }
}

impl std::error::Error for ConfineError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl ConfineError {
    /// The step that failed, in a word or two.
    #[must_use]
    pub fn step(&self) -> &'static str {
        self.step
    }
}

/// What the cage came to.
#[derive(Debug, Clone)]
pub struct Entered {
    files: Enforced,
    for_programs: Option<ForPrograms>,
}

impl Entered {
    /// How far the kernel went along with the rules of files and ports.
    #[must_use]
    pub fn files(&self) -> Enforced {
        self.files
    }

    /// What programs must be started with, because this process has a [`Grant::OursBelow`].
    #[must_use]
    pub fn for_programs(&self) -> Option<ForPrograms> {
        self.for_programs.clone()
    }

    /// What this kernel could not give, in words; empty: nothing.
    #[must_use]
    pub fn weaker(&self) -> String {
        match self.files {
            Enforced::Fully => String::new(),
            Enforced::Partly => "this kernel has not all of Landlock".into(),
            Enforced::Not => {
                "this kernel has no Landlock: files are kept by the user and by seccomp".into()
            }
        }
    }
}

/// Gives this process, which is root, another root, before it enters its cage; it then stands there.
///
/// # Errors
/// We are not root, or there is no such folder.
pub fn change_root(folder: &Path) -> io::Result<()> {
    rustix::process::chdir(folder)?;
    rustix::process::chroot(".")?;
    Ok(rustix::process::chdir("/")?)
}

/// Makes this process wait for others by so much more (nice); who asks for less and may not stays as he is.
pub fn be_nicer(by: i8) {
    if by != 0 {
        rustix::process::nice(by.into()).ok();
    }
}

/// Names a step in its error.
fn step<T, E: Into<io::Error>>(
    step: &'static str,
    result: Result<T, E>,
) -> Result<T, ConfineError> {
    result.map_err(|error| ConfineError { step, error: error.into() })
}

impl Cage<'_> {
    /// Enters the cage. The process must have one thread.
    ///
    /// # Errors
    /// The step that failed; the process is then somewhere in between, and must end.
    pub fn enter(self) -> Result<Entered, ConfineError> {
        self.enter_narrower(&Narrower::default())
    }

    /// The same, in a cage that is narrower still.
    ///
    /// # Errors
    /// As [`Cage::enter`].
    pub fn enter_narrower(self, narrower: &Narrower) -> Result<Entered, ConfineError> {
        one_thread()?;
        let parent = Parent::remember()?;
        // A name is a courtesy to `ps`.
        crate::title::set(self.name).ok();
        if let Some(umask) = narrower.umask {
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
        }
        step("no_new_privs", rustix::thread::set_no_new_privs(true))?;
        caps::drop_bounding_set()?;
        if let Some(identity) = &self.identity {
            become_user(identity)?;
        }
        caps::drop_all()?;
        let not = rustix::process::DumpableBehavior::NotDumpable;
        step("not dumpable", rustix::process::set_dumpable_behavior(not))?;
        parent.die_with()?;
        limits::set(&self.limits, narrower)?;
        let ports = landlock::Ports::of(self.calls, narrower);
        let for_programs = step("files", landlock::for_programs(&self.grants))?;
        let files = step("files", landlock::restrict(&self.grants, &ports))?;
        step("system calls", seccomp::restrict(self.calls, narrower.believed_gid))?;
        Ok(Entered { files, for_programs })
    }
}

/// Landlock, seccomp and capabilities hold for the thread that asks and those it starts later: a second thread
/// would stay outside. The kernel says without /proc how many there are: to leave the thread group is nothing
/// for a process of one thread, and EINVAL for any other.
fn one_thread() -> Result<(), ConfineError> {
    // SAFETY: unshare of CLONE_THREAD alone changes nothing and touches no memory.
    let result = unsafe { libc::syscall(libc::SYS_unshare, libc::CLONE_THREAD) };
    let error = io::Error::last_os_error();
    if result < 0 && error.raw_os_error() == Some(libc::EINVAL) {
        return step("one thread", Err(io::Error::other("there are others")));
    }
    Ok(())
}

/// A change of user or capabilities makes the kernel forget that this process is to die with its parent.
struct Parent {
    death: Option<rustix::process::Signal>,
    pid: Option<rustix::process::Pid>,
}

impl Parent {
    fn remember() -> Result<Self, ConfineError> {
        let pid = rustix::process::getppid();
        let death = step("parent", rustix::process::parent_process_death_signal())?;
        Ok(Self { death, pid })
    }

    /// Asks for the same death again, and looks whether the parent went in the meantime.
    fn die_with(&self) -> Result<(), ConfineError> {
        if self.death.is_none() {
            return Ok(());
        }
        step("parent", rustix::process::set_parent_process_death_signal(self.death))?;
        if rustix::process::getppid() == self.pid {
            return Ok(());
        }
        step("parent", Err(io::Error::other("it is gone")))
    }
}

fn become_user(identity: &Identity) -> Result<(), ConfineError> {
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    let groups: Vec<Gid> = identity.groups.iter().map(|&group| Gid::from_raw(group)).collect();
    step("groups", nix::unistd::setgroups(&groups))?;
    step("group", nix::unistd::setresgid(gid, gid, gid))?;
    step("user", nix::unistd::setresuid(uid, uid, uid))?;
    let users = step("user", nix::unistd::getresuid())?;
    let owns = step("group", nix::unistd::getresgid())?;
    if [users.real, users.effective, users.saved] != [uid; 3] {
        return step("user", Err(io::Error::other("the kernel did not obey")));
    }
    if [owns.real, owns.effective, owns.saved] != [gid; 3] {
        return step("group", Err(io::Error::other("the kernel did not obey")));
    }
    let mut now = step("groups", nix::unistd::getgroups())?;
    now.retain(|group| !groups.contains(group));
    if !now.is_empty() {
        return step("groups", Err(io::Error::other("the kernel did not obey")));
    }
    if uid.is_root() {
        return Ok(());
    }
    let root = Uid::from_raw(0);
    if nix::unistd::setuid(root).is_ok() || nix::unistd::setresuid(root, root, root).is_ok() {
        return step("user", Err(io::Error::other("there is a way back to root")));
    }
    Ok(())
}
