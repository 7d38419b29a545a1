//! One name: is it allowed, was it there before, is it an alias, who has it (sendmail's recipient).

use super::{DEPTH_MAX, Expander, Ids, State};
use crate::machine::{ScanTable, Step, exit, shorten, strip_quotes};
use crate::resolve::{Side, set};
use crate::token::meta;
use crate::world::UserEntry;
use alloc::vec::Vec;

/// How much of a list is shown.
pub(super) const SHOWN_OCTETS_MAX: usize = 203;
/// The longest `owner-NAME`.
const OWNER_OCTETS_MAX: usize = 256;
/// How often a name may be found as another one.
const NEAR_MATCHES_MAX: u32 = 4;

impl Expander<'_, '_> {
    /// Follows one name.
    pub(super) fn recipient(&mut self, index: usize, depth: u32) {
        self.about(index);
        let limit = self.settings.depth_max.min(DEPTH_MAX);
        if depth > limit {
            let text = alloc::format!(
                "554 5.4.6 aliasing/forwarding loop broken ({depth} aliases deep; {limit} max)"
            );
            self.refuse(index, &[text.as_bytes()]);
            return;
        }
        let mailer = self.mailer_name(index);
        if mailer == b"prog" {
            self.check_direct(index, b"programs");
        }
        if !self.is_new(index) {
            return;
        }
        if self.state(index) == State::Deliverable {
            match mailer.as_slice() {
                b"*include*" => self.include_list(index, depth),
                b"*file*" => self.check_direct(index, b"files"),
                _ => self.follow(index, depth),
            }
        }
        self.change(index, |member| member.marks.is_done = true);
        self.see_whether_anyone_is_left(index);
    }

    /// The address that messages are about.
    pub(super) fn about(&mut self, index: usize) {
        if let Some(member) = self.out.members.get(index) {
            self.machine.about = member.address.to_vec();
        }
    }

    /// A name that was asked for and has nobody left behind it is a loop.
    fn see_whether_anyone_is_left(&mut self, index: usize) {
        let is_asked = self.member(index).is_some_and(|member| member.parent.is_none());
        let is_empty_for_a_reason = self.out.left_out_sender;
        if !is_asked || !self.state(index).is_dead() || self.is_over() || is_empty_for_a_reason {
            return;
        }
        if self.out.in_order().all(|member| member.state.is_dead()) {
            self.refuse(index, &[b"554 5.4.6 aliasing/forwarding loop broken"]);
        }
    }

    /// Programs and files are not for strangers, nor for users without a real shell.
    fn check_direct(&mut self, index: usize, what: &[u8]) {
        let Some(member) = self.member(index) else { return };
        let Some(parent) = member.parent.and_then(|parent| self.member(parent)) else {
            self.refuse(index, &[b"550 5.7.1 Cannot mail directly to ", what]);
            return;
        };
        if parent.marks.has_no_shell {
            let user = parent.login.as_deref().unwrap_or(&parent.user).to_vec();
            let host = self.machine.expand(&[meta::MACRO, b'j']);
            self.refuse(
                index,
                &[
                    b"550 5.7.1 User ",
                    &user,
                    b"@",
                    &host,
                    b" doesn't have a valid shell for mailing to ",
                    what,
                ],
            );
        } else if parent.marks.is_unsafe {
            let address = parent.address.to_vec();
            let text: [&[u8]; 4] =
                [b"550 5.7.1 Address ", &address, b" is unsafe for mailing to ", what];
            self.refuse(index, &text);
        }
    }

    /// Aliases, rule set 5, users.
    fn follow(&mut self, index: usize, depth: u32) {
        let Some(member) = self.member(index) else { return };
        let is_quoted = member.user.contains(&b'\\');
        let mut name = strip_quotes(&member.user);
        loop {
            if !is_quoted && self.has_flag(index, b'A') && !self.how.ignores_aliases {
                self.alias(index, depth);
            }
            if !is_quoted && self.state(index) == State::Deliverable {
                self.look_at_user_databases();
            }
            if self.state(index) == State::Deliverable && self.has_flag(index, b'5') {
                self.rule_set_five(index, depth);
            }
            if self.is_over()
                || self.state(index) != State::Deliverable
                || !self.has_flag(index, b'w')
            {
                return;
            }
            self.about(index);
            let Ok(found) = self.find_user(&name) else {
                self.set_state(index, State::Deferred);
                return;
            };
            let Some((user, is_near)) = found else {
                self.machine.set_status(exit::NOUSER);
                self.refuse(index, &[b"550 5.1.1 User unknown"]);
                return;
            };
            if !is_near {
                self.take_user(index, &user, is_quoted, depth);
                return;
            }
            self.out.near_matches = self.out.near_matches.saturating_add(1);
            if self.out.near_matches > NEAR_MATCHES_MAX {
                let text: [&[u8]; 3] =
                    [b"554 5.4.6 aliasing/forwarding loop for ", &user.name, b" broken"];
                self.refuse(index, &text);
                return;
            }
            name.clone_from(&user.name);
            self.change(index, |member| member.user = user.name.into());
        }
    }

    /// What an alias file says of a name.
    fn alias_value(&mut self, name: &[u8], host: &[u8], status: &mut u8) -> Option<Vec<u8>> {
        let name = if name.eq_ignore_ascii_case(b"postmaster") { b"postmaster" } else { name };
        self.machine.class_look_up(b"aliases", name, &[host.to_vec()], status, 0)
    }

