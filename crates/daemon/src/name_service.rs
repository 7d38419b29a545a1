//! The policy's side of its edge to `resolver`: threads ask, and wait for their own answers.
//!
//! One thread reads the answers and hands each to who waits for its ticket. The policy itself never sees a packet: what
//! comes is typed.

use crate::edges::{Asked, Resolved};
use crate::link::{Link, LinkError};
use maps::dns::{Answer, Asker, Data, Failure, Kind, Record};
use relay::resolve::{QueryKind, Records};
use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long an answer is waited for: a little longer than the resolver tries.
const PATIENCE: Duration = Duration::from_secs(35);

/// How long the edge is waited for: at the start, and when the resolver died and its successor is on its way.
const EDGE_PATIENCE: Duration = Duration::from_secs(3);

/// Questions that may be open; more are "not now".
const OPEN_MAX: usize = 4096;

/// Who asks name servers for the policy.
#[derive(Debug, Default)]
pub(crate) struct NameService {
    state: Mutex<State>,
    /// Told of each new edge.
    connected: Condvar,
}

#[derive(Debug, Default)]
struct State {
    link: Option<Link>,
    /// Counts the edges: a reader of an old one must not end the new one.
    edge: u64,
    ticket: u32,
    waiting: HashMap<u32, SyncSender<relay::Answer>>,
}

impl NameService {
    /// From now on this edge is asked; a thread reads its answers until it closes.
    ///
    /// # Errors
    /// The descriptor can't be doubled.
    pub(crate) fn connect(self: &Arc<Self>, descriptor: OwnedFd) -> Result<(), LinkError> {
        let answers = Link::new(descriptor.try_clone()?);
        let edge = {
            let mut state = self.state();
            state.link = Some(Link::new(descriptor));
            state.edge = state.edge.wrapping_add(1);
            // Who waits for an answer of the old edge is told that none will come.
            state.waiting.clear();
            state.edge
        };
        self.connected.notify_all();
        let service = Arc::clone(self);
        std::thread::spawn(move || {
            // The end of an edge, whatever its reason: the resolver's successor brings a new one.
            drop(service.read(answers));
            let mut state = service.state();
            if state.edge == edge {
                state.link = None;
                state.waiting.clear();
            }
        });
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whoever died with the lock left a whole table: entries come and go in one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, mut answers: Link) -> Result<(), LinkError> {
        loop {
            while let Some((Resolved { ticket, answer }, _)) = answers.receive::<Resolved>()? {
                let waiting = self.state().waiting.remove(&ticket);
                if let Some(waiting) = waiting {
                    // Who asked may have lost patience.
                    drop(waiting.try_send(answer));
                }
            }
            sys::poll::readable(&answers, None)?;
            answers.fill()?;
        }
    }

    fn answer(&self, query: relay::Query) -> Option<relay::Answer> {
        let (sender, receiver) = sync_channel(1);
        let ticket = {
            let state = self.state();
            let has_none = |state: &mut State| state.link.is_none();
            let waited = self.connected.wait_timeout_while(state, EDGE_PATIENCE, has_none);
            let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if state.waiting.len() >= OPEN_MAX {
                return None;
            }
            state.ticket = state.ticket.wrapping_add(1);
            let ticket = state.ticket;
            let link = state.link.as_mut()?;
            link.send(&Asked { ticket, query }, &[]).ok()?;
            while !link.flush().ok()? {
                sys::poll::writable(&*link).ok()?;
            }
            state.waiting.insert(ticket, sender);
            ticket
        };
        let answer = receiver.recv_timeout(PATIENCE).ok();
        if answer.is_none() {
            self.state().waiting.remove(&ticket);
        }
        answer
    }
}

