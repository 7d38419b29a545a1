//! The filter of system calls: an allow-list; everything else gets EPERM, a foreign architecture dies.
//!
//! Some calls are looked into: memory is never made executable, sockets have their families, threads are no
//! processes, a signal goes to ourselves or nowhere.

use super::calls::{self, Calls};
use nix::libc;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op,
    SeccompCondition as Condition, SeccompFilter, SeccompRule as Rule, TargetArch, apply_filter,
};
use std::collections::BTreeMap;
use std::io;

type Rules = BTreeMap<libc::c_long, Vec<Rule>>;

/// Restricts this process, and every thread it will start, to the base and these groups. Who asks to become the group
/// `believed` is told that he is, and stays what he is.
pub(super) fn restrict(groups: &[Calls], believed: Option<u32>) -> io::Result<()> {
    let rules = rules(groups).map_err(io::Error::other)?;
    if let Some(gid) = believed {
        let done = SeccompAction::Errno(0);
        let rules = group_changes(gid).map_err(io::Error::other)?;
        apply(rules, SeccompAction::Allow, done).map_err(io::Error::other)?;
    }
    let refused = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    // clone3 hides its flags behind a pointer, where no filter can look. "No such call" makes the C library
    // use clone. Of two filters the stricter answer counts, so this one stands by itself.
    let no_such_call = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    let clone3 = Rules::from([(libc::SYS_clone3, Vec::new())]);
    apply(clone3, SeccompAction::Allow, no_such_call).map_err(io::Error::other)?;
    apply(rules, refused, SeccompAction::Allow).map_err(io::Error::other)
}

fn apply(
    rules: Rules,
    others: SeccompAction,
    these: SeccompAction,
) -> Result<(), seccompiler::Error> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter = SeccompFilter::new(rules, others, these, architecture)?;
    let program: BpfProgram = filter.try_into()?;
    apply_filter(&program)
}

fn rules(groups: &[Calls]) -> Result<Rules, BackendError> {
    let mut rules = Rules::new();
    allow(&mut rules, calls::BASE);
    allow(&mut rules, calls::BASE_OLDER);
    // Both are needed: the first filter turns it into "no such call".
    allow(&mut rules, &[libc::SYS_clone3]);
    base_looked_into(&mut rules)?;
    for group in groups {
        match group {
            Calls::Threads => {
                let thread = flag(libc::CLONE_THREAD);
                add(&mut rules, libc::SYS_clone, rule(0, Op::MaskedEq(thread), thread)?);
            }
            Calls::Accept => allow(&mut rules, calls::ACCEPT),
            Calls::SocketInet => {
                allow(&mut rules, calls::SOCKET_INET);
                add(&mut rules, libc::SYS_socket, rule(0, Op::Eq, flag(libc::AF_INET))?);
                add(&mut rules, libc::SYS_socket, rule(0, Op::Eq, flag(libc::AF_INET6))?);
            }
            Calls::SocketUnix => {
                allow(&mut rules, calls::SOCKET_UNIX);
                add(&mut rules, libc::SYS_socket, rule(0, Op::Eq, flag(libc::AF_UNIX))?);
            }
            Calls::OwnIds => allow(&mut rules, calls::OWN_IDS),
            Calls::Spawn => {
                allow(&mut rules, calls::SPAWN);
                allow(&mut rules, calls::SPAWN_OLDER);
                // A process, but in no namespace of its own.
                add(&mut rules, libc::SYS_clone, rule(0, Op::MaskedEq(NAMESPACES), 0)?);
                let death = rule(0, Op::Eq, flag(libc::PR_SET_PDEATHSIG))?;
                add(&mut rules, libc::SYS_prctl, death);
            }
            Calls::FilesRead => {
                allow(&mut rules, calls::FILES_READ);
                allow(&mut rules, calls::FILES_READ_OLDER);
                let writing = libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
                let reads = rule(2, Op::MaskedEq(flag(writing)), 0)?;
                rules.entry(libc::SYS_openat).or_insert_with(|| vec![reads]);
            }
            Calls::FilesWrite => {
                allow(&mut rules, calls::FILES_WRITE);
                allow(&mut rules, calls::FILES_WRITE_OLDER);
            }
        }
    }
    Ok(rules)
}

