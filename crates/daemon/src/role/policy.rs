//! `policy`: reads the configuration in its cage and answers questions, a thread an edge.
//!
//! A rule set is plain synchronous code that may wait for a map, so threads fit it better than a
//! loop. Each edge is answered in order, and all frames of one read are answered with one write.

mod clients;

use crate::cage;
use crate::edges::{FromPolicy, Grant, News, Order, ToPolicy};
use crate::file_frames::Assembly;
use crate::link::{Link, LinkError};
use crate::map_notes::MapNotes;
use crate::map_porter::MapPorter;
use crate::member_frames;
use crate::name_service::NameService;
use crate::roles::Role;
use crate::start::Inheritance;
use crate::tables;
use clients::{Clients, Edge};
use policy::{Expansion, FileSeen, Policy, Refusal, RefusedMember, Settings};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// What threads share: a policy, and who is connected.
type Shared = Arc<Counting>;

/// A policy, and the clients that it was asked about.
struct Counting {
    policy: Arc<dyn Policy + Send + Sync>,
    clients: Clients,
}

/// Files of one question.
const FILES_MAX: usize = 1000;

/// How long a replaced policy serves the sessions that began with it.
const RETIREMENT_S: u64 = 600;

/// Works until master says stop and all edges are closed.
pub(crate) fn run(mut inheritance: Inheritance) -> Result<ExitCode, LinkError> {
    let names = Arc::new(NameService::default());
    let notes = Arc::new(MapNotes::default());
    let porter = Arc::new(MapPorter::new(Arc::clone(&names), Arc::clone(&notes)));
    let policy = match tables::load(&mut inheritance, &porter, &notes) {
        Ok(policy) => policy,
        Err(text) => {
            inheritance.life.send(&News::Wrong(text.into()), &[])?;
            inheritance.life.flush()?;
            return Ok(ExitCode::from(crate::EX_CONFIG));
        }
    };
    inheritance.settings = Settings { map_servers: porter.servers(), ..policy.settings().clone() };
    let weaker = cage::enter(&inheritance)?;
    inheritance.life.send(&News::Settings(Box::new(inheritance.settings.clone())), &[])?;
    inheritance.ready(&weaker)?;
    porter.begin(&inheritance.life)?;
    notes.begin(inheritance.log());
    let clients = Clients::new(inheritance.settings.limits.rate_window_s);
    let policy = Arc::new(Counting { policy, clients });
    let mut threads = Vec::new();
    while let Some((grant, descriptor)) = inheritance.grants.pop_front() {
        match grant {
            Grant::Edge { to: Role::Resolver, .. } => names.connect(descriptor)?,
            Grant::Edge { .. } => threads.push(answer_on(&policy, descriptor)),
            Grant::Listener(_)
            | Grant::Child { .. }
            | Grant::Spool
            | Grant::Statistics
            | Grant::ControlSocket
            | Grant::CommandSocket
            | Grant::Configuration { .. }
            | Grant::Log
            | Grant::Socket { .. }
            | Grant::NameServers => {}
        }
    }
    obey(inheritance, &policy, &porter, threads)
}

/// Takes new edges and proofs from master, until it says stop.
fn obey(
    mut inheritance: Inheritance,
    policy: &Shared,
    porter: &MapPorter,
    mut threads: Vec<JoinHandle<()>>,
) -> Result<ExitCode, LinkError> {
    loop {
        while let Some((order, _)) = inheritance.life.receive::<Order>()? {
            match order {
                Order::Grant(Grant::Edge { to: Role::Resolver, .. }) => {
                    porter.names().connect(inheritance.life.descriptor()?)?;
                }
                Order::Grant(Grant::Edge { .. }) => {
                    threads.push(answer_on(policy, inheritance.life.descriptor()?));
                }
                Order::Grant(Grant::Socket { ticket }) => {
                    porter.came(ticket, Ok(inheritance.life.descriptor()?));
                }
                Order::NoSocket { ticket, why } => porter.came(ticket, Err(why)),
                Order::Grant(_) => drop(inheritance.life.descriptor()?),
                Order::Prove { ticket, with_deeds } => {
                    let edges = crate::edges::neighbours(inheritance.role).collect();
                    let proof = cage::prove(inheritance.role, inheritance.index, edges, with_deeds);
                    porter.tell(&News::Proof { ticket, proof })?;
                }
                Order::Stop => {
                    retire(&mut threads);
                    return Ok(ExitCode::SUCCESS);
                }
                Order::Settings(_)
                | Order::Go { .. }
                | Order::Read(_)
                | Order::NoChild { .. }
                | Order::Errand(_)
                | Order::Proofs { .. } => {}
            }
        }
        threads.retain(|thread| !thread.is_finished());
        sys::poll::readable(&inheritance.life, None)?;
        inheritance.life.fill()?;
    }
}

