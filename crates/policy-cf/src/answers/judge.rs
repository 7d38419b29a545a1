//! Every question and the rule sets that answer it.

use super::check::{self, Outcome, clean, refusal};
use super::moment::{self, decimal};
use super::ports::Port;
use super::{CfPolicy, greet, header, help, local, look};
use crate::machine::Machine;
use crate::resolve::{Resolved, Side};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;
use policy::host_access::Peer;
use policy::{
    Acceptance, Ask, Facts, Macros, Note, Origin, Parameters, Question, Refusal, Route, Verdict,
};

/// Macros that one answer carries back at most, and octets of one of them.
const CARRIED_MAX: usize = 32;
const CARRIED_OCTETS_MAX: usize = 1024;

/// What a client reads whose recipient is not tried at once.
const WILL_QUEUE: &[u8] = b"Recipient ok (will queue)";

/// `<ADDRESS>`: as rule sets are told an address of the envelope.
pub(super) fn bracketed(address: &[u8]) -> Vec<u8> {
    [b"<".as_slice(), address, b">"].concat()
}

/// Answers one question.
pub(super) fn judge(policy: &CfPolicy, machine: &mut Machine<'_>, question: &Question) -> Verdict {
    let facts = &question.facts;
    let port = policy.ports.get(usize::from(facts.daemon));
    moment::set(machine, facts, port);
    let mode = delivery_mode(machine);
    machine.config.macros.set_named(b"deliveryMode", &[mode]);
    machine.config.macros.mark();
    machine.is_deferring = mode == b'd';
    match &question.ask {
        Ask::Connect => connect(machine, facts, port),
        Ask::Left => yes(machine),
        Ask::Hello { name } => {
            machine.config.macros.set(b's', Some(clean(name)));
            yes(machine)
        }
        Ask::Sender { address, parameters } => {
            let needs_auth = port.is_some_and(|port| port.has(b'a'));
            if needs_auth && matches!(facts.origin, Origin::Client { .. }) {
                // There is no AUTH here, so a port that demands it takes no mail.
                let text = b"Authentication required";
                return Verdict::Refuse(Refusal::new(530, (5, 7, 0), text, b""));
            }
            sender(machine, facts, address, parameters)
        }
        Ask::Recipient { address } => recipient(policy, machine, address),
        Ask::Data => {
            let count = decimal(facts.recipients);
            simple(machine, b"check_data", &count, None, b"")
        }
        Ask::EndOfHeader { fields, size_bytes, header: text } => {
            let verdict = header::judge(machine, *fields, *size_bytes, text);
            verdict.unwrap_or_else(|| yes(machine))
        }
        Ask::Help { topic } => {
            let lines = help::lines(machine, topic);
            let none = || Refusal::new(502, (5, 3, 0), b"HELP not implemented", b"");
            lines.map_or_else(
                || Verdict::Refuse(none()),
                |lines| Verdict::Accept(Acceptance { lines, ..Acceptance::default() }),
            )
        }
        Ask::EndOfMessage { size_bytes } => {
            let size = decimal(*size_bytes);
            machine.config.macros.set_named(b"msg_size", &size);
            simple(machine, b"check_eom", &size, None, b"")
        }
        Ask::Verify { argument } => {
            asked_about(policy, machine, b"check_vrfy", argument, policy.settings.answers_vrfy)
        }
        Ask::Expand { argument } => {
            asked_about(policy, machine, b"check_expn", argument, policy.settings.answers_expn)
        }
        Ask::Turn { argument } => simple(machine, b"check_etrn", argument, None, b""),
        Ask::Other { line, class } => {
            simple(machine, b"check_other", line, Some(&decimal(*class)), b"")
        }
    }
}

/// One rule set, and nothing else.
fn simple(
    machine: &mut Machine<'_>,
    set: &[u8],
    first: &[u8],
    second: Option<&[u8]>,
    about: &[u8],
) -> Verdict {
    let outcome = check::run(machine, set, first, second, about);
    outcome.verdict(set).unwrap_or_else(|| yes(machine))
}

