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
    /// Open for writing, make, rename, remove, sync, lock; make files in memory.
    FilesWrite,
    /// Make sockets of this machine (Unix) and connect them.
    SocketUnix,
    /// Become the user and the group that one is already, as programs do that expect to be started as root.
    OwnIds,
    /// Start programs and end them. A program inherits the cage and needs its files ([`Calls::FilesRead`], and a
    /// grant to execute), and its code needs memory that is executable.
    Spawn,
}

/// What every role may call: memory, time, waiting, the descriptors it holds, its own end.
pub(super) const BASE: &[libc::c_long] = &[
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_close_range,
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
    libc::SYS_futex_waitv,
    libc::SYS_getcpu,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpeername,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
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
    libc::SYS_preadv2,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_set_robust_list,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_sigaltstack,
    libc::SYS_signalfd4,
    libc::SYS_sysinfo,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_gettime,
    libc::SYS_timerfd_settime,
    libc::SYS_uname,
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

/// [`Calls::SocketUnix`], beside `socket` itself.
pub(super) const SOCKET_UNIX: &[libc::c_long] = &[libc::SYS_connect, libc::SYS_socketpair];

/// [`Calls::OwnIds`]. Without capabilities there is nobody else to become.
pub(super) const OWN_IDS: &[libc::c_long] = &[
    libc::SYS_setfsgid,
    libc::SYS_setfsuid,
    libc::SYS_setgid,
    libc::SYS_setregid,
    libc::SYS_setresgid,
    libc::SYS_setresuid,
    libc::SYS_setreuid,
    libc::SYS_setuid,
];

/// [`Calls::Spawn`], beside `clone` and `prctl`, which are looked at.
pub(super) const SPAWN: &[libc::c_long] = &[
    libc::SYS_chdir,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_fchdir,
    libc::SYS_getgroups,
    libc::SYS_getpgid,
    libc::SYS_getresgid,
    libc::SYS_getresuid,
    libc::SYS_getsid,
    libc::SYS_kill,
    // A cage can only become narrower by it.
    libc::SYS_landlock_restrict_self,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_pipe2,
    libc::SYS_prlimit64,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_set_tid_address,
    libc::SYS_setpgid,
    libc::SYS_setsid,
    libc::SYS_times,
    libc::SYS_umask,
    libc::SYS_wait4,
    libc::SYS_waitid,
];

/// The older forms of [`SPAWN`].
#[cfg(target_arch = "x86_64")]
pub(super) const SPAWN_OLDER: &[libc::c_long] =
    &[libc::SYS_fork, libc::SYS_getpgrp, libc::SYS_pipe, libc::SYS_vfork];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const SPAWN_OLDER: &[libc::c_long] = &[];

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
    libc::SYS_copy_file_range,
    libc::SYS_fallocate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fdatasync,
    libc::SYS_fgetxattr,
    libc::SYS_flock,
    libc::SYS_fremovexattr,
    libc::SYS_fsetxattr,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_linkat,
    libc::SYS_memfd_create,
    libc::SYS_mkdirat,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_pwritev2,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_sendfile,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_group_holds_a_call_that_leads_around_the_others() {
        let banned = [
            libc::SYS_add_key,
            libc::SYS_bpf,
            libc::SYS_chroot,
            libc::SYS_clone3,
            libc::SYS_delete_module,
            libc::SYS_finit_module,
            libc::SYS_init_module,
            libc::SYS_io_uring_enter,
            libc::SYS_io_uring_register,
            libc::SYS_io_uring_setup,
            libc::SYS_kexec_load,
            libc::SYS_keyctl,
            libc::SYS_mount,
            libc::SYS_open_by_handle_at,
            libc::SYS_perf_event_open,
            libc::SYS_personality,
            libc::SYS_pidfd_getfd,
            libc::SYS_pivot_root,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_ptrace,
            libc::SYS_seccomp,
            libc::SYS_setns,
            libc::SYS_unshare,
            libc::SYS_userfaultfd,
        ];
        let groups = [
            BASE,
            BASE_OLDER,
            ACCEPT,
            SOCKET_INET,
            SOCKET_UNIX,
            OWN_IDS,
            FILES_READ,
            FILES_READ_OLDER,
            FILES_WRITE,
            FILES_WRITE_OLDER,
            SPAWN,
            SPAWN_OLDER,
        ];
        assert!(!groups.concat().iter().any(|call| banned.contains(call)));
    }
}