/// Waits until the other ends have closed all edges: sessions that began with this policy end with it.
fn retire(threads: &mut Vec<JoinHandle<()>>) {
    let pause = Duration::from_millis(50);
    for _ in 0..RETIREMENT_S.saturating_mul(20) {
        threads.retain(|thread| !thread.is_finished());
        if threads.is_empty() {
            return;
        }
        std::thread::sleep(pause);
    }
}

fn answer_on(policy: &Shared, descriptor: std::os::fd::OwnedFd) -> JoinHandle<()> {
    let policy = Arc::clone(policy);
    std::thread::spawn(move || {
        // The end of an edge, whatever its reason, concerns this thread alone: the other end asks anew.
        drop(answer_until_closed(&policy, Link::new(descriptor)));
    })
}

fn answer_until_closed(counting: &Counting, mut link: Link) -> Result<(), LinkError> {
    let policy = &*counting.policy;
    // Whoever is connected when this edge ends has lost its server.
    let mut edge = Edge::new(&counting.clients);
    let mut files: Vec<FileSeen> = Vec::new();
    let mut assembly = Assembly::default();
    loop {
        while let Some((question, tail)) = link.receive::<ToPolicy>()? {
            if let ToPolicy::File(frame) = question {
                files.extend(assembly.take(frame, tail)?);
                if files.len() > FILES_MAX {
                    return Err(LinkError::Garbled("too many files"));
                }
                continue;
            }
            let mut question = question;
            let known = edge.see(&mut question);
            let mut answer = answer(policy, &question, &files);
            clients::add(&mut answer, known);
            files.clear();
            let sent = if let FromPolicy::Expansion(expansion) = answer {
                member_frames::send(&mut link, expansion)
            } else {
                link.send(&answer, &[])
            };
            if sent.is_err() {
                link.send(&FromPolicy::Expansion(too_large(&question)), &[])?;
            }
        }
        while !link.flush()? {
            sys::poll::writable(&link)?;
        }
        sys::poll::readable(&link, None)?;
        link.fill()?;
    }
}

/// One question, one answer.
pub(crate) fn answer(policy: &dyn Policy, question: &ToPolicy, files: &[FileSeen]) -> FromPolicy {
    match question {
        ToPolicy::Judge(question) => FromPolicy::Verdict(policy.judge(question)),
        ToPolicy::Route { address } => FromPolicy::Route(policy.route(address)),
        ToPolicy::Expand { address, route, sender } => {
            FromPolicy::Expansion(policy.expand_with(address, route, sender, files))
        }
        // Frames of files are no questions.
        ToPolicy::File(_) => FromPolicy::Expansion(Expansion::default()),
        ToPolicy::Dress(dress) => FromPolicy::Dressed(policy.dress((**dress).clone())),
    }
}

/// The answer where the true one is longer than any frame.
fn too_large(question: &ToPolicy) -> Expansion {
    let address = match question {
        ToPolicy::Expand { address, .. } | ToPolicy::Route { address } => address.clone(),
        ToPolicy::Judge(_) | ToPolicy::File(_) | ToPolicy::Dress(_) => Box::default(),
    };
    let text = b"mailing list expansion is too large";
    let refusal = Refusal::new(552, (5, 2, 4), text, b"aliases");
    Expansion { refused: vec![RefusedMember::new(&address, refusal)], ..Expansion::default() }
}
