//! Whom a submission is for: the lists through rule sets, aliases, `.forward`, as far as they lead (sendmail's sendtolist and
//! recipient); in the order in which the log and the queue have them.

use crate::configured::Run;
use policy_cf::expand::{Expansion, How, Member, State, expand};

/// A user in whose name something is delivered, and the name that made it so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Controller {
    pub(super) address: Vec<u8>,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Somebody who is to get the message.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    /// As it was written.
    pub(super) address: Vec<u8>,
    /// The mailer's number.
    pub(super) mailer: usize,
    /// Who gets the errors, where a list has an owner.
    pub(super) owner: Option<Vec<u8>>,
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
}

/// What sendmail says of a user that is not there.
const USER_UNKNOWN: &[u8] = b"550 5.1.1 User unknown";

impl Recipients {
    /// Follows the lists. `sender` is left out of what stands behind names, if the options say so.
    pub(super) fn of(run: &mut Run<'_>, lists: &[&[u8]], sender: &[u8]) -> Self {
        let options = &run.machine.config.options;
        let leaves_out = options.values.contains_key("MeToo") && !options.truth("MeToo");
        let how = How {
            is_verbose: run.asked.is_verbose || options.truth("Verbose"),
            ignores_aliases: run.asked.ignores_aliases,
            left_out: leaves_out.then(|| sender.to_vec()),
            ..How::default()
        };
        let expansion = expand(&mut run.machine, &mut maps::Lists, lists, &how);
        let mut found = Self { errors: expansion.errors, ..Self::default() };
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
            (State::Deliverable | State::Deferred, Some(mailer)) => {
                let owner = expansion.line(member).find_map(|member| member.owner.as_deref());
                self.count = self.count.saturating_add(1);
                self.outgoing.push(Outgoing {
                    address: member.address.to_vec(),
                    mailer,
                    owner: owner.map(<[u8]>::to_vec),
                });
            }
            (State::Bad, mailer) => {
                // Programs are refused before they are counted.
                let is_counted = mailer.is_some() && name(run, mailer) != b"prog";
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
    let reply = member.refusal.as_deref().unwrap_or(USER_UNKNOWN).to_vec();
    let is_unknown = member.mailer.is_some() && reply == USER_UNKNOWN;
    let controller = expansion.controller(member).and_then(|controller| {
        let ids = controller.ids?;
        Some(Controller { address: controller.address.to_vec(), uid: ids.uid, gid: ids.gid })
    });
    Failed {
        address: member.address.to_vec(),
        reply,
        unknown_at: is_unknown.then(|| name(run, member.mailer).to_vec()),
        controller,
    }
}

/// An address without the angle brackets around it.
pub(super) fn bare(address: &[u8]) -> &[u8] {
    let inner = address.strip_prefix(b"<").and_then(|rest| rest.strip_suffix(b">"));
    inner.unwrap_or(address)
}
