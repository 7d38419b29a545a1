//! The operating system behind safe functions: the only crate with `unsafe`, fork and exec.
//!
//! Every function here does one thing of the kernel's and checks its result. What a process may do
//! is decided by tables elsewhere; here stands how the kernel is told ([`confine`]).
#![allow(unsafe_code, reason = "this is the room for it; every block says why it is sound")]

pub mod clock;
pub mod confine;
pub mod cpu;
pub mod deed;
pub mod disk;
pub mod event;
pub mod fd;
pub mod load;
pub mod lock;
pub mod memory;
pub mod orphans;
pub mod poll;
pub mod signal;
pub mod socket;
pub mod spawn;
pub mod title;
pub mod user;

use std::io;

/// The name of this system, as the kernel has it.
#[must_use]
pub fn host_name() -> Vec<u8> {
    rustix::system::uname().nodename().to_bytes().to_vec()
}

/// The system's words for an error, without the number that Rust adds: `Permission denied`.
#[must_use]
pub fn error_words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Sixteen octets of the kernel's randomness, as a number.
///
/// # Errors
/// The kernel has none to give.
pub fn random_u128() -> io::Result<u128> {
    let mut octets = [0_u8; 16];
    let count = rustix::rand::getrandom(&mut octets, rustix::rand::GetRandomFlags::empty())?;
    if count < octets.len() {
        return Err(io::Error::other("too little randomness"));
    }
    Ok(u128::from_le_bytes(octets))
}
