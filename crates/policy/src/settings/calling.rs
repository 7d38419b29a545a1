//! How we behave as a client of other servers.

use alloc::boxed::Box;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use serde::{Deserialize, Serialize};

/// How we behave as a client; the default: as fast as the server allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct Calling {
    /// What we call ourselves in EHLO (`HeloName`); empty: our host name.
    pub name: Box<[u8]>,
    /// Whether each step is taken as sendmail takes it: MAIL is answered before recipients are named, RSET stands between
    /// transactions, EHLO is for servers that say ESMTP and mailers that have the flag `a`, and lines that are no replies are
    /// passed over.
    pub is_patient: bool,
    /// Whether recipients are in the order of their exchangers before they are tried for the first time (`FastSplit=0`); else
    /// the last comes first.
    pub sorts_at_once: bool,
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
    /// How long the answer to RSET may take (`Timeout.rset`); 0: as long as that to EHLO.
    pub reset_s: u32,
    /// How long the hosts of a destination may take together until one lets an errand in (`Timeout.aconnect`); 0: each takes
    /// its own time.
    pub connect_all_s: u32,
    /// Where connections come from (`ClientPortOptions`).
    pub from: Source,
    /// How long is waited until a first connection that failed is tried once more, for mailers with the flag `Z`
    /// (`DialDelay`): a line that is dialled needs its time; 0: it is not.
    pub dial_delay_s: u32,
    /// Whether the status of hosts is kept from one command to the next (`HostStatusDirectory`).
    pub keeps_host_status: bool,
}

/// Where our connections come from (`ClientPortOptions`): an address of each family, or what the system chooses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// IPv4.
    pub four: Option<Ipv4Addr>,
    /// IPv6.
    pub six: Option<Ipv6Addr>,
    /// Whether we call ourselves what our end of a connection is called (modifier `h`).
    pub is_named_by_address: bool,
}

impl Default for Calling {
    fn default() -> Self {
        Self {
            name: Box::default(),
            is_patient: false,
            sorts_at_once: false,
            connections_kept: 2,
            host_memory_s: 1800,
            fallback_mx: Box::default(),
            fallback_smart: Box::default(),
            tries_null_list: false,
            only_to: None,
            reset_s: 0,
            connect_all_s: 0,
            from: Source::default(),
            dial_delay_s: 0,
            keeps_host_status: false,
        }
    }
}
