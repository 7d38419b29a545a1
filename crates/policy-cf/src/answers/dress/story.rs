//! The macros of a message that is handed on: those that rules saw when it came, and its own dates.

use super::super::check::clean;
use super::super::moment::{decimal, resolution, set_sender};
use super::super::ports::Port;
use crate::machine::Machine;
use alloc::format;
use alloc::vec::Vec;
use policy::{Resolved, Story};
use wire::date::{Date, compact, ctime};

/// Who sends our reports (`$x`).
const REPORTER: &[u8] = b"Mail Delivery Subsystem";

/// Sets them all.
pub(super) fn set(machine: &mut Machine<'_>, story: &Story, port: Option<&Port>) {
    dates(machine, story);
    set_sender(&mut machine.config.macros, &story.sender);
    let macros = &mut machine.config.macros;
    macros.set(b'i', Some(format!("{}", story.id).into_bytes()));
    macros.set(b'u', sole_recipient(story));
    macros.set(b'x', story.is_report.then(|| REPORTER.to_vec()));
    macros.set(b's', None);
    macros.set(b'r', None);
    macros.set(b'_', Some(peer(story)));
    if story.is_report {
        macros.set(b's', Some(b"localhost".to_vec()));
    }
    if !story.hello.is_empty() {
        macros.set(b's', Some(clean(&story.hello)));
    }
    if !story.protocol.is_empty() {
        macros.set(b'r', Some(clean(&story.protocol)));
    }
    if !story.client_address.is_empty() {
        let address = clean(&story.client_address);
        let name = [b"[".as_slice(), &address, b"]"].concat();
        let name = if story.client_name.is_empty() { name } else { clean(&story.client_name) };
        macros.set_named(b"client_addr", &address);
        macros.set_named(b"client_name", &name);
        macros.set_named(b"client_resolve", resolution(story.resolved));
        if let Some(port) = port {
            macros.set_named(b"daemon_name", &port.name);
            macros.set_named(b"daemon_flags", &port.flags());
        }
    }
    macros.set_named(b"msg_size", &decimal(story.size_bytes));
    let count = u64::try_from(story.recipients.len()).unwrap_or(u64::MAX);
    macros.set_named(b"nrcpts", &decimal(count));
    for (name, value) in &story.macros {
        let name = name.strip_prefix(b"{").and_then(|name| name.strip_suffix(b"}")).unwrap_or(name);
        if name == b"u" && value.is_empty() {
            macros.set(b'u', None);
        } else {
            macros.set_named(name, &clean(value));
        }
    }
}

/// `$a`, `$b`, `$d`, `$t`: when the message came.
fn dates(machine: &mut Machine<'_>, story: &Story) {
    let date = Date { unix_s: story.created_s, offset_s: story.offset_s };
    let mut written = format!("{date}").into_bytes();
    // A quirk: UTC is GMT.
    if written.ends_with(b"+0000") {
        written.truncate(written.len().saturating_sub(5));
        written.extend_from_slice(b"GMT");
    }
    let macros = &mut machine.config.macros;
    macros.set(b'a', Some(written.clone()));
    macros.set(b'b', Some(written));
    macros.set(b'd', Some(format!("{}", ctime(date)).into_bytes()));
    macros.set(b't', Some(format!("{}", compact(story.created_s)).into_bytes()));
}

/// `$u`: whom the message came for, if that was one only, as it was written.
fn sole_recipient(story: &Story) -> Option<Vec<u8>> {
    let [only] = story.recipients.as_slice() else { return None };
    if story.is_report {
        return None;
    }
    let only = clean(only);
    Some(if story.protocol.is_empty() { only } else { [b"<".as_slice(), &only, b">"].concat() })
}

/// `$_`, and `relay=` in the log: who handed it in.
pub(super) fn peer(story: &Story) -> Vec<u8> {
    if story.client_address.is_empty() {
        let at: &[u8] = if story.user.is_empty() { b"" } else { b"@" };
        return [&clean(&story.user), at, b"localhost"].concat();
    }
    let address = [b"[".as_slice(), &clean(&story.client_address), b"]"].concat();
    let forged: &[u8] = if story.resolved == Resolved::Forged { b" (may be forged)" } else { b"" };
    if story.client_name.is_empty() || *story.client_name == *address {
        return [&address, forged].concat();
    }
    [&clean(&story.client_name), b" ".as_slice(), &address, forged].concat()
}
