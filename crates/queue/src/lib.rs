//! What to try when, and what came of it: scheduler, retries, ledger; no disk.
#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::arithmetic_side_effects, clippy::as_conversions)]

extern crate alloc;
