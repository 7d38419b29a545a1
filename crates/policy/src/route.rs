//! Where mail goes: mailers, routes, expansions.

use crate::Refusal;
use alloc::{boxed::Box, vec::Vec};
use core::net::SocketAddr;
use serde::{Deserialize, Serialize};

/// The place of a mailer in [`crate::Settings::mailers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MailerId(pub u8);

/// Where one recipient's mail goes: sendmail's triple of mailer, host and user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Who carries it.
    pub mailer: MailerId,
    /// Where to, in the mailer's own terms: a domain, `[host]`, `[host]:port`, several of them
    /// with commas for SMTP; empty for local mailers.
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
}

/// A member of an expansion that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedMember {
    /// The address as it stands in the list.
    pub address: Box<[u8]>,
    /// Why.
    pub refusal: Refusal,
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
}

/// How a mailer carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transport {
    /// SMTP to the host of the route.
    Smtp {
        /// The port where the route names none.
        port: u16,
    },
    /// LMTP to a fixed place, once a batch.
    Lmtp(LmtpPlace),
    /// A Maildir a recipient.
    Maildir(MailboxPlace),
    /// An mbox a recipient.
    Mbox(MailboxPlace),
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
