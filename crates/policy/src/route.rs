//! Where mail goes: mailers, routes, expansions.

use crate::{FileWanted, Refusal};
use alloc::{boxed::Box, vec::Vec};
use core::net::SocketAddr;
use serde::{Deserialize, Serialize};

/// The place of a mailer in [`crate::Settings::mailers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MailerId(pub u8);

/// Where one recipient's mail goes: sendmail's triple of mailer, host and user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Route {
    /// Who carries it.
    pub mailer: MailerId,
    /// Where to, in the mailer's own terms: a domain, `[host]`, `[host]:port`, several of them
    /// with commas for SMTP; empty for local mailers. For programs and files of lists and aliases: the login name of the
    /// user in whose name they are used; empty: nobody's.
    pub host: Box<[u8]>,
    /// The recipient as the mailer names it: an address for SMTP, a local name (without detail) otherwise.
    pub user: Box<[u8]>,
    /// Whether the name stands for others (alias, list, `.forward`): ask before delivering.
    pub expands: bool,
}

/// One recipient that an expansion came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Its address, without angle brackets.
    pub address: Box<[u8]>,
    /// Where its mail goes.
    pub route: Route,
    /// The name that led to it, where that is not the one that was asked about; else empty.
    pub from: Box<[u8]>,
    /// In whose name a program or a file is used.
    pub controller: Option<Controller>,
}

/// A user in whose name mail is delivered: who wrote the alias, the list or the `.forward` that led to a recipient, or the
/// sender. For the log and for lists of the queue, never for decisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Controller {
    /// The name that made it so, as it was written (`ctladdr=`).
    pub address: Box<[u8]>,
    /// The login name; empty: of no user of this machine, it is only that he called.
    pub login: Box<[u8]>,
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

/// A place that an accepted recipient leads to, where names and lists were followed at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// As it was written.
    pub address: Box<[u8]>,
    /// Where its mail goes.
    pub route: Route,
    /// Who gets the errors, where a list has an owner.
    pub owner: Option<Box<[u8]>>,
    /// The user of this machine that the owner's address names.
    pub owner_user: Option<Controller>,
    /// In whose name it is, where that is not the sender.
    pub controller: Option<Controller>,
    /// The name that led to it; empty: it is what was asked for.
    pub from: Box<[u8]>,
}

/// A member of an expansion that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedMember {
    /// The address as it stands in the list.
    pub address: Box<[u8]>,
    /// Why.
    pub refusal: Refusal,
    /// What led to it.
    pub led: Led,
}

impl RefusedMember {
    /// One that nothing led to.
    #[must_use]
    pub fn new(address: &[u8], refusal: Refusal) -> Self {
        Self { address: address.into(), refusal, led: Led::default() }
    }
}

/// How an expansion came to a name, for the log and for reports.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Led {
    /// The name that led to it; empty: it is what was asked about.
    pub by: Box<[u8]>,
    /// The numbers of that name's user and group, if it is a user's.
    pub ids: Option<(u32, u32)>,
    /// Where it stands, as `/path/of/list: line 4: `; empty: in no file.
    pub place: Box<[u8]>,
}

/// What a name stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expansion {
    /// The recipients behind the name, none of which expands again.
    pub recipients: Vec<Recipient>,
    /// Members that lead nowhere, each with the reason; reported to the sender or the owner.
    pub refused: Vec<RefusedMember>,
    /// The `owner-` address that replaces the envelope sender, if there is one.
    pub owner: Option<Box<[u8]>>,
    /// Set if the tables could not be read now: nothing else counts then, and the queue asks later.
    pub later: Option<Box<[u8]>>,
    /// Files that must be read first: nothing else counts then, and the question is asked again with them.
    pub wanted: Vec<FileWanted>,
    /// How it went, line by line, for who watches (`root... aliased to alice`).
    pub steps: Vec<Box<[u8]>>,
}

/// Somebody who carries mail: an `M` line of sendmail.cf or a delivery way of ironpost.toml.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mailer {
    /// Its name in log lines (`mailer=`).
    pub name: Box<[u8]>,
    /// How it carries.
    pub transport: Transport,
    /// Most recipients in one transaction.
    pub recipients_max: u32,
    /// Most connections or deliveries to one destination at the same time.
    pub concurrency_max: u32,
    /// What form it wants mail in.
    pub carriage: Carriage,
}

impl Mailer {
    /// Whether the host of its routes is the detail of a name of this machine (`user+detail`), and may be shown: that of
    /// programs and files is a user, that of others a server.
    #[must_use]
    pub fn has_detail(&self) -> bool {
        let is_here = matches!(
            self.transport,
            Transport::Program(_) | Transport::Mbox(_) | Transport::Maildir(_)
        );
        is_here && !matches!(&*self.name, b"prog" | b"*file*")
    }
}