/// The calls that make all groups of a process this one.
fn group_changes(gid: u32) -> Result<Rules, BackendError> {
    let with = |arguments: u8| {
        let all = (0..arguments)
            .map(|number| Condition::new(number, Len::Dword, Op::Eq, u64::from(gid)))
            .collect::<Result<Vec<_>, _>>()?;
        Ok::<_, BackendError>(vec![Rule::new(all)?])
    };
    Ok(Rules::from([
        (libc::SYS_setgid, with(1)?),
        (libc::SYS_setregid, with(2)?),
        (libc::SYS_setresgid, with(3)?),
    ]))
}

/// Calls of the base that are allowed with some arguments only.
fn base_looked_into(rules: &mut Rules) -> Result<(), BackendError> {
    let executable = flag(libc::PROT_EXEC);
    let plain = rule(2, Op::MaskedEq(executable), 0)?;
    rules.insert(libc::SYS_mmap, vec![plain.clone()]);
    rules.insert(libc::SYS_mprotect, vec![plain]);
    // fstat of a descriptor, in its newer clothes. A path can't be seen by a filter: who has one learns of a
    // file that it is there, not what is in it.
    let empty = flag(libc::AT_EMPTY_PATH);
    rules.insert(libc::SYS_newfstatat, vec![rule(3, Op::MaskedEq(empty), empty)?]);
    rules.insert(libc::SYS_statx, vec![rule(2, Op::MaskedEq(empty), empty)?]);
    for request in [FIOCLEX, FIONBIO, FIONREAD, TCGETS] {
        add(rules, libc::SYS_ioctl, rule(1, Op::Eq, request)?);
    }
    // Our own limits, to be read and not to be set.
    let unset = Condition::new(2, Len::Qword, Op::Eq, 0)?;
    add(rules, libc::SYS_prlimit64, Rule::new(vec![unset])?);
    let ourselves = u64::from(std::process::id());
    rules.insert(libc::SYS_tgkill, vec![rule(0, Op::Eq, ourselves)?]);
    // Names of threads and of memory areas, which the C library gives.
    for name in [libc::PR_SET_NAME, libc::PR_SET_VMA] {
        add(rules, libc::SYS_prctl, rule(0, Op::Eq, flag(name))?);
    }
    Ok(())
}

/// `ioctl` to close a descriptor on exec.
const FIOCLEX: u64 = 0x5451;
/// `ioctl` to make a descriptor nonblocking.
const FIONBIO: u64 = 0x5421;
/// `ioctl` that says how much can be read.
const FIONREAD: u64 = 0x541B;
/// `ioctl` that says whether there is a terminal.
const TCGETS: u64 = 0x5401;

/// All flags of clone that make a namespace: mounts, control group, names, messages, users, processes, network.
const NAMESPACES: u64 = 0x7E02_0000;

/// Allows a call in one more case. For calls that are looked into only: a call without any rule is allowed whole.
fn add(rules: &mut Rules, number: libc::c_long, case: Rule) {
    rules.entry(number).or_default().push(case);
}

fn allow(rules: &mut Rules, numbers: &[libc::c_long]) {
    for &number in numbers {
        // No conditions: whatever stood there before is wider now.
        rules.insert(number, Vec::new());
    }
}

fn rule(argument: u8, operator: Op, value: u64) -> Result<Rule, BackendError> {
    Rule::new(vec![Condition::new(argument, Len::Dword, operator, value)?])
}

/// A flag of the C library as a filter's operand: its 32 bits, no sign.
fn flag(bits: libc::c_int) -> u64 {
    u64::from(bits.cast_unsigned())
}
