//! Who may talk to whom, and what they may say: one list of edges, one enum a direction.
//!
//! What is not here does not exist. Every value is checked again by the role that receives it.

mod carrying;

pub use crate::errand::Errand;
use crate::file_frames::FileFrame;
use crate::roles::Role;
pub use carrying::{FromRelay, Head, ToRelay, Tried, Try};
use policy::{
    Dress, Dressed, Expansion, FileWanted, MailerId, Question, Recipient, Refusal, Route, Settings,
    Verdict,
};
use queue::Controller;
use queue::run::Run;
pub use relay::HostStatus;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use wire::QueueId;

/// Pairs of roles that have an edge. Master has one with everybody besides, for life and death.
pub const EDGES: [(Role, Role); 10] = [
    (Role::Smtpd, Role::Policy),
    (Role::Smtpd, Role::Queue),
    (Role::Control, Role::Queue),
    (Role::Queue, Role::Policy),
    (Role::Queue, Role::Relay),
    (Role::Relay, Role::Resolver),
    (Role::Policy, Role::Resolver),
    (Role::Queue, Role::Deliver),
    (Role::Queue, Role::Agent),
    (Role::Queue, Role::Reader),
];

/// The other ends of a role's edges, as the table has them.
pub fn neighbours(role: Role) -> impl Iterator<Item = Role> {
    EDGES.iter().filter_map(move |&(a, b)| {
        if a == role {
            Some(b)
        } else if b == role {
            Some(a)
        } else {
            None
        }
    })
}

/// Master to a role.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Order {
    /// What the configuration says. At the start and at each reload.
    Settings(Box<Settings>),
    /// With a descriptor.
    Grant(Grant),
    /// All is there: enter the cage and work.
    Go {
        /// Which of its kind (smtpd 0, smtpd 1, …).
        index: u8,
        /// Whom to become; `None`: stay who the caller is.
        identity: Option<Identity>,
    },
    /// Read the configuration: the file that came as [`Grant::Configuration`], or none.
    Read(Reading),
    /// The answer to [`News::ChildWanted`] where there is no child: why.
    NoChild {
        /// For whom.
        ward: Ward,
        /// In words.
        why: Box<str>,
        /// Whether it is of no use to ask again.
        is_for_good: bool,
    },
    /// The answer to [`News::SocketWanted`] where there is no connection: why.
    NoSocket {
        /// Of the request.
        ticket: u32,
        /// In words.
        why: Box<str>,
    },
    /// Try what the cage forbids, and report.
    Prove {
        /// Comes back in [`News::Proof`].
        ticket: u32,
        /// Whether deeds are tried, or only descriptors listed.
        with_deeds: bool,
    },
    /// The answer to [`News::ProofWanted`].
    Proofs {
        /// Of the question.
        ticket: u32,
        /// One a process.
        proofs: Vec<Proof>,
    },
    /// To queue and relay, before [`Order::Go`]: end when this is done.
    Errand(Errand),
    /// Finish what was promised, then end.
    Stop,
}

/// Where a server listens that master is to connect to, or what it is to open.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum SocketPlace {
    /// A Unix socket, as the settings have it.
    Path(Box<[u8]>),
    /// A host's port.
    Address(SocketAddr),
    /// The file of a map, to be read.
    File(Box<[u8]>),
    /// The owner's file for what nobody can get, to be appended to.
    LastResort,
}

/// For whom a delivery child works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ward {
    /// The user's name; empty: mailboxes or programs without a user.
    pub user: Box<[u8]>,
    /// What it does as that user.
    pub task: Task,
}

/// What a child does for its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// It writes mailboxes.
    Mailboxes,
    /// It runs the programs of this mailer.
    Program(MailerId),
    /// It reads his `.forward` and lists.
    Files,
}

/// A user to become.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
    /// Further groups; of a user his own first.
    pub groups: Vec<u32>,
    /// Home folder; empty for roles.
    pub home: Box<[u8]>,
    /// Of a local delivery agent: the user's mailbox, in the mail spool whose group it has; empty: it is none.
    pub mailbox: Box<[u8]>,
}

impl Identity {
    /// These numbers and nothing else.
    #[must_use]
    pub fn bare(uid: u32, gid: u32) -> Self {
        let (home, mailbox) = (Box::default(), Box::default());
        Self { uid, gid, groups: Vec::new(), home, mailbox }
    }
}

/// An option or macro of the command line (`-O`, `-o`, `-M`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Argument {
    /// An option as the `O` line has it, without the `O`.
    Option(Box<[u8]>),
    /// A macro: name and value together, as the `D` line has it.
    Macro(Box<[u8]>),
}

/// What the policy must know beside the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The folder of all state, if the command line names one.
    pub data: Option<Box<[u8]>>,
    /// Addresses of the command line that replace those of the file.
    pub listen: Vec<Box<str>>,
    /// Options and macros of the command line, for a sendmail.cf.
    pub arguments: Vec<Argument>,
    /// The name of this system.
    pub host_name: Box<[u8]>,
    /// Whether the server runs as root.
    pub is_root: bool,
}

