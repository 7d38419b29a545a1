//! Options as settings of the roles (SENDMAIL's op.me, section 5.6).
//!
//! What sendmail leaves without bounds has ours: a zero there means "no limit", here "the house's limit".

use super::ports::{self, Port};
use super::{Given, carry, greet, manners, reports};
use crate::expand::Outside;
use crate::machine::Machine;
use crate::options::Options;
use crate::read::values::number;
use alloc::boxed::Box;
use alloc::vec::Vec;
use policy::Settings;
use policy::settings::{
    Ages, Calling, DeliveryMode, EightBit, EightBitMode, Limits, Listener, LogTo, Logging, Paths,
    Retry, Timeouts, Weights,
};

/// The folder of ours inside sendmail's queue folder.
const SPOOL: &[u8] = b"ironpost";
/// Where queues are when the configuration names no folder.
const QUEUE: &[u8] = b"/var/spool/mqueue";
/// Where a server of root's has its control socket.
const RUN: &[u8] = b"/run/ironpost";
/// Octets of a block, as MinFreeBlocks counts them.
const BLOCK_BYTES: u64 = 4096;
/// Recipients of a transaction at most: a frame between two roles holds a thousand.
const RECIPIENTS_MAX: u32 = 1000;
/// Classes of Precedence that are known at most.
const CLASSES_MAX: usize = 100;
/// Sessions at most, whatever MaxDaemonChildren says.
const SESSIONS_MAX: u32 = 1_000_000;
/// The first user who is a person, and the one who is nobody (login.defs(5)).
const FIRST_USER: u32 = 1000;
const NOBODY: u32 = 65_534;
/// Folders of homes that are read for EXPN.
const FORWARD_FOLDERS_MAX: usize = 64;
/// The longest name that we call ourselves, in octets.
const HELLO_BYTES_MAX: usize = 255;
/// The longest name of a character set, in octets.
const CHARSET_BYTES_MAX: usize = 100;
/// The longest time that is waited for anything.
const WAIT_S_MAX: u32 = 86_400 * 30;

/// The settings, and the listeners with what rules want to know of them. Warnings go to `said`.
pub(super) fn settings(
    machine: &mut Machine<'_>,
    lists: &mut dyn Outside,
    given: &Given,
    said: &mut Vec<u8>,
) -> Result<(Settings, Vec<Port>), Vec<u8>> {
    let ports = if given.listen.is_empty() {
        ports::read(machine, said)?
    } else {
        given.listen.iter().cloned().map(Port::plain).collect()
    };
    let host_name = machine.expand(b"\x81j");
    let privacy = privacy(machine);
    let has = |word: &[u8]| privacy.iter().any(|flag| flag == word);
    let is_away = has(b"goaway");
    let answers_expn = !(is_away || has(b"noexpn"));
    let mut paths = paths(machine, given);
    if answers_expn {
        paths.read.extend(forward_folders(machine, lists));
    }
    let nobody = crate::expand::default_ids(machine);
    let settings = Settings {
        host_name: host_name.into(),
        greeting: greeting(machine),
        listeners: ports.iter().map(listener).collect(),
        mailers: carry::mailers(machine),
        offers_dsn: !has(b"noreceipts"),
        answers_vrfy: !(is_away || has(b"novrfy")),
        answers_expn,
        dresses_mail: true,
        takes_system_users: true,
        manners: manners::manners(machine, &privacy),
        calling: calling(machine),
        eight_bit: eight_bit(machine),
        limits: limits(machine),
        timeouts: timeouts(machine),
        delivery_mode: delivery_mode(&machine.config.options),
        retry: retry(machine),
        weights: weights(machine),
        paths,
        logging: Logging {
            to: if given.is_root { LogTo::Syslog } else { LogTo::Stdout },
            level: u8::try_from(value(machine, "LogLevel").map_or(9, number)).unwrap_or(u8::MAX),
            is_json: false,
        },
        postmaster: value(machine, "DoubleBounceAddress").unwrap_or(b"postmaster").into(),
        reports: reports::reports(machine),
        // Whatever the file says, nothing runs as root for a message.
        default_ids: (nobody.uid != 0).then_some((nobody.uid, nobody.gid)),
        ..Settings::default()
    };
    Ok((settings, ports))
}

