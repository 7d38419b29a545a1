//! Each wall of the cage, by deed: a forked child (one thread, as a role has) enters a cage and tries. As whoever runs
//! the tests, and when that is root, once more as nobody.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop")]
#![allow(clippy::panic, reason = "a test may stop")]
#![allow(unsafe_code, reason = "fork, for a process with one thread")]

use nix::libc;
use nix::unistd::ForkResult;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::Duration;
use sys::confine::{Cage, Calls, Enforced, Grant, Identity, Limits, Narrower};
use sys::deed::{Deed, attempt};
use sys::disk::Folder;

const DEEDS: [Deed; 4] = [Deed::OpenPasswd, Deed::Socket, Deed::Execve, Deed::Kill];
const NOBODY: u32 = 65_534;
/// A child that panicked.
const PANICKED: i32 = 101;

/// A panic in a forked child is told without the locks of the test program, which another thread of the parent may
/// have held when the child was forked.
fn tell_panics_of_children() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let (parent, usual) = (std::process::id(), std::panic::take_hook());
        std::panic::set_hook(Box::new(move |report| {
            if std::process::id() == parent {
                return usual(report);
            }
            rustix::io::write(rustix::stdio::stderr(), report.to_string().as_bytes()).ok();
        }));
    });
}

/// Runs `inside` in a forked child, and gives its exit code.
fn forked(inside: impl FnOnce() -> i32) -> i32 {
    tell_panics_of_children();
    // SAFETY: the child uses nothing that another thread of the test could have locked: malloc is made for
    // fork, and the test's own output is not touched.
    let child = match unsafe { nix::unistd::fork() }.unwrap() {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            let code = std::panic::catch_unwind(AssertUnwindSafe(inside)).unwrap_or(PANICKED);
            // SAFETY: ends the process without running what belongs to the parent.
            unsafe { libc::_exit(code) }
        }
    };
    let pid = rustix::process::Pid::from_raw(child.as_raw());
    let (_, status) = rustix::process::waitpid(pid, rustix::process::WaitOptions::empty())
        .unwrap()
        .expect("it has ended");
    status.exit_status().unwrap_or_else(|| -status.terminating_signal().unwrap_or(0))
}

fn is_root() -> bool {
    sys::user::effective_uid() == 0
}

/// Becomes nobody, as a caller who is not root.
fn become_nobody() {
    nix::unistd::setgroups(&[]).unwrap();
    nix::unistd::setgid(NOBODY.into()).unwrap();
    nix::unistd::setuid(NOBODY.into()).unwrap();
}

fn cage<'a>(calls: &'a [Calls], grants: Vec<Grant<'a>>) -> Cage<'a> {
    let identity = Identity { uid: 59_999, gid: 59_999, groups: Vec::new() };
    Cage {
        name: "caged",
        identity: is_root().then_some(identity),
        limits: Limits { descriptors: 64, memory_bytes: 8 << 30 },
        grants,
        calls,
    }
}

