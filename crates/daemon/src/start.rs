//! How a role begins: gathers what master hands it, enters its cage, says that it is ready.

use crate::edges::{Errand, Grant, Identity, News, Order, Reading};
use crate::link::{Link, LinkError};
use crate::log::Log;
use crate::roles::Role;
use policy::Settings;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;

/// The descriptor of the edge to master, in every role.
pub(crate) const LIFE_DESCRIPTOR: i32 = 3;

/// What master handed over before [`Order::Go`].
#[derive(Debug)]
pub(crate) struct Inheritance {
    /// Which role this is.
    pub role: Role,
    /// Which of its kind.
    pub index: u8,
    /// The edge to master.
    pub life: Link,
    /// What the configuration says; the default for the policy, who reads it.
    pub settings: Settings,
    /// What to read (policy).
    pub reading: Option<Reading>,
    /// What the server is started for, if it ends with it (queue).
    pub errand: Option<Errand>,
    /// Whom to become.
    pub identity: Option<Identity>,
    /// All descriptors, in the order in which they came.
    pub grants: VecDeque<(Grant, OwnedFd)>,
}

impl Inheritance {
    /// Reads the edge to master until it says go.
    ///
    /// # Errors
    /// Master is gone, or sent what is no order.
    pub(crate) fn gather(role: Role, life: OwnedFd) -> Result<Self, LinkError> {
        let mut inheritance = Self {
            role,
            index: 0,
            life: Link::new(life),
            settings: Settings::default(),
            reading: None,
            errand: None,
            identity: None,
            grants: VecDeque::new(),
        };
        loop {
            while let Some((order, _)) = inheritance.life.receive::<Order>()? {
                match order {
                    Order::Settings(settings) => inheritance.settings = *settings,
                    Order::Errand(errand) => inheritance.errand = Some(errand),
                    Order::Read(reading) => inheritance.reading = Some(reading),
                    Order::Grant(grant) => {
                        let descriptor = inheritance.life.descriptor()?;
                        inheritance.grants.push_back((grant, descriptor));
                    }
                    Order::Go { index, identity } => {
                        inheritance.index = index;
                        inheritance.identity = identity;
                        return Ok(inheritance);
                    }
                    Order::NoChild { .. }
                    | Order::NoSocket { .. }
                    | Order::Prove { .. }
                    | Order::Proofs { .. } => {}
                    Order::Stop => return Err(LinkError::Closed),
                }
            }
            sys::poll::readable(&inheritance.life, None)?;
            inheritance.life.fill()?;
        }
    }

    /// Takes the first descriptor that `wanted` says yes to.
    pub(crate) fn take(&mut self, wanted: impl Fn(&Grant) -> bool) -> Option<OwnedFd> {
        let at = self.grants.iter().position(|(grant, _)| wanted(grant))?;
        self.grants.remove(at).map(|(_, descriptor)| descriptor)
    }

    /// The log as the settings say.
    pub(crate) fn log(&mut self) -> Log {
        let socket = self.take(|grant| matches!(grant, Grant::Log));
        Log::new(&self.settings.logging, socket)
    }

    /// Tells master that this role is in its cage.
    ///
    /// # Errors
    /// Master is gone.
    pub(crate) fn ready(&mut self, weaker: &str) -> Result<(), LinkError> {
        self.life.send(&News::Ready { weaker: weaker.into() }, &[])?;
        self.life.flush()?;
        Ok(())
    }
}
