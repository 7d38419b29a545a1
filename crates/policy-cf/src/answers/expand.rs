//! Who stands behind a name, for the queue: the expansion of [`crate::expand`], as routes.
//!
//! Lists and `.forward` files belong to users, and this process is none of them. A file that is wanted and was not handed
//! in is named in the answer ([`Expansion::wanted`]); the question comes back with it. Each round goes at least one file
//! further, so rounds end where the visited set and `MaxAliasRecursion` end the expansion.

use super::check::{clean, refusal};
use super::look::controller;
use crate::expand::{
    Endpoint, Expansion as Found, How, List, ListFault, ListFaultKind, ListWanted, Outside, State,
    expand as follow, judged,
};
use crate::machine::{Machine, Spoken, Step, strip_quotes};
use crate::world::UserEntry;
use alloc::boxed::Box;
use alloc::vec::Vec;
use policy::{Expansion, FileSeen, FileWanted, Led, MailerId, Recipient, RefusedMember, Route};

/// Files that one round asks for.
const WANTED_MAX: usize = 1000;

/// Octets of all lines that tell how an expansion went.
const STEPS_BYTES_MAX: usize = 65_536;

/// Expands a name for a message of this sender; `files` were wanted before.
pub(super) fn expand(
    machine: &mut Machine<'_>,
    outside: &mut dyn Outside,
    address: &[u8],
    sender: &[u8],
    files: &[FileSeen],
) -> Expansion {
    machine.journal = Some(Vec::new());
    let mut handed = Handed { outside, files, wanted: Vec::new() };
    let list = clean(address);
    machine.way = Some(Vec::new());
    let keeps_sender = sender.is_empty() || machine.config.options.keeps_sender_in_lists();
    let left_out = (!keeps_sender).then(|| sender.to_vec());
    let how = How { is_single: true, is_verbose: true, left_out, ..How::default() };
    let found = follow(machine, &mut handed, &[&list], &how);
    let wanted = handed.wanted;
    let said = machine.journal.take().unwrap_or_default();
    let steps = machine.way.take().unwrap_or_default();
    if !wanted.is_empty() {
        return Expansion { wanted, ..Expansion::default() };
    }
    let mut out = Expansion { steps: shown(steps), ..Expansion::default() };
    let mut owners: Vec<Option<&[u8]>> = Vec::new();
    for endpoint in found.endpoints() {
        owners.push(endpoint.owner);
        // The first name is the one that was asked about.
        let parent = found.line(endpoint.member).nth(1).filter(|parent| parent.parent.is_some());
        let from = parent.map(|parent| parent.address.clone()).unwrap_or_default();
        let mailer = machine.config.mailers.get(endpoint.mailer);
        let is_their_own = mailer.is_some_and(|one| matches!(&*one.name, b"prog" | b"*file*"));
        let controller = controller(&found, endpoint.member).filter(|_| is_their_own);
        out.recipients.push(Recipient { from, controller, ..recipient(machine, &endpoint) });
    }
    // One sender for all: an owner counts if it is the owner of everybody.
    if let Some(Some(first)) = owners.first()
        && owners.iter().all(|owner| *owner == Some(first))
    {
        out.owner = Some((*first).into());
    }
    let deferred = |about: &[u8]| {
        let mut members = found.members.iter();
        members.any(|member| member.state == State::Deferred && *member.address == *about)
    };
    out.refused = refused(&found, address, &said, deferred);
    for member in found.members.iter().filter(|member| member.state == State::Deferred) {
        if !out.refused.iter().any(|refused| refused.address == member.address) {
            let unread = b"451 4.3.0 the aliases or lists behind it can't be read now";
            let reply = member.refusal.as_deref().unwrap_or(unread);
            let refusal = refusal(reply, None, b"", b"aliases");
            out.refused.push(RefusedMember::new(&member.address, refusal));
        }
    }
    if out.recipients.is_empty() && out.refused.is_empty() && !found.left_out_sender {
        let refusal =
            refusal(b"554 5.4.6 aliasing/forwarding loop broken", None, address, b"aliases");
        out.refused.push(RefusedMember::new(address, refusal));
    }
    out
}

/// The lines of an expansion, as far as there is room for them.
fn shown(steps: Vec<Step>) -> Vec<Box<[u8]>> {
    let mut room = STEPS_BYTES_MAX;
    let mut lines = Vec::new();
    for step in steps {
        let Step::Shown(line) = step else { continue };
        let Some(left) = room.checked_sub(line.len()) else { break };
        room = left;
        lines.push(line.into());
    }
    lines
}

