//! Keeps messages safe: commit, recover, compact.
#![forbid(unsafe_code)]
