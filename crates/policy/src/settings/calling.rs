//! How we behave as a client of other servers.

use alloc::boxed::Box;
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
}

impl Default for Calling {
    fn default() -> Self {
        Self { name: Box::default(), is_patient: false, connections_kept: 2, host_memory_s: 1800 }
    }
}
