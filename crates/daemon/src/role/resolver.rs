//! `resolver`: asks name servers for the relays and the policy, so that nobody who handles mail reads DNS packets.

use crate::cage;
use crate::edges::{Asked, Grant, News, Order, Resolved};
use crate::life::Life;
use crate::link::LinkError;
use crate::roles::Role;
use crate::start::Inheritance;
use relay::resolve::{Configuration, Resolver};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::rc::Rc;

/// Octets of resolv.conf that are read.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Works until master says stop.
pub(crate) fn run(mut inheritance: Inheritance) -> Result<ExitCode, LinkError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let mut resolv_conf = Vec::new();
    if let Some(file) = inheritance.take(|grant| matches!(grant, Grant::NameServers)) {
        File::from(file).take(FILE_BYTES_MAX).read_to_end(&mut resolv_conf)?;
    }
    let configuration = Configuration {
        servers: inheritance.settings.name_servers.clone(),
        resolv_conf,
        hosts: Vec::new(),
    };
    let weaker = cage::enter(&inheritance)?;
    inheritance.ready(&weaker)?;
    tokio::task::LocalSet::new().block_on(&runtime, work(inheritance, configuration))
}

async fn work(
    inheritance: Inheritance,
    configuration: Configuration,
) -> Result<ExitCode, LinkError> {
    let resolver = Resolver::new(&configuration).map_err(std::io::Error::other)?;
    let resolver = Rc::new(resolver);
    let (role, index) = (inheritance.role, inheritance.index);
    let mut life = Life::begin(inheritance.life);
    for (grant, descriptor) in inheritance.grants {
        granted(&resolver, &grant, descriptor);
    }
    while let Some((order, descriptor)) = life.order().await {
        match (order, descriptor) {
            (Order::Grant(grant), Some(descriptor)) => granted(&resolver, &grant, descriptor),
            (Order::Prove { ticket, with_deeds }, _) => {
                let edges = crate::edges::neighbours(role).collect();
                let proof = cage::prove(role, index, edges, with_deeds);
                life.tell(&News::Proof { ticket, proof });
            }
            (Order::Stop, _) => break,
            (
                Order::Grant(_)
                | Order::Settings(_)
                | Order::Go { .. }
                | Order::Read(_)
                | Order::NoChild { .. }
                | Order::NoSocket { .. }
                | Order::Errand(_)
                | Order::Proofs { .. },
                _,
            ) => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn granted(resolver: &Rc<Resolver>, grant: &Grant, descriptor: OwnedFd) {
    if matches!(grant, Grant::Edge { to: Role::Relay | Role::Policy, .. }) {
        let resolver = Rc::clone(resolver);
        tokio::task::spawn_local(async move {
            // The end of an edge ends its task; its asker's successor gets a new one.
            drop(answer_on(resolver, descriptor).await);
        });
    }
}

/// Answers one asker: many questions at the same time, answers as they come.
async fn answer_on(resolver: Rc<Resolver>, descriptor: OwnedFd) -> Result<(), LinkError> {
    let port = crate::port::Port::new(descriptor);
    let answers = port.clone();
    port.run(move |link| {
        while let Some((asked, _)) = link.receive::<Asked>()? {
            let (resolver, answers) = (Rc::clone(&resolver), answers.clone());
            tokio::task::spawn_local(async move {
                let answer = resolver.answer(&asked.query).await;
                // The asker may have died meanwhile.
                drop(answers.send(&Resolved { ticket: asked.ticket, answer }, &[]));
            });
        }
        Ok(())
    })
    .await
}