/// Runs `inside` in such a cage: as we are, and as nobody.
fn in_cage(calls: &[Calls], grants: &[Grant<'_>], inside: impl Fn() -> i32) -> i32 {
    let enter = || {
        let entered = cage(calls, grants.to_vec()).enter();
        match entered {
            Ok(_) => inside(),
            Err(error) => panic!("{error}"),
        }
    };
    let code = forked(enter);
    if is_root() {
        let as_nobody = forked(|| {
            become_nobody();
            enter()
        });
        assert_eq!(code, as_nobody, "root and nobody have the same cage");
    }
    code
}

/// The deeds that succeed in such a cage.
fn deeds_in(calls: &[Calls], grants: &[Grant<'_>]) -> Vec<Deed> {
    let code = in_cage(calls, grants, || {
        let done = DEEDS.iter().enumerate().filter(|(_, deed)| attempt(**deed).is_ok());
        done.map(|(bit, _)| 1 << bit).sum()
    });
    assert!((0..16).contains(&code), "{code}");
    let done = DEEDS.into_iter().enumerate().filter(|(bit, _)| code & (1 << bit) != 0);
    done.map(|(_, deed)| deed).collect()
}

/// A folder that anybody may use.
fn public_folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(folder.path(), open).unwrap();
    folder
}

#[test]
fn without_a_group_nothing_succeeds() {
    assert_eq!(deeds_in(&[], &[]), []);
}

#[test]
fn who_accepts_makes_no_sockets() {
    assert_eq!(deeds_in(&[Calls::Accept, Calls::Threads], &[]), []);
}

#[test]
fn who_connects_has_sockets_and_nothing_else() {
    assert_eq!(deeds_in(&[Calls::SocketInet], &[]), [Deed::Socket]);
    assert_eq!(deeds_in(&[Calls::SocketUnix], &[]), [Deed::Socket]);
}

#[test]
fn who_writes_below_one_folder_opens_nothing_beside_it() {
    let folder = public_folder();
    let calls = [Calls::FilesRead, Calls::FilesWrite, Calls::Threads];
    assert_eq!(deeds_in(&calls, &[Grant::WritePath(folder.path())]), []);
}

#[test]
fn who_may_read_one_file_reads_it() {
    let grants = [Grant::ReadPath(Path::new("/etc/passwd"))];
    assert_eq!(deeds_in(&[Calls::FilesRead], &grants), [Deed::OpenPasswd]);
}

#[test]
fn who_starts_programs_starts_those_that_are_granted() {
    let calls = [Calls::FilesRead, Calls::Spawn];
    let deeds = deeds_in(&calls, &[]);
    assert!(!deeds.contains(&Deed::Execve) && !deeds.contains(&Deed::OpenPasswd), "{deeds:?}");
    let grants = ["/bin", "/usr", "/lib", "/lib64", "/etc/ld.so.cache"];
    let mut grants: Vec<Grant<'_>> =
        grants.iter().map(|path| Grant::ExecutePath(Path::new(path))).collect();
    grants.push(Grant::WritePath(Path::new("/dev/null")));
    let calls = [Calls::FilesRead, Calls::FilesWrite, Calls::Spawn];
    let code = in_cage(&calls, &grants, || {
        let shell = std::process::Command::new("/bin/sh").args(["-c", "exit 7"]).status();
        shell.unwrap().code().unwrap()
    });
    assert_eq!(code, 7);
}

#[test]
fn reading_is_not_writing() {
    let folder = public_folder();
    std::fs::write(folder.path().join("file"), "x").unwrap();
    let path = folder.path().to_owned();
    let grants = [Grant::ReadPath(&path)];
    let code = in_cage(&[Calls::FilesRead, Calls::FilesWrite], &grants, || {
        assert_eq!(std::fs::read(path.join("file")).unwrap(), b"x");
        assert!(std::fs::write(path.join("new"), "y").is_err());
        assert!(std::fs::remove_file(path.join("file")).is_err());
        i32::from(std::fs::File::options().append(true).open(path.join("file")).is_ok())
    });
    assert_eq!(code, 0);
}

#[test]
fn who_reads_only_has_no_call_that_writes_even_without_landlock() {
    let code = in_cage(&[Calls::FilesRead], &[], || {
        let error = std::fs::File::create("/tmp/x").unwrap_err();
        error.raw_os_error().unwrap_or(0)
    });
    assert_eq!(code, libc::EPERM);
}

#[test]
fn a_spool_is_written_below_a_folder_that_was_handed_over() {
    let place = public_folder();
    let folder = Folder::open(place.path()).unwrap();
    let run = std::sync::atomic::AtomicI32::new(0);
    let calls = [Calls::FilesRead, Calls::FilesWrite, Calls::Threads];
    let code = in_cage(&calls, &[Grant::WriteBelow(folder.as_fd())], || {
        // The second run is another process: its user tells it apart.
        let name = format!("{}-{}", run.load(std::sync::atomic::Ordering::Relaxed), {
            sys::user::effective_uid()
        });
        let inner = folder.make_folder(&name).unwrap();
        let segment = inner.make_segment("1.seg", 65_536).unwrap();
        let mut blocks = sys::disk::AlignedBuffer::default();
        blocks.extend_from_slice(b"record");
        blocks.pad();
        segment.write(&blocks, 4096).unwrap();
        let unnamed = inner.make_unnamed().unwrap();
        unnamed.file().write_all(b"letter").unwrap();
        unnamed.keep("letter").unwrap();
        inner.rename_into("letter", &folder, format!("{name}.letter")).unwrap();
        assert!(sys::lock::flock(&folder.read(format!("{name}/1.seg")).unwrap()).unwrap());
        assert!(sys::lock::record(&folder.write(format!("{name}/1.seg")).unwrap()).unwrap());
        assert!(sys::memory::is_sealed(&sys::memory::sealed(b"body").unwrap()));
        assert!(folder.free_bytes().unwrap() > 0);
        assert!(folder.names().unwrap().len() >= 2);
        folder.remove(format!("{name}.letter")).unwrap();
        std::thread::spawn(|| 5).join().unwrap()
    });
    assert_eq!(code, 5);
}

#[test]
fn a_tokio_loop_lives_in_the_narrowest_cage() {
    let listener = sys::socket::listen_tcp("127.0.0.1:0".parse().unwrap(), None).unwrap();
    let address = sys::socket::local_address(listener.as_fd()).unwrap();
    let client = std::thread::spawn(move || {
        let rounds = if is_root() { 2 } else { 1 };
        for _ in 0..rounds {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(b"EHLO").unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            assert_eq!(answer, b"EHLO");
        }
    });
    let code = in_cage(&[Calls::Accept], &[], || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = std::net::TcpListener::from(listener.try_clone().unwrap());
        runtime.block_on(async {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut octets = [0; 4];
            stream.read_exact(&mut octets).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            stream.write_all(&octets).await.unwrap();
            stream.shutdown().await.unwrap();
        });
        3
    });
    assert_eq!(code, 3);
    client.join().unwrap();
}