/// What a descriptor is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Grant {
    /// A listening socket: `Settings::listeners` of this number.
    Listener(u8),
    /// One end of an edge to this role.
    Edge {
        /// Who has the other end.
        to: Role,
        /// Which of its kind.
        index: u8,
    },
    /// An edge to a delivery child.
    Child {
        /// Whose.
        ward: Ward,
    },
    /// The folder of the spool.
    Spool,
    /// The file of statistics, open for reading and writing.
    Statistics,
    /// The control socket, listening.
    ControlSocket,
    /// The socket of sendmail's control commands.
    CommandSocket,
    /// The configuration file, open for reading, and its name for messages.
    Configuration {
        /// Its name.
        name: Box<[u8]>,
    },
    /// A connected socket of the system's log.
    Log,
    /// A socket, connected or about to be: the answer to [`News::SocketWanted`].
    Socket {
        /// Of the request.
        ticket: u32,
    },
    /// `/etc/resolv.conf`, open for reading.
    NameServers,
}

/// A role to master.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum News {
    /// In the cage and working.
    Ready {
        /// In words, what of the cage this kernel could not give; empty: nothing.
        weaker: Box<str>,
    },
    /// The configuration is read (policy).
    Settings(Box<Settings>),
    /// The configuration is wrong (policy): the messages, ready to print.
    Wrong(Box<str>),
    /// The queue wants a delivery child for this user.
    ChildWanted {
        /// Whom.
        ward: Ward,
    },
    /// A relay wants a connection to the server of a mailer, the policy to that of a map, the queue a file.
    SocketWanted {
        /// Comes back in the answer.
        ticket: u32,
        /// Where it listens.
        place: SocketPlace,
    },
    /// What the deeds came to.
    Proof {
        /// Of the order.
        ticket: u32,
        /// The report.
        proof: Proof,
    },
    /// Control asks for the proofs of all.
    ProofWanted {
        /// Comes back in [`Order::Proofs`].
        ticket: u32,
        /// Whether deeds are tried, or only descriptors listed.
        with_deeds: bool,
    },
    /// Control passes on a user's wish that the configuration be read again.
    ReloadWanted,
    /// Control passes on an operator's wish that the server end.
    StopWanted,
}

/// What one process found out about its own cage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Which role.
    pub role: Role,
    /// Which of its kind.
    pub index: u8,
    /// Its process id.
    pub pid: u32,
    /// Each deed and whether it succeeded.
    pub deeds: Vec<(crate::roles::Deed, bool)>,
    /// Open descriptors: number and kind.
    pub descriptors: Vec<(i32, Box<str>)>,
    /// Roles at the other ends of its edges.
    pub edges: Vec<Role>,
}

/// smtpd or queue to policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToPolicy {
    /// May this go on?
    Judge(Question),
    /// Where does this address go?
    Route {
        /// Without angle brackets.
        address: Box<[u8]>,
    },
    /// A file that belongs to the next question, in frames.
    File(FileFrame),
    /// Who stands behind this name?
    Expand {
        /// Without angle brackets.
        address: Box<[u8]>,
        /// What the policy said of it before.
        route: Route,
        /// Who sends the message, without angle brackets.
        sender: Box<[u8]>,
    },
    /// How does this batch go to its mailer?
    Dress(Box<Dress>),
}

/// Policy's answers, in the order of the questions of an edge.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum FromPolicy {
    /// To [`ToPolicy::Judge`].
    Verdict(Verdict),
    /// To [`ToPolicy::Route`].
    Route(Result<Route, Refusal>),
    /// Members that belong to the next [`FromPolicy::Expansion`].
    Members(Vec<Recipient>),
    /// To [`ToPolicy::Expand`].
    Expansion(Expansion),
    /// To [`ToPolicy::Dress`].
    Dressed(Result<Dressed, Refusal>),
}

/// smtpd or control to queue. The ids of envelopes come from the sender's own lane (`ids.rs`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToQueue {
    /// Make this durable. The tail is the body, unless a large one was begun under this ticket.
    Commit {
        /// Comes back in the answer.
        ticket: u32,
        /// An encoded `queue::Envelope`.
        envelope: Box<[u8]>,
        /// Octets of a large body; `None`: the tail is the body.
        large_bytes: Option<u64>,
    },
    /// A body grows above what frames carry: a file is wanted.
    BeginLarge {
        /// The ticket of the commit that will follow.
        ticket: u32,
    },
    /// The large body of this ticket will not be committed.
    Abandon {
        /// The ticket.
        ticket: u32,
    },
    /// Lists the queue from this id on.
    List {
        /// Comes back in the answer.
        ticket: u32,
        /// Where to go on.
        after: u64,
    },
    /// Tries the mail of one host now, as a client of SMTP may ask (ETRN); `@` in front: and of all below it.
    Turn {
        /// The host.
        node: Box<[u8]>,
    },
    /// On an errand: show what is done for it, from its beginning on.
    Watch,
    /// Nothing more is handed over on this edge; what comes of tries is still told.
    Finish,
    /// Tries everything now.
    Flush,
    /// Does with the messages that are meant what is wished.
    Run(Box<Run>),
    /// What is known of other hosts.
    Hosts {
        /// Comes back in the answer.
        ticket: u32,
        /// How many were heard of before.
        from: u32,
        /// Whether what is too old to be used is forgotten first.
        purges: bool,
    },
    /// Drops what is queued under this id (postmaster's order).
    Remove {
        /// Comes back in the answer.
        ticket: u32,
        /// Which.
        id: QueueId,
    },
}

