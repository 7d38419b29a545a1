//! Who stands behind a name: aliases of aliases, each name once, as deep as there are names, not without end.

use crate::answer::{TomlPolicy, is_mailbox_name, local_route, refusal};
use crate::tables::Target;
use policy::{Expansion, Policy, Recipient, Refusal, RefusedMember, Route};
use std::collections::BTreeSet;

/// Names that one expansion may visit.
const VISITED_MAX: usize = 10_000;

impl TomlPolicy {
    /// Everybody behind an alias. A visited set ends every ring: a name counts once.
    pub(crate) fn expansion(&self, address: &[u8], route: &Route) -> Expansion {
        let mut expansion = Expansion::default();
        let mut visited = BTreeSet::new();
        let mut waiting = vec![route.user.to_vec()];
        visited.insert(route.user.to_vec());
        while let Some(name) = waiting.pop() {
            let targets = match self.tables.alias(&name) {
                Ok(Some(targets)) => targets,
                // The alias went away since the address was accepted: it is a user, or nobody.
                Ok(None) => vec![Target::Mailbox(name.clone())],
                Err(why) => {
                    expansion.later = Some(why.into_bytes().into());
                    return expansion;
                }
            };
            for target in targets {
                if visited.len() >= VISITED_MAX {
                    refuse(&mut expansion, address, b"too many names behind this one");
                    return expansion;
                }
                self.member(target, &mut expansion, &mut visited, &mut waiting);
            }
        }
        expansion.owner = self.owner(&route.user);
        expansion
    }

    fn member(
        &self,
        target: Target,
        expansion: &mut Expansion,
        visited: &mut BTreeSet<Vec<u8>>,
        waiting: &mut Vec<Vec<u8>>,
    ) {
        match target {
            Target::Address(address) => match self.route(&address) {
                Ok(route) if route.expands => {
                    if visited.insert(route.user.to_vec()) {
                        waiting.push(route.user.to_vec());
                    } else if self.is_user(&route.user) {
                        // `anna: anna, archive`: the name within its own list is the mailbox.
                        self.mailbox(route.user.to_vec(), expansion, visited);
                    }
                }
                Ok(route) => {
                    let key = [b"\0".as_slice(), &route.host, b"\0", &route.user].concat();
                    if visited.insert(key) {
                        let address = address.into_boxed_slice();
                        expansion.recipients.push(Recipient { address, route });
                    }
                }
                Err(refusal) => expansion
                    .refused
                    .push(RefusedMember { address: address.into_boxed_slice(), refusal }),
            },
            Target::Mailbox(name) => self.mailbox(name, expansion, visited),
            Target::Error(text) => refuse(expansion, b"", &text),
            Target::Other(text) => {
                refuse(expansion, &text, b"programs, files and lists are not delivered to");
            }
        }
    }

    fn mailbox(&self, name: Vec<u8>, expansion: &mut Expansion, visited: &mut BTreeSet<Vec<u8>>) {
        if !is_mailbox_name(&name) || !self.is_user(&name) {
            let refusal = refusal(550, (5, 1, 1), &name, b"User unknown", b"aliases");
            expansion.refused.push(RefusedMember { address: name.into(), refusal });
            return;
        }
        let key = [b"\0\0".as_slice(), &name].concat();
        if visited.insert(key) {
            let route = local_route(name.clone(), false);
            expansion.recipients.push(Recipient { address: name.into(), route });
        }
    }

    fn is_user(&self, name: &[u8]) -> bool {
        use crate::meaning::Users;
        match &self.meaning.users {
            Users::Any => is_mailbox_name(name),
            Users::Names(names) => names.contains(name),
            Users::System => self.tables.user(name).unwrap_or(false),
        }
    }

    /// `owner-NAME`, if it is an alias: who hears of what happens to the list.
    fn owner(&self, name: &[u8]) -> Option<Box<[u8]>> {
        let owner = [b"owner-".as_slice(), name].concat();
        let is_there = matches!(self.tables.alias(&owner), Ok(Some(_)));
        is_there.then(|| {
            let host = &self.meaning.settings.host_name;
            [owner.as_slice(), b"@", host].concat().into_boxed_slice()
        })
    }
}

fn refuse(expansion: &mut Expansion, address: &[u8], text: &[u8]) {
    let refusal = Refusal::new(550, (5, 3, 5), text, b"aliases");
    expansion.refused.push(RefusedMember { address: address.into(), refusal });
}
