//! The words for lines that are wrong: sendmail's where it has some.

use core::fmt;

use policy::Settings;
use policy::settings::Offers;
use wire::command::{Fault, Parameter, Verb};
use wire::escape::{Text, text};
use wire::path::PathFault;

use super::outbox::{Codes, Outbox};

/// Octets of what a client said that a reply repeats.
const REPEATED_BYTES_MAX: usize = 200;

/// Whether the rest of the stream cannot be told from commands after this.
pub(super) const fn desynchronizes(fault: &Fault<'_>) -> bool {
    matches!(fault, Fault::Chunk)
}

/// Says what is wrong with `line`.
pub(super) fn say(line: &[u8], fault: &Fault<'_>, settings: &Settings, out: &mut Outbox) {
    match *fault {
        Fault::Control(verb) => control(verb, "Control character", line, out),
        Fault::EightBit(verb) => control(verb, "8-bit character", line, out),
        Fault::ArgumentMissing(verb) => missing(verb, out),
        Fault::ArgumentNotAllowed(_) => {
            out.say((501, (5, 5, 2)), format_args!("Syntax error (no parameters allowed)"));
        }
        Fault::Name(..) => out.say((501, (5, 0, 0)), format_args!("Invalid domain name")),
        Fault::Keyword(word) => {
            let word = word.split(|&octet| octet == b' ').next().unwrap_or_default();
            let word = shown(word);
            let words = format_args!("Syntax error in parameters scanning \"{word}\"");
            out.say((501, (5, 5, 2)), words);
        }
        Fault::Path(path, why) => path_fault(path, why, out),
        Fault::ValueMissing(parameter) => {
            out.say((501, (5, 5, 2)), format_args!("{} requires a value", parameter.name()));
        }
        Fault::Duplicate(parameter) => {
            out.say((501, (5, 5, 0)), format_args!("Duplicate {} parameter", parameter.name()));
        }
        Fault::Value(parameter, value) => value_fault(parameter, value, out),
        // The owner set no limit, and ours is not told.
        Fault::SizeTooLarge if settings.manners.offers.has(Offers::SIZE_BARE) => {
            out.say((552, (5, 2, 3)), format_args!("Message size exceeds maximum value"));
        }
        Fault::SizeTooLarge => too_large(settings, out),
        Fault::Unknown(name) => {
            out.say((555, (5, 5, 4)), format_args!("{} parameter unrecognized", shown(name)));
        }
        Fault::TooManyParameters => out.say((501, (5, 5, 4)), format_args!("Too many parameters")),
        Fault::Utf8Needed(address) => utf8_needed(address, out),
        Fault::Chunk => {
            out.say((501, (5, 5, 4)), format_args!("Bad argument to BDAT; closing connection"));
        }
    }
}

/// The size that was announced is above the limit.
pub(super) fn too_large(settings: &Settings, out: &mut Outbox) {
    let most = settings.limits.message_bytes_max;
    out.say(
        (552, (5, 2, 3)),
        format_args!("Message size exceeds fixed maximum message size ({most})"),
    );
}

/// An address with octets above 127 in a message without SMTPUTF8 (RFC 6531, 3.5).
pub(super) fn utf8_needed(address: &[u8], out: &mut Outbox) {
    let address = shown(address);
    out.say((553, (5, 6, 7)), format_args!("<{address}>... Address requires SMTPUTF8"));
}

/// Text that a reply repeats, cut and escaped.
pub(super) fn shown(said: &[u8]) -> Text<'_> {
    text(said.get(..REPEATED_BYTES_MAX).unwrap_or(said))
}

fn control(verb: Verb, what: &str, line: &[u8], out: &mut Outbox) {
    match verb {
        Verb::Helo | Verb::Ehlo | Verb::Lhlo => {
            out.say((501, (5, 0, 0)), format_args!("Invalid domain name"));
        }
        Verb::Mail => out.say((501, (5, 1, 7)), format_args!("{what} in sender address")),
        Verb::Rcpt => out.say((501, (5, 1, 3)), format_args!("{what} in recipient address")),
        Verb::Data
        | Verb::Bdat
        | Verb::Vrfy
        | Verb::Expn
        | Verb::StartTls
        | Verb::Auth
        | Verb::Etrn => out.say((501, (5, 5, 2)), format_args!("{what} in command")),
        Verb::Other => {
            out.say((500, (5, 5, 1)), format_args!("Command unrecognized: \"{}\"", shown(line)));
        }
    }
}

