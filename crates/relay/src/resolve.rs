//! The resolver: questions to the DNS and their typed, bounded answers.
//!
//! The `resolver` role runs [`Resolver`]; other roles ask it with [`Query`] and get an [`Answer`],
//! each a frame. hickory makes the packets; nothing of its own types leaves this file. No file is
//! opened: the text of resolv.conf and hosts is handed in.

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{Hosts, TokioResolver};
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// The most records of one answer that are used; the rest is dropped.
pub const RECORDS_MAX: usize = 64;

/// The most octets of a name in a question or an answer.
pub const NAME_BYTES_MAX: usize = 255;

/// The most octets of one TXT record.
pub const TEXT_BYTES_MAX: usize = 4096;

/// How long one question to one server may take; there are two rounds over the servers.
const SERVER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one question may take in all.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(30);

/// So many questions are open at once; the others wait.
const OPEN_MAX: usize = 256;

/// So many answers are remembered, for as long as they say but no longer than a day.
const REMEMBERED_MAX: u64 = 8192;

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
    /// The name that an alias stands for.
    Cname,
    /// Name servers.
    Ns,
    /// Hosts of a service.
    Srv,
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
    /// At least one record.
    Found {
        /// At most [`RECORDS_MAX`].
        records: Records,
        /// Where the name is an alias, whatever the number of steps: whose records they are, without the dot at the end.
        true_name: Option<Box<[u8]>>,
    },
    /// The name does not exist (NXDOMAIN).
    NoSuchName,
    /// The name exists and has no such record.
    NoData,
    /// Nobody knows now: a timeout, SERVFAIL, or an answer that is none.
    Temporary,
}

impl Answer {
    /// Records of the name that was asked about.
    #[must_use]
    pub const fn found(records: Records) -> Self {
        Self::Found { records, true_name: None }
    }
}

/// Records of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Records {
    /// Preference and host; a host of no octets is the root, which means "no mail" (RFC 7505).
    Mx(Vec<(u16, Box<[u8]>)>),
    /// Addresses, of A or AAAA.
    Addresses(Vec<IpAddr>),
    /// Names, of PTR, CNAME, NS and SRV, without the dot at the end.
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

/// Why there is no resolver.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// resolv.conf cannot be read, or names no server.
    #[error("no name server: {0}")]
    NoServer(String),
    /// The resolver did not come up.
    #[error("resolver: {0}")]
    Broken(String),
}

/// Answers questions by asking the configured servers, and remembers the answers.
pub struct Resolver {
    inner: TokioResolver,
    open: Semaphore,
}

impl Resolver {
    /// A resolver. No socket is made before the first question; no file ever. Must be made inside a
    /// tokio runtime with I/O and time.
    ///
    /// # Errors
    /// [`SetupError`]: no server to ask.
    pub fn new(configuration: &Configuration) -> Result<Self, SetupError> {
        let (config, options) = if configuration.servers.is_empty() {
            let text = &configuration.resolv_conf;
            hickory_resolver::system_conf::parse_resolv_conf(text)
                .map_err(|error| SetupError::NoServer(error.to_string()))?
        } else {
            let servers = configuration.servers.iter().copied().map(server).collect();
            (ResolverConfig::from_name_servers(servers), ResolverOpts::default())
        };
        if config.name_servers().is_empty() {
            return Err(SetupError::NoServer("none is configured".to_owned()));
        }
        let provider = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(config, provider);
        let chosen = builder.options_mut();
        *chosen = options;
        chosen.timeout = SERVER_TIMEOUT;
        chosen.attempts = 2;
        chosen.use_hosts_file = ResolveHosts::Never;
        chosen.cache_size = REMEMBERED_MAX;
        chosen.preserve_intermediates = false;
        let mut inner = builder.build().map_err(|error| SetupError::Broken(error.to_string()))?;
        let mut hosts = Hosts::default();
        hosts
            .read_hosts_conf(&*configuration.hosts)
            .map_err(|error| SetupError::Broken(error.to_string()))?;
        inner.set_hosts(Arc::new(hosts));
        Ok(Self { inner, open: Semaphore::new(OPEN_MAX) })
    }

    /// Answers a question. What is no question is about a name that does not exist.
    pub async fn answer(&self, query: &Query) -> Answer {
        let Some((name, record_type)) = question(query) else {
            return Answer::NoSuchName;
        };
        let asked = async {
            match self.open.acquire().await {
                Ok(_place) => self.inner.lookup(name, record_type).await,
                Err(_closed) => Err(NetError::Busy),
            }
        };
        match tokio::time::timeout(QUESTION_TIMEOUT, asked).await {
            Ok(Ok(found)) => answered(query, found.answers()),
            Ok(Err(error)) if error.is_nx_domain() => Answer::NoSuchName,
            Ok(Err(error)) if error.is_no_records_found() => Answer::NoData,
            Ok(Err(_)) | Err(_) => Answer::Temporary,
        }
    }
}

impl Lookup for Resolver {
    fn lookup(&self, query: Query) -> Pin<Box<dyn Future<Output = Answer> + '_>> {
        Box::pin(async move { self.answer(&query).await })
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("open", &self.open).finish_non_exhaustive()
    }
}