#[test]
fn threads_may_start_and_processes_may_not() {
    let code = in_cage(&[Calls::Threads], &[], || {
        std::thread::Builder::new().name("worker".into()).spawn(|| ()).unwrap().join().unwrap();
        // SAFETY: it is refused; were it not, the child would return here too, and end below.
        let forked = unsafe { libc::fork() };
        i32::from(forked >= 0)
    });
    assert_eq!(code, 0);
    let code = in_cage(&[], &[], || i32::from(std::thread::Builder::new().spawn(|| ()).is_ok()));
    assert_eq!(code, 0);
}

#[test]
fn memory_is_never_executable() {
    let code = in_cage(&[Calls::FilesRead, Calls::FilesWrite, Calls::Threads], &[], || {
        let (read, write) = (libc::PROT_READ, libc::PROT_WRITE);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let map = |protection| {
            // SAFETY: a new mapping of its own, at an address the kernel chooses.
            unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0) }
        };
        assert_eq!(map(read | libc::PROT_EXEC), libc::MAP_FAILED);
        let page = map(read | write);
        assert_ne!(page, libc::MAP_FAILED);
        // SAFETY: the page was just mapped and nothing lies in it.
        unsafe { libc::mprotect(page, 4096, read | libc::PROT_EXEC) }
    });
    assert_eq!(code & 0xFF, 0xFF);
}

#[test]
fn an_abort_still_ends_the_process_and_nobody_else() {
    // SIGABRT goes to itself by tgkill, which the cage lets through for our own number alone.
    assert_eq!(in_cage(&[], &[], || std::process::abort()), -libc::SIGABRT);
}

#[test]
fn another_architectures_calls_end_the_process() {
    #[cfg(target_arch = "x86_64")]
    {
        let code = in_cage(&[], &[], || {
            let answer: i32;
            // SAFETY: getpid by the 32-bit door; it takes no memory, and gives an answer or ends the process.
            unsafe {
                std::arch::asm!("int 0x80", inlateout("eax") 20_i32 => answer,
                    out("r8") _, out("r9") _, out("r10") _, out("r11") _);
            }
            i32::from(answer > 0)
        });
        assert_eq!(code, -libc::SIGSYS);
    }
}

/// Looks at a caged process from outside, as /proc shows it.
fn the_kernel_shows_an_empty_hand_of(changes_user: bool) {
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let code = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut pid = [0; 4];
            ours.read_exact(&mut pid).unwrap();
            let pid = u32::from_ne_bytes(pid);
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            let memory = std::fs::metadata(format!("/proc/{pid}/mem")).unwrap();
            ours.write_all(b"x").unwrap();
            (status, std::os::unix::fs::MetadataExt::uid(&memory))
        });
        let code = forked(|| {
            let mut cage = cage(&[], Vec::new());
            if !changes_user {
                cage.identity = None;
            }
            cage.enter().unwrap();
            (&theirs).write_all(&std::process::id().to_ne_bytes()).unwrap();
            (&theirs).read_exact(&mut [0; 1]).unwrap();
            0
        });
        let (status, owner) = reader.join().unwrap();
        let is = |name: &str, value: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            assert_eq!(line.split_once(':').unwrap_or_default().1.trim(), value, "{status}");
        };
        is("Name", "caged");
        is("NoNewPrivs", "1");
        is("Seccomp", "2");
        is("Threads", "1");
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            is(set, "0000000000000000");
        }
        if is_root() {
            is("CapBnd", "0000000000000000");
        }
        if is_root() && changes_user {
            is("Uid", "59999\t59999\t59999\t59999");
            is("Gid", "59999\t59999\t59999\t59999");
            is("Groups", "");
        }
        // Not dumpable: the files of the process belong to root, whoever runs it.
        assert_eq!(owner, 0);
        code
    });
    assert_eq!(code, 0);
}