/// A place where mail goes, as a route.
pub(super) fn recipient(machine: &Machine<'_>, endpoint: &Endpoint<'_>) -> Recipient {
    let member = endpoint.member;
    let mailer = machine.config.mailers.get(endpoint.mailer);
    let name = mailer.map(|mailer| mailer.name.as_slice()).unwrap_or_default();
    let is_program = name == b"prog";
    let (host, user): (Box<[u8]>, Box<[u8]>) = if is_program || name == b"*file*" {
        let login = endpoint.controller.and_then(|controller| controller.login.clone());
        let user = strip_quotes(&member.user);
        let user =
            if is_program { user.strip_prefix(b"|").unwrap_or(&user).into() } else { user.into() };
        (login.unwrap_or_default(), user)
    } else {
        // Where no alias was looked for (`\alice`), the mailbox is that of the name.
        let is_bare = mailer.is_some_and(|mailer| mailer.flags.has(b's') || mailer.flags.has(b'w'));
        let user = if is_bare { strip_quotes(&member.user).into() } else { member.user.clone() };
        (member.host.clone().unwrap_or_default(), user)
    };
    let mailer = MailerId(u8::try_from(endpoint.mailer).unwrap_or(u8::MAX));
    let route = Route { mailer, host, user, expands: false };
    Recipient { address: member.address.clone(), route, from: Box::default(), controller: None }
}

/// Everything that was said against an address on the way. Without a code it is for good, if not the address waits for somebody
/// who can't be asked now (a name server that does not answer).
fn refused(
    found: &Found,
    address: &[u8],
    said: &[Spoken],
    is_deferred: impl Fn(&[u8]) -> bool,
) -> Vec<RefusedMember> {
    let mut out: Vec<RefusedMember> = Vec::new();
    for spoken in said {
        let about = if spoken.about.is_empty() { address } else { &spoken.about };
        let (code, status): (&[u8], &[u8]) =
            if is_deferred(about) { (b"451", b"4.0.0") } else { (b"554", b"5.0.0") };
        let code = spoken.code.clone().unwrap_or_else(|| code.to_vec());
        if !matches!(code.first(), Some(b'4' | b'5')) {
            continue;
        }
        let status: &[u8] = spoken.enhanced.as_deref().unwrap_or(status);
        let reply = [&*code, b" ", status, b" ", &*spoken.words].concat();
        let refusal = refusal(&reply, None, b"", b"aliases");
        if !out.iter().any(|known| *known.address == *about) {
            let led = led(found, about, spoken);
            out.push(RefusedMember { address: about.into(), refusal, led });
        }
    }
    out
}

/// What led to an address of which something was said.
fn led(found: &Found, about: &[u8], spoken: &Spoken) -> Led {
    let shown = [about, b"... ", &*spoken.words].concat();
    let place = spoken.text.strip_suffix(&*shown).unwrap_or_default().into();
    let member = found.members.iter().find(|member| *member.address == *about);
    let parent = member.and_then(|member| found.line(member).nth(1));
    match parent {
        Some(parent) => {
            let ids = parent.ids.map(|ids| (ids.uid, ids.gid));
            Led { by: parent.address.clone(), ids, place }
        }
        None => Led { place, ..Led::default() },
    }
}

/// The files that were handed in, in front of what else an expansion asks.
struct Handed<'a> {
    outside: &'a mut dyn Outside,
    files: &'a [FileSeen],
    wanted: Vec<FileWanted>,
}

impl Outside for Handed<'_> {
    fn read_list(&mut self, wanted: &ListWanted<'_>) -> Result<List, ListFault> {
        let is_it = |file: &FileWanted| *file.path == *wanted.path && *file.user == *wanted.user;
        if let Some(seen) = self.files.iter().find(|seen| is_it(&seen.wanted)) {
            return judged(wanted, seen);
        }
        if self.wanted.len() < WANTED_MAX && !self.wanted.iter().any(is_it) {
            self.wanted.push(FileWanted { path: wanted.path.into(), user: wanted.user.into() });
        }
        // What follows from this is thrown away.
        Err(ListFault { text: b"not read yet".to_vec(), kind: ListFaultKind::Missing })
    }

    fn shells(&mut self) -> Vec<Vec<u8>> {
        self.outside.shells()
    }

    fn user_by_id(&mut self, uid: u32) -> Option<UserEntry> {
        self.outside.user_by_id(uid)
    }

    fn find_user(&mut self, is_it: &mut dyn FnMut(&UserEntry) -> bool) -> Option<UserEntry> {
        self.outside.find_user(is_it)
    }
}