/// Option `DeliveryMode`.
#[must_use]
pub fn delivery_mode(options: &Options) -> DeliveryMode {
    let word = options.values.get("DeliveryMode");
    word.and_then(|word| mode(word)).unwrap_or(DeliveryMode::Background)
}

/// The mode that a word names by its first letter.
pub(super) fn mode(word: &[u8]) -> Option<DeliveryMode> {
    match word.first()? {
        b'i' => Some(DeliveryMode::Interactive),
        b'q' => Some(DeliveryMode::Queue),
        b'd' => Some(DeliveryMode::Defer),
        _ => Some(DeliveryMode::Background),
    }
}

fn listener(port: &Port) -> Listener {
    // sendmail adds Date, From and Message-Id to all mail, as the flags of its mailers say.
    let modifiers = manners::modifiers(port);
    let name = port.name.clone().into();
    let endpoint = port.endpoint.clone();
    Listener { endpoint, name, is_submission: true, modifiers, bounds: port.bounds }
}

pub(super) fn value<'m>(machine: &'m Machine<'_>, name: &str) -> Option<&'m [u8]> {
    machine.config.options.values.get(name).map(Vec::as_slice)
}

/// A number that is above zero.
fn positive(machine: &Machine<'_>, name: &str) -> Option<u64> {
    let found = number(value(machine, name)?);
    u64::try_from(found).ok().filter(|found| *found > 0)
}

pub(super) fn positive_u32(machine: &Machine<'_>, name: &str) -> Option<u32> {
    positive(machine, name).map(|found| u32::try_from(found).unwrap_or(u32::MAX))
}

/// The flags of all PrivacyOptions, in lower case.
fn privacy(machine: &Machine<'_>) -> Vec<Vec<u8>> {
    let lines = machine.config.options.all("PrivacyOptions").map(|(_, line)| line);
    let words = lines.flat_map(|line| line.split(|octet| matches!(octet, b',' | b' ' | b'\t')));
    words.filter(|word| !word.is_empty()).map(<[u8]>::to_ascii_lowercase).collect()
}

/// The greeting without its first word and without the moment: what a session says that asks nobody.
fn greeting(machine: &mut Machine<'_>) -> Box<[u8]> {
    let lines = greet::lines(machine);
    let first = lines.first().map(|line| &**line).unwrap_or_default();
    let mut words = first.splitn(3, |octet| *octet == b' ');
    words.nth(2).unwrap_or_default().trim_ascii().into()
}

/// How we behave as a client.
fn calling(machine: &Machine<'_>) -> Calling {
    let name = value(machine, "HeloName")
        .filter(|name| name.len() <= HELLO_BYTES_MAX && name.iter().all(u8::is_ascii_graphic));
    Calling {
        name: name.unwrap_or_default().into(),
        is_patient: true,
        sorts_at_once: value(machine, "FastSplit").is_some_and(|text| number(text) == 0),
        fallback_mx: host_option(machine, "FallbackMXhost"),
        fallback_smart: host_option(machine, "FallbackSmartHost"),
        tries_null_list: machine.config.options.truth("TryNullMXList"),
        only_to: value(machine, "ConnectOnlyTo")
            .and_then(|text| core::str::from_utf8(text).ok())
            .and_then(|text| text.trim_matches(['[', ']']).parse().ok()),
        reset_s: timeout(machine, b"rset", b'm').unwrap_or(0).min(86_400),
        connect_all_s: timeout(machine, b"aconnect", b'm').unwrap_or(0).min(86_400),
        from: ports::source(machine),
        dial_delay_s: value(machine, "DialDelay").map_or(0, |text| seconds(text, b's')).min(3600),
        keeps_host_status: value(machine, "HostStatusDirectory")
            .is_some_and(|path| !path.is_empty()),
        host_memory_s: timeout(machine, b"hoststatus", b'm').unwrap_or(1800).min(86_400),
        connections_kept: value(machine, "ConnectionCacheSize").map_or(1, |text| {
            u8::try_from(number(text)).unwrap_or(if number(text) > 0 { u8::MAX } else { 0 })
        }),
    }
}

