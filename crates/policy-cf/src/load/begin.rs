//! Before the first line: macros, classes and mailers that are predefined.

use crate::machine::Machine;
use crate::macros::Macros;
use crate::read::chars::words;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Classes that are there before any line, and their words.
const CLASSES: [(&[u8], &[u8]); 7] = [
    (b"s", b"rfc822"),
    (b"n", b"multipart/signed"),
    (b"e", b"7bit 8bit binary"),
    (b"checkMIMETextHeaders", b"content-description"),
    (b"checkMIMEHeaders", MIME_HEADERS),
    (b"checkMIMEFieldHeaders", MIME_HEADERS),
    (b"persistentMacros", b"r s _ {if_addr} {daemon_flags}"),
];
const MIME_HEADERS: &[u8] =
    b"content-disposition content-id content-transfer-encoding content-type mime-version";

/// Mailers that are there before any line.
const MAILERS: [&[u8]; 3] = [
    b"prog, P=/bin/sh, F=lsouDq9, T=X-Unix/X-Unix/X-Unix, A=sh -c \x81u",
    b"*file*, P=[FILE], F=lsDFMPEouq9, T=X-Unix/X-Unix/X-Unix, A=FILE \x81u",
    b"*include*, P=/dev/null, F=su, A=INCLUDE \x81u",
];

/// What the caller knows about this host and this run, before any line is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The host's canonical name (`$j`, `$k`).
    pub host: Vec<u8>,
    /// Other names and bracketed addresses of it (class w).
    pub aliases: Vec<Vec<u8>>,
    /// The version (`$v`).
    pub version: Vec<u8>,
    /// Who runs it, as `$_` has it.
    pub caller: Vec<u8>,
    /// The letter of the mode (`${opMode}`).
    pub mode: Vec<u8>,
    /// Date in the form of ctime (`$d`), of RFC 5322 (`$a`, `$b`) and compact (`$t`).
    pub dates: [Vec<u8>; 3],
    /// The process number (`$p`).
    pub process: Vec<u8>,
    /// The user and group ids of no one (`*file*` and such).
    pub load_average: Vec<u8>,
}

/// Makes a machine ready to read: predefined macros, classes, mailers, maps.
pub fn prepare(machine: &mut Machine<'_>, facts: &Facts) {
    let host = facts.host.as_slice();
    let dot = host.iter().position(|octet| *octet == b'.').unwrap_or(host.len());
    let (short, domain) = host.split_at_checked(dot).unwrap_or((host, b""));
    let domain = domain.get(1..).filter(|domain| !domain.is_empty());
    let config = &mut machine.config;
    set_macros(&mut config.macros, facts, domain);
    let classes = Arc::make_mut(&mut config.classes);
    classes.add(b'w', host);
    classes.add(b'w', short);
    for alias in &facts.aliases {
        classes.add(b'w', alias);
    }
    classes.add(b'k', host);
    if let Some(domain) = domain {
        classes.add(b'm', domain);
    }
    for (class, list) in CLASSES {
        if let Some(id) = config.macros.id(class) {
            for word in words(list) {
                classes.add(id, word);
            }
        }
    }
    for line in MAILERS {
        let _none_is_odd = crate::mailer::read(line, config, machine.world, &mut Vec::new());
    }
}

fn set_macros(macros: &mut Macros, facts: &Facts, domain: Option<&[u8]>) {
    let host = facts.host.as_slice();
    let [date, date_of_mail, date_compact] = &facts.dates;
    for (name, value) in [
        (b'n', b"MAILER-DAEMON".as_slice()),
        (b'v', &facts.version),
        (b'w', host),
        (b'j', host),
        (b'k', host),
        (b'_', &facts.caller),
        (b'p', &facts.process),
        (b'a', date_of_mail),
        (b'b', date_of_mail),
        (b'd', date),
        (b't', date_compact),
    ] {
        macros.set(name, Some(value.to_vec()));
    }
    if let Some(domain) = domain {
        macros.set(b'm', Some(domain.to_vec()));
    }
    macros.set_named(b"opMode", &facts.mode);
    macros.set_named(b"load_avg", &facts.load_average);
    macros.set_named(b"deliveryMode", if facts.mode == b"t" { b"i" } else { b"b" });
}
