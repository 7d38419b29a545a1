//! The real processes: letters, cages, kills, full disks, wrong files, garbage. As root with own uids, else as the caller.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test may stop"
)]

mod cages;
mod configuration;
mod dialogues;
mod full_disk;
mod garbage;
mod house;
mod kills;
mod letters;
mod mailboxes;
mod outgoing;
#[path = "../running/port.rs"]
mod port;
mod sink;
#[path = "../running/soon.rs"]
mod soon;
mod stop;
mod sync;