/// Queue's answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum FromQueue {
    /// The first frame: ids must be above this one.
    Begin {
        /// The greatest id of the lane that the queue has seen.
        after: u64,
    },
    /// Durable: the promise may be given.
    Stored {
        /// Of the commit.
        ticket: u32,
        /// Under which id.
        id: QueueId,
    },
    /// Not durable.
    NotStored {
        /// Of the commit.
        ticket: u32,
        /// Why.
        why: NotStored,
    },
    /// With a descriptor to write the body into.
    Large {
        /// Of the request.
        ticket: u32,
    },
    /// Whether there is room: sent when it changes.
    Room {
        /// Whether messages are taken.
        has_room: bool,
        /// Octets that are free on the disk.
        free_bytes: u64,
    },
    /// What a try came to, told on an errand: to the process that the server was started by.
    Result(Attempt),
    /// On an errand: what who watches it (`-v`) is to see, cleaned.
    Shown(Box<[u8]>),
    /// Likewise: a queue run has come to this message.
    Running {
        /// Its id.
        id: QueueId,
        /// Which of them it is, from 1 on.
        number: u32,
        /// How many there are.
        total: u32,
    },
    /// A part of the list; the last one is empty.
    Listed {
        /// Of the request.
        ticket: u32,
        /// In order of ids.
        entries: Vec<Listed>,
    },
    /// Some of the hosts, the last one that was tried first; nothing: these were all.
    Hosts {
        /// Of the request.
        ticket: u32,
        /// What is known of them.
        hosts: Vec<HostStatus>,
    },
    /// On an errand: what the command exits with (sysexits.h), unless a delivery says otherwise before.
    Exit(u8),
    /// Whether there was such a message.
    Removed {
        /// Of the request.
        ticket: u32,
        /// Whether.
        was_there: bool,
    },
}

/// What a try of one recipient came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The message.
    pub id: QueueId,
    /// The recipient's address, without angle brackets.
    pub recipient: Box<[u8]>,
    /// The enhanced status code (RFC 3463), class first: 2 done, 4 to be tried again, 5 failed.
    pub status: (u8, u16, u16),
    /// What was said (`stat=`), cleaned.
    pub text: Box<[u8]>,
}

/// Why something was not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotStored {
    /// The disk or the queue is full.
    Full,
    /// Trouble of our own.
    Trouble,
}

/// One message of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its id.
    pub id: QueueId,
    /// Octets of its body.
    pub size_bytes: u64,
    /// sendmail's number for its place in a run of the queue.
    pub priority: i64,
    /// When it was tried last, in seconds since 1970; 0: never.
    pub tried_s: u64,
    /// Whether its sender was warned that it is late.
    pub is_warned: bool,
    /// Its body has eight bits, as who sent it said; `None`: nothing was said.
    pub is_eight_bit: Option<bool>,
    /// When it came, in seconds since 1970.
    pub created_s: u64,
    /// Whether it is being tried now.
    pub is_active: bool,
    /// Why it is kept back, in words; empty: it is not.
    pub quarantine: Box<[u8]>,
    /// The reverse-path, in angle brackets if it came by SMTP.
    pub sender: Box<[u8]>,
    /// Why it is still here, in words.
    pub status: Box<[u8]>,
    /// Recipients that are not done.
    pub recipients: Vec<ListedRecipient>,
}

/// A recipient of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedRecipient {
    /// Its address as it was written: in angle brackets if it came by SMTP.
    pub address: Box<[u8]>,
    /// In whose name it is, if an alias, a list or a `.forward` led to it.
    pub controller: Option<Controller>,
    /// What was said of it last; empty: nothing yet.
    pub status: Box<[u8]>,
}

/// Queue to a reader: one file to look at.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ToReader {
    /// Comes back in the answer.
    pub ticket: u32,
    /// Which file.
    pub wanted: FileWanted,
}

/// A reader to queue: a file, in frames.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FromReader {
    /// Of the wish.
    pub ticket: u32,
    /// A part of it.
    pub frame: FileFrame,
}

/// Relay to resolver.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Asked {
    /// Comes back in the answer.
    pub ticket: u32,
    /// The question.
    pub query: relay::Query,
}

/// Resolver to relay and policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Resolved {
    /// Of the question.
    pub ticket: u32,
    /// The answer.
    pub answer: relay::Answer,
}
