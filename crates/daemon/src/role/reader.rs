//! `reader`: looks at one user's `.forward` and lists, as that user, in a cage that lets it write nothing.
//!
//! It judges nothing: facts and content go back, and the policy decides whether they are to be trusted. A reader without
//! work for a while ends; the queue asks for another one.

use crate::cage;
use crate::edges::{FromReader, Grant, News, Order, ToReader};
use crate::file_frames;
use crate::link::{Link, LinkError};
use crate::roles::Role;
use crate::start::Inheritance;
use std::os::fd::AsFd;
use std::process::ExitCode;

/// How long a reader without work lives.
const IDLE_MS: u64 = 10_000;

/// Works until the queue lets go, master says stop, or there is nothing to do.
pub(crate) fn run(mut inheritance: Inheritance) -> Result<ExitCode, LinkError> {
    let edge = inheritance.take(|grant| matches!(grant, Grant::Child { .. }));
    let mut queue = Link::new(edge.ok_or(LinkError::Garbled("no edge to the queue"))?);
    let weaker = cage::enter(&inheritance)?;
    inheritance.ready(&weaker)?;
    let groups = sys::user::current_groups().unwrap_or_default();
    let mut life = inheritance.life;
    loop {
        if take_orders(&mut life)? {
            return Ok(ExitCode::SUCCESS);
        }
        while let Some((wish, _)) = queue.receive::<ToReader>()? {
            let ToReader { ticket, wanted } = wish;
            let seen = maps::gather(wanted, groups.clone());
            file_frames::send(&mut queue, &seen, |frame| FromReader { ticket, frame })?;
            // What is read is written before more is read: there is one file in memory.
            while !queue.flush()? {
                sys::poll::writable(&queue)?;
            }
        }
        life.flush()?;
        let watched = [(queue.as_fd(), false), (life.as_fd(), false)];
        let ready = sys::poll::wait(&watched, Some(IDLE_MS))?;
        let (is_asked, is_ordered) = match *ready {
            [queue, life] => (queue, life),
            _ => (false, false),
        };
        if is_ordered {
            life.fill()?;
        }
        if is_asked && queue.fill().is_err() || !is_asked && !is_ordered {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// True: stop.
fn take_orders(life: &mut Link) -> Result<bool, LinkError> {
    while let Some((order, _)) = life.receive::<Order>()? {
        match order {
            Order::Prove { ticket, with_deeds } => {
                let proof = cage::prove(Role::Reader, 0, vec![Role::Queue], with_deeds);
                life.send(&News::Proof { ticket, proof }, &[])?;
            }
            Order::Stop => return Ok(true),
            Order::Grant(_) => drop(life.descriptor()?),
            Order::Settings(_)
            | Order::Go { .. }
            | Order::Read(_)
            | Order::NoChild { .. }
            | Order::NoSocket { .. }
            | Order::Proofs { .. }
            | Order::Errand(_) => {}
        }
    }
    Ok(false)
}
