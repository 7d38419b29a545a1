//! Reads sendmail.cf as it is and answers with its rule sets.
//!
//! The way of a configuration: [`read`] (octets, lines, values), [`load`] (lines into a [`Config`]), [`Machine`] (rules at work),
//! [`resolve`] (addresses to mailers), [`test_mode`] (`sendmail -bt`). Nothing here touches a file, a socket or a clock: see [`World`].
#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::arithmetic_side_effects, clippy::as_conversions)]
#![allow(
    clippy::doc_markdown,
    reason = "options and sendmail's own names are words of the manual here"
)]

extern crate alloc;

pub mod answers;
pub mod class;
pub mod crack;
pub mod expand;
pub mod header;
pub mod load;
pub mod machine;
pub mod macros;
pub mod mailer;
pub mod map;
pub mod model;
pub mod options;
pub mod read;
pub mod resolve;
pub mod rules;
pub mod test_mode;
pub mod token;
pub mod world;

pub use answers::{CfPolicy, Engine, Given, Pool, is_cf};
pub use machine::{Event, Machine, Said, Spoken};
pub use model::Config;
pub use world::{
    Answer, Exchanger, MapHandle, MapSpec, OpenFailure, Unavailable, UserEntry, World,
};
