//! The client's half, as a stranger uses it: good servers, bad servers, our own server.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]

#[path = "client/hostile.rs"]
mod hostile;
#[path = "client/talk.rs"]
mod talk;
#[path = "client/transactions.rs"]
mod transactions;
