//! The lock file of an mbox where the user may not make one: Debian's `dotlockfile`, which has the rights of group mail and
//! so makes it for him (liblockfile does the same).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Stdio};

/// The helper (package liblockfile-bin).
const HELPER: &str = "/usr/bin/dotlockfile";

/// How often the helper tries.
const TRIES: &str = "5";

/// A lock that the helper made; it removes it when this is dropped.
#[derive(Debug)]
pub(super) struct HelperLock {
    path: Vec<u8>,
}

impl HelperLock {
    /// Takes the lock of this mailbox; `None`: the helper is not there, or could not.
    pub(super) fn take(mailbox: &[u8]) -> Option<Self> {
        let path = [mailbox, super::dotlock::SUFFIX].concat();
        run(&["-l", "-r", TRIES, "-p"], &path).then_some(Self { path })
    }
}

impl Drop for HelperLock {
    fn drop(&mut self) {
        // What stays is stale soon.
        let _is_removed: bool = run(&["-u"], &self.path);
    }
}

fn run(flags: &[&str], path: &[u8]) -> bool {
    let mut helper = Command::new(HELPER);
    helper.args(flags).arg(OsStr::from_bytes(path)).env_clear().current_dir("/");
    helper.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    helper.status().is_ok_and(|status| status.success())
}
