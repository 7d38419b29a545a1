//! The list of recipients: in the order of hosts, each name once.

use super::{Expander, How, Member, State};
use crate::machine::Machine;
use alloc::boxed::Box;
use alloc::vec::Vec;

impl Expander<'_, '_> {
    /// Whether two names are the same place (sendmail's sameaddr). Programs of two users are two places.
    pub(super) fn is_same(&self, one: &Member, other: &Member) -> bool {
        if one.mailer != other.mailer || one.user != other.user || one.host != other.host {
            return false;
        }
        let is_program = one
            .mailer
            .and_then(|number| self.machine.config.mailers.get(number))
            .is_some_and(|mailer| mailer.name == b"prog");
        if !is_program {
            return true;
        }
        let ids = |member| self.out.controller(member).and_then(|member| member.ids);
        match (ids(one), ids(other)) {
            (Some(one), Some(other)) => one.uid == other.uid,
            _ => true,
        }
    }

    /// Puts a name into the list, unless it is there.
    pub(super) fn is_new(&mut self, index: usize) -> bool {
        let Some(member) = self.member(index) else { return false };
        if self.is_left_out(member) {
            self.out.left_out_sender = true;
            self.set_state(index, State::Duplicate);
            return false;
        }
        let key = key_of(member);
        let before = self.out.by_address.get(&key).and_then(|same| {
            same.iter().copied().find(|before| {
                self.member(*before).is_some_and(|before| {
                    (before.marks.is_done || !before.marks.is_primary)
                        && self.is_same(before, member)
                })
            })
        });
        if let Some(before) = before {
            self.repeated(index, before);
            return false;
        }
        let host = member.host.as_deref().unwrap_or_default().to_ascii_lowercase();
        self.out.by_address.entry(key).or_default().push(index);
        self.out.by_host.entry(host).or_default().push(index);
        true
    }

    /// A name comes again. What came on the way is dropped; what was asked for stays.
    fn repeated(&mut self, index: usize, before: usize) {
        let Some(earlier) = self.member(before).map(|member| member.marks) else { return };
        let state = self.state(index);
        if earlier.is_primary {
            if earlier.is_self {
                self.set_state(before, state);
            }
        } else if state.is_dead() {
            self.set_state(before, State::Duplicate);
        } else {
            self.progress(&[b"duplicate suppressed"]);
        }
        let is_primary = self.member(index).is_some_and(|member| member.marks.is_primary);
        if is_primary && !earlier.is_primary {
            self.change(before, |member| member.marks.is_primary = true);
        }
        self.set_state(index, State::Duplicate);
    }

    /// Whether a name that was found on the way is the sender, who is left out.
    fn is_left_out(&self, member: &Member) -> bool {
        !member.marks.is_primary && self.left_out.as_ref().is_some_and(|key| *key == key_of(member))
    }
}

/// What makes the sender's name, if he is to be left out of lists (option MeToo off).
pub(super) fn left_out(machine: &mut Machine<'_>, how: &How) -> Option<Box<[u8]>> {
    let sender = how.left_out.as_deref()?;
    let resolved = machine.parse(sender, crate::resolve::Side::default())?;
    Some(key_of(&super::list::new_member(sender, resolved, None)))
}

/// What makes a name: mailer, host and user.
fn key_of(member: &Member) -> Box<[u8]> {
    let mailer = member.mailer.unwrap_or(usize::MAX).to_be_bytes();
    let host = member.host.as_deref().unwrap_or_default();
    let key: Vec<u8> = [mailer.as_slice(), &member.user, b"\0", host].concat();
    key.into()
}