    fn alias(&mut self, index: usize, depth: u32) {
        let Some(member) = self.member(index) else { return };
        if member.state != State::Deliverable {
            return;
        }
        let user = member.user.to_vec();
        let host = member.host.as_deref().unwrap_or_default().to_vec();
        let mut status = exit::OK;
        let found = self.alias_value(&user, &host, &mut status);
        let Some(list) = found else {
            if matches!(status, exit::TEMPFAIL | exit::UNAVAILABLE) {
                self.set_state(index, State::Deferred);
            }
            return;
        };
        if self.how.only_verifies {
            self.set_state(index, State::Verified);
            return;
        }
        let shown = shorten(&list, SHOWN_OCTETS_MAX);
        self.progress(&[b"aliased to ", &shown]);
        self.led(index, b"alias ", &shown);
        let ids = Ids { uid: self.settings.default_ids.uid, gid: 0 };
        self.change(index, |member| {
            member.marks.is_self = false;
            member.state = State::Expanded;
            member.ids = Some(ids);
            member.full_name = None;
        });
        self.send_to_list(&list, Some(index), depth.saturating_add(1));
        let is_self = self.member(index).is_some_and(|member| member.marks.is_self);
        if is_self && self.state(index) == State::Expanded {
            self.set_state(index, State::Deliverable);
        }
        self.owner(index, &user, &host);
    }

    /// Notes that others stand for a name.
    pub(super) fn led(&mut self, index: usize, kind: &[u8], to: &[u8]) {
        let Some(member) = self.out.members.get(index) else { return };
        let name = shorten(&member.address, SHOWN_OCTETS_MAX);
        self.machine.step(Step::Led([kind, &name, b" => ", to].concat()));
    }

    /// `owner-NAME` gets the errors of a list.
    fn owner(&mut self, index: usize, user: &[u8], host: &[u8]) {
        let is_owner = user.get(..6).is_some_and(|head| head.eq_ignore_ascii_case(b"owner-"));
        let name = if is_owner || user.len() > OWNER_OCTETS_MAX {
            b"owner-owner".to_vec()
        } else {
            [b"owner-", user].concat()
        };
        let mut status = exit::OK;
        let Some(owner) = self.alias_value(&name, host, &mut status) else { return };
        let is_list = owner.iter().any(|octet| b",:/|\"".contains(octet));
        let owner = if is_list { name } else { owner };
        self.change(index, |member| member.owner = Some(owner.into()));
    }

    /// Rule set 5 may know better than the users of this system (sendmail's maplocaluser).
    fn rule_set_five(&mut self, index: usize, depth: u32) {
        let sets = &self.machine.config.sets;
        if self.machine.config.level < 2 || sets.of(set::LOCAL).is_empty() {
            return;
        }
        let Some(member) = self.member(index) else { return };
        let (address, user) = (member.address.to_vec(), member.user.to_vec());
        let host = member.host.as_deref().map(<[u8]>::to_vec);
        let home = member.home.as_deref().map(<[u8]>::to_vec);
        let machine = &mut *self.machine;
        machine.config.macros.set(b'h', host);
        machine.config.macros.set(b'u', Some(user.clone()));
        machine.config.macros.set(b'z', home);
        let base = machine.config.arena.len();
        let mut tokens = Vec::new();
        let (is_some, _) = machine.scan(&user, ScanTable::Outside, 0, &mut tokens);
        if !is_some {
            return;
        }
        if machine.rewrite(&mut tokens, set::LOCAL) == exit::TEMPFAIL {
            machine.config.arena.cut(base);
            self.set_state(index, State::Deferred);
            return;
        }
        if tokens.first().is_none_or(|token| token.lead != meta::MAILER) {
            machine.config.arena.cut(base);
            return;
        }
        let said = machine.replies.len();
        let resolved = machine.build(&tokens, Side::default());
        machine.config.arena.cut(base);
        if machine.replies.len() > said {
            self.out.errors = self.out.errors.saturating_add(1);
        }
        let mut new = super::list::new_member(&address, resolved, Some(index));
        if self.member(index).is_some_and(|member| self.is_same(member, &new)) {
            return;
        }
        new.marks.is_primary = false;
        self.set_state(index, State::Replaced);
        let number = self.out.members.len();
        self.out.members.push(new);
        self.recipient(number, depth.saturating_add(1));
    }

    /// A user of this system: what is known of it, then its `.forward`.
    fn take_user(&mut self, index: usize, user: &UserEntry, is_quoted: bool, depth: u32) {
        let has_shell = self.is_real_shell(&user.name, &user.shell);
        let full_name = super::rights::full_name(user);
        self.change(index, |member| {
            member.home = match user.home.as_slice() {
                b"" => None,
                b"/" => Some((*b"").into()),
                home => Some(home.into()),
            };
            member.ids = Some(Ids { uid: user.uid, gid: user.gid });
            member.login = Some(user.name.as_slice().into());
            if !full_name.is_empty() {
                member.full_name = Some(full_name.into());
            }
            member.marks.has_no_shell |= !has_shell;
        });
        if self.how.only_verifies {
            self.set_state(index, State::Verified);
        } else if !is_quoted {
            self.forward(index, depth);
        }
    }
}
