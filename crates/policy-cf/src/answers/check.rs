//! One check: a rule set is run over what a client said, and what it resolves to is an answer (sendmail's rscheck).

use crate::machine::{Machine, ScanTable, enhanced_length, shorten};
use crate::resolve::Side;
use crate::token::{Token, meta};
use alloc::vec::Vec;
use policy::{Refusal, Verdict};

/// The longest address in a reply, one more than fits.
const SHOWN_OCTETS_MAX: usize = 203;

/// What a rule set said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Accept,
    Discard,
    Quarantine(Vec<u8>),
    Refuse(Refusal),
}

impl Outcome {
    /// As a verdict; `None`: nothing was said against it.
    pub(super) fn verdict(self, by: &[u8]) -> Option<Verdict> {
        match self {
            Self::Accept => None,
            Self::Discard => Some(Verdict::Discard { by: by.into() }),
            Self::Quarantine(reason) => Some(Verdict::Quarantine { reason: reason.into() }),
            Self::Refuse(refusal) => Some(Verdict::Refuse(refusal)),
        }
    }
}

fn number(machine: &Machine<'_>, name: &[u8]) -> Option<usize> {
    let found = machine.config.sets.find(name).number;
    found.filter(|set| !machine.config.sets.of(*set).is_empty())
}

/// Octets from outside, made safe for rules: none of them is a metasymbol.
pub(super) fn clean(text: &[u8]) -> Vec<u8> {
    let mended = |octet: &u8| match octet {
        0 | b'\r' | b'\n' | 0x80..=0x9f | 0xff => b'?',
        other => *other,
    };
    text.iter().map(mended).collect()
}

/// Runs rule set `name` over `first` (and `$|` and `second`). A set that is not there accepts. `about` is the address
/// that replies name.
pub(super) fn run(
    machine: &mut Machine<'_>,
    name: &[u8],
    first: &[u8],
    second: Option<&[u8]>,
    about: &[u8],
) -> Outcome {
    let Some(set) = number(machine, name) else { return Outcome::Accept };
    let mut text = clean(first);
    if let Some(second) = second {
        text.extend_from_slice(&[b' ', meta::ELSE, b' ']);
        text.extend_from_slice(&clean(second));
    }
    run_set(machine, set, name, &text, about)
}

/// The same for a set by its number, and text that was cleaned already.
pub(super) fn run_set(
    machine: &mut Machine<'_>,
    set: usize,
    name: &[u8],
    text: &[u8],
    about: &[u8],
) -> Outcome {
    machine.replies.clear();
    let mut tokens = Vec::new();
    let (found, _) = machine.scan(text, ScanTable::NoComments, 0, &mut tokens);
    if !found {
        let reply = machine.replies.pop().unwrap_or_else(|| b"501 5.1.3 Syntax error".to_vec());
        return Outcome::Refuse(refusal(&reply, None, about, name));
    }
    // A map that can't answer now is the rule set's to see (`-T`), as in sendmail.
    let _said_by_the_rules = machine.rewrite(&mut tokens, set);
    outcome(machine, &tokens, name, about)
}

fn outcome(machine: &mut Machine<'_>, tokens: &[Token], name: &[u8], about: &[u8]) -> Outcome {
    let [first, mailer, rest @ ..] = tokens else { return Outcome::Accept };
    if first.lead != meta::MAILER {
        return Outcome::Accept;
    }
    let mailer = machine.config.arena.text(*mailer);
    if mailer.eq_ignore_ascii_case(b"discard") {
        return Outcome::Discard;
    }
    if !mailer.eq_ignore_ascii_case(b"error") {
        return Outcome::Accept;
    }
    if let [mark, word, ..] = rest
        && mark.lead == meta::HOST
        && machine.config.arena.text(*word).eq_ignore_ascii_case(b"quarantine")
    {
        let user = rest.iter().position(|token| token.lead == meta::USER);
        let reason = user.and_then(|at| rest.get(at.saturating_add(1)..)).unwrap_or_default();
        return Outcome::Quarantine(machine.join(reason, b' ', true, SHOWN_OCTETS_MAX));
    }
    machine.replies.clear();
    let resolved = machine.build(tokens, Side::default());
    let reply = resolved.refusal.or_else(|| machine.replies.pop());
    let reply = reply.unwrap_or_else(|| b"554 5.3.5 rule set says error without text".to_vec());
    Outcome::Refuse(refusal(&reply, resolved.host.as_deref(), about, name))
}

/// A reply text with its codes as a refusal. The enhanced code is that of the text, else that of `$@`, else general; the
/// address stands in front where the code is about addresses.
pub(super) fn refusal(reply: &[u8], host: Option<&[u8]>, about: &[u8], by: &[u8]) -> Refusal {
    let (code, rest) = match reply.split_at_checked(4) {
        Some(([a @ b'2'..=b'5', b, c, b' ' | b'-'], rest))
            if b.is_ascii_digit() && c.is_ascii_digit() =>
        {
            (digits(&[*a, *b, *c]), rest)
        }
        _ => (553, reply),
    };
    let own = enhanced_length(rest).filter(|length| rest.get(*length) == Some(&b' '));
    let (status, text) =
        if let Some((status, text)) = own.and_then(|length| rest.split_at_checked(length)) {
            (parts(status), text.get(1..).unwrap_or_default())
        } else {
            let host = host.filter(|host| enhanced_length(host) == Some(host.len()));
            let class = u8::try_from(code.checked_div(100).unwrap_or(5)).unwrap_or(5);
            (host.map_or((class, 0, 0), parts), rest)
        };
    let mut shown = Vec::new();
    if !about.is_empty() && matches!(code, 450 | 550 | 553) {
        shown.extend_from_slice(&shorten(about, SHOWN_OCTETS_MAX));
        shown.extend_from_slice(b"... ");
    }
    shown.extend(text.iter().map(|octet| if octet.is_ascii_control() { b'?' } else { *octet }));
    // What is refused must sound so: a 2xx or 3xx text of a rule set would be believed as a yes.
    let code = if code < 400 { 553 } else { code };
    Refusal::new(code, status, &shown, by)
}

fn digits(text: &[u8]) -> u16 {
    text.iter().filter(|octet| octet.is_ascii_digit()).fold(0_u16, |number, digit| {
        number.saturating_mul(10).saturating_add(u16::from(digit.wrapping_sub(b'0')))
    })
}

/// `5.7.1` as numbers.
fn parts(status: &[u8]) -> (u8, u16, u16) {
    let mut numbers = status.split(|octet| *octet == b'.').map(digits);
    let mut next = || numbers.next().unwrap_or(0);
    let class = u8::try_from(next()).unwrap_or(5);
    (class, next(), next())
}
