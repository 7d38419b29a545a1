//! Starting our own program again, with nothing inherited but what is handed over.

use nix::libc;
use nix::sys::signal::SigSet;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

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

/// How a child starts; the default: in our session, with the signals blocked that we block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Manner {
    /// In a session of its own: what is typed at our terminal does not reach it.
    pub has_own_session: bool,
    /// With no signal blocked, as a program expects that knows nothing of us.
    pub hears_signals: bool,
    /// Left to itself: it goes on when who started it ends, with nothing but `/dev/null` to write to.
    pub is_left_alone: bool,
}

/// A running child. It is not ended by being forgotten.
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

    /// Starts it with these words, a clean environment, and the descriptors at the numbers given; all others are
    /// closed. It dies with the thread that starts it (but see [`Manner`]).
    ///
    /// # Errors
    /// Out of processes or memory, or a number is given twice or below 0.
    pub fn start(&self, words: &[&str], descriptors: Vec<(OwnedFd, RawFd)>) -> io::Result<Child> {
        self.start_as(words, descriptors, Manner::default())
    }

    /// The same, with a manner of starting.
    ///
    /// # Errors
    /// As [`Program::start`].
    pub fn start_as(
        &self,
        words: &[&str],
        descriptors: Vec<(OwnedFd, RawFd)>,
        manner: Manner,
    ) -> io::Result<Child> {
        let (name, rest) = words.split_first().ok_or_else(|| io::Error::other("no words"))?;
        let mut command = Command::new(&self.path);
        command.arg0(name).args(rest).env_clear().stdin(Stdio::null()).current_dir("/");
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
        if manner.is_left_alone {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        if let Some(zone) = std::env::var_os("TZ") {
            command.env("TZ", zone);
        }
        let luggage = Luggage::pack(descriptors)?;
        let parent = rustix::process::getpid();
        let nothing = SigSet::empty();
        let places = luggage.places();
        let prepare = move || {
            // Whoever made a descriptor without close-on-exec does not give it away by that.
            close_from(3)?;
            for &(from, to) in &places {
                place(from, to)?;
            }
            if manner.has_own_session {
                rustix::process::setsid()?;
            }
            if manner.hears_signals {
                nothing.thread_set_mask()?;
            }
            if manner.is_left_alone {
                return Ok(());
            }
            let kill = Some(rustix::process::Signal::KILL);
            rustix::process::set_parent_process_death_signal(kill)?;
            if rustix::process::getppid() != Some(parent) {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        };
        // SAFETY: between fork and exec the closure makes system calls only (close_range, dup2, setsid,
        // sigprocmask, prctl, getppid): no memory is allocated, no lock taken.
        unsafe { command.pre_exec(prepare) };
        let inner = command.spawn()?;
        drop(luggage);
        Ok(Child { inner })
    }
}

/// Descriptors on their way to their numbers. In the child, dup2 closes whatever has the number: that must be
/// neither another descriptor on its way, nor the pipe by which std hears that exec failed. So all are first moved
/// above every number wanted, and each number wanted is taken until the child is there.
struct Luggage {
    moved: Vec<(OwnedFd, RawFd)>,
    /// Held for what it takes away.
    _taken: Vec<OwnedFd>,
}

impl Luggage {
    fn pack(descriptors: Vec<(OwnedFd, RawFd)>) -> io::Result<Self> {
        let mut wanted: Vec<RawFd> = descriptors.iter().map(|&(_, to)| to).collect();
        wanted.sort_unstable();
        let above = wanted.last().map_or(3, |highest| highest.saturating_add(1));
        let is_twice = wanted.array_windows().any(|[one, two]| one == two);
        if is_twice || wanted.first().is_some_and(|&lowest| lowest < 0) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut moved = Vec::new();
        for (descriptor, to) in descriptors {
            moved.push((rustix::io::fcntl_dupfd_cloexec(&descriptor, above)?, to));
        }
        let mut taken = Vec::new();
        if let Some((some, _)) = moved.first() {
            for number in wanted {
                // The lowest free number from here: this one, unless it is in use, which is as good.
                taken.push(rustix::io::fcntl_dupfd_cloexec(some, number)?);
            }
        }
        Ok(Self { moved, _taken: taken })
    }

    fn places(&self) -> Vec<(RawFd, RawFd)> {
        self.moved.iter().map(|(from, to)| (from.as_raw_fd(), *to)).collect()
    }
}

/// Marks every descriptor from this number on to be closed by exec.
fn close_from(number: libc::c_uint) -> io::Result<()> {
    // SAFETY: close_range with this flag changes marks of numbers and touches no memory.
    let result = unsafe {
        libc::syscall(libc::SYS_close_range, number, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
    };
    if result >= 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // Linux before 5.11: what we open ourselves is close-on-exec anyway.
        Some(libc::ENOSYS | libc::EINVAL | libc::EPERM) => Ok(()),
        Some(_) | None => Err(error),
    }
}

/// Puts a descriptor at a number, open across exec.
fn place(from: RawFd, to: RawFd) -> io::Result<()> {
    // SAFETY: dup2 on numbers touches no memory; the child owns its whole table.
    let result = unsafe { libc::dup2(from, to) };
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
        Some(Ended::from(self.inner.try_wait().ok()??))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Somebody else has waited for it.
    pub fn wait(&mut self) -> io::Result<Ended> {
        Ok(Ended::from(self.inner.wait()?))
    }

    /// A descriptor that becomes readable when it ends (Linux 5.3).
    ///
    /// # Errors
    /// It has ended and was asked for, or the kernel is too old.
    pub fn watch(&self) -> io::Result<OwnedFd> {
        let pid = i32::try_from(self.inner.id()).ok().and_then(rustix::process::Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("no such process"))?;
        Ok(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?)
    }
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exited(code),
            (None, signal) => Self::Signalled(signal.unwrap_or(0)),
        }
    }
}
