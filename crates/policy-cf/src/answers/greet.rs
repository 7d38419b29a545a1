//! The greeting: `SmtpGreetingMessage`, expanded for this connection.

use super::check;
use crate::machine::Machine;
use alloc::boxed::Box;
use alloc::vec::Vec;
use wire::date::Date;

/// The longest pause before a greeting.
const PAUSE_MS_MAX: u32 = 300_000;
/// What is said where the configuration says nothing.
const DEFAULT: &[u8] = b"\x81j Sendmail \x81v ready at \x81b";

/// The lines behind `220 `: the first has `ESMTP` behind its first word.
pub(super) fn lines(machine: &mut Machine<'_>) -> Vec<Box<[u8]>> {
    let now = Date { unix_s: machine.world.now_s(), offset_s: 0 };
    let date = alloc::format!("{now}").replace("+0000", "GMT").into_bytes();
    machine.config.macros.set(b'b', Some(date));
    let text = template(machine);
    let text = machine.expand(&text);
    let mut lines: Vec<Vec<u8>> =
        text.split(|octet| *octet == b'\n').map(|line| line.trim_ascii().to_vec()).collect();
    if let Some(first) = lines.first_mut() {
        let end = first.iter().position(|octet| *octet == b' ').unwrap_or(first.len());
        let behind = first.split_off(end);
        first.extend_from_slice(b" ESMTP");
        first.extend_from_slice(&behind);
    }
    for line in &mut lines {
        line.retain(|octet| !octet.is_ascii_control());
    }
    lines.into_iter().map(Vec::into_boxed_slice).collect()
}

/// How long the greeting waits, as rule set greet_pause says: milliseconds behind `$#`. Bounded by five minutes.
pub(super) fn pause_ms(machine: &mut Machine<'_>) -> u32 {
    let name = machine.config.macros.value_named(b"client_name").unwrap_or_default().to_vec();
    let address = machine.config.macros.value_named(b"client_addr").unwrap_or_default().to_vec();
    let word = check::mailer_word(machine, b"greet_pause", &name, &address);
    let digits = core::str::from_utf8(&word).ok().and_then(|word| word.parse::<u32>().ok());
    digits.unwrap_or(0).min(PAUSE_MS_MAX)
}

/// The text of the option, references to macros translated.
fn template(machine: &mut Machine<'_>) -> Vec<u8> {
    if let Some(text) = machine.config.options.values.get("SmtpGreetingMessage") {
        return text.clone();
    }
    // Configurations of old have it in a macro.
    machine.config.macros.value(b'e').map_or_else(|| DEFAULT.to_vec(), <[u8]>::to_vec)
}
