//! What this host and this run are called, before any line of a sendmail.cf is read.

use policy_cf::load::Facts;
use policy_cf::read::chars::{trim_end, words};

/// The version that the configuration's `$v` names: the release that is followed.
const VERSION: &[u8] = b"8.17.1.9";

/// The release that is followed, as log lines name it.
pub const RELEASE: &str = "8.17.1.9";

/// Gathers them: the host's name, its full name and addresses as hosts(5) has them. `mode` is the letter of
/// `${opMode}`.
#[must_use]
pub fn gather(mode: &[u8]) -> Facts {
    let short = std::fs::read("/proc/sys/kernel/hostname").unwrap_or_default();
    let short = trim_end(&short).to_vec();
    let text = std::fs::read("/etc/hosts").unwrap_or_default();
    let mut aliases = Vec::new();
    let mut host = short.clone();
    for line in text.split(|octet| *octet == b'\n') {
        let line = line.split(|octet| *octet == b'#').next().unwrap_or_default();
        let mut fields = words(line).map(<[u8]>::to_vec);
        let Some(address) = fields.next() else { continue };
        let names: Vec<Vec<u8>> = fields.collect();
        if !names.iter().any(|name| name.eq_ignore_ascii_case(&short)) {
            continue;
        }
        if let Some(full) = names.iter().find(|name| name.contains(&b'.')) {
            host.clone_from(full);
        }
        aliases.extend(names);
        aliases.push([b"[", address.as_slice(), b"]"].concat());
    }
    Facts {
        host,
        aliases,
        version: VERSION.to_vec(),
        caller: b"root@localhost".to_vec(),
        mode: mode.to_vec(),
        load_average: b"0".to_vec(),
        process: std::process::id().to_string().into_bytes(),
        ..Facts::default()
    }
}
