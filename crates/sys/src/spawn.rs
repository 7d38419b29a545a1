//! Starting our own program again, with nothing inherited but what is handed over.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Our own program.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
}

/// A running child.
#[derive(Debug)]
pub struct Child {
    inner: std::process::Child,
}

impl Program {
    /// The program that runs now.
    ///
    /// # Errors
    /// The kernel does not say where it is.
    pub fn ourselves() -> io::Result<Self> {
        // The kernel's own link: it stays right when the file is replaced by a newer one.
        let link = PathBuf::from("/proc/self/exe");
        let path = if link.exists() { link } else { std::env::current_exe()? };
        Ok(Self { path })
    }

    /// Starts it with these words, a clean environment, and the descriptors at the numbers given. It dies
    /// with us.
    ///
    /// # Errors
    /// Out of processes or memory.
    pub fn start(&self, words: &[&str], descriptors: Vec<(OwnedFd, RawFd)>) -> io::Result<Child> {
        let (name, rest) = words.split_first().ok_or_else(|| io::Error::other("no words"))?;
        let mut command = Command::new(&self.path);
        command.arg0(name).args(rest).env_clear().stdin(Stdio::null()).current_dir("/");
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
        if let Some(zone) = std::env::var_os("TZ") {
            command.env("TZ", zone);
        }
        let parent = rustix::process::getpid();
        let places: Vec<(RawFd, RawFd)> =
            descriptors.iter().map(|(from, to)| (from.as_raw_fd(), *to)).collect();
        let prepare = move || {
            for &(from, to) in &places {
                place(from, to)?;
            }
            let kill = Some(rustix::process::Signal::KILL);
            rustix::process::set_parent_process_death_signal(kill)?;
            if rustix::process::getppid() != Some(parent) {
                return Err(io::Error::other("the parent is gone"));
            }
            Ok(())
        };
        // SAFETY: between fork and exec the closure makes system calls only (dup2, fcntl, prctl, getppid):
        // no memory is allocated, no lock taken.
        unsafe { command.pre_exec(prepare) };
        let inner = command.spawn()?;
        drop(descriptors);
        Ok(Child { inner })
    }
}

/// Puts a descriptor at a number, open across exec.
fn place(from: RawFd, to: RawFd) -> io::Result<()> {
    let result = if from == to {
        // SAFETY: fcntl on numbers touches no memory.
        unsafe { nix::libc::fcntl(to, nix::libc::F_SETFD, 0) }
    } else {
        // SAFETY: dup2 on numbers touches no memory; the child owns its whole table.
        unsafe { nix::libc::dup2(from, to) }
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

impl Child {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.inner.id()
    }

    /// Ends it at once.
    ///
    /// # Errors
    /// It has ended already.
    pub fn kill(&self) -> io::Result<()> {
        let pid = i32::try_from(self.inner.id()).ok().and_then(rustix::process::Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("no such process"))?;
        Ok(rustix::process::kill_process(pid, rustix::process::Signal::KILL)?)
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<Ended> {
        let status = self.inner.try_wait().ok()??;
        Some(match (status.code(), status.signal()) {
            (Some(code), _) => Ended::Exited(code),
            (None, signal) => Ended::Signalled(signal.unwrap_or(0)),
        })
    }
}
