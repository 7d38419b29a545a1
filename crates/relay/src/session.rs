//! One connection: bytes between a socket and `smtp::client`.

use crate::Job;
use crate::mx::Hop;
use crate::pool::Terms;
use queue::{Outcome, Trouble};
use tokio::net::TcpStream;

/// What came of a transaction.
pub(crate) enum Finish {
    /// Each recipient has its outcome; the connection is good for another.
    Kept(Vec<(u32, Outcome)>),
    /// Each recipient has its outcome; the connection is gone.
    Closed(Vec<(u32, Outcome)>),
    /// The connection was lost before the server said anything about this transaction: it may be
    /// tried again on another. The outcome is for when it may not.
    Untouched(Outcome),
}

/// A connection whose server has let us in.
pub(crate) struct Connection {
    stream: TcpStream,
}

impl Connection {
    pub(crate) async fn open(
        _hop: Hop,
        stream: TcpStream,
        _terms: &Terms,
    ) -> Result<Self, Trouble> {
        Ok(Self { stream })
    }
    pub(crate) async fn transact(&mut self, _job: &mut Job) -> Finish {
        Finish::Kept(Vec::new())
    }
    pub(crate) async fn closed(&mut self) {
        let _ = self.stream.readable().await;
    }
    pub(crate) fn quit(self) {}
}
