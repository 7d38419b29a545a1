//! VRFY and EXPN: who stands behind what was asked for, a line each (RFC 5321, 3.5).
//!
//! The argument is a list, as on the command line. The first thing that is wrong with it is the answer.

use super::check::clean;
use crate::expand::{
    Expansion, How, List, ListFault, ListFaultKind, ListWanted, Member, Outside, State, expand,
};
use crate::machine::{Machine, Spoken};
use crate::world::UserEntry;
use alloc::boxed::Box;
use alloc::vec::Vec;
use policy::{Acceptance, Refusal, Verdict};

/// Lines of one answer at most; a client that wants more asks for the lists one by one.
const LINES_MAX: usize = 10_000;

/// Looks names up; `verifies`: VRFY, which follows nothing.
pub(super) fn look(
    machine: &mut Machine<'_>,
    outside: &mut dyn Outside,
    argument: &[u8],
    verifies: bool,
) -> Verdict {
    machine.journal = Some(Vec::new());
    let list = clean(argument.trim_ascii());
    let how = How { only_verifies: verifies, stops_at_error: true, ..How::default() };
    let expansion = expand(machine, outside, &[&list], &how);
    if expansion.errors > 0 {
        let said = machine.journal.take().unwrap_or_default();
        return Verdict::Refuse(first_error(&said));
    }
    let is_there = |member: &&Member| {
        matches!(member.state, State::Deliverable | State::Verified | State::Deferred)
    };
    let members: Vec<&Member> = expansion.in_order().filter(is_there).take(LINES_MAX).collect();
    if members.is_empty() {
        let text: &[u8] = if verifies { b"Nothing to VRFY" } else { b"Nothing to EXPN" };
        return Verdict::Refuse(Refusal::new(554, (5, 5, 2), text, b""));
    }
    let is_unverified = verifies && !members.iter().all(|member| is_surely_known(machine, member));
    let lines = shown(machine, &expansion, &members);
    Verdict::Accept(Acceptance { lines, is_unverified, ..Acceptance::default() })
}

/// Whether the mailer knows all of its users (flag `q`).
fn is_surely_known(machine: &Machine<'_>, member: &Member) -> bool {
    let mailer = member.mailer.and_then(|number| machine.config.mailers.get(number));
    mailer.is_some_and(|mailer| mailer.flags.has(b'q'))
}

fn shown(machine: &mut Machine<'_>, expansion: &Expansion, members: &[&Member]) -> Vec<Box<[u8]>> {
    members.iter().map(|member| expansion.shown(member, machine).into()).collect()
}

/// What was wrong first. Words without a code are about what the look-up met on its way.
fn first_error(said: &[Spoken]) -> Refusal {
    let error = said.iter().find_map(|spoken| {
        let code = number(spoken.code.as_deref()?)?;
        (400..600).contains(&code).then_some((code, spoken))
    });
    let Some((code, spoken)) = error else {
        return Refusal::new(451, (4, 3, 0), b"The address can't be looked up now", b"");
    };
    let mut parts = spoken.enhanced.as_deref().unwrap_or_default().split(|octet| *octet == b'.');
    let mut part = || parts.next().and_then(number).unwrap_or(0);
    let general = if code < 500 { 4 } else { 5 };
    let class = u8::try_from(part()).ok().filter(|class| *class != 0).unwrap_or(general);
    Refusal::new(code, (class, part(), part()), &spoken.text, b"")
}

fn number(digits: &[u8]) -> Option<u16> {
    str::from_utf8(digits).ok()?.parse().ok()
}

/// An outside where nobody has files.
pub(super) struct NoLists;

impl Outside for NoLists {
    fn read_list(&mut self, _wanted: &ListWanted<'_>) -> Result<List, ListFault> {
        Err(ListFault { text: b"No such file or directory".to_vec(), kind: ListFaultKind::Missing })
    }

    fn shells(&mut self) -> Vec<Vec<u8>> {
        Vec::new()
    }

    fn user_by_id(&mut self, _uid: u32) -> Option<UserEntry> {
        None
    }

    fn find_user(&mut self, _is_it: &mut dyn FnMut(&UserEntry) -> bool) -> Option<UserEntry> {
        None
    }
}
