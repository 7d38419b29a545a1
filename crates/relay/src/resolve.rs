//! The resolver: questions to the DNS and their typed, bounded answers.
//!
//! The `resolver` role runs [`Resolver`]; other roles ask it with [`Query`] and get an [`Answer`],
//! each a frame. hickory makes the packets; nothing of its own types leaves this file. No file is
//! opened: the text of resolv.conf and hosts is handed in.

use serde::{Deserialize, Serialize};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

/// The most records of one answer that are used; the rest is dropped.
pub const RECORDS_MAX: usize = 64;

/// The most octets of a name in a question or an answer.
pub const NAME_BYTES_MAX: usize = 255;

/// The most octets of one TXT record.
pub const TEXT_BYTES_MAX: usize = 4096;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum QueryKind {
    /// Mail exchangers.
    Mx,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// The names of an address; [`Query::name`] is the address in its usual form.
    Ptr,
    /// Texts.
    Txt,
}

/// A question to the DNS.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Query {
    /// The domain, without or with a dot at the end; it is always taken as complete.
    pub name: Box<[u8]>,
    /// What about it.
    pub kind: QueryKind,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// At least one record; at most [`RECORDS_MAX`].
    Found(Records),
    /// The name does not exist (NXDOMAIN).
    NoSuchName,
    /// The name exists and has no such record.
    NoData,
    /// Nobody knows now: a timeout, SERVFAIL, or an answer that is none. The text says which.
    Temporary(Box<[u8]>),
}

/// Records of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Records {
    /// Preference and host; a host of no octets is the root, which means "no mail" (RFC 7505).
    Mx(Vec<(u16, Box<[u8]>)>),
    /// Addresses, of A or AAAA.
    Addresses(Vec<IpAddr>),
    /// Names, of PTR, without the dot at the end.
    Names(Vec<Box<[u8]>>),
    /// Texts, the strings of a record put together.
    Texts(Vec<Box<[u8]>>),
}

/// Somebody who answers questions to the DNS: the edge to the `resolver`, or a table in tests.
pub trait Lookup {
    /// Asks. Never fails: what cannot be asked is [`Answer::Temporary`].
    fn lookup(&self, query: Query) -> Pin<Box<dyn Future<Output = Answer> + '_>>;
}

/// What the resolver role is told at its start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// Servers to ask, of [`policy::Settings::name_servers`].
    pub servers: Vec<SocketAddr>,
    /// The text of resolv.conf, used if `servers` is empty.
    pub resolv_conf: Vec<u8>,
    /// The text of the hosts file; empty: none.
    pub hosts: Vec<u8>,
}
