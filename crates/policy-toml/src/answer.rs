//! The answers: who may talk, who may send to whom, where mail goes.

use crate::address::{self, Fault, Parts};
use crate::meaning::{LOCAL, Meaning, RELAY, Users, Way};
use crate::tables::Tables;
use policy::{
    Acceptance, Ask, Expansion, MailerId, Origin, Policy, Question, Refusal, Route, Settings,
    Verdict,
};
use std::fmt;
use wire::escape;

/// Whose mail is always taken.
pub(crate) const POSTMASTER: &[u8] = b"postmaster";

/// What separates a user from a detail: `anna+lists`.
const DETAIL: u8 = b'+';

/// The policy of an ironpost.toml.
pub struct TomlPolicy {
    pub(crate) meaning: Meaning,
    pub(crate) tables: Box<dyn Tables>,
}

impl fmt::Debug for TomlPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TomlPolicy").field("meaning", &self.meaning).finish_non_exhaustive()
    }
}

/// Where an address leads.
pub(crate) enum Place {
    /// To a name of this system.
    Local { user: Vec<u8>, is_alias: bool },
    /// To another host.
    Remote { host: Vec<u8> },
    /// Nowhere.
    Nowhere(Refusal),
}

impl TomlPolicy {
    /// A policy that looks aliases and users up in these tables.
    #[must_use]
    pub fn new(meaning: Meaning, tables: Box<dyn Tables>) -> Self {
        Self { meaning, tables }
    }

    /// Where an address leads, whoever asks.
    pub(crate) fn place(&self, address: &[u8]) -> Place {
        let parts = match address::read(address) {
            Ok(parts) => parts,
            Err(fault) => return Place::Nowhere(faulty(address, fault)),
        };
        let Some(domain) = &parts.domain else { return self.local(address, &parts) };
        match self.meaning.routes.get(domain) {
            Some(Way::Local) => return self.local(address, &parts),
            Some(Way::Host(host)) => return Place::Remote { host: host.clone() },
            Some(Way::Refused(why)) => {
                return Place::Nowhere(refusal(550, (5, 1, 2), address, why, b"routes"));
            }
            None => {}
        }
        if self.meaning.all_is_local || self.meaning.local_domains.contains(domain) {
            return self.local(address, &parts);
        }
        Place::Remote { host: self.meaning.smart_host.clone().unwrap_or_else(|| domain.clone()) }
    }

    /// A local name: an alias, a user, or unknown.
    fn local(&self, address: &[u8], parts: &Parts) -> Place {
        if parts.is_routed {
            return Place::Nowhere(faulty(address, Fault::Route));
        }
        let folded = parts.local.to_ascii_lowercase();
        let user = folded.split(|&octet| octet == DETAIL).next().unwrap_or_default().to_vec();
        for name in [&folded, &user] {
            match self.tables.alias(name) {
                Ok(Some(_)) => return Place::Local { user: name.clone(), is_alias: true },
                Ok(None) => {}
                Err(why) => return Place::Nowhere(not_now(address, &why)),
            }
        }
        let is_known = match &self.meaning.users {
            Users::Any => is_mailbox_name(&user),
            Users::Names(names) => names.contains(&user),
            Users::System => match self.tables.user(&user) {
                Ok(is_known) => is_known,
                Err(why) => return Place::Nowhere(not_now(address, &why)),
            },
        };
        if is_known {
            return Place::Local { user, is_alias: false };
        }
        if user == POSTMASTER {
            let leads_somewhere = !matches!(self.place(&self.postmaster()), Place::Nowhere(_));
            if leads_somewhere {
                return Place::Local { user, is_alias: true };
            }
        }
        Place::Nowhere(refusal(550, (5, 1, 1), address, b"User unknown", b"local_users"))
    }

    /// Who reads the postmaster's mail where nobody has that name: whom the file names, else `root`, as the aliases
    /// that come with sendmail have it. A server takes mail for its postmaster (RFC 5321, 4.5.1).
    pub(crate) fn postmaster(&self) -> Vec<u8> {
        let wanted = &self.meaning.settings.postmaster;
        match address::read(wanted) {
            Ok(parts) if !self.is_own_postmaster(&parts) => wanted.to_vec(),
            Ok(_) | Err(_) => b"root".to_vec(),
        }
    }

    /// Whether this is the name that [`Self::postmaster`] is to find somebody for.
    fn is_own_postmaster(&self, parts: &Parts) -> bool {
        let user = parts.local.split(|&octet| octet == DETAIL).next().unwrap_or_default();
        user.eq_ignore_ascii_case(POSTMASTER)
            && parts.domain.as_ref().is_none_or(|domain| match self.meaning.routes.get(domain) {
                Some(way) => *way == Way::Local,
                None => self.meaning.all_is_local || self.meaning.local_domains.contains(domain),
            })
    }

    /// RCPT TO: local names for everybody, other hosts for those who may.
    fn recipient(&self, question: &Question, address: &[u8]) -> Verdict {
        let route = match self.route(address) {
            Ok(route) => route,
            Err(refusal) => return Verdict::Refuse(refusal),
        };
        if route.mailer == RELAY && !self.may_relay(question, address) {
            let why = b"Relaying denied";
            return Verdict::Refuse(refusal(550, (5, 7, 1), address, why, b"relay_networks"));
        }
        Verdict::Accept(Acceptance { route: Some(route), ..Acceptance::default() })
    }

