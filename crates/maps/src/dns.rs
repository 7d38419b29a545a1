//! A small resolver of our own, for the commands: it asks the servers of resolv.conf, one question at a time.
//!
//! In the daemon no role but `resolver` may speak to name servers; there the same trait of the rule machine is
//! answered by that role.

mod client;
mod message;

pub use client::{Asker, Failure, Resolver};
pub use message::{Answer, Data, Kind, MESSAGE_BYTES_MAX, Record, read_answer, write_question};
