//! What connections need to know of the settings.

use crate::connect::Road;
use crate::fallback::Fallbacks;
use crate::mx::Ourselves;
use policy::settings::{EightBit, Timeouts};
use policy::{Carriage, Settings};
use smtp::client::Habits;
use std::rc::Rc;
use std::time::Duration;

/// What connections need to know.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub(crate) struct Terms {
    /// Our name in EHLO.
    pub(crate) hello_name: Box<[u8]>,
    /// Our name elsewhere.
    pub(crate) host_name: Box<[u8]>,
    pub(crate) timeouts: Timeouts,
    pub(crate) eight_bit: Rc<EightBit>,
    pub(crate) is_patient: bool,
    /// Whether recipients that come for the first time keep their order.
    pub(crate) sorts_at_once: bool,
    /// Connections that an errand keeps (`ConnectionCacheSize`); 0: none is kept for another message.
    pub(crate) kept: usize,
    /// How long a host that did not let us in is left alone within an errand (`Timeout.hoststatus`).
    pub(crate) host_memory_ms: u64,
    /// Whether the status of hosts is kept by who started us.
    pub(crate) keeps_host_status: bool,
    pub(crate) fallbacks: Fallbacks,
    /// Where connections go and come from, for mailers that wait for a line.
    road: Road,
    /// Whether we call ourselves what our end of a connection is called.
    pub(crate) is_named_by_address: bool,
    /// How long the answer to RSET may take.
    pub(crate) reset: Duration,
    /// How long the hosts of a destination may take together until one lets an errand in (`Timeout.aconnect`).
    pub(crate) connect_all: Option<Duration>,
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
            sorts_at_once: calling.sorts_at_once,
            kept: usize::from(calling.connections_kept),
            fallbacks: Fallbacks::new(calling),
            road: Road {
                only_to: calling.only_to,
                from: calling.from.clone(),
                redial: (calling.dial_delay_s > 0)
                    .then(|| Duration::from_secs(calling.dial_delay_s.into())),
            },
            is_named_by_address: calling.from.is_named_by_address,
            reset: Duration::from_secs(match calling.reset_s {
                0 => settings.timeouts.reply_s.into(),
                seconds => seconds.into(),
            }),
            connect_all: match calling.connect_all_s {
                0 => None,
                seconds => Some(Duration::from_secs(seconds.into())),
            },
            host_memory_ms: u64::from(calling.host_memory_s).saturating_mul(1000),
            keeps_host_status: calling.keeps_host_status,
            ourselves,
        }
    }

    /// How we behave towards the servers of a mailer.
    pub(crate) fn habits(&self, carriage: &Carriage) -> Habits {
        Habits {
            is_patient: self.is_patient,
            reads_loosely: self.is_patient,
            awaits_esmtp: self.is_patient && !carriage.flags.has(b'a'),
            shuns_esmtp: carriage.flags.has(b'2'),
            shuns_itself: self.is_patient && !carriage.flags.has(b'k'),
            sends_chunks: !self.is_patient,
        }
    }

    /// Where connections of a mailer go and come from.
    pub(crate) fn road(&self, carriage: &Carriage) -> Road {
        let redial = self.road.redial.filter(|_| carriage.flags.has(b'Z'));
        Road { redial, ..self.road.clone() }
    }

    /// Messages that a connection carries for a mailer; 0: any number.
    pub(crate) fn messages_max(&self, carriage: &Carriage) -> u32 {
        if self.kept > 0 { carriage.messages_max } else { 1 }
    }
}
