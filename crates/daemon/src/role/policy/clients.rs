//! Who is connected, and how often each client came of late: what rules for rates and connections want to know
//! (`${client_rate}`, `${total_rate}`, `${client_connections}`).
//!
//! All processes that talk to strangers ask the same policy, so it counts for all of them. The window is a ring of six parts,
//! as coarse as sendmail's. An edge that ends takes the clients with it whose sessions ended with its process.

use crate::edges::{FromPolicy, ToPolicy};
use policy::{Ask, Macros, Origin, Question, Verdict};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Parts of the window.
const PARTS: u64 = 6;
/// Clients that are remembered; of those that came longest ago none is.
const CLIENTS_MAX: usize = 100_000;

/// Connections in each part of the window, the newest last.
#[derive(Debug, Clone, Copy, Default)]
struct Ring {
    counts: [u32; 6],
    /// The number of the newest part since 1970.
    newest: u64,
}

impl Ring {
    /// Turns until `part` is the newest.
    fn turn(&mut self, part: u64) {
        let steps = part.saturating_sub(self.newest).min(PARTS);
        for _ in 0..steps {
            self.counts.rotate_left(1);
            if let Some(newest) = self.counts.last_mut() {
                *newest = 0;
            }
        }
        self.newest = self.newest.max(part);
    }

    fn total(&self) -> u32 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Counts one more; gives how many are in the window.
    fn count(&mut self, part: u64) -> u32 {
        self.turn(part);
        if let Some(newest) = self.counts.last_mut() {
            *newest = newest.saturating_add(1);
        }
        self.total()
    }
}

#[derive(Debug, Default)]
struct Counts {
    rates: HashMap<IpAddr, Ring>,
    total: Ring,
    open: HashMap<IpAddr, u32>,
    /// The part in which those were forgotten that came long ago.
    swept_at: u64,
}

/// The clients of all edges.
#[derive(Debug)]
pub(super) struct Clients {
    window_s: u32,
    counts: Mutex<Counts>,
}

impl Clients {
    /// Counts over a window; 0: nobody wants to know.
    pub(super) fn new(window_s: u32) -> Self {
        Self { window_s, counts: Mutex::default() }
    }

    /// A client is there: what rules see of it.
    fn came(&self, client: IpAddr, now_s: u64) -> Macros {
        let part = now_s.saturating_mul(PARTS) / u64::from(self.window_s.max(1));
        // A thread that died while it held the lock left whole numbers.
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.rates.len() >= CLIENTS_MAX && counts.swept_at != part {
            // Once a part: nobody else grows old before the next.
            counts.rates.retain(|_, ring| ring.newest.saturating_add(PARTS) > part);
            counts.swept_at = part;
        }
        let has_room = counts.rates.len() < CLIENTS_MAX || counts.rates.contains_key(&client);
        let rate = if has_room { counts.rates.entry(client).or_default().count(part) } else { 1 };
        let total = counts.total.count(part);
        let open = counts.open.entry(client).or_default();
        *open = open.saturating_add(1);
        let known: [(&[u8], u32); 3] =
            [(b"{client_rate}", rate), (b"{total_rate}", total), (b"{client_connections}", *open)];
        known.map(|(name, count)| (name.into(), count.to_string().into_bytes().into())).into()
    }

    /// So many sessions of a client are over.
    fn left(&self, client: IpAddr, count: u32) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = counts.open.get_mut(&client) {
            *open = open.saturating_sub(count);
            if *open == 0 {
                counts.open.remove(&client);
            }
        }
    }
}

/// The clients of one edge.
pub(super) struct Edge<'c> {
    clients: &'c Clients,
    open: HashMap<IpAddr, u32>,
}

impl<'c> Edge<'c> {
    pub(super) fn new(clients: &'c Clients) -> Self {
        Self { clients, open: HashMap::new() }
    }

