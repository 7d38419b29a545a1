//! Reads sendmail.cf as it is and answers with its rule sets.
#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::arithmetic_side_effects, clippy::as_conversions)]

extern crate alloc;

pub mod world;

pub use world::{Answer, Exchanger, MapHandle, MapSpec, OpenFailure, UserEntry, World};
