//! Lists of addresses: cutting, parsing, and going through them from the end.

use super::{Expander, MEMBERS_MAX, Marks, Member, State};
use crate::machine::{ScanTable, exit};
use crate::read::chars::{trim_end, trim_start};
use crate::resolve::{Resolved, Side, set};
use alloc::vec::Vec;

/// One address of a list: what it is, and where the scan of the list stopped.
struct First {
    parsed: Option<(Vec<u8>, Resolved)>,
    stopped: usize,
}

impl Expander<'_, '_> {
    /// Follows every address of a list (sendmail's sendtolist); gives how many there were.
    pub(super) fn send_to_list(&mut self, list: &[u8], parent: Option<usize>, depth: u32) -> usize {
        let end = list.iter().position(|octet| *octet == 0).unwrap_or(list.len());
        let list = list.get(..end).unwrap_or(list);
        let delimiter = self.delimiter(list, parent);
        let found = self.cut(list, delimiter, parent);
        let count = found.len();
        // sendmail puts each in front of those before it: the last one is first.
        for index in found.into_iter().rev() {
            if self.is_over() {
                break;
            }
            self.recipient(index, depth);
        }
        self.machine.about.clear();
        count
    }

    /// What stands between addresses: on the command line, a blank does where nothing tells a modern list.
    fn delimiter(&self, list: &[u8], parent: Option<usize>) -> u8 {
        if self.how.is_single && parent.is_none() {
            return 0;
        }
        let is_modern = list.iter().any(|octet| matches!(octet, b',' | b';' | b'<' | b'('));
        if parent.is_none() && self.settings.has_old_lists && !is_modern { b' ' } else { b',' }
    }

    fn cut(&mut self, list: &[u8], delimiter: u8, parent: Option<usize>) -> Vec<usize> {
        let mut found = Vec::new();
        let mut rest = list;
        loop {
            let skip = rest.iter().take_while(|octet| is_between(**octet)).count();
            rest = rest.get(skip..).unwrap_or_default();
            if rest.is_empty() || self.is_over() {
                return found;
            }
            if self.out.members.len() >= MEMBERS_MAX {
                self.error(b"552 5.3.0 Too many addresses behind one name");
                return found;
            }
            let base = self.machine.config.arena.len();
            let first = self.parse_first(rest, delimiter);
            self.machine.config.arena.cut(base);
            rest = rest.get(first.stopped.max(1)..).unwrap_or_default();
            if let Some((address, resolved)) = first.parsed
                && let Some(index) = self.enter(&address, resolved, parent)
            {
                found.push(index);
            }
        }
    }

    /// Parses the first address of a list.
    fn parse_first(&mut self, text: &[u8], delimiter: u8) -> First {
        let said = self.machine.replies.len();
        let first = self.parse_quietly(text, delimiter);
        // What a map says beside is no error of the address (a name server that does not answer).
        let is_error = |reply: &Vec<u8>| {
            let is_temporary = reply.first() == Some(&b'4');
            let is_coded = reply.first().is_some_and(u8::is_ascii_digit);
            if self.how.stops_at_error { is_coded } else { !is_temporary }
        };
        if self.machine.replies.iter().skip(said).any(is_error) {
            self.out.errors = self.out.errors.saturating_add(1);
        }
        self.machine.replies.clear();
        first
    }

    fn parse_quietly(&mut self, text: &[u8], delimiter: u8) -> First {
        let machine = &mut *self.machine;
        machine.about = text.to_vec();
        let mut tokens = Vec::new();
        let (is_some, stopped) = machine.scan(text, ScanTable::Outside, delimiter, &mut tokens);
        let address = trim_end(text.get(..stopped).unwrap_or(text)).to_vec();
        let none = First { parsed: None, stopped };
        if !is_some {
            return none;
        }
        machine.about.clone_from(&address);
        if machine.is_invalid_address(&address, true) {
            return none;
        }
        machine.deferral.clear();
        let mut is_deferred = machine.rewrite(&mut tokens, set::CANONIFY) == exit::TEMPFAIL;
        is_deferred |= machine.rewrite(&mut tokens, set::PARSE) == exit::TEMPFAIL;
        let mut resolved = machine.build(&tokens, Side::default());
        if resolved.mailer.is_some() {
            machine.queue_group(&resolved.user);
            resolved.is_deferred |= is_deferred;
            if resolved.is_deferred && !machine.deferral.is_empty() {
                resolved.refusal = Some([b"451 4.4.3 ", &*self.machine.deferral].concat());
                self.progress(&[b"Transient parse error -- message queued for future delivery"]);
            }
        }
        First { parsed: Some((address, resolved)), stopped }
    }

    /// Notes a new name. `None`: it closes a loop that another name ends.
    fn enter(
        &mut self,
        address: &[u8],
        resolved: Resolved,
        parent: Option<usize>,
    ) -> Option<usize> {
        let member = new_member(address, resolved, parent);
        let index = self.out.members.len();
        if let Some(parent) = parent
            && self.member(parent).is_some_and(|parent| self.is_same(parent, &member))
        {
            self.change(parent, |parent| parent.marks.is_self = true);
        }
        if let Some(ender) = self.loop_end(&member) {
            self.change(ender, |ender| ender.marks.is_self = true);
            return None;
        }
        self.out.members.push(member);
        Some(index)
    }

    /// If a name stands behind itself: the one on the way that is a real mailbox (sendmail's self_reference).
    fn loop_end(&mut self, member: &Member) -> Option<usize> {
        let mut up = member.parent;
        let mut way = Vec::new();
        let top = loop {
            let index = up?;
            let above = self.member(index)?;
            if self.is_same(above, member) {
                break index;
            }
            way.push((index, above.mailer, above.user.to_vec()));
            up = above.parent;
        };
        if self.is_mailbox(member.mailer, &member.user) {
            return Some(top);
        }
        way.into_iter()
            .find_map(|(index, mailer, user)| self.is_mailbox(mailer, &user).then_some(index))
    }

    fn is_mailbox(&mut self, mailer: Option<usize>, user: &[u8]) -> bool {
        let mailer = mailer.and_then(|number| self.machine.config.mailers.get(number));
        mailer.is_some_and(|mailer| mailer.flags.has(b'w'))
            && matches!(self.machine.world.user(user), Ok(Some(_)))
    }
}

/// What may stand between the addresses of a list.
const fn is_between(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c | b',')
}

/// A name as it was parsed.
pub(super) fn new_member(address: &[u8], resolved: Resolved, parent: Option<usize>) -> Member {
    let state = match (resolved.mailer, resolved.is_deferred) {
        (None, _) => State::Bad,
        (Some(_), true) => State::Deferred,
        (Some(_), false) => State::Deliverable,
    };
    Member {
        address: trim_start(address).into(),
        mailer: resolved.mailer,
        host: resolved.host.map(Into::into),
        user: resolved.user.into(),
        parent,
        state,
        refusal: resolved.refusal.map(Into::into),
        ids: None,
        login: None,
        home: None,
        full_name: None,
        owner: None,
        marks: Marks { is_primary: parent.is_none(), ..Marks::default() },
    }
}
