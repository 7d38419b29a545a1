//! How we behave as a client of other servers.

use alloc::boxed::Box;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

/// How we behave as a client; the default: as fast as the server allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calling {
    /// What we call ourselves in EHLO (`HeloName`); empty: our host name.
    pub name: Box<[u8]>,
    /// Whether each step is taken as sendmail takes it: MAIL is answered before recipients are named, RSET stands between
    /// transactions, EHLO is for servers that say ESMTP and mailers that have the flag `a`, and lines that are no replies are
    /// passed over.
    pub is_patient: bool,
    /// Connections that an errand keeps for another message (`ConnectionCacheSize`); 0: nobody keeps any.
    pub connections_kept: u8,
    /// How long an errand leaves a host alone that did not let it in (`Timeout.hoststatus`).
    pub host_memory_s: u32,
    /// A host behind the exchangers of every domain (`FallbackMXhost`); empty: none.
    pub fallback_mx: Box<[u8]>,
    /// A host for domains that DNS does not know (`FallbackSmartHost`); empty: none.
    pub fallback_smart: Box<[u8]>,
    /// Whether a domain whose best exchanger we are is tried by its own address (`TryNullMXList`).
    pub tries_null_list: bool,
    /// The only address that is connected to (`ConnectOnlyTo`), for trials.
    pub only_to: Option<IpAddr>,
}

impl Default for Calling {
    fn default() -> Self {
        Self {
            name: Box::default(),
            is_patient: false,
            connections_kept: 2,
            host_memory_s: 1800,
            fallback_mx: Box::default(),
            fallback_smart: Box::default(),
            tries_null_list: false,
            only_to: None,
        }
    }
}
