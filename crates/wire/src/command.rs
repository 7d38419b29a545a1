//! Commands of SMTP and LMTP: a line in, a value or a named fault out.
//!
//! A line that holds a control character or an octet above 127 where none belongs is refused as a whole, never cleaned.
//! Faults carry what a reply needs; the words of replies are the session's.

mod bdat;
mod mail;
mod rcpt;

pub use bdat::Chunk;
pub use mail::{BodyKind, DeliverBy, Mail};
pub use rcpt::Rcpt;

use crate::domain::{DomainFault, Host};
use crate::path::{Path, PathFault};

/// Parameters of MAIL or RCPT; more are refused.
pub const PARAMETERS_MAX: usize = 16;

/// A command and its arguments, borrowed from its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command<'a> {
    /// HELO with a name.
    Helo(&'a [u8]),
    /// EHLO with a name.
    Ehlo(&'a [u8]),
    /// LHLO with a name (RFC 2033).
    Lhlo(&'a [u8]),
    /// MAIL FROM.
    Mail(Mail<'a>),
    /// RCPT TO.
    Rcpt(Rcpt<'a>),
    /// DATA.
    Data,
    /// BDAT (RFC 3030).
    Bdat(Chunk),
    /// RSET; sendmail never minded an argument.
    Rset,
    /// NOOP.
    Noop,
    /// VRFY with what is asked, never empty.
    Vrfy(&'a [u8]),
    /// EXPN with what is asked, never empty.
    Expn(&'a [u8]),
    /// HELP with a topic, or empty.
    Help(&'a [u8]),
    /// QUIT.
    Quit,
    /// STARTTLS (RFC 3207).
    StartTls,
    /// AUTH (RFC 4954).
    Auth {
        /// The mechanism.
        mechanism: &'a [u8],
        /// The initial response in base64, if there is one.
        initial: Option<&'a [u8]>,
    },
    /// ETRN (RFC 1985) with its argument, never empty.
    Etrn(&'a [u8]),
    /// VERB: sendmail's, never on the network.
    Verb,
    /// Another verb; the session looks at the line.
    Unknown,
}

/// A verb that a fault may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// HELO.
    Helo,
    /// EHLO.
    Ehlo,
    /// LHLO.
    Lhlo,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// BDAT.
    Bdat,
    /// VRFY.
    Vrfy,
    /// EXPN.
    Expn,
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Auth,
    /// ETRN.
    Etrn,
    /// Any other.
    Other,
}

impl Verb {
    /// The verb of a line.
    #[must_use]
    pub fn of(line: &[u8]) -> Self {
        verb_of(split(line).0)
    }
}

/// A parameter of MAIL or RCPT that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter {
    /// RFC 1870.
    Size,
    /// RFC 6152.
    Body,
    /// RFC 6531.
    SmtpUtf8,
    /// RFC 3461.
    Ret,
    /// RFC 3461.
    Envid,
    /// RFC 4954.
    Auth,
    /// RFC 2852.
    By,
    /// RFC 3461.
    Notify,
    /// RFC 3461.
    Orcpt,
}

impl Parameter {
    /// Its keyword.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Size => "SIZE",
            Self::Body => "BODY",
            Self::SmtpUtf8 => "SMTPUTF8",
            Self::Ret => "RET",
            Self::Envid => "ENVID",
            Self::Auth => "AUTH",
            Self::By => "BY",
            Self::Notify => "NOTIFY",
            Self::Orcpt => "ORCPT",
        }
    }

    const ALL: [Self; 9] = [
        Self::Size,
        Self::Body,
        Self::SmtpUtf8,
        Self::Ret,
        Self::Envid,
        Self::Auth,
        Self::By,
        Self::Notify,
        Self::Orcpt,
    ];
}

/// What is wrong with a line. The kinds are those that get different replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault<'a> {
    /// A NUL, CR, LF or another control character.
    Control(Verb),
    /// An octet above 127 where none may be.
    EightBit(Verb),
    /// The argument that the verb needs is not there.
    ArgumentMissing(Verb),
    /// The verb takes no argument.
    ArgumentNotAllowed(Verb),
    /// HELO, EHLO or LHLO without a host's name.
    Name(Verb, DomainFault),
    /// No `FROM:` or `TO:`; what stands there instead.
    Keyword(&'a [u8]),
    /// The path is none; the path as it was written, and why.
    Path(&'a [u8], PathFault),
    /// A parameter that needs a value has none.
    ValueMissing(Parameter),
    /// A parameter twice.
    Duplicate(Parameter),
    /// A value that the parameter does not take: SIZE that is no number, BODY of an unknown kind, wrong xtext….
    Value(Parameter, &'a [u8]),
    /// A SIZE that is a number no message can have.
    SizeTooLarge,
    /// A parameter that nobody knows; its keyword.
    Unknown(&'a [u8]),
    /// Above [`PARAMETERS_MAX`].
    TooManyParameters,
    /// An address with octets above 127 and no SMTPUTF8.
    Utf8Needed(&'a [u8]),
    /// BDAT without a size that is a number, or with something else than LAST behind it.
    Chunk,
}

impl<'a> Command<'a> {
    /// Reads a line without its end.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn parse(line: &'a [u8]) -> Result<Self, Fault<'a>> {
        let (verb, argument) = split(line);
        let known = verb_of(verb);
        if let Some(fault) = stray_octets(known, line) {
            return Err(fault);
        }
        match known {
            Verb::Helo => host(known, argument).map(Self::Helo),
            Verb::Ehlo => host(known, argument).map(Self::Ehlo),
            Verb::Lhlo => host(known, argument).map(Self::Lhlo),
            Verb::Mail => Mail::parse(argument).map(Self::Mail),
            Verb::Rcpt => Rcpt::parse(argument).map(Self::Rcpt),
            Verb::Data => none(known, argument).map(|()| Self::Data),
            Verb::Bdat => Chunk::parse(argument).map(Self::Bdat).ok_or(Fault::Chunk),
            Verb::Vrfy => some(known, argument).map(Self::Vrfy),
            Verb::Expn => some(known, argument).map(Self::Expn),
            Verb::StartTls => none(known, argument).map(|()| Self::StartTls),
            Verb::Auth => some(known, argument).map(auth),
            Verb::Etrn => some(known, argument).map(Self::Etrn),
            Verb::Other => Ok(match verb {
                verb if verb.eq_ignore_ascii_case(b"RSET") => Self::Rset,
                verb if verb.eq_ignore_ascii_case(b"NOOP") => Self::Noop,
                verb if verb.eq_ignore_ascii_case(b"HELP") => Self::Help(argument),
                verb if verb.eq_ignore_ascii_case(b"QUIT") => Self::Quit,
                verb if verb.eq_ignore_ascii_case(b"VERB") => Self::Verb,
                _ => Self::Unknown,
            }),
        }
    }
}

/// The verb, and what stands behind it without spaces around.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().position(|&octet| octet == b' ').unwrap_or(line.len());
    let (verb, argument) = line.split_at_checked(end).unwrap_or((line, &[]));
    (verb, trim(argument))
}

/// Without spaces at both ends. Tabs stay: they are control characters.
fn trim(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&octet| octet != b' ').unwrap_or(text.len());
    let end =
        text.iter().rposition(|&octet| octet != b' ').map_or(start, |at| at.saturating_add(1));
    text.get(start..end).unwrap_or_default()
}

fn verb_of(verb: &[u8]) -> Verb {
    const VERBS: [(&[u8], Verb); 12] = [
        (b"HELO", Verb::Helo),
        (b"EHLO", Verb::Ehlo),
        (b"LHLO", Verb::Lhlo),
        (b"MAIL", Verb::Mail),
        (b"RCPT", Verb::Rcpt),
        (b"DATA", Verb::Data),
        (b"BDAT", Verb::Bdat),
        (b"VRFY", Verb::Vrfy),
        (b"EXPN", Verb::Expn),
        (b"STARTTLS", Verb::StartTls),
        (b"AUTH", Verb::Auth),
        (b"ETRN", Verb::Etrn),
    ];
    let found = VERBS.iter().find(|(name, _)| verb.eq_ignore_ascii_case(name));
    found.map_or(Verb::Other, |&(_, verb)| verb)
}

/// Control characters, and octets above 127 where no address, name or topic may hold them.
fn stray_octets(verb: Verb, line: &[u8]) -> Option<Fault<'_>> {
    if line.iter().any(u8::is_ascii_control) {
        return Some(Fault::Control(verb));
    }
    let takes_utf8 = matches!(verb, Verb::Mail | Verb::Rcpt | Verb::Vrfy | Verb::Expn);
    if line.is_ascii() || (takes_utf8 && core::str::from_utf8(line).is_ok()) {
        None
    } else {
        Some(Fault::EightBit(verb))
    }
}

fn some(verb: Verb, argument: &[u8]) -> Result<&[u8], Fault<'_>> {
    if argument.is_empty() { Err(Fault::ArgumentMissing(verb)) } else { Ok(argument) }
}

fn none(verb: Verb, argument: &[u8]) -> Result<(), Fault<'_>> {
    if argument.is_empty() { Ok(()) } else { Err(Fault::ArgumentNotAllowed(verb)) }
}

fn host(verb: Verb, argument: &[u8]) -> Result<&[u8], Fault<'_>> {
    let name = some(verb, argument)?;
    Host::parse(name).map_err(|why| Fault::Name(verb, why))?;
    Ok(name)
}

fn auth(argument: &[u8]) -> Command<'_> {
    let (mechanism, initial) = split(argument);
    Command::Auth { mechanism, initial: Some(initial).filter(|initial| !initial.is_empty()) }
}