/// The form in which a mailer wants its mail; the default: as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carriage {
    /// sendmail's flags (`F=`).
    pub flags: MailerFlags,
    /// Whether mail waits for a run of the queue (`F=e` with `HoldExpensive`, `F=%`).
    pub waits_for_run: bool,
    /// The longest line, in octets without its end (`L=`); 0: any.
    pub line_bytes_max: u32,
    /// The end of a line (`E=`); empty: that of the protocol.
    pub line_end: Box<[u8]>,
    /// The largest message in octets (`M=`); 0: any.
    pub message_bytes_max: u64,
    /// Messages a connection (`m=`); 0: any.
    pub messages_max: u32,
    /// The character set of text that names none (`C=`).
    pub charset: Box<[u8]>,
    /// Types for reports (`T=`): of the MTA, of addresses, of diagnostics; empty: the usual ones.
    pub types: [Box<[u8]>; 3],
    /// Whom SMTP and LMTP connect to (`A=TCP HOST`), `$h` for the host of the route and `$$` for a dollar; empty: the host of
    /// the route (`A=TCP $h`).
    pub host: Box<[u8]>,
}

impl Carriage {
    /// Whom to connect to for a route with this host.
    #[must_use]
    pub fn host_for(&self, host: &[u8]) -> Box<[u8]> {
        if self.host.is_empty() { host.into() } else { with_host(&self.host, host) }
    }
}

/// An argument of a mailer with the host of the route for `$h` and a dollar for `$$`. A dot at the end of what is not the end
/// any more goes: `$h.relay.test` for `a.test.` is `a.test.relay.test`.
#[must_use]
pub fn with_host(argument: &[u8], host: &[u8]) -> Box<[u8]> {
    let mut whole = Vec::new();
    let mut rest = argument;
    while let Some((&octet, behind)) = rest.split_first() {
        rest = behind;
        match (octet, behind.split_first()) {
            (b'$', Some((b'h', behind))) => {
                let cut = host.strip_suffix(b".").filter(|_| behind.first() == Some(&b'.'));
                whole.extend_from_slice(cut.unwrap_or(host));
                rest = behind;
            }
            (b'$', Some((b'$', behind))) => {
                whole.push(b'$');
                rest = behind;
            }
            _ => whole.push(octet),
        }
    }
    whole.into()
}

/// A set of sendmail's mailer flags: ASCII characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailerFlags(u128);

impl MailerFlags {
    /// With one flag more; what is no ASCII character is no flag.
    #[must_use]
    pub const fn with(self, flag: u8) -> Self {
        if flag < 128 { Self(self.0 | 1_u128.wrapping_shl(flag_place(flag))) } else { self }
    }

    /// Without a flag.
    #[must_use]
    pub const fn without(self, flag: u8) -> Self {
        if flag < 128 { Self(self.0 & !1_u128.wrapping_shl(flag_place(flag))) } else { self }
    }

    /// Whether a flag is in.
    #[must_use]
    pub const fn has(self, flag: u8) -> bool {
        flag < 128 && self.0 & 1_u128.wrapping_shl(flag_place(flag)) != 0
    }
}

const fn flag_place(flag: u8) -> u32 {
    u32::from_le_bytes([flag, 0, 0, 0])
}

/// A program that takes mail on its standard input (`P=/path`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Its absolute path.
    pub path: Box<[u8]>,
    /// Its arguments, its name first; macros stand in them as `$u` and `${name}`.
    pub arguments: Vec<Box<[u8]>>,
    /// Whether it speaks LMTP (`F=z`).
    pub is_lmtp: bool,
    /// User and group to run as (`U=`); `None`: the recipient, or the configuration's default user.
    pub ids: Option<(u32, u32)>,
    /// Folders to run in, with colons: the first that is there (`D=`).
    pub folders: Box<[u8]>,
    /// Its new root (`/=`); empty: none.
    pub root: Box<[u8]>,
    /// How nice it runs (`N=`).
    pub nice: i8,
    /// How long it may take in seconds (`W=`); 0: as the house says.
    pub wait_s: u32,
}

/// How a mailer carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transport {
    /// SMTP to the host of the route.
    Smtp {
        /// The port where the route names none.
        port: u16,
    },
    /// SMTP to the server that listens on this Unix socket.
    SmtpUnix(Box<[u8]>),
    /// LMTP, once a batch.
    Lmtp(LmtpPlace),
    /// A Maildir a recipient.
    Maildir(MailboxPlace),
    /// An mbox a recipient.
    Mbox(MailboxPlace),
    /// A program.
    Program(Box<Program>),
    /// Nobody here serves it yet: mail waits in the queue, and says why.
    Waits {
        /// Why, for the queue's listing.
        reason: Box<[u8]>,
    },
    /// Accepted and thrown away, by a rule that has a name.
    Discard,
    /// A failure decided by the configuration; the text is the host of the route.
    Error,
}

/// Where an LMTP server listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LmtpPlace {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(Box<[u8]>),
    /// The host of the route, found as for SMTP.
    Host {
        /// The port where the route names none.
        port: u16,
    },
}

/// Where the mailboxes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MailboxPlace {
    /// One folder that holds a mailbox a name, all owned by whom the server runs as: no system users.
    Folder(Box<[u8]>),
    /// A folder that holds a mailbox a system user, delivered as that user (`/var/mail`).
    Spool(Box<[u8]>),
    /// A path below the home of the system user, delivered as that user (`Maildir`).
    Home(Box<[u8]>),
}
