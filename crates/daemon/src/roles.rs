//! Who may do what: the one table. Cages are built from it, `ironpost privileges` prints it and
//! proves it by deed, docs/security.md quotes it (`cargo xtask tidy` compares).

use serde::{Deserialize, Serialize};
use sys::confine::Calls;

/// A process of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// Binds, opens, hands out, starts the others.
    Master,
    /// Talks to strangers.
    Smtpd,
    /// Reads the configuration and answers questions.
    Policy,
    /// Asks name servers.
    Resolver,
    /// Owns the spool and decides what is tried when.
    Queue,
    /// Talks to other servers.
    Relay,
    /// Writes into mailboxes, as the recipient.
    Deliver,
    /// Runs the programs of mailers, as the recipient.
    Agent,
    /// Talks to users of this machine.
    Control,
    /// Reads `.forward` files and lists, as who they belong to.
    Reader,
}

/// What a role is for and what its cage lets through.
#[derive(Debug)]
pub struct Duty {
    /// Which role.
    pub role: Role,
    /// Its name in `ps`, in logs and on the command line.
    pub name: &'static str,
    /// Its user when master is root: [`FIRST_UID`] and this. Delivery children become the recipient instead, where there
    /// is one; `None`: root itself.
    pub user: Option<u32>,
    /// Whose words it hears.
    pub sees: &'static str,
    /// What of the network it may touch.
    pub network: &'static str,
    /// What of the file system it may touch.
    pub files: &'static str,
    /// The system calls it may make, beside the base that every program needs.
    pub calls: &'static [Calls],
    /// The proofs that must fail in it.
    pub forbidden: &'static [Deed],
    /// Open descriptors at most.
    pub descriptors_max: u64,
    /// Address space at most, in octets.
    pub memory_bytes_max: u64,
    /// How large it may make a file.
    pub grows: Grows,
}

/// How large a role may make a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grows {
    /// It writes no files.
    Nothing,
    /// A large body: as long as the longest message.
    Body,
    /// A segment of the spool.
    Segment,
    /// As large as it likes.
    Anything,
}

pub use sys::deed::Deed;

/// The first of the numbers that roles run as when master is root and no users were made for them.
pub const FIRST_UID: u32 = 59_900;

const GIB: u64 = 1024 * 1024 * 1024;

/// All roles, in the order in which they are started.
pub const TABLE: [Duty; 10] = [
    Duty {
        role: Role::Master,
        name: "master",
        user: None,
        sees: "frames of its children; no mail, no network octets",
        network: "bind",
        files: "opens what it hands out",
        calls: &[],
        forbidden: &[],
        descriptors_max: 65_536,
        memory_bytes_max: 64 * GIB,
        grows: Grows::Anything,
    },
    Duty {
        role: Role::Policy,
        name: "policy",
        user: Some(0),
        sees: "addresses and names",
        network: "connections to the servers of maps, handed to it",
        files: "configuration, aliases and user database, read-only",
        calls: &[Calls::FilesRead, Calls::Threads],
        forbidden: &[Deed::Socket, Deed::Execve, Deed::Kill],
        descriptors_max: 1024,
        memory_bytes_max: 16 * GIB,
        grows: Grows::Nothing,
    },
    Duty {
        role: Role::Queue,
        name: "queue",
        user: Some(1),
        sees: "envelopes and bodies",
        network: "none",
        files: "the spool, and the files of statistics and for what nobody can get, handed to it",
        calls: &[Calls::FilesRead, Calls::FilesWrite, Calls::Threads],
        forbidden: &[Deed::OpenPasswd, Deed::Socket, Deed::Execve, Deed::Kill],
        descriptors_max: 65_536,
        memory_bytes_max: 64 * GIB,
        grows: Grows::Segment,
    },
    Duty {
        role: Role::Resolver,
        name: "resolver",
        user: Some(2),
        sees: "DNS answers",
        network: "port 53 of the configured servers",
        files: "none",
        calls: &[Calls::SocketInet],
        forbidden: &[Deed::OpenPasswd, Deed::Execve, Deed::Kill],
        descriptors_max: 4096,
        memory_bytes_max: 8 * GIB,
        grows: Grows::Nothing,
    },
    Duty {
        role: Role::Relay,
        name: "relay",
        user: Some(3),
        sees: "remote servers, bodies of its transactions",
        network: "connect",
        files: "none",
        calls: &[Calls::SocketInet],
        forbidden: &[Deed::OpenPasswd, Deed::Execve, Deed::Kill],
        descriptors_max: 65_536,
        memory_bytes_max: 16 * GIB,
        grows: Grows::Nothing,
    },
    Duty {
        role: Role::Control,
        name: "control",
        user: Some(4),
        sees: "commands and submissions of local users",
        network: "its Unix socket",
        files: "none",
        calls: &[Calls::Accept],
        forbidden: &[Deed::OpenPasswd, Deed::Socket, Deed::Execve, Deed::Kill],
        descriptors_max: 4096,
        memory_bytes_max: 8 * GIB,
        grows: Grows::Body,
    },
    Duty {
        role: Role::Smtpd,
        name: "smtpd",
        user: Some(5),
        sees: "strangers",
        network: "its accepted sockets",
        files: "none",
        calls: &[Calls::Accept],
        forbidden: &[Deed::OpenPasswd, Deed::Socket, Deed::Execve, Deed::Kill],
        descriptors_max: 65_536,
        memory_bytes_max: 16 * GIB,
        grows: Grows::Body,
    },
    Duty {
        role: Role::Deliver,
        name: "deliver",
        user: Some(6),
        sees: "the messages of one user",
        network: "none",
        files: "the mailboxes of that user",
        calls: &[Calls::FilesRead, Calls::FilesWrite],
        forbidden: &[Deed::OpenPasswd, Deed::Socket, Deed::Execve, Deed::Kill],
        descriptors_max: 1024,
        memory_bytes_max: 8 * GIB,
        grows: Grows::Anything,
    },
    Duty {
        role: Role::Agent,
        name: "agent",
        user: Some(7),
        sees: "the messages of one user, the output of his programs",
        network: "none",
        files: "reads, executes and writes what that user may; writes nothing of the system's own trees",
        calls: &[Calls::FilesRead, Calls::FilesWrite, Calls::Threads, Calls::Spawn],
        forbidden: &[Deed::Network],
        descriptors_max: 1024,
        memory_bytes_max: 8 * GIB,
        grows: Grows::Anything,
    },
    Duty {
        role: Role::Reader,
        name: "reader",
        user: Some(8),
        sees: "the .forward and the lists of one user",
        network: "none",
        files: "reads what that user may read",
        calls: &[Calls::FilesRead],
        forbidden: &[Deed::Socket, Deed::Execve, Deed::Kill],
        descriptors_max: 256,
        memory_bytes_max: GIB,
        grows: Grows::Nothing,
    },
];

