//! Where mail for a name of this host ends up: aliases, lists and `.forward` followed to their end, and why a file of theirs
//! was not trusted.
//!
//! The same expansion serves delivery, `VRFY`, `EXPN` and `-bv`; here it is only told.

use policy_cf::expand::{Expansion, How, Member, State, expand};
use policy_cf::machine::{Machine, Step};

/// Places that are told.
const TOLD_MAX: usize = 100;

/// One end of the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Landing {
    /// The name.
    pub(crate) address: Vec<u8>,
    /// What becomes of mail for it.
    pub(crate) end: End,
}

/// What becomes of mail for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// It goes by this mailer to this host and user.
    Goes {
        /// The mailer's name.
        mailer: Vec<u8>,
        /// The host, if there is one.
        host: Option<Vec<u8>>,
        /// The user.
        user: Vec<u8>,
    },
    /// It is refused, with this reply.
    Refused(Vec<u8>),
    /// It waits: something can't be read now.
    Waits,
}

/// The way of a name.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    /// What was met on it, in sendmail's words.
    pub(crate) said: Vec<Vec<u8>>,
    /// Where it ends.
    pub(crate) landings: Vec<Landing>,
    /// How many ends are not told.
    pub(crate) untold: usize,
}

/// Follows a name.
pub(crate) fn follow(machine: &mut Machine<'_>, address: &[u8]) -> Followed {
    let status = machine.status;
    machine.way = Some(Vec::new());
    let how = How { is_verbose: true, is_single: true, ..How::default() };
    let expansion = expand(machine, &mut maps::Lists, &[address], &how);
    let steps = machine.way.take().unwrap_or_default();
    machine.status = status;
    let said = steps.into_iter().filter_map(|step| match step {
        Step::Shown(line) => Some(line),
        Step::Led(_) => None,
    });
    let mut followed = Followed { said: said.collect(), ..Followed::default() };
    for landing in landings(machine, &expansion) {
        if followed.landings.len() < TOLD_MAX {
            followed.landings.push(landing);
        } else {
            followed.untold = followed.untold.saturating_add(1);
        }
    }
    followed
}

fn landings(machine: &Machine<'_>, expansion: &Expansion) -> Vec<Landing> {
    let is_end = |member: &&Member| {
        matches!(member.state, State::Deliverable | State::Deferred | State::Bad)
    };
    let ends = expansion.in_order().filter(is_end);
    ends.map(|member| Landing { address: member.address.to_vec(), end: end(machine, member) })
        .collect()
}

fn end(machine: &Machine<'_>, member: &Member) -> End {
    let mailer = member.mailer.and_then(|number| machine.config.mailers.get(number));
    match (member.state, mailer) {
        (State::Deferred, _) => End::Waits,
        (State::Deliverable, Some(mailer)) => End::Goes {
            mailer: mailer.name.clone(),
            host: member.host.as_deref().filter(|host| !host.is_empty()).map(<[u8]>::to_vec),
            user: member.user.to_vec(),
        },
        _ => End::Refused(member.refusal.as_deref().unwrap_or(b"550 5.1.1 User unknown").to_vec()),
    }
}
