//! Both ends of an SMTP or LMTP conversation, as machines.
//!
//! Octets and answers come in; octets, questions and events come out. No socket, no clock, no queue: whoever drives a
//! machine does what its outbox says and comes back with what came of it.
#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::arithmetic_side_effects, clippy::as_conversions)]

extern crate alloc;

pub mod client;
pub mod server;
