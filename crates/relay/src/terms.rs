//! What connections need to know of the settings.

use crate::fallback::Fallbacks;
use crate::mx::Ourselves;
use policy::settings::{EightBit, Timeouts};
use policy::{Carriage, Settings};
use smtp::client::Habits;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

/// What connections need to know.
#[derive(Debug)]
pub(crate) struct Terms {
    /// Our name in EHLO.
    pub(crate) hello_name: Box<[u8]>,
    /// Our name elsewhere.
    pub(crate) host_name: Box<[u8]>,
    pub(crate) timeouts: Timeouts,
    pub(crate) eight_bit: Rc<EightBit>,
    pub(crate) is_patient: bool,
    /// Connections that an errand keeps (`ConnectionCacheSize`); 0: none is kept for another message.
    pub(crate) kept: usize,
    /// How long a host that did not let us in is left alone within an errand (`Timeout.hoststatus`).
    pub(crate) host_memory: Duration,
    pub(crate) fallbacks: Fallbacks,
    /// The only address that is connected to, whatever DNS says (`ConnectOnlyTo`).
    pub(crate) only_to: Option<IpAddr>,
    pub(crate) ourselves: Ourselves,
}

impl Terms {
    pub(crate) fn new(settings: &Settings, mut ourselves: Ourselves) -> Self {
        ourselves.names.push(settings.host_name.clone());
        ourselves.trusted.extend_from_slice(&settings.trusted_next_hops);
        let calling = &settings.calling;
        let host_name = settings.host_name.clone();
        let is_named = !calling.name.is_empty();
        Self {
            hello_name: if is_named { calling.name.clone() } else { host_name.clone() },
            host_name,
            timeouts: settings.timeouts,
            eight_bit: Rc::new(settings.eight_bit.clone()),
            is_patient: calling.is_patient,
            kept: usize::from(calling.connections_kept),
            fallbacks: Fallbacks::new(calling),
            only_to: calling.only_to,
            host_memory: Duration::from_secs(calling.host_memory_s.into()),
            ourselves,
        }
    }

    /// How we behave towards the servers of a mailer.
    pub(crate) fn habits(&self, carriage: &Carriage) -> Habits {
        Habits {
            is_patient: self.is_patient,
            reads_loosely: self.is_patient,
            awaits_esmtp: self.is_patient && !carriage.flags.has(b'a'),
        }
    }

    /// Messages that a connection carries for a mailer; 0: any number.
    pub(crate) fn messages_max(&self, carriage: &Carriage) -> u32 {
        if self.kept > 0 { carriage.messages_max } else { 1 }
    }
}
