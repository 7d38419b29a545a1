//! The same question asked of an ironpost.toml: what it says to the client, the sender, the recipient, and the route.

use super::trial::{Outcome, Refused, Session, Way};
use super::words::{self, Show};
use super::{code_of, each_address, show};
use crate::exit;
use crate::flags::ExplainFlags;
use crate::mailq::quoted;
use crate::printer::Printer;
use policy::{Ask, Facts, Origin, Parameters, Policy, Question, Refusal, Resolved, Verdict};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Explains every address by the policy of a file.
pub(super) fn explain(
    flags: &ExplainFlags,
    session: &Session,
    name: &[u8],
    file: &[u8],
    printer: &mut Printer,
) -> u8 {
    let shown = String::from_utf8_lossy(name);
    let policy = match daemon::policy_of(&shown, file) {
        Ok(policy) => policy,
        Err(problems) => {
            printer.complain(&problems);
            return exit::CONFIG;
        }
    };
    let show = show(flags);
    let mut code = 0;
    each_address(flags, |address| {
        let address = super::trial::bare(address);
        let outcome = outcome(&*policy, session, address);
        let sentence = format!("mail to {} {}", words::safe(address), words::verdict(&outcome));
        if flags.json {
            printer.line(&format!(
                r#"{{"address":{},"config":{},"summary":{},"outcome":{}}}"#,
                quoted(address),
                quoted(name),
                quoted(sentence.as_bytes()),
                super::json::outcome(&outcome)
            ));
        } else {
            let coloured = Show { is_verbose: false, ..show };
            printer.line(&words::sentence(address, &outcome, coloured));
        }
        if code == 0 {
            code = code_of(&outcome);
        }
    });
    code
}

/// Asks in the order of a session; the first refusal is the outcome.
fn outcome(policy: &dyn Policy, session: &Session, address: &[u8]) -> Outcome {
    let origin = origin(session);
    let from = session.from.clone().unwrap_or_default();
    let mut facts = Facts {
        origin,
        daemon: 0,
        hello: session.helo.clone().unwrap_or_default().into(),
        is_esmtp: true,
        sender: None,
        recipients: 0,
        macros: Vec::new(),
    };
    let mut asks = Vec::new();
    if session.client.is_some() {
        asks.push(("connect", Ask::Connect));
    }
    let parameters = Parameters::default();
    asks.push(("the sender", Ask::Sender { address: from.clone().into(), parameters }));
    asks.push(("the recipient", Ask::Recipient { address: address.into() }));
    let mut quarantine = None;
    for (by, ask) in asks {
        if matches!(ask, Ask::Recipient { .. }) {
            facts.sender = Some(from.clone().into());
        }
        match policy.judge(&Question { facts: facts.clone(), ask }) {
            Verdict::Accept(_) => {}
            Verdict::Refuse(refusal) => return refused(&refusal, by),
            Verdict::Discard { .. } => {
                return Outcome::Discarded(Refused { by, ..Refused::default() });
            }
            Verdict::Quarantine { reason } => quarantine = Some(reason.into_vec()),
        }
    }
    match policy.route(address) {
        Err(refusal) => refused(&refusal, "the route"),
        Ok(route) => {
            let mailers = &policy.settings().mailers;
            let mailer = mailers.get(usize::from(route.mailer.0));
            Outcome::Goes(Way {
                mailer: mailer.map(|mailer| mailer.name.to_vec()).unwrap_or_default(),
                host: Some(route.host.to_vec()).filter(|host| !host.is_empty()),
                user: route.user.to_vec(),
                quarantine,
                ..Way::default()
            })
        }
    }
}

fn origin(session: &Session) -> Origin {
    let Some((ip, name)) = &session.client else {
        return Origin::User { uid: 0, name: b"root".as_slice().into() };
    };
    let resolved = if name.is_some() { Resolved::Ok } else { Resolved::Fail };
    let shown = name.clone().unwrap_or_else(|| format!("[{ip}]").into_bytes());
    Origin::Client {
        peer: SocketAddr::new(*ip, 0),
        local: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 25),
        name: shown.into(),
        resolved,
    }
}

fn refused(refusal: &Refusal, by: &'static str) -> Outcome {
    let (class, subject, detail) = refusal.status;
    let mut reply = format!("{} {class}.{subject}.{detail} ", refusal.code).into_bytes();
    reply.extend_from_slice(&refusal.text);
    Outcome::Refused(Refused { reply, by, cause: None })
}
