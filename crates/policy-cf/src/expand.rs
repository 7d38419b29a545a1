//! Who stands behind a name: aliases, lists, `.forward`, programs and files (manual, sections 2.3 and 4; aliases(5)).
//!
//! [`expand`] takes lists of addresses and follows each until nothing is left to follow. The order of steps is sendmail's:
//! an address of a list is parsed (rule sets 3 and 0), the list is gone through from its end, what was there before is
//! dropped, then come the aliases, rule set 5, the users of this system and their `.forward`. Every name that was met stays
//! in the [`Expansion`] with what became of it, so that loops end and commands can show the way. Names are kept in the
//! order of their hosts; a duplicate is found by an ordered map, so a list of any length costs n log n.
//!
//! Files and users come through [`Outside`]; what is in them is written by strangers: depth, number of members and size of
//! files are bounded ([`DEPTH_MAX`], [`MEMBERS_MAX`], [`LIST_OCTETS_MAX`]).

mod forward;
mod list;
mod names;
mod recipient;
mod rights;
mod trust;

pub use rights::Blame;
pub(crate) use rights::{find_user, full_name};
pub use trust::judged;

use crate::machine::Machine;
use crate::world::UserEntry;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use rights::Settings;

/// How deep aliases, lists and `.forward` may stand in each other, whatever `MaxAliasRecursion` says: each level needs stack.
pub const DEPTH_MAX: u32 = 60;
/// How many names one expansion may meet.
pub const MEMBERS_MAX: usize = 1_000_000;
/// The largest list or `.forward`.
pub const LIST_OCTETS_MAX: usize = 64 * 1024 * 1024;

/// Which file is wanted, and for whom.
#[derive(Debug, Clone, Copy)]
pub struct ListWanted<'a> {
    /// Its path.
    pub path: &'a [u8],
    /// A `.forward`; else a list.
    pub is_forward: bool,
    /// Who reads it: it is opened with this user's rights, and who else may have written it is judged for this user.
    pub uid: u32,
    /// This user's group.
    pub gid: u32,
    /// This user's name.
    pub user: &'a [u8],
    /// What the owner of the server puts up with.
    pub blame: &'a Blame,
}

/// Who beside its owner may write a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writers {
    /// No one.
    Owner,
    /// Its group.
    Group,
    /// Everyone.
    World,
}

/// A list or `.forward` that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// What is in it.
    pub octets: Vec<u8>,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Who may write it.
    pub writers: Writers,
    /// Nobody can have given the file away, and no folder above it can be changed by others: its owner wrote it.
    pub is_owner_sure: bool,
}

/// Why a list could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListFault {
    /// sendmail's words, or the system's.
    pub text: Vec<u8>,
    /// What to do about it.
    pub kind: ListFaultKind,
}

/// What kind of fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListFaultKind {
    /// There is no such file.
    Missing,
    /// Later it may be readable.
    Transient,
    /// A folder above it may be written by others.
    UnsafeFolder,
    /// It stays as it is.
    Permanent,
}

/// What an expansion asks of the outside, beside what rule sets ask.
pub trait Outside {
    /// Reads a list or `.forward` with the rights of the user it is read for.
    ///
    /// # Errors
    /// Why not.
    fn read_list(&mut self, wanted: &ListWanted<'_>) -> Result<List, ListFault>;

    /// The login shells that are real ones (shells(5)).
    fn shells(&mut self) -> Vec<Vec<u8>>;

    /// A user of this system by number.
    fn user_by_id(&mut self, uid: u32) -> Option<UserEntry>;

    /// The first user of this system that is the one looked for (option MatchGECOS).
    fn find_user(&mut self, is_it: &mut dyn FnMut(&UserEntry) -> bool) -> Option<UserEntry>;
}

/// How an expansion is to go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a choice by itself")]
pub struct How {
    /// `VRFY`: whether a name is known; aliases and `.forward` are not followed.
    pub only_verifies: bool,
    /// `-v`: every step is shown.
    pub is_verbose: bool,
    /// `-n`: names are no aliases.
    pub ignores_aliases: bool,
    /// SMTP: the first error ends it.
    pub stops_at_error: bool,
    /// One address, not a list: `RCPT`.
    pub is_single: bool,
    /// The sender, when it must be left out of lists (option MeToo off).
    pub left_out: Option<Vec<u8>>,
}

/// What became of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Mail goes there.
    Deliverable,
    /// It is known; nobody asked for more.
    Verified,
    /// It can't be.
    Bad,
    /// It can't be known now.
    Deferred,
    /// Others stand for it: its `.forward`.
    Forwarded,
    /// Others stand for it: an alias.
    Expanded,
    /// Rule set 5 put another in its place.
    Replaced,
    /// A list that was read.
    Included,
    /// It was there before.
    Duplicate,
}

