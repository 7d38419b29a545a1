//! Whom a submission is for: the lists through rule sets, aliases, `.forward`, as far as they lead (sendmail's sendtolist and
//! recipient); in the order in which the log and the queue have them.

use super::lines;
use crate::configured::Run;
use policy_cf::expand::{Expansion, How, Member, State, expand};
use policy_cf::machine::{enhanced_length, strip_quotes};
use queue::{Controller, Recipient, Way};

/// Somebody who is to get the message.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    /// As it was written.
    pub(super) address: Vec<u8>,
    /// The mailer's number.
    pub(super) mailer: usize,
    /// The mailer's host and user, as routes have them.
    pub(super) place: (Vec<u8>, Vec<u8>),
    /// Who it stands for is known later.
    pub(super) is_deferred: bool,
    /// Who gets the errors, where a list has an owner.
    pub(super) owner: Option<Vec<u8>>,
    /// In whose name it is, where that is not the sender.
    pub(super) controller: Option<Controller>,
    /// In whose name the log says it is.
    pub(super) logged: Option<Controller>,
    /// The names that led to it.
    pub(super) way: Option<Way>,
}

/// Somebody who can't get it.
#[derive(Debug, Clone)]
pub(super) struct Failed {
    /// As it was written.
    pub(super) address: Vec<u8>,
    /// The reply, with its codes.
    pub(super) reply: Vec<u8>,
    /// The mailer's name, where it was a user of this machine that is not there.
    pub(super) unknown_at: Option<Vec<u8>>,
    /// In whose name it would have been delivered.
    pub(super) controller: Option<Controller>,
    /// The names that led to it.
    pub(super) way: Option<Way>,
    /// The numbers of user and group of the name that led to it, if that is a user's.
    pub(super) led_ids: Option<(u32, u32)>,
    /// What rule sets refused it with (`$#error`): the user that they gave the mailer, and the status, if they named one.
    pub(super) error: Option<(Vec<u8>, Vec<u8>)>,
    /// It is the message that is wrong: nothing is to be said of this one.
    pub(super) is_about_message: bool,
    /// It is refused for now, and waits in the queue: the mailer's name, as the log has it.
    pub(super) waits: Option<Vec<u8>>,
}

/// What the lists came to.
#[derive(Debug, Default)]
pub(super) struct Recipients {
    pub(super) outgoing: Vec<Outgoing>,
    pub(super) failed: Vec<Failed>,
    /// As the log counts them (`nrcpts=`).
    pub(super) count: usize,
    /// Errors on the way.
    pub(super) errors: u32,
    /// The only one that was asked for, if it is only one.
    pub(super) only: Option<Vec<u8>>,
}

/// What sendmail says of a user that is not there.
const USER_UNKNOWN: &[u8] = b"550 5.1.1 User unknown";

impl Recipients {
    /// Follows the lists. `sender` is left out of what stands behind names, if the options say so.
    pub(super) fn of(run: &mut Run<'_>, lists: &[&[u8]], sender: &[u8]) -> Self {
        let options = &run.machine.config.options;
        let how = How {
            is_verbose: run.is_verbose(),
            ignores_aliases: run.asked.ignores_aliases,
            left_out: (!options.keeps_sender_in_lists()).then(|| sender.to_vec()),
            ..How::default()
        };
        let expansion = expand(&mut run.machine, &mut maps::Lists, lists, &how);
        let mut found = Self { errors: expansion.errors, ..Self::default() };
        let mut asked = expansion.members.iter().filter(|member| member.parent.is_none());
        if let (Some(only), None) = (asked.next(), asked.next()) {
            found.only = Some(only.address.to_vec());
        }
        for member in expansion.in_order() {
            found.enter(run, &expansion, member);
        }
        // Who was refused before it came into the list is a failure all the same.
        for member in &expansion.members {
            let is_listed = found.failed.iter().any(|known| known.address == *member.address);
            if member.state == State::Bad && !is_listed {
                found.failed.push(failed(run, &expansion, member));
            }
        }
        found
    }

    fn enter(&mut self, run: &Run<'_>, expansion: &Expansion, member: &Member) {
        match (member.state, member.mailer) {
            (State::Deferred, Some(_)) if member.refusal.is_some() => {
                self.count = self.count.saturating_add(1);
                self.failed.push(failed(run, expansion, member));
            }
            (State::Deliverable | State::Deferred, Some(mailer)) => {
                let controller = controller(expansion, member);
                let owner = expansion.line(member).find_map(|member| member.owner.as_deref());
                self.count = self.count.saturating_add(1);
                self.outgoing.push(Outgoing {
                    address: member.address.to_vec(),
                    mailer,
                    place: place(run, expansion, member, mailer),
                    is_deferred: member.state == State::Deferred,
                    owner: owner.map(<[u8]>::to_vec),
                    controller,
                    logged: logged(expansion, member),
                    way: way(expansion, member),
                });
            }
            (State::Bad, mailer) => {
                // Programs are refused before they are counted; who waits is counted.
                let waits = member.refusal.as_deref().is_some_and(|reply| reply.starts_with(b"4"));
                let is_counted = waits || mailer.is_some() && name(run, mailer) != b"prog";
                self.count = self.count.saturating_add(usize::from(is_counted));
                self.failed.push(failed(run, expansion, member));
            }
            _ => {}
        }
    }
}

