//! Groups of system calls: the words in which the table of roles speaks.
//!
//! What is in no group can't be called: no ptrace, no `io_uring` (it would do what the filter
//! forbids), no mount, no namespaces, no bpf, no keys, no other process's memory.

use nix::libc;

/// A group of system calls that a role may have beside the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// Start threads (never processes).
    Threads,
    /// Take connections from a listening socket.
    Accept,
    /// Make sockets of the internet families, connect and bind them.
    SocketInet,
    /// Open for reading, list, stat.
    FilesRead,
    /// Open for writing, make, rename, remove, sync, lock.
    FilesWrite,
}

/// What every role may call: memory, time, waiting, the descriptors it holds, its own end.
pub(super) const BASE: &[libc::c_long] = &[
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_futex,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpeername,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getrandom,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_set_robust_list,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_sigaltstack,
    libc::SYS_write,
    libc::SYS_writev,
];

/// The same on machines whose kernels still have the older forms.
#[cfg(target_arch = "x86_64")]
pub(super) const BASE_OLDER: &[libc::c_long] = &[
    libc::SYS_arch_prctl,
    libc::SYS_dup2,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_poll,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const BASE_OLDER: &[libc::c_long] = &[];

/// [`Calls::Accept`].
pub(super) const ACCEPT: &[libc::c_long] = &[libc::SYS_accept, libc::SYS_accept4];

/// [`Calls::SocketInet`], beside `socket` itself, whose families are looked at.
pub(super) const SOCKET_INET: &[libc::c_long] = &[libc::SYS_bind, libc::SYS_connect];

/// [`Calls::FilesRead`], beside `openat`, whose flags are looked at.
pub(super) const FILES_READ: &[libc::c_long] = &[
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fstatfs,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_newfstatat,
    libc::SYS_readlinkat,
    libc::SYS_statfs,
    libc::SYS_statx,
];

/// [`Calls::FilesWrite`].
pub(super) const FILES_WRITE: &[libc::c_long] = &[
    libc::SYS_fallocate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_linkat,
    libc::SYS_mkdirat,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_pwritev2,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_sync_file_range,
    libc::SYS_syncfs,
    libc::SYS_umask,
    libc::SYS_unlinkat,
    libc::SYS_utimensat,
];

/// The older forms of [`FILES_READ`] and [`FILES_WRITE`].
#[cfg(target_arch = "x86_64")]
pub(super) const FILES_READ_OLDER: &[libc::c_long] =
    &[libc::SYS_access, libc::SYS_lstat, libc::SYS_readlink, libc::SYS_stat];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const FILES_READ_OLDER: &[libc::c_long] = &[];
/// The older forms of [`FILES_WRITE`].
#[cfg(target_arch = "x86_64")]
pub(super) const FILES_WRITE_OLDER: &[libc::c_long] = &[
    libc::SYS_chmod,
    libc::SYS_link,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const FILES_WRITE_OLDER: &[libc::c_long] = &[];