impl State {
    /// Nothing is to be done for it any more.
    const fn is_dead(self) -> bool {
        !matches!(self, Self::Deliverable | Self::Verified | Self::Bad | Self::Deferred)
    }
}

/// A user in whose name something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    /// User.
    pub uid: u32,
    /// Group; 0: that of the default user, with its groups.
    pub gid: u32,
}

/// Marks of a name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact by itself")]
pub struct Marks {
    /// Asked for, not found on the way.
    pub is_primary: bool,
    /// Its expansion came back to it: it is delivered itself.
    pub is_self: bool,
    /// It was gone through to the end.
    pub is_done: bool,
    /// Its user has no real login shell: no programs, no files.
    pub has_no_shell: bool,
    /// Others may have written the list: no programs, no files.
    pub is_unsafe: bool,
}

/// One name that was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// As it was written.
    pub address: Box<[u8]>,
    /// The mailer's number; `None`: refused.
    pub mailer: Option<usize>,
    /// The host.
    pub host: Option<Box<[u8]>>,
    /// The user.
    pub user: Box<[u8]>,
    /// From which name it came, by its number in [`Expansion::members`].
    pub parent: Option<usize>,
    /// What became of it.
    pub state: State,
    /// Why it is bad, with its codes.
    pub refusal: Option<Box<[u8]>>,
    /// In whose name it is delivered, if that is set here: else the parent's.
    pub ids: Option<Ids>,
    /// The login name that belongs to `ids`.
    pub login: Option<Box<[u8]>>,
    /// The user's home.
    pub home: Option<Box<[u8]>>,
    /// The user's full name.
    pub full_name: Option<Box<[u8]>>,
    /// `owner-NAME`: who gets the errors of what this name stands for.
    pub owner: Option<Box<[u8]>>,
    /// Marks.
    pub marks: Marks,
}

/// All names that were met.
#[derive(Debug, Default)]
pub struct Expansion {
    /// In the order they were met.
    pub members: Vec<Member>,
    /// How many errors there were.
    pub errors: u32,
    /// Whether the sender was found on the way, and left out.
    pub left_out_sender: bool,
    /// Those that are in the list of recipients, by host.
    by_host: BTreeMap<Vec<u8>, Vec<usize>>,
    /// Those that are in it, by mailer, host and user.
    by_address: BTreeMap<Box<[u8]>, Vec<usize>>,
    /// How often a user was found by other than the exact name.
    near_matches: u32,
}

/// One place where mail goes.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint<'a> {
    /// The name.
    pub member: &'a Member,
    /// The mailer's number.
    pub mailer: usize,
    /// In whose name it is delivered; `None`: as the mailer says.
    pub ids: Option<Ids>,
    /// The name that has those ids: who is answerable for programs and files.
    pub controller: Option<&'a Member>,
    /// Who gets errors, if it came through a list with an owner.
    pub owner: Option<&'a [u8]>,
}

impl Expansion {
    /// The list of recipients in sendmail's order, dead ones too.
    pub fn in_order(&self) -> impl Iterator<Item = &Member> {
        self.by_host.values().flatten().filter_map(|index| self.members.get(*index))
    }

