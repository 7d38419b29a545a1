//! What the file means: settings for the roles, rules for the questions. Everything that is wrong is found, not
//! only the first thing.

use crate::problem::{Problem, Problems};
use crate::written::{Delivery, Listen, LocalUsers, Written};
use crate::{SystemFacts, address};
use policy::settings::{Endpoint, Listener, LogTo, Network, Paths};
use policy::{LmtpPlace, MailboxPlace, Mailer, MailerId, Settings, Transport};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;

/// Folders of a server that is root's.
pub(crate) const RUN: &str = "/run/ironpost";
pub(crate) const SPOOL: &str = "/var/spool/ironpost";

/// The mailers of ironpost.toml, in this order.
pub(crate) const LOCAL: MailerId = MailerId(0);
pub(crate) const RELAY: MailerId = MailerId(1);

/// Recipients of one transaction with another server.
const TRANSACTION_RECIPIENTS_MAX: u32 = 100;

/// Connections to one destination at the same time, unless the file says otherwise.
const CONNECTIONS_MAX: u32 = 20;

/// Who has mailboxes here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Users {
    /// The users of the system.
    System,
    /// Whoever.
    Any,
    /// These.
    Names(BTreeSet<Vec<u8>>),
}

/// Where a domain's mail goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// Into local mailboxes.
    Local,
    /// To this host.
    Host(Vec<u8>),
    /// Nowhere; the text says why.
    Refused(Vec<u8>),
}

/// What a configuration means.
#[derive(Debug, Clone)]
pub struct Meaning {
    /// What the roles need.
    pub settings: Settings,
    /// The aliases file, if there is one.
    pub aliases: Option<PathBuf>,
    /// Domains whose mail is delivered here; folded to lower case.
    pub(crate) local_domains: BTreeSet<Vec<u8>>,
    /// Every domain is local: no configuration.
    pub(crate) all_is_local: bool,
    pub(crate) users: Users,
    pub(crate) routes: BTreeMap<Vec<u8>, Way>,
    pub(crate) smart_host: Option<Vec<u8>>,
    pub(crate) relay_networks: Vec<Network>,
    pub(crate) relay_domains: BTreeSet<Vec<u8>>,
}

/// Collects what is wrong.
#[derive(Default)]
struct Judge {
    problems: Vec<Problem>,
}

impl Judge {
    fn wrong(&mut self, span: Range<usize>, what: String, help: &str) {
        self.problems.push(Problem { span, what, help: help.into(), is_warning: false });
    }

    fn risky(&mut self, span: Range<usize>, what: String, help: &str) {
        self.problems.push(Problem { span, what, help: help.into(), is_warning: true });
    }

    /// A value made of text, or a problem.
    fn read<T>(
        &mut self,
        value: &toml::Spanned<String>,
        help: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let found = read(value.get_ref());
        if found.is_none() {
            self.wrong(
                value.span(),
                format!("{:?} is not what is wanted here", value.get_ref()),
                help,
            );
        }
        found
    }

    fn all<T>(
        &mut self,
        values: &[toml::Spanned<String>],
        help: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        values.iter().filter_map(|value| self.read(value, help, &read)).collect()
    }

    fn path(&mut self, value: Option<&toml::Spanned<String>>, default: &str) -> Box<[u8]> {
        let Some(value) = value else { return default.as_bytes().into() };
        let absolute = |text: &str| text.starts_with('/').then(|| text.as_bytes().into());
        self.read(value, "an absolute path", absolute).unwrap_or_default()
    }
}

/// Judges what is written.
pub(crate) fn judge(
    name: &str,
    text: &[u8],
    written: &Written,
    system: &SystemFacts,
) -> Result<(Meaning, Problems), Problems> {
    let mut judge = Judge::default();
    let mut settings = Settings { mailers: mailers(&mut judge, written), ..Settings::default() };
    settings.host_name = host_name(&mut judge, written, system);
    if let Some(greeting) = &written.greeting {
        settings.greeting = greeting.get_ref().as_bytes().into();
        if greeting.get_ref().contains(char::is_control) {
            judge.wrong(greeting.span(), "a control character".into(), "one line of text");
        }
    }
    settings.listeners = listeners(&mut judge, written, system);
    numbers(&mut judge, &mut settings, written);
    settings.paths = places(&mut judge, written, system);
    settings.logging.level = written.log.level.unwrap_or(9);
    settings.logging.is_json = written.log.json;
    settings.logging.to = log_to(&mut judge, written, system);
    let network = "an address or a network, like \"192.0.2.0/24\"";
    settings.normalized_networks = judge.all(&written.normalize, network, address::network);
    let server = "an address with a port, like \"192.0.2.53:53\"";
    settings.name_servers = judge.all(&written.name_servers, server, |text| {
        text.parse().ok().or_else(|| Some(SocketAddr::from((text.parse::<IpAddr>().ok()?, 53))))
    });
    settings.trusted_next_hops =
        judge.all(&written.trusted_next_hops, "an address", |text| text.parse().ok());
    settings.offers_dsn = written.privacy.dsn.unwrap_or(true);
    settings.answers_vrfy = written.privacy.vrfy;
    settings.answers_expn = written.privacy.expn;
    settings.system_recipients =
        written.system_recipients.iter().map(|name| name.as_bytes().into()).collect();
    if let Some(postmaster) = &written.postmaster {
        settings.postmaster = postmaster.get_ref().as_bytes().into();
    }
    let meaning = rules(&mut judge, written, settings);
    let problems = Problems::new(name, text, judge.problems);
    if problems.is_right() { Ok((meaning, problems)) } else { Err(problems) }
}