/// A host that an option names; empty: none that can be one.
fn host_option(machine: &Machine<'_>, name: &str) -> Box<[u8]> {
    let found = value(machine, name).filter(|host| host.len() <= HELLO_BYTES_MAX);
    found.unwrap_or_default().into()
}

/// What becomes of octets above 127.
fn eight_bit(machine: &Machine<'_>) -> EightBit {
    let mode = match value(machine, "EightBitMode").and_then(<[u8]>::first) {
        Some(b'm' | b'M') => EightBitMode::Mimify,
        Some(b's' | b'S') => EightBitMode::Strict,
        Some(_) | None => EightBitMode::Pass,
    };
    let ours = EightBit::default();
    let charset = value(machine, "DefaultCharSet").filter(|charset| {
        charset.len() <= CHARSET_BYTES_MAX && charset.iter().all(u8::is_ascii_graphic)
    });
    let charset = charset.filter(|charset| !charset.is_empty()).map_or(ours.charset, Into::into);
    EightBit { mode, charset, tidies_multiparts: true }
}

fn limits(machine: &Machine<'_>) -> Limits {
    let ours = Limits::default();
    let blocks = match value(machine, "MinFreeBlocks") {
        Some(text) => u64::try_from(number(text)).unwrap_or(0),
        None => 100,
    };
    Limits {
        message_bytes_max: positive(machine, "MaxMessageSize").unwrap_or(ours.message_bytes_max),
        recipients_max: positive_u32(machine, "MaxRecipientsPerMessage")
            .unwrap_or(RECIPIENTS_MAX)
            .min(RECIPIENTS_MAX),
        header_bytes_max: positive_u32(machine, "MaxHeadersLength")
            .unwrap_or(32_768)
            .min(1_048_576),
        hops_max: positive_u32(machine, "MaxHopCount").unwrap_or(25).clamp(1, 1000),
        bad_recipients_max: positive_u32(machine, "BadRcptShutdown").unwrap_or(u32::MAX),
        bad_recipients_alone_max: positive_u32(machine, "BadRcptShutdownGood").unwrap_or(u32::MAX),
        sessions_max: positive_u32(machine, "MaxDaemonChildren")
            .unwrap_or(ours.sessions_max)
            .min(SESSIONS_MAX),
        refuse_load: positive_u32(machine, "RefuseLA").unwrap_or(0),
        delay_load: positive_u32(machine, "DelayLA").unwrap_or(0),
        queue_load: positive_u32(machine, "QueueLA").unwrap_or(0),
        queue_factor: value(machine, "QueueFactor").map_or(ours.queue_factor, number),
        connections_per_s: positive_u32(machine, "ConnectionRateThrottle").unwrap_or(0),
        free_bytes_min: blocks.saturating_mul(BLOCK_BYTES),
        rate_window_s: rate_window(machine),
        ..ours
    }
}

/// Over how many seconds connections are counted (`ConnectionRateWindowSize`); 0 where no rule of the file wants to know.
fn rate_window(machine: &Machine<'_>) -> u32 {
    let names: [&[u8]; 4] =
        [b"client_rate", b"client_connections", b"total_rate", b"client_totals"];
    if !names.iter().any(|name| machine.config.macros.is_named(name)) {
        return 0;
    }
    let window = value(machine, "ConnectionRateWindowSize").map_or(60, |text| seconds(text, b's'));
    window.clamp(1, 86_400)
}