/// Reads `FROM:` or `TO:` and the path behind it; gives the path and the text of the parameters.
fn path<'a>(argument: &'a [u8], keyword: &[u8]) -> Result<(Path<'a>, &'a [u8]), Fault<'a>> {
    let colon = argument.iter().position(|&octet| octet == b':').unwrap_or(argument.len());
    let (word, rest) = argument.split_at_checked(colon).unwrap_or((argument, &[]));
    // A quirk of sendmail: spaces around the colon.
    let word = trim(word);
    let rest = rest.strip_prefix(b":").unwrap_or_default();
    if !word.eq_ignore_ascii_case(keyword) || trim(rest).is_empty() {
        return Err(Fault::Keyword(word));
    }
    Path::parse(rest).map_err(|why| Fault::Path(trim(rest), why))
}

/// Goes through `text`, parameter by parameter: what each means is `take`'s to say, with its value if it has one.
fn parameters<'a>(
    text: &'a [u8],
    mut take: impl FnMut(Parameter, Option<&'a [u8]>) -> Result<bool, Fault<'a>>,
) -> Result<(), Fault<'a>> {
    let mut count = 0usize;
    let mut seen = [false; Parameter::ALL.len()];
    for word in text.split(|&octet| octet == b' ').filter(|word| !word.is_empty()) {
        count = count.saturating_add(1);
        if count > PARAMETERS_MAX {
            return Err(Fault::TooManyParameters);
        }
        let equals = word.iter().position(|&octet| octet == b'=');
        let (name, value) = match equals.and_then(|at| word.split_at_checked(at)) {
            Some((name, value)) => {
                (name, value.strip_prefix(b"=").filter(|value| !value.is_empty()))
            }
            None => (word, None),
        };
        let known = Parameter::ALL
            .iter()
            .zip(&mut seen)
            .find(|(parameter, _)| name.eq_ignore_ascii_case(parameter.name().as_bytes()));
        let Some((&parameter, seen)) = known else {
            return Err(Fault::Unknown(name));
        };
        if core::mem::replace(seen, true) {
            return Err(Fault::Duplicate(parameter));
        }
        if !take(parameter, value)? {
            return Err(Fault::Unknown(name));
        }
    }
    Ok(())
}

/// A decimal number, with nothing around it; `None`: another text, or above 20 digits.
fn number(text: &[u8]) -> Option<u64> {
    let is_number = (1..=20).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    if !is_number {
        return None;
    }
    text.iter().try_fold(0u64, |value, &digit| {
        value.checked_mul(10)?.checked_add(u64::from(digit.wrapping_sub(b'0')))
    })
}

#[cfg(test)]
mod tests;
