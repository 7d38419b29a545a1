//! The server's half, as a stranger uses it: dialogues, splits, attacks.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test may stop"
)]

#[path = "server/attack.rs"]
mod attack;
#[path = "server/dialogue.rs"]
mod dialogue;
#[path = "server/message.rs"]
mod message;
#[path = "server/split.rs"]
mod split;
#[path = "server/world.rs"]
mod world;