/// A server that is asked over UDP, and over TCP when an answer is too long.
fn server(address: SocketAddr) -> NameServerConfig {
    let with_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = vec![with_port(ConnectionConfig::udp()), with_port(ConnectionConfig::tcp())];
    NameServerConfig::new(address.ip(), true, connections)
}

/// A question as hickory asks it: the name complete, so that no search list is ever used.
fn question(query: &Query) -> Option<(Name, RecordType)> {
    let record_type = match query.kind {
        QueryKind::Mx => RecordType::MX,
        QueryKind::A => RecordType::A,
        QueryKind::Aaaa => RecordType::AAAA,
        QueryKind::Ptr => RecordType::PTR,
        QueryKind::Txt => RecordType::TXT,
        QueryKind::Cname => RecordType::CNAME,
        QueryKind::Ns => RecordType::NS,
        QueryKind::Srv => RecordType::SRV,
    };
    let text = std::str::from_utf8(&query.name).ok()?;
    if query.kind == QueryKind::Ptr {
        let address: IpAddr = text.parse().ok()?;
        return Some((Name::from(address.to_canonical()), record_type));
    }
    let is_plain =
        |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.' | 0x80..);
    if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.bytes().all(is_plain) {
        return None;
    }
    let parsed = if text.is_ascii() { Name::from_ascii(text) } else { Name::from_utf8(text) };
    let mut name = parsed.ok()?;
    name.set_fqdn(true);
    Some((name, record_type))
}

/// The records of the kind that was asked for.
fn answered(query: &Query, answers: &[Record]) -> Answer {
    let records = match query.kind {
        QueryKind::Mx => Records::Mx(read(answers, exchanger)),
        QueryKind::A => Records::Addresses(read(answers, ipv4)),
        QueryKind::Aaaa => Records::Addresses(read(answers, ipv6)),
        QueryKind::Ptr => Records::Names(read(answers, pointer)),
        QueryKind::Txt => Records::Texts(read(answers, text)),
        QueryKind::Cname => Records::Names(read(answers, alias)),
        QueryKind::Ns => Records::Names(read(answers, name_server)),
        QueryKind::Srv => Records::Names(read(answers, service)),
    };
    let is_empty = match &records {
        Records::Mx(list) => list.is_empty(),
        Records::Addresses(list) => list.is_empty(),
        Records::Names(list) | Records::Texts(list) => list.is_empty(),
    };
    if is_empty {
        return Answer::NoData;
    }
    let true_name = match query.kind {
        QueryKind::Mx | QueryKind::A | QueryKind::Aaaa => true_name(query, answers),
        QueryKind::Ptr | QueryKind::Txt | QueryKind::Cname | QueryKind::Ns | QueryKind::Srv => None,
    };
    Answer::Found { records, true_name }
}

/// Who has the records, where that is not whom the question was about: hickory follows aliases to their end.
fn true_name(query: &Query, answers: &[Record]) -> Option<Box<[u8]>> {
    let (asked, kind) = question(query)?;
    let owner = &answers.iter().find(|record| record.record_type() == kind)?.name;
    (*owner != asked).then(|| text_of(owner))
}

fn read<T>(answers: &[Record], one: fn(&RData) -> Option<T>) -> Vec<T> {
    answers.iter().filter_map(|record| one(&record.data)).take(RECORDS_MAX).collect()
}

fn exchanger(data: &RData) -> Option<(u16, Box<[u8]>)> {
    let RData::MX(mx) = data else { return None };
    Some((mx.preference, text_of(&mx.exchange)))
}

fn ipv4(data: &RData) -> Option<IpAddr> {
    let RData::A(address) = data else { return None };
    Some(IpAddr::V4(address.0))
}

fn ipv6(data: &RData) -> Option<IpAddr> {
    let RData::AAAA(address) = data else {
        return None;
    };
    Some(IpAddr::V6(address.0))
}

fn pointer(data: &RData) -> Option<Box<[u8]>> {
    let RData::PTR(name) = data else { return None };
    Some(text_of(&name.0))
}

fn alias(data: &RData) -> Option<Box<[u8]>> {
    let RData::CNAME(name) = data else { return None };
    Some(text_of(&name.0))
}

fn name_server(data: &RData) -> Option<Box<[u8]>> {
    let RData::NS(name) = data else { return None };
    Some(text_of(&name.0))
}

fn service(data: &RData) -> Option<Box<[u8]>> {
    let RData::SRV(service) = data else { return None };
    Some(text_of(&service.target))
}

fn text(data: &RData) -> Option<Box<[u8]>> {
    let RData::TXT(text) = data else { return None };
    let mut whole = text.txt_data.concat();
    whole.truncate(TEXT_BYTES_MAX);
    Some(whole.into())
}

/// A name as text without the dot at its end; the root is no octets.
fn text_of(name: &Name) -> Box<[u8]> {
    let text = name.to_ascii();
    text.strip_suffix('.').unwrap_or(&text).as_bytes().into()
}

#[cfg(test)]
mod tests;