fn missing(verb: Verb, out: &mut Outbox) {
    let (codes, words): (Codes, &str) = match verb {
        Verb::Helo => ((501, (5, 0, 0)), "HELO requires domain address"),
        Verb::Ehlo => ((501, (5, 0, 0)), "EHLO requires domain address"),
        Verb::Lhlo => ((501, (5, 0, 0)), "LHLO requires domain address"),
        Verb::Etrn => ((500, (5, 5, 2)), "Parameter required"),
        Verb::Auth => ((501, (5, 5, 2)), "AUTH mechanism must be specified"),
        Verb::Mail
        | Verb::Rcpt
        | Verb::Data
        | Verb::Bdat
        | Verb::Vrfy
        | Verb::Expn
        | Verb::StartTls
        | Verb::Other => ((501, (5, 5, 2)), "Argument required"),
    };
    out.say(codes, format_args!("{words}"));
}

fn path_fault(path: &[u8], why: PathFault, out: &mut Outbox) {
    if why == PathFault::Junk {
        let path = shown(path);
        let words = format_args!("Syntax error in parameters scanning \"{path}\"");
        return out.say((501, (5, 5, 2)), words);
    }
    let (codes, words): (Codes, &dyn fmt::Display) = match why {
        PathFault::Missing | PathFault::Junk => ((553, (5, 0, 0)), &"User address required"),
        PathFault::Brackets if path.contains(&b'>') => ((553, (5, 0, 0)), &"Unbalanced '>'"),
        PathFault::Brackets => ((553, (5, 0, 0)), &"Unbalanced '<'"),
        PathFault::Quotes => ((553, (5, 0, 0)), &"Unbalanced '\"'"),
        PathFault::TooLong => ((553, (5, 1, 0)), &"Path too long"),
        PathFault::Character => ((501, (5, 1, 3)), &"Character not allowed in an address"),
        PathFault::Local => ((553, (5, 1, 3)), &"User part not valid"),
        PathFault::Host(_) => ((553, (5, 1, 3)), &"Hostname not valid"),
        PathFault::Route => ((553, (5, 1, 3)), &"Invalid route address"),
    };
    let path = shown(path);
    out.say(codes, format_args!("{path}... {words}"));
}

/// Whether a BY wants a return and leaves no time (RFC 2852, 4).
fn is_return_without_time(value: &[u8]) -> bool {
    let Some((digits, mode)) = value.split_first_chunk::<1>().and_then(|(sign, rest)| {
        let semicolon = rest.iter().position(|&octet| octet == b';')?;
        (matches!(sign, b"-" | b"0")).then(|| rest.split_at_checked(semicolon))?
    }) else {
        return false;
    };
    digits.iter().all(u8::is_ascii_digit)
        && mode.get(1).is_some_and(|mode| mode.eq_ignore_ascii_case(&b'R'))
}

fn value_fault(parameter: Parameter, said: &[u8], out: &mut Outbox) {
    let value = shown(said);
    match parameter {
        Parameter::Body => out.say((501, (5, 5, 4)), format_args!("Unknown BODY type {value}")),
        // Two spaces: sendmail's.
        Parameter::Notify => {
            out.say((501, (5, 5, 4)), format_args!("Bad argument \"{value}\"  to NOTIFY"));
        }
        Parameter::Ret => {
            out.say((501, (5, 5, 2)), format_args!("Bad argument \"{value}\" to RET"));
        }
        Parameter::Envid | Parameter::Orcpt | Parameter::Auth => {
            let name = parameter.name();
            out.say((501, (5, 5, 4)), format_args!("Syntax error in {name} parameter value"));
        }
        Parameter::By if !said.contains(&b';') => {
            out.say((501, (5, 5, 2)), format_args!("BY= missing ';'"));
        }
        Parameter::By if is_return_without_time(said) => {
            out.say((501, (5, 5, 4)), format_args!("mode R requires BY time > 0"));
        }
        Parameter::Size | Parameter::SmtpUtf8 | Parameter::By => {
            let name = parameter.name();
            out.say((501, (5, 5, 4)), format_args!("Bad argument \"{value}\" to {name}"));
        }
    }
}