impl Role {
    /// Its row of the table.
    #[must_use]
    pub fn duty(self) -> &'static Duty {
        let [master, policy, queue, resolver, relay, control, smtpd, deliver, agent, reader] =
            &TABLE;
        match self {
            Self::Master => master,
            Self::Policy => policy,
            Self::Queue => queue,
            Self::Resolver => resolver,
            Self::Relay => relay,
            Self::Control => control,
            Self::Smtpd => smtpd,
            Self::Deliver => deliver,
            Self::Agent => agent,
            Self::Reader => reader,
        }
    }

    /// The role of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|duty| duty.name == name).map(|duty| duty.role)
    }

    /// The user it runs as when master is root.
    #[must_use]
    pub fn uid(self) -> Option<u32> {
        self.duty().user.map(|offset| FIRST_UID.saturating_add(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_has_its_own_row_and_user() {
        for duty in &TABLE {
            assert_eq!(duty.role.duty().name, duty.name);
            assert_eq!(Role::from_name(duty.name), Some(duty.role));
        }
        let mut users: Vec<u32> = TABLE.iter().filter_map(|duty| duty.user).collect();
        users.sort_unstable();
        users.dedup();
        assert_eq!(users.len(), 9);
    }

    #[test]
    fn only_who_may_write_files_has_files_that_grow() {
        for duty in TABLE.iter().filter(|duty| duty.role != Role::Master) {
            let may_write = duty.calls.contains(&Calls::FilesWrite);
            let grows = matches!(duty.grows, Grows::Segment | Grows::Anything);
            assert_eq!(may_write, grows, "{}", duty.name);
        }
    }

    #[test]
    fn no_role_but_master_and_the_agent_may_execute_or_kill() {
        for duty in TABLE.iter().filter(|duty| !matches!(duty.role, Role::Master | Role::Agent)) {
            assert!(duty.forbidden.contains(&Deed::Execve), "{}", duty.name);
            assert!(duty.forbidden.contains(&Deed::Kill), "{}", duty.name);
        }
    }

    #[test]
    fn those_who_hear_strangers_open_no_file() {
        for role in [Role::Smtpd, Role::Relay, Role::Resolver, Role::Control] {
            assert!(role.duty().forbidden.contains(&Deed::OpenPasswd));
            assert!(!role.duty().calls.contains(&Calls::FilesRead));
        }
    }
}