/// The rules behind the questions.
fn rules(judge: &mut Judge, written: &Written, mut settings: Settings) -> Meaning {
    let domain = "a domain, like \"example.org\"";
    let mut local_domains: BTreeSet<Vec<u8>> =
        judge.all(&written.local_domains, domain, address::domain).into_iter().collect();
    local_domains.insert(settings.host_name.to_ascii_lowercase());
    local_domains.insert(b"localhost".to_vec());
    let mut routes = BTreeMap::new();
    for (name, way) in &written.routes {
        let span = way.span();
        match (address::domain(name), read_way(way.get_ref())) {
            (Some(name), Some(way)) => drop(routes.insert(name, way)),
            (None, _) => judge.wrong(span, format!("{name:?} is no domain"), domain),
            (Some(_), None) => judge.wrong(
                span,
                format!("{:?} is no way", way.get_ref()),
                "\"HOST\", \"HOST:PORT\", \"[ADDRESS]:PORT\", \"local\" or \"error: TEXT\"",
            ),
        }
    }
    let network = "an address or a network, like \"192.0.2.0/24\"";
    let mut relay_networks = judge.all(&written.relay_networks, network, address::network);
    for value in &written.relay_networks {
        if address::network(value.get_ref()).is_some_and(|network| network.prefix_bits < 8) {
            let help = "anybody in it may send mail to anywhere through this server";
            judge.risky(value.span(), format!("{} is a very large network", value.get_ref()), help);
        }
    }
    relay_networks
        .extend([address::network("127.0.0.0/8"), address::network("::1")].into_iter().flatten());
    let smart_host = written.smart_host.as_ref().and_then(|host| {
        judge.read(host, "\"HOST\", \"HOST:PORT\" or \"[ADDRESS]:PORT\"", address::next_hop)
    });
    let aliases = written.aliases.as_ref().and_then(|path| {
        judge.read(path, "an absolute path", |text| {
            text.starts_with('/').then(|| PathBuf::from(text))
        })
    });
    if let Some(folder) = aliases.as_deref().and_then(std::path::Path::parent) {
        settings.paths.read.push(folder.as_os_str().as_encoded_bytes().into());
    }
    let relay_domains = judge.all(&written.relay_domains, domain, address::domain);
    Meaning {
        settings,
        aliases,
        local_domains,
        all_is_local: false,
        users: users(judge, written),
        routes,
        smart_host,
        relay_networks,
        relay_domains: relay_domains.into_iter().collect(),
    }
}

fn read_way(text: &str) -> Option<Way> {
    if text == "local" {
        return Some(Way::Local);
    }
    match text.strip_prefix("error:") {
        Some(why) => Some(Way::Refused(why.trim().as_bytes().to_vec())),
        None => address::next_hop(text).map(Way::Host),
    }
}

fn users(judge: &mut Judge, written: &Written) -> Users {
    let Some(users) = &written.local_users else { return Users::System };
    match users.get_ref() {
        LocalUsers::Word(word) if word == "system" => Users::System,
        LocalUsers::Word(word) if word == "any" => Users::Any,
        LocalUsers::Word(word) => {
            let help = "\"system\", \"any\" or a list of names";
            judge.wrong(users.span(), format!("{word:?} is no kind of users"), help);
            Users::System
        }
        LocalUsers::Names(names) => {
            Users::Names(names.iter().map(|name| name.to_ascii_lowercase().into_bytes()).collect())
        }
    }
}

fn host_name(judge: &mut Judge, written: &Written, system: &SystemFacts) -> Box<[u8]> {
    let Some(name) = &written.host_name else { return system.host_name.clone().into() };
    let read = judge.read(name, "a domain, like \"mail.example.org\"", |text| {
        address::domain(text).map(|_| text.as_bytes().into())
    });
    read.unwrap_or_default()
}