/// A time as sendmail writes it: `1h30m`; `unit` counts where none is written. Bounded by a month.
#[must_use]
pub fn seconds(text: &[u8], unit: u8) -> u32 {
    let mut total = 0_u32;
    let mut count = 0_u32;
    let mut has_digits = false;
    let scale = |unit: u8| match unit.to_ascii_lowercase() {
        b'w' => 604_800,
        b'd' => 86_400,
        b'h' => 3600,
        b'm' => 60,
        _ => 1_u32,
    };
    for octet in text.trim_ascii() {
        if octet.is_ascii_digit() {
            let digit = u32::from(octet.wrapping_sub(b'0'));
            count = count.saturating_mul(10).saturating_add(digit);
            has_digits = true;
        } else {
            total = total.saturating_add(count.saturating_mul(scale(*octet)));
            (count, has_digits) = (0, false);
        }
    }
    if has_digits {
        total = total.saturating_add(count.saturating_mul(scale(unit)));
    }
    total.min(WAIT_S_MAX)
}

/// `Timeout.PART`, the last one that stands; `None`: not set.
fn timeout(machine: &Machine<'_>, part: &[u8], unit: u8) -> Option<u32> {
    let lines = machine.config.options.all("Timeout");
    let found = lines.filter(|(name, _)| *name == part).last();
    found.map(|(_, text)| seconds(text, unit))
}

fn timeouts(machine: &Machine<'_>) -> Timeouts {
    let of = |part: &[u8], default: u32| {
        timeout(machine, part, b'm').filter(|found| *found > 0).unwrap_or(default).min(86_400)
    };
    let ours = Timeouts::default();
    Timeouts {
        command_s: of(b"command", 3600),
        data_block_s: of(b"datablock", 3600),
        message_s: of(b"datablock", 3600).max(ours.message_s),
        connect_s: of(b"iconnect", of(b"connect", ours.connect_s)),
        greeting_s: of(b"initial", 300),
        reply_s: of(b"helo", 300),
        mail_s: of(b"mail", 600),
        rcpt_s: of(b"rcpt", 3600),
        data_s: of(b"datainit", 300),
        dot_s: of(b"datafinal", 3600),
        idle_s: value(machine, "ConnectionCacheTimeout")
            .map_or(300, |text| seconds(text, b'm'))
            .min(86_400),
    }
}

fn retry(machine: &Machine<'_>) -> Retry {
    let ours = Retry::default();
    let give_up = timeout(machine, b"queuereturn.normal", b'd')
        .or_else(|| timeout(machine, b"queuereturn", b'd'))
        .filter(|found| *found > 0);
    let warn = timeout(machine, b"queuewarn.normal", b'h')
        .or_else(|| timeout(machine, b"queuewarn", b'h'));
    let first = value(machine, "MinQueueAge").map(|text| seconds(text, b'm'));
    let usual = Ages { give_up_s: give_up.unwrap_or(ours.give_up_s), warn_s: warn.unwrap_or(0) };
    // A class by Precedence or Priority has no ages of its own: so it is with sendmail 8.17, whatever its guide says.
    let give_up = timeout(machine, b"queuereturn.dsn", b'd')
        .or_else(|| timeout(machine, b"queuereturn", b'd'))
        .filter(|found| *found > 0);
    let warn =
        timeout(machine, b"queuewarn.dsn", b'h').or_else(|| timeout(machine, b"queuewarn", b'h'));
    let report = Ages { give_up_s: give_up.unwrap_or(ours.give_up_s), warn_s: warn.unwrap_or(0) };
    Retry {
        first_s: first.unwrap_or(0).max(ours.first_s),
        longest_s: first.unwrap_or(0).max(ours.longest_s),
        give_up_s: usual.give_up_s,
        warn_s: usual.warn_s,
        young_s: first.unwrap_or(0),
        report: (report != usual).then_some(report),
    }
}

fn weights(machine: &Machine<'_>) -> Weights {
    let ours = Weights::default();
    let factor = |name, default| value(machine, name).map_or(default, number);
    let classes = machine.config.priorities.iter().take(CLASSES_MAX);
    Weights {
        classes: classes.map(|(name, class)| (name.clone().into(), *class)).collect(),
        class_factor: factor("ClassFactor", ours.class_factor),
        recipient_factor: factor("RecipientFactor", ours.recipient_factor),
        retry_factor: factor("RetryFactor", ours.retry_factor),
    }
}