/// A yes with what the rules set meanwhile.
fn yes(machine: &Machine<'_>) -> Verdict {
    Verdict::Accept(Acceptance { macros: carried(machine), ..Acceptance::default() })
}

/// What rule sets set, in bounds.
fn carried(machine: &Machine<'_>) -> Macros {
    let set = machine.config.macros.since_mark().into_iter();
    set.filter(|(_, value)| value.len() <= CARRIED_OCTETS_MAX)
        .take(CARRIED_MAX)
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

/// The connection: who it is, check_relay, and the greeting.
fn connect(machine: &mut Machine<'_>, facts: &Facts, port: Option<&Port>) -> Verdict {
    let mut known = Macros::new();
    if let Origin::Client { peer, local, name, .. } = &facts.origin {
        if name.is_empty() {
            let (name, resolved) = machine.world.client_name(peer.ip().to_canonical());
            let name: Box<[u8]> = clean(&name).into();
            if !name.is_empty() {
                known.push((b"{client_name}"[..].into(), name.clone()));
            }
            known.push((b"{client_resolve}"[..].into(), moment::resolution(resolved).into()));
            let origin = Origin::Client { peer: *peer, local: *local, name, resolved };
            moment::set(machine, &Facts { origin, ..facts.clone() }, port);
            machine.config.macros.mark();
        }
        let name = machine.config.macros.value_named(b"client_name").unwrap_or_default().to_vec();
        let address = moment::address_text(peer.ip());
        let outcome = check::run(machine, b"check_relay", &name, Some(&address), b"");
        if let Some(mut verdict) = outcome.verdict(b"check_relay") {
            if let Verdict::Refuse(refusal) = &mut verdict {
                refusal.macros = known;
            }
            return verdict;
        }
        if let Some(mut refusal) = kept_out(machine, peer.ip()) {
            refusal.macros = known;
            return Verdict::Refuse(refusal);
        }
    }
    known.extend(carried(machine));
    if matches!(facts.origin, Origin::User { .. }) {
        // Nobody is connected: what a greeting says of the client is there, and empty.
        for name in [&b"client_name"[..], b"client_resolve"] {
            machine.config.macros.set_named(name, b"");
        }
        machine.config.macros.set_named(b"client_addr", b"0");
    }
    let pause_ms = greet::pause_ms(machine);
    let lines = greet::lines(machine);
    Verdict::Accept(Acceptance { lines, macros: known, pause_ms, ..Acceptance::default() })
}

/// What a client is told that the files of TCP wrappers keep out, after check_relay let it in.
fn kept_out(machine: &mut Machine<'_>, address: IpAddr) -> Option<Refusal> {
    let is_proven = machine.config.macros.value_named(b"client_resolve") == Some(b"OK");
    let name = machine.config.macros.value_named(b"client_name").unwrap_or_default().to_vec();
    let name = if is_proven && !name.starts_with(b"[") { name.as_slice() } else { b"" };
    let peer = Peer { name, address };
    if machine.world.lets_in(&peer) {
        return None;
    }
    let mut refusal = Refusal::new(550, (5, 0, 0), b"Access denied", b"tcpwrappers");
    refusal.subject = Some(peer.shown().into());
    Some(refusal)
}

/// MAIL: the sender is resolved (`${mail_mailer}` and its kin), then check_mail.
fn sender(
    machine: &mut Machine<'_>,
    facts: &Facts,
    address: &[u8],
    parameters: &Parameters,
) -> Verdict {
    let shown = bracketed(&clean(address));
    let macros = &mut machine.config.macros;
    moment::set_sender(macros, address);
    macros.set_named(b"addr_type", b"e s");
    macros.set_named(b"msg_size", &decimal(parameters.size_bytes.unwrap_or(0)));
    machine.replies.clear();
    let resolved = if address.is_empty() {
        None
    } else {
        let side = Side { is_sender: true, is_header: false };
        let resolved = machine.parse(&shown, side);
        let reply = resolved.as_ref().and_then(|resolved| resolved.refusal.clone());
        let is_refused = resolved.as_ref().is_none_or(|resolved| resolved.mailer.is_none());
        if is_refused {
            let host = resolved.as_ref().and_then(|resolved| resolved.host.as_deref());
            let reply = reply.or_else(|| machine.replies.pop());
            let reply = reply.unwrap_or_else(|| b"553 5.1.7 Invalid sender address".to_vec());
            return Verdict::Refuse(refusal(&reply, host, &shown, b""));
        }
        let name = resolved.as_ref().map(|resolved| resolved.mailer_name.as_slice());
        if matches!(name, Some(b"prog" | b"*file*" | b"*include*")) {
            let reply = b"553 5.1.7 Invalid sender address";
            return Verdict::Refuse(refusal(reply, None, &shown, b""));
        }
        resolved
    };
    let notes = doubt(machine, &facts.origin, resolved.as_ref()).into_iter().collect();
    let controller =
        resolved.as_ref().and_then(|resolved| look::user_behind(machine, resolved, &shown));
    let macros = &mut machine.config.macros;
    macros.mark();
    if let Some(resolved) = resolved {
        macros.set_named(b"mail_mailer", &resolved.mailer_name);
        macros.set_named(b"mail_host", &clean(resolved.host.as_deref().unwrap_or_default()));
        macros.set_named(b"mail_addr", &clean(&resolved.user));
    } else {
        // The null sender is the postmaster's daemon: `$#local $: <>`.
        macros.set_named(b"mail_mailer", b"local");
        macros.set_named(b"mail_host", b"");
        macros.set_named(b"mail_addr", b"<>");
    }
    let outcome = check::run(machine, b"check_mail", &shown, None, &shown);
    outcome.verdict(b"check_mail").unwrap_or_else(|| {
        let macros = carried(machine);
        Verdict::Accept(Acceptance { macros, controller, notes, ..Acceptance::default() })
    })
}

/// A warning where a user of this machine sends as somebody else, if `authwarnings` are wanted: not of those who are trusted.
fn doubt(machine: &Machine<'_>, origin: &Origin, resolved: Option<&Resolved>) -> Option<Note> {
    let Origin::User { uid: 1.., name } = origin else { return None };
    let config = &machine.config;
    if !config.options.is_private("authwarnings") || config.classes.contains(b't', name) {
        return None;
    }
    let is_himself = resolved.is_some_and(|resolved| {
        let mailer = resolved.mailer.and_then(|number| config.mailers.get(number));
        mailer.is_some_and(|mailer| mailer.flags.has(b'l')) && *resolved.user == **name
    });
    let text = [&**name, b" owned process doing -bs".as_slice()].concat();
    (!is_himself).then(|| Note::Warned(text.into()))
}

/// RCPT: rule sets 3 and 0, check_rcpt, and whether there is such a user.
fn recipient(policy: &CfPolicy, machine: &mut Machine<'_>, address: &[u8]) -> Verdict {
    let shown = bracketed(&clean(address));
    let resolved = match local::resolve(machine, &shown) {
        Ok(resolved) => resolved,
        Err(refusal) => return Verdict::Refuse(refusal),
    };
    let macros = &mut machine.config.macros;
    macros.set_named(b"rcpt_mailer", &resolved.mailer_name);
    macros.set_named(b"rcpt_host", &clean(resolved.host.as_deref().unwrap_or_default()));
    macros.set_named(b"rcpt_addr", &clean(&resolved.user));
    macros.set_named(b"addr_type", b"e r");
    macros.mark();
    let marked = match check::run(machine, b"check_rcpt", &shown, None, &shown) {
        Outcome::Refuse(refusal) => return Verdict::Refuse(refusal),
        // Thrown away is thrown away: whether there is such a user does not matter.
        outcome @ Outcome::Discard => {
            return outcome.verdict(b"check_rcpt").unwrap_or_else(|| yes(machine));
        }
        outcome @ (Outcome::Accept | Outcome::Quarantine(_)) => marked(outcome, b"check_rcpt"),
    };
    let macros = carried(machine);
    let is_deferred = resolved.is_deferred;
    let mut verdict = match local::place(machine, &mut *policy.pool.lists(), &shown, resolved) {
        Ok(route) => {
            let is_local = has_flag(machine, &route, b'A') || has_flag(machine, &route, b'w');
            let lines = if is_deferred { [WILL_QUEUE.into()].into() } else { Vec::new() };
            let plain = Acceptance {
                route: Some(route),
                macros,
                lines,
                counted: 1,
                ..Acceptance::default()
            };
            if is_local && delivers_at_once(machine) {
                match look::stand_behind(machine, &mut *policy.pool.lists(), &shown) {
                    Ok(look::Behind { counted, members, notes }) => {
                        Verdict::Accept(Acceptance { counted, members, notes, ..plain })
                    }
                    Err(refusal) => Verdict::Refuse(refusal),
                }
            } else {
                Verdict::Accept(plain)
            }
        }
        Err(refusal) => Verdict::Refuse(refusal),
    };
    note(&mut verdict, marked);
    verdict
}

/// Whether the mailer of a route has a flag.
fn has_flag(machine: &Machine<'_>, route: &Route, flag: u8) -> bool {
    let mailer = machine.config.mailers.get(usize::from(route.mailer.0));
    mailer.is_some_and(|mailer| mailer.flags.has(flag))
}

/// The first letter of DeliveryMode: `i`, `b`, `q`, `d`.
fn delivery_mode(machine: &Machine<'_>) -> u8 {
    let value = machine.config.options.values.get("DeliveryMode");
    value.and_then(|value| value.first()).map_or(b'b', u8::to_ascii_lowercase)
}

/// Whether mail is delivered before its client hears of it: then aliases are followed at once, too.
fn delivers_at_once(machine: &Machine<'_>) -> bool {
    delivery_mode(machine) == b'i'
}

/// VRFY and EXPN: the rule set, then where the address leads.
fn asked_about(
    policy: &CfPolicy,
    machine: &mut Machine<'_>,
    set: &[u8],
    argument: &[u8],
    answers: bool,
) -> Verdict {
    // A discard means nothing here but a line in the log.
    let marked = match check::run(machine, set, argument, None, b"") {
        Outcome::Refuse(refusal) => return Verdict::Refuse(refusal),
        outcome @ (Outcome::Accept | Outcome::Discard | Outcome::Quarantine(_)) => {
            marked(outcome, set)
        }
    };
    if !answers {
        let is_expansion = set == b"check_expn";
        let (code, status, text): (u16, _, &[u8]) = if is_expansion {
            (502, (5, 7, 0), b"Sorry, we do not allow this operation")
        } else {
            (252, (2, 5, 2), b"Cannot VRFY user; try RCPT to attempt delivery (or try finger)")
        };
        return Verdict::Refuse(Refusal::new(code, status, text, b"privacy"));
    }
    let mut verdict =
        look::look(machine, &mut *policy.pool.lists(), argument, set == b"check_vrfy");
    note(&mut verdict, marked);
    verdict
}

/// What a rule set wants of the message beside the answer.
fn marked(outcome: Outcome, set: &[u8]) -> Option<Note> {
    let quarantine = match outcome {
        Outcome::Discard => None,
        Outcome::Quarantine(reason) => Some(reason.into()),
        Outcome::Accept | Outcome::Refuse(_) => return None,
    };
    Some(Note::Marked { by: set.into(), quarantine })
}

/// Adds a note to an answer.
fn note(verdict: &mut Verdict, note: Option<Note>) {
    match verdict {
        Verdict::Accept(acceptance) => acceptance.notes.extend(note),
        Verdict::Refuse(refusal) => refusal.notes.extend(note),
        Verdict::Discard { .. } | Verdict::Quarantine { .. } => {}
    }
}
