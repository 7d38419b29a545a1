//! What the spool promises, kept through crashes, faults, full disks and damage. docs/spool.md names the test of each row.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop"
)]

mod crash;
mod damage;
mod desk;
mod fault;
mod fixtures;
mod full;
mod keep;
mod model;
mod space;
