//! VRFY and EXPN: who stands behind what was asked for, a line each (RFC 5321, 3.5).
//!
//! The argument is a list, as on the command line. The first thing that is wrong with it is the answer.

use super::check::clean;
use crate::expand::{
    Expansion, How, List, ListFault, ListFaultKind, ListWanted, Member, Outside, State, expand,
};
use crate::machine::{Machine, Spoken, Step};
use crate::resolve::{Resolved, Side};
use crate::world::UserEntry;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use policy::{Acceptance, Controller, Note, Refusal, Verdict};

/// Lines of one answer at most; a client that wants more asks for the lists one by one.
const LINES_MAX: usize = 10_000;
/// Members of a recipient that an answer carries at most.
const MEMBERS_MAX: usize = 1000;

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

/// Who stands behind a recipient that was accepted.
pub(super) struct Behind {
    /// How many.
    pub(super) counted: u32,
    /// All of them, unless they are too many or some can't be known now.
    pub(super) members: Vec<policy::Member>,
    /// What was met on the way.
    pub(super) notes: Vec<Note>,
}

/// Follows a recipient that was accepted. Where nobody is found, what was wrong is the answer.
pub(super) fn stand_behind(
    machine: &mut Machine<'_>,
    outside: &mut dyn Outside,
    shown: &[u8],
) -> Result<Behind, Refusal> {
    machine.way = Some(Vec::new());
    machine.journal = Some(Vec::new());
    let how = How { stops_at_error: true, is_verbose: true, is_single: true, ..How::default() };
    let expansion = expand(machine, outside, &[shown], &how);
    let notes = notes(machine);
    let said = machine.journal.take().unwrap_or_default();
    let is_deferred = |member: &&Member| member.state == State::Deferred;
    let deferred = expansion.in_order().filter(is_deferred).take(LINES_MAX).count();
    let members = members(machine, &expansion);
    let count = members.len().saturating_add(deferred);
    if count == 0
        && let Some(refusal) = first_error(&said)
    {
        return Err(Refusal { notes, ..refusal });
    }
    let is_whole = deferred == 0 && count <= MEMBERS_MAX;
    let counted = u32::try_from(count).unwrap_or(u32::MAX).max(1);
    Ok(Behind { counted, members: if is_whole { members } else { Vec::new() }, notes })
}

/// The places that an expansion leads to.
fn members(machine: &mut Machine<'_>, expansion: &Expansion) -> Vec<policy::Member> {
    let mut owners: BTreeMap<Vec<u8>, Option<Controller>> = BTreeMap::new();
    let mut members = Vec::new();
    for endpoint in expansion.endpoints().take(LINES_MAX) {
        let policy::Recipient { address, route, .. } = super::expand::recipient(machine, &endpoint);
        let owner = endpoint.owner.map(<[u8]>::to_vec);
        let owner_user = owner.clone().and_then(|owner| {
            let known = owners.entry(owner).or_insert_with_key(|owner| user_of(machine, owner));
            known.clone()
        });
        let owner = owner.map(Into::into);
        let controller = controller(expansion, endpoint.member);
        let parent = expansion.line(endpoint.member).nth(1);
        let from = parent.map(|parent| parent.address.clone()).unwrap_or_default();
        members.push(policy::Member { address, route, owner, owner_user, controller, from });
    }
    members
}

/// In whose name something is: the nearest name with a user, itself left out, as it is delivered as the mailer says.
pub(super) fn controller(expansion: &Expansion, member: &Member) -> Option<Controller> {
    let found = expansion.line(member).skip(1).find(|member| member.ids.is_some())?;
    let ids = found.ids?;
    let login = found.login.as_deref().unwrap_or(&found.user).into();
    Some(Controller { address: found.address.clone(), login, uid: ids.uid, gid: ids.gid })
}

/// The user of this machine that an address of a sender names. What is wrong with it is nobody's business here.
pub(super) fn user_of(machine: &mut Machine<'_>, address: &[u8]) -> Option<Controller> {
    let said = machine.replies.len();
    let journal = machine.journal.take();
    let resolved = machine.parse(address, Side { is_sender: true, is_header: false });
    machine.journal = journal;
    machine.replies.truncate(said);
    user_behind(machine, &resolved?, address)
}

/// The user that a sender's address leads to.
pub(super) fn user_behind(
    machine: &mut Machine<'_>,
    resolved: &Resolved,
    address: &[u8],
) -> Option<Controller> {
    let mailer = machine.config.mailers.get(resolved.mailer?)?;
    if !mailer.flags.has(b'w') {
        return None;
    }
    let user = machine.world.user(&resolved.user).ok()??;
    let (login, address) = (resolved.user.clone().into(), address.into());
    Some(Controller { address, login, uid: user.uid, gid: user.gid })
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
