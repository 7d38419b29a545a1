//! Attacks on local delivery with the real processes: what one user's mail could do to another's, and what a user's program
//! could do to the server. As root two users of the system are attacked; else some tests have nobody to attack.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop"
)]

mod agents;
mod aliases;
mod control_files;
mod local_users;
mod mailboxes;
mod next_hops;
#[path = "../running/port.rs"]
mod port;
mod programs;
#[path = "../running/soon.rs"]
mod soon;
mod strangers;
mod town;
