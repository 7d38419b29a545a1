//! What our reports look like: the options SendMimeErrors, ErrorHeader, PostmasterCopy, DoubleBounceAddress and DeadLetterDrop.

use super::help;
use super::tune::value;
use crate::machine::Machine;
use crate::read::values::truth;
use alloc::boxed::Box;
use alloc::vec::Vec;
use policy::settings::{Reports, ReturnPolicy};

/// Octets of the owner's words at the beginning of a report.
const FOREWORD_BYTES_MAX: usize = 8 * 1024;

/// What the options say.
pub(super) fn reports(machine: &mut Machine<'_>) -> Reports {
    let copy_to = value(machine, "PostmasterCopy").unwrap_or_default().to_vec();
    let is_plain = value(machine, "SendMimeErrors").is_some_and(|text| !truth(text));
    // sendmail takes a name without a path from its queue folder, where nobody looks for mail.
    let last_resort = value(machine, "DeadLetterDrop").filter(|path| path.starts_with(b"/"));
    let last_resort = last_resort.unwrap_or_default().into();
    let options = &machine.config.options;
    let returns_no_text = options.is_private("nobodyreturn");
    let hide_inside = options.is_private("privatebounces");
    let name_actual = !options.is_private("noactualrecipient");
    Reports {
        hide_inside,
        name_actual,
        last_resort,
        are_multipart: !is_plain,
        returns: if returns_no_text { ReturnPolicy::Nobody } else { ReturnPolicy::AsAsked },
        foreword: foreword(machine),
        copy_to: machine.expand(&copy_to).into(),
    }
}

/// The owner's words: the option's text, or the lines of the file that it names.
fn foreword(machine: &mut Machine<'_>) -> Box<[u8]> {
    let option = value(machine, "ErrorHeader").unwrap_or_default().to_vec();
    if !option.starts_with(b"/") {
        return machine.expand(&option).into();
    }
    let Ok(text) = machine.world.read_file(&option, FOREWORD_BYTES_MAX) else {
        return Box::default();
    };
    let text = text.strip_suffix(b"\n").unwrap_or(&text);
    let lines: Vec<Box<[u8]>> =
        text.split(|octet| *octet == b'\n').map(|line| help::expanded(machine, line)).collect();
    lines.join(&b'\n').into()
}