fn listeners(judge: &mut Judge, written: &Written, system: &SystemFacts) -> Vec<Listener> {
    let help = "an address with a port, like \"0.0.0.0:25\" or \"[::]:25\", or \"unix:/PATH\"";
    if !system.listen.is_empty() {
        return command_line(judge, system);
    }
    let Some(listen) = &written.listen else {
        let port = if system.is_root { 25 } else { 2525 };
        return vec![Listener::plain(Endpoint::Tcp((Ipv4Addr::LOCALHOST, port).into()))];
    };
    let mut listeners = Vec::new();
    for wanted in listen.get_ref() {
        let (address, name, is_submission) = match wanted.get_ref() {
            Listen::Address(address) => (address, None, false),
            Listen::Table(table) => (&table.address, table.name.clone(), table.submission),
        };
        let Ok(endpoint) = address.parse() else {
            judge.wrong(wanted.span(), format!("{address:?} is no address with a port"), help);
            continue;
        };
        let default = if is_submission { "MSA" } else { "MTA" };
        let name = name.unwrap_or_else(|| default.into()).into_bytes().into();
        listeners.push(Listener { name, is_submission, ..Listener::plain(endpoint) });
    }
    listeners
}

fn command_line(judge: &mut Judge, system: &SystemFacts) -> Vec<Listener> {
    let mut listeners = Vec::new();
    for text in &system.listen {
        if let Ok(endpoint) = text.parse() {
            listeners.push(Listener::plain(endpoint));
        } else {
            let help = "ADDR:PORT, like 127.0.0.1:2525 or [::1]:2525, or unix:/PATH";
            judge.wrong(0..0, format!("--listen {text}: no address with a port"), help);
        }
    }
    listeners
}

fn mailers(judge: &mut Judge, written: &Written) -> Vec<Mailer> {
    let at_once = written.limits.connections_per_destination_max.as_ref();
    let at_once = at_once.map_or(CONNECTIONS_MAX, |value| *value.get_ref()).max(1);
    let local = local_transport(judge, written);
    let mailer = |name: &[u8], transport| Mailer {
        name: name.into(),
        transport,
        recipients_max: TRANSACTION_RECIPIENTS_MAX,
        concurrency_max: at_once,
        carriage: policy::Carriage::default(),
    };
    vec![mailer(b"local", local), mailer(b"relay", Transport::Smtp { port: 25 })]
}

fn local_transport(judge: &mut Judge, written: &Written) -> Transport {
    let help = "\"mbox\", \"maildir\" or { lmtp = \"ADDRESS:PORT\" }";
    let is_any = written
        .local_users
        .as_ref()
        .is_some_and(|users| matches!(users.get_ref(), LocalUsers::Word(word) if word == "any"));
    let folder = written.mailbox.as_ref().map(|path| path.get_ref().as_str());
    let place = |default: MailboxPlace| match folder {
        Some(path) if path.starts_with('/') && is_any => {
            MailboxPlace::Folder(path.as_bytes().into())
        }
        Some(path) if path.starts_with('/') => MailboxPlace::Spool(path.as_bytes().into()),
        Some(path) => MailboxPlace::Home(path.as_bytes().into()),
        None => default,
    };
    let spool = MailboxPlace::Spool(b"/var/mail"[..].into());
    let is_lmtp =
        written.delivery.as_ref().is_some_and(|way| matches!(way.get_ref(), Delivery::Lmtp(_)));
    let has_folder = folder.is_some_and(|path| path.starts_with('/'));
    if let Some(users) = written.local_users.as_ref().filter(|_| is_any && !is_lmtp && !has_folder)
    {
        let help = "mailbox = \"/a/folder\" too: names that are no users have no homes";
        judge.wrong(users.span(), "local_users = \"any\" without a folder".into(), help);
    }
    let Some(delivery) = &written.delivery else { return Transport::Mbox(place(spool)) };
    match delivery.get_ref() {
        Delivery::Word(word) if word == "mbox" => Transport::Mbox(place(spool)),
        Delivery::Word(word) if word == "maildir" => {
            Transport::Maildir(place(MailboxPlace::Home(b"Maildir"[..].into())))
        }
        Delivery::Word(word) => {
            judge.wrong(delivery.span(), format!("{word:?} is no way of delivery"), help);
            Transport::Error
        }
        Delivery::Lmtp(table) => lmtp_place(&table.lmtp).map_or_else(
            || {
                let what = format!("{:?} is no place of an LMTP server", table.lmtp);
                judge.wrong(
                    delivery.span(),
                    what,
                    "lmtp = \"127.0.0.1:24\" or \"unix:/absolute/path\"",
                );
                Transport::Error
            },
            Transport::Lmtp,
        ),
    }
}