#[test]
fn who_changes_his_user_has_an_empty_hand() {
    the_kernel_shows_an_empty_hand_of(true);
}

#[test]
fn who_stays_who_he_is_even_root_has_an_empty_hand() {
    the_kernel_shows_an_empty_hand_of(false);
}

#[test]
fn limits_hold_and_can_be_read() {
    let code = in_cage(&[], &[], || {
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        assert_eq!((files.current, files.maximum), (Some(64), Some(64)));
        assert!(rustix::process::setrlimit(rustix::process::Resource::Nofile, files).is_err());
        assert!(Vec::<u8>::new().try_reserve_exact(9 << 30).is_err());
        let copies: Vec<_> = (0..100)
            .map_while(|_| rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 0).ok())
            .collect();
        i32::from(copies.is_empty() || copies.len() >= 64)
    });
    assert_eq!(code, 0);
}

#[test]
fn a_narrower_cage_lets_a_file_grow_so_far_and_no_further() {
    let file = tempfile::tempfile().unwrap();
    let code = forked(|| {
        let narrower = Narrower { file_bytes: Some(10), ..Narrower::default() };
        cage(&[], Vec::new()).enter_narrower(&narrower).unwrap();
        assert_eq!((&file).write(b"0123456789abc").unwrap(), 10);
        (&file).write(b"x").map_or(1, |_| 0)
    });
    assert_eq!(code, -libc::SIGXFSZ);
}

#[test]
fn a_narrower_cage_connects_to_the_named_ports_alone() {
    let listeners = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let [allowed, other] = listeners.each_ref().map(|one| one.local_addr().unwrap());
    let code = forked(|| {
        let connect_ports = Some(vec![allowed.port()]);
        let narrower = Narrower { connect_ports, ..Narrower::default() };
        let entered = cage(&[Calls::SocketInet], Vec::new()).enter_narrower(&narrower).unwrap();
        if entered.files() != Enforced::Fully {
            return 0;
        }
        std::net::TcpStream::connect(allowed).unwrap();
        let forbidden = std::net::TcpStream::connect(other).unwrap_err();
        assert_eq!(forbidden.kind(), std::io::ErrorKind::PermissionDenied);
        0
    });
    assert_eq!(code, 0);
}

#[test]
fn what_the_kernel_enforces_is_said() {
    let code = forked(|| {
        let entered = cage(&[], Vec::new()).enter().unwrap();
        match entered.files() {
            Enforced::Fully => i32::from(!entered.weaker().is_empty()),
            Enforced::Partly | Enforced::Not => i32::from(entered.weaker().is_empty()),
        }
    });
    assert_eq!(code, 0);
}

#[test]
fn a_second_thread_is_not_left_outside() {
    let code = forked(|| {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || wait.recv().ok());
        let error = cage(&[], Vec::new()).enter().unwrap_err();
        assert_eq!(error.step(), "one thread");
        drop(go);
        other.join().unwrap();
        0
    });
    assert_eq!(code, 0);
}

#[test]
fn a_step_that_fails_is_named() {
    let code = forked(|| {
        if is_root() {
            become_nobody();
        }
        let mut cage = cage(&[], Vec::new());
        cage.identity = Some(Identity { uid: 1, gid: 1, groups: Vec::new() });
        let error = cage.enter().unwrap_err();
        assert_eq!(error.step(), "groups");
        assert!(error.to_string().contains("groups"));
        0
    });
    assert_eq!(code, 0);
}

#[test]
fn who_was_to_die_with_his_parent_still_does() {
    let (ours, theirs) = sys::socket::pair().unwrap();
    let code = forked(|| {
        let (ready, said) = std::os::unix::net::UnixStream::pair().unwrap();
        // SAFETY: this process has one thread.
        match unsafe { nix::unistd::fork() }.unwrap() {
            ForkResult::Parent { .. } => {
                drop(said);
                // Leaves as soon as the cage is closed, and is the parent no more.
                i32::from((&ready).read_exact(&mut [0; 1]).is_err())
            }
            ForkResult::Child => {
                let kill = Some(rustix::process::Signal::KILL);
                rustix::process::set_parent_process_death_signal(kill).unwrap();
                cage(&[], Vec::new()).enter().unwrap();
                (&said).write_all(b"x").unwrap();
                std::thread::sleep(Duration::from_secs(20));
                0
            }
        }
    });
    assert_eq!(code, 0);
    // The last holder of the other end was the caged one.
    drop(theirs);
    assert!(sys::poll::readable(&ours, Some(10_000)).unwrap());
}