    /// By the client's address or the recipient's domain: never by what the client says of itself.
    fn may_relay(&self, question: &Question, address: &[u8]) -> bool {
        // The server behind may obey what the local part asks: strangers can't say `a%elsewhere@relayed`.
        let plain = address::read(address).ok().filter(|parts| !parts.is_routed);
        let domain = plain.and_then(|parts| parts.domain);
        if domain.is_some_and(|domain| self.meaning.relay_domains.contains(&domain)) {
            return true;
        }
        match &question.facts.origin {
            Origin::User { .. } | Origin::Ourselves => true,
            Origin::Client { peer, .. } => {
                self.meaning.relay_networks.iter().any(|network| network.holds(peer.ip()))
            }
        }
    }

    /// VRFY: one uniform answer unless the owner wants more.
    fn verify(&self, argument: &[u8]) -> Verdict {
        if !self.meaning.settings.answers_vrfy {
            let text = b"Cannot VRFY user; try RCPT to attempt delivery (or try finger)";
            return Verdict::Refuse(Refusal::new(252, (2, 5, 2), text, b"privacy"));
        }
        let bare = bare(argument);
        match self.place(bare) {
            Place::Local { .. } => lines([shown(b"", bare)]),
            Place::Remote { .. } => {
                let text = shown(b"", bare);
                Verdict::Refuse(Refusal::new(252, (2, 1, 5), &text, b"privacy"))
            }
            Place::Nowhere(refusal) => Verdict::Refuse(refusal),
        }
    }

    /// EXPN: refused unless the owner wants it.
    fn expn(&self, argument: &[u8]) -> Verdict {
        if !self.meaning.settings.answers_expn {
            let text = b"Sorry, we do not allow this operation";
            return Verdict::Refuse(Refusal::new(502, (5, 7, 0), text, b"privacy"));
        }
        let bare = bare(argument);
        match self.route(bare) {
            Ok(route) if route.expands => {
                let expansion = self.expand(bare, &route);
                lines(expansion.recipients.iter().map(|member| shown(b"", &member.address)))
            }
            Ok(_) => lines([shown(b"", bare)]),
            Err(refusal) => Verdict::Refuse(refusal),
        }
    }
}

impl Policy for TomlPolicy {
    fn settings(&self) -> &Settings {
        &self.meaning.settings
    }

    fn judge(&self, question: &Question) -> Verdict {
        match &question.ask {
            Ask::Sender { address, .. } => sender(address),
            Ask::Recipient { address } => self.recipient(question, address),
            Ask::Verify { argument } => self.verify(argument),
            Ask::Expand { argument } => self.expn(argument),
            Ask::Connect
            | Ask::Left
            | Ask::Hello { .. }
            | Ask::Data
            | Ask::EndOfHeader { .. }
            | Ask::EndOfMessage { .. }
            | Ask::Help { .. }
            | Ask::Turn { .. }
            | Ask::Other { .. } => Verdict::accept(),
        }
    }

    fn route(&self, address: &[u8]) -> Result<Route, Refusal> {
        match self.place(address) {
            Place::Local { user, is_alias } => Ok(local_route(user, is_alias)),
            Place::Remote { host } => {
                Ok(Route { mailer: RELAY, host: host.into(), user: address.into(), expands: false })
            }
            Place::Nowhere(refusal) => Err(refusal),
        }
    }

    fn expand(&self, address: &[u8], route: &Route) -> Expansion {
        self.expansion(address, route)
    }
}

/// MAIL FROM: the address must be one.
fn sender(address: &[u8]) -> Verdict {
    if address.is_empty() {
        return Verdict::accept();
    }
    match address::read(address) {
        Ok(_) => Verdict::accept(),
        Err(fault) => Verdict::Refuse(faulty(address, fault)),
    }
}

/// The route to a mailbox, or to whoever stands behind a name.
pub(crate) fn local_route(user: Vec<u8>, expands: bool) -> Route {
    let mailer: MailerId = LOCAL;
    Route { mailer, host: Box::default(), user: user.into(), expands }
}

/// Names that may become a mailbox: nothing that is a path, hidden, or endless.
pub(crate) fn is_mailbox_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.first() != Some(&b'.')
        && name.iter().all(|&octet| octet > b' ' && octet != 0x7f && octet != b'/')
}

/// `ADDRESS... TEXT`, as sendmail says it.
pub(crate) fn refusal(
    code: u16,
    status: (u8, u16, u16),
    address: &[u8],
    text: &[u8],
    by: &[u8],
) -> Refusal {
    let mut whole = shown(b"", address);
    whole.extend_from_slice(b"... ");
    whole.extend_from_slice(text);
    Refusal::new(code, status, &whole, by)
}

pub(crate) fn not_now(address: &[u8], why: &str) -> Refusal {
    refusal(451, (4, 3, 0), address, why.as_bytes(), b"tables")
}

fn faulty(address: &[u8], fault: Fault) -> Refusal {
    let (code, status, text): (u16, _, &[u8]) = match fault {
        Fault::Empty => (553, (5, 1, 3), b"User address required"),
        Fault::TooLong => (553, (5, 1, 0), b"Address too long"),
        Fault::Domain => (553, (5, 1, 3), b"Hostname required"),
        Fault::Character => (553, (5, 1, 3), b"Invalid character in address"),
        Fault::Route => (550, (5, 7, 1), b"Relaying denied"),
    };
    refusal(code, status, address, text, b"address")
}

/// `<ADDRESS>`, printable.
fn shown(before: &[u8], address: &[u8]) -> Vec<u8> {
    let mut text = before.to_vec();
    text.push(b'<');
    escape::printable(address, &mut text);
    text.push(b'>');
    text
}

/// The argument of VRFY or EXPN without angle brackets and blanks.
fn bare(argument: &[u8]) -> &[u8] {
    wire::path::bare(argument.trim_ascii())
}

fn lines(lines: impl IntoIterator<Item = Vec<u8>>) -> Verdict {
    let lines = lines.into_iter().map(Vec::into_boxed_slice).collect();
    Verdict::Accept(Acceptance { lines, ..Acceptance::default() })
}
