//! Who stands behind a name: aliases of aliases, each name once, as deep as there are names, not without end.

use crate::answer::{POSTMASTER, TomlPolicy, is_mailbox_name, local_route, refusal};
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
                Ok(None) if name == POSTMASTER && !self.is_user(&name) => {
                    vec![Target::Address(self.postmaster())]
                }
                // The alias went away since the address was accepted: it is a user, or nobody.
                Ok(None) => vec![Target::Mailbox(name.clone())],
                Err(why) => {
                    expansion.later = Some(why.into_bytes().into());
                    return expansion;
                }
            };
            for target in targets {
                if visited.len() >= VISITED_MAX {
                    refuse(&mut expansion, (5, 3, 5), address, b"too many names behind this one");
                    return expansion;
                }
                self.member(&name, target, &mut expansion, &mut visited, &mut waiting);
            }
        }
        // A ring of names without anybody in it: the sender hears of it, the message does not just vanish.
        if expansion.recipients.is_empty() && expansion.refused.is_empty() {
            let text = b"aliasing/forwarding loop broken";
            refuse(&mut expansion, (5, 4, 6), address, text);
        }
        expansion.owner = self.owner(&route.user);
        expansion
    }

    /// One member of the list that `name` stands for.
    fn member(
        &self,
        name: &[u8],
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
                    } else if *route.user == *name && self.is_user(name) {
                        // `anna: anna, archive`: the name within its own list is the mailbox. Named twice by other
                        // lists it is not: where anna's mail goes is for her own line to say.
                        self.mailbox(route.user.to_vec(), expansion, visited);
                    }
                }
                Ok(route) => {
                    let key = [b"\0".as_slice(), &route.host, b"\0", &route.user].concat();
                    if visited.insert(key) {
                        let address = address.into_boxed_slice();
                        expansion.recipients.push(Recipient {
                            address,
                            route,
                            from: Box::default(),
                            controller: None,
                        });
                    }
                }
                Err(refusal) => expansion.refused.push(RefusedMember::new(&address, refusal)),
            },
            Target::Mailbox(name) => self.mailbox(name, expansion, visited),
            Target::Error(text) => refuse(expansion, (5, 3, 5), name, &text),
            Target::Other(text) => {
                refuse(
                    expansion,
                    (5, 3, 5),
                    &text,
                    b"programs, files and lists are not delivered to",
                );
            }
        }
    }

    fn mailbox(&self, name: Vec<u8>, expansion: &mut Expansion, visited: &mut BTreeSet<Vec<u8>>) {
        if !is_mailbox_name(&name) || !self.is_user(&name) {
            let refusal = refusal(550, (5, 1, 1), &name, b"User unknown", b"aliases");
            expansion.refused.push(RefusedMember::new(&name, refusal));
            return;
        }
        let key = [b"\0\0".as_slice(), &name].concat();
        if visited.insert(key) {
            let route = local_route(name.clone(), false);
            expansion.recipients.push(Recipient {
                address: name.into(),
                route,
                from: Box::default(),
                controller: None,
            });
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

fn refuse(expansion: &mut Expansion, status: (u8, u16, u16), address: &[u8], text: &[u8]) {
    let refusal = Refusal::new(550, status, text, b"aliases");
    expansion.refused.push(RefusedMember::new(address, refusal));
}