    /// Where mail goes.
    pub fn endpoints(&self) -> impl Iterator<Item = Endpoint<'_>> {
        let sendable = |member: &&Member| matches!(member.state, State::Deliverable);
        self.in_order().filter(sendable).filter_map(|member| {
            let controller = self.controller(member);
            let owner = self.line(member).find_map(|member| member.owner.as_deref());
            let ids = controller.and_then(|member| member.ids);
            Some(Endpoint { member, mailer: member.mailer?, ids, controller, owner })
        })
    }

    /// A name and those it came from, nearest first.
    pub fn line<'a>(&'a self, member: &'a Member) -> impl Iterator<Item = &'a Member> {
        core::iter::successors(Some(member), |member| self.members.get(member.parent?))
    }

    /// The nearest name with a user of its own (sendmail's controlling user).
    #[must_use]
    pub fn controller<'a>(&'a self, member: &'a Member) -> Option<&'a Member> {
        self.line(member).find(|member| member.ids.is_some())
    }

    /// What VRFY and EXPN say of a name behind the codes: `Full Name <user@host>`.
    #[must_use]
    pub fn shown(&self, member: &Member, machine: &mut Machine<'_>) -> Vec<u8> {
        let full = self.line(member).find_map(|member| member.full_name.as_deref());
        let mut text = full.unwrap_or_default().to_vec();
        if !text.is_empty() {
            text.push(b' ');
        }
        text.push(b'<');
        text.extend_from_slice(&member.user);
        let name = |number: Option<usize>| {
            let mailer = number.and_then(|number| machine.config.mailers.get(number));
            mailer.map(|mailer| mailer.name.clone()).unwrap_or_default()
        };
        let is_own = matches!(name(member.mailer).as_slice(), b"prog" | b"*file*" | b"*include*");
        if !is_own && !member.user.contains(&b'@') {
            let host = machine.expand(&[crate::token::meta::MACRO, b'j']);
            text.push(b'@');
            text.extend_from_slice(&host);
        }
        text.push(b'>');
        text
    }
}

/// Follows lists of addresses until nothing is left to follow. What is said about them goes through `machine`
/// ([`Machine::journal`], [`Machine::out`], [`Machine::status`]).
pub fn expand(
    machine: &mut Machine<'_>,
    outside: &mut dyn Outside,
    lists: &[&[u8]],
    how: &How,
) -> Expansion {
    let settings = Settings::of(machine);
    let left_out = names::left_out(machine, how);
    let out = Expansion::default();
    let mut expander = Expander { machine, outside, how, settings, out, shells: None, left_out };
    for list in lists {
        expander.send_to_list(list, None, 0);
    }
    expander.machine.about.clear();
    expander.out
}

/// User and group of those who are nobody (option `DefaultUser`).
pub(crate) fn default_ids(machine: &mut Machine<'_>) -> Ids {
    Settings::of(machine).default_ids
}

/// An expansion under way.
struct Expander<'e, 'w> {
    machine: &'e mut Machine<'w>,
    outside: &'e mut dyn Outside,
    how: &'e How,
    settings: Settings,
    out: Expansion,
    shells: Option<Vec<Vec<u8>>>,
    /// What makes the name of a sender who is not among his own readers.
    left_out: Option<Box<[u8]>>,
}

impl Expander<'_, '_> {
    fn is_over(&self) -> bool {
        self.out.errors > 0 && self.how.stops_at_error
    }

    fn member(&self, index: usize) -> Option<&Member> {
        self.out.members.get(index)
    }

    fn change(&mut self, index: usize, change: impl FnOnce(&mut Member)) {
        if let Some(member) = self.out.members.get_mut(index) {
            change(member);
        }
    }

    fn set_state(&mut self, index: usize, state: State) {
        self.change(index, |member| member.state = state);
    }

    fn state(&self, index: usize) -> State {
        self.member(index).map_or(State::Bad, |member| member.state)
    }

    /// Says what is wrong with a name, which is bad from now on.
    fn refuse(&mut self, index: usize, reply: &[&[u8]]) {
        let reply = reply.concat();
        self.change(index, |member| {
            member.state = State::Bad;
            member.refusal = Some(reply.as_slice().into());
        });
        self.error(&reply);
    }

    fn error(&mut self, reply: &[u8]) {
        self.out.errors = self.out.errors.saturating_add(1);
        self.machine.user_error(reply);
    }

    /// Shows a step, if steps are wanted.
    fn progress(&mut self, parts: &[&[u8]]) {
        if self.how.is_verbose {
            self.machine.progress(&parts.concat());
        }
    }

    /// Whether a name's mailer has a flag.
    fn has_flag(&self, index: usize, flag: u8) -> bool {
        let mailer = self.member(index).and_then(|member| member.mailer);
        let mailer = mailer.and_then(|number| self.machine.config.mailers.get(number));
        mailer.is_some_and(|mailer| mailer.flags.has(flag))
    }

    /// The name of a name's mailer.
    fn mailer_name(&self, index: usize) -> Vec<u8> {
        let mailer = self.member(index).and_then(|member| member.mailer);
        let mailer = mailer.and_then(|number| self.machine.config.mailers.get(number));
        mailer.map(|mailer| mailer.name.clone()).unwrap_or_default()
    }
}
