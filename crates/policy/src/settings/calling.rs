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
    /// Whether a connection is kept for another message (`ConnectionCacheSize`).
    pub keeps_connections: bool,
}

impl Default for Calling {
    fn default() -> Self {
        Self { name: Box::default(), is_patient: false, keeps_connections: true }
    }
}
