//! The operating system behind safe functions: the only crate with unsafe, fork and exec.