impl Asker for NameService {
    fn ask(&self, name: &[u8], kind: Kind) -> Result<Answer, Failure> {
        let (name, asked) = match kind {
            Kind::A => (name.to_vec(), QueryKind::A),
            Kind::AAAA => (name.to_vec(), QueryKind::Aaaa),
            Kind::MX => (name.to_vec(), QueryKind::Mx),
            Kind::TXT => (name.to_vec(), QueryKind::Txt),
            Kind::CNAME => (name.to_vec(), QueryKind::Cname),
            Kind::NS => (name.to_vec(), QueryKind::Ns),
            Kind::SRV => (name.to_vec(), QueryKind::Srv),
            Kind::PTR => match address_of(name) {
                Some(address) => (address.to_string().into_bytes(), QueryKind::Ptr),
                None => return Err(Failure::NoName),
            },
            _ => return Err(Failure::NotNow),
        };
        match self.answer(relay::Query { name: name.clone().into(), kind: asked }) {
            Some(relay::Answer::Found { records, true_name }) => {
                Ok(answer_of(&name, true_name.as_deref(), kind, records))
            }
            Some(relay::Answer::NoSuchName) => Err(Failure::NoName),
            Some(relay::Answer::NoData) => Err(Failure::NoData),
            Some(relay::Answer::Temporary) | None => Err(Failure::NotNow),
        }
    }
}

/// The address that a name of the reverse tree stands for (RFC 1035, 3.5; RFC 3596, 2.5).
fn address_of(name: &[u8]) -> Option<IpAddr> {
    let name = str::from_utf8(name).ok()?.trim_end_matches('.').to_ascii_lowercase();
    if let Some(parts) = name.strip_suffix(".in-addr.arpa") {
        let parts: Vec<&str> = parts.rsplit('.').collect();
        return parts.join(".").parse().ok();
    }
    let digits: String = name.strip_suffix(".ip6.arpa")?.rsplit('.').collect();
    let is_whole = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = u128::from_str_radix(&digits, 16).ok().filter(|_| is_whole)?;
    Some(IpAddr::from(number.to_be_bytes()))
}

/// Typed records as the maps read them. Where the name is an alias, that is the first, and all others are of what it stands for.
fn answer_of(name: &[u8], alias: Option<&[u8]>, kind: Kind, records: Records) -> Answer {
    let data: Vec<Data> = match records {
        Records::Mx(hosts) => hosts
            .into_iter()
            .map(|(preference, host)| Data::Exchanger(preference, host.into()))
            .collect(),
        Records::Addresses(addresses) => addresses.into_iter().map(Data::Address).collect(),
        Records::Names(names) => {
            let data = |name: Box<[u8]>| match kind {
                Kind::SRV => Data::Service(name.into()),
                _ => Data::Name(name.into()),
            };
            names.into_iter().map(data).collect()
        }
        Records::Texts(texts) => texts.into_iter().map(|text| Data::Text(text.into())).collect(),
    };
    let owner = alias.unwrap_or(name);
    let record = |data| Record { name: owner.to_vec(), kind, data };
    let alias = alias.map(|alias| Record {
        name: name.to_vec(),
        kind: Kind::CNAME,
        data: Data::Name(alias.to_vec()),
    });
    let records = alias.into_iter().chain(data.into_iter().map(record)).collect();
    Answer { code: 0, is_truncated: false, records }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_reverse_tree_are_addresses() {
        let four = address_of(b"1.2.0.192.in-addr.arpa");
        assert_eq!(four, Some(IpAddr::from([192, 0, 2, 1])));
        let six = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
        assert_eq!(address_of(six.as_bytes()), "2001:db8::1".parse().ok());
        for wrong in ["x.in-addr.arpa", "1.ip6.arpa", "remote.test", ""] {
            assert_eq!(address_of(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_question_waits_for_the_edge_that_is_on_its_way() {
        let names = Arc::new(NameService::default());
        let asking = Arc::clone(&names);
        let asker = std::thread::spawn(move || asking.ask(b"remote.test", Kind::A));
        let (ours, theirs) = sys::socket::pair().unwrap();
        names.connect(ours).unwrap();
        let mut resolver = Link::new(theirs);
        let ticket = loop {
            if let Some((Asked { ticket, .. }, _)) = resolver.receive().unwrap() {
                break ticket;
            }
            sys::poll::readable(&resolver, None).unwrap();
            resolver.fill().unwrap();
        };
        let answer = relay::Answer::found(Records::Addresses(vec![IpAddr::from([192, 0, 2, 1])]));
        resolver.send(&Resolved { ticket, answer }, &[]).unwrap();
        resolver.flush().unwrap();
        assert_eq!(asker.join().unwrap().unwrap().records.len(), 1);
    }

    #[test]
    fn without_an_edge_nothing_is_known_now() {
        let names = Arc::new(NameService::default());
        assert_eq!(names.ask(b"remote.test", Kind::A), Err(Failure::NotNow));
    }
}