fn name<'r>(run: &'r Run<'_>, mailer: Option<usize>) -> &'r [u8] {
    let mailer = mailer.and_then(|number| run.machine.config.mailers.get(number));
    mailer.map_or(b"*error*", |mailer| &mailer.name)
}

fn failed(run: &Run<'_>, expansion: &Expansion, member: &Member) -> Failed {
    let mut reply = member.refusal.as_deref().unwrap_or(USER_UNKNOWN).to_vec();
    // `$#error $@ 5.7.1 $: 550 text`: the code that stands in the place of the host.
    let status = member.host.as_deref().filter(|_| member.mailer.is_none());
    let status = status.filter(|code| enhanced_length(code) == Some(code.len()));
    if let Some(status) = status.filter(|_| lines::split(&reply).0.ends_with(b".0.0"))
        && let Some((code, text)) = reply.split_at_checked(4)
    {
        reply = [code, status, b" ", text].concat();
    }
    if reply.starts_with(b"4") {
        let (codes, text) = lines::split(&reply);
        let code = reply.get(..4).unwrap_or_default();
        let about: &[u8] = if member.mailer.is_none() { &member.address } else { b"" };
        let dots: &[u8] = if about.is_empty() { b"" } else { b"... " };
        reply = [code, codes, b" ", about, dots, text].concat();
    }
    let is_unknown = member.mailer.is_some() && reply == USER_UNKNOWN;
    // What is not to be mailed to (programs, files) has the status of those words.
    let own = if member.mailer.is_some() { Some(lines::split(&reply).0) } else { status };
    let own = own.unwrap_or_default().to_vec();
    let error = (!is_unknown && reply.starts_with(b"5")).then(|| (member.user.to_vec(), own));
    let waits = reply.starts_with(b"4").then(|| name(run, member.mailer).to_vec());
    Failed {
        address: member.address.to_vec(),
        reply,
        unknown_at: is_unknown.then(|| name(run, member.mailer).to_vec()),
        controller: logged(expansion, member),
        way: way(expansion, member),
        led_ids: expansion.line(member).nth(1).and_then(|led| Some((led.ids?.uid, led.ids?.gid))),
        error,
        is_about_message: false,
        waits,
    }
}

/// The names that led to one.
fn way(expansion: &Expansion, member: &Member) -> Option<Way> {
    let mut line = expansion.line(member).skip(1);
    let from = line.next()?.address.clone();
    Some(Way { first: line.last().map_or_else(|| from.clone(), |top| top.address.clone()), from })
}

/// In whose name something is, as the queue has it: the nearest user, itself not left out, and the name that led here. What
/// nothing led to is in nobody's name.
fn controller(expansion: &Expansion, member: &Member) -> Option<Controller> {
    let led = expansion.line(member).nth(1)?;
    let found = expansion.line(member).find(|member| member.ids.is_some())?;
    Some(Controller { address: led.address.clone(), ..named(found)? })
}

/// The same, as the log has it: the nearest name above with a user, as it is delivered as the mailer says.
fn logged(expansion: &Expansion, member: &Member) -> Option<Controller> {
    named(expansion.line(member).skip(1).find(|member| member.ids.is_some())?)
}

fn named(member: &Member) -> Option<Controller> {
    let ids = member.ids?;
    Some(Controller {
        address: member.address.clone(),
        login: member.login.as_deref().unwrap_or(&member.user).into(),
        uid: ids.uid,
        gid: ids.gid,
    })
}

/// Host and user of a route: for programs and files the login name in whose name they are used, and the command or the path;
/// for those who live here the name without quotes. What an alias of the system leads to is nobody's, whoever has its name.
fn place(
    run: &Run<'_>,
    expansion: &Expansion,
    member: &Member,
    mailer: usize,
) -> (Vec<u8>, Vec<u8>) {
    let host = member.host.as_deref().unwrap_or_default().to_vec();
    let Some(mailer) = run.machine.config.mailers.get(mailer) else {
        return (host, member.user.to_vec());
    };
    let controller = expansion.controller(member);
    let login = controller.and_then(|user| user.login.as_deref()).unwrap_or_default().to_vec();
    let plain = strip_quotes(&member.user);
    match mailer.name.as_slice() {
        b"prog" => (login, plain.strip_prefix(b"|").unwrap_or(&plain).to_vec()),
        b"*file*" => (login, plain),
        _ if mailer.flags.has(b'w') || mailer.flags.has(b's') => (host, plain),
        _ => (host, member.user.to_vec()),
    }
}

impl Outgoing {
    /// As the queue keeps it.
    pub(super) fn queued(&self, notify: queue::Notify) -> Recipient {
        let mailer = u8::try_from(self.mailer).map_or(Recipient::UNROUTED, policy::MailerId);
        let (host, user) = self.place.clone();
        let route = policy::Route {
            mailer,
            host: host.into(),
            user: user.into(),
            expands: self.is_deferred,
        };
        Recipient {
            address: self.address.clone().into(),
            route,
            notify,
            original: None,
            followed: None,
        }
    }
}
