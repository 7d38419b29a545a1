//! The words and grammar of mail: bytes in, values out, and back.
//!
//! Knows no policy, no socket and no clock. Every reader is bounded by a named limit, takes its input in pieces of any size
//! where input comes in pieces, and answers any octets with a value or a named fault.
#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::arithmetic_side_effects, clippy::as_conversions)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, reason = "a test may stop"))]

extern crate alloc;

pub mod address;
pub mod alias;
pub mod base64;
pub mod command;
pub mod date;
pub mod domain;
pub mod dot;
pub mod dsn;
pub mod escape;
pub mod frame;
pub mod header;
pub mod line;
pub mod mime;
pub mod path;
pub mod queue_id;
pub mod reply;
pub mod status;

pub use command::Command;
pub use path::Path;
pub use queue_id::QueueId;
pub use reply::Reply;
pub use status::Status;
