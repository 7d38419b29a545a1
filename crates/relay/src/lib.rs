//! Delivery over the network: where a domain's mail goes, connections and their reuse, and what is
//! said over them.
//!
//! Runs in one task set on a current-thread runtime, in a cage that can open no file: names are
//! asked of the `resolver` role ([`Lookup`]), bodies come as octets or as descriptors.
//!
//! A destination is the host of a route with its port. Each has a line of jobs and some
//! connections; a connection takes jobs from the line as long as there are any, waits a little
//! for more, and says QUIT. So a busy destination costs a transaction a message and nothing else.
#![forbid(unsafe_code)]

mod client;
mod connect;
pub mod mx;
mod pool;
pub mod resolve;
mod session;

pub use mx::Ourselves;
pub use pool::Relay;
pub use resolve::{Answer, Lookup, Query, QueryKind};

use bytes::Bytes;
use queue::{Batch, BatchId, Outcome};
use std::fs::File;

/// A transaction to be carried out.
#[derive(Debug)]
pub struct Job {
    /// Who, to whom, where to.
    pub batch: Batch,
    /// The port where the host of the batch names none.
    pub port: u16,
    /// Most connections to this destination at the same time.
    pub connections_max: u32,
    /// The message.
    pub body: Body,
}

/// The octets of a message, header and text, with CR LF line ends.
#[derive(Debug)]
pub enum Body {
    /// In memory.
    Bytes(Bytes),
    /// In a file that was handed over open; read by position.
    File {
        /// The open file.
        file: File,
        /// Where the message begins, in octets.
        start: u64,
        /// How long it is, in octets.
        size: u64,
    },
}

/// What came of a job: one for each that was submitted, whatever happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The batch.
    pub batch: BatchId,
    /// What came of each recipient, by its number within the message.
    pub results: Vec<(u32, Outcome)>,
}