    /// Counts whom a question is about; what is known of it then stands in the question, and is to stand in the answer.
    pub(super) fn see(&mut self, question: &mut ToPolicy) -> Macros {
        let ToPolicy::Judge(question) = question else { return Macros::new() };
        let Question { facts, ask } = question;
        let Origin::Client { peer, .. } = &facts.origin else { return Macros::new() };
        let client = peer.ip().to_canonical();
        if *ask == Ask::Connect && self.clients.window_s > 0 {
            let known = self.clients.came(client, sys::clock::realtime_s());
            let open = self.open.entry(client).or_default();
            *open = open.saturating_add(1);
            facts.macros.extend(known.iter().cloned());
            return known;
        }
        if *ask == Ask::Left
            && let Some(open) = self.open.get_mut(&client)
        {
            *open = open.saturating_sub(1);
            if *open == 0 {
                self.open.remove(&client);
            }
            self.clients.left(client, 1);
        }
        Macros::new()
    }
}

impl Drop for Edge<'_> {
    fn drop(&mut self) {
        for (client, count) in self.open.drain() {
            self.clients.left(client, count);
        }
    }
}

/// Puts what is known of a client into the answer: the session carries it from then on.
pub(super) fn add(answer: &mut FromPolicy, known: Macros) {
    if let FromPolicy::Verdict(Verdict::Accept(acceptance)) = answer {
        acceptance.macros.extend(known);
    } else if let FromPolicy::Verdict(Verdict::Refuse(refusal)) = answer {
        refusal.macros.extend(known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(macros: &Macros) -> Vec<String> {
        macros.iter().map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    #[test]
    fn connections_are_counted_while_they_last_and_rates_within_the_window() {
        let clients = Clients::new(60);
        let client: IpAddr = [192, 0, 2, 1].into();
        assert_eq!(numbers(&clients.came(client, 1000)), ["1", "1", "1"]);
        assert_eq!(numbers(&clients.came(client, 1001)), ["2", "2", "2"]);
        clients.left(client, 1);
        assert_eq!(numbers(&clients.came([192, 0, 2, 2].into(), 1002)), ["1", "3", "1"]);
        assert_eq!(numbers(&clients.came(client, 1030)), ["3", "4", "2"]);
        assert_eq!(numbers(&clients.came(client, 1062)), ["2", "2", "3"]);
        clients.left(client, 3);
        assert_eq!(numbers(&clients.came(client, 5000)), ["1", "1", "1"]);
    }

    #[test]
    fn an_edge_that_ends_takes_its_clients_with_it() {
        let clients = Clients::new(60);
        let facts = policy::Facts {
            origin: Origin::Client {
                peer: "192.0.2.1:4711".parse().unwrap_or_else(|_| unreachable!()),
                local: "192.0.2.9:25".parse().unwrap_or_else(|_| unreachable!()),
                name: Box::default(),
                resolved: policy::Resolved::Fail,
            },
            daemon: 0,
            hello: Box::default(),
            is_esmtp: false,
            sender: None,
            recipients: 0,
            macros: Macros::new(),
        };
        let ask = |ask| ToPolicy::Judge(Question { facts: facts.clone(), ask });
        let mut edge = Edge::new(&clients);
        assert_eq!(numbers(&edge.see(&mut ask(Ask::Connect)))[2], "1");
        assert_eq!(numbers(&edge.see(&mut ask(Ask::Connect)))[2], "2");
        assert_eq!(edge.see(&mut ask(Ask::Left)), []);
        assert_eq!(numbers(&edge.see(&mut ask(Ask::Connect)))[2], "2");
        drop(edge);
        let mut edge = Edge::new(&clients);
        // Nobody of this edge: it can't take away what is not its own.
        assert_eq!(edge.see(&mut ask(Ask::Left)), []);
        assert_eq!(numbers(&edge.see(&mut ask(Ask::Connect)))[2], "1");
    }
}
