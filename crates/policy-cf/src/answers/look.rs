//! VRFY and EXPN: who stands behind what was asked for, a line each (RFC 5321, 3.5).
//!
//! The argument is a list, as on the command line. The first thing that is wrong with it is the answer.

use super::check::clean;
use crate::expand::{
    Expansion, How, List, ListFault, ListFaultKind, ListWanted, Member, Outside, State, expand,
};
use crate::machine::{Machine, Spoken, Step};
use crate::world::UserEntry;
use alloc::boxed::Box;
use alloc::vec::Vec;
use policy::{Acceptance, Note, Refusal, Verdict};

/// Lines of one answer at most; a client that wants more asks for the lists one by one.
const LINES_MAX: usize = 10_000;
/// Notes of one answer at most.
const NOTES_MAX: usize = 1000;

/// Looks names up; `verifies`: VRFY, which follows nothing.
pub(super) fn look(
    machine: &mut Machine<'_>,
    outside: &mut dyn Outside,
    argument: &[u8],
    verifies: bool,
) -> Verdict {
    machine.journal = Some(Vec::new());
    machine.way = Some(Vec::new());
    let list = clean(argument.trim_ascii());
    let how =
        How { only_verifies: verifies, stops_at_error: true, is_verbose: true, ..How::default() };
    let expansion = expand(machine, outside, &[&list], &how);
    let notes = notes(machine);
    let said = machine.journal.take().unwrap_or_default();
    if expansion.errors > 0
        && let Some(refusal) = first_error(&said)
    {
        return Verdict::Refuse(Refusal { notes, ..refusal });
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
    Verdict::Accept(Acceptance { lines, is_unverified, notes, ..Acceptance::default() })
}

/// Who stands behind a recipient that was accepted: how many, and what was met on the way.
pub(super) fn stand_behind(
    machine: &mut Machine<'_>,
    outside: &mut dyn Outside,
    shown: &[u8],
) -> (u32, Vec<Note>) {
    machine.way = Some(Vec::new());
    let how = How { stops_at_error: true, is_verbose: true, is_single: true, ..How::default() };
    let expansion = expand(machine, outside, &[shown], &how);
    let mut notes = notes(machine);
    let is_there = |member: &&Member| matches!(member.state, State::Deliverable | State::Deferred);
    let mut count = 0_u32;
    for member in expansion.in_order().filter(is_there).take(LINES_MAX) {
        count = count.saturating_add(1);
        if notes.len() < NOTES_MAX {
            notes.push(Note::Leaf(member.address.clone()));
        }
    }
    (count.max(1), notes)
}

/// The steps of an expansion.
fn notes(machine: &mut Machine<'_>) -> Vec<Note> {
    let steps = machine.way.take().unwrap_or_default();
    let note = |step| match step {
        Step::Shown(text) => Note::Step(text.into()),
        Step::Led(text) => Note::Led(text.into()),
    };
    steps.into_iter().map(note).collect()
}

/// Whether the mailer knows all of its users (flag `q`).
fn is_surely_known(machine: &Machine<'_>, member: &Member) -> bool {
    let mailer = member.mailer.and_then(|number| machine.config.mailers.get(number));
    mailer.is_some_and(|mailer| mailer.flags.has(b'q'))
}

fn shown(machine: &mut Machine<'_>, expansion: &Expansion, members: &[&Member]) -> Vec<Box<[u8]>> {
    members.iter().map(|member| expansion.shown(member, machine).into()).collect()
}

/// What was wrong first; `None`: nothing that has a code. Words without one are about what the look-up met on its way: a name
/// server that does not answer is no reason to deny an address.
fn first_error(said: &[Spoken]) -> Option<Refusal> {
    let error = said.iter().find_map(|spoken| {
        let code = number(spoken.code.as_deref()?)?;
        (400..600).contains(&code).then_some((code, spoken))
    });
    let (code, spoken) = error?;
    let mut parts = spoken.enhanced.as_deref().unwrap_or_default().split(|octet| *octet == b'.');
    let mut part = || parts.next().and_then(number).unwrap_or(0);
    let general = if code < 500 { 4 } else { 5 };
    let class = u8::try_from(part()).ok().filter(|class| *class != 0).unwrap_or(general);
    Some(Refusal::new(code, (class, part(), part()), &spoken.text, b""))
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
