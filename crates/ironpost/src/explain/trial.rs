//! One address through the rule sets, in the order of a session: the client, the sender, the recipient, the route.
//!
//! `check_relay`, rule sets 3 and 0 for the sender, `check_mail`, rule sets 3 and 0 for the recipient, `check_rcpt`, then
//! the mailer's own rule sets (manual, section 5.1.4). Nothing is sent, nothing is stored; maps are asked as in earnest.

use super::landing::{self, End, Landing};
use super::source::Source;
use super::steps::{self, Cause, Step};
use policy::{Facts, Macros, Origin, Refusal, Resolved as Standing, Verdict};
use policy_cf::answers::stages;
use policy_cf::machine::{Event, Machine, strip_quotes};
use policy_cf::resolve::{Resolved, Side};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The port that a client is taken to come from and to have called.
const SMTP: u16 = 25;
/// The stage of rule set 5.
const LOCAL_USER: &str = "local user (rule set 5)";

/// Who sends, as the command line says it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Session {
    /// The client's address and name.
    pub(crate) client: Option<(IpAddr, Option<Vec<u8>>)>,
    /// The name in HELO.
    pub(crate) helo: Option<Vec<u8>>,
    /// The sender, without angle brackets.
    pub(crate) from: Option<Vec<u8>>,
}

/// One stage: a rule set of its own, or the resolving of an address.
#[derive(Debug)]
pub(crate) struct Stage {
    /// Its name: `check_rcpt`, `route` …
    pub(crate) name: &'static str,
    /// What it was given.
    pub(crate) input: Vec<u8>,
    /// Of interest only to who asks for everything.
    pub(crate) is_aside: bool,
    /// What happened.
    pub(crate) steps: Vec<Step>,
}

/// What would come of mail to the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is taken.
    Goes(Way),
    /// It is refused, for now or for good.
    Refused(Refused),
    /// It is taken and thrown away.
    Discarded(Refused),
}

impl Outcome {
    /// Whether the conversation ends at a stage.
    pub(crate) fn ended_at(&self, stage: &str) -> bool {
        match self {
            Self::Goes(_) => false,
            Self::Refused(refused) | Self::Discarded(refused) => refused.by == stage,
        }
    }
}

/// Where it goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Way {
    /// The mailer.
    pub(crate) mailer: Vec<u8>,
    /// The mailer's `P=`.
    pub(crate) program: Vec<u8>,
    /// The host; local mailers have none.
    pub(crate) host: Option<Vec<u8>>,
    /// The user.
    pub(crate) user: Vec<u8>,
    /// The sender as the mailer names it.
    pub(crate) sender: Option<Vec<u8>>,
    /// What the aliases put in its place.
    pub(crate) aliases: Option<Vec<u8>>,
    /// Where it ends up behind aliases, lists and `.forward`; nothing if it stays where it is.
    pub(crate) landings: Vec<Landing>,
    /// How many further ends there are.
    pub(crate) untold: usize,
    /// Why it waits in quarantine.
    pub(crate) quarantine: Option<Vec<u8>>,
    /// A map could not answer: it waits in the queue.
    pub(crate) is_deferred: bool,
}

/// A refusal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The reply; empty where mail is discarded.
    pub(crate) reply: Vec<u8>,
    /// The stage.
    pub(crate) by: &'static str,
    /// The rule and the map.
    pub(crate) cause: Option<Cause>,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Explanation {
    /// The address as it was given.
    pub(crate) address: Vec<u8>,
    /// What ran, in order.
    pub(crate) stages: Vec<Stage>,
    /// What comes of it.
    pub(crate) outcome: Outcome,
}

/// A run: the machine and what has been found.
struct Trial<'m, 'w> {
    machine: &'m mut Machine<'w>,
    source: &'m Source,
    stages: Vec<Stage>,
    /// The first end that was met.
    end: Option<Outcome>,
    quarantine: Option<Vec<u8>>,
}

