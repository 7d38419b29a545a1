//! The words and grammar of mail: bytes in, values out, and back.
#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::arithmetic_side_effects, clippy::as_conversions)]

extern crate alloc;

pub mod queue_id;

pub use queue_id::QueueId;