fn paths(machine: &mut Machine<'_>, given: &Given) -> Paths {
    let (spool, run) = match &given.data {
        Some(data) => (joined(data, b"spool"), joined(data, b"run")),
        None => (spool_of(&machine.config.options), RUN.to_vec()),
    };
    let pid_file = value(machine, "PidFile").unwrap_or_default().into();
    let command_socket = value(machine, "ControlSocketName").unwrap_or_default();
    let command_socket = command_socket.strip_prefix(b"local:").unwrap_or(command_socket).into();
    let statistics = value(machine, "StatusFile").unwrap_or_default().into();
    let (spool, run, read) = (spool.into(), run.into(), read(machine));
    Paths { spool, run, read, pid_file, statistics, command_socket }
}

fn joined(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let folder = folder.strip_suffix(b"/").unwrap_or(folder);
    [folder, b"/", name].concat()
}

/// Our spool for the queue folder of a configuration: inside it; for a pattern (`/var/spool/mqueue/q*`) beside the folders that
/// it names.
#[must_use]
pub fn spool_of(options: &Options) -> Vec<u8> {
    let queue = options.values.get("QueueDirectory").map_or(QUEUE, Vec::as_slice);
    if queue.ends_with(b"*") {
        return joined(folder_of(queue), SPOOL);
    }
    joined(queue, SPOOL)
}

fn folder_of(path: &[u8]) -> &[u8] {
    let slash = path.iter().rposition(|octet| *octet == b'/').unwrap_or(0);
    path.get(..slash).unwrap_or_default()
}

/// What the policy reads once it is caged: the folders of its maps (a new map file is another file), but of `/etc` only the
/// files themselves.
fn read(machine: &mut Machine<'_>) -> Vec<Box<[u8]>> {
    let mut paths: Vec<Vec<u8>> =
        [b"/etc/hosts".as_slice(), b"/etc/resolv.conf"].iter().map(|path| path.to_vec()).collect();
    paths.extend(machine.world.host_access_files());
    for option in ["ServiceSwitchFile", "HostsFile", "HelpFile"] {
        if let Some(path) = value(machine, option).filter(|path| path.starts_with(b"/")) {
            paths.push(path.to_vec());
        }
    }
    for map in machine.config.maps.values() {
        let path: &[u8] = &map.spec.rest;
        if !path.starts_with(b"/") {
            continue;
        }
        match folder_of(path) {
            b"" | b"/etc" | b"/dev" | b"/proc" | b"/root" => {
                paths.push(path.to_vec());
                paths.push([path, b".db"].concat());
            }
            folder => paths.push(folder.to_vec()),
        }
    }
    paths.sort();
    paths.dedup();
    paths.into_iter().map(Vec::into_boxed_slice).collect()
}

/// Folders that `.forward` files are read from, where EXPN follows them: the folders of users' homes, and those that
/// ForwardPath names itself. Only what everybody may read there can be read.
fn forward_folders(machine: &Machine<'_>, lists: &mut dyn Outside) -> Vec<Box<[u8]>> {
    let option = value(machine, "ForwardPath").unwrap_or(b"\x81z/.forward").to_vec();
    let mut folders: Vec<Vec<u8>> = Vec::new();
    for path in option.split(|octet| *octet == b':') {
        if path.starts_with(b"\x81z") {
            let _nobody = lists.find_user(&mut |user| {
                let folder = folder_of(&user.home);
                if (FIRST_USER..NOBODY).contains(&user.uid) && !folder.is_empty() {
                    folders.push(folder.to_vec());
                }
                false
            });
        } else {
            let fixed = path.split(|octet| *octet == b'\x81').next().unwrap_or_default();
            folders.push(folder_of(fixed).to_vec());
        }
        folders.sort();
        folders.dedup();
        folders.truncate(FORWARD_FOLDERS_MAX);
    }
    folders.retain(|folder| folder.starts_with(b"/"));
    folders.into_iter().map(Vec::into_boxed_slice).collect()
}
