//! One transaction for the recipients of a message whose hosts have the same exchangers.
//!
//! A batch may have recipients at several hosts ([`queue::BatchRecipient::host`]). All hosts are looked up at the same time;
//! those whose mail goes to the same names and ports in the same order share a transaction, with the first of them as its host.
//! Equal preferences are ordered by one throw of dice for the whole batch, so that the order does not tell them apart. A host
//! of which nothing is known, or not in time, goes by itself.

use crate::mx::Found;
use crate::pool::{Office, asks_mx};
use crate::ticket::Ticket;
use crate::{Job, Way};
use queue::{Batch, BatchRecipient, Outcome};
use std::collections::HashMap;
use std::hash::RandomState;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Where a host can be reached, once that was looked up.
pub(crate) type Known = Option<Result<Found, Outcome>>;

/// Whether there are recipients with hosts of their own, and DNS says where those are.
pub(crate) fn has_hosts(job: &Job) -> bool {
    port(&job.way).is_some() && job.batch.recipients.iter().any(|one| !one.host.is_empty())
}

/// The parts of a job that go to places of their own, in the order of their first recipients, and where those are.
pub(crate) async fn divide(
    office: &Rc<Office>,
    mut ticket: Ticket,
    patience: Option<Duration>,
) -> Vec<(Ticket, Known)> {
    let Some(port) =
        ticket.job.as_ref().filter(|job| has_hosts(job)).and_then(|job| port(&job.way))
    else {
        return vec![(ticket, None)];
    };
    let Some(job) = ticket.job.as_mut() else { return Vec::new() };
    // The task may die meanwhile: the ticket keeps the job.
    let mut known = look_up(office, hosts(job), port, asks_mx(&job.carriage), patience).await;
    let places = known.iter().map(|(host, found)| (host.clone(), place(host, found))).collect();
    let Some(job) = ticket.job.take() else { return Vec::new() };
    let parts = parts(job, |host| {
        let places: &HashMap<Box<[u8]>, Place> = &places;
        places.get(host).cloned().unwrap_or_else(|| Place::Alone(host.into()))
    });
    let tickets = ticket.divide(parts).into_iter();
    let mut with_place = |ticket: Ticket| {
        let host = ticket.job.as_ref().map(|job| job.batch.host.to_ascii_lowercase());
        let found = host.and_then(|host| known.remove(&*host));
        (ticket, found)
    };
    tickets.map(&mut with_place).collect()
}

/// A job in parts, one for each host.
pub(crate) fn by_host(job: Job) -> Vec<Job> {
    if has_hosts(&job) { parts(job, |host| Place::Alone(host.into())) } else { vec![job] }
}

/// Where mail for a host goes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// To these names and ports, in this order.
    Exchangers(Vec<(Box<[u8]>, u16)>),
    /// Nothing is known of this host.
    Alone(Box<[u8]>),
}

fn place(host: &[u8], found: &Result<Found, Outcome>) -> Place {
    match found {
        Ok(Found { hops, dead }) if dead.is_empty() => {
            let hop =
                |hop: &crate::mx::Hop| (hop.name.to_ascii_lowercase().into(), hop.address.port());
            let mut names: Vec<(Box<[u8]>, u16)> = hops.iter().map(hop).collect();
            names.dedup();
            Place::Exchangers(names)
        }
        // One of its exchangers is not there, which is told of this host alone.
        Ok(_) | Err(_) => Place::Alone(host.into()),
    }
}

fn port(way: &Way) -> Option<u16> {
    match way {
        Way::Smtp { port } | Way::LmtpHost { port } => Some(*port),
        Way::Lmtp(_) | Way::Unix { .. } => None,
    }
}

/// The host of a recipient, in lower case.
fn host_of(batch_host: &[u8], one: &BatchRecipient) -> Box<[u8]> {
    let host = if one.host.is_empty() { batch_host } else { &one.host };
    host.to_ascii_lowercase().into()
}

/// All hosts of a job.
fn hosts(job: &Job) -> Vec<Box<[u8]>> {
    let all = job.batch.recipients.iter().map(|one| host_of(&job.batch.host, one));
    let mut hosts: Vec<Box<[u8]>> = all.collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

/// Looks up hosts, all at the same time; what is not known in time is left out.
async fn look_up(
    office: &Rc<Office>,
    hosts: Vec<Box<[u8]>>,
    port: u16,
    asks_mx: bool,
    patience: Option<Duration>,
) -> HashMap<Box<[u8]>, Result<Found, Outcome>> {
    let dice = Rc::new(RandomState::new());
    let mut asked = JoinSet::new();
    for host in hosts {
        let (office, dice, terms) = (Rc::clone(office), Rc::clone(&dice), office.terms());
        asked.spawn_local(async move {
            let found = office.exchangers(&host, port, asks_mx, &terms, &dice).await;
            (host, found)
        });
    }
    let mut known = HashMap::new();
    let until = patience.map(|patience| Instant::now() + patience);
    loop {
        let next = match until {
            Some(until) => tokio::time::timeout_at(until, asked.join_next()).await.ok().flatten(),
            None => asked.join_next().await,
        };
        match next {
            Some(Ok((host, found))) => {
                known.insert(host, found);
            }
            // A task that died knows nothing.
            Some(Err(_died)) => {}
            None => return known,
        }
    }
}

/// A job in parts by the places of its recipients' hosts.
fn parts(job: Job, place_of: impl Fn(&[u8]) -> Place) -> Vec<Job> {
    let Job { mut batch, way, connections_max, body, carriage } = job;
    let recipients = std::mem::take(&mut batch.recipients);
    let mut groups: Vec<(Place, Box<[u8]>, Vec<BatchRecipient>)> = Vec::new();
    for mut one in recipients {
        let place = place_of(&host_of(&batch.host, &one));
        let own = std::mem::take(&mut one.host);
        if let Some((.., group)) = groups.iter_mut().find(|(other, ..)| *other == place) {
            group.push(one);
        } else {
            let host = if own.is_empty() { batch.host.clone() } else { own };
            groups.push((place, host, vec![one]));
        }
    }
    let rest = Job { batch, way, connections_max, body, carriage };
    groups.into_iter().map(|(_, host, recipients)| part(&rest, host, recipients)).collect()
}

/// A job like this one for others.
pub(crate) fn part(job: &Job, host: Box<[u8]>, recipients: Vec<BatchRecipient>) -> Job {
    Job {
        batch: Batch { host, recipients, ..job.batch.clone() },
        way: job.way.clone(),
        connections_max: job.connections_max,
        body: job.body.clone(),
        carriage: job.carriage.clone(),
    }
}