/// Puts an address through the rule sets; the machine's macros are as before after it.
pub(crate) fn run(
    machine: &mut Machine<'_>,
    source: &Source,
    session: &Session,
    address: &[u8],
) -> Explanation {
    let address = bare(address);
    let macros = machine.config.macros.clone();
    let base = machine.config.arena.len();
    let mut trial = Trial { machine, source, stages: Vec::new(), end: None, quarantine: None };
    trial.client(session);
    trial.sender(session);
    let way = trial.recipient(session, address);
    let (stages, quarantine) = (trial.stages, trial.quarantine);
    let outcome = trial.end.unwrap_or(Outcome::Goes(Way { quarantine, ..way }));
    machine.config.macros = macros;
    machine.config.arena.cut(base);
    Explanation { address: address.to_vec(), stages, outcome }
}

/// An address of the command line without the blanks and angle brackets around it.
pub(crate) fn bare(address: &[u8]) -> &[u8] {
    wire::path::bare(address.trim_ascii())
}

impl Trial<'_, '_> {
    fn client(&mut self, session: &Session) {
        let Some((ip, name)) = &session.client else {
            // Without a client the message is handed in by a user of this host.
            let macros = &mut self.machine.config.macros;
            macros.set_named(b"addr_type", b"e r");
            macros.set_named(b"daemon_flags", b"");
            macros.set(b'r', Some(b"SMTP".to_vec()));
            return;
        };
        let name = name.as_deref().unwrap_or_default();
        let helo = session.helo.as_deref().unwrap_or(name);
        let unknown = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), SMTP);
        let facts = Facts {
            origin: Origin::Client {
                peer: SocketAddr::new(*ip, SMTP),
                local: unknown,
                name: name.into(),
                resolved: if name.is_empty() { Standing::Fail } else { Standing::Ok },
            },
            daemon: 0,
            hello: if helo.is_empty() {
                format!("[{ip}]").into_bytes().into()
            } else {
                helo.into()
            },
            is_esmtp: true,
            sender: None,
            recipients: 0,
            macros: Macros::new(),
        };
        stages::begin(self.machine, &facts);
        let macros = &mut self.machine.config.macros;
        for (name, value) in [
            (b"client_connections".as_slice(), b"1".as_slice()),
            (b"client_rate", b"1"),
            (b"client_flags", b""),
            (b"daemon_name", b"MTA"),
            (b"daemon_flags", b""),
            (b"addr_type", b"e r"),
        ] {
            macros.set_named(name, value);
        }
        let value = |name: &[u8]| macros.value_named(name).unwrap_or_default().to_vec();
        let (shown, address) = (value(b"client_name"), value(b"client_addr"));
        self.check("check_relay", &shown, Some(&address));
    }

    fn sender(&mut self, session: &Session) {
        let Some(from) = session.from.as_deref() else { return };
        let shown: &[u8] = if from.is_empty() { b"<>" } else { from };
        self.machine.config.macros.set(b'f', Some(shown.to_vec()));
        self.machine.config.macros.set_named(b"mail_addr", shown);
        let side = Side { is_sender: true, is_header: false };
        self.machine.config.macros.set_named(b"addr_type", b"e s");
        if from.is_empty() {
            // The null sender is this host's own daemon.
            self.machine.config.macros.set_named(b"mail_mailer", b"local");
        } else {
            let (resolved, events) = self.resolve("sender", from, side);
            self.name_macros([b"mail_mailer", b"mail_host", b"mail_addr"], resolved.as_ref());
            self.refuse_unresolved("sender", resolved.as_ref(), &events);
        }
        self.check("check_mail", &[b"<", from, b">"].concat(), None);
        self.machine.config.macros.set_named(b"addr_type", b"e r");
    }

    fn recipient(&mut self, session: &Session, address: &[u8]) -> Way {
        let place = self.stages.len();
        let (resolved, events) = self.resolve("route", address, Side::default());
        self.name_macros([b"rcpt_mailer", b"rcpt_host", b"rcpt_addr"], resolved.as_ref());
        self.refuse_unresolved("route", resolved.as_ref(), &events);
        let route = self.stages.split_off(place);
        self.check("check_rcpt", &[b"<", address, b">"].concat(), None);
        self.stages.extend(route);
        let Some(resolved) = resolved else { return Way::default() };
        let mut way = Way {
            mailer: resolved.mailer_name.clone(),
            host: resolved.host.clone().filter(|host| !host.is_empty()),
            user: resolved.user.clone(),
            is_deferred: resolved.is_deferred,
            ..Way::default()
        };
        if self.end.is_none() && resolved.mailer.is_some() {
            self.delivery(session, &resolved, address, &mut way);
        }
        way
    }

    /// What the mailer makes of it: aliases of local users, rule set 5, the sender's name.
    fn delivery(&mut self, session: &Session, resolved: &Resolved, address: &[u8], way: &mut Way) {
        let Some(number) = resolved.mailer else { return };
        let Some(mailer) = self.machine.config.mailers.get(number) else { return };
        let flags = mailer.flags;
        way.program.clone_from(&mailer.path);
        if flags.has(b'A') {
            self.begin();
            let host = resolved.host.as_deref().unwrap_or_default();
            match stages::alias(self.machine, host, &way.user) {
                Ok(found) => way.aliases = found,
                Err(policy_cf::Unavailable) => way.is_deferred = true,
            }
            self.end_stage("aliases", way.user.clone(), false);
        }
        if way.aliases.is_none() && flags.has(b'5') {
            self.local_user(way);
        }
        if !way.is_deferred && [b'A', b'5', b'w'].into_iter().any(|flag| flags.has(flag)) {
            self.follow(address, way);
        }
        if let Some(from) = session.from.as_deref().filter(|from| !from.is_empty()) {
            let side = Side { is_sender: true, is_header: false };
            self.machine.config.macros.set_named(b"addr_type", b"e s");
            self.begin();
            let (sender, _) = self.machine.remote_name(from, number, side);
            self.end_stage("sender for the mailer", from.to_vec(), true);
            way.sender = Some(sender);
        }
    }

    /// Rule set 5: where a local name without an alias goes.
    fn local_user(&mut self, way: &mut Way) {
        const LOCAL: usize = 5;
        if self.machine.config.sets.of(LOCAL).is_empty() {
            return;
        }
        self.begin();
        let user = way.user.clone();
        let moved = stages::local_user(self.machine, &user);
        let events = self.end_stage(LOCAL_USER, user, false);
        match moved {
            Ok(None) => {}
            Ok(Some(found)) => {
                let mailer = found.mailer.and_then(|at| self.machine.config.mailers.get(at));
                way.program = mailer.map(|mailer| mailer.path.clone()).unwrap_or_default();
                way.mailer = found.mailer_name;
                way.host = found.host.filter(|host| !host.is_empty());
                way.user = found.user;
            }
            Err(refusal) => {
                let cause = steps::cause(self.machine, self.source, &events);
                let reply = shown(&refusal);
                self.end = Some(Outcome::Refused(Refused { reply, by: LOCAL_USER, cause }));
            }
        }
    }

    /// Aliases, lists and `.forward` to their end.
    fn follow(&mut self, address: &[u8], way: &mut Way) {
        self.begin();
        let followed = landing::follow(self.machine, address);
        self.begin();
        if !followed.said.is_empty() {
            let steps = followed.said.into_iter().map(Step::Said).collect();
            let (name, input) = ("aliases, lists and .forward", address.to_vec());
            self.stages.push(Stage { name, input, is_aside: false, steps });
        }
        match followed.landings.as_slice() {
            // It is where rule sets 0 and 5 said that it is.
            [Landing { end: End::Goes { mailer, host, user }, .. }]
                if *mailer == way.mailer && *host == way.host && *user == way.user => {}
            [Landing { address: name, end: End::Refused(reply) }] if name == address => {
                let by = "the users of this host";
                self.end =
                    Some(Outcome::Refused(Refused { reply: reply.clone(), by, cause: None }));
            }
            [Landing { address: name, end: End::Waits }] if name == address => {
                way.is_deferred = true;
            }
            _ => {
                way.landings = followed.landings;
                way.untold = followed.untold;
            }
        }
    }

    /// Resolves an address as a stage.
    fn resolve(
        &mut self,
        name: &'static str,
        address: &[u8],
        side: Side,
    ) -> (Option<Resolved>, Vec<Event>) {
        self.begin();
        let resolved = self.machine.parse(address, side);
        self.machine.about.clear();
        let events = self.end_stage(name, address.to_vec(), side.is_sender);
        (resolved, events)
    }

    fn name_macros(&mut self, names: [&[u8]; 3], resolved: Option<&Resolved>) {
        let Some(resolved) = resolved.filter(|resolved| resolved.mailer.is_some()) else { return };
        let host = resolved.host.clone().unwrap_or_default();
        let values = [&resolved.mailer_name, &host, &resolved.user];
        for (name, value) in names.into_iter().zip(values) {
            self.machine.config.macros.set_named(name, value);
        }
    }

    fn refuse_unresolved(
        &mut self,
        by: &'static str,
        resolved: Option<&Resolved>,
        events: &[Event],
    ) {
        if resolved.is_some_and(|resolved| resolved.mailer.is_some()) || self.end.is_some() {
            return;
        }
        let own = resolved.and_then(|resolved| resolved.refusal.clone());
        let reply = own.or_else(|| self.machine.replies.last().cloned());
        let reply = reply.unwrap_or_else(|| b"553 5.1.3 There is no address in it".to_vec());
        let status = resolved.and_then(|resolved| resolved.host.as_deref());
        let reply = shown(&stages::refusal(&reply, status));
        let cause = steps::cause(self.machine, self.source, events);
        self.end = Some(Outcome::Refused(Refused { reply, by, cause }));
    }

    /// Runs a check rule set as a stage, if the configuration has it.
    fn check(&mut self, name: &'static str, first: &[u8], second: Option<&[u8]>) {
        if !stages::has(self.machine, name.as_bytes()) {
            return;
        }
        self.begin();
        let verdict = stages::check(self.machine, name.as_bytes(), first, second);
        let behind = second.map(|second| [b" $| ", second].concat()).unwrap_or_default();
        let events = self.end_stage(name, [first, &behind].concat(), false);
        let (Some(verdict), None) = (verdict, &self.end) else { return };
        let cause = steps::cause(self.machine, self.source, &events);
        match verdict {
            Verdict::Accept(_) => {}
            Verdict::Quarantine { reason, .. } => self.quarantine = Some(strip_quotes(&reason)),
            Verdict::Refuse(refusal) => {
                let reply = shown(&refusal);
                self.end = Some(Outcome::Refused(Refused { reply, by: name, cause }));
            }
            Verdict::Discard { .. } => {
                self.end = Some(Outcome::Discarded(Refused { reply: Vec::new(), by: name, cause }));
            }
        }
    }

    /// Begins a stage: what happened before it belongs to none.
    fn begin(&mut self) {
        self.machine.replies.clear();
        self.machine.out.clear();
        drop(self.machine.take_events());
    }

    fn end_stage(&mut self, name: &'static str, input: Vec<u8>, is_aside: bool) -> Vec<Event> {
        let events = self.machine.take_events();
        let steps = steps::tree(self.machine, self.source, &events);
        self.machine.out.clear();
        self.stages.push(Stage { name, input, is_aside, steps });
        events
    }
}

/// A refusal as a reply.
fn shown(refusal: &Refusal) -> Vec<u8> {
    let (class, subject, detail) = refusal.status;
    let codes = format!("{} {class}.{subject}.{detail} ", refusal.code);
    [codes.as_bytes(), &refusal.text].concat()
}