#[test]
fn what_is_ours_alone_is_not_for_the_programs_that_we_start() {
    let folder = public_folder();
    std::fs::write(folder.path().join("lock"), "").unwrap();
    let calls =
        [Calls::FilesRead, Calls::FilesWrite, Calls::Threads, Calls::SocketUnix, Calls::Spawn];
    let code = forked(|| {
        let ours = sys::disk::open_folder(folder.path()).unwrap();
        let mut grants = vec![Grant::OursBelow(ours.as_fd())];
        grants.extend(["/bin", "/usr", "/lib", "/lib64"].map(|p| Grant::ExecutePath(Path::new(p))));
        grants.push(Grant::ReadPath(Path::new("/proc")));
        let entered = cage(&calls, grants).enter().unwrap();
        let programs = entered.for_programs().unwrap();
        let reads = |is_held: bool| {
            // The way in that a friend outside could hand over.
            let mut program = std::process::Command::new("/bin/cat");
            program.arg("/proc/self/fd/0/lock").stdin(ours.try_clone().unwrap());
            if is_held {
                programs.hold(&mut program);
            }
            program.output().is_ok_and(|output| output.status.success())
        };
        i32::from(reads(false)) + 2 * i32::from(reads(true))
    });
    assert_eq!(code, 1);
}

/// Somebody who owns a file.
const OWNER: u32 = 59_999;

/// Gives a file to somebody.
fn give(path: &Path) {
    std::os::unix::fs::chown(path, Some(OWNER), Some(OWNER)).unwrap();
}

/// Whether this process may have mounts of its own.
fn may_mount() -> bool {
    let unshare = || nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).is_err();
    is_root() && forked(|| i32::from(unshare())) == 0
}

/// What is in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_hidden_folder_shows_ones_own_file_alone_and_keeps_what_is_made_there() {
    if !may_mount() {
        return;
    }
    let folder = public_folder();
    for name in ["alice", "bob"] {
        std::fs::write(folder.path().join(name), name).unwrap();
    }
    give(&folder.path().join("alice"));
    for (name, old) in [("alice", "alice"), ("carol", "")] {
        let path = folder.path().join(name);
        let code = forked(|| {
            let hidden = sys::confine::hide_folder(&path, OWNER, OWNER).unwrap();
            assert_eq!(names(folder.path()), [name]);
            std::fs::write(path.with_extension("lock"), "1").unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), old);
            std::fs::write(&path, "new").unwrap();
            assert!(std::fs::remove_file(&path).is_err());
            assert!(std::fs::write(folder.path().join("much"), vec![0; 100_000]).is_err());
            assert!(std::fs::exists(format!("/proc/self/fd/{}/bob", raw(&hidden.folder))).unwrap());
            0
        });
        assert_eq!(code, 0);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
    }
    assert_eq!(names(folder.path()), ["alice", "bob", "carol"]);
}

fn raw(descriptor: &std::os::fd::OwnedFd) -> i32 {
    std::os::fd::AsRawFd::as_raw_fd(descriptor)
}

#[test]
fn nothing_is_hidden_for_a_file_that_is_not_ones_own() {
    if !may_mount() {
        return;
    }
    let folder = public_folder();
    for name in ["bob", "two"] {
        std::fs::write(folder.path().join(name), name).unwrap();
    }
    std::fs::hard_link(folder.path().join("two"), folder.path().join("names")).unwrap();
    give(&folder.path().join("two"));
    std::os::unix::fs::symlink("bob", folder.path().join("link")).unwrap();
    for name in ["bob", "two", "link"] {
        let code = forked(|| {
            sys::confine::hide_folder(&folder.path().join(name), OWNER, OWNER).unwrap_err();
            assert_eq!(names(folder.path()).len(), 4);
            0
        });
        assert_eq!(code, 0, "{name}");
    }
}

#[test]
fn a_program_may_believe_that_it_has_become_its_users_alone() {
    let calls = [Calls::OwnIds];
    let code = forked(|| {
        let narrower = Narrower { believed_gid: Some(77), ..Narrower::default() };
        cage(&calls, Vec::new()).enter_narrower(&narrower).unwrap();
        let own = nix::unistd::getgid();
        nix::unistd::setgid(77.into()).unwrap();
        nix::unistd::setresgid(77.into(), 77.into(), 77.into()).unwrap();
        nix::unistd::setuid(nix::unistd::getuid()).unwrap();
        assert_eq!(nix::unistd::getgid(), own);
        assert!(nix::unistd::setgid(78.into()).is_err());
        assert!(nix::unistd::setresgid(77.into(), 78.into(), 77.into()).is_err());
        assert!(!is_root() || nix::unistd::setuid(0.into()).is_err());
        0
    });
    assert_eq!(code, 0);
}
