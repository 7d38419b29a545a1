//! The name of this process, as `ps -o comm` and `top` show it.
//!
//! The kernel's own name of the process only: the line of arguments lies in memory that the C library and Rust's
//! `args` still read, so there is no sound way to write over it, and to move it needs privileges.

use std::ffi::CString;
use std::io;

/// Octets of a name that the kernel keeps.
const NAME_BYTES: usize = 15;

/// Sets the name; what is longer than 15 octets is cut.
///
/// # Errors
/// There is a NUL in it.
pub fn set(name: &str) -> io::Result<()> {
    let kept: Vec<u8> = name.bytes().take(NAME_BYTES).collect();
    Ok(rustix::thread::set_name(&CString::new(kept)?)?)
}