/// `ADDRESS:PORT` or `unix:/PATH`.
fn lmtp_place(text: &str) -> Option<LmtpPlace> {
    match text.strip_prefix("unix:") {
        Some(path) => path.starts_with('/').then(|| LmtpPlace::Unix(path.as_bytes().into())),
        None => text.parse().ok().map(LmtpPlace::Tcp),
    }
}

/// Numbers that the file names, each within its bounds; the others stay as they are.
fn numbers(judge: &mut Judge, settings: &mut Settings, written: &Written) {
    macro_rules! take {
        ($to:expr, $from:expr, $($field:ident $least:literal to $most:expr;)*) => {
            $(if let Some(value) = &$from.$field {
                if ($least..=$most).contains(value.get_ref()) {
                    $to.$field = *value.get_ref();
                } else {
                    let what = format!("{} is out of bounds", value.get_ref());
                    judge.wrong(value.span(), what, &format!("{} to {}", $least, $most));
                }
            })*
        };
    }
    take!(settings.limits, written.limits,
        message_bytes_max 1024 to u64::MAX;
        // A frame between two roles holds a thousand.
        recipients_max 1 to 1000;
        header_bytes_max 1024 to 1_048_576;
        hops_max 1 to 1000;
        // RFC 5321, 4.5.3.1.4 and 4.5.3.1.6: this much must be taken.
        command_bytes_max 512 to 65_536;
        text_line_bytes_max 1000 to 1_048_576;
        bad_commands_max 1 to u32::MAX;
        bad_recipients_max 1 to u32::MAX;
        messages_max 1 to u32::MAX;
        sessions_max 1 to 1_000_000;
        sessions_per_client_max 1 to 1_000_000;
        queued_max 1 to u32::MAX;
        free_bytes_min 0 to u64::MAX;
    );
    take!(settings.timeouts, written.timeouts,
        command_s 1 to 86_400;
        data_block_s 1 to 86_400;
        message_s 1 to 86_400;
        connect_s 1 to 86_400;
        greeting_s 1 to 86_400;
        reply_s 1 to 86_400;
        data_s 1 to 86_400;
        dot_s 1 to 86_400;
        idle_s 0 to 86_400;
    );
    settings.timeouts.mail_s = settings.timeouts.reply_s;
    settings.timeouts.rcpt_s = settings.timeouts.reply_s;
    take!(settings.retry, written.queue,
        first_s 1 to 31_536_000;
        longest_s 1 to 31_536_000;
        give_up_s 1 to 31_536_000;
        warn_s 0 to 31_536_000;
    );
}

fn places(judge: &mut Judge, written: &Written, system: &SystemFacts) -> Paths {
    let below = |name: &str| system.data.as_ref().map(|data| data.join(name));
    let octets = |path: PathBuf| path.into_os_string().into_encoded_bytes().into();
    Paths {
        spool: below("spool")
            .map_or_else(|| judge.path(written.paths.spool.as_ref(), SPOOL), octets),
        run: below("run").map_or_else(|| judge.path(written.paths.run.as_ref(), RUN), octets),
        read: Vec::new(),
        pid_file: Box::default(),
        statistics: Box::default(),
        command_socket: Box::default(),
    }
}

fn log_to(judge: &mut Judge, written: &Written, system: &SystemFacts) -> LogTo {
    let default = if system.is_root { LogTo::Syslog } else { LogTo::Stdout };
    let Some(to) = &written.log.to else { return default };
    let read = judge.read(to, "\"syslog\" or \"stdout\"", |text| match text {
        "syslog" => Some(LogTo::Syslog),
        "stdout" => Some(LogTo::Stdout),
        _ => None,
    });
    read.unwrap_or(default)
}

/// The meaning of no file at all: every domain is local, any name has a mailbox in one folder.
pub(crate) fn zero(system: &SystemFacts) -> Result<Meaning, Problems> {
    let data = system.data.clone().unwrap_or_else(|| "ironpost-data".into());
    let mailboxes = data.join("mail").into_os_string().into_encoded_bytes();
    let written = Written::default();
    let system = SystemFacts { data: Some(data), is_root: false, ..system.clone() };
    let (mut meaning, _) = judge("", b"", &written, &system).map_err(|problems| {
        let text: Vec<String> = problems.problems.into_iter().map(|p| p.what).collect();
        Problems::of_command_line(text.join("; "), "ADDR:PORT, like 127.0.0.1:2525")
    })?;
    meaning.all_is_local = true;
    meaning.users = Users::Any;
    if let Some(local) = meaning.settings.mailers.first_mut() {
        local.transport = Transport::Maildir(MailboxPlace::Folder(mailboxes.into()));
    }
    Ok(meaning)
}
